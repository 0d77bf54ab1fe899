-- Nothing of Azure is asked: the state may be gone already. The database keeps what the master key
-- encrypted, so that the key is kept, too.
local osmo = require("pai.shared.osmo")

return {
  summary = "Exports the master key, uninstalls both releases and deletes the namespaces.",
  safety = "destroys",
  inputs = { mek_out = osmo.MEK_OUT },
  needs = { writes = { "@mek_out" } },
  locks = function(inp)
    return { "kube:" .. inp.context }
  end,
  steps = osmo.teardown(osmo.conf),
  returns = { mek = osmo.MEK },
}
