-- Prompts: for each workload one that collects its inputs from the user, shows the plan and runs
-- it.
local json = require("pai.json")
local resources = require("pai.mcp.resources")
local text = require("pai.text")

local M = {}

local INTAKE <const> = [[
The user wants to run the workload "%s" (%s).

%s

Do it in this order:
1. Find out which inputs the user wants to set. Ask once, for all that is open together. Never guess
   a needed value; leave out what the user does not care about. Never ask for a secret: if one is
   missing, the tool says which variable to set.
2. Call the tool %s_plan and show the user what would happen.
3. When the user agrees, call %s_run. For a long run pass pai_detach = true and follow it with
   pai_runs_watch.
4. Show what came of it: every path after MEDIA:, the report, and each check that was not ok with
   its hint. If it failed, say so and offer pai_runs_resume.
]]

local function given_lines(args)
  local lines = {}
  for _, name in ipairs(text.keys(args)) do
    if args[name] ~= "" then
      lines[#lines + 1] = ("- %s = %s"):format(name, args[name])
    end
  end
  return lines
end

local function prompt_of(entry, d)
  local arguments = {}
  for _, name in ipairs(text.keys(d.inputs or {})) do
    local decl = d.inputs[name]
    if decl.type ~= "secret" then
      arguments[#arguments + 1] = {
        name = name,
        description = decl.doc and text.one_line(decl.doc) or nil,
        required = false,
      }
    end
  end
  local tool = entry.name:gsub("[^%w_-]", "_")
  return {
    name = entry.name,
    title = d.title,
    description = "Collects the inputs, plans and runs: " .. text.one_line(d.summary),
    arguments = arguments,
    get = function(_, args)
      local inputs = table.concat(resources.input_lines(d.inputs), "\n")
      local parts = { INTAKE:format(entry.name, d.title, d.summary, tool, tool) }
      if inputs ~= "" then
        parts[#parts + 1] = "Inputs:\n" .. inputs
      end
      local given = given_lines(args)
      if #given > 0 then
        parts[#parts + 1] = "Already said by the user:\n" .. table.concat(given, "\n")
      end
      local body = table.concat(parts, "\n")
      return {
        description = d.title,
        messages = json.array({ { role = "user", content = { type = "text", text = body } } }),
      }
    end,
    complete = function(argument)
      local decl = (d.inputs or {})[argument] or {}
      if decl.type == "boolean" then
        return { "true", "false" }
      end
      return decl.values or {}
    end,
  }
end

local function is_workload(d)
  for _, tag in ipairs(d.tags or {}) do
    if tag == "workload" then
      return true
    end
  end
  return false
end

---Puts the prompts into a server.
---@param server pai.mcp.Server
---@param recipes pai.mcp.Recipes
function M.add(server, recipes)
  server:add_provider({
    prompts = function()
      local entries, list = {}, {}
      for _, entry in ipairs((recipes:entries())) do
        entries[#entries + 1] = not entry.group and entry or nil
      end
      for _, found in ipairs(recipes:describe_all(entries)) do
        if is_workload(found.description) then
          list[#list + 1] = prompt_of(found.entry, found.description)
        end
      end
      return list
    end,
  })
end

return M
