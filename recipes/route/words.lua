-- Which words mean which target. Words that mean two of them mean none: then it is asked.
local M = {}

local ASKS_FOR_A_STACK <const> = {
  "set ?up",
  "install",
  "provision",
  "deploy",
  "bring up",
  "stand up",
  "create",
  "build",
}

local STACK <const> = {
  "infrastructure",
  "stack",
  "cluster",
  "kubernetes",
  "%f[%w]aks%f[%W]",
  "microk8s",
  "%f[%w]osmo%f[%W]",
  "inference",
  "%f[%w]nims?%f[%W]",
}

-- What is asked about a workflow that is there already.
local ABOUT_A_RUN <const> = {
  "%f[%w]logs?%f[%W]",
  "which task",
  "what failed",
  "why did",
  "summari[sz]e",
  "status of",
}

local TARGETS <const> = {
  cluster = {
    azure = { "%f[%w]aks%f[%W]", "azure kubernetes", "on azure" },
    onprem = { "on%-prem", "on prem" },
    microk8s = { "microk8s", "this machine", "single%-node", "single node" },
  },
  inference = {
    nim = { "%f[%w]nims?%f[%W]" },
    nvcf = { "nvcf", "cloud functions" },
    foundry = { "foundry" },
    none = { "no inference", "without inference" },
  },
  workload = {
    vda = { "video data augmentation", "%f[%w]vda%f[%W]" },
    ["defect-image"] = { "defect image" },
    carline = { "carline" },
    nre = { "%f[%w]nre%f[%W]" },
    ncore = { "%f[%w]ncore%f[%W]" },
    ["asset-harvester"] = { "asset harvester" },
  },
}

local function any(text, patterns)
  for _, pattern in ipairs(patterns) do
    if text:find(pattern) then
      return true
    end
  end
  return false
end

-- The one target that the words mean; nil for none or several.
local function target(text, kind)
  local found
  for name, patterns in pairs(TARGETS[kind]) do
    if any(text, patterns) then
      if found then
        return nil
      end
      found = name
    end
  end
  return found
end

---@param request string
---@return table answer mine, why, command, missing
function M.read(request)
  local text = request:lower()
  local wants = any(text, ASKS_FOR_A_STACK) and any(text, STACK)
  if not wants and any(text, ABOUT_A_RUN) then
    local id = text:match("workflow%s+([%w][%w_-]*%d[%w_-]*)")
    return {
      mine = false,
      why = "not mine: it asks about a workflow that ran, and nothing is to be set up",
      command = "pai osmo logs " .. (id or "WORKFLOW"),
      missing = {},
    }
  elseif not wants then
    return {
      mine = false,
      why = "not mine: nothing in it asks for a cluster, OSMO or inference",
      command = "pai list",
      missing = {},
    }
  end
  local parts, missing = { "pai plan setup" }, {}
  for _, kind in ipairs({ "cluster", "inference", "workload" }) do
    local value = target(text, kind)
    if value then
      parts[#parts + 1] = kind .. "=" .. value
    elseif kind ~= "workload" then
      missing[#missing + 1] = kind
    end
  end
  return {
    mine = true,
    why = "it asks for the stack",
    command = table.concat(parts, " "),
    missing = missing,
  }
end

return M
