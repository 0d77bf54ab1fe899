local osmo = require("pai.shared.osmo")
local plan = require("osmo-k8s.plan")

return {
  summary = "The gate of OSMO: releases, pods, exposure, storage, service and pool.",
  safety = "observes",
  steps = {
    {
      name = "releases",
      checks = function(ctx, inp)
        return ctx.osmo_deploy.checks(plan.conf(ctx, inp))
      end,
    },
    osmo.service(),
    osmo.versions(),
  },
}
