-- One group under way: its tasks meet at the barrier, hold what the group has been given, and are
-- stopped together. life.lua has the life of each.
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")
local life = require("pai.engine.life")
local network = require("pai.engine.network")
local preempt = require("pai.engine.preempt")
local task = require("pai.task")

local M = {}

---@class pai.engine.Stop
---@field status string for the tasks that have not ended
---@field message string
---@field exit_code integer?
---@field group_status string? for the group, in place of the roll-up
---@field force boolean?
---@field preempted boolean? the group is settled as a whole when all of its tasks have ended

---@class pai.engine.Run
---@field engine table
---@field group table row of the group
---@field stop pai.engine.Stop? set once: the tasks that have not ended are to end
local Run = {}
Run.__index = Run

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
        task.spawn(life.kill, self, t)
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

---Runs a claimed group to its end.
function Run:execute()
  local ok, fault = pcall(network.open, self)
  if not ok then
    network.close(self)
    error(fault, 0)
  end
  local lives = {}
  for _, t in ipairs(self.tasks) do
    lives[#lives + 1] = task.spawn(life.run, self, t)
  end
  for _, one in ipairs(lives) do
    one:wait()
  end
  network.close(self)
  if self.clock then
    self.clock:cancel()
  end
  if self.stop and self.stop.preempted then
    preempt.settle(self)
  end
end

---Sets what belongs to one try of a task: its folder, events and times.
---@param t table
function Run:place(t)
  t.folder = fs.join(self.engine:run_dir(self.id), "tasks", t.row.name .. "-" .. t.row.retry_id)
  local osmo = t.kind == "plain" and t.folder .. "/osmo/" or t.folder .. "/"
  t.output = osmo .. (t.kind == "plain" and "data/output" or "output")
  t.workspace = osmo .. "run/workspace"
  t.gone = task.event()
  t.times = {}
  t.proc = nil
  t.given = nil
  t.staged = nil
end

-- The GPUs of the group are given to its tasks in order.
local function deal(t, gpus, from)
  t.gpus = table.move(gpus, from, from + t.row.gpu - 1, 1, {})
  return from + t.row.gpu
end

---@param engine table
---@param group table row of the group
---@param gpus integer[] indices of those that the group may use
---@return pai.engine.Run
function M.new(engine, group, gpus)
  local w = engine.store:workflow_by_seq(group.workflow)
  local pool = engine.pools[w.pool]
  if not pool then
    err.raise("EINVAL", ("the engine has no pool %s any more"):format(w.pool))
  end
  local self = setmetatable({
    engine = engine,
    group = group,
    id = w.id,
    user = w.user,
    priority = w.priority,
    pool = pool,
    spec = json.decode(group.spec),
    exec_timeout = engine.timeout(w.exec_timeout),
    tasks = {},
    gate = task.event(),
  }, Run)
  self.hosts = self.spec.hosts
  local specs = {}
  for _, t in ipairs(self.spec.tasks) do
    specs[t.name] = t
  end
  local next_gpu = 1
  for _, row in ipairs(engine.store:tasks(group.seq)) do
    local spec = specs[row.name]
    local t = { row = row, spec = spec, lead = row.lead == 1 }
    t.kind = M.kind(engine, spec.image)
    self.kind = t.kind
    next_gpu = deal(t, gpus, next_gpu)
    self:place(t)
    self.tasks[#self.tasks + 1] = t
  end
  for _, g in ipairs(engine.store:waiting_groups(group.workflow)) do
    for _, need in ipairs(g.needs) do
      self.has_downstream = self.has_downstream or need == group.name
    end
  end
  return self
end

---How a task with this image runs.
---@param engine table
---@param image string
---@return "bubblewrap"|"plain"|"container"
function M.kind(engine, image)
  return image:find("^pai%.local/.") and engine.sandbox.kind or "container"
end

return M
