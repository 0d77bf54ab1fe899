-- Work of our own on a cluster, to see whether it works: a namespace for each test, which goes
-- again whatever becomes of the test. What a killed run has left ends by itself (deadlines of pods)
-- and is taken away by the next run, by `pai resume` and by `pai runs cancel`.
local patience = require("cluster-onprem.patience")

local M = {}

-- No pod lives longer, so that a GPU or a volume is not held for ever by what a killed run left.
local LIFE_S <const> = 1800

local GPU <const> = "nvidia.com/gpu"
local CONTROL_PLANE <const> = "node-role.kubernetes.io/control-plane"

---Workers that pods can be put on, and how many GPUs each has.
---@param k pai.ctx.k8s
---@return { name: string, gpus: integer, model: string? }[]
function M.workers(k)
  local list = {}
  for _, one in ipairs(k:list("nodes")) do
    local labels = one.metadata.labels or {}
    if not labels[CONTROL_PLANE] and not (one.spec and one.spec.unschedulable) then
      local gpus = tonumber((one.status.allocatable or {})[GPU]) or 0
      list[#list + 1] = { name = one.metadata.name, gpus = gpus, model = labels[GPU .. ".product"] }
    end
  end
  table.sort(list, function(a, b)
    return a.name < b.name
  end)
  return list
end

---@param name string
---@param expected string
---@param good boolean
---@param measured any
---@param hint string?
---@return table
function M.check(name, expected, good, measured, hint)
  local state = good and "ok" or "red"
  return { name = name, expected = expected, state = state, measured = measured, hint = hint }
end

---@param test string
---@return string
function M.namespace(test)
  return "pai-active-" .. test
end

---Takes the namespace of a test away; it goes with all that is in it.
---@param ctx pai.ctx
---@param inp table
---@param test string
---@param wait boolean? until it is gone
function M.clean(ctx, inp, test, wait)
  ctx.k8s(inp.context):delete("namespaces", M.namespace(test), {
    absent = true,
    wait = wait,
    timeout = "10m",
  })
end

---Runs a test in its namespace.
---@param ctx pai.ctx
---@param inp table
---@param test string
---@param work fun(k: pai.ctx.k8s, namespace: string): table[] checks
---@return { checks: table[] }
function M.within(ctx, inp, test, work)
  local k, namespace = ctx.k8s(inp.context), M.namespace(test)
  M.clean(ctx, inp, test, true)
  return ctx.finally(function()
    k:apply({
      apiVersion = "v1",
      kind = "Namespace",
      metadata = {
        name = namespace,
        labels = {
          ["app.kubernetes.io/managed-by"] = "pai",
          ["pod-security.kubernetes.io/enforce"] = "baseline",
        },
        annotations = { ["pai/run"] = ctx.run_id },
      },
    })
    return { checks = work(k, namespace) }
  end, function()
    M.clean(ctx, inp, test)
  end)
end

---A pod's spec on one node. The tests tolerate what GPU nodes are usually tainted with.
---@param node string
---@param container table
---@param more table?
---@return table
function M.pod(node, container, more)
  container.name = "main"
  container.imagePullPolicy = "IfNotPresent"
  local spec = {
    restartPolicy = "Never",
    activeDeadlineSeconds = LIFE_S,
    terminationGracePeriodSeconds = 1,
    automountServiceAccountToken = false,
    nodeSelector = { ["kubernetes.io/hostname"] = node },
    tolerations = { { key = "nvidia.com/gpu", operator = "Exists" } },
    containers = { container },
  }
  for key, value in pairs(more or {}) do
    spec[key] = value
  end
  return spec
end

---@param namespace string
---@param name string
---@param spec table of the pod
---@return table
function M.job(namespace, name, spec)
  return {
    apiVersion = "batch/v1",
    kind = "Job",
    metadata = { name = name, namespace = namespace },
    spec = {
      backoffLimit = 0,
      activeDeadlineSeconds = LIFE_S,
      ttlSecondsAfterFinished = LIFE_S,
      template = { metadata = { labels = { test = name } }, spec = spec },
    },
  }
end

local function condition(job, kind)
  for _, c in ipairs(job.status and job.status.conditions or {}) do
    if c.type == kind and c.status == "True" then
      return c
    end
  end
end

---The log of a Job's pod, as far as it can be had.
---@param k pai.ctx.k8s
---@param namespace string
---@param name string
---@return string
function M.log(k, namespace, name)
  local lines = {}
  for _, pod in ipairs(k:list("pods", { namespace = namespace, labels = "test=" .. name })) do
    local labels = pod.metadata.labels or {}
    if labels.test == name then
      pcall(k.logs, k, pod.metadata.name, {
        namespace = namespace,
        tail = 50,
        on_line = function(line)
          lines[#lines + 1] = line
        end,
      })
    end
  end
  return table.concat(lines, "\n")
end

---Runs a Job to its end.
---@param ctx pai.ctx
---@param k pai.ctx.k8s
---@param job table
---@param inp table
---@return boolean completed
---@return string said its log; or why it did not complete
function M.run(ctx, k, job, inp)
  local namespace, name = job.metadata.namespace, job.metadata.name
  k:apply(job)
  local failed
  local ok, e = pcall(patience.wait, ctx, k, {
    what = "Job " .. name,
    namespace = namespace,
    timeout = inp.timeout,
    patience = inp.patience,
    look = function()
      local now = k:get("jobs", name, { namespace = namespace })
      failed = condition(now, "Failed")
      local st = now.status or {}
      return failed ~= nil or condition(now, "Complete") ~= nil,
        ("active %d, succeeded %d"):format(st.active or 0, st.succeeded or 0)
    end,
  })
  if not ok then
    if type(e) == "table" and e.code == "ECANCELED" then
      error(e, 0)
    end
    return false, type(e) == "table" and e.message or tostring(e)
  end
  local log = M.log(k, namespace, name)
  if failed then
    local last = log:match("([^\n]+)%s*$")
    local why = ("%s: %s"):format(failed.reason or "Failed", failed.message or "no message")
    return false, last and ("%s; its log ends: %s"):format(why, last) or why
  end
  return true, log
end

return M
