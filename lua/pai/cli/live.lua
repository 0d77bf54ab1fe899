-- The live view of a run on a terminal: a line a step, redrawn in place; what is worth keeping
-- scrolls by above it.
local duration = require("pai.duration")
local lines = require("pai.cli.lines")
local out = require("pai.out")
local task = require("pai.task")
local term = require("pai.term")
local text = require("pai.text")

local M = {}

local TICK <const> = "200ms"

local SYMBOLS <const> = {
  waiting = { "·", ".", "dim" },
  running = { "▸", ">", "bold" },
  done = { "✓", "+", "green" },
  already = { "=", "=", "green" },
  kept = { "=", "=", "green" },
  skipped = { "-", "-", "dim" },
  red = { "✗", "x", "red" },
  failed = { "✗", "x", "red" },
  stopped = { "■", "!", "yellow" },
}

-- Events that the table of steps shows by itself.
local IN_TABLE <const> = {
  ["step.start"] = true,
  ["step.done"] = true,
  ["heartbeat"] = true,
}

local function is_utf8()
  local locale = os.getenv("LC_ALL") or os.getenv("LC_CTYPE") or os.getenv("LANG") or ""
  return locale:upper():find("UTF%-?8") ~= nil
end

---@class pai.cli.Live
---@field rows table[] { name, state, since, ms, last, said }; said: by the step, not by a program
---@field by_name table<string, table>
local Live = {}
Live.__index = Live

---Starts the view.
---@return pai.cli.Live
function M.new()
  local self = setmetatable({
    rows = {},
    by_name = {},
    above = {},
    drawn = {},
    color = term.color(1),
    utf8 = is_utf8(),
  }, Live)
  self.ticker = task.spawn(function()
    while true do
      task.sleep(TICK)
      self:draw()
    end
  end)
  return self
end

function Live:row(name)
  local row = self.by_name[name]
  if not row then
    row = { name = name, state = "waiting" }
    self.by_name[name] = row
    -- An item of `each` stands under its step.
    local base = name:match("^(.-)%[")
    local at = #self.rows + 1
    for i, other in ipairs(self.rows) do
      if base and (other.name == base or other.name:sub(1, #base + 1) == base .. "[") then
        at = i + 1
      end
    end
    table.insert(self.rows, at, row)
  end
  return row
end

local update = {}

update["run.graph"] = function(self, e)
  for _, s in ipairs(e.steps) do
    if not s.use then
      self:row(s.name)
    end
  end
end

-- One item of `each` more has ended: its step says how many there are left.
local function count_item(self, name)
  local base = self.by_name[name:match("^(.-)%[") or ""]
  if not base or not base.items then
    return
  end
  base.ended = base.ended + 1
  base.last = ("%d of %d"):format(base.ended, base.items)
  if base.ended == base.items then
    base.state, base.ms = "done", task.now() - base.since
  end
end

update["each"] = function(self, e)
  local row = self:row(e.step)
  row.items, row.ended, row.since = #e.keys, 0, task.now()
  row.state = row.items > 0 and "running" or "done"
end

update["step.done"] = function(self, e)
  local row = self:row(e.step)
  row.state, row.ms = e.how == "already" and "already" or "done", e.ms
  -- What a program printed last is of use while it runs.
  row.last = row.said
  count_item(self, e.step)
end

update["step.skip"] = function(self, e)
  local row = self:row(e.step)
  row.state, row.last = "skipped", e.reason
end

update["step.fail"] = function(self, e)
  local row = self:row(e.step)
  row.state, row.ms, row.last = "failed", e.ms, e.error.message
  if e.error.code == "ECANCELED" then
    row.state, row.last = "stopped", row.said
  end
end

update["gate"] = function(self, e)
  local row = self:row(e.step)
  row.ms = row.ms or e.ms
  if e.verdict == "red" then
    row.state = "red"
  elseif row.state == "waiting" or row.state == "running" then
    row.state = "done"
  end
end

update["log"] = function(self, e)
  local row = e.step and self.by_name[e.step]
  if row then
    row.last, row.said = e.text, e.text
  end
end

update["heartbeat"] = function(self, e)
  local row = self:row(e.step)
  row.said = e.observation or row.said
  row.last = e.observation or row.last
end

local function elapsed(row)
  if row.state == "running" and row.since then
    return duration.format(task.now() - row.since)
  end
  return row.ms and duration.format(row.ms) or ""
end

function Live:line(row, name_width, columns)
  local symbol = SYMBOLS[row.state]
  local mark = self.utf8 and symbol[1] or symbol[2]
  local name = text.pad(text.cut(row.name, name_width), name_width)
  local rest = ("%s  %s"):format(text.pad(elapsed(row), 8), text.one_line(row.last or ""))
  -- One column is left free: a full line would wrap on some terminals.
  local plain = text.cut(("%s %s  %s"):format(mark, name, rest), columns - 1)
  return (plain:gsub("^" .. mark:gsub("%p", "%%%0"), lines.paint(self.color, symbol[3], mark)))
end

-- The rows that fit: what runs and what failed first, then the others in their order.
function Live:visible(max)
  if #self.rows <= max then
    return self.rows
  end
  local chosen, count = {}, 0
  for _, wanted in ipairs({ "failed", "red", "stopped", "running", "waiting", "done" }) do
    for _, row in ipairs(self.rows) do
      if row.state == wanted and count < max - 1 and not chosen[row] then
        chosen[row], count = true, count + 1
      end
    end
  end
  local list = {}
  for _, row in ipairs(self.rows) do
    if chosen[row] then
      list[#list + 1] = row
    end
  end
  list[#list + 1] = { name = ("and %d more"):format(#self.rows - count), state = "waiting" }
  return list
end

-- Lines that the last table takes on the screen: a terminal that was made narrower has wrapped it.
function Live:height(columns)
  local height = 0
  for _, width in ipairs(self.drawn) do
    height = height + math.max(1, (width + columns - 1) // columns)
  end
  return height
end

---Draws what scrolls by, then the table.
function Live:draw()
  local columns, height = term.size()
  local parts = {}
  if #self.drawn > 0 then
    parts[1] = ("\27[%dA"):format(self:height(columns))
  end
  parts[#parts + 1] = "\r\27[J"
  for _, line in ipairs(self.above) do
    parts[#parts + 1] = line .. "\n"
  end
  self.above = {}
  local rows = self:visible(math.max(1, height - 2))
  local name_width = 4
  for _, row in ipairs(rows) do
    name_width = math.max(name_width, text.width(row.name))
  end
  name_width = math.min(name_width, math.max(8, columns // 3))
  self.drawn = {}
  for i, row in ipairs(rows) do
    local line = self:line(row, name_width, columns)
    parts[#parts + 1] = line .. "\n"
    self.drawn[i] = text.width(line)
  end
  out.stdout(table.concat(parts))
end

---Takes an event of the run.
---@param e table
function Live:event(e)
  if update[e.event] then
    update[e.event](self, e)
  end
  if e.event == "run.end" then
    self.ended = lines.of(e, self.color, true)
    return
  end
  if not IN_TABLE[e.event] then
    local rows = lines.of(e, self.color)
    table.move(rows, 1, #rows, #self.above + 1, self.above)
  end
end

---Takes a line of a program's output.
---@param name string
---@param line string
function Live:output(name, line)
  local row = self.by_name[name]
  if row then
    row.last = line
  end
end

---Takes a unit that begins.
---@param name string
function Live:begin(name)
  local row = self:row(name)
  row.state, row.since = "running", task.now()
end

---Takes a unit that was finished before.
---@param name string
function Live:kept(name)
  self:row(name).state = "kept"
  count_item(self, name)
end

---Leaves the last state of the table on the screen, and the recap under it.
function Live:close()
  self.ticker:cancel()
  pcall(self.ticker.wait, self.ticker)
  self:draw()
  for _, line in ipairs(self.ended or {}) do
    out.stdout(line .. "\n")
  end
end

return M
