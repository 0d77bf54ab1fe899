-- A cluster in one's own racks, as the reference architecture describes it.
return {
  api = 1,
  name = "cluster-onprem",
  title = "Kubernetes in one's own racks",
  summary = "Kubespray, GPU and Network Operator, Longhorn, MetalLB, Prometheus, Run:ai: an audit.",
  tags = { "cluster", "kubernetes", "on-prem" },
  reference = [[
What it is      Three stacked control planes (kube-vip, Longhorn) and three GPU workers with 8 GPUs
                each, on Ubuntu 24.04. The versions are data with their date: matrix.lua here.
preflight       Asks every host over ssh, before there is a cluster: who it is, sudo, swap, clock,
                ports, iSCSI and NFS clients, disk, GPUs, name resolution; and whether addresses
                collide. Nothing is changed, and no password is asked for.
verify          The audit. Every row of the matrix, expected beside found, and the state of the
                stack. A hard row that fails is red, drift is yellow, strict=true makes it red too.
                What can't be read through Kubernetes is named, and never green.
deploy          There is none. Kubespray, its inventory and the operators' values belong to the
                site;
                the published architecture gives versions and no values, and a set that was never
                run on such hardware is not shipped as if it had been.
teardown        There is none, for the same reason: reset.yml of Kubespray wipes hosts.
Order           nodes, Kubespray 2.28, Longhorn, MetalLB, Prometheus, Network Operator, GPU Operator
                (ConfigMap kernel-module-params before it), Run:ai, OSMO.
Upgrades        firmware, OS and kernel, Kubernetes (one minor at a time), operators, driver,
                charts.
Run:ai          Owns podgroups.scheduling.run.ai, as KAI does: deploy OSMO with scheduler=existing.
Longhorn        Limit disks to the control planes, not DaemonSets: the manager and the CSI plugin
                must run on the workers too, or no volume can be attached there.
MetalLB         Needs strictARP with IPVS; its range holds neither VIP nor a node.

Symptom                      Look at
validator in Init:Error      cuda-validation's log; uvm_disable_hmm=1 on RTX PRO 6000 Blackwell
GPUs missing on a node       driver DaemonSet there: does it build for the node's kernel?
two discoveries              nfd.enabled=false in the GPU or the Network Operator
VIP does not answer          the lease plndr-cp-lock; kube_vip_interface is a real device
]],
  inputs = {
    kubeconfig = { type = "path", optional = true, doc = "Default: KUBECONFIG, ~/.kube/config." },
  },
}
