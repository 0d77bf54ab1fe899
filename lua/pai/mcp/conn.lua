-- One client of the server: what was agreed on with it, its requests that are under way, and what
-- was asked of it. In the stateless revision a connection over HTTP lives for one request.
local err = require("pai.err")
local task = require("pai.task")
local wire = require("pai.mcp.wire")

local M = {}

---@class pai.mcp.Conn
---@field server pai.mcp.Server
---@field version string? agreed on by a handshake
---@field caps table of the client
---@field send fun(message: table)
---@field log_level string?
---@field running table<string, table> { task, call } by request
---@field active integer requests whose task has not ended
---@field subscribed table<string, boolean> URIs, in the handshake revisions
---@field listeners table<string, table> subscriptions of the stateless revision
local Conn = {}
Conn.__index = Conn

---@param server pai.mcp.Server
---@param send fun(message: table) for what belongs to no request
---@return pai.mcp.Conn
function M.new(server, send)
  local conn = setmetatable({
    server = server,
    send = send,
    caps = {},
    running = {},
    active = 0,
    asked = {},
    next_id = 0,
    subscribed = {},
    listeners = {},
  }, Conn)
  server.conns[conn] = true
  return conn
end

---The key of a request's id: "1" and 1 are two.
---@param id any
---@return string
function M.key(id)
  return type(id) == "string" and "s" .. id or ("n%d"):format(id)
end

---Sends a request to the client and waits for its result.
---@param method string
---@param params table?
---@param send (fun(message: table))? the stream of the request that it belongs to
---@return table result
function Conn:request(method, params, send)
  self.next_id = self.next_id + 1
  local id = ("pai-%d"):format(self.next_id)
  local entry = { event = task.event() }
  self.asked[id] = entry
  local _ <close> = setmetatable({}, {
    __close = function()
      self.asked[id] = nil
      if not entry.message and not self.closed then
        self.send(wire.notification("notifications/cancelled", {
          requestId = id,
          reason = "the question is of no use any more",
        }))
      end
    end,
  });
  (send or self.send)({ jsonrpc = "2.0", id = id, method = method, params = params })
  entry.event:wait()
  local message = entry.message
  if message.error ~= nil then
    local said = wire.is_object(message.error) and message.error.message
    err.raise("EPEER", ("%s: the client says: %s"):format(method, tostring(said)))
  end
  return message.result
end

---Takes the client's answer to a request of ours; one that nobody waits for is dropped.
---@param message table
function Conn:answered(message)
  local entry = self.asked[message.id]
  if entry and not entry.message then
    entry.message = message
    entry.event:set()
  end
end

---Cancels a request that is under way; nothing more is sent for it.
---@param id any
function Conn:cancel(id)
  if not wire.is_id(id) then
    return
  end
  local key = M.key(id)
  local entry = self.running[key]
  if entry then
    self.running[key] = nil
    entry.call.over = true
    entry.task:cancel()
  end
  if self.listeners[key] then
    self.listeners[key] = nil
  end
end

---Sends what tells that a list has changed to those that want it.
---@param what "tools"|"prompts"|"resources"
function Conn:tell_changed(what)
  local method = ("notifications/%s/list_changed"):format(what)
  if self.version then
    self.send(wire.notification(method))
  end
  for _, listener in pairs(self.listeners) do
    if listener.filter[what .. "ListChanged"] then
      listener.send(wire.notification(method, { _meta = listener.meta }))
    end
  end
end

---Sends what tells that a resource has changed to those that subscribed to it.
---@param uri string
function Conn:tell_updated(uri)
  local method = "notifications/resources/updated"
  if self.subscribed[uri] then
    self.send(wire.notification(method, { uri = uri }))
  end
  for _, listener in pairs(self.listeners) do
    if listener.uris[uri] then
      listener.send(wire.notification(method, { uri = uri, _meta = listener.meta }))
    end
  end
end

---Tells those that listen that this is the end.
function Conn:end_listeners()
  for key, listener in pairs(self.listeners) do
    self.listeners[key] = nil
    listener.send(wire.result(listener.id, { resultType = "complete", _meta = listener.meta }))
  end
end

---Ends everything of this client.
function Conn:close()
  if self.closed then
    return
  end
  self.closed = true
  self.server.conns[self] = nil
  for key, entry in pairs(self.running) do
    self.running[key] = nil
    entry.call.over = true
    entry.task:cancel()
  end
end

return M
