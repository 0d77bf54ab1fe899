-- pai osmo app: workflows that the service keeps under a name.
local args = require("pai.cli.args")
local common = require("pai.cli.osmo_common")
local out = require("pai.out")
local text = require("pai.text")

local VERSION <const> = { name = "version", arg = "N", doc = "this version (default: the newest)" }

-- "name" or "name:version", as upstream writes it.
local function named(words, opts)
  args.count(words, 1, 1, "NAME[:VERSION]")
  local name, version = words[1]:match("^(.-):(%d+)$")
  return name or words[1], math.tointeger(tonumber(version)) or common.integer(opts, "version")
end

local list = {
  name = "list",
  summary = "list the stored workflows",
  usage = "",
  options = common.options(
    { name = "name", arg = "TEXT", doc = "whose name holds this" },
    { name = "user", arg = "NAME", many = true, doc = "of this user" },
    { name = "all-users", doc = "of everybody" },
    { name = "count", arg = "N", doc = "so many at most (default 20)" },
    { name = "offset", arg = "N", doc = "leave out so many" }
  ),
  examples = { { "pai osmo app list --all-users", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function list.run(words, opts)
  args.count(words, 0, 0, "")
  local answer = common.checked(common.connect(opts):apps({
    name = opts.name,
    users = opts.user,
    all_users = opts.all_users,
    limit = common.integer(opts, "count"),
    offset = common.integer(opts, "offset"),
  }))
  if opts.json then
    common.print_json(answer)
    return 0
  end
  local rows = { { "NAME", "OWNER", "VERSION", "DESCRIPTION" } }
  for _, a in ipairs(answer.apps or answer) do
    rows[#rows + 1] = {
      common.shown(a.name),
      common.shown(a.owner),
      common.shown(a.latest_version or a.version),
      common.shown(a.description),
    }
  end
  out.stdout(#rows > 1 and text.columns(rows) or "no apps found\n")
  return 0
end

local info = {
  name = "info",
  summary = "show a stored workflow and its versions",
  usage = "NAME[:VERSION]",
  options = common.options(VERSION),
  examples = { { "pai osmo app info train", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function info.run(words, opts)
  local name, version = named(words, opts)
  local answer = common.checked(common.connect(opts):app(name, { version = version }))
  if opts.json then
    common.print_json(answer)
  else
    out.stdout(require("pai.yaml").encode(answer))
  end
  return 0
end

local spec = {
  name = "spec",
  summary = "print a stored workflow",
  usage = "NAME[:VERSION]",
  options = common.options(VERSION),
  examples = { { "pai osmo app spec train:2", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function spec.run(words, opts)
  local name, version = named(words, opts)
  local body = common.checked(common.connect(opts):app_spec(name, { version = version }))
  if opts.json then
    common.print_json({ name = name, spec = text.utf8(body) })
  else
    out.stdout(body)
  end
  return 0
end

local function save(name, summary, update)
  local command = {
    name = name,
    summary = summary,
    usage = "NAME FILE",
    options = common.options(
      not update and { name = "description", arg = "TEXT", doc = "what it is for" } or nil
    ),
    examples = { { ("pai osmo app %s train flow.yaml"):format(name), "" } },
  }
  function command.run(words, opts)
    args.count(words, 2, 2, "NAME FILE")
    local body = common.checked(require("pai.fs").read(words[2], { max = 16 * 1024 * 1024 }))
    local answer = common.checked(common.connect(opts):save_app(words[1], {
      spec = body,
      description = not update and (opts.description or "") or nil,
      update = update,
    }))
    if opts.json then
      common.print_json({ name = words[1], answer = answer })
    else
      out.stdout(("app %s is stored\n"):format(words[1]))
    end
    return 0
  end
  return command
end

local delete = {
  name = "delete",
  summary = "delete a stored workflow",
  usage = "NAME[:VERSION]",
  options = common.options(VERSION, { name = "all", doc = "every version" }),
  examples = { { "pai osmo app delete train:1", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function delete.run(words, opts)
  local name, version = named(words, opts)
  if not version and not opts.all then
    require("pai.err").raise("EUSAGE", "which version: NAME:VERSION, or --all")
  end
  local answer = common.checked(common.connect(opts):delete_app(name, {
    version = version,
    all_versions = opts.all,
  }))
  if opts.json then
    common.print_json({ name = name, answer = answer })
  else
    out.stdout(("app %s is deleted\n"):format(words[1]))
  end
  return 0
end

local rename = {
  name = "rename",
  summary = "rename a stored workflow",
  usage = "NAME NEW",
  options = common.options(),
  examples = { { "pai osmo app rename train train-old", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function rename.run(words, opts)
  args.count(words, 2, 2, "NAME NEW")
  local answer = common.checked(common.connect(opts):rename_app(words[1], words[2]))
  if opts.json then
    common.print_json({ name = words[2], answer = answer })
  else
    out.stdout(("app %s is now %s\n"):format(words[1], words[2]))
  end
  return 0
end

local submit = {
  name = "submit",
  summary = "submit a stored workflow",
  usage = "NAME[:VERSION]",
  options = common.options(
    VERSION,
    common.SET,
    common.SET_STRING,
    common.SET_ENV,
    common.POOL,
    common.LABEL,
    common.PRIORITY,
    { name = "local-path", arg = "DIR", doc = "where localpath files are (default: here)" },
    { name = "dry-run", doc = "print the rendered workflow; nothing is submitted" }
  ),
  examples = { { "pai osmo app submit train --set epochs=3", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function submit.run(words, opts)
  local name, version = named(words, opts)
  local answer = common.checked(common.connect(opts):submit_app(name, {
    version = version,
    dir = opts.local_path or ".",
    pool = opts.pool,
    variables = opts.set,
    string_variables = opts.set_string,
    env = opts.set_env,
    labels = opts.label,
    priority = opts.priority and opts.priority:upper(),
    dry_run = opts.dry_run,
  }))
  common.print_submitted(answer, opts)
  return 0
end

return {
  {
    name = "app",
    summary = "workflows that the service keeps under a name",
    usage = "list|info|spec|create|update|delete|rename|submit",
    commands = {
      list,
      info,
      spec,
      save("create", "store a workflow under a new name", false),
      save("update", "store a new version of a workflow", true),
      delete,
      rename,
      submit,
    },
    examples = { { "pai osmo app list", "" } },
  },
}
