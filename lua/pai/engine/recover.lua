-- What an engine does first: it takes over the state of one that was killed. Nothing stays
-- RUNNING, nothing of the dead engine's tasks stays alive, and what had not begun goes on.
local container = require("pai.engine.container")
local data = require("pai.engine.data")
local flow = require("pai.engine.flow")
local fs = require("pai.fs")
local json = require("pai.json")
local preempt = require("pai.engine.preempt")
local processes = require("pai.engine.processes")
local status = require("pai.engine.status")
local task = require("pai.task")
local text = require("pai.text")

local M = {}

-- Ends what is left of a task's processes: its group, if its leader is still the one that was
-- started, and whatever carries the task's mark.
local function end_processes(row, same_boot)
  local p = same_boot and row.pid and fs.process(row.pid)
  if p and p.start_time == row.pid_start then
    processes.kill_group(row.pid)
  end
  return processes.reap("PAI_TASK_UUID=" .. row.uuid)
end

local function sweep_uploads(engine, row, spec)
  for i, o in ipairs(spec.outputs or {}) do
    local target = o.url and data.allowed(o.url, engine:roots(), engine.paths.root)
    if target then
      data.sweep(target, data.mark(row, i))
    end
  end
  for i, c in ipairs(spec.checkpoint or {}) do
    local target = data.allowed(c.url, engine:roots(), engine.paths.root)
    if target then
      data.sweep(target, data.mark(row, "c" .. i))
    end
  end
end

-- Ends the containers that a killed engine has left. A daemon that does not answer is no reason not
-- to start; its containers are found by the next engine.
local function sweep_containers(engine)
  for _, name in ipairs(text.keys(engine.pools)) do
    local pool = engine.pools[name]
    if pool.runtime ~= "process" then
      local count, e = container.sweep(pool, engine.paths.real_root)
      if not count then
        engine:complain(("pool %s: %s"):format(name, e.message))
      elseif count > 0 then
        engine:complain(("pool %s: ended %d containers of a dead engine"):format(name, count))
      end
    end
  end
end

local function specs_by_name(g)
  local out, spec = {}, json.decode(g.spec)
  for _, t in ipairs(spec.tasks) do
    out[t.name] = t
  end
  return out, spec
end

-- The verdict on a group that was under way: a lead that had ended decides as it would have done,
-- a cancel that had been asked for is carried out, what had to make room does so, anything else
-- failed with the engine.
local function verdict(w, g, tasks, dead)
  for _, t in ipairs(tasks) do
    if t.lead == 1 and #tasks > 1 and status.finished(t.status) then
      local new = status.failed(t.status) and "FAILED" or t.status
      return { status = new, message = "Lead task finished" }
    end
  end
  if w.cancel_by then
    return {
      status = "FAILED_CANCELED",
      group_status = "FAILED_CANCELED",
      message = flow.cancel_message(w.cancel_by, w.cancel_message),
    }
  end
  if g.preempted then
    return {
      status = "FAILED_PREEMPTED",
      group_status = "FAILED_PREEMPTED",
      exit_code = status.EXIT.PREEMPTED,
      message = preempt.MESSAGE,
    }
  end
  return {
    status = "FAILED_BACKEND_ERROR",
    group_status = "FAILED_BACKEND_ERROR",
    exit_code = status.EXIT.BACKEND,
    message = ("The engine%s ended while this task was under way; the task ended with it."):format(
      dead and (" (pid %s)"):format(dead) or ""
    ),
  }
end

-- Whether the exit actions want all that died with the engine to be tried again.
local function to_retry(engine, w, alive, specs, code)
  local pool = engine.pools[w.pool]
  return pool ~= nil and #alive > 0 and status.all_again(code, alive, specs, pool)
end

local function end_group(engine, w, g, dead, same_boot)
  local specs, spec = specs_by_name(g)
  local tasks = engine.store:tasks(g.seq)
  local ending = verdict(w, g, tasks, dead)
  local alive = {}
  for _, t in ipairs(tasks) do
    if not status.finished(t.status) then
      alive[#alive + 1] = t
      local found = end_processes(t, same_boot)
      if found > 0 then
        engine:complain(("ended %d processes of task %s of %s"):format(found, t.name, w.id))
      end
      sweep_uploads(engine, t, specs[t.name])
    end
  end
  for _, t in ipairs(alive) do
    engine.logs:task(w.id, t.name, t.retry_id, ending.message, true)
  end
  if ending.exit_code and to_retry(engine, w, alive, specs, ending.exit_code) then
    engine:commit(flow.requeue(engine.store, g, alive, ending))
    return
  end
  for _, t in ipairs(alive) do
    engine:commit(flow.finish(engine.store, t, spec.ignoreNonleadStatus ~= false, {
      status = ending.status,
      exit_code = ending.exit_code,
      message = ending.message,
      group_status = ending.group_status,
    }))
  end
end

---Removes the kept outputs of runs that ended long ago; a little at a time.
---@param engine pai.engine.Engine
---@param keep_ms integer
function M.prune(engine, keep_ms)
  for _, id in ipairs(fs.list(engine.paths.runs) or {}) do
    local dir = fs.join(engine:run_dir(id), "data")
    if engine.stopping then
      return
    elseif fs.exists(dir) then
      local w = engine.store:workflow(id)
      if not w or (w.end_time and engine.store:now() - w.end_time > keep_ms) then
        fs.remove(dir, { recursive = true })
      end
    end
    task.sleep(1)
  end
end

---Takes over. Called before anybody else can see the store.
---@param engine pai.engine.Engine
---@return integer count of groups that had been under way
function M.run(engine)
  local store = engine.store
  local dead = store:meta("pid")
  sweep_containers(engine)
  local same_boot = store:meta("boot") == fs.boot_id()
  local rows =
    store:rows("SELECT * FROM groups WHERE status IN ('INITIALIZING', 'RUNNING') ORDER BY seq DESC")
  for _, g in ipairs(rows) do
    end_group(engine, store:workflow_by_seq(g.workflow), g, dead, same_boot)
  end
  for _, w in
    ipairs(store:rows([[SELECT * FROM workflows
      WHERE cancel_by IS NOT NULL AND status IN ('PENDING', 'RUNNING', 'WAITING')]]))
  do
    engine:cancel(w, w.cancel_by, w.cancel_message, false)
  end
  -- Folders of tasks are of no use without their processes.
  for _, g in ipairs(rows) do
    local w = store:workflow_by_seq(g.workflow)
    fs.remove(fs.join(engine:run_dir(w.id), "tasks"), { recursive = true })
  end
  engine:finish_ended()
  return #rows
end

return M
