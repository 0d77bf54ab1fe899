-- From a prepared recipe to the end of its run: what must hold before, the folder and the leases,
-- the steps, the verdict, the report.
local err = require("pai.err")
local fs = require("pai.fs")
local graph = require("pai.recipe.graph")
local heartbeat = require("pai.run.heartbeat")
local journal = require("pai.run.journal")
local lease = require("pai.run.lease")
local prepare = require("pai.run.prepare")
local replay = require("pai.run.replay")
local runner = require("pai.run.runner")
local signals = require("pai.run.signals")
local state = require("pai.state")
local task = require("pai.task")

local M = {}

---@class pai.run.BeginOptions
---@field id string? run id; a new one if not given
---@field open_view fun(): table makes the view once nothing can be refused any more; has `sinks`
---@field yes boolean?
---@field plan string? digest that the run must have
---@field allow_dirty boolean?
---@field confirm (fun(names: string[]): boolean?)? asks on a terminal; nil when nobody answered

-- What must hold before anything is written.
local function check_before(prepared, opts)
  if opts.plan and opts.plan ~= prepared.digest then
    local message = "the plan is %s, not %s: files, inputs, target or steps differ"
    err.raise("EPLAN", message:format(prepared.digest, opts.plan), {
      hint = "look at pai plan again",
    })
  end
  local check = prepared.inputs.checks[1]
  if check then
    err.raise("ERED", check.measured, { hint = check.hint, check = check })
  end
  local destroying = prepare.destroying(prepared)
  if #destroying > 0 and not opts.yes and not opts.plan then
    local answer = opts.confirm and opts.confirm(destroying)
    if answer == false then
      err.raise("EDECLINED", "not confirmed; nothing was changed")
    elseif not answer then
      local message =
        "USER_INPUT_REQUIRED: these steps destroy: %s; confirm with --yes or --plan %s"
      err.raise("EINPUT", message:format(prepare.listed(destroying), prepared.digest), {
        missing = { { name = "--yes", type = "boolean", doc = "steps that destroy" } },
      })
    end
  end
  if prepared.loaded.doc.safety == "observes" then
    return nil
  end
  local record, e = require("pai.run.git").check(prepared.loader.files, opts.allow_dirty)
  if not record then
    error(e, 0)
  end
  return record
end

-- The recipes of a graph that say what they change, each with its inputs.
local function lockers(prepared)
  local list, seen = {}, {}
  local function add(scope, inp)
    if not seen[scope] then
      seen[scope] = true
      local fn = scope.loaded.doc.locks
      list[#list + 1] = fn and { fn = fn, inp = inp, name = scope.loaded.name } or nil
    end
  end
  add(prepared.root, prepared.inputs.values)
  for _, node in ipairs(prepared.graph.nodes) do
    local inner = node.inner
    if inner and inner.loaded.doc.locks then
      local ok, result = true, { values = inner.inp }
      if not inner.inp then
        ok, result = pcall(graph.inner_inputs, inner, {}, prepared.cwd)
      end
      if not ok then
        local message = "step %s: what %s locks depends on results of other steps: %s"
        err.raise("ERECIPE", message:format(node.name, inner.loaded.name, err.wrap(result).message))
      end
      add(inner, result.values)
    end
  end
  return list
end

-- Names of what a run changes, and the kubeconfigs of the clusters among them.
local function lock_names(prepared)
  local list, kubeconfigs = {}, {}
  for _, one in ipairs(lockers(prepared)) do
    local names = prepare.reading("locks", one.fn, graph.copy(one.inp))
    if type(names) == "string" then
      names = { names }
    elseif type(names) ~= "table" then
      local message = "locks of %s must return a list of names, not %s"
      err.raise("ERECIPE", message:format(one.name, type(names)))
    end
    for _, name in ipairs(names) do
      list[#list + 1] = tostring(name)
      kubeconfigs[list[#list]] = one.inp.kubeconfig
    end
  end
  table.sort(list)
  return list, kubeconfigs
end

-- The lock in the cluster itself. One that did not answer to the plan is not asked again: it is
-- taken when the cluster is there.
local function cluster_lock(prepared, name, kubeconfig, owner)
  local context = name:match("^kube:(.+)$")
  if not context then
    return nil
  end
  local one = require("pai.run.cluster_lock").new(context, kubeconfig, owner)
  for _, planned in ipairs(prepared.graph.clusters or {}) do
    if planned.context == context and planned.absent then
      return one
    end
  end
  one:try()
  return one
end

---Takes the leases of a run: its id, and what it changes. All or none.
---@param prepared pai.run.Prepared
---@param id string
---@return (pai.run.Lease|pai.run.ClusterLock)[] leases
function M.take_leases(prepared, id)
  local owner = lease.me(id, prepared.loaded.name)
  local taken = {}
  local function take(path, what)
    local one, e = lease.take(path, what, owner)
    if not one then
      M.release(taken)
      error(e, 0)
    end
    taken[#taken + 1] = one
  end
  take(state.run_dir(id) .. "/lease", "run " .. id)
  journal.set_clock(taken[1].path)
  local names, kubeconfigs = lock_names(prepared)
  if #names > 0 then
    state.create(state.dir() .. "/locks")
  end
  for i, name in ipairs(names) do
    if name ~= names[i - 1] then
      take(lease.path_for(state.dir(), name), name)
    end
  end
  -- This machine's come first: they cost nothing.
  for i, name in ipairs(names) do
    if name ~= names[i - 1] then
      local ok, one = pcall(cluster_lock, prepared, name, kubeconfigs[name], owner)
      if not ok then
        M.release(taken)
        error(one, 0)
      end
      taken[#taken + 1] = one
    end
  end
  return taken
end

---Gives leases up.
---@param leases pai.run.Lease[]
function M.release(leases)
  for _, one in ipairs(leases) do
    one:release()
  end
end

---Keeps a copy of files that were loaded.
---@param run_dir string
---@param files pai.recipe.File[]
---@param from integer how many copies there are already
---@return table[] entries { path, sha256, copy }
function M.copy_files(run_dir, files, from)
  state.create(run_dir .. "/files")
  local entries = {}
  for i, file in ipairs(files) do
    local copy = ("files/%d-%s"):format(from + i, fs.basename(file.path))
    local ok, e = fs.write(run_dir .. "/" .. copy, file.text, { mode = "0600", sync = false })
    if not ok then
      error(e, 0)
    end
    entries[i] = { path = file.path, sha256 = file.sha256, copy = copy }
  end
  return entries
end

-- Files that a step requires while it runs join the record.
local function record_later_files(run)
  local loader = run.loader
  loader.on_file = function(file)
    local entries = M.copy_files(run.dir, { file }, #loader.files - 1)
    run:emit("file", entries[1])
  end
end

local function reason_of(run, status)
  if status == "interrupted" then
    return run.interrupted
  elseif run.fatal then
    return run.fatal.message
  end
  for _, node in ipairs(run.graph.nodes) do
    local outcome = run.settled[node.name]
    if outcome and outcome.state == status then
      return ("step %s %s"):format(node.name, status == "red" and "is red" or "failed")
    end
  end
end

local COUNTED <const> = { "done", "already", "kept", "skipped", "red", "failed", "stopped" }

---Counts steps by how they ended; the names never change.
---@param run pai.run.Run
---@return table<string, integer>
function M.counters(run)
  local count = { waiting = 0 }
  for _, name in ipairs(COUNTED) do
    count[name] = 0
  end
  for _, node in ipairs(run.graph.nodes) do
    if not node.step.use then
      local outcome = run.settled[node.name]
      local name = outcome and outcome.state or "waiting"
      count[name] = count[name] + 1
    end
  end
  return count
end

-- The end of a run: report, verdict, last line.
local function conclude(run)
  local status = run:verdict()
  if run.fatal then
    return 1, status
  end
  local code = status == "green" and 0 or run.code or 1
  if status == "interrupted" then
    code = run.code or signals.exit_code(run.interrupted)
  end
  local reports = run.root.loaded.doc.report and status ~= "interrupted"
  local report = reports and require("pai.run.report_hook").ask(run)
  run:emit("run.end", {
    status = status,
    code = code,
    ms = task.now() - run.began,
    reason = reason_of(run, status),
    counters = M.counters(run),
    returns = status == "green" and run.root.loaded.doc.returns and run:plain_returns() or nil,
  })
  if report then
    require("pai.run.report_hook").render(run, report)
  end
  return code, status
end

-- What the run will take, if the recipe has an idea of that.
local function say_estimate(run)
  if not run.root.loaded.doc.estimate then
    return
  end
  local phases, problem = require("pai.run.estimate").ask(run)
  if phases then
    run:emit("estimate", { phases = phases })
  elseif problem then
    run:log(nil, "no estimate: " .. problem, "warn")
  end
end

---Runs the steps of a run to its end.
---@param run pai.run.Run
---@param leases pai.run.Lease[]
---@return integer exit code
---@return string status
function M.execute(run, leases)
  local stop_signals = signals.install(run)
  local stop_heartbeat = heartbeat.start(run)
  run.leases = leases
  local ok, code, status = pcall(function()
    for _, one in ipairs(leases) do
      if one.bind then
        one:bind(run)
      end
    end
    record_later_files(run)
    say_estimate(run)
    run:schedule()
    return conclude(run)
  end)
  stop_heartbeat()
  stop_signals()
  run.journal:close()
  M.release(leases)
  if not ok then
    error(code, 0)
  elseif run.fatal then
    error(run.fatal, 0)
  end
  return code, status
end

-- A path as somebody in the run's folder types it.
local function shown(run, path)
  local here = run.cwd .. "/"
  return path:sub(1, #here) == here and path:sub(#here + 1) or path
end

-- Says how the recipe itself is on record.
local function say_origin(run, record)
  local composed, unknown = run.state .. "/composed/", {}
  for _, path in ipairs(record and record.unknown or {}) do
    -- What pai put together for an action over components is nobody's file.
    unknown[#unknown + 1] = path:sub(1, #composed) ~= composed and shown(run, path) or nil
  end
  if #unknown > 0 then
    local list = prepare.listed(unknown)
    run:log(nil, "not tracked by git, the copy in the run's folder is the record: " .. list)
  elseif record and #record.dirty > 0 then
    run:log(nil, "not committed (--allow-dirty): " .. prepare.listed(record.dirty), "warn")
  end
end

---What run.start and run.resume say of this process.
---@param prepared pai.run.Prepared
---@param id string
---@return table
function M.session(prepared, id)
  local me = lease.me(id, prepared.loaded.name)
  return {
    pid = me.pid,
    start_time = me.start_time,
    boot = me.boot,
    host = me.host,
    version = require("pai.version"),
  }
end

-- Whether nothing in a graph has an effect.
local function only_observes(nodes)
  for _, node in ipairs(nodes) do
    if node.safety ~= "observes" then
      return false
    end
  end
  return true
end

---Begins a new run and takes it to its end.
---@param prepared pai.run.Prepared
---@param opts pai.run.BeginOptions
---@return integer exit code
---@return string status
---@return string id
function M.run(prepared, opts)
  local record = check_before(prepared, opts)
  local id = opts.id or state.new_id()
  local dir = state.create(state.run_dir(id))
  local leases = M.take_leases(prepared, id)
  local started, run = pcall(function()
    if fs.exists(dir .. "/" .. journal.FILE) then
      err.raise("EUSAGE", ("there is a run %s already"):format(id), { hint = "pai resume " .. id })
    end
    local log, e = journal.open(dir, id, only_observes(prepared.graph.nodes))
    if not log then
      error(e, 0)
    end
    local one = runner.new({
      id = id,
      dir = dir,
      state = state.dir(),
      cwd = prepared.cwd,
      target = prepared.target,
      osmo_url = prepared.osmo_url,
      loader = prepared.loader,
      graph = prepared.graph,
      root = prepared.root,
      inputs = prepared.inputs,
      replay = replay.fresh(),
      journal = log,
      sinks = opts.open_view().sinks,
    })
    local start = M.session(prepared, id)
    start.recipe, start.title = prepared.loaded.name, prepared.loaded.doc.title
    start.path, start.cwd, start.target = prepared.path, prepared.cwd, prepared.target
    start.safety = prepared.loaded.doc.safety
    start.inputs = prepared.inputs.record
    start.digest = prepared.digest
    start.files = M.copy_files(dir, prepared.loader.files, 0)
    start.git = record
    one:emit("run.start", start)
    one:emit("run.graph", { steps = graph.plain(prepared.graph) })
    say_origin(one, record)
    for _, warning in ipairs(prepared.inputs.warnings) do
      one:log(nil, warning, "warn")
    end
    return one
  end)
  if not started then
    M.release(leases)
    error(run, 0)
  end
  local code, status = M.execute(run, leases)
  return code, status, id
end

return M
