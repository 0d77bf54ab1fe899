-- Into a task that runs: a command with a terminal, and TCP ports, over the router's WebSockets.
local duration = require("pai.duration")
local err = require("pai.err")
local http = require("pai.osmo.client_http")
local json = require("pai.json")
local shape = require("pai.osmo.client_shape")
local task = require("pai.task")

---@class pai.osmo.Client
local M = {}

local RESIZE <const> = "\0RESIZE:"

-- How long a session may take to stand: the router waits 60 s for the task's side.
local TIMEOUT <const> = "60s"

-- Between attempts to reach a task that does not run yet, and to come back after a loss.
local PAUSE <const> = 1000
local PAUSE_MAX <const> = 30000

-- How long an answer may still come after a local program has said its last word.
local REST <const> = 2000

-- A silent router is asked whether it is there.
local PING <const> = "20s"

local PORTS_MAX <const> = 30

-- "https://host:443" of an address, whatever its scheme is called.
local function origin(address)
  local scheme, rest = address:match("^(%a+)://([^/?#]+)")
  scheme = ({ wss = "https", ws = "http" })[scheme] or scheme
  if not scheme then
    return nil
  end
  rest = rest:lower()
  if not rest:find(":%d+$") then
    rest = rest .. (scheme == "https" and ":443" or ":80")
  end
  return scheme .. "://" .. rest
end

-- The bearer goes to the service that it is for; a router elsewhere gets the session's key only.
local function bearer_for(self, address)
  local transport = self.transport
  if not transport.bearer or origin(address) ~= origin(transport.base) then
    return nil
  end
  return transport.bearer()
end

-- What the router's address is called over HTTP.
local function over_http(address)
  return (address:gsub("^ws", "http"):gsub("/+$", ""))
end

-- The cookie that keeps both sides of a session with one router.
local function session_cookie(self, address)
  local token, e = bearer_for(self, address)
  if not token and e then
    return nil, e
  end
  local res
  res, e = require("pai.http").request({
    url = over_http(address) .. "/api/router/version",
    bearer = token,
    headers = { ["x-osmo-user"] = self.transport.user },
    unix_socket = self.transport.socket,
    ca_file = self.transport.ca_file,
    retries = 2,
  })
  if not res then
    return nil, e
  end
  local parts = {}
  for line in (res.headers["set-cookie"] or ""):gmatch("[^\n]+") do
    parts[#parts + 1] = line:match("^[^;]*")
  end
  return table.concat(parts, "; ")
end

local function connect(self, id, kind, router, timeout)
  local address = router.router_address
  if type(address) ~= "string" or not address:find("^wss?://[^/]") then
    return err.fail("EPROTO", "the service names no router")
  end
  local token, e = bearer_for(self, address)
  if not token and e then
    return nil, e
  end
  local cookie = type(router.cookie) == "string" and router.cookie ~= "" and router.cookie or nil
  local path = "/api/router/%s/%s/client/%s"
  local conn
  conn, e = require("pai.ws").connect({
    url = address:gsub("/+$", "") .. path:format(kind, http.segment(id), http.segment(router.key)),
    headers = { cookie = cookie, ["x-osmo-user"] = self.transport.user },
    bearer = token,
    unix_socket = self.transport.socket,
    ca_file = self.transport.ca_file,
    timeout = timeout,
    ping = PING,
  })
  if not conn and e.code == "EHTTP" then
    e = err.new("EHTTP", "the router answered " .. e.status, { http = e.status, body = e.body })
  end
  return conn, e
end

-- A task that does not run yet is waited for.
local function ask(self, path, query, deadline, kind)
  local ready = { [425] = true }
  while true do
    local answer, e = self.transport:call("POST", path, { query = query, shape = kind })
    if answer or not ready[e.http] or task.now() + PAUSE > deadline then
      return answer, e
    end
    task.sleep(PAUSE)
  end
end

local function workflow_path(id, tail, name)
  return ("/api/workflow/%s/%s/%s"):format(http.segment(id), tail, http.segment(name))
end

local function size_frame(size)
  return json.encode({ Rows = size and size.rows or 24, Cols = size and size.cols or 80 })
end

---Tells a session that the terminal has another size.
---@param conn pai.ws.Conn
---@param size {rows: integer, cols: integer}
---@return true?
---@return pai.Error? err
function M.resize_session(_, conn, size)
  return conn:send(RESIZE .. size_frame(size))
end

---@class pai.osmo.ExecOptions
---@field entry string? command, default "/bin/bash"
---@field size {rows: integer, cols: integer}? of the terminal
---@field timeout string|integer|nil until the session stands, and the task runs; default "60s"

local function open_session(self, id, router, opts, deadline)
  local conn, e = connect(self, id, "exec", router, math.max(1, deadline - task.now()))
  if not conn then
    return nil, e
  end
  local ok
  ok, e = conn:send(size_frame(opts.size))
  -- Of a session that was closed meanwhile, why is what the next receive says.
  if ok or e.code == "ECLOSED" or e.code == "EPIPE" then
    return conn
  end
  return nil, e
end

---Starts a command with a terminal in a task. What comes over the connection are the bytes of that
---terminal; the exit code is not told.
---@param id string
---@param name string of the task
---@param opts pai.osmo.ExecOptions?
---@return pai.ws.Conn? conn
---@return pai.Error? err
function M:exec(id, name, opts)
  opts = opts or {}
  local deadline = task.now() + duration.parse(opts.timeout or TIMEOUT)
  local query = { entry_command = opts.entry or "/bin/bash" }
  local router, e = ask(self, workflow_path(id, "exec/task", name), query, deadline, shape.ROUTER)
  if not router then
    return nil, e
  end
  return open_session(self, id, router, opts, deadline)
end

---Starts a command in every task of a group.
---@param id string
---@param name string of the group
---@param opts pai.osmo.ExecOptions entry must be given: nobody types to a group
---@return table<string, pai.ws.Conn>? conns by task
---@return pai.Error? err
function M:exec_group(id, name, opts)
  local deadline = task.now() + duration.parse(opts.timeout or TIMEOUT)
  local query = { entry_command = opts.entry }
  local routers, e =
    ask(self, workflow_path(id, "exec/group", name), query, deadline, { map = shape.ROUTER })
  if not routers then
    return nil, e
  end
  local conns = {}
  for task_name, router in pairs(routers) do
    local conn
    conn, e = open_session(self, id, router, opts, deadline)
    if not conn then
      for _, other in pairs(conns) do
        other:close(1001)
      end
      return nil, e
    end
    conns[task_name] = conn
  end
  return conns
end

-- Carries one local connection until either side has ended. What one side's end means cannot be
-- told to the other, so after the local end answers are taken until there are no more.
local function carry(stream, conn)
  local last = task.now()
  local up = task.spawn(function()
    local text = stream:read()
    while text and conn:send(text, "binary", "1d") do
      text = stream:read()
    end
    local rest = REST
    while rest > 0 do
      task.sleep(rest)
      rest = REST - (task.now() - last)
    end
    conn:close()
  end)
  local data = conn:receive()
  while data and data ~= "" and stream:write(data, "1d") do
    last = task.now()
    data = conn:receive()
  end
  up:cancel()
  pcall(up.wait, up)
  conn:close()
  stream:close()
end

local Forward = {}
Forward.__index = Forward

-- One local connection: the task's side is told the key under which both meet.
function Forward:serve(stream, control, router)
  local key = "PORTFORWARD-" .. require("pai.crypto").hex(16)
  local cookie, e = session_cookie(self.client, router.router_address)
  local conn, ok
  if cookie then
    ok, e = control:send(json.encode({ key = key, cookie = cookie }))
  end
  if ok then
    conn, e = connect(self.client, self.id, "portforward", {
      router_address = router.router_address,
      key = key,
      cookie = cookie,
    }, TIMEOUT)
  end
  if not conn then
    stream:close()
    self.say("error", self.port, e)
    return
  end
  carry(stream, conn)
end

-- Until the control connection ends; returns how.
function Forward:round(router)
  local control <close>, e = connect(self.client, self.id, "portforward", router, TIMEOUT)
  if not control then
    return e
  end
  self.say("ready", self.port)
  local accept = task.spawn(function()
    while true do
      local stream, why = self.listener:accept()
      if not stream and why.code == "EPIPE" then -- the end of it all
        return
      elseif not stream then
        self.say("error", self.port, why)
        task.sleep(PAUSE)
        goto continue
      end
      local one
      one = task.spawn(function()
        self:serve(stream, control, router)
        self.serving[one] = nil
      end)
      self.serving[one] = true
      ::continue::
    end
  end)
  local how
  repeat
    local _, why = control:receive()
    how = type(why) == "table" and why or nil
  until how
  accept:cancel()
  pcall(accept.wait, accept)
  return how
end

function Forward:ask_router()
  local answer, e = ask(self.client, self.path, {
    task_ports = { self.port.remote },
    use_udp = "False",
  }, task.now() + duration.parse(TIMEOUT), { list = shape.ROUTER })
  if answer and not answer[1] then
    return err.fail("EPROTO", "the service names no router")
  end
  return answer and answer[1], e
end

-- Forwards a port until the run has ended or the task is cancelled.
function Forward:run(router)
  local pause = PAUSE
  while true do
    local began = task.now()
    local how = self:round(router)
    self.say("lost", self.port, how)
    if task.now() - began > PAUSE_MAX then
      pause = PAUSE
    end
    task.sleep(pause)
    pause = math.min(2 * pause, PAUSE_MAX)
    local e
    router, e = self:ask_router()
    while not router and http.lost(e) do
      task.sleep(pause)
      router, e = self:ask_router()
    end
    if not router then
      return nil, e
    end
  end
end

local function listen(port, host)
  local listener, e = require("pai.sock").listen({ host = host, port = port["local"] })
  if not listener then
    return nil, e
  end
  port["local"] = listener:port()
  return listener
end

---@class pai.osmo.Port
---@field remote integer in the task
---@field local integer here; 0 is any free one, and is then replaced by it

---@class pai.osmo.ForwardOptions
---@field ports pai.osmo.Port[]
---@field host string? a loopback address, default 127.0.0.1
---@field timeout string|integer|nil until the task runs
---@field on_event fun(what: "ready"|"lost"|"error", port: pai.osmo.Port, e: pai.Error?)?

---Forwards local TCP ports to a task, through lost connections, until the run has ended or the
---caller is cancelled.
---@param id string
---@param name string of the task
---@param opts pai.osmo.ForwardOptions
---@return nil
---@return pai.Error err why it ended
function M:port_forward(id, name, opts)
  if #opts.ports == 0 or #opts.ports > PORTS_MAX then
    return err.fail("EINVAL", ("1 to %d ports can be forwarded"):format(PORTS_MAX))
  end
  local listeners, remote = {}, {}
  for i, port in ipairs(opts.ports) do
    local listener, e = listen(port, opts.host)
    if not listener then
      return nil, e
    end
    listeners[i], remote[i] = listener, port.remote
  end
  local path = workflow_path(id, "portforward", name)
  local deadline = task.now() + duration.parse(opts.timeout or TIMEOUT)
  local query = { task_ports = remote, use_udp = "False" }
  local routers, e = ask(self, path, query, deadline, { list = shape.ROUTER })
  if not routers then
    return nil, e
  elseif #routers ~= #remote then
    return err.fail("EPROTO", "the service does not name a router for each port")
  end
  local jobs, serving = {}, {}
  local _ <close> = setmetatable({}, {
    __close = function()
      for one in pairs(serving) do
        one:cancel()
      end
      for _, listener in ipairs(listeners) do
        listener:close()
      end
    end,
  })
  for i, port in ipairs(opts.ports) do
    local forward = setmetatable({
      client = self,
      id = id,
      path = path,
      port = port,
      listener = listeners[i],
      serving = serving,
      say = opts.on_event or function() end,
    }, Forward)
    jobs[i] = function()
      local _, why = forward:run(routers[i])
      error(why, 0)
    end
  end
  local ok, why = pcall(require("pai.async").all, jobs)
  if not ok and not err.is(why) then
    error(why, 0)
  end
  return nil, why
end

return M
