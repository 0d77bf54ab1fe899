-- Plan: what a run would do, found by looking only. Of each step: already so, would run, red, left
-- out, or unknown until another has run. Nothing is written, nothing is started that changes
-- something; results that are not there yet are not made up.
local async = require("pai.async")
local err = require("pai.err")
local estimate = require("pai.run.estimate")
local gate = require("pai.run.gate")
local graph = require("pai.recipe.graph")
local prepare = require("pai.run.prepare")
local replay = require("pai.run.replay")
local result = require("pai.run.result")
local runner = require("pai.run.runner")
local state = require("pai.state")
local step = require("pai.run.step")

local M = {}

---Steps that are looked at side by side.
M.LIMIT = 16

---@class pai.run.PlanEntry
---@field step string
---@field state "already"|"would run"|"green"|"red"|"left out"|"unknown"
---@field why string?
---@field items string[]? keys of `each`
---@field checks pai.run.Check[]?
---@field title string?
---@field failed boolean? it is unknown because looking failed, not because others have not run

---Makes a run that only looks.
---@param prepared pai.run.Prepared
---@return pai.run.Run
function M.looker(prepared)
  return runner.new({
    id = "run-plan",
    dir = state.run_dir("run-plan"),
    state = state.dir(),
    cwd = prepared.cwd,
    target = prepared.target,
    osmo_url = prepared.osmo_url,
    loader = prepared.loader,
    graph = prepared.graph,
    root = prepared.root,
    inputs = prepared.inputs,
    replay = replay.fresh(),
    sinks = {},
    planning = true,
  })
end

-- Errors of looking as an entry's state.
local function unknown(run, node, entry, e)
  e = err.wrap(e)
  if e.code == "ECANCELED" then
    error(e, 0)
  elseif e.code == "EUNTIL" then
    return "unknown", e.message
  elseif e.code == "ENOENGINE" then
    return node.step.run and "would run" or "unknown", e.message
  end
  entry.failed = true
  return "unknown", run.loader:locate(e.message)
end

local function look_checks(run, node)
  local verdict, checks = gate.run(node.name, node.step.checks, {
    timeout = node.step.timeout or step.OBSERVE_TIMEOUT,
    call = function(fn)
      local ctx = run:ctx(node, node.name, "read", "checks of " .. node.name)
      return fn(ctx, graph.copy(node.scope.inp), run:got(node))
    end,
  })
  return verdict, checks
end

local function look_done(run, node, unit, item)
  if not node.step.done then
    return "would run"
  end
  local value = step.observe(run, node, unit, "done", node.step.done, item)
  if value == nil or value == false then
    return "would run"
  end
  return "already", run:revive(result.plain(unit, value, run.secret_sources))
end

local function look_each(run, node, entry)
  local items = step.items_of(run, node)
  local values, all = {}, true
  entry.items = {}
  for i, item in ipairs(items) do
    local found, value = look_done(run, node, ("%s[%s]"):format(node.name, item.key), item)
    all = all and found == "already"
    values[item.key] = value == nil and true or value
    entry.items[i] = { key = item.key, state = found }
  end
  if #items == 0 or all then
    run.settled[node.name] = { state = "already", result = values }
    return "already", #items == 0 and "no items" or nil
  end
  return "would run"
end

local function look(run, node, entry)
  local reason = run:enter(node.scope) or step.left_out(run, node)
  if reason then
    run.settled[node.name] = { state = "skipped" }
    return "left out", reason
  end
  if node.step.each then
    return look_each(run, node, entry)
  end
  if node.step.checks then
    local verdict
    verdict, entry.checks = look_checks(run, node)
    if verdict == "green" then
      run.settled[node.name] = { state = "done" }
    end
    return verdict
  end
  if not node.step.run then
    return "would run", "a gate over earlier steps"
  end
  local found, value = look_done(run, node, node.name)
  if found == "already" then
    run.settled[node.name] = { state = "already", result = value }
  end
  return found
end

-- A used recipe whose steps are all known is known itself.
local function settle_use(run, node)
  for _, inner in pairs(node.inner.nodes) do
    if not run.settled[inner.name] then
      return
    end
  end
  run.settled[node.name] = { state = "done", result = run:returned(node.inner) }
end

-- Nodes in waves: each waits only for nodes of earlier waves, so that those of one are looked at
-- side by side.
local function waves(nodes)
  local list, level = {}, {}
  for _, node in ipairs(nodes) do
    local at = 1
    for _, name in ipairs(node.after) do
      at = math.max(at, (level[name] or 0) + 1)
    end
    level[node.name] = at
    list[at] = list[at] or {}
    table.insert(list[at], node)
  end
  return list
end

---Looks at every step of a graph; what does not wait for each other, side by side.
---@param run pai.run.Run from M.looker
---@param filter (fun(node: pai.recipe.Node): boolean)? which steps are looked at
---@return pai.run.PlanEntry[] in the graph's order
function M.look(run, filter)
  local found = {}
  -- By step, the first one at or before it of which is not known what it will have done.
  local pending = {}
  local function before(names)
    for _, name in ipairs(names) do
      if pending[name] then
        return pending[name]
      end
    end
  end
  local function look_at(node)
    local entry = { step = node.name, title = node.title, safety = node.safety }
    local ok, verdict, why = pcall(look, run, node, entry)
    if not ok then
      verdict, why = unknown(run, node, entry, verdict)
    end
    local first = before(node.after)
    if first and (verdict == "red" or entry.failed) then
      -- What a gate sees before that has run says nothing about what it will see then.
      verdict, why = "unknown", ("unknown until %s has run"):format(first)
      entry.checks, entry.failed = nil, nil
    end
    entry.state, entry.why = verdict, why
    found[node.name] = entry
    local open = verdict == "would run" or verdict == "unknown"
    pending[node.name] = first or (open and node.name or nil)
  end
  for _, wave in ipairs(waves(run.graph.nodes)) do
    local work = {}
    for _, node in ipairs(wave) do
      if node.step.use then
        settle_use(run, node)
        pending[node.name] = before(node.after)
      elseif not filter or filter(node) then
        work[#work + 1] = function()
          look_at(node)
        end
      end
    end
    async.all(work, { limit = M.LIMIT })
  end
  local entries = {}
  for _, node in ipairs(run.graph.nodes) do
    entries[#entries + 1] = found[node.name]
  end
  return entries
end

---Plans a prepared recipe.
---@param prepared pai.run.Prepared
---@return table plan
function M.make(prepared)
  local run = M.looker(prepared)
  local plan = {
    recipe = prepared.loaded.name,
    title = prepared.loaded.doc.title,
    path = prepared.path,
    safety = prepared.loaded.doc.safety,
    target = prepared.target,
    inputs = prepared.inputs.record,
    digest = prepared.digest,
    clusters = prepared.graph.clusters,
    destroys = prepare.destroying(prepared),
    checks = prepared.inputs.checks,
  }
  plan.estimate, plan.estimate_problem = estimate.ask(run)
  plan.steps = M.look(run)
  plan.red = #plan.checks > 0
  for _, entry in ipairs(plan.steps) do
    plan.red = plan.red or entry.state == "red"
  end
  return plan
end

return M
