-- A cluster in one's own racks, as the reference architecture describes it.
return {
  api = 1,
  name = "cluster-onprem",
  title = "Kubernetes in one's own racks",
  summary = "Kubespray, Longhorn, MetalLB, Prometheus, Network and GPU Operator, Run:ai.",
  tags = { "cluster", "kubernetes", "on-prem" },
  reference = [[
What it is      Three stacked control planes (kube-vip, Longhorn) and GPU workers with 8 GPUs each,
                on Ubuntu 24.04. Versions are data with their date: matrix.lua and lock.lua here.
preflight       This machine (Python 3.10 to 3.12, git, helm), every host over ssh, the addresses,
                and whether charts and images are to be had. Changes nothing, asks for no password.
deploy          Needs keys and the hosts' keys in known_hosts, and sudo without a password there.
                 1 checkout     Kubespray v2.28.0 by its commit, fetched to kubespray= if not there
                 2 ansible      its requirements in site=/venv, or the environment that venv= names
                 3 inventory    site=/inventory: the sample, the inputs, vars=FILE; read back
                 4 kubernetes   cluster.yml; neither upgrades nor takes nodes away, and refuses both
                 5 context      the admin's credential over ssh into the kubeconfig, by the VIP
                 6 longhorn, metallb, kube-prometheus-stack, network-operator, gpu-operator, Run:ai
                Every stage asks first whether it is so already, waits with a diagnosis, and ends
                with a gate: a second deploy changes nothing, a killed one goes on (pai resume).
                The values were put together from public documentation. Prove them on hardware of
                yours before you rely on them.
verify          The audit. Every row of the matrix, expected beside found; the state of the stack;
                API server and etcd, VIP, context, volumes, addresses, second interfaces, metrics.
                A hard row that fails is red (exit code 1), drift is yellow (0), strict=true makes
                it red too. What can't be read through Kubernetes is named, and never green.
verify --active Work of its own on the cluster: CUDA on each GPU node, a volume from worker to
                worker, a Service with an address, bandwidth of the second interfaces. Every test
                has a namespace pai-active-TEST, which goes whatever becomes of the test; after
                a kill with pai resume, pai runs cancel or the next run.
verify --drill  One drill a run, which asks first: drains a control plane (drill=control-plane),
                deletes a driver pod (driver-pod), kills the speaker that announces an address
                (speaker), looks whether the rest goes on, and leaves the cluster as found.
Node failure    has no drill here: a node fails when its power or its network does, and pai reaches
                neither. A stopped kubelet is none: etcd, the VIP and all containers go on without
                it. Cut the power at the BMC by hand, look with pai verify, and power it on again.
teardown        The releases in the reverse order. Longhorn and every volume only with volumes=true,
                and not while a claim of yours uses one; Kubernetes itself (reset.yml wipes the
                hosts) only with the context's name typed once more: reset=NAME.
Upgrades        firmware, OS and kernel, Kubernetes (one minor at a time), operators, driver,
                charts. A release of another version is refused without upgrade=true.
Kubespray       Its ansible.cfg takes any host key and keeps facts in /tmp; deploy does neither.
Longhorn        Limit disks to the control planes, not DaemonSets: the manager and the CSI plugin
                must run on the workers too, or no volume can be attached there.
MetalLB         Needs strictARP with IPVS; its range holds neither VIP nor a node.
Discovery       Of GPU and Network Operator only one may bring node feature discovery; deploy takes
                the Network Operator's, and the GPU Operator's with network=false.
Grafana         is left out: the chart gives it a password that everybody knows.
Run:ai          Owns podgroups.scheduling.run.ai, as KAI does: deploy OSMO with scheduler=existing.
                deploy installs its control plane (runai=true, the token as RUNAI_TOKEN). Its first
                page then gives uid, URLs and client secret of a new cluster: a second deploy with
                runai_cluster=true and RUNAI_CLIENT_SECRET installs the cluster part. helm gets the
                secret by stdin; it keeps the values in a Secret of the namespace runai.
                Change the first administrator's password at once: it is the documentation's.

Symptom                      Look at
validator in Init:Error      cuda-validation's log; uvm_disable_hmm=1 on RTX PRO 6000 Blackwell
GPUs missing on a node       driver DaemonSet there: does it build for the node's kernel?
driver does not load         secure boot: the driver container's modules are not signed
two discoveries              nfd.enabled=false in the GPU or the Network Operator
VIP does not answer          the lease plndr-cp-lock; vip_interface is a real device
a Service gets no address    MetalLB's range is used up, or IPAddressPool pai is not there
]],
  inputs = {
    kubeconfig = { type = "path", optional = true, doc = "Default: KUBECONFIG, ~/.kube/config." },
  },
}
