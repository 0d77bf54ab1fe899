-- The Secrets of both namespaces. A deploy with another key makes them anew; with the same one it
-- changes nothing.
local catalog = require("inference-nim-operator.catalog")
local objects = require("inference-nim-operator.objects")

local M = {}

local REGISTRY <const> = "nvcr.io"

local function docker_config(ctx, key)
  return ctx.json.seal({
    auths = { [REGISTRY] = { username = "$oauthtoken", password = key } },
  })
end

---Each Secret that is wanted.
---@param ctx pai.ctx
---@param names string[] NIMs
---@return { namespace: string, name: string, type: string?, key: string, value: any }[]
function M.wanted(ctx, names)
  local ngc = ctx.secret("ngc") or error("NGC_API_KEY is not set", 0)
  local pull = docker_config(ctx, ngc)
  local list = {}
  for _, namespace in ipairs({ catalog.OPERATOR_NAMESPACE, catalog.NAMESPACE }) do
    list[#list + 1] = {
      namespace = namespace,
      name = "nvcr-pull-secret",
      type = "kubernetes.io/dockerconfigjson",
      key = ".dockerconfigjson",
      value = pull,
    }
  end
  list[3] = {
    namespace = catalog.NAMESPACE,
    name = "ngc-api-secret",
    key = "NGC_API_KEY",
    value = ngc,
  }
  if objects.secrets(names)["hf-token-secret"] then
    list[4] = {
      namespace = catalog.NAMESPACE,
      name = "hf-token-secret",
      key = "HF_TOKEN",
      value = ctx.secret("hf") or error("HF_TOKEN is not set, and a NIM refers to it", 0),
    }
  end
  return list
end

---Those whose value in the cluster is another one, or that are not there.
---@param k pai.ctx.k8s
---@param wanted table[]
---@return table[]
function M.stale(k, wanted)
  local list = {}
  for _, one in ipairs(wanted) do
    local there = k:secret(one.name, { namespace = one.namespace, accept = { "NotFound" } })
    local value = there and there[one.key]
    if not value or not value:equals(one.value) then
      list[#list + 1] = one
    end
  end
  return list
end

---Makes one.
---@param k pai.ctx.k8s
---@param one table
function M.apply(k, one)
  k:apply({
    apiVersion = "v1",
    kind = "Secret",
    type = one.type or "Opaque",
    metadata = {
      name = one.name,
      namespace = one.namespace,
      labels = { ["app.kubernetes.io/managed-by"] = "pai" },
    },
    data = { [one.key] = one.value },
  }, { force = true })
end

return M
