-- pai osmo task, profile, version: what runs, who one is, what one speaks to.
local args = require("pai.cli.args")
local command = require("pai.cli.osmo_command")
local common = require("pai.cli.osmo_common")
local err = require("pai.err")
local status = require("pai.osmo.client_status")
local text = require("pai.text")

-- What upstream's client asks for when no status is named.
local ALIVE <const> = { "PROCESSING", "SCHEDULING", "INITIALIZING", "RUNNING" }

local SIZES <const> = { "storage", "cpu", "memory", "gpu" }
local SIZES_HEAD <const> = { "STORAGE GiB", "CPU", "MEMORY GiB", "GPU" }

-- A table whose rows have these members of the entries.
local function table_of(head, members, entries)
  local rows = { head }
  for _, entry in ipairs(entries or {}) do
    local row = {}
    for i, name in ipairs(members) do
      row[i] = name == "start_time" and common.moment(entry[name]) or common.shown(entry[name])
    end
    rows[#rows + 1] = row
  end
  return rows
end

local function with_sizes(head, members)
  for i, name in ipairs(SIZES) do
    head[#head + 1], members[#members + 1] = SIZES_HEAD[i], name
  end
  return head, members
end

local function summary_rows(answer)
  local head, members = with_sizes(
    { "USER", "POOL", "PRIORITY", "WORKFLOW" },
    { "user", "pool", "priority", "workflow_id" }
  )
  return table_of(head, members, answer.summaries)
end

local function task_rows(answer, opts)
  if answer.summaries then
    return summary_rows(answer)
  end
  local head = { "WORKFLOW", "TASK", "STATUS", "USER", "NODE", "STARTED (UTC)" }
  local members = { "workflow_id", "task_name", "status", "user", "node", "start_time" }
  if opts.verbose then
    table.insert(head, "POOL")
    table.insert(members, "pool")
    table.insert(head, "PRIORITY")
    table.insert(members, "priority")
    with_sizes(head, members)
  else
    table.insert(head, "GPU")
    table.insert(members, "gpu")
  end
  return table_of(head, members, answer.tasks)
end

local task_list = command.new({
  name = "list",
  summary = "list the tasks of all runs",
  usage = "",
  options = {
    {
      name = "status",
      short = "s",
      arg = "STATUS",
      several = true,
      doc = "of these (default: alive)",
    },
    { name = "workflow-id", short = "w", arg = "TEXT", doc = "of runs whose id holds this" },
    common.USERS,
    common.ALL_USERS,
    common.POOLS,
    { name = "node", short = "n", arg = "NAME", several = true, doc = "on these nodes" },
    { name = "priority", arg = "P", several = true, doc = "HIGH, NORMAL or LOW" },
    { name = "started-after", arg = "DAY", doc = "YYYY-MM-DD, in your time zone" },
    { name = "started-before", arg = "DAY", doc = "the same" },
    common.COUNT,
    { name = "offset", short = "f", arg = "N", doc = "leave out so many" },
    common.ORDER,
    { name = "verbose", short = "v", doc = "with pool, priority and what each asks for" },
    { name = "summary", short = "S", doc = "what each user has in each pool" },
    { name = "aggregate-by-workflow", short = "W", doc = "what each run has" },
  },
  examples = { { "pai osmo task list --node node-1 --all-users", "who is there" } },
  read = function(_, opts)
    common.check_users(opts)
    if opts.summary and opts.verbose then
      err.raise("EUSAGE", "--summary or --verbose, not both")
    end
    local summed = opts.summary or opts.aggregate_by_workflow
    return {
      workflow_id = opts.workflow_id,
      statuses = common.statuses(opts, status.TASK) or (not summed and ALIVE or nil),
      users = opts.user,
      all_users = opts.all_users,
      pools = opts.pool,
      nodes = opts.node,
      priority = common.priorities(opts),
      started_after = common.day(opts, "started-after"),
      started_before = common.day(opts, "started-before"),
      limit = common.integer(opts, "count"),
      offset = common.integer(opts, "offset"),
      summary = opts.summary,
      by_workflow = opts.aggregate_by_workflow,
    }
  end,
  ask = function(c, request, _, opts)
    local newest_last = common.newest_last(opts)
    local answer, e = c:tasks(request)
    if answer and newest_last then
      common.reverse(answer.tasks or {})
    end
    return answer, e
  end,
  rows = task_rows,
  none = "no tasks found",
})

local profile_list = command.new({
  name = "list",
  summary = "show who you are: pool, roles, notifications",
  usage = "",
  examples = { { "pai osmo profile list", "" } },
  ask = function(c)
    return c:profile()
  end,
  text = function(settings)
    local p, token = settings.profile or {}, settings.token
    local rows = {
      { "User", common.shown(p.username) },
      { "Pool", common.shown(p.pool) },
      { "Pools", table.concat(settings.pools or {}, ", ") },
      { "Roles", table.concat(settings.roles or {}, ", ") },
      { "E-mail", common.shown(p.email_notification) },
      { "Slack", common.shown(p.slack_notification) },
    }
    if common.known(token) then
      rows[#rows + 1] =
        { "Token", ("%s, until %s UTC"):format(token.name, common.moment(token.expires_at)) }
    end
    return text.columns(rows)
  end,
})

local WHICH <const> = { email = "email_notification", slack = "slack_notification" }

local profile_set = command.new({
  name = "set",
  summary = "change your pool or notifications",
  usage = "pool NAME | notifications email|slack true|false",
  words = { 1, 3 },
  examples = {
    { "pai osmo profile set pool gpu", "your default pool" },
    { "pai osmo profile set notifications email false", "" },
  },
  read = function(words)
    if words[1] == "pool" then
      args.count(words, 2, 2, "NAME")
      return { pool = words[2] }
    elseif words[1] == "notifications" then
      args.count(words, 3, 3, "email|slack true|false")
      local name = WHICH[words[2]]
      if not name or (words[3] ~= "true" and words[3] ~= "false") then
        err.raise("EUSAGE", "notifications: email or slack, then true or false")
      end
      return { [name] = words[3] == "true" }
    end
    err.raise("EUSAGE", "what is to be set: pool NAME, or notifications email|slack true|false")
  end,
  ask = function(c, changes)
    local ok, e = c:set_profile(changes)
    return ok and { profile = changes } or nil, e
  end,
  text = function()
    return "the profile is changed\n"
  end,
})

local version = command.new({
  name = "version",
  summary = "print the version of the contract that the service speaks",
  usage = "",
  examples = { { "pai osmo version", "" } },
  ask = function(c)
    return c:version()
  end,
  text = function(v)
    return ("OSMO %s.%s.%s (%s)\n"):format(v.major, v.minor, v.revision, common.shown(v.hash))
  end,
})

return {
  command.group("task", "tasks of all runs", { task_list }),
  command.group("profile", "your pool and notifications", { profile_list, profile_set }),
  version,
}
