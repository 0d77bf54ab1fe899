-- inference-nim-operator against a real kube-apiserver and Job controller. There is no kubelet:
-- what one would report, and what NIM Operator would, is written into the objects' status.
local client = require("pai.k8s.client")
local crypto = require("pai.crypto")
local json = require("pai.json")
local server = dofile(pai.root .. "/tests/peers/kubernetes/server.lua")
local stand_in = dofile(pai.root .. "/tests/spec/components/stand_in.lua")
local support = dofile(pai.root .. "/tests/spec/run/support.lua")
local task = require("pai.task")

local NIM <const> = { apiVersion = "apps.nvidia.com/v1alpha1", kind = "NIMService" }
local OPEN <const> = { type = "object", ["x-kubernetes-preserve-unknown-fields"] = true }

local function crd()
  return {
    apiVersion = "apiextensions.k8s.io/v1",
    kind = "CustomResourceDefinition",
    metadata = { name = "nimservices.apps.nvidia.com" },
    spec = {
      group = "apps.nvidia.com",
      scope = "Namespaced",
      names = { plural = "nimservices", singular = "nimservice", kind = "NIMService" },
      versions = {
        {
          name = "v1alpha1",
          served = true,
          storage = true,
          subresources = { status = json.decode("{}") },
          schema = {
            openAPIV3Schema = { type = "object", properties = { spec = OPEN, status = OPEN } },
          },
        },
      },
    },
  }
end

local READY <const> = { { type = "Ready", status = "True" } }

local function set_status(c, what, name, namespace, status)
  c:patch(what, name, { status = status }, { namespace = namespace, subresource = "status" })
end

-- What kubelet and operator report, for as long as the test runs.
local function play(c)
  set_status(c, "node", "gpu-1", nil, {
    capacity = { ["nvidia.com/gpu"] = "1" },
    allocatable = { ["nvidia.com/gpu"] = "1" },
    conditions = READY,
  })
  if not c:get("pods", "operator", { namespace = "nim-operator" }) then
    c:create({
      apiVersion = "v1",
      kind = "Pod",
      metadata = { name = "operator", namespace = "nim-operator" },
      spec = {
        automountServiceAccountToken = false,
        containers = { { name = "main", image = "example.com/main:1" } },
      },
    })
    set_status(c, "pods", "operator", "nim-operator", { phase = "Running", conditions = READY })
  end
  for _, pod in ipairs(c:list("pods", { namespace = "osmo-nims" }) or {}) do
    if pod.status.phase == "Pending" then
      set_status(c, "pods", pod.metadata.name, "osmo-nims", { phase = "Succeeded" })
    end
  end
  for _, nim in ipairs(c:list(NIM, { namespace = "osmo-nims" }) or {}) do
    if not nim.status then
      set_status(c, NIM, nim.metadata.name, "osmo-nims", { state = "Ready" })
    end
  end
end

local function helm(talk)
  local release = json.encode({
    name = "nim-operator",
    namespace = "nim-operator",
    version = 1,
    info = { status = "deployed" },
    chart = { metadata = { name = "k8s-nim-operator", version = "3.1.0" } },
  })
  local cite = "helm status, upgrade --output=json"
  local status = { "helm", "status", "..." }
  talk:tell({ argv = status, stdout = release, when = "release", cite = cite })
  talk:tell({ argv = status, stderr = "Error: release: not found\n", code = 1, cite = cite })
  local upgrade = { "helm", "upgrade", "..." }
  talk:tell({ argv = upgrade, stdout = release, sets = "release", cite = cite })
  talk:tell({ argv = { "helm", "uninstall", "..." }, clears = "release", cite = cite })
end

-- Every object's version, so that a change of any shows.
local function versions(c)
  local list = {}
  for _, what in ipairs({ "secrets", "jobs", "pvc", NIM }) do
    for _, object in ipairs(assert(c:list(what, { namespace = "osmo-nims" }))) do
      list[object.metadata.name] = object.metadata.resourceVersion
    end
  end
  return list
end

describe("inference-nim-operator", function()
  it("is applied, repeated and removed on a real API server", function()
    task.run(function()
      local s <close> = setmetatable({ server = server.start() }, {
        __close = function(self)
          self.server:close()
        end,
      })
      local kubeconfig = s.server.kubeconfig
      local c = assert(client.connect({ kubeconfig = kubeconfig, context = "admin" }))
      assert(c:create({ apiVersion = "v1", kind = "Node", metadata = { name = "gpu-1" } }))
      assert(c:apply(crd()))
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
      assert(
        c:apply({ apiVersion = "v1", kind = "Namespace", metadata = { name = "nim-operator" } })
      )
      local playing = task.spawn(function()
        while true do
          play(c)
          task.sleep(300)
        end
      end)
      assert(c:wait("pods", "operator", {
        ["for"] = "ready",
        namespace = "nim-operator",
        appear = true,
        timeout = "2m",
      }))
      local bench = support.new()
      local talk = stand_in.new(bench.root .. "/tools", { "helm" })
      helm(talk)
      local key, token = "key-" .. crypto.hex(12), "token-" .. crypto.hex(12)
      local function act(action, more)
        local argv = { action, "inference-nim-operator", "context=admin", "nims=qwen25-14b" }
        argv[#argv + 1] = "kubeconfig=" .. kubeconfig
        table.move(more or {}, 1, #(more or {}), #argv + 1, argv)
        argv[#argv + 1] = "--json"
        local r = bench:pai(argv, {
          env = { PATH = talk.path, HOME = bench.root, NGC_API_KEY = key, HF_TOKEN = token },
          timeout = "300s",
        })
        local said = r.stdout .. r.stderr
        assert.is_nil(said:find(key, 1, true))
        return r, support.events(r.stdout)
      end
      -- Nothing runs behind the Service, so that the last gate alone is red.
      local function only_silent(events)
        for _, e in ipairs(support.pick(events, "step.fail")) do
          error(e.step .. ": " .. e.error.message)
        end
        for _, gate in ipairs(support.pick(events, "gate")) do
          for _, check in ipairs(gate.checks) do
            local silent = check.name == "endpoint qwen25-14b"
            local red = check.state == "red" or check.state == "unknown"
            assert.equal(silent, red, check.name .. ": " .. tostring(check.measured))
          end
        end
      end
      local _, events = act("deploy")
      only_silent(events)
      local secret = assert(c:secret("hf-token-secret", { namespace = "osmo-nims" }))
      assert.equal(#token, secret.HF_TOKEN:len())
      local before = versions(c)
      assert.truthy(before["qwen25-14b-hf-download"] and before["qwen25-14b-pvc"])
      _, events = act("deploy")
      only_silent(events)
      assert.same({}, support.pick(events, "step.start"))
      assert.same(before, versions(c))
      -- A change by hand shows, and is taken back.
      local where = { namespace = "osmo-nims" }
      assert(c:patch(NIM, "qwen25-14b", { spec = { replicas = 3 } }, where))
      _, events = act("deploy")
      only_silent(events)
      assert.equal(1, assert(c:get(NIM, "qwen25-14b", where)).spec.replicas)
      local r = act("teardown", { "--yes" })
      assert.equal(0, r.code, r.stdout)
      assert.equal(0, #assert(c:list(NIM, where)))
      assert.equal(1, #assert(c:list("pvc", where)))
      playing:cancel()
      pcall(playing.wait, playing)
      bench:remove()
      talk:check()
    end)
  end)
end)
