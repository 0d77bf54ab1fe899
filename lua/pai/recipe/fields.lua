-- The fields of a recipe: for each table in it the keys there are, the kind of value each holds and
-- whether it must be there. What the kinds accept is below; what goes with what is in schema.lua.
local duration = require("pai.duration")

local M = {}

local SAFETY <const> = { "observes", "changes", "destroys" }

---Tells whether a table is a list without holes.
---@param t table
---@return boolean
function M.is_list(t)
  local n = 0
  for k in next, t do
    if math.type(k) ~= "integer" or k < 1 then
      return false
    end
    n = n + 1
  end
  return n == #t
end

local kinds = {}

function kinds.string(v)
  return type(v) == "string", "a string"
end
function kinds.text(v)
  return type(v) == "string" and v ~= "", "a string that is not empty"
end
function kinds.integer(v)
  return math.type(v) == "integer", "a whole number"
end
function kinds.number(v)
  return type(v) == "number", "a number"
end
function kinds.boolean(v)
  return type(v) == "boolean", "true or false"
end
kinds["function"] = function(v)
  return type(v) == "function", "a function"
end
function kinds.table(v)
  return type(v) == "table", "a table"
end
function kinds.any()
  return true
end
function kinds.duration(v)
  return duration.parse(v) ~= nil, 'a duration such as "30s" or "10m"'
end
function kinds.strings(v)
  if type(v) ~= "table" or not M.is_list(v) then
    return false, "a list of strings"
  end
  for _, item in ipairs(v) do
    if type(item) ~= "string" then
      return false, "a list of strings"
    end
  end
  return true
end
function kinds.commands(v)
  if type(v) ~= "table" or not M.is_list(v) then
    return false, "a list of commands"
  end
  for _, item in ipairs(v) do
    if type(item) ~= "string" and not kinds.strings(item) then
      return false, 'a list of commands, each "git status" or { "git", "status" }'
    end
  end
  return true
end
function kinds.safety(v)
  for _, word in ipairs(SAFETY) do
    if v == word then
      return true
    end
  end
  return false, "one of " .. table.concat(SAFETY, ", ")
end
function kinds.steps(v)
  return type(v) == "function" or (type(v) == "table" and M.is_list(v)), "a list or a function"
end
function kinds.checks(v)
  return type(v) == "function" or (type(v) == "table" and M.is_list(v)), "a function or a list"
end
function kinds.retry(v)
  return type(v) == "table" or (math.type(v) == "integer" and v >= 0), "a count or a table"
end

---Kinds of values: each a function that tells whether a value fits, and what was wanted.
M.kinds = kinds

M.INPUT = {
  type = { "string", true },
  doc = { "string" },
  default = { "any" },
  optional = { "boolean" },
  values = { "strings" },
  of = { "any" },
  env = { "string" },
  hosts = { "strings" },
  bins = { "strings" },
  min = { "number" },
  max = { "number" },
  pattern = { "string" },
  example = { "any" },
}

M.NEEDS = {
  bins = { "strings" },
  hosts = { "strings" },
  writes = { "strings" },
  reads = { "commands" },
  clusters = { "strings" },
}

M.STEP = {
  name = { "text", true },
  title = { "string" },
  after = { "strings" },
  when = { "function" },
  each = { "function" },
  limit = { "integer" },
  use = { "string" },
  with = { "function" },
  done = { "function" },
  run = { "function" },
  verify = { "checks" },
  checks = { "checks" },
  cancel = { "function" },
  timeout = { "duration" },
  retry = { "retry" },
  safety = { "safety" },
}

M.RETRY = { times = { "integer", true }, wait = { "duration" } }

M.CHECK = {
  name = { "text", true },
  run = { "function" },
  timeout = { "duration" },
  state = { "string" },
  measured = { "any" },
  expected = { "any" },
  hint = { "string" },
}

M.RETURN = {
  type = { "string", true },
  doc = { "string" },
  from = { "string" },
  values = { "strings" },
  of = { "any" },
}

M.RECIPE = {
  api = { "integer", true },
  name = { "text", true },
  title = { "text", true },
  summary = { "text", true },
  doc = { "string" },
  tags = { "strings" },
  safety = { "safety", true },
  inputs = { "table" },
  needs = { "table" },
  estimate = { "function" },
  steps = { "steps", true },
  returns = { "table" },
  examples = { "strings" },
  locks = { "function" },
  report = { "function" },
}

M.ACTION = {
  summary = { "text" },
  doc = { "string" },
  safety = { "safety", true },
  inputs = { "table" },
  needs = { "table" },
  estimate = { "function" },
  steps = { "steps", true },
  returns = { "table" },
  examples = { "strings" },
  locks = { "function" },
  report = { "function" },
}

-- component.lua says what the component is; its actions say what is done to it.
M.COMPONENT = {
  api = { "integer", true },
  name = { "text", true },
  title = { "text", true },
  summary = { "text", true },
  doc = { "string" },
  tags = { "strings" },
  reference = { "string" },
  inputs = { "table" },
  needs = { "table" },
}

return M
