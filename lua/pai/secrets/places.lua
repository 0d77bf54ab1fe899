-- Where the value of a variable may be, in the order in which it is looked for: environment, .env
-- of the work tree, the user's settings, the user's store. Files are looked at when something asks
-- for them, and once.
local dotenv = require("pai.recipe.dotenv")
local fs = require("pai.fs")
local sources = require("pai.secrets.sources")

local M = {}

---@class pai.secrets.Places
---@field cwd string
---@field plain table<string, any> variables that are no secrets
---@field checks table[] red checks of the files that were looked at
local Places = {}
Places.__index = Places

---@class pai.secrets.Place
---@field place "environment"|".env"|"settings"|"store"
---@field source string
---@field path string?
---@field handle userdata? when it is open already
---@field entry pai.secrets.Entry?

---@param cwd string
---@param opts { plain: table<string, any>?, checks: table[]? }?
---@return pai.secrets.Places
function M.new(cwd, opts)
  opts = opts or {}
  local self = { cwd = cwd, plain = opts.plain or {}, checks = opts.checks or {} }
  return setmetatable(self, Places)
end

local function unreadable(name, e)
  return {
    name = name,
    state = "red",
    measured = e.message,
    expected = "KEY=VALUE lines",
    hint = "correct that line",
  }
end

-- A KEY=VALUE file that is known to exist or not: { path, exists, check, handles, texts }.
function Places:open_file(found, plain)
  found.handles, found.texts = {}, {}
  if found.exists and not found.check then
    local handles, e, texts = dotenv.open(found.path, plain)
    if handles then
      found.handles, found.texts = handles, texts
    else
      found.check = unreadable(fs.basename(found.path), e)
    end
  end
  self.checks[#self.checks + 1] = found.check
  return found
end

---@class pai.secrets.File: pai.DotenvState
---@field handles table<string, userdata>
---@field texts table<string, string> of the variables that are no secrets

---The .env file of the work tree.
---@return pai.secrets.File
function Places:dotenv()
  if not self.of_dotenv then
    self.of_dotenv = self:open_file(dotenv.inspect(self.cwd), self.plain)
  end
  return self.of_dotenv
end

---The user's own store.
---@return pai.secrets.File
function Places:store()
  if not self.of_store then
    local path = sources.store_path()
    local found = { path = path, exists = path ~= nil and fs.exists(path) }
    if found.exists then
      -- Some keep their settings under git.
      local root = dotenv.git_root(fs.dirname(path))
      found.check = dotenv.privacy(path) or root and dotenv.ignored(root, path) or nil
    end
    self.of_store = self:open_file(found)
  end
  return self.of_store
end

---The user's settings.
---@return pai.secrets.Settings
function Places:settings()
  if not self.of_settings then
    self.of_settings = require("pai.secrets.settings").load()
    self.checks[#self.checks + 1] = self.of_settings.check
  end
  return self.of_settings
end

local FINDERS <const> = {
  function(_, name)
    local value = os.getenv(name)
    return value and value ~= "" and { place = "environment", source = "env:" .. name }
  end,
  function(self, name)
    local file = self:dotenv()
    local handle = file.handles[name]
    local source = handle and ("dotenv:%s#%s"):format(file.path, name)
    return handle and { place = ".env", source = source, path = file.path, handle = handle }
  end,
  function(self, name)
    local found = self:settings()
    local entry, source = found.entries[name], "settings:" .. name
    return entry and { place = "settings", source = source, path = found.path, entry = entry }
  end,
  function(self, name)
    local file = self:store()
    local handle, source = file.handles[name], "store:" .. name
    return handle and { place = "store", source = source, path = file.path, handle = handle }
  end,
}

---The first place that has a value.
---@param name string
---@return pai.secrets.Place?
function Places:first(name)
  for _, finder in ipairs(FINDERS) do
    local place = finder(self, name)
    if place then
      return place
    end
  end
end

---All places that have a value: the first one counts.
---@param name string
---@return pai.secrets.Place[]
function Places:all(name)
  local list = {}
  for _, finder in ipairs(FINDERS) do
    list[#list + 1] = finder(self, name) or nil
  end
  return list
end

---Opens what is at a place.
---@param name string
---@param place pai.secrets.Place
---@return userdata? handle
---@return string|pai.Error|nil warning
function M.open(name, place)
  if place.handle then
    return place.handle
  elseif place.entry then
    return sources.open_entry(name, place.entry)
  end
  return sources.open(place.source)
end

return M
