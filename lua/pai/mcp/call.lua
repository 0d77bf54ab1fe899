-- One request while it is worked on: what the handler of a tool, prompt or resource may do besides
-- returning its result. It may tell progress, log, and ask the client.
--
-- In the handshake revisions a question is a request to the client that is waited for. In the
-- stateless one the answer ends with "input_required" and the client calls again with the answers:
-- the handler runs again from its start and finds them. So a handler asks before it acts.
local err = require("pai.err")
local json = require("pai.json")
local state = require("pai.mcp.state")
local task = require("pai.task")
local wire = require("pai.mcp.wire")

local M = {}

local LEVELS <const> = {
  debug = 1,
  info = 2,
  notice = 3,
  warning = 4,
  error = 5,
  critical = 6,
  alert = 7,
  emergency = 8,
}

---Severities by name.
M.LEVELS = LEVELS

---@class pai.mcp.Call
---@field server pai.mcp.Server
---@field conn pai.mcp.Conn
---@field id any
---@field method string
---@field params table
---@field modern boolean the stateless revision
---@field caps table what the client can do
---@field send fun(message: table) on the stream of this request
local Call = {}
Call.__index = Call

---Raised to end a request with "input_required".
M.Ask = {}

---@param fields table
---@return pai.mcp.Call
function M.new(fields)
  local call = setmetatable(fields, Call)
  local meta = call.params._meta
  call.meta = wire.is_object(meta) and meta or {}
  call.progress_token = call.meta.progressToken
  if call.progress_token ~= nil and not wire.is_id(call.progress_token) then
    call.progress_token = nil
  end
  return call
end

---Tells how far it is. What does not go forward is not sent, as the protocol wants it.
---@param progress number
---@param total number?
---@param message string?
function Call:progress(progress, total, message)
  if self.progress_token == nil or self.over then
    return
  elseif self.last_progress and progress <= self.last_progress then
    return
  end
  self.last_progress = progress
  self.send(wire.notification("notifications/progress", {
    progressToken = self.progress_token,
    progress = progress,
    total = total,
    message = message,
  }))
end

---Logs, if the client asked for this level.
---@param level string "debug", "info", "warning", …
---@param data any
---@param logger string?
function Call:log(level, data, logger)
  local wanted
  if self.modern then
    wanted = self.meta["io.modelcontextprotocol/logLevel"]
  else
    wanted = self.conn.log_level
  end
  if self.over or not LEVELS[wanted] or LEVELS[level] < LEVELS[wanted] then
    return
  end
  self.send(wire.notification("notifications/message", {
    level = level,
    logger = logger,
    data = data,
  }))
end

local NEEDS <const> = {
  ["elicitation/create"] = "elicitation",
  ["sampling/createMessage"] = "sampling",
  ["roots/list"] = "roots",
}

---Whether the client can be asked this.
---@param method string
---@return boolean
function Call:can_ask(method)
  return wire.is_object(self.caps[NEEDS[method]])
end

-- Whether an answer has the shape that its question wants.
local function fits(method, answer)
  if not wire.is_object(answer) then
    return false
  elseif method == "elicitation/create" then
    local action = answer.action
    return action == "decline"
      or action == "cancel"
      or (action == "accept" and (answer.content == nil or wire.is_object(answer.content)))
  elseif method == "roots/list" then
    return type(answer.roots) == "table"
  end
  return answer.content ~= nil
end

-- The answers so far: of earlier rounds from the sealed state, of this one from the client.
local function collect(self)
  if self.answers then
    return
  end
  local sealed = self.params.requestState
  if sealed ~= nil then
    self.answers = state.open(self.server, self, sealed)
  else
    self.answers = {}
  end
  self.fresh = self.params.inputResponses
  if self.fresh ~= nil and not wire.is_object(self.fresh) then
    wire.fail(wire.BAD_PARAMS, "inputResponses must be an object")
  end
end

---Checks what the client sent along to go on with a request. Before the handler runs.
function Call:check_answers()
  collect(self)
end

local function ask_modern(self, requests)
  collect(self)
  local answers, missing = {}, nil
  for key, request in pairs(requests) do
    local known = self.answers[key]
    if known == nil and self.fresh and fits(request.method, self.fresh[key]) then
      known = self.fresh[key]
      self.answers[key] = known
    end
    if known ~= nil then
      answers[key] = known
    else
      missing = missing or {}
      missing[key] = { method = request.method, params = request.params }
    end
  end
  if missing then
    error(
      setmetatable({
        inputRequests = missing,
        requestState = state.seal(self.server, self, self.answers),
      }, M.Ask),
      0
    )
  end
  return answers
end

local function ask_handshake(self, requests)
  local tasks, answers = {}, {}
  for key, request in pairs(requests) do
    tasks[key] = task.spawn(self.conn.request, self.conn, request.method, request.params, self.send)
  end
  for key, t in pairs(tasks) do
    local answer = t:wait()
    if not fits(requests[key].method, answer) then
      err.raise("EINVAL", "the client's answer to " .. requests[key].method .. " has no sense")
    end
    answers[key] = answer
  end
  return answers
end

---Asks the client several things at once. The keys must be the same in every round.
---@param requests table<string, { method: string, params: table }>
---@return table<string, table> answers
function Call:ask(requests)
  local lacking
  for _, request in pairs(requests) do
    if not self:can_ask(request.method) then
      lacking = lacking or {}
      lacking[NEEDS[request.method]] = {}
    end
  end
  if lacking then
    local names = {}
    for name in pairs(lacking) do
      names[#names + 1] = name
    end
    table.sort(names)
    local message = "the client cannot be asked: it has no " .. table.concat(names, ", ")
    if self.modern then
      wire.fail(wire.CAPABILITY, message, { requiredCapabilities = lacking }, 400)
    end
    err.raise("ENOCAPABILITY", message)
  end
  return (self.modern and ask_modern or ask_handshake)(self, requests)
end

---Asks for values by a form.
---@param key string names the question
---@param message string
---@param schema table of a flat object
---@return { action: "accept"|"decline"|"cancel", content: table? }
function Call:elicit(key, message, schema)
  local params = { message = message, requestedSchema = schema }
  if self.modern or self.conn.version == "2025-11-25" then
    params.mode = "form"
  end
  local answer = self:ask({ [key] = { method = "elicitation/create", params = params } })[key]
  return { action = answer.action, content = answer.content or {} }
end

---Tells that a list has changed: "tools", "prompts" or "resources".
---@param what string
function Call:changed(what)
  self.server:changed(what)
end

---A result that is nothing but text.
---@param text string
---@param is_error boolean?
---@return table
function M.text(text, is_error)
  return {
    content = json.array({ { type = "text", text = text } }),
    isError = is_error or nil,
  }
end

return M
