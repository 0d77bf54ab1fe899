-- pai osmo config update, set, rollback, tag, delete: what changes a configuration.
local command = require("pai.cli.osmo_command")
local common = require("pai.cli.osmo_common")
local config = require("pai.cli.osmo_config_common")
local err = require("pai.err")
local json = require("pai.json")
local secret = require("pai.secret")

-- How upstream's client writes each type, as a whole and one of its kind: the method, and the
-- member that holds it.
local PUT <const> = { "PUT", "configs" }
local PATCH <const> = { "PATCH", "configs_dict" }
local WRITES <const> = {
  SERVICE = { whole = PATCH },
  WORKFLOW = { whole = PATCH },
  BACKEND = { one = { "POST", "configs" } },
  POOL = { whole = PUT, one = PATCH },
  POD_TEMPLATE = { whole = PUT, one = PUT },
  GROUP_TEMPLATE = { whole = PUT, one = PUT },
  RESOURCE_VALIDATION = { whole = { "PUT", "configs_dict" }, one = PUT },
  BACKEND_TEST = { whole = PUT, one = PATCH },
  ROLE = { whole = PUT, one = PUT },
}

-- Members that never become a string: keys and tokens of stores, registries and services.
local SEALED <const> = {
  access_key = true,
  auth = true,
  client_secret = true,
  password = true,
  private_key = true,
  secret = true,
  slack_token = true,
  smtp_password = true,
  token = true,
}

local function is_map(v)
  return type(v) == "table" and not json.is_array(v)
end

-- Whether two values are the same; a secret is compared with the text that the service gave.
local function same(a, b)
  if type(a) == "userdata" and a ~= json.null and type(b) == "string" then
    return a:equals(assert(secret.join({ b })))
  elseif type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  for k, v in pairs(a) do
    if not same(v, b[k]) then
      return false
    end
  end
  for k in pairs(b) do
    if a[k] == nil then
      return false
    end
  end
  return true
end

-- What of the new value differs from the old one: nil when nothing does.
local function difference(new, old)
  if same(new, old) then
    return nil
  elseif not (is_map(new) and is_map(old)) then
    return new
  end
  local found = {}
  for k, v in pairs(new) do
    if old[k] == nil then
      found[k] = v
    else
      found[k] = difference(v, old[k])
    end
  end
  return next(found) ~= nil and found or nil
end

-- The one of its kind that has this name.
local function named(value, kind, name)
  value = type(value) == "table" and (value.pools or value.backends) or value
  local found = is_map(value) and value[name] or nil
  for _, item in ipairs(json.is_array(value) and value or {}) do
    found = found or (type(item) == "table" and item.name == name and item)
  end
  if found == nil then
    err.raise("ENOENT", ("there is no %s '%s'"):format(kind, name))
  end
  return found
end

local function read_file(path)
  local body, e = secret.from_file(path)
  if not body then
    error(e, 0)
  end
  local value, why = require("pai.yaml").decode(body, { secret = SEALED })
  if value == nil then
    err.raise("EPARSE", ("%s: %s"):format(path, why.message))
  end
  return value
end

-- What is sent of a new value: what differs where the service puts it into what is there, else all
-- of it; nil when nothing differs.
local function payload_of(request, new, old)
  if request.kind == "POOL" and request.how == PUT then
    new, old = new.pools or new, old.pools or old
  end
  local changed = difference(new, old)
  local method = request.how[1]
  if changed == nil or method == "PATCH" then
    return changed
  elseif method == "POST" then -- of a backend: whole fields
    local fields = {}
    for k in pairs(changed) do
      fields[k] = new[k]
    end
    return fields
  end
  return new
end

local update = command.new({
  name = "update",
  summary = "write a configuration, or one of its kind, from a file",
  usage = "TYPE [NAME] --file FILE --description TEXT",
  words = { 1, 2 },
  doc = config.KINDS
    .. " The file is JSON or YAML in the form of `config show`. Only what differs is sent where "
    .. "the service takes that; what is left out stays then as it is.",
  options = {
    { name = "file", short = "f", arg = "FILE", doc = "the new configuration" },
    config.DESCRIPTION,
    config.TAGS,
  },
  examples = {
    { "pai osmo config update pool gpu --file gpu.json --description 'more time'", "" },
  },
  read = function(words, opts)
    local kind, number = config.revision(words[1])
    local how = (WRITES[kind] or {})[words[2] and "one" or "whole"]
    if number then
      err.raise("EUSAGE", "a revision cannot be changed: pai osmo config rollback")
    elseif not how then
      local what = words[2] and "has no names" or "is written by name only"
      err.raise("EUSAGE", ("the configuration %s %s"):format(kind, what))
    elseif not opts.file then
      err.raise("EUSAGE", "missing --file FILE: pai opens no editor")
    end
    return { kind = kind, how = how, change = config.change(opts), new = read_file(opts.file) }
  end,
  ask = function(c, request, words)
    local old = common.checked(c:config(request.kind))
    if words[2] then
      old = named(old, request.kind, words[2])
    end
    local payload = payload_of(request, request.new, old)
    if payload == nil then
      return { changed = false }
    end
    local body = request.change
    body[request.how[2]] = payload
    local answer, e = c:config_write(request.kind, words[2], request.how[1], json.seal(body))
    return answer ~= nil and { changed = true } or nil, e
  end,
  text = function(answer, words)
    local what = answer.changed and "is written" or "is so already; nothing was sent"
    return ("%s %s\n"):format(table.concat(words, " "), what)
  end,
})

-- The roles that upstream's client makes for a pool and for a backend.
local function role_of(name, what, field)
  if what == "pool" then
    local pool = name:match("^osmo%-(.+)$")
    if not pool or field then
      err.raise("EUSAGE", "the role of a pool is named osmo-POOL, and has no --field")
    end
    local policy = { actions = { "workflow:*" }, resources = { ("pool/%s*"):format(pool) } }
    return { name = name, description = "the pool " .. pool, policies = { policy } }
  elseif what == "backend" then
    if not field then
      err.raise("EUSAGE", "missing --field BACKEND: which backend the role is for")
    end
    local policy = {
      actions = { "internal:Operator", "pool:List", "config:Read" },
      resources = { "backend/" .. field },
    }
    return {
      name = name,
      description = "the backend " .. field,
      policies = { policy },
    }
  end
  err.raise("EUSAGE", ("a role is one for a pool or a backend, not '%s'"):format(what))
end

local set = command.new({
  name = "set",
  summary = "make the role for a pool or for a backend",
  usage = "role NAME pool|backend --description TEXT",
  words = { 3, 3 },
  options = {
    { name = "field", arg = "NAME", doc = "of the backend that the role is for" },
    config.DESCRIPTION,
    config.TAGS,
  },
  examples = { { "pai osmo config set role osmo-gpu pool --description 'for the new pool'", "" } },
  read = function(words, opts)
    if config.revision(words[1]) ~= "ROLE" then
      err.raise("EUSAGE", "only roles can be set so: pai osmo config update")
    end
    local body = config.change(opts)
    body.configs = role_of(words[2], words[3]:lower(), opts.field)
    return body
  end,
  ask = function(c, body, words)
    return c:config_write("ROLE", words[2], "PUT", json.seal(body))
  end,
  json = function(_, words)
    return { type = "ROLE", name = words[2] }
  end,
  text = function(_, words)
    return ("role %s is set\n"):format(words[2])
  end,
})

local rollback = command.new({
  name = "rollback",
  summary = "make an old revision of a configuration the newest again",
  usage = "TYPE:REVISION --description TEXT",
  words = { 1, 1 },
  options = { config.DESCRIPTION, config.TAGS },
  examples = { { "pai osmo config rollback service:4 --description 'the old limits'", "" } },
  read = function(words, opts)
    local kind, number = config.revision(words[1], true)
    return { kind = kind, revision = number, change = config.change(opts) }
  end,
  ask = function(c, request)
    return c:config_rollback(request.kind, request.revision, request.change)
  end,
  json = command.done({ rolled_back = true }),
  text = function(_, words)
    return ("%s holds again\n"):format(words[1])
  end,
})

local tag = command.new({
  name = "tag",
  summary = "put tags on a revision of a configuration and take them off",
  usage = "TYPE[:REVISION]",
  words = { 1, 1 },
  options = {
    { name = "set", short = "s", arg = "TAG", several = true, doc = "put these on" },
    { name = "delete", short = "d", arg = "TAG", several = true, doc = "take these off" },
  },
  examples = { { "pai osmo config tag backend:5 --set good", "" } },
  read = function(words, opts)
    if not opts.set and not opts.delete then
      err.raise("EUSAGE", "missing --set TAG or --delete TAG")
    end
    local kind, number = config.revision(words[1])
    return { kind = kind, revision = number }
  end,
  ask = function(c, request, _, opts)
    local number = request.revision or common.checked(c:config_newest(request.kind))
    return c:config_tag(request.kind, number, { set = opts.set, delete = opts.delete })
  end,
  json = command.done({ tagged = true }),
  text = function(_, words)
    return ("the tags of %s are changed\n"):format(words[1])
  end,
})

local delete = command.new({
  name = "delete",
  summary = "delete a named configuration, or a revision from the history",
  usage = "TYPE NAME --description TEXT | TYPE:REVISION",
  words = { 1, 2 },
  options = { config.DESCRIPTION, config.TAGS },
  examples = {
    { "pai osmo config delete pool old --description 'nobody uses it'", "" },
    { "pai osmo config delete service:123", "a revision" },
  },
  read = function(words, opts)
    local kind, number = config.revision(words[1])
    if number and words[2] then
      err.raise("EUSAGE", "a revision or a name, not both")
    elseif not number and not words[2] then
      err.raise("EUSAGE", "missing NAME, or TYPE:REVISION")
    end
    return { kind = kind, revision = number, change = not number and config.change(opts) or nil }
  end,
  ask = function(c, request, words)
    if request.revision then
      return c:config_delete_revision(request.kind, request.revision)
    end
    return c:config_delete(request.kind, words[2], request.change)
  end,
  json = function(_, words)
    return { type = words[1], name = words[2], deleted = true }
  end,
  text = function(_, words)
    return ("%s is deleted\n"):format(table.concat(words, " "))
  end,
})

return { update, set, rollback, tag, delete }
