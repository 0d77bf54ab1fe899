-- pai plan
local args = require("pai.cli.args")
local estimate = require("pai.run.estimate")
local lines = require("pai.cli.lines")
local out = require("pai.out")
local text = require("pai.text")

local M = {
  name = "plan",
  summary = "show what a run would do; changes nothing",
  usage = "RECIPE [key=value ...]",
  doc = "Looks at every step: already so, would run, red, left out, or unknown until another step "
    .. "has run. Nothing is written and no engine is started. The digest at the end is of files, "
    .. "inputs, target and steps; `pai run --plan DIGEST` runs exactly that or refuses.",
  options = {
    { name = "input", arg = "FILE", doc = "inputs as JSON or YAML; - is standard input" },
    { name = "target", arg = "TARGET", doc = "local or osmo" },
  },
  examples = {
    { "pai plan vda", "what `pai run vda` would do" },
    { "pai plan vda flow=e2e --json", "the same for programs" },
  },
}

local TONE <const> = {
  already = "green",
  green = "green",
  red = "red",
  ["would run"] = "bold",
  ["left out"] = "dim",
  unknown = "yellow",
}

---Prints entries of a plan.
---@param entries pai.run.PlanEntry[]
---@param color boolean
function M.print_steps(entries, color)
  local width = 4
  for _, entry in ipairs(entries) do
    width = math.max(width, text.width(entry.step))
  end
  local before
  for _, entry in ipairs(entries) do
    local state = lines.paint(color, TONE[entry.state], text.pad(entry.state, 9))
    local why = entry.why and "  " .. text.one_line(entry.why) or ""
    -- One missing input can keep a whole cluster's steps unknown.
    if why ~= "" and why == before then
      why = "  as above"
    else
      before = why
    end
    if entry.safety == "destroys" and entry.state == "would run" then
      why = "  destroys" .. why
    end
    out.stdout(
      ("%s %s%s\n"):format(state, why == "" and entry.step or text.pad(entry.step, width), why)
    )
    for _, check in ipairs(entry.checks or {}) do
      out.stdout(lines.check(check, color) .. "\n")
    end
    for _, item in ipairs(entry.items or {}) do
      out.stdout(("          %s[%s]: %s\n"):format(entry.step, item.key, item.state))
    end
  end
end

local function print_plan(plan)
  local color = require("pai.term").color(1)
  local head = "plan %s: %s (%s, target %s)\n"
  out.stdout(head:format(plan.recipe, plan.title, plan.safety, plan.target))
  for _, check in ipairs(plan.checks) do
    out.stdout(lines.check(check, color) .. "\n")
  end
  if plan.estimate then
    out.stdout("takes about " .. estimate.text(plan.estimate) .. "\n")
  elseif plan.estimate_problem then
    out.stdout("no estimate: " .. plan.estimate_problem .. "\n")
  end
  M.print_steps(plan.steps, color)
  local red = {}
  for _, entry in ipairs(plan.steps) do
    red[#red + 1] = entry.state == "red" and entry.step or nil
  end
  if #red > 0 then
    out.stdout(lines.paint(color, "red", "red") .. " " .. table.concat(red, ", ") .. "\n")
  end
  if #plan.destroys > 0 then
    out.stdout("destroys: " .. table.concat(plan.destroys, ", ") .. "\n")
  end
  out.stdout("digest " .. plan.digest .. "\n")
end

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  args.count(words, 1, math.huge, "RECIPE")
  local given, from_text = args.inputs(table.move(words, 2, #words, 1, {}), opts)
  local prepared = require("pai.run.prepare").run(words[1], given, {
    from_text = from_text,
    prompt = require("pai.cli.view").can_ask(opts),
    target = opts.target,
  })
  local plan = require("pai.run.plan").make(prepared)
  if opts.json then
    out.stdout(require("pai.json").encode(require("pai.text").masked(plan)) .. "\n")
  else
    print_plan(plan)
  end
  return plan.red and 1 or 0
end

return M
