-- Leases: one owner at a time for a run id and for what a run changes. The lock is flock, which the
-- kernel drops when its owner dies; the locked file says who holds it and since when, for the one
-- who is refused and for locks on file systems of other machines.
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")
local task = require("pai.task")

local M = {}

---@class pai.run.Owner
---@field pid integer
---@field start_time integer ticks, as in /proc/PID/stat
---@field boot string
---@field host string
---@field run string
---@field recipe string?
---@field since string UTC

local me

-- What stays the same while the process lives.
local function process()
  if not me then
    local f = assert(io.open("/proc/self/stat", "r"))
    local pid = math.tointeger(tonumber(f:read("a"):match("^%d+")))
    f:close()
    me = {
      pid = pid,
      start_time = fs.process(pid).start_time,
      boot = fs.boot_id(),
      host = fs.hostname(),
    }
  end
  return me
end

---This process as an owner.
---@param run string
---@param recipe string?
---@return pai.run.Owner
function M.me(run, recipe)
  local self = process()
  return {
    pid = self.pid,
    start_time = self.start_time,
    boot = self.boot,
    host = self.host,
    run = run,
    recipe = recipe,
    since = os.date("!%Y-%m-%dT%H:%M:%SZ"),
  }
end

---Tells whether the process that an owner record names is still there. A reused pid has another
---start time, a pid from before a reboot another boot id; of another machine nothing is known.
---@param owner pai.run.Owner
---@return "alive"|"gone"|"unknown"
function M.state(owner)
  if owner.host ~= fs.hostname() then
    return "unknown"
  end
  if owner.boot ~= fs.boot_id() then
    return "gone"
  end
  local p = owner.pid and fs.process(owner.pid)
  return p and p.start_time == owner.start_time and p.state ~= "Z" and "alive" or "gone"
end

---Reads who holds or held a lease.
---@param path string of the lease
---@return pai.run.Owner?
function M.owner(path)
  local body = fs.read(path)
  local owner = body and json.decode(body)
  return type(owner) == "table" and owner or nil
end

local function held(what, path)
  local owner, st = M.owner(path), fs.stat(path)
  if not owner then
    return err.fail("ELEASE", what .. " is held by another run")
  end
  local message = "%s is held by %s (%s), pid %s of %s on %s, since %s"
  local recipe = owner.recipe or "?"
  -- The file is the owner's own. His name is looked up here, where it is needed: in some networks
  -- that takes a question to a server.
  local user = st and fs.user(st.uid) or "?"
  return err.fail(
    "ELEASE",
    message:format(what, owner.run, recipe, owner.pid, user, owner.host, owner.since),
    { owner = owner, hint = "pai runs watch " .. tostring(owner.run) }
  )
end

---@class pai.run.Lease
---@field path string
local Lease = {}
Lease.__index = Lease
Lease.__close = function(self)
  self:release()
end

---Gives the lease up.
function Lease:release()
  if self.lock then
    self.lock:write("")
    self.lock:release()
    self.lock = nil
  end
end

-- The lock of an owner that is gone is free, but a child that it was just starting when it was
-- killed has the lock's descriptor, too, until it has become another program.
local STRAGGLER_MS <const> = 2000

local function lock_file(path)
  local deadline = task.now() + STRAGGLER_MS
  while true do
    local lock, e = fs.lock(path)
    if lock or e.code ~= "EAGAIN" or task.now() >= deadline then
      return lock, e
    end
    -- Nobody is named while an owner comes or goes.
    local owner = M.owner(path)
    if owner and M.state(owner) ~= "gone" then
      return nil, e
    end
    task.sleep(10)
  end
end

---Takes a lease, or says who holds it.
---@param path string of the lock file; its folder exists
---@param what string for messages: "run run-1a2b3c4d", "media:/srv/media"
---@param owner pai.run.Owner
---@return pai.run.Lease? lease
---@return pai.Error? err code ELEASE when it is held
function M.take(path, what, owner)
  local lock, e = lock_file(path)
  if not lock then
    if e.code == "EAGAIN" then
      return held(what, path)
    end
    return nil, e
  end
  local before = M.owner(path)
  if before and M.state(before) == "unknown" then
    lock:release()
    local _, refusal = held(what, path)
    refusal.hint = ("if %s is gone for good, remove %s"):format(before.host, path)
    return nil, refusal
  end
  local ok, failure = lock:write(json.encode(owner))
  if not ok then
    lock:release()
    return nil, failure
  end
  return setmetatable({ path = path, lock = lock }, Lease)
end

---Tells whether somebody holds a lease now. It looks without locking, so that it can't be the one
---who refuses an owner.
---@param path string
---@return boolean held
---@return pai.run.Owner? owner
function M.is_held(path)
  local owner = M.owner(path)
  return owner ~= nil and M.state(owner) ~= "gone", owner
end

---The lock file for something that a run changes.
---@param state_dir string
---@param what string "kube:CONTEXT", "media:DIR"
---@return string path
function M.path_for(state_dir, what)
  local digest = require("pai.digest").sha256(what)
  local name = what:gsub("[^%w_-]+", "_"):sub(1, 40)
  return ("%s/locks/%s-%s"):format(state_dir, name, digest:sub(1, 12))
end

return M
