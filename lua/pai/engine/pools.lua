-- The pools of an engine: how the tasks of each run and what the pool allows. There is always one
-- named "local"; STATE/engine/pools.yaml, or the file that PAI_ENGINE_POOLS names, changes it and
-- adds others.
local duration = require("pai.osmo.duration")
local err = require("pai.err")
local fs = require("pai.fs")
local text = require("pai.text")
local yaml = require("pai.yaml")

local M = {}

M.DEFAULT = "local"

-- How long a group may run or wait where nothing says so.
local TIMEOUT <const> = "60d"

local RUNTIMES <const> = { process = true, docker = true, podman = true }

-- Where the daemons listen when the pool names no socket.
local SOCKETS <const> = {
  docker = { "/var/run/docker.sock" },
  podman = { "/run/podman/podman.sock" },
}

local PULL <const> = { missing = true, never = true, always = true }

local ACTIONS <const> = { COMPLETE = true, FAIL = true, RESCHEDULE = true }

---@class pai.engine.Pool
---@field name string
---@field description string
---@field runtime "process"|"docker"|"podman"
---@field socket string? of the container daemon
---@field network string of containers: "none", "bridge", "host" or the name of a network
---@field pull "missing"|"never"|"always"
---@field default_exec_timeout string
---@field default_queue_timeout string
---@field max_exec_timeout string
---@field max_queue_timeout string
---@field default_exit_actions table<string, string>
---@field exit_actions pai.osmo.ExitAction[]
---@field max_retry_per_task integer
---@field privileged_allowed boolean
---@field host_network_allowed boolean
---@field allowed_mounts string[]
---@field default_mounts string[]

local function bad(where, what, ...)
  err.raise("EINVAL", ("%s: %s"):format(where, what:format(...)))
end

local function want(kind)
  return function(where, v)
    if type(v) ~= kind then
      bad(where, "%s is needed", kind)
    end
    return v
  end
end

local function time(where, v)
  v = math.type(v) == "integer" and tostring(v) or v
  local seconds = type(v) == "string" and duration.parse(v)
  if not seconds or seconds <= 0 then
    bad(where, "a duration such as 90m or 60d is needed")
  end
  return v
end

local function whole(where, v)
  if math.type(v) ~= "integer" or v < 0 then
    bad(where, "a whole number is needed")
  end
  return v
end

local function one_of(set)
  return function(where, v)
    if not set[v] then
      bad(where, "one of %s is needed", table.concat(text.keys(set), ", "))
    end
    return v
  end
end

local function paths(where, v)
  if type(v) ~= "table" then
    bad(where, "a list of absolute paths is needed")
  end
  for _, path in ipairs(v) do
    if type(path) ~= "string" or path:sub(1, 1) ~= "/" then
      bad(where, "%s is no absolute path", tostring(path))
    end
  end
  return v
end

local function actions(where, v)
  if type(v) ~= "table" then
    bad(where, "a map such as RESCHEDULE: '137' is needed")
  end
  local out = {}
  for name, codes in pairs(v) do
    codes = tostring(codes)
    local action = tostring(name):upper()
    if not ACTIONS[action] or not ("," .. codes):find("^[,%d%-]+$") then
      bad(where, "%s: %s is no exit action", tostring(name), codes)
    end
    out[action] = codes
  end
  return out
end

local KEYS <const> = {
  description = want("string"),
  runtime = one_of(RUNTIMES),
  socket = want("string"),
  network = want("string"),
  pull = one_of(PULL),
  default_exec_timeout = time,
  default_queue_timeout = time,
  max_exec_timeout = time,
  max_queue_timeout = time,
  default_exit_actions = actions,
  max_retry_per_task = whole,
  privileged_allowed = want("boolean"),
  host_network_allowed = want("boolean"),
  allowed_mounts = paths,
  default_mounts = paths,
}

local function ranges_of(where, map)
  local out = {}
  for _, name in ipairs(text.keys(map)) do
    local ranges = {}
    for part in map[name]:gmatch("[^,]+") do
      local low, high = part:match("^(%d+)%-?(%d*)$")
      if not low then
        bad(where, "%s is no list of exit codes", map[name])
      end
      low, high = math.tointeger(tonumber(low)), math.tointeger(tonumber(high))
      ranges[#ranges + 1] = { low, high or low }
    end
    out[#out + 1] = { action = name, ranges = ranges }
  end
  return out
end

local function default_socket(runtime)
  for _, path in ipairs(SOCKETS[runtime] or {}) do
    if fs.exists(path) then
      return path
    end
  end
  return (SOCKETS[runtime] or {})[1]
end

local function make(name, given, where)
  local p = {
    name = name,
    description = "this machine",
    runtime = "process",
    network = "bridge",
    pull = "missing",
    default_exec_timeout = TIMEOUT,
    default_queue_timeout = TIMEOUT,
    max_exec_timeout = TIMEOUT,
    max_queue_timeout = TIMEOUT,
    default_exit_actions = {},
    max_retry_per_task = 0,
    privileged_allowed = false,
    host_network_allowed = false,
    allowed_mounts = {},
    default_mounts = {},
  }
  for key, v in pairs(given) do
    if not KEYS[key] then
      bad(where, "unknown key %s", tostring(key))
    end
    p[key] = KEYS[key](where .. "." .. key, v)
  end
  p.exit_actions = ranges_of(where .. ".default_exit_actions", p.default_exit_actions)
  if p.runtime ~= "process" then
    p.socket = p.socket or default_socket(p.runtime)
  elseif
    p.privileged_allowed
    or p.host_network_allowed
    or #p.allowed_mounts + #p.default_mounts > 0
  then
    bad(where, "privileged, the host's network and mounts are for docker and podman pools")
  end
  return p
end

local function tags_of(where, list)
  if list == nil then
    return {}
  elseif type(list) ~= "table" then
    bad(where, "a list of words is needed")
  end
  for _, tag in ipairs(list) do
    if type(tag) ~= "string" or not tag:find("^[%w][%w_.-]*$") then
      bad(where, "%s is no tag of letters, digits, '-', '_' and '.'", tostring(tag))
    end
  end
  return list
end

---Reads the pools. Raises EINVAL that names file and key.
---@param path string
---@return table<string, pai.engine.Pool>
---@return string[] tags that runs may have
function M.load(path)
  local out = { [M.DEFAULT] = make(M.DEFAULT, {}, M.DEFAULT) }
  local body, e = fs.read(path, { max = 1048576 })
  if not body then
    if e.code == "ENOENT" then
      return out, {}
    end
    error(e, 0)
  end
  local doc, why = yaml.decode(body, { schema = "core" })
  if doc == nil and why then
    bad(path, "%s", why.message)
  elseif type(doc) ~= "table" or type(doc.pools) ~= "table" then
    bad(path, "a map 'pools' of pools by name is needed")
  end
  for key in pairs(doc) do
    if key ~= "pools" and key ~= "tags" then
      bad(path, "unknown key %s", tostring(key))
    end
  end
  for name, given in pairs(doc.pools) do
    local where = ("%s: pools.%s"):format(path, tostring(name))
    if type(name) ~= "string" or not name:find("^[%a][%w_-]*$") then
      bad(where, "a name of letters, digits, '-' and '_' is needed")
    elseif type(given) ~= "table" then
      bad(where, "a map is needed")
    end
    out[name] = make(name, given, where)
  end
  return out, tags_of(path .. ": tags", doc.tags)
end

return M
