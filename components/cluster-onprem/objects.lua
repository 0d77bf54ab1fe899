-- The objects that the operators want beside their charts: MetalLB's pool, the policy of the NICs,
-- the pool and network of the second interfaces, and the driver's module parameters. Fields:
-- MetalLB 0.15 "API reference"; Network Operator 25.7 "NicClusterPolicy"; NV-IPAM; GPU Operator
-- 25.3 "Customizing driver module parameters".
local address = require("cluster-onprem.address")
local lock = require("cluster-onprem.lock")

local M = {}

M.LABEL = "app.kubernetes.io/managed-by"

local LABELS <const> = { [M.LABEL] = "pai" }
local NETWORK <const> = "nvidia-network-operator"

M.POOL = { apiVersion = "metallb.io/v1beta1", kind = "IPAddressPool" }
M.ADVERTISEMENT = { apiVersion = "metallb.io/v1beta1", kind = "L2Advertisement" }
M.POLICY = { apiVersion = "mellanox.com/v1alpha1", kind = "NicClusterPolicy" }
M.RAIL = { apiVersion = "mellanox.com/v1alpha1", kind = "MacvlanNetwork" }
M.IP_POOL = { apiVersion = "nv-ipam.nvidia.com/v1alpha1", kind = "IPPool" }
M.CLUSTER_POLICY = { apiVersion = "nvidia.com/v1", kind = "ClusterPolicy" }

local function object(of, name, namespace, more)
  local made = {
    apiVersion = of.apiVersion,
    kind = of.kind,
    metadata = { name = name, namespace = namespace, labels = LABELS },
  }
  for key, value in pairs(more) do
    made[key] = value
  end
  return made
end

-- MetalLB takes FIRST-LAST or a network; one address is a network of one.
local function range(text)
  return text:find("[/-]") and text or text .. "/32"
end

---@param inp table
---@return table[]
function M.metallb(inp)
  local namespace = "metallb-system"
  return {
    object(M.POOL, "pai", namespace, { spec = { addresses = { range(inp.metallb) } } }),
    object(M.ADVERTISEMENT, "pai", namespace, { spec = { ipAddressPools = { "pai" } } }),
  }
end

-- OFED is not installed: the NICs have the kernel's own drivers.
---@return table[]
function M.policy()
  local function part(image)
    local tag = "network-operator-" .. lock.network
    return { image = image, repository = "nvcr.io/nvidia/mellanox", version = tag }
  end
  return {
    object(M.POLICY, "nic-cluster-policy", nil, {
      spec = {
        secondaryNetwork = { cniPlugins = part("plugins"), multus = part("multus-cni") },
        nvIpam = part("nvidia-k8s-ipam"),
      },
    }),
  }
end

-- The second interfaces of the GPU workers.
---@param inp table
---@return table[]
function M.rails(inp)
  local pool = {
    subnet = inp.rail_subnet,
    perNodeBlockSize = inp.rail_block,
    gateway = inp.rail_gateway,
    nodeSelector = {
      nodeSelectorTerms = {
        {
          matchExpressions = {
            { key = "node-role.kubernetes.io/control-plane", operator = "DoesNotExist" },
          },
        },
      },
    },
  }
  local network = {
    networkNamespace = "default",
    master = inp.rail_device,
    mode = "bridge",
    mtu = inp.rail_mtu,
    ipam = ('{"type": "nv-ipam", "poolName": "%s"}'):format(inp.rail),
  }
  return {
    object(M.IP_POOL, inp.rail, NETWORK, { spec = pool }),
    object(M.RAIL, inp.rail, nil, { spec = network }),
  }
end

---Parameters of the driver's kernel modules. RTX PRO 6000 Blackwell fails CUDA validation without
---this one; it holds for every GPU node.
---@return table
function M.modules()
  return object({ apiVersion = "v1", kind = "ConfigMap" }, "kernel-module-params", "gpu-operator", {
    data = { ["nvidia-uvm.conf"] = "uvm_disable_hmm=1\n" },
  })
end

---@param one table a chart of the lock
---@return table
function M.namespace(one)
  return {
    apiVersion = "v1",
    kind = "Namespace",
    metadata = {
      name = one.namespace,
      labels = { ["pod-security.kubernetes.io/enforce"] = one.psa },
    },
  }
end

-- Whether `have` has all that `want` says; the server adds fields of its own.
local function holds(have, want)
  if type(want) ~= "table" then
    return have == want
  elseif type(have) ~= "table" then
    return false
  end
  for key, value in pairs(want) do
    if not holds(have[key], value) then
      return false
    end
  end
  return #want == #have
end

local ABSENT <const> = { "NotFound", "NoKind" }

---Whether objects are there as they are wanted.
---@param k pai.ctx.k8s
---@param list table[]
---@return boolean
function M.there(k, list)
  for _, want in ipairs(list) do
    local have = k:get(want, want.metadata.name, {
      namespace = want.metadata.namespace,
      accept = ABSENT,
    })
    if not have or not (holds(have.spec, want.spec) and holds(have.data, want.data)) then
      return false
    end
  end
  return true
end

---Applies objects. An operator's webhook is not ready at once, and its kinds may still be coming.
---@param ctx pai.ctx
---@param k pai.ctx.k8s
---@param list table[]
---@return string[] outcomes
function M.apply(ctx, k, list)
  local outcomes = {}
  for i, one in ipairs(list) do
    local last
    local ok, e = pcall(ctx.wait, function()
      local good, applied, outcome = pcall(k.apply, k, one)
      if good then
        outcomes[i] = outcome
        return applied
      end
      last = applied
      local passing = type(last) == "table"
        and (
          last.retryable
          or last.reason == "NoKind"
          or last.http == 404
          or last.http == 500
          or tostring(last.message):find("service account", 1, true)
        )
      if not passing then
        error(last, 0)
      end
    end, { every = "5s", timeout = "5m", what = one.kind .. " " .. one.metadata.name })
    if not ok then
      local timed = type(e) == "table" and e.code == "ETIMEDOUT"
      error(timed and last or e, 0)
    end
  end
  return outcomes
end

---What is wrong with the range of MetalLB.
---@param inp table
---@param nodes table[] of the cluster
---@return string? why
function M.range_fault(inp, nodes)
  if not address.range(range(inp.metallb)) then
    return inp.metallb .. " is no range or network"
  elseif inp.vip and address.touch(inp.metallb, inp.vip) then
    return ("%s holds the VIP %s"):format(inp.metallb, inp.vip)
  end
  for _, one in ipairs(nodes) do
    for _, a in ipairs(one.status.addresses or {}) do
      if a.type == "InternalIP" and address.touch(inp.metallb, a.address) then
        return ("%s holds %s's %s"):format(inp.metallb, one.metadata.name, a.address)
      end
    end
  end
end

return M
