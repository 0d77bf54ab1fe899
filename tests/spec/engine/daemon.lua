-- A real Docker or Podman daemon of a test's own, on a socket of its own, with an image that holds
-- busybox and nothing else.
local exec = require("pai.exec")
local fs = require("pai.fs")
local http = require("pai.http")
local json = require("pai.json")

local S = dofile("tests/spec/engine/support.lua")
local D = {}

D.IMAGE = "pai-test/busybox:1"

local PROGRAMS <const> = "sh cat echo sleep ls wc id true tail head nc stty tty ps kill"

---@class tests.Daemon
local Daemon = {}
Daemon.__index = Daemon

-- A request to the daemon's API; the answer whatever its status, nil when there is none.
function Daemon:request(method, path, opts)
  local request = {
    method = method,
    url = "http://localhost" .. path,
    unix_socket = self.socket,
    accept = "any",
  }
  for key, v in pairs(opts or {}) do
    request[key] = v
  end
  return http.request(request)
end

function Daemon:containers()
  return assert(self:request("GET", "/containers/json", { query = { all = "true" } })):json()
end

-- The key of a pool in pools.yaml that runs its tasks here.
function Daemon:pool(more)
  local pool = { runtime = self.kind, socket = self.socket, network = "none", pull = "never" }
  for key, v in pairs(more or {}) do
    pool[key] = v
  end
  return pool
end

-- Writes pools.yaml. The environment that makes an engine read it.
function Daemon:pools(pools)
  local path = self.dir .. "/pools.yaml"
  assert(fs.write(path, json.encode({ pools = pools }), { mode = "0644" }))
  return { PAI_ENGINE_POOLS = path }
end

local function docker(dir)
  return {
    "dockerd",
    "--data-root",
    dir .. "/data",
    "--exec-root",
    dir .. "/exec",
    "-H",
    "unix://" .. dir .. "/api.sock",
    "--pidfile",
    dir .. "/docker.pid",
    "--iptables=false",
    "--bridge=none",
    "--storage-driver=vfs",
  }
end

-- Where there is no systemd Podman wants to be told how control groups are made, and its limits of
-- open files are higher than a container host may allow.
local CONTAINERS_CONF <const> = [[
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "netavark"
network_config_dir = "%s/networks"
]]

-- A command line of podman's over the storage of a test, and its environment.
local function podman(dir, ...)
  local argv = { "podman", "--root", dir .. "/data", "--runroot", dir .. "/run" }
  table.move({ "--tmpdir", dir .. "/tmp", "--storage-driver", "vfs" }, 1, 4, #argv + 1, argv)
  table.move({ ... }, 1, select("#", ...), #argv + 1, argv)
  return argv,
    {
      CONTAINERS_CONF = dir .. "/containers.conf",
      CONTAINERS_REGISTRIES_CONF = dir .. "/registries.conf",
    }
end

local function podman_service(dir)
  assert(fs.write(dir .. "/containers.conf", CONTAINERS_CONF:format(dir)))
  -- Docker takes plain HTTP from a loopback address by itself.
  local insecure = '[[registry]]\nlocation = "127.0.0.1"\ninsecure = true\n'
  assert(fs.write(dir .. "/registries.conf", insecure))
  return podman(dir, "system", "service", "--time", "0", "unix://" .. dir .. "/api.sock")
end

local function import(self)
  local tree = self.dir .. "/tree"
  for _, name in ipairs({ "bin", "tmp", "etc" }) do
    assert(fs.mkdir(tree .. "/" .. name, { parents = true }))
  end
  assert(fs.copy("/bin/busybox", tree .. "/bin/busybox"))
  for name in PROGRAMS:gmatch("%a+") do
    assert(fs.symlink("busybox", tree .. "/bin/" .. name))
  end
  assert(exec.run({ "tar", "-C", tree, "-cf", self.dir .. "/image.tar", "." }))
  local query = { fromSrc = "-", repo = "pai-test/busybox", tag = "1" }
  if self.kind == "podman" then
    -- It takes no tag of its own here (4.3).
    query = { fromSrc = "-", repo = D.IMAGE }
  end
  local res = assert(self:request("POST", "/images/create", {
    query = query,
    body = assert(fs.read(self.dir .. "/image.tar")),
    headers = { ["content-type"] = "application/x-tar" },
    timeout = "2m",
  }))
  assert(res.status == 200, res.body)
end

---Starts a daemon.
---@param kind "docker"|"podman"
---@return tests.Daemon
function D.start(kind)
  local dir = assert(fs.tempdir({ prefix = "pai-" .. kind .. "-" }))
  local self = setmetatable({ kind = kind, dir = dir, socket = dir .. "/api.sock" }, Daemon)
  local argv, env = (kind == "docker" and docker or podman_service)(dir)
  self.log = dir .. "/daemon.log"
  self.proc =
    assert(exec.start(argv, { env = env, stdout = { file = self.log }, stderr = "stdout" }))
  S.eventually(function()
    local res = self:request("GET", "/_ping", { timeout = "2s" })
    if not res and not fs.process(self.proc.pid) then
      error("the daemon did not start: " .. tostring(fs.read(self.log)))
    end
    return res and res.status == 200
  end, 60000)
  import(self)
  return self
end

-- Ends the daemon, without what it has stored.
function Daemon:halt()
  self.proc:kill("TERM")
  if not self.proc:wait("60s") then
    self.proc:kill("KILL")
    self.proc:wait()
  end
end

function Daemon:stop()
  if fs.process(self.proc.pid) then
    self:halt()
  end
  if self.kind == "podman" then
    -- Its containers live without it.
    local argv, env = podman(self.dir, "rm", "--all", "--force", "--time", "0")
    assert(exec.run(argv, { env = env, timeout = "60s" }))
    -- What watched a command of an exec stays for five minutes, to tell how it ended.
    for _, pid in ipairs(S.processes(self.dir)) do
      assert(exec.run({ "kill", "-KILL", tostring(pid) }, { accept = { 0, 1 } }))
    end
  end
  fs.remove(self.dir, { recursive = true })
end

return D
