-- Jinja's filters over sequences: join, map, select, sort, groupby and their like. Where upstream
-- gives a generator, so do these: it can be gone through once and prints as one.
local case = require("pai.osmo.template_case")
local filters = require("pai.osmo.template_filters")
local value = require("pai.osmo.template_value")

local M = {}
local None, raise = value.None, value.raise
local def = filters.def

---A stable sort by a key.
---@param items any[]
---@param reverse boolean?
---@param key (fun(v: any): any)?
---@return any[]
function M.sorted(items, reverse, key)
  local a, keys = table.move(items, 1, #items, 1, {}), {}
  for i, item in ipairs(a) do
    if key then
      item = key(item)
    end
    keys[i] = item
  end
  local order = {}
  for i = 1, #a do
    order[i] = i
  end
  local width = 1
  while width < #a do
    local merged = {}
    for low = 1, #a, 2 * width do
      local i, j = low, low + width
      local i_end, j_end = math.min(low + width, #a + 1), math.min(low + 2 * width, #a + 1)
      for k = low, j_end - 1 do
        -- equal keys keep their order in both directions
        local take_right = i >= i_end
        if i < i_end and j < j_end then
          local x, y = keys[order[i]], keys[order[j]]
          take_right = reverse and value.less(x, y) or (not reverse and value.less(y, x))
        end
        if take_right then
          merged[k], j = order[j], j + 1
        else
          merged[k], i = order[i], i + 1
        end
      end
    end
    order, width = merged, width * 2
  end
  local out = {}
  for i, from in ipairs(order) do
    out[i] = a[from]
  end
  return out
end

local function fold(v)
  return type(v) == "string" and case.lower(v) or v
end

-- A getter for "a.b.0"; with several attributes, "a,b", a list of values.
local function getter(st, attribute, post, default)
  if attribute == None then
    return post or function(v)
      return v
    end
  end
  local paths = {}
  for path in tostring(value.str(attribute)):gmatch("[^,]+") do
    local parts = {}
    for part in path:gmatch("[^.]+") do
      parts[#parts + 1] = part:find("^%d+$") and math.tointeger(tonumber(part)) or part
    end
    paths[#paths + 1] = parts
  end
  local function one(v, parts)
    for _, part in ipairs(parts) do
      v = st.ops.getitem(st, v, part)
      if default ~= nil and value.is_undefined(v) then
        v = default
      end
    end
    return post and post(v) or (not post and v)
  end
  return function(v)
    if #paths == 1 then
      return one(v, paths[1])
    end
    local out = {}
    for i, parts in ipairs(paths) do
      out[i] = one(v, parts)
    end
    return value.list(out)
  end
end

local function folding(a)
  return not value.truth(a.case_sensitive) and fold or nil
end

def("list", "", function(_, v)
  local items = value.items(v)
  return value.list(table.move(items, 1, #items, 1, {}))
end)
def("length", "", function(_, v)
  local n = value.length(v)
  return n or raise("TypeError", "object of type '%s' has no len()", value.type(v))
end)
filters.filters.count = filters.filters.length

def("first", "", function(_, v)
  local first = value.items(v)[1]
  return first == nil and value.undefined("No first item, sequence was empty.") or first
end)
def("last", "", function(_, v)
  local items = value.items(v)
  local last = items[#items]
  return last == nil and value.undefined("No last item, sequence was empty.") or last
end)
def("reverse", "", function(_, v)
  local items, out = value.items(v), {}
  for i = #items, 1, -1 do
    out[#out + 1] = items[i]
  end
  return type(v) == "string" and table.concat(out) or value.generator(out)
end)
def("join", "d=''; attribute=None", function(st, v, a)
  local get, parts, bytes = getter(st, a.attribute), {}, 0
  for i, item in ipairs(value.items(v)) do
    parts[i] = value.str(value.use(get(item)))
    bytes = bytes + #parts[i]
  end
  local sep = value.str(value.use(a.d))
  st.ops.charge(st, bytes + #sep * #parts)
  return table.concat(parts, sep)
end)
def("sum", "attribute=None; start=0", function(st, v, a)
  local get, total = getter(st, a.attribute), a.start
  for _, item in ipairs(value.items(v)) do
    total = st.ops.binary(st, "+", total, get(item))
  end
  return total
end)
def("sort", "reverse=False; case_sensitive=False; attribute=None", function(st, v, a)
  local get = getter(st, a.attribute, folding(a))
  return value.list(M.sorted(value.items(v), value.truth(a.reverse), get))
end)
def("dictsort", "case_sensitive=False; by='key'; reverse=False", function(st, v, a)
  if a.by ~= "key" and a.by ~= "value" then
    raise("FilterArgumentError", "You can only sort by either 'key' or 'value'")
  elseif value.type(value.use(v)) ~= "dict" then
    raise("AttributeError", "'%s' object has no attribute 'items'", value.type(v))
  end
  local at, low = a.by == "key" and 1 or 2, folding(a)
  return value.list(M.sorted(st.methods.pairs_of(v), value.truth(a.reverse), function(pair)
    return low and low(pair[at]) or (not low and pair[at])
  end))
end)
def("items", "", function(st, v)
  if value.is_undefined(v) then
    return value.generator({})
  elseif value.type(v) ~= "dict" then
    raise("TypeError", "Can only get item pairs from a mapping.")
  end
  return value.generator(st.methods.pairs_of(v))
end)

local function extreme(name, wins)
  def(name, "case_sensitive=False; attribute=None", function(st, v, a)
    local get = getter(st, a.attribute, folding(a))
    local best, best_key
    for _, item in ipairs(value.items(v)) do
      local key = get(item)
      if best == nil or wins(key, best_key) then
        best, best_key = item, key
      end
    end
    return best == nil and value.undefined("No aggregated item, sequence was empty.") or best
  end)
end
extreme("min", function(key, best)
  return value.less(key, best)
end)
extreme("max", function(key, best)
  return value.less(best, key)
end)

def("unique", "case_sensitive=False; attribute=None", function(st, v, a)
  local get, seen, out = getter(st, a.attribute, folding(a)), value.dict(), {}
  for _, item in ipairs(value.items(v)) do
    local key = get(item)
    if value.dict_get(seen, key) == nil then
      value.dict_set(seen, key, true)
      out[#out + 1] = item
    end
  end
  return value.generator(out)
end)
def("groupby", "attribute; default=None; case_sensitive=False", function(st, v, a)
  local default = a.default ~= None and a.default or nil
  local low = folding(a)
  local plain = getter(st, a.attribute, nil, default)
  local function get(item)
    local key = plain(item)
    return low and low(key) or (not low and key)
  end
  local out = {}
  for _, item in ipairs(M.sorted(value.items(v), false, get)) do
    local group = out[#out]
    if not group or not value.equal(group.key, get(item)) then
      group = value.tuple({ plain(item), value.list({}), key = get(item) })
      out[#out + 1] = group
    end
    table.insert(group[2], item)
  end
  for _, group in ipairs(out) do
    group.key = nil
    group.fields = { grouper = group[1], list = group[2] }
  end
  return value.list(out)
end)

local function count_of(v, what)
  if math.type(v) ~= "integer" then
    raise("TypeError", "%s must be an integer", what)
  end
  return v
end

def("batch", "linecount; fill_with=None", function(st, v, a)
  local size, out = count_of(a.linecount, "linecount"), {}
  for _, item in ipairs(value.items(v)) do
    if #out == 0 or #out[#out] == size then
      out[#out + 1] = value.list({})
    end
    table.insert(out[#out], item)
  end
  if a.fill_with ~= None and #out > 0 then
    st.ops.charge(st, 16 * size)
    for _ = #out[#out] + 1, size do
      table.insert(out[#out], a.fill_with)
    end
  end
  return value.generator(out)
end)
def("slice", "slices; fill_with=None", function(st, v, a)
  local items, n = value.items(v), count_of(a.slices, "slices")
  if n <= 0 then
    raise("ZeroDivisionError", "integer division or modulo by zero")
  end
  st.ops.charge(st, 16 * n)
  local each, extra, out, at = #items // n, #items % n, {}, 0
  for i = 0, n - 1 do
    local size = each + (i < extra and 1 or 0)
    local part = table.move(items, at + 1, at + size, 1, {})
    if a.fill_with ~= None and i >= extra then
      part[#part + 1] = a.fill_with
    end
    out[#out + 1], at = value.list(part), at + size
  end
  return value.generator(out)
end)

-- What is not true counts as empty, be it a list or not.
local function items_of(v)
  return value.truth(value.use(v)) and value.items(v) or {}
end

-- map(attribute=...), map("filter", arguments...)
filters.filters.map = {
  raw = function(st, v, args, kwargs)
    local fn
    if #args == 0 and kwargs.attribute ~= nil then
      for name in pairs(kwargs) do
        if name ~= "attribute" and name ~= "default" then
          raise("FilterArgumentError", "Unexpected keyword argument '%s'", name)
        end
      end
      fn = getter(st, kwargs.attribute, nil, kwargs.default)
    else
      local name = args[1]
      if name == nil then
        raise("FilterArgumentError", "map requires a filter argument")
      elseif type(name) ~= "string" or not filters.filters[name] then
        raise("TemplateRuntimeError", "No filter named %s.", value.repr(name))
      end
      local rest = table.move(args, 2, #args, 1, {})
      fn = function(item)
        return filters.apply(st, name, item, rest, kwargs)
      end
    end
    local out = {}
    for i, item in ipairs(items_of(v)) do
      st.step()
      out[i] = fn(item)
    end
    return value.generator(out)
  end,
}

local function selection(by_attribute, keep)
  return {
    raw = function(st, v, args, kwargs)
      local get, at = getter(st, None), 1
      if by_attribute then
        if args[1] == nil then
          raise("FilterArgumentError", "Missing parameter for attribute name")
        end
        get, at = getter(st, args[1]), 2
      end
      local name, rest = args[at], table.move(args, at + 1, #args, 1, {})
      if name ~= nil and not st.tests.known(name) then
        raise("TemplateRuntimeError", "No test named %s.", value.repr(name))
      end
      local out = {}
      for _, item in ipairs(items_of(v)) do
        st.step()
        local probe = get(item)
        local ok
        if name ~= nil then
          ok = st.tests.apply(st, name, probe, rest, kwargs)
        else
          ok = value.truth(probe)
        end
        if ok == keep then
          out[#out + 1] = item
        end
      end
      return value.generator(out)
    end,
  }
end
filters.filters.select = selection(false, true)
filters.filters.reject = selection(false, false)
filters.filters.selectattr = selection(true, true)
filters.filters.rejectattr = selection(true, false)

return M
