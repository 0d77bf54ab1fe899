-- What a run changes in a cluster is locked there too, beside the lock of this machine: the lock
-- `kube:CONTEXT` takes the cluster's Lease (lua/pai/k8s/lease.lua), as soon as there is a cluster.
-- Whoever may not write Leases goes on with this machine's lock, and is told.
local async = require("pai.async")
local duration = require("pai.duration")
local err = require("pai.err")
local fs = require("pai.fs")
local lease = require("pai.run.lease")

local M = {}

-- A cluster that does not answer may be one that is yet to be made.
local PATIENCE <const> = "10s"

---@class pai.run.ClusterLock
---@field context string
---@field kubeconfig string?
---@field owner pai.run.Owner
---@field held pai.k8s.Lease?
---@field warning string? why there is no Lease
local Lock = {}
Lock.__index = Lock

-- Seconds that the Lease holds; nil for its own default. PAI_LEASE sets another.
local function seconds()
  local wanted = duration.parse(os.getenv("PAI_LEASE") or "")
  return wanted and math.max(1, wanted // 1000) or nil
end

-- Process ids mean nothing in another pid namespace.
local function pid_space()
  return fs.readlink("/proc/self/ns/pid")
end

local function note_of(owner)
  local note = {}
  for key, value in pairs(owner) do
    note[key] = value
  end
  note.pid_space = pid_space()
  return note
end

-- Only of a process of this very kernel and pid namespace can it be said that it has ended.
local function is_gone(note)
  return note.boot == fs.boot_id()
    and note.pid_space == pid_space()
    and note.host == fs.hostname()
    and lease.state(note) == "gone"
end

---Takes the Lease through a client. Raises when another run holds it.
---@param client pai.k8s.Client
function Lock:take(client)
  if self.held or self.warning then
    return
  end
  local owner = self.owner
  local me = ("%s/%s"):format(owner.host, owner.run)
  local held, e = require("pai.k8s.lease").take(client, me, note_of(owner), {
    is_gone = is_gone,
    seconds = seconds(),
  })
  if held then
    self.held = held
    self.task = held:keep(function(lost)
      self.lost = lost
      if self.on_lost then
        self.on_lost(lost)
      end
    end)
  elseif e.reason == "Forbidden" or e.http == 404 then
    local message = "no lock in the cluster of %s, only this machine's: %s"
    self.warning = message:format(self.context, e.message)
    self:tell()
  else
    error(e, 0)
  end
end

function Lock:tell()
  if self.run and self.warning and not self.told then
    self.told = true
    self.run:log(nil, self.warning, "warn")
  end
end

---Takes it before the run begins, if its cluster is there. Raises ELEASE when another run holds it;
---anything else shows when the cluster is needed.
function Lock:try()
  local client = require("pai.k8s.client").connect({
    context = self.context,
    kubeconfig = self.kubeconfig,
  })
  if not client then
    return
  end
  local ok, e = pcall(async.deadline, PATIENCE, self.take, self, client)
  if not ok and (err.is(e, "ELEASE") or err.is(e, "ECANCELED")) then
    error(e, 0)
  end
end

---Binds it to its run: what is to be told goes there, and losing the Lease stops it.
---@param run pai.run.Run
function Lock:bind(run)
  self.run = run
  self:tell()
  self.on_lost = function(lost)
    run.code = 4
    local said = "this run has lost its lock: " .. lost.message
    require("pai.run.signals").stop(run, "lock lost", "TERM", said)
  end
  if self.lost then
    self.on_lost(self.lost)
  end
end

---Gives it up. A cluster that is gone takes its Lease with it.
function Lock:release()
  local held = self.held
  if not held then
    return
  end
  self.held = nil
  self.task:cancel()
  pcall(self.task.wait, self.task)
  if not self.lost then
    pcall(async.deadline, PATIENCE, held.release, held)
  end
end

---The lock of a cluster. Nothing is asked yet.
---@param context string
---@param kubeconfig string?
---@param owner pai.run.Owner
---@return pai.run.ClusterLock
function M.new(context, kubeconfig, owner)
  return setmetatable({ context = context, kubeconfig = kubeconfig, owner = owner }, Lock)
end

---Takes the Lease of a context that a run locks, once its cluster answers. Raises when another run
---holds it: the run ends with the exit code of that.
---@param run pai.run.Run
---@param client pai.k8s.Client
function M.ensure(run, client)
  for _, one in ipairs(run.leases or {}) do
    if one.context == client.context and one.take then
      local ok, e = pcall(one.take, one, client)
      if not ok then
        run.code = err.is(e, "ELEASE") and 4 or nil
        error(e, 0)
      end
    end
  end
end

return M
