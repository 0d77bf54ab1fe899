-- What an API server refuses, as errors that say who, what and why. A refusal is a Status object
-- (meta/v1): reason, message, details.causes. Sources: Kubernetes API conventions, "Response Status
-- Kind"; the texts of authorization refusals are those of apiserver's forbiddenMessage.
local err = require("pai.err")
local json = require("pai.json")

local M = {}

local RETRYABLE <const> = {
  TooManyRequests = true,
  ServerTimeout = true,
  Timeout = true,
  ServiceUnavailable = true,
  InternalError = true,
}

-- What is forbidden: `pods "x" is forbidden: User "jane" cannot get resource "pods/log" in API
-- group "apps" in the namespace "team"`.
local function denied(message)
  local user, verb, resource, group =
    message:match('User "([^"]*)" cannot (%S+) resource "([^"]*)" in API group "([^"]*)"')
  if not user then
    local path
    user, verb, path = message:match('User "([^"]*)" cannot (%S+) path "([^"]*)"')
    return user and { user = user, verb = verb, path = path } or nil
  end
  return {
    user = user,
    verb = verb,
    resource = resource,
    group = group ~= "" and group or nil,
    namespace = message:match('in the namespace "([^"]*)"'),
    name = message:match('^%S+ "([^"]*)" is forbidden'),
  }
end

local function explain_denied(e)
  local d = e.denied
  if d.path then
    e.message = ('user "%s" may not %s %s'):format(d.user, d.verb, d.path)
    e.hint = ("a ClusterRole with nonResourceURLs %s, bound to that user, allows it"):format(d.path)
    return
  end
  local resource = d.group and d.resource .. "." .. d.group or d.resource
  local one = d.name and (' "%s"'):format(d.name) or ""
  local where = d.namespace and (' in the namespace "%s"'):format(d.namespace)
    or " in the whole cluster"
  e.message = ('user "%s" may not %s %s%s%s'):format(d.user, d.verb, resource, one, where)
  local role = d.namespace and "a Role there" or "a ClusterRole"
  local rule = ('%s with apiGroups ["%s"], resources ["%s"], verbs ["%s"]'):format(
    role,
    d.group or "",
    d.resource,
    d.verb
  )
  e.hint = rule .. ", bound to that user, allows it"
end

-- Server-side apply: each cause is one field that another manager owns.
local function conflicts(causes)
  local list = {}
  for _, cause in ipairs(causes) do
    if cause.reason == "FieldManagerConflict" then
      local manager, rest = tostring(cause.message):match('^conflict with "([^"]*)"%s*(.*)$')
      list[#list + 1] = {
        field = cause.field,
        manager = manager or "?",
        detail = rest ~= "" and rest or nil,
      }
    end
  end
  return #list > 0 and list or nil
end

local function explain_conflicts(e)
  local parts = {}
  for i, c in ipairs(e.conflicts) do
    parts[i] = ('%s is owned by "%s"'):format(c.field, c.manager)
  end
  e.message = "the server refuses the apply: " .. table.concat(parts, "; ")
  e.hint = "leave these fields out, or take them over with --force-conflicts"
end

local function causes_text(causes)
  local parts = {}
  for _, cause in ipairs(causes) do
    if cause.field and cause.message then
      parts[#parts + 1] = ("%s: %s"):format(cause.field, cause.message)
    end
  end
  return table.concat(parts, "; ")
end

local HINTS <const> = {
  Unauthorized = "the credential of the context is wrong or has ended: log in again",
  Gone = "the list has to be read again",
  Expired = "the list has to be read again",
}

---An error of a Status object.
---@param status table
---@param http integer? of the answer
---@return pai.Error err EHTTP with http, reason and, where it applies: denied, conflicts,
---causes, retry_after_s
function M.error(status, http)
  local details = type(status.details) == "table" and status.details or {}
  local causes = type(details.causes) == "table" and details.causes or {}
  local reason = type(status.reason) == "string" and status.reason ~= "" and status.reason or nil
  local code = http or math.tointeger(status.code) or 0
  local message = type(status.message) == "string" and status.message or nil
  local e = err.new("EHTTP", message or ("the server answered %d"):format(code), {
    http = code,
    reason = reason or ("HTTP%d"):format(code),
    retryable = RETRYABLE[reason] == true or code == 429 or code == 503,
    retry_after_s = math.tointeger(details.retryAfterSeconds),
    causes = #causes > 0 and causes or nil,
    hint = HINTS[reason],
  })
  if reason == "Forbidden" then
    e.denied = denied(e.message)
    if e.denied then
      explain_denied(e)
    end
  elseif reason == "Conflict" then
    e.conflicts = conflicts(causes)
    if e.conflicts then
      explain_conflicts(e)
    end
  elseif reason == "Invalid" and #causes > 0 and message then
    local head = message:match("^(.-is invalid):") or message
    e.message = head .. ": " .. causes_text(causes)
  end
  return e
end

---The error of a request that pai.http has refused, in the words of the server.
---@param e pai.Error
---@return pai.Error
function M.of_http(e)
  if e.code ~= "EHTTP" then
    return e
  end
  local status = type(e.body) == "string" and json.decode(e.body)
  if type(status) ~= "table" or status.kind ~= "Status" then
    local text = type(e.body) == "string" and e.body:match("^%s*([^\n]*)") or ""
    status = { message = text ~= "" and text:sub(1, 300) or nil }
    if e.status == 401 then
      status.reason = "Unauthorized"
    elseif e.status == 404 then
      status.reason = "NotFound"
    end
  end
  local mapped = M.error(status, e.status)
  -- What is no Status may say more than its first line: the health endpoints name what failed.
  mapped.body = status.kind ~= "Status" and e.body or nil
  mapped.retryable = mapped.retryable or e.retryable == true
  local after = e.headers and e.headers["retry-after"]
  mapped.retry_after_s = math.tointeger(tonumber(after or "")) or mapped.retry_after_s
  return mapped
end

---Whether an error has a reason such as "NotFound".
---@param e any
---@param reason string
---@return boolean
function M.is(e, reason)
  return type(e) == "table" and e.reason == reason
end

-- A server that came back from a backup counts from an older version: it refuses one of the future
-- with 504 and this cause (apimachinery, CauseTypeResourceVersionTooLarge).
local function is_of_the_future(e)
  for _, cause in ipairs(e.causes or {}) do
    if cause.reason == "ResourceVersionTooLarge" then
      return true
    end
  end
  return false
end

---Whether what was read before is no longer to be had: 410, or a version that the server lost.
---@param e any
---@return boolean
function M.is_gone(e)
  return type(e) == "table"
    and (e.http == 410 or e.reason == "Gone" or e.reason == "Expired" or is_of_the_future(e))
end

return M
