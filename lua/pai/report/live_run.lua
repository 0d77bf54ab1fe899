-- One run as the live page sees it: its journal read as it grows, and its state as plain data.
-- Nothing here calls a recipe; what it gives is masked.
local fs = require("pai.fs")
local journal = require("pai.run.journal")
local json = require("pai.json")
local replay = require("pai.run.replay")
local state = require("pai.state")
local summary = require("pai.run.summary")
local text = require("pai.text")

local M = {}

-- Of the journal at a time, so that other clients get their turn.
local CHUNK <const> = 1024 * 1024

-- Log lines that a page is given when it opens, and bytes of a program's output.
local MAX_LINES <const> = 1000
local MAX_OUTPUT <const> = 64 * 1024

---@class pai.report.LiveRun
---@field id string
---@field known pai.run.State
---@field broken string? why the journal can't be read
---@field lines table[] log lines that were not taken yet
local Run = {}
Run.__index = Run

---@param id string
---@return pai.report.LiveRun? run nil when there is no such run
function M.open(id)
  if not state.is_id(id) or not fs.exists(state.run_dir(id)) then
    return nil
  end
  return setmetatable({
    id = id,
    path = state.run_dir(id) .. "/" .. journal.FILE,
    at = 0,
    rest = "",
    known = replay.fresh(),
    beats = {},
    began = {},
    lines = {},
  }, Run)
end

local function feed(self, event)
  replay.feed(self.known, event)
  if event.event == "log" then
    self.lines[#self.lines + 1] = event
    if #self.lines > 2 * MAX_LINES then
      self.lines = table.move(self.lines, MAX_LINES + 1, #self.lines, 1, {})
    end
  elseif event.event == "heartbeat" then
    self.beats[event.step] = event
  elseif event.event == "step.start" then
    self.began[event.step], self.beats[event.step] = event.t, nil
  end
end

---Reads what the journal has got since.
---@return boolean changed
function Run:poll()
  local st = fs.stat(self.path)
  if not st or st.size == self.at then
    return false
  end
  if st.size < self.at then -- a torn tail was cut off; all is read anew
    local fresh = assert(M.open(self.id))
    for key, value in pairs(fresh) do
      self[key] = value
    end
  end
  local file = io.open(self.path, "rb")
  if not file then
    return false
  end
  file:seek("set", self.at)
  local piece = file:read(CHUNK) or ""
  file:close()
  self.at = self.at + #piece
  local body = self.rest .. piece
  local from = 1
  while true do
    local stop = body:find("\n", from, true)
    if not stop then
      break
    end
    local event = json.decode(body:sub(from, stop - 1))
    if type(event) == "table" and type(event.event) == "string" then
      feed(self, event)
    else
      self.broken = "a line of the journal is damaged"
    end
    from = stop + 1
  end
  self.rest = body:sub(from)
  return #piece > 0
end

---The log lines since the last call.
---@return table[]
function Run:take_lines()
  local from = math.max(1, #self.lines - MAX_LINES + 1)
  local list = json.array({})
  for i = from, #self.lines do
    local e = self.lines[i]
    list[#list + 1] = { t = e.t, step = e.step, level = e.level, text = e.text }
  end
  self.lines = {}
  return text.masked(list)
end

-- The word of a step, and for one that somebody works on whether somebody still does.
local function word_of(unit, running)
  if not unit then
    return "waiting"
  end
  local word = replay.word(unit)
  if word == "started" then
    return running and "running" or "stopped"
  end
  return word
end

-- What a heartbeat says, in a line.
local function said(beat)
  local what = beat.observation or beat.state
  return text.one_line(type(what) == "table" and json.encode(what) or tostring(what))
end

local function step_of(self, name, running)
  local unit = self.known.units[name]
  local beat = self.beats[name]
  local word = word_of(unit, running)
  local live = word == "running"
  return {
    name = name,
    state = word,
    ms = unit and (unit.ms or not live and unit.gate and unit.gate.ms) or nil,
    reason = unit and unit.reason or nil,
    since = live and self.began[name] or nil,
    said = live and beat and said(beat) or nil,
    error = unit and unit.error and { message = unit.error.message, hint = unit.error.hint },
    checks = unit and unit.gate and unit.gate.checks or nil,
  }
end

-- The steps of the graph, and after each its items; then what the graph does not have.
local function steps_of(self, running)
  local list, listed, items = json.array({}), {}, {}
  for _, name in ipairs(self.known.order) do
    local base = replay.step_of_item(name)
    if base then
      items[base] = items[base] or {}
      table.insert(items[base], name)
    end
  end
  local function add(name, node)
    local step = step_of(self, name, running)
    step.title, step.use = node and node.title, node and node.use
    step.after = node and json.array(node.after or {}) or nil
    list[#list + 1], listed[name] = step, true
    local own = json.array({})
    for _, item in ipairs(items[name] or {}) do
      own[#own + 1], listed[item] = step_of(self, item, running), true
    end
    if #own > 0 then
      step.items = own
      step.state = self.known.units[name] and step.state or replay.word_of_items(own)
    end
  end
  for _, node in ipairs(self.known.graph or {}) do
    add(node.name, node)
  end
  for _, name in ipairs(self.known.order) do
    if not listed[name] then
      add(name)
    end
  end
  return list
end

---The page that the run drew, if it is there.
---@return string? path
function Run:report()
  local path = self.known.report
  local st = type(path) == "string" and path:find("%.html$") and fs.stat(path, { follow = false })
  return st and st.type == "file" and path or nil
end

---The run as it stands now.
---@return table
function Run:state()
  local known = self.known
  local start = known.start or {}
  local status, reason = summary.status(self.id, known.ended)
  if self.broken or not known.start then
    status, reason = "broken", self.broken or "the journal does not begin with run.start"
  end
  return text.masked({
    run = self.id,
    recipe = start.recipe,
    title = start.title,
    status = status,
    reason = status ~= "running" and reason or nil,
    hint = known.ended and status ~= "running" and known.ended.hint or nil,
    t = start.t,
    last = known.last,
    ms = known.ended and known.ended.ms,
    safety = start.safety,
    target = start.target,
    host = start.host,
    version = start.version,
    sessions = known.sessions,
    inputs = start.inputs,
    steps = steps_of(self, status == "running"),
    media = known.media,
    report = self:report() ~= nil,
    now = journal.timestamp(),
  })
end

---The end of what a step's programs printed.
---@param step string
---@return string? text nil when there is none
function Run:output(step)
  local dir = state.run_dir(self.id) .. "/output"
  local wanted = step:gsub("[^%w_.-]", "_") .. ".log"
  for _, file in ipairs(fs.list(dir) or {}) do
    local path = dir .. "/" .. file
    local st = file == wanted and fs.stat(path, { follow = false })
    if st and st.type == "file" then
      local f = io.open(path, "rb")
      if not f then
        return nil
      end
      local from = math.max(0, st.size - MAX_OUTPUT)
      f:seek("set", from)
      local body = f:read(MAX_OUTPUT) or ""
      f:close()
      -- The first line may be half of one.
      body = from > 0 and body:gsub("^[^\n]*\n", "", 1) or body
      return text.utf8(require("pai.mask").text(body))
    end
  end
end

return M
