-- What OSMO keeps secret in a cluster. What is there stays as it is: a new password beside an old
-- volume locks the database, and a new master key makes what it holds unreadable. Values are
-- handles from their making to the request.
local crypto = require("pai.crypto")
local err = require("pai.err")
local exec = require("pai.exec")
local json = require("pai.json")
local secret = require("pai.secret")

local M = {}

---Marks a ConfigMap that holds a secret; see lua/pai/k8s/body.lua.
local HOLDS <const> = { ["pai/holds-secret"] = "true" }
local ABSENT <const> = { "NotFound" }
local KEY_BYTES <const> = 32

---The Secret with the credential for the registry, in each namespace.
M.PULL = "nvcr-secret"
---The ConfigMap of the master encryption key; the chart wants a ConfigMap.
M.MEK = "mek-config"

local function there(k, kind, namespace, name)
  local opts = { namespace = namespace, pick = { "metadata.name" }, accept = ABSENT }
  return k:get(kind, name, opts) ~= nil
end

-- 43 characters: what 32 bytes come to as base64url. osmo-service ends when it is another length.
local function token()
  return crypto.base64_encode(secret.generate(16), { url = true })
end

-- Exactly so many bytes of the system's own randomness, which never are a Lua string.
local function random_bytes(n)
  for _ = 1, 50 do
    local r, e = exec.run({ "head", "-c", tostring(n), "/dev/urandom" }, { stdout = "secret" })
    if not r then
      error(e, 0)
    elseif r.stdout:len() == n then -- a last byte that is a line end is cut off
      return r.stdout
    end
  end
  err.raise("EINTERNAL", "no random bytes can be had from /dev/urandom")
end

-- OSMO's format: {currentMek, meks = {ID = base64 of a symmetric JWK}}.
local function new_mek()
  local jwk = json.seal({
    k = crypto.base64_encode(random_bytes(KEY_BYTES), { url = true }),
    kid = "key1",
    kty = "oct",
  })
  local encoded = crypto.base64_encode(jwk)
  return assert(secret.join({ "currentMek: key1\nmeks:\n  key1: ", encoded, "\n" }))
end

local function object(kind, namespace, name, field, values, more)
  local made = {
    apiVersion = "v1",
    kind = kind,
    metadata = { name = name, namespace = namespace },
    [field] = values,
  }
  for key, value in pairs(more or {}) do
    made[key] = value
  end
  return made
end

-- Creates and never overwrites: another run may have been faster.
local function create(k, made)
  k:create(made, { namespace = made.metadata.namespace, accept = { "AlreadyExists" } })
end

local function generic(k, namespace, name, values)
  create(k, object("Secret", namespace, name, "stringData", values))
end

-- A password for a store. A volume without its password is a store that nobody can open.
local function password(k, conf, name, key, given, volume)
  local namespace = conf.namespaces.service
  if given then
    local known = k:secret(name, { namespace = namespace, accept = ABSENT })
    if not (known and known[key] and known[key]:equals(given)) then
      k:apply(object("Secret", namespace, name, "stringData", { [key] = given }), { force = true })
    end
  elseif not there(k, "secrets", namespace, name) then
    if volume and there(k, "persistentvolumeclaims", namespace, volume) then
      err.raise(
        "ESTATE",
        ("the volume %s is there, and the Secret %s is gone"):format(volume, name),
        {
          hint = "restore the Secret, or delete the volume and with it what it holds",
        }
      )
    end
    generic(k, namespace, name, { [key] = secret.generate(24) })
  end
end

-- The operator's token is the same in both namespaces.
local function operator_token(k, conf)
  local name, key = "osmo-operator-token", "token"
  local places = { conf.namespaces.service, conf.namespaces.operator }
  local known = {}
  for i, namespace in ipairs(places) do
    local values = k:secret(name, { namespace = namespace, accept = ABSENT })
    known[i] = values and values[key]
  end
  if known[1] and known[2] and not known[1]:equals(known[2]) then
    err.raise("ESTATE", ("%s differs between %s and %s"):format(name, places[1], places[2]), {
      hint = "delete the one that is wrong",
    })
  end
  local value = known[1] or known[2] or token()
  for i, namespace in ipairs(places) do
    if not known[i] then
      generic(k, namespace, name, { [key] = value })
    end
  end
end

local function mek(k, conf)
  local namespace = conf.namespaces.service
  if there(k, "configmaps", namespace, M.MEK) then
    return
  end
  local value
  if conf.mek_file then
    local e
    value, e = secret.from_file(conf.mek_file)
    if not value then
      error(e, 0)
    end
    value = assert(secret.join({ value, "\n" }))
  elseif conf.database_has_data then
    err.raise("ESTATE", "the database is in use, and its master key " .. M.MEK .. " is gone", {
      hint = "pass mek=FILE, as teardown exported it; or delete the database",
    })
  else
    value = new_mek()
  end
  local made = object("ConfigMap", namespace, M.MEK, "data", { ["mek.yaml"] = value })
  made.metadata.annotations = HOLDS
  create(k, made)
end

local function pull_config(conf)
  local user = "$oauthtoken"
  return json.seal({
    auths = {
      ["nvcr.io"] = {
        username = user,
        password = conf.ngc,
        auth = crypto.base64_encode(assert(secret.join({ user .. ":", conf.ngc }))),
      },
    },
  })
end

-- A key that was rotated is renewed at once.
local function pull_is_current(k, namespace, body)
  local known = k:secret(M.PULL, { namespace = namespace, accept = ABSENT })
  local value = known and known[".dockerconfigjson"]
  return value ~= nil and value:equals(body)
end

local function all_namespaces(conf)
  return { conf.namespaces.service, conf.namespaces.operator, conf.namespaces.workflows }
end

local NAMES <const> = {
  { "secrets", "db-secret" },
  { "secrets", "redis-secret" },
  { "secrets", "default-admin-secret" },
  { "secrets", "osmo-operator-token" },
  { "configmaps", M.MEK },
}

---Whether all is there already; a changed registry key or given password counts as missing.
---@param k pai.ctx.k8s
---@param conf pai.osmo_deploy.Conf
---@return boolean
function M.complete(k, conf)
  for _, name in ipairs(NAMES) do
    if not there(k, name[1], conf.namespaces.service, name[2]) then
      return false
    end
  end
  if not there(k, "secrets", conf.namespaces.operator, "osmo-operator-token") then
    return false
  end
  for _, given in ipairs({
    { "db", "db-secret", "db-password" },
    { "redis", "redis-secret", "redis-password" },
  }) do
    local value = conf[given[1]] and conf[given[1]].password
    local known = value and k:secret(given[2], { namespace = conf.namespaces.service })
    if value and not (known[given[3]] and known[given[3]]:equals(value)) then
      return false
    end
  end
  if conf.ngc then
    local body = pull_config(conf)
    for _, namespace in ipairs(all_namespaces(conf)) do
      if not pull_is_current(k, namespace, body) then
        return false
      end
    end
  end
  return true
end

---Makes what is missing.
---@param k pai.ctx.k8s
---@param conf pai.osmo_deploy.Conf
function M.ensure(k, conf)
  local db, redis = conf.db or {}, conf.redis or {}
  local own = not db.host
  password(k, conf, "db-secret", "db-password", db.password, own and "postgres-volume")
  password(k, conf, "redis-secret", "redis-password", redis.password, own and "redis-volume")
  if not there(k, "secrets", conf.namespaces.service, "default-admin-secret") then
    generic(k, conf.namespaces.service, "default-admin-secret", { password = token() })
  end
  operator_token(k, conf)
  if own then
    conf.database_has_data =
      there(k, "persistentvolumeclaims", conf.namespaces.service, "postgres-volume")
  end
  mek(k, conf)
  if conf.ngc then
    local body = pull_config(conf)
    for _, namespace in ipairs(all_namespaces(conf)) do
      if not pull_is_current(k, namespace, body) then
        local made = object("Secret", namespace, M.PULL, "data", { [".dockerconfigjson"] = body }, {
          type = "kubernetes.io/dockerconfigjson",
        })
        k:apply(made, { force = true })
      end
    end
  end
end

---The three credentials with which OSMO reaches its storage; all alike.
---@param k pai.ctx.k8s
---@param conf pai.osmo_deploy.Conf
---@param values table<string, any> access_key_id, access_key, endpoint, region, override_url,
---addressing_style: texts and handles
function M.storage(k, conf, values)
  for _, which in ipairs({ "data", "log", "app" }) do
    local name = ("osmo-workflow-%s-cred"):format(which)
    k:apply(object("Secret", conf.namespaces.service, name, "stringData", values), { force = true })
  end
end

---Whether the three are there.
---@param k pai.ctx.k8s
---@param conf pai.osmo_deploy.Conf
---@return boolean
function M.has_storage(k, conf)
  for _, which in ipairs({ "data", "log", "app" }) do
    local name = ("osmo-workflow-%s-cred"):format(which)
    if not there(k, "secrets", conf.namespaces.service, name) then
      return false
    end
  end
  return true
end

---Whether the three hold this very key: one that was rotated is renewed.
---@param k pai.ctx.k8s
---@param conf pai.osmo_deploy.Conf
---@param access_key pai.secret.handle
---@return boolean
function M.storage_has(k, conf, access_key)
  for _, which in ipairs({ "data", "log", "app" }) do
    local known = k:secret(("osmo-workflow-%s-cred"):format(which), {
      namespace = conf.namespaces.service,
      accept = ABSENT,
      keys = { "access_key" },
    })
    if not (known and known.access_key and known.access_key:equals(access_key)) then
      return false
    end
  end
  return true
end

---Writes the master key into a new file for its owner only.
---@param k pai.ctx.k8s
---@param conf pai.osmo_deploy.Conf
---@param path string absolute; may not be there yet, unless it holds this very key
---@return boolean exported false when the cluster has none
function M.export_mek(k, conf, path)
  local values = k:sealed(M.MEK, { namespace = conf.namespaces.service, accept = ABSENT })
  local value = values and values["mek.yaml"]
  if not value then
    return false
  end
  if require("pai.fs").exists(path) then
    local old = secret.from_file(path)
    if old and assert(secret.join({ old, "\n" })):equals(value) then
      return true
    end
    err.raise("EEXIST", path .. " is there and holds something else", {
      hint = "name another file: no key is overwritten",
    })
  end
  local r, e = exec.run({ "cat" }, { stdin = value, stdout = { file = path, mode = 384 } })
  if not r then
    error(e, 0)
  end
  return true
end

return M
