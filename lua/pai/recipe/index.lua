-- Finds recipes: ./recipes, the folders of PAI_RECIPE_PATH, pai's own; components beside each.
-- A description is read in a child process, so that a recipe which is broken, loops or eats memory
-- is one line in a list and nothing more.
local duration = require("pai.duration")
local err = require("pai.err")
local fs = require("pai.fs")
local text = require("pai.text")

local M = {}

---Actions that a component folder may hold, in the order of their use.
M.ACTIONS = { "preflight", "deploy", "verify", "active", "drill", "teardown" }

local function is_dir(path)
  local st = fs.stat(path)
  return st ~= nil and st.type == "directory"
end

local function is_file(path)
  local st = fs.stat(path)
  return st ~= nil and st.type == "file"
end

-- Adds existing folders in order, each once.
local function add_dir(list, path)
  local real = is_dir(path) and fs.realpath(path)
  if real and not list[real] then
    list[real] = true
    list[#list + 1] = real
  end
end

---Folders that are searched for recipes and for components, nearest first.
---@param opts { cwd: string?, near: string? }? near: a recipe's path, whose siblings come first
---@return string[] recipes
---@return string[] components
function M.folders(opts)
  opts = opts or {}
  local cwd = opts.cwd or fs.cwd()
  local recipes, components = {}, {}
  if opts.near then
    local folder = fs.dirname(opts.near)
    add_dir(components, fs.dirname(folder) .. "/components")
    -- components/NAME/action.lua: its siblings are two up.
    if is_file(folder .. "/component.lua") then
      add_dir(components, fs.dirname(folder))
    end
  end
  add_dir(recipes, cwd .. "/recipes")
  add_dir(components, cwd .. "/components")
  for dir in (os.getenv("PAI_RECIPE_PATH") or ""):gmatch("[^:]+") do
    dir = fs.abspath(dir)
    add_dir(recipes, dir)
    add_dir(components, fs.dirname(dir) .. "/components")
  end
  local root = require("pai").root
  add_dir(recipes, root .. "/recipes")
  add_dir(components, root .. "/components")
  return recipes, components
end

---Every recipe and component action that can be named; the first of a name wins.
---@param opts { cwd: string?, near: string? }?
---@return { name: string, path: string, kind: "recipe"|"action" }[] sorted by name
---@return { name: string, dir: string }[] components sorted by name
function M.all(opts)
  local recipe_dirs, component_dirs = M.folders(opts)
  local entries, components, seen = {}, {}, {}
  local function add(list, name, entry)
    if not seen[name] then
      seen[name] = true
      list[#list + 1] = entry
    end
  end
  for _, dir in ipairs(recipe_dirs) do
    for _, file in ipairs(fs.list(dir) or {}) do
      local name = file:match("^([%w_-]+)%.lua$")
      -- A recipe's spec may lie beside it.
      if name and not name:find("_spec$") and is_file(dir .. "/" .. file) then
        add(entries, name, { name = name, path = dir .. "/" .. file, kind = "recipe" })
      end
    end
  end
  for _, dir in ipairs(component_dirs) do
    for _, name in ipairs(fs.list(dir) or {}) do
      local folder = dir .. "/" .. name
      if is_file(folder .. "/component.lua") then
        add(components, "component " .. name, { name = name, dir = folder })
        for _, action in ipairs(M.ACTIONS) do
          local path = folder .. "/" .. action .. ".lua"
          if is_file(path) then
            local full = name .. "." .. action
            add(entries, full, { name = full, path = path, kind = "action" })
          end
        end
      end
    end
  end
  table.sort(entries, function(a, b)
    return a.name < b.name
  end)
  table.sort(components, function(a, b)
    return a.name < b.name
  end)
  return entries, components
end

local function by_name(name, opts)
  local recipe_dirs, component_dirs = M.folders(opts)
  for _, dir in ipairs(recipe_dirs) do
    local path = ("%s/%s.lua"):format(dir, name)
    if is_file(path) then
      return path
    end
  end
  local component, action = name:match("^([%w_-]+)%.([%w_-]+)$")
  for _, dir in ipairs(component and component_dirs or {}) do
    local path = ("%s/%s/%s.lua"):format(dir, component, action)
    if is_file(path) and is_file(("%s/%s/component.lua"):format(dir, component)) then
      return path
    end
  end
end

---Finds the file of a recipe by path or by name; a path beats a name.
---@param what string "recipes/vda.lua", "vda.lua", "vda" or "cluster-microk8s.deploy"
---@param opts { cwd: string?, near: string? }?
---@return string? path absolute
---@return pai.Error? err
function M.resolve(what, opts)
  opts = opts or {}
  local cwd = opts.cwd or fs.cwd()
  if what:find("/", 1, true) or what:find("%.lua$") then
    local path = fs.abspath(what:sub(1, 1) == "/" and what or cwd .. "/" .. what)
    if is_file(path) then
      return path
    end
    if what:find("/", 1, true) then
      return err.fail("ENOENT", ("no recipe at %s"):format(what))
    end
  end
  local name = what:gsub("%.lua$", "")
  local path = name:find("^[%w_-]+%.?[%w_-]*$") and by_name(name, opts)
  if path then
    return path
  end
  local entries, components = M.all(opts)
  local names, there = {}, {}
  for i, entry in ipairs(entries) do
    names[i], there[entry.name] = entry.name, true
  end
  local actions = {}
  for _, action in ipairs(M.ACTIONS) do
    actions[#actions + 1] = there[name .. "." .. action] and action or nil
  end
  if #actions > 0 then
    return err.fail("ENOENT", ("%s is a component, not a recipe"):format(name), {
      hint = ("pai %s %s, or pai show %s"):format(table.concat(actions, "|"), name, name),
    })
  end
  -- A component comes before its actions: "osmo" is nearer to osmo-k8s than to osmo-k8s.deploy.
  for i, component in ipairs(components) do
    table.insert(names, i, component.name)
  end
  local hint = text.did_you_mean(name, names)
  return err.fail("ENOENT", ("no recipe '%s'%s"):format(what, hint), {
    hint = "pai list shows what there is",
  })
end

local cache = {}

-- The child has its own deadline and says what it was about; this one is for a child that can't.
local GRACE_MS <const> = 10000

---Reads the description of a recipe or component in a child process.
---@param path string absolute: a recipe, an action, or a component's folder
---@param opts { lint: boolean?, fresh: boolean? }? fresh: not what was read before
---@return table? description
---@return pai.Error? err with problems = { {file, line, key, message} } when the schema says no
function M.read(path, opts)
  local lint = opts and opts.lint
  local key = (lint and "lint " or "") .. path
  if cache[key] and not (opts and opts.fresh) then
    return cache[key]
  end
  local limit = duration.parse(os.getenv("PAI_READ_TIMEOUT") or "10s") or 10000
  local argv = { require("pai").exe, "__read", path, lint and "--lint" or nil }
  local r, e = require("pai.exec").run(argv, {
    env = {
      PAI_RECIPE_PATH = os.getenv("PAI_RECIPE_PATH"),
      PAI_READ_TIMEOUT = os.getenv("PAI_READ_TIMEOUT"),
      PAI_WATCHDOG = os.getenv("PAI_WATCHDOG"),
    },
    timeout = limit + GRACE_MS,
    grace = "0s",
    accept = { 0, 1 },
  })
  if not r then
    local why = e.code == "EEXIT" and text.one_line(e.stderr or "") or e.message
    return err.fail(e.code, ("%s: %s"):format(path, why))
  end
  local answer = require("pai.json").decode(r.stdout)
  if type(answer) ~= "table" then
    -- The watchdog had the last word.
    return err.fail("ERECIPE", (text.one_line(r.stderr):gsub("^pai: ", "")))
  end
  if not answer.ok then
    return err.fail(answer.code or "ESCHEMA", answer.message, { problems = answer.problems })
  end
  cache[key] = answer.recipe
  return answer.recipe
end

return M
