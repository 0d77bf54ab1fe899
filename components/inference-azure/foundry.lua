-- The catalog, where the account is, and what the actions ask of it.
local versions = require("pai.shared.versions")

local M = {}

---Versions as of 2026-05-26; models and capabilities as of the same date.
M.LOCK = {
  date = "2026-05-26",
  az = versions.tools.az,
  terraform = versions.tools.terraform,
  terraform_below = versions.tools.terraform_below,
  api = "2024-05-01-preview",
}

M.CATALOG = {
  ["llama-3-1-8b"] = {
    model = "Meta-Llama-3.1-8B-Instruct",
    format = "Meta",
    capabilities = { "text-llm", "chat" },
  },
  ["llama-3-1-70b"] = {
    model = "Meta-Llama-3.1-70B-Instruct",
    format = "Meta",
    capabilities = { "text-llm", "chat" },
  },
  ["phi-3-5-vision"] = {
    model = "Phi-3.5-vision-instruct",
    format = "Microsoft",
    capabilities = { "vlm", "image-qa", "chat" },
  },
  ["deepseek-r1"] = {
    model = "DeepSeek-R1",
    format = "DeepSeek",
    capabilities = { "text-llm", "reasoning" },
  },
}

---What the workload needs and no chosen model has.
---@param inp table
---@return string[] missing
function M.missing(inp)
  local has, missing = {}, {}
  for _, name in ipairs(inp.models) do
    for _, capability in ipairs(M.CATALOG[name].capabilities) do
      has[capability] = true
    end
  end
  for _, capability in ipairs(inp.capabilities) do
    if not has[capability] then
      missing[#missing + 1] = capability
    end
  end
  return missing
end

---Where the account is: as given, else as cluster-azure's outputs say.
---@param ctx pai.ctx
---@param inp table
---@return { group: string, account: string, endpoint: string }
function M.target(ctx, inp)
  local group, account = inp.resource_group, inp.account
  if not group or not account then
    local out = ctx.tools.terraform.outputs(inp.dir, { "resource_group", "foundry_resource" })
    group, account = group or out.resource_group, account or out.foundry_resource
  end
  local endpoint = inp.endpoint or ("https://%s.services.ai.azure.com"):format(account)
  return { group = group, account = account, endpoint = (endpoint:gsub("/+$", "")) }
end

---The words of a call about the account.
---@param inp table
---@param at table
---@param words string[]
---@return string[]
function M.about(inp, at, words)
  local argv = { "cognitiveservices", "account", table.unpack(words) }
  for _, word in ipairs({
    "--resource-group",
    at.group,
    "--name",
    at.account,
    "--subscription",
    inp.subscription,
  }) do
    argv[#argv + 1] = word
  end
  return argv
end

---A deployment; nil when there is none. Raises what else az refuses.
---@param ctx pai.ctx
---@param inp table
---@param at table
---@param name string
---@return table?
function M.deployment(ctx, inp, at, name)
  local words = { "deployment", "show", "--deployment-name", name }
  local found, e = ctx.tools.az.ask(M.about(inp, at, words))
  if e and e.code ~= "ENOENT" then
    error(e, 0)
  end
  return found
end

---Checks of one model's deployment.
---@param ctx pai.ctx
---@param inp table
---@param at table
---@param name string
---@return table check
function M.check(ctx, inp, at, name)
  local wanted = M.CATALOG[name].model
  return {
    name = "deployment " .. name,
    expected = wanted .. ", Succeeded",
    hint = "pai deploy inference-azure; az cognitiveservices account deployment show says more",
    timeout = "70s",
    run = function()
      local found = M.deployment(ctx, inp, at, name)
      if not found then
        return { state = "red", measured = "there is none" }
      end
      local model, state = found.properties.model.name, found.properties.provisioningState
      return {
        state = model == wanted and state == "Succeeded" and "ok" or "red",
        measured = ("%s, %s"):format(model, state),
      }
    end,
  }
end

return M
