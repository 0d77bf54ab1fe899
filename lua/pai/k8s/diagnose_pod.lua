-- What is wrong with one pod, or one claim: see diagnose.lua.
local conditions = require("pai.k8s.conditions")

local M = {}

local EVENTS_MOST <const> = 3

---Adds the last warnings about an object.
---@param evidence string[]
---@param facts table
---@param object table
function M.add_events(evidence, facts, object)
  local mine = {}
  for _, e in ipairs(facts.events or {}) do
    local about = e.involvedObject or {}
    if about.uid == object.metadata.uid and e.type == "Warning" then
      mine[#mine + 1] = e
    end
  end
  local function when(e)
    return tostring(e.lastTimestamp or e.eventTime or e.metadata.creationTimestamp or "")
  end
  table.sort(mine, function(a, b)
    return when(a) > when(b)
  end)
  for i = 1, math.min(#mine, EVENTS_MOST) do
    local times = (mine[i].count or 1) > 1 and (" (%d times)"):format(mine[i].count) or ""
    evidence[#evidence + 1] = ("event %s: %s%s"):format(
      mine[i].reason or "?",
      mine[i].message or "",
      times
    )
  end
end

local function has_event(facts, object, text)
  for _, e in ipairs(facts.events or {}) do
    local about = e.involvedObject or {}
    if about.uid == object.metadata.uid and (e.message or ""):lower():find(text, 1, true) then
      return e.message
    end
  end
end

local function finding(pod, layer, state, message, next_step)
  return {
    layer = layer,
    kind = "Pod",
    name = pod.metadata.name,
    state = state,
    message = message,
    evidence = {},
    next = next_step,
  }
end

-- Why the scheduler found no node, by the words of its message.
local UNSCHEDULED <const> = {
  {
    "unbound",
    "storage",
    "its volume claim is not bound: look at the finding about the claim",
  },
  {
    "volume node affinity",
    "storage",
    "its volume lies where no node fits: a claim that several nodes share needs ReadWriteMany",
  },
  {
    "insufficient nvidia.com/gpu",
    "capacity",
    "no node has so many free GPUs: free some, add a node, or ask for fewer; without any "
      .. "nvidia.com/gpu on the nodes the GPU operator's device plugin is what is missing",
  },
  { "insufficient ", "capacity", "no node has room: free some, add a node, or ask for less" },
  { "too many pods", "capacity", "the nodes take no more pods: add a node" },
  {
    "taint",
    "taints",
    "no node without a taint fits: give the pod the toleration that the message names",
  },
  {
    "node affinity",
    "taints",
    "no node has the labels that the pod asks for: look at its nodeSelector and affinity",
  },
  {
    "node selector",
    "taints",
    "no node has the labels that the pod asks for: look at its nodeSelector and affinity",
  },
}

local function gpus(facts)
  local total = 0
  for _, node in ipairs(facts.nodes or {}) do
    local allocatable = node.status and node.status.allocatable or {}
    total = total + (tonumber(allocatable["nvidia.com/gpu"]) or 0)
  end
  return total
end

local function unscheduled(pod, facts)
  local c = conditions.find(pod, "PodScheduled")
  if not c or c.status ~= "False" then
    return nil
  end
  local message = c.message or c.reason or "no node was found"
  local lower = message:lower()
  for _, row in ipairs(UNSCHEDULED) do
    if lower:find(row[1], 1, true) then
      local f = finding(pod, row[2], "Pending", "no node takes it: " .. message, row[3])
      if lower:find("nvidia.com/gpu", 1, true) then
        f.evidence[1] = ("GPUs that all nodes together offer: %d"):format(gpus(facts))
      end
      return f
    end
  end
  return finding(
    pod,
    "capacity",
    "Pending",
    "no node takes it: " .. message,
    "read the scheduler's message: it counts the nodes by what they lack"
  )
end

local CREDENTIAL <const> = { "unauthorized", "denied", "authentication required", "403", "401" }

local function image_finding(pod, c, state, facts)
  local said = (state.message or "") .. " " .. (has_event(facts, pod, "pull") or "")
  local lower = said:lower()
  for _, word in ipairs(CREDENTIAL) do
    if lower:find(word, 1, true) then
      return finding(
        pod,
        "credential",
        state.reason,
        ("the registry refuses %s"):format(c.image),
        "is the pull secret there, named by the pod or its service account, and its key valid?"
      )
    end
  end
  local missing = lower:find("not found", 1, true) or lower:find("manifest unknown", 1, true)
  return finding(
    pod,
    "image",
    state.reason,
    ("the image %s cannot be pulled"):format(c.image),
    missing and "the registry has no such name or tag: correct it"
      or "check the image's name and tag, and whether the node reaches the registry"
  )
end

local function crash_finding(pod, c)
  local last = c.lastState and c.lastState.terminated or c.state and c.state.terminated or {}
  if last.reason == "OOMKilled" then
    return finding(
      pod,
      "memory",
      "OOMKilled",
      ("%s was ended for want of memory (code %s)"):format(c.name, tostring(last.exitCode or 137)),
      "give it a higher memory limit, or a smaller model or batch"
    )
  end
  local code = last.exitCode and (" with code %d"):format(last.exitCode) or ""
  local f = finding(
    pod,
    "config",
    "CrashLoopBackOff",
    ("%s ends%s and is started again, %d times so far"):format(c.name, code, c.restartCount or 0),
    ("read what it said: pai k8s logs %s --container %s --previous"):format(
      pod.metadata.name,
      c.name
    )
  )
  if last.message then
    f.evidence[1] = "it said: " .. last.message
  end
  return f
end

local IMAGE <const> = {
  ImagePullBackOff = true,
  ErrImagePull = true,
  ErrImageNeverPull = true,
  InvalidImageName = true,
  RegistryUnavailable = true,
}

local function container_finding(pod, c, facts)
  local waiting = c.state and c.state.waiting
  local ended = c.state and c.state.terminated
  if waiting and IMAGE[waiting.reason] then
    return image_finding(pod, c, waiting, facts)
  elseif waiting and waiting.reason == "CrashLoopBackOff" then
    return crash_finding(pod, c)
  elseif ended and ended.reason == "OOMKilled" then
    return crash_finding(pod, c)
  elseif
    waiting
    and (
      waiting.reason == "CreateContainerConfigError"
      or waiting.reason == "CreateContainerError"
      or waiting.reason == "RunContainerError"
    )
  then
    return finding(
      pod,
      "config",
      waiting.reason,
      ("%s cannot be made: %s"):format(c.name, waiting.message or waiting.reason),
      "make the Secret or ConfigMap that the message names, or correct its name in the pod"
    )
  end
end

local function mount_finding(pod, facts)
  local said = has_event(facts, pod, "failedmount")
    or has_event(facts, pod, "unable to attach or mount")
    or has_event(facts, pod, "multi-attach")
  return said
    and finding(
      pod,
      "storage",
      "Pending",
      "a volume cannot be mounted: " .. said,
      "is the claim's access mode right for several nodes, and the Secret or share there?"
    )
end

local function sandbox_finding(pod, facts)
  local said = has_event(facts, pod, "runtimeclass") or has_event(facts, pod, "no runtime for")
  return said
    and finding(
      pod,
      "cluster",
      "Pending",
      "the container runtime does not know the pod's RuntimeClass: " .. said,
      "the RuntimeClass 'nvidia' needs the handler 'nvidia' on GPU nodes and 'runc' without GPUs"
    )
end

local function node_of(pod, facts)
  for _, node in ipairs(facts.nodes or {}) do
    if node.metadata.name == (pod.spec and pod.spec.nodeName) then
      return node
    end
  end
end

local function state_finding(pod, facts)
  local st = pod.status or {}
  if st.phase == "Unknown" or st.reason == "NodeLost" then
    local name = pod.spec and pod.spec.nodeName or "?"
    local next_step = "bring the node back; the pod is of no use until then"
    return finding(
      pod,
      "cluster",
      "Unknown",
      ("the node %s does not answer"):format(name),
      next_step
    )
  elseif st.phase == "Succeeded" then
    return nil
  elseif st.phase == "Failed" then
    local text = st.message or st.reason or "a container ended with an error"
    local memory = tostring(st.reason) == "Evicted"
    return finding(
      pod,
      memory and "capacity" or "config",
      st.reason or "Failed",
      "the pod has failed: " .. text,
      memory and "the node ran out of memory or disk: free some, or ask for what it really needs"
        or ("read what it said: pai k8s logs %s"):format(pod.metadata.name)
    )
  end
  for _, list in ipairs({ st.initContainerStatuses or {}, st.containerStatuses or {} }) do
    for _, c in ipairs(list) do
      local found = container_finding(pod, c, facts)
      if found then
        return found
      end
    end
  end
  if st.phase == "Pending" then
    return unscheduled(pod, facts)
      or mount_finding(pod, facts)
      or sandbox_finding(pod, facts)
      or nil
  end
end

---What is wrong with a pod, or nil.
---@param pod table
---@param facts table see diagnose.find
---@return pai.k8s.Finding?
function M.pod(pod, facts)
  local f = state_finding(pod, facts)
  if not f then
    return nil
  end
  local images = {}
  for i, c in ipairs(pod.spec and pod.spec.containers or {}) do
    images[i] = c.image
  end
  M.add_events(f.evidence, facts, pod)
  f.evidence[#f.evidence + 1] = "image: " .. table.concat(images, ", ")
  local node = node_of(pod, facts)
  if node then
    local ready = conditions.find(node, "Ready")
    local state = ready and ready.status == "True" and "ready" or "not ready"
    f.evidence[#f.evidence + 1] = ("node: %s, %s"):format(node.metadata.name, state)
  end
  return f
end

local function class_of(claim, facts)
  local name = claim.spec and claim.spec.storageClassName
  local default = {}
  for _, class in ipairs(facts.classes or {}) do
    local marks = class.metadata.annotations or {}
    if class.metadata.name == name then
      return class, name
    elseif marks["storageclass.kubernetes.io/is-default-class"] == "true" then
      default[#default + 1] = class
    end
  end
  return nil, name, default
end

---What is wrong with a claim that is not bound.
---@param claim table
---@param facts table
---@return pai.k8s.Finding
function M.claim(claim, facts)
  local class, name, default = class_of(claim, facts)
  local spec = claim.spec or {}
  local f = {
    layer = "storage",
    kind = "PersistentVolumeClaim",
    name = claim.metadata.name,
    state = claim.status.phase,
    message = "the claim has no volume",
    evidence = {
      ("class: %s, access: %s"):format(
        name or "none given",
        table.concat(spec.accessModes or {}, ", ")
      ),
    },
    next = "look at the provisioner of the storage class",
  }
  if claim.status.phase == "Lost" then
    f.message, f.next = "the claim's volume is gone", "restore the volume, or make the claim anew"
  elseif name and name ~= "" and not class and facts.classes and #facts.classes > 0 then
    f.message = ("the storage class '%s' does not exist"):format(name)
    f.next = "name one that is there, or make it"
  elseif not name and default and #default == 0 and facts.classes then
    f.message = "the claim names no storage class and the cluster has no default"
    f.next = "name a class in the claim, or mark one as the default"
  elseif class and class.volumeBindingMode == "WaitForFirstConsumer" then
    f.message = "the claim waits for the first pod that uses it"
    f.next = "look at the pod that uses it; without one this is as it should be"
  end
  M.add_events(f.evidence, facts, claim)
  return f
end

return M
