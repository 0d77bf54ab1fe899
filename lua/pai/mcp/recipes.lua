-- Recipes as tools: for each one that runs it, and one that plans it when it changes something.
-- Recipes are listed from the start; the actions of components are groups that are loaded on
-- demand, so that the list stays small. A tool can be called by its name whether it is listed or
-- not.
local Call = require("pai.mcp.call")
local async = require("pai.async")
local attempt = require("pai.mcp.attempt")
local err = require("pai.err")
local index = require("pai.recipe.index")
local json = require("pai.json")
local out = require("pai.out")
local schema = require("pai.mcp.schema")
local task = require("pai.task")
local text = require("pai.text")

local M = {}

-- A description is read again after this time, so that a recipe can be worked on beside the server.
local FRESH_MS <const> = 15000

-- Some clients take no more.
local NAME_MAX <const> = 60

---@class pai.mcp.Recipes
---@field server pai.mcp.Server
---@field opts { recipes: string[]?, read_only: boolean?, allow_dirty: boolean? }
---@field groups table<string, boolean> loaded ones
local Recipes = {}
Recipes.__index = Recipes

-- Whether a name is on the allow list: itself, its component, or all.
local function allowed(list, name)
  if not list then
    return true
  end
  for _, entry in ipairs(list) do
    if entry == name or entry == name:match("^([^.]+)%.") then
      return true
    end
  end
  return false
end

---Whether clients may see a recipe.
---@param name string
---@return boolean
function Recipes:allows(name)
  return allowed(self.opts.recipes, name)
end

---What there is and may be seen.
---@return { name: string, path: string, kind: string, group: string? }[]
---@return { name: string, dir: string }[] components
function Recipes:entries()
  local all, components = index.all()
  local list, groups = {}, {}
  for _, entry in ipairs(all) do
    if self:allows(entry.name) then
      entry.group = entry.kind == "action" and entry.name:match("^([^.]+)%.") or nil
      list[#list + 1] = entry
    end
  end
  for _, component in ipairs(components) do
    if allowed(self.opts.recipes, component.name) then
      groups[#groups + 1] = component
    end
  end
  return list, groups
end

-- Secrets that a recipe may be given are known to this process too, so that its output is masked
-- here as well, whatever a child says.
local function know_secrets(self, description)
  local inputs = require("pai.recipe.inputs")
  for _, decl in pairs(description.inputs or {}) do
    if decl.type == "secret" and decl.env and not self.secrets[decl.env] then
      self.secrets[decl.env] = inputs.open("env:" .. decl.env)
    end
  end
  if not self.dotenv then
    self.dotenv = {}
    local found = require("pai.recipe.dotenv").inspect(require("pai.fs").cwd())
    if found.exists and not found.check then
      self.dotenv = require("pai.recipe.dotenv").open(found.path) or {}
    end
  end
end

---The description of a recipe; nil when it can't be read (that is said once).
---@param entry { name: string, path: string }
---@return table?
---@return pai.Error? err
function Recipes:describe(entry)
  local known = self.known[entry.path]
  if known and task.now() < known.until_ms then
    return known.description, known.error
  end
  local description, e = index.read(entry.path, { fresh = true })
  if description then
    know_secrets(self, description)
  elseif not known or not known.error then
    out.stderr(("pai mcp: %s is left out: %s\n"):format(entry.name, text.one_line(e.message)))
  end
  self.known[entry.path] = {
    description = description,
    error = e,
    until_ms = task.now() + FRESH_MS,
  }
  return description, e
end

---Descriptions of several recipes, read side by side; those that can't be read are left out.
---@param entries table[]
---@return { entry: table, description: table }[]
function Recipes:describe_all(entries)
  local work = {}
  for i, entry in ipairs(entries) do
    work[i] = function()
      return self:describe(entry) or false
    end
  end
  local descriptions, found = async.all(work, { limit = 4 }), {}
  for i, entry in ipairs(entries) do
    if descriptions[i] then
      found[#found + 1] = { entry = entry, description = descriptions[i] }
    end
  end
  return found
end

local function tool_name(entry, variant)
  return entry.name:gsub("[^%w_-]", "_"):sub(1, NAME_MAX) .. variant
end

-- A second run of a recipe changes nothing when each of its steps looks first.
local function is_idempotent(d)
  if d.safety == "observes" then
    return true
  elseif d.dynamic then
    return false
  end
  for _, s in ipairs(d.steps) do
    if s.kind == "use" or (s.kind == "run" and not s.done and s.safety ~= "observes") then
      return false
    end
  end
  return true
end

local function words(d, lead)
  local parts = { lead .. (d.summary or d.title) }
  if d.doc then
    parts[#parts + 1] = (d.doc:gsub("^%s+", ""):gsub("%s+$", ""))
  end
  local secrets = {}
  for _, name in ipairs(text.keys(d.inputs or {})) do
    local decl = d.inputs[name]
    if decl.type == "secret" then
      secrets[#secrets + 1] = decl.env or name
    end
  end
  if #secrets > 0 then
    parts[#parts + 1] = "Secrets, set where this server runs: " .. table.concat(secrets, ", ")
  end
  return table.concat(parts, "\n\n")
end

local function split(args)
  local inputs, options = {}, {}
  for name, value in pairs(args) do
    if schema.OPTIONS[name] then
      options[name:sub(5)] = value
    elseif value ~= json.null then
      inputs[name] = value
    end
  end
  return inputs, options
end

local function job_of(self, entry, d, decls, args)
  local inputs, options = split(args)
  if options.plan ~= nil and type(options.plan) ~= "string" then
    err.raise("EUSAGE", "pai_plan must be the digest of a plan")
  elseif options.detach ~= nil and type(options.detach) ~= "boolean" then
    err.raise("EUSAGE", "pai_detach must be true or false")
  end
  return {
    path = entry.path,
    name = entry.name,
    decls = decls,
    returns = d.returns,
    inputs = inputs,
    options = options,
    allow_dirty = self.opts.allow_dirty,
  }
end

-- Every check of a tool's annotations is on what the recipe says of itself.
local function run_tool(self, entry, d, decls)
  return {
    name = tool_name(entry, "_run"),
    title = d.title,
    description = words(d, ""),
    inputSchema = schema.inputs(decls, schema.OPTIONS),
    outputSchema = schema.outcome(d.returns),
    annotations = {
      title = d.title,
      readOnlyHint = d.safety == "observes",
      destructiveHint = d.safety == "destroys",
      idempotentHint = is_idempotent(d),
      openWorldHint = #(d.needs and d.needs.hosts or {}) > 0,
    },
    run = function(call, args)
      return attempt.run(call, job_of(self, entry, d, decls, args))
    end,
  }
end

local function plan_tool(self, entry, d, decls)
  local lead = "Shows what running it would do, step by step, and changes nothing. "
  return {
    name = tool_name(entry, "_plan"),
    title = "Plan: " .. d.title,
    description = lead .. (d.summary or d.title),
    inputSchema = schema.inputs(decls),
    annotations = {
      title = "Plan: " .. d.title,
      readOnlyHint = true,
      destructiveHint = false,
      idempotentHint = true,
      openWorldHint = #(d.needs and d.needs.hosts or {}) > 0,
    },
    run = function(call, args)
      return attempt.plan(call, job_of(self, entry, d, decls, args))
    end,
  }
end

-- The tools of a recipe; made once for each reading of its description.
local function tools_of(self, entry, d)
  local made = self.made[d]
  if made then
    return made
  end
  local decls = require("pai.run.prepare").declarations(d)
  made = {}
  if d.safety ~= "observes" then
    made[#made + 1] = plan_tool(self, entry, d, decls)
  end
  if d.safety == "observes" or not self.opts.read_only then
    made[#made + 1] = run_tool(self, entry, d, decls)
  end
  self.made[d] = made
  return made
end

-- What is listed now.
function Recipes:tools()
  local entries = {}
  for _, entry in ipairs((self:entries())) do
    if not entry.group or self.groups[entry.group] or self.opts.recipes then
      entries[#entries + 1] = entry
    end
  end
  local list = {}
  for _, found in ipairs(self:describe_all(entries)) do
    local made = tools_of(self, found.entry, found.description)
    table.move(made, 1, #made, #list + 1, list)
  end
  return list
end

-- A tool by name; only its own recipe is read.
function Recipes:tool(name)
  for _, entry in ipairs((self:entries())) do
    if name == tool_name(entry, "_run") or name == tool_name(entry, "_plan") then
      local d, e = self:describe(entry)
      if not d then
        err.raise(e.code, e.message)
      end
      for _, tool in ipairs(tools_of(self, entry, d)) do
        if tool.name == name then
          return tool
        end
      end
    end
  end
end

-- pai_load: lists the tools of a group from now on.
local function load_group(self, args)
  local _, components = self:entries()
  for _, component in ipairs(components) do
    if component.name == args.group then
      local names = {}
      for _, entry in ipairs((self:entries())) do
        local d = entry.group == args.group and self:describe(entry)
        for _, tool in ipairs(d and tools_of(self, entry, d) or {}) do
          names[#names + 1] = ("%s: %s"):format(tool.name, text.one_line(tool.title or ""))
        end
      end
      if not self.groups[args.group] then
        self.groups[args.group] = true
        self.server:changed("tools")
      end
      return Call.text("The tools of this group are listed now:\n" .. table.concat(names, "\n"))
    end
  end
  local names = {}
  for i, component in ipairs(components) do
    names[i] = component.name
  end
  local hint = text.did_you_mean(tostring(args.group), names)
  err.raise("ENOENT", ("no group '%s'%s"):format(tostring(args.group), hint), {
    hint = "pai_recipes names the groups",
  })
end

-- pai_recipes: what there is, in one line each.
local function list_recipes(self, args)
  local entries, components = self:entries()
  local recipes, lines = {}, {}
  for _, entry in ipairs(entries) do
    if not entry.group then
      recipes[#recipes + 1] = entry
    end
  end
  local function matches(line)
    local wanted = type(args.search) == "string" and args.search:lower() or ""
    return line:lower():find(wanted, 1, true) ~= nil
  end
  local function add(line)
    lines[#lines + 1] = matches(line) and line or nil
  end
  for _, found in ipairs(self:describe_all(recipes)) do
    local d = found.description
    add(("%s (%s): %s"):format(found.entry.name, d.safety, text.one_line(d.summary)))
  end
  for _, component in ipairs(components) do
    add(("group %s: a component; pai_load lists its tools"):format(component.name))
  end
  return Call.text(#lines > 0 and table.concat(lines, "\n") or "nothing matches")
end

local READING <const> = {
  readOnlyHint = true,
  destructiveHint = false,
  idempotentHint = true,
  openWorldHint = false,
}

---Puts the recipes into a server.
---@param server pai.mcp.Server
---@param opts { recipes: string[]?, read_only: boolean?, allow_dirty: boolean? }
---@return pai.mcp.Recipes
function M.add(server, opts)
  local self = setmetatable({
    server = server,
    opts = opts,
    groups = {},
    known = {},
    secrets = {},
    made = setmetatable({}, { __mode = "k" }),
  }, Recipes)
  server:add_tool({
    name = "pai_recipes",
    title = "List recipes",
    description = "Lists the recipes that there are, and the groups of tools that can be loaded.",
    inputSchema = {
      type = "object",
      properties = { search = { type = "string", description = "Only lines with this text." } },
      additionalProperties = false,
    },
    annotations = READING,
    strict = true,
    run = function(_, args)
      return list_recipes(self, args)
    end,
  })
  server:add_tool({
    name = "pai_load",
    title = "Load a group of tools",
    description = "Adds the tools of a component: preflight, deploy, verify, active, drill, "
      .. "teardown.",
    inputSchema = {
      type = "object",
      properties = { group = { type = "string", description = "Its name, from pai_recipes." } },
      required = json.array({ "group" }),
      additionalProperties = false,
    },
    annotations = READING,
    strict = true,
    run = function(_, args)
      return load_group(self, args)
    end,
  })
  server:add_provider({
    tools = function()
      return self:tools()
    end,
    tool = function(name)
      return self:tool(name)
    end,
    tool_names = function(meant)
      local variant, names = meant:find("_plan$") and "_plan" or "_run", {}
      for i, entry in ipairs((self:entries())) do
        names[i] = tool_name(entry, variant)
      end
      return names
    end,
  })
  return self
end

return M
