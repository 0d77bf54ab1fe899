-- Where a run's workflows go: the embedded engine (`local`) or the OSMO that the user logged in to
-- (`osmo`). What was asked for is what is used: nothing falls back from one to the other.
local err = require("pai.err")
local fs = require("pai.fs")

local M = {}

local function login_file()
  local dir = os.getenv("OSMO_CONFIG_FILE_DIR")
  if not dir or dir == "" then
    local xdg, home = os.getenv("XDG_CONFIG_HOME"), os.getenv("HOME")
    local base = xdg and xdg:sub(1, 1) == "/" and xdg or home and home .. "/.config"
    dir = base and base .. "/osmo"
  end
  return dir and dir .. "/login.yaml"
end

-- The URL of the OSMO that is configured here, if one is.
local function configured()
  local url = os.getenv("OSMO_URL")
  if url and url ~= "" then
    return url
  end
  local path = login_file()
  if not path or not fs.exists(path) then
    return nil
  end
  local body, e = fs.read(path)
  local login
  if body then
    login, e = require("pai.yaml").decode(body, { schema = "1.1" })
  end
  if type(login) ~= "table" or type(login.url) ~= "string" then
    local why = e and e.message or "it names no url"
    err.raise("EUSAGE", ("read %s: %s"):format(path, why))
  end
  return login.url
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
    err.raise("EUSAGE", "no OSMO is configured", { hint = "set OSMO_URL, or log in to one" })
  end
  return "local"
end

return M
