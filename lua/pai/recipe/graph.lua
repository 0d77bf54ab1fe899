-- The graph of a run: the recipe's steps, with those of every recipe that a step uses in its place
-- (`use`), in an order in which each comes after what it waits for. Nothing is run here but the
-- `steps` and `with` functions, which are pure.
local err = require("pai.err")
local inputs = require("pai.recipe.inputs")
local loader = require("pai.recipe.loader")
local schema = require("pai.recipe.schema")
local text = require("pai.text")

local M = {}

local MAX_DEPTH <const> = 8

---@class pai.recipe.Scope the recipe that a step belongs to
---@field loaded pai.recipe.Loaded
---@field prefix string "" or "cluster/"
---@field parent pai.recipe.Scope?
---@field node pai.recipe.Node? the step that uses it
---@field inp table? its inputs; those of a used recipe are known when its step begins
---@field defaults table<string, boolean> inputs whose value is the default
---@field nodes table<string, pai.recipe.Node> by local name

---@class pai.recipe.Node
---@field name string "cluster/deploy"
---@field key string "deploy"
---@field title string?
---@field step table
---@field scope pai.recipe.Scope
---@field inner pai.recipe.Scope? of a `use`
---@field after string[] full names
---@field before table<string, boolean> every step that ends before this one begins
---@field safety string

---@class pai.recipe.Graph
---@field nodes pai.recipe.Node[] in order
---@field by_name table<string, pai.recipe.Node>

---A copy of plain data, so that a recipe's function can't change what others see.
---@generic T
---@param value T
---@return T
function M.copy(value)
  if type(value) ~= "table" then
    return value
  end
  local out = {}
  for k, v in pairs(value) do
    out[k] = M.copy(v)
  end
  return out
end

local RANK <const> = { observes = 1, changes = 2, destroys = 3 }

local function covers(list, entry)
  for _, known in ipairs(list or {}) do
    if known == entry then
      return true
    end
  end
  return false
end

---What a used recipe needs beyond what the outer one declares. Entries that name inputs are bound
---while running.
---@param outer table document
---@param inner table document
---@return string[] missing "needs.bins: helm"
function M.uncovered(outer, inner)
  local missing = {}
  if RANK[inner.safety] > RANK[outer.safety] then
    missing[1] = ("safety: it %s"):format(inner.safety)
  end
  for _, key in ipairs({ "bins", "hosts", "writes", "clusters" }) do
    for _, entry in ipairs(inner.needs and inner.needs[key] or {}) do
      if entry:sub(1, 1) ~= "@" and not covers(outer.needs and outer.needs[key], entry) then
        missing[#missing + 1] = ("needs.%s: %s"):format(key, entry)
      end
    end
  end
  return missing
end

local function fail(scope, path, message)
  local line = require("pai.recipe.locate")
  local source = scope.loaded.source
  source.lines = source.lines or line.lines(source.text)
  local at = line.line(source.lines, path)
  err.raise("ESCHEMA", ("%s:%d: %s"):format(source.file, at, message))
end

---@class pai.recipe.Expander
---@field loader pai.recipe.Loader
---@field graph pai.recipe.Graph
---@field cwd string
local Expander = {}
Expander.__index = Expander

-- The steps of a recipe as a checked list.
function Expander:steps(scope)
  local steps = scope.loaded.doc.steps
  if type(steps) == "table" then
    return steps
  end
  local ok, value = pcall(steps, M.copy(scope.inp))
  if not ok then
    if err.is(value, "ECANCELED") then
      error(value, 0)
    end
    fail(scope, "steps", "steps: " .. self.loader:locate(err.wrap(value).message))
  end
  local list, problems = schema.check_steps(value, scope.loaded.source)
  if not list then
    error(loader.error(problems), 0)
  end
  return list
end

---Inputs of a used recipe from its step's `with`.
---@param scope pai.recipe.Scope the inner one
---@param got table
---@param cwd string
---@return pai.Inputs
function M.inner_inputs(scope, got, cwd)
  local node = scope.node
  local given = {}
  if node.step.with then
    given = node.step.with(M.copy(node.scope.inp), got)
    if type(given) ~= "table" then
      err.raise("ERECIPE", ("step %s: with must return a table"):format(node.name))
    end
  end
  local result = inputs.resolve(scope.loaded.doc.inputs or {}, given, { cwd = cwd })
  if #result.missing > 0 then
    -- What the recipe around it asks for is the user's to pass; the rest its author left out.
    local outer = node.scope.loaded.doc.inputs or {}
    local names, passed, left = {}, {}, {}
    for i, m in ipairs(result.missing) do
      names[i] = m.name
      if outer[m.name] and node.scope.inp[m.name] == nil then
        passed[#passed + 1] = m.name .. "="
      else
        left[#left + 1] = m.name
      end
    end
    local todo = {}
    todo[#todo + 1] = #passed > 0 and "pass " .. table.concat(passed, ", ") or nil
    todo[#todo + 1] = #left > 0 and ("give %s in `with`"):format(table.concat(left, ", ")) or nil
    local message = "step %s: %s needs %s; %s"
    local list = table.concat(names, ", ")
    err.raise(
      "ERECIPE",
      message:format(node.name, scope.loaded.name, list, table.concat(todo, "; "))
    )
  end
  return result
end

function Expander:use(scope, node, depth)
  local at = "steps"
  for i, step in ipairs(scope.list) do
    if step == node.step then
      at = ("steps.%d.use"):format(i)
    end
  end
  if depth > MAX_DEPTH then
    fail(scope, at, ("step %s: recipes use each other too deep"):format(node.name))
  end
  local near = { cwd = self.cwd, near = scope.loaded.path }
  local path, e = require("pai.recipe.index").resolve(node.step.use, near)
  if not path then
    fail(scope, at, ("step %s: %s"):format(node.name, e.message))
  end
  local above = scope
  while above do
    if above.loaded.path == path then
      fail(scope, at, ("step %s: %s uses itself"):format(node.name, node.step.use))
    end
    above = above.parent
  end
  local loaded, problems = self.loader:load(path)
  if not loaded then
    error(loader.error(problems), 0)
  end
  local missing = M.uncovered(scope.loaded.doc, loaded.doc)
  if #missing > 0 then
    local message = "step %s: %s needs more than %s declares: %s"
    local list = table.concat(missing, ", ")
    fail(scope, at, message:format(node.name, loaded.name, scope.loaded.name, list))
  end
  local inner = {
    loaded = loaded,
    prefix = node.name .. "/",
    parent = scope,
    node = node,
    defaults = {},
    nodes = {},
  }
  node.inner = inner
  if type(loaded.doc.steps) == "function" then
    -- Its steps depend on its inputs, so they must be known now.
    local ok, result = pcall(M.inner_inputs, inner, {}, self.cwd)
    if not ok then
      local message = "step %s: %s chooses its steps by its inputs, so `with` must do without "
        .. "results of other steps: %s"
      fail(scope, at, message:format(node.name, loaded.name, err.wrap(result).message))
    end
    inner.inp = result.values
  end
  return inner
end

-- Adds the steps of a scope; those without `after` come after `entry`.
function Expander:expand(scope, entry, depth)
  scope.list = self:steps(scope)
  for _, step in ipairs(scope.list) do
    local node = {
      name = scope.prefix .. step.name,
      key = step.name,
      title = step.title,
      step = step,
      scope = scope,
      after = {},
      safety = step.safety or scope.loaded.doc.safety,
    }
    for i, name in ipairs(step.after or {}) do
      node.after[i] = scope.prefix .. name
    end
    if #node.after == 0 then
      table.move(entry, 1, #entry, 1, node.after)
    end
    scope.nodes[step.name] = node
    if step.use then
      local inner = self:use(scope, node, depth)
      self:expand(inner, node.after, depth + 1)
      for _, name in ipairs(text.keys(inner.nodes)) do
        node.after[#node.after + 1] = inner.nodes[name].name
      end
    end
    self.graph.nodes[#self.graph.nodes + 1] = node
    self.graph.by_name[node.name] = node
  end
end

-- Puts the nodes in an order that keeps the written one where it can; finds what is before each.
local function order(graph)
  local sorted, placed = {}, {}
  local function place(node)
    if placed[node.name] then
      return
    end
    placed[node.name] = true
    node.before = {}
    for _, name in ipairs(node.after) do
      local earlier = graph.by_name[name]
      place(earlier)
      node.before[name] = true
      for further in pairs(earlier.before) do
        node.before[further] = true
      end
    end
    sorted[#sorted + 1] = node
  end
  for _, node in ipairs(graph.nodes) do
    place(node)
  end
  graph.nodes = sorted
end

---Makes the graph of a recipe and its inputs. Raises ESCHEMA with file and line. May run code of
---the recipe that does not end: call from a task with a deadline.
---@param recipe_loader pai.recipe.Loader
---@param loaded pai.recipe.Loaded
---@param resolved pai.Inputs
---@param cwd string
---@return pai.recipe.Graph
---@return pai.recipe.Scope root
function M.build(recipe_loader, loaded, resolved, cwd)
  local graph = { nodes = {}, by_name = {} }
  local root = {
    loaded = loaded,
    prefix = "",
    inp = resolved.values,
    defaults = resolved.demo,
    nodes = {},
  }
  local expander = setmetatable({ loader = recipe_loader, graph = graph, cwd = cwd }, Expander)
  expander:expand(root, {}, 1)
  order(graph)
  return graph, root
end

---The graph as run.graph shows it.
---@param graph pai.recipe.Graph
---@return table[] steps
function M.plain(graph)
  local steps = {}
  for i, node in ipairs(graph.nodes) do
    steps[i] = {
      name = node.name,
      title = node.title,
      after = require("pai.json").array(M.copy(node.after)),
      use = node.step.use,
    }
  end
  return steps
end

---A digest of what a run will be: files, inputs, target and graph.
---@param files pai.recipe.File[]
---@param record table inputs as they are journalled
---@param target string
---@param graph pai.recipe.Graph
---@param clusters pai.run.Cluster[]? that it is for
---@return string sha256 hex
function M.digest(files, record, target, graph, clusters)
  local list = {}
  for _, file in ipairs(files) do
    list[#list + 1] = { file.path, file.sha256 }
  end
  table.sort(list, function(a, b)
    return a[1] < b[1]
  end)
  local steps = {}
  for i, node in ipairs(graph.nodes) do
    steps[i] = { node.name, M.copy(node.after), node.safety }
  end
  local body = require("pai.json").encode({
    files = list,
    inputs = record,
    target = target,
    steps = steps,
    clusters = clusters,
  })
  return require("pai.digest").sha256(body)
end

return M
