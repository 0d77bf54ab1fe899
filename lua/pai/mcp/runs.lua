-- Runs as tools: what they came to, following them, their logs, cancelling and resuming them.
local Call = require("pai.mcp.call")
local attempt = require("pai.mcp.attempt")
local child = require("pai.mcp.child")
local err = require("pai.err")
local follow = require("pai.mcp.follow")
local journal = require("pai.run.journal")
local json = require("pai.json")
local state = require("pai.state")
local task = require("pai.task")
local text = require("pai.text")

local M = {}

-- A client's own deadline is often a minute; watching ends before.
local WATCH_S <const> = 50

local LOG_LINES <const>, LOG_WIDTH <const> = 200, 2000

local RUN <const> = {
  type = "string",
  description = "A run's id, the beginning of one, or last.",
}

---@class pai.mcp.Runs
---@field recipes pai.mcp.Recipes
local Runs = {}
Runs.__index = Runs

---Finds a run that clients may see. Raises.
---@param what any
---@return string id
---@return pai.run.State known
function Runs:find(what)
  if type(what) ~= "string" then
    err.raise("EUSAGE", "run must be the id of a run")
  end
  local resume = require("pai.run.resume")
  local id, e = resume.find(what)
  if not id then
    error(e, 0)
  end
  local known, failure = resume.state(id)
  if not known then
    error(failure, 0)
  elseif not self.recipes:allows(known.start.recipe) then
    err.raise("ENOENT", ("no run '%s'"):format(what))
  end
  return id, known
end

-- The answer of a command that gives one object.
local function ask(argv)
  local answer, e = child.ask(argv)
  if not answer then
    error(e, 0)
  elseif answer.error then
    err.raise(answer.error.code or "EFAULT", answer.error.message, { hint = answer.error.hint })
  end
  return answer
end

local function with_data(words, data)
  local result = Call.text(words)
  result.structuredContent = data
  return result
end

local function list(self)
  local shown, lines = json.array({}), {}
  for _, run in ipairs(ask({ "runs", "--limit", "50" }).runs) do
    if run.recipe == nil or self.recipes:allows(run.recipe) then
      shown[#shown + 1] = run
      local why = run.reason and ": " .. text.one_line(run.reason) or ""
      lines[#lines + 1] = ("%s %s %s%s"):format(run.run, run.recipe or "", run.status, why)
    end
  end
  return with_data(#lines > 0 and table.concat(lines, "\n") or "no runs", { runs = shown })
end

local function show(self, _, args)
  if args.run == nil then
    return list(self)
  end
  local id = self:find(args.run)
  local brief = ask({ "runs", "show", id })
  brief.media = json.array(brief.media or {})
  local lines = { ("%s %s: %s"):format(id, brief.recipe, brief.status) }
  if brief.reason then
    lines[#lines + 1] = brief.reason
  end
  for _, s in ipairs(brief.graph or {}) do
    local unit = brief.steps[s.name]
    local word = "waiting"
    if unit then
      word = require("pai.run.replay").word(unit)
    end
    local failed = unit and unit.error and word ~= "stopped"
    local why = failed and ": " .. text.one_line(unit.error.message) or ""
    lines[#lines + 1] = ("%s %s%s"):format(word, s.name, why)
    for _, check in ipairs(unit and unit.gate and unit.gate.checks or {}) do
      if check.state == "red" or check.state == "unknown" then
        lines[#lines + 1] = "  " .. follow.check_line(check)
      end
    end
  end
  for _, path in ipairs(brief.media or {}) do
    lines[#lines + 1] = "MEDIA:" .. path
  end
  return with_data(table.concat(lines, "\n"), brief)
end

local function watch(self, call, args)
  local seconds = args.seconds == nil and WATCH_S or args.seconds
  if type(seconds) ~= "number" or seconds < 0 or seconds > 86400 then
    err.raise("EUSAGE", "seconds must be a number from 0 to 86400")
  end
  local id, known = self:find(args.run)
  local follower = follow.new(call)
  follower.outcome.run, follower.outcome.recipe = id, known.start.recipe
  local ended = child.follow({ "runs", "watch", id }, {
    until_ms = task.now() + math.floor(seconds * 1000),
    on_event = function(e)
      -- A run that was resumed ended before; only the end of its last session counts.
      if e.event == "run.resume" then
        follower.outcome.status = nil
      end
      follower:event(e)
    end,
  })
  local o = follower.outcome
  if not o.status then
    o.status = ended and "killed" or "running"
    o.reason = ended and "the process ended without a last word"
      or "it goes on; call pai_runs_watch again"
  end
  local result = follow.result(o)
  result.isError = nil
  return result
end

local function logs(self, _, args)
  local id = self:find(args.run)
  local limit = args.lines == nil and LOG_LINES or args.lines
  if math.type(limit) ~= "integer" or limit < 1 or limit > 10000 then
    err.raise("EUSAGE", "lines must be a whole number from 1 to 10000")
  elseif args.step ~= nil and type(args.step) ~= "string" then
    err.raise("EUSAGE", "step must be the name of a step")
  end
  local argv = { "runs", "logs", id }
  if args.step then
    table.move({ "--step", args.step }, 1, 2, #argv + 1, argv)
  end
  local lines, failure = {}, nil
  child.follow(argv, {
    on_event = function(e)
      failure = failure or e.error
      local who = e.step and e.step .. ": " or ""
      lines[#lines + 1] = text.cut(who .. text.one_line(tostring(e.text)), LOG_WIDTH)
    end,
  })
  if failure then
    err.raise(failure.code or "EFAULT", failure.message, { hint = failure.hint })
  end
  local from = math.max(1, #lines - limit + 1)
  local shown = table.move(lines, from, #lines, 1, {})
  if from > 1 then
    table.insert(shown, 1, ("(%d earlier lines are left out)"):format(from - 1))
  end
  return Call.text(#shown > 0 and table.concat(shown, "\n") or "nothing was logged")
end

local function cancel(self, call, args)
  local id = self:find(args.run)
  local follower = follow.new(call)
  local said
  child.follow({ "runs", "cancel", id }, {
    on_event = function(e)
      said = e.cancelled == false and e.reason or said
      if e.event then
        follower:event(e)
      end
    end,
  })
  if said then
    return Call.text(("%s: nothing to cancel, %s"):format(id, said))
  end
  local o = follower.outcome
  local result = with_data(("%s was cancelled; it can be resumed"):format(id), {
    run = id,
    status = o.status or "interrupted",
  })
  if not o.status then
    result.isError = true
    result.content[1].text = id .. ": it could not be cancelled"
  end
  return result
end

local function resume(self, call, args)
  local id, known = self:find(args.run)
  if args.detach ~= nil and type(args.detach) ~= "boolean" then
    err.raise("EUSAGE", "detach must be true or false")
  end
  local argv = { "resume", id }
  if args.accept_changes == true then
    argv[#argv + 1] = "--accept-changes"
  end
  local outcome = attempt.work(call, argv, { id = id, detach = args.detach })
  outcome.recipe = known.start.recipe
  return follow.result(outcome)
end

local function object(properties, required)
  return {
    type = "object",
    properties = properties,
    required = required and json.array(required) or nil,
    additionalProperties = false,
  }
end

local function hints(read_only, idempotent)
  return {
    readOnlyHint = read_only,
    destructiveHint = false,
    idempotentHint = idempotent,
    openWorldHint = false,
  }
end

local TOOLS <const> = {
  {
    name = "pai_runs_show",
    title = "Show a run",
    description = "The steps, gates and evidence of a run; without a run, the list of runs.",
    inputSchema = object({ run = RUN }),
    annotations = hints(true, true),
    fn = show,
  },
  {
    name = "pai_runs_watch",
    title = "Watch a run",
    description = "Follows a run until it ends or the time is over, and says how it stands.",
    inputSchema = object({
      run = RUN,
      seconds = { type = "number", description = "How long at most.", default = WATCH_S },
    }, { "run" }),
    annotations = hints(true, true),
    fn = watch,
  },
  {
    name = "pai_runs_logs",
    title = "Logs of a run",
    description = "What a run logged, and the output of its programs.",
    inputSchema = object({
      run = RUN,
      step = { type = "string", description = "Of this step only." },
      lines = { type = "integer", description = "The last so many lines.", default = LOG_LINES },
    }, { "run" }),
    annotations = hints(true, true),
    fn = logs,
  },
  {
    name = "pai_runs_cancel",
    title = "Cancel a run",
    description = "Stops a run and ends its remote work. It can be resumed.",
    inputSchema = object({ run = RUN }, { "run" }),
    annotations = hints(false, true),
    changes = true,
    fn = cancel,
  },
  {
    name = "pai_runs_resume",
    title = "Resume a run",
    description = "Goes on with a run that stopped or failed; nothing is repeated.",
    inputSchema = object({
      run = RUN,
      detach = { type = "boolean", description = "Return at once; it goes on by itself." },
      accept_changes = {
        type = "boolean",
        description = "Go on although the recipe was changed since. Ask the user first.",
      },
    }, { "run" }),
    annotations = hints(false, true),
    changes = true,
    fn = resume,
  },
}

---Puts the tools for runs into a server.
---@param server pai.mcp.Server
---@param recipes pai.mcp.Recipes
---@param opts { read_only: boolean? }
---@return pai.mcp.Runs
function M.add(server, recipes, opts)
  local self = setmetatable({ recipes = recipes }, Runs)
  for _, tool in ipairs(TOOLS) do
    if not (tool.changes and opts.read_only) then
      server:add_tool({
        name = tool.name,
        title = tool.title,
        description = tool.description,
        inputSchema = tool.inputSchema,
        annotations = tool.annotations,
        strict = true,
        run = function(call, args)
          return tool.fn(self, call, args)
        end,
      })
    end
  end
  return self
end

---The journal's path of a run.
---@param id string
---@return string
function M.journal(id)
  return state.run_dir(id) .. "/" .. journal.FILE
end

return M
