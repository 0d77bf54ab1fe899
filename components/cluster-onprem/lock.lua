-- What is installed and from where, as data with its date. Versions that the audit compares with
-- are taken from matrix.lua, so that there is one of each.
local matrix = require("cluster-onprem.matrix")

local function want(id)
  for _, row in ipairs(matrix.rows) do
    if row.id == id then
      return row.want
    end
  end
  error("the matrix has no row " .. id)
end

local NGC <const> = "https://helm.ngc.nvidia.com/nvidia"

return {
  date = matrix.date,
  source = "Kubespray v2.28.0 (requirements.txt, playbooks/ansible_version.yml, docs/ansible); the "
    .. "charts' own documentation",
  kubernetes = want("kubelet"),
  containerd = want("containerd"),
  driver = want("driver"),
  network = "v" .. want("network-operator"),
  os = want("os"),
  -- The URL by which this machine reaches the API server behind the VIP.
  api = "https://%s:6443",
  kubespray = {
    tag = "v" .. want("kubespray"),
    -- A tag can be moved; a commit can't.
    commit = "63cdf87915421dda5955281f38401fd1b55b230b",
    ansible = { min = "2.16.4", below = "2.17.0" },
    python = { min = "3.10.0", below = "3.13.0" },
  },
  helm = "3.14.0",
  -- In the order of their deployment. `psa` is the pod security level of the namespace.
  charts = {
    {
      id = "longhorn",
      repo = "https://charts.longhorn.io",
      chart = "longhorn",
      version = want("longhorn"),
      namespace = "longhorn-system",
      psa = "privileged",
    },
    {
      id = "metallb",
      repo = "https://metallb.github.io/metallb",
      chart = "metallb",
      version = want("metallb"),
      namespace = "metallb-system",
      psa = "privileged",
    },
    {
      id = "kube-prometheus-stack",
      repo = "https://prometheus-community.github.io/helm-charts",
      chart = "kube-prometheus-stack",
      version = want("kube-prometheus-stack"),
      namespace = "monitoring",
      -- node-exporter looks at the host
      psa = "privileged",
    },
    {
      id = "network-operator",
      repo = NGC,
      chart = "network-operator",
      version = want("network-operator"),
      namespace = "nvidia-network-operator",
      psa = "privileged",
    },
    {
      id = "gpu-operator",
      repo = NGC,
      chart = "gpu-operator",
      version = "v" .. want("gpu-operator"),
      namespace = "gpu-operator",
      psa = "privileged",
    },
  },
  -- Its version is the site's: the one that its licence and its Kubernetes go with.
  runai = {
    id = "runai-backend",
    repo = "https://runai.jfrog.io/artifactory/cp-charts-prod",
    chart = "control-plane",
    namespace = "runai-backend",
    psa = "baseline",
    registry = "runai.jfrog.io",
    user = "self-hosted-image-puller-prod",
  },
  -- The part that runs workloads. Values that hold secrets are named: helm gets them by stdin, and
  -- keeps them in its release's Secret. Repository and values: Run:ai, "Install the cluster".
  runai_cluster = {
    id = "runai-cluster",
    repo = "https://runai.jfrog.io/artifactory/api/helm/run-ai-charts",
    chart = "runai-cluster",
    namespace = "runai",
    psa = "privileged",
    secrets = { "controlPlane.clientSecret" },
  },
  -- Images of the operators: that they may be pulled is looked at before anything is installed.
  images = {
    "nvidia/gpu-operator:v" .. want("gpu-operator"),
    ("nvidia/driver:%s-ubuntu24.04"):format(want("driver")),
    "nvidia/cloud-native/network-operator:v" .. want("network-operator"),
  },
}
