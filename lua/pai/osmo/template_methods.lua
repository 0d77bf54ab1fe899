-- Methods of Python's text, list and dict that templates call: `name.upper()`, `d.items()`.
local args_of = require("pai.osmo.template_args")
local case = require("pai.osmo.template_case")
local text = require("pai.osmo.template_text")
local format = require("pai.osmo.template_format")
local value = require("pai.osmo.template_value")

local M = {}
local None, raise = value.None, value.raise
local bind = args_of.bind

local function integer(v)
  local n = value.number(value.use(v))
  if math.type(n) ~= "integer" then
    raise("TypeError", "'%s' object cannot be interpreted as an integer", value.type(v))
  end
  return n
end

local STR, LIST, DICT, TUPLE, NUMBER = {}, {}, {}, {}, {}

-- def(methods, name, signature, fn): fn(st, self, arguments by name)
local function def(methods, name, signature, fn)
  methods[name] = { signature = signature, fn = fn }
end

for name, fn in pairs({
  upper = case.upper,
  lower = case.lower,
  casefold = function(s)
    return case.lower((s:gsub("ß", "ss")))
  end,
  capitalize = case.capitalize,
  title = case.title,
  swapcase = case.swapcase,
  isdigit = function(s)
    return s:find("^%d+$") ~= nil
  end,
  isalpha = function(s)
    return s:find("^[%a\128-\255]+$") ~= nil
  end,
  isalnum = function(s)
    return s:find("^[%w\128-\255]+$") ~= nil
  end,
  isspace = function(s)
    return s:find("^%s+$") ~= nil
  end,
  islower = case.is_lower,
  isupper = case.is_upper,
  istitle = function(s)
    return case.swapcase(s) ~= s and case.title(s) == s
  end,
  isidentifier = function(s)
    return s:find("^[%a_\128-\255][%w_\128-\255]*$") ~= nil
  end,
  isascii = function(s)
    return not s:find("[\128-\255]")
  end,
}) do
  def(STR, name, "", function(_, s)
    return (fn(s))
  end)
end
STR.isnumeric, STR.isdecimal = STR.isdigit, STR.isdigit

for name, sides in pairs({
  strip = { true, true },
  lstrip = { true, false },
  rstrip = { false, true },
}) do
  def(STR, name, "chars=None", function(_, s, a)
    return text.strip(s, a.chars, sides[1], sides[2])
  end)
end
for name, split in pairs({ split = text.split, rsplit = text.rsplit }) do
  def(STR, name, "sep=None; maxsplit=-1", function(_, s, a)
    return value.list(split(s, a.sep, integer(a.maxsplit)))
  end)
end
def(STR, "splitlines", "keepends=False", function(_, s, a)
  return value.list(text.lines(s, value.truth(a.keepends)))
end)
def(STR, "join", "iterable", function(st, s, a)
  local items = value.items(a.iterable)
  local bytes = #s * #items
  for i, item in ipairs(items) do
    if type(value.use(item)) ~= "string" then
      raise(
        "TypeError",
        "sequence item %d: expected str instance, %s found",
        i - 1,
        value.type(item)
      )
    end
    bytes = bytes + #item
  end
  st.ops.charge(st, bytes)
  return table.concat(items, s)
end)
def(STR, "replace", "old; new; count=-1", function(st, s, a)
  return text.replace(st, s, text.check(a.old), text.check(a.new), integer(a.count))
end)
def(STR, "removeprefix", "prefix", function(_, s, a)
  return s:sub(1, #text.check(a.prefix)) == a.prefix and s:sub(#a.prefix + 1) or s
end)
def(STR, "removesuffix", "suffix", function(_, s, a)
  local n = #text.check(a.suffix)
  return n > 0 and s:sub(-n) == a.suffix and s:sub(1, -n - 1) or s
end)

-- start and end of find, count and the like: the part of s, and the characters before it.
local function part(s, a)
  if a.start == None and a["end"] == None then
    return s, 0
  end
  local n = utf8.len(s) or #s
  local from = a.start == None and 0 or integer(a.start)
  local to = a["end"] == None and n or integer(a["end"])
  from = math.max(0, from < 0 and from + n or from)
  to = math.min(n, to < 0 and to + n or to)
  if from > to then
    return nil, 0
  end
  return s:sub(utf8.offset(s, from + 1), utf8.offset(s, to + 1) - 1), from
end

local function find(s, a, last)
  local piece, before = part(s, a)
  local sub = text.check(a.sub)
  local at = piece and piece:find(sub, 1, true)
  while last and at do
    local again = piece:find(sub, at + 1, true)
    if not again then
      break
    end
    at = again
  end
  return at and before + utf8.len(piece, 1, at - 1) or -1
end

for name, last in pairs({ find = false, rfind = true, index = false, rindex = true }) do
  def(STR, name, "sub; start=None; end=None", function(_, s, a)
    local at = find(s, a, last)
    if at < 0 and name:find("index", 1, true) then
      raise("ValueError", "substring not found")
    end
    return at
  end)
end
def(STR, "count", "sub; start=None; end=None", function(_, s, a)
  local piece = part(s, a)
  local sub = text.check(a.sub)
  if sub == "" then
    return piece and utf8.len(piece) + 1 or 0
  end
  return piece and #text.split(piece, sub, -1) - 1 or 0
end)

local function affix(s, a, matches)
  local piece = part(s, a)
  local options = value.type(a.affix) == "tuple" and a.affix or { a.affix }
  for _, option in ipairs(options) do
    if piece and matches(piece, text.check(option)) then
      return true
    end
  end
  return false
end
def(STR, "startswith", "affix; start=None; end=None", function(_, s, a)
  return affix(s, a, function(piece, option)
    return piece:sub(1, #option) == option
  end)
end)
def(STR, "endswith", "affix; start=None; end=None", function(_, s, a)
  return affix(s, a, function(piece, option)
    return option == "" or piece:sub(-#option) == option
  end)
end)
for name, where in pairs({ ljust = "left", rjust = "right", center = "center" }) do
  def(STR, name, "width; fillchar=' '", function(st, s, a)
    if utf8.len(text.check(a.fillchar)) ~= 1 then
      raise("TypeError", "The fill character must be exactly one character long")
    end
    return text.justify(st, s, integer(a.width), a.fillchar, where)
  end)
end
def(STR, "zfill", "width", function(st, s, a)
  local sign, digits = s:match("^([+-]?)(.*)$")
  return sign .. text.justify(st, digits, integer(a.width) - #sign, "0", "right")
end)
for name, last in pairs({ partition = false, rpartition = true }) do
  def(STR, name, "sep", function(_, s, a)
    local parts = (last and text.rsplit or text.split)(s, text.check(a.sep), 1)
    if #parts == 1 then
      return value.tuple(last and { "", "", s } or { s, "", "" })
    end
    return value.tuple({ parts[1], a.sep, parts[2] })
  end)
end
def(STR, "expandtabs", "tabsize=8", function(st, s, a)
  local size = math.max(0, integer(a.tabsize))
  st.ops.charge(st, #s * math.max(1, size))
  local out, column = {}, 0
  for _, c in ipairs(value.items(s)) do
    local gap = c == "\t" and size > 0 and size - column % size or 0
    out[#out + 1] = c == "\t" and (" "):rep(gap) or c
    column = (c == "\n" or c == "\r") and 0 or column + (c == "\t" and gap or 1)
  end
  return table.concat(out)
end)

def(LIST, "append", "item", function(_, list, a)
  list[#list + 1] = a.item
  return None
end)
def(LIST, "extend", "items", function(st, list, a)
  local items = value.items(a.items)
  st.ops.charge(st, #items * 16)
  table.move(items, 1, #items, #list + 1, list)
  return None
end)
def(LIST, "insert", "index; item", function(_, list, a)
  local i = integer(a.index)
  i = math.max(0, math.min(#list, i < 0 and i + #list or i))
  table.insert(list, i + 1, a.item)
  return None
end)
def(LIST, "pop", "index=-1", function(_, list, a)
  local i = integer(a.index)
  i = i < 0 and i + #list or i
  if i < 0 or i >= #list then
    raise("IndexError", #list == 0 and "pop from empty list" or "pop index out of range")
  end
  return table.remove(list, i + 1)
end)
def(LIST, "clear", "", function(_, list)
  for i = #list, 1, -1 do
    list[i] = nil
  end
  return None
end)
def(LIST, "copy", "", function(_, list)
  return value.list(table.move(list, 1, #list, 1, {}))
end)
def(LIST, "reverse", "", function(_, list)
  for i = 1, #list // 2 do
    list[i], list[#list + 1 - i] = list[#list + 1 - i], list[i]
  end
  return None
end)
def(LIST, "sort", "key=None; reverse=False", function(st, list, a)
  local sorted = st.sorted(list, value.truth(a.reverse))
  table.move(sorted, 1, #sorted, 1, list)
  return None
end)

local function position(list, item)
  for i, other in ipairs(list) do
    if value.equal(other, item) then
      return i
    end
  end
  return raise("ValueError", "%s is not in list", value.repr(item))
end

def(LIST, "remove", "item", function(_, list, a)
  table.remove(list, position(list, a.item))
  return None
end)
for _, methods in ipairs({ LIST, TUPLE }) do
  def(methods, "index", "item", function(_, list, a)
    return position(list, a.item) - 1
  end)
  def(methods, "count", "item", function(_, list, a)
    local n = 0
    for _, other in ipairs(list) do
      n = n + (value.equal(other, a.item) and 1 or 0)
    end
    return n
  end)
end

local function pairs_of(d)
  local out = {}
  for i, key in ipairs(d.keys) do
    out[i] = value.tuple({ key, value.dict_get(d, key) })
  end
  return out
end
M.pairs_of = pairs_of

def(DICT, "items", "", function(_, d)
  return value.view("dict_items", pairs_of(d))
end)
def(DICT, "keys", "", function(_, d)
  return value.view("dict_keys", table.move(d.keys, 1, #d.keys, 1, {}))
end)
def(DICT, "values", "", function(_, d)
  local out = {}
  for i, key in ipairs(d.keys) do
    out[i] = value.dict_get(d, key)
  end
  return value.view("dict_values", out)
end)
def(DICT, "get", "key; default=None", function(_, d, a)
  local found = value.dict_get(d, a.key)
  return found == nil and a.default or found
end)
def(DICT, "setdefault", "key; default=None", function(_, d, a)
  if value.dict_get(d, a.key) == nil then
    value.dict_set(d, a.key, a.default)
  end
  return value.dict_get(d, a.key)
end)
def(DICT, "pop", "key; default=?", function(_, d, a)
  local found = value.dict_remove(d, a.key)
  if found == nil and a.default == nil then
    raise("KeyError", "%s", value.repr(a.key))
  end
  return found == nil and a.default or found
end)
def(DICT, "copy", "", function(_, d)
  local copy = value.dict()
  for _, key in ipairs(d.keys) do
    value.dict_set(copy, key, value.dict_get(d, key))
  end
  return copy
end)
def(DICT, "clear", "", function(_, d)
  d.keys, d.values = {}, {}
  return None
end)

def(NUMBER, "is_integer", "", function(_, n)
  return n == math.floor(n)
end)
def(NUMBER, "bit_length", "", function(_, n)
  local bits, rest = 0, math.abs(math.tointeger(n) or 0)
  while rest > 0 do
    bits, rest = bits + 1, rest >> 1
  end
  return bits
end)

local BY_TYPE = { str = STR, list = LIST, dict = DICT, tuple = TUPLE, int = NUMBER, float = NUMBER }

-- These take any arguments, so no signature fits them.
local function special(st, v, name)
  if type(v) == "string" and name == "format" then
    return value.func("method format", function(_, args, kwargs)
      return format.braces(st, v, args, kwargs)
    end)
  elseif value.type(v) == "dict" and name == "update" then
    return value.func("method update", function(_, args, kwargs)
      local other = args[1] == nil and {} or value.type(args[1]) == "dict" and pairs_of(args[1])
      for _, pair in ipairs(other or value.items(args[1])) do
        local items = value.items(pair)
        value.dict_set(v, items[1], items[2])
      end
      for _, key in ipairs(args_of.names(kwargs)) do
        value.dict_set(v, key, kwargs[key])
      end
      return None
    end)
  end
  return nil
end

---The method of a value, or nil.
---@param st table
---@param v any
---@param name string
---@return table?
function M.find(st, v, name)
  local methods = BY_TYPE[value.type(v)]
  local method = methods and methods[name]
  if not method then
    return special(st, v, name)
  end
  return value.func("method " .. name, function(state, args, kwargs)
    return method.fn(state, v, bind(name .. "()", method.signature, args, kwargs))
  end)
end

return M
