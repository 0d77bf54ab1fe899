-- Where the key for a store comes from: given by the caller, OSMO's config.yaml by profile, or, for
-- s3 and azure only, the environment and the files of their own command lines. What another way of
-- signing in would need is refused by name. Keys are handles from the file on.
local err = require("pai.err")
local fs = require("pai.fs")
local secret = require("pai.secret")
local sign = require("pai.sign")

local M = {}

---@class pai.store.Keys
---@field access_key_id string? of the S3 schemes
---@field access_key pai.secret.handle? the secret key; for azure a connection string
---@field session_token pai.secret.handle?
---@field account_key pai.secret.handle? of azure
---@field sas pai.secret.handle? of azure: a shared access signature
---@field connection_string pai.secret.handle? of azure
---@field region string?
---@field override_url string? the endpoint, with its scheme
---@field addressing_style "virtual"|"path"|"auto"|nil
---@field profile_endpoint string? what the AWS command line's profile names
---@field again? fun(): pai.store.Keys reads the key once more from where it was found
---@field turn integer? how often it has been read again
---@field anonymous boolean? requests carry no signature
---@field source string for messages

local SECRET <const> = { "access_key", "session_token" }

local function env(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

-- A secret of the environment, which never becomes a string; nil when it is not set.
local function from_env(name)
  local handle, e = secret.from_env(name)
  if not handle and e.code ~= "ENOENT" then
    error(e, 0)
  end
  return handle
end

local function private(path)
  local st = fs.stat(path)
  if st and st.mode & 63 ~= 0 then -- 0077
    err.raise("EACCES", ("%s holds keys and can be read by others"):format(path), {
      hint = "chmod 600 " .. path,
    })
  end
  return st ~= nil
end

local function read(path, form, names)
  local doc, e = sign.keys(path, form, names)
  if not doc then
    error(e, 0)
  end
  return doc
end

-- The entry of config.yaml; the profile may have been written with a slash at its end.
local function from_config(place)
  local path = require("pai.osmo.client_login").dir() .. "/config.yaml"
  if not private(path) then
    return nil, path
  end
  local doc = read(path, "yaml", SECRET)
  local data = type(doc.auth) == "table" and doc.auth.data
  local entry = type(data) == "table" and (data[place.profile] or data[place.profile .. "/"])
  if type(entry) ~= "table" then
    return nil, path
  end
  if not entry.access_key then
    err.raise("EINVAL", ("%s: the entry %s has no access_key"):format(path, place.profile))
  end
  return {
    access_key_id = entry.access_key_id,
    access_key = entry.access_key,
    session_token = entry.session_token,
    region = entry.region,
    override_url = entry.override_url,
    addressing_style = entry.addressing_style,
    source = ("%s, %s"):format(path, place.profile),
  }
end

-- Settings of a profile of the AWS command line that name another way to a key.
local ELSEWHERE <const> =
  { "credential_process", "sso_session", "sso_start_url", "role_arn", "web_identity_token_file" }

local function aws_file(name, fallback)
  return env(name) or (env("HOME") and env("HOME") .. "/.aws/" .. fallback)
end

local function from_aws_files()
  local profile = env("AWS_PROFILE") or "default"
  local found = {}
  local names = { "aws_secret_access_key", "aws_session_token" }
  local path = aws_file("AWS_SHARED_CREDENTIALS_FILE", "credentials")
  local config = aws_file("AWS_CONFIG_FILE", "config")
  local sections = {}
  if config and fs.exists(config) then
    local doc = read(config, "ini", names)
    sections[#sections + 1] = doc["profile " .. profile] or doc[profile]
  end
  if path and fs.exists(path) and private(path) then
    sections[#sections + 1] = read(path, "ini", names)[profile]
  end
  for _, section in ipairs(sections) do
    for key, value in pairs(type(section) == "table" and section or {}) do
      found[key] = value
    end
  end
  if not found.aws_secret_access_key then
    for _, key in ipairs(ELSEWHERE) do
      if found[key] then
        err.raise("ENOTSUP", ("the AWS profile '%s' uses %s"):format(profile, key), {
          hint = "put a key into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or into config.yaml",
        })
      end
    end
    return nil, found.region
  end
  return {
    access_key_id = found.aws_access_key_id,
    access_key = found.aws_secret_access_key,
    session_token = found.aws_session_token,
    region = found.region,
    profile_endpoint = found.endpoint_url,
    source = ("%s, profile %s"):format(path or config, profile),
  }
end

local ROLES <const> = {
  "AWS_WEB_IDENTITY_TOKEN_FILE",
  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
  "AWS_CONTAINER_CREDENTIALS_FULL_URI",
}

local function s3_ambient()
  local id, key = env("AWS_ACCESS_KEY_ID"), from_env("AWS_SECRET_ACCESS_KEY")
  if id and key then
    return {
      access_key_id = id,
      access_key = key,
      session_token = from_env("AWS_SESSION_TOKEN"),
      source = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    }
  end
  local keys = from_aws_files()
  if keys then
    return keys
  end
  for _, name in ipairs(ROLES) do
    if env(name) then
      err.raise("ENOTSUP", ("a key from %s is not supported"):format(name), {
        hint = "put a key into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or into config.yaml",
      })
    end
  end
end

local function azure_ambient(place)
  local whole = from_env("AZURE_STORAGE_CONNECTION_STRING")
  if whole then
    return { access_key = whole, source = "AZURE_STORAGE_CONNECTION_STRING" }
  end
  local account = env("AZURE_STORAGE_ACCOUNT")
  if account and account ~= place.account then
    return nil
  end
  local key = from_env("AZURE_STORAGE_KEY")
  if key then
    return { account_key = key, source = "AZURE_STORAGE_KEY" }
  end
  local sas = from_env("AZURE_STORAGE_SAS_TOKEN")
  if sas then
    return { sas = sas, source = "AZURE_STORAGE_SAS_TOKEN" }
  end
  for _, name in ipairs({ "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE" }) do
    if env(name) then
      err.raise("ENOTSUP", ("signing in to Azure with %s is not supported"):format(name), {
        hint = "use AZURE_STORAGE_CONNECTION_STRING, or a connection string in config.yaml",
      })
    end
  end
end

local KNOWN <const> = {
  access_key_id = "string",
  access_key = "userdata",
  session_token = "userdata",
  account_key = "userdata",
  sas = "userdata",
  connection_string = "userdata",
  region = "string",
  override_url = "string",
  addressing_style = "string",
  anonymous = "boolean",
}

-- What a caller gave: a key that is a Lua string is a mistake.
local function given(keys)
  local copy = { source = "the caller's keys" }
  for name, value in pairs(keys) do
    local want = KNOWN[name]
    if not want then
      err.raise("EINVAL", ("keys: '%s' is not known"):format(tostring(name)))
    elseif type(value) ~= want then
      local what = want == "userdata" and "a secret" or "a " .. want
      err.raise("EINVAL", ("keys: %s must be %s, not a %s"):format(name, what, type(value)))
    end
    copy[name] = value
  end
  copy.access_key = copy.access_key or copy.connection_string
  return copy
end

local STYLES <const> = { virtual = true, path = true, auto = true }

local function check(keys)
  local style = keys.addressing_style
  if style and not STYLES[style] then
    err.raise("EINVAL", ("%s: addressing_style '%s' is none"):format(keys.source, style), {
      hint = "virtual, path or auto",
    })
  end
  local url = keys.override_url
  if url and not url:find("^https?://[^/?#@%s]+[^?#@%s]*$") then
    err.raise(
      "EINVAL",
      ("%s: override_url must be http(s)://host[:port][/path]"):format(keys.source)
    )
  end
  return keys
end

---Finds the key for a place. Raises: `EACCES` for a key file that others can read, `ENOKEYS`,
---`ENOTSUP` for a way of signing in that pai does not have.
---@param place pai.store.Place
---@param keys? table what the caller gives in place of a search
---@return pai.store.Keys
function M.find(place, keys)
  if keys then
    return check(given(keys))
  end
  local found, path = from_config(place)
  if not found and place.scheme == "s3" then
    found = s3_ambient()
  elseif not found and place.scheme == "azure" then
    found = azure_ambient(place)
  end
  if not found then
    err.raise("ENOKEYS", ("no key for %s"):format(place.profile), {
      hint = ("pai looks in %s%s"):format(
        path,
        place.scheme == "s3" and ", AWS_ACCESS_KEY_ID and the files of the AWS command line"
          or place.scheme == "azure" and " and AZURE_STORAGE_CONNECTION_STRING"
          or ""
      ),
    })
  end
  found.again = function()
    return M.find(place)
  end
  return check(found)
end

return M
