-- A run: its journal, what its steps share, and the scheduler that starts every step whose turn it
-- is. What one step does is in step.lua.
local Children = require("pai.run.children")
local ctx = require("pai.run.ctx")
local err = require("pai.err")
local inputs = require("pai.recipe.inputs")
local journal = require("pai.run.journal")
local out = require("pai.out")
local result = require("pai.run.result")
local scope = require("pai.run.scope")
local step = require("pai.run.step")
local task = require("pai.task")

local M = {}

---@class pai.run.Spec
---@field id string
---@field dir string the run's folder
---@field state string the state folder
---@field cwd string
---@field target string
---@field osmo_url string?
---@field loader pai.recipe.Loader
---@field graph pai.recipe.Graph
---@field root pai.recipe.Scope
---@field inputs pai.Inputs
---@field replay pai.run.State
---@field journal pai.run.Journal?
---@field sinks table[] each { event = fn(e), line = fn(step, line)?, begin, kept = fn(unit)? }
---@field planning boolean?
---@field resumed boolean?

---@class pai.run.Run: pai.run.Spec
---@field stopping boolean no further step begins
---@field interrupted string? name of the signal, or what else stopped it
---@field code integer? exit code of a run that is not green, if it is not the usual one
---@field leases table[]? that it holds
---@field settled table<string, pai.run.Outcome>
---@field live table<string, table> units that run now
---@field children pai.run.Children
local Run = {}
Run.__index = Run
for name, method in pairs(scope) do
  Run[name] = method
end

---Makes a run of its parts; nothing happens yet.
---@param spec pai.run.Spec
---@return pai.run.Run
function M.new(spec)
  local run = setmetatable(spec, Run)
  run.seq = 0
  run.stopping = false
  run.settled, run.live, run.tasks, run.output = {}, {}, {}, {}
  run.secret_sources, run.secret_decls = {}, {}
  run.changed = task.event()
  run.began = task.now()
  run.media_seen = {}
  for _, path in ipairs(run.replay.media) do
    run.media_seen[path] = true
  end
  run.children = Children.new(function(name, proc, argv0)
    run:emit("child", {
      step = name,
      pid = proc.pid,
      start_time = proc.start_time,
      argv0 = argv0,
    })
  end)
  run:register_secrets(run.root.loaded.doc.inputs or {}, run.inputs)
  run:bind(run.root)
  return run
end

-- For tests of what a killed run leaves: ends this very process at a journal line. Nothing else may
-- happen until it is over, so it is waited for without a turn of the loop.
local function test_kill(event, name)
  local at = os.getenv("PAI_TEST_KILL")
  if not at or at ~= (name and event .. ":" .. name or event) then
    return
  end
  local f = assert(io.open("/proc/self/stat"))
  local pid = ("%d"):format(f:read("n"))
  require("pai.exec").detach({ "/bin/sh", "-c", 'kill -s KILL "$1"', "sh", pid })
  while true do
    f:seek("set")
  end
end

---Records an event and shows it.
---@param event string
---@param fields table
---@param harmless boolean? of an intent whose step only observes
function Run:emit(event, fields, harmless)
  local line
  if self.journal then
    local ok
    ok, line = pcall(self.journal.append, self.journal, event, fields, harmless)
    if not ok then
      self.fatal = self.fatal or line
      self:stop()
      error(line, 0)
    end
    test_kill(event, fields.step)
  else
    self.seq = self.seq + 1
    line = journal.event(nil, self.seq, event, fields)
  end
  for _, sink in ipairs(self.sinks) do
    sink.event(line)
  end
end

function Run:log(name, message, level)
  self:emit("log", { step = name, text = message, level = level or "info" })
end

-- A line of a program's output: shown and kept beside the journal, not in it.
function Run:line(name, line, stream)
  local live = self.live[name]
  if live then
    live.last = line
  end
  for _, sink in ipairs(self.sinks) do
    if sink.line then
      sink.line(name, line, stream)
    end
  end
  if self.planning then
    return
  end
  local channel = self.output[name]
  if not channel then
    local dir = self.dir .. "/output"
    require("pai.state").create(dir)
    local e
    local file = ("%s/%s.log"):format(dir, (name:gsub("[^%w_.-]", "_")))
    channel, e = out.open(file, { append = true })
    if not channel then
      error(e, 0)
    end
    self.output[name] = channel
  end
  channel:write(line .. "\n")
end

---A heartbeat of a step, when it says something new.
---@param name string
---@param beat { state: string?, observation: string?, next: string? }
function Run:beat(name, beat)
  local live = self.live[name] or { since = task.now() }
  local known = live.beat or {}
  if known.state == beat.state and known.observation == beat.observation then
    return
  end
  live.beat = { state = beat.state, observation = beat.observation, next = beat.next }
  self:heartbeat(name, live)
end

---Records a heartbeat now.
---@param name string
---@param live table
function Run:heartbeat(name, live)
  live.beat_at = task.now()
  local beat = live.beat or {}
  self:emit("heartbeat", {
    step = name,
    state = beat.state or "running",
    elapsed_ms = task.now() - live.since,
    observation = beat.observation or live.last,
    next = beat.next,
  })
end

function Run:waiting(name, what)
  self:beat(name, { state = "waiting", observation = "waiting for " .. what })
end

function Run:media(name, path)
  if not self.media_seen[path] then
    self.media_seen[path] = true
    self:emit("media", { step = name, path = path })
  end
end

---Makes the ctx of a step.
---@param node pai.recipe.Node
---@param unit string
---@param mode "act"|"read"
---@param where string
---@param item table?
---@return table
function Run:ctx(node, unit, mode, where, item)
  return ctx.new({
    run = self,
    scope = node.scope,
    step = unit,
    item = item,
    mode = self.planning and "plan" or mode,
    where = where,
    cwd = self.cwd,
    run_dir = self.dir,
    needs = node.scope.needs,
    osmo_roots = node.scope.osmo_roots,
  })
end

-- A ctx that belongs to no step: estimate and report.
function Run:recipe_ctx(mode, where)
  return self:ctx({ scope = self.root }, where, mode, where)
end

local NEW <const> = { started = false, done = false, green = false, attempts = 0 }

---What the journal knows of a unit.
---@param name string
---@return pai.run.Unit
function Run:unit(name)
  return self.replay.units[name] or NEW
end

-- Tells the views what is not worth a line in the journal.
local function tell(self, what, unit)
  for _, sink in ipairs(self.sinks) do
    if sink[what] then
      sink[what](unit)
    end
  end
end

function Run:begin(unit, node)
  self.live[unit] = { since = task.now(), beat_at = task.now(), node = node }
  tell(self, "begin", unit)
end

function Run:finish(unit, state)
  self.live[unit] = nil
  if state == "kept" then
    tell(self, "kept", unit)
  end
  if self.output[unit] then
    self.output[unit]:close()
    self.output[unit] = nil
  end
end

---A journalled value as steps see it: secrets are handles again.
---@param value any
---@return any
function Run:revive(value)
  return result.revive(value, function(source)
    for handle, known in pairs(self.secret_sources) do
      if known == source then
        return handle
      end
    end
    return inputs.open(source)
  end)
end

---No further step begins; those that run go on.
function Run:stop()
  self.stopping = true
end

local GOOD <const> = { done = true, already = true, kept = true, skipped = true }

function Run:run_node(node)
  local ok, outcome = pcall(function()
    local reason = self:enter(node.inner or node.scope)
    if reason then
      if not self:unit(node.name).skipped then
        self:emit("step.skip", { step = node.name, reason = reason })
      end
      return { state = "skipped" }
    end
    return step.run(self, node)
  end)
  if not ok then
    local e = err.wrap(outcome)
    for unit, live in pairs(self.live) do
      if live.node == node then
        self:finish(unit)
      end
    end
    if e.code == "ECANCELED" and self.interrupted then
      outcome = { state = "stopped" }
    else
      e.message = self.loader:locate(e.message)
      -- Without a journal there is nothing to write to; `fatal` says so at the end.
      pcall(self.emit, self, "step.fail", {
        step = node.name,
        error = step.plain_error(e),
        ms = 0,
      })
      outcome = { state = "failed" }
    end
  end
  self.settled[node.name] = outcome
  self.tasks[node] = nil
  if not GOOD[outcome.state] then
    self:stop()
  end
  self.changed:set()
end

local function is_ready(self, node)
  if self.settled[node.name] or self.tasks[node] then
    return false
  end
  for _, name in ipairs(node.after) do
    local before = self.settled[name]
    if not before or not GOOD[before.state] then
      return false
    end
  end
  return true
end

---Runs every step whose turn comes; returns when nothing runs and nothing more can begin.
function Run:schedule()
  while true do
    for _, node in ipairs(self.graph.nodes) do
      if not self.stopping and is_ready(self, node) then
        self.tasks[node] = task.spawn(self.run_node, self, node)
      end
    end
    if next(self.tasks) == nil then
      return
    end
    self.changed:wait()
    self.changed:clear()
  end
end

---The verdict on all steps.
---@return "green"|"red"|"failed"|"interrupted" status
function Run:verdict()
  local status, finished = "green", true
  for _, node in ipairs(self.graph.nodes) do
    local outcome = self.settled[node.name]
    if not outcome or not GOOD[outcome.state] then
      finished = false
    end
    if outcome and outcome.state == "failed" then
      status = "failed"
    elseif outcome and outcome.state == "red" and status == "green" then
      status = "red"
    end
  end
  if self.interrupted and not finished then
    return "interrupted"
  end
  return status
end

return M
