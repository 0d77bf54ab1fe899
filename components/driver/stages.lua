-- The stages of the stack, what each may be, what goes with what, and what each backend can do.
-- Data as of 2026-08-21.
local M = {}

M.DATE = "2026-08-21"

---Stage 2 follows stage 1 and is never asked for.
M.OSMO = { microk8s = "osmo-k8s", azure = "osmo-azure", onprem = "osmo-k8s" }

M.CLUSTER = { microk8s = "cluster-microk8s", azure = "cluster-azure", onprem = "cluster-onprem" }

M.INFERENCE = {
  nim = "inference-nim-operator",
  nvcf = "inference-nvcf",
  foundry = "inference-azure",
}

---Combinations that can't work, with the reason.
M.REJECT = {
  { "microk8s", "foundry", "Foundry needs identities of Azure, which MicroK8s has none of" },
  {
    "onprem",
    "foundry",
    "Foundry needs identities of Azure, which a cluster of one's own has none of",
  },
}

---What a backend can do. NIM: the union of its services.
M.CAPABILITIES = {
  nvcf = {
    "text-llm",
    "chat",
    "video-world-model",
    "video-generation",
    "video-style-transfer",
    "vlm",
  },
  foundry = { "text-llm", "chat", "reasoning", "vlm", "image-qa" },
  none = {},
}

---NIM services: GPUs they take, all on one node, whether their weights come from Hugging Face, and
---what they can do.
M.NIMS = {
  ["qwen25-14b"] = { gpus = 1, hf = true, can = { "text-llm", "chat" } },
  ["qwen3-235b"] = { gpus = 8, hf = true, can = { "text-llm", "chat" } },
  ["qwen3-vl"] = { gpus = 1, hf = true, can = { "vlm", "video-qa", "chat" } },
  ["qwen-image-edit"] = { gpus = 1, hf = false, can = { "image-edit" } },
  ["qwen-image-edit-nvpcb-ovsl2sl"] = { gpus = 1, hf = true, can = { "image-edit" } },
  ["cosmos-transfer"] = { gpus = 1, hf = false, can = { "video-style-transfer" } },
  ["cosmos-reason"] = { gpus = 1, hf = false, can = { "vlm", "spatial-reasoning", "video-qa" } },
  ["cosmos-predict"] = {
    gpus = 1,
    hf = false,
    can = { "video-world-model", "video-generation" },
  },
}

---What a selection can do.
---@param inp table
---@return table<string, boolean>
function M.capabilities(inp)
  local can = {}
  local lists = { M.CAPABILITIES[inp.inference] or {} }
  for _, name in ipairs(inp.inference == "nim" and inp.nims or {}) do
    lists[#lists + 1] = M.NIMS[name] and M.NIMS[name].can or {}
  end
  for _, list in ipairs(lists) do
    for _, one in ipairs(list) do
      can[one] = true
    end
  end
  return can
end

return M
