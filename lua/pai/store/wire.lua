-- One request to a store: tried again with growing pauses after what may pass (429, 500, 503, a cut
-- connection), signed anew each time, and with errors that say what was refused and where the key
-- came from. What the store says of a signature is not repeated: it may hold parts of it.
local err = require("pai.err")
local http = require("pai.http")
local keys_ask = require("pai.store.keys_ask")
local settings = require("pai.store.settings")
local sign = require("pai.sign")
local task = require("pai.task")
local xml = require("pai.store.xml")

local M = {}

-- A whole part must have gone through in this time, and some byte of it in that.
local TIMEOUT <const> = "1h"
local STALL <const> = "60s"
local RETRIES <const> = 6
local PAUSE_MS <const> = 500
local LONGEST_MS <const> = 20000

local RETRYABLE_STATUS <const> = { [408] = true, [429] = true }
local RETRYABLE_CODE <const> = {
  RequestTimeout = true,
  SlowDown = true,
  InternalError = true,
  ServerBusy = true,
  OperationTimedOut = true,
  BadDigest = true,
  Md5Mismatch = true,
  XAmzContentSHA256Mismatch = true,
}

---@class pai.store.Wire
---@field keys pai.store.Keys
---@field retries integer
---@field patience_ms integer what may pass is asked again at least for so long
---@field pause_ms integer before the second attempt; it doubles
---@field ca_file string?
---@field stall string|integer after so long without a byte it is asked again
---@field skew integer seconds that the store's clock is ahead

---@param keys pai.store.Keys
---@param opts {retries: integer?, retry_wait_ms: integer?, ca_file: string?}
---@return pai.store.Wire
function M.new(keys, opts)
  return {
    keys = keys,
    retries = opts.retries or settings.integer("OSMO_S3_MAX_RETRY_COUNT", 0) or RETRIES,
    patience_ms = not opts.retries and settings.duration("OSMO_S3_TIMEOUT") or 0,
    pause_ms = opts.retry_wait_ms or PAUSE_MS,
    ca_file = opts.ca_file or settings.env("AWS_CA_BUNDLE") or settings.env("REQUESTS_CA_BUNDLE"),
    stall = STALL,
    skew = 0,
  }
end

local function error_of(e)
  return e.body and e.body ~= "" and xml.parse(e.body) or nil
end

---What an error's body has under a name.
---@param e pai.Error of pai.http
---@param name string
---@return string?
function M.said(e, name)
  return xml.text(error_of(e), name)
end

---Whether there is no such host. libcurl tells it in words only.
---@param e pai.Error of pai.http
---@return boolean
function M.is_unknown_host(e)
  return e.code == "ENETWORK" and e.message:find("Could not resolve host", 1, true) ~= nil
end

local EXPIRED <const> = { ExpiredToken = true, ExpiredTokenException = true }

---Whether the store says that the key has been valid once.
---@param code string?
---@return boolean
function M.is_expired(code)
  return EXPIRED[code] == true
end

-- A name for what is secret in keys.
local function print_of(keys)
  local secrets = {}
  for _, name in ipairs({ "access_key", "session_token", "account_key", "sas", "bearer" }) do
    secrets[#secrets + 1] = keys[name]
  end
  return sign.sha256(table.unpack(secrets))
end

-- The same of a key that has to be asked for.
local function ask_anew(keys)
  local before = print_of(keys)
  local ok, fault = pcall(keys_ask.ready, keys, true)
  if not ok and err.is(fault, "ECANCELED") then
    error(fault, 0)
  end
  return ok and print_of(keys) ~= before
end

---Reads the key again from where it came from, in place.
---@param keys pai.store.Keys
---@param e pai.Error of pai.http
---@return boolean renewed whether it is another one now than the request was signed with
function M.renew(keys, e)
  if e.turn ~= keys.turn then
    return true
  elseif keys.ask then
    local renewed = ask_anew(keys)
    keys.turn = renewed and (keys.turn or 0) + 1 or keys.turn
    return renewed
  end
  local ok, fresh = pcall(keys.again or error)
  if not ok or print_of(fresh) == print_of(keys) then
    return false
  end
  for _, name in ipairs({ "access_key_id", "access_key", "session_token", "account_key", "sas" }) do
    keys[name] = fresh[name]
  end
  keys.turn = (keys.turn or 0) + 1
  return true
end

-- What the store calls the error, and what it says of it.
local function named(e)
  local code, message = e.headers and e.headers["x-ms-error-code"], nil
  local root = error_of(e)
  if root then
    code = code or xml.text(root, "Code")
    message = xml.text(root, "Message")
  end
  return code, message and message:match("^[^\r\n]+")
end

local function retryable(e, code)
  if e.code == "EHTTP" then
    local lasting = code == "NotImplemented" or e.status == 501
    return not lasting and (e.status >= 500 or RETRYABLE_STATUS[e.status] or RETRYABLE_CODE[code])
  end
  return e.code == "ETIMEDOUT" or (e.code == "ENETWORK" and not e.tls) or e.code == "ECHECKSUM"
end

local ABOUT_KEYS <const> = {
  SignatureDoesNotMatch = "the secret key does not fit the access key id",
  InvalidAccessKeyId = "the access key id is unknown",
  InvalidSecurity = "the key is not valid",
  ExpiredToken = "the session has expired",
  InvalidToken = "the session token is not valid",
  AuthenticationFailed = "the key or signature is wrong",
  AuthorizationPermissionMismatch = "the identity has no role for data, such as Storage Blob Data "
    .. "Contributor",
  InvalidAuthenticationInfo = "the key or signature is wrong",
  RequestTimeTooSkewed = "this machine's clock is wrong",
}

local MISSING <const> = {
  NoSuchBucket = "there is no such bucket",
  ContainerNotFound = "there is no such container",
  NoSuchKey = "there is no such object",
  BlobNotFound = "there is no such object",
  NoSuchUpload = "the upload is not known any more",
}

---Makes the error that a caller sees.
---@param what string "list s3://bucket/"
---@param e pai.Error of pai.http
---@param keys pai.store.Keys
---@return pai.Error
function M.explain(what, e, keys)
  local code, message = named(e)
  local fields = { http = e.status, store_code = code, written = e.written, retryable = false }
  if e.code ~= "EHTTP" then
    fields.retryable, fields.tls = e.retryable, e.tls
    return err.new(e.code, ("%s: %s"):format(what, e.message), fields)
  end
  fields.expired = M.is_expired(code) or nil
  if ABOUT_KEYS[code] or e.status == 401 or e.status == 403 then
    local why = ABOUT_KEYS[code] or "this key may not do that"
    if keys.anonymous then
      why = "it is not open to everybody"
    else
      fields.hint = "the key came from " .. keys.source
    end
    local shown = code and (" (%s)"):format(code) or ""
    return err.new("EACCES", ("%s: the store refused: %s%s"):format(what, why, shown), fields)
  elseif e.status == 404 then
    local why = MISSING[code] or "it is not there"
    return err.new("ENOENT", ("%s: %s"):format(what, why), fields)
  elseif e.status == 412 then
    return err.new("ECHANGED", ("%s: the object has changed meanwhile"):format(what), fields)
  end
  fields.retryable = retryable(e, code) == true
  local said = code and (" (%s%s)"):format(code, message and ": " .. message:sub(1, 200) or "")
    or ""
  return err.new("EHTTP", ("%s: the store answered %d%s"):format(what, e.status, said), fields)
end

local MONTHS <const> = {
  Jan = 1,
  Feb = 2,
  Mar = 3,
  Apr = 4,
  May = 5,
  Jun = 6,
  Jul = 7,
  Aug = 8,
  Sep = 9,
  Oct = 10,
  Nov = 11,
  Dec = 12,
}

---How many seconds a Date header is ahead of this machine's clock.
---@param date string "Sun, 22 Nov 2026 07:20:21 GMT"
---@return integer? seconds
function M.ahead(date)
  local day, month, year, hour, min, sec = date:match("(%d+) (%a+) (%d+) (%d+):(%d+):(%d+) GMT")
  if not MONTHS[month] then
    return nil
  end
  local function utc(t)
    t.isdst = false
    return os.time(t)
  end
  local theirs =
    utc({ year = year, month = MONTHS[month], day = day, hour = hour, min = min, sec = sec })
  return theirs - utc(os.date("!*t"))
end

-- Milliseconds to wait before the next attempt.
local function pause(wire, attempt, e)
  local ms = math.min(wire.pause_ms << math.min(attempt - 1, 16), LONGEST_MS)
  ms = ms - ms // 4 * math.random(0, 1000) // 1000
  local after = e.headers and e.headers["retry-after"]
  local asked = after and (tonumber(after) or M.ahead(after)) or 0
  return math.max(ms, math.min(asked, 60) * 1000 // 1 | 0)
end

---The XML of an answer. Raises EPROTO.
---@param what string
---@param r pai.http.response
---@return pai.store.Element
function M.root(what, r)
  -- Azure puts a byte order mark before its XML.
  local root, e = xml.parse((r.body:gsub("^\xef\xbb\xbf", "")))
  if not root then
    err.raise("EPROTO", ("%s: %s"):format(what, e.message))
  end
  return root
end

---An ETag without its quotes.
---@param etag string?
---@return string?
function M.unquote(etag)
  return etag and (etag:gsub("^W/", ""):gsub('^"(.*)"$', "%1"))
end

---@class pai.store.CallOptions
---@field accept? table<integer, boolean> statuses that are answers
---@field adjust? fun(e: table, code: string?): boolean? true when another attempt may go better
---@field check? fun(r: table) raises ECHECKSUM when the answer must be asked for again
---@field retries? integer

---Sends a request until it is answered or there is no more point in it. Raises.
---@param wire pai.store.Wire
---@param what string for messages
---@param make fun(again: table?): table makes the options of pai.http, signed; gets what
---the attempt before ended with
---@param opts? pai.store.CallOptions
---@return pai.http.response
function M.call(wire, what, make, opts)
  opts = opts or {}
  local last, adjusted, attempt = nil, 0, 0
  local until_ms = task.now() + wire.patience_ms
  while true do
    keys_ask.ready(wire.keys)
    local turn = wire.keys.turn
    local req = make(last)
    req.timeout, req.stall_timeout = req.timeout or TIMEOUT, wire.stall
    req.connect_timeout, req.ca_file = "10s", wire.ca_file
    local r, e = http.request(req)
    if r and opts.check then
      local ok, fault = pcall(opts.check, r)
      if not ok then
        if not err.is(fault, "ECHECKSUM") then
          error(fault, 0)
        end
        r, e = nil, fault
      end
    end
    if r then
      return r
    elseif e.code == "EHTTP" and opts.accept and opts.accept[e.status] then
      return e
    end
    local code = named(e)
    e.turn = turn
    if opts.adjust and adjusted < 3 and opts.adjust(e, code) then
      adjusted = adjusted + 1
    else
      -- An attempt that brought something on its way counts as the first of a new series.
      attempt = (e.written or 0) > 0 and e.code ~= "ECHECKSUM" and 1 or attempt + 1
      local tired = attempt > (opts.retries or wire.retries) and task.now() >= until_ms
      if tired or not retryable(e, code) then
        if e.code == "ECHECKSUM" then
          error(e, 0)
        end
        error(M.explain(what, e, wire.keys), 0)
      end
      task.sleep(pause(wire, attempt, e))
    end
    last = e
  end
end

return M
