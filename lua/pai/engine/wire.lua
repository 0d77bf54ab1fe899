-- Rows of the store as the REST contract shows them.
local fs = require("pai.fs")
local json = require("pai.json")
local reply = require("pai.engine.reply")
local status = require("pai.engine.status")
local tags = require("pai.engine.tags")
local text = require("pai.text")

local M = {}

local time, value = reply.time, reply.value

M.POOL = "local"
M.PLATFORM = "local"

local WITHOUT_ERROR_LOGS <const> = {
  FAILED_UPSTREAM = true,
  FAILED_SERVER_ERROR = true,
  FAILED_EVICTED = true,
  FAILED_START_ERROR = true,
  FAILED_IMAGE_PULL = true,
  FAILED_CANCELED = true,
  FAILED_EXEC_TIMEOUT = true,
  FAILED_QUEUE_TIMEOUT = true,
}

---Whether a task of this status has error logs of its own.
---@param s string
---@return boolean
function M.has_error_logs(s)
  return s == "RESCHEDULED" or (status.failed(s) and not WITHOUT_ERROR_LOGS[s])
end

local function task(engine, w, g, t)
  local base = ("%s/api/workflow/%s/"):format(engine.base_url, w.id)
  local which = ("task_name=%s&retry_id=%d"):format(t.name, t.retry_id)
  return {
    name = t.name,
    retry_id = t.retry_id,
    status = t.status,
    failure_message = value(t.failure_message),
    exit_code = value(t.exit_code),
    logs = base .. "logs?last_n_lines=1000&" .. which,
    error_logs = M.has_error_logs(t.status) and base .. "error_logs?" .. which or json.null,
    events = base .. "events?" .. which,
    processing_start_time = time(g.processing_start_time),
    scheduling_start_time = time(t.scheduling_start_time),
    initializing_start_time = time(t.initializing_start_time),
    start_time = time(t.start_time),
    end_time = time(t.end_time),
    input_download_start_time = time(t.input_download_start_time),
    input_download_end_time = time(t.input_download_end_time),
    output_upload_start_time = time(t.output_upload_start_time),
    dashboard_url = json.null,
    pod_name = w.uuid:sub(1, 16) .. "-" .. t.uuid:sub(1, 16),
    pod_ip = json.null,
    task_uuid = t.uuid,
    node_name = t.start_time and engine.hostname or json.null,
    lead = t.lead == 1,
  }
end

local function groups(engine, w, verbose)
  local rows, out = engine.store:groups(w.seq), {}
  local tasks_of = engine.store:tasks_by_group(w.seq, verbose)
  local done, needs, downstream = {}, {}, {}
  for _, g in ipairs(rows) do
    done[g.name] = g.status == "COMPLETED"
    needs[g.name] = json.decode(g.needs)
    downstream[g.name] = json.array({})
  end
  for _, g in ipairs(rows) do
    for _, need in ipairs(needs[g.name]) do
      if downstream[need] then
        table.insert(downstream[need], g.name)
      end
    end
  end
  for _, g in ipairs(rows) do
    local remaining, tasks = json.array({}), json.array({})
    for _, need in ipairs(needs[g.name]) do
      if not done[need] then
        remaining[#remaining + 1] = need
      end
    end
    local list = tasks_of[g.seq]
    table.sort(list, function(a, b)
      if a.name ~= b.name then
        return a.name < b.name
      end
      return a.retry_id > b.retry_id
    end)
    for _, t in ipairs(list) do
      tasks[#tasks + 1] = task(engine, w, g, t)
    end
    out[#out + 1] = {
      name = g.name,
      status = g.status,
      failure_message = value(g.failure_message),
      start_time = time(g.start_time),
      end_time = time(g.end_time),
      processing_start_time = time(g.processing_start_time),
      scheduling_start_time = time(g.scheduling_start_time),
      initializing_start_time = time(g.initializing_start_time),
      remaining_upstream_groups = remaining,
      downstream_groups = downstream[g.name],
      tasks = tasks,
    }
  end
  return out
end

-- Seconds in the queue and of running, as floats; what goes on is counted up to now.
local function spans(engine, w, now)
  now = now or engine.store:now()
  local queued = reply.seconds(w.submit_time, w.start_time or w.end_time or now)
  return queued, w.start_time and reply.seconds(w.start_time, w.end_time or now) or json.null
end

-- A run that was refused has no group that could say why, and the contract gives the run itself no
-- other member for it.
local function warnings(w)
  local out = json.array(json.decode(w.warnings))
  if w.status == "FAILED_SUBMISSION" and w.failure_message then
    out[#out + 1] = "The submission failed: " .. w.failure_message
  end
  return out
end

---The answer of GET /api/workflow/{id}.
---@param engine pai.engine.Engine
---@param w table row
---@param skip_groups boolean
---@param verbose boolean? all retries
---@return table
function M.workflow(engine, w, skip_groups, verbose)
  local base = ("%s/api/workflow/%s"):format(engine.base_url, w.id)
  local queued, duration = spans(engine, w)
  local kept = engine:run_dir(w.id) .. "/data"
  return {
    name = w.id,
    uuid = w.uuid,
    submitted_by = w.user,
    cancelled_by = value(w.cancel_by),
    spec = base .. "/spec",
    template_spec = base .. "/spec?use_template=true",
    logs = base .. "/logs?last_n_lines=1000",
    events = base .. "/events",
    overview = base,
    parent_name = value(w.parent_name),
    parent_job_id = value(w.parent_number),
    dashboard_url = json.null,
    grafana_url = json.null,
    tags = tags.of(engine, w.seq),
    submit_time = time(w.submit_time),
    start_time = time(w.start_time),
    end_time = time(w.end_time),
    exec_timeout = value(w.exec_timeout),
    queue_timeout = value(w.queue_timeout),
    duration = duration,
    queued_time = queued,
    status = w.status,
    outputs = fs.exists(kept) and "file://" .. kept or "",
    groups = json.array(skip_groups and {} or groups(engine, w, verbose)),
    pool = w.pool,
    backend = M.POOL,
    app_owner = value(w.app_owner),
    app_name = value(w.app_name),
    app_version = value(w.app_version),
    plugins = { rsync = false },
    priority = w.priority,
    labels = json.decode(w.labels),
    warnings = warnings(w),
  }
end

---An entry of GET /api/workflow.
---@param engine pai.engine.Engine
---@param w table row
---@param now integer
---@return table
function M.entry(engine, w, now)
  local base = ("%s/api/workflow/%s"):format(engine.base_url, w.id)
  local queued, duration = spans(engine, w, now)
  return {
    user = w.user,
    name = w.id,
    workflow_uuid = w.uuid,
    submit_time = time(w.submit_time),
    start_time = time(w.start_time),
    end_time = time(w.end_time),
    queued_time = queued,
    duration = duration,
    status = w.status,
    overview = base,
    logs = base .. "/logs",
    error_logs = status.failed(w.status) and base .. "/error_logs" or json.null,
    grafana_url = json.null,
    dashboard_url = json.null,
    pool = w.pool,
    app_owner = value(w.app_owner),
    app_name = value(w.app_name),
    app_version = value(w.app_version),
    priority = w.priority,
    labels = json.decode(w.labels),
  }
end

---The answer of GET /api/workflow/{id}/task/{task}.
---@param engine pai.engine.Engine
---@param w table row of the workflow
---@param t table row of the task
---@return table
function M.task(engine, w, t)
  return {
    workflow_id = w.id,
    task_name = t.name,
    node = t.start_time and engine.hostname or json.null,
    start_time = time(t.start_time),
    end_time = time(t.end_time),
    status = t.status,
    storage = t.storage,
    cpu = t.cpu,
    memory = t.memory,
    gpu = t.gpu,
  }
end

---A pool as GET /api/pool shows it.
---@param engine pai.engine.Engine
---@param p pai.engine.Pool
---@return table
function M.pool(engine, p)
  local gpus = #engine.gpus
  return {
    name = p.name,
    description = p.description,
    status = "ONLINE",
    download_type = json.null,
    enable_maintenance = false,
    backend = M.POOL,
    default_platform = M.PLATFORM,
    default_exec_timeout = p.default_exec_timeout,
    default_queue_timeout = p.default_queue_timeout,
    max_exec_timeout = p.max_exec_timeout,
    max_queue_timeout = p.max_queue_timeout,
    default_exit_actions = p.default_exit_actions,
    resources = {
      gpu = gpus > 0 and { guarantee = gpus, maximum = gpus, weight = 1 } or json.null,
    },
    topology_keys = json.array({}),
    platforms = {
      [M.PLATFORM] = {
        description = p.runtime == "process" and "host processes" or p.runtime .. " containers",
        host_network_allowed = p.host_network_allowed,
        privileged_allowed = p.privileged_allowed,
        allowed_mounts = json.array(p.allowed_mounts),
        default_mounts = json.array(p.default_mounts),
      },
    },
  }
end

---@param engine pai.engine.Engine
---@param names string[] none for all
---@return table<string, table> by name
function M.pools(engine, names)
  local out = {}
  if #names == 0 then
    for name, p in pairs(engine.pools) do
      out[name] = M.pool(engine, p)
    end
  end
  for _, name in ipairs(names) do
    out[name] = M.pool(engine, engine.pools[name])
  end
  return out
end

-- GPUs that runs hold, and those of them that runs hold which need not make room.
local function taken(engine)
  local n, firm = 0, 0
  for _, run in pairs(engine.runs) do
    local held = run.held and #run.held.gpus or 0
    n = n + held
    firm = firm + (run.priority == "LOW" and 0 or held)
  end
  return n, firm
end

-- GPU counts, as text; all pools share the machine. LOW runs count for no quota.
local function usage(engine)
  local all = #engine.gpus
  local used, firm = taken(engine)
  return {
    quota_used = tostring(firm),
    quota_free = tostring(all - firm),
    quota_limit = tostring(all),
    total_usage = tostring(used),
    total_capacity = tostring(all),
    total_free = tostring(all - used),
  }
end

---@param engine pai.engine.Engine
---@param names string[] none for all
---@return table
function M.quota(engine, names)
  local list = json.array({})
  local pools = M.pools(engine, names)
  for _, name in ipairs(text.keys(pools)) do
    local p = pools[name]
    p.resource_usage = usage(engine)
    list[#list + 1] = p
  end
  return { node_sets = json.array({ { pools = list } }), resource_sum = usage(engine) }
end

local total_kib

local function memory_kib()
  if total_kib then
    return total_kib
  end
  local f = io.open("/proc/meminfo", "r")
  local said = f and f:read("a") or ""
  if f then
    f:close()
  end
  total_kib = math.tointeger(tonumber(said:match("MemTotal:%s+(%d+)"))) or 0
  return total_kib
end
M.memory_kib = memory_kib

---The node of this machine for GET /api/resources.
---@param engine pai.engine.Engine
---@return table
function M.resource(engine)
  local cpu, gpus, gib = tostring(engine.cores), tostring(#engine.gpus), 1048576
  local kib = engine.memory * gib // 1 | 0
  local storage = (fs.disk_free(engine.paths.root) or 0) // 1024
  local total = {
    cpu = cpu,
    gpu = gpus,
    memory = kib .. "Ki",
    storage = storage .. "Ki",
  }
  local used = {
    cpu = tostring(engine.busy.cpu),
    gpu = tostring((taken(engine))),
    memory = ("%dKi"):format(engine.busy.memory * gib // 1),
    storage = "0Ki",
  }
  local nested, config, labels, names = {}, {}, {}, json.array({})
  for _, name in ipairs(text.keys(engine.pools)) do
    local p = engine.pools[name]
    nested[name] = { [M.PLATFORM] = total }
    labels[name] = json.array({ M.PLATFORM })
    names[#names + 1] = name .. "/" .. M.PLATFORM
    config[name] = {
      [M.PLATFORM] = {
        host_network = p.host_network_allowed,
        privileged = p.privileged_allowed,
        default_mounts = json.array(p.default_mounts),
        allowed_mounts = json.array(p.allowed_mounts),
      },
    }
  end
  return {
    hostname = engine.hostname,
    backend = M.POOL,
    resource_type = "SHARED",
    exposed_fields = {
      node = engine.hostname,
      ["pool/platform"] = names,
      cpu = cpu,
      gpu = gpus,
      memory = tostring(kib // gib),
      storage = tostring(storage // gib),
    },
    usage_fields = used,
    allocatable_fields = total,
    non_workflow_usage_fields = {},
    platform_allocatable_fields = nested,
    platform_available_fields = nested,
    platform_workflow_allocatable_fields = nested,
    config_fields = config,
    taints = json.array({}),
    conditions = json.array({}),
    label_fields = {},
    pool_platform_labels = labels,
  }
end

return M
