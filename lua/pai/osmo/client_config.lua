-- The keys of object stores on this machine: config.yaml, where OSMO's own command line keeps them
-- and its data commands look for them. The service never gives a key back. Keys are handles from
-- where they come from to the file; what else the file holds stays.
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")
local login_file = require("pai.osmo.client_login")
local secret = require("pai.secret")
local text = require("pai.text")
local yaml = require("pai.yaml")

local M = {}

-- Names of values that never become a string, whoever wrote them into the file.
local SEALED <const> = {
  access_key = true,
  account_key = true,
  connection_string = true,
  password = true,
  sas = true,
  secret = true,
  secret_access_key = true,
  session_token = true,
  token = true,
}

-- What an entry has, and what upstream's client writes only when it is given.
local FIELDS <const> = { "access_key_id", "access_key", "region" }
local IF_GIVEN <const> = { "override_url", "addressing_style" }

---@return string
function M.path()
  return login_file.dir() .. "/config.yaml"
end

local function refused(path, why)
  return err.fail("EPARSE", ("%s: %s"):format(path, why), {
    hint = "mend it, or move it away",
  })
end

-- A map's member that is a map, too, made when it is not there; nil for anything else.
local function inner(map, name)
  if type(map) ~= "table" or json.is_array(map) then
    return nil
  elseif map[name] == nil or map[name] == json.null then
    map[name] = {}
  end
  local found = map[name]
  return type(found) == "table" and not json.is_array(found) and found or nil
end

---Reads config.yaml; what looks like a key is a handle.
---@param path string? default M.path()
---@return table? doc with auth.data, empty when there is no file
---@return table|pai.Error data its auth.data, by profile; or the error
function M.load(path)
  local from = path or M.path()
  local doc = {}
  local st = fs.stat(from)
  if path and not st then
    return err.fail("ENOENT", "there is no " .. path)
  elseif st and st.size > 0 then
    local body, e = secret.from_file(from)
    if not body then
      return nil, e
    end
    doc, e = yaml.decode(body, { schema = "1.1", secret = SEALED, keys = "python" })
    if doc == nil then
      return refused(from, e.message)
    end
  end
  if doc == json.null then
    doc = {}
  end
  local data = inner(inner(doc, "auth"), "data")
  if not data then
    return refused(from, "it holds no map auth.data")
  end
  return doc, data
end

-- A text so that every YAML reader takes it for the same text, on one line.
local function scalar(v)
  if type(v) == "userdata" and v ~= json.null then
    return json.seal(v)
  elseif type(v) == "string" and not v:find("[\n\r]") then
    return (yaml.encode(v):gsub("\n$", ""))
  end
  return json.encode(v)
end

local function write_map(parts, map, indent)
  for _, name in ipairs(text.keys(map)) do
    local v = map[name]
    parts[#parts + 1] = indent .. scalar(name) .. ":"
    if type(v) ~= "table" then
      parts[#parts + 1] = " "
      parts[#parts + 1] = scalar(v)
    elseif json.is_array(v) or next(v) == nil then
      parts[#parts + 1] = " "
      parts[#parts + 1] = json.seal(v) -- flow style
    else
      parts[#parts + 1] = "\n"
      write_map(parts, v, indent .. "  ")
      goto continue
    end
    parts[#parts + 1] = "\n"
    ::continue::
  end
end

-- Changes the entries and writes the file when the function says so.
local function change(fn)
  local path = M.path()
  local ok, e = fs.mkdir(fs.dirname(path), { parents = true, mode = 448 })
  if not ok then
    return nil, e
  end
  return login_file.locked(function()
    local doc, data = M.load()
    if not doc then
      return nil, data
    end
    if not fn(data) then
      return false
    end
    local parts = {}
    write_map(parts, doc, "")
    local written, why = login_file.write(path, parts)
    return written and true or nil, why
  end, path)
end

---Puts the keys of a store into the file, as upstream's client does after it has set a credential.
---@param payload table<string, string|userdata> of a DATA credential; endpoint names the entry
---@return true?
---@return pai.Error? err
function M.put(payload)
  local entry = {}
  for _, name in ipairs(FIELDS) do
    entry[name] = payload[name] or json.null
  end
  for _, name in ipairs(IF_GIVEN) do
    entry[name] = payload[name]
  end
  return change(function(data)
    data[payload.endpoint:gsub("/+$", "")] = entry
    return true
  end)
end

---Takes the keys of a store out of the file.
---@param profile string such as "s3://bucket"
---@return boolean? whether there were any
---@return pai.Error? err
function M.remove(profile)
  if not fs.exists(M.path()) then
    return false
  end
  return change(function(data)
    local was = data[profile] ~= nil
    data[profile] = nil
    return was
  end)
end

---The keys of a store, as pai.store.open takes them.
---@param profile string
---@param path string? of the file
---@return pai.store.Keys? keys
---@return pai.Error? err ENOKEYS
function M.keys(profile, path)
  local doc, data = M.load(path)
  if not doc then
    return nil, data
  end
  local entry = data[profile] or data[profile .. "/"]
  if type(entry) ~= "table" then
    return err.fail("ENOKEYS", ("no key for %s in %s"):format(profile, path or M.path()))
  end
  local keys = {}
  for _, names in ipairs({ FIELDS, IF_GIVEN, { "session_token" } }) do
    for _, name in ipairs(names) do
      keys[name] = entry[name] ~= json.null and entry[name] or nil
    end
  end
  return keys
end

return M
