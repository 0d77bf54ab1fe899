-- What belongs to a user of a service: credentials, access tokens, stored workflows; and the
-- configuration that an admin may look at.
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
  local answer, e = self.transport:call("GET", "/api/credentials")
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
---@return pai.Error? err
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
  return true
end

---@param name string
---@return true?
---@return pai.Error? err
function M:delete_credential(name)
  local answer, e = self.transport:call("DELETE", credential_path(name))
  return answer ~= nil and true or nil, e
end

local function token_path(name, tail)
  return "/api/auth/access_token/" .. http.segment(name) .. (tail or "")
end

---@return table[]? tokens {user_name, token_name, expires_at, description, roles}
---@return pai.Error? err
function M:tokens()
  return self.transport:call("GET", "/api/auth/access_token")
end

---Makes an access token. Its value is given by the service this once.
---@param name string
---@param opts {expires_at: string, description: string?, roles: string[]?} a day, YYYY-MM-DD
---@return userdata? token a secret
---@return pai.Error? err
function M:create_token(name, opts)
  local ok, e = check_name(name, "a token")
  if not ok then
    return nil, e
  end
  local res
  res, e = self.transport:send("POST", token_path(name), {
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
---@return true?
---@return pai.Error? err
function M:delete_token(name)
  local answer, e = self.transport:call("DELETE", token_path(name))
  return answer ~= nil and true or nil, e
end

---@param name string
---@return table? answer {user_name, token_name, roles: {role_name, assigned_by, assigned_at}[]}
---@return pai.Error? err
function M:token_roles(name)
  return self.transport:call("GET", token_path(name, "/roles"))
end

---A configuration of the service; needs the right config:Read.
---@param kind string such as "pool" or "pod_template"
---@param opts {name: string?, verbose: boolean?}?
---@return any
---@return pai.Error? err
function M:config(kind, opts)
  opts = opts or {}
  local path = "/api/configs/" .. http.segment(kind:lower())
  if opts.name then
    path = path .. "/" .. http.segment(opts.name)
  end
  return self.transport:call("GET", path, { query = { verbose = opts.verbose and "True" or nil } })
end

local function app_path(name, tail)
  return "/api/app/user/" .. http.segment(name) .. (tail or "")
end

---@class pai.osmo.AppListOptions
---@field users string[]?
---@field all_users boolean?
---@field name string?
---@field order "ASC"|"DESC"|nil
---@field limit integer?
---@field offset integer?

---@param opts pai.osmo.AppListOptions?
---@return any
---@return pai.Error? err
function M:apps(opts)
  opts = opts or {}
  return self.transport:call("GET", "/api/app", {
    query = {
      users = opts.users,
      all_users = opts.all_users and "True" or nil,
      name = opts.name,
      order = opts.order,
      limit = opts.limit,
      offset = opts.offset,
    },
  })
end

---@param name string
---@param opts {version: integer?, limit: integer?, order: "ASC"|"DESC"|nil}?
---@return any
---@return pai.Error? err
function M:app(name, opts)
  opts = opts or {}
  return self.transport:call("GET", app_path(name), {
    query = { version = opts.version, limit = opts.limit, order = opts.order },
  })
end

---Submits a stored workflow.
---@param name string
---@param opts pai.osmo.SubmitOptions and version; localpath files are looked for in dir
---@return table? answer as of submit
---@return pai.Error? err
function M:submit_app(name, opts)
  local found, e = self:app(name, { version = opts.version, limit = 1 })
  if not found then
    return nil, e
  end
  local version = found.versions and found.versions[1]
  if not found.uuid or not version then
    return err.fail("EPROTO", "the service's answer names no version of the app " .. name)
  end
  local spec
  spec, e = self:app_spec(name, { version = opts.version })
  if not spec then
    return nil, e
  end
  local request = { spec = spec, app = { uuid = found.uuid, version = version.version } }
  for key, v in pairs(opts) do
    request[key] = key ~= "version" and v or nil
  end
  return self:submit(request)
end

---@param name string
---@param opts {version: integer?}?
---@return string? yaml
---@return pai.Error? err
function M:app_spec(name, opts)
  local res, e = self.transport:send("GET", app_path(name, "/spec"), {
    query = { version = opts and opts.version },
  })
  return res and res.body, e
end

---Stores a workflow under a name, or a new version of it.
---@param name string
---@param opts {spec: string, description: string?, update: boolean?}
---@return any
---@return pai.Error? err
function M:save_app(name, opts)
  return self.transport:call(opts.update and "PATCH" or "POST", app_path(name), {
    query = { description = opts.description },
    json = opts.spec,
  })
end

---@param name string
---@param opts {version: integer?, all_versions: boolean?}
---@return any
---@return pai.Error? err
function M:delete_app(name, opts)
  return self.transport:call("DELETE", app_path(name), {
    query = { version = opts.version, all_versions = opts.all_versions and "True" or nil },
  })
end

---@param name string
---@param new_name string
---@return any
---@return pai.Error? err
function M:rename_app(name, new_name)
  return self.transport:call("POST", app_path(name, "/rename"), { json = new_name })
end

return M
