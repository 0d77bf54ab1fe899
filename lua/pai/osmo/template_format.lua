-- Python's two ways to format text in templates: "%" with its conversions, and str.format.
local pynum = require("pai.osmo.pynum")
local value = require("pai.osmo.template_value")

local M = {}
local raise, typeof = value.raise, value.type

-- Widths and precisions beyond this are an attack, no layout.
local MAX_WIDTH = 100000

local function pad(text, width, align, fill)
  local missing = (width or 0) - (utf8.len(text) or #text)
  if missing <= 0 then
    return text
  end
  fill = fill or " "
  if align == "<" then
    return text .. fill:rep(missing)
  elseif align == "^" then
    return fill:rep(missing // 2) .. text .. fill:rep(missing - missing // 2)
  end
  return fill:rep(missing) .. text
end

-- Zeros go between the sign and the digits.
local function pad_number(sign, digits, width, align, fill)
  if align == "=" then
    return sign .. pad(digits, (width or 0) - #sign, ">", fill)
  end
  return pad(sign .. digits, width, align, fill)
end

local function grouped(digits, mark)
  local whole, rest = digits:match("^(%d+)(.*)$")
  if not whole then
    return digits
  end
  whole = whole:reverse():gsub("(%d%d%d)", "%1" .. mark):reverse()
  return (whole:sub(1, 1) == mark and whole:sub(2) or whole) .. rest
end

local function in_base(n, kind)
  if kind == "x" or kind == "X" or kind == "o" then
    return ("%" .. kind):format(n)
  end
  local digits = {}
  repeat
    table.insert(digits, 1, n & 1)
    n = n >> 1
  until n == 0
  return table.concat(digits)
end

-- sign and digits of a float in style e, f, g, n or %.
local function float_digits(x, kind, precision)
  if x ~= x or x == math.huge or x == -math.huge then
    local text = pynum.repr(math.abs(x))
    return x < 0 and "-" or "", kind:find("%u") and text:upper() or text
  end
  local lower = kind:lower()
  local scaled = lower == "%" and x * 100 or x
  local style = (lower == "%" and "f") or (lower == "n" and "g") or kind
  precision = math.min(precision or 6, 99)
  local text = ("%." .. precision .. style):format(math.abs(scaled))
  local negative = x < 0 or (x == 0 and 1 / x < 0)
  return negative and "-" or "", text .. (lower == "%" and "%" or "")
end

local function to_int(v, code)
  local n = value.number(v)
  if not n then
    local message = "%%%s format: a real number is required, not %s"
    raise("TypeError", message, code, typeof(v))
  end
  local whole = math.type(n) == "integer" and n
    or math.tointeger(n < 0 and math.ceil(n) or math.floor(n))
  return whole or raise("OverflowError", "cannot convert float to integer")
end

local function percent_one(v, flags, width, precision, code)
  if code == "s" or code == "r" or code == "a" then
    local text = code == "s" and value.str(value.use(v)) or value.repr(v)
    if precision then
      text = text:sub(1, (utf8.offset(text, precision + 1) or #text + 1) - 1)
    end
    return pad(text, width, flags:find("-", 1, true) and "<" or ">")
  elseif code == "c" then
    local char = type(v) == "string" and v or utf8.char(to_int(v, "c"))
    return pad(char, width, flags:find("-", 1, true) and "<" or ">")
  end
  local sign, digits
  if code == "d" or code == "i" or code == "u" or code == "x" or code == "X" or code == "o" then
    if code:find("[xXo]") and math.type(value.number(v)) == "float" then
      raise("TypeError", "%%%s format: an integer is required, not float", code)
    end
    local n = to_int(v, code)
    sign = n < 0 and "-" or ""
    digits = code:find("[xXo]") and in_base(math.abs(n), code) or tostring(n):gsub("^-", "")
    if precision then
      digits = pad(digits, precision, ">", "0")
    end
    if flags:find("#", 1, true) and code ~= "d" then
      digits = "0" .. code .. digits
    end
  else
    local n = value.number(value.use(v))
    if not n then
      raise("TypeError", "must be real number, not %s", typeof(v))
    end
    sign, digits = float_digits(n + 0.0, code, precision)
  end
  if sign == "" then
    sign = flags:find("+", 1, true) and "+" or flags:find(" ", 1, true) and " " or ""
  end
  if flags:find("-", 1, true) then
    return pad(sign .. digits, width, "<")
  end
  return pad_number(
    sign,
    digits,
    width,
    flags:find("0", 1, true) and "=" or ">",
    flags:find("0", 1, true) and "0" or " "
  )
end

local function limited(text)
  local n = tonumber(text)
  if n and n > MAX_WIDTH then
    raise("MemoryError", "a width of %s is too much", text)
  end
  return n and math.tointeger(n)
end

---text % arg
---@param st table
---@param text string
---@param arg any
---@return string
function M.percent(st, text, arg)
  local t = typeof(arg)
  local args, at, parts, pos, used_map = t == "tuple" and arg or { arg }, 0, {}, 1, false
  local function take()
    at = at + 1
    if at > #args then
      raise("TypeError", "not enough arguments for format string")
    end
    return args[at]
  end
  while true do
    local from = text:find("%", pos, true)
    parts[#parts + 1] = text:sub(pos, from and from - 1)
    if not from then
      break
    end
    local key, rest = text:match("^%((.-)%)()", from + 1)
    local flags, width, precision, code, after =
      text:match("^([-#0 +]*)([%d*]*)(%.?[%d*]*)[hlL]?(.?)()", rest or from + 1)
    if code == "" then
      raise("ValueError", "incomplete format")
    elseif code == "%" then
      parts[#parts + 1] = "%"
    else
      if not code:find("[diouxXeEfFgGcrsa]") then
        raise("ValueError", "unsupported format character '%s'", code)
      end
      local star = width == "*" and take()
      if star and star < 0 then
        flags, star = flags .. "-", -star
      end
      width = limited(star or width)
      precision = precision ~= "" and limited(precision == ".*" and take() or precision:sub(2))
        or nil
      local v
      if key then
        if t ~= "dict" then
          raise("TypeError", "format requires a mapping")
        end
        used_map = true
        v = value.dict_get(arg, key)
        if v == nil then
          raise("KeyError", "%s", value.repr(key))
        end
      else
        v = take()
      end
      parts[#parts + 1] = percent_one(v, flags, width, precision, code)
    end
    pos = after
  end
  -- Python takes whatever has elements for a mapping here
  local mapping = used_map or t == "dict" or t == "list" or t == "range" or t == "Undefined"
  if at < #args and not mapping then
    raise("TypeError", "not all arguments converted during string formatting")
  end
  local result = table.concat(parts)
  st.bytes = st.bytes + #result
  return result
end

local function bad_code(kind, v)
  raise("ValueError", "Unknown format code '%s' for object of type '%s'", kind, typeof(v))
end

---format(v, spec)
---@param v any
---@param spec string
---@return string
function M.value(v, spec)
  value.use(v)
  if spec == "" then
    return value.str(v)
  end
  local fill, align, rest = spec:match("^([%z\1-\127\194-\253][\128-\191]*)([<>=^])(.*)$")
  if not fill then
    align, rest = spec:match("^([<>=^]?)(.*)$")
  end
  local sign, alt, zero, width, mark, precision, kind =
    rest:match("^([-+ ]?)(#?)(0?)(%d*)([,_]?)(%.?%d*)([%a%%]?)$")
  local t = typeof(v)
  if not sign or (t ~= "str" and t ~= "int" and t ~= "float" and t ~= "bool") then
    raise("ValueError", "Invalid format specifier '%s' for object of type '%s'", spec, t)
  end
  width = limited(width)
  precision = precision ~= "" and limited(precision:sub(2)) or nil
  if t == "str" then
    if kind ~= "" and kind ~= "s" then
      bad_code(kind, v)
    elseif sign ~= "" or align == "=" then
      raise("ValueError", "Sign not allowed in string format specifier")
    end
    if precision then
      v = v:sub(1, (utf8.offset(v, precision + 1) or #v + 1) - 1)
    end
    return pad(v, width, align ~= "" and align or "<", fill or (zero ~= "" and "0" or nil))
  end
  local n = value.number(v)
  local minus, digits
  if math.type(n) == "integer" and (kind == "" or kind:find("[dxXobn]")) then
    minus = n < 0 and "-" or ""
    digits = kind:find("[xXob]") and in_base(math.abs(n), kind) or tostring(math.abs(n))
    digits = alt ~= "" and kind:find("[xXob]") and "0" .. kind .. digits or digits
  elseif math.type(n) == "integer" and kind == "c" then
    minus, digits = "", utf8.char(n)
  elseif kind == "" and not precision then
    minus, digits = n < 0 and "-" or "", pynum.repr(math.abs(n + 0.0))
  elseif kind == "" or kind:find("[eEfFgGn%%]") then
    minus, digits = float_digits(n + 0.0, kind == "" and "g" or kind, precision)
  else
    bad_code(kind, v)
  end
  if mark ~= "" then
    digits = grouped(digits, mark)
  end
  if minus == "" and sign ~= "-" then
    minus = sign
  end
  if align == "" then
    align, fill = zero ~= "" and "=" or ">", fill or (zero ~= "" and "0" or " ")
  end
  return pad_number(minus, digits, width, align, fill)
end

---text.format(...)
---@param st table
---@param text string
---@param args any[]
---@param kwargs table<string, any>
---@return string
function M.braces(st, text, args, kwargs)
  local parts, pos, auto = {}, 1, 0
  while true do
    local from = text:find("[{}]", pos)
    parts[#parts + 1] = text:sub(pos, from and from - 1)
    if not from then
      break
    end
    local double = text:sub(from, from + 1)
    if double == "{{" or double == "}}" then
      parts[#parts + 1] = double:sub(1, 1)
      pos = from + 2
    else
      local name, path, conversion, spec, after =
        text:match("^{([%w_]*)([^{}!:]*)(!?[rsa]?):?([^{}]*)}()", from)
      if not name then
        raise("ValueError", "expected '}' before end of string or a name in braces")
      end
      local v
      if name == "" or name:find("^%d+$") then
        local index = name == "" and auto or math.tointeger(tonumber(name))
        auto = name == "" and auto + 1 or auto
        v = args[index + 1]
        if v == nil then
          raise("IndexError", "Replacement index %d out of range for positional args tuple", index)
        end
      else
        v = kwargs[name]
        if v == nil then
          raise("KeyError", "'%s'", name)
        end
      end
      for kind, key in path:gmatch("([.%[])([^.%[%]]+)") do
        local index = kind == "[" and math.tointeger(tonumber(key)) or key
        v = kind == "." and st.ops.getattr(st, v, key) or st.ops.getitem(st, v, index)
      end
      if conversion == "!r" or conversion == "!a" then
        v = value.repr(v)
      elseif conversion == "!s" then
        v = value.str(v)
      end
      parts[#parts + 1] = M.value(v, spec)
      pos = after
    end
  end
  local result = table.concat(parts)
  st.ops.charge(st, #result)
  return result
end

return M
