-- Waiting for the end of a run.
local duration = require("pai.duration")
local err = require("pai.err")
local http = require("pai.osmo.client_http")
local status = require("pai.osmo.client_status")
local task = require("pai.task")

---@class pai.osmo.Client
local M = {}

-- A service that is away for a while does not end a wait; a refusal does.
local function patient_query(self, id, deadline, opts)
  while true do
    local q, e = self:query(id, opts)
    if q or not (http.lost(e) or (e.http and e.http >= 500 and e.retryable)) then
      return q, e
    end
    if deadline and task.now() >= deadline then
      return nil, e
    end
    task.sleep("1s")
  end
end

---@class pai.osmo.WaitOptions
---@field every string|integer|nil between two looks, "1s"
---@field first integer? ms until the second look; the pause then grows to every
---@field timeout string|integer|nil
---@field on_update fun(q: table)?

---Waits until a run has ended.
---@param id string
---@param opts pai.osmo.WaitOptions?
---@return table? query the final answer of query
---@return pai.Error? err ETIMEDOUT when it has not ended in time
function M:wait(id, opts)
  opts = opts or {}
  local every = duration.parse(opts.every or "1s")
  local limit = opts.timeout and duration.parse(opts.timeout)
  local deadline = limit and task.now() + limit
  -- Short runs are noticed soon; the pause grows to what was asked for.
  local pause = math.min(every, opts.first or 20)
  -- Whoever does not look at the tasks meanwhile gets them at the end: they are most of an answer.
  local brief = not opts.on_update and { skip_groups = true } or nil
  while true do
    local q, e = patient_query(self, id, deadline, brief)
    if q and brief and status.terminal(q.status) then
      q, e = patient_query(self, id, deadline)
    end
    if not q then
      return nil, e
    end
    if opts.on_update then
      opts.on_update(q)
    end
    if status.terminal(q.status) then
      return q
    end
    if deadline and task.now() + pause > deadline then
      return err.fail(
        "ETIMEDOUT",
        ("workflow %s is still %s after %s"):format(id, q.status, duration.format(limit)),
        { retryable = true, status = q.status }
      )
    end
    task.sleep(pause)
    pause = math.min(every, pause * 2)
  end
end

return M
