-- GET /api/task: the tasks of many runs, with filters; or what they ask for, summed up.
local json = require("pai.json")
local listing = require("pai.engine.listing")
local reply = require("pai.engine.reply")
local status = require("pai.engine.status")
local wire = require("pai.engine.wire")

local M = {}

local FROM <const> = " FROM tasks t JOIN workflows w ON w.seq = t.workflow"

local function filters(engine, q, user)
  local where, values = {}, {}
  listing.owned(engine, where, values, q, user, "w.")
  local id = q:text("workflow_id")
  if id and id ~= "" then
    where[#where + 1] = "w.id LIKE ? ESCAPE '\\'"
    values[#values + 1] = "%" .. listing.like(id) .. "%"
  end
  listing.one_of(where, values, "t.status", q:enum("statuses", status.TASK))
  listing.one_of(where, values, "w.priority", q:enum("priority", { "HIGH", "NORMAL", "LOW" }))
  local nodes = q:list("nodes")
  if #nodes > 0 then
    -- All tasks that have begun ran on this machine.
    local here = false
    for _, node in ipairs(nodes) do
      here = here or node == engine.hostname
    end
    where[#where + 1] = here and "t.start_time IS NOT NULL" or "0"
  end
  local after, before = q:time("started_after"), q:time("started_before")
  if after then
    where[#where + 1] = "t.start_time >= ?"
    values[#values + 1] = after
  end
  if before then
    where[#where + 1] = "t.start_time < ?"
    values[#values + 1] = before
  end
  return #where > 0 and " WHERE " .. table.concat(where, " AND ") or "", values
end

local function entry(engine, t, now)
  local base = ("%s/api/workflow/%s"):format(engine.base_url, t.workflow_id)
  local which = ("?task_name=%s&retry_id=%d"):format(t.name, t.retry_id)
  local failed = wire.has_error_logs(t.status)
  return {
    user = t.user,
    workflow_id = t.workflow_id,
    workflow_uuid = t.workflow_uuid,
    task_name = t.name,
    retry_id = t.retry_id,
    pool = t.pool,
    node = t.start_time and engine.hostname or json.null,
    start_time = reply.time(t.start_time),
    end_time = reply.time(t.end_time),
    duration = t.start_time and reply.seconds(t.start_time, t.end_time or now) or json.null,
    status = t.status,
    overview = base,
    logs = base .. "/logs" .. which,
    error_logs = failed and base .. "/error_logs" .. which or json.null,
    grafana_url = json.null,
    dashboard_url = json.null,
    storage = t.storage,
    cpu = t.cpu,
    memory = t.memory,
    gpu = t.gpu,
    priority = t.priority,
  }
end

local function summaries(engine, where, values, by_workflow)
  local columns = "w.user, w.pool, w.priority" .. (by_workflow and ", w.id" or "")
  local rows = engine.store:rows(
    "SELECT "
      .. columns
      .. ", sum(t.storage) AS storage, sum(t.cpu) AS cpu, sum(t.memory) AS memory,"
      .. " sum(t.gpu) AS gpu"
      .. FROM
      .. where
      .. " GROUP BY "
      .. columns
      .. " ORDER BY "
      .. columns,
    table.unpack(values)
  )
  for _, row in ipairs(rows) do
    row.workflow_id, row.id = row.id, nil
  end
  return { summaries = json.array(rows) }
end

---GET /api/task
---@param engine pai.engine.Engine
---@param req table
---@param user string
---@return table
function M.list(engine, req, user)
  local q = reply.query(req.query)
  local offset, limit = q:int("offset", 0), q:int("limit", 20)
  local order = q:enum("order", { "ASC", "DESC" }, true)[1] or "ASC"
  local summary = q:bool("summary", false)
  local by_workflow = q:bool("aggregate_by_workflow", false)
  local where, values = filters(engine, q, user)
  q:check()
  if offset < 0 then
    reply.fail("USAGE", "Parameter start must be a non-negative integer.")
  elseif limit > 1000 then
    reply.fail("USER", "Limit must be less than 1000.")
  elseif summary then
    return summaries(engine, where, values, by_workflow)
  end
  values[#values + 1] = math.max(limit, 0)
  values[#values + 1] = offset
  local form = "SELECT t.name, t.retry_id, t.status, t.start_time, t.end_time, t.storage, t.cpu,"
    .. " t.memory, t.gpu, w.user, w.pool, w.priority, w.id AS workflow_id,"
    .. " w.uuid AS workflow_uuid%s%s ORDER BY w.submit_time %s, t.seq %s LIMIT ? OFFSET ?"
  local rows = engine.store:rows(form:format(FROM, where, order, order), table.unpack(values))
  local out, now = json.array({}), engine.store:now()
  for i, t in ipairs(rows) do
    out[i] = entry(engine, t, now)
  end
  return { tasks = out }
end

return M
