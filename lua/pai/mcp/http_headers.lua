-- What the headers of an HTTP request must say: who calls, in which form, and, in the stateless
-- revision, the same as the body says.
local text = require("pai.text")
local wire = require("pai.mcp.wire")

local M = {}

local function trimmed(value)
  return value and value:match("^%s*(.-)%s*$")
end

-- A value that does not fit into a header comes as =?base64?...?=.
local function decoded(value)
  local inner = value:match("^=%?base64%?(.*)%?=$")
  if not inner then
    return value
  elseif #inner % 4 ~= 0 or not inner:find("^[%w+/]*=?=?$") then
    return nil
  end
  return (require("pai.crypto").base64_decode(inner))
end

local function mismatch(message)
  wire.fail(wire.HEADER, message, nil, 400)
end

-- A header that repeats what the body says.
local function same(headers, name, value)
  local said = trimmed(headers[name:lower()])
  if said == nil then
    mismatch(("the header %s is missing"):format(name))
  elseif decoded(said) ~= value then
    mismatch(("the header %s does not say what the body says"):format(name))
  end
end

local NAMED <const> =
  { ["tools/call"] = "name", ["prompts/get"] = "name", ["resources/read"] = "uri" }

---Checks the headers of a message of the stateless revision.
---@param headers table<string, string>
---@param m table
function M.check_modern(headers, m)
  local params = m.params or {}
  local meta = wire.is_object(params._meta) and params._meta or {}
  local version = meta["io.modelcontextprotocol/protocolVersion"]
  if type(version) == "string" then
    same(headers, "MCP-Protocol-Version", version)
  end
  same(headers, "Mcp-Method", m.method)
  local name = NAMED[m.method] and params[NAMED[m.method]]
  if type(name) == "string" then
    same(headers, "Mcp-Name", name)
  end
end

---Checks the headers that repeat arguments: those whose schema has x-mcp-header.
---@param headers table<string, string>
---@param schema table the tool's input schema
---@param args table
function M.check_arguments(headers, schema, args)
  for _, name in ipairs(text.keys(schema.properties or {})) do
    local header = schema.properties[name]["x-mcp-header"]
    if header then
      local value = args[name]
      if value ~= nil then
        same(headers, "Mcp-Param-" .. header, tostring(value))
      elseif headers[("Mcp-Param-" .. header):lower()] then
        mismatch(("the header Mcp-Param-%s is not in the body"):format(header))
      end
    end
  end
end

local function accepts(accept, kind)
  return accept == nil
    or accept:find(kind, 1, true)
    or accept:find("*/*", 1, true)
    or accept:find(kind:match("^[^/]+") .. "/*", 1, true)
end

---Why a request is refused before its body is looked at, or nil.
---@param req pai.serve.request
---@param token userdata? the secret that callers must have
---@return integer? status
---@return string? message
function M.refuse(req, token)
  local headers = req.headers
  if token then
    local given = (headers.authorization or ""):match("^[Bb]earer%s+(%S+)%s*$")
    if not given or not require("pai.crypto").equal(given, token) then
      return 401, "a bearer token is needed"
    end
  end
  if req.method == "POST" then
    local kind = (headers["content-type"] or ""):lower()
    if not kind:find("^%s*application/json") then
      return 415, "the content type must be application/json"
    elseif
      not accepts(headers.accept, "application/json")
      and not accepts(headers.accept, "text/event-stream")
    then
      return 406, "the client must accept application/json and text/event-stream"
    end
  elseif req.method == "GET" and not accepts(headers.accept, "text/event-stream") then
    return 406, "the client must accept text/event-stream"
  end
end

return M
