-- Lets a limited number of tasks through at once, whichever part of a transfer they belong to.
local task = require("pai.task")

local M = {}

---@class pai.store.Gate
local Gate = {}
Gate.__index = Gate

---@param limit integer
---@return pai.store.Gate
function M.new(limit)
  return setmetatable({ limit = limit, used = 0, freed = task.event() }, Gate)
end

---Runs fn when there is room; others wait until it has ended, however it ends.
---@param fn fun(...): ...
---@param ... any
---@return any ...
function Gate:run(fn, ...)
  while self.used >= self.limit do
    self.freed:clear()
    self.freed:wait()
  end
  self.used = self.used + 1
  local _ <close> = setmetatable({}, {
    __close = function()
      self.used = self.used - 1
      self.freed:set()
    end,
  })
  return fn(...)
end

return M
