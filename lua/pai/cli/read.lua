-- Internal: reads one recipe or component in a process of its own and prints its description. What
-- it can do to this process (loop, eat memory) it does to nobody else.
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")
local out = require("pai.out")

local M = {
  name = "__read",
  summary = "read a recipe (internal)",
  usage = "PATH",
  options = { { name = "lint", doc = "with findings" } },
}

local MEMORY <const> = 128 * 1024 * 1024
local WATCHDOG <const> = "12s"

local function describe(path, opts)
  local describer = require("pai.recipe.describe")
  local loader = require("pai.recipe.loader").new()
  local component = path .. "/component.lua"
  if fs.exists(component) then
    local doc, problems = loader:component(path)
    if not doc then
      error(require("pai.recipe.loader").error(problems), 0)
    end
    local description = describer.component(doc, path)
    if opts.lint then
      description.findings = require("pai.recipe.lint").component(doc, path, loader)
    end
    return description
  end
  local loaded, problems = loader:load(path)
  if not loaded then
    error(require("pai.recipe.loader").error(problems), 0)
  end
  local description = describer.recipe(loaded)
  if opts.lint then
    description.findings = require("pai.recipe.lint").recipe(loaded, loader)
  end
  return description
end

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  local timeout = require("pai.run.prepare").read_timeout()
  require("pai.sandbox").guard({
    label = words[1],
    memory = MEMORY,
    watchdog = os.getenv("PAI_WATCHDOG") or WATCHDOG,
  })
  local ok, value = pcall(require("pai.async").deadline, timeout, describe, words[1], opts)
  if ok then
    out.stdout(json.encode({ ok = true, recipe = value }) .. "\n")
    return 0
  end
  local e = err.wrap(value)
  local message = e.message
  if e.code == "ETIMEDOUT" then
    message = ("%s: reading it did not end within %s: does it loop for ever?"):format(
      words[1],
      timeout
    )
  end
  out.stdout(json.encode({
    ok = false,
    code = e.code,
    message = require("pai.text").utf8(message),
    problems = e.problems,
  }) .. "\n")
  return 1
end

return M
