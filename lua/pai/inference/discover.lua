-- Inference discovery: a workflow spec, rendered as OSMO would, is looked through for endpoints,
-- and what it refers to is laid beside the backends that were chosen. Nothing is substituted: a
-- difference is told with both sides.
local document = require("pai.osmo.document")
local err = require("pai.err")
local references = require("pai.inference.references")
local spec = require("pai.osmo.spec")

local M = {}

---@class pai.inference.Place: pai.inference.Reference
---@field at string where it stands: "workflow.groups[0].tasks[1].environment.URL"

---@class pai.inference.Result
---@field references pai.inference.Place[]
---@field unresolved { text: string, at: string }[]
---@field nims string[] names, sorted
---@field nvcf string[] ids, sorted
---@field foundry string[] names of endpoints and accounts, sorted
---@field models string[] those that are endpoints of one model, sorted
---@field accounts string[] those that are accounts, sorted
---@field storage string[] schemes, sorted
---@field name string? of the workflow

local function join(path, key)
  if math.type(key) == "integer" then
    return ("%s[%d]"):format(path, key - 1)
  end
  return path == "" and tostring(key) or path .. "." .. tostring(key)
end

local function add_text(result, text, at)
  local found = references.scan(text)
  for _, reference in ipairs(found.references) do
    reference.at = at
    table.insert(result.references, reference)
  end
  for _, said in ipairs(found.unresolved) do
    table.insert(result.unresolved, { text = said, at = at })
  end
  for scheme in pairs(found.storage) do
    result.schemes[scheme] = true
  end
end

local function walk(result, value, path, skip)
  if type(value) == "string" then
    add_text(result, value, path)
  elseif type(value) == "table" then
    local keys = {}
    for key in pairs(value) do
      keys[#keys + 1] = key
    end
    table.sort(keys, function(a, b)
      if type(a) == type(b) then
        return a < b
      end
      return tostring(a) < tostring(b)
    end)
    for _, key in ipairs(keys) do
      if not (skip and skip[key]) then
        walk(result, value[key], join(path, key))
      end
    end
  end
end

local function sorted(set)
  local list = {}
  for key in pairs(set) do
    list[#list + 1] = key
  end
  table.sort(list)
  return list
end

local function finish(result)
  local by_kind = { nim = {}, nvcf = {}, foundry = {}, model = {}, account = {} }
  for _, reference in ipairs(result.references) do
    by_kind[reference.kind][reference.key] = true
    if reference.role then
      by_kind[reference.role][reference.key] = true
    end
  end
  result.models = sorted(by_kind.model)
  result.accounts = sorted(by_kind.account)
  result.nims = sorted(by_kind.nim)
  result.nvcf = sorted(by_kind.nvcf)
  result.foundry = sorted(by_kind.foundry)
  result.storage = sorted(result.schemes)
  result.schemes = nil
  return result
end

-- Names of the variables that were given: their defaults are not used.
local function assigned(opts)
  local names = {}
  for _, list in ipairs({ opts.variables or {}, opts.string_variables or {} }) do
    for _, item in ipairs(list) do
      names[item:match("^([^=]*)")] = true
    end
  end
  return names
end

---Looks through a spec.
---@param text string
---@param opts pai.osmo.ClientOptions?
---@return pai.inference.Result?
---@return pai.Error? err ESPEC when it cannot be rendered: then nothing is known of its endpoints
function M.text(text, opts)
  opts = opts or {}
  local result = { references = {}, unresolved = {}, schemes = {} }
  local plan, e = spec.client(text, opts)
  if not plan then
    return nil, e
  end
  local rendered
  rendered, e = spec.dry_run(plan.text, opts)
  if not rendered then
    return nil, e
  end
  result.name = rendered.name
  local tree
  tree, e = require("pai.yaml").decode(rendered.text, { schema = "1.1" })
  if type(tree) ~= "table" then
    return err.fail("ESPEC", "the rendered spec cannot be read: " .. tostring(e))
  end
  walk(result, tree, "")
  local sections = require("pai.osmo.spec_render").sections(text)
  local defaults = sections and sections["default-values"]
  if defaults and document.load(defaults.text) ~= nil then
    local values = require("pai.yaml").decode(defaults.text, { schema = "1.1" })
    values = type(values) == "table" and values["default-values"]
    if type(values) == "table" then
      walk(result, values, "default-values", assigned(opts))
    end
  end
  return finish(result)
end

---Looks through a spec's file; files that it takes in by localpath too.
---@param path string
---@param opts pai.osmo.ClientOptions?
---@return pai.inference.Result?
---@return pai.Error? err
function M.file(path, opts)
  local fs = require("pai.fs")
  local text, e = fs.read(path)
  if not text then
    return nil, e
  end
  local options = { path = path, dir = fs.dirname(fs.abspath(path)) }
  for key, value in pairs(opts or {}) do
    options[key] = value
  end
  return M.text(text, options)
end

local KINDS <const> = { "nim", "nvcf", "foundry" }

local WORDS <const> = {
  nim = "a NIM in the cluster",
  nvcf = "a function of NVCF",
  foundry = "an endpoint of Azure AI Foundry",
}

local function places(result, kind, key)
  local list = {}
  for _, reference in ipairs(result.references) do
    if reference.kind == kind and reference.key == key then
      list[#list + 1] = reference.at
    end
  end
  local more = #list > 3 and (" and %d more"):format(#list - 3) or ""
  return table.concat(list, ", ", 1, math.min(3, #list)) .. more
end

local NO_SUBSTITUTE <const> = "choose the other backend, or give the workflow another endpoint: "
  .. "no model is put in the place of another"

local function endpoint_checks(result, chosen, checks)
  local names = table.concat(sorted(chosen), ",")
  for _, kind in ipairs(KINDS) do
    local expected = "inference=" .. kind
    local hint
    if not chosen[kind] then
      expected = ("inference=%s was chosen; the workflow wants inference=%s"):format(names, kind)
      hint = NO_SUBSTITUTE
    end
    for _, key in ipairs(result[kind == "nim" and "nims" or kind]) do
      checks[#checks + 1] = {
        name = "endpoint " .. key,
        state = chosen[kind] and "ok" or "red",
        measured = ("%s, at %s"):format(WORDS[kind], places(result, kind, key)),
        expected = expected,
        hint = hint,
      }
    end
  end
end

local function port_checks(result, checks)
  for _, reference in ipairs(result.references) do
    if reference.kind == "nim" and reference.port and reference.port ~= 8000 then
      checks[#checks + 1] = {
        name = "port of " .. reference.key,
        state = "red",
        measured = ("%d, at %s"):format(reference.port, reference.at),
        expected = "8000, where every NIMService listens",
      }
    end
  end
end

---What was found beside what was chosen, as checks.
---@param result pai.inference.Result
---@param backends string[] "nim", "nvcf", "foundry"; none for no inference
---@return table[]
function M.checks(result, backends)
  local chosen, checks = {}, {}
  for _, backend in ipairs(backends) do
    chosen[backend] = backend ~= "none" or nil
  end
  for _, one in ipairs(result.unresolved) do
    checks[#checks + 1] = {
      name = "endpoint at " .. one.at,
      state = "red",
      measured = "put together later: " .. one.text,
      expected = "a host that is there once the spec is rendered",
      hint = "give the variable a value (set=NAME=VALUE), or write the host out",
    }
  end
  if next(chosen) == nil then
    chosen.none = true
  end
  endpoint_checks(result, chosen, checks)
  port_checks(result, checks)
  for _, kind in ipairs(KINDS) do
    local keys = result[kind == "nim" and "nims" or kind]
    if chosen[kind] and #keys == 0 then
      checks[#checks + 1] = {
        name = "inference=" .. kind,
        state = "warn",
        measured = "the workflow refers to no endpoint of it",
        hint = "what nothing refers to holds GPUs and storage: leave it out",
      }
    end
  end
  if #checks == 0 then
    checks[1] = { name = "endpoints", state = "ok", measured = "the workflow refers to none" }
  end
  table.sort(checks, function(a, b)
    return a.name < b.name
  end)
  return checks
end

return M
