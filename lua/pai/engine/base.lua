-- Mounts that stand ready for tasks: the host's root and the devices are the same for each of them,
-- and to mount them anew was half of what a sandbox costs. A base is a sandbox that holds them; a
-- task's own sandbox begins in its mount namespace and adds what is the task's. One task at a time
-- has a base, since terminals belong to it. It goes when no task wants it or the host's mounts are
-- others than when it was made.
local err = require("pai.err")
local exec = require("pai.exec")
local hold = require("pai.engine.hold")
local root_of = require("pai.engine.root")
local sandbox = require("pai.engine.sandbox")
local task = require("pai.task")

local M = {}

-- A base costs as much as a task without one: one is made when a task follows another so soon.
local SOON <const> = 300

-- How long one stands unused. What the host unmounts meanwhile is held by it.
local IDLE <const> = 2000

local KEEP <const> = 16

---@class pai.engine.Base
---@field held pai.engine.Held
---@field root string[] arguments that made it
---@field mounts string the mounts of the host at that time
---@field since integer when it was given back

-- Between two looks at the mounts of the host. A sandbox takes about as long from its look at them
-- to its command.
local LOOK <const> = 10

local seen, seen_at

-- What is mounted on the host.
local function host_mounts()
  if not seen or task.now() - seen_at >= LOOK then
    local f <close> = assert(io.open("/proc/self/mountinfo", "rb"))
    f:setvbuf("full", 65536)
    seen, seen_at = f:read("a"), task.now()
  end
  return seen
end

local function is_current(base, root, mounts)
  return not base.held.ended and base.root == root and base.mounts == mounts
end

-- Ends those that nobody has wanted for a while.
local function sweep(bases)
  while bases.count > 0 do
    task.sleep(IDLE // 2)
    for i = #bases.free, 1, -1 do
      local base = bases.free[i]
      if base.held.ended or task.now() - base.since >= IDLE then
        table.remove(bases.free, i)
        bases.count = bases.count - 1
        task.spawn(base.held.close)
      end
    end
  end
  bases.swept = nil
end

-- Whether a sandbox can be made in a base here at all: a kernel may forbid what is nested.
local function works(base)
  local plan = sandbox.trial(base.held.pid)
  local r, e = exec.run(plan.argv, {
    mounts_of = plan.mounts_of,
    timeout = "20s",
    stdin = "null",
  })
  return r ~= nil, e
end

local function make(engine, bases, root, mounts)
  local held, e = hold.start(root_of.base(engine.paths.real_root))
  local base = held and { held = held, root = root, mounts = mounts, since = task.now() }
  local ok = base ~= nil
  if base and not bases.proved then
    ok, e = works(base)
    bases.proved = ok
    if not ok then
      held.close()
    end
  end
  if not ok then
    err.raise("ESTART", e and e.message or "none stands")
  end
  table.insert(bases.free, base)
  if not bases.swept then
    bases.swept = task.spawn(sweep, bases)
  end
end

-- Makes one for the tasks to come. The one that begins now does not wait for it.
local function prepare(engine, bases, root, mounts)
  bases.count, bases.making = bases.count + 1, true
  local ok, fault = pcall(make, engine, bases, root, mounts)
  bases.making = nil
  if not ok then
    bases.count, bases.none = bases.count - 1, true
    engine:complain("tasks start without prepared mounts: " .. err.wrap(fault).message)
  end
end

---A base for a task that is about to start; nil where it is to start without.
---@param engine pai.engine.Engine
---@param job pai.engine.Job
---@return pai.engine.Base?
function M.take(engine, job)
  local p = engine.paths
  engine.bases = engine.bases or { free = {}, count = 0 }
  local bases = engine.bases
  if bases.none or p.root ~= p.real_root or not sandbox.fits_base(job) then
    return nil
  end
  local now = task.now()
  local soon = bases.last and now - bases.last < SOON
  bases.last = now
  local root, mounts = root_of.binds(), host_mounts()
  local base = table.remove(bases.free)
  while base do
    if is_current(base, root, mounts) then
      return base
    end
    bases.count = bases.count - 1
    task.spawn(base.held.close)
    base = table.remove(bases.free)
  end
  if soon and not bases.making and bases.count < KEEP then
    task.spawn(prepare, engine, bases, root, mounts)
  end
  return nil
end

---Gives the base of a task back. No process of the task may be alive.
---@param engine pai.engine.Engine
---@param t table task of a group
function M.give(engine, t)
  local base = t.base
  if base then
    t.base = nil
    base.since = task.now()
    table.insert(engine.bases.free, base)
  end
end

return M
