-- Cancel: stops the process of a run and ends the remote work of its steps.
local async = require("pai.async")
local begin = require("pai.run.begin")
local err = require("pai.err")
local exec = require("pai.exec")
local graph = require("pai.recipe.graph")
local journal = require("pai.run.journal")
local json = require("pai.json")
local lease = require("pai.run.lease")
local out = require("pai.out")
local recorded = require("pai.run.recorded")
local resume = require("pai.run.resume")
local state = require("pai.state")
local task = require("pai.task")

local M = {}

local CANCEL_TIMEOUT <const> = "2m"
-- Time for the process to end its children and write its last line.
local PATIENCE_MS <const> = 30000

-- Interrupts the owner, and insists; its lease is free when this returns.
local function stop_owner(id)
  local path = state.run_dir(id) .. "/lease"
  local held, owner = lease.is_held(path)
  if not held then
    return
  end
  if owner.host ~= require("pai.fs").hostname() then
    err.raise("ELEASE", ("run %s is held on %s; cancel it there"):format(id, owner.host))
  end
  local until_ms = task.now() + PATIENCE_MS
  exec.run({ "/bin/sh", "-c", 'kill -s TERM "$1"', "sh", ("%d"):format(owner.pid) })
  while lease.is_held(path) do
    if task.now() > until_ms then
      exec.run({ "/bin/sh", "-c", 'kill -s KILL "$1"', "sh", ("%d"):format(owner.pid) })
      until_ms = task.now() + PATIENCE_MS
    end
    task.sleep("50ms")
  end
end

-- The item that a unit "step[key]" was started for.
local function item_of(unit)
  local key = unit:match("%[(.*)%]$")
  return key and { key = key } or nil
end

-- Nodes with a `cancel` whose units were started, last first.
local function to_cancel(known, the_graph)
  local list = {}
  for i = #known.order, 1, -1 do
    local unit = known.order[i]
    local u = known.units[unit]
    local node = the_graph.by_name[unit:gsub("%[.*%]$", "")]
    if node and node.step.cancel and (u.started or u.done) then
      list[#list + 1] = { unit = unit, node = node, item = item_of(unit) }
    end
  end
  return list
end

local function call_cancel(run, entry)
  local node = entry.node
  local ok, e = pcall(function()
    run:enter(node.scope)
    local ctx = run:ctx(node, entry.unit, "act", "cancel of " .. entry.unit, entry.item)
    local got = run:got(node)
    local own = run.settled[node.name]
    rawset(got, node.key, own and own.result)
    local inp = graph.copy(node.scope.inp)
    async.deadline(CANCEL_TIMEOUT, node.step.cancel, ctx, inp, got, entry.item)
  end)
  if ok then
    run:emit("cancel", { step = entry.unit })
  else
    local message = run.loader:locate(err.wrap(e).message)
    run:emit("cancel", { step = entry.unit, error = { message = message } })
  end
  return ok
end

-- Calls the cancel functions; true when all went well.
local function end_remote_work(id, view)
  local known_run = recorded.read(id)
  local leases = begin.take_leases(known_run.prepared, id)
  local ok, result = pcall(function()
    local log, e = journal.open(state.run_dir(id), id)
    if not log then
      error(e, 0)
    end
    local run = recorded.open(id, known_run, { journal = log, sinks = view.sinks })
    local fine = true
    for _, entry in ipairs(to_cancel(known_run.known, run.graph)) do
      fine = call_cancel(run, entry) and fine
    end
    run:emit("run.end", {
      status = "interrupted",
      code = 143,
      ms = task.now() - run.began,
      reason = "cancelled",
      counters = begin.counters(run),
    })
    log:close()
    return fine
  end)
  begin.release(leases)
  if not ok then
    error(result, 0)
  end
  return result
end

---Cancels a run.
---@param id string
---@param opts table options of the command
---@return integer exit code
function M.run(id, opts)
  stop_owner(id)
  local known = resume.state(id)
  if not known or (known.ended and known.ended.status == "green") then
    local why = known and "it ended green" or "it never began"
    if opts.json then
      out.stdout(json.encode({ run = id, cancelled = false, reason = why }) .. "\n")
    else
      out.stdout(("%s: nothing to cancel, %s\n"):format(id, why))
    end
    return 0
  end
  opts.plain = true
  local view = require("pai.cli.view").new(opts)
  local fine = end_remote_work(id, view)
  view.close()
  return fine and 0 or 1
end

return M
