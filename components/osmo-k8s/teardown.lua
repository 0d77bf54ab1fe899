local osmo = require("pai.shared.osmo")
local plan = require("osmo-k8s.plan")

return {
  summary = "Exports the master key, uninstalls both releases, deletes the namespaces and volumes.",
  safety = "destroys",
  inputs = { mek_out = osmo.MEK_OUT },
  needs = { writes = { "@mek_out" } },
  locks = function(inp)
    return { "kube:" .. inp.context }
  end,
  steps = osmo.teardown(plan.conf),
  returns = { mek = osmo.MEK },
}
