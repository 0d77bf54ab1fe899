-- Resume: the same recipe, the same inputs, from where the journal ends. Finished steps are not
-- repeated; a step that was started and did not end is asked `done` first.
local begin = require("pai.run.begin")
local children = require("pai.run.children")
local err = require("pai.err")
local fs = require("pai.fs")
local graph = require("pai.recipe.graph")
local inputs = require("pai.recipe.inputs")
local journal = require("pai.run.journal")
local prepare = require("pai.run.prepare")
local replay = require("pai.run.replay")
local runner = require("pai.run.runner")
local state = require("pai.state")
local text = require("pai.text")

local M = {}

---Finds a run by its id or the beginning of one; "last" is the one that began last.
---@param what string
---@return string? id
---@return pai.Error? err
function M.find(what)
  local ids, best, best_time = {}, nil, -1
  for _, name in ipairs(fs.list(state.runs()) or {}) do
    if state.is_id(name) then
      ids[#ids + 1] = name
      local st = what == "last" and fs.stat(state.run_dir(name) .. "/" .. journal.FILE)
      if st and st.mtime_ms > best_time then
        best, best_time = name, st.mtime_ms
      end
    end
  end
  if what == "last" and best then
    return best
  end
  local hits = {}
  for _, id in ipairs(ids) do
    if id == what then
      return id
    elseif id:sub(1, #what) == what or id:sub(5, 4 + #what) == what then
      hits[#hits + 1] = id
    end
  end
  if #hits == 1 then
    return hits[1]
  elseif #hits > 1 then
    return err.fail("EUSAGE", ("'%s' may be %s"):format(what, table.concat(hits, ", ")))
  end
  local hint = text.did_you_mean(what, ids)
  return err.fail("ENOENT", ("no run '%s'%s"):format(what, hint), { hint = "pai runs lists them" })
end

---Reads where a run stands.
---@param id string
---@return pai.run.State? known
---@return pai.Error? err
function M.state(id)
  local events, e = journal.read(state.run_dir(id) .. "/" .. journal.FILE)
  if not events then
    return nil, e
  end
  local known = replay.of(events)
  if not known.start then
    return err.fail("EJOURNAL", ("run %s was killed before it began"):format(id), {
      hint = "nothing was done; start it again",
    })
  end
  return known
end

---How the recipe's files differ from those that the run began with.
---@param known pai.run.State
---@param files pai.recipe.File[]
---@return string[] differences "changed: recipes/x.lua"
function M.differences(known, files)
  local list, now = {}, {}
  for _, file in ipairs(files) do
    now[file.path] = file.sha256
    if not known.files[file.path] then
      list[#list + 1] = "new: " .. file.path
    elseif known.files[file.path] ~= file.sha256 then
      list[#list + 1] = "changed: " .. file.path
    end
  end
  for path in pairs(known.files) do
    if not now[path] and not fs.exists(path) then
      list[#list + 1] = "gone: " .. path
    end
  end
  table.sort(list)
  return list
end

---Prepares a recorded run again: recipe, inputs, graph.
---@param known pai.run.State
---@param opts { read: function?, prompt: boolean? }
---@return pai.run.Prepared
function M.prepare(known, opts)
  local start = known.start
  local loader, loaded, path = prepare.load(start.path, { cwd = start.cwd, read = opts.read })
  local decls = prepare.declarations(loaded.doc)
  local given = {}
  for name, value in pairs(start.inputs) do
    if decls[name] then
      given[name] = value
    end
  end
  local resolved = inputs.reopen(decls, given, start.cwd)
  if #resolved.missing > 0 and opts.prompt then
    inputs.prompt(resolved, decls, start.cwd)
  end
  if #resolved.missing > 0 then
    err.raise("EINPUT", inputs.question(resolved.missing), { missing = resolved.missing })
  end
  return prepare.finish({
    loader = loader,
    loaded = loaded,
    path = path,
    cwd = start.cwd,
    inputs = resolved,
  }, start.target)
end

-- Recipe files against the record; stops unless a difference was accepted.
local function check_files(known, prepared, accept)
  local differences = M.differences(known, prepared.loader.files)
  if #differences > 0 and not accept then
    err.raise(
      "ECHANGED",
      "the recipe is not what the run began with: " .. table.concat(differences, ", "),
      { hint = "pass --accept-changes to go on with it" }
    )
  end
  return differences
end

local function finished_units(known)
  local names = {}
  for _, name in ipairs(known.order) do
    if known.units[name].done then
      names[#names + 1] = name
    end
  end
  return names
end

---Resumes a run and takes it to its end.
---@param id string
---@param opts { open_view: (fun(): table), accept_changes: boolean?, prompt: boolean? }
---@return integer exit code
---@return string status
---@return boolean? nothing it had ended green before
function M.run(id, opts)
  local known, e = M.state(id)
  if not known then
    error(e, 0)
  end
  if known.ended and known.ended.status == "green" then
    return 0, "green", true
  end
  local prepared = M.prepare(known, opts)
  local differences = check_files(known, prepared, opts.accept_changes)
  local dir = state.run_dir(id)
  local leases = begin.take_leases(prepared, id)
  local started, run = pcall(function()
    -- Somebody else may have gone on with it until the lease was ours.
    known = assert(M.state(id))
    local log, failure = journal.open(dir, id)
    if not log then
      error(failure, 0)
    end
    local one = runner.new({
      id = id,
      dir = dir,
      state = state.dir(),
      cwd = prepared.cwd,
      target = prepared.target,
      osmo_url = prepared.osmo_url,
      loader = prepared.loader,
      graph = prepared.graph,
      root = prepared.root,
      inputs = prepared.inputs,
      replay = known,
      journal = log,
      sinks = opts.open_view().sinks,
      resumed = true,
    })
    local line = begin.session(prepared, id)
    line.accepted_changes = require("pai.json").array(differences)
    line.finished = require("pai.json").array(finished_units(known))
    if #differences > 0 then
      line.files = begin.copy_files(dir, prepared.loader.files, 1000 * known.sessions)
    end
    one:emit("run.resume", line)
    one:emit("run.graph", { steps = graph.plain(prepared.graph) })
    children.end_leftovers(known.children, function(child)
      local message = "ended what was left of it: %s, pid %d"
      one:log(child.step, message:format(child.argv0, child.pid), "warn")
    end)
    return one
  end)
  if not started then
    begin.release(leases)
    error(run, 0)
  end
  return begin.execute(run, leases)
end

return M
