-- A bench for specs of cluster-onprem's stack: hosts and Ansible that answer as told, a helm that
-- keeps releases, and a cluster in memory in which what is applied becomes ready.
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local onprem = dofile("tests/spec/components/onprem.lua")
local stand_in = dofile("tests/spec/components/stand_in.lua")
local support = dofile("tests/spec/run/support.lua")
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local json = require("pai.json")

local M = { it = cluster.it, support = support }

local HELM <const> = '#!/bin/sh\nexec "%s" lua "%s/tests/spec/components/helm_tool.lua" "%s" "$@"\n'
local SSH <const> = { "ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes" }
table.move({ "-o", "ConnectTimeout=15", "--" }, 1, 3, #SSH + 1, SSH)

local PLANES <const> = { "cp1", "cp2", "cp3" }
local WORKERS <const> = { "gpu1", "gpu2" }

---@class tests.onprem.Stack
local Stack = {}
Stack.__index = Stack

-- What Ansible makes of the inventory: `ansible-inventory --list`.
local function inventory_json()
  local vars = {}
  for _, list in ipairs({ PLANES, WORKERS }) do
    for _, name in ipairs(list) do
      vars[name] = {
        etcd_deployment_type = "host",
        loadbalancer_apiserver = { address = "127.0.0.1", port = 6443 },
        loadbalancer_apiserver_localhost = false,
        kube_version = "1.32.5",
        container_manager = "containerd",
        containerd_version = "2.0.5",
        kube_proxy_mode = "ipvs",
        kube_proxy_strict_arp = true,
        kube_pods_subnet = "10.233.64.0/18",
        kube_service_addresses = "10.233.0.0/18",
        kube_vip_enabled = true,
        kube_vip_controlplane_enabled = true,
        kube_vip_arp_enabled = true,
        kube_vip_address = "127.0.0.1",
        kube_vip_interface = "eno1",
        kube_vip_services_enabled = false,
        metallb_enabled = false,
        kubeconfig_localhost = false,
      }
    end
  end
  return json.encode({
    _meta = { hostvars = vars },
    kube_control_plane = { hosts = PLANES },
    kube_node = { hosts = WORKERS },
  })
end

-- `kubectl get nodes -o json` on a control plane.
local function nodes_json()
  local items = {}
  for _, list in ipairs({ PLANES, WORKERS }) do
    for _, name in ipairs(list) do
      items[#items + 1] = {
        metadata = { name = name },
        status = {
          conditions = { { type = "Ready", status = "True" } },
          nodeInfo = { kubeletVersion = "v1.32.5" },
        },
      }
    end
  end
  return json.encode({ kind = "List", items = items })
end

local function over_ssh(host, pattern, answer)
  local argv = table.move({ host, pattern }, 1, 2, #SSH + 1, { table.unpack(SSH) })
  answer.argv, answer.cite = argv, "ssh: what the command printed"
  return answer
end

---@return tests.onprem.Stack
function M.new()
  local self = setmetatable({ bench = support.new() }, Stack)
  local root = self.bench.root
  local tools = { "ssh", "date", "git", "ansible-playbook", "ansible-inventory" }
  self.talk = stand_in.new(root .. "/tools", tools, { "cat" })
  self.talk:add("helm", HELM:format(pai.exe, pai.root, self.talk.dir))
  self.token = "tok" .. crypto.hex(16)
  local sample = root .. "/kubespray/inventory/sample/group_vars"
  assert(fs.mkdir(sample .. "/all", { parents = true }))
  assert(fs.write(sample .. "/all/all.yml", "bin_dir: /usr/local/bin\n"))
  assert(fs.mkdir(root .. "/kubespray/.git"))
  return self
end

function Stack:remove()
  self.bench:remove()
end

local function tell(self)
  local talk = self.talk
  talk:tell({ argv = { "date", "+%s.%N" }, stdout = "2000.000000000\n", cite = "date +%s.%N" })
  talk:tell({
    argv = { "git", "rev-parse", "..." },
    stdout = "63cdf87915421dda5955281f38401fd1b55b230b\n",
    cite = "git rev-parse HEAD",
  })
  talk:tell({ argv = { "git", "status", "..." }, cite = "git status --porcelain, nothing changed" })
  talk:tell({
    argv = { "ansible-playbook", "--version" },
    stdout = "ansible-playbook [core 2.16.14]\n",
    cite = "ansible-playbook --version",
  })
  talk:tell({
    argv = { "ansible-inventory", "--list", "..." },
    stdout = inventory_json(),
    cite = "ansible-inventory --list",
  })
  talk:tell({
    argv = { "ansible-playbook", "-i", "..." },
    unless = "made",
    sets = "made",
    stdout = "PLAY [Install]\n\nPLAY RECAP ****\ncp1 : ok=1 changed=1 unreachable=0 failed=0\n",
    cite = "ansible-playbook, callback default",
  })
  talk:tell({
    argv = { "ansible-playbook", "-i", "..." },
    when = "made",
    clears = "made",
    stdout = "PLAY RECAP ****\ncp1 : ok=1 changed=1 unreachable=0 failed=0\n",
    cite = "the same",
  })
  for i, list in ipairs({ PLANES, WORKERS }) do
    for j, name in ipairs(list) do
      local facts = { host = name, worker = i == 2, addresses = ("192.0.2.%d"):format(i * 10 + j) }
      facts.route = "127.0.0.1 dev eno1 src 127.0.0.1 uid 0"
      talk:tell(over_ssh(name, "~^set %-%- ", { stdout = onprem.said(facts) }))
    end
  end
  local none = { stdout = '{"items":null}\n', unless = "made" }
  talk:tell(over_ssh("~^cp", "~^if sudo %-n test", none))
  talk:tell(over_ssh("~^cp", "~^if sudo %-n test", { stdout = nodes_json(), when = "made" }))
  talk:tell(over_ssh("~.", "~^test %-e /etc/kubernetes", { stdout = "yes\n", when = "made" }))
  talk:tell(over_ssh("~.", "~^test %-e /etc/kubernetes", { stdout = "no\n", unless = "made" }))
end

local DISCOVERY <const> = {
  ["/apis/longhorn.io/v1beta2"] = { nodes = "Node", settings = "Setting", volumes = "Volume" },
  ["/apis/metallb.io/v1beta1"] = {
    ipaddresspools = "IPAddressPool",
    l2advertisements = "L2Advertisement",
  },
  ["/apis/mellanox.com/v1alpha1"] = {
    nicclusterpolicies = "NicClusterPolicy",
    macvlannetworks = "MacvlanNetwork",
  },
  ["/apis/nv-ipam.nvidia.com/v1alpha1"] = { ippools = "IPPool" },
  ["/apis/nvidia.com/v1"] = { clusterpolicies = "ClusterPolicy" },
}

---The cluster as it is when Kubespray has ended, with operators that are quick.
---@param c tests.Cluster
function Stack:prepare(c)
  local port = c.url:match(":(%d+)$")
  onprem.install(self.bench, { ["https://%s:6443"] = "http://%s:" .. port })
  tell(self)
  self.talk:tell(over_ssh("~^cp", "sudo -n cat /etc/kubernetes/admin.conf", {
    stdout = c:kubeconfig("kubernetes-admin@cluster.local"),
  }))
  c.git_version = "v1.32.5"
  for path, kinds in pairs(DISCOVERY) do
    c.discovery[path] = kinds
  end
  for i, name in ipairs(PLANES) do
    c:node(name, {
      metadata = { labels = { ["node-role.kubernetes.io/control-plane"] = "" } },
      status = { addresses = { { type = "InternalIP", address = "192.0.2.1" .. i } } },
    })
    c:put("/apis/longhorn.io/v1beta2/namespaces/longhorn-system/nodes/" .. name, {
      kind = "Node",
      status = {
        conditions = json.array({ { type = "Schedulable", status = "True" } }),
        diskStatus = { ["default-disk-1"] = {} },
      },
    })
  end
  for _, name in ipairs(WORKERS) do
    c:node(name, { status = { allocatable = { ["nvidia.com/gpu"] = "8" } } })
  end
  c:put("/api/v1/namespaces/kube-system/configmaps/kube-proxy", {
    data = { ["config.conf"] = "mode: ipvs\nipvs:\n  strictARP: true\n" },
  })
  c:put("/apis/storage.k8s.io/v1/storageclasses/longhorn", {
    metadata = { annotations = { ["storageclass.kubernetes.io/is-default-class"] = "true" } },
  })
  c:put("/apis/nvidia.com/v1/clusterpolicies/cluster-policy", {
    kind = "ClusterPolicy",
    status = { state = "ready" },
  })
  c:put("/apis/node.k8s.io/v1/runtimeclasses/nvidia", { handler = "nvidia" })
  c.on.Namespace = function(object, at)
    local path = ("/api/v1/namespaces/%s/pods/operator"):format(object.metadata.name)
    if not at.objects[path] then
      at:pod(object.metadata.name, "operator")
    end
  end
  c.on.NicClusterPolicy = function(object)
    object.status = { state = "ready" }
  end
end

---@param action string
---@param argv string[]?
---@param more table<string, string>? inputs
---@param env table?
---@return table[] events
---@return table result
function Stack:act(action, argv, more, env)
  local root = self.bench.root
  local command = { action, "cluster-onprem", "--json" }
  table.move(argv or {}, 1, #(argv or {}), #command + 1, command)
  local given = {
    context = "racks",
    kubeconfig = root .. "/config",
    control_planes = table.concat(PLANES, ","),
    workers = table.concat(WORKERS, ","),
    vip = "127.0.0.1",
    vip_interface = "eno1",
    metallb = "192.0.2.100-192.0.2.120",
    site = root .. "/site",
    kubespray = root .. "/kubespray",
    venv = root .. "/tools",
    patience = "0",
  }
  for name, value in pairs(more or {}) do
    given[name] = value or nil
  end
  for name, value in pairs(given) do
    command[#command + 1] = name .. "=" .. value
  end
  local r = self.bench:pai(command, { env = self:env(env), timeout = "180s" })
  return support.events(r.stdout), r
end

function Stack:env(more)
  local all = { PATH = self.talk.path, HOME = self.bench.root, KUBECONFIG = false }
  all.SSH_AUTH_SOCK = false
  for k, v in pairs(more or {}) do
    all[k] = v
  end
  return all
end

---@param id string
---@param env table?
function Stack:resume(id, env)
  local command = { "resume", "--json", id }
  local r = self.bench:pai(command, { env = self:env(env), timeout = "180s" })
  return support.events(r.stdout), r
end

---Calls of helm and Ansible that change something, in order.
---@return string[]
function Stack:acts()
  local list = {}
  for _, one in ipairs(self.talk:calls()) do
    local verb, name = one.text:match("^helm (%l+) (%S+)")
    if verb == "upgrade" or verb == "uninstall" or verb == "rollback" then
      list[#list + 1] = verb .. " " .. name
    end
    local playbook = one.text:match("^ansible%-playbook %-i .-(%l+%.yml)$")
    list[#list + 1] = playbook
  end
  return list
end

---@param name string
---@return table
function Stack:release(name)
  local text = assert(fs.read(("%s/releases/%s.json"):format(self.talk.dir, name)), name)
  return (assert(json.decode(text)))
end

---The end of what a run said, for a message.
---@param r table
---@return string
function M.tail(r)
  return r.stdout:sub(-3000) .. r.stderr:sub(-2000)
end

return M
