-- What a drill looks at beside what it takes away: the API server through the VIP, Longhorn's
-- volumes, and the workloads. Fields: longhorn.io/v1beta2 Volume and Replica.
local gates = require("cluster-onprem.gates")

local M = {}

local ABSENT <const> = { "NotFound", "NoKind" }
local VOLUME <const> = { apiVersion = "longhorn.io/v1beta2", kind = "Volume" }
local REPLICA <const> = { apiVersion = "longhorn.io/v1beta2", kind = "Replica" }

---@param name string
---@param expected any
---@param good boolean
---@param measured any
---@param hint string?
---@param bad string? state of one that is not good, default "red"
---@return table check
function M.check(name, expected, good, measured, hint, bad)
  local state = good and "ok" or bad or "red"
  return { name = name, expected = expected, state = state, measured = measured, hint = hint }
end

---The first names of a list, and how many more there are.
---@param list string[]
---@param none string what is said of an empty one
---@return string
function M.some(list, none)
  table.sort(list)
  local shown = table.concat(list, ", ", 1, math.min(#list, 5))
  return #list == 0 and none or #list > 5 and ("%s and %d more"):format(shown, #list - 5) or shown
end

---Raises what is no answer but the end of the step.
---@param e any
function M.unless_cancelled(e)
  if type(e) == "table" and e.code == "ECANCELED" then
    error(e, 0)
  end
end

---@param e any
---@return string
function M.said(e)
  return type(e) == "table" and e.message or tostring(e)
end

---Waits until `look` gives true.
---@param ctx pai.ctx
---@param opts { what: string, timeout: string, look: fun(): boolean, string? }
---@return boolean met
---@return string? seen what `look` said last
function M.wait(ctx, opts)
  local seen
  local ok, e = pcall(ctx.wait, function()
    local met
    met, seen = opts.look()
    if not met then
      ctx.heartbeat({ state = "waiting", observation = seen, next = opts.what })
    end
    return met
  end, { every = "1s", timeout = opts.timeout, what = opts.what })
  if not ok and not (type(e) == "table" and e.code == "ETIMEDOUT") then
    error(e, 0)
  end
  return ok, seen
end

---Asks the API server again and again until `over` says so.
---@param ctx pai.ctx
---@param k pai.ctx.k8s
---@param over fun(): boolean
---@return { asked: integer, failed: integer, gap_s: integer, said: string? }
function M.api(ctx, k, over)
  local seen, away_since = { asked = 0, failed = 0, gap_s = 0 }, nil
  ctx.wait(function()
    local last = over()
    local began = os.time()
    local ok, status, body = pcall(k.raw, k, "/readyz", { timeout = "5s", once = true })
    if not ok then
      M.unless_cancelled(status)
    end
    seen.asked = seen.asked + 1
    if ok and status == 200 then
      away_since = nil
    else
      seen.failed = seen.failed + 1
      away_since = away_since or began
      seen.gap_s = math.max(seen.gap_s, os.time() - away_since)
      seen.said = ok and ("HTTP %d %s"):format(status, tostring(body):match("[^\n]*"))
        or M.said(status)
    end
    return last
  end, { every = "500ms", timeout = "4h", what = "the end of the drill" })
  return seen
end

---The check of what M.api has seen.
---@param inp table
---@param seen table
---@return table
function M.api_check(inp, seen)
  local measured = seen.failed == 0 and ("%d of %d answers"):format(seen.asked, seen.asked)
    or ("%d of %d answers, away for %d s: %s"):format(
      seen.asked - seen.failed,
      seen.asked,
      seen.gap_s,
      seen.said
    )
  local hint = "kube-vip's lease plndr-cp-lock; does the context's server have the VIP?"
  local bad = seen.gap_s <= inp.api_gap and "warn" or "red"
  return M.check("API through the VIP", "every answer", seen.failed == 0, measured, hint, bad)
end

---Longhorn's volumes by name; empty where there is no Longhorn.
---@param k pai.ctx.k8s
---@return table<string, { state: string, robustness: string }>
function M.volumes(k)
  local all = {}
  for _, one in ipairs(k:list(VOLUME, { all = true, accept = ABSENT }) or {}) do
    local st = one.status or {}
    all[one.metadata.name] = {
      state = st.state or "unknown",
      robustness = st.robustness or "unknown",
    }
  end
  return all
end

---Volumes that are attached and have a replica on a node.
---@param k pai.ctx.k8s
---@param node string
---@return string[] names
function M.attached_on(k, node)
  local volumes, list, seen = M.volumes(k), {}, {}
  for _, one in ipairs(k:list(REPLICA, { all = true, accept = ABSENT }) or {}) do
    local spec = one.spec or {}
    local volume = volumes[spec.volumeName]
    if
      spec.nodeID == node
      and volume
      and volume.state == "attached"
      and not seen[spec.volumeName]
    then
      seen[spec.volumeName] = true
      list[#list + 1] = spec.volumeName
    end
  end
  table.sort(list)
  return list
end

---Those of the volumes that are in one of these states.
---@param k pai.ctx.k8s
---@param wanted table<string, boolean> robustness
---@param only string[]? names; all if not given
---@return string[] "NAME STATE"
function M.volumes_that_are(k, wanted, only)
  local volumes, list, names = M.volumes(k), {}, only
  if not names then
    names = {}
    for name in pairs(volumes) do
      names[#names + 1] = name
    end
  end
  for _, name in ipairs(names) do
    local robustness = volumes[name] and volumes[name].robustness
    list[#list + 1] = wanted[robustness] and ("%s %s"):format(name, robustness) or nil
  end
  table.sort(list)
  return list
end

local KINDS <const> = { deployments = "availableReplicas", statefulsets = "readyReplicas" }

---Deployments and StatefulSets that have all of their pods: "deployments NAMESPACE/NAME".
---@param k pai.ctx.k8s
---@return table<string, boolean> whole
---@return table<string, boolean> there all that there are
function M.workloads(k)
  local whole, there = {}, {}
  for kind, field in pairs(KINDS) do
    for _, one in ipairs(k:list(kind, { all = true })) do
      local name = ("%s %s/%s"):format(kind, one.metadata.namespace, one.metadata.name)
      there[name] = true
      local wanted = one.spec and one.spec.replicas or 1
      whole[name] = (one.status and one.status[field] or 0) >= wanted or nil
    end
  end
  return whole, there
end

---Waits until the workloads that were whole are so again; one that somebody removed is.
---@param ctx pai.ctx
---@param k pai.ctx.k8s
---@param inp table
---@param before string[]
---@return table check
function M.workloads_back(ctx, k, inp, before)
  local lacking
  local ok = M.wait(ctx, {
    what = "the workloads to be whole again",
    timeout = inp.timeout,
    look = function()
      local whole, there = M.workloads(k)
      lacking = {}
      for _, name in ipairs(before) do
        lacking[#lacking + 1] = there[name] and not whole[name] and name or nil
      end
      return #lacking == 0, M.some(lacking, "none")
    end,
  })
  local measured = ok and ("%d as before"):format(#before) or "not: " .. M.some(lacking, "none")
  return M.check("workloads", "whole again", ok, measured, "pai k8s diagnose --context CONTEXT")
end

---Pods of a namespace that a DaemonSet of such a name has made, by node.
---@param k pai.ctx.k8s
---@param namespace string
---@param pattern string
---@return table<string, table>
function M.of_daemonset(k, namespace, pattern)
  local by_node = {}
  for _, pod in ipairs(k:list("pods", { namespace = namespace })) do
    for _, ref in ipairs(pod.metadata.ownerReferences or {}) do
      local mine = ref.kind == "DaemonSet" and ref.name:find(pattern)
      if mine and pod.spec.nodeName and not pod.metadata.deletionTimestamp then
        by_node[pod.spec.nodeName] = pod
      end
    end
  end
  return by_node
end

---@param pod table?
---@return boolean
function M.is_ready(pod)
  return pod ~= nil and gates.is(pod, "Ready")
end

return M
