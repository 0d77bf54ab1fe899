-- Rows of the store as the REST contract shows them.
local fs = require("pai.fs")
local json = require("pai.json")
local reply = require("pai.engine.reply")
local status = require("pai.engine.status")

local M = {}

local time, value = reply.time, reply.value

M.POOL = "local"
M.PLATFORM = "local"

---Whether a task of this status has error logs of its own.
---@param s string
---@return boolean
function M.has_error_logs(s)
  return status.failed(s)
    and s ~= "FAILED_UPSTREAM"
    and s ~= "FAILED_SERVER_ERROR"
    and s ~= "FAILED_EVICTED"
    and s ~= "FAILED_START_ERROR"
    and s ~= "FAILED_IMAGE_PULL"
    and s ~= "FAILED_CANCELED"
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

local function groups(engine, w)
  local rows, out = engine.store:groups(w.seq), {}
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
    local list = engine.store:tasks(g.seq)
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

---The answer of GET /api/workflow/{id}.
---@param engine pai.engine.Engine
---@param w table row
---@param skip_groups boolean
---@return table
function M.workflow(engine, w, skip_groups)
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
    tags = json.array({}),
    submit_time = time(w.submit_time),
    start_time = time(w.start_time),
    end_time = time(w.end_time),
    exec_timeout = value(w.exec_timeout),
    queue_timeout = value(w.queue_timeout),
    duration = duration,
    queued_time = queued,
    status = w.status,
    outputs = fs.exists(kept) and "file://" .. kept or "",
    groups = json.array(skip_groups and {} or groups(engine, w)),
    pool = w.pool,
    backend = M.POOL,
    app_owner = json.null,
    app_name = json.null,
    app_version = json.null,
    plugins = { rsync = false },
    priority = w.priority,
    labels = json.decode(w.labels),
    warnings = json.array(json.decode(w.warnings)),
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
    app_owner = json.null,
    app_name = json.null,
    app_version = json.null,
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

---The one pool.
---@return table
function M.pool()
  return {
    name = M.POOL,
    description = "this machine",
    status = "ONLINE",
    download_type = json.null,
    enable_maintenance = false,
    backend = M.POOL,
    default_platform = M.PLATFORM,
    default_exec_timeout = "60d",
    default_queue_timeout = "60d",
    max_exec_timeout = "60d",
    max_queue_timeout = "60d",
    default_exit_actions = {},
    resources = { gpu = json.null },
    topology_keys = json.array({}),
    platforms = {
      [M.PLATFORM] = {
        description = "host processes",
        host_network_allowed = false,
        privileged_allowed = false,
        allowed_mounts = json.array({}),
        default_mounts = json.array({}),
      },
    },
  }
end

---@return table
function M.pools()
  return { pools = { [M.POOL] = M.pool() } }
end

-- GPU counts, as text; this pool has none.
local function usage()
  return {
    quota_used = "0",
    quota_free = "0",
    quota_limit = "0",
    total_usage = "0",
    total_capacity = "0",
    total_free = "0",
  }
end

---@return table
function M.quota()
  local p = M.pool()
  p.resource_usage = usage()
  return { node_sets = json.array({ { pools = json.array({ p }) } }), resource_sum = usage() }
end

local function memory_kib()
  local f = io.open("/proc/meminfo", "r")
  local text = f and f:read("a") or ""
  if f then
    f:close()
  end
  return math.tointeger(tonumber(text:match("MemTotal:%s+(%d+)"))) or 0
end
M.memory_kib = memory_kib

---The node of this machine for GET /api/resources.
---@param engine pai.engine.Engine
---@return table
function M.resource(engine)
  local cpu, gib = tostring(engine.cores), 1048576
  local storage = (fs.disk_free(engine.paths.root) or 0) // 1024
  local total = {
    cpu = cpu,
    gpu = "0",
    memory = memory_kib() .. "Ki",
    storage = storage .. "Ki",
  }
  local used = { cpu = tostring(engine.busy_cpu), gpu = "0", memory = "0Ki", storage = "0Ki" }
  local nested = { [M.POOL] = { [M.PLATFORM] = total } }
  return {
    hostname = engine.hostname,
    backend = M.POOL,
    resource_type = "SHARED",
    exposed_fields = {
      node = engine.hostname,
      ["pool/platform"] = json.array({ M.POOL .. "/" .. M.PLATFORM }),
      cpu = cpu,
      gpu = "0",
      memory = tostring(memory_kib() // gib),
      storage = tostring(storage // gib),
    },
    usage_fields = used,
    allocatable_fields = total,
    non_workflow_usage_fields = {},
    platform_allocatable_fields = nested,
    platform_available_fields = nested,
    platform_workflow_allocatable_fields = nested,
    config_fields = {
      [M.POOL] = {
        [M.PLATFORM] = {
          host_network = false,
          privileged = false,
          default_mounts = json.array({}),
          allowed_mounts = json.array({}),
        },
      },
    },
    taints = json.array({}),
    conditions = json.array({}),
    label_fields = {},
    pool_platform_labels = { [M.POOL] = json.array({ M.PLATFORM }) },
  }
end

return M
