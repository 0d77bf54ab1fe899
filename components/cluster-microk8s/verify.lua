local node = require("cluster-microk8s.node")

return {
  summary = "The gate of the cluster: API, nodes, storage class, runtime class, pods, GPUs.",
  safety = "observes",
  steps = { { name = "cluster", checks = node.gate } },
}
