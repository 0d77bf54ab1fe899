-- The root that a sandbox shows: the host's, read-only, with devices, processes and memory of its
-- own; and the base, a sandbox that holds of it what does not differ from task to task.
local fs = require("pai.fs")
local task = require("pai.task")

local M = {}

-- Own mounts of the sandbox; everything else of the host's root is bound read-only. /run and /tmp
-- are private because a read-only mount does not keep a task from a socket that lies in it.
M.OWN = { proc = true, dev = true, tmp = true, run = true, osmo = true, sys = true }

-- Of no use to a task. Each mount costs: the start of a task is mostly mounts.
local LEFT_OUT <const> = { boot = true, ["lost+found"] = true }

-- What programs ask about processors; the rest of /sys is a dozen mounts more.
local SYS <const> = "/sys/devices/system"

---Appends words to a list.
---@param list string[]
---@param ... string
local function extend(list, ...)
  local n = #list
  for i = 1, select("#", ...) do
    list[n + i] = (select(i, ...))
  end
end

M.extend = extend

-- The root of the host does not change while tasks are started one after the other; to look at all
-- of it for each of them was a third of what a start cost.
local ROOT_AGE <const> = 1000
local root_binds, root_seen

local function same(a, b)
  if not a or #a ~= #b then
    return false
  end
  for i, word in ipairs(a) do
    if word ~= b[i] then
      return false
    end
  end
  return true
end

---Arguments that bind the host's root. The same table as long as they are the same.
---@return string[]
function M.binds()
  if root_binds and task.now() - root_seen < ROOT_AGE then
    return root_binds
  end
  local args = {}
  for _, name in ipairs(fs.list("/") or {}) do
    local path = "/" .. name
    if not M.OWN[name] and not LEFT_OUT[name] then
      local target = fs.readlink(path)
      local st = not target and fs.stat(path)
      if target then
        extend(args, "--symlink", target, path)
      elseif st and st.type == "directory" then
        local entries = fs.list(path)
        if entries and #entries == 0 then
          extend(args, "--dir", path)
        else
          extend(args, "--ro-bind-try", path, path)
        end
      end
    end
  end
  extend(args, "--ro-bind-try", SYS, SYS)
  root_seen = task.now()
  root_binds = same(root_binds, args) and root_binds or args
  return root_binds
end

-- Nobody writes to /dev itself, where one task after the other may have it.
local DEVICES <const> = { "--dev", "/dev", "--remount-ro", "/dev" }
local MEMORY <const> =
  { "--tmpfs", "/dev/shm", "--perms", "1777", "--tmpfs", "/tmp", "--tmpfs", "/run" }

local function append(args, list)
  table.move(list, 1, #list, #args + 1, args)
end

---Adds what every sandbox has: the host's root, devices, processes and memory of its own.
---@param args string[]
---@param based boolean whether it begins in a base
function M.bind(args, based)
  if based then
    -- What is mounted there is what it is to be: nothing has to be looked at but once.
    extend(args, "--dev-bind", "/", "/")
  else
    append(args, M.binds())
    append(args, DEVICES)
  end
  extend(args, "--proc", "/proc")
  append(args, MEMORY)
end

---Arguments of the sandbox that holds what tasks have in common. Some is there for their own
---sandboxes only, which cover it: the host's /proc, without which they could mount none, and the
---engine's folder.
---@param engine_root string folder of the engine
---@return string[]
function M.base(engine_root)
  local args = { "bwrap", "--unshare-user", "--die-with-parent", "--new-session" }
  append(args, M.binds())
  append(args, { "--bind", "/proc", "/proc" })
  append(args, DEVICES)
  append(args, { "--dir", "/tmp", "--dir", "/run", "--dir", "/osmo" })
  append(args, { "--bind", engine_root, engine_root, "--remount-ro", "/" })
  return args
end

local ids

---Adds who the task is: in a base the engine's user is root, and is to be itself again.
---@param args string[]
function M.identity(args)
  if not ids then
    local f <close> = assert(io.open("/proc/self/status", "rb"))
    local text = f:read("a")
    ids = { "--uid", text:match("Uid:%s+%d+%s+(%d+)"), "--gid", text:match("Gid:%s+%d+%s+(%d+)") }
  end
  append(args, ids)
end

return M
