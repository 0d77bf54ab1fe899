-- NVIDIA NIM Operator and the NIMs that a workload names, in a cluster of one's own.
local entitlement = require("pai.shared.entitlement")

return {
  api = 1,
  name = "inference-nim-operator",
  title = "Inference by NIM Operator",
  summary = "NIM Operator and exactly the NIMs that a workload references, until they answer.",
  tags = { "inference", "kubernetes", "nim" },
  reference = [[
What it is      NIM Operator 3.1.0 in the namespace nim-operator, NIMServices in osmo-nims, each at
                http://NAME.osmo-nims.svc.cluster.local:8000. Only what is named is deployed:
                nims=NAME,NAME, or all=true (15 GPUs, 1152Gi memory, 1320Gi storage).

NIM                            GPUs   memory  storage  start     for
cosmos-predict                 1      96Gi    100Gi    61 min    video world model, generation
cosmos-reason                  1      48Gi    50Gi     61 min    vlm, spatial reasoning, video
cosmos-transfer                1      96Gi    150Gi    61 min    video style transfer
qwen-image-edit                1      128Gi   120Gi    61 min    image edit
qwen-image-edit-nvpcb-ovsl2sl  1      128Gi   150Gi    61 min    image edit; ready at /v1/models
qwen25-14b                     1      48Gi    50Gi     61 min    text, chat
qwen3-235b                     8      512Gi   600Gi    91 min    text, chat; 8 GPUs on one node
qwen3-vl                       1      96Gi    100Gi    61 min    vlm, video, chat

Secrets         NGC_API_KEY always; HF_TOKEN when an object of a named NIM refers to it. They become
                nvcr-pull-secret (both namespaces), ngc-api-secret and hf-token-secret (osmo-nims),
                and are made anew by each deploy whose key is another one.
From outside    Before anything is done, in preflight and deploy: is the operator's chart there, may
                this key pull each NIM's image, may HF_TOKEN download each model (its terms have to
                be accepted by the token's account). registry=, charts= and hf_endpoint= are
                mirrors; they are given the keys as well. skip_network=true leaves it out.
Storage         A StorageClass for ReadWriteMany: the only default, or storage_class=NAME. A
                node-local class is taken on a single node, refused on several.
GPU fit         Each NIM's GPUs must be free on one node. Before there is a cluster gpu_nodes and
                gpus_per_node say what there will be.
Taints          tolerations=KEY=VALUE:NoSchedule; a Spot pool of AKS has
                kubernetes.azure.com/scalesetpriority=spot:NoSchedule
Order           claim, download until Complete (a Failed one ends the wait), NIMService until Ready.
                Only then the annotation pai/applied gets the digest of the objects; a later change
                of the object shows by pai/generation.
Teardown        Removes NIMServices, Jobs, Secrets and the operator. Claims stay unless
                volumes=true (the models are downloaded again otherwise for nothing); the
                namespaces go with them. CRDs go with crds=true only.
Waiting         What stops a pod (image, credential, taint, claim, GPU, memory) is told as it shows
                and ends the wait when it has lasted for patience_s; the rest of the time is not
                waited out.
While a demo runs nothing is patched by hand: no GPU operator, device plugin, NIMService, time
slicing, and no pod is deleted by force.

Symptom                     Next
CrashLoopBackOff            a Secret is missing or old: deploy again with both keys
NIMService Pending          no GPU can be had: look at GPU operator and pool before other workloads
image pull 403              the key may not use that model: ask for access at NGC
profile not found           delete nim_runtime_manifest.yaml from the claim, restart the pod
out of memory in capture    NIM_DISABLE_CUDA_GRAPH=true
KV cache too small          a lower NIM_MAX_MODEL_LEN, or more memory
HF 429                      look at HF_TOKEN, and wait
HTTP 413                    NIM_PROXY_CLIENT_MAX_BODY_SIZE=500M

kubectl is not needed. A NIM Operator of 3.1.1 or newer reads models of Hugging Face by itself; the
download Jobs are for 3.1.0.
]],
  inputs = {
    context = { type = "string", doc = "The kubeconfig context of the cluster." },
    kubeconfig = {
      type = "path",
      optional = true,
      doc = "Where that context is; else KUBECONFIG or ~/.kube/config.",
    },
    nims = {
      type = "list",
      of = "string",
      optional = true,
      doc = "The NIMs that the workload references.",
    },
    all = { type = "boolean", default = false, doc = "Every NIM of the catalogue." },
    ngc = {
      type = "secret",
      env = "NGC_API_KEY",
      optional = true,
      hosts = entitlement.hosts(entitlement.KEY_HOSTS, "@context"),
      doc = "Key of the NGC organisation.",
    },
    hf = {
      type = "secret",
      env = "HF_TOKEN",
      optional = true,
      hosts = { "@context", "@hf_endpoint" },
      doc = "Token of Hugging Face.",
    },
    hf_endpoint = entitlement.HF_ENDPOINT,
    skip_network = entitlement.INPUTS.skip_network,
    registry = entitlement.INPUTS.registry,
    charts = entitlement.INPUTS.charts,
    gpu_nodes = { type = "integer", min = 0, optional = true, doc = "GPU nodes there will be." },
    gpus_per_node = {
      type = "integer",
      min = 0,
      optional = true,
      doc = "GPUs that each of them has.",
    },
    storage_class = {
      type = "string",
      optional = true,
      doc = "StorageClass of the claims; else the cluster's default.",
    },
    patience_s = {
      type = "integer",
      min = 0,
      default = 600,
      doc = "Seconds that a pod may be stopped by one and the same trouble.",
    },
    tolerations = {
      type = "list",
      of = "string",
      optional = true,
      doc = "Taints that pods of NIMs tolerate, KEY=VALUE:NoSchedule.",
    },
  },
  needs = {
    bins = { "helm" },
    hosts = entitlement.hosts(entitlement.HOSTS, "@hf_endpoint"),
  },
}
