local entitlement = require("pai.shared.entitlement")

-- What the components may need between them. A component is bound by its own needs as well, so that
-- none of them gets more by being used here.
return {
  bins = {
    "az",
    "git",
    "helm",
    "microk8s",
    "nvidia-smi",
    "osmo",
    "snap",
    "sudo",
    "terraform",
  },
  hosts = entitlement.hosts(
    entitlement.HOSTS,
    "127.0.0.1",
    "*.services.ai.azure.com",
    "@endpoint",
    "@hf_endpoint",
    "@ip_service",
    "@osmo",
    "@url",
    "api.nvcf.nvidia.com",
    "github.com",
    "huggingface.co"
  ),
  writes = { "@dir", "@kubeconfig" },
  clusters = { "@context" },
  reads = {
    "git check-ignore",
    "git describe --tags",
    "git rev-parse",
    "id -u",
    "journalctl -u snap.microk8s.daemon-kubelite -n 100 --no-pager",
    "microk8s config",
    "ss -ltnH",
    "ss -ltnpH",
    "sudo -n journalctl -u snap.microk8s.daemon-kubelite -n 100 --no-pager",
    "sudo -n microk8s config",
    "sudo -n microk8s status",
    "sudo -n ss -ltnpH",
  },
}
