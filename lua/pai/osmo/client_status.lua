-- What a run's status means to a client.
local M = {}

---Whether a status is final; an unknown FAILED_… is, any other unknown value is not.
---@param status string
---@return boolean
function M.terminal(status)
  return status == "COMPLETED" or status:sub(1, 6) == "FAILED"
end

return M
