-- What the specs of MCP share: Node and its packages, the fixture server, a raw client over stdio.
local exec = require("pai.exec")
local json = require("pai.json")
local task = require("pai.task")

local M = {}

local root = require("pai").root
local packages = root .. "/vendor/npm-mcp/node_modules"

M.FIXTURES = root .. "/tests/spec/mcp/fixtures"

---Runs a program of npm's under Node 22.
---@param script string below node_modules, or an absolute path
---@param args string[]
---@param opts table?
---@return { code: integer, stdout: string, stderr: string }
function M.node(script, args, opts)
  opts = opts or {}
  local path = script:sub(1, 1) == "/" and script or packages .. "/" .. script
  local argv = { packages .. "/node/bin/node", path }
  table.move(args, 1, #args, 3, argv)
  local env = { NODE_PATH = packages, NO_COLOR = "1" }
  for name, value in pairs(opts.env or {}) do
    env[name] = value
  end
  local r, e = exec.run(argv, {
    cwd = opts.cwd,
    env = env,
    accept = "any",
    timeout = opts.timeout or "200s",
  })
  assert(r, tostring(e))
  return r
end

---The fixture server over HTTP. Close it with `stop`.
---@return table proc
---@return string url
function M.http_server()
  local proc = assert(exec.start({ pai.exe, "lua", M.FIXTURES .. "/server.lua", "http" }))
  local url = assert(proc:read_line("30s"))
  return proc, url
end

---@class tests.McpClient
local Client = {}
Client.__index = Client

---Starts a server over stdio and speaks to it line by line.
---@param argv string[]
---@param opts { cwd: string?, env: table? }?
---@return tests.McpClient
function M.client(argv, opts)
  opts = opts or {}
  local env = { LC_ALL = "C.UTF-8" }
  for name, value in pairs(opts.env or {}) do
    env[name] = value
  end
  local proc = assert(exec.start(argv, {
    cwd = opts.cwd,
    env = env,
    stdin = "pipe",
    stderr = opts.stderr or "capture",
    accept = "any",
  }))
  return setmetatable({ proc = proc, id = 0, notes = {}, replies = {}, asked = {} }, Client)
end

---The fixture server over stdio.
---@return tests.McpClient
function M.fixture()
  return M.client({ pai.exe, "lua", M.FIXTURES .. "/server.lua", "stdio" })
end

---Writes a line as it is.
---@param line string
function Client:raw(line)
  assert(self.proc:write(line .. "\n"))
end

---@param message table
function Client:send(message)
  message.jsonrpc = "2.0"
  self:raw(json.encode(message))
end

---Reads one message; each line must be one.
---@return table? message nil at the end
function Client:read()
  while true do
    local line, stream = self.proc:read_line("180s")
    if not line then
      assert(stream == nil, tostring(stream))
      return nil
    end
    if stream == "stdout" then
      local message, e = json.decode(line)
      assert(
        type(message) == "table" and message.jsonrpc == "2.0",
        line:sub(1, 2000) .. tostring(e)
      )
      return message
    end
    self.stderr = (self.stderr or "") .. line .. "\n"
  end
end

---Sends a request; its id.
---@param method string
---@param params table?
---@return integer
function Client:ask(method, params)
  self.id = self.id + 1
  self:send({ id = self.id, method = method, params = params })
  return self.id
end

---Reads until the response to a request; requests of the server go to `on_request`.
---@param id any
---@return table response
function Client:wait(id)
  while not self.replies[id] do
    local m = self:read()
    assert(m, "the server ended: " .. tostring(self.stderr):sub(1, 2000))
    if m.method and m.id then
      self.asked[#self.asked + 1] = m
      local result = assert(self.on_request, "asked " .. m.method)(m)
      if result then
        self:send({ id = m.id, result = result })
      end
    elseif m.method then
      self.notes[#self.notes + 1] = m
    else
      self.replies[m.id == json.null and "null" or m.id] = m
    end
  end
  local reply = self.replies[id]
  self.replies[id] = nil
  return reply
end

---Calls a method and gives its whole response.
---@param method string
---@param params table?
---@return table response
function Client:call(method, params)
  return self:wait(self:ask(method, params))
end

---Calls a method that must succeed.
---@param method string
---@param params table?
---@return table result
function Client:ok(method, params)
  local reply = self:call(method, params)
  assert(reply.result, json.encode(reply))
  return reply.result
end

---Does the handshake.
---@param version string?
---@param caps table?
---@return table result
function Client:initialize(version, caps)
  local result = self:ok("initialize", {
    protocolVersion = version or "2025-11-25",
    capabilities = caps or { elicitation = {} },
    clientInfo = { name = "spec", version = "1" },
  })
  self:send({ method = "notifications/initialized" })
  return result
end

---The _meta of a request of the stateless revision.
---@param caps table?
---@return table
function M.meta(caps)
  return {
    ["io.modelcontextprotocol/protocolVersion"] = "2026-07-28",
    ["io.modelcontextprotocol/clientCapabilities"] = caps or {},
    ["io.modelcontextprotocol/clientInfo"] = { name = "spec", version = "1" },
  }
end

---Calls a tool.
---@param name string
---@param args table?
---@param meta table?
---@return table result
function Client:tool(name, args, meta)
  return self:ok("tools/call", { name = name, arguments = args or {}, _meta = meta })
end

---Closes the input and waits for the end.
---@return table result with `duration_ms` from the closing on
function Client:finish()
  local before = task.now()
  self.proc:close_stdin()
  local r = assert(self.proc:wait("180s"))
  r.ending_ms = task.now() - before
  return r
end

---The text of a tool's result.
---@param result table
---@return string
function M.text(result)
  local parts = {}
  for _, block in ipairs(result.content) do
    parts[#parts + 1] = block.text
  end
  return table.concat(parts, "\n")
end

---Waits until something holds; fails after two minutes, which a busy machine may need.
---@param fn fun(): any
---@param what string
---@return any
function M.eventually(fn, what)
  local deadline = task.now() + 120000
  while true do
    local value = fn()
    if value then
      return value
    end
    assert(task.now() < deadline, "did not come about: " .. what)
    task.sleep("20ms")
  end
end

return M
