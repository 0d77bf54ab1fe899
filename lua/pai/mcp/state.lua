-- The request state of a question in the stateless revision: what was answered so far, sealed with
-- an HMAC, so that what comes back is what was given out. It is bound to the method, the name and
-- the arguments that it was made for, and to this process.
local json = require("pai.json")
local task = require("pai.task")
local wire = require("pai.mcp.wire")

local M = {}

-- A form may lie open for a while.
local LIFE_MS <const> = 3600000

-- The key is made at the first question.
local function key_of(server)
  server.state_key = server.state_key or require("pai.secret").generate(32)
  return server.state_key
end

local function bound_to(call)
  local params = call.params
  local text = json.encode({
    method = call.method,
    name = params.name or params.uri or "",
    arguments = params.arguments or {},
  })
  return require("pai.digest").sha256(text)
end

---Seals the answers so far.
---@param server pai.mcp.Server
---@param call pai.mcp.Call
---@param answers table
---@return string
function M.seal(server, call, answers)
  local crypto = require("pai.crypto")
  local body = json.encode({
    answers = answers,
    bound = bound_to(call),
    ends = task.now() + LIFE_MS,
    nonce = crypto.hex(8),
  })
  local text = crypto.base64_encode(body, { url = true })
  return text .. "." .. crypto.hmac("sha256", key_of(server), text)
end

---Opens a sealed state; refuses one that is not ours, not for this request, or too old.
---@param server pai.mcp.Server
---@param call pai.mcp.Call
---@param sealed any
---@return table answers
function M.open(server, call, sealed)
  local crypto = require("pai.crypto")
  local text, mac = nil, nil
  if type(sealed) == "string" then
    text, mac = sealed:match("^([%w_-]+)%.(%x+)$")
  end
  if not text or not crypto.equal(crypto.hmac("sha256", key_of(server), text), mac) then
    wire.fail(wire.BAD_PARAMS, "requestState is not what this server gave out")
  end
  local body = json.decode((crypto.base64_decode(text, { url = true })))
  if body.bound ~= bound_to(call) then
    wire.fail(wire.BAD_PARAMS, "requestState belongs to another request")
  elseif body.ends < task.now() then
    wire.fail(wire.BAD_PARAMS, "requestState is too old; call again without it")
  end
  return body.answers
end

return M
