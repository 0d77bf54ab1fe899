-- Tasks in containers, through the HTTP API that Docker and Podman serve on a unix socket (Docker
-- Engine API, containers and images). What carries the engine's label is the engine's own: an
-- engine that comes back ends whatever the killed one has left.
local crypto = require("pai.crypto")
local err = require("pai.err")
local frames = require("pai.engine.container_logs")
local http = require("pai.http")
local json = require("pai.json")
local task = require("pai.task")

local M = {}

local OWNER <const> = "pai.engine"

-- Images of tens of gigabytes come over slow lines.
local PULL_TIMEOUT <const> = "6h"

-- How long the last lines may take to arrive after the end of a container.
local DRAIN <const> = "10s"

---@param pool pai.engine.Pool
---@param method string
---@param path string
---@param opts table? more options of pai.http
---@return table? response
---@return pai.Error? err
function M.call(pool, method, path, opts)
  local request = {
    url = "http://localhost" .. path,
    unix_socket = pool.socket,
    method = method,
    timeout = "60s",
  }
  for key, v in pairs(opts or {}) do
    request[key] = v
  end
  local res, e = http.request(request)
  if res then
    return res
  end
  local said = type(e.body) == "string" and json.decode(e.body)
  local message = type(said) == "table" and said.message
    or ("%s of pool %s (%s): %s"):format(pool.runtime, pool.name, pool.socket, e.message)
  return err.fail(e.code, message, { http = e.status })
end

local function must(pool, method, path, opts)
  local res, e = M.call(pool, method, path, opts)
  if not res then
    error(e, 0)
  end
  return res
end

local function escape(text)
  return (text:gsub("[^%w._~-]", function(c)
    return ("%%%02X"):format(c:byte())
  end))
end

-- "IMAGE", "IMAGE:TAG" or "IMAGE@DIGEST" as the two parameters of a pull.
local function reference(image)
  local name, digest = image:match("^(.-)@(.+)$")
  if name then
    return name, digest
  end
  local base, tag = image:match("^(.+):([^/:]+)$")
  return base or image, tag or "latest"
end

local function pull(pool, image, login)
  local name, tag = reference(image)
  local headers
  if login then
    -- base64url with padding (RFC 4648, 5), as the API's X-Registry-Auth wants it.
    local text = crypto.base64_encode(json.encode(login)):gsub("+", "-"):gsub("/", "_")
    headers = { ["x-registry-auth"] = text }
  end
  local tail = ""
  local res, e = M.call(pool, "POST", "/images/create", {
    query = { fromImage = name, tag = tag },
    headers = headers,
    timeout = PULL_TIMEOUT,
    on_data = function(chunk)
      tail = (tail .. chunk):sub(-4096)
    end,
  })
  -- The answer begins before the pull has failed or not: the last word is in the stream.
  local said = res and tail:match('"error"%s*:%s*"([^"]+)"')
  if not res or said then
    err.raise("EIMAGE", ("cannot pull the image %s: %s"):format(image, said or e.message))
  end
end

---Makes sure that the daemon has an image. Raises EIMAGE.
---@param pool pai.engine.Pool
---@param image string
---@param login table? for the registry
function M.have_image(pool, image, login)
  if pool.pull ~= "always" then
    local res, e = M.call(pool, "GET", ("/images/%s/json"):format(escape(image)))
    if res then
      return
    elseif e.http ~= 404 then
      error(e, 0)
    elseif pool.pull == "never" then
      err.raise(
        "EIMAGE",
        ("there is no image %s, and the pool %s pulls none"):format(image, pool.name)
      )
    end
  end
  pull(pool, image, login)
end

---@class pai.engine.ContainerJob: pai.engine.Job
---@field image string
---@field owner string the engine's folder, as a label
---@field uuid string of the task
---@field empty string a folder that holds nothing
---@field network string
---@field aliases string[] names in the network
---@field mounts string[] "SOURCE:TARGET" of the pool and the task
---@field privileged boolean
---@field user string? "UID:GID"
---@field gpus integer[]
---@field memory integer? bytes
---@field cpu integer?

local function bind(source, target, readonly)
  return { Type = "bind", Source = source, Target = target, ReadOnly = readonly }
end

local function mounts_of(job)
  local out = json.array({
    bind(job.output, "/osmo/data/output", false),
    bind(job.folder .. "/run", "/osmo/run", false),
    bind(job.config, "/osmo/login/config", true),
  })
  for _, input in ipairs(job.inputs) do
    out[#out + 1] = bind(input.source or job.empty, input.at, true)
  end
  for _, f in ipairs(job.files) do
    out[#out + 1] = bind(f.source, f.path, true)
  end
  for _, entry in ipairs(job.mounts) do
    local source, target = entry:match("^([^:]+):([^:]+)$")
    out[#out + 1] = bind(source or entry, target or entry, false)
  end
  return out
end

local function body_of(job)
  local env = json.array({ "OSMO_CONFIG_FILE_DIR=/osmo/login/config" })
  if job.gpu == 0 then
    env[#env + 1] = "NVIDIA_VISIBLE_DEVICES="
  end
  for name, v in pairs(job.environment) do
    env[#env + 1] = name .. "=" .. v
  end
  local host = {
    NetworkMode = job.network,
    Mounts = mounts_of(job),
    Privileged = job.privileged,
    Memory = job.memory,
    NanoCpus = job.cpu and job.cpu * 1000000000,
    Init = true,
  }
  if #job.gpus > 0 then
    local ids = json.array({})
    for i, index in ipairs(job.gpus) do
      ids[i] = tostring(index)
    end
    host.DeviceRequests = json.array({
      { DeviceIDs = ids, Capabilities = json.array({ json.array({ "gpu" }) }) },
    })
  end
  local networking
  if #job.aliases > 0 then
    networking = { EndpointsConfig = { [job.network] = { Aliases = json.array(job.aliases) } } }
  end
  return {
    Image = job.image,
    Entrypoint = json.array({ job.command[1] }),
    Cmd = json.array(table.move(job.command, 2, #job.command, 1, {})),
    Env = env,
    User = job.user,
    Labels = { [OWNER] = job.owner, ["pai.task"] = job.uuid },
    HostConfig = host,
    NetworkingConfig = networking,
  }
end

---@class pai.engine.Container
---@field id string
---@field pool pai.engine.Pool
---@field pid integer? of its first process, on the host
---@field code integer? once it has ended
---@field oom boolean?
---@field missing string? why its command could not be run
---@field lost string? why nothing is known of its end
local Container = {}
Container.__index = Container

---Waits until the container has ended and its last lines are there.
---@param timeout string|integer|nil
---@return boolean ended
function Container:wait(timeout)
  if timeout then
    return self.done:wait(timeout)
  end
  self.done:wait()
  return true
end

---Sends a signal to the container's first process. One that has ended is no error.
---@param signal string "KILL", "TERM"
function Container:kill(signal)
  M.call(self.pool, "POST", ("/containers/%s/kill"):format(self.id), {
    query = { signal = "SIG" .. signal },
    accept = { 404, 409 },
  })
end

local function remove(pool, id)
  M.call(pool, "DELETE", "/containers/" .. id, {
    query = { force = "true", v = "true" },
    accept = { 404, 409 },
  })
end

-- What docker-init and podman's catatonit say when they cannot run the command. They end with 126
-- or 127, and with 1.
local NOT_RUN <const> = "^%[FATAL tini %(%d+%)%] (exec .- failed: .*)$"
local NOT_RUN_EITHER <const> = "^ERROR %(catatonit:%d+%): (failed to exec.*)$"
M.NOT_RUN_CODES = { [1] = true, [126] = true, [127] = true }

local function follow(self, on_line)
  local reader = frames.reader(function(line, stream)
    if stream == "stderr" then
      self.missing = line:match(NOT_RUN) or line:match(NOT_RUN_EITHER) or self.missing
    end
    on_line(line)
  end)
  M.call(self.pool, "GET", ("/containers/%s/logs"):format(self.id), {
    query = { follow = "true", stdout = "true", stderr = "true" },
    timeout = 0,
    on_data = function(chunk)
      reader:feed(chunk)
    end,
  })
  reader:finish()
end

-- Waits for the end of the container. A daemon that goes away for a while is asked again.
local function await(self)
  local failed = 0
  while true do
    local res, e =
      M.call(self.pool, "POST", ("/containers/%s/wait"):format(self.id), { timeout = 0 })
    local said = res and res:json()
    local state = M.call(self.pool, "GET", ("/containers/%s/json"):format(self.id))
    state = state and state:json().State
    if state and not state.Running and said then
      self.code, self.oom = state.ExitCode, state.OOMKilled
      return
    end
    failed = failed + 1
    if failed > 5 or (e and e.http == 404) then
      self.lost = e and e.message or "its state is not known"
      return
    end
    task.sleep("500ms")
  end
end

---Makes and starts the container of a task, whose image is there. Raises ECOMMAND or ESTART.
---@param pool pai.engine.Pool
---@param job pai.engine.ContainerJob
---@param on_line fun(line: string)
---@return pai.engine.Container
function M.start(pool, job, on_line)
  local res, e = M.call(pool, "POST", "/containers/create", {
    query = { name = "pai-" .. job.uuid },
    json = body_of(job),
  })
  if not res then
    err.raise("ESTART", ("cannot make a container of %s: %s"):format(job.image, e.message))
  end
  local self = setmetatable({
    id = res:json().Id,
    pool = pool,
    done = task.event(),
  }, Container)
  local started, why = M.call(pool, "POST", ("/containers/%s/start"):format(self.id), {
    timeout = "5m",
    accept = { 304 },
  })
  if not started then
    remove(pool, self.id)
    local missing = why.message:find("executable file not found", 1, true)
      or why.message:find("no such file or directory", 1, true)
      or why.message:find("permission denied", 1, true)
    err.raise(missing and "ECOMMAND" or "ESTART", why.message)
  end
  local reader = task.spawn(function()
    pcall(follow, self, on_line)
  end)
  task.spawn(function()
    local ok, fault = pcall(await, self)
    if not ok then
      self.lost = err.wrap(fault).message
    end
    if not pcall(reader.wait, reader, DRAIN) then
      reader:cancel()
    end
    remove(pool, self.id)
    self.done:set()
  end)
  return self
end

local function labelled(owner)
  return json.encode({ label = json.array({ OWNER .. "=" .. owner }) })
end

---Makes the network of a group whose tasks name each other.
---@param pool pai.engine.Pool
---@param name string
---@param owner string
function M.make_network(pool, name, owner)
  must(pool, "POST", "/networks/create", {
    json = {
      Name = name,
      CheckDuplicate = true,
      Internal = pool.network == "none",
      Labels = { [OWNER] = owner },
    },
  })
end

---@param pool pai.engine.Pool
---@param name string
function M.remove_network(pool, name)
  M.call(pool, "DELETE", "/networks/" .. escape(name), { accept = { 404 } })
end

---Ends what a killed engine has left.
---@param pool pai.engine.Pool
---@param owner string the engine's folder
---@return integer? count of containers
---@return pai.Error? err
function M.sweep(pool, owner)
  local res, e = M.call(pool, "GET", "/containers/json", {
    query = { all = "true", filters = labelled(owner) },
    timeout = "20s",
  })
  if not res then
    return nil, e
  end
  local list = res:json() or {}
  for _, c in ipairs(list) do
    remove(pool, c.Id)
  end
  local networks = M.call(pool, "GET", "/networks", { query = { filters = labelled(owner) } })
  for _, n in ipairs(networks and networks:json() or {}) do
    M.remove_network(pool, n.Name)
  end
  return #list
end

---Whether the daemon answers.
---@param pool pai.engine.Pool
---@return boolean
---@return pai.Error? err
function M.ping(pool)
  local res, e = M.call(pool, "GET", "/_ping", { timeout = "10s" })
  return res ~= nil, e
end

return M
