-- inference-nim-operator against a real kube-apiserver and its controllers: brought up, repeated,
-- verified, stopped by each layer that can stop it, and taken away.
local bench = dofile(pai.root .. "/tests/peers/kubernetes/nim_bench.lua")
local support = dofile(pai.root .. "/tests/spec/run/support.lua")
local task = require("pai.task")

local NIM <const> = bench.NIM
local WHERE <const> = { namespace = bench.NAMESPACE }

local b

setup(function()
  task.run(function()
    b = bench.start()
  end)
end)

teardown(function()
  task.run(function()
    b:close()
  end)
end)

-- Every object's version, so that a change of any shows.
local function versions(c)
  local list = {}
  for _, what in ipairs({ "secrets", "jobs", "pvc", NIM }) do
    for _, object in ipairs(assert(c:list(what, WHERE))) do
      list[object.metadata.name] = object.metadata.resourceVersion
    end
  end
  return list
end

local function checks_of(events)
  local checks = {}
  for _, gate in ipairs(support.pick(events, "gate")) do
    for _, check in ipairs(gate.checks) do
      checks[check.name] = check
    end
  end
  return checks
end

-- Nothing runs behind the Service, so that its own check alone is red.
local function only_silent(events)
  for _, e in ipairs(support.pick(events, "step.fail")) do
    error(e.step .. ": " .. e.error.message)
  end
  for name, check in pairs(checks_of(events)) do
    local red = check.state == "red" or check.state == "unknown"
    assert.equal(name:find("^endpoint ") ~= nil, red, name .. ": " .. tostring(check.measured))
  end
end

local function it_runs(title, fn)
  it(title, function()
    task.run(fn)
  end)
end

local function verify(name)
  local r = b.bench:pai({
    "verify",
    "inference-nim-operator",
    "context=admin",
    "nims=" .. name,
    "kubeconfig=" .. b.server.kubeconfig,
    "--json",
  }, {
    env = {
      PATH = b.talk.path,
      HOME = b.bench.root,
      NGC_API_KEY = b.key,
      HF_TOKEN = b.token,
      PHYSICAL_AI_PREFLIGHT_SKIP_NETWORK = "1",
    },
    timeout = "120s",
  })
  local checks = {}
  local answer = assert(require("pai.json").decode(r.stdout), r.stdout .. r.stderr)
  for _, step in ipairs(answer.steps) do
    for _, check in ipairs(step.checks or {}) do
      checks[check.name] = check
    end
  end
  return checks, r
end

-- A pod of cosmos-reason in a state, with an event about it.
local function stopped_pod(status, reason, message)
  status.phase = "Pending"
  b:pod(bench.NAMESPACE, "cosmos-reason-0", { app = "cosmos-reason" }, status)
  local pod = assert(b.c:get("pods", "cosmos-reason-0", WHERE))
  assert(b.c:create({
    apiVersion = "v1",
    kind = "Event",
    metadata = { generateName = "cosmos-reason-0.", namespace = bench.NAMESPACE },
    involvedObject = {
      apiVersion = "v1",
      kind = "Pod",
      name = "cosmos-reason-0",
      namespace = bench.NAMESPACE,
      uid = pod.metadata.uid,
    },
    type = "Warning",
    reason = reason,
    message = message,
    count = 3,
    lastTimestamp = os.date("!%Y-%m-%dT%H:%M:%SZ"),
    source = { component = "played" },
  }, WHERE))
end

local function unscheduled(message)
  return function()
    stopped_pod({
      conditions = {
        { type = "PodScheduled", status = "False", reason = "Unschedulable", message = message },
      },
    }, "FailedScheduling", message)
  end
end

local function waiting(reason, message)
  return function()
    stopped_pod({
      containerStatuses = {
        {
          name = "main",
          image = "example.com/main:1",
          imageID = "",
          ready = false,
          restartCount = 4,
          state = { waiting = { reason = reason, message = message } },
        },
      },
    }, "Failed", message)
  end
end

-- Each trouble, as who writes it writes it; what the message says; kinds that are there afterwards.
local TROUBLES <const> = {
  {
    "a GPU that is not free",
    unscheduled("0/1 nodes are available: 1 Insufficient nvidia.com/gpu."),
    { "Pod cosmos-reason-0: capacity:", "Insufficient nvidia.com/gpu", "next: " },
  },
  {
    "a taint",
    unscheduled(
      "0/1 nodes are available: 1 node(s) had taint {nvidia.com/gpu: present}, that the pod "
        .. "didn't tolerate."
    ),
    { "taints:", "nvidia.com/gpu", "next: " },
  },
  {
    "an image that is not there",
    waiting("ImagePullBackOff", 'Back-off pulling image "example.com/main:1": not found'),
    { "image:", "example.com/main:1", "next: " },
  },
  {
    "a credential",
    waiting("ErrImagePull", "failed to pull: unexpected status code: 403 Forbidden"),
    { "credential:", "403 Forbidden", "next: " },
  },
  {
    "a Secret that is not there",
    waiting("CreateContainerConfigError", 'secret "hf-token-secret" not found'),
    { "config:", "hf-token-secret", "next: " },
  },
  {
    -- Of the API server's own: its controller waits for a provisioner that is not here.
    "a claim that is not bound",
    function()
      assert(b.c:create({
        apiVersion = "v1",
        kind = "PersistentVolumeClaim",
        metadata = { name = "cosmos-reason-pvc", namespace = bench.NAMESPACE },
        spec = {
          accessModes = { "ReadWriteMany" },
          resources = { requests = { storage = "50Gi" } },
        },
      }, WHERE))
    end,
    { "PersistentVolumeClaim cosmos-reason-pvc: storage:", "next: " },
  },
  {
    -- Of its own too: admission refuses the pods, and the ReplicaSet's controller says so.
    "a quota",
    function()
      assert(b.c:create({
        apiVersion = "v1",
        kind = "ResourceQuota",
        metadata = { name = "no-gpu", namespace = bench.NAMESPACE },
        spec = { hard = { ["requests.nvidia.com/gpu"] = "0" } },
      }, WHERE))
      local labels = { app = "cosmos-reason" }
      local resources = { limits = { ["nvidia.com/gpu"] = "1" } }
      assert(b.c:create({
        apiVersion = "apps/v1",
        kind = "Deployment",
        metadata = { name = "cosmos-reason", namespace = bench.NAMESPACE, labels = labels },
        spec = {
          selector = { matchLabels = labels },
          template = {
            metadata = { labels = labels },
            spec = { containers = { { name = "main", image = "x", resources = resources } } },
          },
        },
      }, WHERE))
    end,
    { "Deployment cosmos-reason: quota:", "exceeded quota: no-gpu", "next: " },
  },
}

local function clear()
  local all = { namespace = bench.NAMESPACE, absent = true, wait = true, timeout = "2m" }
  for _, one in ipairs({
    { "deployments", "cosmos-reason" },
    { "pods", "cosmos-reason-0" },
    { "resourcequotas", "no-gpu" },
    { "persistentvolumeclaims", "cosmos-reason-pvc" },
  }) do
    assert(b.c:delete(one[1], one[2], all))
  end
  for _, event in ipairs(assert(b.c:list("events", WHERE))) do
    assert(
      b.c:delete("events", event.metadata.name, { namespace = bench.NAMESPACE, absent = true })
    )
  end
end

describe("inference-nim-operator on a real API server", function()
  it_runs("is deployed, repeated, verified and removed", function()
    local qwen = { "nims=qwen25-14b" }
    -- What a provisioner would make; the server's own controller binds it.
    assert(b.c:create({
      apiVersion = "v1",
      kind = "PersistentVolume",
      metadata = { name = "models" },
      spec = {
        accessModes = { "ReadWriteMany" },
        capacity = { storage = "50Gi" },
        storageClassName = "shared",
        claimRef = { name = "qwen25-14b-pvc", namespace = bench.NAMESPACE },
        nfs = { server = "127.0.0.1", path = "/models" },
      },
    }))
    local _, events = b:act("deploy", qwen)
    only_silent(events)
    local secret = assert(b.c:secret("hf-token-secret", WHERE))
    assert.equal(#b.token, secret.HF_TOKEN:len())
    local before = versions(b.c)
    assert.truthy(before["qwen25-14b-hf-download"] and before["qwen25-14b-pvc"])
    _, events = b:act("deploy", qwen)
    only_silent(events)
    assert.same({}, support.pick(events, "step.start"))
    assert.same(before, versions(b.c))
    -- A change by hand shows, and is taken back.
    assert(b.c:patch(NIM, "qwen25-14b", { spec = { replicas = 3 } }, WHERE))
    assert.equal(
      "its spec was changed since",
      verify("qwen25-14b")["NIMService qwen25-14b"].measured
    )
    _, events = b:act("deploy", qwen)
    only_silent(events)
    assert.equal(1, assert(b.c:get(NIM, "qwen25-14b", WHERE)).spec.replicas)
    local checks = verify("qwen25-14b")
    assert.equal("ok", checks["NIMService qwen25-14b"].state)
    assert.equal("established", checks["CRD nimservices.apps.nvidia.com"].measured)
    -- The operator would make the Service.
    assert.equal("HTTP 404", checks["endpoint qwen25-14b"].measured)
    local r = b:act("teardown", { "--yes" })
    assert.equal(0, r.code, r.stdout)
    assert.equal(0, #assert(b.c:list(NIM, WHERE)))
    assert.equal(1, #assert(b.c:list("pvc", WHERE)))
    r = b:act("teardown", { "volumes=true", "--yes" })
    assert.equal(0, r.code, r.stdout)
    assert.is_nil((b.c:get("ns", bench.NAMESPACE)))
    b.talk:check()
  end)

  it_runs("is stopped by each layer by name, as soon as that has lasted", function()
    b.state = "NotReady"
    local argv = { "nims=cosmos-reason", "patience_s=0" }
    -- The namespace has to be there for what is put into it.
    for _, name in ipairs({ bench.NAMESPACE, "nim-operator" }) do
      assert(b.c:apply({ apiVersion = "v1", kind = "Namespace", metadata = { name = name } }))
    end
    b:wait_operator()
    for _, trouble in ipairs(TROUBLES) do
      trouble[2]()
      if trouble[1] == "a quota" then
        local refused = { ["for"] = "condition=ReplicaFailure", timeout = "2m" }
        refused.namespace = bench.NAMESPACE
        assert(b.c:wait("deployments", "cosmos-reason", refused))
      end
      local r, events = b:act("deploy", argv)
      assert.equal(1, r.code, trouble[1] .. r.stdout)
      local failed = assert(support.pick(events, "step.fail")[1], trouble[1] .. r.stdout)
      assert.equal("inference-nim-operator/nims[cosmos-reason]", failed.step)
      for _, text in ipairs(trouble[3]) do
        local said = failed.error.message
        assert.truthy(said:find(text, 1, true), ("%s: %s"):format(trouble[1], said))
      end
      assert(b.c:wait(NIM, "cosmos-reason", {
        ["for"] = "status.state=NotReady",
        namespace = bench.NAMESPACE,
        timeout = "1m",
      }))
      local checks
      checks, r = verify("cosmos-reason")
      assert.equal(1, r.code)
      assert.equal("NotReady", checks["NIMService cosmos-reason"].measured)
      local diagnosis = checks["diagnosis of osmo-nims"]
      assert.equal("red", diagnosis.state)
      assert.truthy(diagnosis.measured:find(trouble[3][1], 1, true), diagnosis.measured)
      assert.truthy(#diagnosis.hint > 0)
      clear()
    end
    -- With nothing else wrong it is the service itself that is not up, and deploy brings it back.
    local checks = verify("cosmos-reason")
    local diagnosis = checks["diagnosis of osmo-nims"]
    assert.truthy(diagnosis.measured:find("0 of 1 replicas are ready", 1, true))
    b.state = nil
    local _, events = b:act("deploy", { "nims=cosmos-reason" })
    only_silent(events)
    local r = b:act("teardown", { "volumes=true", "crds=true", "--yes" })
    assert.equal(0, r.code, r.stdout)
    assert.is_nil((b.c:get("crd", "nimservices.apps.nvidia.com")))
    assert.is_nil((b.c:get("ns", bench.NAMESPACE)))
  end)
end)
