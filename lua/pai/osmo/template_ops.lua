-- Operators, subscripts and slices of the template engine, with Python's rules and errors. What
-- grows by repetition is measured before it is built.
local format = require("pai.osmo.template_format")
local value = require("pai.osmo.template_value")

local M = {}
local raise, typeof, use, number = value.raise, value.type, value.use, value.number

-- One text or list may not grow beyond this; a render in all not beyond four times as much.
M.MAX_SIZE = 32 * 1024 * 1024

---Refuses what would take too much memory, and counts it towards the whole.
---@param st table state of the render
---@param bytes number
function M.charge(st, bytes)
  st.bytes = st.bytes + bytes
  if bytes > M.MAX_SIZE or st.bytes > 4 * M.MAX_SIZE then
    raise("MemoryError", "the template needs more memory than it may use")
  end
end

local function mismatch(op, a, b)
  local message = "unsupported operand type(s) for %s: '%s' and '%s'"
  raise("TypeError", message, op, typeof(use(a)), typeof(use(b)))
end

local function checked(result, exact)
  if math.type(result) == "integer" and math.abs(exact) >= 0x1p63 then
    raise("OverflowError", "whole numbers beyond 64 bits are not supported")
  end
  return result
end

local function finite(result, x, y)
  if math.abs(result) == math.huge and math.abs(x) ~= math.huge and math.abs(y) ~= math.huge then
    raise("OverflowError", "(34, 'Numerical result out of range')")
  end
  return result
end

local function concat_lists(a, b, make)
  local out = table.move(a, 1, #a, 1, {})
  return make(table.move(b, 1, #b, #a + 1, out))
end

local function add(st, a, b)
  local t = typeof(a)
  if t == typeof(b) and (t == "str" or t == "list" or t == "tuple") then
    M.charge(st, (#a + #b) * (t == "str" and 1 or 16))
    if t == "str" then
      return a .. b
    end
    return concat_lists(a, b, t == "list" and value.list or value.tuple)
  elseif t == "str" then
    raise("TypeError", 'can only concatenate str (not "%s") to str', typeof(use(b)))
  end
  return mismatch("+", a, b)
end

local function repeated(st, a, n)
  n = math.max(0, n)
  local t = typeof(a)
  M.charge(st, #a * n * (t == "str" and 1 or 16))
  if t == "str" then
    return a:rep(n)
  end
  local out = {}
  for i = 0, n - 1 do
    table.move(a, 1, #a, i * #a + 1, out)
  end
  return t == "list" and value.list(out) or value.tuple(out)
end

local SEQUENCE = { str = true, list = true, tuple = true }

local function multiply(st, a, b)
  local x, y = number(a), number(b)
  if SEQUENCE[typeof(a)] and math.type(y) == "integer" then
    return repeated(st, a, y)
  elseif SEQUENCE[typeof(b)] and math.type(x) == "integer" then
    return repeated(st, b, x)
  end
  return mismatch("*", a, b)
end

local function power(x, y)
  if x == 0 and y < 0 then
    raise("ZeroDivisionError", "0.0 cannot be raised to a negative power")
  elseif x < 0 and y ~= math.floor(y) then
    raise("TypeError", "complex numbers are not supported")
  elseif math.type(x) == "float" or math.type(y) == "float" or y < 0 then
    return finite(x ^ y, x, y)
  end
  local result, base, exponent = 1, x, y
  checked(0, x ^ y)
  while exponent > 0 do
    if exponent & 1 == 1 then
      result = result * base
    end
    base, exponent = base * base, exponent >> 1
  end
  return result
end

local ZERO = { ["/"] = "division by zero", ["//"] = "integer division or modulo by zero" }
ZERO["%"] = ZERO["//"]

local ARITHMETIC = {
  ["+"] = function(x, y)
    return checked(x + y, x + 0.0 + y)
  end,
  ["-"] = function(x, y)
    return checked(x - y, x + 0.0 - y)
  end,
  ["*"] = function(x, y)
    return checked(x * y, (x + 0.0) * y)
  end,
  ["/"] = function(x, y)
    return x / y
  end,
  ["//"] = function(x, y)
    return x // y
  end,
  ["%"] = function(x, y)
    return x % y
  end,
  ["**"] = power,
}

---A binary operator.
---@param st table
---@param op string
---@param a any
---@param b any
---@return any
function M.binary(st, op, a, b)
  if op == "%" and type(a) == "string" then
    return format.percent(st, a, b)
  end
  local x, y = number(a), number(b)
  if x and y then
    if y == 0 and ZERO[op] then
      raise("ZeroDivisionError", ZERO[op])
    end
    return ARITHMETIC[op](x, y)
  elseif op == "+" then
    return add(st, use(a), use(b))
  elseif op == "*" then
    return multiply(st, use(a), use(b))
  end
  return mismatch(op == "**" and "** or pow()" or op, a, b)
end

function M.unary(op, v)
  local x = number(use(v))
  if not x then
    raise("TypeError", "bad operand type for unary %s: '%s'", op, typeof(v))
  end
  return op == "-" and -x or x
end

---@param op string
---@param a any
---@param b any
---@return boolean
function M.compare(op, a, b)
  if op == "==" then
    return value.equal(a, b)
  elseif op == "!=" then
    return not value.equal(a, b)
  elseif op == "<" then
    return value.less(a, b, "<")
  elseif op == ">" then
    return value.less(b, a, ">")
  elseif op == "in" then
    return value.contains(b, use(a))
  elseif op == "not in" then
    return not value.contains(b, use(a))
  end
  -- <= and >= as < or ==, so that nan stays unequal to everything
  local low, high = a, b
  if op == ">=" then
    low, high = b, a
  end
  return value.less(low, high, op) or value.equal(a, b)
end

local function bound(v, n, step, default)
  if v == nil or v == value.None then
    return default
  end
  local i = number(use(v))
  if math.type(i) ~= "integer" then
    raise("TypeError", "slice indices must be integers or None or have an __index__ method")
  end
  i = i < 0 and i + n or i
  if step > 0 then
    return math.max(0, math.min(n, i))
  end
  return math.max(-1, math.min(n - 1, i))
end

---v[from:to:step]
function M.slice(v, from, to, step)
  local t = typeof(use(v))
  if t ~= "str" and t ~= "list" and t ~= "tuple" and t ~= "range" then
    raise("TypeError", "'%s' object is not subscriptable", t)
  end
  local items = value.items(v)
  local n = #items
  local by = (step == nil or step == value.None) and 1 or number(use(step))
  if math.type(by) ~= "integer" then
    raise("TypeError", "slice indices must be integers or None or have an __index__ method")
  elseif by == 0 then
    raise("ValueError", "slice step cannot be zero")
  end
  local first = bound(from, n, by, by > 0 and 0 or n - 1)
  local last = bound(to, n, by, by > 0 and n or -1)
  local out = {}
  for i = first, by > 0 and last - 1 or last + 1, by do
    out[#out + 1] = items[i + 1]
  end
  if t == "str" then
    return table.concat(out)
  end
  return t == "tuple" and value.tuple(out) or value.list(out)
end

local function missing(v, key)
  local what = type(key) == "string" and "attribute '" .. key .. "'"
    or "element " .. value.repr(key)
  return value.undefined(("'%s object' has no %s"):format(typeof(v), what))
end

local function element(v, index)
  local t = typeof(v)
  if t == "dict" then
    return value.dict_get(v, index)
  elseif t == "list" or t == "tuple" or t == "range" or t == "str" then
    local i = number(index)
    if math.type(i) ~= "integer" then
      return nil
    end
    local n = value.length(v)
    i = i < 0 and i + n or i
    if i < 0 or i >= n then
      return nil
    elseif t == "range" then
      return v.from + i * v.step
    end
    return value.items(v)[i + 1]
  end
  return nil
end

-- What numbers have besides methods.
local NUMBER <const> = {
  int = {
    real = function(v)
      return v
    end,
    imag = function()
      return 0
    end,
    denominator = function()
      return 1
    end,
  },
  float = {
    real = function(v)
      return v
    end,
    imag = function()
      return 0.0
    end,
  },
}
NUMBER.int.numerator = NUMBER.int.real

local function attribute(st, v, name)
  local t = typeof(v)
  if t == "Undefined" then
    raise("UndefinedError", "%s", v.message)
  elseif t == "Namespace" then
    return v.vars[name]
  elseif t == "loop" then
    return v.get(name)
  elseif t == "function" and v.fields then -- a macro
    return v.fields[name]
  elseif t == "bool" or NUMBER[t] then
    local get = (NUMBER[t] or NUMBER.int)[name]
    if get then
      return get(value.number(v))
    end
  elseif t == "tuple" and v.fields and v.fields[name] ~= nil then -- a group of groupby
    return v.fields[name]
  end
  return st.methods.find(st, v, name)
end

---v.name: a method or field first, then an element of that name.
---@param st table
---@param v any
---@param name string
---@return any
function M.getattr(st, v, name)
  local found = attribute(st, use(v), name)
  if found == nil and typeof(v) == "dict" then
    found = value.dict_get(v, name)
  end
  return found == nil and missing(v, name) or found
end

---v[index]: an element first, then a method or field of that name.
---@param st table
---@param v any
---@param index any
---@return any
function M.getitem(st, v, index)
  use(v)
  local found = element(v, use(index))
  if found == nil and type(index) == "string" then
    found = attribute(st, v, index)
  end
  return found == nil and missing(v, index) or found
end

return M
