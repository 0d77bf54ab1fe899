-- What lint has to say of a recipe that the schema lets pass.
local fs = require("pai.fs")
local graph = require("pai.recipe.graph")
local index = require("pai.recipe.index")
local locate = require("pai.recipe.locate")
local text = require("pai.text")

local M = {}

---Longest recipe file; what is longer is better in modules of the recipe's folder.
M.MAX_LINES = 300

---@class pai.recipe.Finding
---@field level "error"|"warning"
---@field file string
---@field line integer
---@field key string
---@field message string

local Linter = {}
Linter.__index = Linter

local function new(source)
  return setmetatable({ source = source, findings = {} }, Linter)
end

function Linter:add(level, path, message)
  self.source.lines = self.source.lines or locate.lines(self.source.text)
  self.findings[#self.findings + 1] = {
    level = level,
    file = self.source.file,
    line = locate.line(self.source.lines, path),
    key = (path:gsub("%.(%d+)", "[%1]")),
    message = message,
  }
end

function Linter:sizes(files, loader)
  for _, file in ipairs(files) do
    local _, lines = file.text:gsub("\n", "")
    if lines > M.MAX_LINES then
      self.findings[#self.findings + 1] = {
        level = "error",
        file = loader:shown(file.path),
        line = M.MAX_LINES + 1,
        key = "",
        message = ("the file has %d lines, more than %d"):format(lines, M.MAX_LINES),
      }
    end
  end
end

function Linter:inputs(decls)
  for _, name in ipairs(text.keys(decls or {})) do
    local decl, path = decls[name], "inputs." .. name
    if not decl.doc then
      self:add("warning", path, "the input has no doc")
    end
    if decl.type == "secret" and not decl.env then
      self:add("warning", path, "the secret names no env variable to come from")
    end
    if decl.type == "secret" and not decl.hosts and not decl.bins then
      self:add("warning", path, "the secret names neither hosts nor bins that may get it")
    end
    if decl.optional and decl.default ~= nil then
      self:add("warning", path, "an input with a default is never missing: drop optional")
    end
  end
end

-- Entries of needs that name inputs must name real ones.
function Linter:needs(doc)
  for _, key in ipairs({ "bins", "hosts", "writes", "clusters" }) do
    for i, entry in ipairs(doc.needs and doc.needs[key] or {}) do
      local name = entry:match("^@(.+)$")
      if name and name ~= "osmo" and not (doc.inputs or {})[name] then
        local path = ("needs.%s.%d"):format(key, i)
        local hint = text.did_you_mean(name, text.keys(doc.inputs or {}))
        self:add("error", path, ("no input '%s'%s"):format(name, hint))
      end
    end
  end
end

function Linter:steps(loaded, loader)
  local doc = loaded.doc
  if type(doc.steps) ~= "table" then
    return
  end
  for i, step in ipairs(doc.steps) do
    local path = ("steps.%d"):format(i)
    if step.run and not step.done and (step.safety or doc.safety) ~= "observes" then
      local message = "the step changes something and has no done: a resume repeats it"
      self:add("warning", path, message)
    end
    if step.use then
      self:use(loaded, loader, step, path .. ".use")
    end
  end
end

function Linter:use(loaded, loader, step, path)
  local found, e = index.resolve(step.use, { cwd = loader.cwd, near = loaded.path })
  if not found then
    return self:add("error", path, e.message)
  end
  local inner, problems = loader:load(found)
  if not inner then
    return self:add("error", path, ("%s: %s"):format(step.use, problems[1].message))
  end
  for _, missing in ipairs(graph.uncovered(loaded.doc, inner.doc)) do
    self:add(
      "error",
      path,
      ("%s needs more than this recipe declares: %s"):format(step.use, missing)
    )
  end
end

---Findings on a recipe or a component's action.
---@param loaded pai.recipe.Loaded
---@param loader pai.recipe.Loader
---@return pai.recipe.Finding[]
function M.recipe(loaded, loader)
  local linter = new(loaded.source)
  linter:sizes(table.move(loader.files, 1, #loader.files, 1, {}), loader)
  local stem = fs.basename(loaded.path):gsub("%.lua$", "")
  local is_action = loaded.name:find(".", 1, true) ~= nil
  if not is_action and stem ~= loaded.name then
    linter:add(
      "warning",
      "name",
      ("the file is called %s, the recipe %s"):format(stem, loaded.name)
    )
  end
  linter:inputs(loaded.doc.inputs)
  linter:needs(loaded.doc)
  linter:steps(loaded, loader)
  return linter.findings
end

---Findings on a component's own file.
---@param doc table
---@param dir string
---@param loader pai.recipe.Loader
---@return pai.recipe.Finding[]
function M.component(doc, dir, loader)
  local path = dir .. "/component.lua"
  local linter = new({ file = loader:shown(path), text = loader.by_path[path].text })
  linter:sizes(loader.files, loader)
  if fs.basename(dir) ~= doc.name then
    local message = "the folder is called %s, the component %s"
    linter:add("error", "name", message:format(fs.basename(dir), doc.name))
  end
  linter:inputs(doc.inputs)
  return linter.findings
end

return M
