-- What the steps of one recipe share within a run: its inputs and secrets, what it may touch, the
-- results that each step may see, and what the recipe returns. These are methods of a run.
local async = require("pai.async")
local err = require("pai.err")
local graph = require("pai.recipe.graph")
local needs = require("pai.run.needs")
local result = require("pai.run.result")
local step = require("pai.run.step")

local M = {}

---Remembers where each secret among the inputs comes from and what may get it.
---@param decls table<string, table>
---@param resolved pai.Inputs
function M:register_secrets(decls, resolved)
  for name, value in pairs(resolved.values) do
    if type(value) == "userdata" then
      local decl = decls[name]
      self.secret_sources[value] = self.secret_sources[value]
        or (resolved.record[name] or {})["$secret"]
      self.secret_decls[value] = self.secret_decls[value]
        or { name = name, hosts = decl.hosts, bins = decl.bins }
    end
  end
end

---Binds the needs of a scope to its inputs.
---@param scope pai.recipe.Scope
function M:bind(scope)
  scope.needs = needs.bind(scope.loaded.doc.needs, scope.inp, {
    cwd = self.cwd,
    run_dir = not self.planning and self.dir or nil,
    osmo = self.osmo_url,
    parent = scope.parent and scope.parent.needs,
    recipe = scope.loaded.name,
  })
  scope.osmo_roots = scope.needs:roots()
  for name, decl in pairs(scope.loaded.doc.inputs or {}) do
    if decl.type == "path" and scope.inp[name] then
      scope.osmo_roots[#scope.osmo_roots + 1] = scope.inp[name]
    end
  end
end

---The results that a step may see: of the steps before it, in its own recipe. Reading one that may
---not have run yet is a mistake that would show itself only sometimes, so it is an error always.
---@param node pai.recipe.Node
---@return table got
function M:got(node)
  local got = {}
  for key, other in pairs(node.scope.nodes) do
    local outcome = node.before[other.name] and self.settled[other.name]
    if outcome then
      got[key] = graph.copy(outcome.result)
    end
  end
  return setmetatable(got, {
    __index = function(_, key)
      local other = node.scope.nodes[key]
      if not other or other == node or self.settled[other.name] and node.before[other.name] then
        return nil
      end
      if not node.before[other.name] then
        local message = "step %s reads got.%s but does not come after it"
        err.raise("ERECIPE", message:format(node.key, key), { hint = "name it in `after`" })
      end
      err.raise("EUNTIL", ("unknown until %s has run"):format(other.name), { step = other.name })
    end,
    __metatable = false,
  })
end

---What a recipe returns, from its steps' results by its `returns`.
---@param scope pai.recipe.Scope
---@return table
function M:returned(scope)
  local values = {}
  for name, node in pairs(scope.nodes) do
    local outcome = self.settled[node.name]
    values[name] = outcome and outcome.result
  end
  local returns = scope.loaded.doc.returns
  if not returns then
    return values
  end
  local picked = {}
  for name, entry in pairs(returns) do
    if entry.from then
      local from, key = entry.from:match("^([^.]+)%.?(.*)$")
      local value = values[from]
      if key ~= "" then
        value = type(value) == "table" and value or {}
        value = value[key]
      end
      picked[name] = value
    else
      for i = #scope.list, 1, -1 do
        local value = values[scope.list[i].name]
        if type(value) == "table" and value[name] ~= nil then
          picked[name] = value[name]
          break
        end
      end
    end
  end
  return picked
end

---What the recipe of the run returns, as plain data.
---@return table
function M:plain_returns()
  return result.plain("returns", self:returned(self.root), self.secret_sources)
end

---Begins a used recipe: whether it is left out, its inputs, what it may touch.
---@param scope pai.recipe.Scope
---@return string? reason why it is left out
function M:enter(scope)
  if not scope.parent or scope.entered then
    return scope.left_out
  end
  local reason = self:enter(scope.parent)
  if not reason then
    reason = step.left_out(self, scope.node)
  end
  if not reason and not scope.entered then
    local resolved =
      async.deadline("30s", graph.inner_inputs, scope, self:got(scope.node), self.cwd)
    if #resolved.checks > 0 then
      err.raise("ERECIPE", ("step %s: %s"):format(scope.node.name, resolved.checks[1].measured))
    end
    scope.inp, scope.defaults = resolved.values, resolved.demo
    self:register_secrets(scope.loaded.doc.inputs or {}, resolved)
    self:bind(scope)
  end
  scope.entered, scope.left_out = true, reason
  return reason
end

return M
