-- The bearer of requests: an access token ("PAT") exchanged for a short-lived JWT, or the ID token
-- of an identity provider's login, each renewed before it ends and by one of all who wait for it.
local err = require("pai.err")
local http = require("pai.http")
local json = require("pai.json")
local login_file = require("pai.osmo.client_login")
local task = require("pai.task")
local yaml = require("pai.yaml")

local M = {}

-- Renewed so many seconds before it ends, as upstream's client does.
local EARLY <const> = 3

local TIMEOUT <const> = "60s"
local SEALED <const> = { token = true, id_token = true, access_token = true, refresh_token = true }

local AGAIN <const> = {
  pat = "log in again: pai osmo login URL --method token",
  idp = "log in again with OSMO's own command line: osmo login URL",
}

---When a token ends.
---@param token userdata secret
---@return integer? seconds since the epoch; nil when it does not say
function M.ends(token)
  local claims = require("pai.crypto").jwt_claims(token)
  local map = claims and json.decode(claims)
  return type(map) == "table" and math.tointeger(tonumber(map.exp)) or nil
end

-- The members of an answer that is JSON with tokens in it.
local function members(res)
  local map = yaml.decode(res.secret, { schema = "1.1", secret = SEALED })
  return type(map) == "table" and map or {}
end

local function post(url, opts)
  opts.url, opts.method, opts.secret, opts.timeout = url, "POST", true, TIMEOUT
  opts.ca_file = opts.ca_file or M.ca_file()
  return http.request(opts)
end

---Certificates to trust in place of the system's, where the environment names a file: the variables
---are those that upstream's client heeds, and OpenSSL's.
---@return string?
function M.ca_file()
  for _, name in ipairs({ "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE" }) do
    local path = os.getenv(name)
    if path and path ~= "" then
      return path
    end
  end
  return nil
end

---Exchanges an access token for a JWT.
---@param url string where
---@param pat userdata secret
---@return {token: userdata, ends: integer}? answer
---@return pai.Error? err
function M.exchange(url, pat)
  local res, e = post(url, {
    headers = { ["content-type"] = "application/json" },
    body = json.seal({ token = pat }),
  })
  if not res and e.code == "EHTTP" and (e.status == 400 or e.status == 401) then
    return err.fail(
      "EACCES",
      "the service refused the access token: it is unknown or has expired",
      { http = e.status, hint = AGAIN.pat }
    )
  elseif not res then
    return nil, e
  end
  local answer = members(res)
  if type(answer.token) ~= "userdata" or answer.token == json.null then
    return err.fail("EPROTO", "the service's answer to the access token holds no token")
  end
  local ends = math.tointeger(tonumber(answer.expires_at)) or M.ends(answer.token)
  return { token = answer.token, ends = ends or os.time() + 300 }
end

-- The client that a login was made for. Upstream's client leaves it out after a login by password,
-- for which it takes what the service names for devices.
local function client_of(base, login)
  if login.client_id then
    return login.client_id
  end
  local res = http.request({
    url = base .. "/api/auth/login",
    timeout = TIMEOUT,
    ca_file = M.ca_file(),
    retries = 2,
  })
  local info = res and res:json()
  return type(info) == "table" and type(info.device_client_id) == "string" and info.device_client_id
    or ""
end

-- A new ID token of the identity provider; a new refresh token in the answer replaces the old one.
local function refresh(base, login)
  local res, e = post(login.refresh_url, {
    form = {
      grant_type = "refresh_token",
      refresh_token = login.refresh_token,
      client_id = client_of(base, login),
    },
  })
  if not res and e.code == "EHTTP" and (e.status == 400 or e.status == 401) then
    return err.fail("EACCES", "the login has ended: the identity provider refused to renew it", {
      http = e.status,
      hint = AGAIN.idp,
    })
  elseif not res then
    return nil, e
  end
  local answer = members(res)
  if type(answer.id_token) ~= "userdata" or answer.id_token == json.null then
    return err.fail("EPROTO", "the identity provider's answer holds no id_token")
  end
  local fresh = answer.refresh_token
  if type(fresh) == "userdata" and fresh ~= json.null then
    login.refresh_token = fresh
  end
  return { token = answer.id_token, ends = M.ends(answer.id_token) }
end

local function fits(url, login, base)
  if login.kind == "pat" then
    return url:sub(1, #base + 1) == base .. "/"
  end
  return require("pai.store.keys_ask").is_safe(url)
end

local function renewed(base, login)
  local url = login.refresh_url
  if login.kind == "pat" then
    url = url or base .. "/api/auth/jwt/access_token"
  end
  if not login.refresh_token or not url then
    return err.fail("EACCES", "the login has ended", { hint = AGAIN[login.kind] })
  elseif not fits(url, login, base) then
    return err.fail("EACCES", "the login file names a refresh_url that is not the service's", {
      hint = AGAIN[login.kind],
    })
  end
  if login.kind == "pat" then
    return M.exchange(url, login.refresh_token)
  end
  return refresh(base, login)
end

local function is_fresh(current)
  return current ~= nil and (not current.ends or current.ends - EARLY > os.time())
end

-- What another process may have put into the login file meanwhile.
local function reread(login, old)
  local now = login_file.load()
  if not now or now.url ~= login.url or now.kind ~= login.kind or not now.id_token then
    return nil
  end
  if old and now.id_token:equals(old) then
    return nil
  end
  local found = { token = now.id_token, ends = M.ends(now.id_token) }
  if not found.ends or not is_fresh(found) then
    return nil
  end
  login.refresh_token = now.refresh_token
  return found
end

-- Renews what is in the login file, and the file. One that cannot be written (in a task it is
-- read-only) is left as it is.
local function renew_stored(base, login, old)
  return login_file.locked(function()
    local found = reread(login, old)
    if found then
      return found
    end
    local current, e = renewed(base, login)
    if not current then
      return nil, e
    end
    login.id_token = current.token
    login_file.save(login)
    return current
  end)
end

---A source of bearers for a login.
---@param base string origin of the service
---@param login pai.osmo.Login
---@param stored boolean? it came from the login file, which is kept up to date
---@return fun(refused: userdata?): any, pai.Error? bearer refused: what was answered with 401
function M.bearer(base, login, stored)
  local current = login.id_token and { token = login.id_token, ends = M.ends(login.id_token) }
  if current and login.kind == "pat" and not current.ends then
    current = nil
  end
  local renewing
  return function(refused)
    while not is_fresh(current) or (refused and current.token:equals(refused)) do
      if renewing then
        local others = renewing
        others.event:wait()
        if others.failure then
          return nil, others.failure
        end
      else
        local mine = { event = task.event() }
        renewing = mine
        local old = current and current.token
        local ok, found, e = pcall(stored and renew_stored or renewed, base, login, old)
        renewing, current, mine.failure =
          nil, ok and found or current, ok and not found and e or nil
        mine.event:set()
        if not ok then
          error(found, 0)
        elseif not found then
          return nil, e
        end
        return found.token
      end
    end
    return current.token
  end
end

---Checks an access token with the service and keeps it in the login file.
---@param url string
---@param username string?
---@param pat userdata secret
---@return string? path
---@return pai.Error? err
function M.log_in(url, username, pat)
  url = url:gsub("/+$", "")
  local refresh_url = url .. "/api/auth/jwt/access_token"
  local answer, e = M.exchange(refresh_url, pat)
  if not answer then
    return nil, e
  end
  return login_file.save({
    kind = "pat",
    url = url,
    name = username,
    username = username,
    id_token = answer.token,
    refresh_token = pat,
    refresh_url = refresh_url,
  })
end

return M
