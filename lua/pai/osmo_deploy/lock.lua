-- The versions of an OSMO deployment that go together, in one place and with their date. Sources:
-- NVIDIA/OSMO main at that date (charts 1.4.0, application 6.4.0, its deployment scripts).
return {
  date = "2026-08-21",
  charts = {
    repo = "https://helm.ngc.nvidia.com/nvidia/osmo",
    service = "1.4.0",
    ["backend-operator"] = "1.4.0",
  },
  images = {
    registry = "nvcr.io/nvidia/osmo",
    tag = "6.4.0",
    -- Those that the two charts and the workflows' pods name, all of one tag.
    names = {
      "agent",
      "backend-listener",
      "backend-worker",
      "client",
      "delayed-job-monitor",
      "init-container",
      "logger",
      "router",
      "service",
      "web-ui",
      "worker",
    },
    postgres = "postgres:15.1",
    redis = "redis:7.0",
    minio = "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z",
    mc = "minio/mc:RELEASE.2025-08-13T08-35-41Z",
    hello = "alpine:3.20",
    cuda = "nvcr.io/nvidia/cuda:12.4.1-base-ubuntu22.04",
  },
  kai = {
    version = "0.14.0",
    chart = "https://github.com/NVIDIA/KAI-Scheduler/releases/download/v0.14.0/"
      .. "kai-scheduler-v0.14.0.tgz",
  },
  -- The first one whose ClusterPolicy validates on Kubernetes 1.33 (gpu-operator issue 1745).
  gpu_operator = {
    version = "v25.10.1",
    repo = "https://helm.ngc.nvidia.com/nvidia",
  },
  cli = "6.3.0",
  -- OSMO's own minimums.
  kubernetes = "1.30.0",
  helm = "3.0.0",
}
