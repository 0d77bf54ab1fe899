-- What can be called: tools, prompts, resources and resource templates, each in a stable order.
-- Providers add what is known only when it is asked for, such as a recipe's tool.
local json = require("pai.json")

local M = {}

---@class pai.mcp.Tool
---@field name string
---@field title string?
---@field description string
---@field inputSchema table
---@field outputSchema table?
---@field annotations table?
---@field strict boolean? arguments are held against inputSchema before it runs
---@field run fun(call: pai.mcp.Call, args: table): table the result

---@class pai.mcp.Prompt
---@field name string
---@field title string?
---@field description string
---@field arguments { name: string, description: string?, required: boolean? }[]?
---@field get fun(call: pai.mcp.Call, args: table<string, string>): table the result
---@field complete (fun(argument: string, value: string): string[])?

---@class pai.mcp.Resource
---@field uri string
---@field name string
---@field title string?
---@field description string?
---@field mimeType string?
---@field read fun(call: pai.mcp.Call, uri: string): table[] contents

---@class pai.mcp.Template
---@field uriTemplate string with {name} for one part of a path, {+name} for the rest
---@field name string
---@field title string?
---@field description string?
---@field mimeType string?
---@field read fun(call: pai.mcp.Call, uri: string, parts: table<string, string>): table[]?
---@field complete (fun(argument: string, value: string): string[])?

---@class pai.mcp.Provider
---@field tools (fun(): pai.mcp.Tool[])? those that are listed
---@field tool (fun(name: string): pai.mcp.Tool?)? by name, listed or not
---@field tool_names (fun(meant: string): string[])? names that a slip may stand for
---@field prompts (fun(): pai.mcp.Prompt[])?
---@field resources (fun(): pai.mcp.Resource[])?

---@class pai.mcp.Registry
local methods = {}
M.methods = methods

---@return pai.mcp.Registry
function M.new()
  return {
    own = { tools = {}, prompts = {}, resources = {} },
    tools_by_name = {},
    templates = {},
    providers = {},
  }
end

---@param tool pai.mcp.Tool
function methods:add_tool(tool)
  table.insert(self.own.tools, tool)
  self.tools_by_name[tool.name] = self.tools_by_name[tool.name] or tool
end

---@param prompt pai.mcp.Prompt
function methods:add_prompt(prompt)
  table.insert(self.own.prompts, prompt)
end

---@param resource pai.mcp.Resource
function methods:add_resource(resource)
  table.insert(self.own.resources, resource)
end

---@param template pai.mcp.Template
function methods:add_template(template)
  table.insert(self.templates, template)
end

---@param provider pai.mcp.Provider
function methods:add_provider(provider)
  table.insert(self.providers, provider)
end

-- What fills the registry is loaded with the first look at it: a handshake needs none of it.
function methods:fill()
  local fill = self.filler
  self.filler = nil
  if fill then
    fill(self)
  end
end

---The resource templates.
---@return pai.mcp.Template[]
function methods:list_templates()
  self:fill()
  return self.templates
end

---Everything of a kind that is listed.
---@param kind "tools"|"prompts"|"resources"
---@return table[]
function methods:list(kind)
  self:fill()
  local all = table.move(self.own[kind], 1, #self.own[kind], 1, {})
  for _, provider in ipairs(self.providers) do
    local more = provider[kind] and provider[kind]() or {}
    table.move(more, 1, #more, #all + 1, all)
  end
  return all
end

local function by(list, key, value)
  for _, entry in ipairs(list) do
    if entry[key] == value then
      return entry
    end
  end
end

---@param name string
---@return pai.mcp.Tool?
function methods:find_tool(name)
  self:fill()
  local tool = self.tools_by_name[name]
  for _, provider in ipairs(self.providers) do
    tool = tool or provider.tool and provider.tool(name)
    tool = tool or (provider.tools and not provider.tool and by(provider.tools(), "name", name))
  end
  return tool or nil
end

---The tool that a name which is none was most likely meant for. Names are known without what is
---behind them; only that of the nearest is looked at.
---@param name string
---@return string?
function methods:nearest_tool(name)
  local names = {}
  for i, tool in ipairs(self.own.tools) do
    names[i] = tool.name
  end
  for _, provider in ipairs(self.providers) do
    local more = provider.tool_names and provider.tool_names(name) or {}
    table.move(more, 1, #more, #names + 1, names)
  end
  local near = require("pai.text").nearest(name, names)
  if not near then
    return nil
  end
  local ok, tool = pcall(self.find_tool, self, near)
  return ok and tool and near or nil
end

---@param name string
---@return pai.mcp.Prompt?
function methods:find_prompt(name)
  return by(self:list("prompts"), "name", name)
end

local function unescape(text)
  return (text:gsub("%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end))
end

-- The parts of a URI that a template names, or nil when it does not match.
local function match(template, uri)
  local names, pattern, from = {}, "^", 1
  for before, rest, name, after in template:gmatch("([^{]*){(%+?)([%w_]+)}()") do
    names[#names + 1] = name
    pattern = pattern .. before:gsub("%p", "%%%0") .. (rest == "+" and "(.+)" or "([^/]+)")
    from = after
  end
  pattern = pattern .. template:sub(from):gsub("%p", "%%%0") .. "$"
  local found = { uri:match(pattern) }
  if #found == 0 then
    return nil
  end
  local parts = {}
  for i, name in ipairs(names) do
    parts[name] = unescape(found[i])
  end
  return parts
end

---Reads a resource.
---@param call pai.mcp.Call
---@param uri string
---@return table[]? contents nil: there is no such resource
function methods:read_resource(call, uri)
  self:fill()
  for _, template in ipairs(self.templates) do
    local parts = match(template.uriTemplate, uri)
    local contents = parts and template.read(call, uri, parts)
    if contents then
      return contents
    end
  end
  local resource = by(self:list("resources"), "uri", uri)
  return resource and resource.read(call, uri)
end

local FIELDS <const> = {
  "name",
  "title",
  "description",
  "inputSchema",
  "outputSchema",
  "annotations",
  "arguments",
  "uri",
  "uriTemplate",
  "mimeType",
  "size",
  "icons",
  "_meta",
}

---What a client is shown of an entry.
---@param entry table
---@return table
function M.shown(entry)
  local out = {}
  for _, field in ipairs(FIELDS) do
    out[field] = entry[field]
  end
  if out.arguments then
    json.array(out.arguments)
  end
  return out
end

return M
