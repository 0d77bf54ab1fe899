-- Loads recipes: text to chunk in an environment without primitives, the table it returns through
-- the schema. Keeps every file that was read, with its digest, for the run's record.
--
-- A chunk may loop for ever: call from a task with a deadline.
local digest = require("pai.digest")
local env = require("pai.recipe.sandbox_env")
local err = require("pai.err")
local fs = require("pai.fs")
local sandbox = require("pai.sandbox")
local schema = require("pai.recipe.schema")
local text = require("pai.text")

local M = {}

local MAX_SOURCE <const> = 1024 * 1024

---@class pai.recipe.File
---@field path string
---@field sha256 string
---@field text string

---@class pai.recipe.Loaded
---@field path string the file that was asked for
---@field name string
---@field dir string folder of assets: recipes/NAME or components/NAME
---@field doc table the checked document
---@field source pai.recipe.Source

---@class pai.recipe.Loader
---@field files pai.recipe.File[] in the order in which they were read
---@field on_file fun(file: pai.recipe.File)? for files that are read later, while running
---@field cwd string
local Loader = {}
Loader.__index = Loader

---Makes a loader; it serves one recipe and the components that it uses.
---@param opts { cwd: string?, read: (fun(path: string): string?, pai.Error?)? }?
---@return pai.recipe.Loader
function M.new(opts)
  opts = opts or {}
  return setmetatable({
    files = {},
    by_path = {},
    read_ahead = {},
    cwd = opts.cwd or fs.cwd(),
    reader = opts.read,
  }, Loader)
end

---The path as messages show it: below the working directory without it.
---@param path string
---@return string
function Loader:shown(path)
  local prefix = self.cwd .. "/"
  return path:sub(1, #prefix) == prefix and path:sub(#prefix + 1) or path
end

local function problem(file, line, message)
  return { file = file, line = line, key = "", message = message }
end

---Reads a source file and records it.
---@param path string absolute
---@return pai.recipe.File? file
---@return pai.Error? err
function Loader:read(path)
  if self.by_path[path] then
    return self.by_path[path]
  end
  local body, e
  if self.reader then
    body, e = self.reader(path)
  end
  if not body and not e then
    body, e = fs.read(path, { max = MAX_SOURCE })
  end
  if not body then
    return nil, e
  end
  local file = { path = path, sha256 = digest.sha256(body), text = body }
  self.files[#self.files + 1] = file
  self.by_path[path] = file
  if self.on_file then
    self.on_file(file)
  end
  return file
end

---Puts the path back into a message that Lua cut to "...tail:12: text".
---@param message string
---@return string message
---@return string? shown the file it names
---@return integer? line
---@return string? rest
function Loader:locate(message)
  local name, line, rest = message:match("^(.-):(%d+): (.*)$")
  if not name then
    return message
  end
  name = name:gsub("^recipe:", "")
  local tail = name:match("^%.%.%.(.*)$")
  for _, file in ipairs(self.files) do
    local shown = self:shown(file.path)
    if shown == name or (tail and shown:sub(-#tail) == tail) then
      return ("%s:%s: %s"):format(shown, line, rest), shown, math.tointeger(line), rest
    end
  end
  return message
end

function Loader:problem_of(e, shown)
  e = err.wrap(e)
  local _, file, line, rest = self:locate(e.message)
  return problem(file or shown, line or 1, rest or e.message)
end

-- Runs a chunk and gives what it returned.
function Loader:chunk(file, require_fn)
  local shown = self:shown(file.path)
  local chunk, e = sandbox.load(file.text, "@recipe:" .. shown, env.new(require_fn))
  if not chunk then
    return nil, self:problem_of(e, shown)
  end
  local ok, value = pcall(chunk)
  if ok then
    return value
  end
  if err.is(value, "ECANCELED") then
    error(value, 0)
  end
  return nil, self:problem_of(value, shown)
end

-- What pai itself declares for several recipes and components to share: no more than data and pure
-- functions, and loaded into the same environment as they are.
local SHARED <const> = "pai.shared"

-- `require` for one recipe: NAME.module in the folder beside it, or one of pai.shared; each is
-- loaded once.
function Loader:require_for(stem, base)
  local loaded, loading = {}, {}
  local require_fn, shared_fn

  -- Where a module is looked for, the folder that it has to lie in, and whether it is shared.
  local function place(name, from_shared)
    if name:sub(1, #SHARED + 1) == SHARED .. "." then
      local root = require("pai").root .. "/lua"
      return root, root .. "/" .. SHARED:gsub("%.", "/"), true
    elseif not from_shared and name:match("^[^.]+") == stem then
      return base, base .. "/" .. stem, false
    end
  end

  local function load(name, from_shared)
    if type(name) ~= "string" or not name:find("^[%w_-]+[%w_.-]*$") or name:find("..", 1, true) then
      error("require takes the name of a module, such as '" .. stem .. ".graph'", 2)
    end
    local root, folder, is_shared = place(name, from_shared)
    if not root then
      local message = "a recipe requires modules of its own folder only: '%s.…', not '%s'"
      error(message:format(stem, name), 2)
    elseif loaded[name] ~= nil then
      return loaded[name]
    end
    if loading[name] then
      error(("module '%s' requires itself"):format(name), 2)
    end
    local path = root .. "/" .. name:gsub("%.", "/") .. ".lua"
    if not fs.under(path, { folder }) then
      error(("module '%s' is outside of the recipe's folder"):format(name), 2)
    end
    local file, e = self:read(path)
    if not file then
      error(("module '%s': %s"):format(name, e.message), 2)
    end
    loading[name] = true
    local value, p = self:chunk(file, is_shared and shared_fn or require_fn)
    loading[name] = nil
    if p then
      error(("%s:%d: %s"):format(p.file, p.line, p.message), 0)
    end
    loaded[name] = value == nil and true or value
    return loaded[name]
  end

  function require_fn(name)
    return load(name, false)
  end
  -- What is shared knows no recipe.
  function shared_fn(name)
    return load(name, true)
  end
  return require_fn
end

function Loader:document(kind, path, stem, base)
  local file, e = self:read(path)
  if not file then
    return nil, { problem(self:shown(path), 1, e.message) }
  end
  local value, p = self:chunk(file, self:require_for(stem, base))
  if p then
    return nil, { p }
  end
  local source = { file = self:shown(path), text = file.text }
  local doc, problems = schema.check(kind, value, source)
  return doc, problems, source
end

---Loads a recipe file.
---@param path string absolute
---@return pai.recipe.Loaded?
---@return pai.recipe.Problem[]?
function Loader:recipe(path)
  local base, stem = fs.dirname(path), fs.basename(path):gsub("%.lua$", "")
  local doc, problems, source = self:document("recipe", path, stem, base)
  if not doc then
    return nil, problems
  end
  return { path = path, name = doc.name, dir = base .. "/" .. stem, doc = doc, source = source }
end

-- b's keys over a's.
local function merged(a, b)
  local out = {}
  for _, t in ipairs({ a or {}, b or {} }) do
    for k, v in pairs(t) do
      out[k] = v
    end
  end
  return out
end

local function merged_needs(a, b)
  local out = {}
  for _, needs in ipairs({ a or {}, b or {} }) do
    for key, list in pairs(needs) do
      out[key] = out[key] or {}
      table.move(list, 1, #list, #out[key] + 1, out[key])
    end
  end
  return out
end

---Loads a component's own description (component.lua).
---@param dir string components/NAME
---@return table? doc
---@return pai.recipe.Problem[]?
function Loader:component(dir)
  local stem, base = fs.basename(dir), fs.dirname(dir)
  local doc, problems = self:document("component", dir .. "/component.lua", stem, base)
  return doc, problems
end

---Loads an action of a component (one of pai.recipe.index.ACTIONS) as a recipe NAME.ACTION.
---@param path string components/NAME/ACTION.lua
---@return pai.recipe.Loaded?
---@return pai.recipe.Problem[]?
function Loader:action(path)
  local dir = fs.dirname(path)
  local stem, base = fs.basename(dir), fs.dirname(dir)
  local component, component_problems = self:component(dir)
  if not component then
    return nil, component_problems
  end
  local doc, problems, source = self:document("action", path, stem, base)
  if not doc then
    return nil, problems
  end
  local action = fs.basename(path):gsub("%.lua$", "")
  doc.api, doc.tags = component.api, component.tags
  doc.name = component.name .. "." .. action
  doc.title = component.title .. ": " .. action
  doc.summary = doc.summary or component.summary
  doc.inputs = merged(component.inputs, doc.inputs)
  doc.needs = merged_needs(component.needs, doc.needs)
  return { path = path, name = doc.name, dir = dir, doc = doc, source = source }
end

---Loads whatever a path names: a recipe, or a component's action.
---@param path string absolute
---@return pai.recipe.Loaded?
---@return pai.recipe.Problem[]?
function Loader:load(path)
  local ahead = self.read_ahead[path]
  if ahead then
    self.read_ahead[path] = nil
    return ahead
  end
  local beside = fs.dirname(path) .. "/component.lua"
  if self.by_path[beside] or (fs.basename(path) ~= "component.lua" and fs.exists(beside)) then
    return self:action(path)
  end
  return self:recipe(path)
end

---Loads what will be asked for later: the next `load` of this path gives it.
---@param path string absolute
---@return pai.recipe.Loaded?
---@return pai.recipe.Problem[]?
function Loader:ahead(path)
  local loaded, problems = self:load(path)
  self.read_ahead[path] = loaded
  return loaded, problems
end

---One error of a list of problems.
---@param problems pai.recipe.Problem[]
---@return pai.Error
function M.error(problems)
  local lines = {}
  for i, p in ipairs(problems) do
    lines[i] = schema.format(p)
  end
  return err.new("ESCHEMA", text.utf8(table.concat(lines, "\n")), { problems = problems })
end

return M
