-- The server behind every transport: takes a message of a client, finds out which revision it
-- speaks, runs the method in a task of its own and sends the answer. What there is to call is kept
-- in the registry (pai.mcp.registry); what is shipped is put there by pai.mcp.recipes and its
-- siblings, and specs put their own there.
local Call = require("pai.mcp.call")
local conns = require("pai.mcp.conn")
local err = require("pai.err")
local json = require("pai.json")
local registry = require("pai.mcp.registry")
local task = require("pai.task")
local text = require("pai.text")
local wire = require("pai.mcp.wire")

local M = {}

---The revision without a handshake.
M.MODERN = "2026-07-28"
---Revisions with one, newest first.
M.HANDSHAKE = { "2025-11-25", "2025-06-18" }

local META <const> = "io.modelcontextprotocol/"

---@class pai.mcp.Server: pai.mcp.Registry
---@field conns table<pai.mcp.Conn, boolean>
---@field info { name: string, title: string, version: string }
---@field instructions string?
---@field extensions table<string, table>? beside the protocol, in the stateless revision
---@field methods table<string, fun(server, call, params): table> of the extensions
local Server = setmetatable({}, { __index = registry.methods })
Server.__index = Server

---@param opts { instructions: string? }?
---@return pai.mcp.Server
function M.new(opts)
  local server = setmetatable(registry.new(), Server)
  server.conns = {}
  server.methods = {}
  server.instructions = opts and opts.instructions
  server.info = { name = "pai", title = "pai", version = require("pai.version") }
  return server
end

---Tells every client that a list has changed.
---@param what "tools"|"prompts"|"resources"
function Server:changed(what)
  for conn in pairs(self.conns) do
    conn:tell_changed(what)
  end
end

---Tells those that watch a resource that it has changed.
---@param uri string
function Server:updated(uri)
  for conn in pairs(self.conns) do
    conn:tell_updated(uri)
  end
end

---What the server can do, for either handshake or discovery.
---@param modern boolean?
---@return table
function Server:capabilities(modern)
  return {
    tools = { listChanged = true },
    prompts = { listChanged = true },
    resources = { listChanged = true, subscribe = true },
    completions = {},
    logging = {},
    extensions = modern and self.extensions or nil,
  }
end

---Whether a message is of the stateless revision: it says so itself, or calls what only that has.
---@param m table
---@param header string? the revision in the header of an HTTP request
---@return boolean
function M.is_modern(m, header)
  local meta = wire.is_object(m.params) and m.params._meta
  if wire.is_object(meta) and meta[META .. "protocolVersion"] ~= nil then
    return true
  end
  return header == M.MODERN or m.method == "server/discover" or m.method == "subscriptions/listen"
end

-- Checks the _meta that every request of the stateless revision has; gives the capabilities.
local function check_meta(params)
  local meta = params._meta
  if not wire.is_object(meta) then
    wire.fail(wire.BAD_PARAMS, "params._meta is missing", nil, 400)
  end
  local version, caps = meta[META .. "protocolVersion"], meta[META .. "clientCapabilities"]
  if type(version) ~= "string" then
    wire.fail(wire.BAD_PARAMS, ("params._meta lacks '%sprotocolVersion'"):format(META), nil, 400)
  elseif version ~= M.MODERN then
    wire.fail(wire.VERSION, "this revision is not spoken here: " .. version, {
      supported = json.array({ M.MODERN }),
      requested = version,
    }, 400)
  elseif not wire.is_object(caps) then
    local message = ("params._meta lacks '%sclientCapabilities'"):format(META)
    wire.fail(wire.BAD_PARAMS, message, nil, 400)
  end
  return caps
end

local CACHED <const> = {
  ["tools/list"] = true,
  ["prompts/list"] = true,
  ["resources/list"] = true,
  ["resources/templates/list"] = true,
  ["resources/read"] = true,
  ["server/discover"] = true,
  ["skills/list"] = true,
  ["skills/get"] = true,
  ["resources/directory/read"] = true,
}

-- How long a client may keep a list; a change is told to those that listen.
local TTL_MS <const> = 5000

-- Puts to a result what the stateless revision wants in it.
local function finish(server, method, result)
  result.resultType = result.resultType or "complete"
  local meta = result._meta or {}
  meta[META .. "serverInfo"] = server.info
  result._meta = meta
  if CACHED[method] and result.resultType == "complete" then
    result.ttlMs = result.ttlMs or TTL_MS
    result.cacheScope = result.cacheScope or "private"
  end
  return result
end

-- The answer to a request.
local function answer(server, call, method)
  if call.modern then
    call.caps = check_meta(call.params)
  end
  local methods = require("pai.mcp.methods")
  local fn = (call.modern and methods.modern or methods.handshake)[method]
  fn = fn or (call.modern and server.methods[method])
  if not fn then
    wire.fail(wire.NO_METHOD, "no method " .. text.cut(text.one_line(method), 80), nil, 404)
  elseif not call.modern and not call.conn.version and not methods.early[method] then
    wire.fail(wire.INVALID, "the session was not initialized", nil, 400)
  end
  if call.modern then
    call:check_answers()
  end
  local result = fn(server, call, call.params)
  return call.modern and finish(server, method, result) or result
end

-- The message for what a handler raised; nil when the request was cancelled.
local function failure(server, call, e)
  if debug.getmetatable(e) == Call.Ask then
    local result = {
      resultType = "input_required",
      inputRequests = e.inputRequests,
      requestState = e.requestState,
    }
    return wire.result(call.id, finish(server, call.method, result))
  elseif wire.is_error(e) then
    call.status = e.status
    return wire.error(call.id, e.code, e.message, e.data)
  end
  e = err.wrap(e)
  if e.code == "ECANCELED" and call.over then
    return nil
  end
  require("pai.out").stderr(("pai mcp: %s: %s\n"):format(call.method, e.trace or e.message))
  return wire.error(call.id, wire.INTERNAL, "a fault of pai: " .. e.message)
end

-- More than any client waits for; one that asks without end is told so.
local MAX_RUNNING <const> = 12000

local function work(server, call, key)
  local ok, result = xpcall(answer, function(e)
    return type(e) == "string" and debug.traceback(e, 2) or e
  end, server, call, call.method)
  local message = ok and result and wire.result(call.id, result)
  if not ok then
    message = failure(server, call, result)
  end
  call.conn.active = call.conn.active - 1
  if not call.over then
    call.over = true
    call.conn.running[key] = nil
    if message then
      call.send(message)
    end
  end
end

---Handles a message of a client. A request is worked on in a task of its own.
---@param conn pai.mcp.Conn
---@param m table as wire.decode gave it
---@param opts { modern: boolean, send: (fun(message: table))?, http: table? }
---@return pai.mcp.Call? call of a request
function Server:handle(conn, m, opts)
  if m.method == nil then
    conn:answered(m)
    return nil
  elseif m.id == nil then
    M.notified(conn, m)
    return nil
  elseif conn.active >= MAX_RUNNING then
    local send = opts.send or conn.send
    send(wire.error(m.id, wire.INTERNAL, "too many requests are under way"))
    return nil
  end
  conn.active = conn.active + 1
  local call = Call.new({
    server = self,
    conn = conn,
    id = m.id,
    method = m.method,
    params = m.params or {},
    modern = opts.modern,
    caps = conn.caps,
    send = opts.send or conn.send,
    http = opts.http,
  })
  local key = conns.key(m.id)
  local entry = { call = call }
  conn.running[key] = entry
  entry.task = task.spawn(work, self, call, key)
  return call
end

---Handles a notification of a client; one that is not known is none of our business.
---@param conn pai.mcp.Conn
---@param m table
function M.notified(conn, m)
  if m.method == "notifications/cancelled" and m.params then
    conn:cancel(m.params.requestId)
  end
end

---Ends the work for all clients.
function Server:close()
  for conn in pairs(self.conns) do
    conn:end_listeners()
    conn:close()
  end
end

return M
