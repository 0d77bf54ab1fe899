-- Gates: a set of checks, all run before the verdict, side by side, each with a deadline. Red and
-- unknown block; a gate that checked nothing has seen nothing and is red too.
local async = require("pai.async")
local err = require("pai.err")
local json = require("pai.json")
local task = require("pai.task")

local M = {}

---Deadline of a check that names none.
M.TIMEOUT = "30s"

local STATES <const> = { ok = true, warn = true, red = true, unknown = true, skipped = true }

---@class pai.run.Check
---@field name string
---@field state "ok"|"warn"|"red"|"unknown"|"skipped"
---@field measured any
---@field expected any
---@field hint string?
---@field ms integer?

local function shown(value)
  if value == nil or type(value) == "string" or type(value) == "number" then
    return value
  elseif type(value) == "boolean" then
    return tostring(value)
  elseif type(value) == "table" then
    local ok, encoded = pcall(json.encode, value)
    return ok and encoded or "a table"
  end
  return type(value)
end

local function normal(item, result, ms)
  if type(result) == "boolean" then
    result = { state = result and "ok" or "red" }
  elseif type(result) ~= "table" then
    result = { state = "unknown", measured = "the check gave no answer" }
  end
  local check = {
    name = item.name,
    state = result.state or item.state,
    measured = shown(result.measured),
    expected = shown(result.expected == nil and item.expected or result.expected),
    hint = shown(result.hint or item.hint),
    ms = ms,
  }
  if not STATES[check.state] then
    check.measured = ("the check gave the state %s"):format(tostring(check.state))
    check.expected = "ok, warn, red, unknown or skipped"
    check.state = "unknown"
  end
  return check
end

local function run_one(item, call)
  if type(item.run) ~= "function" then
    return normal(item, item)
  end
  local began = task.now()
  local timeout = item.timeout or M.TIMEOUT
  local ok, result = pcall(async.deadline, timeout, call, item.run)
  local ms = task.now() - began
  if ok then
    return normal(item, result, ms)
  end
  if err.is(result, "ECANCELED") then
    error(result, 0)
  end
  local e = err.wrap(result)
  if e.code == "EUNTIL" or e.code == "ENOENGINE" then -- only a plan meets these
    return normal(item, { state = "skipped", measured = e.message }, ms)
  end
  local why = e.message
  if e.code == "ETIMEDOUT" then
    why = "no answer within " .. tostring(timeout)
  end
  return normal(item, { state = "unknown", measured = why, hint = e.hint }, ms)
end

-- A gate's answer may be one check, a list, or a map by name.
local function listed(answer)
  if type(answer) ~= "table" then
    return nil
  end
  if answer.state ~= nil or type(answer.run) == "function" then
    return { answer }
  end
  local list = {}
  for i, item in ipairs(answer) do
    list[i] = item
  end
  local names = {}
  for k in pairs(answer) do
    if type(k) == "string" then
      names[#names + 1] = k
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local item = answer[name]
    if type(item) == "function" then
      item = { run = item }
    elseif type(item) ~= "table" then
      item = { state = item }
    end
    local copy = {}
    for k, v in pairs(item) do
      copy[k] = v
    end
    copy.name = copy.name or name
    list[#list + 1] = copy
  end
  return list
end

local function unknown(name, message)
  return { { name = name, state = "unknown", measured = message } }
end

---Runs a gate.
---@param name string the step's, for a gate that fails as a whole
---@param source function|table a function that returns checks, or a list of checks
---@param opts { timeout: string|integer, call: fun(fn: function): any }
---@return "green"|"red" verdict
---@return pai.run.Check[] checks
function M.run(name, source, opts)
  local answer = source
  if type(source) == "function" then
    local ok, result = pcall(async.deadline, opts.timeout, opts.call, source)
    if not ok then
      local e = err.wrap(result)
      if e.code == "ECANCELED" or e.code == "EUNTIL" or e.code == "ENOENGINE" then
        error(result, 0)
      end
      local why = e.message
      if e.code == "ETIMEDOUT" then
        why = "no verdict within " .. tostring(opts.timeout)
      end
      return "red", { { name = name, state = "unknown", measured = why, hint = e.hint } }
    end
    answer = result
  end
  local list = listed(answer)
  if not list then
    return "red", unknown(name, "the gate returned no list of checks")
  elseif #list == 0 then
    return "red", unknown(name, "the gate checked nothing")
  end
  local work = {}
  for i, item in ipairs(list) do
    if type(item) ~= "table" then
      item = { state = item }
    end
    local copy = {}
    for k, v in pairs(item) do
      copy[k] = v
    end
    copy.name = type(copy.name) == "string" and copy.name or ("check %d"):format(i)
    work[i] = function()
      return run_one(copy, opts.call)
    end
  end
  local checks = async.all(work, { limit = 16 })
  local verdict = "green"
  for _, check in ipairs(checks) do
    if check.state == "red" or check.state == "unknown" then
      verdict = "red"
    end
  end
  return verdict, checks
end

return M
