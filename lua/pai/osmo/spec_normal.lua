-- The normalised spec: what an engine needs to run a workflow, tokens replaced. And, from it, the
-- form in which the cases of upstream's verdicts give their results.
local duration = require("pai.osmo.duration")
local json = require("pai.json")
local quantity = require("pai.osmo.quantity")
local schema_task = require("pai.osmo.schema_task")
local spec_parse = require("pai.osmo.spec_parse")
local text = require("pai.text")

local M = {}

-- Upstream's defaults and maxima where the pool sets none.
local TIMEOUT = "60d"

---@class pai.osmo.Input
---@field index integer from 0: its folder is /osmo/data/input/<index>
---@field task string? as written
---@field url string?
---@field regex string "" for all files
---@field from_task string? name of the task
---@field from_workflow string? id of an earlier run

---@class pai.osmo.ExitAction
---@field action "COMPLETE"|"FAIL"|"RESCHEDULE"
---@field ranges {[1]: integer, [2]: integer}[]

---@class pai.osmo.Task
---@field name string
---@field lead boolean
---@field image string
---@field command string[]
---@field args string[]
---@field environment table<string, string>
---@field inputs pai.osmo.Input[]
---@field outputs {url: string, regex: string}[]
---@field files {path: string, contents: string, base64: boolean}[]
---@field credentials table<string, string|table<string, string>>
---@field exitActions table<string, string> as written
---@field exit_actions pai.osmo.ExitAction[] in order
---@field checkpoint {path: string, url: string, frequency: number, regex: string}[]
---@field kpis {index: string, path: string}[]
---@field privileged boolean
---@field hostNetwork boolean
---@field volumeMounts string[]
---@field downloadType string?
---@field cacheSize string?
---@field resource string key of resources

---@class pai.osmo.Group
---@field name string
---@field barrier boolean
---@field ignoreNonleadStatus boolean
---@field needs string[] groups that this one waits for, sorted
---@field tasks pai.osmo.Task[]

---@class pai.osmo.Spec
---@field name string
---@field workflow_id string
---@field labels table<string, string>
---@field timeout {exec_timeout: number?, queue_timeout: number?}? as written, seconds
---@field timeout_effective {exec_timeout: number, queue_timeout: number}
---@field resources table<string, table> members that differ from the default
---@field groups pai.osmo.Group[]

-- All texts of a value, keys too, through fn.
local function map_texts(v, fn)
  if type(v) == "string" then
    return fn(v)
  elseif type(v) ~= "table" then
    return v
  end
  local out = {}
  for key, item in pairs(v) do
    out[type(key) == "string" and fn(key) or key] = map_texts(item, fn)
  end
  return out
end

local function tokens_of(task, group, opts)
  local tokens = { workflow_id = opts.workflow_id, output = "/osmo/data/output" }
  for _, member in ipairs(group.tasks) do
    tokens["host:" .. member.name] = opts.host and opts.host(member.name)
      or ("<host:%s>"):format(member.name)
  end
  for i, input in ipairs(task.inputs) do
    local folder = ("/osmo/data/input/%d"):format(i - 1)
    if input.task then
      local _, name = spec_parse.reference(input.task)
      tokens["input:" .. name] = folder
    end
    tokens[("input:%d"):format(i - 1)] = folder
  end
  return tokens
end

-- In this pass spaces are allowed; what no token knows stays as it is.
local function replace(task, tokens)
  local function fn(s)
    return (s:gsub("{{ *([%w_:-]+) *}}", tokens))
  end
  local path = task.path
  task.path = nil
  local out = {}
  for key, item in pairs(task) do
    out[key] = map_texts(item, fn) -- the names of members are no text of the user's
  end
  task.path = path
  return out
end

local function exit_actions(map)
  local meta, out = getmetatable(map), {}
  for _, name in ipairs(meta and meta.order or text.keys(map)) do
    local ranges = {}
    for entry in map[name]:gmatch("[^,]+") do
      for low, high in (entry .. "-"):gmatch("(%d+)%-(%d*)") do
        local from, to = math.tointeger(tonumber(low)), math.tointeger(tonumber(high))
        ranges[#ranges + 1] = { from, to or from }
      end
    end
    out[#out + 1] = { action = name:upper(), ranges = ranges }
  end
  return out
end

local LISTS =
  { "command", "args", "inputs", "outputs", "files", "kpis", "volumeMounts", "checkpoint" }

local function normal_task(task, group, opts)
  local out = replace(task, tokens_of(task, group, opts))
  local reason = schema_task.recheck(out, opts.file_urls)
  if reason then
    local message = "task '%s', once its tokens are replaced: %s"
    spec_parse.fail("tokens", 500, nil, task.path, message, task.name, reason)
  end
  for i, input in ipairs(out.inputs) do
    input.index = i - 1
    if input.task then
      input.from_workflow, input.from_task = spec_parse.reference(input.task)
    end
  end
  for _, name in ipairs(LISTS) do
    out[name] = json.array(out[name])
  end
  out.exit_actions = exit_actions(task.exitActions)
  out.resources, out.backend = nil, nil -- upstream overwrites both
  return out
end

-- Upstream reads the sizes a second time, and then cannot read the exponent of a very small one.
local function check_sizes(name, resource)
  for _, kind in ipairs({ "memory", "storage" }) do
    local ok, reason = quantity.split(resource[kind] or "1")
    if not ok then
      local path = { "workflow", "resources", name, kind }
      spec_parse.fail("tokens", 400, "RESOURCE", path, "%s", reason)
    end
  end
end

local function limit(v, pool, name)
  local default = pool["default_" .. name]
  local most = pool["max_" .. name]
  default = duration.parse((default ~= nil and default ~= "") and default or TIMEOUT)
  most = duration.parse((most ~= nil and most ~= "") and most or TIMEOUT)
  if v == nil or v == 0 then
    v = default
  end
  return math.min(v, most)
end

local function normal_resource(resource)
  local out = {}
  for key, item in pairs(resource) do
    if type(item) ~= "table" or #item > 0 then
      out[key] = item
    end
  end
  return out
end

---Makes the normalised spec.
---@param workflow table of the schema
---@param groups table[] of spec_parse
---@param opts table of pai.osmo.spec
---@return pai.osmo.Spec
function M.make(workflow, groups, opts)
  local pool = type(opts.pool) == "table" and opts.pool or {}
  local id = opts.workflow_id or workflow.name .. "-1"
  if type(id) == "function" then
    id = id(workflow.name)
  end
  local options = { workflow_id = id, host = opts.host, file_urls = opts.file_urls }
  local spec = {
    name = workflow.name,
    workflow_id = options.workflow_id,
    labels = workflow.labels,
    timeout = workflow.timeout,
    timeout_effective = {},
    resources = {},
    groups = json.array({}),
  }
  for _, name in ipairs({ "exec_timeout", "queue_timeout" }) do
    spec.timeout_effective[name] = limit((workflow.timeout or {})[name], pool, name)
  end
  for name, resource in pairs(workflow.resources) do
    spec.resources[name] = normal_resource(resource)
  end
  for i, group in ipairs(groups) do
    local out = {
      name = group.name,
      barrier = group.barrier,
      ignoreNonleadStatus = group.ignoreNonleadStatus,
      needs = json.array(group.needs),
      tasks = json.array({}),
    }
    for k, task in ipairs(group.tasks) do
      check_sizes(task.resource, workflow.resources[task.resource])
      out.tasks[k] = normal_task(task, group, options)
    end
    spec.groups[i] = out
  end
  return spec
end

-- The members of a record that differ from the defaults given.
local function differing(record, names, defaults)
  local out = {}
  for _, name in ipairs(names) do
    if record[name] ~= nil and record[name] ~= defaults[name] then
      out[name] = record[name]
    end
  end
  return out
end

local function each(list, names, defaults)
  local out = json.array({})
  for i, record in ipairs(list) do
    out[i] = differing(record, names, defaults)
  end
  return out
end

local function rendered_task(task)
  local out = {
    name = task.name,
    lead = task.lead,
    resource = task.resource,
    image = task.image,
    command = task.command,
  }
  local members = {
    args = task.args,
    environment = task.environment,
    credentials = task.credentials,
    exitActions = task.exitActions,
    volumeMounts = task.volumeMounts,
    inputs = each(task.inputs, { "task", "url", "regex" }, { regex = "" }),
    outputs = each(task.outputs, { "url", "regex" }, { regex = "" }),
    files = each(task.files, { "path", "contents", "base64" }, { base64 = false }),
    kpis = task.kpis,
    checkpoint = each(task.checkpoint, { "path", "url", "frequency", "regex" }, { regex = "" }),
  }
  for name, member in pairs(members) do
    if next(member) ~= nil then
      out[name] = member
    end
  end
  out.privileged = task.privileged or nil
  out.hostNetwork = task.hostNetwork or nil
  out.downloadType = task.downloadType
  out.cacheSize = task.cacheSize
  return out
end

local function rendered_resource(resource)
  local names = { "cpu", "gpu", "memory", "storage", "platform", "nodesExcluded" }
  local out = differing(resource, names, {})
  if resource.topology then
    out.topology = each(resource.topology, { "key", "group", "requirementType" }, {
      group = "default",
      requirementType = "required",
    })
  end
  return out
end

---The `rendered` form of the public cases.
---@param spec pai.osmo.Spec
---@return table
function M.rendered_form(spec)
  local out = { name = spec.name, resources = {}, groups = json.array({}) }
  if next(spec.labels) ~= nil then
    out.labels = spec.labels
  end
  if spec.timeout then
    local null = json.null
    out.timeout = {
      exec_timeout = spec.timeout.exec_timeout or null,
      queue_timeout = spec.timeout.queue_timeout or null,
    }
    out.timeout_effective = spec.timeout_effective
  end
  for name, resource in pairs(spec.resources) do
    out.resources[name] = rendered_resource(resource)
  end
  for i, group in ipairs(spec.groups) do
    local tasks = json.array({})
    for k, task in ipairs(group.tasks) do
      tasks[k] = rendered_task(task)
    end
    out.groups[i] = {
      name = group.name,
      barrier = group.barrier,
      ignoreNonleadStatus = group.ignoreNonleadStatus,
      needs = group.needs,
      tasks = tasks,
    }
  end
  return out
end

return M
