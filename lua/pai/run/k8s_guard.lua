-- Work in a cluster while looking at what may stop it. Trouble of a lower layer (image, credential,
-- taint, claim, GPU, memory) does not go away by waiting: it is told as soon as it shows, and ends
-- the work once it has lasted. What fails otherwise comes with the trouble that was there.
local async = require("pai.async")
local diagnose = require("pai.k8s.diagnose")
local err = require("pai.err")
local task = require("pai.task")

local M = {}

---Seconds that one and the same trouble may last.
M.PATIENCE_S = 600
local LOOK_MS <const> = 15000

-- Trouble that is nobody's but the object's own shows in the work itself.
local OWN <const> = { workload = true, job = true }

---@class pai.k8s.GuardOptions
---@field namespace string whose objects are looked at
---@field labels string? of the pods, Jobs and workloads that are meant
---@field claims string? claims whose names begin like this; others' are not looked at
---@field patience_s integer? default 600

---@class pai.k8s.Trouble
---@field key string the same for the same trouble
---@field said string

---The lowest trouble there is; nil for none, and where it can't be looked at.
---@param c pai.k8s.Client
---@param opts pai.k8s.GuardOptions
---@return pai.k8s.Trouble?
function M.trouble(c, opts)
  local where = { namespace = opts.namespace, labels = opts.labels }
  local ok, found, e = pcall(diagnose.namespace, c, where)
  if not ok then
    error(found, 0)
  elseif not found then
    return err.is(e, "ECANCELED") and error(e, 0) or nil
  end
  for i, check in ipairs(diagnose.checks(found, opts.namespace)) do
    local f = found[i]
    local foreign = opts.claims
      and f
      and f.kind == "PersistentVolumeClaim"
      and f.name:sub(1, #opts.claims) ~= opts.claims
    if f and check.state == "red" and not foreign and not OWN[f.layer] then
      return {
        key = ("%s %s"):format(check.name, f.layer),
        said = ("%s: %s; next: %s"):format(check.name, check.measured, check.hint or "?"),
      }
    end
  end
end

-- Looks again and again; raises when one trouble has lasted.
local function watch(c, opts, tell)
  local patience = (opts.patience_s or M.PATIENCE_S) * 1000
  local known, since
  while true do
    local now = M.trouble(c, opts)
    if not now then
      known = nil
    elseif now.key ~= known then
      known, since = now.key, task.now()
      tell(now.said)
    end
    local lasted = now and task.now() - since or 0
    if now and lasted >= patience then
      err.raise("ESTOPPED", ("stopped for %d s by %s"):format(lasted // 1000, now.said))
    end
    task.sleep(math.max(200, math.min(LOOK_MS, patience)))
  end
end

-- The error of the work, with the trouble that there is.
local function explained(c, opts, e)
  local now = M.trouble(c, opts)
  if not now then
    return e
  end
  local more = {}
  for key, value in pairs(e) do
    more[key] = value
  end
  more.code, more.message = nil, nil
  return err.new(e.code, ("%s; %s"):format(e.message, now.said), more)
end

---Runs fn.
---@param c pai.k8s.Client
---@param opts pai.k8s.GuardOptions
---@param fn fun(): any
---@param tell fun(said: string) for each trouble as it shows
---@return any result the first one of fn
function M.run(c, opts, fn, tell)
  local result
  local ended = {} -- raised so that nobody looks any longer
  local ok, e = pcall(async.all, {
    work = function()
      local fine, found = pcall(fn)
      if fine then
        result = found
        error(ended, 0)
      end
      local problem = err.wrap(found)
      error(problem.code == "ECANCELED" and problem or explained(c, opts, problem), 0)
    end,
    look = function()
      watch(c, opts, tell)
    end,
  })
  if not ok and e ~= ended then
    error(e, 0)
  end
  return result
end

return M
