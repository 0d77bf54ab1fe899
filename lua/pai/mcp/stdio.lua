-- MCP over standard input and output: one message a line, and nothing else is ever written there.
-- Ends with its input, a tool running or not.
local conns = require("pai.mcp.conn")
local out = require("pai.out")
local pipe = require("pai.pipe")
local server_module = require("pai.mcp.server")
local task = require("pai.task")
local wire = require("pai.mcp.wire")

local M = {}

---Bytes of the longest message.
M.MAX_LINE = 16 * 1024 * 1024

-- A pipe that has room takes this much at once.
local PIECE <const> = 2048

-- A client that does not read what it asked for is let go.
local MAX_UNSENT <const> = 64 * 1024 * 1024

local Writer = {}
Writer.__index = Writer

local function new_writer()
  return setmetatable({ queue = {}, first = 1, last = 0, bytes = 0, wake = task.event() }, Writer)
end

-- Writes a line without ever holding the process: what does not go at once waits in the queue.
function Writer:send(line)
  if self.last < self.first and #line < PIECE and pipe.room(1, 0) == true then
    out.stdout(line, "\n")
    out.flush(1)
    return
  end
  self.last = self.last + 1
  self.queue[self.last] = line
  self.bytes = self.bytes + #line
  self.wake:set()
  if self.bytes > MAX_UNSENT then
    self.overflow()
  end
end

-- The next text to write: several short lines, or one long one.
function Writer:take()
  local parts, size = {}, 0
  repeat
    local line = self.queue[self.first]
    self.queue[self.first] = nil
    self.first = self.first + 1
    self.bytes = self.bytes - #line
    parts[#parts + 1] = line
    size = size + #line + 1
  until self.first > self.last or size + #self.queue[self.first] > PIECE
  parts[#parts + 1] = ""
  return table.concat(parts, "\n")
end

function Writer:work()
  while true do
    while self.first > self.last do
      self.wake:clear()
      self.wake:wait()
    end
    local block = self:take()
    for from = 1, #block, PIECE do
      pipe.room(1)
      out.stdout(block:sub(from, from + PIECE - 1))
    end
    out.flush(1)
  end
end

-- Handles one line of the input.
local function take_line(server, conn, line)
  local message, answer = wire.decode(line)
  if answer then
    conn.send(answer)
  elseif message then
    server:handle(conn, message, { modern = server_module.is_modern(message) })
  end
end

local function read_all(server, conn)
  local lines = pipe.lines(0, { max = M.MAX_LINE })
  while true do
    local line, e = lines:read()
    if line and line:find("%S") then
      take_line(server, conn, line)
    elseif e and e.code == "ELIMIT" then
      conn.send(wire.error(nil, wire.INVALID, "not a message: " .. e.message))
    elseif e then
      return e
    elseif not line then
      return nil
    end
  end
end

-- What was asked right before the end is still answered, if that takes no time.
local FINISH_MS <const>, STOP_MS <const>, WRITE_MS <const> = 250, 400, 150

local function wait_all(tasks, ms)
  local deadline = task.now() + ms
  for t in pairs(tasks) do
    pcall(t.wait, t, math.max(0, deadline - task.now()))
  end
end

local function wind_down(server, conn, writer)
  local running = {}
  for _, entry in pairs(conn.running) do
    running[entry.task] = true
  end
  wait_all(running, FINISH_MS)
  server:close()
  wait_all(running, STOP_MS)
  local deadline = task.now() + WRITE_MS
  while writer.first <= writer.last and task.now() < deadline do
    task.sleep(5)
  end
end

---Serves until the input ends or the process is asked to end.
---@param server pai.mcp.Server
---@return integer exit code
function M.serve(server)
  local writer = new_writer()
  local done = task.event()
  local problem
  function writer.overflow()
    problem = "the client does not read"
    done:set()
  end
  local conn = conns.new(server, function(message)
    writer:send(wire.encode(message))
  end)
  local writing = task.spawn(writer.work, writer)
  local reading = task.spawn(function()
    local e = read_all(server, conn)
    problem = e and e.message
    done:set()
  end)
  local remove = task.on_signal(function(name)
    if name ~= "SIGWINCH" then
      done:set()
    end
  end)
  done:wait()
  remove()
  wind_down(server, conn, writer)
  reading:cancel()
  writing:cancel()
  if problem then
    out.stderr("pai mcp: " .. problem .. "\n")
  end
  -- What did not end in time is ended with the process.
  os.exit(problem and 1 or 0, false)
end

return M
