-- pai osmo credential, token, config: what belongs to a user, and what an admin may look at.
local args = require("pai.cli.args")
local common = require("pai.cli.osmo_common")
local err = require("pai.err")
local json = require("pai.json")
local out = require("pai.out")
local text = require("pai.text")

local credential_list = {
  name = "list",
  summary = "list your credentials; never their values",
  usage = "",
  options = common.options(),
  examples = { { "pai osmo credential list", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function credential_list.run(words, opts)
  args.count(words, 0, 0, "")
  local found = common.checked(common.connect(opts):credentials())
  if opts.json then
    common.print_json({ credentials = json.array(found) })
    return 0
  end
  local rows = { { "NAME", "TYPE", "PROFILE" } }
  for _, c in ipairs(found) do
    rows[#rows + 1] = { c.cred_name, c.cred_type, common.shown(c.profile) }
  end
  out.stdout(#rows > 1 and text.columns(rows) or "no credentials found\n")
  return 0
end

local credential_set = {
  name = "set",
  summary = "set a credential",
  usage = "NAME",
  doc = "REGISTRY has registry, username and auth; DATA has endpoint (such as s3://bucket), "
    .. "access_key_id, access_key and, if need be, region, override_url and addressing_style; "
    .. "GENERIC has any names. A secret is given by the variable, the file or standard input that "
    .. "holds it, and never on the command line.",
  options = common.options(
    { name = "type", arg = "TYPE", doc = "GENERIC (default), REGISTRY or DATA" },
    { name = "payload", arg = "K=V", many = true, doc = "what is no secret: endpoint..." },
    { name = "payload-env", arg = "K=VAR", many = true, doc = "the value of a variable" },
    { name = "payload-file", arg = "K=FILE", many = true, doc = "a file's text; - is stdin" },
    { name = "replace", doc = "delete the one of this name first; it is not overwritten" }
  ),
  examples = {
    { "pai osmo credential set hf --payload-env token=HF_TOKEN", "for tasks: key `token`" },
    {
      "pai osmo credential set nvcr --type REGISTRY --payload registry=nvcr.io "
        .. "--payload 'username=$oauthtoken' --payload-file auth=key",
      "to pull images",
    },
  },
}

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

local function pieces(list, what)
  local found = {}
  for i, item in ipairs(list or {}) do
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

---@param words string[]
---@param opts table
---@return integer exit code
function credential_set.run(words, opts)
  args.count(words, 1, 1, "NAME")
  local kind = (opts.type or "GENERIC"):upper()
  local payload = read_payload(opts, kind)
  common.checked(common.connect(opts):set_credential(words[1], {
    type = kind,
    payload = payload,
    replace = opts.replace,
  }))
  if opts.json then
    common.print_json({ name = words[1], type = kind })
  else
    out.stdout(("credential %s is set\n"):format(words[1]))
  end
  return 0
end

local credential_delete = {
  name = "delete",
  summary = "delete a credential",
  usage = "NAME",
  options = common.options(),
  examples = { { "pai osmo credential delete hf", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function credential_delete.run(words, opts)
  args.count(words, 1, 1, "NAME")
  common.checked(common.connect(opts):delete_credential(words[1]))
  if opts.json then
    common.print_json({ name = words[1], deleted = true })
  else
    out.stdout(("credential %s is deleted\n"):format(words[1]))
  end
  return 0
end

local credential = {
  name = "credential",
  summary = "keys for registries, object stores and tasks",
  usage = "set|list|delete",
  commands = { credential_set, credential_list, credential_delete },
  examples = { { "pai osmo credential list", "" } },
}

local token_list = {
  name = "list",
  summary = "list your access tokens; never their values",
  usage = "",
  options = common.options(),
  examples = { { "pai osmo token list", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function token_list.run(words, opts)
  args.count(words, 0, 0, "")
  local found = common.checked(common.connect(opts):tokens())
  if opts.json then
    common.print_json({ tokens = json.array(found) })
    return 0
  end
  local rows = { { "NAME", "EXPIRES (UTC)", "ROLES", "DESCRIPTION" } }
  for _, t in ipairs(found) do
    rows[#rows + 1] = {
      t.token_name,
      common.moment(t.expires_at),
      table.concat(t.roles or {}, ","),
      common.shown(t.description),
    }
  end
  out.stdout(#rows > 1 and text.columns(rows) or "no tokens found\n")
  return 0
end

local token_set = {
  name = "set",
  summary = "make an access token and write it to a file",
  usage = "NAME",
  doc = "The service shows a token this once. It goes to a new file that only you can read, never "
    .. "to the terminal.",
  options = common.options(
    { name = "output", arg = "FILE", doc = "where to (must not exist)" },
    { name = "expires-at", arg = "DAY", doc = "YYYY-MM-DD (default: in 31 days)" },
    { name = "description", arg = "TEXT", doc = "what it is for" },
    { name = "roles", arg = "ROLE", many = true, doc = "one of your roles (default: all)" }
  ),
  examples = { { "pai osmo token set ci --output ci-token", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function token_set.run(words, opts)
  args.count(words, 1, 1, "NAME")
  local fs = require("pai.fs")
  if not opts.output then
    err.raise("EUSAGE", "missing --output FILE: a token is not printed")
  elseif fs.exists(opts.output) then
    err.raise("EUSAGE", ("%s is already there"):format(opts.output))
  end
  -- Made before the token is, so that there is a place for it.
  common.checked(fs.write(opts.output, "", { mode = 384 }))
  local expires = opts.expires_at or os.date("!%Y-%m-%d", os.time() + 31 * 86400)
  local token, e = common.connect(opts):create_token(words[1], {
    expires_at = expires,
    description = opts.description,
    roles = opts.roles,
  })
  if not token then
    fs.remove(opts.output)
    error(e, 0)
  end
  common.checked(require("pai.exec").run({ "cat" }, {
    stdin = token,
    stdout = { file = opts.output },
    timeout = "10s",
  }))
  if opts.json then
    common.print_json({ name = words[1], expires_at = expires, file = opts.output })
  else
    out.stdout(("token %s, until %s: %s\n"):format(words[1], expires, opts.output))
  end
  return 0
end

local token_delete = {
  name = "delete",
  summary = "delete an access token",
  usage = "NAME",
  options = common.options(),
  examples = { { "pai osmo token delete ci", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function token_delete.run(words, opts)
  args.count(words, 1, 1, "NAME")
  common.checked(common.connect(opts):delete_token(words[1]))
  if opts.json then
    common.print_json({ name = words[1], deleted = true })
  else
    out.stdout(("token %s is deleted\n"):format(words[1]))
  end
  return 0
end

local token_roles = {
  name = "roles",
  summary = "show what an access token may do",
  usage = "NAME",
  options = common.options(),
  examples = { { "pai osmo token roles ci", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function token_roles.run(words, opts)
  args.count(words, 1, 1, "NAME")
  local answer = common.checked(common.connect(opts):token_roles(words[1]))
  if opts.json then
    common.print_json(answer)
    return 0
  end
  local rows = { { "ROLE", "ASSIGNED BY", "ASSIGNED (UTC)" } }
  for _, r in ipairs(answer.roles or {}) do
    rows[#rows + 1] = { r.role_name, common.shown(r.assigned_by), common.moment(r.assigned_at) }
  end
  out.stdout(text.columns(rows))
  return 0
end

local token = {
  name = "token",
  summary = "access tokens",
  usage = "set|list|delete|roles",
  commands = { token_set, token_list, token_delete, token_roles },
  examples = { { "pai osmo token list", "" } },
}

local config_show = {
  name = "show",
  summary = "print a configuration of the service as JSON",
  usage = "TYPE [KEY...]",
  doc = "TYPE is service, workflow, backend, pool, pod_template, group_template, "
    .. "resource_validation, backend_test or role. Each KEY goes one level into it. Admins only.",
  options = common.options({ name = "verbose", doc = "of pools: with what they inherit" }),
  examples = { { "pai osmo config show pool pools gpu", "one pool" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function config_show.run(words, opts)
  args.count(words, 1, 20, "TYPE")
  local value = common.checked(common.connect(opts):config(words[1], { verbose = opts.verbose }))
  for i = 2, #words do
    local key = words[i]
    local inner = type(value) == "table" and (value[key] or value[math.tointeger(tonumber(key))])
    if inner == nil or inner == false then
      err.raise("ENOENT", ("the configuration %s has no '%s'"):format(words[1], key))
    end
    value = inner
  end
  out.stdout(json.encode(value, { pretty = not opts.json }) .. (opts.json and "\n" or ""))
  return 0
end

local config = {
  name = "config",
  summary = "configurations of the service",
  usage = "show",
  commands = { config_show },
  examples = { { "pai osmo config show workflow", "" } },
}

return { credential, token, config }
