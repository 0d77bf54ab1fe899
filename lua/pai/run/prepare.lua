-- Everything that comes before a run, a plan or a check, and changes nothing: find the recipe, load
-- it under guard, read its inputs, make its graph.
local async = require("pai.async")
local err = require("pai.err")
local fs = require("pai.fs")
local graph = require("pai.recipe.graph")
local index = require("pai.recipe.index")
local inputs = require("pai.recipe.inputs")
local loader = require("pai.recipe.loader")
local target = require("pai.run.target")
local text = require("pai.text")

local M = {}

---Longest time for a recipe to load and to make its list of steps; PAI_READ_TIMEOUT sets another.
M.READ_TIMEOUT = "10s"
---What the Lua state may hold; PAI_MEMORY sets another number of MiB.
M.MEMORY_MIB = 512
---How long a recipe may hold the host without a turn of the loop; PAI_WATCHDOG sets another.
M.WATCHDOG = "30s"

---@class pai.run.PrepareOptions
---@field from_text table<string, boolean>? inputs that were given as text
---@field prompt boolean? asks on the terminal for what is missing
---@field target string?
---@field loader pai.recipe.Loader? one that has read ahead, or has sources without a file

---@class pai.run.Prepared
---@field loader pai.recipe.Loader
---@field loaded pai.recipe.Loaded
---@field path string
---@field cwd string
---@field inputs pai.Inputs
---@field target string
---@field osmo_url string?
---@field graph pai.recipe.Graph
---@field root pai.recipe.Scope
---@field digest string

---Turns the guards of this process on: memory, pre-emption, watchdog.
---@param label string what the watchdog names
function M.guard(label)
  local mib = math.tointeger(tonumber(os.getenv("PAI_MEMORY") or "")) or M.MEMORY_MIB
  require("pai.sandbox").guard({
    label = label,
    memory = mib * 1024 * 1024,
    watchdog = os.getenv("PAI_WATCHDOG") or M.WATCHDOG,
  })
end

---The deadline for reading a recipe.
---@return string
function M.read_timeout()
  return os.getenv("PAI_READ_TIMEOUT") or M.READ_TIMEOUT
end

-- Runs something of a recipe's that is not a step, under the reading deadline.
local function reading(what, fn, ...)
  local results = table.pack(pcall(async.deadline, M.read_timeout(), fn, ...))
  if not results[1] then
    local e = err.wrap(results[2])
    if e.code == "ETIMEDOUT" then
      local message = "%s did not end within %s: does it loop for ever?"
      err.raise("ERECIPE", message:format(what, M.read_timeout()))
    end
    error(e, 0)
  end
  return table.unpack(results, 2, results.n)
end

M.reading = reading

---Loads a recipe by name or path. Raises ENOENT or ESCHEMA.
---@param what string
---@param opts { cwd: string?, read: function?, loader: pai.recipe.Loader? }?
---@return pai.recipe.Loader
---@return pai.recipe.Loaded
---@return string path
function M.load(what, opts)
  local cwd = opts and opts.cwd or fs.cwd()
  local path, e = index.resolve(what, { cwd = cwd })
  if not path and opts and (opts.read or opts.loader) then
    path = what -- it is gone, but there is a copy
  elseif not path then
    error(e, 0)
  end
  M.guard(path)
  local recipe_loader = opts and opts.loader or loader.new({ cwd = cwd, read = opts and opts.read })
  local loaded, problems = reading(what, recipe_loader.load, recipe_loader, path)
  if not loaded then
    error(loader.error(problems), 0)
  end
  return recipe_loader, loaded, path
end

local TARGET <const> = {
  type = "enum",
  values = { "local", "osmo" },
  optional = true,
  doc = "Where workflows run: on this machine or on the OSMO you are logged in to.",
}

---The inputs of a recipe; one that speaks to OSMO takes `target` too.
---@param doc table
---@return table<string, table>
function M.declarations(doc)
  local decls = doc.inputs or {}
  if decls.target then
    return decls
  end
  for _, host in ipairs(doc.needs and doc.needs.hosts or {}) do
    if host == "@osmo" then
      local copy = { target = TARGET }
      for name, decl in pairs(decls) do
        copy[name] = decl
      end
      return copy
    end
  end
  return decls
end

---Puts target, graph and digest to loaded recipe and inputs.
---@param prepared pai.run.Prepared with loader, loaded, path, cwd, inputs
---@param asked string? target
---@return pai.run.Prepared
function M.finish(prepared, asked)
  local given = prepared.inputs.values.target
  local declared = prepared.loaded.doc.inputs and prepared.loaded.doc.inputs.target
  if given ~= "local" and given ~= "osmo" then
    given = nil
  end
  prepared.target, prepared.osmo_url = target.resolve(asked or given)
  if not declared then
    prepared.inputs.values.target = nil
    prepared.inputs.record.target = nil
  end
  prepared.graph, prepared.root = reading(
    "the list of steps",
    graph.build,
    prepared.loader,
    prepared.loaded,
    prepared.inputs,
    prepared.cwd
  )
  local doc = prepared.loaded.doc
  if doc.needs and doc.needs.clusters then
    local planned = require("pai.run.clusters").planned
    prepared.graph.clusters = planned(doc.needs, prepared.inputs.values, doc.safety)
  end
  prepared.digest = graph.digest(
    prepared.loader.files,
    prepared.inputs.record,
    prepared.target,
    prepared.graph,
    prepared.graph.clusters
  )
  return prepared
end

---Loads a recipe and reads its inputs. Raises EINPUT with `missing` when a value is missing.
---@param what string name or path
---@param given table<string, any>
---@param opts pai.run.PrepareOptions
---@return pai.run.Prepared
function M.run(what, given, opts)
  local cwd = fs.cwd()
  local recipe_loader, loaded, path = M.load(what, { cwd = cwd, loader = opts.loader })
  local decls = M.declarations(loaded.doc)
  local resolved = inputs.resolve(decls, given, { cwd = cwd, from_text = opts.from_text })
  if #resolved.missing > 0 and #resolved.checks > 0 then
    -- What is missing may lie in the file that was not opened.
    local check = resolved.checks[1]
    err.raise("ERED", check.measured, { hint = check.hint, check = check })
  end
  if #resolved.missing > 0 and opts.prompt then
    inputs.prompt(resolved, decls, cwd)
  end
  if #resolved.missing > 0 then
    err.raise("EINPUT", inputs.question(resolved.missing), { missing = resolved.missing })
  end
  return M.finish({
    loader = recipe_loader,
    loaded = loaded,
    path = path,
    cwd = cwd,
    inputs = resolved,
  }, opts.target)
end

---Steps of a graph that destroy something.
---@param prepared pai.run.Prepared
---@return string[] names
function M.destroying(prepared)
  local names = {}
  for _, node in ipairs(prepared.graph.nodes) do
    if node.safety == "destroys" and not node.step.use and not node.step.checks then
      names[#names + 1] = node.name
    end
  end
  return names
end

---"preflight → submit" for a message.
---@param names string[]
---@return string
function M.listed(names)
  return text.one_line(table.concat(names, ", "))
end

return M
