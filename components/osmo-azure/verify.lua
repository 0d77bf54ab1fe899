local osmo = require("pai.shared.osmo")
local plan = require("osmo-azure.plan")

return {
  summary = "The gate of OSMO: cluster, releases, pods, exposure, storage, service and pool.",
  safety = "observes",
  inputs = { subscription = { type = "string", doc = "Id or name of the subscription." } },
  steps = {
    {
      name = "releases",
      checks = function(ctx, inp)
        local out = ctx.tools.terraform.outputs(inp.dir, plan.PLAIN)
        local list = ctx.osmo_deploy.checks(plan.conf(ctx, inp, out))
        table.insert(list, 1, plan.same_cluster(ctx, inp, out))
        return list
      end,
    },
    osmo.service(),
    osmo.versions(),
  },
}
