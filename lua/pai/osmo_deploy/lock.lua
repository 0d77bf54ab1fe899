-- The versions of an OSMO deployment that go together, in one place and with their date. Sources:
-- NVIDIA/OSMO main at that date (charts 1.4.0, application 6.4.0, its deployment scripts).
local versions = require("pai.shared.versions")

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
  kai = { version = versions.kai.version, chart = versions.kai.url },
  gpu_operator = versions.gpu_operator,
  -- OSMO's own minimums.
  kubernetes = "1.30.0",
  helm = versions.tools.helm,
}
