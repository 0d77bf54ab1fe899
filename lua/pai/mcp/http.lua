-- MCP over Streamable HTTP, on loopback only: sessions of the handshake revisions, and requests of
-- the stateless one, which stand for themselves. Host and Origin are checked by pai.serve.
local conns = require("pai.mcp.conn")
local err = require("pai.err")
local headers = require("pai.mcp.http_headers")
local out = require("pai.out")
local serve = require("pai.serve")
local server_module = require("pai.mcp.server")
local sessions = require("pai.mcp.http_session")
local signals = require("pai.run.signals")
local sse = require("pai.mcp.sse")
local wire = require("pai.mcp.wire")

local M = {}

---Where the endpoint is.
M.PATH = "/mcp"

---Bytes of the largest message.
M.MAX_BODY = 16 * 1024 * 1024

local SSE <const> = {
  ["Content-Type"] = "text/event-stream",
  ["Cache-Control"] = "no-cache, no-transform",
  ["X-Accel-Buffering"] = "no",
}

-- An answer of one JSON-RPC message.
local function say(status, message, more)
  local h = { ["Content-Type"] = "application/json" }
  for name, value in pairs(more or {}) do
    h[name] = value
  end
  return { status = status, headers = h, body = wire.encode(message) }
end

local function refuse(status, text, id)
  local answer = say(status, wire.error(id, wire.INVALID, text))
  if status == 401 then
    answer.headers["WWW-Authenticate"] = "Bearer"
  end
  return answer
end

local Http = {}
Http.__index = Http

-- Runs a request; its messages go to the stream, which ends with the answer.
local function start(self, conn, m, opts)
  local stream = opts.stream
  local call
  call = self.server:handle(conn, m, {
    modern = opts.modern,
    http = opts.headers,
    send = function(message)
      local final = message.id == m.id and message.method == nil
      if final and call and stream.last == 0 then
        stream.status = call.status
      end
      stream:push(wire.encode(message), final)
    end,
  })
  if call then
    function call.close_stream()
      stream:cut()
    end
  end
end

-- Waits for the first message; nil when the client went before.
local function first_message(req, stream)
  while stream.last == 0 and not stream.done do
    stream.more:clear()
    if not stream.more:wait("1s") and req.gone() then
      return false
    end
  end
  return true
end

-- A request of the stateless revision. The client ends it by closing the connection.
function Http:modern(req, m)
  local checked, e = pcall(headers.check_modern, req.headers, m)
  if not checked then
    if not wire.is_error(e) then
      error(e, 0)
    end
    return say(e.status, wire.error(m.id, e.code, e.message, e.data))
  end
  if m.id == nil then
    return { status = 202 }
  end
  local conn = conns.new(self.server, function() end)
  local stream = sse.new("m")
  start(self, conn, m, { modern = true, stream = stream, headers = req.headers })
  if not first_message(req, stream) then
    conn:close()
    return { status = 200 }
  end
  if stream.done then
    conn:close()
    return {
      status = stream.status or 200,
      headers = { ["Content-Type"] = "application/json" },
      body = stream.events[1],
    }
  end
  return {
    headers = SSE,
    stream = function(w)
      local _ <close> = setmetatable({}, {
        __close = function()
          conn:close()
        end,
      })
      stream:serve(w, {})
    end,
  }
end

-- What opens a session.
function Http:initialize(req, m)
  local session = self.sessions:open()
  local stream = sse.new("i")
  start(self, session.conn, m, { stream = stream, headers = req.headers })
  first_message(req, stream)
  if not session.conn.version then
    self.sessions:close(session)
    return {
      status = 400,
      headers = { ["Content-Type"] = "application/json" },
      body = stream.events[1],
    }
  end
  return {
    headers = { ["Content-Type"] = "application/json", ["Mcp-Session-Id"] = session.id },
    body = stream.events[1],
  }
end

-- The session that a request names, or the answer that refuses it.
function Http:session_of(req, id)
  local name = req.headers["mcp-session-id"]
  if not name then
    return nil, refuse(400, "the header Mcp-Session-Id is missing", id)
  end
  local session = self.sessions:find(name)
  if not session then
    return nil, refuse(404, "no such session", id)
  end
  local version = req.headers["mcp-protocol-version"]
  -- Clients that know no better send the revision in which this header was not yet there.
  local known = version == nil or version == "2025-03-26"
  for _, spoken in ipairs(server_module.HANDSHAKE) do
    known = known or spoken == version
  end
  if not known then
    return nil, refuse(400, "this revision is not spoken here", id)
  end
  return session
end

-- Requests whose answer is worth a stream that can be resumed.
local STREAMED <const> =
  { ["tools/call"] = true, ["prompts/get"] = true, ["resources/read"] = true }

function Http:handshake(req, m)
  if m.method == "initialize" and m.id ~= nil and not req.headers["mcp-session-id"] then
    return self:initialize(req, m)
  end
  local session, refused = self:session_of(req, m.id)
  if not session then
    return refused
  elseif m.id == nil or m.method == nil then
    self.server:handle(session.conn, m, {})
    return { status = 202 }
  end
  local stream = session:open()
  start(self, session.conn, m, { stream = stream, headers = req.headers })
  if STREAMED[m.method] then
    local priming = session.conn.version == "2025-11-25"
    return {
      headers = SSE,
      stream = function(w)
        stream:serve(w, { ids = true, priming = priming })
      end,
    }
  end
  first_message(req, stream)
  return {
    status = stream.status or 200,
    headers = { ["Content-Type"] = "application/json" },
    body = stream.events[1],
  }
end

function Http:post(req)
  local m, answer = wire.decode(req.body)
  if answer then
    return say(400, answer)
  elseif server_module.is_modern(m, req.headers["mcp-protocol-version"]) and m.method then
    return self:modern(req, m)
  end
  return self:handshake(req, m)
end

-- The stream of what belongs to no request, or one that was interrupted.
function Http:get(req)
  local session, refused = self:session_of(req)
  if not session then
    return refused
  end
  local stream, after = session.own, session.own.last
  local last = req.headers["last-event-id"]
  if last then
    stream, after = session:find(last)
    if not stream then
      return refuse(404, "no such event")
    end
  end
  -- A second reader takes the place of the first, which may be gone unnoticed.
  stream:cut()
  return {
    headers = SSE,
    stream = function(w)
      stream:serve(w, { ids = true, after = after })
    end,
  }
end

function Http:delete(req)
  local session, refused = self:session_of(req)
  if not session then
    return refused
  end
  self.sessions:close(session)
  return { status = 200 }
end

local METHODS <const> = { POST = "post", GET = "get", DELETE = "delete" }

function Http:answer(req)
  if req.path ~= M.PATH then
    return refuse(404, "the endpoint is " .. M.PATH)
  end
  local method = METHODS[req.method]
  if not method then
    return { status = 405, headers = { Allow = "GET, POST, DELETE" } }
  end
  local status, why = headers.refuse(req, self.token)
  if status then
    return refuse(status, why)
  end
  return self[method](self, req)
end

---Listens.
---@param server pai.mcp.Server
---@param opts { port: integer?, token: userdata? }
---@return pai.serve.server? listening
---@return pai.Error? err
function M.listen(server, opts)
  local self = setmetatable({
    server = server,
    sessions = sessions.new(server),
    token = opts.token,
  }, Http)
  return serve.listen({
    host = "127.0.0.1",
    port = opts.port or 0,
    max_body = M.MAX_BODY,
    handler = function(req)
      local ok, answer = pcall(self.answer, self, req)
      if not ok then
        local e = err.wrap(answer)
        if e.code ~= "ECANCELED" then
          out.stderr("pai mcp: " .. (e.trace or e.message) .. "\n")
        end
        error(e, 0)
      end
      return answer
    end,
  })
end

---Serves until the process is asked to end.
---@param server pai.mcp.Server
---@param opts { port: integer?, token: userdata?, ready: fun(url: string) }
---@return integer exit code
function M.serve(server, opts)
  local listening, e = M.listen(server, opts)
  if not listening then
    error(e, 0)
  end
  signals.until_end(function()
    opts.ready(("http://127.0.0.1:%d%s"):format(listening:port(), M.PATH))
  end)
  server:close()
  listening:close({ drain = "300ms" })
  return 0
end

return M
