-- port-forward: a port of this machine that leads to one of a pod. Every local connection has a
-- WebSocket of its own (subprotocol v4.channel.k8s.io: channel 0 data, 1 error, each begun by the
-- port's number). When a pod is gone or does not answer, another one is selected and dialled.
local err = require("pai.err")
local stream = require("pai.k8s.stream")
local task = require("pai.task")

local M = {}

local V4 <const> = "v4.channel.k8s.io"
local CHUNK <const> = 32 * 1024
local DIALS <const> = 6
local BACKOFF_MS <const> = { 200, 5000 }

local function is_ready(pod)
  local c = require("pai.k8s.conditions").find(pod, "Ready")
  return c ~= nil and c.status == "True" and not pod.metadata.deletionTimestamp
end

local function selector_text(labels)
  local parts = {}
  for _, key in ipairs(require("pai.text").keys(labels or {})) do
    parts[#parts + 1] = key .. "=" .. labels[key]
  end
  return table.concat(parts, ",")
end

local function port_of_pod(pod, name)
  for _, c in ipairs(pod.spec.containers or {}) do
    for _, p in ipairs(c.ports or {}) do
      if p.name == name then
        return p.containerPort
      end
    end
  end
end

-- The pod's port for a Service's port.
local function service_port(service, pod, port)
  for _, p in ipairs(service.spec.ports or {}) do
    if p.port == port or p.name == port then
      local target = p.targetPort or p.port
      return math.type(target) == "integer" and target or port_of_pod(pod, target)
    end
  end
end

---Chooses a pod that is ready.
---@param self pai.k8s.Client
---@param opts pai.k8s.ForwardOptions
---@return string? pod
---@return integer|pai.Error port of the pod; or the error
function M.select(self, opts)
  local kind, name = opts.to:match("^([^/]+)/(.+)$")
  kind, name = kind or "pod", name or opts.to
  local where = { namespace = opts.namespace }
  local object, e = self:get(kind, name, where)
  if not object then
    return nil, e
  end
  if object.kind == "Pod" then
    return name, opts.port
  end
  local spec = object.spec or {}
  local labels = object.kind == "Service" and spec.selector
    or spec.selector and spec.selector.matchLabels
  if type(labels) ~= "table" or next(labels) == nil then
    return err.fail("EINVAL", ("%s selects no pods"):format(opts.to))
  end
  local pods
  where.labels = selector_text(labels)
  pods, e = self:list("pods", where)
  if not pods then
    return nil, e
  end
  for _, pod in ipairs(pods) do
    if is_ready(pod) then
      local port = opts.port
      if object.kind == "Service" then
        port = service_port(object, pod, opts.port)
      end
      if not port then
        return err.fail("EINVAL", ("%s has no port %s"):format(opts.to, tostring(opts.port)))
      end
      return pod.metadata.name, port
    end
  end
  local message = "none of the %d pods of %s is ready"
  return err.fail("ENOTREADY", message:format(#pods, opts.to), { retryable = true })
end

-- One WebSocket to the pod that was selected, its two channels begun.
local function dial_once(self, opts)
  local pod, port = M.select(self, opts)
  if not pod then
    return nil, port
  end
  local path = self:path(require("pai.k8s.resources").known("pods"), pod, {
    namespace = opts.namespace,
    subresource = "portforward",
  })
  local conn, e = stream.open(self, path, { { "ports", port } }, { V4 })
  if not conn then
    return nil, e
  elseif conn:protocol() ~= V4 then
    conn:close()
    return err.fail("EPROTO", "the server does not speak " .. V4)
  end
  return conn, pod
end

local FINAL <const> = { EINVAL = true, EPROTO = true, EUSAGE = true }

local function dial(self, opts)
  local e
  for attempt = 1, DIALS do
    local conn, pod = dial_once(self, opts)
    if conn then
      if opts.state.pod and opts.state.pod ~= pod then
        opts.on_event({ event = "pod", pod = pod, before = opts.state.pod })
      end
      opts.state.pod = pod
      return conn
    end
    e = pod
    if FINAL[e.code] or e.http == 403 then
      break
    end
    opts.on_event({ event = "redial", error = e, attempt = attempt })
    if attempt < DIALS then
      local least, most = table.unpack(opts.backoff or BACKOFF_MS)
      task.sleep(math.min(most, least << (attempt - 1)))
    end
  end
  return nil, e
end

-- v4 cannot say that one side has finished writing. After the local side has, what the pod still
-- sends is waited for, but not for ever: nobody may be there to read it.
local LAST_WORDS_MS <const> = 30000

-- From the pod to the local connection, until either ends.
local function pump_back(conn, peer, finished)
  local begun = {}
  while true do
    local message, e = conn:receive("1s")
    if not message and e.code == "ETIMEDOUT" then
      if finished.at and task.now() - finished.at > LAST_WORDS_MS then
        return true
      end
      goto continue
    elseif not message then
      return e.code == "ECLOSED" and e.clean and true or nil, e
    end
    local channel = message:byte(1) or 255
    if channel > 1 then
      return err.fail("EPROTO", "the server sent on a channel that nobody asked for")
    elseif not begun[channel] then
      begun[channel] = true -- the port's number
    elseif channel == 1 then
      return err.fail("EFORWARD", "the pod refuses: " .. message:sub(2))
    elseif #message > 1 then
      local ok, why = peer:write(message:sub(2))
      if not ok then
        return nil, why
      end
    end
    ::continue::
  end
end

local function pump_to(conn, peer, finished)
  while true do
    local text = peer:read()
    if not text then
      finished.at = task.now()
      return
    end
    for from = 1, #text, CHUNK do
      if not conn:send("\0" .. text:sub(from, from + CHUNK - 1)) then
        return
      end
    end
  end
end

local function serve(self, peer, opts)
  local conn, e = dial(self, opts)
  if not conn then
    opts.on_event({ event = "failed", error = e })
    peer:close()
    return
  end
  local finished = {}
  local to = task.spawn(pump_to, conn, peer, finished)
  local ok, why = pump_back(conn, peer, finished)
  if not ok then
    opts.on_event({ event = "failed", error = why })
  end
  task.shield(function()
    to:cancel()
    pcall(to.wait, to)
  end)
  conn:close(1000, "", "1s")
  peer:close()
end

---@class pai.k8s.ForwardOptions
---@field to string "pod/NAME", "svc/NAME", "deployment/NAME", ...
---@field port integer|string of the pod, or of the Service
---@field local_port integer? default: any free one
---@field namespace string?
---@field on_ready fun(port: integer, pod: string)? it listens, and a pod has answered
---@field on_event fun(event: table)? "redial", "pod" (another one), "failed"
---@field backoff integer[]?

---Forwards a port until the task is cancelled. Before it says that it is ready, it has dialled.
---@param self pai.k8s.Client
---@param opts pai.k8s.ForwardOptions
---@return nil
---@return pai.Error err why it did not begin
function M.forward(self, opts)
  local settings = setmetatable({ state = {} }, { __index = opts })
  settings.on_event = opts.on_event or function() end
  local probe, e = dial(self, settings)
  if not probe then
    return nil, e
  end
  probe:close(1000, "", "1s")
  local listener
  listener, e = require("pai.sock").listen({ port = opts.local_port })
  if not listener then
    return nil, e
  end
  local tasks = {}
  local _ <close> = setmetatable({}, {
    __close = function()
      listener:close()
      task.shield(function()
        for t in pairs(tasks) do
          t:cancel()
        end
        for t in pairs(tasks) do
          pcall(t.wait, t)
        end
      end)
    end,
  })
  if opts.on_ready then
    opts.on_ready(listener:port(), settings.state.pod)
  end
  while true do
    local peer
    peer, e = listener:accept()
    if not peer then
      return nil, e
    end
    local t
    t = task.spawn(function()
      local ok, problem = pcall(serve, self, peer, settings)
      tasks[t] = nil
      if not ok and not err.is(problem, "ECANCELED") then
        settings.on_event({ event = "failed", error = err.wrap(problem) })
      end
    end)
    tasks[t] = true
  end
end

return M
