-- Credentials: one folder each under STATE/engine/credentials/USER, one file a value (0600), beside
-- them what may be shown. Every value is opened as a secret as well, so that the masker of the
-- process keeps it out of logs, events, errors and the engine's own log.
local fs = require("pai.fs")
local json = require("pai.json")
local reply = require("pai.engine.reply")
local secret = require("pai.secret")
local text = require("pai.text")
local yaml = require("pai.yaml")

local M = {}

local NAME <const> = "^%a[%w_-]*$"

-- Members of the body, the type that each makes, and its fields: true must be there.
local TYPES <const> = {
  registry_credential = {
    type = "REGISTRY",
    fields = { registry = false, username = false, auth = true },
    secrets = { auth = true },
  },
  data_credential = {
    type = "DATA",
    fields = {
      endpoint = true,
      access_key_id = true,
      access_key = true,
      region = false,
      override_url = false,
      addressing_style = false,
    },
    secrets = { access_key = true, access_key_id = true },
  },
  generic_credential = { type = "GENERIC" },
}

local STYLES <const> = { virtual = true, path = true, auto = true }

-- A user's name as the name of a folder.
local function folder_of(user)
  return (user:gsub("[^%w@_-]", function(c)
    return ("%%%02x"):format(c:byte())
  end))
end

local function root(engine, user)
  return fs.join(engine.paths.credentials, folder_of(user))
end

local function read(dir)
  local body = fs.read(fs.join(dir, "shown.json"), { max = 65536 })
  local shown = body and json.decode(body)
  if type(shown) ~= "table" then
    return nil
  end
  shown.dir = dir
  if shown.profile == json.null then
    shown.profile = nil
  end
  return shown
end

---@class pai.engine.Credential
---@field name string
---@field type "GENERIC"|"REGISTRY"|"DATA"
---@field profile string?
---@field keys string[] sorted
---@field dir string

---A user's credentials, by name.
---@param engine pai.engine.Engine
---@param user string
---@return pai.engine.Credential[]
function M.list(engine, user)
  local out = {}
  local dir = root(engine, user)
  for _, name in ipairs(fs.list(dir) or {}) do
    out[#out + 1] = name:find(NAME) and read(fs.join(dir, name)) or nil
  end
  return out
end

---@param engine pai.engine.Engine
---@param user string
---@param name string
---@return pai.engine.Credential?
function M.find(engine, user, name)
  return name:find(NAME) and read(fs.join(root(engine, user), name)) or nil
end

---The file that holds a value.
---@param credential pai.engine.Credential
---@param key string
---@return string
function M.file(credential, key)
  return fs.join(credential.dir, "values", key)
end

---The value as a handle that an environment takes.
---@param credential pai.engine.Credential
---@param key string
---@return pai.secret.handle
function M.open(credential, key)
  local handle, e = secret.from_file(M.file(credential, key))
  if not handle then
    error(e, 0)
  end
  return handle
end

---The value itself, for the few sinks that take no handle.
---@param credential pai.engine.Credential
---@param key string
---@return string? nil when the credential has no such key
function M.value(credential, key)
  local body = fs.read(M.file(credential, key), { max = 1048576 })
  return body and (body:gsub("\r?\n$", ""))
end

-- Registers the values with the masker; the handles are kept as long as the engine lives.
local function guard(engine, credential)
  for _, key in ipairs(credential.secrets) do
    local handle = secret.from_file(M.file(credential, key))
    engine.secrets[#engine.secrets + 1] = handle
  end
end

local function shown(credential)
  return {
    cred_name = credential.name,
    cred_type = credential.type,
    profile = credential.profile or json.null,
  }
end

---Opens all values of all users, for the masker.
---@param engine pai.engine.Engine
function M.guard_all(engine)
  for _, folder in ipairs(fs.list(engine.paths.credentials) or {}) do
    for _, name in ipairs(fs.list(fs.join(engine.paths.credentials, folder)) or {}) do
      local credential = read(fs.join(engine.paths.credentials, folder, name))
      if credential then
        guard(engine, credential)
      end
    end
  end
end

local function invalid(name, what, input)
  reply.invalid({ { type = "value_error", loc = { "body", name }, msg = what, input = input } })
end

local function check_values(member, values, fields)
  for key, v in pairs(values) do
    if type(key) ~= "string" or type(v) ~= "string" then
      invalid(member, "Input should be a valid string", json.null)
    elseif fields and fields[key] == nil then
      invalid(member, "Extra inputs are not permitted: " .. key, json.null)
    elseif not key:find("^[%w_.-]+$") or key == "." or key == ".." then
      -- Kubernetes' rule for the keys of a Secret: each becomes a file.
      invalid(member, "a key may hold letters, digits, '-', '_' and '.' only", key)
    end
  end
  for key, needed in pairs(fields or {}) do
    if needed and (values[key] == nil or values[key] == "") then
      invalid(member, "Field required: " .. key, json.null)
    end
  end
  if next(values) == nil then
    invalid(member, "at least one value is needed", json.null)
  end
end

-- What a body says: kind, values and the profile that it is for.
local function parse(body)
  local member, values
  for name, v in pairs(body) do
    if not TYPES[name] then
      invalid(name, "Extra inputs are not permitted", json.null)
    elseif v ~= json.null then
      if member then
        reply.fail("CREDENTIAL", "Exactly one kind of credential must be given.")
      end
      member, values = name, v
    end
  end
  if not member or type(values) ~= "table" then
    reply.fail("CREDENTIAL", "Exactly one kind of credential must be given.")
  end
  local kind = TYPES[member]
  if member == "generic_credential" then
    if type(values.credential) ~= "table" or next(values, next(values)) ~= nil then
      invalid(member, "a map 'credential' of texts is needed", json.null)
    end
    values = values.credential
  end
  local given = {}
  for key, v in pairs(values) do
    if v ~= json.null then
      given[key] = v
    end
  end
  check_values(member, given, kind.fields)
  local profile
  if kind.type == "DATA" then
    given.endpoint = given.endpoint:gsub("/+$", "")
    profile = given.endpoint
    if not profile:find("^%a[%w+.-]*://[^/]") or profile:find("^https?://") then
      invalid(member, "endpoint must be a storage URI such as s3://bucket", profile)
    elseif given.addressing_style and not STYLES[given.addressing_style] then
      invalid(member, "addressing_style must be virtual, path or auto", given.addressing_style)
    end
  elseif kind.type == "REGISTRY" then
    profile = given.registry
    if not profile or profile == "" then
      profile = "docker.io"
    end
  end
  return kind, given, profile
end

local function write(dir, name, values, credential)
  local fresh = dir .. "/." .. name .. ".new"
  fs.remove(fresh, { recursive = true })
  local function must(ok, e)
    if not ok then
      error(e, 0)
    end
  end
  must(fs.mkdir(fresh .. "/values", { parents = true, mode = "0700" }))
  for key, v in pairs(values) do
    must(fs.write(fs.join(fresh, "values", key), v, { mode = "0600" }))
  end
  must(fs.write(fresh .. "/shown.json", json.encode(credential), { mode = "0600" }))
  fs.remove(fs.join(dir, name), { recursive = true })
  must(fs.rename(fresh, fs.join(dir, name)))
end

---Stores a credential. A DATA or REGISTRY one takes the place of what is there for its profile.
---@param engine pai.engine.Engine
---@param user string
---@param name string
---@param body table
function M.set(engine, user, name, body)
  if not name:find(NAME) or name:find("[_-]$") then
    reply.fail("CREDENTIAL", ("%s is no name of a credential."):format(name))
  end
  local kind, values, profile = parse(body)
  local dir = root(engine, user)
  fs.mkdir(dir, { parents = true, mode = "0700" })
  for _, old in ipairs(M.list(engine, user)) do
    local same = profile ~= nil and old.profile == profile and old.type == kind.type
    if old.name == name and not same then
      reply.fail("CREDENTIAL", ("Credential %s exists already; delete it first."):format(name))
    elseif same and old.name ~= name then
      fs.remove(old.dir, { recursive = true })
    end
  end
  local secrets = json.array({})
  for _, key in ipairs(text.keys(values)) do
    if not kind.secrets or kind.secrets[key] then
      secrets[#secrets + 1] = key
    end
  end
  write(dir, name, values, {
    name = name,
    type = kind.type,
    profile = profile or json.null,
    keys = json.array(text.keys(values)),
    secrets = secrets,
  })
  guard(engine, M.find(engine, user, name))
  engine.logins[user] = nil
end

---@param engine pai.engine.Engine
---@param user string
---@return table answer of GET /api/credentials
function M.answer(engine, user)
  local out = json.array({})
  for _, credential in ipairs(M.list(engine, user)) do
    out[#out + 1] = shown(credential)
  end
  return { credentials = out }
end

---@param engine pai.engine.Engine
---@param user string
---@param name string
---@return table answer
function M.delete(engine, user, name)
  local credential = M.find(engine, user, name)
  if not credential then
    reply.fail("CREDENTIAL", ("Credential %s is not found."):format(name))
  end
  fs.remove(credential.dir, { recursive = true })
  engine.logins[user] = nil
  return { credentials = json.array({ shown(credential) }) }
end

---Makes what a task finds at /osmo/login/config: who it is, and the user's keys of object stores.
---@param engine pai.engine.Engine
---@param user string
---@return string folder
function M.login_dir(engine, user)
  if engine.logins[user] then
    return engine.logins[user]
  end
  local data = {}
  for _, credential in ipairs(M.list(engine, user)) do
    if credential.type == "DATA" then
      local entry = {}
      for _, key in ipairs(credential.keys) do
        if key ~= "endpoint" then
          entry[key] = M.value(credential, key)
        end
      end
      data[credential.profile] = entry
    end
  end
  local dir = fs.join(engine.paths.config, folder_of(user))
  local login = yaml.encode({
    url = engine.base_url,
    name = engine.base_url,
    osmo_token = false,
    dev_login = { username = user },
    token_login = json.null,
  })
  local config = yaml.encode({ auth = { data = data } })
  for name, body in pairs({ ["login.yaml"] = login, ["config.yaml"] = config }) do
    local path = fs.join(dir, name)
    if fs.read(path) ~= body then
      fs.mkdir(dir, { parents = true, mode = "0700" })
      local ok, e = fs.write(path, body, { mode = "0600", sync = false })
      if not ok then
        error(e, 0)
      end
    end
  end
  engine.logins[user] = dir
  return dir
end

---The login for an image, by the longest registry scope that fits it.
---@param engine pai.engine.Engine
---@param user string
---@param image string
---@return {username: string?, password: string, serveraddress: string}?
function M.registry(engine, user, image)
  local best
  local full = image:find("^[^/]*[.:][^/]*/") and image
    or image:find("^localhost/") and image
    or "docker.io/" .. image
  for _, credential in ipairs(M.list(engine, user)) do
    local scope = credential.type == "REGISTRY" and credential.profile
    if
      scope
      and full:sub(1, #scope + 1):gsub("[:@]$", "/") == scope .. "/"
      and (not best or #scope > #best.profile)
    then
      best = credential
    end
  end
  return best
    and {
      username = M.value(best, "username"),
      password = M.value(best, "auth"),
      serveraddress = best.profile:match("^[^/]+"),
    }
end

return M
