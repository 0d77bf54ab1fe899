-- What the actions share: versions, names, Terraform's variables, and what is known of the cluster
-- that is there already.
local versions = require("pai.shared.versions")

local M = {}

---Versions and names.
M.LOCK = {
  az = versions.tools.az,
  terraform = versions.tools.terraform,
  terraform_below = versions.tools.terraform_below,
  helm = versions.tools.helm,
  gpu_chart = versions.gpu_operator.chart,
  gpu_repo = versions.gpu_operator.repo,
  gpu_namespace = "gpu-operator",
  gpu_least_on_1_33 = versions.gpu_operator.least_on_1_33,
  class = "azurefile-nfs-premium",
  service_cidr = "192.168.0.0/16",
  system_max = 6,
  system_min = 3,
}

M.PROVIDERS = {
  "Microsoft.ContainerService",
  "Microsoft.Compute",
  "Microsoft.Network",
  "Microsoft.Storage",
  "Microsoft.DBforPostgreSQL",
  "Microsoft.Cache",
  "Microsoft.KeyVault",
  "Microsoft.CognitiveServices",
  "Microsoft.OperationalInsights",
  "Microsoft.OperationsManagement",
}

---Outputs of the module; the sensitive ones are true.
M.OUTPUTS = {
  resource_group = false,
  aks_name = false,
  location = false,
  pg_fqdn = false,
  pg_admin_user = false,
  pg_admin_password = true,
  pg_database = false,
  redis_hostname = false,
  redis_port = false,
  redis_primary_key = true,
  storage_account = false,
  storage_account_key = true,
  nfs_storage_account = false,
  foundry_resource = false,
  foundry_project = false,
  foundry_endpoint = false,
  key_vault_name = false,
  log_analytics_workspace_id = false,
  nat_ip = false,
}

---@param inp table
---@return { group: string, cluster: string, nat: string }
function M.names(inp)
  local name = inp.resource_prefix .. "-" .. inp.environment
  return { group = "rg-" .. name, cluster = "aks-" .. name, nat = "pip-nat-" .. name }
end

---@param ctx pai.ctx
---@param inp table
---@return pai.azure.Checks
function M.checks(ctx, inp)
  return ctx.tools.az.checks({ subscription = inp.subscription, location = inp.location })
end

---The pools as quota counts them.
---@param inp table
---@return pai.azure.Pool system
---@return pai.azure.Pool gpu
function M.pools(inp)
  return {
    name = "system",
    size = inp.system_vm_size,
    count = M.LOCK.system_max,
    least = M.LOCK.system_min,
  }, {
    name = "gpu",
    size = inp.gpu_vm_size,
    count = inp.gpu_max,
    least = inp.gpu_max,
    spot = inp.gpu_priority == "Spot",
  }
end

---Tags as a map; nil and why when one is none.
---@param list string[]
---@return table<string, string>? tags
---@return string? why
function M.tags(list)
  local tags = {}
  for _, entry in ipairs(list) do
    local name, value = entry:match("^([^=]+)=(.*)$")
    if not name then
      return nil, ("'%s' is not NAME=VALUE"):format(entry)
    end
    tags[name] = value
  end
  return tags
end

---The networks that the cluster that is there lets in, without its own NAT address.
---@param inp table
---@param questions pai.azure.Questions
---@return string[]? ranges nil when there is no cluster
function M.live_ranges(inp, questions)
  local names = M.names(inp)
  local _, cluster = questions:pools(names.group, names.cluster)
  if not cluster then
    return nil
  end
  local profile = cluster.apiServerAccessProfile
  local ranges = type(profile) == "table" and profile.authorizedIpRanges or {}
  local nat = questions:ask({
    "network",
    "public-ip",
    "show",
    "--resource-group",
    names.group,
    "--name",
    names.nat,
  })
  local list = {}
  for _, range in ipairs(type(ranges) == "table" and ranges or {}) do
    if range ~= tostring(nat.ipAddress) .. "/32" then
      list[#list + 1] = range
    end
  end
  return list
end

---Networks without those that are to be taken away; compared as networks, not as texts.
---@param ctx pai.ctx
---@param list string[]
---@param drop string[]
---@return string[]
function M.without(ctx, list, drop)
  local gone, kept = {}, {}
  for _, text in ipairs(drop) do
    local network, why = ctx.cidr.parse(text)
    if not network then
      error("drop_cidr: " .. why, 0)
    end
    gone[network.text] = true
  end
  for _, text in ipairs(list) do
    local network = ctx.cidr.parse(text)
    if not network or not gone[network.text] then
      kept[#kept + 1] = text
    end
  end
  return kept
end

---The variables of the module.
---@param inp table
---@param subscription_id string
---@param allowed string[]
---@return table
function M.variables(inp, subscription_id, allowed)
  local vars = {
    subscription_id = subscription_id,
    allowed_cidr = allowed,
    tags = assert(M.tags(inp.tags)),
  }
  for _, name in ipairs({
    "location",
    "resource_prefix",
    "environment",
    "vnet_address_space",
    "system_vm_size",
    "kubernetes_version",
    "gpu_vm_size",
    "gpu_priority",
    "gpu_min",
    "gpu_max",
    "pg_sku",
    "pg_storage_mb",
    "pg_version",
    "redis_sku",
  }) do
    vars[name] = inp[name]
  end
  return vars
end

return M
