local osmo = require("pai.shared.osmo")
local plan = require("osmo-k8s.plan")

local steps <const> = osmo.teardown(plan.conf)

steps[#steps + 1] = osmo.part(
  { name = "minio", after = { "namespaces" }, timeout = "40m" },
  plan.conf,
  function(deploy, conf)
    return deploy.minio_gone(conf)
  end,
  function(deploy, conf)
    deploy.delete_minio(conf)
  end
)
steps[#steps].when = function(inp)
  return inp.minio, "minio=true deletes it, with what workflows have written"
end

return {
  summary = "Exports the master key, uninstalls both releases, deletes the namespaces and volumes.",
  safety = "destroys",
  inputs = {
    mek_out = osmo.MEK_OUT,
    minio = {
      type = "boolean",
      default = false,
      doc = "Delete the MinIO that deploy installed too: what workflows have written is lost.",
    },
  },
  needs = { writes = { "@mek_out" } },
  locks = function(inp)
    return { "kube:" .. inp.context }
  end,
  steps = steps,
  returns = { mek = osmo.MEK },
}
