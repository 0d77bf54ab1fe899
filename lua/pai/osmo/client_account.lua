-- What belongs to a user of a service: credentials and access tokens.
local err = require("pai.err")
local http = require("pai.osmo.client_http")
local json = require("pai.json")

---@class pai.osmo.Client
local M = {}

local NAME <const> = "a letter, then letters, digits, '-' and '_', and no '-' or '_' at the end"

-- The rule of the service for names of credentials and tokens.
local function check_name(name, what)
  local body = name:match("^%a([%w_-]*)$")
  if body == nil or body:find("[_-]$") then
    return err.fail(
      "EINVAL",
      ("'%s' cannot be the name of %s: it must be %s"):format(name, what, NAME)
    )
  end
  return true
end

---@return {cred_name: string, cred_type: string, profile: string?}[]? credentials never payloads
---@return pai.Error? err
function M:credentials()
  local answer, e = self.transport:call("GET", "/api/credentials", {
    shape = { credentials = { list = { cred_name = "string", cred_type = "string" } } },
  })
  return answer and answer.credentials, e
end

-- What each type needs and may have.
local TYPES <const> = {
  GENERIC = { member = "generic_credential" },
  REGISTRY = {
    member = "registry_credential",
    needs = { "auth" },
    may = { registry = true, username = true, auth = true },
  },
  DATA = {
    member = "data_credential",
    needs = { "endpoint", "access_key_id", "access_key" },
    may = {
      endpoint = true,
      access_key_id = true,
      access_key = true,
      region = true,
      override_url = true,
      addressing_style = true,
    },
  },
}

local STORES <const> = { s3 = true, gs = true, swift = true, tos = true, azure = true }
local STYLES <const> = { virtual = true, path = true, auto = true }

local function check_data(payload)
  local endpoint = payload.endpoint
  if type(endpoint) ~= "string" then
    return err.fail("EINVAL", "the endpoint of a DATA credential is no secret: give it as text")
  elseif not STORES[endpoint:match("^(%w+)://[^/]") or ""] then
    return err.fail("EINVAL", ("'%s' is no storage URI"):format(endpoint), {
      hint = "such as s3://bucket or azure://account; an HTTP address goes into override_url",
    })
  elseif payload.addressing_style and not STYLES[payload.addressing_style] then
    return err.fail("EINVAL", "addressing_style is virtual, path or auto")
  end
  payload.endpoint = endpoint:gsub("/+$", "")
  return true
end

-- The payload as the service wants it, checked here so that no secret is sent for nothing.
local function payload_of(kind, given)
  local rules = TYPES[kind]
  if not rules then
    return err.fail("EINVAL", ("'%s' is no type of a credential"):format(tostring(kind)), {
      hint = "GENERIC, REGISTRY or DATA",
    })
  end
  local payload = {}
  for name, v in pairs(given) do
    if rules.may and not rules.may[name] then
      local list = table.concat(require("pai.text").keys(rules.may), ", ")
      return err.fail("EINVAL", ("a %s credential has no '%s'; it has %s"):format(kind, name, list))
    end
    payload[name] = v
  end
  for _, name in ipairs(rules.needs or {}) do
    if payload[name] == nil then
      return err.fail("EINVAL", ("a %s credential needs '%s'"):format(kind, name))
    end
  end
  if next(payload) == nil then
    return err.fail("EINVAL", "the credential is empty")
  end
  if kind == "DATA" then
    local ok, e = check_data(payload)
    if not ok then
      return nil, e
    end
  end
  return { [rules.member] = kind == "GENERIC" and { credential = payload } or payload }
end

local function credential_path(name)
  return "/api/credentials/" .. http.segment(name)
end

---Sets a credential. Its values are texts or secrets, which go into the request without ever being
---a Lua string.
---@param name string
---@param opts {type: "GENERIC"|"REGISTRY"|"DATA", payload: table<string, string|userdata>,
---  replace: boolean?} replace: one of that name is deleted first, since the service does not
---  overwrite it
---@return true?
---@return pai.Error|table|nil err or the one that was deleted {cred_name, cred_type, profile}
function M:set_credential(name, opts)
  local ok, e = check_name(name, "a credential")
  if not ok then
    return nil, e
  end
  local body
  body, e = payload_of(opts.type, opts.payload)
  if not body then
    return nil, e
  end
  local existing
  existing, e = self:credentials()
  if not existing then
    return nil, e
  end
  local found
  for _, c in ipairs(existing) do
    found = found or (c.cred_name == name and c)
  end
  local same = found
    and opts.type == "DATA"
    and found.cred_type == "DATA"
    and found.profile == body.data_credential.endpoint
  if found and not opts.replace and not same then
    return err.fail(
      "EEXIST",
      ("there is a credential '%s' (%s), and the service does not overwrite it"):format(
        name,
        found.cred_type
      ),
      { hint = "pass --replace to delete it first" }
    )
  elseif found and not same then
    local gone, why = self:delete_credential(name)
    if not gone then
      return nil, why
    end
  end
  local answer
  answer, e = self.transport:call("POST", credential_path(name), { body = json.seal(body) })
  if answer == nil then
    if found and not same then
      e.hint = ("the old credential '%s' is deleted; set it again"):format(name)
    end
    return nil, e
  end
  return true, not same and found or nil
end

---Deletes a credential; the keys of an object store that this machine keeps are not touched.
---@param name string
---@return {cred_name: string?, cred_type: string?, profile: string?}? deleted
---@return pai.Error? err
function M:delete_credential(name)
  local answer, e = self.transport:call("DELETE", credential_path(name))
  if answer == nil then
    return nil, e
  end
  return type(answer) == "table" and answer.credentials and answer.credentials[1] or {}
end

-- Another user's tokens are an admin's to manage.
local function token_path(user, name, tail)
  local base = "/api/auth/access_token"
  if user then
    base = ("/api/auth/user/%s/access_token"):format(http.segment(user))
  end
  return base .. (name and "/" .. http.segment(name) or "") .. (tail or "")
end

---@param user string? whose, in place of one's own
---@return table[]? tokens {user_name, token_name, expires_at, description, roles}
---@return pai.Error? err
function M:tokens(user)
  return self.transport:call("GET", token_path(user), {
    shape = { list = { token_name = "string" } },
  })
end

---@class pai.osmo.TokenOptions
---@field expires_at string a day, YYYY-MM-DD
---@field description string?
---@field roles string[]? default all of the user's
---@field user string? for whom, in place of oneself

---Makes an access token. Its value is given by the service this once.
---@param name string
---@param opts pai.osmo.TokenOptions
---@return userdata? token a secret
---@return pai.Error? err
function M:create_token(name, opts)
  local ok, e = check_name(name, "a token")
  if not ok then
    return nil, e
  end
  local res
  res, e = self.transport:send("POST", token_path(opts.user, name), {
    query = { expires_at = opts.expires_at, description = opts.description, roles = opts.roles },
    secret = true,
  })
  if not res then
    return nil, e
  end
  local list = require("pai.yaml").decode(
    assert(require("pai.secret").join({ "token: ", res.secret })),
    { schema = "1.1", secret = { token = true } }
  )
  local token = type(list) == "table" and list.token
  if type(token) ~= "userdata" or token == json.null then
    return err.fail("EPROTO", "the service's answer holds no token")
  end
  return token
end

---@param name string
---@param user string? whose
---@return true?
---@return pai.Error? err
function M:delete_token(name, user)
  local answer, e = self.transport:call("DELETE", token_path(user, name))
  return answer ~= nil and true or nil, e
end

---@param name string
---@return table? answer {user_name, token_name, roles: {role_name, assigned_by, assigned_at}[]}
---@return pai.Error? err
function M:token_roles(name)
  return self.transport:call("GET", token_path(nil, name, "/roles"), {
    shape = { roles = { list = { role_name = "string" } } },
  })
end

return M
