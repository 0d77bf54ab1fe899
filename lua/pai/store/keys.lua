-- Where the key for a store comes from: given by the caller, OSMO's config.yaml by profile, or, for
-- s3 and azure only, as their SDKs find one: the environment, files, an identity. A way that pai
-- does not have is refused by name. Keys are handles from where they are found on.
local err = require("pai.err")
local files = require("pai.store.keys_file")

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
---@field bearer pai.secret.handle? of azure: a token of Entra ID
---@field ask? fun(): pai.store.Asked asks for the key; see pai.store.keys_ask
---@field ends integer? when a key that was asked for ends, seconds since 1970
---@field anonymous boolean? requests carry no signature
---@field source string for messages

local SECRET <const> = { "access_key", "session_token" }

-- The schemes whose keys are also looked for elsewhere, and who does.
local AMBIENT <const> = { s3 = "pai.store.keys_aws", azure = "pai.store.keys_azure" }

local SETTINGS <const> = { "region", "override_url", "addressing_style" }

-- The entry of config.yaml; the profile may have been written with a slash at its end. An entry
-- without a key, as OSMO writes it for tasks whose node has an identity, has settings only.
local function from_config(place)
  local path = require("pai.osmo.client_login").dir() .. "/config.yaml"
  if not files.is_private(path) then
    return nil, path
  end
  local doc = files.read(path, "yaml", SECRET)
  local data = type(doc.auth) == "table" and doc.auth.data
  local entry = type(data) == "table" and (data[place.profile] or data[place.profile .. "/"])
  if type(entry) ~= "table" then
    return nil, path
  end
  local bare = not entry.access_key and not entry.access_key_id
  if not entry.access_key and not (bare and AMBIENT[place.scheme]) then
    err.raise("EINVAL", ("%s: the entry %s has no access_key"):format(path, place.profile))
  end
  local keys = { source = ("%s, %s"):format(path, place.profile) }
  for _, names in ipairs({
    SETTINGS,
    bare and {} or { "access_key_id", "access_key", "session_token" },
  }) do
    for _, name in ipairs(names) do
      keys[name] = entry[name]
    end
  end
  return keys, path, bare
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

local WAYS <const> = {
  s3 = ", AWS_ACCESS_KEY_ID, the files of the AWS command line, a web identity, a container's and "
    .. "this machine's role",
  azure = ", AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, "
    .. "AZURE_CLIENT_ID with a secret or a federated token, a managed identity and the login of az",
}

local function no_keys(place, path, cause)
  local message = ("no key for %s"):format(place.profile)
  err.raise("ENOKEYS", cause and message .. ": " .. cause.message or message, {
    hint = "pai looks in " .. path .. (WAYS[place.scheme] or ""),
  })
end

-- The identity of this machine, which is asked for when a key is needed first.
local function of_machine(place, path, on_host)
  return {
    source = "this machine's identity",
    ask = function()
      local ok, found, why = pcall(require(AMBIENT[place.scheme]).machine, on_host)
      if not ok and err.is(found, "EACCES") then
        found, why = nil, found
      elseif not ok then
        error(found, 0)
      end
      return found or no_keys(place, path, why)
    end,
  }
end

---@class pai.store.FindOptions
---@field on_host (fun(url: string))? called before a server is asked for a key; may raise
---@field machine boolean? also the identity of this machine, which nothing names

---Finds the key for a place. Nothing is sent: a key that has to be asked for has `ask`. Raises:
---`EACCES` for a key file that others can read, `ENOKEYS`, `ENOTSUP` for a way of signing in that
---pai does not have.
---@param place pai.store.Place
---@param keys? table what the caller gives in place of a search
---@param opts? pai.store.FindOptions
---@return pai.store.Keys
function M.find(place, keys, opts)
  opts = opts or {}
  if keys then
    return check(given(keys))
  end
  local found, path, bare = from_config(place)
  local said = bare and found
  if (bare or not found) and AMBIENT[place.scheme] then
    found = require(AMBIENT[place.scheme]).find(place, opts.on_host)
    if not found and opts.machine then
      found = of_machine(place, path, opts.on_host)
    end
  end
  if not found then
    no_keys(place, path)
  end
  for _, name in ipairs(said and SETTINGS or {}) do
    found[name] = said[name] or found[name]
  end
  if not found.ask then
    found.again = function()
      return M.find(place, nil, opts)
    end
  end
  return check(found)
end

return M
