-- inference-nim-operator on a real API server. There is no kubelet and no operator: what they would
-- report is written into the objects' status here, for as long as a test wants it.
local client = require("pai.k8s.client")
local crypto = require("pai.crypto")
local json = require("pai.json")
local server = dofile(pai.root .. "/tests/peers/kubernetes/server.lua")
local stand_in = dofile(pai.root .. "/tests/spec/components/stand_in.lua")
local support = dofile(pai.root .. "/tests/spec/run/support.lua")
local task = require("pai.task")

local M = {}

M.NIM = { apiVersion = "apps.nvidia.com/v1alpha1", kind = "NIMService" }
M.NAMESPACE = "osmo-nims"

local READY <const> = { { type = "Ready", status = "True" } }

local function helm(talk)
  local release = json.encode({
    name = "nim-operator",
    namespace = "nim-operator",
    version = 1,
    info = { status = "deployed" },
    chart = { metadata = { name = "k8s-nim-operator", version = "3.1.0" } },
  })
  local cite = "helm status, upgrade --output=json"
  talk:tell({
    argv = { "helm", "version", "..." },
    stdout = "v3.16.2+g13654a5\n",
    cite = "helm version --short",
  })
  local status = { "helm", "status", "..." }
  talk:tell({ argv = status, stdout = release, when = "release", cite = cite })
  talk:tell({ argv = status, stderr = "Error: release: not found\n", code = 1, cite = cite })
  local upgrade = { "helm", "upgrade", "..." }
  talk:tell({ argv = upgrade, stdout = release, sets = "release", cite = cite })
  talk:tell({ argv = { "helm", "uninstall", "..." }, clears = "release", cite = cite })
end

---@class tests.NimBench
local Bench = {}
Bench.__index = Bench

---Writes the status of an object.
function Bench:set_status(what, name, namespace, status)
  self.c:patch(what, name, { status = status }, { namespace = namespace, subresource = "status" })
end

---A pod as an operator or a Deployment would make it; its status is the test's.
function Bench:pod(namespace, name, labels, status)
  assert(self.c:create({
    apiVersion = "v1",
    kind = "Pod",
    metadata = { name = name, namespace = namespace, labels = labels },
    spec = {
      automountServiceAccountToken = false,
      containers = { { name = "main", image = "example.com/main:1" } },
    },
  }))
  self:set_status("pods", name, namespace, status)
end

-- What kubelet and operator report, once.
function Bench:play()
  local c = self.c
  self:set_status("node", "gpu-1", nil, {
    capacity = { ["nvidia.com/gpu"] = "1" },
    allocatable = { ["nvidia.com/gpu"] = "1" },
    conditions = { server.node_ready() },
  })
  local operator = c:get("pods", "operator", { namespace = "nim-operator" })
  if not operator and c:get("sa", "default", { namespace = "nim-operator" }) then
    self:pod("nim-operator", "operator", nil, { phase = "Running", conditions = READY })
  end
  for _, pod in ipairs(c:list("pods", { namespace = M.NAMESPACE }) or {}) do
    if pod.status.phase == "Pending" and (pod.metadata.labels or {})["job-name"] then
      self:set_status("pods", pod.metadata.name, M.NAMESPACE, { phase = "Succeeded" })
    end
  end
  for _, nim in ipairs(c:list(M.NIM, { namespace = M.NAMESPACE }) or {}) do
    local wanted = self.state or "Ready"
    if (nim.status or {}).state ~= wanted then
      self:set_status(M.NIM, nim.metadata.name, M.NAMESPACE, { state = wanted })
    end
  end
end

---Waits for the operator's pod, which is played where its namespace is.
function Bench:wait_operator()
  local appears = { ["for"] = "ready", namespace = "nim-operator", appear = true, timeout = "2m" }
  assert(self.c:wait("pods", "operator", appears))
end

---Runs an action of the component; its result, events and checks by name.
function Bench:act(action, more)
  local argv = { action, "inference-nim-operator", "context=admin" }
  argv[#argv + 1] = "kubeconfig=" .. self.server.kubeconfig
  table.move(more or {}, 1, #(more or {}), #argv + 1, argv)
  argv[#argv + 1] = "--json"
  local r = self.bench:pai(argv, {
    env = {
      PATH = self.talk.path,
      HOME = self.bench.root,
      NGC_API_KEY = self.key,
      PHYSICAL_AI_PREFLIGHT_SKIP_NETWORK = "1",
      HF_TOKEN = self.token,
    },
    timeout = "300s",
  })
  local said = r.stdout .. r.stderr
  assert(not said:find(self.key, 1, true), "the key was printed")
  assert(not said:find(self.token, 1, true), "the token was printed")
  return r, support.events(r.stdout)
end

function Bench:close()
  self.playing:cancel()
  pcall(self.playing.wait, self.playing)
  self.bench:remove()
  self.server:close()
end

---Starts a server with a GPU node, a StorageClass and the CRD, on which kubelet and operator play.
---@return tests.NimBench
function M.start()
  local self = setmetatable({ server = server.start() }, Bench)
  local c = assert(client.connect({ kubeconfig = self.server.kubeconfig, context = "admin" }))
  self.c = c
  assert(c:create({ apiVersion = "v1", kind = "Node", metadata = { name = "gpu-1" } }))
  assert(c:apply(server.nim_crd()))
  assert(c:wait("crd", "nimservices.apps.nvidia.com", { ["for"] = "condition=Established" }))
  assert(c:apply({
    apiVersion = "storage.k8s.io/v1",
    kind = "StorageClass",
    metadata = {
      name = "shared",
      annotations = { ["storageclass.kubernetes.io/is-default-class"] = "true" },
    },
    provisioner = "nfs.csi.k8s.io",
  }))
  assert(c:apply({ apiVersion = "v1", kind = "Namespace", metadata = { name = "nim-operator" } }))
  self.playing = task.spawn(function()
    while true do
      self:play()
      task.sleep(300)
    end
  end)
  self:wait_operator()
  self.bench = support.new()
  self.talk = stand_in.new(self.bench.root .. "/tools", { "helm" })
  helm(self.talk)
  self.key, self.token = "key-" .. crypto.hex(12), "token-" .. crypto.hex(12)
  return self
end

return M
