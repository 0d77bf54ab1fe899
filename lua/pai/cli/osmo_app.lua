-- pai osmo app: workflows that the service keeps under a name.
local args = require("pai.cli.args")
local command = require("pai.cli.osmo_command")
local common = require("pai.cli.osmo_common")
local err = require("pai.err")
local text = require("pai.text")

local VERSION <const> = { name = "version", arg = "N", doc = "this version (default: the newest)" }
local NAMED <const> = "NAME[:VERSION]"
local FILE <const> =
  { name = "file", short = "f", arg = "FILE", doc = "the workflow, in place of the word FILE" }

-- "name" or "name:version", as upstream writes it.
local function named(words, opts)
  local name, version = words[1]:match("^(.-):(%d+)$")
  return {
    name = name or words[1],
    version = math.tointeger(tonumber(version)) or common.integer(opts, "version"),
  }
end

local list = command.new({
  name = "list",
  summary = "list the stored workflows",
  usage = "",
  options = {
    { name = "name", short = "n", arg = "TEXT", doc = "whose name holds this" },
    common.USERS,
    common.ALL_USERS,
    common.COUNT,
    { name = "offset", arg = "N", doc = "leave out so many" },
    common.ORDER,
  },
  examples = { { "pai osmo app list --all-users", "" } },
  read = function(_, opts)
    common.check_users(opts)
    return {
      name = opts.name,
      users = opts.user,
      all_users = opts.all_users,
      limit = common.integer(opts, "count"),
      offset = common.integer(opts, "offset"),
      order = "DESC",
    }
  end,
  ask = function(c, request, _, opts)
    local newest_last = common.newest_last(opts)
    local answer, e = c:apps(request)
    if answer and newest_last then
      common.reverse(answer.apps or answer)
    end
    return answer, e
  end,
  rows = function(answer)
    local rows = { { "NAME", "OWNER", "VERSION", "CREATED (UTC)", "DESCRIPTION" } }
    for _, a in ipairs(answer.apps or answer) do
      rows[#rows + 1] = {
        common.shown(a.name),
        common.shown(a.owner),
        common.shown(a.latest_version or a.version),
        common.moment(a.created_date),
        text.one_line(common.shown(a.description)),
      }
    end
    return rows
  end,
  none = "no apps found",
})

local info = command.new({
  name = "info",
  summary = "show a stored workflow and its versions",
  usage = NAMED,
  words = { 1, 1 },
  options = { VERSION, common.COUNT, common.ORDER },
  examples = { { "pai osmo app info train", "" } },
  read = function(words, opts)
    local request = named(words, opts)
    request.limit = common.integer(opts, "count")
    request.order = common.newest_last(opts) and "ASC" or "DESC"
    return request
  end,
  ask = function(c, request)
    return c:app(request.name, request)
  end,
  text = function(answer, words)
    local rows = { { "VERSION", "STATUS", "CREATED (UTC)", "BY" } }
    for _, v in ipairs(answer.versions or {}) do
      rows[#rows + 1] = {
        common.shown(v.version),
        common.shown(v.status),
        common.moment(v.created_date),
        common.shown(v.created_by),
      }
    end
    return text.columns({
      { "Name", common.known(answer.name) and answer.name or words[1] },
      { "Owner", common.shown(answer.owner) },
      { "UUID", common.shown(answer.uuid) },
      { "Created", common.moment(answer.created_date) .. " UTC" },
      { "Description", text.one_line(common.shown(answer.description)) },
    }) .. "\n" .. text.columns(rows)
  end,
})

local function ask_spec(c, request)
  return c:app_spec(request.name, request)
end

local spec = command.new({
  name = "spec",
  summary = "print a stored workflow",
  usage = NAMED,
  words = { 1, 1 },
  options = { VERSION },
  examples = { { "pai osmo app spec train:2", "" } },
  read = named,
  ask = ask_spec,
  json = function(body, words)
    return { name = words[1], spec = text.utf8(body) }
  end,
  text = function(body)
    return body
  end,
})

local show = command.new({
  name = "show",
  summary = "show what a stored workflow is for, and which variables it takes",
  usage = NAMED,
  words = { 1, 1 },
  options = { VERSION },
  examples = { { "pai osmo app show train", "" } },
  read = named,
  ask = function(c, request)
    local about, e = c:app(request.name)
    local body = about and common.checked(ask_spec(c, request))
    if not body then
      return nil, e
    end
    local found = require("pai.osmo.spec_render").sections(body) or {}
    return {
      name = request.name,
      description = about.description,
      defaults = found["default-values"],
    }
  end,
  json = function(answer)
    local section = answer.defaults
    local read = section and require("pai.yaml").decode(section.text, { schema = "1.1" })
    return {
      name = answer.name,
      description = answer.description,
      default_values = type(read) == "table" and read["default-values"] or nil,
    }
  end,
  text = function(answer)
    local about = text.one_line(common.shown(answer.description)) .. "\n"
    local values = answer.defaults and answer.defaults.text:gsub("^[^\n]*\n?", "")
    if not values or values == "" then
      return about .. "\nit takes no variables\n"
    end
    return about .. "\nvariables, and what they are where --set says nothing:\n" .. values
  end,
})

local function save(name, summary, update)
  return command.new({
    name = name,
    summary = summary,
    usage = "NAME FILE",
    words = { 1, 2 },
    options = {
      FILE,
      not update and { name = "description", short = "d", arg = "TEXT", doc = "what it is for" }
        or nil,
    },
    examples = { { ("pai osmo app %s train flow.yaml"):format(name), "" } },
    read = function(words, opts)
      args.count(words, opts.file and 1 or 2, opts.file and 1 or 2, "FILE: pai opens no editor")
      if words[1]:find(":", 1, true) then
        err.raise("EUSAGE", ("'%s': a version gets its number from the service"):format(words[1]))
      end
      local path = opts.file or words[2]
      return {
        spec = common.checked(require("pai.fs").read(path, { max = 16 * 1024 * 1024 })),
        description = not update and (opts.description or "") or nil,
        update = update,
      }
    end,
    ask = function(c, request, words)
      return c:save_app(words[1], request)
    end,
    json = function(answer, words)
      return { name = words[1], answer = answer }
    end,
    text = function(answer, words)
      local version = type(answer) == "table" and answer.version
      local as = version and (" as version %s"):format(version) or ""
      return ("app %s is stored%s\n"):format(words[1], as)
    end,
  })
end

local delete = command.new({
  name = "delete",
  summary = "delete a stored workflow",
  usage = NAMED,
  words = { 1, 1 },
  options = { VERSION, { name = "all", short = "a", doc = "every version" }, common.FORCE },
  examples = { { "pai osmo app delete train:1 --force", "" } },
  read = function(words, opts)
    local request = named(words, opts)
    if not request.version and not opts.all then
      err.raise("EUSAGE", "which version: NAME:VERSION, or --all")
    elseif request.version and opts.all then
      err.raise("EUSAGE", "a version or --all, not both")
    end
    local what = opts.all and "all versions of " .. request.name
      or ("version %d of %s"):format(request.version, request.name)
    request.all_versions = opts.all
    request.sure = opts.force or common.confirm(("Delete %s?"):format(what), "--force")
    return request
  end,
  ask = function(c, request)
    return request.sure and c:delete_app(request.name, request)
  end,
  json = function(answer, words)
    return { name = words[1], answer = answer }
  end,
  text = function(answer, words)
    return answer and ("app %s is deleted\n"):format(words[1]) or "nothing was deleted\n"
  end,
})

local rename = command.new({
  name = "rename",
  summary = "rename a stored workflow",
  usage = "NAME NEW",
  words = { 2, 2 },
  options = { common.FORCE },
  examples = { { "pai osmo app rename train train-old --force", "" } },
  read = function(words, opts)
    if (words[1] .. words[2]):find(":", 1, true) then
      err.raise("EUSAGE", "a version cannot be renamed: NAME NEW without a ':'")
    end
    local question = ("Rename %s to %s?"):format(words[1], words[2])
    return opts.force or common.confirm(question, "--force")
  end,
  ask = function(c, sure, words)
    return sure and c:rename_app(words[1], words[2])
  end,
  json = function(answer, words)
    return { name = words[2], answer = answer }
  end,
  text = function(answer, words)
    return answer and ("app %s is now %s\n"):format(words[1], words[2]) or "nothing was renamed\n"
  end,
})

local submit = {
  name = "submit",
  summary = "submit a stored workflow",
  usage = NAMED,
  options = common.options(
    VERSION,
    common.SET,
    common.SET_STRING,
    common.SET_ENV,
    common.POOL,
    common.LABEL,
    common.PRIORITY,
    {
      name = "local-path",
      short = "l",
      arg = "DIR",
      doc = "where localpath files are (default: here)",
    },
    { name = "dry-run", doc = "print the rendered workflow; nothing is submitted" }
  ),
  refused = common.NO_RSYNC,
  examples = { { "pai osmo app submit train --set epochs=3 lr=0.1", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function submit.run(words, opts)
  args.count(words, 1, 1, NAMED)
  local app = named(words, opts)
  local answer = common.checked(common.connect(opts):submit_app(app.name, {
    version = app.version,
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
  command.group("app", "workflows that the service keeps under a name", {
    list,
    info,
    show,
    spec,
    save("create", "store a workflow under a new name", false),
    save("update", "store a new version of a workflow", true),
    delete,
    rename,
    submit,
  }),
}
