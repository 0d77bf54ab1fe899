-- The journal of a run: one JSON object a line, intent synced before an effect, result after. Its
-- lines are what --json prints. Readers ignore a torn last line; a torn tail is cut before a run
-- goes on, so that it never ends up in the middle.
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")
local mask = require("pai.mask")
local out = require("pai.out")
local task = require("pai.task")
local text = require("pai.text")

local M = {}

---The journal's name in the run's folder.
M.FILE = "journal.jsonl"

-- Events that are on disk before the next thing happens: the intent before its effect, and the
-- verdict before somebody acts on it. A sync takes all lines before it along. A step that only
-- observes has no effect: its intent is on disk soon, as a result is. A run that only observes is
-- left to the system, which takes seconds: a power cut takes nothing that can't be looked at again.
local SYNCED <const> = { ["step.start"] = true, ["run.end"] = true }

-- Results are on disk before the next intent, and never later than this. Mostly the next intent or
-- the verdict follows at once, and its sync is theirs too; what a power cut takes of a result is
-- asked again on resume.
local SOON <const> = { ["step.done"] = true, ["step.fail"] = true }
local SOON_MS <const> = 2

---@class pai.run.Journal
---@field path string
---@field run string run id
---@field seq integer of the last line
---@field package waiting boolean? there are results that are not on disk yet
---@field package observes boolean? nothing of the run has an effect
---@field package soon pai.task.Task? syncs them
---@field package failure pai.Error? of such a sync
local Journal = {}
Journal.__index = Journal

-- Wall clock in milliseconds at monotonic time 0.
local epoch = os.time() * 1000 - task.now()

---Sets the wall clock from the time stamp of a file that was written just now: os.time has whole
---seconds only.
---@param path string
function M.set_clock(path)
  local st = fs.stat(path)
  if st and math.abs(st.mtime_ms - (epoch + task.now())) < 2000 then
    epoch = st.mtime_ms - task.now()
  end
end

---The time now, as the journal writes it.
---@return string "2026-01-02T03:04:05.678Z"
function M.timestamp()
  local ms = epoch + task.now()
  return os.date("!%Y-%m-%dT%H:%M:%S", ms // 1000) .. (".%03dZ"):format(ms % 1000)
end

-- Foreign bytes (a program's output, an error text) must not make a line unreadable. Texts are
-- masked before they are encoded: one that quotes a secret would be escaped once more otherwise.
local function clean(value)
  if type(value) == "string" then
    return text.utf8(mask.text(value))
  elseif type(value) ~= "table" then
    return value
  end
  -- An empty list is marked as one by its metatable, which is protected.
  local copy = debug.setmetatable({}, debug.getmetatable(value))
  for k, v in pairs(value) do
    copy[k] = clean(v)
  end
  return copy
end

---Makes the common fields of an event.
---@param run string?
---@param seq integer
---@param event string
---@param fields table
---@return table
function M.event(run, seq, event, fields)
  local line = clean(fields)
  line.t, line.seq, line.run, line.event = M.timestamp(), seq, run, event
  return line
end

---Opens the journal of a run for appending; a torn last line is cut off.
---@param dir string the run's folder
---@param run string
---@param observes boolean? nothing of the run has an effect
---@return pai.run.Journal? journal
---@return pai.Error? err
function M.open(dir, run, observes)
  local path = dir .. "/" .. M.FILE
  local seq = 0
  if fs.exists(path) then
    local events, e, info = M.read(path)
    if not events then
      return nil, e
    end
    seq = #events > 0 and events[#events].seq or 0
    if info.torn then
      local ok, failure = fs.write(path, info.whole, { mode = "0600", sync = true })
      if not ok then
        return nil, failure
      end
    end
  end
  local channel, e = out.open(path, { append = true })
  if not channel then
    return nil, e
  end
  local journal = { path = path, run = run, seq = seq, channel = channel, observes = observes }
  return setmetatable(journal, Journal)
end

---Appends an event; raises when it can't be written, since nothing may happen unrecorded.
---@param event string
---@param fields table
---@param harmless boolean? an intent without an effect: it is on disk soon, not before the rest
---@return table line as it was written
function Journal:append(event, fields, harmless)
  local line = M.event(self.run, self.seq + 1, event, fields)
  local ok, e = not self.failure, self.failure
  if ok then
    ok, e = self.channel:write(json.encode(line) .. "\n")
  end
  local soon = SOON[event] or harmless
  local now = SYNCED[event] and not soon
  if ok and not self.observes and (now or soon and not self:sync_soon()) then
    self.waiting = false
    ok, e = self.channel:sync()
  end
  if not ok then
    err.raise("EJOURNAL", ("write %s: %s"):format(self.path, e.message))
  end
  self.seq = self.seq + 1
  return line
end

---Sees to it that what was written is on disk soon.
---@package
---@return boolean # false outside of any task: then it is to be done at once
function Journal:sync_soon()
  if not task.current() then
    return false
  end
  self.waiting = true
  self.soon = self.soon
    or task.spawn(function()
      task.sleep(SOON_MS)
      self.soon = nil
      if self.waiting then
        self.waiting = false
        local ok, e = self.channel:sync()
        self.failure = not ok and e or nil
      end
    end)
  return true
end

---Closes the file; what it holds is on disk.
function Journal:close()
  if self.soon then
    self.soon:cancel()
    pcall(self.soon.wait, self.soon)
  end
  if self.waiting then
    self.channel:sync()
  end
  self.channel:close()
end

---Reads a journal. Raises nothing: a damaged line in the middle is an error that names it.
---@param path string
---@return table[]? events
---@return pai.Error? err
---@return { torn: boolean, whole: string }? info whole: the text without a torn tail
function M.read(path)
  local body, e = fs.read(path)
  if not body then
    return nil, e
  end
  local events, from, number = {}, 1, 0
  while from <= #body do
    local stop = body:find("\n", from, true)
    local line = body:sub(from, (stop or #body + 1) - 1)
    local event = stop and json.decode(line)
    number = number + 1
    if type(event) ~= "table" or type(event.event) ~= "string" then
      local last = not stop or stop == #body
      if not last then
        return err.fail("EJOURNAL", ("%s:%d: the line is damaged"):format(path, number))
      end
      return events, nil, { torn = true, whole = body:sub(1, from - 1) }
    end
    events[#events + 1] = event
    from = stop + 1
  end
  return events, nil, { torn = false, whole = body }
end

return M
