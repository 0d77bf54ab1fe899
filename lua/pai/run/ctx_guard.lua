-- What every part of ctx asks before it acts: whether it may act here at all, and whether a secret
-- may go where it is sent.
local err = require("pai.err")

local M = {}

---A value, or its error raised.
---@generic T
---@param value T?
---@param e pai.Error?
---@return T
function M.checked(value, e)
  if value == nil and e then
    error(e, 0)
  end
  return value
end

---Calls what checks its own options. A mistake in them is the recipe's: pai's file and line before
---the message would say nothing to its author.
---@param fn function that gives a value, or nil and an error
---@return any value
function M.called(fn, ...)
  local ok, value, e = pcall(fn, ...)
  if not ok then
    error(type(value) == "string" and value:gsub("^[^:]*lua/pai/[^:]+:%d+: ", "") or value, 0)
  end
  return M.checked(value, e)
end

---Raises where a recipe may only observe.
---@param env pai.run.CtxEnv
---@param what string
---@param instead string? what to use instead
function M.act_only(env, what, instead)
  if env.mode ~= "act" then
    local message = "%s acts; %s may only observe%s"
    err.raise("EACCES", message:format(what, env.where, instead and ": " .. instead or ""))
  end
end

---Raises when a secret may not go somewhere: its input says where it may, `hosts` for requests,
---`bins` for processes.
---@param env pai.run.CtxEnv
---@param handle any what is no secret passes
---@param kind "hosts"|"bins"
---@param name string of the place, for the message
---@param matches fun(entry: string): boolean
function M.check_secret(env, handle, kind, name, matches)
  if type(handle) ~= "userdata" then
    return
  end
  local decl = env.run.secret_decls[handle]
  for _, entry in ipairs(decl and decl[kind] or {}) do
    if entry:sub(1, 1) == "@" then
      local value = env.scope.inp[entry:sub(2)]
      entry = entry == "@osmo" and env.run.osmo_url or type(value) == "string" and value or ""
    end
    if matches(entry) then
      return
    end
  end
  if decl then
    local message = "the secret '%s' may not be given to %s: its input's %s do not name it"
    err.raise("EACCES", message:format(decl.name, name, kind), {
      hint = ("add it to %s of the input %s"):format(kind, decl.name),
    })
  end
end

return M
