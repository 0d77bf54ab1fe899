-- What the actions share: the outputs of cluster-azure as a configuration of OSMO.
local osmo = require("pai.shared.osmo")
local versions = require("pai.shared.versions")

local M = {}

---Oldest tools that all of this was tried with, as of 2026-08-21.
M.LOCK = {
  date = "2026-08-21",
  az = versions.tools.az,
  terraform = versions.tools.terraform,
  terraform_below = versions.tools.terraform_below,
}

M.PROVIDERS = {
  "Microsoft.ContainerService",
  "Microsoft.Storage",
  "Microsoft.DBforPostgreSQL",
  "Microsoft.Cache",
}

---Outputs that anybody may see, and those that are handles.
M.PLAIN = {
  "resource_group",
  "aks_name",
  "location",
  "pg_fqdn",
  "pg_admin_user",
  "pg_database",
  "redis_hostname",
  "redis_port",
  "storage_account",
}
M.SECRET = { "pg_admin_password", "redis_primary_key", "storage_account_key" }

---OSMO's configuration without what is secret.
---@param ctx pai.ctx
---@param inp table
---@param out table the plain outputs
---@return pai.osmo_deploy.Conf
function M.conf(ctx, inp, out)
  local conf = osmo.conf(ctx, inp)
  conf.storage = { base_url = ctx.osmo_deploy.azure_url(out.storage_account) }
  conf.db = {
    host = out.pg_fqdn,
    port = 5432,
    user = out.pg_admin_user,
    name = out.pg_database,
  }
  conf.redis = { host = out.redis_hostname, port = math.tointeger(tonumber(out.redis_port)) }
  return conf
end

---The same with the passwords, which come from the state each time: a handle is in no result.
---@param ctx pai.ctx
---@param inp table
---@param out table
---@return pai.osmo_deploy.Conf
function M.opened(ctx, inp, out)
  local conf = M.conf(ctx, inp, out)
  local secret = ctx.tools.terraform.outputs(inp.dir, { "pg_admin_password", "redis_primary_key" })
  conf.db.password = secret.pg_admin_password
  conf.redis.password = secret.redis_primary_key
  return conf
end

---The storage account with its key.
---@param ctx pai.ctx
---@param inp table
---@param out table
---@return table
function M.storage(ctx, inp, out)
  local secret = ctx.tools.terraform.outputs(inp.dir, { "storage_account_key" })
  return { account = out.storage_account, key = secret.storage_account_key, region = out.location }
end

---The outputs that are missing, or not sensitive though they should be.
---@param ctx pai.ctx
---@param inp table
---@return string[]
function M.missing(ctx, inp)
  local there, missing = ctx.tools.terraform.output_names(inp.dir), {}
  for _, name in ipairs(M.PLAIN) do
    missing[#missing + 1] = there[name] == nil and name or nil
  end
  for _, name in ipairs(M.SECRET) do
    if not there[name] then
      missing[#missing + 1] = there[name] == nil and name or name .. " (not sensitive)"
    end
  end
  return missing
end

---The context leads to the cluster that the outputs name, and to no other.
---@param ctx pai.ctx
---@param inp table
---@param out table
---@return table check
function M.same_cluster(ctx, inp, out)
  return {
    name = "cluster of the context",
    expected = out.aks_name,
    hint = "pass the context that pai deploy cluster-azure wrote, and the dir of the same cluster",
    timeout = "70s",
    run = function()
      local shown, e = ctx.tools.az.ask({
        "aks",
        "show",
        "--resource-group",
        out.resource_group,
        "--name",
        out.aks_name,
        "--subscription",
        inp.subscription,
      })
      if e then
        return { state = "red", measured = e.message, hint = e.hint }
      end
      local server = ctx.kubeconfig.server(inp.kubeconfig, inp.context)
      if not server then
        return { state = "red", measured = "no context " .. inp.context }
      end
      local here = server:match("^https?://([^:/]+)") == shown.fqdn:lower()
      return { state = here and "ok" or "red", measured = server }
    end,
  }
end

return M
