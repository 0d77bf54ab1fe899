-- Sessions of the handshake revisions over HTTP: a client, its streams, and how long they are kept.
local conns = require("pai.mcp.conn")
local sse = require("pai.mcp.sse")
local task = require("pai.task")
local wire = require("pai.mcp.wire")

local M = {}

-- So many sessions at once; the one that was idle for longest makes room.
local MAX_SESSIONS <const> = 256

-- What a session keeps for clients that come back.
local MAX_STREAMS <const>, MAX_BYTES <const> = 64, 8 * 1024 * 1024

---@class pai.mcp.Session
---@field id string
---@field conn pai.mcp.Conn
---@field streams pai.mcp.Stream[] oldest first
---@field own pai.mcp.Stream what belongs to no request
---@field used integer
local Session = {}
Session.__index = Session

---@class pai.mcp.Sessions
local Sessions = {}
Sessions.__index = Sessions

---@param server pai.mcp.Server
---@return pai.mcp.Sessions
function M.new(server)
  return setmetatable({ server = server, by_id = {}, count = 0 }, Sessions)
end

-- Streams of ended requests make room, oldest first.
function Session:trim()
  local bytes = 0
  for i = #self.streams, 1, -1 do
    local stream = self.streams[i]
    bytes = bytes + stream.bytes
    local over = #self.streams - i >= MAX_STREAMS or bytes > MAX_BYTES
    if over and stream.done then
      table.remove(self.streams, i)
    end
  end
end

---Makes a stream for a request.
---@return pai.mcp.Stream
function Session:open()
  self.next_stream = self.next_stream + 1
  local stream = sse.new(("r%d"):format(self.next_stream))
  table.insert(self.streams, stream)
  self:trim()
  return stream
end

---The stream that an event belongs to, and the event's place in it.
---@param event_id string
---@return pai.mcp.Stream?
---@return integer? after
function Session:find(event_id)
  local name, at = event_id:match("^(%w+)%-(%d+)$")
  at = at and math.tointeger(tonumber(at))
  if name == self.own.id then
    return self.own, at
  end
  for _, stream in ipairs(at and self.streams or {}) do
    if stream.id == name then
      return stream, at
    end
  end
end

---@return pai.mcp.Session
function Sessions:open()
  if self.count >= MAX_SESSIONS then
    local oldest
    for _, session in pairs(self.by_id) do
      oldest = (not oldest or session.used < oldest.used) and session or oldest
    end
    self:close(oldest)
  end
  local session = setmetatable({
    id = require("pai.crypto").uuid(),
    streams = {},
    next_stream = 0,
    own = sse.new("own"),
    used = task.now(),
  }, Session)
  session.conn = conns.new(self.server, function(message)
    session.own:push(wire.encode(message))
    session.own:shrink(MAX_BYTES)
  end)
  self.by_id[session.id] = session
  self.count = self.count + 1
  return session
end

---@param id string
---@return pai.mcp.Session?
function Sessions:find(id)
  local session = self.by_id[id]
  if session then
    session.used = task.now()
  end
  return session
end

---@param session pai.mcp.Session
function Sessions:close(session)
  self.by_id[session.id] = nil
  self.count = self.count - 1
  session.conn:close()
  session.own:finish()
  for _, stream in ipairs(session.streams) do
    stream:finish()
  end
end

return M
