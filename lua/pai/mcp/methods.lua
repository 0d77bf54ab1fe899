-- The methods of the protocol. Most are the same in every revision; what only one era has is put to
-- its own table at the end.
local Call = require("pai.mcp.call")
local conns = require("pai.mcp.conn")
local err = require("pai.err")
local json = require("pai.json")
local registry = require("pai.mcp.registry")
local task = require("pai.task")
local text = require("pai.text")
local wire = require("pai.mcp.wire")

local M = {}

local shared = {}

local function string_of(params, name)
  local value = params[name]
  if type(value) ~= "string" then
    wire.fail(wire.BAD_PARAMS, ("params.%s must be a string"):format(name))
  end
  return value
end

local function object_of(params, name)
  local value = params[name]
  if value == nil then
    return {}
  elseif not wire.is_object(value) then
    wire.fail(wire.BAD_PARAMS, ("params.%s must be an object"):format(name))
  end
  return value
end

-- Lists are short: there is one page, and no cursor was ever given out.
local function only_page(params)
  if params.cursor ~= nil then
    wire.fail(wire.BAD_PARAMS, "no such cursor")
  end
end

local function listed(kind)
  return function(server, _, params)
    only_page(params)
    local out = json.array({})
    for i, entry in ipairs(server:list(kind)) do
      out[i] = registry.shown(entry)
    end
    return { [kind] = out }
  end
end

shared["tools/list"] = listed("tools")
shared["prompts/list"] = listed("prompts")
shared["resources/list"] = listed("resources")

shared["resources/templates/list"] = function(server, _, params)
  only_page(params)
  local out = json.array({})
  for i, template in ipairs(server:list_templates()) do
    out[i] = registry.shown(template)
  end
  return { resourceTemplates = out }
end

-- What a tool raised is its result: the model is to see it. What belongs to the protocol is not.
local function tool_failed(e)
  if wire.is_error(e) or debug.getmetatable(e) == Call.Ask then
    error(e, 0)
  end
  e = err.wrap(e)
  if e.code == "ECANCELED" then
    error(e, 0)
  end
  local said = e.message
  if e.hint then
    said = said .. "\nhint: " .. tostring(e.hint)
  end
  return Call.text(said, true)
end

-- Why arguments do not fit a tool's schema: a name that it does not have, or one that is missing. A
-- recipe's own tools are left to the recipe, which asks for what is missing.
local function unfit(tool, args)
  local names = text.keys(tool.inputSchema.properties or {})
  for _, key in ipairs(text.keys(args)) do
    if tool.inputSchema.properties[key] == nil then
      local hint = text.did_you_mean(key, names)
      local has = #names > 0 and "it has " .. table.concat(names, ", ") or "it has none"
      return ("%s has no argument '%s'%s; %s"):format(tool.name, key, hint, has)
    end
  end
  for _, key in ipairs(tool.inputSchema.required or {}) do
    if args[key] == nil then
      return ("%s needs the argument '%s'"):format(tool.name, key)
    end
  end
end

shared["tools/call"] = function(server, call, params)
  local name, args = string_of(params, "name"), object_of(params, "arguments")
  local found, tool = pcall(server.find_tool, server, name)
  if not found then
    return tool_failed(tool)
  elseif not tool then
    local near = server:nearest_tool(name)
    local hint = near and (" (did you mean '%s'?)"):format(near) or ""
    wire.fail(wire.BAD_PARAMS, "no tool " .. text.cut(text.one_line(name), 80) .. hint)
  end
  if call.http and call.modern then
    require("pai.mcp.http_headers").check_arguments(call.http, tool.inputSchema, args)
  end
  local wrong = tool.strict and unfit(tool, args)
  if wrong then
    return Call.text(wrong, true)
  end
  local ok, result = pcall(tool.run, call, args)
  return ok and result or tool_failed(result)
end

shared["prompts/get"] = function(server, call, params)
  local name, args = string_of(params, "name"), object_of(params, "arguments")
  local prompt = server:find_prompt(name)
  if not prompt then
    wire.fail(wire.BAD_PARAMS, "no prompt " .. text.cut(text.one_line(name), 80))
  end
  for key, value in pairs(args) do
    if type(value) ~= "string" then
      wire.fail(wire.BAD_PARAMS, ("argument '%s' must be a string"):format(key))
    end
  end
  for _, argument in ipairs(prompt.arguments or {}) do
    if argument.required and args[argument.name] == nil then
      wire.fail(wire.BAD_PARAMS, ("argument '%s' is missing"):format(argument.name))
    end
  end
  return prompt.get(call, args)
end

shared["resources/read"] = function(server, call, params)
  local uri = string_of(params, "uri")
  local contents = server:read_resource(call, uri)
  if not contents then
    local code = call.modern and wire.BAD_PARAMS or wire.NO_RESOURCE
    wire.fail(code, "Resource not found", { uri = uri })
  end
  return { contents = json.array(contents) }
end

-- A client may show a hundred.
local COMPLETIONS <const> = 100

shared["completion/complete"] = function(server, _, params)
  local ref, argument = object_of(params, "ref"), object_of(params, "argument")
  local name, value = string_of(argument, "name"), string_of(argument, "value")
  local entry
  if ref.type == "ref/prompt" then
    entry = server:find_prompt(string_of(ref, "name"))
  elseif ref.type == "ref/resource" then
    for _, template in ipairs(server:list_templates()) do
      entry = entry or (template.uriTemplate == ref.uri and template)
    end
  end
  if not entry then
    wire.fail(wire.BAD_PARAMS, "params.ref names nothing that there is")
  end
  local found = {}
  for _, candidate in ipairs(entry.complete and entry.complete(name, value) or {}) do
    if candidate:sub(1, #value):lower() == value:lower() then
      found[#found + 1] = candidate
    end
  end
  local values = table.move(found, 1, math.min(#found, COMPLETIONS), 1, json.array({}))
  return { completion = { values = values, total = #found, hasMore = #found > COMPLETIONS } }
end

local handshake = setmetatable({}, { __index = shared })

function handshake.initialize(server, call, params)
  local asked = string_of(params, "protocolVersion")
  local conn = call.conn
  if conn.version then
    wire.fail(wire.INVALID, "the session was initialized before")
  end
  local server_module = require("pai.mcp.server")
  conn.version = server_module.HANDSHAKE[1]
  for _, known in ipairs(server_module.HANDSHAKE) do
    if known == asked then
      conn.version = known
    end
  end
  conn.caps = object_of(params, "capabilities")
  return {
    protocolVersion = conn.version,
    capabilities = server:capabilities(),
    serverInfo = server.info,
    instructions = server.instructions,
  }
end

function handshake.ping()
  return {}
end

handshake["logging/setLevel"] = function(_, call, params)
  local level = string_of(params, "level")
  if not Call.LEVELS[level] then
    wire.fail(wire.BAD_PARAMS, "params.level is no level")
  end
  call.conn.log_level = level
  return {}
end

handshake["resources/subscribe"] = function(_, call, params)
  call.conn.subscribed[string_of(params, "uri")] = true
  return {}
end

handshake["resources/unsubscribe"] = function(_, call, params)
  call.conn.subscribed[string_of(params, "uri")] = nil
  return {}
end

local modern = setmetatable({}, { __index = shared })

modern["server/discover"] = function(server)
  return {
    supportedVersions = json.array({ require("pai.mcp.server").MODERN }),
    capabilities = server:capabilities(true),
    instructions = server.instructions,
  }
end

local LISTS <const> = { "toolsListChanged", "promptsListChanged", "resourcesListChanged" }

-- Stays open until the client ends it. The acknowledgement is the first thing on the stream.
modern["subscriptions/listen"] = function(_, call, params)
  if not wire.is_object(params.notifications) then
    wire.fail(wire.BAD_PARAMS, "params.notifications must be an object")
  end
  local filter, uris = {}, {}
  for _, name in ipairs(LISTS) do
    filter[name] = params.notifications[name] == true or nil
  end
  local wanted = params.notifications.resourceSubscriptions
  if type(wanted) == "table" then
    filter.resourceSubscriptions = json.array({})
    for _, uri in ipairs(wanted) do
      uris[tostring(uri)] = true
      table.insert(filter.resourceSubscriptions, tostring(uri))
    end
  end
  local meta = { ["io.modelcontextprotocol/subscriptionId"] = call.id }
  local key = conns.key(call.id)
  call.send(wire.notification("notifications/subscriptions/acknowledged", {
    _meta = meta,
    notifications = filter,
  }))
  local listener = { id = call.id, filter = filter, uris = uris, meta = meta, send = call.send }
  call.conn.listeners[key] = listener
  local _ <close> = setmetatable({}, {
    __close = function()
      call.conn.listeners[key] = nil
    end,
  })
  task.event():wait()
  return { _meta = meta }
end

---Methods by name, of each era.
M.handshake, M.modern = handshake, modern

---What may come before the handshake.
M.early = { initialize = true, ping = true }

return M
