-- Sessions in tasks, as OSMO's router has them: a POST gives a key, a WebSocket with that key is
-- the client's end of it. There is no other end: the engine enters the task itself.
local crypto = require("pai.crypto")
local enter = require("pai.engine.enter")
local err = require("pai.err")
local json = require("pai.json")
local reply = require("pai.engine.reply")
local status = require("pai.engine.status")
local task = require("pai.task")

local M = {}

-- How long a key is good for, and how long one end waits for the other.
local PAIR <const> = 60000
local NO_PARTNER <const> = 4000
local FAULT <const> = 1011

local PORTS_MAX <const> = 30
local KEYS_MAX <const> = 1000

local RESIZE <const> = "^%z" .. "RESIZE:(.*)$"

-- The task and its group, both under way. Raises what upstream answers.
local function find(engine, id, name)
  local w = engine.store:workflow(id)
  local row = w and engine.store:task(id, name)
  if not w then
    reply.fail("USER", ("Workflow %s is not found."):format(id), nil, 404)
  elseif not row then
    reply.fail("USER", ("Task %s of workflow %s is not found."):format(name, id), nil, 404)
  elseif status.finished(w.status) then
    reply.fail("USER", ("Workflow %s has finished."):format(id), nil, 410)
  elseif status.finished(row.status) then
    reply.fail("USER", ("Task %s is not running any more."):format(name), nil, 410)
  end
  for _, run in pairs(engine.runs) do
    for _, t in ipairs(run.id == id and run.tasks or {}) do
      if t.row.name == name and t.proc and not t.gone:is_set() and not t.finished then
        return t, run
      end
    end
  end
  reply.fail("USER", ("Task %s is not running yet."):format(name), nil, 425)
end

local function keys_of(engine)
  engine.sessions = engine.sessions or {}
  local n = 0
  for key, s in pairs(engine.sessions) do
    n = n + 1
    if s.until_ms < task.now() then
      engine.sessions[key] = nil
      n = n - 1
    end
  end
  if n >= KEYS_MAX then
    reply.fail("USER", "Too many sessions are being opened.", nil, 503)
  end
  return engine.sessions
end

local function router(engine, req, session)
  local key = crypto.hex(16)
  session.until_ms = task.now() + PAIR
  keys_of(engine)[key] = session
  return {
    router_address = "ws://" .. (req.headers.host or "localhost"),
    key = key,
    cookie = "_osmo_router_affinity=" .. engine.hostname,
  }
end

local function entry_of(req)
  local q = reply.query(req.query)
  local entry = q:text("entry_command")
  if not entry or not entry:find("%S") then
    reply.fail("USAGE", "entry_command is missing")
  end
  return entry
end

---POST exec/task: a key for a command in a task.
function M.exec_task(engine, req, id, name)
  local entry = entry_of(req)
  find(engine, id, name)
  return router(engine, req, { kind = "exec", id = id, task = name, entry = entry })
end

---POST exec/group: a key for each task of a group.
function M.exec_group(engine, req, id, name)
  local entry = entry_of(req)
  local w = engine.store:workflow(id)
  local found
  for _, g in ipairs(w and engine.store:groups(w.seq) or {}) do
    found = found or (g.name == name and g)
  end
  if not found then
    reply.fail("USER", ("Group %s of workflow %s is not found."):format(name, id), nil, 404)
  end
  local out, late = {}, nil
  for _, row in ipairs(engine.store:tasks(found.seq)) do
    local ok, e = pcall(find, engine, id, row.name)
    if ok then
      out[row.name] = router(engine, req, {
        kind = "exec",
        id = id,
        task = row.name,
        entry = entry,
      })
    else
      late = e
    end
  end
  if not next(out) then
    error(late, 0)
  end
  return out
end

---POST portforward: a key for the control connection of each port.
function M.port_forward(engine, req, id, name)
  local q = reply.query(req.query)
  local udp = q:bool("use_udp", false)
  q:check()
  if udp then
    reply.unsupported("A port forward over UDP")
  end
  local ports = q:list("task_ports")
  if #ports == 0 or #ports > PORTS_MAX then
    reply.fail("USAGE", ("task_ports: 1 to %d ports are needed"):format(PORTS_MAX))
  end
  find(engine, id, name)
  local out = json.array({})
  for i, text in ipairs(ports) do
    local port = text:find("^%d+$") and math.tointeger(tonumber(text))
    if not port or port < 1 or port > 65535 then
      reply.fail("USAGE", ("task_ports: '%s' is no port"):format(text))
    end
    out[i] = router(engine, req, { kind = "portforward", id = id, task = name, port = port })
  end
  return out
end

---POST webserver: a router's own domain would be needed.
function M.webserver()
  reply.unsupported("A task's web server under a domain of its own (use a port forward)")
end

---POST rsync.
function M.rsync()
  reply.fail("USER", "The rsync plugin is off in the embedded engine.", nil, 403)
end

-- Ends the connection with its task. What went wrong is also said by on_fault, if there is one:
-- upstream's client shows what comes, and no reason of an end.
local function end_with(t, conn, fn, on_fault)
  local watcher = task.spawn(function()
    t.gone:wait()
    conn:close(1000, "the task has ended")
  end)
  local ok, e = pcall(fn)
  watcher:cancel()
  if not ok then
    e = err.wrap(e)
    if e.code == "ECANCELED" then
      error(e, 0)
    end
    if on_fault then
      on_fault(e)
    end
    conn:close(FAULT, e.message)
  end
end

local function size_of(text)
  local size = json.decode(text)
  local rows = type(size) == "table" and math.tointeger(size.Rows)
  local cols = type(size) == "table" and math.tointeger(size.Cols)
  if rows and cols and rows >= 0 and cols >= 0 and rows < 65536 and cols < 65536 then
    return { rows = rows, cols = cols }
  end
end

local function exec_session(t, run, session, conn)
  local first = conn:receive(PAIR)
  local size = first and size_of(first)
  if not size then
    conn:close(NO_PARTNER, 'the first message must be {"Rows": n, "Cols": n}')
    return
  end
  local shell = enter.shell(t, run, { entry = session.entry, size = size }, function(data)
    conn:send(data, "binary", "1d")
  end)
  local ended
  local input = task.spawn(function()
    local data = conn:receive()
    while data do
      local to = data:match(RESIZE)
      if to then
        local new = size_of(to)
        if new then
          shell:resize(new)
        end
      elseif not shell:write(data) then
        break
      end
      data = conn:receive()
    end
    if not ended then
      shell:close()
    end
  end)
  local ok, code = pcall(shell.wait, shell)
  ended = true
  input:cancel()
  if not ok then
    shell:close()
    error(code, 0)
  end
  -- Upstream's client reads no reason; ours may.
  conn:close(1000, code and ("exit code %d"):format(code) or "the command has ended")
end

local function take(engine, kind, id, key)
  local sessions = keys_of(engine)
  local session = sessions[key]
  if not session or session.kind ~= kind or session.id ~= id then
    reply.fail("USER", "There is no session with this key.", nil, 404)
  end
  sessions[key] = nil
  return session
end

---GET router/exec: the client's end of a command.
function M.open_exec(engine, _, id, key)
  local session = take(engine, "exec", id, key)
  local t, run = find(engine, session.id, session.task)
  return {
    websocket = function(conn)
      end_with(t, conn, function()
        exec_session(t, run, session, conn)
      end, function(e)
        conn:send(e.message .. "\r\n", "binary", "10s")
      end)
    end,
  }
end

-- The control connection names a key for each connection to the port.
local function control(engine, t, run, session, conn)
  local data = conn:receive()
  while data do
    local told = json.decode(data)
    local key = type(told) == "table" and told.key
    if type(key) ~= "string" or not key:find("^PORTFORWARD%-%x+$") then
      conn:close(NO_PARTNER, "a key PORTFORWARD-… is needed")
      return
    end
    local partner = M.partner(engine, key)
    partner.at = { t = t, run = run, port = session.port, id = session.id }
    partner.event:set()
    data = conn:receive()
  end
end

---What the two connections of a key meet at.
---@param engine table
---@param key string
---@return {event: table, at: table?}
function M.partner(engine, key)
  local sessions = keys_of(engine)
  if not sessions[key] then
    sessions[key] = { kind = "partner", event = task.event(), until_ms = task.now() + PAIR }
  end
  return sessions[key]
end

local function carry(engine, id, key, conn)
  local partner = M.partner(engine, key)
  partner.event:wait(PAIR)
  engine.sessions[key] = nil
  local at = partner.at
  if not at or at.id ~= id then
    conn:close(NO_PARTNER, "nobody else came with this key")
    return
  end
  end_with(at.t, conn, function()
    local pipe = enter.connect(at.t, at.run, at.port)
    local input = task.spawn(function()
      local data = conn:receive()
      while data and pipe:write(data) do
        data = conn:receive()
      end
      pipe:close()
    end)
    local ok, e = pcall(pipe.pump, pipe, function(data)
      return conn:send(data, "binary", "1d")
    end)
    input:cancel()
    pipe:close()
    if not ok then
      error(e, 0)
    end
  end)
end

---GET router/portforward: the control connection of a port, or one connection to it.
function M.open_forward(engine, _, id, key)
  if key:find("^PORTFORWARD%-%x+$") then
    return {
      websocket = function(conn)
        carry(engine, id, key, conn)
      end,
    }
  end
  local session = take(engine, "portforward", id, key)
  local t, run = find(engine, session.id, session.task)
  return {
    websocket = function(conn)
      end_with(t, conn, function()
        control(engine, t, run, session, conn)
      end)
    end,
  }
end

---The routes of all of these.
M.ROUTES = {
  { "POST", "/api/workflow/{}/exec/task/{}", M.exec_task },
  { "POST", "/api/workflow/{}/exec/group/{}", M.exec_group },
  { "POST", "/api/workflow/{}/portforward/{}", M.port_forward },
  { "POST", "/api/workflow/{}/webserver/{}", M.webserver },
  { "POST", "/api/workflow/{}/rsync/task/{}", M.rsync },
  { "GET", "/api/router/exec/{}/client/{}", M.open_exec },
  { "GET", "/api/router/portforward/{}/client/{}", M.open_forward },
}

return M
