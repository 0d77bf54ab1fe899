-- pai osmo exec, port-forward: into a task that runs.
local args = require("pai.cli.args")
local common = require("pai.cli.osmo_common")
local err = require("pai.err")
local out = require("pai.out")
local task = require("pai.task")

local TIMEOUT <const> = {
  name = "connect-timeout",
  arg = "TIME",
  doc = "until the task runs and the session stands (default 60s)",
}

local exec = {
  name = "exec",
  summary = "run a command in a task, with your terminal",
  usage = "ID TASK | ID --group GROUP --entry CMD",
  doc = "What is typed goes to the task, what it prints comes back. Without a terminal, standard "
    .. "input is sent as it is. A service does not tell the command's exit code; the engine of "
    .. "this machine does, and it is the exit code of exec. With --group the command runs in every "
    .. "task of the group, and each line is marked with its task.",
  options = common.options(
    { name = "entry", arg = "CMD", doc = "what to run (default /bin/bash)" },
    { name = "group", arg = "NAME", doc = "in every task of this group" },
    { name = "keep-alive", doc = "start the command again when the connection is lost" },
    TIMEOUT
  ),
  examples = {
    { "pai osmo exec flow-1 train", "a shell in the task" },
    { "pai osmo exec flow-1 --group workers --entry nvidia-smi", "in every task of a group" },
  },
}

local function terminal_size()
  local cols, rows = require("pai.term").size()
  return { rows = rows, cols = cols }
end

-- How a session ends as it should; 1005 is a close without a code.
local ENDED <const> = { [1000] = true, [1001] = true, [1005] = true }

-- Prints what comes until the end of the session; raises unless that was a clean one. The command's
-- exit code, where the last word of the connection says it (lua/pai/engine/session.lua), else 0.
local function print_all(conn, show)
  local data, e = conn:receive()
  while data and data ~= "" do
    show(data)
    data, e = conn:receive()
  end
  if not data and not (e.clean and ENDED[e.close_code or 1000]) then
    error(e, 0)
  end
  return not data and math.tointeger((e.reason or ""):match("^exit code (%d+)$")) or 0
end

-- Sends what is typed or piped in; ends with the session.
local function send_input(conn)
  local stdin = require("pai.sock").stdin()
  local typed = stdin:read()
  while typed and conn:send(typed, "binary", "1d") do
    typed = stdin:read()
  end
end

-- One session, until it ends: the command's exit code, or nil and the error when it was lost.
local function interact(c, conn)
  local term = require("pai.term")
  local raw <close> = term.isatty(0) and common.checked(term.raw()) or nil
  local input = task.spawn(send_input, conn)
  local remove = task.on_signal(function()
    c:resize_session(conn, terminal_size())
  end, { "SIGWINCH" })
  local ok, result = pcall(print_all, conn, function(data)
    out.stdout(data)
    out.flush(1)
  end)
  remove()
  input:cancel()
  pcall(input.wait, input)
  if raw then
    raw:restore()
  end
  if ok then
    return result
  end
  return nil, result
end

-- Between attempts to come back into a task: the first, and the longest.
local PAUSE <const> = 1000
local PAUSE_MAX <const> = 10000

-- Whether the command may be started again: the connection was lost, or the service is away.
local function may_return(e)
  return err.is(e)
    and (require("pai.osmo.client_http").lost(e) or e.code == "ECLOSED" or (e.http or 0) >= 500)
end

-- Sessions with a task until one ends as it should. A command that is started again is a new one:
-- what ran in the old one is gone.
local function in_task(c, id, name, opts)
  local pause = PAUSE
  while true do
    local conn, e = c:exec(id, name, {
      entry = opts.entry,
      size = terminal_size(),
      timeout = common.duration(opts, "connect-timeout"),
    })
    local code
    if conn then
      code, e = interact(c, conn)
      pause = PAUSE
    end
    if code then
      return code
    elseif not opts.keep_alive or not may_return(e) then
      error(e, 0)
    end
    local message = "pai: %s; the command is started again in %d s (^C ends this)\n"
    out.stderr(message:format(e.message, pause // 1000))
    task.sleep(pause)
    pause = math.min(2 * pause, PAUSE_MAX)
  end
end

local function in_group(c, id, opts)
  local conns = common.checked(c:exec_group(id, opts.group, {
    entry = opts.entry,
    size = terminal_size(),
    timeout = common.duration(opts, "connect-timeout"),
  }))
  local jobs = {}
  for name, conn in pairs(conns) do
    jobs[#jobs + 1] = function()
      local rest = ""
      local function show(line)
        if opts.json then
          common.print_json({ task = name, line = require("pai.text").utf8(line) })
        else
          out.stdout(("[%s] %s\n"):format(name, line))
        end
      end
      local code = print_all(conn, function(data)
        local text = rest .. data
        rest = text:match("[^\n]*$")
        for line in text:sub(1, #text - #rest):gmatch("([^\n]*)\n") do
          show((line:gsub("\r$", "")))
        end
      end)
      if rest ~= "" then
        show(rest)
      end
      return code
    end
  end
  return math.max(0, table.unpack(require("pai.async").all(jobs)))
end

---@param words string[]
---@param opts table
---@return integer exit code
function exec.run(words, opts)
  opts.streamed = true
  common.duration(opts, "connect-timeout")
  if opts.group then
    args.count(words, 1, 1, "ID")
    if not opts.entry then
      err.raise("EUSAGE", "missing --entry CMD: nobody types to a group")
    elseif opts.keep_alive then
      err.raise("EUSAGE", "--keep-alive is for one task, not for a group")
    end
    return in_group(common.connect(opts), words[1], opts)
  end
  args.count(words, 2, 2, "ID TASK")
  return in_task(common.connect(opts), words[1], words[2], opts)
end

local forward = {
  name = "port-forward",
  summary = "make TCP ports of a task reachable here",
  usage = "ID TASK --port [LOCAL:]REMOTE",
  doc = "Ports of this machine, reachable from this machine only, lead to the task until it has "
    .. "ended or ^C. Lost connections are made again. LOCAL 0 is any free port. A range such as "
    .. "8000-8003 or 9000-9003:8000-8003 is several ports.",
  options = common.options({
    name = "port",
    arg = "[LOCAL:]REMOTE",
    many = true,
    doc = "a port, a range, or several with commas between",
  }, { name = "host", arg = "ADDRESS", doc = "a loopback address (default 127.0.0.1)" }, TIMEOUT),
  refused = { udp = "pai forwards TCP only; OSMO's own command line forwards UDP" },
  examples = {
    { "pai osmo port-forward flow-1 web --port 8080:80", "http://127.0.0.1:8080" },
  },
}

local function range(text)
  local first, last = text:match("^(%d+)%-(%d+)$")
  first = math.tointeger(tonumber(first or text:match("^%d+$")))
  last = last and math.tointeger(tonumber(last)) or first
  if not first or last < first or last > 65535 or last - first >= 30 then
    err.raise("EUSAGE", ("'%s' is no port"):format(text))
  end
  return first, last
end

local function ports_of(list)
  local ports = {}
  for item in table.concat(list or {}, ","):gmatch("[^,]+") do
    local here, there = item:match("^([^:]*):([^:]*)$")
    local first, last = range(there or item)
    local local_first, local_last = range(here or item)
    if last - first ~= local_last - local_first then
      err.raise("EUSAGE", ("'%s': both ranges must be of one length"):format(item))
    elseif first == 0 then
      err.raise("EUSAGE", ("'%s': a task has no port 0"):format(item))
    end
    for i = 0, last - first do
      ports[#ports + 1] = { remote = first + i, ["local"] = local_first + i }
    end
  end
  if #ports == 0 then
    err.raise("EUSAGE", "missing --port [LOCAL:]REMOTE")
  end
  return ports
end

---@param words string[]
---@param opts table
---@return integer exit code
function forward.run(words, opts)
  args.count(words, 2, 2, "ID TASK")
  opts.streamed = true
  common.duration(opts, "connect-timeout")
  local ports = ports_of(opts.port)
  local host = (opts.host == nil or opts.host == "localhost") and "127.0.0.1" or opts.host
  local c, stood = common.connect(opts), false
  local _, e = c:port_forward(words[1], words[2], {
    ports = ports,
    host = host,
    timeout = common.duration(opts, "connect-timeout"),
    on_event = function(what, port, why)
      local message = why and why.message
      stood = stood or what == "ready"
      if opts.json then
        common.print_json({
          event = what,
          host = host,
          ["local"] = port["local"],
          remote = port.remote,
          message = message,
        })
      elseif what == "ready" then
        local line = "%s:%d leads to port %d of %s\n"
        out.stdout(line:format(host, port["local"], port.remote, words[2]))
        out.flush(1)
      else
        out.stderr(("port %d: %s\n"):format(port.remote, message or what))
      end
    end,
  })
  -- A run that has ended is where a forward is meant to end.
  if stood and (e.http == 410 or e.http == 404) then
    out.stderr(("pai: %s\n"):format(e.message))
    return 0
  end
  error(e, 0)
end

return { exec, forward }
