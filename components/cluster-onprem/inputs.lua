-- Inputs that several actions have: where the hosts are, and how ssh gets there.
local M = {}

M.ssh = {
  ssh_config = { type = "path", optional = true, doc = "ssh's configuration, if not the user's." },
  ssh_agent = {
    type = "path",
    env = "SSH_AUTH_SOCK",
    optional = true,
    doc = "Socket of the agent that holds the key.",
  },
}

M.nodes = {
  control_planes = {
    type = "list",
    of = "string",
    doc = "NAME=[USER@]ADDRESS each, or a name that ssh knows; three, or a larger odd number.",
    example = { "cp1=ops@192.0.2.1", "cp2=ops@192.0.2.2", "cp3=ops@192.0.2.3" },
  },
  workers = { type = "list", of = "string", doc = "GPU nodes, as control_planes." },
}

M.network = {
  vip = { type = "string", doc = "Address of the API server, carried by kube-vip." },
  vip_interface = {
    type = "string",
    pattern = "[%w._-]+",
    doc = "Device of the VIP on every control plane; kube-vip does not say when it is wrong.",
  },
  metallb = { type = "string", doc = "Range FIRST-LAST or network of LoadBalancer Services." },
  pod_cidr = { type = "string", default = "10.233.64.0/18", doc = "Kubespray's default." },
  service_cidr = { type = "string", default = "10.233.0.0/18", doc = "Kubespray's default." },
}

-- Of what puts work of its own on a cluster.
M.probe = {
  lb_address = {
    type = "string",
    optional = true,
    pattern = "%d+%.%d+%.%d+%.%d+",
    doc = "Address of MetalLB's range for the Service; it is then asked from here.",
  },
  lb_port = { type = "integer", default = 80, min = 1, max = 65535, doc = "Its port." },
  answer_timeout = { type = "duration", default = "60s", doc = "How long it is asked." },
  cuda_image = {
    type = "string",
    default = "nvcr.io/nvidia/k8s/cuda-sample:vectoradd-cuda12.5.0",
    doc = "Image whose log says Test PASSED.",
  },
  image = {
    type = "string",
    default = "registry.k8s.io/e2e-test-images/agnhost:2.53",
    doc = "Image with sh, netexec and iperf.",
  },
}

M.hosts = {
  gpus = { type = "integer", default = 8, min = 0, doc = "GPUs of a worker." },
  disk_gib = { type = "integer", default = 200, min = 1, doc = "Room on a control plane." },
  registries = {
    type = "list",
    of = { type = "string", pattern = "[%w.-]+:%d+" },
    default = { "nvcr.io:443", "helm.ngc.nvidia.com:443", "quay.io:443", "registry.k8s.io:443" },
    doc = "HOST:PORT that every host must reach; a site with a mirror names it here.",
  },
}

M.machine = {
  python = { type = "string", default = "python3", doc = "Python for Ansible: 3.10 to 3.12." },
  venv = {
    type = "path",
    optional = true,
    doc = "An environment with Kubespray's requirements; default: one is made below site.",
  },
}

M.runai = {
  runai = { type = "boolean", default = false, doc = "Install Run:ai's control plane." },
  runai_registry = {
    type = "string",
    default = "https://runai.jfrog.io",
    doc = "Registry of Run:ai's images.",
  },
  runai_token = {
    type = "secret",
    env = "RUNAI_TOKEN",
    optional = true,
    hosts = { "@context", "@runai_registry" },
    doc = "Token that pulls Run:ai's images; it comes with the licence.",
  },
}

M.stack = {
  site = {
    type = "path",
    doc = "Folder of this cluster: inventory, environment, what was done. Keep it.",
  },
  kubespray = {
    type = "path",
    doc = "Checkout of Kubespray; it is fetched to there if there is none.",
  },
  kubespray_repo = {
    type = "string",
    default = "https://github.com/kubernetes-sigs/kubespray.git",
    pattern = "[%w/][^%s]*",
    doc = "Where it is fetched from: a URL, or a mirror's.",
  },
  vars = {
    type = "path",
    optional = true,
    doc = "More variables for Kubespray, as YAML; what follows from inputs is refused.",
  },
  pip_config = { type = "path", optional = true, doc = "pip's configuration, for a mirror." },
  replicas = { type = "integer", default = 3, min = 1, max = 3, doc = "Of a Longhorn volume." },
  prometheus_gib = { type = "integer", default = 50, min = 1, doc = "Prometheus' volume." },
  network = { type = "boolean", default = true, doc = "Install the Network Operator." },
  rail = { type = "string", default = "rail", pattern = "%l[%l%d-]*", doc = "Second network." },
  rail_subnet = {
    type = "string",
    optional = true,
    doc = "Network of the workers' second interfaces; they are left alone without it.",
  },
  rail_device = { type = "string", optional = true, doc = "Its device on every worker." },
  rail_gateway = { type = "string", optional = true, doc = "Its gateway, if it has one." },
  rail_block = { type = "integer", default = 32, min = 1, doc = "Addresses of a node in it." },
  rail_mtu = { type = "integer", optional = true, min = 68, doc = "Its MTU." },
  upgrade = {
    type = "boolean",
    default = false,
    doc = "A release of another version may be brought to that of the lock.",
  },
  patience = {
    type = "integer",
    default = 600,
    min = 0,
    doc = "Seconds that trouble below a workload may last before it ends a wait.",
  },
  runai_version = {
    type = "string",
    optional = true,
    doc = "Version of Run:ai's chart: the one that the licence and Kubernetes go with.",
  },
  runai_cluster = {
    type = "boolean",
    default = false,
    doc = "Install Run:ai's cluster part; give what its wizard prints for a new cluster.",
  },
  runai_cluster_version = {
    type = "string",
    optional = true,
    doc = "Version of that chart; default: runai_version.",
  },
  runai_control_plane_url = {
    type = "string",
    optional = true,
    doc = "controlPlane.url, as the wizard prints it.",
  },
  runai_cluster_url = {
    type = "string",
    optional = true,
    doc = "cluster.url, as the wizard prints it.",
  },
  runai_cluster_uid = {
    type = "string",
    optional = true,
    pattern = "%x[%x-]+",
    doc = "cluster.uid, as the wizard prints it.",
  },
  runai_client_secret = {
    type = "secret",
    env = "RUNAI_CLIENT_SECRET",
    optional = true,
    bins = { "helm" },
    doc = "controlPlane.clientSecret, as the wizard prints it.",
  },
  runai_domain = { type = "string", optional = true, doc = "Its name in DNS." },
  runai_cert = {
    type = "secret",
    env = "RUNAI_CERT",
    optional = true,
    hosts = { "@context" },
    doc = "Certificate chain of that name, PEM; give both or none.",
  },
  runai_key = {
    type = "secret",
    env = "RUNAI_KEY",
    optional = true,
    hosts = { "@context" },
    doc = "Its key, PEM.",
  },
}

---The same, each of them optional.
---@param some table<string, table>
---@return table<string, table>
function M.optional(some)
  local all = {}
  for name, decl in pairs(some) do
    all[name] = { type = decl.type, of = decl.of, doc = decl.doc, optional = true }
  end
  return all
end

---One table of several.
---@param ... table<string, table>
---@return table<string, table>
function M.of(...)
  local all = {}
  for _, some in ipairs({ ... }) do
    for name, decl in pairs(some) do
      all[name] = decl
    end
  end
  return all
end

return M
