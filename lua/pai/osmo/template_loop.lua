-- What a template finds ready: the `loop` of a for statement, and the global functions.
local bind = require("pai.osmo.template_args").bind
local value = require("pai.osmo.template_value")

local M = {}
local raise = value.raise

local function same(a, b)
  for i = 1, math.max(#a, #b) do
    if a[i] == nil or b[i] == nil or not value.equal(a[i], b[i]) then
      return false
    end
  end
  return true
end

---The loop variable over items.
---@param items any[]
---@param depth integer
---@return table loop
---@return fun(i: integer) advance called before each turn
function M.new(items, depth)
  local at, last_seen = 0, nil
  local n = #items
  local methods = {
    cycle = value.func("loop.cycle", function(_, args)
      if #args == 0 then
        raise("TypeError", "no items for cycling given")
      end
      return args[(at - 1) % #args + 1]
    end),
    changed = value.func("loop.changed", function(_, args)
      local changed = not last_seen or not same(last_seen, args)
      last_seen = args
      return changed
    end),
  }
  local fields = {
    index = function()
      return at
    end,
    index0 = function()
      return at - 1
    end,
    revindex = function()
      return n - at + 1
    end,
    revindex0 = function()
      return n - at
    end,
    first = function()
      return at == 1
    end,
    last = function()
      return at == n
    end,
    length = function()
      return n
    end,
    depth = function()
      return depth
    end,
    depth0 = function()
      return depth - 1
    end,
    previtem = function()
      return at == 1 and value.undefined("there is no previous item") or items[at - 1]
    end,
    nextitem = function()
      return at == n and value.undefined("there is no next item") or items[at + 1]
    end,
  }
  local loop = value.loop({
    length = n,
    shown = function()
      return ("<LoopContext %d/%d>"):format(at, n)
    end,
    get = function(name)
      if fields[name] then
        return fields[name]()
      end
      return methods[name]
    end,
  })
  return loop, function(i)
    at = i
  end
end

local function object(fields)
  return value.loop({
    get = function(name)
      local field = fields[name]
      return type(field) == "function" and field() or field
    end,
  })
end

local function integer(v)
  local n = value.number(value.use(v))
  if math.type(n) ~= "integer" then
    raise("TypeError", "'%s' object cannot be interpreted as an integer", value.type(v))
  end
  return n
end

local function cycler(_, args)
  if #args == 0 then
    raise("RuntimeError", "at least one item has to be provided")
  end
  local at = 1
  return object({
    current = function()
      return args[at]
    end,
    next = value.func("cycler.next", function()
      local item = args[at]
      at = at % #args + 1
      return item
    end),
    reset = value.func("cycler.reset", function()
      at = 1
      return value.None
    end),
  })
end

---The global functions of a template.
---@return table<string, any>
function M.globals()
  local G = {}
  G.range = value.func("range", function(_, args, kwargs)
    if next(kwargs) or #args < 1 or #args > 3 then
      raise("TypeError", "range takes 1 to 3 positional arguments")
    end
    local from, to = integer(args[1]), args[2] ~= nil and integer(args[2])
    if not to then
      from, to = 0, from
    end
    return value.range(from, to, args[3] ~= nil and integer(args[3]) or 1)
  end)
  G.dict = value.func("dict", function(st, args, kwargs)
    local d = value.dict()
    local update = st.methods.find(st, d, "update")
    update.call(st, args, kwargs)
    return d
  end)
  G.namespace = value.func("namespace", function(st, args, kwargs)
    local ns, d = value.namespace(), G.dict.call(st, args, kwargs)
    for _, key in ipairs(d.keys) do
      ns.vars[key] = value.dict_get(d, key)
    end
    return ns
  end)
  G.cycler = value.func("cycler", cycler)
  G.joiner = value.func("joiner", function(_, args, kwargs)
    local sep = bind("joiner", "sep=', '", args, kwargs).sep
    local used = false
    return value.func("joiner", function()
      local text = used and sep or ""
      used = true
      return text
    end)
  end)
  G.lipsum = value.func("lipsum", function()
    return raise("TemplateRuntimeError", "lipsum is not supported")
  end)
  return G
end

return M
