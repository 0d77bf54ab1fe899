-- pai skill: recipes as Agent Skills.
local args = require("pai.cli.args")
local fs = require("pai.fs")
local json = require("pai.json")
local out = require("pai.out")

local function export(words, opts)
  args.count(words, 1, math.huge, "RECIPE")
  local dirs, e = require("pai.mcp.skill").export(words, fs.abspath(opts.out or "skills"))
  if not dirs then
    error(e, 0)
  end
  if opts.json then
    out.stdout(json.encode({ skills = json.array(dirs) }) .. "\n")
    return 0
  end
  for _, dir in ipairs(dirs) do
    out.stdout(dir .. "\n")
  end
  return 0
end

return {
  name = "skill",
  summary = "write recipes as Agent Skills folders",
  usage = "export RECIPE...",
  commands = {
    {
      name = "export",
      summary = "write a recipe as an Agent Skills folder",
      usage = "RECIPE...",
      doc = "Each recipe becomes a folder with SKILL.md and references, made from its own "
        .. "description; an agent that reads such folders can then run it with the command pai.",
      options = {
        { name = "out", arg = "DIR", doc = "where the folders go (skills)" },
      },
      examples = {
        { "pai skill export vda", "writes skills/vda" },
        { "pai skill export vda hello --out ~/.claude/skills", "where an agent looks for them" },
      },
      run = export,
    },
  },
  examples = { { "pai skill export vda", "writes skills/vda" } },
}
