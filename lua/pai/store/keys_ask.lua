-- Keys that somebody has to be asked for, and that end: metadata services, token services,
-- programs. They are asked at the first request, not before, and again before the key ends.
local err = require("pai.err")
local exec = require("pai.exec")
local http = require("pai.http")
local json = require("pai.json")
local task = require("pai.task")
local times = require("pai.k8s.times")

local M = {}

-- A service on the network gets this long; one that a machine may not have at all, that.
local TIMEOUT <const> = "30s"
local PROBE <const> = "2s"
local PROBE_CONNECT <const> = "1s"

-- A key is asked for again so many seconds before it ends.
local EARLY_S <const> = 120

---@class pai.store.Asked what a source gives: members of pai.store.Keys, and when they end
---@field ends integer? seconds since 1970

---@class pai.store.AskOptions: pai.http.options
---@field probe boolean? nobody may be there
---@field on_host (fun(url: string))? called before the server is spoken to; may raise

---Whether keys or tokens may be sent to an address: over TLS, or on this machine.
---@param url string
---@return boolean
function M.is_safe(url)
  local host = url:match("^http://([%w.]+)[:/]") or url:match("^http://([%w.]+)$")
  return url:find("^https://[^/?#@%s]+") ~= nil
    or host == "localhost"
    or (host ~= nil and host:find("^127%.%d+%.%d+%.%d+$") ~= nil)
end

---Asks a service. Proxies are left out for addresses that only this machine can reach.
---@param opts pai.store.AskOptions
---@return pai.http.response?
---@return pai.Error? err
function M.send(opts)
  if opts.on_host then
    opts.on_host(opts.url:match("^%a+://[^/?#]+"))
  end
  local probe = opts.probe
  opts.on_host, opts.probe = nil, nil
  opts.timeout = opts.timeout or (probe and PROBE or TIMEOUT)
  opts.connect_timeout = probe and PROBE_CONNECT or nil
  opts.proxy = probe and "" or nil
  opts.retries = probe and 0 or 2
  return http.request(opts)
end

-- What a service says of its refusal: OAuth's words, or AWS's.
local function said(e)
  local value = type(e.body) == "string" and json.decode(e.body)
  if type(value) ~= "table" then
    return nil
  end
  local text = value.error_description or value.message or value.Message
  local fault = value.Error
  text = text or (type(fault) == "table" and fault.Message)
  return type(text) == "string" and text:match("^[^\r\n]+") or nil
end

---Why a service gave no key.
---@param what string the setting that led there
---@param e pai.Error
---@return pai.Error
function M.refusal(what, e)
  local why = e.code == "EHTTP" and ("it answered %d"):format(e.status) or e.message
  local words = said(e)
  local message = ("no key by %s: %s%s"):format(
    what,
    why,
    words and ": " .. words:sub(1, 300) or ""
  )
  local passing = e.code ~= "EHTTP" and e.retryable or (e.status and e.status >= 500)
  return err.new(e.code == "EHTTP" and "EACCES" or e.code, message, {
    retryable = passing or false,
    http = e.status,
  })
end

---The members of a document, of which some are secrets.
---@param what string for messages
---@param document pai.secret.handle JSON
---@param secrets string[] paths
---@return table
function M.members(what, document, secrets)
  local value = json.decode(document, { secret = secrets })
  if type(value) ~= "table" then
    err.raise("EPROTO", ("no key by %s: the answer is no JSON"):format(what))
  end
  return value
end

---Asks a service for a document with secrets in it. Raises.
---@param what string the setting that led there
---@param opts pai.store.AskOptions
---@param secrets string[] paths
---@return table members
function M.document(what, opts, secrets)
  opts.secret = true
  local res, e = M.send(opts)
  if not res then
    error(M.refusal(what, e), 0)
  end
  return M.members(what, res.secret, secrets)
end

---The moment that an answer names: RFC 3339, or seconds since 1970 as a number or as text.
---@param value any
---@return integer?
function M.moment(value)
  local seconds = tonumber(value)
  return seconds and math.tointeger(seconds // 1) or times.parse(value)
end

---Runs a program that prints a key. Raises.
---@param what string for messages
---@param argv string[]
---@param secrets string[] paths in what it prints
---@return table? members nil when there is no such program
function M.program(what, argv, secrets)
  local res, e = exec.run(argv, { inherit_env = true, stdout = "secret", timeout = "1m" })
  if not res and e.code == "ENOENT" then
    return nil
  elseif not res then
    local first = type(e.stderr) == "string" and e.stderr:match("%S[^\n]*")
    local message = "no key by %s: %s%s"
    err.raise("EACCES", message:format(what, e.message, first and ": " .. first:sub(1, 300) or ""))
  end
  return M.members(what, res.stdout, secrets)
end

local function fresh(keys)
  return keys.has and not (keys.ends and keys.ends - EARLY_S <= os.time())
end

local MEMBERS <const> = { "access_key_id", "access_key", "session_token", "bearer", "ends", "from" }

---Makes sure that keys are there and last for a while; one asks for all who wait. Raises.
---@param keys pai.store.Keys
---@param anew boolean? what is there was refused
function M.ready(keys, anew)
  while keys.asking do
    keys.asking:wait()
    anew = false -- somebody else has just asked
  end
  if not keys.ask or (fresh(keys) and not anew) then
    return
  end
  local done = task.event()
  keys.asking = done
  local _ <close> = setmetatable({}, {
    __close = function()
      keys.asking = nil
      done:set()
    end,
  })
  local ok, found = pcall(keys.ask)
  if not ok then
    -- A key that still lasts is better than none.
    local lasts = keys.has and keys.ends and keys.ends > os.time() and not anew
    if lasts and err.is(found) and found.code ~= "ECANCELED" then
      return
    end
    error(found, 0)
  end
  for _, name in ipairs(MEMBERS) do
    keys[name] = found[name]
  end
  keys.source = found.from or keys.source
  keys.has = true
end

return M
