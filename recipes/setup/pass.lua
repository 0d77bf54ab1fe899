-- What setup gives to each component: inputs of the same name, what discovery found, and what the
-- file of `config` says for that component. Everything else keeps the component's own default.
local M = {}

local SAME <const> = {
  ["azure-access"] = { "subscription", "tenant", "location" },
  ["openclaw-azure-login"] = { "subscription", "tenant" },
  ["cluster-microk8s"] = { "gpu", "context", "kubeconfig" },
  ["cluster-azure"] = {
    "allowed_cidr",
    "context",
    "dir",
    "ip_service",
    "kubeconfig",
    "location",
    "subscription",
  },
  ["osmo-k8s"] = { "charts", "context", "gpu", "kubeconfig", "registry", "url" },
  ["osmo-azure"] = {
    "charts",
    "context",
    "dir",
    "gpu",
    "kubeconfig",
    "registry",
    "subscription",
    "url",
  },
  ["inference-nim-operator"] = {
    "charts",
    "context",
    "hf_endpoint",
    "kubeconfig",
    "registry",
    "tolerations",
  },
  ["cluster-onprem"] = { "context", "kubeconfig" },
  ["inference-azure"] = { "capabilities", "dir", "endpoint", "subscription" },
}

-- Components that ask the network before anything is deployed.
local ASKS <const> = {
  ["inference-nim-operator"] = true,
  ["inference-nvcf"] = true,
  ["osmo-azure"] = true,
  ["osmo-k8s"] = true,
}

local FOUND <const> = {}

FOUND["cluster-azure"] = function(inp)
  if inp.spot then
    return { gpu_priority = "Spot", spot_tolerated = true }
  end
end

-- How many GPU nodes there will be, and GPUs of each; nil where it is not known. The default node
-- of cluster-azure, Standard_NC40ads_H100_v5, has one, and there are four of them.
---@param inp table of setup
---@param azure table inputs of cluster-azure in the file of `config`
---@return integer? nodes
---@return integer? each
function M.gpus(inp, azure)
  local nodes, each = inp.gpu_nodes, inp.gpus_per_node
  if inp.cluster == "azure" then
    nodes = nodes or azure.gpu_max or 4
    each = each or not azure.gpu_vm_size and 1 or nil
  elseif inp.cluster == "microk8s" then
    nodes = nodes or 1
  end
  if not (nodes and each) then
    return nil, nil
  end
  return nodes, each
end

FOUND["inference-nim-operator"] = function(inp, found)
  local names, seen = {}, {}
  for _, list in ipairs({ found.nims or {}, inp.nims or {} }) do
    for _, name in ipairs(list) do
      names[#names + 1] = not seen[name] and name or nil
      seen[name] = true
    end
  end
  local nodes, each = M.gpus(inp, found.config and found.config["cluster-azure"] or {})
  return { nims = #names > 0 and names or nil, gpu_nodes = nodes, gpus_per_node = each }
end

FOUND["inference-nvcf"] = function(_, found)
  return { functions = found.nvcf and #found.nvcf > 0 and found.nvcf or nil }
end

-- Deployments have the names of their models; a workflow may also name the account itself.
FOUND["inference-azure"] = function(_, found)
  local models, accounts = found.models or {}, found.accounts or {}
  if #accounts > 1 then
    error("the workflow refers to several accounts: " .. table.concat(accounts, ", "), 0)
  end
  return { models = #models > 0 and models or nil, account = accounts[1] }
end

---The inputs of a component.
---@param component string
---@param inp table setup's own
---@param found table? what the step discover gave; nil before it has
---@return table
function M.inputs(component, inp, found)
  local out = {}
  found = found or {}
  for _, name in ipairs(SAME[component] or {}) do
    out[name] = inp[name]
  end
  for name, value in pairs(FOUND[component] and FOUND[component](inp, found) or {}) do
    out[name] = value
  end
  -- What is false here may be true in a component's own environment.
  out.skip_network = ASKS[component] and inp.skip_network or nil
  for name, value in pairs(found.config and found.config[component] or {}) do
    out[name] = value
  end
  return out
end

return M
