-- ctx.check.kube: what gates ask of a cluster. Each function makes one check for a gate's list; the
-- cluster is always named by context. Field names are those of the Kubernetes API reference.
local semver = require("pai.semver")

local M = {}

local RUNTIME_CLASS <const> = { apiVersion = "node.k8s.io/v1", kind = "RuntimeClass" }
local GPU <const> = "nvidia.com/gpu"
local DEFAULT_CLASS <const> = "storageclass.kubernetes.io/is-default-class"

---Names for a message: the first few, and how many more there are.
local function some(names)
  table.sort(names)
  local shown = table.concat(names, ", ", 1, math.min(#names, 5))
  return #names > 5 and ("%s and %d more"):format(shown, #names - 5) or shown
end

local function condition(object, kind)
  for _, c in ipairs(object.status and object.status.conditions or {}) do
    if c.type == kind then
      return c
    end
  end
end

---Whether a pod is as it should be: Ready, or ended well. `0/1 Running` is not.
---@param pod table
---@return boolean fine
---@return string why
function M.pod_state(pod)
  local st = pod.status or {}
  local ready = condition(pod, "Ready")
  if st.phase == "Succeeded" or (ready and ready.status == "True") then
    return true, st.phase
  end
  for _, list in ipairs({ st.initContainerStatuses or {}, st.containerStatuses or {} }) do
    for _, c in ipairs(list) do
      local waiting = c.state and c.state.waiting
      if waiting and waiting.reason and waiting.reason ~= "PodInitializing" then
        return false, waiting.reason
      end
    end
  end
  local scheduled = condition(pod, "PodScheduled")
  if scheduled and scheduled.status == "False" then
    return false, scheduled.message or scheduled.reason or "not scheduled"
  end
  return false, st.phase == "Running" and "not ready" or st.phase or "no phase"
end

---GPUs of a node that pods may ask for.
---@param node table
---@return integer
function M.gpus_of(node)
  local allocatable = node.status and node.status.allocatable or {}
  return math.tointeger(tonumber(allocatable[GPU] or 0)) or 0
end

---Whether a node has a GPU, as GPU feature discovery or its own capacity says.
---@param node table
---@return boolean
function M.has_gpu(node)
  local labels = node.metadata.labels or {}
  local capacity = node.status and node.status.capacity or {}
  return labels["nvidia.com/gpu.present"] == "true" or capacity[GPU] ~= nil
end

---Adds `kube` to ctx.check.
---@param ctx table
---@return pai.ctx.check.kube
function M.new(ctx)
  ---@class pai.ctx.check.kube
  local kube = {}

  local function check(context, name, expected, hint, look)
    return {
      name = name,
      expected = expected,
      hint = hint,
      run = function()
        return look(ctx.k8s(context))
      end,
    }
  end

  ---The API server answers, in a version that fits.
  ---@param context string
  ---@param opts { minimum: string?, below: string? }?
  ---@return table check
  function kube.version(context, opts)
    opts = opts or {}
    local wanted = opts.minimum and ">= " .. opts.minimum or "answers"
    wanted = opts.below and ("%s, < %s"):format(wanted, opts.below) or wanted
    local hint = "is the cluster up, and does the context name it?"
    return check(context, "Kubernetes API of " .. context, wanted, hint, function(k)
      local said = k:version().gitVersion
      local version = semver.find(said)
      if not version then
        return { state = "red", measured = "no version in: " .. tostring(said) }
      end
      local fits = not opts.minimum or semver.within(version, opts.minimum, opts.below)
      return { state = fits and "ok" or "red", measured = said }
    end)
  end

  ---Every node is Ready.
  ---@param context string
  ---@return table check
  function kube.nodes_ready(context)
    local hint = "look at the node's conditions and the journal of its kubelet"
    return check(context, "nodes", "all Ready", hint, function(k)
      local bad, n = {}, 0
      for _, node in ipairs(k:list("nodes")) do
        n = n + 1
        local ready = condition(node, "Ready")
        if not ready or ready.status ~= "True" then
          local why = ready and (ready.reason or ready.status) or "no condition"
          bad[#bad + 1] = ("%s: %s"):format(node.metadata.name, why)
        end
      end
      if n == 0 then
        return { state = "red", measured = "no node" }
      elseif #bad > 0 then
        return { state = "red", measured = some(bad) }
      end
      return { state = "ok", measured = ("%d Ready"):format(n) }
    end)
  end

  ---Every GPU node has GPUs that pods may ask for.
  ---@param context string
  ---@param opts { least: integer? }? of the whole cluster, default 1
  ---@return table check
  function kube.gpus(context, opts)
    local least = opts and opts.least or 1
    local hint = "look at the device plugin and the validator in the GPU operator's namespace"
    return check(context, "GPUs", (">= %d allocatable"):format(least), hint, function(k)
      local empty, total, nodes = {}, 0, 0
      for _, node in ipairs(k:list("nodes")) do
        local n = M.gpus_of(node)
        total = total + n
        if n > 0 or M.has_gpu(node) then
          nodes = nodes + 1
        end
        if n == 0 and M.has_gpu(node) then
          empty[#empty + 1] = node.metadata.name
        end
      end
      if #empty > 0 then
        return { state = "red", measured = "none allocatable on " .. some(empty) }
      end
      return {
        state = total >= least and "ok" or "red",
        measured = ("%d on %d nodes"):format(total, nodes),
      }
    end)
  end

  ---A RuntimeClass has this handler. A handler can't be changed in place.
  ---@param context string
  ---@param name string
  ---@param handler string
  ---@return table check
  function kube.runtime_class(context, name, handler)
    local hint = "a handler can't be changed: the class is deleted and made anew"
    return check(context, "RuntimeClass " .. name, "handler " .. handler, hint, function(k)
      local class = k:get(RUNTIME_CLASS, name, { accept = { "NotFound" } })
      if not class then
        return { state = "red", measured = "there is none" }
      end
      local fits = class.handler == handler
      return { state = fits and "ok" or "red", measured = "handler " .. tostring(class.handler) }
    end)
  end

  ---One StorageClass, and no other, is the default.
  ---@param context string
  ---@param name string? this one
  ---@return table check
  function kube.default_class(context, name)
    local hint = "mark one class with the annotation " .. DEFAULT_CLASS .. ", and no other"
    local wanted = name and "only " .. name or "exactly one"
    return check(context, "default StorageClass", wanted, hint, function(k)
      local found = {}
      for _, class in ipairs(k:list("storageclasses")) do
        local marks = class.metadata.annotations or {}
        if marks[DEFAULT_CLASS] == "true" then
          found[#found + 1] = class.metadata.name
        end
      end
      local fits = #found == 1 and (not name or found[1] == name)
      return { state = fits and "ok" or "red", measured = #found > 0 and some(found) or "none" }
    end)
  end

  ---Every pod of these namespaces is Ready or has ended well, and there is one.
  ---@param context string
  ---@param namespaces string[]
  ---@return table check
  function kube.pods_ready(context, namespaces)
    local hint = "look at the pod's events and its last log"
    local name = "pods of " .. table.concat(namespaces, ", ")
    return check(context, name, "all Ready", hint, function(k)
      local bad, n = {}, 0
      for _, namespace in ipairs(namespaces) do
        local here = 0
        for _, pod in ipairs(k:list("pods", { namespace = namespace })) do
          here = here + 1
          local fine, why = M.pod_state(pod)
          if not fine then
            bad[#bad + 1] = ("%s/%s: %s"):format(namespace, pod.metadata.name, why)
          end
        end
        if here == 0 then
          bad[#bad + 1] = namespace .. ": no pod"
        end
        n = n + here
      end
      if #bad > 0 then
        return { state = "red", measured = some(bad) }
      end
      return { state = "ok", measured = ("%d Ready"):format(n) }
    end)
  end

  ---No Service of a namespace is reachable from outside of the cluster.
  ---@param context string
  ---@param namespaces string[]
  ---@return table check
  function kube.no_exposure(context, namespaces)
    local hint = "a service without authentication must be of type ClusterIP"
    local name = "Services of " .. table.concat(namespaces, ", ")
    return check(context, name, "none LoadBalancer or NodePort", hint, function(k)
      local open = {}
      for _, namespace in ipairs(namespaces) do
        for _, service in ipairs(k:list("services", { namespace = namespace })) do
          local kind = service.spec and service.spec.type
          if kind == "LoadBalancer" or kind == "NodePort" then
            open[#open + 1] = ("%s/%s: %s"):format(namespace, service.metadata.name, kind)
          end
        end
      end
      return { state = #open == 0 and "ok" or "red", measured = #open > 0 and some(open) or "none" }
    end)
  end

  ---Nothing is wrong in these namespaces; what is, by layer with its evidence, the lowest first.
  ---@param context string
  ---@param namespaces string[]
  ---@return table check
  function kube.in_order(context, namespaces)
    local name = "diagnosis of " .. table.concat(namespaces, ", ")
    return check(context, name, "nothing is wrong", nil, function(k)
      local found = {}
      for _, namespace in ipairs(namespaces) do
        for _, one in ipairs(k:checks({ namespace = namespace })) do
          found[#found + 1] = one.state == "red" and one or nil
        end
      end
      if #found == 0 then
        return { state = "ok", measured = "nothing is wrong" }
      end
      local said = {}
      for i = 1, math.min(#found, 3) do
        said[i] = ("%s: %s"):format(found[i].name, found[i].measured)
      end
      local more = #found > 3 and ("; and %d more"):format(#found - 3) or ""
      return {
        state = "red",
        measured = table.concat(said, "; ") .. more,
        hint = found[1].hint,
      }
    end)
  end

  return kube
end

return M
