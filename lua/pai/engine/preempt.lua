-- Preemption: a group of a HIGH or NORMAL workflow that does not fit makes groups of LOW ones end.
-- Their exit actions decide, for upstream's code 3006, whether they go back into the queue or end
-- as FAILED_PREEMPTED. That a group has to go is stored before it is stopped, so that an engine
-- that was killed in between comes to the same end.
local flow = require("pai.engine.flow")
local status = require("pai.engine.status")

local M = {}

M.PRIORITY = "LOW"

M.MESSAGE = "Task was preempted to make room for a workflow of a higher priority."

-- Whether a group would fit if some that are under way were gone.
local function fits_without(engine, g, runs)
  local cpu, memory, gpus = engine.busy.cpu, engine.busy.memory, #engine.gpus
  for _ in pairs(engine.taken) do
    gpus = gpus - 1
  end
  for _, run in ipairs(runs) do
    cpu, memory, gpus = cpu - run.held.cpu, memory - run.held.memory, gpus + #run.held.gpus
  end
  if gpus < g.gpu then
    return false
  end
  return cpu == 0 or (cpu + g.cpu <= engine.cores and memory + g.memory <= engine.memory)
end

-- Those that end anyway, and those that may be made to, the youngest first.
local function candidates(engine)
  local leaving, low = {}, {}
  for _, run in pairs(engine.runs) do
    if run.held and run.stop then
      leaving[#leaving + 1] = run
    elseif run.held and run.priority == M.PRIORITY then
      low[#low + 1] = run
    end
  end
  table.sort(low, function(a, b)
    return a.group.seq > b.group.seq
  end)
  return leaving, low
end

---The groups that have to go so that one fits: as few and as young as may be, and none where that
---would not help, or where what ends anyway will do.
---@param engine pai.engine.Engine
---@param g table row of the queue
---@return pai.engine.Run[]
function M.choose(engine, g)
  if g.priority == M.PRIORITY then
    return {}
  end
  local gone, low = candidates(engine)
  local chosen = {}
  for _, run in ipairs(low) do
    if fits_without(engine, g, gone) then
      break
    end
    gone[#gone + 1] = run
    chosen[#chosen + 1] = run
  end
  if not fits_without(engine, g, gone) then
    return {}
  end
  -- One that was taken before a larger one may stay after all.
  for i = #chosen, 1, -1 do
    local rest = {}
    for _, run in ipairs(gone) do
      if run ~= chosen[i] then
        rest[#rest + 1] = run
      end
    end
    if fits_without(engine, g, rest) then
      gone = rest
      table.remove(chosen, i)
    end
  end
  return chosen
end

---Makes room for a queued group, if that is possible. It starts once the others have ended.
---@param engine pai.engine.Engine
---@param g table row of the queue
function M.make_room(engine, g)
  local runs = M.choose(engine, g)
  if #runs == 0 then
    return
  end
  local groups = {}
  for i, run in ipairs(runs) do
    groups[i] = run.group.seq
  end
  flow.preempt(engine.store, groups)
  for _, run in ipairs(runs) do
    for _, t in ipairs(run.tasks) do
      if not t.finished then
        engine.logs:event(run.id, t.row.name, "Preempted", M.MESSAGE, t.row.retry_id)
      end
    end
    run:halt({
      status = "FAILED_PREEMPTED",
      group_status = "FAILED_PREEMPTED",
      exit_code = status.EXIT.PREEMPTED,
      message = M.MESSAGE,
      preempted = true,
    })
  end
end

---Settles a group that was preempted, once nothing of it is left: another try for each of its
---tasks, or the end. A cancel that came meanwhile is carried out.
---@param run pai.engine.Run
function M.settle(run)
  local engine, group = run.engine, run.group
  local w = engine.store:workflow_by_seq(group.workflow)
  local alive, specs = {}, {}
  for _, t in ipairs(run.tasks) do
    specs[t.row.name] = t.spec
  end
  for _, row in ipairs(engine.store:tasks(group.seq)) do
    if not status.finished(row.status) then
      alive[#alive + 1] = row
    end
  end
  local ending = {
    status = "FAILED_PREEMPTED",
    group_status = "FAILED_PREEMPTED",
    exit_code = status.EXIT.PREEMPTED,
    message = M.MESSAGE,
  }
  if w.cancel_by then
    ending = {
      status = "FAILED_CANCELED",
      group_status = "FAILED_CANCELED",
      message = flow.cancel_message(w.cancel_by, w.cancel_message),
    }
  elseif #alive > 0 and status.all_again(ending.exit_code, alive, specs, run.pool) then
    return engine:commit(flow.requeue(engine.store, group, alive, ending))
  end
  local ignore = run.spec.ignoreNonleadStatus ~= false
  for _, row in ipairs(alive) do
    engine:commit(flow.finish(engine.store, row, ignore, ending))
  end
end

return M
