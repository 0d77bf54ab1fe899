-- The engine's heart: which groups run, how runs end, and what is done around each commit.
local err = require("pai.err")
local flow = require("pai.engine.flow")
local fs = require("pai.fs")
local gpu = require("pai.engine.gpu")
local group = require("pai.engine.group")
local json = require("pai.json")
local logs = require("pai.engine.logs")
local preempt = require("pai.engine.preempt")
local status = require("pai.engine.status")
local task = require("pai.task")
local wire = require("pai.engine.wire")

local M = {}

-- What the pool gives when a workflow says nothing or more, in seconds.
local DEFAULT_TIMEOUT <const> = 60 * 86400

-- How often queue time-outs are looked at while something is queued.
local QUEUE_CHECK <const> = "1s"

-- Groups read from the queue in one go; more are when all of these could start or wait for GPUs.
local CANDIDATES <const> = 64

---@class pai.engine.Engine
---@field store pai.engine.Store
---@field paths table root, real_root, runs, socket, log
---@field sandbox {kind: string, reason: string?}
---@field cores integer
---@field memory number GiB that tasks may ask for
---@field gpus pai.engine.Gpu[]
---@field taken table<integer, boolean> GPUs in use by index
---@field busy {cpu: integer, memory: number} what the groups under way have asked for
---@field pools table<string, pai.engine.Pool>
---@field runs table<integer, pai.engine.Run> groups under way by seq
---@field stopping string? why
local Engine = {}
Engine.__index = Engine

---Seconds of a time-out: none and zero take the pool's default, which is also the maximum.
---@param value number?
---@return number
function M.timeout(value)
  if not value or value <= 0 then
    return DEFAULT_TIMEOUT
  end
  return math.min(value, DEFAULT_TIMEOUT)
end

---@param id string workflow
---@return string
function Engine:run_dir(id)
  return fs.join(self.paths.runs, id)
end

---Where a task's output is kept for tasks that take it as an input.
---@param id string workflow
---@param name string task
---@return string
function Engine:intermediate(id, name)
  return fs.join(self:run_dir(id), "data", name)
end

---@return string[]
function Engine:roots()
  return self.store:roots()
end

---Writes a line to the engine's own log.
---@param text string
function Engine:complain(text)
  self.log:write(os.date("!%Y-%m-%dT%H:%M:%SZ "), text, "\n")
end

-- Ends the log of a run, and removes what its tasks have left.
local function close(self, id, final)
  local leftover = fs.join(self:run_dir(id), "tasks")
  if status.failed(final) and not self.logs:has_ended(id) then
    self.logs:failed(id, self.base_url .. "/api/workflow/" .. id)
  end
  self.logs:finish(id)
  fs.remove(leftover, { recursive = true })
end

-- A run that has ended does not change any more: lists of thousands take its entry as text.
local function store_entry(self, id)
  local w = self.store:workflow(id)
  self.store:run(
    "UPDATE workflows SET entry = ?, entry_base = ? WHERE seq = ?",
    json.encode(wire.entry(self, w, w.end_time)),
    self.base_url,
    w.seq
  )
end

---Does for runs that have ended what a killed engine did not come to.
function Engine:finish_ended()
  local rows = self.store:rows([[SELECT id, status FROM workflows
    WHERE entry IS NULL AND end_time IS NOT NULL AND status != 'FAILED_SUBMISSION']])
  for _, w in ipairs(rows) do
    if fs.exists(self:run_dir(w.id)) then
      close(self, w.id, w.status)
    end
  end
  self.store:transaction("entries", function()
    for _, w in ipairs(rows) do
      store_entry(self, w.id)
    end
  end)
end

---Does what follows from a committed change.
---@param changes pai.engine.Changes
---@param also function? run before the run's log is closed
function Engine:commit(changes, also)
  if also then
    also()
  end
  for id, final in pairs(changes.ended) do
    close(self, id, final)
    self.store:transaction("entry", function()
      store_entry(self, id)
    end)
  end
  if changes.ready or next(changes.ended) then
    self:kick()
  end
  self.last_activity = task.now()
end

---Makes the scheduler look at the queue anew.
function Engine:kick()
  self.queue = nil
  self.wake:set()
end

local QUEUED <const> = [[
  SELECT g.seq, g.cpu, g.gpu, g.memory, g.workflow, w.priority
  FROM groups g JOIN workflows w ON w.seq = g.workflow
  WHERE g.status = 'SCHEDULING'
  ORDER BY CASE w.priority WHEN 'HIGH' THEN 0 WHEN 'NORMAL' THEN 1 ELSE 2 END, w.seq, g.seq
  LIMIT ? OFFSET ?]]

local function expire_queued(self)
  local now = self.store:now()
  local rows = self.store:rows([[
    SELECT g.*, w.queue_timeout FROM groups g JOIN workflows w ON w.seq = g.workflow
    WHERE g.status = 'SCHEDULING']])
  for _, g in ipairs(rows) do
    local limit = M.timeout(g.queue_timeout)
    if now - g.scheduling_start_time >= limit * 1000 then
      self:commit(
        flow.stop(
          self.store,
          g,
          "FAILED_QUEUE_TIMEOUT",
          nil,
          ("Task stayed in queue longer than the set limit of %gs."):format(limit)
        )
      )
      self:kick()
    end
  end
end

-- A fault of the engine's own must not leave a group under way for ever.
local function give_up(self, row, fault)
  local e = err.wrap(fault)
  self:complain(("group %s: %s"):format(row.name, e.trace or e.message))
  self:commit(
    flow.stop(
      self.store,
      row,
      "FAILED_SERVER_ERROR",
      status.EXIT.SERVER,
      "Fault of the engine: " .. e.message
    )
  )
end

---Gives back what a group has asked for: what is left of it is no more than transfers.
---@param run pai.engine.Run
function Engine:release(run)
  local held = run.held
  if held then
    run.held = nil
    self.busy.cpu = self.busy.cpu - held.cpu
    self.busy.memory = self.busy.memory - held.memory
    for _, index in ipairs(held.gpus) do
      self.taken[index] = nil
    end
    self.wake:set()
  end
end

local function start_group(self, g, gpus)
  local seq = g.seq
  if not flow.claim(self.store, seq) then
    return
  end
  local row = self.store:row("SELECT * FROM groups WHERE seq = ?", seq)
  local made, run = pcall(group.new, self, row, gpus)
  if not made then
    return give_up(self, row, run)
  end
  self.runs[seq] = run
  run.held = { cpu = g.cpu, memory = g.memory, gpus = gpus }
  self.busy.cpu = self.busy.cpu + g.cpu
  self.busy.memory = self.busy.memory + g.memory
  for _, index in ipairs(gpus) do
    self.taken[index] = true
  end
  task.spawn(function()
    local ok, fault = pcall(run.execute, run)
    -- What was put back into the queue may be under way again.
    if self.runs[seq] == run then
      self.runs[seq] = nil
    end
    self:release(run)
    if not ok then
      give_up(self, row, fault)
    end
    self.wake:set()
  end)
end

-- A group that asks for more than there is runs alone.
local function fits(self, g)
  local busy = self.busy
  return busy.cpu == 0 or (busy.cpu + g.cpu <= self.cores and busy.memory + g.memory <= self.memory)
end

---One look at the queue: starts what fits, the oldest of the highest priority first. A group that
---does not fit holds back those behind it, so that it is not overtaken for ever; one that waits for
---GPUs holds back only those that want some, too.
---@return boolean waiting whether groups stay queued
function Engine:pass()
  if task.now() >= self.queue_check then
    expire_queued(self)
    self.queue_check = task.now() + 1000
  end
  -- What has been read stays in order until something comes or goes otherwise than by a start.
  local queue = self.queue or { more = true }
  self.queue = queue
  local at, starved = 1, false
  while true do
    local g = queue[at]
    if not g then
      local rows = queue.more and self.store:rows(QUEUED, CANDIDATES, #queue) or {}
      queue.more = #rows == CANDIDATES
      if #rows == 0 then
        return at > 1
      end
      table.move(rows, 1, #rows, #queue + 1, queue)
    elseif not fits(self, g) then
      preempt.make_room(self, g)
      return true
    else
      local gpus = not (starved and g.gpu > 0) and gpu.find(self.gpus, self.taken, g.gpu)
      if gpus then
        table.remove(queue, at)
        start_group(self, g, gpus)
      else
        if not starved then
          preempt.make_room(self, g)
        end
        starved, at = true, at + 1
      end
    end
  end
end

---Ends groups that are under way in the store but not here: what a fault, such as a full disk at
---the wrong moment, has left.
function Engine:sweep()
  local rows = self.store:rows("SELECT * FROM groups WHERE status IN ('INITIALIZING', 'RUNNING')")
  for _, g in ipairs(rows) do
    if not self.runs[g.seq] then
      give_up(self, g, "its state could not be stored")
    end
  end
end

---Runs the scheduler until the engine stops.
function Engine:schedule()
  while not self.stopping do
    self.wake:clear()
    local ok, waiting = pcall(self.pass, self)
    if not ok then
      self:complain("scheduler: " .. tostring(err.wrap(waiting)))
      waiting = true
    end
    if waiting == true then
      self.wake:wait(QUEUE_CHECK)
    else
      self.wake:wait()
    end
  end
end

---Cancels a workflow: what waits ends at once, what runs ends when its processes have.
---@param w table row of the workflow
---@param user string
---@param message string?
---@param force boolean
function Engine:cancel(w, user, message, force)
  local why = flow.cancel_message(user, message)
  flow.request_cancel(self.store, w.seq, user, message, force)
  local groups = self.store:groups(w.seq)
  -- Downstream first: a cancelled group must not make them FAILED_UPSTREAM.
  for i = #groups, 1, -1 do
    local g = groups[i]
    local run = self.runs[g.seq]
    if run then
      run:halt({
        status = "FAILED_CANCELED",
        group_status = "FAILED_CANCELED",
        message = why,
        force = force,
      })
    elseif not status.finished(g.status) then
      self:commit(flow.stop(self.store, g, "FAILED_CANCELED", nil, why))
      self:kick()
    end
  end
end

---Ends everything that runs, for the end of the engine.
---@param reason string
function Engine:halt(reason)
  self.stopping = reason
  for _, run in pairs(self.runs) do
    run:halt({
      status = "FAILED_BACKEND_ERROR",
      group_status = "FAILED_BACKEND_ERROR",
      exit_code = status.EXIT.BACKEND,
      message = reason,
      force = true,
    })
  end
  local deadline = task.now() + 10000
  while next(self.runs) ~= nil and task.now() < deadline do
    task.sleep("10ms")
  end
  self:kick()
end

---Whether any workflow is unfinished.
---@return integer
function Engine:active()
  return self.store:row(
    "SELECT count(*) AS n FROM workflows WHERE status IN ('PENDING', 'RUNNING', 'WAITING')"
  ).n
end

---@param fields table store, paths, sandbox, cores, user, hostname, base_url, log
---@return pai.engine.Engine
function M.new(fields)
  local self = setmetatable(fields, Engine)
  self.runs = {}
  self.busy = { cpu = 0, memory = 0 }
  self.taken = {}
  self.secrets = {}
  self.logins = {}
  self.timeout = M.timeout
  self.queue_check = 0
  self.wake = task.event()
  self.last_activity = task.now()
  self.logs = logs.new(function(id)
    return self:run_dir(id)
  end)
  return self
end

return M
