-- A recorded run, opened again to look at it or to end its work: the recipe as it was, from the
-- copies in the run's folder, and the results that its steps had.
local err = require("pai.err")
local fs = require("pai.fs")
local journal = require("pai.run.journal")
local resume = require("pai.run.resume")
local runner = require("pai.run.runner")
local state = require("pai.state")

local M = {}

-- The recipe as it was when the run began, whatever lies at its path now.
local function copies(known, events, id)
  local by_path = {}
  for _, e in ipairs(events) do
    for _, file in ipairs(e.files or (e.event == "file" and { e }) or {}) do
      by_path[file.path] = file.copy
    end
  end
  return function(path)
    if by_path[path] and known.files[path] then
      return fs.read(state.run_dir(id) .. "/" .. by_path[path])
    end
  end
end

-- What the steps of a run had come to.
local function settle(run, known)
  for name, node in pairs(run.graph.by_name) do
    local u = known.units[name]
    if u and u.done then
      run.settled[name] = { state = "kept", result = run:revive(u.result) }
    end
    for unit, item in pairs(known.units) do
      local base, key = unit:match("^(.-)%[(.*)%]$")
      if base == name and item.done then
        run.settled[name] = run.settled[name] or { state = "kept", result = {} }
        run.settled[name].result[key] = run:revive(item.result)
      end
    end
    run.settled[name] = run.settled[name] or { state = "waiting" }
    node.before = node.before or {}
  end
end

---@class pai.run.Recorded
---@field known pai.run.State
---@field prepared pai.run.Prepared

---Reads a run and prepares its recipe again. Raises.
---@param id string
---@return pai.run.Recorded
function M.read(id)
  local events, e = journal.read(state.run_dir(id) .. "/" .. journal.FILE)
  if not events then
    error(e, 0)
  end
  local known, failure = resume.state(id)
  if not known then
    error(failure, 0)
  end
  return { known = known, prepared = resume.prepare(known, { read = copies(known, events, id) }) }
end

---Makes a run of it whose steps are settled as the journal says. Without a journal it is one that
---only looks.
---@param id string
---@param recorded pai.run.Recorded
---@param more { journal: pai.run.Journal?, sinks: table[] }
---@return pai.run.Run
function M.open(id, recorded, more)
  local prepared = recorded.prepared
  local run = runner.new({
    id = id,
    dir = state.run_dir(id),
    state = state.dir(),
    cwd = prepared.cwd,
    target = prepared.target,
    osmo_url = prepared.osmo_url,
    loader = prepared.loader,
    graph = prepared.graph,
    root = prepared.root,
    inputs = prepared.inputs,
    replay = recorded.known,
    journal = more.journal,
    sinks = more.sinks,
    planning = more.journal == nil,
  })
  settle(run, recorded.known)
  return run
end

---Draws the report of a run again, with what its recipe has to say.
---@param id string
---@return string path of the page
function M.report(id)
  local recorded = M.read(id)
  local run = M.open(id, recorded, { sinks = {} })
  local doc = recorded.prepared.loaded.doc
  local report = doc.report and require("pai.run.report_hook").ask(run) or {}
  local path, e = require("pai.report").render(run.dir, report)
  if not path then
    error(err.wrap(e), 0)
  end
  return path
end

return M
