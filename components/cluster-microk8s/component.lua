-- MicroK8s on this machine: one node for GPU and NIM, or CPU and NVCF.
return {
  api = 1,
  name = "cluster-microk8s",
  title = "MicroK8s on this machine",
  summary = "One Kubernetes node from a snap, with the NVIDIA runtime where there is a GPU.",
  tags = { "cluster", "kubernetes" },
  reference = [[
What it is      One node for development: GPU with NIM services, or CPU with NVCF endpoints.
Who may         root, or a user whose sudo asks for no password. Nothing here prompts.
Needs           NVIDIA driver 525 or newer (gpu=true), snapd 2.45, ports 16443, 10250 and 10255,
                20 GiB below /var/snap. git 2.25 for workloads that clone sources.
Channel         1.31/stable; addons dns, hostpath-storage, helm3, rbac, minio, and nvidia on a GPU.
GPU operator    The addon runs with the host's driver and DISABLE_DEV_CHAR_SYMLINK_CREATION=true,
                which works around gpu-operator issue 430.
RuntimeClass    `nvidia` has the handler nvidia on a GPU node and runc on a CPU node. The handler
                can't be changed: a node that goes from CPU to GPU has its class made anew.
Storage         microk8s-hostpath, the default class, is local to the node; ReadWriteMany claims
                bind because there is only one.
Kubeconfig      The context comes into the file that `kubeconfig` names, with a cluster and a user
                of its own. Other contexts stay, current-context too, and the file as it was is kept
                beside it as FILE.before-TIME. The credential goes from `microk8s config` into the
                file (mode 0600) and is seen nowhere else.
Teardown        Ends the port-forwards that lead here, takes the context away and runs
                `snap remove microk8s --purge`: all volumes go.

Symptom                      Look at
node NotReady                microk8s status --wait-ready; journal of snap.microk8s.daemon-kubelite
GPU not visible              nvidia-smi, then the driver's version, then the nvidia addon
kubeconfig: permission       its owner; it is written with mode 0600 for the user who runs pai
install is half done         pai teardown cluster-microk8s, then deploy again

Docker Hub credentials are not copied into the node's containerd; give pods a pull secret. snapd
itself is not installed: use the system's package manager. Upstream clones OSMO's sources for its
installer; nothing is cloned here.
]],
  inputs = {
    gpu = {
      type = "boolean",
      default = true,
      doc = "The node has an NVIDIA GPU; false for CPU with NVCF endpoints.",
    },
    context = {
      type = "string",
      default = "microk8s",
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
    bins = { "microk8s", "snap", "nvidia-smi", "git", "sudo" },
    reads = {
      "id -u",
      "ss -ltnpH",
      "ss -ltnH",
      "sudo -n ss -ltnpH",
      "sudo -n microk8s status",
      "microk8s config",
      "sudo -n microk8s config",
      "journalctl -u snap.microk8s.daemon-kubelite -n 100 --no-pager",
      "sudo -n journalctl -u snap.microk8s.daemon-kubelite -n 100 --no-pager",
    },
  },
}
