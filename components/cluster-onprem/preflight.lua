-- Before there is a cluster: this machine, every host by itself and all of them together, the
-- addresses, and what has to be had from outside.
local here = require("cluster-onprem.here")
local hosts = require("cluster-onprem.hosts")
local inputs = require("cluster-onprem.inputs")

return {
  summary = "Looks at the hosts of a cluster that is to be, over ssh; changes nothing.",
  doc = [[
here     Python, Ansible, git and helm of this machine
hosts    over ssh, side by side: sudo, system, kernel, swap, clock, ports, iSCSI and NFS clients,
         disk, GPUs, secure boot, names and registries; then hostnames, machine ids, and whether
         VIP and MetalLB's range are free (the first control plane asks by ARP) and apart
outside  charts and images are there, and may be pulled
]],
  safety = "observes",
  inputs = inputs.of(
    inputs.ssh,
    inputs.nodes,
    inputs.network,
    inputs.hosts,
    inputs.machine,
    inputs.runai,
    {
      offline = {
        type = "boolean",
        default = false,
        doc = "Leave out the last gate: charts and images come from elsewhere.",
      },
      registry = {
        type = "string",
        default = "https://nvcr.io",
        doc = "Where images are looked for.",
      },
    }
  ),
  needs = {
    bins = { "ssh", "helm", "git", "@python", "ansible-playbook" },
    hosts = { "@registry", "@runai_registry" },
    reads = { "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes", "date +%s.%N" },
  },
  steps = {
    {
      name = "here",
      title = "This machine",
      timeout = "3m",
      checks = here.tools,
    },
    {
      name = "hosts",
      title = "Hosts and addresses",
      timeout = "10m",
      checks = hosts.checks,
    },
    {
      name = "outside",
      title = "Charts and images",
      when = function(inp)
        return not inp.offline, "offline=true"
      end,
      timeout = "5m",
      checks = here.outside,
    },
  },
  examples = {
    "pai preflight cluster-onprem control_planes=cp1,cp2,cp3 workers=gpu1,gpu2 "
      .. "vip=192.0.2.10 vip_interface=eno1 metallb=192.0.2.20-192.0.2.40",
  },
}
