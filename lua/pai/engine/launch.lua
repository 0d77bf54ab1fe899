-- The caller's side of the engine's process: find it, start it on demand, replace an older one,
-- stop it. One engine a state folder.
local err = require("pai.err")
local exec = require("pai.exec")
local fs = require("pai.fs")
local http = require("pai.http")
local paths = require("pai.engine.paths")
local state = require("pai.state")
local task = require("pai.task")

local M = {}

-- Long enough for a machine that is short of everything; a start takes a few milliseconds.
local START <const> = 30000
local STOP <const> = 20000

---Asks the engine at a socket.
---@param p pai.engine.Paths
---@param method string
---@param route string
---@param query table?
---@return table? answer decoded
---@return pai.Error? err
function M.ask(p, method, route, query)
  local res, e = http.request({
    url = "http://localhost" .. route,
    unix_socket = p.socket,
    method = method,
    query = query,
    timeout = "10s",
  })
  if not res then
    return nil, e
  end
  return res:json()
end

---What an engine says of itself; nil when none answers.
---@param p pai.engine.Paths
---@return table? status
---@return pai.Error? err
function M.status(p)
  if not paths.own_socket(p) then
    return err.fail("EACCES", p.socket .. " belongs to another user")
  elseif not fs.exists(p.socket) then
    return err.fail("ENOENGINE", "no engine is running for the state folder " .. p.state)
  end
  local answer, e = M.ask(p, "GET", "/api/pai/status")
  if not answer then
    if e.code == "ENETWORK" or e.code == "ECONNREFUSED" or e.code == "ENOENT" then
      return err.fail("ENOENGINE", "no engine is running for the state folder " .. p.state)
    end
    return nil, e
  end
  return answer
end

-- Waits until fn gives a value, looking often at first.
local function poll(limit, fn)
  local deadline, pause = task.now() + limit, 2
  while true do
    local value = fn()
    if value then
      return value
    end
    if task.now() >= deadline then
      return nil
    end
    task.sleep(pause)
    pause = math.min(pause * 2, 50)
  end
end

local function alive(pid, started)
  local p = fs.process(pid)
  return p ~= nil and p.state ~= "Z" and (started == nil or p.start_time == started)
end

-- Why a start failed: the error that the command line said, else the last thing it said.
local function last_words(p)
  local text = fs.read(p.log .. ".start") or ""
  return text:match("pai: ([^\n]+)") or text:match("([^\n]+)\n*$")
end

local function start(p, opts)
  state.create(p.root)
  local pai = require("pai")
  local argv = { pai.exe, "engine", "serve", "--state", p.state }
  if opts.port then
    argv[#argv + 1] = "--port"
    argv[#argv + 1] = tostring(opts.port)
  end
  local said = p.log .. ".start"
  local env = {}
  for _, name in ipairs({
    "PAI_ENGINE_IDLE",
    "PAI_ENGINE_KEEP",
    "PAI_ENGINE_SANDBOX",
    "PAI_ENGINE_CORES",
    "PAI_ENGINE_POOLS",
    "PAI_ENGINE_MEMORY",
  }) do
    env[name] = os.getenv(name)
  end
  fs.remove(said)
  local pid, e = exec.detach(argv, {
    cwd = "/",
    env = env,
    stdout = { file = said, append = true },
    stderr = { file = said, append = true },
  })
  if not pid then
    return nil, e
  end
  local info = fs.process(pid)
  local answer = poll(START, function()
    local s = M.status(p)
    if s then
      return s
    end
    -- It may have lost the race for the lock to another caller's engine, which then answers.
    if not alive(pid, info and info.start_time) then
      return M.status(p) or { dead = true }
    end
  end)
  if not answer or answer.dead then
    local why = last_words(p) or "see " .. p.log
    return err.fail("EENGINE", "the embedded engine did not start: " .. why)
  end
  return answer
end

---Stops the engine and waits until it is gone.
---@param p pai.engine.Paths
---@param opts {if_idle: boolean?}?
---@return table? status of the engine that was stopped, nil when none ran
---@return pai.Error? err
function M.stop(p, opts)
  local s, e = M.status(p)
  if not s then
    return nil, e
  end
  local info = fs.process(s.pid)
  local answer, stop_err =
    M.ask(p, "POST", "/api/pai/stop", { if_idle = tostring((opts or {}).if_idle == true) })
  if not answer and stop_err.code == "EHTTP" then
    return nil, stop_err
  end
  local gone = poll(STOP, function()
    return not (info and alive(s.pid, info.start_time))
  end)
  if not gone then
    return err.fail("ETIMEDOUT", ("the engine (pid %d) did not end in time"):format(s.pid))
  end
  return s
end

---Makes sure that an engine answers; starts one, or replaces an idle older one.
---@param dir string? state folder
---@param opts {start: boolean?, port: integer?}?
---@return pai.engine.Paths? paths
---@return table? status or error
function M.ensure(dir, opts)
  opts = opts or {}
  local p = paths.of(dir)
  local s, e = M.status(p)
  if s and s.leaving and opts.start ~= false then
    s = poll(STOP, function()
      local now = M.status(p)
      return (not now or not now.leaving) and { status = now }
    end)
    s = s and s.status
  end
  if s and opts.start ~= false and s.active == 0 and paths.newer(paths.build(), s.build) then
    local stopped, stop_err = M.stop(p, { if_idle = true })
    if stopped then
      s = nil
    elseif stop_err.code ~= "EHTTP" then
      return nil, stop_err
    end
  end
  if s then
    return p, s
  end
  if opts.start == false then
    return nil, e
  end
  s, e = start(p, opts)
  if not s then
    return nil, e
  end
  p.real_root = fs.realpath(p.root) or p.root
  return p, s
end

return M
