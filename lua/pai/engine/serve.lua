-- The engine's process: takes the lock of its state folder, takes over what a killed engine left,
-- serves the REST contract on a unix socket (and a loopback port if asked), leaves when idle.
local core = require("pai.engine.core")
local credentials = require("pai.engine.credentials")
local duration = require("pai.duration")
local err = require("pai.err")
local fs = require("pai.fs")
local http = require("pai.serve")
local gpu = require("pai.engine.gpu")
local launch = require("pai.engine.launch")
local out = require("pai.out")
local paths = require("pai.engine.paths")
local pools = require("pai.engine.pools")
local quantity = require("pai.osmo.quantity")
local recover = require("pai.engine.recover")
local routes = require("pai.engine.routes")
local sandbox = require("pai.engine.sandbox")
local state = require("pai.state")
local store = require("pai.engine.store")
local task = require("pai.task")
local wire = require("pai.engine.wire")

local M = {}

local IDLE <const> = "10m"

-- A dying engine may hold the lock for the time that it needs to end its tasks.
local LOCK_WAIT <const> = 15000

local KIB_IN_GIB <const> = 1048576

local MAX_BODY <const> = 32 * 1024 * 1024

local function cores()
  local f = io.open("/proc/self/status", "r")
  local list = f and f:read("a"):match("Cpus_allowed_list:%s*(%S+)") or "0"
  if f then
    f:close()
  end
  local n = 0
  for range in list:gmatch("[^,]+") do
    local first, last = range:match("^(%d+)%-?(%d*)$")
    n = n + (tonumber(last) or tonumber(first)) - tonumber(first) + 1
  end
  return math.max(1, n)
end

local function duration_of(name, default)
  local text = os.getenv(name)
  local ms = duration.parse(text and text ~= "" and text or default)
  if not ms then
    err.raise("EINVAL", ("%s is no duration: '%s'"):format(name, text))
  end
  return ms
end

-- GiB that tasks may ask for: this machine's, or what PAI_ENGINE_MEMORY says.
local function memory()
  local text = os.getenv("PAI_ENGINE_MEMORY")
  if not text or text == "" then
    return wire.memory_kib() / KIB_IN_GIB
  end
  local bytes = quantity.bytes(text)
  if not bytes or bytes <= 0 then
    err.raise("EINVAL", ("PAI_ENGINE_MEMORY is no size such as 8Gi: '%s'"):format(text))
  end
  return bytes / 1024 / KIB_IN_GIB
end

local function listen(engine, port)
  local function handler(req)
    engine.requests = engine.requests + 1
    local answer = routes.handle(engine, req)
    local stream = answer.stream
    if stream then
      -- A followed log keeps the engine from being idle until it is closed.
      answer.stream = function(w)
        local ok, e = pcall(stream, w)
        engine.requests = engine.requests - 1
        engine.last_activity = task.now()
        if not ok then
          e = err.wrap(e)
          if e.code ~= "ECANCELED" then
            engine:complain(("%s %s: %s"):format(req.method, req.path, e.trace or e.message))
          end
          error(e, 0)
        end
      end
    else
      engine.requests = engine.requests - 1
    end
    engine.last_activity = task.now()
    return answer
  end
  local servers = {}
  local function add(opts)
    opts.handler = handler
    opts.max_body = MAX_BODY
    local srv, e = http.listen(opts)
    if not srv then
      error(e, 0)
    end
    servers[#servers + 1] = srv
    return srv
  end
  fs.remove(engine.paths.socket)
  add({ unix = engine.paths.socket })
  if port then
    local srv = add({ host = "127.0.0.1", port = port, same_uid = true })
    engine.port = srv:port()
    engine.base_url = "http://127.0.0.1:" .. engine.port
  end
  return servers
end

-- The log of the engine's own is kept short.
local LOG_MAX <const> = 1048576

-- How long the outputs of ended runs are kept for restarts and later runs.
local KEEP <const> = "7d"

-- Leaves when nothing has happened for so long that nobody needs the engine.
local function watch_idle(engine)
  while not engine.stopping do
    local rest = engine.idle_ms - (task.now() - engine.last_activity)
    if rest <= 0 and engine.requests == 0 and engine:active() == 0 then
      engine:leave("idle")
      return
    end
    engine:sweep()
    task.sleep(rest > 0 and math.min(rest, 60000) or 250)
  end
end

-- One engine a state folder. The lock of one that is ending is waited for; one that answers serves.
local function take_lock(p)
  local deadline = task.now() + LOCK_WAIT
  while true do
    local lock, e = fs.lock(p.lock)
    if lock then
      return lock
    elseif e.code ~= "EAGAIN" then
      error(e, 0)
    elseif launch.status(p) or task.now() > deadline then
      err.raise("EBUSY", "another engine serves the state folder " .. p.state)
    end
    task.sleep("20ms")
  end
end

local function prepare(opts)
  local p = paths.of(opts.state)
  state.create(p.root)
  state.create(fs.dirname(p.socket))
  if not paths.own_socket(p) then
    err.raise("EACCES", p.socket .. " belongs to another user")
  end
  p.real_root = fs.realpath(p.root) or p.root
  local lock = take_lock(p)
  state.create(p.runs)
  state.create(p.config)
  state.create(p.credentials)
  local db, db_err = store.open(p.db)
  if not db then
    error(db_err, 0)
  end
  local st = fs.stat(p.log)
  if st and st.size > LOG_MAX then
    fs.rename(p.log, p.log .. ".old")
  end
  local log, log_err = out.open(p.log, { append = true, mode = 384 })
  if not log then
    error(log_err, 0)
  end
  return p, db, log, lock
end

---Runs the engine until it is told to stop or has been idle for long enough.
---@param opts {state: string?, port: integer?}
---@return integer exit code
function M.main(opts)
  local p, db, log, lock = prepare(opts)
  local named = os.getenv("PAI_ENGINE_POOLS")
  local pool_map, tags = pools.load(named and named ~= "" and named or p.root .. "/pools.yaml")
  local _, uid = fs.user()
  local done = task.event()
  local engine = core.new({
    paths = p,
    store = db,
    log = log,
    user = (fs.user()),
    uid = uid,
    hostname = fs.hostname(),
    cores = math.tointeger(tonumber(os.getenv("PAI_ENGINE_CORES") or "")) or cores(),
    memory = memory(),
    gpus = gpu.detect(),
    pools = pool_map,
    tags = tags,
    sandbox = sandbox.detect(),
    base_url = "http://localhost",
    build = paths.build(),
    idle_ms = duration_of("PAI_ENGINE_IDLE", IDLE),
    requests = 0,
    started = db:now(),
    pid = math.tointeger(tonumber(fs.readlink("/proc/self"))),
  })
  function engine:leave(reason)
    if not self.stopping then
      self.stopping = reason
      done:set()
    end
  end
  credentials.guard_all(engine)
  local taken = recover.run(engine)
  db:set_meta("pid", tostring(engine.pid))
  db:set_meta("boot", fs.boot_id())
  local servers = listen(engine, opts.port)
  engine:complain(
    ("engine %s, pid %d, %d cores, tasks in %s%s"):format(
      engine.build.version,
      engine.pid,
      engine.cores,
      engine.sandbox.kind,
      taken > 0 and (", ended %d groups of a dead engine"):format(taken) or ""
    )
  )
  local remove = task.on_signal(function(name)
    if name ~= "SIGWINCH" and name ~= "SIGHUP" then
      engine:leave(("The engine was stopped (%s) while this task was under way."):format(name))
    end
  end)
  task.spawn(engine.schedule, engine)
  task.spawn(watch_idle, engine)
  task.spawn(recover.prune, engine, duration_of("PAI_ENGINE_KEEP", KEEP))
  done:wait()
  -- New callers are to find no socket, so that they start the next engine and wait for the lock.
  fs.remove(p.socket)
  engine:halt(engine.stopping)
  for _, srv in ipairs(servers) do
    srv:close()
  end
  remove()
  engine.logs:close()
  engine:complain("engine ends: " .. engine.stopping)
  log:close()
  db:close()
  lock:release()
  return 0
end

return M
