-- What az answers in specs of the Azure components: a subscription in which everything is as it
-- should be. A spec puts other answers before these with talk:instead.
local json = require("pai.json")

local M = {}

M.SUBSCRIPTION = "11111111-2222-4333-8444-555555555555"
M.TENANT = "99999999-2222-4333-8444-555555555555"

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

local END <const> = { "--output=json", "--only-show-errors" }

---The words of a call of az as pai makes it.
---@param words string[]
---@return string[]
function M.argv(words)
  local argv = { "az", table.unpack(words) }
  return table.move(END, 1, #END, #argv + 1, argv)
end

---An answer of az, as JSON.
---@param words string[]
---@param value any
---@param cite string
---@param more table?
---@return tests.Answer
function M.answer(words, value, cite, more)
  local answer = { argv = M.argv(words), stdout = json.encode(value), cite = cite }
  for k, v in pairs(more or {}) do
    answer[k] = v
  end
  return answer
end

---A refusal of az.
---@param words string[]
---@param message string after "ERROR: "
---@param cite string
---@param more table?
---@return tests.Answer
function M.refusal(words, message, cite, more)
  local answer =
    { argv = M.argv(words), stderr = "ERROR: " .. message .. "\n", code = 1, cite = cite }
  for k, v in pairs(more or {}) do
    answer[k] = v
  end
  return answer
end

---One subscription as `az account list` has it.
---@param more table?
---@return table
function M.account(more)
  local account = {
    cloudName = "AzureCloud",
    id = M.SUBSCRIPTION,
    isDefault = true,
    name = "robots",
    state = "Enabled",
    tenantId = M.TENANT,
    user = { name = "somebody@example.com", type = "user" },
  }
  for k, v in pairs(more or {}) do
    account[k] = v
  end
  return account
end

---States of providers as `az provider list` has them.
---@param states table<string, string|false>? other than Registered; false: not listed
---@return table[]
function M.providers(states)
  local list = json.array({})
  for _, namespace in ipairs(M.PROVIDERS) do
    local state = states and states[namespace]
    if state ~= false then
      list[#list + 1] = { namespace = namespace, registrationState = state or "Registered" }
    end
  end
  return list
end

---Everything that the checks of access ask.
---@param talk tests.Talk
---@param subscription string? as it is named on each call
function M.tell(talk, subscription)
  local at = subscription and { "--subscription", subscription } or {}
  local function words(...)
    local list = { ... }
    return table.move(at, 1, #at, #list + 1, list)
  end
  talk:tell({
    argv = { "az", "version", "--output=json" },
    -- Compact on purpose: a text search that counts on blanks reads nothing here.
    stdout = '{"azure-cli":"2.71.0","azure-cli-core":"2.71.0","extensions":{}}',
    cite = "az version reference",
  })
  talk:tell(
    M.answer({ "account", "list", "--all" }, json.array({ M.account() }), "az account list", {
      unless = "logged-out",
    })
  )
  talk:tell(M.answer({ "account", "list", "--all" }, json.array({}), "az account list, logged out"))
  talk:tell(M.answer(words("provider", "list"), M.providers(), "az provider list"))
  talk:tell(M.answer(
    words("account", "list-locations"),
    json.array({
      { name = "eastus2", displayName = "East US 2" },
      { name = "westus3", displayName = "West US 3" },
    }),
    "az account list-locations"
  ))
  talk:tell(
    M.answer(
      words(
        "role",
        "assignment",
        "list",
        "--assignee",
        "somebody@example.com",
        "--scope",
        "/subscriptions/" .. M.SUBSCRIPTION,
        "--include-inherited",
        "--include-groups"
      ),
      json.array({ { roleDefinitionName = "Owner", scope = "/" } }),
      "az role assignment list"
    )
  )
end

---The checks of an answer by name.
---@param r table of bench:pai with --json
---@return table<string, table> by name
function M.by_name(r)
  local out = {}
  for _, step in ipairs(assert(json.decode(r.stdout), r.stderr).steps) do
    for _, check in ipairs(step.checks) do
      out[check.name] = check
    end
  end
  return out
end

return M
