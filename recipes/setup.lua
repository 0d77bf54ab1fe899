-- The whole stack, from a choice of targets: cluster, OSMO, inference, each behind its gate.
local entitlement = require("pai.shared.entitlement")
local graph = require("setup.graph")
local needs = require("setup.needs")
local report = require("setup.report")
local targets = require("setup.targets")

-- Least and most of each stage; upstream's own waits and what was seen, as minutes.
local TIMES <const> = {
  microk8s = { cluster = { 4, 30 }, osmo = { 5, 60 } },
  azure = { cluster = { 20, 60 }, osmo = { 5, 60 } },
  onprem = { cluster = { 0.05, 3 }, osmo = { 5, 60 } },
  nim = { 5, 150 },
  nvcf = { 0.2, 2 },
  foundry = { 2, 15 },
}

local function estimate(_, inp)
  if not targets.valid(inp) then
    return { { name = "the choice", min = "0s", max = "1s" } }
  end
  local times = TIMES[inp.cluster]
  local least, most = table.unpack(times.osmo)
  for _, backend in ipairs(targets.backends(inp)) do
    local its = TIMES[backend]
    least, most = math.max(least, its[1]), math.max(most, its[2])
  end
  local function phase(name, from, to)
    return { name = name, min_s = from * 60, max_s = to * 60 }
  end
  return {
    phase("preflights, side by side", 0.05, 1),
    phase("cluster and its gate", times.cluster[1], times.cluster[2]),
    phase("OSMO and inference, side by side", least, most),
  }
end

return {
  api = 1,
  name = "setup",
  title = "Set up the stack",
  summary = "Cluster, OSMO and inference for a workload, each behind a gate that tells the truth.",
  doc = [[
cluster    microk8s, azure, onprem      osmo follows from it: osmo-k8s or osmo-azure
inference  nim, nvcf, foundry or none   one by default; several when they are listed
           foundry needs Azure identities, so cluster=azure; nim needs GPUs
           onprem is a cluster that is there: it is looked at, and not deployed

1. targets     the choice makes sense; else nothing is loaded, asked or run
2. endpoints   spec, rendered with set=NAME=VALUE, is searched for endpoints: *.osmo-nims is a NIM,
               api.nvcf.nvidia.com a function, *.inference.ai.azure.com and its like Foundry. What
               was chosen must be what it names; nothing is put in the place of another. A
               host that is put together later is red.
3. preflights  of the workload (would OSMO take the spec, GPUs and images of its tasks) and of
               every component of the choice, side by side; one red stops all that follows
4. cluster     and the Kubernetes gate
5. osmo and inference-*, side by side, and their gates
6. gate-workload: the spec is still what was looked through

config=FILE gives components their own inputs: a map of component to inputs, in YAML. The first
gate that is red ends the run; the last log line names the lowest layer: config, script or guidance.
Fix that, then `pai resume`. What was wrong is not tried a second time unchanged: pai k8s diagnose
names the layer (image, credential, taint, claim, GPU, quota) of a pod that does not come up.

This is not for questions about a workflow that ran: see pai osmo logs, or pai run route.
]],
  tags = { "setup", "cluster", "osmo", "inference" },
  safety = "changes",
  inputs = {
    cluster = {
      type = "enum",
      values = { "microk8s", "azure", "onprem" },
      doc = "Where the cluster runs.",
    },
    inference = {
      type = "list",
      of = "enum",
      values = { "nim", "nvcf", "foundry", "none" },
      doc = "Where models run.",
    },
    workload = {
      type = "enum",
      values = { "vda", "defect-image", "carline", "nre", "ncore", "asset-harvester", "custom" },
      default = "vda",
      doc = "What the stack is for.",
    },
    osmo = {
      type = "enum",
      values = { "osmo-k8s", "osmo-azure" },
      optional = true,
      doc = "It follows from the cluster; another one is refused.",
    },
    spec = { type = "path", optional = true, doc = "The workflow that is to run." },
    set = {
      type = "list",
      of = "string",
      optional = true,
      doc = "NAME=VALUE for the spec's template, as pai osmo submit takes them.",
    },
    set_string = {
      type = "list",
      of = "string",
      optional = true,
      doc = "The same, always as text.",
    },
    nims = {
      type = "list",
      of = "string",
      optional = true,
      doc = "NIMs beside those that the spec refers to.",
    },
    capabilities = {
      type = "list",
      of = "string",
      optional = true,
      doc = "What the workload asks of models, such as video-style-transfer.",
    },
    gpu = { type = "boolean", default = true, doc = "The cluster has GPUs." },
    gpu_nodes = { type = "integer", min = 0, optional = true, doc = "GPU nodes there will be." },
    gpus_per_node = { type = "integer", min = 0, optional = true, doc = "GPUs of each." },
    spot = { type = "boolean", default = false, doc = "The GPU nodes are Spot nodes." },
    tolerations = {
      type = "list",
      of = "string",
      optional = true,
      doc = "Taints that NIMs tolerate, KEY=VALUE:NoSchedule.",
    },
    chat_only = {
      type = "boolean",
      default = false,
      doc = "There is no browser: log in to Azure by a device code first.",
    },
    subscription = { type = "string", optional = true, doc = "Azure subscription." },
    tenant = { type = "string", optional = true, doc = "Azure tenant." },
    location = { type = "string", optional = true, doc = "Azure region." },
    allowed_cidr = {
      type = "list",
      of = "string",
      optional = true,
      doc = "Networks that may reach the API server on Azure.",
    },
    context = { type = "string", default = "osmo", doc = "Name that the cluster's context gets." },
    kubeconfig = {
      type = "path",
      default = "~/.kube/config",
      doc = "Where that context is written.",
    },
    dir = {
      type = "path",
      default = "infra/cluster-azure",
      doc = "Terraform's module and state, on Azure.",
    },
    url = { type = "string", optional = true, doc = "URL of OSMO's gateway, if it has one." },
    endpoint = {
      type = "string",
      optional = true,
      doc = "URL of the Foundry account's models, if it is not the usual one.",
    },
    ip_service = {
      type = "string",
      default = "https://ifconfig.me/ip",
      doc = "Where one's own public address is asked for, on Azure.",
    },
    ngc = {
      type = "secret",
      env = "NGC_API_KEY",
      optional = true,
      hosts = entitlement.KEY_HOSTS,
      doc = "Key that the workload's images are asked for with; components take it by themselves.",
    },
    skip_network = entitlement.INPUTS.skip_network,
    registry = {
      type = "string",
      optional = true,
      doc = "Origin that mirrors all image registries, if there is one.",
    },
    charts = { type = "string", optional = true, doc = "Origin of a mirror of NGC's charts." },
    hf_endpoint = {
      type = "string",
      optional = true,
      doc = "Origin of a mirror of Hugging Face.",
    },
    config = { type = "path", optional = true, doc = "Inputs of single components, in YAML." },
  },
  needs = needs,
  locks = function(inp)
    local list = { "kube:" .. inp.context }
    list[2] = inp.cluster == "microk8s" and "snap:microk8s" or "terraform:" .. inp.dir
    return list
  end,
  estimate = estimate,
  steps = graph.steps,
  report = report.make,
  examples = {
    "pai plan setup cluster=azure inference=nim spec=workflow.yaml subscription=ID "
      .. "allowed_cidr=ADDRESS/32",
    "pai run setup cluster=microk8s inference=nvcf gpu=false spec=workflow.yaml",
  },
}
