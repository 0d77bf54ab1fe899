-- The schema of tasks, their inputs, outputs and files, and of resources: upstream's rules, one
-- check a field, in upstream's order (an exception in one hides complaints about later ones).
local duration = require("pai.osmo.duration")
local model = require("pai.osmo.model")
local regex = require("pai.osmo.regex")
local resource = require("pai.osmo.schema_resource")
local storage_url = require("pai.osmo.storage_url")
local value = require("pai.osmo.template_value")

local M = {}
local complain, typeof = model.complain, value.type

local NAME_FORM = "letters, digits, '-' and '_', a letter first and no '-' or '_' at the end"

---@param text string
---@return boolean
function M.is_name(text)
  return text:find("^%a[%w_-]*$") ~= nil and text:find("%w$") ~= nil
end

---Lower case, "_" as "-": what Kubernetes makes of a name.
---@param name string
---@return string
function M.fold(name)
  return (name:lower():gsub("_", "-"))
end

---@param opts {coerce: boolean?}?
function M.name(check, v, path, opts)
  local name = model.text(check, v, path, opts)
  if name and not M.is_name(name) then
    return complain(check, path, "'%s' is no name: %s", name, NAME_FORM)
  end
  return name
end

local function task_name(check, v, path)
  local name = M.name(check, v, path, { coerce = true })
  if not name then
    return nil
  end
  local short = #name > 63 and name:sub(1, 63):gsub("[-_]+$", "") or name
  if M.fold(short) == "osmo-ctrl" then
    return complain(check, path, "'%s' is reserved: choose another name", name)
  end
  return name
end

-- "task", or "workflow_id:task" for an earlier run.
local function task_reference(check, v, path)
  local name = model.text(check, v, path)
  local run, task = (name or ""):match("^([^:]*):([^:]*)$")
  if name and not (run and M.is_name(run) and M.is_name(task) or M.is_name(name)) then
    return complain(check, path, "'%s' is no task: write NAME or WORKFLOW_ID:NAME", name)
  end
  return name
end

local function expression(coerce)
  return function(check, v, path)
    local text = model.text(check, v, path, { coerce = coerce })
    if not text or text == "" then
      return text
    end
    local ok, e = regex.compile(text)
    if not ok then
      return complain(check, path, "%s", e.message)
    end
    return text
  end
end

local REGEX = { "regex", expression(false), default = "" }
local URL_FIELDS = { { "url", model.text, required = true }, REGEX }
local TASK_FIELDS = { { "task", task_reference, required = true }, REGEX }

-- Fits one of two forms; if neither, both are complained about, and the message says it once.
local function input(check, v, path)
  local attempts = {}
  for i, fields in ipairs({ TASK_FIELDS, URL_FIELDS }) do
    attempts[i] = model.new()
    local record = model.record(attempts[i], v, path, fields)
    if record then
      return record
    end
  end
  if typeof(v) ~= "dict" then
    return complain(check, path, "an input must be a map with task or url, not %s", model.seen(v))
  end
  local has_task, has_url = value.dict_get(v, "task") ~= nil, value.dict_get(v, "url") ~= nil
  local message
  if has_task and has_url then
    message = "an input has either task or url, not both"
  elseif has_task or has_url then
    message = attempts[has_task and 1 or 2].complaints[1].message
  elseif value.dict_get(v, "dataset") ~= nil then
    message = "datasets are gone: an input has task or url"
  else
    message = "an input has task or url, and maybe regex"
  end
  for _, attempt in ipairs(attempts) do
    for _, complaint in ipairs(attempt.complaints) do
      check.complaints[#check.complaints + 1] = { path = complaint.path, message = message }
      message = nil
    end
  end
  return nil
end

local function output(check, v, path)
  return model.record(check, v, path, URL_FIELDS)
end

local function file_path(check, v, path)
  local text = model.coerced(check, v, path)
  if not text or text:find("^/osmo/data/output/") then
    return text
  end
  local first = text:match("^/*([^/]+)")
  if not first then
    return complain(check, path, "'%s' names no file", text)
  elseif first == "osmo" then
    local hint = "files may not be under /osmo, except below /osmo/data/output/"
    return complain(check, path, "'%s': %s", text, hint)
  end
  return text
end

local FILE_FIELDS = {
  { "base64", model.boolean, default = false },
  { "path", file_path, required = true },
  { "contents", model.coerced, required = true },
}

local function files(check, v, path)
  local list = model.list(check, v, path, function(c, entry, at)
    return model.record(c, entry, at, FILE_FIELDS)
  end)
  local seen = {}
  for _, file in ipairs(list or {}) do
    if seen[file.path] then
      return complain(check, path, "two files have the path '%s'", file.path)
    end
    seen[file.path] = true
  end
  return list
end

local function command(check, v, path)
  local list = model.list(check, v, path, model.coerced)
  if list and #list == 0 then
    return complain(check, path, "must have at least one word")
  end
  return list
end

-- str() of what is scalar, in Python's spelling; nil for what is not.
local function scalar(v)
  local t = typeof(v)
  if t == "str" or value.number(v) then
    return value.str(v)
  end
  return nil
end

-- A map of texts in which booleans and numbers become text, as do the keys.
local function scalars(check, v, path)
  if typeof(v) ~= "dict" then
    return complain(check, path, "must be a map, not %s", model.seen(v))
  end
  local before, out, order = #check.complaints, {}, {}
  for _, key in ipairs(v.keys) do
    local name, item = value.str(key), value.dict_get(v, key)
    order[#order + 1] = name
    out[name] = scalar(item)
    if out[name] == nil then
      model.text(check, item, model.child(path, name))
    end
  end
  return #check.complaints == before and out or nil, order
end

local ACTIONS = { COMPLETE = true, FAIL = true, RESCHEDULE = true }

-- "3", "1-5", and, as upstream has it, ranges run together: "1-23-4" is 1-2 and 3-4.
local function is_ranges(text)
  local runs = {}
  for run in (text .. "-"):gmatch("([^-]*)%-") do
    runs[#runs + 1] = run
  end
  for i, run in ipairs(runs) do
    local least = (i > 1 and i < #runs) and 2 or 1
    if not run:find("^%d+$") or #run < least then
      return false
    end
  end
  return true
end

local function is_codes(text)
  local first, rest = text:match("^([^,]*)(.*)$")
  for entry in rest:gmatch(",([^,]*)") do
    if not entry:find("^%d+$") and not entry:find("^%d+%-%d+$") then
      return false
    end
  end
  return is_ranges(first)
end

local function exit_actions(check, v, path)
  local map, order = scalars(check, v, path)
  if not map then
    return nil
  end
  for _, name in ipairs(order) do
    if not ACTIONS[name:upper()] then
      local hint = "use COMPLETE, FAIL or RESCHEDULE"
      return complain(check, path, "'%s' is no exit action: %s", name, hint)
    elseif not is_codes(map[name]) then
      local hint = "write numbers and ranges with commas and no spaces: 1,5-9,40"
      return complain(check, path, "'%s' are no exit codes: %s", map[name], hint)
    end
  end
  return setmetatable(map, { order = order })
end

local function credentials(check, v, path)
  if typeof(v) ~= "dict" then
    return complain(check, path, "must be a map, not %s", model.seen(v))
  end
  local out = {}
  for _, key in ipairs(v.keys) do
    local name, item = value.str(key), value.dict_get(v, key)
    if typeof(item) == "dict" then
      out[name] = {}
      for _, variable in ipairs(item.keys) do
        local text = scalar(value.dict_get(item, variable))
        if not text then
          local hint = "write VARIABLE: key"
          return complain(check, path, "%s.%s must be text: %s", name, value.str(variable), hint)
        end
        out[name][value.str(variable)] = text
      end
    else
      out[name] = scalar(item)
      if not out[name] then
        local hint = "write a folder, or a map of VARIABLE: key"
        return complain(check, path, "%s must not be %s: %s", name, model.seen(item), hint)
      end
    end
  end
  return out
end

local function download_type(check, v, path)
  if v == value.None then
    return nil
  elseif v ~= "download" then
    return complain(check, path, "must be download")
  end
  return v
end

---A duration; null is for the caller to let pass.
function M.duration(check, v, path)
  local seconds, e = duration.parse(v)
  if seconds then
    return seconds
  elseif e.fault then
    model.fault(path, { http = 500 }, "%s", e.reason)
  end
  return complain(check, path, "%s", e.reason)
end

local CHECKPOINT_FIELDS = {
  { "path", model.text, required = true },
  {
    "url",
    function(check, v, path)
      local url = model.text(check, v, path)
      local scheme, reason = storage_url.check(url or "", { file = check.file_urls })
      if url and not scheme then
        return complain(check, path, "%s", reason)
      end
      return url
    end,
    required = true,
  },
  {
    "frequency",
    function(check, v, path)
      if type(v) == "boolean" then
        return complain(check, path, "must be a duration, not a boolean")
      end
      return M.duration(check, v, path)
    end,
    required = true,
  },
  REGEX,
}

local KPI_FIELDS = {
  { "index", model.coerced, required = true },
  { "path", model.coerced, required = true },
}

local TEXTS = model.list_of(model.coerced)

local FIELDS = {
  { "name", task_name, required = true },
  { "image", model.coerced, required = true },
  { "command", command, required = true },
  { "inputs", model.list_of(input), default = {} },
  { "outputs", model.list_of(output), default = {} },
  { "kpis", model.list_of(model.record_of(KPI_FIELDS)), default = {} },
  { "args", TEXTS, default = {} },
  { "lead", model.boolean, default = false },
  { "environment", scalars, default = {} },
  { "files", files, default = {} },
  { "privileged", model.boolean, default = false },
  { "hostNetwork", model.boolean, default = false },
  { "volumeMounts", TEXTS, default = {} },
  { "credentials", credentials, default = {} },
  { "downloadType", download_type },
  { "cacheSize", model.optional(model.coerced) },
  { "exitActions", exit_actions, default = {} },
  { "checkpoint", model.list_of(model.record_of(CHECKPOINT_FIELDS)), default = {} },
  { "resources", resource.check },
  { "backend", model.coerced, default = "" },
  { "resource", model.coerced, default = "default" },
}

---@return table? task
function M.task(check, v, path)
  return model.record(check, v, path, FIELDS)
end

---Why a task would be refused once its tokens stand for paths; nil when it is fine.
---@param item table
---@param file_urls boolean?
---@return string?
function M.recheck(item, file_urls)
  local check, seen = model.new(), {}
  check.file_urls = file_urls
  for _, file in ipairs(item.files) do
    file_path(check, file.path, nil)
    if seen[file.path] then
      complain(check, nil, "two files have the path '%s'", file.path)
    end
    seen[file.path] = true
  end
  for _, entry in ipairs(item.checkpoint) do
    CHECKPOINT_FIELDS[2][2](check, entry.url, nil)
    if not duration.survives(entry.frequency) then
      complain(check, nil, "a checkpoint frequency must be from 0 to less than 365 days")
    end
  end
  for _, list in ipairs({ item.inputs, item.outputs, item.checkpoint }) do
    for _, entry in ipairs(list) do
      REGEX[2](check, entry.regex, nil)
    end
  end
  return check.complaints[1] and check.complaints[1].message
end

return M
