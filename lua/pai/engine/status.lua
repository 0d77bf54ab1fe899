-- Statuses of workflows, groups and tasks and how they roll up (upstream's rules; pure functions).
local M = {}

-- Unfinished statuses in the order in which they are passed.
M.ALIVE = { "SUBMITTING", "WAITING", "PROCESSING", "SCHEDULING", "INITIALIZING", "RUNNING" }

M.WORKFLOW = require("pai.osmo.client_status").WORKFLOW
M.TASK = require("pai.osmo.client_status").TASK

-- What the engine itself gives as exit_code, beside the command's own 0 to 255.
M.EXIT = {
  DOWNLOAD = 2010,
  UPLOAD = 2012,
  CHECK = 2013,
  UNAUTHORIZED = 2014,
  IMAGE = 301,
  COMMAND = 2031,
  FILE = 2032,
  UPSTREAM = 3000,
  BACKEND = 3001,
  SERVER = 3002,
  START = 3003,
  EVICTED = 3004,
  PREEMPTED = 3006,
}

---Whether a status is one of failure; an unknown FAILED_… counts as failed.
---@param status string
---@return boolean
function M.failed(status)
  return status:sub(1, 6) == "FAILED"
end

---Whether a status is final; any unknown value that is no failure counts as alive.
---@param status string
---@return boolean
function M.finished(status)
  return status == "COMPLETED" or status == "RESCHEDULED" or M.failed(status)
end

local function any(list, status)
  for _, s in ipairs(list) do
    if s == status then
      return true
    end
  end
  return false
end

local FIRST_HITS <const> =
  { "FAILED_UPSTREAM", "FAILED_SERVER_ERROR", "FAILED_PREEMPTED", "FAILED_EVICTED" }

---@class pai.engine.TaskStatus
---@field status string
---@field lead boolean

---Status of a group from its tasks.
---@param tasks pai.engine.TaskStatus[] the latest retry of each
---@param ignore_nonlead boolean
---@return string
function M.group(tasks, ignore_nonlead)
  local all, considered = {}, {}
  local unfinished, started = false, false
  for _, t in ipairs(tasks) do
    all[#all + 1] = t.status
    if t.lead or not ignore_nonlead then
      considered[#considered + 1] = t.status
    end
    if M.finished(t.status) then
      started = true
    else
      unfinished = true
      started = started or t.status == "RUNNING"
    end
  end
  if unfinished then
    return started and "RUNNING" or "INITIALIZING"
  end
  for _, status in ipairs(FIRST_HITS) do
    if any(status == "FAILED_EVICTED" and considered or all, status) then
      return status
    end
  end
  for _, status in ipairs(considered) do
    if M.failed(status) then
      return "FAILED"
    end
  end
  return "COMPLETED"
end

local WORKFLOW_FIRST <const> =
  { "FAILED_CANCELED", "FAILED_SERVER_ERROR", "FAILED_EXEC_TIMEOUT", "FAILED_QUEUE_TIMEOUT" }

---Status of a workflow from its groups.
---@param groups string[] statuses
---@return string
function M.workflow(groups)
  local running, unfinished = false, false
  for _, status in ipairs(groups) do
    unfinished = unfinished or not M.finished(status)
    running = running or status == "RUNNING"
  end
  if unfinished then
    return running and "RUNNING" or "PENDING"
  end
  for _, status in ipairs(WORKFLOW_FIRST) do
    if any(groups, status) then
      return status
    end
  end
  local common, failed, differ
  for _, status in ipairs(groups) do
    if M.failed(status) then
      failed = true
      if status ~= "FAILED_UPSTREAM" then
        differ = differ or (common ~= nil and common ~= status)
        common = status
      end
    end
  end
  if not failed then
    return "COMPLETED"
  end
  return (common and not differ) and common or "FAILED"
end

local function in_ranges(ranges, code)
  for _, range in ipairs(ranges) do
    if range[1] <= code and code <= range[2] then
      return true
    end
  end
  return false
end

local function action_for(code, lists)
  for _, actions in ipairs(lists) do
    for _, entry in ipairs(actions) do
      if in_ranges(entry.ranges, code) then
        return entry.action
      end
    end
  end
end

---@class pai.engine.ExitRules
---@field defaults pai.osmo.ExitAction[]? the pool's, for what the task's own say nothing of
---@field retry integer? which try it was, from 0
---@field max_retries integer? how often a task is tried again
---@field plain string? what it is where no action applies; default: by its code

---What a task that ended with a code is, its own or one of the engine's: its exit actions decide
---first, then the pool's, else 0 is success. RESCHEDULED means that it is to be tried again.
---@param code integer
---@param actions pai.osmo.ExitAction[]? the first that matches counts
---@param rules pai.engine.ExitRules?
---@return string status
---@return string? note why it is not what the code alone would say
function M.of_exit(code, actions, rules)
  rules = rules or {}
  local plain = rules.plain or (code == 0 and "COMPLETED" or "FAILED")
  local action = action_for(code, { actions or {}, rules.defaults or {} })
  if not action then
    return plain
  elseif action == "RESCHEDULE" then
    local limit = rules.max_retries or 0
    if (rules.retry or 0) >= limit then
      return plain, ("No exit action applied due to retry limit %d."):format(limit)
    end
    return "RESCHEDULED", ("Exit Action: RESCHEDULE the task for exit code %d."):format(code)
  end
  local status = action == "COMPLETE" and "COMPLETED" or "FAILED"
  if status == plain then
    return plain
  end
  return status, ("Exit Action: %s the task for exit code %d."):format(action, code)
end

---Whether the exit actions want each of some tasks to be tried again, all for the same reason.
---@param code integer
---@param tasks table[] rows
---@param specs table<string, table> by name
---@param pool pai.engine.Pool
---@return boolean
function M.all_again(code, tasks, specs, pool)
  for _, t in ipairs(tasks) do
    local new = M.of_exit(code, specs[t.name].exit_actions, {
      defaults = pool.exit_actions,
      retry = t.retry_id,
      max_retries = pool.max_retry_per_task,
    })
    if new ~= "RESCHEDULED" then
      return false
    end
  end
  return true
end

return M
