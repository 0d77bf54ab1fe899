-- Where a run stands, read from its journal.
local M = {}

---@class pai.run.Unit one step, or one item of a step with `each`
---@field started boolean a step.start with no end after it
---@field done boolean
---@field result any
---@field skipped boolean
---@field reason string? why it is left out
---@field green boolean? its gate; nil when it has none, or has not come to it
---@field attempts integer
---@field ms integer?
---@field error table?

---@class pai.run.State
---@field start table? the run.start line
---@field units table<string, pai.run.Unit>
---@field order string[] unit names as they first appeared
---@field graph table[]? steps of run.graph
---@field files table<string, string> path → sha256 as accepted last
---@field children table[] with boot, of processes whose end nobody saw
---@field media string[]
---@field report string? path of the page
---@field ended table? the run.end line of the last session
---@field sessions integer
---@field last string? time of the last line

local function unit(state, name)
  local u = state.units[name]
  if not u then
    u = { started = false, done = false, attempts = 0 }
    state.units[name] = u
    state.order[#state.order + 1] = name
  end
  return u
end

local on = {}

on["run.start"] = function(state, e)
  state.start, state.boot = e, e.boot
  for _, file in ipairs(e.files or {}) do
    state.files[file.path] = file.sha256
  end
  state.sessions = 1
end

on["run.resume"] = function(state, e)
  state.boot = e.boot
  state.ended = nil
  state.sessions = state.sessions + 1
  for _, file in ipairs(e.files or {}) do
    state.files[file.path] = file.sha256
  end
end

on["run.graph"] = function(state, e)
  state.graph = e.steps
end

on["file"] = function(state, e)
  state.files[e.path] = e.sha256
end

on["cluster"] = function(state, e)
  state.clusters = state.clusters or {}
  state.clusters[e.context] = { context = e.context, server = e.server, uid = e.uid }
end

on["step.start"] = function(state, e)
  local u = unit(state, e.step)
  u.started, u.attempts = true, e.attempt or u.attempts + 1
  u.error = nil
end

on["step.done"] = function(state, e)
  local u = unit(state, e.step)
  u.started, u.done, u.result, u.ms, u.how = false, true, e.result, e.ms, e.how
end

on["step.fail"] = function(state, e)
  local u = unit(state, e.step)
  -- Whether the effect came about is not known: it counts as started until `done` says more.
  u.error, u.ms = e.error, e.ms
end

on["step.skip"] = function(state, e)
  local u = unit(state, e.step)
  u.skipped, u.reason = true, e.reason
end

on["gate"] = function(state, e)
  local u = unit(state, e.step)
  u.green = e.verdict == "green"
  u.gate = e
  if e.kind == "checks" then
    u.started, u.done = false, u.green
  end
end

on["child"] = function(state, e)
  state.children[#state.children + 1] = {
    pid = e.pid,
    start_time = e.start_time,
    boot = state.boot,
    step = e.step,
    argv0 = e.argv0,
  }
end

on["media"] = function(state, e)
  state.media[#state.media + 1] = e.path
end

on["report"] = function(state, e)
  state.report = e.path
end

on["run.end"] = function(state, e)
  state.ended = e
end

---How a unit stands, in the word that people are shown.
---@param u pai.run.Unit
---@return "left out"|"stopped"|"failed"|"red"|"already"|"done"|"started"
function M.word(u)
  if u.skipped then
    return "left out"
  elseif u.error then
    return u.error.code == "ECANCELED" and "stopped" or "failed"
  elseif u.gate and not u.green then
    return "red"
  elseif u.done then
    return u.how == "already" and "already" or "done"
  end
  -- A step that is a gate after others only has neither begun nor done anything.
  return u.green and not u.started and "done" or "started"
end

---The step that an item belongs to: of "augment[clip1]" it is augment.
---@param name string
---@return string? step
function M.step_of_item(name)
  return name:match("^(.-)%[.*%]$")
end

local WORST <const> = { "failed", "red", "running", "stopped" }

---How a step with `each` stands, by its items.
---@param items { state: string }[] at least one
---@return string
function M.word_of_items(items)
  local seen = {}
  for _, item in ipairs(items) do
    seen[item.state] = true
  end
  for _, word in ipairs(WORST) do
    if seen[word] then
      return word
    end
  end
  return seen.done and "done" or "already"
end

---The state of a run that nothing has happened to.
---@return pai.run.State
function M.fresh()
  return {
    units = {},
    order = {},
    files = {},
    children = {},
    media = require("pai.json").array({}),
    sessions = 0,
  }
end

---Takes one event more.
---@param state pai.run.State
---@param e table
function M.feed(state, e)
  local fn = on[e.event]
  if fn then
    fn(state, e)
  end
  state.last = e.t
end

---Reads the state of a run.
---@param events table[]
---@return pai.run.State
function M.of(events)
  local state = M.fresh()
  for _, e in ipairs(events) do
    M.feed(state, e)
  end
  return state
end

return M
