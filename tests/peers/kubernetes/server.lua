-- A real API server on loopback: etcd, kube-apiserver with RBAC, kube-controller-manager. There is
-- no kubelet and no scheduler: pods stay Pending unless a test sets their status. It ends with pai.
local exec = require("pai.exec")
local fs = require("pai.fs")
local http = require("pai.http")
local task = require("pai.task")

local M = {}

local function programs()
  local found = assert(exec.run({ pai.root .. "/tests/peers/kubernetes/build", "--there" }, {
    accept = "any",
  }))
  if found.code ~= 0 then
    return nil
  end
  return (found.stdout:gsub("%s+$", ""))
end

---The folder of the programs, or nil when they are not built.
M.programs = programs

local free_ports = assert(loadfile(pai.root .. "/tests/peers/net.lua"))().free_ports

local function openssl(dir, ...)
  assert(exec.run({ "openssl", ... }, { cwd = dir, timeout = "60s" }))
end

local function certificate(dir, name, subject, extension)
  assert(fs.write(dir .. "/" .. name .. ".ext", extension))
  local req = { "req", "-newkey", "rsa:2048", "-nodes", "-subj", subject }
  table.move({ "-keyout", name .. ".key", "-out", name .. ".csr" }, 1, 4, #req + 1, req)
  openssl(dir, table.unpack(req))
  local sign = { "x509", "-req", "-in", name .. ".csr", "-CA", "ca.crt", "-CAkey", "ca.key" }
  local more = { "-CAcreateserial", "-days", "2", "-out", name .. ".crt" }
  table.move(more, 1, #more, #sign + 1, sign)
  table.move({ "-extfile", name .. ".ext" }, 1, 2, #sign + 1, sign)
  openssl(dir, table.unpack(sign))
end

local function make_pki(dir)
  local ca =
    { "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test-ca" }
  table.move({ "-keyout", "ca.key", "-out", "ca.crt" }, 1, 4, #ca + 1, ca)
  openssl(dir, table.unpack(ca))
  certificate(dir, "server", "/CN=kube-apiserver", "subjectAltName=DNS:kubernetes,IP:127.0.0.1\n")
  certificate(dir, "admin", "/O=system:masters/CN=admin", "extendedKeyUsage=clientAuth\n")
  openssl(dir, "genrsa", "-out", "sa.key", "2048")
end

local function write_kubeconfig(self)
  local dir = self.dir
  local text = ([[
apiVersion: v1
kind: Config
current-context: admin
clusters:
- name: real
  cluster: {server: "https://127.0.0.1:%d", certificate-authority: ca.crt}
users:
- name: admin
  user: {client-certificate: admin.crt, client-key: admin.key}
- name: jane
  user: {token: %s}
contexts:
- name: admin
  context: {cluster: real, user: admin}
- name: jane
  context: {cluster: real, user: jane, namespace: default}
]]):format(self.port, self.jane)
  assert(fs.write(dir .. "/config", text, { mode = "0600" }))
  self.kubeconfig = dir .. "/config"
end

---A node's condition as its kubelet writes it; without a new time the node is lost after 40 s.
---@return table
function M.node_ready()
  local now = os.date("!%Y-%m-%dT%H:%M:%SZ")
  return { type = "Ready", status = "True", reason = "KubeletReady", lastHeartbeatTime = now }
end

---The CRD of NIM Operator's NIMService, open or with a schema of its spec.
---@param spec table? schema
---@return table
function M.nim_crd(spec)
  local any = { type = "object", ["x-kubernetes-preserve-unknown-fields"] = true }
  local properties = { spec = spec or any, status = any }
  return {
    apiVersion = "apiextensions.k8s.io/v1",
    kind = "CustomResourceDefinition",
    metadata = { name = "nimservices.apps.nvidia.com" },
    spec = {
      group = "apps.nvidia.com",
      scope = "Namespaced",
      names = {
        plural = "nimservices",
        singular = "nimservice",
        kind = "NIMService",
        listKind = "NIMServiceList",
      },
      versions = {
        {
          name = "v1alpha1",
          served = true,
          storage = true,
          subresources = { status = require("pai.json").decode("{}") },
          schema = { openAPIV3Schema = { type = "object", properties = properties } },
        },
      },
    },
  }
end

---@class pai.test.Kubernetes
local Server = {}
Server.__index = Server

function Server:start_api()
  local dir = self.dir
  self.api = assert(exec.start({
    self.programs .. "/kube-apiserver",
    ("--etcd-servers=http://127.0.0.1:%d"):format(self.etcd_port),
    "--bind-address=127.0.0.1",
    "--advertise-address=127.0.0.1",
    "--secure-port=" .. self.port,
    "--tls-cert-file=" .. dir .. "/server.crt",
    "--tls-private-key-file=" .. dir .. "/server.key",
    "--client-ca-file=" .. dir .. "/ca.crt",
    "--token-auth-file=" .. dir .. "/tokens.csv",
    "--authorization-mode=RBAC",
    "--service-cluster-ip-range=10.96.0.0/24",
    "--service-account-issuer=https://127.0.0.1:" .. self.port,
    "--service-account-key-file=" .. dir .. "/sa.key",
    "--service-account-signing-key-file=" .. dir .. "/sa.key",
    "--api-audiences=api",
    "--allow-privileged=true",
    "--cert-dir=" .. dir .. "/cert",
  }, {
    stdout = { file = dir .. "/api.log", append = true },
    stderr = { file = dir .. "/api.log", append = true },
  }))
end

function Server:wait_ready()
  local deadline = task.now() + 180000
  repeat
    local res = http.request({
      url = ("https://127.0.0.1:%d/readyz"):format(self.port),
      tls = {
        ca = assert(fs.read(self.dir .. "/ca.crt")),
        cert = assert(fs.read(self.dir .. "/admin.crt")),
        key = assert(fs.read(self.dir .. "/admin.key")),
      },
      accept = "any",
      proxy = "",
    })
    if res and res.status == 200 then
      return
    end
    task.sleep(200)
  until task.now() > deadline
  error("kube-apiserver is not ready: " .. tostring(fs.read(self.dir .. "/api.log")):sub(-2000))
end

-- The namespace's own service account, without which no pod can be made, comes a moment later.
function Server:wait_accounts()
  local client = require("pai.k8s.client")
  local c = assert(client.connect({ kubeconfig = self.kubeconfig, context = "admin" }))
  assert(c:wait("sa", "default", {
    met = function()
      return true
    end,
    appear = true,
    timeout = "120s",
  }))
end

function Server:stop_api()
  self.api:stop()
end

function Server:close()
  for _, p in ipairs({ self.manager, self.api, self.etcd }) do
    p:stop()
  end
  fs.remove(self.dir, { recursive = true })
end

---Starts all of it; takes some ten seconds.
---@return pai.test.Kubernetes
function M.start()
  local self = setmetatable({ dir = assert(fs.tempdir()), programs = programs() }, Server)
  local peer_port
  self.etcd_port, peer_port, self.port = free_ports(3)
  make_pki(self.dir)
  self.jane = require("pai.crypto").hex(16)
  assert(fs.write(self.dir .. "/tokens.csv", self.jane .. ",jane,1000\n", { mode = "0600" }))
  write_kubeconfig(self)
  local etcd = "http://127.0.0.1:" .. self.etcd_port
  local peer = "http://127.0.0.1:" .. peer_port
  local log = { file = self.dir .. "/etcd.log" }
  self.etcd = assert(exec.start({
    "etcd",
    "--data-dir=" .. self.dir .. "/etcd",
    "--listen-client-urls=" .. etcd,
    "--advertise-client-urls=" .. etcd,
    "--listen-peer-urls=" .. peer,
    "--initial-advertise-peer-urls=" .. peer,
    "--initial-cluster=default=" .. peer,
    "--unsafe-no-fsync",
  }, { stdout = log, stderr = "stdout" }))
  self:start_api()
  self:wait_ready()
  log = { file = self.dir .. "/manager.log" }
  self.manager = assert(exec.start({
    self.programs .. "/kube-controller-manager",
    "--kubeconfig=" .. self.kubeconfig,
    "--bind-address=127.0.0.1",
    "--port=0",
    "--secure-port=0",
    "--leader-elect=false",
    "--use-service-account-credentials=false",
    "--service-account-private-key-file=" .. self.dir .. "/sa.key",
    "--root-ca-file=" .. self.dir .. "/ca.crt",
  }, { stdout = log, stderr = "stdout" }))
  self:wait_accounts()
  return self
end

return M
