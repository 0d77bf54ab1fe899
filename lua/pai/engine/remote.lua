-- Inputs, outputs and checkpoints in object stores. The keys are those of the user's DATA
-- credential whose endpoint fits best, else what pai.store finds where the engine runs.
local credentials = require("pai.engine.credentials")
local err = require("pai.err")
local fs = require("pai.fs")
local places = require("pai.store.url")

local M = {}

local SCHEMES <const> = { s3 = true, gs = true, swift = true, tos = true, azure = true }

---Whether a url names an object store.
---@param url string
---@return boolean
function M.is(url)
  return SCHEMES[url:match("^(%a%w*)://")] or false
end

-- Members of a DATA credential that are secrets, and those that are settings.
local SECRETS <const> = { "access_key" }
local SETTINGS <const> = { "access_key_id", "region", "override_url", "addressing_style" }

local function covers(profile, url)
  profile = profile:gsub("/+$", "")
  return (url .. "/"):sub(1, #profile + 1) == profile .. "/"
end

-- The keys of the credential with the longest endpoint that the url lies under; nil when there is
-- none.
local function keys_of(engine, user, url)
  local best
  for _, credential in ipairs(credentials.list(engine, user)) do
    local profile = credential.type == "DATA" and credential.profile
    if profile and covers(profile, url) and (not best or #profile > #best.profile) then
      best = credential
    end
  end
  if not best then
    return nil
  end
  local has = {}
  for _, name in ipairs(best.keys) do
    has[name] = true
  end
  local keys = {}
  for _, name in ipairs(SECRETS) do
    keys[name] = has[name] and credentials.open(best, name) or nil
  end
  for _, name in ipairs(SETTINGS) do
    local value = has[name] and credentials.value(best, name)
    keys[name] = value ~= "" and value or nil
  end
  return keys
end

---Whether there are keys for a url; nothing is sent.
---@param engine pai.engine.Engine
---@param user string
---@param url string
---@return true?
---@return string? why
function M.check(engine, user, url)
  local place, e = places.parse(url)
  if not place then
    return nil, e.message
  end
  local ok, fault = pcall(function()
    require("pai.store.keys").find(place, keys_of(engine, user, url))
  end)
  if ok then
    return true
  end
  e = err.wrap(fault)
  if e.code == "ENOKEYS" then
    local text = "no key for %s: set a DATA credential with the endpoint %s"
    return nil, text:format(url, place.profile)
  end
  return nil, e.message
end

local function open(engine, user, url)
  local store, e = require("pai.store").open(url, { keys = keys_of(engine, user, url) })
  if not store then
    error(e, 0)
  end
  return store
end

-- A key that is refused is told apart from a transfer that failed.
local function checked(result, e)
  if result then
    return result
  elseif e.code == "EACCES" or e.code == "ENOKEYS" then
    err.raise("ECREDENTIAL", e.message)
  end
  error(e, 0)
end

local function tell(note, what, result)
  for _, name in ipairs(result.left_out) do
    note("Left out " .. name)
  end
  note(("%s %d files, %d bytes"):format(what, result.files, result.bytes))
end

---Makes sure that a url can be written below, before anything runs whose outputs go there. Raises.
---@param engine pai.engine.Engine
---@param url string
---@param user string
function M.check_write(engine, url, user)
  local ok, e = open(engine, user, url):check({ "WRITE" })
  if not ok and e.code ~= "EACCES" and e.code ~= "ENOKEYS" then
    err.raise("ECHECK", ("cannot write to %s: %s"):format(url, e.message))
  end
  checked(ok, e)
end

---Downloads an object, or everything below a url, into a folder. Raises.
---@param engine pai.engine.Engine
---@param url string
---@param dir string
---@param opts {user: string, regex: string?, note: fun(text: string)}
function M.get(engine, url, dir, opts)
  local store = open(engine, opts.user, url)
  tell(opts.note, "Downloaded", checked(store:download(dir, { regex = opts.regex })))
  local ok, e = fs.mkdir(dir, { parents = true })
  if not ok then
    error(e, 0)
  end
end

---Uploads files. Each object is whole or not there; a failure leaves those that were done. Raises.
---@param engine pai.engine.Engine
---@param url string
---@param files {path: string, name: string}[]
---@param opts {user: string, regex: string?, note: fun(text: string)}
function M.put(engine, url, files, opts)
  local store = open(engine, opts.user, url)
  tell(opts.note, "Uploaded", checked(store:upload(files, { regex = opts.regex })))
end

return M
