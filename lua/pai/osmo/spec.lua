-- OSMO specs as upstream's client and service read them: rendering, checking, normalising, and the
-- client's part with its two renderings. Verdicts are upstream's; the words are ours.
local document = require("pai.osmo.document")
local err = require("pai.err")
local labels = require("pai.osmo.labels")
local normal = require("pai.osmo.spec_normal")
local parse = require("pai.osmo.spec_parse")
local render = require("pai.osmo.spec_render")
local schema = require("pai.osmo.schema")
local client = require("pai.osmo.spec_client")
local value = require("pai.osmo.template_value")
local yaml_dump = require("pai.osmo.yaml_dump")

local M = {}

---@class pai.osmo.SpecOptions
---@field variables string[]? "name=value": a whole number, else a number, else text
---@field string_variables string[]? "name=text", after the others
---@field labels string[]? "key=value"
---@field env string[]? "K=V" for every task
---@field workflow_id string|(fun(name: string): string)|nil default: NAME-1
---@field pool table|string|nil topology_keys, platforms, default and maximum timeouts
---@field offline boolean? nothing is known of the pool: its keys are not checked
---@field file_urls boolean? false: only what upstream itself takes as a URL
---@field max_num_tasks integer? 20
---@field max_name_length integer? 64
---@field path string? file name for messages
---@field host (fun(task: string): string)? what {{host:TASK}} stands for
---@field locate (fun(path: (string|integer)[]): integer?)? line of a member in the user's own text
---@field round 1|2|nil which of the client's two calls this is

---@class pai.osmo.SpecError: pai.Error
---@field stage string in the order in which they are reached: "client", "template", "yaml",
---  "labels", "schema", "env", "parse", "limits", "names", "resources", "image", "data", "tokens"
---@field http integer? status that upstream answers with
---@field error_code string? code that upstream answers with
---@field at string[]? members complained about
---@field line integer?
---@field name string? name of the workflow, once it is known
---@field render integer? which of the client's two calls failed

local function where(opts, line)
  if opts.path then
    return line and ("%s:%d: "):format(opts.path, line) or opts.path .. ": "
  end
  return line and ("line %d: "):format(line) or ""
end

-- Stages that both calls of the client go through.
local IN_BOTH = { template = true, yaml = true, labels = true }

local ITEM_MAX <const> = 1000

-- What a spec holds may be repeated in a message: as one can print it, and not all of it.
local function shown(text)
  text = require("pai.text").utf8(text):gsub("[%z\1-\8\11-\31\127]", function(c)
    return ("\\x%02x"):format(c:byte())
  end)
  if #text > ITEM_MAX then
    local last = utf8.offset(text, 0, ITEM_MAX + 1) - 1 -- before the character that is cut
    text = text:sub(1, last) .. "..."
  end
  return text
end

local function fail(opts, failure, name)
  local lines = {}
  for i, item in ipairs(failure.items or { failure }) do
    local path = item.path and #item.path > 0 and table.concat(item.path, ".") .. ": " or ""
    lines[i] = where(opts, item.line) .. shown(path .. item.message)
  end
  local message = table.concat(lines, "\n")
  if opts.locate and failure.stage == "template" then
    message = message
      .. " (what the first rendering gives, and what localpath takes in, is rendered once more)"
  end
  return err.fail("ESPEC", message, {
    stage = failure.stage,
    http = failure.http,
    error_code = failure.error_code,
    at = failure.at,
    line = failure.line,
    name = name,
    render = IN_BOTH[failure.stage] and opts.round or nil,
  })
end

---Renders a spec's workflow section.
---@param text string
---@param opts pai.osmo.SpecOptions?
---@return string? text
---@return pai.osmo.SpecError? err
function M.render(text, opts)
  opts = opts or {}
  local result, failure = render.render(text, opts)
  if not result then
    return fail(opts, failure)
  end
  return result.text
end

-- Labels of the spec with those given at submit over them, into the tree.
local function merge_labels(tree, assignments)
  local workflow = value.dict_get(tree, "workflow")
  if value.type(workflow) ~= "dict" then
    return nil
  end
  local map = value.dict_get(workflow, "labels")
  if map == nil and #assignments == 0 then
    return nil
  end
  map = map == nil and value.dict() or map
  local reason = value.type(map) ~= "dict" and schema.bad_labels(map)
  for _, item in ipairs(reason and {} or assignments) do
    local key, text = labels.assignment(item)
    reason = reason or (not key and text)
    if key then
      value.dict_set(map, key, text)
    end
  end
  reason = reason or schema.bad_labels(map)
  if reason then
    return {
      stage = "labels",
      http = 400,
      error_code = "USAGE",
      path = { "workflow", "labels" },
      message = reason,
    }
  end
  value.dict_set(workflow, "labels", map)
  return nil
end

---@class pai.osmo.Front
---@field tree any the document
---@field name string? of the workflow
---@field locate fun(path: (string|integer)[]): integer?

local function named(tree)
  local workflow = value.dict_get(tree, "workflow")
  local name = value.type(workflow) == "dict" and value.dict_get(workflow, "name")
  return type(name) == "string" and name ~= "" and name or nil
end

-- Up to the point where a dry run stops.
---@return pai.osmo.Front? front
---@return table? failure
---@return string? name
local function front(text, opts)
  local rendered, failure = render.render(text, opts)
  if not rendered then
    return nil, failure
  end
  local tree, e = document.load(rendered.text)
  if tree == nil then
    local message = e.message:gsub("^line %d+[^:]*: ", "")
    if message:find("a key must be a scalar", 1, true) then
      message = "a map stands where a key should: text with {{...}} in it must be in quotes"
    end
    return nil,
      {
        stage = "yaml",
        http = 400,
        error_code = "USAGE",
        line = rendered.lines[e.line] or e.line,
        message = "not YAML after rendering: " .. message,
      }
  elseif value.type(tree) ~= "dict" then
    local line = rendered.lines[1]
    return nil,
      { stage = "yaml", http = 500, line = line, message = "'workflow:' must begin a map" }
  end
  local function locate(path)
    if opts.locate then
      return opts.locate(path)
    end
    local line = document.line(tree, path)
    return line and rendered.lines[line] or line
  end
  local name = named(tree)
  local bad = merge_labels(tree, opts.labels or {})
  if bad then
    bad.line = locate(bad.path)
    return nil, bad, name
  end
  return { tree = tree, name = name, locate = locate }
end

---@class pai.osmo.DryRun
---@field name string? of the workflow
---@field text string rendered YAML, keys sorted
---@field locate fun(path: (string|integer)[]): integer?

---What the service answers to a dry run: rendered, read as YAML, labels merged, nothing else.
---@param text string
---@param opts pai.osmo.SpecOptions?
---@return pai.osmo.DryRun? result
---@return pai.osmo.SpecError? err
function M.dry_run(text, opts)
  opts = opts or {}
  local result, failure, name = front(text, opts)
  if not result then
    return fail(opts, failure, name)
  end
  return { name = result.name, text = yaml_dump.dump(result.tree), locate = result.locate }
end

-- What the schema says, as a failure; nil when the spec has the right form.
local function schema_failure(checked, locate)
  if checked.fault then
    local fault = checked.fault
    fault.stage, fault.line = "schema", locate(fault.path)
    return fault
  elseif #checked.complaints == 0 then
    return nil
  end
  local failure = { stage = "schema", http = 400, error_code = "USAGE", items = {}, at = {} }
  local seen = {}
  for _, complaint in ipairs(checked.complaints) do
    local path = table.concat(complaint.path, ".")
    if not seen[path] then
      seen[path] = true
      failure.at[#failure.at + 1] = path
    end
    if complaint.message then
      local line = locate(complaint.spot or complaint.path)
      failure.line = failure.line or line
      table.insert(
        failure.items,
        { path = complaint.path, line = line, message = complaint.message }
      )
    end
  end
  table.sort(failure.at)
  return failure
end

---Reads a spec as the service does with one direct request.
---@param text string
---@param opts pai.osmo.SpecOptions?
---@return pai.osmo.Spec? spec
---@return pai.osmo.SpecError? err
function M.load(text, opts)
  opts = opts or {}
  local result, failure, name = front(text, opts)
  if not result then
    if opts.locate and failure.stage == "template" and failure.line then
      -- the line is one of the text that the client wrote; the member it stands in is the user's
      failure.path = document.path_at((document.load(text)), failure.line)
      failure.line = opts.locate(failure.path)
    end
    return fail(opts, failure, name)
  end
  local checked = schema.check(result.tree, { file_urls = opts.file_urls ~= false })
  failure = schema_failure(checked, result.locate)
  if failure then
    return fail(opts, failure, result.name)
  end
  local workflow = checked.workflow
  workflow.resources = workflow.resources or { default = { nodesExcluded = {}, topology = {} } }
  local options = setmetatable({ file_urls = opts.file_urls ~= false }, { __index = opts })
  local ok, spec = pcall(function()
    return normal.make(workflow, parse.parse(workflow, options), options)
  end)
  if ok then
    return spec
  elseif type(spec) ~= "table" or not spec.failure then
    error(spec, 0)
  end
  spec.failure.line = result.locate(spec.failure.path)
  return fail(opts, spec.failure, result.name)
end

M.rendered_form = normal.rendered_form

---@class pai.osmo.ClientOptions: pai.osmo.SpecOptions
---@field dir string? folder of the spec, for localpath
---@field put_env table<string, string>? goes into every task's environment
---@field read (fun(path: string): string?, pai.Error?)? default: pai.fs.read
---@field render (fun(text: string): string?, pai.Error?)? the dry run; default: done here

---@class pai.osmo.ClientPlan
---@field templated boolean whether a dry run comes first
---@field text string what the second, or only, call sends as `file`
---@field template string? the text as given, when templated: sent as `uploaded_templated_spec`
---@field name string? of the workflow
---@field locate fun(path: (string|integer)[]): integer? line in the text as given

---Does the client's part: the dry run of a template, localpath, and the text of the real call.
---@param text string
---@param opts pai.osmo.ClientOptions?
---@return pai.osmo.ClientPlan? plan
---@return pai.osmo.SpecError|pai.Error? err of the client, or what render gave
function M.client(text, opts)
  opts = opts or {}
  local plan, failure = client.plan(text, opts, M.dry_run)
  if plan then
    return plan
  elseif failure.stage == "client" and not err.is(failure) then
    return fail(opts, failure)
  end
  return nil, failure
end

---Everything that submitting a file comes to, done here: the client's part and the service's.
---@param text string
---@param opts pai.osmo.ClientOptions?
---@return pai.osmo.Spec? spec
---@return pai.osmo.SpecError? err
function M.submit(text, opts)
  opts = opts or {}
  local plan, e = M.client(text, opts)
  if not plan then
    return nil, e
  end
  local second = setmetatable({
    locate = plan.locate,
    round = plan.templated and 2 or nil,
  }, { __index = opts })
  return M.load(plan.text, second)
end

---Checks a file as submitting it would, without any service.
---@param path string
---@param opts pai.osmo.ClientOptions?
---@return pai.osmo.Spec? spec
---@return pai.osmo.SpecError|pai.Error? err
function M.validate_file(path, opts)
  local fs = require("pai.fs")
  local text, e = fs.read(path)
  if not text then
    return nil, e
  end
  local defaults = { path = path, dir = fs.dirname(fs.abspath(path)) }
  for key, v in pairs(opts or {}) do
    defaults[key] = v
  end
  return M.submit(text, defaults)
end

return M
