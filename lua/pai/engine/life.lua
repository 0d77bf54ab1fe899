-- The life of one task of a group under way: it is prepared, waits for the others, runs, uploads,
-- is tried again or ends. What its end means for the others is the group's matter.
local checkpoint = require("pai.engine.checkpoint")
local err = require("pai.err")
local flow = require("pai.engine.flow")
local fs = require("pai.fs")
local job = require("pai.engine.job")
local mask = require("pai.mask")
local prepare = require("pai.engine.prepare")
local processes = require("pai.engine.processes")
local spare = require("pai.engine.spare")
local status = require("pai.engine.status")
local task = require("pai.task")

local M = {}

-- Between TERM and KILL.
local GRACE <const> = "5s"

local EXIT_OF <const> = {
  ECOMMAND = status.EXIT.COMMAND,
  EFILES = status.EXIT.FILE,
  EROOTS = status.EXIT.UNAUTHORIZED,
  ENOKEYS = status.EXIT.UNAUTHORIZED,
  ECREDENTIAL = status.EXIT.UNAUTHORIZED,
  ECHECK = status.EXIT.CHECK,
  EIMAGE = status.EXIT.IMAGE,
  ESTART = status.EXIT.START,
}

local STATUS_OF <const> = { EIMAGE = "FAILED_IMAGE_PULL", ESTART = "FAILED_START_ERROR" }

-- Ends a task in the store and applies the rules of its group.
local function finish(self, t, ending)
  if t.finished then
    return
  end
  t.finished = true
  -- It is stored and answered, past the one writer that masks all other text.
  ending.message = ending.message and mask.text(ending.message)
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
      ending.message or ("Exit code %s"):format(ending.exit_code or 0),
      t.row.retry_id
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
  if stop.preempted then
    -- What becomes of the group is settled as a whole, once nothing of it is left.
    t.finished = true
    self:arrive()
    return
  end
  finish(self, t, { status = stop.status, exit_code = stop.exit_code, message = stop.message })
end

---Ends the process of a task: asks it first, unless the stop is a forced one.
---@param self pai.engine.Run
---@param t table
function M.kill(self, t)
  local proc, gone = t.proc, t.gone
  if not (self.stop and self.stop.force) then
    processes.terminate(t)
    if gone:wait(GRACE) then
      return
    end
  end
  proc:kill("KILL")
end

local function start(self, t, prepared)
  local proc = job.start(self, t, prepared)
  t.proc = proc
  local changes =
    flow.running(self.engine.store, t.row, proc.pid, proc.start_time, t.times, proc.id)
  self.engine:commit(changes, function()
    local what = proc.id and "container " .. proc.id:sub(1, 12) or "process " .. proc.pid
    self.engine.logs:event(self.id, t.row.name, "Started", "Started " .. what, t.row.retry_id)
  end)
  self:arm()
end

local function failure(e, fallback)
  return {
    status = STATUS_OF[e.code] or "FAILED",
    exit_code = EXIT_OF[e.code] or fallback,
    message = e.message,
  }
end

-- What the group holds is free once all of its processes have ended.
local function release(self)
  for _, t in ipairs(self.tasks) do
    if not t.finished and not t.gone:is_set() then
      return
    end
  end
  self.engine:release(self)
end

-- Makes the other tasks begin their command anew, in place: a task of theirs is tried again.
local function restart_others(self, t)
  for _, other in ipairs(self.tasks) do
    if other ~= t and other.proc and not other.finished and not other.gone:is_set() then
      other.again = true
      task.spawn(M.kill, self, other)
    end
  end
end

-- Prepares a task and waits for the others of its group. What it starts with, or how the try ended;
-- neither when the group was stopped.
local function ready(self, t)
  local ok, prepared = pcall(prepare.run, self, t)
  if self.stop then
    finish_stopped(self, t)
    return nil
  elseif not ok then
    local e = err.wrap(prepared)
    job.say(self, t, e.message)
    return nil, failure(e, status.EXIT.DOWNLOAD)
  end
  t.staged = true
  if #self.tasks > 1 and self.spec.barrier ~= false then
    job.say(self, t, "Waiting for group ready ...")
    self:arrive()
    self.gate:wait()
    if self.stop then
      finish_stopped(self, t)
      return nil
    end
    job.say(self, t, "Group ready")
  end
  return prepared
end

-- Runs the command to its end. How it ended; nil when the group was stopped before it began.
local function command(self, t, prepared)
  while true do
    t.again = nil
    local started, fault = pcall(start, self, t, prepared)
    if not started then
      local e = err.wrap(fault)
      if self.stop then
        return nil
      end
      job.say(self, t, e.message)
      return failure(e, status.EXIT.COMMAND)
    end
    if self.stop then
      -- The stop came while the process was being started, and did not see it.
      task.spawn(M.kill, self, t)
    end
    local ending = job.wait(self, t)
    if t.kind == "plain" then
      -- What left the process group is no part of a namespace that would have ended with it.
      processes.reap("PAI_TASK_UUID=" .. t.row.uuid)
    end
    t.gone:set()
    if self.stop or not t.again then
      return ending
    end
    t.gone = task.event()
    job.say(self, t, "Restarting the command: a task of the group is run again")
  end
end

-- What an end is by the exit actions, and why it is not what it would be without.
local function judge(self, t, ending)
  return status.of_exit(ending.exit_code, t.spec.exit_actions, {
    plain = ending.status,
    defaults = self.pool.exit_actions,
    retry = t.row.retry_id,
    max_retries = self.pool.max_retry_per_task,
  })
end

-- Ends a task, or makes it ready for another try: then true.
local function conclude(self, t, ending)
  local new, why = judge(self, t, ending)
  local message = ending.message
  if ending.whole and ending.exit_code ~= 0 then
    message = ("Failure reason:\n- Exit code %d due to task failure."):format(ending.exit_code)
  end
  if why then
    message = message and message .. " " .. why or why
  end
  if new ~= "RESCHEDULED" then
    if ending.whole then
      spare.give(self.engine, t)
    end
    finish(self, t, { status = new, exit_code = ending.exit_code, message = message })
    return false
  end
  t.row = flow.reschedule(self.engine.store, t.row, {
    exit_code = ending.exit_code,
    message = mask.text(message),
    times = t.times,
  })
  self:place(t)
  self.engine.logs:event(self.id, t.row.name, "Rescheduled", why, t.row.retry_id)
  if t.lead or self.spec.ignoreNonleadStatus == false then
    restart_others(self, t)
  end
  return true
end

-- Puts the outputs where they belong. Not where the command did not come to its end: upstream keeps
-- none after an eviction or a fault of the backend either. How the try ended.
local function upload(self, t, ending)
  if not ending.whole then
    return ending
  end
  t.times.output_upload_start_time = self.engine.store:now()
  -- What would be tried again holds what the group holds.
  local failed = { status = "FAILED", exit_code = status.EXIT.UPLOAD }
  if judge(self, t, ending) ~= "RESCHEDULED" and judge(self, t, failed) ~= "RESCHEDULED" then
    release(self)
  end
  local done, e = job.transfer(t, function()
    job.upload(self, t)
  end)
  if self.stop or done then
    return ending
  end
  job.say(self, t, e.message)
  return failure(e, status.EXIT.UPLOAD)
end

-- One try of a task. True when there is to be another.
local function try(self, t)
  local prepared, ending = ready(self, t)
  if not prepared then
    return ending ~= nil and conclude(self, t, ending)
  end
  local stop_checkpoints = checkpoint.start(self, t, function(text)
    job.say(self, t, text)
  end)
  ending = command(self, t, prepared)
  stop_checkpoints(ending ~= nil and ending.whole == true)
  if ending and not self.stop then
    ending = upload(self, t, ending)
  end
  if self.stop and not t.finished then
    release(self)
    return finish_stopped(self, t)
  end
  return conclude(self, t, ending)
end

-- The whole life of one task.
local function live(self, t)
  local folder = t.folder
  while try(self, t) do
    fs.remove(folder, { recursive = true })
    folder = t.folder
  end
end

---Runs a task to its end. A fault of the engine's own must not leave it RUNNING.
---@param self pai.engine.Run
---@param t table
function M.run(self, t)
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
  if not t.given then
    fs.remove(t.folder, { recursive = true })
  end
end

return M
