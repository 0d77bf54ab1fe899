-- JSON-RPC 2.0 as MCP speaks it: reads a message, writes one, errors. Whatever is written passes
-- the masker here, value by value, so that what is left is still JSON.
local json = require("pai.json")
local mask = require("pai.mask")

local M = {}

M.PARSE, M.INVALID, M.NO_METHOD, M.BAD_PARAMS, M.INTERNAL = -32700, -32600, -32601, -32602, -32603
-- Of MCP: a header that says otherwise than the body, a capability that the client has not, a
-- revision that the server does not speak, a resource that is not there (before 2026-07-28).
M.HEADER, M.CAPABILITY, M.VERSION, M.NO_RESOURCE = -32020, -32021, -32022, -32002

---How deep a message may be nested.
M.MAX_DEPTH = 64

local Rpc = {}
Rpc.__index = Rpc
Rpc.__tostring = function(e)
  return e.message
end

---Raises an error that is answered as a JSON-RPC error.
---@param code integer
---@param message string
---@param data table?
---@param status integer? of the HTTP answer, when it is not 200
function M.fail(code, message, data, status)
  error(setmetatable({ code = code, message = message, data = data, status = status }, Rpc), 0)
end

---Whether an error value came from fail.
---@param e any
---@return boolean
function M.is_error(e)
  return debug.getmetatable(e) == Rpc
end

local function masked(value)
  local kind = type(value)
  if kind == "string" then
    return mask.text(value)
  elseif kind == "number" then
    return mask.find(json.encode(value)) and "***" or value
  elseif kind ~= "table" then
    return value
  end
  local copy = json.is_array(value) and json.array({}) or {}
  for k, v in pairs(value) do
    copy[type(k) == "string" and mask.text(k) or k] = masked(v)
  end
  return copy
end

---Writes a message as one line without its end; secrets are masked.
---@param message table
---@return string
function M.encode(message)
  local line = json.encode(message, { replace = true })
  if not mask.find(line) then
    return line
  end
  local id, clean = message.id, masked(message)
  clean.id = id
  return json.encode(clean, { replace = true })
end

---Whether a value may be the id of a request.
---@param id any
---@return boolean
function M.is_id(id)
  return type(id) == "string" or math.type(id) == "integer"
end

---A response with a result.
---@param id any
---@param result table
---@return table
function M.result(id, result)
  return { jsonrpc = "2.0", id = id, result = result }
end

---A response with an error.
---@param id any nil: the request's could not be read
---@param code integer
---@param message string
---@param data table?
---@return table
function M.error(id, code, message, data)
  if id == nil then
    id = json.null
  end
  return { jsonrpc = "2.0", id = id, error = { code = code, message = message, data = data } }
end

---A notification.
---@param method string
---@param params table?
---@return table
function M.notification(method, params)
  return { jsonrpc = "2.0", method = method, params = params }
end

local function is_object(value)
  return type(value) == "table" and not json.is_array(value)
end

M.is_object = is_object

-- What is wrong with a message, if anything.
local function problem(m)
  if not is_object(m) then
    return json.is_array(m) and "batches are not part of MCP" or "a message must be an object"
  elseif m.jsonrpc ~= "2.0" then
    return 'jsonrpc must be "2.0"'
  elseif m.id ~= nil and m.id ~= json.null and not M.is_id(m.id) then
    return "id must be a string or a whole number"
  elseif m.method ~= nil then
    if type(m.method) ~= "string" then
      return "method must be a string"
    elseif m.id == json.null then
      return "id must not be null"
    elseif m.params ~= nil and not is_object(m.params) then
      return "params must be an object"
    end
    return nil
  elseif (m.result == nil) == (m.error == nil) or not M.is_id(m.id) then
    return "neither a request nor a response"
  end
end

---Reads one message.
---@param text string
---@return table? message nil: nothing to handle
---@return table? answer the error to send back
function M.decode(text)
  local m, e = json.decode(text, { max_depth = M.MAX_DEPTH })
  if e then
    local code = e.code == "ELIMIT" and M.INVALID or M.PARSE
    return nil, M.error(nil, code, "not a message: " .. e.message)
  end
  local why = problem(m)
  if why then
    local id = is_object(m) and M.is_id(m.id) and m.id or nil
    return nil, M.error(id, M.INVALID, why)
  end
  return m
end

return M
