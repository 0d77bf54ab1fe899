-- The stages on top of Kubernetes, in the order of their need: storage, addresses, metrics,
-- network, GPUs, Run:ai. Each is a release, or objects that an operator waits for, and a gate.
local gates = require("cluster-onprem.gates")
local node = require("cluster-onprem.node")
local objects = require("cluster-onprem.objects")
local runai = require("cluster-onprem.runai")
local stack = require("cluster-onprem.stack")
local stage = require("cluster-onprem.stage")

local M = {}

local DISK <const> = "node.longhorn.io/create-default-disk"
local CONTROL_PLANE <const> = "node-role.kubernetes.io/control-plane"

local function cluster(ctx, inp)
  return ctx.k8s(inp.context)
end

-- Longhorn makes its disk where this label is when it first sees the node: the label comes first.
local function unlabelled(ctx, inp)
  local list = {}
  for _, one in ipairs(cluster(ctx, inp):list("nodes")) do
    local labels = one.metadata.labels or {}
    if labels[CONTROL_PLANE] and labels[DISK] ~= "true" then
      list[#list + 1] = one.metadata.name
    end
  end
  return list
end

local function label_disks(ctx, inp)
  for _, name in ipairs(unlabelled(ctx, inp)) do
    cluster(ctx, inp):patch("nodes", name, { metadata = { labels = { [DISK] = "true" } } })
  end
end

local function refuse_range(ctx, inp)
  local why = objects.range_fault(inp, cluster(ctx, inp):list("nodes"))
  if why then
    error("MetalLB's range: " .. why, 0)
  end
end

local function policy_state(what, name)
  return function(ctx, inp)
    local k = cluster(ctx, inp)
    local found = k:get(what, name, { accept = { "NotFound", "NoKind" } })
    local state = found and found.status and found.status.state or "no state yet"
    return state == "ready", ("%s: %s"):format(what.kind, state)
  end
end

local gpu_policy = policy_state(objects.CLUSTER_POLICY, "cluster-policy")

-- The operator is ready before the last node's driver is: the GPUs are what counts.
local function gpus_there(ctx, inp)
  local ready, said = gpu_policy(ctx, inp)
  if not ready then
    return false, said
  end
  return gates.gpus(cluster(ctx, inp), inp)
end

local function driver_restart(ctx, inp, outcomes)
  local there = cluster(ctx, inp):get("daemonsets", "nvidia-driver-daemonset", {
    namespace = "gpu-operator",
    accept = { "NotFound" },
  })
  if there and outcomes[1] ~= "unchanged" then
    ctx.log(
      "the parameters of the driver's modules have changed: they hold from the next start of each "
        .. "driver pod on; delete the pods of nvidia-driver-daemonset node by node, when its GPUs "
        .. "are idle"
    )
  end
end

local function wants_network(inp)
  return inp.network, "network=false"
end

local function wants_rails(inp)
  if not inp.network then
    return false, "network=false"
  elseif inp.rail_subnet and not inp.rail_device then
    error("rail_subnet goes with rail_device: the device of the second interfaces", 0)
  end
  return inp.rail_subnet ~= nil, "no rail_subnet: the second interfaces are left as they are"
end

local function wants_runai(inp)
  if inp.runai and not (inp.runai_version and inp.runai_domain) then
    error("runai=true goes with runai_version and runai_domain", 0)
  end
  return inp.runai, "runai=false"
end

local CLUSTER_NEEDS <const> = {
  "runai_control_plane_url",
  "runai_cluster_url",
  "runai_cluster_uid",
}

local function wants_runai_cluster(inp)
  for _, name in ipairs(inp.runai_cluster and CLUSTER_NEEDS or {}) do
    if not inp[name] then
      error("runai_cluster=true goes with " .. name, 0)
    end
  end
  if inp.runai_cluster and not (inp.runai_cluster_version or inp.runai_version) then
    error("runai_cluster=true goes with runai_cluster_version", 0)
  end
  return inp.runai_cluster, "runai_cluster=false"
end

---The steps.
---@param after string the step before the first
---@return table[]
function M.steps(after)
  return {
    stage.release("longhorn", {
      title = "Storage on the control planes",
      after = { after },
      first = label_disks,
      ready = function(ctx, inp)
        return #unlabelled(ctx, inp) == 0 and gates.disks(cluster(ctx, inp), inp)
      end,
      settle = function(ctx, inp)
        return gates.disks(cluster(ctx, inp), inp)
      end,
      gate = function(ctx, inp)
        return { ctx.check.kube.default_class(inp.context, "longhorn") }
      end,
    }),
    stage.release("metallb", {
      title = "Addresses of LoadBalancer Services",
      after = { "longhorn" },
      first = refuse_range,
      gate = function(ctx, inp)
        return { gates.strict_arp(ctx, inp) }
      end,
    }),
    stage.applied("metallb-pool", {
      title = "MetalLB's range",
      after = { "metallb" },
      first = refuse_range,
      objects = objects.metallb,
    }),
    stage.release("kube-prometheus-stack", {
      title = "Metrics; before the operators, so that their monitors find their kinds",
      after = { "metallb-pool" },
    }),
    stage.release("network-operator", {
      title = "Network Operator",
      after = { "kube-prometheus-stack" },
      when = wants_network,
    }),
    stage.applied("nic-policy", {
      title = "Multus, CNI plugins and NV-IPAM; no OFED",
      after = { "network-operator" },
      when = wants_network,
      namespace = "nvidia-network-operator",
      waits = "NicClusterPolicy ready",
      objects = objects.policy,
      settle = policy_state(objects.POLICY, "nic-cluster-policy"),
    }),
    stage.applied("rails", {
      title = "The second interfaces",
      after = { "nic-policy" },
      when = wants_rails,
      objects = objects.rails,
    }),
    stage.applied("gpu-modules", {
      title = "Parameters of the driver's modules, before the driver",
      after = { "rails" },
      first = function(ctx, inp)
        local one = stack.chart("gpu-operator", inp)
        cluster(ctx, inp):apply(objects.namespace(one), { force = true })
      end,
      objects = function()
        return { objects.modules() }
      end,
      last = driver_restart,
    }),
    stage.release("gpu-operator", {
      title = "GPU Operator",
      after = { "gpu-modules" },
      timeout = "2h",
      rest = "1h",
      ready = gpus_there,
      settle = gpus_there,
      gate = function(ctx, inp)
        return { ctx.check.kube.runtime_class(inp.context, "nvidia", "nvidia") }
      end,
    }),
    {
      name = "runai-secrets",
      title = "Run:ai's pull secret and certificate",
      after = { "gpu-operator" },
      when = wants_runai,
      timeout = "5m",
      done = function(ctx, inp)
        return runai.there(ctx, inp) and {} or nil
      end,
      run = function(ctx, inp)
        runai.apply(ctx, inp)
        return {}
      end,
    },
    stage.release("runai-backend", {
      title = "Run:ai's control plane",
      after = { "runai-secrets" },
      when = wants_runai,
    }),
    stage.release("runai-cluster", {
      title = "Run:ai's cluster part",
      after = { "runai-backend" },
      when = wants_runai_cluster,
    }),
    {
      name = "gate",
      title = "The stack as a whole",
      after = { "runai-cluster" },
      timeout = "10m",
      verify = function(ctx, inp)
        return gates.whole(ctx, inp, node.all(inp))
      end,
    },
  }
end

return M
