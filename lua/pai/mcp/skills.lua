-- Skills over MCP (the extension io.modelcontextprotocol/skills of the stateless revision): the
-- skill of every recipe, listed with its files and their digests, and read as resources.
local json = require("pai.json")
local wire = require("pai.mcp.wire")

local M = {}

local EXTENSION <const> = "io.modelcontextprotocol/skills"
local DIRECTORY <const> = "inode/directory"

---Says that the server has skills. It loads nothing.
---@param server pai.mcp.Server
function M.declare(server)
  server.extensions = { [EXTENSION] = { directoryRead = true } }
  for _, method in ipairs({ "skills/list", "skills/get", "resources/directory/read" }) do
    server.methods[method] = function(...)
      server:fill()
      return server.skill_methods[method](...)
    end
  end
end

local function base_of(d)
  return "skill://" .. require("pai.mcp.skill").name(d.name)
end

local function entry_of(d)
  local skill = require("pai.mcp.skill")
  local files, resources = skill.files(d), json.array({})
  for _, name in ipairs(require("pai.text").keys(files)) do
    resources[#resources + 1] = {
      uri = base_of(d) .. "/" .. name,
      digest = "sha256:" .. require("pai.digest").sha256(files[name]),
      size = #files[name],
    }
  end
  return {
    uri = base_of(d) .. "/SKILL.md",
    frontmatter = skill.frontmatter(d),
    resources = resources,
  }
end

-- Descriptions of the recipes that a client may see.
local function all(recipes)
  local entries, list = {}, {}
  for _, entry in ipairs((recipes:entries())) do
    entries[#entries + 1] = not entry.group and entry or nil
  end
  for i, found in ipairs(recipes:describe_all(entries)) do
    list[i] = found.description
  end
  return list
end

local function uri_of(params)
  if type(params.uri) ~= "string" then
    wire.fail(wire.BAD_PARAMS, "params.uri must be a string")
  end
  return params.uri
end

-- The children of a folder of a skill; nil when it is none.
local function children(d, uri)
  local base, files = base_of(d), require("pai.mcp.skill").files(d)
  local list, seen = json.array({}), {}
  if uri ~= base and uri ~= base .. "/references" then
    return nil
  end
  for _, name in ipairs(require("pai.text").keys(files)) do
    local full = base .. "/" .. name
    local rest = full:sub(1, #uri + 1) == uri .. "/" and full:sub(#uri + 2)
    local child = rest and rest:match("^[^/]+")
    if child and not seen[child] then
      seen[child] = true
      local leaf = child == rest
      list[#list + 1] = {
        uri = uri .. "/" .. child,
        name = child,
        mimeType = leaf and "text/markdown" or DIRECTORY,
      }
    end
  end
  return list
end

---Puts the skills into a server.
---@param server pai.mcp.Server
---@param recipes pai.mcp.Recipes
function M.add(server, recipes)
  server.skill_methods = {
    ["skills/list"] = function(_, _, params)
      if params.cursor ~= nil then
        wire.fail(wire.BAD_PARAMS, "no such cursor")
      end
      local list = json.array({})
      for i, d in ipairs(all(recipes)) do
        list[i] = entry_of(d)
      end
      return { skills = list }
    end,
    ["skills/get"] = function(_, _, params)
      local uri = uri_of(params)
      for _, d in ipairs(all(recipes)) do
        if uri == base_of(d) .. "/SKILL.md" then
          return { skill = entry_of(d) }
        end
      end
      wire.fail(wire.BAD_PARAMS, "no such skill", { uri = uri })
    end,
    ["resources/directory/read"] = function(_, _, params)
      local uri = uri_of(params):gsub("/$", "")
      for _, d in ipairs(all(recipes)) do
        local list = children(d, uri)
        if list then
          return { resources = list }
        end
      end
      wire.fail(wire.BAD_PARAMS, "no such directory", { uri = uri })
    end,
  }
  server:add_template({
    uriTemplate = "skill://{skill}/{+file}",
    name = "skill",
    title = "Skill of a recipe",
    description = "A file of the Agent Skills folder of a recipe.",
    mimeType = "text/markdown",
    read = function(_, uri, parts)
      for _, d in ipairs(all(recipes)) do
        local body = base_of(d) == "skill://" .. parts.skill
          and require("pai.mcp.skill").files(d)[parts.file]
        if body then
          return { { uri = uri, mimeType = "text/markdown", text = body } }
        end
      end
    end,
  })
end

return M
