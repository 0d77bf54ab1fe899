-- Log and event files of the runs: whole lines, handed to the kernel within the turn of the loop in
-- which they came, so that a killed engine loses none of them; and readers that follow a live file.
local fs = require("pai.fs")
local out = require("pai.out")
local task = require("pai.task")

local M = {}

-- A run that never stops printing must not fill the disk.
local MAX_BYTES <const> = 256 * 1024 * 1024

local CHUNK <const> = 64 * 1024

---@class pai.engine.Logs
---@field dir fun(id: string): string folder of a run
---@field open table<string, table> writers by run and kind
---@field watchers table<string, table> events of followers by run
local Logs = {}
Logs.__index = Logs

local last_second, last_text

---"2026/08/20 01:02:03 [task] text"
---@param seconds integer since 1970
---@param name string task
---@param retry integer
---@param text string
---@param osmo boolean? a line of the engine's own about the task
---@return string without newline
function M.line(seconds, name, retry, text, osmo)
  local who = retry > 0 and ("%s retry-%d"):format(name, retry) or name
  if seconds ~= last_second then
    last_second, last_text = seconds, os.date("!%Y/%m/%d %H:%M:%S", seconds)
  end
  return ("%s [%s]%s %s"):format(last_text, who, osmo and "[osmo]" or "", text)
end

---A predicate for the lines of one task and retry.
---@param name string
---@param retry integer
---@return fun(line: string): boolean
function M.of_task(name, retry)
  local who = "[" .. (retry > 0 and ("%s retry-%d"):format(name, retry) or name) .. "]"
  return function(line)
    return line:sub(21, 20 + #who) == who
  end
end

local function wake(self, id)
  for event in pairs(self.watchers[id] or {}) do
    event:set()
  end
end

local function writer(self, id, kind)
  local key = id .. "/" .. kind
  local w = self.open[key]
  if not w then
    local path = self.dir(id) .. "/" .. kind
    local st = fs.stat(path)
    local channel, e = out.open(path, { append = true, mode = 384 }) -- 0600
    if not channel then
      error(e, 0)
    end
    w = { id = id, channel = channel, bytes = st and st.size or 0, pending = {}, size = 0 }
    self.open[key] = w
  end
  return w
end

local function flush(self, w)
  w.due = false
  if w.size > 0 then
    local text = table.concat(w.pending)
    w.pending, w.size = {}, 0
    w.channel:write(text)
    wake(self, w.id)
  end
end

---Appends lines as they are. They are handed to the kernel together with those that arrive in the
---same turn of the loop: a call for each would be most of the cost of a task that prints much.
---@param id string run
---@param kind "log"|"events"
---@param text string one or more lines without the last newline
function Logs:write(id, kind, text)
  local w = writer(self, id, kind)
  if w.full then
    return
  end
  if w.bytes > MAX_BYTES then
    w.full = true
    text = ("%s [osmo] the log is longer than %d MiB: what follows is not kept"):format(
      os.date("!%Y/%m/%d %H:%M:%S"),
      MAX_BYTES // 1048576
    )
  end
  w.pending[#w.pending + 1] = text
  w.pending[#w.pending + 1] = "\n"
  w.size = w.size + #text + 1
  w.bytes = w.bytes + #text + 1
  if w.size >= CHUNK then
    flush(self, w)
  elseif not w.due then
    w.due = true
    task.spawn(flush, self, w)
  end
end

---Appends a line of a task.
---@param id string run
---@param name string task
---@param retry integer
---@param text string
---@param osmo boolean?
function Logs:task(id, name, retry, text, osmo)
  self:write(id, "log", M.line(os.time(), name, retry, text, osmo))
end

---Appends an event of a task.
---@param id string
---@param name string
---@param reason string
---@param text string
---@param retry integer?
function Logs:event(id, name, reason, text, retry)
  local line = reason .. ": " .. text:gsub("%s+", " "):gsub(" $", "")
  self:write(id, "events", M.line(os.time(), name, retry or 0, line))
end

---Whether more may be written to a file of a run.
---@param id string
---@param kind "log"|"events"
---@return boolean
function Logs:is_open(id, kind)
  return self.open[id .. "/" .. kind] ~= nil
end

-- What the last lines of a failed run's log begin and end with.
local RULE <const> = ("-"):rep(100)

---Writes what stands at the end of the log of a failed run.
---@param id string
---@param url string of the run
function Logs:failed(id, url)
  local text = "\n%s\nWorkflow terminated abnormally, view task status at:\n%s\n\n"
    .. "View task error logs at:\n%s/error_logs\n%s"
  self:write(id, "log", text:format(RULE, url, url, RULE))
end

---Whether the log of a run ends as that of a failed one.
---@param id string
---@return boolean
function Logs:has_ended(id)
  if self:is_open(id, "log") then
    return false
  end
  local f = io.open(self.dir(id) .. "/log", "rb")
  if not f then
    return false
  end
  f:seek("end", -math.min(f:seek("end"), #RULE + 1))
  local last = f:read("a")
  f:close()
  return last == RULE .. "\n"
end

---Closes the files of a run that has ended; followers read the rest and end.
---@param id string
function Logs:finish(id)
  for _, kind in ipairs({ "log", "events" }) do
    local key = id .. "/" .. kind
    local w = self.open[key]
    if w then
      flush(self, w)
      w.channel:close()
      self.open[key] = nil
    end
  end
  wake(self, id)
end

---Closes everything.
function Logs:close()
  for _, w in pairs(self.open) do
    flush(self, w)
    w.channel:close()
  end
  self.open = {}
end

-- Reads the whole lines of a file from an offset on, as far as the file goes now: a run that
-- prints faster than it is read must not keep a reader for ever.
local function read_lines(path, from, on_line)
  local f = io.open(path, "rb")
  if not f then
    return from
  end
  local left = f:seek("end") - from
  f:seek("set", from)
  local rest = ""
  while left > 0 do
    local chunk = f:read(math.min(CHUNK, left))
    if not chunk then
      break
    end
    left = left - #chunk
    local text, pos = rest .. chunk, 1
    while true do
      local stop = text:find("\n", pos, true)
      if not stop then
        break
      end
      from = from + (stop - pos + 1)
      if on_line(text:sub(pos, stop)) == false then
        f:close()
        return from, true
      end
      pos = stop + 1
    end
    rest = text:sub(pos)
  end
  f:close()
  return from
end

-- Offset from which the last n lines that pass the filter begin.
local function offset_of_last(path, n, filter)
  local offsets, first, count, at = {}, 1, 0, 0
  read_lines(path, 0, function(line)
    if not filter or filter(line) then
      count = count + 1
      offsets[count] = at
      if count - first + 1 > n then
        offsets[first] = nil
        first = first + 1
      end
    end
    at = at + #line
  end)
  return count > 0 and offsets[first] or at
end

---@class pai.engine.ReadOptions
---@field filter (fun(line: string): boolean)? which lines
---@field last integer? only the last so many of those that are there now
---@field finished fun(): boolean whether nothing more will be written
---@field gone (fun(): boolean)? whether the client has hung up

---Writes a log to w and follows it until the run has ended or the client is gone.
---@param id string
---@param kind "log"|"events"
---@param w table writer of pai.serve
---@param opts pai.engine.ReadOptions
function Logs:stream(id, kind, w, opts)
  local path = self.dir(id) .. "/" .. kind
  local filter = opts.filter
  local at = opts.last and offset_of_last(path, opts.last, filter) or 0
  local event = task.event()
  self.watchers[id] = self.watchers[id] or {}
  self.watchers[id][event] = true
  local function pass()
    local pending, size = {}, 0
    local function send()
      local ok = size == 0 or w:write(table.concat(pending)) ~= nil
      pending, size = {}, 0
      return ok
    end
    local gone
    at, gone = read_lines(path, at, function(line)
      if not filter or filter(line) then
        pending[#pending + 1] = line
        size = size + #line
        if size >= CHUNK then
          return send()
        end
      end
    end)
    return not gone and send()
  end
  local ok, e = pcall(function()
    while true do
      -- Asked before reading: what is written before the end is then surely read.
      local last = opts.finished()
      event:clear()
      if not pass() or last then
        return
      end
      event:wait("1s")
      if opts.gone and opts.gone() then
        return
      end
    end
  end)
  self.watchers[id][event] = nil
  if next(self.watchers[id]) == nil then
    self.watchers[id] = nil
  end
  if not ok then
    error(e, 0)
  end
end

---@param dir fun(id: string): string
---@return pai.engine.Logs
function M.new(dir)
  return setmetatable({ dir = dir, open = {}, watchers = {} }, Logs)
end

return M
