-- What each chart is given beyond its own defaults, from typed inputs. Of these
-- only Run:ai's cluster part has a secret among its values.
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

-- The only values with a secret: lock.lua names it, and helm gets them by stdin.
M["runai-cluster"] = function(inp, ctx)
  return {
    controlPlane = {
      url = inp.runai_control_plane_url,
      clientSecret = ctx.secret("runai_client_secret")
        or error("RUNAI_CLIENT_SECRET is not set", 0),
    },
    cluster = { uid = inp.runai_cluster_uid, url = inp.runai_cluster_url },
  }
end

return M
