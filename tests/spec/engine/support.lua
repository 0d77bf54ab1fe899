-- An engine of a test's own: in a state folder that is removed, as a child of the test process, so
-- that it cannot outlive it.
local client = require("pai.osmo.client")
local exec = require("pai.exec")
local fs = require("pai.fs")
local http = require("pai.http")
local json = require("pai.json")
local launch = require("pai.engine.launch")
local pai = require("pai")
local paths = require("pai.engine.paths")
local task = require("pai.task")

local S = {}

---@class tests.Engine
local Engine = {}
Engine.__index = Engine

local open = {}

-- Text of a workflow from a table; JSON is YAML.
function S.spec(workflow)
  return "workflow: " .. json.encode(workflow) .. "\n"
end

-- A task that runs a shell script.
function S.sh(name, script, more)
  local t = { name = name, image = "pai.local/sh", command = { "/bin/sh", "-c", script } }
  for key, value in pairs(more or {}) do
    t[key] = value
  end
  return t
end

-- Waits until fn gives something that is true.
function S.eventually(fn, limit)
  local deadline = task.now() + (limit or 60000)
  while true do
    local value = fn()
    if value then
      return value
    end
    assert(task.now() < deadline, "it did not happen in time")
    task.sleep("10ms")
  end
end

-- Starts an engine; opts: state, env, port, roots.
function S.start(opts)
  opts = opts or {}
  local self = setmetatable({}, Engine)
  self.own_state = opts.state == nil
  self.state = opts.state or assert(fs.tempdir({ prefix = "pai-engine-" }))
  self.paths = paths.of(self.state)
  self.roots = opts.roots or {}
  self:boot(opts)
  open[self] = true
  return self
end

function Engine:boot(opts)
  opts = opts or {}
  local argv = { pai.exe, "engine", "serve", "--state", self.state }
  if opts.port then
    table.insert(argv, "--port")
    table.insert(argv, tostring(opts.port))
  end
  self.proc = assert(exec.start(argv, {
    env = opts.env,
    stdout = { file = self.state .. "/said" },
    stderr = { file = self.state .. "/said", append = true },
  }))
  S.eventually(function()
    local s = launch.status(self.paths)
    if not s and not fs.process(self.proc.pid) then
      error("the engine did not start: " .. tostring(fs.read(self.state .. "/said")))
    end
    return s and s.pid == self.proc.pid
  end)
  self.client = assert(client.connect({
    target = "local",
    state = self.state,
    start = false,
    roots = self.roots,
  }))
end

-- A request as any HTTP client sends it; the answer whatever its status.
function Engine:request(method, path, opts)
  local request = { method = method, url = "http://localhost" .. path, accept = "any" }
  request.unix_socket = self.paths.socket
  for key, value in pairs(opts or {}) do
    request[key] = value
  end
  local res = assert(http.request(request))
  if (res.headers["content-type"] or ""):find("json", 1, true) then
    return res.status, assert(json.decode(res.body)), res
  end
  return res.status, res.body, res
end

function Engine:submit(workflow, opts)
  local request = { spec = type(workflow) == "string" and workflow or S.spec(workflow) }
  for key, value in pairs(opts or {}) do
    request[key] = value
  end
  return assert(self.client:submit(request)).name
end

-- Submits and waits; returns the final answer of query.
function Engine:run(workflow, opts)
  local id = self:submit(workflow, opts)
  return assert(self.client:wait(id, { every = "20ms", timeout = "60s" }))
end

-- Tasks of an answer of query, by name.
function S.tasks(q)
  local out = {}
  for _, g in ipairs(q.groups) do
    for _, t in ipairs(g.tasks) do
      out[t.name] = t
    end
  end
  return out
end

-- Groups of an answer of query, by name.
function S.groups(q)
  local out = {}
  for _, g in ipairs(q.groups) do
    out[g.name] = g
  end
  return out
end

function Engine:log(id, opts)
  return assert(self.client:logs(id, opts))
end

-- Ends the engine as a power cut would.
function Engine:kill()
  self.proc:kill("KILL")
  self.proc:wait()
end

function Engine:stop()
  if fs.process(self.proc.pid) then
    self.proc:kill("TERM")
    if not self.proc:wait("15s") then
      self.proc:kill("KILL")
      self.proc:wait()
    end
  end
  if self.own_state then
    fs.remove(self.state, { recursive = true })
  end
  open[self] = nil
end

-- Ends what a failed test has left.
function S.stop_all()
  for engine in pairs(open) do
    engine:stop()
  end
end

-- Processes whose command line holds a text.
function S.processes(text)
  local out = {}
  for _, name in ipairs(fs.list("/proc")) do
    local pid = math.tointeger(tonumber(name))
    local f = pid and io.open(("/proc/%d/cmdline"):format(pid), "rb")
    if f then
      if (f:read("a") or ""):find(text, 1, true) then
        local p = fs.process(pid)
        if p and p.state ~= "Z" then
          out[#out + 1] = pid
        end
      end
      f:close()
    end
  end
  return out
end

-- All that comes over a WebSocket until the text has come.
function S.until_text(conn, text)
  local all = ""
  while not all:find(text, 1, true) do
    local data, why = conn:receive("60s")
    assert(data, tostring(type(why) == "table" and why.message) .. " after: " .. all)
    all = all .. data
  end
  return all
end

-- How a WebSocket ends.
function S.ending(conn)
  while true do
    local data, why = conn:receive("60s")
    if not data then
      return assert(type(why) == "table" and why, "it did not end in time")
    end
  end
end

return S
