-- Runs and plans of recipes as tools do them: what is missing is asked for, what destroys is
-- confirmed, a secret is never asked for.
--
-- Each question is found by running: the child ends with what it lacks before it has changed
-- anything. With the answer it is run again.
local Call = require("pai.mcp.call")
local child = require("pai.mcp.child")
local err = require("pai.err")
local follow = require("pai.mcp.follow")
local json = require("pai.json")
local schema = require("pai.mcp.schema")
local state = require("pai.state")
local text = require("pai.text")

local M = {}

-- Rounds of questions; a recipe asks once, and once more to destroy.
local ROUNDS <const> = 5

local CONFIRM <const> = "--yes"

---@class pai.mcp.Job
---@field path string of the recipe
---@field name string
---@field decls table<string, table>
---@field returns table<string, table>?
---@field inputs table<string, any>
---@field options { detach: boolean?, plan: string? }
---@field allow_dirty boolean?

-- A value that is a secret is refused without being repeated.
local function refuse_secrets(job)
  for name, value in pairs(job.inputs) do
    local decl = job.decls[name]
    if decl and decl.type == "secret" and value ~= nil then
      local how = decl.env and ("set %s in the server's environment"):format(decl.env)
        or "set it where the server runs"
      err.raise("EUSAGE", ("%s is a secret and is never given over MCP; %s"):format(name, how), {
        hint = decl.env and ("pai secret set %s, or a line in .env"):format(decl.env),
      })
    end
  end
end

local function result_without(outcome, message)
  outcome.status, outcome.code = "input_required", 3
  outcome.reason = message
  return follow.result(outcome)
end

-- What to do about missing secrets: names, never values.
local function name_secrets(outcome, secrets)
  local parts = {}
  for i, m in ipairs(secrets) do
    local what = m.doc and (" (%s)"):format(text.one_line(m.doc)) or ""
    if m.env then
      local how = "%s%s: run `pai secret set %s` or write %s to .env where this server runs"
      parts[i] = how:format(m.name, what, m.env, m.env)
    else
      parts[i] = ("%s%s: set it where this server runs"):format(m.name, what)
    end
  end
  return result_without(
    outcome,
    "USER_INPUT_REQUIRED: a secret is missing, and secrets are not asked for here. "
      .. table.concat(parts, "; ")
      .. ". Then call this tool again."
  )
end

local function question(missing)
  return require("pai.recipe.inputs").question(missing)
end

-- Asks for what is missing and puts it to the inputs; a result when that can't be.
local function ask_inputs(call, job, outcome, missing, key)
  if not call:can_ask("elicitation/create") then
    return result_without(
      outcome,
      question(missing) .. "\nAsk the user, then call this tool again."
    )
  end
  local names = {}
  for i, m in ipairs(missing) do
    names[i] = m.name
  end
  local message = ("%s needs: %s"):format(job.name, table.concat(names, ", "))
  local answer = call:elicit(key, message, schema.form(missing, job.decls))
  if answer.action ~= "accept" then
    local said = "%s\nThe user did not answer (%s); nothing was changed."
    return result_without(outcome, said:format(question(missing), answer.action))
  end
  for _, m in ipairs(missing) do
    local value = answer.content[m.name]
    local decl = job.decls[m.name] or m
    if decl.type == "list" and type(value) == "string" then
      local items = json.array({})
      for item in value:gmatch("[^,]+") do
        items[#items + 1] = item:match("^%s*(.-)%s*$")
      end
      value = items
    end
    if value == nil or value == json.null then
      return result_without(outcome, question({ m }) .. "\nThe answer lacks it.")
    end
    job.inputs[m.name] = value
  end
end

local function plan_argv(job)
  return { "plan", job.path, "--input", "-" }
end

-- Confirms what destroys: the user sees which steps, and the plan's digest binds the answer to it.
local function confirm(call, job, outcome, key)
  local plan = child.ask(plan_argv(job), { input = job.inputs })
  if not plan or not plan.digest then
    local why = plan and plan.error and plan.error.message or "the plan failed"
    return result_without(outcome, "USER_INPUT_REQUIRED: confirmation; " .. why)
  end
  local steps = table.concat(plan.destroys, ", ")
  if not call:can_ask("elicitation/create") then
    local said = "USER_INPUT_REQUIRED: these steps destroy: %s. Show the user the plan, and call "
      .. "this tool again with pai_plan = %s if they agree."
    return result_without(outcome, said:format(steps, plan.digest))
  end
  local message = "%s DESTROYS: %s. This cannot be undone. Really do it?"
  local answer = call:elicit(key, message:format(job.name, steps), {
    type = "object",
    properties = {
      confirm = { type = "boolean", title = "Yes, destroy", description = "plan " .. plan.digest },
    },
    required = json.array({ "confirm" }),
  })
  if answer.action ~= "accept" or answer.content.confirm ~= true then
    return result_without(outcome, "the user did not confirm; nothing was changed")
  end
  job.options.plan = plan.digest
end

-- Works on what a child said it lacks; a result when it can't go on.
local function supply(call, job, outcome, round)
  local secrets, inputs, destroys = {}, {}, false
  for _, m in ipairs(outcome.missing) do
    if m.name == CONFIRM then
      destroys = true
    elseif m.type == "secret" then
      secrets[#secrets + 1] = m
    else
      inputs[#inputs + 1] = m
    end
  end
  if #secrets > 0 then
    return name_secrets(outcome, secrets)
  elseif #inputs > 0 then
    return ask_inputs(call, job, outcome, inputs, ("inputs-%d"):format(round))
  elseif destroys then
    return confirm(call, job, outcome, ("confirm-%d"):format(round))
  end
  return result_without(outcome, outcome.reason)
end

local function run_argv(job, id)
  local argv = { "run", job.path, "--input", "-", "--run-id", id }
  if job.options.plan then
    table.move({ "--plan", job.options.plan }, 1, 2, #argv + 1, argv)
  end
  if job.allow_dirty then
    argv[#argv + 1] = "--allow-dirty"
  end
  return argv
end

---Follows a child that works on a run, or starts it detached.
---@param call pai.mcp.Call
---@param argv string[]
---@param opts { id: string, input: table?, detach: boolean? }
---@return table outcome
function M.work(call, argv, opts)
  local follower = follow.new(call)
  local function on_event(e)
    follower:event(e)
  end
  local o = follower.outcome
  if opts.detach then
    local begun, said = child.detach(argv, {
      id = opts.id,
      input = opts.input,
      on_event = on_event,
    })
    if begun then
      o.run, o.status = o.run or opts.id, "detached"
    elseif not o.status then
      o.status, o.reason = "failed", text.one_line(said)
    end
  else
    local _, said = child.follow(argv, { input = opts.input, on_event = on_event })
    if not o.status then
      o.status = "failed"
      o.reason = said ~= "" and text.one_line(said) or "the process ended without a last word"
    end
  end
  return o
end

-- What a recipe returned is not held to what it declares; a client is strict about that. What does
-- not fit is said in words and left out of the structured result.
local function settle(job, outcome)
  local properties = schema.outcome(job.returns).properties.returns.properties
  local odd = {}
  for name, value in pairs(outcome.returns or {}) do
    if properties[name] and not schema.fits(properties[name], value) then
      local said = "%s is %s here, and declared as %s"
      odd[#odd + 1] = said:format(name, json.encode(value), job.returns[name].type)
      outcome.returns[name] = nil
    end
  end
  local result = follow.result(outcome)
  if #odd > 0 then
    table.sort(odd)
    table.insert(result.content, { type = "text", text = table.concat(odd, "\n") })
  end
  return result
end

---Runs a recipe.
---@param call pai.mcp.Call
---@param job pai.mcp.Job
---@return table result
function M.run(call, job)
  refuse_secrets(job)
  for round = 1, ROUNDS do
    local id = state.new_id()
    local outcome = M.work(call, run_argv(job, id), {
      id = id,
      input = job.inputs,
      detach = job.options.detach,
    })
    if outcome.status ~= "input_required" and not outcome.missing then
      return settle(job, outcome)
    end
    outcome.run = nil
    local stop = supply(call, job, outcome, round)
    if stop then
      return stop
    end
  end
  return Call.text("the recipe asked too often", true)
end

local function plan_words(plan)
  local lines = { ("plan of %s (%s, target %s)"):format(plan.recipe, plan.safety, plan.target) }
  for _, entry in ipairs(plan.steps) do
    local why = entry.why and ": " .. text.one_line(entry.why) or ""
    local destroys = entry.safety == "destroys" and " (destroys)" or ""
    lines[#lines + 1] = ("%s: %s%s%s"):format(entry.step, entry.state, destroys, why)
    -- What keeps it from running; the rest is in the structured content.
    for _, check in ipairs(entry.checks or {}) do
      if check.state == "red" or check.state == "unknown" then
        lines[#lines + 1] = "  " .. follow.check_line(check)
      end
    end
  end
  for _, check in ipairs(plan.checks) do
    lines[#lines + 1] = follow.check_line(check)
  end
  lines[#lines + 1] = "digest " .. plan.digest
  return table.concat(lines, "\n")
end

---Plans a recipe; nothing is changed.
---@param call pai.mcp.Call
---@param job pai.mcp.Job
---@return table result
function M.plan(call, job)
  refuse_secrets(job)
  for round = 1, ROUNDS do
    local plan, e = child.ask(plan_argv(job), { input = job.inputs })
    if not plan then
      error(e, 0)
    elseif plan.digest then
      -- What is empty came as a map.
      plan.checks, plan.destroys = json.array(plan.checks), json.array(plan.destroys)
      local result = Call.text(plan_words(plan))
      result.structuredContent = plan
      return result
    elseif plan.error and plan.error.missing then
      local outcome = { missing = plan.error.missing, reason = plan.error.message }
      local stop = supply(call, job, outcome, round)
      if stop then
        stop.structuredContent = nil
        return stop
      end
    else
      local said = plan.error or { message = "no plan" }
      local hint = said.hint and "\nhint: " .. said.hint or ""
      return Call.text(said.message .. hint, true)
    end
  end
  return Call.text("the recipe asked too often", true)
end

return M
