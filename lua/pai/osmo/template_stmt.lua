-- Statements of a parsed template as closures, fn(st, scope), that write to st.out.
local args_of = require("pai.osmo.template_args")
local compile = require("pai.osmo.template_compile")
local loops = require("pai.osmo.template_loop")
local value = require("pai.osmo.template_value")

local M = {}
local Compiler, raise = compile.Compiler, value.raise

local STMT = {}

---A scope whose names hide those of its parent.
---@param parent table
---@return table
function M.child(st, parent)
  local mt = st.scopes[parent]
  if not mt then
    mt = { __index = parent }
    st.scopes[parent] = mt
  end
  return setmetatable({}, mt)
end
local child = M.child

---@param nodes table[]
---@return fun(st: table, scope: table)
function Compiler:body(nodes)
  local fns = {}
  for i, node in ipairs(nodes) do
    fns[i] = STMT[node.t](self, node)
  end
  return function(st, scope)
    for i = 1, #fns do
      fns[i](st, scope)
    end
  end
end

-- A body whose own frame is no branch of its parent any more.
function Compiler:inner(nodes)
  local soft = self.soft
  self.soft = false
  local fn = self:body(nodes)
  self.soft = soft
  return fn
end

---Runs fn with the output going to a text of its own.
local function captured(st, fn, scope)
  local before = st.out
  st.out = { n = 0 }
  fn(st, scope)
  local parts = {}
  for i = 1, st.out.n do
    parts[i] = st.out[i].text
  end
  st.out = before
  return table.concat(parts)
end

local function write(st, text, line, moves)
  if text ~= "" then
    st.ops.charge(st, #text)
    local out = st.out
    out.n = out.n + 1
    out[out.n] = { text = text, line = line, moves = moves }
  end
end

function STMT.Data(_, node)
  local text, line = node.text, node.line
  return function(st)
    st.step()
    write(st, text, line, true)
  end
end

function STMT.Print(self, node)
  local inner, line = self:expr(node.value), node.line
  return function(st, scope)
    st.line = line
    st.step()
    write(st, value.str(value.use(inner(st, scope))), line, false)
  end
end

function STMT.Scope(self, node)
  return self:body(node.body)
end

-- fn(st, scope, v): scope is where the name is set
local function assigner(target)
  if target.t == "Name" then
    local name = target.name
    return function(_, scope, v)
      scope[name] = v
    end
  elseif target.t == "NSRef" then
    return function(_, scope, v)
      local ns = scope[target.name]
      if ns == nil or value.type(ns) ~= "Namespace" then
        raise("TemplateRuntimeError", "cannot assign attribute on non-namespace object")
      end
      ns.vars[target.attr] = v
    end
  end
  local each = {}
  for i, item in ipairs(target.items) do
    each[i] = assigner(item)
  end
  return function(st, scope, v)
    local items = value.items(v)
    if #items > #each then
      raise("ValueError", "too many values to unpack (expected %d)", #each)
    elseif #items < #each then
      raise("ValueError", "not enough values to unpack (expected %d, got %d)", #each, #items)
    end
    for i, assign in ipairs(each) do
      assign(st, scope, items[i])
    end
  end
end

function STMT.Set(self, node)
  local inner, assign, line = self:expr(node.value), assigner(node.target), node.line
  return function(st, scope)
    st.line = line
    st.step()
    assign(st, scope, inner(st, scope))
  end
end

-- The text of a body, through the filters of its tag.
function Compiler:filtered(node)
  local body = self:inner(node.body)
  local filter = node.filter and self:expr(node.filter)
  return function(st, scope)
    st.line = node.line
    local text = captured(st, body, child(st, scope))
    if not filter then
      return text
    end
    local before = st.input
    st.input = text
    text = filter(st, scope)
    st.input = before
    return text
  end
end

function STMT.SetBlock(self, node)
  local text, assign = self:filtered(node), assigner(node.target)
  return function(st, scope)
    assign(st, scope, text(st, scope))
  end
end

function STMT.FilterBlock(self, node)
  local text = self:filtered(node)
  return function(st, scope)
    local result = text(st, scope)
    if type(result) ~= "string" then -- Jinja joins it with what is around it
      local kind = value.type(value.use(result))
      raise("TypeError", "the filters of a filter tag must give text, not a value of type %s", kind)
    end
    write(st, result, node.line, false)
  end
end

STMT["If"] = function(self, node)
  local tests, bodies = {}, {}
  for i, branch in ipairs(node.branches) do
    tests[i] = self:expr(branch.test)
  end
  local soft = self.soft
  self.soft = true
  for i, branch in ipairs(node.branches) do
    bodies[i] = self:body(branch.body)
  end
  local other = node.other and self:body(node.other)
  self.soft = soft
  return function(st, scope)
    for i, test in ipairs(tests) do
      st.line = node.branches[i].test.line
      st.step()
      if value.truth(test(st, scope)) then
        return bodies[i](st, scope)
      end
    end
    if other then
      other(st, scope)
    end
  end
end

STMT["For"] = function(self, node)
  local iter, assign = self:expr(node.iter), assigner(node.target)
  local body = self:inner(node.body)
  local other = node.other and self:inner(node.other)
  local test = node.test and self:expr(node.test)
  local function run(st, scope, seq, depth)
    local items = value.items(seq)
    local kept = items
    if type(seq) == "table" and #seq > 0 then
      kept = table.move(items, 1, #items, 1, {}) -- the loop may change what it goes through
    end
    if test then
      kept = {}
      for _, item in ipairs(items) do
        st.step()
        local inside = child(st, scope)
        assign(st, inside, item)
        if value.truth(test(st, inside)) then
          kept[#kept + 1] = item
        end
      end
    end
    local loop, advance = loops.new(kept, depth)
    if node.recursive then
      loop.call = function(state, args)
        st.enter()
        local text = captured(state, function()
          run(state, scope, args[1], depth + 1)
        end, scope)
        st.leave()
        return text
      end
    end
    for i = 1, #kept do
      st.step()
      advance(i)
      local inside = child(st, scope)
      inside.loop = loop
      assign(st, inside, kept[i])
      body(st, inside)
    end
    if other and #kept == 0 then
      other(st, child(st, scope))
    end
  end
  return function(st, scope)
    st.line = node.line
    run(st, scope, iter(st, scope), 1)
  end
end

function STMT.With(self, node)
  local values, assigns = self:list(node.values), {}
  for i, target in ipairs(node.targets) do
    assigns[i] = assigner(target)
  end
  local body = self:inner(node.body)
  return function(st, scope)
    st.line = node.line
    local inside = child(st, scope)
    for i, inner in ipairs(values) do
      assigns[i](st, inside, inner(st, scope))
    end
    body(st, inside)
  end
end

function STMT.Block(self, node)
  local body = self:inner(node.body)
  return function(st)
    if node.required then
      raise("TemplateRuntimeError", "Required block '%s' not found", node.name)
    end
    body(st, child(st, st.root))
  end
end

-- Whether a body uses a name anywhere; macros take more arguments if it is varargs or kwargs.
local function mentions(node, name)
  if node.t == "Name" and node.name == name then
    return true
  end
  for _, part in pairs(node) do
    if type(part) == "table" and mentions(part, name) then
      return true
    end
  end
  return false
end

-- fn(st, scope) -> function value
function Compiler:macro(name, params, nodes)
  local body, defaults, known = self:inner(nodes), {}, {}
  for i, param in ipairs(params) do
    known[param.name] = true
    defaults[i] = param.default and self:expr(param.default)
  end
  local more, named = mentions(nodes, "varargs"), mentions(nodes, "kwargs")
  local uses_caller = mentions(nodes, "caller")
  local function run(st, inside, args, kwargs)
    for i, param in ipairs(params) do
      local v = args[i]
      if v == nil then
        v = kwargs[param.name]
      elseif kwargs[param.name] ~= nil then
        raise("TypeError", "macro '%s' got two values for the argument '%s'", name, param.name)
      end
      if v == nil and defaults[i] then
        v = defaults[i](st, inside)
      elseif v == nil then
        v = value.undefined(("parameter '%s' was not provided"):format(param.name))
      end
      inside[param.name] = v
    end
    if #args > #params and not more then
      raise("TypeError", "macro '%s' takes not more than %d argument(s)", name, #params)
    end
    inside.varargs = value.tuple(table.move(args, #params + 1, #args, 1, {}))
    inside.kwargs = value.dict()
    for _, key in ipairs(args_of.names(kwargs)) do
      local v = kwargs[key]
      if uses_caller and key == "caller" then
        inside.caller = v
      elseif not known[key] then
        if not named then
          raise("TypeError", "macro '%s' takes no keyword argument '%s'", name, key)
        end
        value.dict_set(inside.kwargs, key, v)
      end
    end
    return captured(st, body, inside)
  end
  local names = {}
  for i, param in ipairs(params) do
    names[i] = param.name
  end
  return function(_, scope)
    local macro = value.func("Macro '" .. name .. "'", function(st, args, kwargs)
      st.enter()
      local text = run(st, child(st, scope), args, kwargs)
      st.leave()
      return text
    end)
    local anonymous = name == "caller"
    macro.fields = {
      name = anonymous and value.None or name,
      arguments = value.tuple(names),
      catch_varargs = more,
      catch_kwargs = named,
      caller = uses_caller,
    }
    function macro.shown()
      return anonymous and "<Macro anonymous>" or ("<Macro '%s'>"):format(name)
    end
    return macro
  end
end

function STMT.Macro(self, node)
  local make = self:macro(node.name, node.params, node.body)
  return function(st, scope)
    scope[node.name] = make(st, scope)
  end
end

function STMT.CallBlock(self, node)
  node.call.caller = self:macro("caller", node.params, node.body)
  local call = self:expr(node.call)
  return function(st, scope)
    st.line = node.line
    write(st, value.str(value.use(call(st, scope))), node.line, false)
  end
end

function STMT.Loader(_, node)
  return function(st)
    st.line = node.line
    raise("TypeError", "'%s' reads another template, and a spec has no others", node.name)
  end
end

function STMT.Unsupported(_, node)
  return function(st)
    st.line = node.line
    raise("TemplateRuntimeError", "the tag '%s' is not supported", node.name)
  end
end

return M
