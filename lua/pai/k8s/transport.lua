-- Requests to one API server: credential, 401 with a fresh one, 429 with its pause, errors in the
-- server's words. No redirect is followed, so that a credential stays at its origin.
local err = require("pai.err")
local http = require("pai.http")
local status = require("pai.k8s.status")
local task = require("pai.task")

local M = {}

local TIMEOUT <const> = "60s"
local LIST_MAX <const> = 512 * 1024 * 1024
local READ_RETRIES <const> = 3
local BUSY_TRIES <const> = 8
local BUSY_MOST_S <const> = 60

---@class pai.k8s.Transport
---@field target pai.k8s.Target
local Transport = {}
Transport.__index = Transport

---@class pai.k8s.RequestOptions
---@field query table?
---@field body string|pai.secret.handle|nil
---@field content_type string?
---@field accept string? the Accept header
---@field timeout string|integer?
---@field on_data (fun(chunk: string): boolean?)?
---@field secret boolean? the answer is to be a handle
---@field once boolean? no answer, or one that says too busy, is not asked for again

local function copy_into(to, from)
  for key, value in pairs(from or {}) do
    to[key] = value
  end
  return to
end

local function request_of(self, method, path, opts)
  local credential, e = self.target.credential.get()
  if not credential then
    return nil, e
  end
  local fixed = self.target.request
  local request = {
    method = method,
    url = self.target.base .. path,
    query = opts.query,
    headers = copy_into({
      accept = opts.accept or "application/json",
      ["user-agent"] = "pai/" .. require("pai.version"),
      ["content-type"] = opts.body and (opts.content_type or "application/json") or nil,
    }, fixed.headers),
    tls = copy_into({}, fixed.tls),
    connect_to = fixed.connect_to,
    proxy = fixed.proxy,
    body = opts.body,
    bearer = credential.token,
    basic = credential.basic,
    timeout = opts.timeout or TIMEOUT,
    on_data = opts.on_data,
    max_body = LIST_MAX,
    secret = opts.secret,
    retries = method == "GET" and not opts.on_data and not opts.once and READ_RETRIES or 0,
  }
  if credential.cert then
    request.tls.cert, request.tls.key = credential.cert, credential.key
  end
  return request
end

-- How long a server that is too busy wants to be left alone. It has not looked at the request.
local function pause(e, tries)
  local seconds = math.min(e.retry_after_s or 1, BUSY_MOST_S)
  local spread = 250 * tries
  task.sleep(seconds * 1000 + math.random(0, spread))
end

---Sends a request.
---@param method string
---@param path string with its leading slash
---@param opts pai.k8s.RequestOptions?
---@return pai.http.response?
---@return pai.Error? err
function Transport:send(method, path, opts)
  opts = opts or {}
  local renewed, tries = false, 0
  while true do
    local request, e = request_of(self, method, path, opts)
    if not request then
      return nil, e
    end
    local res
    res, e = http.request(request)
    if res then
      return res
    end
    e = status.of_http(e)
    local credential = self.target.credential
    if e.http == 401 and credential.forget and not renewed then
      renewed = true
      credential.forget()
    elseif e.http == 429 and method ~= "GET" and not opts.once and tries < BUSY_TRIES then
      tries = tries + 1
      pause(e, tries)
    else
      return nil, self:explain(e)
    end
  end
end

-- An error of the way there names the cluster that was asked.
function Transport:explain(e)
  local target = self.target
  if e.code == "EHTTP" then
    return e
  end
  if e.tls then
    e.hint = ("the context '%s' names another certificate authority than the server's"):format(
      target.context
    )
  elseif e.code == "ENETWORK" or e.code == "ETIMEDOUT" then
    e.hint = e.hint
      or ("is the cluster of the context '%s' up, and reachable from here?"):format(target.context)
  end
  return e
end

---Sends a request and reads the JSON of the answer.
---@param method string
---@param path string
---@param opts pai.k8s.RequestOptions? and `pick`: paths of the answer that are wanted
---@return any value
---@return pai.Error? err
function Transport:call(method, path, opts)
  local res, e = self:send(method, path, opts)
  if not res then
    return nil, e
  end
  local value
  value, e = require("pai.json").decode(res.body, opts and opts.pick and { pick = opts.pick } or {})
  if value == nil then
    if not e then
      return {}
    end
    return err.fail("EPROTO", ("%s %s: the answer is no JSON: %s"):format(method, path, e.message))
  end
  return value, nil, res
end

---@param target pai.k8s.Target
---@return pai.k8s.Transport
function M.new(target)
  return setmetatable({ target = target }, Transport)
end

---A segment of a path.
---@param text string
---@return string
function M.segment(text)
  return (
    tostring(text):gsub("[^%w%-_.~:]", function(c)
      return ("%%%02X"):format(c:byte())
    end)
  )
end

return M
