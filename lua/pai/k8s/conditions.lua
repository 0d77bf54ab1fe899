-- What an object's state says: met, failed for good, or what was last seen. One function a kind of
-- wish; none of them waits. Field names: the API reference of each kind.
local err = require("pai.err")

local M = {}

---The condition of a type, or nil.
---@param object table
---@param kind string
---@return table?
function M.find(object, kind)
  local list = type(object.status) == "table" and object.status.conditions
  for _, c in ipairs(type(list) == "table" and list or {}) do
    if type(c.type) == "string" and c.type:lower() == kind:lower() then
      return c
    end
  end
end

local function is(object, kind, value)
  local c = M.find(object, kind)
  return c ~= nil and c.status == (value or "True")
end

local function said(c)
  if c.reason and c.message then
    return c.reason .. ": " .. c.message
  end
  return c.reason or c.message or c.type
end

local function counts(object)
  local spec, st = object.spec or {}, object.status or {}
  local want = spec.replicas or 1
  return want, st.updatedReplicas or 0, st.availableReplicas or 0, st.readyReplicas or 0
end

local function pod_seen(object)
  local st = object.status or {}
  local parts = { st.phase or "no phase" }
  for _, c in ipairs(st.containerStatuses or {}) do
    local state = c.state or {}
    local why = state.waiting and state.waiting.reason
      or state.terminated and (state.terminated.reason or "terminated")
    if why then
      parts[#parts + 1] = ("%s: %s"):format(c.name, why)
    end
  end
  return table.concat(parts, ", ")
end

---What can be seen of an object, in a few words.
---@param object table
---@return string
function M.seen(object)
  local st = type(object.status) == "table" and object.status or {}
  if object.kind == "Pod" then
    return pod_seen(object)
  elseif object.kind == "Deployment" or object.kind == "StatefulSet" then
    local want, updated, available = counts(object)
    return ("%d of %d updated, %d available"):format(updated, want, available)
  elseif object.kind == "Job" then
    return ("active %d, succeeded %d, failed %d"):format(
      st.active or 0,
      st.succeeded or 0,
      st.failed or 0
    )
  end
  local parts = {}
  for _, key in ipairs({ "phase", "state" }) do
    if type(st[key]) == "string" then
      parts[#parts + 1] = st[key]
    end
  end
  for _, c in ipairs(type(st.conditions) == "table" and st.conditions or {}) do
    local why = c.status ~= "True" and c.reason and (" (%s)"):format(c.reason) or ""
    parts[#parts + 1] = ("%s=%s%s"):format(c.type, c.status, why)
  end
  return #parts > 0 and table.concat(parts, ", ") or "no status yet"
end

-- What can't become good any more, whatever is waited for.
local function failed(object, wanted)
  local kind, st = object.kind, object.status or {}
  local c
  if kind == "Job" and wanted ~= "failed" then
    c = is(object, "Failed") and M.find(object, "Failed")
  elseif kind == "Job" and wanted == "failed" then
    c = is(object, "Complete") and { type = "Complete", message = "it completed" }
  elseif kind == "Deployment" and is(object, "Progressing", "False") then
    c = M.find(object, "Progressing")
  elseif kind == "Pod" and st.phase == "Failed" and wanted ~= "failed" then
    c = { type = "Failed", reason = st.reason, message = st.message or pod_seen(object) }
  elseif kind == "Pod" and st.phase == "Succeeded" and wanted == "ready" then
    c = { type = "Succeeded", message = "it has ended and cannot become ready" }
  elseif kind == "PersistentVolumeClaim" and st.phase == "Lost" then
    c = { type = "Lost", message = "its volume is lost" }
  elseif kind == "NIMService" and type(st.state) == "string" and st.state:lower() == "failed" then
    c = M.find(object, "Failed") or { type = "Failed", message = "state is Failed" }
  end
  if c then
    local name = object.metadata and object.metadata.name or "?"
    return err.new("EFAILED", ("%s %s has failed: %s"):format(kind, name, said(c)), {
      condition = c.type,
      reason = c.reason,
    })
  end
end

-- The controller has seen the present spec.
local function is_observed(object)
  local seen = object.status and object.status.observedGeneration
  return seen == nil or seen >= (object.metadata.generation or 0)
end

local ROLLOUT = {}

function ROLLOUT.Deployment(object)
  local want, updated, available = counts(object)
  local total = object.status and object.status.replicas or 0
  return updated >= want and total <= updated and available >= updated
end

function ROLLOUT.StatefulSet(object)
  local want, updated, _, ready = counts(object)
  local st = object.status or {}
  return ready >= want and (updated >= want or st.currentRevision == st.updateRevision)
end

function ROLLOUT.DaemonSet(object)
  local st = object.status or {}
  local want = st.desiredNumberScheduled
  return want ~= nil
    and (st.updatedNumberScheduled or 0) >= want
    and (st.numberAvailable or 0) >= want
end

function ROLLOUT.NIMService(object)
  local state = object.status and object.status.state
  return state == "Ready" or is(object, "Ready")
end

function ROLLOUT.Job(object)
  return is(object, "Complete")
end

function ROLLOUT.Pod(object)
  return is(object, "Ready")
end

function ROLLOUT.PersistentVolumeClaim(object)
  return object.status ~= nil and object.status.phase == "Bound"
end

function ROLLOUT.Node(object)
  return is(object, "Ready")
end

---@class pai.k8s.Wish
---@field gone boolean? it waits for the end of the object
---@field text string what it is, for messages
---@field met fun(object: table): boolean
---@field failed fun(object: table): pai.Error?

local function field(object, path)
  local value = object
  for key in path:gmatch("[^.%[%]]+") do
    if type(value) ~= "table" then
      return nil
    end
    value = value[math.tointeger(tonumber(key)) and tonumber(key) + 1 or key]
  end
  return value
end

---Reads what is waited for: "ready" (of any kind that has a notion of it), "complete", "delete",
---"condition=TYPE[=STATUS]", or "FIELD=VALUE" with a path such as status.phase.
---@param text string
---@return pai.k8s.Wish?
---@return pai.Error? err EUSAGE
function M.wish(text)
  if text == "delete" then
    return { gone = true, text = "its end" }
  end
  local wish = { text = text }
  local kind, value = text:match("^condition=([%w._/-]+)=?(%a*)$")
  local word = text:lower()
  if word == "ready" or word == "complete" then
    function wish.met(object)
      local rule = ROLLOUT[object.kind]
      if rule then
        return is_observed(object) and rule(object)
      end
      return is_observed(object) and is(object, text)
    end
  elseif kind then
    word = kind:lower()
    local want = value ~= "" and value:sub(1, 1):upper() .. value:sub(2):lower() or "True"
    function wish.met(object)
      return is_observed(object) and is(object, kind, want)
    end
    if want ~= "True" then
      word = "not " .. word
    end
  else
    local path, wanted = text:match("^%.?([%w_.%[%]-]+)=(.*)$")
    if not path then
      return err.fail("EUSAGE", ("'%s' is nothing to wait for"):format(text), {
        hint = "ready, complete, delete, condition=TYPE or FIELD=VALUE",
      })
    end
    function wish.met(object)
      return tostring(field(object, path)) == wanted
    end
  end
  function wish.failed(object)
    return failed(object, word)
  end
  return wish
end

return M
