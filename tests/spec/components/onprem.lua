-- Peers for the specs of cluster-onprem: a real sshd on loopback that stands for every node, and a
-- repository of the shape of Kubespray's whose playbooks a real Ansible runs.
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local task = require("pai.task")

local M = {}

M.NODES = { "cp1", "cp2", "cp3", "gpu1" }

local function run(argv, opts)
  return assert(exec.run(argv, opts))
end

-- sudo as the nodes have it, and kubectl behind it: nodes are what the playbook left in $STATE, the
-- admin's kubeconfig is a file there. Everything else is run, as Ansible's become wants it.
local SUDO <const> = [[#!/bin/sh
# Shapes: sudo(8); kubectl get nodes -o json; admin.conf of kubeadm.
state=%q
while [ $# -gt 0 ]; do
  case $1 in
    -u) shift 2 ;;
    -*) shift ;;
    *) break ;;
  esac
done
case "$1 $2 $3" in
  "true  ") exit 0 ;;
  "test -e /etc/kubernetes/admin.conf") [ -e "$state/admin.conf" ] ;;
  "cat /etc/kubernetes/admin.conf ") exec cat "$state/admin.conf" ;;
  "/usr/local/bin/kubectl --kubeconfig /etc/kubernetes/admin.conf")
    cd "$state" || exit 1
    comma=
    printf '{"kind":"List","items":['
    for one in node.*; do
      [ -e "$one" ] || continue
      printf '%%s{"metadata":{"name":"%%s"},"status":{"conditions":[{"type":"Ready",' "$comma" \
        "${one#node.}"
      printf '"status":"True"}],"nodeInfo":{"kubeletVersion":"%%s"}}}' "$(cat "$one")"
      comma=,
    done
    printf ']}'
    ;;
  *) exec "$@" ;;
esac
]]

local CONFIG <const> = [[
Port %d
ListenAddress 127.0.0.1
ListenAddress 127.0.0.11
ListenAddress 127.0.0.12
ListenAddress 127.0.0.13
ListenAddress 127.0.0.14
HostKey %s/host_key
PidFile %s/sshd.pid
AuthorizedKeysFile %s/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
SetEnv PATH=%s/node:/usr/local/bin:/usr/bin:/bin HOME=%s/home
]]

local CLIENT <const> = [[
Host *
  Port %d
  IdentityFile %s/key
  IdentitiesOnly yes
  UserKnownHostsFile %s/known_hosts
  LogLevel ERROR
]]

---@class tests.onprem.Ssh
---@field config string file for ssh -F
---@field state string folder that stands for what is on the nodes

---Starts sshd.
---@param dir string
---@return tests.onprem.Ssh
function M.sshd(dir)
  assert(fs.mkdir(dir .. "/node", { parents = true }))
  -- A home of its own: the shell of a session reads what is in it, and Ansible writes there.
  assert(fs.mkdir(dir .. "/home"))
  local state = dir .. "/state"
  assert(fs.mkdir(state))
  for _, name in ipairs({ "host_key", "key" }) do
    run({ "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir .. "/" .. name })
  end
  assert(fs.copy(dir .. "/key.pub", dir .. "/authorized_keys", { mode = "0600" }))
  assert(fs.write(dir .. "/node/sudo", SUDO:format(state), { mode = "0755" }))
  -- ping(8): the address that is used here answers.
  local ping = '#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\n[ "$1" = 127.0.0.1 ]\n'
  assert(fs.write(dir .. "/node/ping", ping, { mode = "0755" }))
  if run({ "id", "-u" }).stdout == "0\n" then
    assert(fs.mkdir("/run/sshd", { parents = true }))
  end
  local self = { state = state, dir = dir, config = dir .. "/ssh_config" }
  for _ = 1, 20 do
    local port = math.random(20000, 29999)
    assert(fs.write(dir .. "/sshd_config", CONFIG:format(port, dir, dir, dir, dir, dir)))
    local argv = { "/usr/sbin/sshd", "-D", "-f", dir .. "/sshd_config", "-E", dir .. "/log" }
    self.proc = assert(exec.start(argv, { accept = "any" }))
    for _ = 1, 200 do
      local seen = fs.read(dir .. "/log") or ""
      if seen:find("listening on", 1, true) then
        local key = fs.read(dir .. "/host_key.pub"):match("^%S+ %S+")
        local known = ("[127.0.0.1]:%d %s\n"):format(port, key)
        assert(fs.write(dir .. "/known_hosts", known))
        assert(fs.write(self.config, CLIENT:format(port, dir, dir)))
        return setmetatable(self, { __index = M.Ssh })
      elseif seen:find("Cannot bind", 1, true) then
        break
      end
      task.sleep("50ms")
    end
    self.proc:kill("SIGKILL")
    self.proc:wait("10s")
    fs.remove(dir .. "/log")
  end
  error("no port was free for sshd: " .. tostring(fs.read(dir .. "/log")))
end

M.Ssh = {}

-- Processes below one, the deepest first.
local function below(pid)
  local list = run({ "ps", "-eo", "pid=,ppid=" }).stdout
  local children, found = {}, {}
  for child, parent in list:gmatch("(%d+)%s+(%d+)") do
    children[parent] = children[parent] or {}
    table.insert(children[parent], child)
  end
  local function add(parent)
    for _, child in ipairs(children[parent] or {}) do
      add(child)
      found[#found + 1] = child
    end
  end
  add(pid)
  return found
end

---Ends it, with the sessions it has: a kept connection of Ansible's ends with its session. The
---sessions go first, so that it sees their end itself.
function M.Ssh:close()
  for _ = 1, 100 do
    local sessions = below(tostring(self.proc.pid))
    if #sessions == 0 then
      break
    end
    for _, pid in ipairs(sessions) do
      exec.run({ "kill", "-9", pid }, { accept = "any" })
    end
    task.sleep("50ms")
  end
  self.proc:kill("SIGKILL")
  self.proc:wait("10s")
end

local FILES <const> = {
  -- As Kubespray's: any host key would do, and none is remembered.
  ["ansible.cfg"] = "[ssh_connection]\npipelining=True\n"
    .. "ssh_args = -o UserKnownHostsFile=/dev/null\n"
    .. "[defaults]\nhost_key_checking=False\nfact_caching = jsonfile\n"
    .. "fact_caching_connection = /tmp\ngathering = smart\n",
  ["requirements.txt"] = "pai-stand-in==1.0\n",
  ["inventory/sample/group_vars/all/all.yml"] = "bin_dir: /usr/local/bin\n"
    .. "loadbalancer_apiserver_localhost: true\n",
  ["inventory/sample/group_vars/k8s_cluster/k8s-cluster.yml"] = "kube_proxy_mode: ipvs\n"
    .. "kube_proxy_strict_arp: false\nkube_pods_subnet: 10.0.0.0/8\n",
  ["inventory/sample/group_vars/k8s_cluster/addons.yml"] = "kube_vip_enabled: false\n"
    .. "metallb_enabled: false\n",
  ["inventory/sample/group_vars/etcd.yml"] = "etcd_cpu_limit: 2\n",
  ["cluster.yml"] = [[
- name: Stand-in for the cluster
  hosts: k8s_cluster
  gather_facts: false
  tasks:
    - name: Check what was given
      assert:
        that:
          - kube_version == '1.32.5'
          - kube_proxy_strict_arp
          - kube_vip_enabled and not metallb_enabled
          - loadbalancer_apiserver.port == 6443
          - groups['etcd'] == groups['kube_control_plane']
    - name: Ignored trouble
      fail:
        msg: "no trouble"
      ignore_errors: true
      run_once: true
    - name: Break
      fail:
        msg: "the disk is full"
      when: break_on is defined and break_on == inventory_hostname
    - name: Install the node
      shell: |
        touch {{ stand_state }}/held
        while [ -e {{ stand_state }}/hold ]; do sleep 0.1; done
        printf 'v%s' {{ kube_version }} >{{ stand_state }}/node.{{ inventory_hostname }}
        cp {{ stand_state }}/given.conf {{ stand_state }}/admin.conf
]],
  ["reset.yml"] = [[
- name: Stand-in for the reset
  hosts: etcd:k8s_cluster
  gather_facts: false
  tasks:
    - name: Check confirmation
      fail:
        msg: Reset confirmation failed
      when: not reset_confirmation | default(false) | bool
    - name: Forget the node
      shell: "rm -f {{ stand_state }}/node.{{ inventory_hostname }} {{ stand_state }}/admin.conf"
]],
}

---Makes a repository of Kubespray's shape with the tag.
---@param dir string
---@param tag string
---@return string commit
function M.repository(dir, tag)
  for path, text in pairs(FILES) do
    assert(fs.mkdir(fs.dirname(dir .. "/" .. path), { parents = true }))
    assert(fs.write(dir .. "/" .. path, text))
  end
  local git = { "git", "-c", "user.name=t", "-c", "user.email=t@example.com" }
  for _, words in ipairs({
    { "init", "-q" },
    { "add", "." },
    { "commit", "-q", "-m", "x" },
    { "tag", tag },
  }) do
    run(table.move(words, 1, #words, #git + 1, { table.unpack(git) }), { cwd = dir })
  end
  return run({ "git", "rev-parse", "HEAD" }, { cwd = dir }).stdout:match("%x+")
end

local WHEEL <const> = [[
import sys, zipfile
path, scripts = sys.argv[1], sys.argv[2:]
name = "pai_stand_in-1.0"
with zipfile.ZipFile(path + "/" + name + "-py3-none-any.whl", "w") as z:
    lines = []
    def add(file, text):
        z.writestr(file, text)
        lines.append(file + ",,")
    add(name + ".dist-info/METADATA", "Metadata-Version: 2.1\nName: pai-stand-in\nVersion: 1.0\n")
    add(name + ".dist-info/WHEEL",
        "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    for one in scripts:
        tool = one.rsplit("/", 1)[1]
        add(name + ".data/scripts/" + tool, "#!/bin/sh\nexec %s \"$@\"\n" % one)
    z.writestr(name + ".dist-info/RECORD", "\n".join(lines) + "\n")
]]

---A wheel that brings Debian's Ansible into an environment, and the pip.conf that finds it.
---@param dir string
---@return string pip_config
function M.wheel(dir)
  assert(fs.mkdir(dir))
  run({ "/usr/bin/python3", "-", dir, "/usr/bin/ansible-playbook", "/usr/bin/ansible-inventory" }, {
    stdin = WHEEL,
  })
  local path = dir .. "/pip.conf"
  assert(fs.write(path, ("[global]\nno-index = true\nfind-links = %s\n"):format(dir)))
  return path
end

---The component in a bench, its lock as the peers have it.
---@param bench tests.Bench
---@param changes table<string, string> in lock.lua: what is there → what is to be there
function M.install(bench, changes)
  local from = pai.root .. "/components/cluster-onprem"
  for _, name in ipairs(fs.list(from)) do
    local text = assert(fs.read(from .. "/" .. name))
    for what, instead in pairs(name == "lock.lua" and changes or {}) do
      local at, last = text:find(what, 1, true)
      assert(at, "lock.lua has another form: " .. what)
      text = text:sub(1, at - 1) .. instead .. text:sub(last + 1)
    end
    bench:write("components/cluster-onprem/" .. name, text)
  end
end

---The checks of `pai preflight|verify --json`, by name.
---@param r table
---@return table<string, table>
function M.checks_of(r)
  local list = {}
  for _, step in ipairs(assert(json.decode(r.stdout), r.stderr).steps) do
    for _, check in ipairs(step.checks or {}) do
      list[check.name] = check
    end
  end
  return list
end

---What the command of a host says: green, but for what is given.
---@param facts table
---@return string
function M.said(facts)
  local out = {}
  local values = {
    time = "2000.5",
    machine = facts.host,
    os = "Ubuntu 24.04.3 LTS",
    kernel = facts.worker and "6.8.0-85-generic" or "6.8.0-84-generic",
    python = "Python 3.12.3",
    cpus = "16",
    memory_kib = tostring(64 * 1024 * 1024),
    swaps = "0",
    iscsid = "active",
    nfs = "yes",
    sudo = "yes",
    free_kib = tostring(300 * 1024 * 1024),
    gpus = "8",
    secureboot = "0",
    device = "yes",
    probe = "ping",
    route = "192.0.2.10 dev eno1 src " .. (facts.addresses or "192.0.2.1") .. " uid 0",
  }
  for name, value in pairs(facts) do
    values[name] = value
  end
  for name, value in pairs(values) do
    if type(value) == "string" and name ~= "socket" then
      for one in value:gmatch("[^\n]+") do
        out[#out + 1] = ("%s=%s"):format(name, one)
      end
    end
  end
  table.sort(out)
  out[#out + 1] = facts.socket or "LISTEN 0 128 0.0.0.0:22 0.0.0.0:*"
  return table.concat(out, "\n") .. "\n"
end

return M
