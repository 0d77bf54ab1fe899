-- The types of Python's values in the template engine: None, lists, tuples, ordered dicts, what is
-- undefined and what iterates once. Strings, numbers and booleans are Lua's own. How values print
-- and compare is in template_value, which is what others require.

local M = {}

---Raises the way that a Python exception of that name would surface.
---@param kind string "TypeError", "UndefinedError", ...
---@param message string
---@param ... any for string.format
function M.raise(kind, message, ...)
  error({ pykind = kind, message = select("#", ...) > 0 and message:format(...) or message }, 0)
end
local raise = M.raise

local MT = {}
for _, name in ipairs({
  "NoneType",
  "list",
  "tuple",
  "dict",
  "Undefined",
  "range",
  "generator",
  "function",
  "Namespace",
  "view",
  "loop",
  "date",
  "bigint",
}) do
  MT[name] = { kind = name }
end
M.None = setmetatable({}, MT.NoneType)
local None = M.None

local SCALARS = { string = "str", boolean = "bool", ["nil"] = "NoneType" }

---The name of a value's Python type.
---@param v any
---@return string
function M.type(v)
  local t = type(v)
  if t == "number" then
    return math.type(v) == "integer" and "int" or "float"
  elseif t == "table" then
    return getmetatable(v).kind
  end
  return SCALARS[t]
end
local typeof = M.type

function M.list(items)
  return setmetatable(items, MT.list)
end

function M.tuple(items)
  return setmetatable(items, MT.tuple)
end

---A value that can be gone through once.
---@param items any[]
---@return table
function M.generator(items)
  return setmetatable({ items = items, at = 0 }, MT.generator)
end

---A function of the template; call(st, args, kwargs).
---@param name string
---@param call function
---@return table
function M.func(name, call)
  return setmetatable({ name = name, call = call }, MT["function"])
end

function M.namespace()
  return setmetatable({ vars = {} }, MT.Namespace)
end

function M.loop(fields)
  return setmetatable(fields, MT.loop)
end

---What dict.items() and its like give.
function M.view(name, items)
  return setmetatable({ name = name, items = items }, MT.view)
end

---A whole number beyond 64 bits: it prints as it stands, and counts as a float.
---@param digits string with its sign
function M.bigint(digits)
  return setmetatable({ digits = digits }, MT.bigint)
end

---A date of YAML; text is what Python prints.
function M.date(text)
  return setmetatable({ text = text }, MT.date)
end

---@param message string why there is nothing
---@param lenient boolean? prints as nothing, as what an inline if without an else gives
---@return table
function M.undefined(message, lenient)
  return setmetatable({ message = message, lenient = lenient }, MT.Undefined)
end

---@param v any
---@return boolean
function M.is_undefined(v)
  return typeof(v) == "Undefined"
end

---Raises if v is undefined, else gives it back.
function M.use(v)
  if typeof(v) == "Undefined" and not v.lenient then
    raise("UndefinedError", "%s", v.message)
  end
  return v
end
local use = M.use

-- What stands for a float that is no number.
local NAN <const> = {}

-- Dicts: keys that Python finds equal (1, 1.0, True) are one key here, too.
local function norm(key)
  local t = typeof(key)
  if t == "bool" then
    return key and 1 or 0
  elseif t == "float" and key == math.floor(key) and math.tointeger(key) then
    return math.tointeger(key)
  elseif t == "tuple" then
    local parts = {}
    for i, item in ipairs(key) do
      local part = norm(item)
      parts[i] = type(part) .. ":" .. tostring(part)
    end
    return "\0(" .. table.concat(parts, "\0") .. ")"
  elseif t == "list" or t == "dict" then
    raise("TypeError", "unhashable type: '%s'", t)
  end
  key = use(key)
  return key == key and key or NAN -- which is no key of Lua's tables
end

function M.dict()
  return setmetatable({ keys = {}, values = {} }, MT.dict)
end

function M.dict_get(d, key)
  return d.values[norm(key)]
end

function M.dict_set(d, key, value)
  local k = norm(key)
  if d.values[k] == nil then
    d.keys[#d.keys + 1] = key
  end
  d.values[k] = value
end

function M.dict_remove(d, key)
  local k = norm(key)
  local value = d.values[k]
  d.values[k] = nil
  for i, other in ipairs(d.keys) do
    if value ~= nil and norm(other) == k then
      table.remove(d.keys, i)
      break
    end
  end
  return value
end

---A range; refused beyond what the sandbox allows.
function M.range(from, to, step)
  if step == 0 then
    raise("ValueError", "range() arg 3 must not be zero")
  end
  local n =
    math.max(0, step > 0 and (to - from + step - 1) // step or (from - to - step - 1) // -step)
  if n > 100000 then
    raise("OverflowError", "range too big: the sandbox allows 100000 items, this has %d", n)
  end
  return setmetatable({ from = from, to = to, step = step, n = n }, MT.range)
end

---The items of anything that iterates, as a list; a generator is used up.
---@param v any
---@return any[]
function M.items(v)
  local t = typeof(use(v))
  if t == "list" or t == "tuple" then
    return v
  elseif t == "dict" then
    return v.keys
  elseif t == "view" then
    return v.items
  elseif t == "str" then
    local chars = {}
    for _, code in utf8.codes(v) do
      chars[#chars + 1] = utf8.char(code)
    end
    return chars
  elseif t == "range" then
    local out = {}
    for i = 0, v.n - 1 do
      out[i + 1] = v.from + i * v.step
    end
    return out
  elseif t == "generator" then
    local rest = table.move(v.items, v.at + 1, #v.items, 1, {})
    v.at = #v.items
    return rest
  elseif t == "Undefined" then
    return {}
  end
  return raise("TypeError", "'%s' object is not iterable", t)
end

---@param v any
---@return integer? nil when the value has no length
function M.length(v)
  local t = typeof(use(v))
  if t == "str" then
    return utf8.len(v) or #v
  elseif t == "list" or t == "tuple" then
    return #v
  elseif t == "dict" then
    return #v.keys
  elseif t == "range" then
    return v.n
  elseif t == "view" then
    return #v.items
  elseif t == "loop" then
    return v.length
  end
  return t == "Undefined" and 0 or nil
end

---Python's bool().
---@param v any
---@return boolean
function M.truth(v)
  if v == false or v == 0 or v == "" or v == None then
    return false
  elseif type(v) == "table" then
    return (M.length(v) or 1) > 0
  end
  return true
end

---The number that a value counts as in arithmetic; booleans do, too.
---@param v any
---@return number?
function M.number(v)
  if type(v) == "boolean" then
    return v and 1 or 0
  elseif type(v) == "table" and getmetatable(v) == MT.bigint then
    return tonumber(v.digits .. ".0")
  end
  return type(v) == "number" and v or nil
end

M.MT = MT

return M
