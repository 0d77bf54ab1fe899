-- Python's values for the template engine: the types, and how values print and compare.
local M = require("pai.osmo.template_types")
local pynum = require("pai.osmo.pynum")

local MT = M.MT
local number, raise, typeof, use = M.number, M.raise, M.type, M.use

local QUOTED = { ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function repr_string(s)
  local quote = s:find("'", 1, true) and not s:find('"', 1, true) and '"' or "'"
  local text = s:gsub("[%c\\]", function(c)
    return QUOTED[c] or ("\\x%02x"):format(c:byte())
  end)
  -- U+0080 to U+00A0 and the soft hyphen have no glyph
  text = text:gsub("\xC2([\x80-\xA0\xAD])", function(c)
    return ("\\x%02x"):format(c:byte())
  end)
  return quote .. (quote == "'" and text:gsub("'", "\\'") or text) .. quote
end

local repr

local function repr_all(items, depth)
  local parts = {}
  for i, item in ipairs(items) do
    parts[i] = repr(item, depth)
  end
  return table.concat(parts, ", ")
end

repr = function(v, depth)
  depth = (depth or 0) + 1
  if depth > 100 then
    raise("RecursionError", "maximum recursion depth exceeded while printing")
  end
  local t = typeof(v)
  if t == "str" then
    return repr_string(v)
  elseif t == "int" or t == "float" then
    return pynum.str(v)
  elseif t == "bool" then
    return v and "True" or "False"
  elseif t == "NoneType" then
    return "None"
  elseif t == "list" then
    return "[" .. repr_all(v, depth) .. "]"
  elseif t == "tuple" then
    return "(" .. repr_all(v, depth) .. (#v == 1 and ",)" or ")")
  elseif t == "dict" then
    local parts = {}
    for i, key in ipairs(v.keys) do
      parts[i] = repr(key, depth) .. ": " .. repr(M.dict_get(v, key), depth)
    end
    return "{" .. table.concat(parts, ", ") .. "}"
  elseif t == "range" then
    local step = v.step ~= 1 and ", " .. v.step or ""
    return ("range(%d, %d%s)"):format(v.from, v.to, step)
  elseif t == "view" then
    return v.name .. "([" .. repr_all(v.items, depth) .. "])"
  elseif t == "date" then
    return v.repr or v.text
  elseif t == "Undefined" then
    return "Undefined"
  elseif t == "bigint" then
    return v.digits
  end
  if v.shown then
    return v.shown()
  end
  -- Python prints an address here; a fixed text keeps two renderings alike
  return ("<%s object%s>"):format(t, v.name and " " .. v.name or "")
end
M.repr = repr

---Python's str().
---@param v any
---@return string
function M.str(v)
  if type(v) == "string" then
    return v
  elseif type(v) == "table" and getmetatable(v) == MT.date then
    return v.text
  end
  return typeof(use(v)) == "Undefined" and "" or repr(v)
end

---Python's ==.
function M.equal(a, b)
  use(a)
  use(b)
  local x, y = number(a), number(b)
  if x and y then
    return x == y
  end
  local t = typeof(a)
  if rawequal(a, b) then
    return true
  elseif t ~= typeof(b) or type(a) ~= "table" then
    return false
  elseif t == "list" or t == "tuple" then
    if #a ~= #b then
      return false
    end
    for i, item in ipairs(a) do
      if not M.equal(item, b[i]) then
        return false
      end
    end
    return true
  elseif t == "dict" then
    if #a.keys ~= #b.keys then
      return false
    end
    for k, value in pairs(a.values) do
      if b.values[k] == nil or not M.equal(value, b.values[k]) then
        return false
      end
    end
    return true
  elseif t == "range" then
    return M.equal(M.list(M.items(a)), M.list(M.items(b)))
  elseif t == "date" then
    return a.text == b.text
  end
  return t == "Undefined"
end

---Python's < ; op is what the message names.
function M.less(a, b, op)
  use(a)
  use(b)
  local x, y = number(a), number(b)
  if x and y then
    return x < y
  end
  local t = typeof(a)
  if t == typeof(b) then
    if t == "str" then
      return a < b
    elseif t == "date" then
      return a.text < b.text
    elseif t == "list" or t == "tuple" then
      for i = 1, math.min(#a, #b) do
        if not M.equal(a[i], b[i]) then
          return M.less(a[i], b[i], op)
        end
      end
      return #a < #b
    end
  end
  local message = "'%s' not supported between instances of '%s' and '%s'"
  return raise("TypeError", message, op or "<", t, typeof(b))
end

---Python's `needle in hay`.
function M.contains(hay, needle)
  local t = typeof(use(hay))
  if t == "str" then
    if type(use(needle)) ~= "string" then
      local message = "'in <string>' requires string as left operand, not %s"
      raise("TypeError", message, typeof(needle))
    end
    return hay:find(needle, 1, true) ~= nil
  elseif t == "dict" then
    return M.dict_get(hay, needle) ~= nil
  elseif t == "list" or t == "tuple" or t == "range" or t == "view" or t == "generator" then
    for _, item in ipairs(M.items(hay)) do
      if M.equal(item, needle) then
        return true
      end
    end
    return false
  end
  return raise("TypeError", "argument of type '%s' is not iterable", t)
end

return M
