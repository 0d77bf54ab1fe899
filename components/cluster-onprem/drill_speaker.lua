-- The drill that kills the MetalLB speaker which announces an address: another node must announce
-- it. Who does: MetalLB's ServiceL2Status ("Usage", status of an L2 service), and its event
-- nodeAssigned on the Service, which stays when the address has moved back.
local network = require("cluster-onprem.trials_network")
local probe = require("cluster-onprem.probe")
local watch = require("cluster-onprem.drill_watch")

local M = {}

local METALLB <const> = "metallb-system"
local ABSENT <const> = { "NotFound", "NoKind" }
local L2_STATUS <const> = { apiVersion = "metallb.io/v1beta1", kind = "ServiceL2Status" }
local TEST <const> = "drill-speaker"

local check, some = watch.check, watch.some
local is_ready, of_daemonset = watch.is_ready, watch.of_daemonset

---Whether there are speakers among which an address can move.
---@param ctx pai.ctx
---@param inp table
---@return table found
function M.look(ctx, inp)
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
function M.run(ctx, inp)
  return probe.within(ctx, inp, TEST, function(k, namespace)
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
function M.undo(ctx, inp)
  probe.clean(ctx, inp, TEST)
end

return M
