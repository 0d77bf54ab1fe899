-- Requests to an OSMO service, embedded or remote: who asks, how errors read, what is retried.
local err = require("pai.err")
local http = require("pai.http")
local json = require("pai.json")
local task = require("pai.task")

local M = {}

local TIMEOUT <const> = "60s"

-- What may be asked again is, so often; and a request that the gateway put off, whatever it is.
local RETRIES <const> = 2
local PUT_OFF <const> = 3
local PUT_OFF_MAX <const> = 60000

---@class pai.osmo.Transport
---@field base string origin without a trailing slash
---@field user string? x-osmo-user, for services without authorization
---@field socket string? unix socket of the embedded engine
---@field bearer (fun(refused: any?): any, pai.Error?)? gives the token for a request
---@field ca_file string? certificates to trust in place of the system's
---@field revive (fun(): boolean?, pai.Error?)? starts the embedded engine again
---@field on_warning fun(text: string)?
---@field absent (fun(): pai.Error?)? why nobody can answer, for a better message
---@field seen table<string, boolean> warnings that were passed on
local Transport = {}
Transport.__index = Transport

-- What the service says, whatever form it has: our JSON shapes, FastAPI's, or plain text.
local function message_of(body, status)
  local value = type(body) == "string" and json.decode(body)
  if type(value) ~= "table" then
    local title = type(body) == "string" and body:match("^%s*<.-<title>%s*([^<\n]-)%s*</title>")
    if title and title ~= "" then -- a gateway's page
      return title, nil
    end
    local text = type(body) == "string" and body:match("^%s*([^\n]*)") or ""
    return text ~= "" and require("pai.mask").text(text):sub(1, 500)
      or ("the server answered %d"):format(status),
      nil
  end
  if type(value.message) == "string" then
    return value.message, value
  end
  local detail = value.detail
  if type(detail) == "string" then
    return detail, value
  end
  local parts = {}
  for _, entry in ipairs(type(detail) == "table" and detail or {}) do
    local loc = {}
    for i, part in ipairs(entry.loc or {}) do
      loc[i] = tostring(part)
    end
    parts[#parts + 1] = table.concat(loc, ".") .. ": " .. tostring(entry.msg)
  end
  return #parts > 0 and table.concat(parts, "; ") or ("the server answered %d"):format(status),
    value
end

local AWAY <const> = "a gateway says so in the service's place: it may be back soon"

local HINTS <const> = {
  [401] = "the service does not take this login: pai osmo login %s",
  [403] = "your roles do not allow this: pai osmo profile list shows them",
  [404] = "OSMO has no such route: is %s the address of an OSMO of 6.3 or later?",
  [429] = "the service asks to slow down: try again later",
  [502] = AWAY,
  [503] = AWAY,
  [504] = AWAY,
}

-- What a connection that failed is about, as libcurl words it, and what may help.
local NO_CONNECTION <const> = {
  { "wrong version number", "no TLS is spoken there: is it http:// that is meant?" },
  { "SSL_connect", "the connection ended before TLS stood: is it http:// that is meant?" },
  { "Could not resolve host", "there is no such host: is the address right?" },
}

local NO_TRUST <const> =
  "certificates of an authority of your own: SSL_CERT_FILE names a file of them"

-- The error of a connection, with what may help.
local function unreached(e)
  for _, row in ipairs(NO_CONNECTION) do
    if not e.hint and e.message:find(row[1], 1, true) then
      e.hint = row[2]
    end
  end
  e.hint = e.hint or e.tls and NO_TRUST or nil
  return e
end

-- What is wrong where the service does not know what was asked for.
local function unknown_hint(message)
  if message:find("^Pool ") then
    return "pai osmo pools lists them"
  elseif message:find("^Workflow ") then
    return "pai osmo list shows your runs, with --all-users everybody's"
  elseif not message:find("not found", 1, true) then
    return "OSMO answers so for a run or a task that it does not know"
  end
end

-- How our own engine ends the message about what it has not got.
local NOT_HERE <const> = "is not supported by the embedded engine"

local function failure(self, e)
  if e.code ~= "EHTTP" then
    return e.code == "ENETWORK" and unreached(e) or e
  end
  local message, value = message_of(e.body, e.status)
  local fields = { http = e.status, retryable = e.retryable, body = e.body }
  local hint = not (e.status == 404 and value) and HINTS[e.status] or nil
  fields.hint = hint and hint:format(self.base)
  if e.status // 100 == 3 then
    local to = (e.headers or {}).location
    message = to and "the server sends to " .. to:match("^[^?#]*") or message
    fields.hint = ("is %s the service's own address, and the login for it?"):format(self.base)
  elseif e.status == 400 and message:find("^Pool .* not found") then
    fields.hint = unknown_hint(message)
  elseif e.status == 400 and value and value.error_code == "DATABASE" then
    fields.hint = unknown_hint(message)
  elseif self.socket and message:sub(-#NOT_HERE) == NOT_HERE then
    fields.hint = "a service has it: --target osmo, or --target URL"
  end
  fields.retry_after = e.headers and tonumber(e.headers["retry-after"])
  if value then
    fields.error_code = type(value.error_code) == "string" and value.error_code or nil
    fields.workflow_id = type(value.workflow_id) == "string" and value.workflow_id or nil
  end
  return err.new("EHTTP", message, fields)
end

local function warn(self, headers)
  local text = headers and headers["x-osmo-warning"]
  if not text or self.seen[text] or not self.on_warning then
    return
  end
  self.seen[text] = true
  local decoded = require("pai.crypto").base64_decode(text)
  self.on_warning(decoded or text)
end

---Whether an error means that the answer, or even the request, got lost on the way. A web page
---comes from who is no OSMO, and has seen to it that none saw the request.
---@param e pai.Error
---@return boolean
function M.lost(e)
  return e.code == "ENETWORK" or e.code == "ETIMEDOUT" or (e.code == "EPROTO" and not e.page)
end

-- The answer of somebody who is no OSMO: its API has no web pages.
local function page_error(self, what)
  return err.new("EPROTO", what .. ": a web page came in place of an answer", {
    hint = ("is %s the address of an OSMO service?"):format(self.base),
    page = true,
  })
end

local function is_page(text)
  local head = text:sub(1, 64):lower()
  return head:find("^%s*<!doctype html") ~= nil or head:find("^%s*<html") ~= nil
end

---@class pai.osmo.RequestOptions
---@field query table?
---@field json table?
---@field body userdata? a secret that is JSON
---@field timeout string|integer?
---@field secret boolean? the answer is one
---@field on_data fun(chunk: string)?
---@field shape pai.osmo.Shape? what the answer must have

local function options(self, method, path, opts)
  local headers = { ["user-agent"] = "pai/" .. require("pai.version") }
  if self.user then
    headers["x-osmo-user"] = self.user
  end
  if method ~= "GET" and not opts.json then
    headers["content-type"] = "application/json"
  end
  local token
  if self.bearer then
    local e
    token, e = self.bearer()
    if not token then
      return nil, e
    end
  end
  return {
    url = self.base .. path,
    method = method,
    headers = headers,
    query = opts.query,
    json = opts.json,
    body = opts.body or (method == "POST" and not opts.json and "" or nil),
    unix_socket = self.socket,
    bearer = token,
    ca_file = self.ca_file,
    secret = opts.secret,
    timeout = opts.timeout or TIMEOUT,
    -- A stream is not asked again from here: who reads it knows where it stopped.
    retries = not self.socket and method == "GET" and not opts.on_data and RETRIES or nil,
  }
end

-- Sends a request; a refused bearer is renewed once, and what the gateway put off is sent again
-- when it said so. Neither has reached the service.
local function ask(self, request)
  local renewed, put_off = false, 0
  while true do
    local res, e = http.request(request)
    if res or e.code ~= "EHTTP" then
      return res, e
    end
    if e.status == 401 and self.bearer and not renewed then
      renewed = true
      local token, why = self.bearer(request.bearer)
      if not token then
        return nil, why
      end
      request.bearer = token
    elseif e.status == 429 and put_off < PUT_OFF and not request.retries then
      put_off = put_off + 1
      local wait = (tonumber(e.headers["retry-after"]) or 2 ^ (put_off - 1)) * 1000
      if wait > PUT_OFF_MAX then
        return nil, e
      end
      task.sleep(math.tointeger(wait // 1))
    else
      return res, e
    end
  end
end

-- An engine that was about to leave has not looked at the request.
local function leaving(self, e)
  return self.socket ~= nil and e.code == "EHTTP" and e.status == 503
end

---Sends one request. A read that found no engine is sent again once one has been started, and so is
---anything that met an engine on its way out; nothing else is repeated here.
---@param method string
---@param path string with its leading slash
---@param opts pai.osmo.RequestOptions?
---@return table? response
---@return pai.Error? err with code EHTTP, http, error_code, message for what the service refused
function Transport:send(method, path, opts)
  opts = opts or {}
  local request, e = options(self, method, path, opts)
  if not request then
    return nil, e
  end
  local res, begun, page
  if opts.on_data then
    request.on_data = function(chunk)
      page = page or (not begun and is_page(chunk))
      begun = true
      if page then
        return false
      end
      return opts.on_data(chunk)
    end
  end
  res, e = ask(self, request)
  local missed = not res and method == "GET" and M.lost(e) and e.code ~= "ETIMEDOUT"
  if self.revive and not begun and (missed or (not res and leaving(self, e))) then
    local revived, why = self.revive()
    if not revived then
      return nil, why
    end
    request.unix_socket = self.socket
    res, e = ask(self, request)
  end
  if not res then
    warn(self, e.headers)
    return nil, self.absent and M.lost(e) and self.absent() or failure(self, e)
  end
  warn(self, res.headers)
  if page or (res.headers["content-type"] or ""):find("^text/html") then
    return nil, page_error(self, method .. " " .. path)
  end
  return res
end

---Reads the JSON of an answer.
---@param res table
---@param what string for messages: "GET /api/version"
---@param pick string[]? only these paths are read
---@param shape pai.osmo.Shape? what it must have
---@return any value
---@return pai.Error? err EPROTO
function M.value(res, what, pick, shape)
  local value, e
  if pick then
    value, e = json.decode(res.body, { pick = pick })
  else
    value, e = res:json()
  end
  if value == nil then
    local why = e and "is no JSON: " .. e.message or "has nothing of what was asked for"
    if res.body == "" then
      why = "is empty"
    end
    return err.fail("EPROTO", ("%s: the answer %s"):format(what, why))
  end
  local why = shape and require("pai.osmo.client_shape").mismatch(value, shape)
  if why then
    return err.fail("EPROTO", ("%s: that is no answer of OSMO: %s"):format(what, why))
  end
  return value
end

---Sends a request and reads the JSON of the answer.
---@param method string
---@param path string
---@param opts pai.osmo.RequestOptions?
---@return any value
---@return pai.Error? err
function Transport:call(method, path, opts)
  local res, e = self:send(method, path, opts)
  if not res then
    return nil, e
  end
  return M.value(res, method .. " " .. path, nil, opts and opts.shape)
end

---@param fields table
---@return pai.osmo.Transport
function M.new(fields)
  fields.seen = {}
  return setmetatable(fields, Transport)
end

---A segment of a path.
---@param text string
---@return string
function M.segment(text)
  return (
    tostring(text):gsub("[^%w%-_.~]", function(c)
      return ("%%%02X"):format(c:byte())
    end)
  )
end

return M
