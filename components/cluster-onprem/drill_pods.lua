-- The drills that take one pod away: a GPU driver's, and the MetalLB speaker's that announces an
-- address. Who announces: MetalLB's ServiceL2Status ("Usage", status of an L2 service) and its
-- event nodeAssigned on the Service, which stays when the address has moved back.
local gates = require("cluster-onprem.gates")
local patience = require("cluster-onprem.patience")
local network = require("cluster-onprem.trials_network")
local probe = require("cluster-onprem.probe")
local trials = require("cluster-onprem.trials")
local watch = require("cluster-onprem.drill_watch")

local M = {}

local GPU <const> = "nvidia.com/gpu"
local OPERATOR <const> = "gpu-operator"
local METALLB <const> = "metallb-system"
local ABSENT <const> = { "NotFound", "NoKind" }
local L2_STATUS <const> = { apiVersion = "metallb.io/v1beta1", kind = "ServiceL2Status" }
local DRIVER_TEST <const> = "drill-driver"
local SPEAKER_TEST <const> = "drill-speaker"

local check, some = watch.check, watch.some

-- Pods of a namespace that a DaemonSet of such a name has made, by node.
local function of_daemonset(k, namespace, pattern)
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

local function is_ready(pod)
  return pod ~= nil and gates.is(pod, "Ready")
end

-- Pods that hold a GPU, by node.
local function busy(k)
  local by_node = {}
  for _, pod in ipairs(k:list("pods", { all = true })) do
    local phase = pod.status and pod.status.phase
    local node = pod.spec.nodeName
    local runs = node and phase ~= "Succeeded" and phase ~= "Failed"
    for _, c in ipairs(runs and pod.spec.containers or {}) do
      local limits = c.resources and c.resources.limits or {}
      if tonumber(limits[GPU] or 0) ~= 0 then
        by_node[node] = by_node[node] or {}
        table.insert(by_node[node], pod.metadata.namespace .. "/" .. pod.metadata.name)
        break
      end
    end
  end
  return by_node
end

---Which driver pod is to go, and how many GPUs there are.
---@param ctx pai.ctx
---@param inp table
---@return table found
function M.look_driver(ctx, inp)
  local k = ctx.k8s(inp.context)
  local held, drivers = busy(k), of_daemonset(k, OPERATOR, "^nvidia%-driver%-daemonset")
  local chosen, first
  for _, one in ipairs(probe.workers(k)) do
    local meant = one.gpus > 0 and (inp.node == nil or inp.node == one.name)
    first = first or (meant and one)
    chosen = chosen or (meant and not held[one.name] and one)
  end
  local one = chosen or first
  if not one then
    local said = inp.node and inp.node .. " is none that takes pods" or "there is none"
    return { checks = { check("GPU node", "one with GPUs", false, said) } }
  end
  local driver = drivers[one.name]
  local users = held[one.name] or {}
  local hint = "no driver container there? driver.enabled=false has none to delete"
  return {
    node = one.name,
    gpus = one.gpus,
    uid = driver and driver.metadata.uid,
    pod = driver and driver.metadata.name,
    checks = {
      check("GPU node", "one with GPUs", true, ("%s, %d GPUs"):format(one.name, one.gpus)),
      check(
        "pods that use its GPUs",
        "none",
        #users == 0,
        some(users, "none"),
        "the driver's restart ends them: wait, or choose another with node="
      ),
      check(
        "driver pod",
        "Ready",
        is_ready(driver),
        driver and driver.metadata.name or "none",
        hint
      ),
    },
  }
end

-- Another driver pod than the one before, Ready, and as many GPUs as there were.
local function driver_back(k, found)
  local pod = of_daemonset(k, OPERATOR, "^nvidia%-driver%-daemonset")[found.node]
  local node = k:get("nodes", found.node)
  local gpus = math.tointeger(tonumber((node.status.allocatable or {})[GPU] or 0))
  local new = pod and pod.metadata.uid ~= found.uid
  local said = ("%s, %d of %d GPUs"):format(
    not new and "no new driver pod" or pod.metadata.name .. (is_ready(pod) and "" or " not Ready"),
    gpus,
    found.gpus
  )
  return new and is_ready(pod) and gpus == found.gpus, said
end

---Deletes the driver pod, unless a run before has; its GPUs come back.
---@param ctx pai.ctx
---@param inp table
---@param found table
---@return { checks: table[] }
function M.driver(ctx, inp, found)
  local k = ctx.k8s(inp.context)
  local now = k:get("pods", found.pod, { namespace = OPERATOR, accept = ABSENT })
  if now and now.metadata.uid == found.uid then
    k:delete("pods", found.pod, { namespace = OPERATOR, uid = found.uid, absent = true })
    ctx.log(("%s on %s is deleted"):format(found.pod, found.node))
  end
  local seen
  local ok, e = pcall(patience.wait, ctx, k, {
    what = "the GPUs of " .. found.node,
    namespace = OPERATOR,
    timeout = inp.timeout,
    patience = inp.patience,
    look = function()
      local back
      back, seen = driver_back(k, found)
      return back, seen
    end,
  })
  if not ok then
    watch.unless_cancelled(e)
  end
  local hint = "its log: is a GPU in use, does it build for the node's kernel?"
  local expected = ("%d, by a new driver pod"):format(found.gpus)
  local checks = {
    check("GPUs of " .. found.node, expected, ok, ok and seen or watch.said(e), hint),
  }
  if ok then
    local computed = trials.vectoradd(ctx, inp, DRIVER_TEST, { { name = found.node, gpus = 1 } })
    table.move(computed.checks, 1, #computed.checks, 2, checks)
  end
  return { checks = checks }
end

---@param ctx pai.ctx
---@param inp table
function M.clean_driver(ctx, inp)
  probe.clean(ctx, inp, DRIVER_TEST)
end

---Whether there are speakers among which an address can move.
---@param ctx pai.ctx
---@param inp table
---@return table found
function M.look_speakers(ctx, inp)
  local k = ctx.k8s(inp.context)
  local ready, down = 0, {}
  for node, pod in pairs(of_daemonset(k, METALLB, "speaker$")) do
    ready = ready + (is_ready(pod) and 1 or 0)
    down[#down + 1] = not is_ready(pod) and node or nil
  end
  local measured = #down > 0 and "not Ready on " .. some(down, "") or ready
  local hint = "an address can only move to another node's speaker"
  return {
    checks = {
      check("speakers", "2 or more, all Ready", ready >= 2 and #down == 0, measured, hint),
    },
  }
end

-- Nodes that announce a Service, as their speakers say.
local function announcing(k, namespace)
  local list = {}
  for _, one in ipairs(k:list(L2_STATUS, { namespace = METALLB, accept = ABSENT }) or {}) do
    local st = one.status or {}
    if st.serviceName == "web" and st.serviceNamespace == namespace then
      list[#list + 1] = st.node
    end
  end
  return list
end

-- What the events of the Service say: event → how often, and the node of each.
local function assignments(k, namespace)
  local counts, nodes, latest = {}, {}, nil
  for _, event in ipairs(k:list("events", { namespace = namespace })) do
    local node = event.reason == "nodeAssigned"
      and tostring(event.message):match('announcing from node "([^"]+)"')
    if node and event.involvedObject and event.involvedObject.name == "web" then
      local id = event.metadata.uid
      counts[id], nodes[id] = event.count or 1, node
      local at = event.lastTimestamp or event.eventTime or ""
      latest = (not latest or at >= latest.at) and { at = at, node = node } or latest
    end
  end
  return counts, nodes, latest and latest.node
end

-- The node that announces: by the status, else by the last event.
local function owner(k, namespace)
  local by_status = announcing(k, namespace)
  if #by_status > 0 then
    return by_status[1]
  end
  local _, _, latest = assignments(k, namespace)
  return latest
end

-- Another node that has announced it since.
local function moved_to(k, namespace, from, before)
  for _, node in ipairs(announcing(k, namespace)) do
    if node ~= from then
      return node
    end
  end
  local counts, nodes = assignments(k, namespace)
  for id, n in pairs(counts) do
    if n ~= before[id] and nodes[id] ~= from then
      return nodes[id]
    end
  end
end

local function kill(ctx, k, pod, node)
  k:delete("pods", pod.metadata.name, {
    namespace = METALLB,
    uid = pod.metadata.uid,
    grace_s = 0,
    absent = true,
  })
  ctx.log(("%s on %s is killed"):format(pod.metadata.name, node))
end

local function move(ctx, k, inp, namespace, ip)
  local from
  watch.wait(ctx, {
    what = "the node that announces " .. ip,
    timeout = inp.answer_timeout,
    look = function()
      from = owner(k, namespace)
      return from ~= nil, "nobody announces it"
    end,
  })
  local pod = from and of_daemonset(k, METALLB, "speaker$")[from]
  local expected = "announced by another node"
  if not pod then
    local said = from and "there is no speaker on " .. from
      or "neither a status nor an event says who"
    local hint = "an L2Advertisement for the pool; ServiceL2Status in metallb-system"
    return { check("address " .. ip, expected, false, said, hint) }
  end
  local before = assignments(k, namespace)
  kill(ctx, k, pod, from)
  local to, back
  watch.wait(ctx, {
    what = "another node to announce " .. ip,
    timeout = inp.timeout,
    look = function()
      local now = of_daemonset(k, METALLB, "speaker$")[from]
      to = to or moved_to(k, namespace, from, before)
      back = is_ready(now) and now.metadata.uid ~= pod.metadata.uid
      return to ~= nil and back,
        ("%s, speaker %s"):format(to or "still " .. from, back and "back" or "not back")
    end,
  })
  local said = to and ("%s to %s"):format(from, to) or "nobody but " .. from
  local hint = "memberlist between the speakers: port 7946, TCP and UDP; nodes that are left out"
  return {
    check("address " .. ip, expected, to ~= nil, said, hint),
    check("speaker on " .. from, "back", back, back and "Ready" or "not Ready", "its events"),
  }
end

---A Service's address moves when its speaker is killed.
---@param ctx pai.ctx
---@param inp table
---@return { checks: table[] }
function M.speaker(ctx, inp)
  return probe.within(ctx, inp, SPEAKER_TEST, function(k, namespace)
    local checks, ip = network.serve(ctx, inp, k, namespace)
    if not ip then
      return checks
    end
    local moved = move(ctx, k, inp, namespace, ip)
    table.move(moved, 1, #moved, #checks + 1, checks)
    checks[#checks + 1] = network.answers(ctx, inp, ip)
    return checks
  end)
end

---@param ctx pai.ctx
---@param inp table
function M.clean_speaker(ctx, inp)
  probe.clean(ctx, inp, SPEAKER_TEST)
end

return M
