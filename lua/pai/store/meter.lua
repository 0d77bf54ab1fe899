-- How far a transfer is: bytes and files, the rate of the last seconds, the time that is left. What
-- listens is told a few times a second, and of each file once.
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
---@param under_way? fun(): integer bytes of parts that have not arrived as a whole yet
---@return pai.store.Meter
function M.new(listen, under_way)
  local began = task.now()
  return setmetatable({
    listen = listen,
    under_way = under_way or function()
      return 0
    end,
    shown = 0,
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
  return ms > 0 and math.max(self.moved + self.under_way() - first.moved, 0) * 1000 / ms or 0
end

function Meter:tell(file, skipped)
  local now = task.now()
  if now - self.told >= EVERY_MS then
    self.told = now
    self.marks[#self.marks + 1] = { at = now, moved = self.moved + self.under_way() }
    if #self.marks > WINDOW then
      table.remove(self.marks, 1)
    end
  elseif not file then
    return
  end
  if self.listen then
    local rate = self:rate()
    -- Between the end of a part and its being counted it is in neither number.
    self.shown = math.max(self.shown, math.min(self.bytes + self.under_way(), self.total))
    self.listen({
      bytes = self.shown,
      total = self.total,
      files = self.files,
      count = self.count,
      rate = rate,
      left = rate > 0 and (self.total - self.shown) / rate or nil,
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
  if n < 0 then
    self.shown = 0
  end
  if not known then
    self.moved = self.moved + n
  end
  self:tell()
end

---Tells of bytes that are under way, too, until it is closed.
---@return table to be closed
function Meter:watch()
  local ticker = task.spawn(function()
    while true do
      self:tell()
      task.sleep(EVERY_MS)
    end
  end)
  return setmetatable({}, {
    __close = function()
      task.shield(function()
        ticker:cancel()
        pcall(ticker.wait, ticker)
      end)
    end,
  })
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
