-- Events of a run as lines for people: what `pai run` prints without a terminal, and what
-- `pai runs watch` and `logs` print of a journal.
local duration = require("pai.duration")
local text = require("pai.text")

local M = {}

local COLORS <const> = {
  green = "32",
  red = "31",
  yellow = "33",
  dim = "2",
  bold = "1",
}

---Colours a text when colours are on.
---@param color boolean
---@param name string
---@param s string
---@return string
function M.paint(color, name, s)
  return color and ("\27[%sm%s\27[0m"):format(COLORS[name], s) or s
end

local STATE_COLOR <const> = {
  ok = "green",
  warn = "yellow",
  red = "red",
  unknown = "red",
  skipped = "dim",
}

-- A line for people; the journal has the whole of it.
local LONGEST <const> = 400

local function words(value)
  return value ~= nil and text.cut(text.one_line(tostring(value)), LONGEST) or nil
end

---One check as a line: "red ffmpeg: not found; expected 5.1; hint: …".
---@param check table
---@param color boolean
---@return string
function M.check(check, color)
  local parts = {}
  if words(check.measured) then
    parts[#parts + 1] = words(check.measured)
  end
  -- Of what was not looked at there is nothing to expect and nothing to mend.
  local wanting = check.state ~= "ok" and check.state ~= "skipped"
  if words(check.expected) and wanting then
    parts[#parts + 1] = "expected " .. words(check.expected)
  end
  if words(check.hint) and wanting then
    parts[#parts + 1] = "hint: " .. words(check.hint)
  end
  local state = M.paint(color, STATE_COLOR[check.state] or "red", text.pad(check.state, 7))
  local detail = #parts > 0 and ": " .. table.concat(parts, "; ") or ""
  return ("  %s %s%s"):format(state, check.name, detail)
end

local function line(color, word, tone, rest)
  return M.paint(color, tone, text.pad(word, 7)) .. " " .. rest
end

local format = {}

format["run.start"] = function(e, c)
  local rows = { line(c, "run", "bold", ("%s %s: %s"):format(e.run, e.recipe, e.title)) }
  local names = text.keys(e.inputs or {})
  local parts = {}
  for i, name in ipairs(names) do
    local value = e.inputs[name]
    if type(value) == "table" then
      value = value["$secret"] and "***" or require("pai.json").encode(value)
    end
    parts[i] = ("%s=%s"):format(name, words(value))
  end
  if #parts > 0 then
    rows[#rows + 1] = line(c, "inputs", "dim", table.concat(parts, " "))
  end
  return rows
end

format["run.resume"] = function(e, c)
  local finished = #(e.finished or {})
  return { line(c, "resume", "bold", ("%s, %d finished before"):format(e.run, finished)) }
end

format["estimate"] = function(e, c)
  local estimate = require("pai.run.estimate")
  local rows = { line(c, "takes", "dim", "about " .. estimate.text(e.phases)) }
  for _, p in ipairs(e.phases) do
    rows[#rows + 1] = ("        %s: %s"):format(p.name, estimate.text({ p }))
  end
  return rows
end

format["step.start"] = function(e, c)
  local again = (e.attempt or 1) > 1 and (" (attempt %d)"):format(e.attempt) or ""
  return { line(c, "start", "dim", e.step .. again) }
end

format["step.done"] = function(e, c)
  if e.how == "already" then
    return { line(c, "already", "green", e.step) }
  end
  return { line(c, "done", "green", ("%s %s"):format(e.step, duration.format(e.ms))) }
end

format["step.skip"] = function(e, c)
  return { line(c, "left out", "dim", ("%s: %s"):format(e.step, words(e.reason))) }
end

format["step.fail"] = function(e, c)
  if e.error.code == "ECANCELED" then
    return { line(c, "stopped", "yellow", e.step) }
  end
  local rows = { line(c, "failed", "red", ("%s: %s"):format(e.step, words(e.error.message))) }
  if e.error.hint then
    rows[2] = "        hint: " .. words(e.error.hint)
  end
  if e.error.stderr then
    for last in e.error.stderr:sub(-600):gmatch("[^\n]+") do
      rows[#rows + 1] = "        | " .. text.one_line(last)
    end
  end
  return rows
end

format["gate"] = function(e, c)
  local tone = e.verdict == "green" and "green" or "red"
  local what = e.kind == "verify" and e.step .. " verify" or e.step
  local rows = { line(c, e.verdict, tone, what) }
  for _, check in ipairs(e.checks) do
    rows[#rows + 1] = M.check(check, c)
  end
  return rows
end

format["log"] = function(e, c)
  local tone = e.level == "warn" and "yellow" or "dim"
  local who = e.step and e.step .. ": " or ""
  return { line(c, e.level == "warn" and "warn" or "log", tone, who .. words(e.text)) }
end

format["heartbeat"] = function(e, c)
  local parts = { ("%s %s for %s"):format(e.step, e.state, duration.format(e.elapsed_ms)) }
  if e.observation then
    parts[#parts + 1] = words(e.observation)
  end
  if e.next then
    parts[#parts + 1] = "next: " .. words(e.next)
  end
  return { line(c, "beat", "dim", table.concat(parts, "; ")) }
end

format["media"] = function(e)
  return { "MEDIA:" .. e.path }
end

format["cancel"] = function(e, c)
  if e.error then
    return { line(c, "failed", "red", ("cancel of %s: %s"):format(e.step, words(e.error.message))) }
  end
  return { line(c, "cancel", "green", e.step) }
end

format["report"] = function(e, c)
  return { line(c, "report", "bold", e.path) }
end

format["input.required"] = function()
  return {}
end

local COUNTERS <const> =
  { "done", "already", "kept", "skipped", "red", "failed", "stopped", "waiting" }

---The last line of a run; names and order of the counters stay the same.
---@param e table the run.end event
---@param brief boolean? without the counters that are 0
---@return string
function M.recap(e, brief)
  local parts = { "recap", e.run, e.status }
  for _, name in ipairs(COUNTERS) do
    local n = e.counters and e.counters[name] or 0
    if n > 0 or not brief then
      parts[#parts + 1] = ("%s=%d"):format(name, n)
    end
  end
  parts[#parts + 1] = ("time=%.1fs"):format(e.ms / 1000)
  return table.concat(parts, " ")
end

format["run.end"] = function(e, c, brief)
  local rows = {}
  if e.status ~= "green" and e.run then
    local tone = e.status == "interrupted" and "yellow" or "red"
    rows[1] = line(c, e.status, tone, words(e.reason) or "")
    rows[2] = ("to go on: pai resume %s"):format(e.run)
    if e.status == "interrupted" and e.reason ~= "cancelled" then
      rows[3] = ("to end remote work that it began: pai runs cancel %s"):format(e.run)
    end
  end
  for _, name in ipairs(text.keys(e.returns or {})) do
    local value = e.returns[name]
    if type(value) == "table" then
      value = require("pai.json").encode(value)
    end
    rows[#rows + 1] = line(c, "result", "bold", ("%s: %s"):format(name, words(value)))
  end
  rows[#rows + 1] = M.paint(c, e.status == "green" and "green" or "red", M.recap(e, brief))
  return rows
end

---An event as lines; none for what people need not see.
---@param event table
---@param color boolean
---@param brief boolean? leaves out what is 0; for people only
---@return string[]
function M.of(event, color, brief)
  local fn = format[event.event]
  return fn and fn(event, color, brief) or {}
end

return M
