-- Interruption: the first signal is passed on once and no further step begins; the second ends
-- what still runs with TERM, the third with KILL. The run can be resumed.
local task = require("pai.task")

local M = {}

-- Time for a program to end by itself after the first signal.
local PATIENCE_MS <const> = 10000

local CHILD_SIGNAL <const> = { SIGINT = "INT", SIGTERM = "TERM", SIGHUP = "TERM" }

---The exit code of an interrupted run.
---@param name string of the signal
---@return integer
function M.exit_code(name)
  return name == "SIGINT" and 130 or 143
end

---Waits until this process is asked to end.
---@param ready fun() called once signals are listened to
function M.until_end(ready)
  local done = task.event()
  local remove = task.on_signal(function(name)
    if name ~= "SIGWINCH" then
      done:set()
    end
  end)
  ready()
  done:wait()
  remove()
end

-- Cancels the steps that wait for no program; those that do end when it has ended.
local function cancel_tasks(run, all)
  local busy = {}
  for _, unit in pairs(run.children.live) do
    local live = run.live[unit]
    if live then
      busy[live.node] = true
    end
  end
  for node, t in pairs(run.tasks) do
    if all or not busy[node] then
      t:cancel()
    end
  end
end

-- A step that was cancelled before its task began never says that it has ended.
local function drop_unborn(run)
  for node, t in pairs(run.tasks) do
    if t:status() == "canceled" then
      run.tasks[node] = nil
      run.changed:set()
    end
  end
end

local function wind_down(run)
  local until_ms = task.now() + PATIENCE_MS
  while next(run.tasks) and task.now() < until_ms do
    cancel_tasks(run, false)
    task.sleep("50ms")
    drop_unborn(run)
  end
  cancel_tasks(run, true)
  task.sleep("50ms")
  drop_unborn(run)
end

---Lets no further step begin and ends what runs: by a signal to programs, by cancelling the rest.
---@param run pai.run.Run
---@param why string
---@param signal string for the programs
---@param said string for the log
function M.stop(run, why, signal, said)
  run.interrupted = why
  run:stop()
  run.children:close()
  run.children:signal(signal)
  pcall(run.log, run, nil, said, "warn")
  wind_down(run)
end

---Watches for signals while a run goes on.
---@param run pai.run.Run
---@return fun() stop
function M.install(run)
  local count = 0
  local remove = task.on_signal(function(name)
    local signal = CHILD_SIGNAL[name]
    if not signal then
      return
    end
    count = count + 1
    if count == 1 then
      M.stop(run, name, signal, name .. ": no further step begins; once more ends what runs")
    elseif count == 2 then
      run.children:signal("TERM")
      cancel_tasks(run, true)
    else
      run.children:signal("KILL")
    end
  end)
  return remove
end

return M
