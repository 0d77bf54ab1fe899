-- Port-forwards that outlive the command that started them. Each is a `pai k8s port-forward` of its
-- own, known by pid, start time and boot, so that nobody else's process is ever ended; asking for
-- one that runs already gives that one.
local duration = require("pai.duration")
local err = require("pai.err")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local state = require("pai.state")
local task = require("pai.task")

local M = {}

local READY <const> = "60s"

---@class pai.k8s.Forward
---@field id string
---@field context string
---@field server string
---@field namespace string
---@field to string
---@field port integer|string
---@field local_port integer
---@field pid integer
---@field start_time integer
---@field boot string
---@field alive boolean
---@field last string? what it said last

local function dir()
  return state.create(state.dir() .. "/forwards")
end

local function is_alive(record)
  local p = record.boot == fs.boot_id() and fs.process(record.pid)
  return p ~= nil and p ~= false and p.start_time == record.start_time and p.state ~= "Z"
end

local function read(path)
  local text = fs.read(path)
  local record = text and json.decode(text)
  if type(record) ~= "table" or math.type(record.pid) ~= "integer" then
    return nil
  end
  record.alive = is_alive(record)
  local log = fs.read((path:gsub("%.json$", ".log")))
  record.last = log and log:match("([^\n]+)\n?$")
  return record
end

---All that are known.
---@return pai.k8s.Forward[]
function M.list()
  local list = {}
  for _, path in ipairs(fs.glob(dir() .. "/*.json")) do
    list[#list + 1] = read(path)
  end
  return list
end

-- Waits until it says that it is ready, or has ended.
local function wait_ready(log, pid, start_time)
  local deadline = task.now() + duration.parse(READY)
  repeat
    local text = fs.read(log) or ""
    for line in text:gmatch("[^\n]+") do
      local event = line:find("^{") and json.decode(line)
      if type(event) == "table" and event.event == "ready" then
        return event
      end
    end
    local p = fs.process(pid)
    if not p or p.start_time ~= start_time or p.state == "Z" then
      local why = text:match("pai: ([^\n]+)") or text:match("([^\n]+)\n*$") or "it said nothing"
      return err.fail("EFORWARD", "the port-forward did not begin: " .. why)
    end
    task.sleep("50ms")
  until task.now() > deadline
  return err.fail("ETIMEDOUT", "the port-forward was not ready within " .. READY)
end

local function spawn(base, c, opts)
  local log = base .. ".log"
  fs.remove(log)
  local where = ("%d:%s"):format(opts.local_port or 0, tostring(opts.port))
  local argv = { require("pai").exe, "k8s", "port-forward", "--json", "--context", c.context }
  local more = { "--namespace", opts.namespace or c.namespace, opts.to, where }
  if opts.kubeconfig then
    table.insert(more, 1, "--kubeconfig")
    table.insert(more, 2, fs.abspath(opts.kubeconfig))
  end
  table.move(more, 1, #more, #argv + 1, argv)
  local file = { file = log, append = true }
  local pid, e = exec.detach(argv, { inherit_env = true, stdout = file, stderr = file })
  if not pid then
    return nil, e
  end
  local p = fs.process(pid)
  local start_time = p and p.start_time or 0
  local event
  event, e = wait_ready(log, pid, start_time)
  if not event then
    M.stop_record({ pid = pid, start_time = start_time, boot = fs.boot_id() })
    return nil, e
  end
  return { pid = pid, start_time = start_time, boot = fs.boot_id(), local_port = event.port }
end

---Starts one, or gives the one that runs.
---@param c pai.k8s.Client
---@param opts pai.k8s.ForwardOptions|{ kubeconfig: string? } to, port, local_port, namespace
---@return pai.k8s.Forward?
---@return pai.Error|boolean began whether it was started now; or the error
function M.start(c, opts)
  local namespace = opts.namespace or c.namespace
  local key = table.concat({ c.server, namespace, opts.to, tostring(opts.port) }, "\0")
  local id = require("pai.digest").sha256(key):sub(1, 10)
  local base = dir() .. "/" .. id
  local lock <close>, e = fs.lock(base .. ".lock", { wait = READY })
  if not lock then
    return nil, e
  end
  local known = read(base .. ".json")
  if known and known.alive then
    if opts.local_port and opts.local_port ~= known.local_port then
      local message = "it is forwarded already, on port %d (%s)"
      return err.fail("EADDRINUSE", message:format(known.local_port, id), {
        hint = "pai k8s forwards --stop " .. id,
      })
    end
    return known, false
  end
  local record
  record, e = spawn(base, c, opts)
  if not record then
    return nil, e
  end
  record.id, record.context, record.server = id, c.context, c.server
  record.namespace, record.to, record.port = namespace, opts.to, opts.port
  local ok
  ok, e = fs.write(base .. ".json", json.encode(record), { mode = "0600" })
  if not ok then
    M.stop_record(record)
    return nil, e
  end
  record.alive = true
  return record, true
end

---Ends the process of a record, if it is still that very one.
---@param record { pid: integer, start_time: integer, boot: string }
function M.stop_record(record)
  require("pai.run.children").end_leftovers({ record }, function() end)
end

---Ends one and forgets it.
---@param id string
---@return pai.k8s.Forward?
---@return pai.Error? err ENOENT
function M.stop(id)
  local base = id:find("^%x+$") and dir() .. "/" .. id
  local record = base and read(base .. ".json")
  if not record then
    return err.fail("ENOENT", ("there is no port-forward '%s'"):format(id), {
      hint = "pai k8s forwards",
    })
  end
  M.stop_record(record)
  for _, ending in ipairs({ ".json", ".log", ".lock" }) do
    fs.remove(base .. ending)
  end
  return record
end

return M
