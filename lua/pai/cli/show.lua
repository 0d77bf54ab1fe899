-- pai show
local args = require("pai.cli.args")
local index = require("pai.recipe.index")
local out = require("pai.out")
local text = require("pai.text")

local M = {
  name = "show",
  summary = "show a recipe or component: inputs, steps, what it needs",
  usage = "RECIPE|COMPONENT",
  examples = {
    { "pai show vda", "a recipe" },
    { "pai show ./recipes/mine.lua --json", "its description for programs" },
  },
}

-- A path, a recipe's name, or a component's.
local function find(what)
  local path, e = index.resolve(what)
  if path then
    return path
  end
  local _, components = index.all()
  for _, component in ipairs(components) do
    if component.name == what then
      return component.dir
    end
  end
  error(e, 0)
end

local function input_row(name, decl)
  local kind = decl.type
  if decl.type == "list" then
    kind = "list of " .. (type(decl.of) == "table" and decl.of.type or decl.of or "string")
  end
  local notes = {}
  if decl.values then
    notes[#notes + 1] = table.concat(decl.values, " | ")
  end
  if decl.default ~= nil then
    local value = decl.default
    if type(value) == "table" then
      value = table.concat(value, ",")
    end
    notes[#notes + 1] = "default " .. tostring(value)
  elseif decl.optional then
    notes[#notes + 1] = "optional"
  else
    notes[#notes + 1] = "required"
  end
  if decl.env then
    notes[#notes + 1] = "from " .. decl.env
  end
  local doc = text.one_line(decl.doc or "")
  return { "  " .. name, kind, table.concat(notes, "; "), doc }
end

local function section(title, rows)
  if #rows > 0 then
    out.stdout("\n" .. title .. ":\n" .. text.columns(rows))
  end
end

local function step_rows(steps)
  local rows = {}
  for i, s in ipairs(steps or {}) do
    local notes = { s.kind == "use" and "use " .. s.use or s.kind }
    if s.each then
      notes[#notes + 1] = "for each"
    end
    if s.after and #s.after > 0 then
      notes[#notes + 1] = "after " .. table.concat(s.after, ", ")
    end
    rows[i] = { "  " .. s.name, table.concat(notes, "; "), s.title or "" }
  end
  return rows
end

local function print(d)
  out.stdout(("%s: %s\n%s\n"):format(d.name, d.title, text.wrap(d.summary, 78)))
  if d.safety then
    out.stdout(("safety: %s\n"):format(d.safety))
  end
  out.stdout(("path: %s\n"):format(d.path))
  for _, body in ipairs({ d.doc or "", d.reference or "" }) do
    if body ~= "" then
      out.stdout("\n" .. body:gsub("^\n", ""):gsub("%s+$", "") .. "\n")
    end
  end
  local rows = {}
  for i, name in ipairs(text.keys(d.inputs)) do
    rows[i] = input_row(name, d.inputs[name])
  end
  section("inputs", rows)
  section(
    "steps",
    d.dynamic and { { "  chosen by the inputs; see pai plan" } } or step_rows(d.steps)
  )
  rows = {}
  for i, key in ipairs(text.keys(d.needs)) do
    local words = {}
    for j, entry in ipairs(d.needs[key]) do
      words[j] = type(entry) == "table" and table.concat(entry, " ") or entry
    end
    rows[i] = { "  " .. key, table.concat(words, ", ") }
  end
  section("needs", rows)
  rows = {}
  for i, name in ipairs(text.keys(d.returns or {})) do
    rows[i] = { "  " .. name, d.returns[name].type, d.returns[name].doc or "" }
  end
  section("returns", rows)
  rows = {}
  for i, example in ipairs(d.examples or {}) do
    rows[i] = { "  " .. example }
  end
  section("examples", rows)
end

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  args.count(words, 1, 1, "RECIPE")
  local description, e = index.read(find(words[1]))
  if not description then
    error(e, 0)
  end
  if opts.json then
    out.stdout(require("pai.json").encode(description) .. "\n")
  else
    print(description)
  end
  return 0
end

return M
