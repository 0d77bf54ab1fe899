-- Secrets that OSMO's own command line keeps: the tokens of login.yaml and the keys of object
-- stores in config.yaml. The tokens are in token_login; with `osmo_token: true` its refresh_token
-- is the access token in clear.
local err = require("pai.err")
local fs = require("pai.fs")

local M = {}

local HINT <const> = "pai osmo login URL"

---Opens one of them.
---@param what string "refresh_token", "id_token", or the URI of a storage profile
---@return userdata? handle
---@return string|pai.Error|nil warning
function M.open(what)
  local name, keys = "login.yaml", { "token_login", what }
  if what:find("://", 1, true) then
    name, keys = "config.yaml", { "auth", "data", what, "access_key" }
  elseif what ~= "refresh_token" and what ~= "id_token" then
    local message = "osmo:%s: it is refresh_token, id_token or the URI of a storage profile"
    return err.fail("EUSAGE", message:format(what))
  end
  local path = require("pai.osmo.client_login").dir() .. "/" .. name
  if not fs.exists(path) then
    return err.fail("ENOENT", "there is no " .. path, { hint = HINT })
  end
  local check = require("pai.recipe.dotenv").privacy(path)
  if check then
    return err.fail("EACCES", check.measured, { hint = check.hint })
  end
  return require("pai.secret").from_document(path, { yaml = keys })
end

return M
