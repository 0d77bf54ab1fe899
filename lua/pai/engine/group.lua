-- One group under way: its tasks are staged, meet at the barrier, run, upload and end together as
-- the rules for lead and non-lead tasks say.
local err = require("pai.err")
local flow = require("pai.engine.flow")
local fs = require("pai.fs")
local job = require("pai.engine.job")
local json = require("pai.json")
local sandbox = require("pai.engine.sandbox")
local status = require("pai.engine.status")
local task = require("pai.task")

local M = {}

-- Between TERM and KILL.
local GRACE <const> = "5s"

---@class pai.engine.Stop
---@field status string for the tasks that have not ended
---@field message string
---@field exit_code integer?
---@field group_status string? for the group, in place of the roll-up
---@field force boolean?

---@class pai.engine.Run
---@field engine table
---@field group table row of the group
---@field stop pai.engine.Stop? set once: the tasks that have not ended are to end
local Run = {}
Run.__index = Run

-- Ends a task in the store and applies the rules of its group.
local function finish(self, t, ending)
  if t.finished then
    return
  end
  t.finished = true
  if self.stop and self.stop.group_status then
    ending.group_status = self.stop.group_status
  end
  local ignore = self.spec.ignoreNonleadStatus ~= false
  ending.times = t.times
  self.engine:commit(flow.finish(self.engine.store, t.row, ignore, ending), function()
    self.engine.logs:event(
      self.id,
      t.row.name,
      ending.status == "COMPLETED" and "Completed" or "Failed",
      ending.message or ("Exit code %s"):format(ending.exit_code or 0)
    )
  end)
  if t.lead then
    self:halt({
      status = status.failed(ending.status) and "FAILED" or ending.status,
      message = "Lead task finished",
    })
  elseif status.failed(ending.status) and not ignore then
    self:halt({ status = "FAILED", message = ("Task %s Failed."):format(t.row.name) })
  end
  self:arrive()
end

local function finish_stopped(self, t)
  local stop = self.stop
  finish(self, t, { status = stop.status, exit_code = stop.exit_code, message = stop.message })
end

local function kill(self, t)
  if not self.stop.force then
    sandbox.terminate(self.engine.sandbox.kind, t.proc)
    if t.gone:wait(GRACE) then
      return
    end
  end
  t.proc:kill("KILL")
end

---Makes every task of the group that has not ended end. The first reason wins, except that a
---forced stop makes an earlier one forced.
---@param stop pai.engine.Stop
function Run:halt(stop)
  local first = self.stop == nil
  self.stop = self.stop or stop
  if stop.force and not self.stop.force then
    self.stop.force = true
  elseif not first then
    return
  end
  self.gate:set()
  for _, t in ipairs(self.tasks) do
    if not t.finished then
      if t.transfer then
        t.transfer:cancel()
      end
      if t.proc and not t.gone:is_set() then
        task.spawn(kill, self, t)
      end
    end
  end
end

---Opens the barrier when every task that has not ended has its inputs.
function Run:arrive()
  for _, t in ipairs(self.tasks) do
    if not t.staged and not t.finished then
      return
    end
  end
  self.gate:set()
end

local EXIT_OF <const> = {
  ECOMMAND = status.EXIT.COMMAND,
  EFILES = status.EXIT.FILE,
  EROOTS = status.EXIT.UNAUTHORIZED,
}

local function start(self, t, prepared)
  local proc = job.start(self, t, prepared)
  t.proc = proc
  local changes = flow.running(self.engine.store, t.row, proc.pid, proc.start_time, t.times)
  self.engine:commit(changes, function()
    self.engine.logs:event(self.id, t.row.name, "Started", "Started process " .. proc.pid)
  end)
  self:arm()
end

-- Starts the clock of the group's exec_timeout with its first running task.
function Run:arm()
  local limit = self.exec_timeout
  if self.clock or not limit then
    return
  end
  self.clock = task.spawn(function()
    task.sleep(math.tointeger(math.min(limit * 1000 // 1, 1 << 46)))
    self.clock = nil
    self:halt({
      status = "FAILED_EXEC_TIMEOUT",
      group_status = "FAILED_EXEC_TIMEOUT",
      message = ("Task ran longer than the set limit of %gs."):format(limit),
    })
  end)
end

local function failure(e, fallback)
  return { status = "FAILED", exit_code = EXIT_OF[e.code] or fallback, message = e.message }
end

-- The cores of the group are free once all of its processes have ended.
local function release(self)
  for _, t in ipairs(self.tasks) do
    if not t.finished and not t.gone:is_set() then
      return
    end
  end
  self.engine:release(self)
end

-- The whole life of one task.
local function live(self, t)
  local ok, prepared = pcall(job.prepare, self, t)
  if self.stop then
    return finish_stopped(self, t)
  elseif not ok then
    local e = err.wrap(prepared)
    job.say(self, t, e.message)
    return finish(self, t, failure(e, status.EXIT.DOWNLOAD))
  end
  t.staged = true
  if #self.tasks > 1 and self.spec.barrier ~= false then
    job.say(self, t, "Waiting for group ready ...")
    self:arrive()
    self.gate:wait()
    if self.stop then
      return finish_stopped(self, t)
    end
    job.say(self, t, "Group ready")
  end
  local started, fault = pcall(start, self, t, prepared)
  if not started then
    local e = err.wrap(fault)
    job.say(self, t, e.message)
    return finish(self, t, failure(e, status.EXIT.COMMAND))
  end
  local code = job.exit_code(t.proc)
  if self.engine.sandbox.kind == "plain" then
    -- What left the process group is no part of a namespace that would have ended with it.
    sandbox.reap("PAI_TASK_UUID=" .. t.row.uuid)
  end
  t.gone:set()
  if self.stop then
    release(self)
    return finish_stopped(self, t)
  end
  t.times.output_upload_start_time = self.engine.store:now()
  release(self)
  local done, e = job.transfer(t, function()
    job.upload(self, t)
  end)
  if self.stop then
    return finish_stopped(self, t)
  elseif not done then
    job.say(self, t, e.message)
    return finish(self, t, failure(e, status.EXIT.UPLOAD))
  end
  local new, why = status.of_exit(code, t.spec.exit_actions)
  local message = code ~= 0
      and ("Failure reason:\n- Exit code %d due to task failure. %s"):format(code, why or "")
    or why
  finish(self, t, { status = new, exit_code = code, message = message })
end

-- A fault of the engine's own must not leave a task RUNNING.
local function guarded(self, t)
  local ok, fault = pcall(live, self, t)
  if not ok then
    local e = err.wrap(fault)
    self.engine:complain(("task %s of %s: %s"):format(t.row.name, self.id, e.trace or e.message))
    if t.proc and not t.gone:is_set() then
      t.proc:kill("KILL")
      t.proc:wait()
      t.gone:set()
    end
    finish(self, t, {
      status = "FAILED_SERVER_ERROR",
      exit_code = status.EXIT.SERVER,
      message = "Fault of the engine: " .. e.message,
    })
  end
  fs.remove(t.folder, { recursive = true })
end

---Runs a claimed group to its end.
function Run:execute()
  local lives = {}
  for _, t in ipairs(self.tasks) do
    lives[#lives + 1] = task.spawn(guarded, self, t)
  end
  for _, life in ipairs(lives) do
    life:wait()
  end
  if self.clock then
    self.clock:cancel()
  end
end

---@param engine table
---@param group table row of the group
---@return pai.engine.Run
function M.new(engine, group)
  local w = engine.store:workflow_by_seq(group.workflow)
  local self = setmetatable({
    engine = engine,
    group = group,
    id = w.id,
    spec = json.decode(group.spec),
    exec_timeout = engine.timeouts.exec(w.exec_timeout),
    tasks = {},
    gate = task.event(),
  }, Run)
  local specs = {}
  for _, t in ipairs(self.spec.tasks) do
    specs[t.name] = t
  end
  for _, row in ipairs(engine.store:tasks(group.seq)) do
    local folder = fs.join(engine:run_dir(w.id), "tasks", row.name .. "-" .. row.retry_id)
    local osmo = engine.sandbox.kind == "plain" and folder .. "/osmo/" or folder .. "/"
    self.tasks[#self.tasks + 1] = {
      row = row,
      spec = specs[row.name],
      lead = row.lead == 1,
      folder = folder,
      output = osmo .. "data/output",
      workspace = osmo .. "run/workspace",
      gone = task.event(),
      times = {},
    }
  end
  for _, g in ipairs(engine.store:groups(group.workflow)) do
    for _, need in ipairs(json.decode(g.needs)) do
      self.has_downstream = self.has_downstream or need == group.name
    end
  end
  return self
end

return M
