-- A stream of server-sent events that outlives its connection: what was sent is kept, so that a
-- client that lost the connection goes on where it was (Last-Event-ID).
local task = require("pai.task")

local M = {}

-- A connection that is silent for so long gets a comment: a gone client is noticed by it.
local KEEP_ALIVE <const> = "10s"

---@class pai.mcp.Stream
---@field id string
---@field events string[]
---@field done boolean nothing more will come
---@field bytes integer
local Stream = {}
Stream.__index = Stream

---@param id string
---@return pai.mcp.Stream
function M.new(id)
  return setmetatable({
    id = id,
    events = {},
    first = 1,
    last = 0,
    bytes = 0,
    done = false,
    cuts = 0,
    more = task.event(),
  }, Stream)
end

---Adds an event.
---@param data string one line
---@param final boolean? the last one
function Stream:push(data, final)
  self.last = self.last + 1
  self.events[self.last] = data
  self.bytes = self.bytes + #data
  self.done = self.done or final or false
  self.more:set()
end

---Drops the oldest events until the stream is no larger than that.
---@param bytes integer
function Stream:shrink(bytes)
  while self.bytes > bytes and self.first < self.last do
    self.bytes = self.bytes - #self.events[self.first]
    self.events[self.first] = nil
    self.first = self.first + 1
  end
end

---Ends the connection that shows the stream; the stream goes on.
function Stream:cut()
  self.cuts = self.cuts + 1
  self.more:set()
end

---Ends the stream.
function Stream:finish()
  self.done = true
  self.more:set()
end

---Writes the stream to a connection until it ends, is cut, or the client is gone.
---@param w pai.serve.writer
---@param opts { after: integer?, ids: boolean?, priming: boolean? }
---@return boolean whole everything there will be was written
function Stream:serve(w, opts)
  local at, cuts = opts.after or 0, self.cuts
  if opts.priming and not w:write(("id: %s-%d\nretry: 500\ndata: \n\n"):format(self.id, at)) then
    return false
  end
  while true do
    while at < self.last do
      at = at + 1
      local data = self.events[at]
      local id = opts.ids and ("id: %s-%d\n"):format(self.id, at) or ""
      if data and not w:write(("%sevent: message\ndata: %s\n\n"):format(id, data)) then
        return false
      end
    end
    if self.done then
      return true
    elseif self.cuts > cuts or w:gone() then
      return false
    end
    self.more:clear()
    if not self.more:wait(KEEP_ALIVE) and not w:write(": \n\n") then
      return false
    end
  end
end

return M
