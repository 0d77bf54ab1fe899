-- AKS with a GPU pool, PostgreSQL, Managed Redis, Blob, NFS, Key Vault and Foundry.
local versions = require("pai.shared.versions")

return {
  api = 1,
  name = "cluster-azure",
  title = "AKS with GPUs on Azure",
  summary = "A Kubernetes cluster on Azure with database, cache, storage and model account.",
  tags = { "cluster", "kubernetes", "azure" },
  reference = [[
What it is      51 resources by Terraform (components/cluster-azure/terraform), then a context, a
                StorageClass for ReadWriteMany claims and the GPU Operator.
Needs           az 2.60, Terraform 1.9.8 or newer and below 2.0, helm 3; azure-access green.
Plan            deploy makes a plan, keeps it, shows every change and stops. Look at it, then give
                approve=DIGEST: exactly that file is applied. A plan that would destroy or replace
                something with data needs destroy_data=true as well. Nothing is auto-approved.
                In setup both stand under cluster-azure in the file of config=.
                After a kill the rest of an approved plan goes on; more than that is asked again.
dir             Holds the module, the state, the provider lock and the plans: mode 0700, ignored by
                git. The state has passwords and keys in clear; whoever has dir owns the cluster.
allowed_cidr    Networks that may reach the API server and the storage account. They are added to
                those the cluster has; a colleague's stay until drop_cidr names them. Neither
                0.0.0.0/0 nor private networks nor /31, which a storage account refuses.
Names           rg-, aks-PREFIX-ENVIRONMENT; prefix and environment have 14 characters together.
Quota           System pool: vCPUs of a node x 6, to begin with x 3. GPU pool: vCPUs x gpu_max.
                Compared with the family's own row, the region's total, and Spot's row for Spot,
                less what this cluster uses already.
Spot            AKS taints Spot nodes; unless every workload tolerates kubernetes.azure.com/
                scalesetpriority=spot:NoSchedule, GPU pods stay Pending. So Spot is red until
                spot_tolerated=true says that they do.
GPU Operator    v25.10.1, the first that is valid on Kubernetes 1.33.
StorageClass    azurefile-nfs-premium, the only default: NFS 4.1 in an account that Terraform made.
Redis           Balanced_B* often has no capacity in eastus2: redis_sku=ComputeOptimized_X3 has.
Kubeconfig      The context comes into the file that `kubeconfig` names; other contexts stay, and
                current-context too.
Teardown        Shows its plan, ends the port-forwards that lead here, takes the context away and
                destroys by that plan. It needs destroy_data=true. Key Vault keeps what was deleted
                for 90 days (soft delete).
Time            15 to 30 minutes to apply; Redis alone takes 10 to 15.

Symptom                          Look at
API server does not answer       your address is not in allowed_cidr: pai verify cluster-azure
claim stays Pending, NFS         role assignments need 1 to 2 minutes; the first try may be repeated
Saved plan is stale              the state changed meanwhile: deploy again and look at the new plan
AllocationFailed (Redis)         redis_sku, or another region
QuotaExceeded                    pai preflight cluster-azure shows which row

kubectl, helmfile, envsubst, curl and awk are not needed: pai does their work itself.
]],
  inputs = {
    subscription = { type = "string", optional = true, doc = "Id or name of the subscription." },
    location = { type = "string", default = "eastus2", doc = "Azure region." },
    resource_prefix = { type = "string", default = "nvpai", doc = "Beginning of every name." },
    environment = {
      type = "enum",
      values = { "dev", "staging", "prod" },
      default = "dev",
      doc = "Which of your environments it is.",
    },
    vnet_address_space = { type = "string", default = "10.0.0.0/16", doc = "Its own network." },
    allowed_cidr = {
      type = "list",
      of = "string",
      optional = true,
      doc = "Networks that may reach the API server, your own address among them.",
      example = { "203.0.113.4/32" },
    },
    drop_cidr = {
      type = "list",
      of = "string",
      default = {},
      doc = "Networks that are taken away from those the cluster has.",
    },
    system_vm_size = { type = "string", default = "Standard_D16ds_v5", doc = "System nodes." },
    kubernetes_version = {
      type = "string",
      default = versions.aks,
      doc = "Version that AKS offers.",
    },
    gpu_vm_size = { type = "string", default = "Standard_NC40ads_H100_v5", doc = "GPU nodes." },
    gpu_priority = {
      type = "enum",
      values = { "Regular", "Spot" },
      default = "Regular",
      doc = "Spot nodes are cheaper, can be taken away, and are tainted.",
    },
    gpu_min = { type = "integer", default = 4, min = 0, doc = "Fewest GPU nodes." },
    gpu_max = { type = "integer", default = 4, min = 1, doc = "Most GPU nodes." },
    gpu_requests = {
      type = "list",
      of = "integer",
      default = {},
      doc = "GPUs of each inference service that is to run here.",
    },
    spot_tolerated = {
      type = "boolean",
      default = false,
      doc = "Every GPU workload tolerates the taint of Spot nodes.",
    },
    gpu_operator_version = {
      type = "string",
      default = versions.gpu_operator.version,
      doc = "Chart version.",
    },
    pg_sku = { type = "string", default = "GP_Standard_D2s_v3", doc = "Size of PostgreSQL." },
    pg_storage_mb = { type = "integer", default = 32768, doc = "Its storage in MiB." },
    pg_version = { type = "string", default = "16", doc = "Its major version." },
    redis_sku = { type = "string", default = "Balanced_B1", doc = "Size of Managed Redis." },
    tags = {
      type = "list",
      of = "string",
      default = { "project=nvpai", "managed-by=terraform" },
      doc = "NAME=VALUE, on every resource.",
    },
    caller_ip = { type = "string", optional = true, doc = "Your public address, if you know it." },
    ip_service = {
      type = "string",
      default = "https://ifconfig.me/ip",
      doc = "Where your public address is asked for otherwise.",
    },
    approve = {
      type = "string",
      optional = true,
      doc = "For deploy: digest of the plan that was shown; exactly that one is applied.",
    },
    destroy_data = {
      type = "boolean",
      default = false,
      doc = "For deploy and teardown: a plan may destroy or replace what holds data.",
    },
    dir = { type = "path", default = "infra/cluster-azure", doc = "Module, state and plans." },
    context = {
      type = "string",
      default = "aks-nvpai-dev",
      pattern = "%w[%w._-]*",
      doc = "Name of the context in the kubeconfig.",
    },
    kubeconfig = {
      type = "path",
      default = "~/.kube/config",
      doc = "Where the context is written.",
    },
  },
  needs = {
    clusters = { "@context" },
    bins = { "az", "terraform", "helm" },
    hosts = { "@ip_service" },
  },
}
