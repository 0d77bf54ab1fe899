-- pai check
local args = require("pai.cli.args")
local out = require("pai.out")

local M = {
  name = "check",
  summary = "run the checks of a recipe; changes nothing",
  usage = "RECIPE [key=value ...]",
  doc = "Runs every gate of the recipe that only looks (steps with `checks`), side by side, and "
    .. "gives the verdict: exit code 0 when all are green, 1 when one is red or unknown.",
  options = {
    { name = "input", arg = "FILE", doc = "inputs as JSON or YAML; - is standard input" },
    { name = "target", arg = "TARGET", doc = "local or osmo" },
  },
  examples = {
    { "pai check vda", "is everything there that `pai run vda` needs?" },
  },
}

---Runs every gate that only looks and says the verdict.
---@param prepared pai.run.Prepared
---@param opts table
---@return integer exit code
function M.look(prepared, opts)
  local plan = require("pai.run.plan")
  local looker = plan.looker(prepared)
  local entries = plan.look(looker, function(node)
    return node.step.checks ~= nil
  end)
  local red = #prepared.inputs.checks > 0
  for _, warning in ipairs(prepared.inputs.warnings) do
    out.stderr("warning: " .. warning .. "\n")
  end
  for _, entry in ipairs(entries) do
    red = red or entry.state == "red" or entry.failed == true
  end
  local verdict = red and "red" or "green"
  if opts.json then
    out.stdout(require("pai.json").encode({
      recipe = prepared.loaded.name,
      verdict = verdict,
      steps = require("pai.json").array(entries),
      checks = require("pai.json").array(prepared.inputs.checks),
    }) .. "\n")
  else
    local lines = require("pai.cli.lines")
    local color = require("pai.term").color(1)
    for _, check in ipairs(prepared.inputs.checks) do
      out.stdout(lines.check(check, color) .. "\n")
    end
    require("pai.cli.plan").print_steps(entries, color)
    out.stdout(("%s: %d gate%s\n"):format(verdict, #entries, #entries == 1 and "" or "s"))
  end
  return red and 1 or 0
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
  return M.look(prepared, opts)
end

return M
