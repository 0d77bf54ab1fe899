-- OSMO on the AKS of cluster-azure, with its managed database, cache and storage.
local entitlement = require("pai.shared.entitlement")
local osmo = require("pai.shared.osmo")

return {
  api = 1,
  name = "osmo-azure",
  title = "OSMO on AKS",
  summary = "OSMO in the cluster of cluster-azure, with managed database, cache and storage.",
  tags = { "osmo", "kubernetes", "azure" },
  reference = [[
What it is      OSMO's service and backend operator from their charts, in the namespaces
                osmo-minimal, osmo-operator and osmo-workflows. The database, the cache and the
                container osmo-workflows are those of cluster-azure; nothing of them runs in pods.
Target          dir names the state of cluster-azure; its outputs are read, the sensitive ones as
                handles. The context must lead to that very cluster. Values are never invented: an
                output that is missing is red.
Needs           az, terraform, helm 3, NGC_API_KEY. kubectl and git are not used.
Versions        One lock: lua/pai/osmo_deploy/lock.lua, with its date.
From outside    preflight asks NGC for both charts, and each registry for a token and the manifest
                of each image. registry=ORIGIN and charts=ORIGIN are mirrors of them (the NGC key
                goes there too); skip_network=true leaves it all out.
Storage         azure://ACCOUNT/osmo-workflows. A key that was rotated is renewed by deploy.
Master key      Kept in the cluster (MEK). Before a new one is made, a Job counts the tables of the
                database: with tables and no key deploy stops, and mek=FILE brings the old key back.
Secrets         Made in the cluster from handles. Helm values hold none.
No login        Minimal mode trusts what its clients say they are. The gateway stays a ClusterIP; a
                LoadBalancer, which AKS would publish, is red.
Redis           Through TLS, as Managed Redis demands; PostgreSQL without, in a private network.
Teardown        Exports the MEK, uninstalls both releases, deletes the namespaces and waits. The
                resource group, the database with its tables and the container stay: they are
                cluster-azure's. Keep the exported key as long as the database.

Symptom                          Look at
no output, no state              pai deploy cluster-azure, or dir= with the live state
API server does not answer       pai verify cluster-azure: your address may have changed
database does not answer         the log of the Job osmo-db-ops in osmo-minimal
image pull 401 or 403            the NGC key's organisation; deploy again after a change
Value 1.0 too high for CPU       each task's osmo-ctrl takes 1 CPU; lower it in values=FILE
]],
  inputs = osmo.inputs({
    subscription = { type = "string", optional = true, doc = "Id or name of the subscription." },
    dir = { type = "path", default = "infra/cluster-azure", doc = "State of cluster-azure." },
    kubeconfig = { type = "path", default = "~/.kube/config", doc = "Where that context is." },
  }),
  needs = {
    bins = { "az", "terraform", "helm" },
    clusters = { "@context" },
    hosts = entitlement.HOSTS,
  },
}
