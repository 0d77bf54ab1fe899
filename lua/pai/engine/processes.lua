-- Ending processes: asking one task of a running engine, and finding what a killed one has left.
local exec = require("pai.exec")
local fs = require("pai.fs")
local namespace = require("pai.engine.namespace")
local task = require("pai.task")

local M = {}

-- bubblewrap's first child is the namespace's init and leads the session of the command.
---@param pid integer|string of bubblewrap
---@return string? pid of the session in it
function M.inner_session(pid)
  local f = io.open(("/proc/%s/task/%s/children"):format(pid, pid), "r")
  local text = f and f:read("a") or ""
  if f then
    f:close()
  end
  return text:match("^(%d+)")
end

-- How long a sandbox may take to stand, in steps of 10 ms.
local STEPS <const> = 1000

---Waits until a sandbox stands: its first process then has a child, the command.
---@param pid integer of bubblewrap
---@param gone pai.task.Event set when bubblewrap has ended
---@return string? pid of the sandbox's first process; nil when it has ended
function M.standing(pid, gone)
  for _ = 1, STEPS do
    local inner = M.inner_session(pid)
    if inner and M.inner_session(inner) then
      return inner
    elseif gone:is_set() then
      break
    end
    task.sleep(10)
  end
end

---Asks a running task to end: TERM to the command and what it started, not to the sandbox.
---@param t table task with a process of pai.exec, or a container
function M.terminate(t)
  if t.kind ~= "bubblewrap" then
    t.proc:kill("TERM")
    return
  end
  local inner = M.standing(t.proc.pid, t.gone)
  if inner then
    exec.run({ "/bin/sh", "-c", 'kill -TERM "-$0"', inner }, {
      timeout = "5s",
      stdin = "null",
      stderr = "null",
      accept = { 0, 1 },
    })
  end
end

---Ends a process group at once.
---@param pid integer of its leader
function M.kill_group(pid)
  exec.run({ "/bin/sh", "-c", 'kill -KILL "-$0"', tostring(pid) }, {
    timeout = "5s",
    stdin = "null",
    stderr = "null",
    accept = "any",
  })
end

-- Whether /proc/PID/environ has this entry; other users' processes cannot be read and are not ours.
local function has_entry(pid, entry)
  local f = io.open(("/proc/%d/environ"):format(pid), "rb")
  if not f then
    return false
  end
  local text = "\0" .. (f:read("a") or "") .. "\0"
  f:close()
  return text:find("\0" .. entry .. "\0", 1, true) ~= nil
end

---Whether a process of this machine carries the entry in its environment, as far as can be seen.
---@param pid integer
---@param entry string "NAME=value"
---@return boolean
function M.marked(pid, entry)
  return has_entry(pid, entry)
end

---Whether the namespaces of a process that can be seen may be entered: by root, and by whoever owns
---the user namespace that it lives in.
---@param pid integer
---@return boolean
function M.may_enter(pid)
  local there = fs.readlink(("/proc/%d/ns/user"):format(pid))
  return namespace.is_root() or (there ~= nil and there ~= fs.readlink("/proc/self/ns/user"))
end

---Ends every process whose environment carries the entry; for what an engine left behind.
---@param entry string "NAME=value"
---@return integer count of processes found
function M.reap(entry)
  local found = 0
  for _ = 1, 50 do
    local pids = {}
    for _, name in ipairs(fs.list("/proc") or {}) do
      local pid = math.tointeger(tonumber(name))
      if pid and has_entry(pid, entry) then
        local p = fs.process(pid)
        if p and p.state ~= "Z" then
          pids[#pids + 1] = name
        end
      end
    end
    if #pids == 0 then
      return found
    end
    found = math.max(found, #pids)
    local argv = { "/bin/sh", "-c", 'kill -KILL "$@"', "kill" }
    table.move(pids, 1, #pids, #argv + 1, argv)
    exec.run(argv, { timeout = "5s", stdin = "null", stderr = "null", accept = { 0, 1 } })
    task.sleep("20ms")
  end
  return found
end

return M
