-- Jinja's built-in filters that work on one value: text, numbers, conversions. Those that go
-- through sequences are in template_seq.
local bind = require("pai.osmo.template_args").bind
local case = require("pai.osmo.template_case")
local format = require("pai.osmo.template_format")
local pynum = require("pai.osmo.pynum")
local text = require("pai.osmo.template_text")
local value = require("pai.osmo.template_value")

local M = {}
local None, raise = value.None, value.raise

---Filters by name: { signature, fn(st, value, arguments by name) }, or { raw = fn(st, value, args,
---kwargs) }.
---@type table<string, table>
M.filters = {}

-- Known to Jinja, not here: refused by name instead of "no filter named".
M.unsupported = { urlize = true, xmlattr = true, random = true, pprint = true, wordwrap = true }

local function def(name, signature, fn)
  M.filters[name] = { signature = signature, fn = fn }
end
M.def = def

---Applies a filter.
function M.apply(st, name, v, args, kwargs)
  local filter = M.filters[name]
  if filter.raw then
    return filter.raw(st, v, args, kwargs)
  end
  return filter.fn(st, v, bind("filter '" .. name .. "'", filter.signature, args, kwargs))
end

local function str(v)
  return value.str(value.use(v))
end

local function integer(v, what)
  local n = value.number(value.use(v))
  if math.type(n) ~= "integer" then
    raise("TypeError", "%s must be an integer, not %s", what, value.type(v))
  end
  return n
end

def("upper", "", function(_, v)
  return case.upper(str(v))
end)
def("lower", "", function(_, v)
  return case.lower(str(v))
end)
def("capitalize", "", function(_, v)
  return case.capitalize(str(v))
end)
def("title", "", function(_, v)
  -- a word begins after white space, a hyphen or an opening bracket
  local s = case.lower(str(v))
  s = s:gsub("^" .. utf8.charpattern, case.upper)
  return (
    s:gsub("([-%s({%[<]+)(" .. utf8.charpattern .. ")", function(gap, c)
      return gap .. case.upper(c)
    end)
  )
end)
def("trim", "chars=None", function(_, v, a)
  return text.strip(str(v), a.chars, true, true)
end)
def("string", "", function(_, v)
  return str(v)
end)
def("safe", "", function(_, v)
  return str(v)
end)
def("escape", "", function(_, v)
  return text.escape(str(v))
end)
M.filters.e, M.filters.forceescape = M.filters.escape, M.filters.escape
def("striptags", "", function(_, v)
  local s = str(v):gsub("<!%-%-.-%-%->", ""):gsub("<[^>]*>", ""):gsub("%s+", " ")
  s = s:gsub("^ ", ""):gsub(" $", "")
  local names = { amp = "&", lt = "<", gt = ">", quot = '"', ["#39"] = "'", ["#34"] = '"' }
  return (s:gsub("&(#?%w+);", names))
end)
def("replace", "old; new; count=None", function(st, v, a)
  local count = a.count == None and -1 or integer(a.count, "count")
  return text.replace(st, str(v), str(a.old), str(a.new), count)
end)
def("center", "width=80", function(st, v, a)
  return text.justify(st, str(v), integer(a.width, "width"), " ", "center")
end)
def("wordcount", "", function(_, v)
  local _, n = str(v):gsub("[%w_\128-\255]+", "")
  return n
end)
def("indent", "width=4; first=False; blank=False", function(st, v, a)
  if value.type(v) == "list" then
    raise("AttributeError", "'list' object has no attribute 'splitlines'")
  end
  text.check(v, "the value to indent")
  local pad = type(a.width) == "string" and a.width or (" "):rep(integer(a.width, "width"))
  local lines = text.lines(v .. "\n")
  st.ops.charge(st, (#pad + 1) * #lines + #v)
  for i = 2, #lines do
    if lines[i] ~= "" or value.truth(a.blank) then
      lines[i] = pad .. lines[i]
    end
  end
  return (value.truth(a.first) and pad or "") .. table.concat(lines, "\n")
end)
local SIZED <const> = { str = true, list = true, tuple = true, dict = true, range = true }

def("truncate", "length=255; killwords=False; end='...'; leeway=None", function(_, v, a)
  local ending = str(a["end"])
  local leeway = a.leeway == None and 5 or integer(a.leeway, "leeway")
  local length = integer(a.length, "length")
  if length < utf8.len(ending) or leeway < 0 then
    raise("AssertionError", "truncate: length is less than that of the ending")
  elseif SIZED[value.type(value.use(v))] and value.length(v) <= length + leeway then
    return v
  end
  local s = text.check(v, "the value to truncate")
  local cut = s:sub(1, utf8.offset(s, length - utf8.len(ending) + 1) - 1)
  if not value.truth(a.killwords) then
    cut = cut:match("^(.*) ") or cut
  end
  return cut .. ending
end)
def("filesizeformat", "binary=False", function(_, v, a)
  local n = type(v) == "string" and pynum.float(v) or value.number(value.use(v))
  if not n then
    local kind = type(v) == "string" and "ValueError" or "TypeError"
    raise(kind, "filesizeformat: no number: %s", value.repr(v))
  end
  local base = value.truth(a.binary) and 1024 or 1000
  local units = base == 1024 and { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB" }
    or { "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB" }
  if n == 1 then
    return "1 Byte"
  elseif n < base then
    return ("%d Bytes"):format(math.tointeger(n) or n // 1 | 0)
  end
  for i, unit in ipairs(units) do
    if n < base ^ (i + 1) or i == #units then
      return ("%.1f %s"):format(n / base ^ i, unit)
    end
  end
end)

local function quote_url(s, safe)
  return (
    s:gsub("[^%w_.~" .. safe .. "-]", function(c)
      return ("%%%02X"):format(c:byte())
    end)
  )
end

def("urlencode", "", function(st, v)
  local t = value.type(v)
  if t ~= "dict" and t ~= "list" and t ~= "tuple" and t ~= "view" and t ~= "generator" then
    return quote_url(str(v), "/")
  end
  local parts = {}
  for _, pair in ipairs(t == "dict" and st.methods.pairs_of(v) or value.items(v)) do
    local items = value.items(pair)
    if #items ~= 2 then
      raise("ValueError", "urlencode takes pairs (expected 2 values, got %d)", #items)
    end
    local pair_text = quote_url(str(items[1]), "") .. "=" .. quote_url(str(items[2]), "")
    parts[#parts + 1] = pair_text:gsub("%%20", "+")
  end
  return table.concat(parts, "&")
end)

def("abs", "", function(_, v)
  local n = value.number(value.use(v))
  return n and math.abs(n) or raise("TypeError", "bad operand type for abs(): '%s'", value.type(v))
end)
def("int", "default=0; base=10", function(_, v, a)
  value.use(v)
  if type(v) == "string" then
    local n = pynum.int(v, integer(a.base, "base"))
    if n ~= nil then
      return n
    end
    v = pynum.float(v)
  end
  local n = value.number(v)
  if n == nil or n ~= n or math.abs(n) == math.huge then
    return a.default
  end
  return math.type(n) == "integer" and n
    or math.tointeger(n < 0 and math.ceil(n) or math.floor(n))
    or n
end)
def("float", "default=0.0", function(_, v, a)
  value.use(v)
  local n = value.number(v)
  if type(v) == "string" then
    n = pynum.float(v)
  end
  return n == nil and a.default or n + 0.0
end)

-- Round to an even last digit, of what the float really is.
local function round_even(n, precision)
  if precision >= 0 then
    return tonumber(("%." .. math.min(precision, 99) .. "f"):format(n)) + 0.0
  end
  local unit = 10.0 ^ -precision
  return tonumber(("%.0f"):format(n / unit)) * unit
end

def("round", "precision=0; method='common'", function(_, v, a)
  local n = value.number(value.use(v))
  local precision = integer(a.precision, "precision")
  if not n then
    raise("TypeError", "type %s doesn't define __round__ method", value.type(v))
  elseif a.method == "common" then
    if math.type(n) == "float" then
      return round_even(n, precision)
    end
    return precision >= 0 and n or math.tointeger(round_even(n + 0.0, precision))
  elseif a.method == "ceil" or a.method == "floor" then
    local unit = 10 ^ precision
    return (a.method == "ceil" and math.ceil(n * unit) or math.floor(n * unit)) / unit
  end
  return raise("FilterArgumentError", "method must be common, ceil or floor")
end)

def("default", "default_value=''; boolean=False", function(_, v, a)
  if value.is_undefined(v) or (value.truth(a.boolean) and not value.truth(v)) then
    return a.default_value
  end
  return v
end)
M.filters.d = M.filters.default

def("attr", "name", function(st, v, a)
  local found = st.methods.find(st, value.use(v), str(a.name))
  if found == nil and (value.type(v) == "Namespace" or value.type(v) == "loop") then
    return st.ops.getattr(st, v, str(a.name))
  end
  return found == nil and value.undefined(("no attribute '%s'"):format(str(a.name))) or found
end)

M.filters.format = {
  raw = function(st, v, args, kwargs)
    if #args > 0 and next(kwargs) then
      raise("FilterArgumentError", "can't handle positional and keyword arguments at the same time")
    elseif next(kwargs) then
      local map = value.dict()
      for key, item in pairs(kwargs) do
        value.dict_set(map, key, item)
      end
      return format.percent(st, str(v), map)
    end
    return format.percent(st, str(v), value.tuple(args))
  end,
}

local JSON = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f" }
JSON["\n"], JSON["\r"], JSON["\t"] = "\\n", "\\r", "\\t"

local function json_string(s)
  local out = s:gsub('[%c"\\\127]', function(c)
    return JSON[c] or (c ~= "\127" and ("\\u%04x"):format(c:byte())) or nil
  end)
  return '"'
    .. out:gsub(utf8.charpattern, function(c)
      local code = #c > 1 and utf8.codepoint(c) or c:find("[<>&']") and c:byte()
      if not code then
        return nil
      elseif code > 0xFFFF then
        code = code - 0x10000
        return ("\\u%04x\\u%04x"):format(0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF))
      end
      return ("\\u%04x"):format(code)
    end)
    .. '"'
end

local function json_key(key)
  local t = value.type(key)
  if t == "str" then
    return key
  elseif t == "bool" then
    return key and "true" or "false"
  elseif t == "NoneType" then
    return "null"
  elseif t == "int" or t == "float" then
    return pynum.str(key)
  end
  return raise("TypeError", "keys must be str, int, float, bool or None, not %s", t)
end

local function to_json(st, v, indent, level)
  local t = value.type(value.use(v))
  if level > 100 then
    raise("ValueError", "Circular reference detected")
  elseif t == "str" then
    return json_string(v)
  elseif t == "int" then
    return tostring(v)
  elseif t == "float" then
    local special = { inf = "Infinity", ["-inf"] = "-Infinity", nan = "NaN" }
    return special[pynum.repr(v)] or pynum.repr(v)
  elseif t == "bool" or t == "NoneType" then
    return json_key(v)
  elseif t ~= "list" and t ~= "tuple" and t ~= "dict" then
    raise("TypeError", "Object of type %s is not JSON serializable", t)
  end
  local parts = {}
  if t == "dict" then
    for i, key in ipairs(st.sorted(v.keys)) do
      local item = to_json(st, value.dict_get(v, key), indent, level + 1)
      parts[i] = json_string(json_key(key)) .. ": " .. item
    end
  else
    for i, item in ipairs(v) do
      parts[i] = to_json(st, item, indent, level + 1)
    end
  end
  local open, close = t == "dict" and "{" or "[", t == "dict" and "}" or "]"
  if not indent or #parts == 0 then
    return open .. table.concat(parts, ", ") .. close
  end
  local gap = "\n" .. indent:rep(level + 1)
  return open .. gap .. table.concat(parts, "," .. gap) .. "\n" .. indent:rep(level) .. close
end

def("tojson", "indent=None", function(st, v, a)
  local indent = a.indent ~= None
    and (type(a.indent) == "string" and a.indent or (" "):rep(a.indent))
  local result = to_json(st, v, indent, 0)
  st.ops.charge(st, #result)
  return result
end)

return M
