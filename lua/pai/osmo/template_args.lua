-- Binding of positional and named arguments to a signature such as "sep=None, maxsplit=-1".
local pynum = require("pai.osmo.pynum")
local value = require("pai.osmo.template_value")

local M = {}
local cache = {}

local function default_of(text)
  if text == "None" then
    return value.None
  elseif text == "True" or text == "False" then
    return text == "True"
  elseif text:find("^'") then
    return text:sub(2, -2)
  elseif text == "?" then
    return nil -- may be left out, and the function sees nil
  end
  return pynum.int(text) or pynum.float(text)
end

local function parse(signature)
  local params = {}
  for part in signature:gmatch("[^;]+") do
    local name, default = part:match("^%s*([%w_]+)=(.*)$")
    params[#params + 1] = {
      name = name or part:match("^%s*(.-)%s*$"),
      optional = name ~= nil,
      default = name and default_of(default),
    }
  end
  return params
end

---Arguments by name that keep their order.
---@return table<string, any> kwargs
---@return string[] order to be filled by the caller
function M.ordered()
  local order = {}
  return setmetatable({}, { order = order }), order
end

---The names of arguments, in the order in which they were written.
---@param kwargs table<string, any>
---@return string[]
function M.names(kwargs)
  local known, out = {}, {}
  local written = getmetatable(kwargs)
  for _, name in ipairs(written and written.order or {}) do
    if not known[name] and kwargs[name] ~= nil then
      known[name], out[#out + 1] = true, name
    end
  end
  for name in pairs(kwargs) do
    if not known[name] then
      out[#out + 1] = name
    end
  end
  return out
end

---Gives the arguments by name; raises TypeError when they do not fit.
---@param what string name of the function, for messages
---@param signature string parameters with a ";" between them, defaults as Python literals
---@param args any[]
---@param kwargs table<string, any>
---@return table<string, any>
function M.bind(what, signature, args, kwargs)
  local params = cache[signature]
  if not params then
    params = parse(signature)
    cache[signature] = params
  end
  if #args > #params then
    value.raise("TypeError", "%s takes at most %d arguments (%d given)", what, #params, #args)
  end
  local out, known = {}, {}
  for i, param in ipairs(params) do
    known[param.name] = true
    if args[i] ~= nil and kwargs[param.name] ~= nil then
      value.raise("TypeError", "%s got multiple values for argument '%s'", what, param.name)
    elseif args[i] ~= nil then
      out[param.name] = args[i]
    elseif kwargs[param.name] ~= nil then
      out[param.name] = kwargs[param.name]
    elseif param.optional then
      out[param.name] = param.default
    else
      value.raise("TypeError", "%s misses the argument '%s'", what, param.name)
    end
  end
  for name in pairs(kwargs) do
    if not known[name] then
      value.raise("TypeError", "%s got an unexpected keyword argument '%s'", what, name)
    end
  end
  return out
end

return M
