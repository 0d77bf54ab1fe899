-- A run's journal as the report sees it: what ran when, what the gates said, what came of it.
local lines = require("pai.run.journal")
local replay = require("pai.run.replay")

local M = {}

---@class pai.report.Bar one attempt at a step, in milliseconds since 1970
---@field from integer
---@field to integer
---@field state string

---@class pai.report.Step
---@field name string
---@field title? string
---@field state string done|already|red|skipped|failed|running|waiting
---@field bars pai.report.Bar[]
---@field ms? integer
---@field result? any
---@field error? table
---@field reason? string
---@field item? boolean of a step with `each`

---@class pai.report.Gate
---@field step string
---@field kind string checks|verify
---@field verdict string green|red
---@field checks table[]
---@field t integer
---@field earlier integer how many verdicts came before this one

---@class pai.report.Run
---@field id string
---@field start table the run.start line
---@field steps pai.report.Step[]
---@field gates pai.report.Gate[]
---@field media {path: string, step: string}[]
---@field logs table[]
---@field sessions {from: integer, to: integer}[] times in which a process worked on the run
---@field status string green|red|failed|interrupted|input_required|unfinished
---@field estimate? table
---@field ended? table the run.end line
---@field missing? table[]

local function days_from_civil(y, m, d)
  y = m <= 2 and y - 1 or y
  local era = y // 400
  local yoe = y - era * 400
  local doy = (153 * (m + (m > 2 and -3 or 9)) + 2) // 5 + d - 1
  local doe = yoe * 365 + yoe // 4 - yoe // 100 + doy
  return era * 146097 + doe - 719468
end

---Milliseconds since 1970 of a journal's time stamp; nil when it is none.
---@param text any
---@return integer?
function M.time(text)
  if type(text) ~= "string" then
    return nil
  end
  local y, mo, d, h, mi, s, frac = text:match("^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)%.?(%d*)Z$")
  if not y then
    return nil
  end
  local ms = tonumber((frac .. "000"):sub(1, 3))
  local days = days_from_civil(tonumber(y), tonumber(mo), tonumber(d))
  return ((days * 24 + tonumber(h)) * 60 + tonumber(mi)) * 60000 + tonumber(s) * 1000 + ms
end

-- The events of the file in order, each with `at`, its time in milliseconds.
local function read_events(path)
  local events, err = lines.read(path)
  if not events then
    return nil, err
  end
  local last = 0
  for _, event in ipairs(events) do
    last = M.time(event.t) or last
    event.at = last
  end
  return events
end

local function step_of(run, name)
  local step = run.by_name[name]
  if not step then
    step = { name = name, state = "waiting", bars = {} }
    run.by_name[name] = step
    run.steps[#run.steps + 1] = step
  end
  return step
end

local function event_step(run, e)
  local name = tostring(e.step)
  if e.key and not name:find("[", 1, true) then
    name = name .. "[" .. tostring(e.key) .. "]"
  end
  return step_of(run, name)
end

local function close_bar(step, at, state, ms)
  if step.gate_only then
    step.bars, step.gate_only = {}, nil
  end
  local bar = step.bars[#step.bars]
  if not bar or bar.state ~= "running" then
    bar = { from = at - (ms or 0) }
    step.bars[#step.bars + 1] = bar
  end
  bar.to, bar.state = math.max(at, bar.from), state
  step.state, step.ms = state, ms or bar.to - bar.from
end

-- What was running when the process died ends with the last thing that it wrote.
local function end_session(run, at)
  for _, step in ipairs(run.steps) do
    local bar = step.bars[#step.bars]
    if bar and bar.state == "running" then
      bar.to, bar.state = math.max(at, bar.from), "interrupted"
    end
  end
end

local on = {}

on["run.start"] = function(run, e)
  run.start = e
  run.sessions[1] = { from = e.at, to = e.at }
end

on["run.resume"] = function(run, e)
  local last = run.sessions[#run.sessions]
  if last then
    end_session(run, last.to)
  end
  run.ended = nil
  run.sessions[#run.sessions + 1] = { from = e.at, to = e.at }
end

on["run.graph"] = function(run, e)
  for _, step in ipairs(e.steps or {}) do
    step_of(run, tostring(step.name)).title = step.title
  end
end

on["step.start"] = function(run, e)
  local step = event_step(run, e)
  step.state, step.error, step.gate_only = "running", nil, nil
  step.bars[#step.bars + 1] = { from = e.at, to = e.at, state = "running" }
end

on["step.done"] = function(run, e)
  local step = event_step(run, e)
  close_bar(step, e.at, e.how == "already" and "already" or "done", e.ms)
  step.result, step.error = e.result, nil
end

on["step.skip"] = function(run, e)
  local step = event_step(run, e)
  step.state, step.reason = "skipped", e.reason
end

on["step.fail"] = function(run, e)
  local step = event_step(run, e)
  close_bar(step, e.at, "failed", e.ms)
  step.error = type(e.error) == "table" and e.error or { message = e.error }
end

-- A step whose work is done and whose gate is red is not done, until the gate is green.
local function judge(step, verdict)
  local bar = step.bars[#step.bars]
  if verdict == "red" and (step.state == "done" or step.state == "already") then
    step.held, step.state, bar.state = step.state, "red", "red"
  elseif verdict == "green" and step.state == "red" then
    step.state = step.held
  end
end

-- A step that is nothing but a gate has no start and no end in the journal: its gate is both.
local function step_of_gate(run, gate)
  local step = step_of(run, gate.step)
  if #step.bars > 0 and not step.gate_only then
    judge(step, gate.verdict)
    return
  end
  local longest = 0
  for _, check in ipairs(gate.checks) do
    longest = math.max(longest, tonumber(check.ms) or 0)
  end
  step.gate_only, step.ms = true, longest
  step.state = gate.verdict == "green" and "done" or "red"
  step.bars[#step.bars + 1] = { from = gate.t - longest, to = gate.t, state = step.state }
end

on["gate"] = function(run, e)
  local id = tostring(e.step) .. "\0" .. tostring(e.kind)
  local old = run.gate_of[id]
  local gate = old or { step = tostring(e.step), kind = e.kind, earlier = -1 }
  gate.verdict, gate.checks, gate.t = e.verdict, e.checks or {}, e.at
  gate.earlier = gate.earlier + 1
  step_of_gate(run, gate)
  if not old then
    run.gate_of[id] = gate
    run.gates[#run.gates + 1] = gate
  end
end

on["media"] = function(run, e)
  run.media[#run.media + 1] = { path = e.path, step = e.step }
end

on["log"] = function(run, e)
  run.logs[#run.logs + 1] = e
end

on["estimate"] = function(run, e)
  run.estimate = e
end

on["input.required"] = function(run, e)
  run.missing = e.missing
end

on["run.end"] = function(run, e)
  run.ended = e
end

-- Items stand after the step that they belong to, which stands as they do.
local function arrange(run)
  local items, ordered = {}, {}
  for _, step in ipairs(run.steps) do
    local base = run.by_name[replay.step_of_item(step.name)]
    if base then
      items[base] = items[base] or {}
      table.insert(items[base], step)
      step.item = true
    end
  end
  for _, step in ipairs(run.steps) do
    if not step.item then
      ordered[#ordered + 1] = step
      local own = items[step] or {}
      table.move(own, 1, #own, #ordered + 1, ordered)
      if #own > 0 and step.state == "waiting" then
        step.state = replay.word_of_items(own)
      end
    end
  end
  run.steps = ordered
end

-- A run that has not ended has no verdict of its own yet: it is read off its gates and steps.
local function status(run)
  if run.ended then
    return tostring(run.ended.status)
  end
  local failed, open = false, false
  for _, step in ipairs(run.steps) do
    failed = failed or step.state == "failed"
    open = open or step.state == "waiting" or step.state == "running"
  end
  for _, gate in ipairs(run.gates) do
    if gate.verdict == "red" then
      return "red"
    end
  end
  return failed and "failed" or open and "unfinished" or "green"
end

---Reads a run's journal.
---@param path string
---@return pai.report.Run? run
---@return table? err
function M.read(path)
  local events, err = read_events(path)
  if not events then
    return nil, err
  end
  local run = {
    steps = {},
    by_name = {},
    gates = {},
    gate_of = {},
    media = {},
    logs = {},
    sessions = {},
    start = {},
  }
  for _, event in ipairs(events) do
    if on[event.event] then
      on[event.event](run, event)
    end
    local session = run.sessions[#run.sessions]
    if session then
      session.to = math.max(session.to, event.at)
    end
  end
  local last = run.sessions[#run.sessions]
  arrange(run)
  run.status = status(run)
  end_session(run, last and last.to or 0)
  run.id = tostring(run.start.run or "")
  return run
end

return M
