-- Where a client's requests go: to the embedded engine, started if need be, or to a service with
-- the login that is for it.
local err = require("pai.err")
local http = require("pai.osmo.client_http")

local M = {}

---To the embedded engine of a state folder.
---@param opts pai.osmo.ConnectOptions
---@return pai.osmo.Transport?
---@return pai.Error? err
function M.embedded(opts)
  local launch = require("pai.engine.launch")
  local paths = require("pai.engine.paths")
  local transport = http.new({
    base = "http://localhost",
    socket = paths.of(opts.state).socket,
    user = opts.user,
    on_warning = opts.on_warning,
  })
  if opts.start == false then
    function transport.absent()
      local _, e = launch.status(paths.of(opts.state))
      return e
    end
  else
    function transport.revive()
      local p, e = launch.ensure(opts.state)
      if not p then
        return nil, e
      end
      transport.socket = p.socket
      return true
    end
    local ok, e = transport.revive()
    if not ok then
      return nil, e
    end
  end
  return transport
end

---To a service.
---@param opts pai.osmo.ConnectOptions
---@return pai.osmo.Transport?
---@return pai.Error? err
function M.service(opts)
  local login = require("pai.osmo.client_login")
  local url = opts.target ~= "osmo" and opts.target or os.getenv("OSMO_URL")
  local known, e = login.load()
  if e then
    return nil, e
  end
  url = (url or (known and known.url) or ""):gsub("/+$", "")
  if not url:find("^https?://[^/]") then
    return err.fail("EINVAL", ("'%s' is no URL of an OSMO service"):format(url), {
      hint = "pass an http(s) URL, set OSMO_URL, or log in",
    })
  end
  local transport = http.new({ base = url, on_warning = opts.on_warning, user = opts.user })
  -- What the login file holds is for the service that it names, and for no other.
  local mine = known and known.url == url and known or nil
  if opts.token then
    transport.bearer = login.bearer(url, opts.token)
  elseif mine and mine.pat then
    transport.bearer = login.bearer(url, mine.pat)
  elseif mine and mine.id_token then
    transport.bearer = function()
      return mine.id_token
    end
  end
  transport.user = transport.user or (mine and mine.username) or nil
  if not transport.user and not transport.bearer then
    return err.fail("EACCES", "no login for " .. url, {
      hint = "pai osmo login URL --method dev|token",
    })
  end
  return transport
end

return M
