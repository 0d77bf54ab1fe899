-- Error values: { code, message, hint, retryable, ... } with the metatable that the host's own
-- errors have, so that a caller sees one shape wherever a failure came from.
local M = {}

---@class pai.Error
---@field code string errno name ("ENOENT") or one of pai's own ("ETIMEDOUT", "EPARSE", ...)
---@field message string what was being done to what, then why it failed
---@field hint string? what to do about it
---@field retryable boolean
---@field trace string? Lua traceback, for faults

-- The host makes this metatable at its first error; whoever comes first, there is only one.
local registry = debug.getregistry()
local mt = registry["pai.error"]
if not mt then
  mt = { __name = "pai.error" }
  registry["pai.error"] = mt
end
mt.__tostring = mt.__tostring or function(e)
  return tostring(rawget(e, "message"))
end
-- A recipe may hold an error value; it must not reach the metatable that all errors share.
mt.__metatable = "pai.error"

---Makes an error value.
---@param code string
---@param message string
---@param fields table? more fields, such as hint and retryable
---@return pai.Error
function M.new(code, message, fields)
  local e = { code = code, message = message, retryable = false }
  for k, v in pairs(fields or {}) do
    e[k] = v
  end
  return setmetatable(e, mt)
end

---Raises an error value.
---@param code string
---@param message string
---@param fields table?
function M.raise(code, message, fields)
  error(M.new(code, message, fields), 0)
end

---Returns nil and an error value, for `return err.fail(...)`.
---@param code string
---@param message string
---@param fields table?
---@return nil
---@return pai.Error
function M.fail(code, message, fields)
  return nil, M.new(code, message, fields)
end

---Tells whether v is an error value, and of that code if one is given.
---@param v any
---@param code string?
---@return boolean
function M.is(v, code)
  return type(v) == "table"
    and debug.getmetatable(v) == mt
    and (code == nil or rawget(v, "code") == code)
end

---Makes an error value of whatever was raised.
---@param v any
---@return pai.Error
function M.wrap(v)
  if M.is(v) then
    return v
  end
  if type(v) == "table" and type(rawget(v, "message")) == "string" then
    local e = {}
    for k, field in next, v do
      e[k] = field
    end
    e.code = type(e.code) == "string" and e.code or "ERECIPE"
    e.retryable = e.retryable == true
    return setmetatable(e, mt)
  end
  local text = type(v) == "string" and v or ("error value of type " .. type(v))
  local message, trace = text:match("^(.-)\n(stack traceback:.*)$")
  message = message or text
  -- Chunks of recipes are named "@recipe:PATH": a string raised there is the recipe's own failure.
  -- Lua cuts the front off a long name.
  local cut = message:find("^%.%.%.") and not message:find("lua/pai/", 1, true)
  local code = (cut or message:find("^recipe:")) and "ERECIPE" or "EINTERNAL"
  message = message:gsub("^recipe:", "")
  return M.new(code, message, { trace = trace })
end

return M
