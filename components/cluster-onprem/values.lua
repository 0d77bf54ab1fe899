-- What each chart is given beyond its own defaults, from typed inputs. Values hold no secret.
local lock = require("cluster-onprem.lock")

local M = {}

local TAINT <const> = "node-role.kubernetes.io/control-plane"

-- Disks are on the control planes only; manager and CSI plugin run on every node, or a GPU node
-- could attach no volume. So there is no nodeSelector, and the taint is tolerated by what the chart
-- makes and by what Longhorn makes itself (taintToleration).
M.longhorn = function(inp)
  local tolerations = { { key = TAINT, operator = "Exists", effect = "NoSchedule" } }
  return {
    persistence = { defaultClass = true, defaultClassReplicaCount = inp.replicas },
    defaultSettings = {
      createDefaultDiskLabeledNodes = true,
      defaultReplicaCount = inp.replicas,
      taintToleration = TAINT .. ":NoSchedule",
    },
    longhornManager = { tolerations = tolerations },
    longhornDriver = { tolerations = tolerations },
  }
end

M.metallb = function()
  return {}
end

-- Monitors of all namespaces are taken, not only those that carry this release's label: the DCGM
-- exporter's is the GPU Operator's. Grafana would come with a password that everybody knows.
M["kube-prometheus-stack"] = function(inp)
  local function claim(size)
    return {
      volumeClaimTemplate = {
        spec = {
          storageClassName = "longhorn",
          accessModes = { "ReadWriteOnce" },
          resources = { requests = { storage = size } },
        },
      },
    }
  end
  return {
    grafana = { enabled = false },
    prometheus = {
      prometheusSpec = {
        serviceMonitorSelectorNilUsesHelmValues = false,
        podMonitorSelectorNilUsesHelmValues = false,
        storageSpec = claim(("%dGi"):format(inp.prometheus_gib)),
      },
    },
    alertmanager = { alertmanagerSpec = { storage = claim("2Gi") } },
  }
end

-- Of the two operators one brings node feature discovery: the first that is there.
M["network-operator"] = function()
  return { nfd = { enabled = true } }
end

M["gpu-operator"] = function(inp)
  return {
    nfd = { enabled = not inp.network },
    driver = {
      version = lock.driver,
      kernelModuleConfig = { name = "kernel-module-params" },
      -- The NICs have the kernel's own drivers; GPUDirect goes over DMA-BUF.
      rdma = { useHostMofed = false },
    },
    dcgmExporter = { serviceMonitor = { enabled = true } },
  }
end

M["runai-backend"] = function(inp)
  return {
    global = {
      domain = inp.runai_domain,
      imagePullSecrets = { { name = "runai-reg-creds" } },
    },
  }
end

return M
