-- Into a task: a command with a terminal, a connection to a port. A sandbox is entered through its
-- namespaces, a container as enter_container.lua says.
local err = require("pai.err")
local enter_container = require("pai.engine.enter_container")
local exec = require("pai.exec")
local namespace = require("pai.engine.namespace")
local pai = require("pai")
local processes = require("pai.engine.processes")
local sandbox = require("pai.engine.sandbox")
local sock = require("pai.sock")
local task = require("pai.task")

local M = {}

-- Runs in the task: the terminal says its name, gets its size, and becomes the command's. script
-- (bsdutils) makes the terminal; without one on its own input it would not echo.
local TERMINAL <const> = [[
cd "$PAI_AT" 2>/dev/null; stty rows "$PAI_ROWS" cols "$PAI_COLS" echo; tty
entry=$PAI_ENTRY; unset PAI_AT PAI_ROWS PAI_COLS PAI_ENTRY; exec /bin/sh -c "$entry"]]

-- As little output as can be is kept in memory: it goes on as it comes.
local KEPT <const> = 4096

local HEAD_MAX <const> = 65536

-- The first process of a task's sandbox, once the sandbox stands.
local function inner_of(t)
  local inner = processes.standing(t.proc.pid, t.gone)
  if not inner then
    err.raise("ENOENT", "the task has just ended")
  end
  return inner
end

-- The words before a command that put it into the sandbox of a task, without any capability.
local function sandbox_words(t, run)
  if t.kind == "plain" then
    return {}
  end
  local inner = inner_of(t)
  -- A network that the group shares belongs to another user namespace, so it is joined before.
  local words = run.net and namespace.words(run.net, { "net" }) or {}
  local kinds = { "mount", "pid", "ipc", "uts", not run.net and "net" or nil }
  local more = namespace.words(inner, kinds)
  table.move(more, 1, #more, #words + 1, words)
  -- The first process of the sandbox lives in the user namespace that the command lives in. Whoever
  -- is not root has come there already where the sandbox has not made its terminals itself.
  more = { "nsenter", "--target", "1", "--user", "--preserve-credentials", "--" }
  if t.session.based and not namespace.is_root() then
    more = {}
  end
  table.move({ "setpriv", "--no-new-privs" }, 1, 2, #more + 1, more)
  if namespace.is_root() then
    local drop = { "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all" }
    table.move(drop, 1, 3, #more + 1, more)
  end
  return table.move(more, 1, #more, #words + 1, words)
end

local function with(words, ...)
  local out = table.move(words, 1, #words, 1, {})
  return table.move({ ... }, 1, select("#", ...), #out + 1, out)
end

---@class pai.engine.Shell
---@field write fun(self: pai.engine.Shell, data: string): true?
---@field resize fun(self: pai.engine.Shell, size: {rows: integer, cols: integer})
---@field close fun(self: pai.engine.Shell) ends the command
---@field wait fun(self: pai.engine.Shell): integer? until the command has ended; its exit code

local function process_env(t, opts)
  local env = { TERM = "xterm" }
  for name, value in pairs(t.session.env) do
    env[name] = value
  end
  for _, name in ipairs(sandbox.leaked_names(env)) do
    env[name] = false
  end
  env.SHELL = "/bin/sh"
  env.PAI_AT = t.kind == "plain" and t.session.cwd or "/osmo/run/workspace"
  env.PAI_ROWS, env.PAI_COLS = ("%d"):format(opts.size.rows), ("%d"):format(opts.size.cols)
  env.PAI_ENTRY = opts.entry
  return env
end

-- What comes before the name of the terminal is nothing of the command's.
local function terminal_reader(shell, on_data)
  local head = ""
  return function(data)
    if shell.tty then
      return on_data(data)
    end
    head = head .. data
    local at, rest = head:match("(/dev/pts/%d+)\r?\n(.*)$")
    if at then
      shell.tty = at
      shell.ready:set()
      if rest ~= "" then
        on_data(rest)
      end
    end
    shell.said = head:sub(-HEAD_MAX)
  end
end

local function process_shell(t, run, opts, on_data)
  local words = sandbox_words(t, run)
  local shell = { ready = task.event() }
  local proc, e = exec.start(with(words, "script", "-q", "-e", "-c", TERMINAL, "/dev/null"), {
    env = process_env(t, opts),
    cwd = t.session.cwd,
    stdin = "pipe",
    stderr = "stdout",
    accept = "any",
    max_output = KEPT,
    on_output = terminal_reader(shell, on_data),
  })
  if not proc then
    err.raise("ESTART", "cannot open a session: " .. e.message)
  end
  function shell:write(data)
    self.ready:wait()
    return proc:write(data)
  end
  function shell:resize(size)
    self.ready:wait()
    local rows, cols = ("%d"):format(size.rows), ("%d"):format(size.cols)
    exec.run(with(words, "stty", "-F", self.tty or "/dev/null", "rows", rows, "cols", cols), {
      timeout = "10s",
      accept = "any",
      stdin = "null",
      stderr = "null",
    })
  end
  function shell:close()
    proc:stop()
    self.ready:set()
  end
  function shell:wait()
    local r = proc:wait()
    self.ready:set()
    if not self.tty then
      err.raise("ESTART", "cannot open a session: " .. (self.said or ""):gsub("%s+$", ""))
    end
    return r and r.code
  end
  return shell
end

---Starts a command with a terminal in a task. Raises. What the terminal shows is given to on_data
---while somebody waits for the end of it.
---@param t table task of a group under way
---@param run pai.engine.Run
---@param opts {entry: string, size: {rows: integer, cols: integer}}
---@param on_data fun(data: string)
---@return pai.engine.Shell
function M.shell(t, run, opts, on_data)
  if t.kind == "container" then
    return enter_container.shell(t, opts, on_data)
  end
  return process_shell(t, run, opts, on_data)
end

---@class pai.engine.Pipe
---@field write fun(self: pai.engine.Pipe, data: string): true?
---@field pump fun(self: pai.engine.Pipe, on_data: fun(data: string)) until the service has ended
---@field close fun(self: pai.engine.Pipe)

local function socket_pipe(stream)
  return {
    write = function(_, data)
      return stream:write(data)
    end,
    pump = function(_, on_data)
      local data = stream:read()
      while data and on_data(data) do
        data = stream:read()
      end
    end,
    close = function()
      stream:close()
    end,
  }
end

local function relay_pipe(pid, port, addresses)
  local argv = namespace.words(pid, { "net" })
  local relay = pai.root .. "/lua/pai/engine/relay.lua"
  argv = with(argv, pai.exe, "lua", relay, ("%d"):format(port), table.unpack(addresses))
  local pipe = {}
  local proc, e = exec.start(argv, {
    stdin = "pipe",
    accept = "any",
    raw = true,
    max_output = KEPT,
    on_output = function(data, stream)
      if stream == "stdout" then
        pipe.on_data(data)
      end
    end,
  })
  if not proc then
    err.raise("ESTART", ("port %d of the task: %s"):format(port, e.message))
  end
  function pipe.write(_, data)
    return proc:write(data)
  end
  function pipe:pump(on_data)
    self.on_data = on_data
    local r = proc:wait()
    if r and r.code ~= 0 then
      err.raise("ECONNREFUSED", (r.stderr:gsub("%s+$", "")))
    end
  end
  function pipe.close()
    proc:stop()
  end
  return pipe
end

---Connects to a TCP port of a task. Raises.
---@param t table
---@param run pai.engine.Run
---@param port integer
---@return pai.engine.Pipe
function M.connect(t, run, port)
  if t.kind == "plain" then
    local stream, e = sock.connect({ port = port, timeout = "10s" })
    if not stream then
      err.raise("ECONNREFUSED", ("port %d of the task: %s"):format(port, e.message))
    end
    return socket_pipe(stream)
  elseif t.kind == "container" then
    local way = enter_container.way(t, port)
    if way.pid then
      return relay_pipe(way.pid, port, { "127.0.0.1" })
    end
    return way.pipe or socket_pipe(way.stream)
  end
  local pid = run.net or inner_of(t)
  local addresses = { "127.0.0.1" }
  if run.net then
    table.insert(addresses, 1, run.addresses[t.row.name])
  end
  return relay_pipe(pid, port, addresses)
end

return M
