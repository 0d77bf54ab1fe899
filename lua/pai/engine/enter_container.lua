-- Into a task that runs in a container: a command with a terminal by the daemon's exec, a
-- connection to a port through the container's network.
local commands = require("pai.engine.container_exec")
local container = require("pai.engine.container")
local crypto = require("pai.crypto")
local err = require("pai.err")
local processes = require("pai.engine.processes")
local sock = require("pai.sock")
local task = require("pai.task")

local M = {}

-- The daemon ends no command whose client has gone, so each session carries a mark, by which it is
-- found again. The command begins once the terminal has its size.
local MARK <const> = "PAI_SESSION"

local TERMINAL <const> = [[
echo "ready-$PAI_SESSION"; read -r _; echo "go-$PAI_SESSION"; exec /bin/sh -c "$1"]]

-- All that a shell can do by itself: an image need not have any other program.
local END_MARKED <const> = [[
for d in /proc/[0-9]*; do
  while IFS= read -r e || [ -n "$e" ]; do
    case $e in *"$1"*) kill -9 "${d#/proc/}"; break;; esac
  done < "$d/environ"
done 2>/dev/null]]

-- What the terminal shows until the command begins is kept up to here.
local HEAD_MAX <const> = 65536

local function ended(t)
  return t.gone:is_set() and "the task has just ended" or nil
end

local function end_marked(t, mark)
  local argv = { "/bin/sh", "-c", END_MARKED, "sh", MARK .. "=" .. mark }
  commands.detach(t.proc.pool, t.proc.id, argv)
end

-- Holds back what is not the command's; sets the size in between.
local function terminal_reader(shell, size, mark, on_data)
  local head, sized = "", false
  return function(data)
    if shell.begun then
      return on_data(data)
    end
    head = head .. data
    if not sized and head:find("ready-" .. mark, 1, true) then
      sized = true
      shell.command:resize(size)
      shell.command:write("\n")
    end
    local rest = head:match("go%-" .. mark .. "\r?\n(.*)$")
    if rest then
      shell.begun = true
      shell.ready:set()
      return rest ~= "" and on_data(rest) or nil
    end
    head = head:sub(-HEAD_MAX)
    shell.said = head
  end
end

---Starts a command with a terminal in the container of a task. Raises ESTART.
---@param t table task of a group under way
---@param opts {entry: string, size: {rows: integer, cols: integer}}
---@param on_data fun(data: string)
---@return pai.engine.Shell
function M.shell(t, opts, on_data)
  local pool, id, mark = t.proc.pool, t.proc.id, crypto.hex(16)
  local ok, command = pcall(commands.start, pool, id, {
    "/bin/sh",
    "-c",
    TERMINAL,
    "sh",
    opts.entry,
  }, { tty = true, stdin = true, env = { "TERM=xterm", MARK .. "=" .. mark } })
  if not ok then
    local e = err.wrap(command)
    err.raise("ESTART", "cannot open a session: " .. (ended(t) or e.message))
  end
  local shell = { command = command, ready = task.event() }
  local reader = terminal_reader(shell, opts.size, mark, on_data)
  function shell:write(data)
    self.ready:wait()
    return command:write(data)
  end
  function shell:resize(size)
    self.ready:wait()
    command:resize(size)
  end
  function shell:close()
    end_marked(t, mark)
    self.ready:set()
    command:close()
  end
  function shell:wait()
    local code = command:wait(reader)
    self.ready:set()
    if not self.begun then
      local said = (self.said or ""):gsub("%s+$", "")
      said = ended(t) or (said ~= "" and said) or "the container did not run /bin/sh"
      err.raise("ESTART", "cannot open a session: " .. said)
    end
    return code
  end
  return shell
end

-- The first process of a container, as this machine numbers it; nil when the daemon is elsewhere,
-- such as in a virtual machine.
local function pid_of(t, state)
  local pid = state.State and state.State.Pid
  if pid and pid > 0 and processes.marked(pid, "PAI_TASK_UUID=" .. t.row.uuid) then
    return pid
  end
end

local function addresses(state)
  local out = {}
  for _, network in pairs((state.NetworkSettings or {}).Networks or {}) do
    if type(network.IPAddress) == "string" and network.IPAddress ~= "" then
      out[#out + 1] = network.IPAddress
    end
  end
  return out
end

-- A connection that a program of the image carries.
local function exec_pipe(t, port)
  local argv, mark = { "nc", "127.0.0.1", ("%d"):format(port) }, crypto.hex(16)
  local opts = { stdin = true, env = { MARK .. "=" .. mark } }
  local command = commands.start(t.proc.pool, t.proc.id, argv, opts)
  local said = ""
  return {
    write = function(_, data)
      return command:write(data)
    end,
    pump = function(_, on_data)
      local code = command:wait(function(data, stream)
        if stream == "stdout" then
          return on_data(data) ~= nil
        end
        said = (said .. data):sub(-HEAD_MAX)
      end)
      if code and code ~= 0 then
        local text = "port %d of the task, by nc in its container: %s"
        said = said:gsub("%s+$", "")
        err.raise("ECONNREFUSED", text:format(port, said ~= "" and said or "exit code " .. code))
      end
    end,
    close = function()
      end_marked(t, mark)
      command:close()
    end,
  }
end

---How a TCP port of a task's container is reached: in its network where the engine may enter it,
---else at its address, else by a program of its image. Raises.
---@param t table
---@param port integer
---@return {pid: integer?, pipe: pai.engine.Pipe?, stream: pai.sock.Stream?}
function M.way(t, port)
  local pool = t.proc.pool
  local res, e = container.call(pool, "GET", ("/containers/%s/json"):format(t.proc.id))
  if not res then
    err.raise("ENOENT", ended(t) or e.message)
  end
  local state = res:json()
  local pid = pid_of(t, state)
  if pid and processes.may_enter(pid) then
    return { pid = pid }
  end
  for _, address in ipairs(addresses(state)) do
    local stream = sock.connect({ host = address, port = port, timeout = "10s" })
    if stream then
      return { stream = stream }
    end
  end
  return { pipe = exec_pipe(t, port) }
end

return M
