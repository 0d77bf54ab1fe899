-- How far a transfer is: bytes and files, the rate of the last seconds, the time that is left. What
-- listens is told at most a few times a second, and of each file once.
local task = require("pai.task")

local M = {}

local EVERY_MS <const> = 200
-- The rate is that of so many last reports: three seconds or so.
local WINDOW <const> = 15

---@class pai.store.Progress
---@field bytes integer moved or found to be there already
---@field total integer
---@field files integer done
---@field count integer of all files
---@field rate number bytes a second
---@field left number? seconds; nil while it is not known
---@field file string? the file that has just been done
---@field skipped boolean? it was there already

---@class pai.store.Meter
local Meter = {}
Meter.__index = Meter

---@param listen? fun(p: pai.store.Progress)
---@return pai.store.Meter
function M.new(listen)
  local began = task.now()
  return setmetatable({
    listen = listen,
    bytes = 0,
    moved = 0,
    total = 0,
    files = 0,
    count = 0,
    began = began,
    told = began,
    marks = { { at = began, moved = 0 } },
  }, Meter)
end

---Bytes a second over the last reports.
---@return number
function Meter:rate()
  local first = self.marks[1]
  local ms = task.now() - first.at
  return ms > 0 and (self.moved - first.moved) * 1000 / ms or 0
end

function Meter:tell(file, skipped)
  local now = task.now()
  if now - self.told >= EVERY_MS then
    self.told = now
    self.marks[#self.marks + 1] = { at = now, moved = self.moved }
    if #self.marks > WINDOW then
      table.remove(self.marks, 1)
    end
  elseif not file then
    return
  end
  if self.listen then
    local rate = self:rate()
    self.listen({
      bytes = self.bytes,
      total = self.total,
      files = self.files,
      count = self.count,
      rate = rate,
      left = rate > 0 and (self.total - self.bytes) / rate or nil,
      file = file,
      skipped = skipped,
    })
  end
end

---A file is to come.
---@param size integer
function Meter:expect(size)
  self.count, self.total = self.count + 1, self.total + size
end

---Bytes have moved (negative: they must move again).
---@param n integer
---@param known? boolean they were there already
function Meter:add(n, known)
  self.bytes = self.bytes + n
  if not known then
    self.moved = self.moved + n
  end
  self:tell()
end

---A file is done.
---@param name string
---@param skipped? boolean
function Meter:done(name, skipped)
  self.files = self.files + 1
  self:tell(name, skipped)
end

---@return number seconds since the beginning
function Meter:seconds()
  return (task.now() - self.began) / 1000
end

return M
