-- What an answer must have so that pai can go on with it. A service that is none, or one of another
-- version, is told apart from a mistake of pai's: the error names the member.
local json = require("pai.json")

local M = {}

---@alias pai.osmo.Shape string|table<string, pai.osmo.Shape>

local function named(value)
  if value == nil then
    return "missing"
  elseif value == json.null then
    return "null"
  elseif type(value) == "table" then
    return json.is_array(value) and "a list" or "an object"
  end
  return "a " .. type(value)
end

local function shown(path)
  return path ~= "" and path or "the answer"
end

local check

-- The members of a list or a map, all of one shape.
local function check_all(value, shape, path, next_key)
  for key, item in next_key(value) do
    local why = check(item, shape, ("%s[%s]"):format(path, tostring(key)))
    if why then
      return why
    end
  end
end

function check(value, shape, path)
  if type(shape) == "string" then
    local want, optional = shape:match("^(%a+)(%??)$")
    local absent = value == nil or value == json.null
    if type(value) ~= want and not (absent and optional == "?") then
      return ("%s is %s, not a %s"):format(shown(path), named(value), want)
    end
    return nil
  elseif type(value) ~= "table" or json.is_array(value) ~= (shape.list ~= nil) then
    local want = shape.list and "a list" or "an object"
    return ("%s is %s, not %s"):format(shown(path), named(value), want)
  elseif shape.list then
    return check_all(value, shape.list, path, ipairs)
  elseif shape.map then
    return check_all(value, shape.map, path, pairs)
  end
  for name, inner in pairs(shape) do
    local why = check(value[name], inner, path == "" and name or path .. "." .. name)
    if why then
      return why
    end
  end
end

---Compares a value with a shape: the name of a type ("string", "table?" may be absent), a list or a
---map of one shape, or the members that are needed.
---@param value any
---@param shape pai.osmo.Shape
---@return string? why nil when it fits
function M.mismatch(value, shape)
  return check(value, shape, "")
end

local TASK <const> = { name = "string", status = "string", retry_id = "number" }

M.SUBMITTED = { name = "string", spec = "string?", warnings = "table?" }
M.RUN = { name = "string", status = "string" }
M.RUN_WITH_TASKS = {
  name = "string",
  status = "string",
  groups = { list = { name = "string", tasks = { list = TASK } } },
}
M.ROUTER = { router_address = "string", key = "string", cookie = "string?" }

return M
