-- The schema of a whole spec: version, workflow, groups, timeouts and labels, with upstream's
-- verdicts, down to what it fails on internally.
local labels = require("pai.osmo.labels")
local model = require("pai.osmo.model")
local pynum = require("pai.osmo.pynum")
local resource = require("pai.osmo.schema_resource")
local task = require("pai.osmo.schema_task")
local value = require("pai.osmo.template_value")

local M = {}
local complain, typeof = model.complain, value.type

local INTERNAL = { http = 500 }

-- The entries of what upstream goes through before it knows that it is a list.
local function entries(v, path, what)
  local t = typeof(v)
  if t == "list" then
    return v
  elseif t == "str" or t == "dict" then
    return {}
  end
  return model.fault(
    path,
    { http = INTERNAL.http },
    "%s must be a list, not %s",
    what,
    model.seen(v)
  )
end

-- All names of tasks and groups share one namespace, compared without case.
local function unique_names(check, workflow, path)
  local seen = {}
  local function add(entry, at)
    if typeof(entry) ~= "dict" or value.dict_get(entry, "name") == nil then
      return true
    end
    local name = value.dict_get(entry, "name")
    if type(name) ~= "string" then
      local where = model.child(at, "name")
      model.fault(
        where,
        { http = INTERNAL.http },
        "the name must be text, not %s",
        model.seen(name)
      )
    end
    local folded = task.fold(name)
    if seen[folded] then
      local same = seen[folded] == name and "is there twice"
        or ("is the same as '%s'"):format(seen[folded])
      local hint = "names of tasks and groups are compared in lower case with '_' as '-'"
      complain(check, path, "the name '%s' %s: %s", name, same, hint)
      check.complaints[#check.complaints].spot = model.keys(model.child(at, "name"))
      return false
    end
    seen[folded] = name
    return true
  end
  local function add_all(list, at)
    for i, entry in ipairs(list) do
      if not add(entry, model.child(at, i - 1)) then
        return false
      end
    end
    return true
  end
  local at = model.child(path, "tasks")
  local tasks = value.dict_get(workflow, "tasks")
  if tasks ~= nil and not add_all(entries(tasks, at, "tasks"), at) then
    return false
  end
  at = model.child(path, "groups")
  local groups = value.dict_get(workflow, "groups")
  for i, group in ipairs(groups ~= nil and entries(groups, at, "groups") or {}) do
    local here = model.child(at, i - 1)
    local inner = typeof(group) == "dict" and value.dict_get(group, "tasks")
    if typeof(group) == "dict" and value.dict_get(group, "name") ~= nil then
      if not add(group, here) then
        return false
      end
      here = model.child(here, "tasks")
      if inner ~= nil and not add_all(entries(inner, here, "the tasks of a group"), here) then
        return false
      end
    end
  end
  return true
end

local function is_given(v)
  return v ~= nil and value.truth(v)
end

-- What upstream looks at before the fields.
local function precheck(check, workflow, path)
  if typeof(workflow) ~= "dict" then
    local message = "must be a map, not %s"
    model.fault(path, { http = INTERNAL.http }, message, model.seen(workflow))
  end
  local tasks, groups = value.dict_get(workflow, "tasks"), value.dict_get(workflow, "groups")
  if is_given(tasks) and is_given(groups) then
    complain(check, path, "has both tasks and groups: use one of them")
    return false
  elseif not is_given(tasks) and not is_given(groups) then
    complain(check, path, "needs tasks or groups, with at least one entry")
    return false
  end
  return unique_names(check, workflow, path)
end

local function group_tasks(check, v, path, group)
  local list = model.list(check, v, path, task.task)
  if not list then
    return nil
  elseif #list == 0 then
    return complain(check, path, "the group '%s' needs at least one task", group.name or "?")
  elseif #list == 1 then
    list[1].lead = true
  end
  local leads = 0
  for _, item in ipairs(list) do
    leads = leads + (item.lead and 1 or 0)
  end
  if leads ~= 1 then
    local hint = "give lead: true to exactly one task"
    return complain(check, path, "the group '%s' has %d leads: %s", group.name or "?", leads, hint)
  end
  return list
end

local GROUP_FIELDS = {
  { "name", task.name, required = true },
  { "barrier", model.boolean, default = true },
  { "ignoreNonleadStatus", model.boolean, default = true },
  { "tasks", group_tasks, required = true },
}

local TIMEOUT_FIELDS = {
  { "exec_timeout", model.optional(task.duration) },
  { "queue_timeout", model.optional(task.duration) },
}

local function workflow_labels(check, v, path)
  local map = model.map(check, v, path, model.text)
  if not map then
    return nil
  end
  local reason = M.bad_labels(v)
  if reason then
    return complain(check, path, "%s", reason)
  end
  return map
end

local FIELDS = {
  { "name", task.name, required = true },
  { "labels", workflow_labels, default = {} },
  { "pool", model.text, default = "" },
  {
    "groups",
    model.list_of(function(check, v, path)
      return model.record(check, v, path, GROUP_FIELDS)
    end),
    default = {},
  },
  { "tasks", model.list_of(task.task), default = {} },
  {
    "resources",
    function(check, v, path)
      return model.map(check, v, path, resource.check)
    end,
  },
  {
    "timeout",
    function(check, v, path)
      return model.record(check, v, path, TIMEOUT_FIELDS)
    end,
  },
  { "backend", model.text, default = "" },
}

local function version(check, v, path)
  local number = v
  if type(v) == "string" then
    number = pynum.int(v)
  end
  if type(number) ~= "number" or number ~= 2 then
    return complain(check, path, "must be 2")
  end
  return 2
end

local ROOT_FIELDS = {
  { "version", version, default = 2 },
  {
    "workflow",
    function(check, v, path)
      if not precheck(check, v, path) then
        return nil
      end
      return model.record(check, v, path, FIELDS)
    end,
    required = true,
  },
}

---Why a map of labels is refused; nil when it is good.
---@param map any a map of the document
---@return string?
function M.bad_labels(map)
  if typeof(map) ~= "dict" then
    return ("labels must be a map of text to text, not %s"):format(model.seen(map))
  elseif #map.keys > labels.MAX_LABELS then
    return ("a workflow has at most %d labels, this has %d"):format(labels.MAX_LABELS, #map.keys)
  end
  for _, key in ipairs(map.keys) do
    if type(key) ~= "string" then
      return ("the label key %s must be text: put it in quotes"):format(value.str(key))
    end
    local reason = labels.bad_key(key) or labels.bad_value(key, value.dict_get(map, key))
    if reason then
      return reason
    end
  end
  return nil
end

---@class pai.osmo.SchemaResult
---@field workflow table? the checked workflow
---@field complaints pai.osmo.Complaint[]
---@field fault {http: integer, error_code: string?, message: string, path: (string|integer)[]}?

---Checks a whole document.
---@param tree any of pai.osmo.document, a map
---@param opts {file_urls: boolean}
---@return pai.osmo.SchemaResult
function M.check(tree, opts)
  local check = model.new()
  check.file_urls = opts.file_urls
  local ok, result = pcall(function()
    for _, key in ipairs(tree.keys) do
      if type(key) ~= "string" then
        local path = model.child(nil, value.str(key))
        model.fault(path, { http = INTERNAL.http }, "keys at the top must be text")
      end
    end
    return model.record(check, tree, nil, ROOT_FIELDS)
  end)
  if not ok then
    if type(result) == "table" and result.fault then
      return { complaints = {}, fault = result.fault }
    end
    error(result, 0)
  end
  return { workflow = result and result.workflow, complaints = check.complaints }
end

return M
