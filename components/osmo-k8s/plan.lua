-- What the actions share: inputs as a configuration, and the decision about GPU Operator.
local osmo = require("pai.shared.osmo")

local M = {}

local ABSENT <const> = { "NotFound" }
local RUNTIME_CLASS <const> = { apiVersion = "node.k8s.io/v1", kind = "RuntimeClass" }

---@param ctx pai.ctx
---@param inp table
---@return pai.osmo_deploy.Conf
function M.conf(ctx, inp)
  local conf = osmo.conf(ctx, inp)
  conf.storage = { base_url = "s3://osmo-workflows" }
  return conf
end

local function releases(ctx, inp, chart)
  local at = { context = inp.context, kubeconfig = inp.kubeconfig }
  for _, release in ipairs(ctx.tools.helm.list(at)) do
    if type(release.chart) == "string" and release.chart:find("^" .. chart .. "%-v?%d") then
      return release
    end
  end
end

---Whether the GPU Operator is to be installed; nil and why when it can't be.
---@param ctx pai.ctx
---@param inp table
---@return boolean? install
---@return string? why
function M.gpu_operator(ctx, inp)
  if not inp.gpu then
    return false, "gpu=false"
  end
  local k = ctx.k8s(inp.context)
  for _, node in ipairs(k:list("nodes")) do
    local n = node.status and node.status.allocatable and node.status.allocatable["nvidia.com/gpu"]
    if (tonumber(n or 0) or 0) > 0 then
      return false, "GPUs can be had"
    end
  end
  local release = releases(ctx, inp, "gpu%-operator")
  if release and release.status == "deployed" then
    return false, "a release is there"
  end
  local class = k:get(RUNTIME_CLASS, "nvidia", { accept = ABSENT })
  if class and class.handler ~= "nvidia" then
    return nil, "the RuntimeClass nvidia has the handler " .. tostring(class.handler)
  end
  return true
end

return M
