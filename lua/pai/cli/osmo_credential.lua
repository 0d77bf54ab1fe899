-- pai osmo credential: keys for registries, object stores and tasks.
local args = require("pai.cli.args")
local command = require("pai.cli.osmo_command")
local common = require("pai.cli.osmo_common")
local err = require("pai.err")
local json = require("pai.json")
local out = require("pai.out")

local list = command.new({
  name = "list",
  summary = "list your credentials; never their values",
  usage = "",
  doc = "LOCAL says of keys for an object store whether this machine has them, too: without them "
    .. "`pai osmo data` cannot use the store, since the service gives no key back.",
  examples = { { "pai osmo credential list", "" } },
  ask = function(c)
    return c:credentials()
  end,
  json = function(found)
    return { credentials = json.array(found) }
  end,
  rows = function(found)
    local rows = { { "NAME", "TYPE", "PROFILE", "LOCAL" } }
    local here
    for _, c in ipairs(found) do
      local known = "-"
      if c.cred_type == "DATA" then
        here = here or select(2, require("pai.osmo.client_config").load())
        known = here[c.profile] and "yes" or "no"
      end
      rows[#rows + 1] = { c.cred_name, c.cred_type, common.shown(c.profile), known }
    end
    return rows
  end,
  none = "no credentials found",
})

local set = {
  name = "set",
  summary = "set a credential",
  usage = "NAME",
  doc = "REGISTRY has registry, username and auth; DATA has endpoint (such as s3://bucket), "
    .. "access_key_id, access_key and, if need be, region, override_url and addressing_style; "
    .. "GENERIC has any names. A secret is given by the variable, the file or standard input that "
    .. "holds it, and never on the command line. A DATA credential is also kept in OSMO's "
    .. "config.yaml on this machine, where `pai osmo data` finds it.",
  options = common.options(
    { name = "type", arg = "TYPE", doc = "GENERIC (default), REGISTRY or DATA" },
    { name = "payload", arg = "K=V", several = true, doc = "what is no secret: endpoint..." },
    { name = "payload-env", arg = "K=VAR", several = true, doc = "the value of a variable" },
    { name = "payload-file", arg = "K=FILE", several = true, doc = "a file's text; - is stdin" },
    { name = "replace", doc = "delete the one of this name first; it is not overwritten" }
  ),
  examples = {
    { "pai osmo credential set hf --payload-env token=HF_TOKEN", "for tasks: key `token`" },
    {
      "pai osmo credential set nvcr --type REGISTRY --payload registry=nvcr.io "
        .. "'username=$oauthtoken' --payload-file auth=key",
      "to pull images",
    },
    {
      "pai osmo credential set data --type DATA --payload endpoint=s3://bucket "
        .. "access_key_id=ID --payload-env access_key=KEY",
      "for tasks and for pai osmo data",
    },
  },
}

local TYPES <const> = { "GENERIC", "REGISTRY", "DATA" }

-- Fields that are no secret; every other one must not stand on a command line.
local PLAIN <const> = {
  registry = true,
  username = true,
  endpoint = true,
  region = true,
  override_url = true,
  addressing_style = true,
  access_key_id = true,
}

local function pieces(given, what)
  local found = {}
  for i, item in ipairs(given or {}) do
    local key, v = item:match("^([^=]+)=(.*)$")
    if not key then
      err.raise("EUSAGE", ("--%s is K=V, not '%s'"):format(what, item:match("^[^=]*")))
    end
    found[i] = { key, v }
  end
  return found
end

local function read_payload(opts, kind)
  local secret = require("pai.secret")
  local payload = {}
  local function put(key, v)
    if payload[key] ~= nil then
      err.raise("EUSAGE", ("'%s' is given twice"):format(key))
    end
    payload[key] = v
  end
  for _, item in ipairs(pieces(opts.payload, "payload")) do
    if kind == "GENERIC" or not PLAIN[item[1]] then
      err.raise("EUSAGE", ("'%s' would be seen on the command line"):format(item[1]), {
        hint = ("--payload-env %s=VARIABLE or --payload-file %s=FILE"):format(item[1], item[1]),
      })
    end
    put(item[1], item[2])
  end
  for _, item in ipairs(pieces(opts.payload_env, "payload-env")) do
    put(item[1], (common.checked(secret.from_env(item[2]))))
  end
  for _, item in ipairs(pieces(opts.payload_file, "payload-file")) do
    put(item[1], common.secret_file(item[2]))
  end
  return payload
end

-- What changes config.yaml after the service has taken the change; that it failed must be known to
-- be this machine's half only.
local function here(done, value, e)
  if value == nil then
    e.message = ("the service has %s, but the keys on this machine are as before: %s"):format(
      done,
      e.message
    )
    error(e, 0)
  end
  return value
end

---@param words string[]
---@param opts table
---@return integer exit code
function set.run(words, opts)
  args.count(words, 1, 1, "NAME")
  local kind = common.chosen({ opts.type or "GENERIC" }, "type", TYPES)[1]
  if not (opts.payload or opts.payload_env or opts.payload_file) then
    err.raise("EUSAGE", "the credential has no content", {
      hint = "--payload-env K=VARIABLE, --payload-file K=FILE; --payload K=V for what is no secret",
    })
  end
  local payload = read_payload(opts, kind)
  local config = require("pai.osmo.client_config")
  if kind == "DATA" then
    common.checked(config.load()) -- a file that cannot be changed is known before anything is sent
  end
  local ok, replaced = common.connect(opts):set_credential(words[1], {
    type = kind,
    payload = payload,
    replace = opts.replace,
  })
  common.checked(ok or nil, replaced)
  local file
  if replaced and replaced.cred_type == "DATA" and common.known(replaced.profile) then
    here("the credential", config.remove(replaced.profile))
  end
  if kind == "DATA" then
    here("the credential", config.put(payload))
    file = config.path()
  end
  if opts.json then
    common.print_json({ name = words[1], type = kind, file = file })
  else
    local where = file and ("; %s has its keys for pai osmo data"):format(file) or ""
    out.stdout(("credential %s is set%s\n"):format(words[1], where))
  end
  return 0
end

local delete = command.new({
  name = "delete",
  summary = "delete a credential, and the keys that this machine keeps for it",
  usage = "NAME",
  words = { 1, 1 },
  examples = { { "pai osmo credential delete hf", "" } },
  ask = function(c, _, words)
    local row, e = c:delete_credential(words[1])
    if row and row.cred_type == "DATA" and common.known(row.profile) then
      here("deleted the credential", require("pai.osmo.client_config").remove(row.profile))
    end
    return row, e
  end,
  json = command.done({ deleted = true }),
  text = function(_, words)
    return ("credential %s is deleted\n"):format(words[1])
  end,
})

return {
  command.group(
    "credential",
    "keys for registries, object stores and tasks",
    { set, list, delete },
    {
      leading = "format-type",
    }
  ),
}
