-- pai osmo pools, pool, resource, task, profile, version: what a service says of itself.
local args = require("pai.cli.args")
local common = require("pai.cli.osmo_common")
local err = require("pai.err")
local json = require("pai.json")
local out = require("pai.out")
local text = require("pai.text")

local pools = {
  name = "pools",
  summary = "list the pools",
  usage = "",
  options = common.options(),
  examples = { { "pai osmo pools --json", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function pools.run(words, opts)
  args.count(words, 0, 0, "")
  local found = common.checked(common.connect(opts):pools())
  if opts.json then
    common.print_json({ pools = found })
    return 0
  end
  local rows = { { "POOL", "STATUS", "PLATFORMS", "DESCRIPTION" } }
  for _, name in ipairs(text.keys(found)) do
    local p = found[name]
    rows[#rows + 1] = {
      name,
      p.status,
      table.concat(text.keys(p.platforms or {}), ","),
      common.shown(p.description),
    }
  end
  out.stdout(text.columns(rows))
  return 0
end

local function count(v)
  return v and (v == -1 and "no limit" or ("%.14g"):format(v)) or "-"
end

local pool_list = {
  name = "list",
  summary = "GPUs of the pools: quota, and what is free",
  usage = "",
  doc = "A NORMAL or HIGH job can get the lesser of QUOTA FREE and TOTAL FREE, a LOW one what is "
    .. "free in all. Pools that share nodes show the same totals.",
  options = common.options(
    { name = "pool", arg = "NAME", many = true, doc = "only this pool (default: all)" },
    { name = "mode", arg = "used|free", doc = "which figures (default: used)" }
  ),
  examples = { { "pai osmo pool list --mode free", "what can be had now" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function pool_list.run(words, opts)
  args.count(words, 0, 0, "")
  local mode = opts.mode or "used"
  if mode ~= "used" and mode ~= "free" then
    err.raise("EUSAGE", ("--mode is used or free, not '%s'"):format(mode))
  end
  local quota = common.checked(common.connect(opts):quota({ pools = opts.pool }))
  if opts.json then
    common.print_json(quota.raw)
    return 0
  end
  local free = mode == "free"
  local rows = {
    free and { "POOL", "STATUS", "QUOTA FREE", "TOTAL FREE" }
      or { "POOL", "STATUS", "QUOTA USED", "QUOTA LIMIT", "TOTAL USAGE", "TOTAL CAPACITY" },
  }
  for _, p in ipairs(quota.pools) do
    rows[#rows + 1] = free and { p.name, p.status, count(p.quota_free), count(p.total_free) }
      or {
        p.name,
        p.status,
        count(p.quota_used),
        count(p.quota_limit),
        count(p.total_usage),
        count(p.total_capacity),
      }
  end
  out.stdout(text.columns(rows))
  return 0
end

local pool = {
  name = "pool",
  summary = "pools and their GPUs",
  usage = "list",
  commands = { pool_list },
  examples = { { "pai osmo pool list", "quota and usage" } },
}

local resource_list = {
  name = "list",
  summary = "list the nodes and what they have",
  usage = "",
  options = common.options(
    { name = "pool", arg = "NAME", many = true, doc = "of this pool (default: yours)" },
    { name = "platform", arg = "NAME", many = true, doc = "of this platform of the pools" },
    { name = "all", doc = "of all pools" }
  ),
  examples = { { "pai osmo resource list --all --json", "" } },
}

-- A field of a node; a node without GPUs may have none.
local function field(r, name)
  local v = (r.exposed_fields or {})[name]
  return common.known(v) and tostring(v) or "0"
end

---@param words string[]
---@param opts table
---@return integer exit code
function resource_list.run(words, opts)
  args.count(words, 0, 0, "")
  local answer = common.checked(common.connect(opts):resources({
    pools = opts.pool,
    platforms = opts.platform,
    all = opts.all,
  }))
  if opts.json then
    common.print_json(answer)
    return 0
  end
  local rows = { { "NODE", "TYPE", "BACKEND", "CPU", "MEMORY GiB", "STORAGE GiB", "GPU" } }
  for _, r in ipairs(answer.resources or {}) do
    rows[#rows + 1] = {
      r.hostname,
      common.shown(r.resource_type),
      common.shown(r.backend),
      field(r, "cpu"),
      field(r, "memory"),
      field(r, "storage"),
      field(r, "gpu"),
    }
  end
  out.stdout(#rows > 1 and text.columns(rows) or "no nodes found\n")
  return 0
end

local resource_info = {
  name = "info",
  summary = "show one node",
  usage = "NODE",
  options = common.options(),
  examples = { { "pai osmo resource info node-1", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function resource_info.run(words, opts)
  args.count(words, 1, 1, "NODE")
  local r = common.checked(common.connect(opts):resource(words[1]))
  if opts.json then
    common.print_json(r)
  else
    out.stdout(require("pai.yaml").encode(r))
  end
  return 0
end

local resource = {
  name = "resource",
  summary = "nodes and what they have",
  usage = "list|info",
  commands = { resource_list, resource_info },
  examples = { { "pai osmo resource list", "" } },
}

-- What upstream's client asks for when no status is named.
local ALIVE <const> = { "PROCESSING", "SCHEDULING", "INITIALIZING", "RUNNING" }

local task_list = {
  name = "list",
  summary = "list the tasks of all runs",
  usage = "",
  options = common.options(
    { name = "status", arg = "STATUS", many = true, doc = "of this status (default: alive)" },
    { name = "workflow-id", arg = "TEXT", doc = "of runs whose id holds this" },
    { name = "user", arg = "NAME", many = true, doc = "of this user" },
    { name = "all-users", doc = "of everybody" },
    { name = "pool", arg = "NAME", many = true, doc = "of this pool (default: all)" },
    { name = "node", arg = "NAME", many = true, doc = "on this node" },
    { name = "priority", arg = "P", many = true, doc = "HIGH, NORMAL or LOW" },
    { name = "started-after", arg = "DAY", doc = "YYYY-MM-DD, in your time zone" },
    { name = "started-before", arg = "DAY", doc = "the same" },
    { name = "count", arg = "N", doc = "so many at most (default 20)" },
    { name = "offset", arg = "N", doc = "leave out so many" },
    { name = "summary", doc = "what each user has in each pool" },
    { name = "by-workflow", doc = "with --summary: for each run" }
  ),
  examples = { { "pai osmo task list --node node-1 --all-users", "who is there" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function task_list.run(words, opts)
  args.count(words, 0, 0, "")
  local answer = common.checked(common.connect(opts):tasks({
    workflow_id = opts.workflow_id,
    statuses = common.upper(opts.status) or (not opts.summary and ALIVE or nil),
    users = opts.user,
    all_users = opts.all_users,
    pools = opts.pool,
    nodes = opts.node,
    priority = common.upper(opts.priority),
    started_after = common.day(opts, "started-after"),
    started_before = common.day(opts, "started-before"),
    limit = common.integer(opts, "count"),
    offset = common.integer(opts, "offset"),
    summary = opts.summary,
    by_workflow = opts.by_workflow,
  }))
  if opts.json then
    common.print_json(answer)
    return 0
  end
  local rows
  if opts.summary then
    rows = { { "USER", "POOL", "PRIORITY", "WORKFLOW", "CPU", "MEMORY GiB", "GPU" } }
    for _, s in ipairs(answer.summaries or {}) do
      rows[#rows + 1] = {
        common.shown(s.user),
        common.shown(s.pool),
        common.shown(s.priority),
        common.shown(s.workflow_id),
        common.shown(s.cpu),
        common.shown(s.memory),
        common.shown(s.gpu),
      }
    end
  else
    rows = { { "WORKFLOW", "TASK", "STATUS", "USER", "NODE", "STARTED (UTC)", "GPU" } }
    for _, t in ipairs(answer.tasks or {}) do
      rows[#rows + 1] = {
        t.workflow_id,
        t.task_name,
        t.status,
        t.user,
        common.shown(t.node),
        common.moment(t.start_time),
        common.shown(t.gpu),
      }
    end
  end
  out.stdout(#rows > 1 and text.columns(rows) or "no tasks found\n")
  return 0
end

local task = {
  name = "task",
  summary = "tasks of all runs",
  usage = "list",
  commands = { task_list },
  examples = { { "pai osmo task list", "" } },
}

local profile_list = {
  name = "list",
  summary = "show who you are: pool, roles, notifications",
  usage = "",
  options = common.options(),
  examples = { { "pai osmo profile list", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function profile_list.run(words, opts)
  args.count(words, 0, 0, "")
  local settings = common.checked(common.connect(opts):profile())
  if opts.json then
    common.print_json(settings)
    return 0
  end
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
  out.stdout(text.columns(rows))
  return 0
end

local profile_set = {
  name = "set",
  summary = "change your pool or notifications",
  usage = "pool NAME | notifications email|slack true|false",
  options = common.options(),
  examples = {
    { "pai osmo profile set pool gpu", "your default pool" },
    { "pai osmo profile set notifications email false", "" },
  },
}

local WHICH <const> = { email = "email_notification", slack = "slack_notification" }

---@param words string[]
---@param opts table
---@return integer exit code
function profile_set.run(words, opts)
  local changes
  if words[1] == "pool" then
    args.count(words, 2, 2, "NAME")
    changes = { pool = words[2] }
  elseif words[1] == "notifications" then
    args.count(words, 3, 3, "email|slack true|false")
    local name = WHICH[words[2]]
    if not name or (words[3] ~= "true" and words[3] ~= "false") then
      err.raise("EUSAGE", "notifications: email or slack, then true or false")
    end
    changes = { [name] = words[3] == "true" }
  else
    err.raise("EUSAGE", "what is to be set: pool NAME, or notifications email|slack true|false")
  end
  common.checked(common.connect(opts):set_profile(changes))
  if opts.json then
    common.print_json({ profile = changes })
  else
    out.stdout("the profile is changed\n")
  end
  return 0
end

local profile = {
  name = "profile",
  summary = "your pool and notifications",
  usage = "list|set",
  commands = { profile_list, profile_set },
  examples = { { "pai osmo profile list", "" } },
}

local version = {
  name = "version",
  summary = "print the version of the contract that the service speaks",
  usage = "",
  options = common.options(),
  examples = { { "pai osmo version", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function version.run(words, opts)
  args.count(words, 0, 0, "")
  local v = common.checked(common.connect(opts):version())
  if opts.json then
    common.print_json(v)
  else
    out.stdout(("OSMO %s.%s.%s (%s)\n"):format(v.major, v.minor, v.revision, common.shown(v.hash)))
  end
  return 0
end

local users = {
  name = "user",
  summary = "users of the service",
  usage = "list",
  examples = { { "pai osmo user list", "" } },
}
local user_list = {
  name = "list",
  summary = "list everybody who ever submitted",
  usage = "",
  options = common.options(),
  examples = { { "pai osmo user list", "" } },
}
users.commands = { user_list }

---@param words string[]
---@param opts table
---@return integer exit code
function user_list.run(words, opts)
  args.count(words, 0, 0, "")
  local found = common.checked(common.connect(opts):users())
  if opts.json then
    common.print_json({ users = json.array(found) })
  else
    out.stdout(table.concat(found, "\n") .. (#found > 0 and "\n" or ""))
  end
  return 0
end

return { pools, pool, resource, task, profile, users, version }
