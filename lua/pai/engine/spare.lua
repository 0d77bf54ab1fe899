-- Folders of tasks that left nothing behind, kept for the next tasks: to make and remove five
-- directories a task was a third of the engine's own time (ext4 passes over inodes that were
-- removed a moment ago, one by one).
local fs = require("pai.fs")

local M = {}

-- As many as end at once on a large machine.
local KEEP <const> = 64

local OURS <const> = { [448] = true } -- 0700
local ANY <const> = { [448] = true, [493] = true } -- bubblewrap makes it 0755

-- What a fresh folder holds after a sandbox has run in it.
local FRESH <const> = {
  { path = "", names = "output run", modes = OURS },
  { path = "/run", names = "home workspace", modes = OURS },
  { path = "/output", names = "", modes = OURS },
  { path = "/run/workspace", names = "", modes = OURS },
  { path = "/run/home", names = "", modes = ANY },
}

local function is_fresh(folder)
  for _, dir in ipairs(FRESH) do
    local st = fs.stat(folder .. dir.path, { follow = false })
    if not st or st.type ~= "directory" or not dir.modes[st.mode] then
      return false
    end
    local names = fs.list(folder .. dir.path)
    if not names or table.concat(names, " ") ~= dir.names then
      return false
    end
  end
  return true
end

---Keeps the folder of a sandboxed task that has ended, if the task left nothing in it. No process
---of the task may be alive. Then `t.given` says that nothing is left to remove.
---@param engine pai.engine.Engine
---@param t table task of a group
function M.give(engine, t)
  if t.kind ~= "bubblewrap" then
    return
  end
  local dir = engine.paths.root .. "/spare"
  if not engine.spares then
    engine.spares, engine.spare_count = {}, 0
    fs.remove(dir, { recursive = true })
    if not fs.mkdir(dir, { mode = "0700" }) then
      return
    end
  end
  if #engine.spares >= KEEP or not is_fresh(t.folder) then
    return
  end
  engine.spare_count = engine.spare_count + 1
  local path = ("%s/%d"):format(dir, engine.spare_count)
  if fs.rename(t.folder, path) then
    table.insert(engine.spares, path)
    t.given = true
  end
end

---Makes a kept folder that of a task.
---@param engine pai.engine.Engine
---@param t table task of a group
---@return boolean taken false: there is none
function M.take(engine, t)
  local path = t.kind == "bubblewrap" and engine.spares and table.remove(engine.spares)
  return path and fs.rename(path, t.folder) ~= nil or false
end

return M
