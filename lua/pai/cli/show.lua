-- pai show
local args = require("pai.cli.args")
local columns = require("pai.cli.columns")
local index = require("pai.recipe.index")
local out = require("pai.out")
local text = require("pai.text")

local M = {
  name = "show",
  summary = "show a recipe or component: inputs, steps, what it needs",
  usage = "RECIPE|COMPONENT",
  doc = "Of a component its reference, and the inputs that its actions share; of NAME.deploy and "
    .. "the like also the steps.",
  examples = {
    { "pai show vda", "a recipe" },
    { "pai show cluster-microk8s", "a component" },
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

local function is_required(decl)
  return decl.default == nil and not decl.optional
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
  else
    notes[#notes + 1] = is_required(decl) and "required" or "optional"
  end
  if decl.env then
    notes[#notes + 1] = "from " .. decl.env
  end
  local doc = text.one_line(decl.doc or "")
  local what = (doc == "" and "" or doc .. " ") .. "(" .. table.concat(notes, "; ") .. ")"
  return { "  " .. name, kind, what }
end

-- What must be given comes first.
local function input_rows(declared)
  local rows = {}
  for _, wanted in ipairs({ true, false }) do
    for _, name in ipairs(text.keys(declared)) do
      if is_required(declared[name]) == wanted then
        rows[#rows + 1] = input_row(name, declared[name])
      end
    end
  end
  return rows
end

local function section(title, rows)
  if #rows > 0 then
    out.stdout("\n" .. title .. ":\n" .. columns.of(rows))
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
  section("inputs", input_rows(d.inputs))
  section(
    "steps",
    d.dynamic and { { "  chosen by the inputs; see pai plan" } } or step_rows(d.steps)
  )
  local rows = {}
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
  args.count(words, 1, 1, "RECIPE or COMPONENT")
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
