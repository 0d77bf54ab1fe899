-- The statuses of runs and tasks as the REST contract names them, and which of them are final.
local M = {}

-- Every status of a run.
M.WORKFLOW = {
  "PENDING",
  "RUNNING",
  "WAITING",
  "COMPLETED",
  "FAILED",
  "FAILED_SUBMISSION",
  "FAILED_SERVER_ERROR",
  "FAILED_EXEC_TIMEOUT",
  "FAILED_QUEUE_TIMEOUT",
  "FAILED_CANCELED",
  "FAILED_BACKEND_ERROR",
  "FAILED_IMAGE_PULL",
  "FAILED_EVICTED",
  "FAILED_START_ERROR",
  "FAILED_START_TIMEOUT",
  "FAILED_PREEMPTED",
}

-- Every status of a task.
M.TASK = {
  "SUBMITTING",
  "WAITING",
  "PROCESSING",
  "SCHEDULING",
  "INITIALIZING",
  "RUNNING",
  "COMPLETED",
  "RESCHEDULED",
  "FAILED",
  "FAILED_CANCELED",
  "FAILED_SERVER_ERROR",
  "FAILED_BACKEND_ERROR",
  "FAILED_EXEC_TIMEOUT",
  "FAILED_QUEUE_TIMEOUT",
  "FAILED_IMAGE_PULL",
  "FAILED_UPSTREAM",
  "FAILED_EVICTED",
  "FAILED_START_ERROR",
  "FAILED_START_TIMEOUT",
  "FAILED_PREEMPTED",
}

---Whether a status is final; an unknown FAILED_… is, any other unknown value is not.
---@param status string
---@return boolean
function M.terminal(status)
  return status == "COMPLETED" or status:sub(1, 6) == "FAILED"
end

return M
