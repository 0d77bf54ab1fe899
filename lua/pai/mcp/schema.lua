-- Inputs and returned values of a recipe as JSON Schema.
local json = require("pai.json")
local text = require("pai.text")

local M = {}

---Options of a run beside the recipe's inputs.
M.OPTIONS = {
  pai_detach = {
    type = "boolean",
    description = "Return at once with the run's id; the run goes on by itself, also when this "
      .. "server ends. Follow it with pai_runs_watch.",
  },
  pai_plan = {
    type = "string",
    description = "The digest that the plan tool gave: run exactly that plan or refuse. It also "
      .. "confirms steps that destroy.",
  },
}

local kinds = {}

function kinds.string(decl)
  return { type = "string" },
    decl.pattern and ("must match the Lua pattern %s"):format(decl.pattern)
end

function kinds.integer(decl)
  return { type = "integer", minimum = decl.min, maximum = decl.max }
end

function kinds.number(decl)
  return { type = "number", minimum = decl.min, maximum = decl.max }
end

function kinds.boolean()
  return { type = "boolean" }
end

function kinds.enum(decl)
  return { type = "string", enum = json.array(table.move(decl.values, 1, #decl.values, 1, {})) }
end

function kinds.path()
  return { type = "string" }, "a path; a relative one is below the server's working directory"
end

function kinds.duration()
  return { type = "string" }, 'a duration such as "30s" or "10m"'
end

function kinds.table()
  return { type = "object" }
end

-- What a recipe may return besides: anything.
local function any()
  return {}
end

function kinds.list(decl)
  local of = type(decl.of) == "table" and decl.of
    or { type = decl.of or "string", values = decl.values, min = decl.min, max = decl.max }
  local items = (kinds[of.type] or any)(of)
  return { type = "array", items = items }
end

---One declared value.
---@param decl table
---@return table schema
function M.of(decl)
  local schema, note = (kinds[decl.type] or any)(decl)
  local doc = text.one_line(decl.doc or "")
  if note then
    doc = doc == "" and note or ("%s (%s)"):format(doc, note)
  end
  schema.description = doc ~= "" and doc or nil
  return schema
end

local function is_needed(decl)
  return decl.default == nil and not decl.optional
end

---What a tool takes. Secrets are no part of it, and nothing is required: what is missing is asked
---for, so that nobody has to guess it.
---@param decls table<string, table>
---@param options table<string, table>? more properties
---@return table schema
function M.inputs(decls, options)
  local properties = {}
  for name, decl in pairs(decls) do
    if decl.type ~= "secret" then
      local schema = M.of(decl)
      schema.default = decl.default
      if type(schema.default) == "table" then
        json.array(schema.default)
      end
      if is_needed(decl) then
        local note = "Needed. Leave it out if the user did not say it: the user is then asked."
        schema.description = schema.description and schema.description .. " " .. note or note
      end
      properties[name] = schema
    end
  end
  for name, schema in pairs(options or {}) do
    properties[name] = schema
  end
  return { type = "object", properties = properties, additionalProperties = false }
end

local STRING <const> = { type = "string" }
local STRINGS <const> = { type = "array", items = STRING }
local OBJECT <const> = { type = "object" }

---What a run gives.
---@param returns table<string, table>?
---@return table schema
function M.outcome(returns)
  local values = {}
  for name, decl in pairs(returns or {}) do
    values[name] = M.of(decl)
    if decl.type == "duration" then
      values[name].type = nil -- text or milliseconds
    end
  end
  return {
    type = "object",
    properties = {
      run = { type = "string", description = "The run's id, for pai_runs_*." },
      status = {
        type = "string",
        description = "green, red, failed, interrupted, input_required, or detached.",
      },
      code = { type = "integer", description = "The exit code that pai run has." },
      reason = STRING,
      hint = STRING,
      ms = { type = "integer", description = "How long it took." },
      counters = OBJECT,
      checks = {
        type = "array",
        items = OBJECT,
        description = "Checks that were not ok: measured, expected, hint.",
      },
      missing = { type = "array", items = OBJECT },
      media = STRINGS,
      report = STRING,
      returns = { type = "object", properties = values },
    },
    required = json.array({ "status" }),
  }
end

local fits = {}

function fits.string(_, v)
  return type(v) == "string"
end
function fits.integer(_, v)
  return math.type(v) == "integer"
end
function fits.number(_, v)
  return type(v) == "number"
end
function fits.boolean(_, v)
  return type(v) == "boolean"
end
function fits.object(_, v)
  return type(v) == "table" and not json.is_array(v)
end
function fits.array(schema, v)
  if type(v) ~= "table" or not (json.is_array(v) or next(v) == nil) then
    return false
  end
  json.array(v) -- an empty list came as a map
  for _, item in ipairs(v) do
    if not M.fits(schema.items or {}, item) then
      return false
    end
  end
  return true
end

---Whether a value is what a schema of ours says. An empty map is made the list that it must be.
---@param schema table
---@param value any
---@return boolean
function M.fits(schema, value)
  if schema.enum then
    for _, known in ipairs(schema.enum) do
      if known == value then
        return true
      end
    end
    return false
  end
  return schema.type == nil or fits[schema.type](schema, value)
end

---A form for what is missing. A client shows flat values only: a list is asked for as text.
---@param missing { name: string, type: string, doc: string?, values: string[]? }[]
---@param decls table<string, table>
---@return table schema
function M.form(missing, decls)
  local properties, required = {}, json.array({})
  for i, m in ipairs(missing) do
    local decl = decls[m.name] or m
    local schema = decl.type == "list" and { type = "string", description = m.doc } or M.of(decl)
    if decl.type == "list" then
      local doc = text.one_line(m.doc or "")
      schema.description = doc .. (doc == "" and "" or " ") .. "(separated by commas)"
    end
    schema.title = m.name
    properties[m.name] = schema
    required[i] = m.name
  end
  return { type = "object", properties = properties, required = required }
end

return M
