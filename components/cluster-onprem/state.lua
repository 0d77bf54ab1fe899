-- What must hold of the stack beyond its versions. Works on the facts of audit.lua and asks nobody.
local matrix = require("cluster-onprem.matrix")

local M = {}

local DEFAULT <const> = "storageclass.kubernetes.io/is-default-class"
local CONTROL_PLANE <const> = "node-role.kubernetes.io/control-plane"

local function check(name, expected, good, measured, hint)
  local state = good and "ok" or "red"
  return { name = name, expected = expected, state = state, measured = measured, hint = hint }
end

---Whether a node is ready.
---@param node table
---@return boolean
function M.ready(node)
  for _, c in ipairs(node.status.conditions or {}) do
    if c.type == "Ready" then
      return c.status == "True"
    end
  end
  return false
end

local function nodes(facts)
  local planes, gpus, down = 0, 0, {}
  for _, node in ipairs(facts.nodes) do
    if not M.ready(node) then
      down[#down + 1] = node.metadata.name
    elseif (node.metadata.labels or {})[CONTROL_PLANE] then
      planes = planes + 1
    end
    gpus = gpus + (math.tointeger(tonumber((node.status.allocatable or {})["nvidia.com/gpu"])) or 0)
  end
  local hint = "look at the node's conditions and the journal of its kubelet"
  return {
    check("nodes", "all Ready", #down == 0, #down == 0 and "all" or table.concat(down, ", "), hint),
    check(
      "control planes",
      ("%d Ready"):format(matrix.control_planes),
      planes == matrix.control_planes,
      planes,
      "etcd keeps its quorum with one of three down, and no more"
    ),
    check(
      "GPUs",
      matrix.gpus,
      gpus == matrix.gpus,
      gpus,
      "device plugin and validator, node by node"
    ),
  }
end

local function storage(facts)
  local defaults, replicas = {}, "no class longhorn"
  for _, class in ipairs(facts.classes) do
    if (class.metadata.annotations or {})[DEFAULT] == "true" then
      defaults[#defaults + 1] = class.metadata.name
    end
    if class.metadata.name == "longhorn" then
      replicas = (class.parameters or {}).numberOfReplicas or "not set"
    end
  end
  table.sort(defaults)
  local schedulable = 0
  for _, node in ipairs(facts.disks or {}) do
    for _, c in ipairs((node.status or {}).conditions or {}) do
      if c.type == "Schedulable" and c.status == "True" then
        schedulable = schedulable + 1
      end
    end
  end
  local only = #defaults == 1 and defaults[1] == "longhorn"
  return {
    check(
      "default StorageClass",
      "only longhorn",
      only,
      #defaults > 0 and table.concat(defaults, ", ") or "none",
      "take the annotation " .. DEFAULT .. " from the others"
    ),
    check("Longhorn replicas", "3", tostring(replicas) == "3", replicas),
    check(
      "Longhorn nodes",
      (">= %d schedulable"):format(matrix.control_planes),
      schedulable >= matrix.control_planes,
      schedulable,
      "label the control planes node.longhorn.io/create-default-disk=true"
    ),
  }
end

local function policy(name, list, hint)
  local object = list and list[1]
  local state = object and object.status and object.status.state or "there is none"
  return check(name, "ready", state == "ready", state, hint)
end

-- Desired 0 is fine: mig-manager has no node where none is capable of MIG.
local function operands(facts)
  local bad, discovery = {}, {}
  for _, set in ipairs(facts.daemonsets) do
    local namespace, st = set.metadata.namespace, set.status or {}
    local want, have = st.desiredNumberScheduled or 0, st.numberReady or 0
    if want > have then
      bad[#bad + 1] = ("%s/%s %d of %d"):format(namespace, set.metadata.name, have, want)
    end
    if set.metadata.name:find("node%-feature%-discovery%-worker$") then
      discovery[#discovery + 1] = namespace
    end
  end
  table.sort(bad)
  table.sort(discovery)
  return {
    check("DaemonSets", "all ready", #bad == 0, #bad == 0 and "all" or table.concat(bad, ", ")),
    check(
      "node feature discovery",
      "one",
      #discovery <= 1,
      #discovery == 0 and "none" or table.concat(discovery, ", "),
      "GPU and Network Operator both bring one: set nfd.enabled=false in one of them"
    ),
  }
end

-- RTX PRO 6000 Blackwell fails CUDA validation without it; it holds for every GPU node.
local function modules(facts)
  local text = facts.modules and (facts.modules.data or {})["nvidia-uvm.conf"] or "not set"
  local cluster_policy = facts.gpu_policy and facts.gpu_policy[1]
  local driver = cluster_policy and cluster_policy.spec and cluster_policy.spec.driver or {}
  local named = driver.kernelModuleConfig and driver.kernelModuleConfig.name or "not set"
  return {
    check(
      "nvidia-uvm",
      "uvm_disable_hmm=1",
      text:find("uvm_disable_hmm=1", 1, true) ~= nil,
      text,
      "ConfigMap kernel-module-params in gpu-operator, key nvidia-uvm.conf; restart the driver pods"
    ),
    check(
      "driver.kernelModuleConfig",
      "kernel-module-params",
      named == "kernel-module-params",
      named,
      "helm value driver.kernelModuleConfig.name of the GPU Operator"
    ),
  }
end

---@param facts table
---@return table[] checks
function M.checks(facts)
  local list = {
    policy("ClusterPolicy", facts.gpu_policy, "pai k8s diagnose --namespace gpu-operator"),
    policy("NicClusterPolicy", facts.nic_policy, "its status names the state that is not ready"),
  }
  for _, some in ipairs({ nodes(facts), storage(facts), operands(facts), modules(facts) }) do
    table.move(some, 1, #some, #list + 1, list)
  end
  return list
end

return M
