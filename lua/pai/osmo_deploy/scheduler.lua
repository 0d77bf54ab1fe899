-- Who schedules the pods of workflows. KAI is installed where nobody serves podgroups yet; one that
-- is there is left alone.
local lock = require("pai.osmo_deploy.lock")

local M = {}

local ABSENT <const> = { "NotFound" }
local CRD <const> = { apiVersion = "apiextensions.k8s.io/v1", kind = "CustomResourceDefinition" }
local PODGROUPS <const> = "podgroups.scheduling.run.ai"

---Whether KAI is to be installed: "install", "kai" (a release is there), "existing" (the user says
---so), or nil and why it can't be told.
---@param ctx pai.ctx
---@param conf pai.osmo_deploy.Conf
---@param wanted "auto"|"existing"
---@return string? decision
---@return string? why
function M.decide(ctx, conf, wanted)
  local k = ctx.k8s(conf.context)
  local crd = k:get(CRD, PODGROUPS, { accept = ABSENT })
  if wanted == "existing" then
    return crd and "existing", "scheduler=existing, but the cluster has no " .. PODGROUPS
  end
  local at = { context = conf.context, kubeconfig = conf.kubeconfig }
  for _, release in ipairs(ctx.tools.helm.list(at)) do
    if type(release.chart) == "string" and release.chart:find("^kai%-scheduler%-v?%d") then
      -- One that failed is tried again.
      return release.status == "deployed" and "kai" or "install"
    end
  end
  local runai = k:get("namespaces", "runai", { accept = ABSENT })
  if crd or runai then
    return nil, PODGROUPS .. " or Run:ai is there, without a KAI release"
  end
  return "install"
end

---Installs KAI, with the arguments that OSMO's documentation asks for.
---@param ctx pai.ctx
---@param conf pai.osmo_deploy.Conf
function M.install(ctx, conf)
  local place = {
    context = conf.context,
    kubeconfig = conf.kubeconfig,
    namespace = "kai-scheduler",
  }
  ctx.tools.helm.unlock("kai-scheduler", place)
  place.timeout = "5m"
  place.values = {
    scheduler = {
      additionalArgs = {
        "--default-staleness-grace-period=-1s",
        "--update-pod-eviction-condition=true",
      },
    },
  }
  ctx.k8s(conf.context):guarded({ namespace = place.namespace }, function()
    ctx.tools.helm.upgrade("kai-scheduler", lock.kai.chart, place)
  end)
end

return M
