-- The stages on top of Kubernetes, in the order of their need: storage, addresses, metrics,
-- network, GPUs, Run:ai. Each is a release, or objects that an operator waits for, and a gate.
local gates = require("cluster-onprem.gates")
local node = require("cluster-onprem.node")
local objects = require("cluster-onprem.objects")
local patience = require("cluster-onprem.patience")
local runai = require("cluster-onprem.runai")
local stack = require("cluster-onprem.stack")

local M = {}

local DISK <const> = "node.longhorn.io/create-default-disk"
local CONTROL_PLANE <const> = "node-role.kubernetes.io/control-plane"

local function cluster(ctx, inp)
  return ctx.k8s(inp.context)
end

-- A release as a step. `first` is done before it, `settle` says whether the stage has come to rest.
local function release(id, opts)
  return {
    name = id,
    title = opts.title,
    after = opts.after,
    when = opts.when,
    timeout = opts.timeout or "1h",
    done = function(ctx, inp)
      local one = stack.chart(id, inp)
      if opts.ready and not opts.ready(ctx, inp) then
        return nil
      end
      return stack.right(ctx, inp, one) and { version = one.version } or nil
    end,
    run = function(ctx, inp)
      local one = stack.chart(id, inp)
      if opts.first then
        opts.first(ctx, inp)
      end
      -- Only what has to be settled may be missing: then helm has nothing to do.
      if not stack.right(ctx, inp, one) then
        stack.ensure(ctx, inp, one)
      end
      if opts.settle then
        patience.wait(ctx, cluster(ctx, inp), {
          what = id .. " at rest",
          namespace = one.namespace,
          timeout = opts.rest or "15m",
          patience = inp.patience,
          look = function()
            return opts.settle(ctx, inp)
          end,
        })
      end
      return { version = one.version }
    end,
    verify = function(ctx, inp)
      local checks = stack.gate(ctx, inp, stack.chart(id, inp))
      for _, check in ipairs(opts.gate and opts.gate(ctx, inp) or {}) do
        checks[#checks + 1] = check
      end
      return checks
    end,
  }
end

-- Objects as a step; `settle` waits for what the operator makes of them.
local function applied(name, opts)
  local function wanted(inp)
    return opts.objects(inp)
  end
  return {
    name = name,
    title = opts.title,
    after = opts.after,
    when = opts.when,
    timeout = opts.timeout or "40m",
    done = function(ctx, inp)
      local there = objects.there(cluster(ctx, inp), wanted(inp))
      return there and (not opts.settle or opts.settle(ctx, inp)) and {} or nil
    end,
    run = function(ctx, inp)
      local k = cluster(ctx, inp)
      if opts.first then
        opts.first(ctx, inp)
      end
      local outcomes = objects.apply(ctx, k, wanted(inp))
      if opts.settle then
        patience.wait(ctx, k, {
          what = opts.waits,
          namespace = opts.namespace,
          timeout = "30m",
          patience = inp.patience,
          look = function()
            return opts.settle(ctx, inp)
          end,
        })
      end
      if opts.last then
        opts.last(ctx, inp, outcomes)
      end
      return { outcomes = outcomes }
    end,
    verify = opts.gate,
  }
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

---The steps.
---@param after string the step before the first
---@return table[]
function M.steps(after)
  return {
    release("longhorn", {
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
    release("metallb", {
      title = "Addresses of LoadBalancer Services",
      after = { "longhorn" },
      first = refuse_range,
      gate = function(ctx, inp)
        return { gates.strict_arp(ctx, inp) }
      end,
    }),
    applied("metallb-pool", {
      title = "MetalLB's range",
      after = { "metallb" },
      first = refuse_range,
      objects = objects.metallb,
    }),
    release("kube-prometheus-stack", {
      title = "Metrics; before the operators, so that their monitors find their kinds",
      after = { "metallb-pool" },
    }),
    release("network-operator", {
      title = "Network Operator",
      after = { "kube-prometheus-stack" },
      when = wants_network,
    }),
    applied("nic-policy", {
      title = "Multus, CNI plugins and NV-IPAM; no OFED",
      after = { "network-operator" },
      when = wants_network,
      namespace = "nvidia-network-operator",
      waits = "NicClusterPolicy ready",
      objects = objects.policy,
      settle = policy_state(objects.POLICY, "nic-cluster-policy"),
    }),
    applied("rails", {
      title = "The second interfaces",
      after = { "nic-policy" },
      when = wants_rails,
      objects = objects.rails,
    }),
    applied("gpu-modules", {
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
    release("gpu-operator", {
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
    release("runai-backend", {
      title = "Run:ai's control plane",
      after = { "runai-secrets" },
      when = wants_runai,
    }),
    {
      name = "gate",
      title = "The stack as a whole",
      after = { "runai-backend" },
      timeout = "10m",
      verify = function(ctx, inp)
        return gates.whole(ctx, inp, node.all(inp))
      end,
    },
  }
end

return M
