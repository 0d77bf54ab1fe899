-- OSMO, minimal, in a Kubernetes cluster that is there: its database, queue and storage run in it.
local entitlement = require("pai.shared.entitlement")
local osmo = require("pai.shared.osmo")

return {
  api = 1,
  name = "osmo-k8s",
  title = "OSMO in a cluster",
  summary = "OSMO with PostgreSQL, Redis and MinIO in the cluster, and a port-forward to it.",
  tags = { "osmo", "kubernetes" },
  reference = [[
What it is      OSMO's service and backend operator from their charts, in the namespaces
                osmo-minimal, osmo-operator and osmo-workflows. PostgreSQL and Redis run beside the
                service. `http://localhost:9000` leads to the gateway.
MinIO           That of MicroK8s' addon where it is enabled. One of others in the namespace
                minio-operator is used by its Service minio and its Secret minio-root. Where there
                is none, one is installed: a volume of 20Gi, its password made in the cluster.
Who may         Whoever may create namespaces and ClusterRoles in the cluster.
Versions        One lock: lua/pai/osmo_deploy/lock.lua, with its date.
Needs           helm 3, NGC_API_KEY. Nothing is cloned; kubectl, git, jq and the osmo CLI are not
                used.
From outside    preflight asks NGC for both charts, and each registry for a token and the manifest
                of each image. registry=ORIGIN and charts=ORIGIN are mirrors of them (the NGC key
                goes there too); skip_network=true leaves it all out.
Kept            Secrets and the master key (MEK) that are there stay on a re-run. A volume whose
                password is gone, and a database whose MEK is gone, are refused by name.
Secrets         Made in the cluster from handles. Helm values hold none. The MEK is in a ConfigMap,
                because the chart reads it there; it is marked pai/holds-secret.
No login        Minimal mode trusts what its clients say they are. The gateway stays a ClusterIP, a
                LoadBalancer or NodePort in the namespace is red, and a values file that asks for
                one is refused.
Values          values=FILE is laid over ours, lists as a whole.
Scheduler       KAI is installed where nobody owns CRD podgroups.scheduling.run.ai. Where Run:ai may
                own it, scheduler=existing says so. Teardown leaves it: others may use it.
GPU Operator    Installed where GPUs are wanted, none can be had and no one has installed it. With
                the RuntimeClass nvidia on runc it is refused: that is a CPU node.
Teardown        Ends its port-forward, exports the MEK to a new file (0600), uninstalls both
                releases, deletes the namespaces and waits until they are gone. Volumes go with
                them.
                PriorityClasses, KAI, GPU Operator and MinIO stay; minio=true deletes the MinIO that
                deploy installed, and with it what workflows have written.

Symptom                      Look at
a volume stays Pending       pai k8s diagnose; is there a default StorageClass?
pods not Ready               pai k8s diagnose --namespace osmo-minimal
image pull 401 or 403        the NGC key's organisation; deploy again after a change
pool OFFLINE                 pods of osmo-operator: its token must be that of osmo-minimal
Value 1.0 too high for CPU   each task's osmo-ctrl takes 1 CPU; lower it in values=FILE
]],
  inputs = osmo.inputs({
    kubeconfig = { type = "path", optional = true, doc = "Default: KUBECONFIG, ~/.kube/config." },
  }),
  needs = {
    bins = { "helm", "microk8s" },
    clusters = { "@context" },
    hosts = entitlement.HOSTS,
  },
}
