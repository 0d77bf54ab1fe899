-- What Run:ai's control plane wants to find in its namespace: a pull secret and a certificate. Both
-- are made from handles. Names: NVIDIA Run:ai, self-hosted installation, "Preparations", and the
-- reference architecture's deployment guide, "Run:ai Install and Configuration".
local lock = require("cluster-onprem.lock")
local objects = require("cluster-onprem.objects")

local M = {}

local NAMESPACE <const> = lock.runai.namespace

local function wanted(ctx)
  local token = ctx.secret("runai_token") or error("RUNAI_TOKEN is not set", 0)
  local list = {
    {
      name = "runai-reg-creds",
      type = "kubernetes.io/dockerconfigjson",
      data = {
        [".dockerconfigjson"] = ctx.json.seal({
          auths = { [lock.runai.registry] = { username = lock.runai.user, password = token } },
        }),
      },
    },
  }
  local cert, key = ctx.secret("runai_cert"), ctx.secret("runai_key")
  if (cert == nil) ~= (key == nil) then
    error("runai_cert and runai_key go together", 0)
  elseif cert then
    list[2] = {
      name = "runai-backend-tls",
      type = "kubernetes.io/tls",
      data = { ["tls.crt"] = cert, ["tls.key"] = key },
    }
  end
  return list
end

local function is_same(k, one)
  local opts = { namespace = NAMESPACE, accept = { "NotFound" } }
  local there = k:secret(one.name, opts)
  for key, value in pairs(one.data) do
    if not there or not there[key] or not there[key]:equals(value) then
      return false
    end
  end
  return true
end

---Whether the Secrets are there with these values.
---@param ctx pai.ctx
---@param inp table
---@return boolean
function M.there(ctx, inp)
  local k = ctx.k8s(inp.context)
  for _, one in ipairs(wanted(ctx)) do
    if not is_same(k, one) then
      return false
    end
  end
  return true
end

---@param ctx pai.ctx
---@param inp table
function M.apply(ctx, inp)
  local k = ctx.k8s(inp.context)
  local list = wanted(ctx)
  k:apply(objects.namespace(lock.runai), { force = true })
  for _, one in ipairs(list) do
    k:apply({
      apiVersion = "v1",
      kind = "Secret",
      type = one.type,
      metadata = {
        name = one.name,
        namespace = NAMESPACE,
        labels = { [objects.LABEL] = "pai" },
      },
      data = one.data,
    }, { force = true })
  end
end

return M
