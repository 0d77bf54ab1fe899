-- The stages of the stack: what each may be, which component that is, what goes with what, and what
-- each backend can do. All of it is known before anything is loaded or asked.
local nims = require("pai.shared.nims")

local M = {}

M.DATE = "2026-08-21"

M.CLUSTERS = { microk8s = "cluster-microk8s", azure = "cluster-azure", onprem = "cluster-onprem" }

---Stage 2 follows stage 1 and is never asked for.
M.OSMO = { microk8s = "osmo-k8s", azure = "osmo-azure", onprem = "osmo-k8s" }

M.INFERENCE = {
  nim = "inference-nim-operator",
  nvcf = "inference-nvcf",
  foundry = "inference-azure",
}

M.CLI = "osmo-cli"
M.ACCESS = "azure-access"
M.LOGIN = "openclaw-azure-login"

---The taint that AKS gives to Spot nodes.
M.SPOT = "kubernetes.azure.com/scalesetpriority"

-- What a backend's catalogue can do; that of NIM is the NIMs'. NVCF: the functions of upstream's
-- runbook. Foundry: the models of components/inference-azure.
local CAPABILITIES <const> = {
  nvcf = {
    "text-llm",
    "chat",
    "vlm",
    "video-qa",
    "video-style-transfer",
    "video-world-model",
    "video-generation",
  },
  foundry = { "text-llm", "chat", "reasoning", "vlm", "image-qa" },
}

---Why a backend can't go with a cluster; nil when it can.
---@param cluster string
---@param backend string
---@param gpu boolean the cluster has GPUs
---@return string? why
---@return string? hint
function M.rejected(cluster, backend, gpu)
  if backend == "foundry" and cluster ~= "azure" then
    local why = "Azure AI Foundry needs Azure identities, which cluster=%s does not have"
    return why:format(cluster), "inference=nvcf or inference=nim, or cluster=azure"
  elseif backend == "nim" and not gpu then
    return "a cluster without a GPU can't run a NIM", "gpu=true, or inference=nvcf"
  end
end

---What backends can do between them. NIM: what those that are named can, or all of them.
---@param backends string[]
---@param named string[]? NIMs
---@return table<string, boolean>
function M.capabilities(backends, named)
  local can = {}
  local function add(list)
    for _, one in ipairs(list or {}) do
      can[one] = true
    end
  end
  for _, backend in ipairs(backends) do
    add(CAPABILITIES[backend])
    for _, name in ipairs(backend == "nim" and (named or nims.names()) or {}) do
      add(nims.NIMS[name] and nims.NIMS[name].capabilities)
    end
  end
  return can
end

---What of a workload's wishes no backend can do.
---@param wanted string[]
---@param backends string[]
---@param named string[]? NIMs
---@return string[]
function M.missing(wanted, backends, named)
  local can, missing = M.capabilities(backends, named), {}
  for _, one in ipairs(wanted) do
    missing[#missing + 1] = not can[one] and one or nil
  end
  return missing
end

---Every component of a choice, in the order of its use.
---@param cluster string
---@param backends string[]
---@param chat_only boolean? there is no browser to log in to Azure with
---@return string[]
function M.components(cluster, backends, chat_only)
  local list = {}
  if cluster == "azure" then
    list[1] = chat_only and M.LOGIN or nil
    list[#list + 1] = M.ACCESS
  end
  list[#list + 1] = M.CLUSTERS[cluster]
  list[#list + 1] = M.OSMO[cluster]
  for _, backend in ipairs(backends) do
    list[#list + 1] = M.INFERENCE[backend]
  end
  list[#list + 1] = M.CLI
  return list
end

---The scheme of the storage that goes with a cluster: MinIO's, or Azure's (OSMO's SDK reads no
---az://).
---@param cluster string
---@return "s3"|"azure"
function M.scheme(cluster)
  return cluster == "azure" and "azure" or "s3"
end

return M
