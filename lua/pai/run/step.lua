-- The life of one step: is it already so, do it, check it; once for the step, or once an item of
-- `each`. Every effect is journalled before and after.
local async = require("pai.async")
local duration = require("pai.duration")
local err = require("pai.err")
local graph = require("pai.recipe.graph")
local result = require("pai.run.result")
local task = require("pai.task")

local M = {}

---Deadline of a step's `run` that names none.
M.TIMEOUT = "1h"
---Deadline of what only observes: done, each, and a gate as a whole.
M.OBSERVE_TIMEOUT = "5m"
---Items of `each` side by side when the step names no limit.
M.LIMIT = 4

local RETRY_WAIT <const> = "2s"

---@class pai.run.Outcome
---@field state "done"|"already"|"kept"|"skipped"|"red"|"failed"|"stopped"
---@field result any

local function unit_name(node, item)
  return item and ("%s[%s]"):format(node.name, item.key) or node.name
end

-- Calls a function of a step's with ctx, inputs and results, under a deadline.
local function call(run, node, what, fn, opts)
  local ctx = run:ctx(node, opts.unit, opts.mode, what .. " of " .. opts.unit, opts.item)
  local inp, got = graph.copy(node.scope.inp), run:got(node)
  local began = task.now()
  local ok, value = pcall(async.deadline, opts.timeout, fn, ctx, inp, got, opts.item)
  if ok then
    return value
  end
  local e = err.wrap(value)
  local limit = duration.parse(opts.timeout)
  if e.code == "ETIMEDOUT" and task.now() - began >= limit then
    local message = "%s of %s did not end within %s"
    e = err.new("ETIMEDOUT", message:format(what, opts.unit, duration.format(limit)))
    e.retryable = true
  end
  e.message = run.loader:locate(e.message)
  error(e, 0)
end

local function observe_options(node, unit, item)
  return {
    unit = unit,
    mode = "read",
    item = item,
    timeout = node.step.timeout or M.OBSERVE_TIMEOUT,
  }
end

---Calls a function of a step's that only observes.
---@param run pai.run.Run
---@param node pai.recipe.Node
---@param unit string
---@param what string "done"
---@param fn function
---@param item table?
---@return any
function M.observe(run, node, unit, what, fn, item)
  return call(run, node, what, fn, observe_options(node, unit, item))
end

---An error as the journal keeps it.
---@param e pai.Error
---@return table
function M.plain_error(e)
  return {
    code = e.code,
    message = e.message,
    hint = e.hint,
    retryable = e.retryable or nil,
    exit = e.exit,
    stderr = e.stderr and e.stderr:sub(-2000) or nil,
  }
end

-- A gate of a step; true when it is green.
local function pass_gate(run, node, unit, kind, item, value)
  local source = node.step[kind]
  local opts = observe_options(node, unit, item)
  local began = task.now()
  local verdict, checks = require("pai.run.gate").run(unit, source, {
    timeout = opts.timeout,
    call = function(fn)
      local ctx = run:ctx(node, unit, "read", kind .. " of " .. unit, item)
      local inp, got = graph.copy(node.scope.inp), run:got(node)
      if kind == "verify" and value ~= nil then
        -- What was just done is the first thing that its own gate looks at.
        local seen = run:revive(value)
        rawset(got, node.key, item and { [item.key] = seen } or seen)
      end
      return fn(ctx, inp, got, item)
    end,
  })
  for _, check in ipairs(checks) do
    if type(check.measured) == "string" then
      check.measured = run.loader:locate(check.measured)
    end
  end
  run:emit("gate", {
    step = unit,
    kind = kind,
    verdict = verdict,
    checks = checks,
    ms = task.now() - began,
  })
  return verdict == "green"
end

-- One attempt at `run`. Returns the plain result or raises.
local function attempt(run, node, unit, item, number)
  local intent = { step = unit, attempt = number, key = item and item.key or nil }
  run:emit("step.start", intent, node.safety == "observes")
  local began = task.now()
  local opts = {
    unit = unit,
    mode = "act",
    item = item,
    timeout = node.step.timeout or M.TIMEOUT,
  }
  local ok, value = pcall(function()
    local given = call(run, node, "run", node.step.run, opts)
    return result.plain(unit, given, run.secret_sources)
  end)
  local ms = task.now() - began
  if ok then
    run:emit("step.done", { step = unit, result = value, ms = ms, how = "ran" })
    return true, value
  end
  return false, err.wrap(value), ms
end

local function ask_done(run, node, unit, item)
  if not node.step.done then
    return nil
  end
  local value = M.observe(run, node, unit, "done", node.step.done, item)
  if value == nil or value == false then
    return nil
  end
  return result.plain(unit, value, run.secret_sources)
end

local function retry_of(step)
  if type(step.retry) == "table" then
    return step.retry.times, step.retry.wait or RETRY_WAIT
  end
  return step.retry or 0, RETRY_WAIT
end

-- A step that a signal ended did not fail.
local function unfinished(run, e)
  return run.interrupted and e.code == "ECANCELED" and "stopped" or "failed"
end

-- Does the step unless it is already so. Returns its state and plain result, "failed" or "stopped".
local function perform(run, node, unit, item, known)
  local began = task.now()
  local ok, value = pcall(ask_done, run, node, unit, item)
  if not ok then
    local e = err.wrap(value)
    run:emit("step.fail", { step = unit, error = M.plain_error(e), ms = task.now() - began })
    return unfinished(run, e)
  end
  if value ~= nil then
    run:emit("step.done", {
      step = unit,
      result = value,
      ms = task.now() - began,
      how = "already",
    })
    return "already", value
  end
  if known.started and not node.step.done then
    run:log(unit, "was started and did not end; it has no `done` to ask, so it runs again")
  end
  local times, wait = retry_of(node.step)
  local number = known.attempts
  for left = times, 0, -1 do
    number = number + 1
    local ran, got_or_error, ms = attempt(run, node, unit, item, number)
    if ran then
      return "done", got_or_error
    end
    local e = got_or_error
    local again = left > 0 and e.retryable and not run.stopping
    run:emit("step.fail", {
      step = unit,
      error = M.plain_error(e),
      ms = ms,
      retry = again or nil,
    })
    if not again then
      return unfinished(run, e)
    end
    task.sleep(wait)
    local asked, found = pcall(ask_done, run, node, unit, item)
    if asked and found ~= nil then
      run:emit("step.done", { step = unit, result = found, ms = 0, how = "already" })
      return "already", found
    end
  end
end

-- A step that ran and whose gate was red may be mended by now, or may have to run again: `done`
-- knows. Without one only the gate is asked again.
local function is_in_doubt(node, known)
  return node.step.done and node.step.verify and known.gate and not known.green
end

-- One step, or one item.
local function run_unit(run, node, item)
  local unit = unit_name(node, item)
  local known = run:unit(unit)
  run:begin(unit, node)
  local state, value = "kept", known.result
  if node.step.checks then
    if not (known.done and known.green) then
      state = pass_gate(run, node, unit, "checks", item) and "done" or "red"
    end
  elseif node.step.run and (not known.done or is_in_doubt(node, known)) then
    state, value = perform(run, node, unit, item, known)
  end
  local ended = state ~= "failed" and state ~= "stopped"
  if node.step.verify and ended and not (state == "kept" and known.green) then
    if not pass_gate(run, node, unit, "verify", item, value) then
      state = "red"
    elseif state == "kept" then
      state = "done"
    end
  end
  run:finish(unit, state)
  return { state = state, result = run:revive(value) }
end

-- From good to bad.
local WORSE <const> = { kept = 0, already = 1, done = 2, stopped = 3, red = 4, failed = 5 }

---The items of a step with `each`, each with a key that stays the same.
---@param run pai.run.Run
---@param node pai.recipe.Node
---@return { key: string }[]
function M.items_of(run, node)
  local list = M.observe(run, node, node.name, "each", node.step.each)
  if type(list) ~= "table" then
    err.raise("ERECIPE", ("each of %s must return a list, not %s"):format(node.name, type(list)))
  end
  local seen = {}
  for i, item in ipairs(list) do
    local key = type(item) == "table" and item.key
    if type(key) ~= "string" or not key:find("^[%w_][%w_.:@+-]*$") or #key > 128 then
      local message = "each of %s: item %d needs a `key` of letters, digits and _.:@+-"
      err.raise("ERECIPE", message:format(node.name, i))
    elseif seen[key] then
      err.raise("ERECIPE", ("each of %s: two items have the key %s"):format(node.name, key))
    end
    seen[key] = true
  end
  return list
end

local function run_each(run, node)
  local ok, list = pcall(M.items_of, run, node)
  if not ok then
    local e = err.wrap(list)
    run:emit("step.fail", { step = node.name, error = M.plain_error(e), ms = 0 })
    run:finish(node.name, "failed")
    return { state = "failed" }
  end
  local keys = {}
  for i, item in ipairs(list) do
    keys[i] = item.key
  end
  run:emit("each", { step = node.name, keys = require("pai.json").array(keys) })
  local outcome, values = "kept", {}
  async.each(list, function(item)
    local one = { state = "stopped" }
    if not run.stopping then
      one = run_unit(run, node, item)
    end
    if WORSE[one.state] > WORSE[outcome] then
      outcome = one.state
    end
    if one.state == "red" or one.state == "failed" then
      run:stop()
    end
    values[item.key] = one.result == nil and true or one.result
  end, { limit = node.step.limit or M.LIMIT })
  return { state = outcome, result = values }
end

---Why a step is left out, or nil.
---@param run pai.run.Run
---@param node pai.recipe.Node
---@return string? reason
function M.left_out(run, node)
  if not node.step.when then
    return nil
  end
  local wanted, why
  M.observe(run, node, node.name, "when", function(_, inp, got)
    wanted, why = node.step.when(inp, got)
  end)
  if wanted then
    return nil
  end
  return type(why) == "string" and why or "its `when` says no"
end

---Runs a step to its end.
---@param run table
---@param node pai.recipe.Node
---@return pai.run.Outcome
function M.run(run, node)
  if run:unit(node.name).skipped then
    return { state = "skipped" }
  end
  if node.step.use then
    return { state = "done", result = run:returned(node.inner) }
  end
  local ok, why = pcall(M.left_out, run, node)
  if not ok then
    local e = err.wrap(why)
    run:emit("step.fail", { step = node.name, error = M.plain_error(e), ms = 0 })
    return { state = "failed" }
  elseif why then
    run:emit("step.skip", { step = node.name, reason = why })
    return { state = "skipped" }
  end
  if node.step.each then
    return run_each(run, node)
  end
  return run_unit(run, node)
end

return M
