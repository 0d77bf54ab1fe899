-- The building blocks of the spec's schema: what upstream's models take for text, numbers, lists
-- and records, and what they complain about. Complaints are gathered: a user sees all of them.
-- A path is { up = path, key = name or index from 0 }.
local pynum = require("pai.osmo.pynum")
local text = require("pai.text")
local value = require("pai.osmo.template_value")

local M = {}
local typeof = value.type

---@class pai.osmo.Complaint
---@field path (string|integer)[]
---@field spot (string|integer)[]? a nearer place, for the line
---@field message string?

---@class pai.osmo.Check
---@field complaints pai.osmo.Complaint[]

---@return pai.osmo.Check
function M.new()
  return { complaints = {} }
end

function M.child(path, key)
  return { up = path, key = key }
end

---The keys of a path, from the root.
---@return (string|integer)[]
function M.keys(path)
  local keys = {}
  while path do
    table.insert(keys, 1, path.key)
    path = path.up
  end
  return keys
end

---Notes a complaint; message nil when another one has said it already.
---@return nil
function M.complain(check, path, message, ...)
  check.complaints[#check.complaints + 1] = {
    path = M.keys(path),
    message = message and (select("#", ...) > 0 and message:format(...) or message),
  }
  return nil
end
local complain = M.complain

---Ends the check at once, as an exception of upstream does.
---@param fields {http: integer, error_code: string?}
function M.fault(path, fields, message, ...)
  fields.path = M.keys(path)
  fields.message = message:format(...)
  error({ fault = fields }, 0)
end

-- What stands there instead, for messages.
local function seen(v)
  local t = typeof(v)
  if t == "NoneType" then
    return "null (leave the key out)"
  elseif t == "bool" then
    return "a boolean"
  elseif value.number(v) then
    return "a number"
  elseif t == "date" then
    return "a date"
  end
  return ({ str = "text", list = "a list", dict = "a map" })[t] or t
end
M.seen = seen

---Text; with coerce, numbers become text, but booleans do not.
---@param opts {coerce: boolean?}?
---@return string?
function M.text(check, v, path, opts)
  local t = typeof(v)
  if t == "str" then
    return v
  elseif opts and opts.coerce and value.number(v) and t ~= "bool" then
    return value.str(v)
  elseif t == "date" or value.number(v) then
    return complain(check, path, "must be text, not %s: put it in quotes", seen(v))
  end
  return complain(check, path, "must be text, not %s", seen(v))
end

---@return fun(check: table, v: any, path: table): string?
function M.coerced(check, v, path)
  return M.text(check, v, path, { coerce = true })
end

local BOOLEANS = {}
for _, word in ipairs({ "1", "on", "t", "true", "y", "yes" }) do
  BOOLEANS[word] = true
end
for _, word in ipairs({ "0", "off", "f", "false", "n", "no" }) do
  BOOLEANS[word] = false
end

---@return boolean?
function M.boolean(check, v, path)
  if type(v) == "boolean" then
    return v
  elseif v == 1 or v == 0 then
    return v == 1
  end
  local word = type(v) == "string" and BOOLEANS[v:lower()]
  if type(word) ~= "boolean" or type(v) ~= "string" then
    return complain(check, path, "must be true or false, not %s", seen(v))
  end
  return word
end

-- "4", " 4 ", "4.00" and "1_000" are whole numbers, too; and, as upstream drops leading zeros
-- before it looks for a sign, so is "0-5".
local function whole(s)
  s = s:gsub("^%s+", ""):gsub("%s+$", ""):gsub("^0+([+-]%d)", "%1")
  local n = pynum.int((s:gsub("^([+-]?[%d_]+)%.0+$", "%1")))
  return n
end

---@return integer?
function M.integer(check, v, path)
  local t = typeof(v)
  if t == "int" then
    return v
  elseif t == "bool" then
    return v and 1 or 0
  elseif t == "float" and math.tointeger(v) then
    return math.tointeger(v)
  elseif t == "bigint" then
    return value.number(v)
  elseif t == "str" and whole(v) then
    return whole(v)
  elseif t == "float" or t == "str" and pynum.float(v) then
    return complain(check, path, "must be a whole number, not %s", value.str(v))
  end
  return complain(check, path, "must be a whole number, not %s", seen(v))
end

---A check that also takes null.
function M.optional(inner)
  return function(check, v, path)
    if v == value.None then
      return nil
    end
    return inner(check, v, path)
  end
end

---@param item fun(check: table, v: any, path: table): any
---@return any[]? list nil after a complaint
function M.list(check, v, path, item)
  if typeof(v) ~= "list" then
    local hint = typeof(v) == "str" and ": write [%s]" or ""
    return complain(check, path, "must be a list, not " .. seen(v) .. hint, v)
  end
  local before, out = #check.complaints, {}
  for i, entry in ipairs(v) do
    out[i] = item(check, entry, M.child(path, i - 1))
  end
  return #check.complaints == before and out or nil
end

---A list of something, as a check.
function M.list_of(item)
  return function(check, v, path)
    return M.list(check, v, path, item)
  end
end

---A map with text as keys.
---@return table<string, any>? map
function M.map(check, v, path, item)
  if typeof(v) ~= "dict" then
    return complain(check, path, "must be a map, not %s", seen(v))
  end
  local before, out = #check.complaints, {}
  for _, key in ipairs(v.keys) do
    local at = M.child(path, value.str(key))
    if type(key) ~= "string" then
      complain(check, M.child(at, "[key]"), "the key must be text: put it in quotes")
    end
    out[value.str(key)] = item(check, value.dict_get(v, key), at)
  end
  return #check.complaints == before and out or nil
end

---@class pai.osmo.Field
---@field [1] string name
---@field [2] fun(check: table, v: any, path: table, record: table): any
---@field required boolean?
---@field default any

local function known_names(fields)
  local names = {}
  for i, field in ipairs(fields) do
    names[i] = field[1]
  end
  return names
end

-- Keys that users write out of habit, and what to write instead.
local HABITS = {
  dataset = "datasets are gone: use url",
  localpath = "localpath is read by the client that sends the spec, not by the service",
  default = "write `default-values:` in column 0",
  ["default-values"] = "write it in column 0, outside of workflow",
  ["env"] = "write environment",
  ram = "write memory",
}

---A record with known fields.
---@param fields pai.osmo.Field[]
---@return table? record nil after a complaint
function M.record(check, v, path, fields)
  if typeof(v) ~= "dict" then
    return complain(check, path, "must be a map, not %s", seen(v))
  end
  local before, out, known = #check.complaints, {}, {}
  for _, field in ipairs(fields) do
    local name = field[1]
    known[name] = true
    local entry = value.dict_get(v, name)
    if entry ~= nil then
      out[name] = field[2](check, entry, M.child(path, name), out)
    elseif field.required then
      complain(check, M.child(path, name), "is missing")
    else
      out[name] = field.default
    end
  end
  for _, key in ipairs(v.keys) do
    local name = value.str(key)
    if not known[name] then
      local names = known_names(fields)
      local hint = HABITS[name] and (" (" .. HABITS[name] .. ")") or text.did_you_mean(name, names)
      if hint == "" then
        hint = "; known are " .. table.concat(names, ", ")
      end
      complain(check, M.child(path, name), "unknown key '%s'%s", name, hint)
    end
  end
  return #check.complaints == before and out or nil
end

---A record with known fields, as a check.
function M.record_of(fields)
  return function(check, v, path)
    return M.record(check, v, path, fields)
  end
end

return M
