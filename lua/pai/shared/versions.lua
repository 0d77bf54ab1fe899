-- The versions that go together, as data with a date: what tools have to be at least, and what is
-- installed. OSMO's own are in lua/pai/osmo_deploy/lock.lua, those of an on-prem stack in
-- components/cluster-onprem/lock.lua. `pai verify` shows what it finds beside them (drift.lua).
local NGC <const> = "https://helm.ngc.nvidia.com/nvidia"

return {
  date = "2026-08-21",
  -- Bounds as of 2026-05-26; each component names what it needs of them.
  tools = {
    az = "2.60.0",
    terraform = "1.9.8",
    terraform_below = "2.0.0",
    helm = "3.0.0",
    git = "2.25.0",
    snapd = "2.45.0",
    driver = "525.0.0",
  },
  microk8s = { channel = "1.31/stable", minimum = "1.31.0" },
  aks = "1.33",
  -- The first one whose ClusterPolicy validates on Kubernetes 1.33 (gpu-operator issue 1745).
  gpu_operator = {
    chart = "gpu-operator",
    version = "v25.10.1",
    least_on_1_33 = "25.10.1",
    repo = NGC,
  },
  nim_operator = { chart = "k8s-nim-operator", version = "3.1.0", repo = NGC },
  kai = {
    chart = "kai-scheduler",
    version = "0.14.0",
    url = "https://github.com/NVIDIA/KAI-Scheduler/releases/download/v0.14.0/"
      .. "kai-scheduler-v0.14.0.tgz",
  },
}
