-- Where a run's workflows go: the embedded engine (`local`) or the OSMO that the user logged in to
-- (`osmo`). What was asked for is what is used: nothing falls back from one to the other.
local err = require("pai.err")
local fs = require("pai.fs")

local M = {}

-- The URL of the OSMO that is configured here, if one is.
local function configured()
  local url = os.getenv("OSMO_URL")
  if url and url ~= "" then
    return url
  end
  local client_login = require("pai.osmo.client_login")
  local homed, path = pcall(client_login.path) -- without a home there is no login
  if not homed or not fs.exists(path) then
    return nil
  end
  local login, e = client_login.load()
  if e then
    err.raise("EUSAGE", e.message, { hint = e.hint })
  end
  return login and login.url
end

---Resolves a target.
---@param asked string? "local", "osmo", or nil for the default
---@return "local"|"osmo" target
---@return string? url of the OSMO
function M.resolve(asked)
  if asked ~= nil and asked ~= "local" and asked ~= "osmo" then
    err.raise("EUSAGE", ("the target is local or osmo, not '%s'"):format(tostring(asked)))
  end
  if asked == "local" then
    return "local"
  end
  local url = configured()
  if url then
    return "osmo", url
  elseif asked == "osmo" then
    err.raise("EUSAGE", "no OSMO is configured", {
      hint = "set OSMO_URL, or log in to one: pai osmo login URL",
    })
  end
  return "local"
end

return M
