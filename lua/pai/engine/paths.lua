-- Where an engine keeps its things, and which build of it this is.
local fs = require("pai.fs")
local state = require("pai.state")

local M = {}

---@class pai.engine.Paths
---@field state string
---@field root string STATE/engine
---@field real_root string the same without symbolic links
---@field db string
---@field lock string
---@field log string
---@field runs string
---@field config string what tasks find at /osmo/login/config
---@field credentials string
---@field socket string

---@param dir string? state folder
---@return pai.engine.Paths
function M.of(dir)
  dir = dir and fs.abspath(dir) or state.dir()
  local root = dir .. "/engine"
  return {
    state = dir,
    root = root,
    real_root = fs.realpath(root) or root,
    db = root .. "/engine.db",
    lock = root .. "/lock",
    log = root .. "/engine.log",
    runs = root .. "/runs",
    config = root .. "/config",
    credentials = root .. "/credentials",
    socket = state.socket(root, "socket"),
  }
end

---Whether the socket, or what may come to be it, is this user's. A socket with a long path lies in
---a folder that others can write to, where somebody else may have been first.
---@param p pai.engine.Paths
---@return boolean
function M.own_socket(p)
  local _, uid = fs.user()
  local dir = fs.stat(fs.dirname(p.socket), { follow = false })
  local socket = fs.stat(p.socket, { follow = false })
  if dir and (dir.type ~= "directory" or dir.uid ~= uid or dir.mode & 18 ~= 0) then -- 0022
    return false
  end
  return socket == nil or socket.uid == uid
end

---@class pai.engine.Build
---@field version string
---@field stamp integer newest change of any file that makes the engine, ms since 1970

---The build of the engine that this process would start.
---@return pai.engine.Build
function M.build()
  local pai = require("pai")
  local stamp = (fs.stat(pai.exe) or {}).mtime_ms or 0
  for _, part in ipairs({ "engine", "osmo" }) do
    local dir = ("%s/lua/pai/%s"):format(pai.root, part)
    for _, name in ipairs(fs.list(dir) or {}) do
      local st = fs.stat(dir .. "/" .. name)
      stamp = math.max(stamp, st and st.mtime_ms or 0)
    end
  end
  return { version = require("pai.version"), stamp = stamp }
end

local function numbers(version)
  local out = {}
  for n in tostring(version):gmatch("%d+") do
    out[#out + 1] = tonumber(n)
  end
  return out
end

---Whether build a is newer than build b.
---@param a pai.engine.Build
---@param b pai.engine.Build
---@return boolean
function M.newer(a, b)
  local left, right = numbers(a.version), numbers(b.version)
  for i = 1, math.max(#left, #right) do
    local l, r = left[i] or 0, right[i] or 0
    if l ~= r then
      return l > r
    end
  end
  return a.stamp > b.stamp
end

return M
