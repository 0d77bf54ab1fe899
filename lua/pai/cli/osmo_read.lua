-- pai osmo list, query, logs, events, spec, pools, version: what only looks.
local args = require("pai.cli.args")
local common = require("pai.cli.osmo_common")
local json = require("pai.json")
local out = require("pai.out")
local text = require("pai.text")

local list = {
  name = "list",
  summary = "list runs, newest first",
  usage = "",
  options = common.options(
    { name = "name", arg = "TEXT", doc = "runs whose id holds this" },
    { name = "status", arg = "STATUS", many = true, doc = "runs of this status" },
    { name = "label", arg = "SELECTOR", many = true, doc = "key=value; * and (a|b) are wildcards" },
    { name = "pool", arg = "NAME", many = true, doc = "runs of this pool (default: all)" },
    { name = "all-users", doc = "runs of everybody" },
    { name = "limit", arg = "N", doc = "so many at most (default 20)" },
    { name = "offset", arg = "N", doc = "leave out so many" }
  ),
  examples = { { "pai osmo list --status RUNNING", "what runs now" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function list.run(words, opts)
  args.count(words, 0, 0, "")
  local runs, more = common.connect(opts):list({
    name = opts.name,
    statuses = opts.status,
    label = opts.label,
    pools = opts.pool,
    all_users = opts.all_users,
    limit = common.integer(opts, "limit"),
    offset = common.integer(opts, "offset"),
  })
  if not runs then
    error(more, 0)
  end
  if opts.json then
    common.print_json({ workflows = json.array(runs), more_entries = more == true })
    return 0
  end
  local rows = { { "WORKFLOW", "STATUS", "USER", "SUBMITTED (UTC)", "DURATION" } }
  for _, w in ipairs(runs) do
    rows[#rows + 1] =
      { w.name, w.status, w.user, common.moment(w.submit_time), common.seconds(w.duration) }
  end
  out.stdout(#rows > 1 and text.columns(rows) or "no workflows found\n")
  return 0
end

local query = {
  name = "query",
  summary = "show a run and its tasks",
  usage = "ID",
  options = common.options(
    { name = "verbose", doc = "with earlier attempts of tasks" },
    { name = "wait", doc = "wait until it has ended; the exit code says how" },
    { name = "timeout", arg = "TIME", doc = "with --wait: how long at most" }
  ),
  examples = { { "pai osmo query flow-1", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function query.run(words, opts)
  args.count(words, 1, 1, "ID")
  local c = common.connect(opts)
  local q = opts.wait and common.wait(c, words[1], opts)
    or common.checked(c:query(words[1], { verbose = opts.verbose }))
  if opts.json then
    common.print_json(q)
  else
    common.print_query(q)
  end
  return opts.wait and common.exit_code(q) or 0
end

local function print_stream(c, call, id, opts)
  common.checked(c[call](c, id, {
    task = opts.task,
    retry = common.integer(opts, "retry"),
    last = common.integer(opts, "last"),
    query = opts.query,
    error = opts.error,
    follow = opts.follow,
    on_line = function(line)
      if opts.json then
        common.print_json({ line = text.utf8(line) })
      else
        out.stdout(line .. "\n")
      end
    end,
  }))
  return 0
end

local FOLLOW <const> = { name = "follow", doc = "go on until the run has ended" }

local logs = {
  name = "logs",
  summary = "print the log of a run",
  usage = "ID",
  options = common.options(
    FOLLOW,
    common.TASK,
    common.RETRY,
    { name = "last", arg = "N", doc = "only the last lines" },
    { name = "query", arg = "REGEX", doc = "only lines that hold this" },
    { name = "error", doc = "the error log of a failed task" }
  ),
  examples = { { "pai osmo logs flow-1 --follow", "until it ends" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function logs.run(words, opts)
  args.count(words, 1, 1, "ID")
  opts.streamed = true
  return print_stream(common.connect(opts), "logs", words[1], opts)
end

local events = {
  name = "events",
  summary = "print the events of a run",
  usage = "ID",
  options = common.options(FOLLOW, common.TASK, common.RETRY),
  examples = { { "pai osmo events flow-1", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function events.run(words, opts)
  args.count(words, 1, 1, "ID")
  opts.streamed = true
  return print_stream(common.connect(opts), "events", words[1], opts)
end

local spec = {
  name = "spec",
  summary = "print the workflow that a run was made of",
  usage = "ID",
  options = common.options({ name = "template", doc = "as it was submitted, before rendering" }),
  examples = { { "pai osmo spec flow-1", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function spec.run(words, opts)
  args.count(words, 1, 1, "ID")
  local body = common.checked(common.connect(opts):spec(words[1], { template = opts.template }))
  if opts.json then
    common.print_json({ name = words[1], spec = text.utf8(body) })
  else
    out.stdout(body)
  end
  return 0
end

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

return { list, query, logs, events, spec, pools, version }
