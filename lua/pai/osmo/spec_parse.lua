-- The second half of what the service does with a spec that has the right form: groups, order,
-- resources, limits, images and URLs. A failure is raised as { failure = { stage, ... } }.
local image = require("pai.osmo.image")
local quantity = require("pai.osmo.quantity")
local storage_url = require("pai.osmo.storage_url")
local schema_task = require("pai.osmo.schema_task")
local text = require("pai.text")

local M = {}

---@param path (string|integer)[]
local function fail(stage, http, error_code, path, message, ...)
  error({
    failure = {
      stage = stage,
      http = http,
      error_code = error_code,
      path = path,
      message = message:format(...),
    },
  }, 0)
end
M.fail = fail

---Puts K=V given at submit into the environment of every task. Upstream splits at every "=" and
---keeps the second piece.
---@param groups table[]
---@param assignments string[]
function M.set_env(groups, assignments)
  local added = {}
  for _, item in ipairs(assignments) do
    local name, rest = item:match("^([^=]*)=([^=]*)")
    if not name then
      fail("env", 400, "USAGE", {}, "the environment variable '%s' has no '=': write K=V", item)
    end
    added[name] = rest
  end
  for _, group in ipairs(groups) do
    for _, task in ipairs(group.tasks) do
      local merged = {}
      for _, map in ipairs({ task.environment, added }) do
        for name, v in pairs(map) do
          merged[name] = v
        end
      end
      task.environment = merged
    end
  end
end

---The groups of a workflow; a task under `tasks` gets one of its own. Each has a path.
---@param workflow table
---@return table[]
function M.groups(workflow)
  local groups = {}
  for i, group in ipairs(workflow.groups) do
    group.path = { "workflow", "groups", i - 1 }
    for k, task in ipairs(group.tasks) do
      task.path = { "workflow", "groups", i - 1, "tasks", k - 1 }
    end
    groups[#groups + 1] = group
  end
  for i, task in ipairs(workflow.tasks) do
    task.path, task.lead = { "workflow", "tasks", i - 1 }, true
    groups[#groups + 1] = {
      name = task.name .. "-group",
      barrier = true,
      ignoreNonleadStatus = true,
      tasks = { task },
      path = task.path,
    }
  end
  return groups
end

-- The path of a member of a task or resource.
local function at(path, ...)
  local out = table.move(path, 1, #path, 1, {})
  for _, key in ipairs({ ... }) do
    out[#out + 1] = key
  end
  return out
end

---@param reference string
---@return string? workflow_id
---@return string task
function M.reference(reference)
  local run, task = reference:match("^([^:]*):(.*)$")
  return run, task or reference
end

-- Inputs may only come from groups that are listed earlier.
local function check_order(groups)
  local group_of, names, earlier = {}, {}, {}
  for _, group in ipairs(groups) do
    for _, task in ipairs(group.tasks) do
      group_of[task.name] = group
      names[#names + 1] = task.name
    end
  end
  for _, group in ipairs(groups) do
    local needs = {}
    for _, task in ipairs(group.tasks) do
      for i, input in ipairs(task.inputs) do
        local run, name = M.reference(input.task or ":")
        local path = at(task.path, "inputs", i - 1, "task")
        local source = not run and group_of[name]
        if not run and not source then
          local hint = text.did_you_mean(name, names)
          fail("parse", 400, "SUBMISSION", path, "there is no task '%s'%s", name, hint)
        elseif source == group then
          local message = "task '%s' takes the output of '%s', which is in its own group '%s'"
          fail("parse", 500, nil, path, message, task.name, name, group.name)
        elseif source and not earlier[source] then
          local message = "task '%s' takes the output of '%s', which is listed later: move it up"
          fail("parse", 500, nil, path, message, task.name, name)
        elseif source then
          needs[source.name] = true
        end
      end
    end
    group.needs = text.keys(needs)
    earlier[group] = true
  end
end

local function topology_keys(pool)
  local keys = {}
  for _, entry in ipairs(pool.topology_keys or {}) do
    keys[type(entry) == "table" and entry.key or entry] = true
  end
  return keys
end

local function check_topology(resources, pool)
  local available = topology_keys(pool)
  for _, name in ipairs(text.keys(resources)) do
    for i, entry in ipairs(resources[name].topology) do
      if not available[entry.key] then
        local path = { "workflow", "resources", name, "topology", i - 1, "key" }
        local known = table.concat(text.keys(available), ", ")
        local message = "the pool has no topology key '%s' (it has: %s)"
        fail("parse", 400, "SUBMISSION", path, message, entry.key, known ~= "" and known or "none")
      end
    end
  end
end

local function assign_resources(groups, resources)
  for _, group in ipairs(groups) do
    for _, task in ipairs(group.tasks) do
      if not resources[task.resource] then
        local known = table.concat(text.keys(resources), ", ")
        local hint = task.resource == "default"
            and "add `default` to workflow.resources, or name one with `resource:`"
          or text.did_you_mean(task.resource, text.keys(resources))
        local message =
          "task '%s' asks for the resource '%s', which is not there (there are: %s) %s"
        local path = at(task.path, "resource")
        fail("parse", 400, "RESOURCE", path, message, task.name, task.resource, known, hint)
      end
    end
  end
end

-- A task named "a-group" takes the name of the group that wraps the task "a".
local function check_wrapped_names(groups)
  local seen = {}
  for _, group in ipairs(groups) do
    local members = { group }
    table.move(group.tasks, 1, #group.tasks, 2, members)
    for _, member in ipairs(members) do
      local folded = schema_task.fold(member.name)
      if seen[folded] then
        local message = "the name '%s' is taken: a task NAME is put into a group NAME-group"
        fail("parse", 400, "USAGE", at(member.path, "name"), message, member.name)
      end
      seen[folded] = true
    end
  end
end

local function check_limits(workflow, groups, limits)
  local count = 0
  for _, group in ipairs(groups) do
    count = count + #group.tasks
  end
  if count > limits.max_num_tasks then
    local message = "a workflow has at most %d tasks, this has %d"
    fail("limits", 400, "USER", { "workflow" }, message, limits.max_num_tasks, count)
  end
  local function check_name(name, path)
    if #name > limits.max_name_length then
      local message = "the name '%s' has %d characters, %d are the most"
      fail("names", 400, "USER", path, message, name, #name, limits.max_name_length)
    end
  end
  check_name(workflow.name, { "workflow", "name" })
  for _, group in ipairs(groups) do
    check_name(group.name, at(group.path, "name"))
    for _, task in ipairs(group.tasks) do
      check_name(task.name, at(task.path, "name"))
    end
  end
end

-- All tasks that name topology keys name the same ones.
local function check_same_topology(groups, resources)
  local first, first_task
  for _, group in ipairs(groups) do
    for _, task in ipairs(group.tasks) do
      local keys = {}
      for i, entry in ipairs(resources[task.resource].topology) do
        keys[i] = entry.key
      end
      table.sort(keys)
      local set = table.concat(keys, ", ")
      if set ~= "" and first and set ~= first then
        local message = "all tasks must use the same topology keys: '%s' has %s, '%s' has %s"
        local path = at(task.path, "resource")
        fail("resources", 400, "RESOURCE", path, message, first_task, first, task.name, set)
      elseif set ~= "" and not first then
        first, first_task = set, task.name
      end
    end
  end
end

local function check_mounts(task)
  for i, mount in ipairs(task.volumeMounts) do
    local _, colons = mount:gsub(":", "")
    if colons > 1 or (colons == 1 and mount:find(":$")) then
      local message = "'%s' is no mount: write SOURCE or SOURCE:TARGET"
      fail("resources", 400, "RESOURCE", at(task.path, "volumeMounts", i - 1), message, mount)
    end
  end
end

local function check_resources(groups, resources, pool)
  check_same_topology(groups, resources)
  for _, group in ipairs(groups) do
    for _, task in ipairs(group.tasks) do
      local platform = resources[task.resource].platform
      if platform and pool.platforms and not pool.platforms[platform] then
        local known = table.concat(text.keys(pool.platforms), ", ")
        local path = { "workflow", "resources", task.resource, "platform" }
        local message = "the pool has no platform '%s' (it has: %s)"
        fail("resources", 400, "RESOURCE", path, message, platform, known)
      end
      if task.cacheSize and task.cacheSize ~= "" then
        local ok, reason, fault = quantity.cache(task.cacheSize)
        if not ok then
          local path = at(task.path, "cacheSize")
          fail(
            "resources",
            fault and 500 or 400,
            not fault and "RESOURCE" or nil,
            path,
            "%s",
            reason
          )
        end
      end
      check_mounts(task)
    end
  end
end

local function check_data(groups, opts)
  for _, group in ipairs(groups) do
    for _, task in ipairs(group.tasks) do
      local ok, reason = image.parse(task.image)
      if not ok then
        fail("image", 400, "USAGE", at(task.path, "image"), "%s", reason)
      end
      for _, kind in ipairs({ "inputs", "outputs" }) do
        for i, entry in ipairs(task[kind]) do
          local scheme, why = storage_url.check(entry.url or "s3://-", { file = opts.file_urls })
          if not scheme then
            fail("data", 500, nil, at(task.path, kind, i - 1, "url"), "%s", why)
          end
        end
      end
    end
  end
end

---Takes a workflow of the schema through the rest of the checks, in upstream's order.
---@param workflow table
---@param opts table of pai.osmo.spec
---@return table[] groups with tasks and needs
function M.parse(workflow, opts)
  local pool = type(opts.pool) == "table" and opts.pool or {}
  local groups = M.groups(workflow)
  M.set_env(groups, opts.env or {})
  check_order(groups)
  if not opts.offline then
    check_topology(workflow.resources, pool)
  end
  assign_resources(groups, workflow.resources)
  check_wrapped_names(groups)
  check_limits(workflow, groups, {
    max_num_tasks = opts.max_num_tasks or 20,
    max_name_length = opts.max_name_length or 64,
  })
  check_resources(groups, workflow.resources, pool)
  check_data(groups, opts)
  return groups
end

return M
