-- A recipe as an Agent Skills folder: SKILL.md with what an agent must know to run it, and
-- references that it opens when it needs them. Everything comes from the recipe's own description.
local err = require("pai.err")
local fs = require("pai.fs")
local index = require("pai.recipe.index")
local resources = require("pai.mcp.resources")
local text = require("pai.text")

local M = {}

-- Limits of the Agent Skills specification.
local NAME_MAX <const>, DESCRIPTION_MAX <const>, COMPATIBILITY_MAX <const> = 64, 1024, 500

---The name of a recipe's skill: small letters, digits and single hyphens.
---@param recipe string
---@return string
function M.name(recipe)
  local name = recipe:lower():gsub("[^%w]+", "-"):gsub("^%-+", ""):gsub("%-+$", "")
  return (name:sub(1, NAME_MAX):gsub("%-+$", ""))
end

-- A plain value of YAML that can't be taken for anything else.
local function quoted(value)
  value = value:gsub('[\\"]', "\\%0")
  return '"' .. value .. '"'
end

local function description_of(d)
  local tags = #(d.tags or {}) > 0 and (" (%s)"):format(table.concat(d.tags, ", ")) or ""
  local said = ("%s Use it when the user asks for %s%s, or names the recipe %s of pai."):format(
    text.cut(text.one_line(d.summary), DESCRIPTION_MAX // 2),
    d.title:sub(1, 1):lower() .. d.title:sub(2),
    tags,
    d.name
  )
  return text.cut(said, DESCRIPTION_MAX - 3)
end

local function compatibility_of(d)
  local bins = d.needs and d.needs.bins or {}
  local said = "Needs the command pai on Linux"
  if #bins > 0 then
    said = said .. ", and " .. table.concat(bins, ", ")
  end
  return text.cut(said, COMPATIBILITY_MAX - 3)
end

local SAFETY <const> = {
  observes = "It only looks; nothing is changed.",
  changes = "It changes things: show the user the plan before you run it.",
  destroys = "It DESTROYS things: show the user the plan, and run it only after a clear yes, with "
    .. "`--plan DIGEST` of that plan.",
}

local function example_lines(d)
  local lines = {}
  for i, example in ipairs(d.examples or {}) do
    lines[i] = "    " .. example
  end
  return #lines > 0 and table.concat(lines, "\n") or "    pai run " .. d.name
end

local BODY <const> = [[
# %s

%s

%s

## How to run it

1. Ask the user once for every needed input that is still open. Never guess one, and never ask for a
   secret: it is set with `pai secret set NAME` or in `.env`.
2. `pai plan %s [key=value ...]` shows what would happen and changes nothing.
3. `pai run %s [key=value ...] --json` runs it; each line is an event. Exit code 0 is green, 1 a red
   gate or a failed step, 3 a missing input, 4 a lease that another run holds.
4. Show the user what came of it: each path after `MEDIA:`, and each check that is not ok with its
   hint.
5. `pai resume RUN` goes on with a run that failed or was interrupted; nothing is repeated.

Examples:

%s

## Inputs

%s

See [references/recipe.md](references/recipe.md) for the whole description and what it returns%s.
]]

local STEPS <const> = "and [references/steps.md](references/steps.md) for its steps"

local function input_text(d)
  local lines = resources.input_lines(d.inputs)
  return #lines > 0 and table.concat(lines, "\n") or "It takes none."
end

local function steps_page(d)
  if d.dynamic then
    return nil
  end
  local lines = { "# Steps of " .. d.name, "" }
  for _, s in ipairs(d.steps) do
    local after = #(s.after or {}) > 0 and ", after " .. table.concat(s.after, ", ") or ""
    local use = s.use and ", the recipe " .. s.use or ""
    local title = s.title and ": " .. text.one_line(s.title) or ""
    lines[#lines + 1] = ("- `%s` (%s%s%s)%s"):format(s.name, s.kind, use, after, title)
  end
  return table.concat(lines, "\n") .. "\n"
end

---What the frontmatter of a recipe's skill says.
---@param d table the recipe's description
---@return table
function M.frontmatter(d)
  local function clean(value)
    return text.one_line(text.utf8(value))
  end
  return {
    name = M.name(d.name),
    description = clean(description_of(d)),
    compatibility = clean(compatibility_of(d)),
    metadata = {
      generator = "pai " .. require("pai.version"),
      recipe = d.name,
      safety = d.safety,
    },
  }
end

---The files of a recipe's skill.
---@param d table the recipe's description
---@return table<string, string> files by path below the folder
function M.files(d)
  local front = M.frontmatter(d)
  local head = {
    "---",
    "name: " .. quoted(front.name),
    "description: " .. quoted(front.description),
    "compatibility: " .. quoted(front.compatibility),
    "metadata:",
    "  generator: " .. quoted(front.metadata.generator),
    "  recipe: " .. quoted(front.metadata.recipe),
    "  safety: " .. quoted(front.metadata.safety),
    "---",
    "",
  }
  local doc = (d.doc or ""):gsub("^%s+", ""):gsub("%s+$", "")
  local about = doc ~= "" and d.summary .. "\n\n" .. doc or d.summary
  local steps = steps_page(d)
  local body = BODY:format(
    d.title,
    about,
    SAFETY[d.safety],
    d.name,
    d.name,
    example_lines(d),
    input_text(d),
    steps and " " .. STEPS or ""
  )
  return {
    ["SKILL.md"] = table.concat(head, "\n") .. body,
    ["references/recipe.md"] = resources.page(d),
    ["references/steps.md"] = steps,
  }
end

---@class pai.mcp.SkillFolder
---@field dir string
---@field path string the recipe
---@field files table<string, string>

-- What an export would write; an error when it would take something away.
local function prepared(recipe, out)
  local path, e = index.resolve(recipe)
  if not path then
    return nil, e
  end
  local d, problem = index.read(path)
  if not d then
    return nil, problem
  end
  local dir = ("%s/%s"):format(out, M.name(d.name))
  local page = dir .. "/SKILL.md"
  local there = fs.exists(page) and fs.read(page, { max = 1024 * 1024 })
  if there and not there:find('\n  generator: "pai ', 1, true) then
    return err.fail("EEXIST", ("%s was not written by pai; it stays as it is"):format(page), {
      hint = "move it away, or name another folder: --out DIR",
    })
  end
  return { dir = dir, path = fs.realpath(path) or path, files = M.files(d) }
end

local function write(skill)
  for _, name in ipairs(text.keys(skill.files)) do
    local file = skill.dir .. "/" .. name
    local ok, failure = fs.mkdir(fs.dirname(file), { parents = true })
    if ok then
      ok, failure = fs.write(file, skill.files[name])
    end
    if not ok then
      return nil, failure
    end
  end
  return true
end

---Writes the skills of recipes below a folder. Two recipes whose skills would have one name are
---refused before anything is written; a folder that pai wrote before is written anew.
---@param recipes string[] names or paths
---@param out string folder that gets a folder a skill
---@return string[]? dirs
---@return pai.Error? err
function M.export(recipes, out)
  local skills, by_dir, dirs = {}, {}, {}
  for _, recipe in ipairs(recipes) do
    local skill, e = prepared(recipe, out)
    if not skill then
      return nil, e
    end
    local other = by_dir[skill.dir]
    if other and other.path ~= skill.path then
      local message = "%s and %s would both be the skill '%s'; nothing was written"
      local name = fs.basename(skill.dir)
      return err.fail("EUSAGE", message:format(other.path, skill.path, name), {
        hint = "export one of them to a folder of its own: --out DIR",
      })
    elseif not other then
      by_dir[skill.dir] = skill
      skills[#skills + 1] = skill
    end
  end
  for i, skill in ipairs(skills) do
    local ok, e = write(skill)
    if not ok then
      return nil, e
    end
    dirs[i] = skill.dir
  end
  return dirs
end

return M
