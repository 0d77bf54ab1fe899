-- Jinja's built-in tests: `x is defined`, `n is divisibleby 3`.
local bind = require("pai.osmo.template_args").bind
local case = require("pai.osmo.template_case")
local filters = require("pai.osmo.template_filters")
local value = require("pai.osmo.template_value")

local M = {}
local typeof, use = value.type, value.use
local TESTS = {}

local function def(names, signature, fn)
  for name in names:gmatch("%S+") do
    TESTS[name] = { signature = signature, fn = fn }
  end
end

local function kind(names, ...)
  local set = {}
  for _, t in ipairs({ ... }) do
    set[t] = true
  end
  def(names, "", function(_, v)
    return set[typeof(v)] == true
  end)
end
kind("undefined", "Undefined")
kind("none", "NoneType")
kind("boolean", "bool")
kind("integer", "int", "bigint")
kind("float", "float")
kind("number", "int", "float", "bool", "bigint")
kind("string", "str")
kind("mapping", "dict")
kind("callable", "function", "Undefined")

local function remainder(st, v, n)
  return st.ops.binary(st, "%", v, n)
end

def("defined", "", function(_, v)
  return typeof(v) ~= "Undefined"
end)
def("true", "", function(_, v)
  return v == true
end)
def("false", "", function(_, v)
  return v == false
end)
def("odd", "", function(st, v)
  return remainder(st, v, 2) == 1
end)
def("even", "", function(st, v)
  return remainder(st, v, 2) == 0
end)
def("divisibleby", "num", function(st, v, a)
  return remainder(st, v, a.num) == 0
end)
def("lower", "", function(_, v)
  return case.is_lower(value.str(use(v)))
end)
def("upper", "", function(_, v)
  return case.is_upper(value.str(use(v)))
end)
def("sequence", "", function(_, v)
  local t = typeof(v)
  return t == "str" or t == "list" or t == "tuple" or t == "dict" or t == "range"
end)
def("iterable", "", function(_, v)
  local t = typeof(use(v))
  return value.length(v) ~= nil or t == "generator"
end)
def("sameas", "other", function(_, v, a)
  return typeof(v) == typeof(a.other) and rawequal(v, a.other)
end)
def("escaped", "", function()
  return false
end)
def("in", "seq", function(_, v, a)
  return value.contains(a.seq, use(v))
end)
def("filter", "", function(_, v)
  return filters.filters[v] ~= nil
end)
def("test", "", function(_, v)
  return TESTS[v] ~= nil
end)
for names, op in pairs({
  ["== eq equalto"] = "==",
  ["!= ne"] = "!=",
  ["< lt lessthan"] = "<",
  ["<= le"] = "<=",
  ["> gt greaterthan"] = ">",
  [">= ge"] = ">=",
}) do
  def(names, "other", function(st, v, a)
    return st.ops.compare(op, v, a.other)
  end)
end

---@param name any
---@return boolean
function M.known(name)
  return TESTS[name] ~= nil
end

---@param st table
---@param name string
---@param v any
---@param args any[]
---@param kwargs table<string, any>
---@return boolean
function M.apply(st, name, v, args, kwargs)
  local test = TESTS[name]
  return test.fn(st, v, bind("test '" .. name .. "'", test.signature, args, kwargs))
end

return M
