-- Opens a secret by the name of its source, which is what the journal keeps:
--   env:NAME  file:PATH  dotenv:PATH#NAME  docker:REGISTRY  osmo:FIELD  settings:NAME  store:NAME
local err = require("pai.err")
local fs = require("pai.fs")

local M = {}

---The user's own store of secrets, beside the settings.
---@return string? path
function M.store_path()
  local dir = require("pai.secrets.settings").dir()
  return dir and dir .. "/secrets.env" or nil
end

local function from_dotenv(path, name)
  local handles, e = require("pai.recipe.dotenv").open(path)
  if not handles then
    return nil, e
  elseif not handles[name] then
    return err.fail("ENOENT", ("%s has no %s"):format(path, name))
  end
  return handles[name]
end

local open = {}

function open.env(name)
  return require("pai.secret").from_env(name)
end

-- Others must not be able to read it; a pipe, as a shell's <(...) gives, is nobody else's.
function open.file(path)
  if path:sub(1, 2) == "~/" then
    path = (os.getenv("HOME") or "") .. path:sub(2)
  end
  local st = fs.stat(path)
  local check = st and st.type == "file" and require("pai.recipe.dotenv").privacy(path)
  if check then
    return err.fail("EACCES", check.measured, { hint = check.hint })
  end
  return require("pai.secret").from_file(path)
end

function open.dotenv(rest)
  local path, name = rest:match("^(.*)#([^#]*)$")
  if not path then
    return err.fail("EUSAGE", "dotenv: names a file and a variable: dotenv:PATH#NAME")
  end
  return from_dotenv(path, name)
end

function open.store(name)
  local path = M.store_path()
  if not path then
    return err.fail("ENOENT", "there is no store of secrets: HOME is not set")
  end
  return from_dotenv(path, name)
end

function open.docker(registry)
  return require("pai.secrets.docker").open(registry)
end

function open.osmo(what)
  return require("pai.secrets.osmo").open(what)
end

-- A command may ask its user for a passphrase: once is enough.
local answers = {}

---Opens an entry of the settings.
---@param name string
---@param entry pai.secrets.Entry
---@return userdata? handle
---@return string|pai.Error|nil warning
function M.open_entry(name, entry)
  if entry.kind ~= "command" then
    return open[entry.kind](entry.value)
  end
  if not answers[name] then
    local handle, e = require("pai.secrets.command").open(name, entry)
    if not handle then
      return nil, e
    end
    answers[name] = handle
  end
  return answers[name]
end

function open.settings(name)
  local settings = require("pai.secrets.settings")
  local found = settings.load()
  if found.check then
    return settings.refused(found)
  elseif not found.entries[name] then
    local message = "%s says nothing of %s"
    return err.fail("ENOENT", message:format(found.path or "settings.yaml", name))
  end
  return M.open_entry(name, found.entries[name])
end

---Whether a text is the name of a source.
---@param source any
---@return boolean
function M.known(source)
  local kind = type(source) == "string" and source:match("^(%a+):.+$")
  return kind ~= nil and kind ~= false and open[kind] ~= nil
end

---Opens a secret.
---@param source string
---@return userdata? handle
---@return string|pai.Error|nil warning that it is not masked; or the error
function M.open(source)
  local kind, rest = source:match("^(%a+):(.+)$")
  if not open[kind] then
    return err.fail("EUSAGE", "no source of secrets has that name")
  end
  return open[kind](rest)
end

return M
