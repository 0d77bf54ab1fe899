-- pai engine: the embedded engine's process.
local args = require("pai.cli.args")
local err = require("pai.err")
local json = require("pai.json")
local out = require("pai.out")
local text = require("pai.text")

local PORT <const> =
  { name = "port", arg = "N", doc = "also listen on this loopback port, for this user only" }

local function port_of(opts)
  if not opts.port then
    return nil
  end
  local n = math.tointeger(tonumber(opts.port))
  if not n or n < 1 or n > 65535 then
    err.raise("EUSAGE", ("--port must be 1 to 65535, not '%s'"):format(opts.port))
  end
  return n
end

local function show(s, opts)
  if opts.json then
    out.stdout(json.encode(s) .. "\n")
    return
  end
  local port = type(s.port) == "number" and ("127.0.0.1:%d"):format(s.port) or "none"
  local sandbox = s.sandbox.kind .. (s.sandbox.reason and (" (%s)"):format(s.sandbox.reason) or "")
  out.stdout(text.columns({
    { "engine", "running" },
    { "pid", tostring(s.pid) },
    { "version", s.build.version },
    { "state", s.state },
    { "port", port },
    { "tasks in", sandbox },
    { "workflows", ("%d not finished"):format(s.active) },
    { "cores", ("%d, %d asked for"):format(s.cores, s.running) },
    { "gpus", tostring(s.gpus or 0) },
    { "pools", table.concat(s.pools or {}, ", ") },
  }))
end

local function ensure(opts)
  local paths, s = require("pai.engine.launch").ensure(nil, { port = port_of(opts) })
  if not paths then
    error(s, 0)
  end
  return s
end

local start = {
  name = "start",
  summary = "start the engine, if none runs",
  usage = "",
  options = { PORT },
  examples = { { "pai engine start", "usually not needed: commands start it on demand" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function start.run(words, opts)
  args.count(words, 0, 0, "")
  local s = ensure(opts)
  if opts.port and s.port ~= port_of(opts) then
    err.raise("EBUSY", "an engine runs already without this port", {
      hint = "pai engine stop, then start it again",
    })
  end
  show(s, opts)
  return 0
end

local stop = {
  name = "stop",
  summary = "stop the engine",
  usage = "",
  doc = "An engine with unfinished workflows is stopped only with --force: tasks that run then end "
    .. "as FAILED_BACKEND_ERROR, and what is queued goes on with the next engine.",
  options = { { name = "force", doc = "also when workflows are not finished" } },
  examples = { { "pai engine stop", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function stop.run(words, opts)
  args.count(words, 0, 0, "")
  local launch = require("pai.engine.launch")
  local paths = require("pai.engine.paths").of()
  local s, e = launch.stop(paths, { if_idle = not opts.force })
  if not s and e.code == "ENOENGINE" then
    out.stdout(opts.json and '{"stopped":false}\n' or "no engine is running\n")
    return 0
  elseif not s then
    if e.code == "EHTTP" then
      local status = launch.status(paths)
      err.raise(
        "EBUSY",
        ("the engine has %d unfinished workflows"):format(status and status.active or 0),
        { hint = "pai engine stop --force ends them" }
      )
    end
    error(e, 0)
  end
  out.stdout(
    opts.json and json.encode({ stopped = true, pid = s.pid }) .. "\n"
      or ("engine stopped (pid %d)\n"):format(s.pid)
  )
  return 0
end

local status = {
  name = "status",
  summary = "say whether an engine runs, and how tasks run in it",
  usage = "",
  examples = { { "pai engine status --json", "for programs" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function status.run(words, opts)
  args.count(words, 0, 0, "")
  local paths = require("pai.engine.paths").of()
  local s, e = require("pai.engine.launch").status(paths)
  if not s and e.code == "ENOENGINE" then
    local line = json.encode({ engine = "stopped", state = paths.state })
    out.stdout(opts.json and line .. "\n" or "no engine is running\n")
    return 0
  elseif not s then
    error(e, 0)
  end
  show(s, opts)
  return 0
end

local serve = {
  name = "serve",
  summary = "be the engine, in the foreground",
  usage = "",
  doc = "Commands start it by themselves, detached. It leaves after PAI_ENGINE_IDLE (default 10m) "
    .. "without work and requests. Outputs that later runs may take are kept for PAI_ENGINE_KEEP "
    .. "(default 7d). PAI_ENGINE_CORES sets how many cores tasks may ask for, "
    .. "PAI_ENGINE_MEMORY how much memory (8Gi); PAI_ENGINE_POOLS names a file of pools; "
    .. "PAI_ENGINE_SANDBOX=plain runs them without a sandbox.",
  options = { PORT },
  examples = { { "pai engine serve --port 8765", "watch it work" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function serve.run(words, opts)
  args.count(words, 0, 0, "")
  return require("pai.engine.serve").main({ port = port_of(opts) })
end

return {
  name = "engine",
  summary = "the embedded engine: start, stop, status, roots",
  usage = "start|stop|status|serve|roots",
  commands = { start, stop, status, serve, (require("pai.cli.engine_roots")) },
  examples = {
    { "pai engine status", "is one running, and in which sandbox" },
    { "pai engine stop", "end it" },
  },
}
