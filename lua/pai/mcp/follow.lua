-- What a client is told of a run while it goes on, and the result when it has ended.
local json = require("pai.json")
local duration = require("pai.duration")
local text = require("pai.text")

local M = {}

-- Levels of the journal's log lines.
local LEVEL <const> = { info = "info", warn = "warning", error = "error" }

---@class pai.mcp.Outcome what came of a run; see schema.outcome
---@field missing table[]?

---@class pai.mcp.Follower
---@field outcome table
local Follower = {}
Follower.__index = Follower

---@param call pai.mcp.Call
---@return pai.mcp.Follower
function M.new(call)
  return setmetatable({
    call = call,
    outcome = { checks = json.array({}), media = json.array({}) },
    ended = 0,
    sent = 0,
    units = {},
  }, Follower)
end

-- Whole steps are counted; signs of life in between go forward by less than one.
function Follower:tell(message)
  self.sent = math.max(self.ended, self.sent + 0.001)
  self.call:progress(self.sent, self.total, message)
end

local on = {}

on["run.start"] = function(self, e)
  self.outcome.run, self.outcome.recipe = e.run, e.recipe
  self:tell("run " .. e.run)
end

on["run.resume"] = function(self, e)
  self.outcome.run = e.run
  self:tell("run " .. e.run .. " goes on")
end

on["run.graph"] = function(self, e)
  self.total = 0
  for _, s in ipairs(e.steps) do
    self.total = self.total + (s.use and 0 or 1)
  end
end

on["each"] = function(self, e)
  self.total = (self.total or 0) + #e.keys
end

on["step.start"] = function(self, e)
  self:tell("start " .. e.step)
end

local function ended(self, e, word)
  if not self.units[e.step] then
    self.units[e.step] = true
    self.ended = self.ended + 1
  end
  self:tell(("%s %s"):format(word, e.step))
end

on["step.done"] = function(self, e)
  ended(self, e, e.how == "already" and "already" or "done")
end

on["step.skip"] = function(self, e)
  ended(self, e, "left out")
end

on["step.fail"] = function(self, e)
  self:tell(("failed %s: %s"):format(e.step, text.one_line(e.error.message or "")))
  self.outcome.hint = self.outcome.hint or (e.error.hint and tostring(e.error.hint))
end

on["gate"] = function(self, e)
  for _, check in ipairs(e.checks) do
    if check.state ~= "ok" and check.state ~= "skipped" then
      check.step = e.step
      table.insert(self.outcome.checks, check)
    end
  end
  if e.kind ~= "verify" then
    ended(self, e, e.verdict)
  end
end

on["log"] = function(self, e)
  local who = e.step and e.step .. ": " or ""
  self.call:log(LEVEL[e.level] or "info", who .. (e.text or ""), self.outcome.recipe)
end

on["heartbeat"] = function(self, e)
  local parts = { ("%s %s for %s"):format(e.step, e.state, duration.format(e.elapsed_ms)) }
  parts[#parts + 1] = e.observation and text.one_line(tostring(e.observation))
  self:tell(table.concat(parts, "; "))
end

on["media"] = function(self, e)
  table.insert(self.outcome.media, e.path)
end

on["report"] = function(self, e)
  self.outcome.report = e.path
end

on["input.required"] = function(self, e)
  self.outcome.missing = json.array(e.missing)
end

on["run.end"] = function(self, e)
  local o = self.outcome
  o.run = o.run or e.run
  o.status, o.code, o.ms = e.status, e.code, e.ms
  o.reason, o.hint = e.reason, e.hint and tostring(e.hint) or o.hint
  o.counters, o.returns = e.counters, e.returns
end

---Takes an event of the run.
---@param e table
function Follower:event(e)
  if on[e.event] then
    on[e.event](self, e)
  end
  local run = self.outcome.run
  if run then
    self.call.server:updated(("pai://runs/%s/journal"):format(run))
  end
end

---A check in words, with what was measured and what to do.
---@param check table
---@return string
function M.check_line(check)
  local parts = { ("%s %s"):format(check.state, check.name) }
  for _, key in ipairs({ "measured", "expected", "hint" }) do
    if check[key] ~= nil then
      parts[#parts + 1] = ("%s: %s"):format(key, text.one_line(tostring(check[key])))
    end
  end
  return table.concat(parts, "; ")
end

---The outcome in words.
---@param o table
---@return string
function M.words(o)
  local lines = {}
  if o.run then
    local time = o.ms and " after " .. duration.format(o.ms) or ""
    lines[1] = ("%s %s%s"):format(o.run, o.status, time)
  end
  if o.reason then
    lines[#lines + 1] = o.reason
  end
  for _, check in ipairs(o.checks or {}) do
    lines[#lines + 1] = M.check_line(check)
  end
  if o.hint then
    lines[#lines + 1] = "hint: " .. o.hint
  end
  for _, name in ipairs(text.keys(o.returns or {})) do
    local value = o.returns[name]
    value = type(value) == "table" and json.encode(value) or tostring(value)
    lines[#lines + 1] = ("%s = %s"):format(name, value)
  end
  for _, path in ipairs(o.media or {}) do
    lines[#lines + 1] = "MEDIA:" .. path
  end
  if o.report then
    lines[#lines + 1] = "report: " .. o.report
  end
  local goes_on = o.status == "detached" or o.status == "running"
  if o.run and o.status ~= "green" and not goes_on then
    lines[#lines + 1] = ("to go on: pai_runs_resume with run %s"):format(o.run)
  elseif o.status == "detached" then
    lines[#lines + 1] = ("it goes on by itself; pai_runs_watch with run %s follows it"):format(
      o.run
    )
  end
  return table.concat(lines, "\n")
end

---The outcome as the result of a tool.
---@param o table
---@return table result
function M.result(o)
  o.status = o.status or "failed"
  local content = json.array({ { type = "text", text = M.words(o) } })
  for i, path in ipairs(o.run and o.media or {}) do
    content[#content + 1] = {
      type = "resource_link",
      uri = ("pai://runs/%s/media/%d"):format(o.run, i),
      name = path:match("[^/]+$") or path,
      mimeType = require("pai.mcp.mime").of(path),
    }
  end
  if o.run and o.report then
    content[#content + 1] = {
      type = "resource_link",
      uri = ("pai://runs/%s/report"):format(o.run),
      name = "report.html",
      mimeType = "text/html",
    }
  end
  return {
    content = content,
    structuredContent = o,
    isError = o.status ~= "green" and o.status ~= "detached" or nil,
  }
end

return M
