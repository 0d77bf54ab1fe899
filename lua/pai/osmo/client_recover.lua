-- A submit that is never repeated blindly: each carries a label of its own, and when its answer got
-- lost, the run is looked for before anything is sent again.
local client_status = require("pai.osmo.client_status")
local duration = require("pai.duration")
local err = require("pai.err")
local http = require("pai.osmo.client_http")
local json = require("pai.json")
local task = require("pai.task")

local M = {}

-- The label by which a run whose answer was lost is found again.
local LABEL <const> = "pai-submit"

local TIMEOUT <const> = 60000

-- Between the two looks for a run whose answer was lost.
local SECOND_LOOK <const> = 2000

-- How often a submit whose answer was lost is sent in all.
local ATTEMPTS <const> = 3

-- Whether the run may have been made all the same: also a gateway may have lost the answer.
local function maybe_made(e)
  return http.lost(e) or e.http == 502 or e.http == 503 or e.http == 504
end

local function send_post(self, pool, body, query, timeout)
  return self.transport:call("POST", ("/api/pool/%s/workflow"):format(http.segment(pool)), {
    query = query,
    json = body,
    timeout = timeout,
    shape = require("pai.osmo.client_shape").SUBMITTED,
  })
end

---Sends a submit, once.
---@param self pai.osmo.Client
---@param pool string
---@param body table?
---@param query table
---@param timeout integer? ms
---@return table? answer
---@return pai.Error? err
function M.post(self, pool, body, query, timeout)
  local answer, e = send_post(self, pool, body, query, timeout or TIMEOUT)
  if not answer and e.http == 500 and not e.error_code then
    e.hint = "this may be the workflow's own fault: pai osmo validate FILE"
  end
  return answer, e
end

-- The runs that carry the label. A service that knows no labels ignores the question and answers
-- with any runs: then nil, and no error.
local function by_label(self, value)
  local found, e = self:list({
    label = { LABEL .. "=" .. value },
    statuses = client_status.WORKFLOW, -- also FAILED_SUBMISSION, which lists leave out
    all_users = true,
    all_pools = true,
    limit = 10,
  })
  if not found then
    return nil, e.http ~= 400 and e or nil
  end
  for _, w in ipairs(found) do
    if type(w.labels) ~= "table" or w.labels[LABEL] ~= value then
      return nil
    end
  end
  return found
end

-- The runs of this name that the user has submitted since.
local function by_name(self, name, since)
  local found, e = self:list({
    name = name,
    statuses = client_status.WORKFLOW, -- also FAILED_SUBMISSION, which lists leave out
    all_pools = true,
    submitted_after = os.date("!%Y-%m-%dT%H:%M:%S", since),
    limit = 10,
  })
  if not found then
    return nil, e
  end
  local out = {}
  for _, w in ipairs(found) do
    if w.name:gsub("%-%d+$", "") == name then
      out[#out + 1] = w
    end
  end
  return out
end

local function look(self, value, name, since)
  local found, e = by_label(self, value)
  if found or e or not name then
    return found, e or err.new("ENOTSUP", "the service cannot be asked for runs by label")
  end
  return by_name(self, name, since)
end

-- Decides what a lost answer meant: the run that was made, nil for none, or an error.
local function recover(self, value, name, since, started, timeout, why)
  -- The request may still be under way on the other side until its deadline has passed.
  local rest = self.target == "local" and 0 or timeout - (task.now() - started)
  if rest > 0 then
    local tell = self.transport.on_warning
    if tell then
      local message = "the answer to the submit was lost (%s): in %s it is looked for"
      tell(message:format(why.message, duration.format(rest)))
    end
    task.sleep(rest)
  end
  for attempt = 1, 2 do
    local found, e = look(self, value, name, since)
    if not found then
      return nil, e
    end
    if #found > 1 then
      return err.fail(
        "ECONFLICT",
        ("the answer to a submit was lost, and two runs may be it: %s and %s"):format(
          found[1].name,
          found[2].name
        )
      )
    elseif #found == 1 then
      return found[1]
    end
    if attempt == 1 then
      task.sleep(self.target == "local" and 50 or SECOND_LOOK)
    end
  end
  return false
end

local function adopt(w)
  if w.status == "FAILED_SUBMISSION" then
    return err.fail(
      "ESUBMISSION",
      ("the service refused the workflow, kept it as %s, and its reason got lost"):format(w.name),
      { hint = "pai osmo validate FILE", workflow_id = w.name }
    )
  end
  return {
    name = w.name,
    overview = w.overview,
    logs = w.logs,
    spec = json.null,
    dashboard_url = w.dashboard_url or json.null,
    warnings = json.array({}),
    adopted = true,
  }
end

---Sends the real submit; a lost answer is looked for before anything is sent again.
---@param self pai.osmo.Client
---@param pool string
---@param body table?
---@param query table its labels get one more
---@param name string? of the workflow
---@param timeout integer? ms until an answer counts as lost
---@return table? answer adopted = true when it is made of a run that was found
---@return pai.Error? err
function M.send(self, pool, body, query, name, timeout)
  local value = require("pai.crypto").hex(8)
  local labels = query.label or {}
  labels[#labels + 1] = LABEL .. "=" .. value
  query.label = labels
  timeout = timeout or TIMEOUT
  for attempt = 1, ATTEMPTS do
    local since, started = os.time() - 2, task.now()
    local answer, e = M.post(self, pool, body, query, timeout)
    if answer or not maybe_made(e) then
      return answer, e
    end
    local awake, no_engine = self:awake()
    if not awake then
      return nil, no_engine
    end
    local w, look_err = recover(self, value, name, since, started, timeout, e)
    if w then
      return adopt(w)
    elseif w == nil then
      return nil, look_err
    elseif attempt == ATTEMPTS then
      return nil, e
    end
  end
end

return M
