-- The port of this machine that leads to OSMO's gateway. It is a `pai k8s port-forward` of its own,
-- which dials again and takes another pod by itself; here it is started, known by pid and start
-- time, asked whether it works, and ended. No process but the recorded one is ever signalled.
local err = require("pai.err")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local state = require("pai.state")
local task = require("pai.task")

local M = {}

local HEALTHY_WITHIN_MS <const> = 300000

-- What the forward needs of our environment: where the kubeconfig is, and what its plugins read.
local PASSED <const> = {
  "KUBECONFIG",
  "AZURE_CONFIG_DIR",
  "HTTPS_PROXY",
  "NO_PROXY",
  "SSL_CERT_FILE",
}

---@class pai.osmo_deploy.Forward
---@field pid integer
---@field start_time integer
---@field boot string
---@field context string
---@field server string of the cluster
---@field port integer

local function path_of(port)
  return ("%s/forwards/%d.json"):format(state.dir(), port)
end

---@param port integer
---@return pai.osmo_deploy.Forward? known one that is alive
function M.known(port)
  local text = fs.read(path_of(port))
  local known = text and json.decode(text)
  if type(known) ~= "table" or math.type(known.pid) ~= "integer" then
    return nil
  end
  local p = known.boot == fs.boot_id() and fs.process(known.pid)
  return p and p.start_time == known.start_time and p.state ~= "Z" and known or nil
end

---Whether an OSMO service answers at a URL: 200 and a version.
---@param url string
---@return table? version
---@return string? why not
function M.health(url)
  local res, e = require("pai.http").request({
    url = url .. "/api/version",
    timeout = "5s",
    accept = "any",
  })
  if not res then
    return nil, e.message
  elseif res.status ~= 200 then
    return nil, ("HTTP %d"):format(res.status)
  end
  local version = json.decode(res.body)
  if type(version) ~= "table" or version.major == nil then
    return nil, "the answer is no version of OSMO"
  end
  return version
end

---Whether the forward of this cluster is up and OSMO answers through it.
---@param k pai.ctx.k8s
---@param conf pai.osmo_deploy.Conf
---@return boolean
function M.is_up(k, conf)
  local known = M.known(conf.port)
  return known ~= nil
    and known.context == k.context
    and known.server == M.server(k)
    and M.health(("http://127.0.0.1:%d"):format(conf.port)) ~= nil
end

---@param k pai.ctx.k8s
---@return string
function M.server(k)
  return k:identity().server
end

local function remember(known)
  local path = path_of(known.port)
  assert(fs.mkdir(fs.dirname(path), { parents = true, mode = "0700" }))
  local ok, e = fs.write(path, json.encode(known), { mode = "0600" })
  if not ok then
    error(e, 0)
  end
end

---The ports whose forward was started for a cluster and is alive.
---@param context string
---@return integer[]
function M.ports(context)
  local ports = {}
  for _, path in ipairs(fs.glob(fs.dirname(path_of(0)) .. "/*.json") or {}) do
    local port = math.tointeger(tonumber(path:match("(%d+)%.json$")))
    local known = port and M.known(port)
    if known and known.context == context then
      ports[#ports + 1] = port
    end
  end
  return ports
end

---Ends the forward of a port, if it is the one that was recorded for this cluster.
---@param context string
---@param port integer
---@return boolean stopped
function M.stop(context, port)
  local known = M.known(port)
  if not known or known.context ~= context then
    return false
  end
  local function signal(name)
    local r, e = exec.run({ "kill", "-s", name, "--", tostring(known.pid) }, { accept = "any" })
    if not r then
      error(e, 0)
    end
  end
  signal("TERM")
  local deadline = task.now() + 10000
  while M.known(port) do
    if task.now() > deadline then
      signal("KILL")
      deadline = task.now() + 10000
    end
    task.sleep("50ms")
  end
  fs.remove(path_of(port))
  return true
end

---Starts the forward and waits until OSMO answers through it.
---@param k pai.ctx.k8s
---@param conf pai.osmo_deploy.Conf
---@return { pid: integer, port: integer }
function M.ensure(k, conf)
  local url = ("http://127.0.0.1:%d"):format(conf.port)
  local known = M.known(conf.port)
  if known and known.context ~= k.context then
    err.raise("EADDRINUSE", ("port %d leads to the cluster %s"):format(conf.port, known.context), {
      hint = "pass another port, or tear that one's OSMO down",
    })
  elseif known then
    M.stop(k.context, conf.port)
  elseif M.health(url) then
    err.raise("EADDRINUSE", ("another program serves OSMO at port %d"):format(conf.port), {
      hint = "end it, or pass another port",
    })
  end
  local argv = { require("pai").exe, "k8s", "port-forward", "--context", k.context }
  table.move({ "--namespace", conf.namespaces.service }, 1, 2, #argv + 1, argv)
  if conf.kubeconfig then
    table.move({ "--kubeconfig", conf.kubeconfig }, 1, 2, #argv + 1, argv)
  end
  argv[#argv + 1] = "svc/osmo-gateway"
  argv[#argv + 1] = ("%d:80"):format(conf.port)
  local environment = {}
  for _, name in ipairs(PASSED) do
    environment[name] = os.getenv(name)
  end
  local pid, e = exec.detach(argv, { cwd = "/", env = environment })
  if not pid then
    error(e, 0)
  end
  local p = fs.process(pid)
  if not p then
    err.raise("EFORWARD", "the port-forward ended at once")
  end
  remember({
    pid = pid,
    start_time = p.start_time,
    boot = fs.boot_id(),
    context = k.context,
    server = M.server(k),
    port = conf.port,
  })
  local deadline = task.now() + HEALTHY_WITHIN_MS
  local why
  repeat
    local version
    version, why = M.health(url)
    if version then
      return { pid = pid, port = conf.port }
    elseif not M.known(conf.port) then
      fs.remove(path_of(conf.port))
      err.raise("EFORWARD", ("the port-forward to %s ended: %s"):format(k.context, why), {
        hint = ("pai k8s port-forward --context %s svc/osmo-gateway says why"):format(k.context),
      })
    end
    task.sleep("500ms")
  until task.now() > deadline
  M.stop(k.context, conf.port)
  err.raise("ETIMEDOUT", "OSMO does not answer through the port-forward: " .. tostring(why))
end

return M
