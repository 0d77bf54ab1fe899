-- The user's settings file says where secrets of a name come from. It holds no values; as it names
-- commands that are run, nobody else may write it.
local err = require("pai.err")
local fs = require("pai.fs")
local text = require("pai.text")

local M = {}

---The folder of the user's settings: $XDG_CONFIG_HOME/pai, else ~/.config/pai.
---@return string? dir nil when there is no HOME
function M.dir()
  local xdg = os.getenv("XDG_CONFIG_HOME")
  if xdg and xdg:sub(1, 1) == "/" then
    return xdg .. "/pai"
  end
  local home = os.getenv("HOME")
  return home and home ~= "" and home .. "/.config/pai" or nil
end

---@class pai.secrets.Entry
---@field kind "command"|"file"|"env"|"docker"|"osmo"
---@field value string|string[]
---@field timeout string? of a command
---@field line integer

---@class pai.secrets.Settings
---@field path string?
---@field entries table<string, pai.secrets.Entry> by the name of the variable
---@field check table? a red check when it breaks the rules; then there are no entries

local KINDS <const> = { "command", "file", "env", "docker", "osmo" }

local Reader = {}
Reader.__index = Reader

function Reader:fail(path, message)
  local line = self.lines[path]
  self.problem = self.problem
    or ("%s%s: %s"):format(line and ("line %d, "):format(line) or "", path, message)
end

local function is_argv(value)
  for _, word in ipairs(value) do
    if type(word) ~= "string" or word:find("\0", 1, true) then
      return false
    end
  end
  return #value > 0 and value[1] ~= ""
end

function Reader:unknown(at, key, known)
  local hint = text.did_you_mean(key, known)
  local list = hint == "" and "; it takes " .. table.concat(known, ", ") or hint
  self:fail(at .. "." .. key, "unknown key" .. list)
end

-- One entry: { command: [...] }, { file: ... } and so on.
function Reader:entry(name, raw)
  local at = "secrets." .. name
  if not name:find("^[%a_][%w_]*$") then
    return self:fail(at, "the name of a variable has letters, digits and _")
  elseif type(raw) ~= "table" or #raw > 0 then
    -- What stands there may be the secret itself: it is not repeated.
    return self:fail(at, "says where the value is, such as { command: [pass, show, name] }")
  end
  local kind
  for _, key in ipairs(text.keys(raw)) do
    local is_kind = false
    for _, known in ipairs(KINDS) do
      is_kind = is_kind or known == key
    end
    if is_kind and kind then
      return self:fail(at, ("has both %s and %s"):format(kind, key))
    elseif not is_kind and key ~= "timeout" then
      return self:unknown(at, key, { "command", "docker", "env", "file", "osmo", "timeout" })
    end
    kind = is_kind and key or kind
  end
  if not kind then
    return self:fail(at, "needs one of " .. table.concat(KINDS, ", "))
  end
  local value = raw[kind]
  if kind == "command" and (type(value) ~= "table" or not is_argv(value)) then
    return self:fail(at .. ".command", "must be a list of arguments, such as [pass, show, name]")
  elseif kind ~= "command" and (type(value) ~= "string" or value == "") then
    return self:fail(at .. "." .. kind, "must be text")
  elseif kind == "file" and not value:find("^~?/") then
    return self:fail(at .. ".file", "must be an absolute path, or begin with ~/")
  elseif raw.timeout ~= nil and kind ~= "command" then
    return self:fail(at .. ".timeout", "is for a command only")
  elseif raw.timeout and not require("pai.duration").parse(raw.timeout) then
    return self:fail(at .. ".timeout", "must be a duration such as 30s")
  end
  self.entries[name] =
    { kind = kind, value = value, timeout = raw.timeout, line = self.lines[at] or 0 }
end

function Reader:read(doc)
  if type(doc) ~= "table" or #doc > 0 then
    self.problem = "must be a map; it takes secrets"
    return
  end
  for _, key in ipairs(text.keys(doc)) do
    if key ~= "secrets" then
      local hint = text.did_you_mean(key, { "secrets" })
      self:fail(key, "unknown key" .. (hint == "" and "; it takes secrets" or hint))
    end
  end
  local secrets = doc.secrets
  if secrets == require("pai.yaml").null or secrets == nil then
    return
  elseif type(secrets) ~= "table" or #secrets > 0 then
    return self:fail("secrets", "must be a map of names")
  end
  for _, name in ipairs(text.keys(secrets)) do
    self:entry(name, secrets[name])
  end
end

local function red(path, measured, expected, hint)
  return {
    name = "settings.yaml",
    state = "red",
    measured = ("%s %s"):format(path, measured),
    expected = expected,
    hint = hint,
  }
end

---Reads the settings file.
---@return pai.secrets.Settings
function M.load()
  local dir = M.dir()
  local path = dir and dir .. "/settings.yaml"
  local st = path and fs.stat(path)
  local found = { path = path, entries = {} }
  if not st then
    return found
  end
  local _, uid = fs.user()
  if st.uid ~= uid and st.uid ~= 0 then
    found.check = red(path, "belongs to another user", "yours", "sudo chown $(id -u) " .. path)
  elseif st.mode & 18 ~= 0 then -- 0022
    local measured = ("can be written by others (mode %04o)"):format(st.mode)
    found.check = red(path, measured, "written by you only", "chmod go-w " .. path)
  end
  if found.check then
    return found
  end
  local body, e = fs.read(path, { max = 1024 * 1024 })
  local doc, lines
  if body then
    doc, lines = require("pai.yaml").decode(body, { schema = "core", positions = true })
    e = doc == nil and lines or nil
  end
  if e then
    found.check = red(path, "can't be read: " .. e.message, "YAML", "pai help secret")
    return found
  elseif doc == require("pai.yaml").null then
    return found
  end
  local reader = setmetatable({ entries = found.entries, lines = lines or {} }, Reader)
  reader:read(doc)
  if reader.problem then
    found.entries = {}
    found.check = red(path, reader.problem, "the keys that it takes", "pai help secret")
  end
  return found
end

---Raises the check of a settings file that breaks the rules.
---@param found pai.secrets.Settings
---@return nil
---@return pai.Error err
function M.refused(found)
  return err.fail("EACCES", found.check.measured, { hint = found.check.hint })
end

return M
