-- Commands in a container that runs (Docker Engine API, exec): the daemon turns the connection that
-- asked for the start into the command's standard streams. With a terminal its bytes come as they
-- are, without one in frames.
local container = require("pai.engine.container")
local err = require("pai.err")
local frames = require("pai.engine.container_logs")
local json = require("pai.json")
local sock = require("pai.sock")
local task = require("pai.task")

local M = {}

-- How much an answer that is no connection may hold, in bytes.
local ANSWER_MAX <const> = 65536

-- The daemon answers at once; a machine that is short of everything takes longer.
local ANSWER <const> = "60s"

-- How often the end of a command is asked for once its streams have ended, every 20 ms.
local CODE_TRIES <const> = 250

local REQUEST <const> = table.concat({
  "POST %s HTTP/1.1",
  "Host: localhost",
  "Content-Type: application/json",
  "Connection: Upgrade",
  "Upgrade: tcp",
  "Content-Length: %d",
  "",
  "%s",
}, "\r\n")

local function unreachable(pool, why)
  local text = "%s of pool %s (%s): %s"
  err.raise("ESTART", text:format(pool.runtime, pool.name, pool.socket, why))
end

-- What the daemon says in place of a connection.
local function refused(pool, stream, status, head, rest)
  local length = math.tointeger(tonumber(head:lower():match("\r\ncontent%-length:%s*(%d+)") or ""))
  local most = math.min(length or ANSWER_MAX, ANSWER_MAX)
  while #rest < most and not (not length and rest:find("}%s*")) do
    local data = stream:read(ANSWER)
    if not data then
      break
    end
    rest = rest .. data
  end
  stream:close()
  local said = json.decode(rest:match("{.*}") or "")
  local message = type(said) == "table" and said.message
  err.raise("ESTART", message or ("%s answered %s"):format(pool.runtime, status))
end

-- Asks and keeps the connection. It, and what has come behind the answer.
local function hijack(pool, path, body)
  local stream, e = sock.connect({ unix = pool.socket, timeout = ANSWER })
  if not stream then
    unreachable(pool, e.message)
  end
  local text = json.encode(body)
  local ok
  ok, e = stream:write(REQUEST:format(path, #text, text), ANSWER)
  local said = ""
  while ok do
    local head, rest = said:match("^(.-\r\n)\r\n(.*)$")
    if head then
      local status = head:match("^HTTP/1%.%d (%d%d%d)")
      -- Podman without an upgrade says 200.
      if status == "101" or status == "200" then
        return stream, rest
      end
      refused(pool, stream, status or "what is no HTTP", head, rest)
    elseif #said > ANSWER_MAX then
      e = { message = "its answer is too long" }
      break
    end
    local data
    data, e = stream:read(ANSWER)
    if not data then
      break
    end
    said = said .. data
  end
  stream:close()
  unreachable(pool, e and e.message or "it ended the connection")
end

---@class pai.engine.ContainerCommand
---@field id string of the exec
---@field pool pai.engine.Pool
local Command = {}
Command.__index = Command

---@param data string for its standard input
---@return true?
function Command:write(data)
  return self.stream:write(data, "1d")
end

---Ends its standard input.
function Command:shut()
  self.stream:shut()
end

---Gives up the connection; the command is not ended by it.
function Command:close()
  self.stream:close()
end

---Sets the size of its terminal.
---@param size {rows: integer, cols: integer}
function Command:resize(size)
  container.call(self.pool, "POST", ("/exec/%s/resize"):format(self.id), {
    query = { h = ("%d"):format(size.rows), w = ("%d"):format(size.cols) },
    accept = "any",
  })
end

---Gives the output to on_data until it ends, or until on_data gives false.
---@param on_data fun(data: string, stream: "stdout"|"stderr")
---@return integer? code nil when it is not known
function Command:wait(on_data)
  local open = true
  local function give(data, stream)
    open = on_data(data, stream) ~= false and open
  end
  local reader = not self.tty and frames.frames(give)
  local data = self.rest ~= "" and self.rest or self.stream:read()
  self.rest = ""
  while data and open do
    if reader then
      reader:feed(data)
    else
      give(data, "stdout")
    end
    data = open and self.stream:read() or nil
  end
  self.stream:close()
  for _ = 1, open and CODE_TRIES or 1 do
    local res = container.call(self.pool, "GET", ("/exec/%s/json"):format(self.id))
    local said = res and res:json()
    if not said then
      return nil
    elseif not said.Running then
      return math.tointeger(said.ExitCode)
    end
    task.sleep(20)
  end
end

---@class pai.engine.CommandOptions
---@field tty boolean?
---@field stdin boolean?
---@field env string[]? "NAME=value"

-- The id of a new exec. Raises ESTART.
local function create(pool, id, argv, opts, attach)
  local res, e = container.call(pool, "POST", ("/containers/%s/exec"):format(id), {
    json = {
      Cmd = json.array(argv),
      Env = json.array(opts.env or {}),
      Tty = opts.tty == true,
      AttachStdin = attach and opts.stdin == true,
      AttachStdout = attach,
      AttachStderr = attach,
    },
  })
  if not res then
    err.raise("ESTART", e.message)
  end
  return res:json().Id
end

---Starts a command in a container. Raises ESTART.
---@param pool pai.engine.Pool
---@param id string of the container
---@param argv string[]
---@param opts pai.engine.CommandOptions
---@return pai.engine.ContainerCommand
function M.start(pool, id, argv, opts)
  local exec = create(pool, id, argv, opts, true)
  local body = { Detach = false, Tty = opts.tty == true }
  local stream, rest = hijack(pool, ("/exec/%s/start"):format(exec), body)
  local self = { id = exec, pool = pool, stream = stream, rest = rest, tty = opts.tty == true }
  return setmetatable(self, Command)
end

---Starts a command that nobody listens to. That the container has ended is no error.
---@param pool pai.engine.Pool
---@param id string of the container
---@param argv string[]
function M.detach(pool, id, argv)
  local ok, exec = pcall(create, pool, id, argv, {}, false)
  if ok then
    container.call(pool, "POST", ("/exec/%s/start"):format(exec), {
      json = { Detach = true, Tty = false },
      accept = "any",
    })
  end
end

return M
