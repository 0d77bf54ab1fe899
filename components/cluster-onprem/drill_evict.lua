-- The pods of a node that is drained: which of them go, what would be lost, and their eviction.
local watch = require("cluster-onprem.drill_watch")

local M = {}

local MIRROR <const> = "kubernetes.io/config.mirror"

local check, some = watch.check, watch.some

local function owner_of(pod)
  for _, ref in ipairs(pod.metadata.ownerReferences or {}) do
    if ref.controller then
      return ref.kind
    end
  end
end

---Pods that a drain evicts: neither static, nor a DaemonSet's, nor at their end.
---@param k pai.ctx.k8s
---@param node string
---@return table[]
function M.list(k, node)
  local list = {}
  for _, pod in ipairs(k:list("pods", { all = true, fields = "spec.nodeName=" .. node })) do
    local phase = pod.status and pod.status.phase
    local static = (pod.metadata.annotations or {})[MIRROR] or owner_of(pod) == "Node"
    local kept = pod.spec.nodeName ~= node
      or static
      or owner_of(pod) == "DaemonSet"
      or phase == "Succeeded"
      or phase == "Failed"
    list[#list + 1] = not kept and pod or nil
  end
  return list
end

local function title(pod)
  return pod.metadata.namespace .. "/" .. pod.metadata.name
end

---Pods that would not come back, and pods that would come back empty.
---@param pods table[]
---@return string[] bare
---@return string[] scratch with an emptyDir
function M.lossy(pods)
  local bare, scratch = {}, {}
  for _, pod in ipairs(pods) do
    bare[#bare + 1] = not owner_of(pod) and title(pod) or nil
    for _, volume in ipairs(pod.spec.volumes or {}) do
      if volume.emptyDir then
        scratch[#scratch + 1] = title(pod)
        break
      end
    end
  end
  return bare, scratch
end

-- Why a pod was not evicted: its budgets, by name.
local function held(pod, e)
  local parts = {}
  for _, budget in ipairs(e.budgets or {}) do
    local name = budget.name and pod.metadata.namespace .. "/" .. budget.name or "?"
    parts[#parts + 1] = ("held by PodDisruptionBudget %s: %s"):format(name, budget.message)
  end
  return ("%s %s"):format(title(pod), #parts > 0 and table.concat(parts, "; ") or e.message)
end

---Evicts until no pod is left; what a budget holds is asked again until the time is over.
---@param ctx pai.ctx
---@param k pai.ctx.k8s
---@param inp table
---@param name string the node
---@return table check
function M.all(ctx, k, inp, name)
  local evicted, asked, why = 0, {}, {}
  local ok, seen = watch.wait(ctx, {
    what = "the pods of " .. name .. " to go",
    timeout = inp.budget_timeout,
    look = function()
      local left = M.list(k, name)
      why = {}
      for _, pod in ipairs(left) do
        local uid = pod.metadata.uid
        if pod.metadata.deletionTimestamp or asked[uid] then
          why[#why + 1] = title(pod) .. " is ending"
        else
          local gone, e = k:evict(pod.metadata.name, {
            namespace = pod.metadata.namespace,
            uid = uid,
            accept = { "TooManyRequests", "NotFound", "Conflict" },
          })
          asked[uid] = gone
          evicted = evicted + (gone and 1 or 0)
          why[#why + 1] = not gone and e.reason ~= "NotFound" and held(pod, e) or nil
        end
      end
      return #left == 0, some(why, "all were asked to go")
    end,
  })
  local hint = "a budget that allows no disruption holds every drain: more replicas, or a wider one"
  local measured = ok and ("%d evicted"):format(evicted) or seen
  return check("pods of " .. name, "evicted", ok, measured, hint)
end

return M
