-- What is carried out of a task beside its outputs: checkpoints while it runs and once more at its
-- end, and the files of its KPIs.
local data = require("pai.engine.data")
local err = require("pai.err")
local folders = require("pai.engine.folders")
local fs = require("pai.fs")
local task = require("pai.task")

local M = {}

-- Under the outputs of a run; no task can have this name.
local KPIS <const> = ".kpis"

local function upload(self, t, index, entry, say)
  local from = folders.on_host(t, entry.path)
  if not from or not fs.exists(from) or data.empty(from) then
    return
  end
  -- A link of the task's own may not lead to what the task cannot see.
  if not fs.under(fs.realpath(from) or from, { fs.realpath(t.folder) or t.folder }) then
    err.raise("EACCES", ("%s leads out of the task's folders"):format(entry.path))
  end
  say("Checkpoint Start: " .. entry.path)
  data.put(self.engine, entry.url, from, {
    user = self.user,
    live = fs.join(t.folder, "checkpoints", tostring(index)),
    mark = data.mark(t.row, "c" .. index),
    regex = entry.regex,
    note = say,
  })
  say("Checkpoint Uploaded: " .. entry.url)
end

-- A checkpoint that fails is reported and tried again with the next one: the task goes on.
local function attempt(self, t, index, entry, say)
  local ok, fault = pcall(upload, self, t, index, entry, say)
  if not ok then
    local e = err.wrap(fault)
    if e.code == "ECANCELED" then
      error(fault, 0)
    end
    say("Checkpoint failed: " .. e.message)
  end
end

---Starts the clocks of a task's checkpoints.
---@param self pai.engine.Run
---@param t table
---@param say fun(text: string)
---@return fun(last: boolean) stop ends them; with last, after one more upload of each
function M.start(self, t, say)
  local list, clocks = t.spec.checkpoint or {}, {}
  for i, entry in ipairs(list) do
    local pause = math.tointeger(math.max(entry.frequency * 1000 // 1, 100))
    clocks[i] = task.spawn(function()
      while true do
        task.sleep(pause)
        attempt(self, t, i, entry, say)
      end
    end)
  end
  return function(last)
    for i, entry in ipairs(list) do
      clocks[i]:cancel()
      pcall(clocks[i].wait, clocks[i])
      if last then
        attempt(self, t, i, entry, say)
      end
    end
  end
end

---Keeps the files of a task's KPIs beside the outputs of its run.
---@param self pai.engine.Run
---@param t table
---@param say fun(text: string)
function M.keep_kpis(self, t, say)
  for _, kpi in ipairs(t.spec.kpis or {}) do
    local from = folders.on_host(t, kpi.path)
    local st = from and fs.stat(from, { follow = false })
    if st and st.type == "file" then
      local index = tostring(kpi.index):gsub("[^%w._-]", "_")
      local to = fs.join(self.engine:intermediate(self.id, KPIS), t.row.name, index)
      fs.mkdir(fs.dirname(to), { parents = true, mode = "0700" })
      local ok, e = fs.copy(from, to)
      say(ok and "Kept KPI " .. kpi.path or "KPI failed: " .. e.message)
    else
      say("No KPI file at " .. kpi.path)
    end
  end
end

return M
