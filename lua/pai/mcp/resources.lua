-- Resources: what a recipe or component says of itself, and what runs left: journal, report,
-- evidence. Each is read only when it is asked for.
local err = require("pai.err")
local fs = require("pai.fs")
local index = require("pai.recipe.index")
local journal = require("pai.run.journal")
local mime = require("pai.mcp.mime")
local runs_module = require("pai.mcp.runs")
local text = require("pai.text")
local wire = require("pai.mcp.wire")

local M = {}

-- A client gets a file as one message.
local MAX_FILE <const> = 64 << 20

local function input_lines(decls)
  local lines = {}
  for _, name in ipairs(text.keys(decls or {})) do
    local decl = decls[name]
    local notes = { decl.type }
    if decl.values then
      notes[#notes + 1] = table.concat(decl.values, " | ")
    end
    if decl.default ~= nil then
      local value = decl.default
      value = type(value) == "table" and table.concat(value, ",") or tostring(value)
      notes[#notes + 1] = "default " .. value
    elseif decl.optional then
      notes[#notes + 1] = "optional"
    else
      notes[#notes + 1] = "needed"
    end
    if decl.env then
      notes[#notes + 1] = "from " .. decl.env
    end
    local doc = decl.doc and ": " .. text.one_line(decl.doc) or ""
    lines[#lines + 1] = ("- `%s` (%s)%s"):format(name, table.concat(notes, "; "), doc)
  end
  return lines
end

M.input_lines = input_lines

---A recipe or component as a page.
---@param d table its description
---@return string markdown
function M.page(d)
  local parts = { ("# %s\n\n%s"):format(d.title or d.name, d.summary or "") }
  for _, body in ipairs({ d.doc or "", d.reference or "" }) do
    if body:find("%S") then
      parts[#parts + 1] = (body:gsub("^%s+", ""):gsub("%s+$", ""))
    end
  end
  if d.safety then
    parts[#parts + 1] = "Safety: " .. d.safety
  end
  local inputs = input_lines(d.inputs)
  if #inputs > 0 then
    parts[#parts + 1] = "## Inputs\n\n" .. table.concat(inputs, "\n")
  end
  local returned = {}
  for _, name in ipairs(text.keys(d.returns or {})) do
    local doc = d.returns[name].doc and ": " .. text.one_line(d.returns[name].doc) or ""
    returned[#returned + 1] = ("- `%s` (%s)%s"):format(name, d.returns[name].type, doc)
  end
  if #returned > 0 then
    parts[#parts + 1] = "## Returns\n\n" .. table.concat(returned, "\n")
  end
  return table.concat(parts, "\n\n") .. "\n"
end

local function not_found(call, uri)
  local code = call.modern and wire.BAD_PARAMS or wire.NO_RESOURCE
  wire.fail(code, "Resource not found", { uri = uri })
end

-- A run that the URI names, or "not found".
local function find_run(runs, call, uri, id)
  local ok, found, known = pcall(runs.find, runs, id)
  if not ok then
    not_found(call, uri)
  end
  return found, known
end

local function file_contents(call, uri, path, as_text)
  local st = fs.stat(path)
  if not st or st.type ~= "file" then
    not_found(call, uri)
  elseif st.size > MAX_FILE then
    local said = "%s has %d bytes, more than one message takes; open the file itself"
    err.raise("ELIMIT", said:format(path, st.size))
  end
  local body = assert(fs.read(path))
  local contents = { uri = uri, mimeType = mime.of(path) }
  if as_text then
    contents.text = text.utf8(body)
  else
    contents.blob = require("pai.crypto").base64_encode(body)
  end
  return { contents }
end

local function report_of(id)
  local path
  for _, e in ipairs(journal.read(runs_module.journal(id)) or {}) do
    path = e.event == "report" and e.path or path
  end
  return path
end

local function add_runs(server, runs)
  local function ids()
    local list = {}
    for _, name in ipairs(fs.list(require("pai.state").runs()) or {}) do
      list[#list + 1] = require("pai.state").is_id(name) and name or nil
    end
    return list
  end
  local function complete(argument)
    return argument == "run" and ids() or {}
  end
  server:add_template({
    uriTemplate = "pai://runs/{run}/journal",
    name = "journal",
    title = "Journal of a run",
    description = "Every event of the run, one JSON object a line.",
    mimeType = "application/jsonl",
    complete = complete,
    read = function(call, uri, parts)
      local id = find_run(runs, call, uri, parts.run)
      return file_contents(call, uri, runs_module.journal(id), true)
    end,
  })
  server:add_template({
    uriTemplate = "pai://runs/{run}/report",
    name = "report",
    title = "Report of a run",
    description = "The HTML page of the run.",
    mimeType = "text/html",
    complete = complete,
    read = function(call, uri, parts)
      local id = find_run(runs, call, uri, parts.run)
      return file_contents(call, uri, report_of(id) or "", true)
    end,
  })
  server:add_template({
    uriTemplate = "pai://runs/{run}/media/{number}",
    name = "media",
    title = "Evidence of a run",
    description = "A file that the run named as evidence, by its number from 1 on.",
    complete = complete,
    read = function(call, uri, parts)
      local _, known = find_run(runs, call, uri, parts.run)
      local path = known.media[math.tointeger(tonumber(parts.number)) or 0]
      return file_contents(call, uri, path or "", false)
    end,
  })
end

---Puts the resources into a server.
---@param server pai.mcp.Server
---@param recipes pai.mcp.Recipes
---@param runs pai.mcp.Runs
function M.add(server, recipes, runs)
  local function page(uri, path)
    local d, e = index.read(path, { fresh = true })
    if not d then
      err.raise(e.code, e.message)
    end
    return { { uri = uri, mimeType = "text/markdown", text = M.page(d) } }
  end
  server:add_provider({
    resources = function()
      local entries, components = recipes:entries()
      local list = {}
      for _, entry in ipairs(entries) do
        if not entry.group then
          local uri = "pai://recipes/" .. entry.name
          list[#list + 1] = {
            uri = uri,
            name = entry.name,
            description = "The recipe: what it does, inputs, returned values.",
            mimeType = "text/markdown",
            read = function()
              return page(uri, entry.path)
            end,
          }
        end
      end
      for _, component in ipairs(components) do
        local uri = "pai://components/" .. component.name
        list[#list + 1] = {
          uri = uri,
          name = component.name,
          description = "The component's reference.",
          mimeType = "text/markdown",
          read = function()
            return page(uri, component.dir)
          end,
        }
      end
      return list
    end,
  })
  add_runs(server, runs)
end

return M
