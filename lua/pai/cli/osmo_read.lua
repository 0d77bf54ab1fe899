-- pai osmo list, query, logs, events, spec: what only looks at runs.
local args = require("pai.cli.args")
local command = require("pai.cli.osmo_command")
local common = require("pai.cli.osmo_common")
local err = require("pai.err")
local json = require("pai.json")
local out = require("pai.out")
local status = require("pai.osmo.client_status")
local show = require("pai.cli.osmo_show")
local text = require("pai.text")

local list = {
  name = "list",
  summary = "list runs, newest first",
  usage = "",
  doc = "Runs whose submission failed are left out unless --status FAILED_SUBMISSION asks for "
    .. "them.",
  options = common.options(
    { name = "name", short = "n", arg = "TEXT", doc = "runs whose id holds this" },
    {
      name = "status",
      short = "s",
      arg = "STATUS",
      several = true,
      doc = "runs of these statuses",
    },
    { name = "label", arg = "SELECTOR", many = true, doc = "key=value; * and (a|b) are wildcards" },
    { name = "no-label", arg = "KEY", many = true, doc = "runs without this label" },
    { name = "tags", arg = "TAG", several = true, doc = "runs with these tags" },
    { name = "priority", arg = "P", several = true, doc = "runs of these priorities" },
    common.POOLS,
    { name = "app", short = "P", arg = "NAME[:V]", doc = "runs of this stored workflow" },
    common.USERS,
    common.ALL_USERS,
    { name = "submitted-after", arg = "DAY", doc = "YYYY-MM-DD, in your time zone" },
    { name = "submitted-before", arg = "DAY", doc = "the same; the day itself is left out" },
    common.ORDER,
    common.COUNT,
    { name = "limit", arg = "N", doc = "the same" },
    { name = "offset", short = "f", arg = "N", doc = "leave out so many" }
  ),
  examples = {
    { "pai osmo list --status RUNNING PENDING", "what runs now, and what waits" },
    { "pai osmo list --label team=red --submitted-after 2026-01-31", "" },
  },
}

-- What the table shows.
local FIELDS <const> = { "status", "user", "submit_time", "duration" }

local function list_request(opts)
  common.check_users(opts)
  local after = common.day(opts, "submitted-after")
  local before = common.day(opts, "submitted-before")
  if after and before and after > before then
    err.raise("EUSAGE", "--submitted-before is earlier than --submitted-after")
  end
  for _, text_of in ipairs(opts.label or {}) do
    local ok, why = require("pai.osmo.labels").selector(text_of)
    if not ok then
      err.raise("EUSAGE", why.message)
    end
  end
  return {
    name = opts.name,
    statuses = common.statuses(opts, status.WORKFLOW),
    label = opts.label,
    no_label = opts.no_label,
    tags = opts.tags,
    priority = common.priorities(opts),
    pools = opts.pool,
    app = opts.app,
    users = opts.user,
    all_users = opts.all_users,
    submitted_after = after,
    submitted_before = before,
    limit = common.integer(opts, "count") or common.integer(opts, "limit"),
    offset = common.integer(opts, "offset"),
    fields = not opts.json and FIELDS or nil,
  }
end

---@param words string[]
---@param opts table
---@return integer exit code
function list.run(words, opts)
  args.count(words, 0, 0, "")
  local newest_last = common.newest_last(opts)
  local request = list_request(opts)
  local runs, more = common.connect(opts):list(request)
  if not runs then
    common.checked(nil, more)
  end
  -- The service counts the pages of ASC from the oldest run, which is not what is meant.
  if newest_last then
    common.reverse(runs)
  end
  if opts.json then
    common.print_json({ workflows = json.array(runs), more_entries = more == true })
    return 0
  end
  local rows = { { "WORKFLOW", "STATUS", "USER", "SUBMITTED (UTC)", "DURATION" } }
  for i, w in ipairs(runs) do
    rows[i + 1] =
      { w.name, w.status, w.user, common.moment(w.submit_time), common.seconds(w.duration) }
  end
  out.stdout(#rows > 1 and text.columns(rows) or "no workflows found\n")
  if more == true then
    out.stderr(("there are more: --offset %d\n"):format((request.offset or 0) + #runs))
  end
  return 0
end

local query = {
  name = "query",
  summary = "show a run and its tasks",
  usage = "ID",
  options = common.options(
    { name = "verbose", short = "v", doc = "with earlier attempts of tasks" },
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
  common.duration(opts, "timeout") -- a mistake is known before anything is asked
  local c = common.connect(opts)
  local q = opts.wait and show.wait(c, words[1], opts)
    or common.checked(c:query(words[1], { verbose = opts.verbose }))
  if opts.json then
    common.print_json(q)
  else
    show.print_query(q)
  end
  return opts.wait and show.exit_code(q) or 0
end

-- Attempts are those of a task.
local function check_retry(opts)
  local retry = common.integer(opts, "retry") or common.integer(opts, "retry-id")
  if retry and not opts.task then
    err.raise("EUSAGE", "--retry is an attempt of a task: --task NAME goes with it")
  end
end

local function print_stream(c, call, id, opts)
  common.checked(c[call](c, id, {
    task = opts.task,
    retry = common.integer(opts, "retry") or common.integer(opts, "retry-id"),
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

local FOLLOW <const> = { name = "follow", short = "f", doc = "go on until the run has ended" }

local logs = {
  name = "logs",
  summary = "print the log of a run",
  usage = "ID",
  options = common.options(
    FOLLOW,
    common.TASK,
    common.RETRY,
    common.RETRY_ID,
    { name = "last", short = "n", arg = "N", doc = "only the last lines" },
    { name = "query", arg = "REGEX", doc = "only lines that hold this" },
    { name = "error", doc = "the error log of the task that failed, or of --task" }
  ),
  examples = {
    { "pai osmo logs flow-1 --follow", "until it ends" },
    { "pai osmo logs flow-1 --error", "why it failed" },
  },
}

-- The task whose error log is meant: the one that failed. OSMO itself answers with a list of URLs.
local function failed_task(c, id)
  local names, seen = {}, {}
  for _, group in ipairs(common.checked(c:query(id)).groups or {}) do
    for _, task in ipairs(group.tasks or {}) do
      if task.status:find("^FAILED") and not seen[task.name] then
        seen[task.name] = true
        names[#names + 1] = task.name
      end
    end
  end
  if #names > 1 then
    err.raise("EUSAGE", ("which task of %s? --task NAME"):format(id), {
      hint = "these failed: " .. table.concat(names, ", "),
    })
  elseif #names == 0 then
    err.raise(
      "ENOTFOUND",
      ("no task of %s has failed"):format(id),
      { hint = "pai osmo logs " .. id }
    )
  end
  return names[1]
end

---@param words string[]
---@param opts table
---@return integer exit code
function logs.run(words, opts)
  args.count(words, 1, 1, "ID")
  local c = common.connect(opts)
  if opts.error and not opts.task then
    opts.task = failed_task(c, words[1])
  end
  check_retry(opts)
  opts.streamed = true
  return print_stream(c, "logs", words[1], opts)
end

local events = {
  name = "events",
  summary = "print the events of a run",
  usage = "ID",
  options = common.options(FOLLOW, common.TASK, common.RETRY, common.RETRY_ID),
  examples = { { "pai osmo events flow-1", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function events.run(words, opts)
  args.count(words, 1, 1, "ID")
  check_retry(opts)
  opts.streamed = true
  return print_stream(common.connect(opts), "events", words[1], opts)
end

local spec = command.new({
  name = "spec",
  summary = "print the workflow that a run was made of",
  usage = "ID",
  words = { 1, 1 },
  options = { { name = "template", doc = "as it was submitted, before rendering" } },
  examples = { { "pai osmo spec flow-1", "" } },
  ask = function(c, _, words, opts)
    return c:spec(words[1], { template = opts.template })
  end,
  json = function(body, words)
    return { name = words[1], spec = text.utf8(body) }
  end,
  text = function(body)
    return body
  end,
})

return { list, query, logs, events, spec }
