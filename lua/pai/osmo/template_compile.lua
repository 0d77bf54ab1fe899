-- Turns the expressions of a parsed template into Lua closures, fn(st, scope) -> value. Scopes are
-- tables that look further in their parent by __index, so a name costs one access.
local args_of = require("pai.osmo.template_args")
local filters = require("pai.osmo.template_filters")
local tests = require("pai.osmo.template_tests")
local value = require("pai.osmo.template_value")

local M = {}
local raise = value.raise

---@class pai.osmo.TemplateCompiler
---@field soft boolean inside a branch: an unknown filter is an error only when it is reached
local Compiler = {}
Compiler.__index = Compiler
M.Compiler = Compiler

local EXPR = {}

---@param node table
---@return fun(st: table, scope: table): any
function Compiler:expr(node)
  return EXPR[node.t](self, node)
end

function Compiler:list(nodes)
  local fns = {}
  for i, node in ipairs(nodes) do
    fns[i] = self:expr(node)
  end
  return fns
end

local function fail(node, message, ...)
  error({ pykind = "TemplateAssertionError", message = message:format(...), line = node.line }, 0)
end

function EXPR.Const(_, node)
  local v = node.value
  if node.none then
    v = value.None
  end
  return function()
    return v
  end
end

function EXPR.Name(_, node)
  local name = node.name
  return function(_, scope)
    local v = scope[name]
    if v == nil then
      return value.undefined("'" .. name .. "' is undefined")
    end
    return v
  end
end

function EXPR.Tuple(self, node)
  local items = self:list(node.items)
  return function(st, scope)
    local out = {}
    for i, item in ipairs(items) do
      out[i] = item(st, scope)
    end
    return value.tuple(out)
  end
end

function EXPR.List(self, node)
  local items = self:list(node.items)
  return function(st, scope)
    local out = {}
    for i, item in ipairs(items) do
      out[i] = item(st, scope)
    end
    return value.list(out)
  end
end

function EXPR.Dict(self, node)
  local keys, values = {}, {}
  for i, pair in ipairs(node.pairs) do
    keys[i], values[i] = self:expr(pair[1]), self:expr(pair[2])
  end
  return function(st, scope)
    local out = value.dict()
    for i, key in ipairs(keys) do
      value.dict_set(out, key(st, scope), values[i](st, scope))
    end
    return out
  end
end

function EXPR.Cond(self, node)
  local soft = self.soft
  self.soft = true
  local test, yes, no = self:expr(node.test), self:expr(node.yes), node.no and self:expr(node.no)
  self.soft = soft
  return function(st, scope)
    if value.truth(test(st, scope)) then
      return yes(st, scope)
    elseif no then
      return no(st, scope)
    end
    local message = "the inline if-expression on line %d evaluated to false and no else is defined"
    return value.undefined(message:format(node.line), true)
  end
end

function EXPR.Or(self, node)
  local left, right = self:expr(node.left), self:expr(node.right)
  return function(st, scope)
    local v = left(st, scope)
    if value.truth(v) then
      return v
    end
    return right(st, scope)
  end
end

function EXPR.And(self, node)
  local left, right = self:expr(node.left), self:expr(node.right)
  return function(st, scope)
    local v = left(st, scope)
    if not value.truth(v) then
      return v
    end
    return right(st, scope)
  end
end

function EXPR.Not(self, node)
  local inner = self:expr(node.value)
  return function(st, scope)
    return not value.truth(inner(st, scope))
  end
end

function EXPR.Compare(self, node)
  local first, ops = self:expr(node.value), {}
  for i, op in ipairs(node.ops) do
    ops[i] = { op = op.op, value = self:expr(op.value) }
  end
  return function(st, scope)
    local left = first(st, scope)
    for _, op in ipairs(ops) do
      local right = op.value(st, scope)
      if not st.ops.compare(op.op, left, right) then
        return false
      end
      left = right
    end
    return true
  end
end

function EXPR.Bin(self, node)
  local left, right, op = self:expr(node.left), self:expr(node.right), node.op
  return function(st, scope)
    local a = left(st, scope)
    return st.ops.binary(st, op, a, right(st, scope))
  end
end

function EXPR.Unary(self, node)
  local inner, op = self:expr(node.value), node.op
  return function(st, scope)
    return st.ops.unary(op, inner(st, scope))
  end
end

function EXPR.Concat(self, node)
  local items = self:list(node)
  return function(st, scope)
    local parts, bytes = {}, 0
    for i, item in ipairs(items) do
      parts[i] = value.str(value.use(item(st, scope)))
      bytes = bytes + #parts[i]
    end
    st.ops.charge(st, bytes)
    return table.concat(parts)
  end
end

function EXPR.Attr(self, node)
  local inner, name = self:expr(node.value), node.name
  return function(st, scope)
    return st.ops.getattr(st, inner(st, scope), name)
  end
end

function EXPR.Item(self, node)
  local inner = self:expr(node.value)
  if node.index.t == "Slice" then
    local s = node.index
    local from, to = s.from and self:expr(s.from), s.to and self:expr(s.to)
    local step = s.step and self:expr(s.step)
    return function(st, scope)
      local v = inner(st, scope)
      return st.ops.slice(
        v,
        from and from(st, scope) or nil,
        to and to(st, scope) or nil,
        step and step(st, scope) or nil
      )
    end
  end
  local index = self:expr(node.index)
  return function(st, scope)
    local v = inner(st, scope)
    return st.ops.getitem(st, v, index(st, scope))
  end
end

-- A slice that is one of several subscripts; nothing here has several dimensions.
function EXPR.Slice()
  return function()
    return raise("TypeError", "subscripts with several parts are not supported")
  end
end

-- fn(st, scope) -> args, kwargs
function Compiler:arguments(a)
  local args, kwargs = self:list(a.args), {}
  for i, pair in ipairs(a.kwargs) do
    kwargs[i] = { pair[1], self:expr(pair[2]) }
  end
  local star, star_star = a.star and self:expr(a.star), a.star_star and self:expr(a.star_star)
  return function(st, scope)
    local out, named, order = {}, {}, nil
    if star_star or #kwargs > 1 then
      named, order = args_of.ordered()
    end
    for i, arg in ipairs(args) do
      out[i] = arg(st, scope)
    end
    if star then
      for _, item in ipairs(value.items(star(st, scope))) do
        out[#out + 1] = item
      end
    end
    for _, pair in ipairs(kwargs) do
      named[pair[1]] = pair[2](st, scope)
      if order then
        order[#order + 1] = pair[1]
      end
    end
    if star_star then
      local map = value.use(star_star(st, scope))
      if value.type(map) ~= "dict" then
        raise("TypeError", "argument after ** must be a mapping, not %s", value.type(map))
      end
      for _, key in ipairs(map.keys) do
        named[key] = value.dict_get(map, key)
        order[#order + 1] = key
      end
    end
    return out, named
  end
end

---Calls what a template may call.
function M.call(st, fn, args, kwargs)
  st.step()
  local t = value.type(value.use(fn))
  if (t == "function" or t == "loop") and fn.call then
    return fn.call(st, args, kwargs)
  end
  return raise("TypeError", "'%s' object is not callable", t)
end

function EXPR.Call(self, node)
  local fn, arguments = self:expr(node.value), self:arguments(node.a)
  local caller = node.caller
  return function(st, scope)
    local callee = fn(st, scope)
    local args, kwargs = arguments(st, scope)
    if caller then
      kwargs.caller = caller(st, scope)
    end
    return M.call(st, callee, args, kwargs)
  end
end

-- node.value nil: the filter of a block; its input is st.input.
function EXPR.Filter(self, node)
  local name = node.name
  local inner = node.value and self:expr(node.value)
  local arguments = self:arguments(node.a)
  if not filters.filters[name] then
    local message = ("No filter named '%s'."):format(name)
    if filters.unsupported[name] then
      message = ("The filter '%s' is not supported."):format(name)
    end
    if not self.soft then
      fail(node, "%s", message)
    end
    return function()
      return raise("TemplateRuntimeError", "%s", message)
    end
  end
  return function(st, scope)
    local v
    if inner then
      v = inner(st, scope)
    else
      v = st.input
    end
    local args, kwargs = arguments(st, scope)
    st.step()
    return filters.apply(st, name, v, args, kwargs)
  end
end

function EXPR.Test(self, node)
  local name = node.name
  local inner, arguments = self:expr(node.value), self:arguments(node.a)
  if not tests.known(name) then
    if not self.soft then
      fail(node, "No test named '%s'.", name)
    end
    return function()
      return raise("TemplateRuntimeError", "No test named '%s'.", name)
    end
  end
  return function(st, scope)
    local v = inner(st, scope)
    local args, kwargs = arguments(st, scope)
    return tests.apply(st, name, v, args, kwargs)
  end
end

return M
