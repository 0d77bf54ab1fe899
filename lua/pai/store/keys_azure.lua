-- Ways to an Azure account where OSMO's config.yaml has no key: what the environment holds, and, as
-- Azure's SDKs do with their default credential, an identity of Entra ID: a service principal, a
-- workload's (AKS), a machine's or an app's managed identity, the login of the Azure command line.
--
-- Sources: azure-identity's documents (DefaultAzureCredential, environment variables), Microsoft
-- identity platform (client credentials flow), "How to use managed identities ... to acquire an
-- access token", App Service "REST endpoint reference", az account get-access-token reference.
local ask = require("pai.store.keys_ask")
local err = require("pai.err")
local files = require("pai.store.keys_file")
local settings = require("pai.store.settings")

local env = settings.env

local M = {}

local RESOURCE <const> = "https://storage.azure.com"
local AUTHORITY <const> = "https://login.microsoftonline.com"
local MACHINE <const> = "http://169.254.169.254"
local TOKEN <const> = { "access_token" }
local AZ <const> =
  { "az", "account", "get-access-token", "--output", "json", "--resource", RESOURCE .. "/" }

-- A token and its end, which Azure tells in one of several ways.
local function token_of(what, value, name)
  local token = value[name]
  if type(token) ~= "userdata" then
    err.raise("EPROTO", ("no token by %s: the answer holds none"):format(what))
  end
  local lasts = tonumber(value.expires_in)
  return {
    bearer = token,
    ends = ask.moment(value.expires_on) or os.time() + (lasts and lasts // 1 | 0 or 300),
  }
end

-- Where a tenant's tokens are asked for.
local function authority(tenant)
  local base = env("AZURE_AUTHORITY_HOST") or AUTHORITY
  if not base:find("://", 1, true) then
    base = "https://" .. base
  end
  if not ask.is_safe(base) or base:find("[?#]") then
    err.raise("EINVAL", "AZURE_AUTHORITY_HOST must be the https address of a server")
  elseif not tenant:find("^[%w.-]+$") then
    err.raise("EINVAL", "AZURE_TENANT_ID is the id or the name of a tenant")
  end
  return base:gsub("/+$", "") .. "/" .. tenant .. "/oauth2/v2.0/token"
end

-- A token for what proves the identity: a secret, or the token of a cluster.
local function by_proof(what, proof, on_host)
  local tenant, client = env("AZURE_TENANT_ID"), env("AZURE_CLIENT_ID")
  local url = authority(tenant)
  return {
    source = what,
    ask = function()
      local form = proof()
      form.grant_type, form.client_id = "client_credentials", client
      form.scope = RESOURCE .. "/.default"
      local value = ask.document(what, {
        url = url,
        method = "POST",
        form = form,
        on_host = on_host,
      }, TOKEN)
      return token_of(what, value, "access_token")
    end,
  }
end

local function by_secret(on_host)
  local value = files.from_env("AZURE_CLIENT_SECRET")
  return value
    and by_proof("AZURE_CLIENT_SECRET", function()
      return { client_secret = value }
    end, on_host)
end

local function by_workload(on_host)
  local path = env("AZURE_FEDERATED_TOKEN_FILE")
  return path
    and by_proof("AZURE_FEDERATED_TOKEN_FILE", function()
      return {
        client_assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        client_assertion = files.token("AZURE_FEDERATED_TOKEN_FILE", path),
      }
    end, on_host)
end

-- The identity of an app or a container that Azure runs.
local function by_app(on_host)
  local url = env("IDENTITY_ENDPOINT")
  if not url then
    return nil
  elseif env("IMDS_ENDPOINT") then
    err.raise("ENOTSUP", "the managed identity of Azure Arc is not supported", {
      hint = "use AZURE_STORAGE_CONNECTION_STRING, or a connection string in config.yaml",
    })
  elseif not url:find("^https?://[^/?#@%s]+[^?#@%s]*$") then
    err.raise("EINVAL", "IDENTITY_ENDPOINT must be http(s)://host[:port][/path]")
  end
  local header = files.from_env("IDENTITY_HEADER")
  if not header then
    return nil
  end
  local what = "IDENTITY_ENDPOINT"
  return {
    source = what,
    ask = function()
      local value = ask.document(what, {
        url = url,
        query = {
          ["api-version"] = "2019-08-01",
          resource = RESOURCE,
          client_id = env("AZURE_CLIENT_ID"),
        },
        headers = { ["x-identity-header"] = header },
        probe = url:find("^http://") ~= nil,
        timeout = "30s",
        on_host = on_host,
      }, TOKEN)
      return token_of(what, value, "access_token")
    end,
  }
end

-- A token of the machine's own service.
local function of_machine(on_host)
  local base = settings.url("AZURE_POD_IDENTITY_AUTHORITY_HOST") or MACHINE
  local what = "the managed identity of this machine"
  local res, e = ask.send({
    url = base:gsub("/+$", "") .. "/metadata/identity/oauth2/token",
    query = {
      ["api-version"] = "2018-02-01",
      resource = RESOURCE,
      client_id = env("AZURE_CLIENT_ID"),
    },
    headers = { metadata = "true" },
    secret = true,
    probe = true,
    on_host = on_host,
  })
  if not res then
    -- 400: this machine has no identity, or more than one.
    return nil, e.code == "EHTTP" and ask.refusal(what, e) or nil
  end
  local got = token_of(what, ask.members(what, res.secret, TOKEN), "access_token")
  got.from = what
  return got
end

---A token of this machine's identity, or of whoever is logged in with the Azure command line.
---@param on_host (fun(url: string))? who bounds the servers bounds the programs, too: no az then
---@return pai.store.Asked? keys
---@return pai.Error? err of a machine that has a metadata service
function M.machine(on_host)
  local found, e = of_machine(on_host)
  if found or on_host then
    return found, e
  end
  local what = "az account get-access-token"
  local value = ask.program(what, AZ, { "accessToken" })
  if not value then -- there is no az here
    return nil, e
  end
  local got = token_of(what, value, "accessToken")
  got.from = what
  return got
end

---Finds a key or an identity. Raises ENOTSUP for a way that pai does not have.
---@param place pai.store.Place
---@param on_host (fun(url: string))?
---@return pai.store.Keys? keys nil when the environment names no way
function M.find(place, on_host)
  local whole = files.from_env("AZURE_STORAGE_CONNECTION_STRING")
  if whole then
    return { access_key = whole, source = "AZURE_STORAGE_CONNECTION_STRING" }
  end
  local account = env("AZURE_STORAGE_ACCOUNT")
  if not account or account == place.account then
    local key = files.from_env("AZURE_STORAGE_KEY")
    if key then
      return { account_key = key, source = "AZURE_STORAGE_KEY" }
    end
    local sas = files.from_env("AZURE_STORAGE_SAS_TOKEN")
    if sas then
      return { sas = sas, source = "AZURE_STORAGE_SAS_TOKEN" }
    end
  end
  if env("AZURE_TENANT_ID") and env("AZURE_CLIENT_ID") then
    local found = by_secret(on_host)
    if found then
      return found
    elseif env("AZURE_CLIENT_CERTIFICATE_PATH") then
      err.raise("ENOTSUP", "signing in with AZURE_CLIENT_CERTIFICATE_PATH is not supported", {
        hint = "use AZURE_CLIENT_SECRET, or a connection string in config.yaml",
      })
    end
    found = by_workload(on_host)
    if found then
      return found
    end
  end
  return by_app(on_host)
end

return M
