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

-- The login that is for this service, as a source of bearers and a name.
local function log_in(transport, opts, url)
  local login = require("pai.osmo.client_login")
  local tokens = require("pai.osmo.client_token")
  if opts.token then
    transport.bearer = tokens.bearer(url, { kind = "pat", url = url, refresh_token = opts.token })
    return true
  end
  local known, e = login.load()
  if e then
    return nil, e
  end
  -- What the login file holds is for the service that it names, and for no other.
  if known and known.url == url then
    if known.kind ~= "dev" then
      transport.bearer = tokens.bearer(url, known, true)
    end
    if known.kind == "dev" or os.getenv("OSMO_LOGIN_DEV") == "true" then
      transport.user = transport.user or known.username
    end
  end
  return true
end

-- The URL that is meant: given, of the environment, or of the login file.
local function url_of(opts)
  local url = opts.target ~= "osmo" and opts.target or os.getenv("OSMO_URL")
  if not url or url == "" then
    local known, e = require("pai.osmo.client_login").load()
    if e then
      return nil, e
    end
    url = known and known.url or ""
  end
  url = url:gsub("/+$", "")
  if not url:find("^https?://[^/]") then
    return err.fail("EINVAL", ("'%s' is no URL of an OSMO service"):format(url), {
      hint = "pass an http(s) URL, set OSMO_URL, or log in",
    })
  end
  return url
end

---To a service.
---@param opts pai.osmo.ConnectOptions
---@return pai.osmo.Transport?
---@return pai.Error? err
function M.service(opts)
  local url, e = url_of(opts)
  if not url then
    return nil, e
  end
  local transport = http.new({
    base = url,
    on_warning = opts.on_warning,
    user = opts.user or nil,
    ca_file = opts.ca_file or require("pai.osmo.client_token").ca_file(),
  })
  local ok
  ok, e = log_in(transport, opts, url)
  if not ok then
    return nil, e
  elseif not transport.user and not transport.bearer then
    return err.fail("EACCES", "no login for " .. url, {
      hint = ("pai osmo login %s --token-file FILE, or --method dev"):format(url),
    })
  end
  return transport
end

return M
