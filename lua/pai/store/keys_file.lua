-- Keys out of files and out of the environment. What is secret is a handle from there on.
local err = require("pai.err")
local fs = require("pai.fs")
local secret = require("pai.secret")
local sign = require("pai.sign")

local M = {}

---Reads a file of keys. Raises.
---@param path string
---@param form "yaml"|"ini"
---@param names string[] what is secret
---@return table
function M.read(path, form, names)
  local doc, e = sign.keys(path, form, names)
  if not doc then
    error(e, 0)
  end
  return doc
end

---Whether a file is there. Raises EACCES when others can read it.
---@param path string
---@return boolean
function M.is_private(path)
  local st = fs.stat(path)
  if st and st.mode & 63 ~= 0 then -- 0077
    err.raise("EACCES", ("%s holds keys and can be read by others"):format(path), {
      hint = "chmod 600 " .. path,
    })
  end
  return st ~= nil
end

---A secret of the environment, which never becomes a string. Raises.
---@param name string
---@return pai.secret.handle? handle nil when it is not set
function M.from_env(name)
  local handle, e = secret.from_env(name)
  if not handle and e.code ~= "ENOENT" then
    error(e, 0)
  end
  return handle
end

---The token that a platform keeps in a file and replaces there; so it is read each time. Raises.
---@param what string for messages
---@param path string
---@return pai.secret.handle
function M.token(what, path)
  local handle, e = secret.from_file(path)
  if not handle then
    err.raise("ENOKEYS", ("no key by %s: %s"):format(what, e.message))
  end
  return handle
end

return M
