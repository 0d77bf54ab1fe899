-- Every state that counts as the failure of a layer, each with the texts that Kubernetes itself
-- writes: scheduler (generic_scheduler.go, "0/1 nodes are available"), kubelet events.
local api = assert(loadfile(pai.root .. "/tests/spec/k8s/api.lua", "t", _ENV))()
local diagnose = require("pai.k8s.diagnose")
local json = require("pai.json")
local shapes = assert(loadfile(pai.root .. "/tests/spec/k8s/shapes.lua", "t", _ENV))()

local function unscheduled(message)
  return shapes.pod("p", "1", {
    conditions = {
      { type = "PodScheduled", status = "False", reason = "Unschedulable", message = message },
    },
  })
end

local function waiting(reason, message, more)
  local c = {
    name = "main",
    image = "nvcr.io/nim/x:1",
    restartCount = 4,
    state = { waiting = { reason = reason, message = message } },
  }
  for key, value in pairs(more or {}) do
    c[key] = value
  end
  return shapes.pod("p", "1", { containerStatuses = { c } })
end

local function event(object, reason, message)
  return {
    type = "Warning",
    reason = reason,
    message = message,
    involvedObject = { uid = object.metadata.uid },
    metadata = {},
    lastTimestamp = "2026-01-01T00:00:00Z",
    count = 3,
  }
end

local function node(name, ready, gpus)
  return {
    metadata = { name = name },
    status = {
      conditions = { { type = "Ready", status = ready, message = "kubelet says so" } },
      allocatable = { ["nvidia.com/gpu"] = gpus },
    },
  }
end

local function only(facts)
  local found = diagnose.find(facts)
  assert.equal(1, #found)
  return found[1]
end

local function text_of(f)
  return table.concat(f.evidence, "\n")
end

describe("a pod that no node takes", function()
  for message, layer in pairs({
    ["0/2 nodes are available: 2 Insufficient nvidia.com/gpu."] = "capacity",
    ["0/1 nodes are available: 1 Insufficient memory."] = "capacity",
    ["0/1 nodes are available: 1 node(s) had taint {g: x}."] = "taints",
    ["0/1 nodes are available: 1 node(s) had untolerated taint {sku: gpu}."] = "taints",
    ["0/1 nodes are available: 1 node(s) didn't match node selector."] = "taints",
    ["0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."] = "taints",
    ["pod has unbound immediate PersistentVolumeClaims"] = "storage",
    ["0/3 nodes are available: 3 node(s) had volume node affinity conflict."] = "storage",
    ["something new"] = "capacity",
  }) do
    it("is of " .. layer .. ": " .. message:sub(1, 60), function()
      local f = only({ pods = { unscheduled(message) } })
      assert.same({ layer, "Pod", "p", "Pending" }, { f.layer, f.kind, f.name, f.state })
      assert.truthy(f.message:find(message, 1, true))
      assert.truthy(#f.next > 20)
    end)
  end

  it("for want of GPUs says how many there are", function()
    local f = only({
      pods = { unscheduled("0/2 nodes are available: 2 Insufficient nvidia.com/gpu.") },
      nodes = { node("a", "True", "2"), node("b", "True") },
    })
    assert.truthy(text_of(f):find("together offer: 2", 1, true))
    assert.truthy(text_of(f):find("image: example.com/main:1", 1, true))
  end)
end)

describe("a container that does not start", function()
  it("for its image is told from one for its credential", function()
    local pod = waiting("ImagePullBackOff", 'Back-off pulling image "nvcr.io/nim/x:1"')
    local f = only({ pods = { pod } })
    assert.same({ "image", "ImagePullBackOff" }, { f.layer, f.state })
    local pull = 'Failed to pull image "nvcr.io/nim/x:1": 401 Unauthorized'
    f = only({ pods = { pod }, events = { event(pod, "Failed", pull) } })
    assert.equal("credential", f.layer)
    assert.truthy(f.next:find("pull secret", 1, true))
    assert.truthy(text_of(f):find("(3 times)", 1, true))
    f = only({ pods = { waiting("ErrImagePull", "manifest unknown: not found") } })
    assert.truthy(f.next:find("no such name or tag", 1, true))
  end)

  it("ends again and again, or was ended for want of memory", function()
    local f = only({
      pods = {
        waiting("CrashLoopBackOff", "back-off", { lastState = { terminated = { exitCode = 2 } } }),
      },
    })
    assert.same({ "config", "CrashLoopBackOff" }, { f.layer, f.state })
    assert.truthy(f.message:find("with code 2 and is started again, 4 times", 1, true))
    assert.truthy(f.next:find("pai k8s logs p --container main --previous", 1, true))
    local killed = { terminated = { exitCode = 137, reason = "OOMKilled" } }
    f = only({ pods = { waiting("CrashLoopBackOff", "back-off", { lastState = killed }) } })
    assert.same({ "memory", "OOMKilled" }, { f.layer, f.state })
  end)

  it("lacks a Secret", function()
    local f = only({ pods = { waiting("CreateContainerConfigError", 'secret "hf" not found') } })
    assert.same({ "config", true }, { f.layer, f.message:find('secret "hf"', 1, true) ~= nil })
  end)

  it("cannot mount, or has no runtime", function()
    local pod = shapes.pod("p")
    local said = event(pod, "FailedMount", "Unable to attach or mount volumes: timed out")
    assert.equal("storage", only({ pods = { pod }, events = { said } }).layer)
    said = event(pod, "FailedCreatePodSandBox", 'no runtime for "nvidia" is configured')
    assert.equal("cluster", only({ pods = { pod }, events = { said } }).layer)
  end)

  it("is fine when it runs, has ended well, or only waits a moment", function()
    local running = shapes.pod("r", "1", {
      phase = "Running",
      containerStatuses = { { name = "main", image = "x", state = { running = {} } } },
    })
    local found = diagnose.find({
      pods = { running, shapes.pod("s", "1", { phase = "Succeeded" }), shapes.pod("new") },
    })
    assert.same({}, found)
  end)
end)

describe("other layers", function()
  it("a node that is not ready comes before its pods", function()
    local pod = shapes.pod("p", "1", { phase = "Unknown" })
    pod.spec.nodeName = "a"
    local found = diagnose.find({ pods = { pod }, nodes = { node("a", "Unknown") } })
    assert.same({ "Node", "Pod" }, { found[1].kind, found[2].kind })
    assert.same({ "cluster", "cluster" }, { found[1].layer, found[2].layer })
    assert.truthy(text_of(found[2]):find("node: a, not ready", 1, true))
  end)

  it("a claim without a volume says why", function()
    local function claim(class)
      return {
        metadata = { name = "c", uid = "c" },
        spec = { storageClassName = class, accessModes = { "ReadWriteMany" } },
        status = { phase = "Pending" },
      }
    end
    local class = { metadata = { name = "local" }, volumeBindingMode = "WaitForFirstConsumer" }
    local f = only({ claims = { claim("none") }, classes = { class } })
    assert.truthy(f.message:find("'none' does not exist", 1, true))
    f = only({ claims = { claim() }, classes = { class } })
    assert.truthy(f.message:find("no default", 1, true))
    f = only({ claims = { claim("local") }, classes = { class } })
    assert.truthy(f.message:find("first pod", 1, true))
    local lost = claim("local")
    lost.status.phase = "Lost"
    assert.equal("Lost", only({ claims = { lost } }).state)
    local no = event(claim("local"), "ProvisioningFailed", "quota of the share is used up")
    f = only({ claims = { claim("local") }, events = { no } })
    assert.truthy(text_of(f):find("quota of the share", 1, true))
  end)

  it("a workload with no ready replica, also for want of quota", function()
    local function deployment(conditions)
      return {
        kind = "Deployment",
        metadata = { name = "d", uid = "d" },
        spec = { replicas = 2 },
        status = { conditions = conditions },
      }
    end
    local f = only({ workloads = { deployment() } })
    assert.same({ "workload", "0 ready" }, { f.layer, f.state })
    f = only({
      workloads = {
        deployment({
          {
            type = "ReplicaFailure",
            status = "True",
            reason = "FailedCreate",
            message = 'pods "d" is forbidden: exceeded quota: gpus, requested: 1, used: 8',
          },
        }),
      },
      quotas = { { metadata = { name = "gpus" }, status = { hard = {}, used = {} } } },
    })
    assert.equal("quota", f.layer)
    local nim =
      { kind = "NIMService", metadata = { name = "n", uid = "n" }, spec = { replicas = 1 } }
    nim.status = { state = "NotReady" }
    assert.equal("NIMService", only({ workloads = { nim } }).kind)
    nim.status.state = "Ready"
    assert.same({}, diagnose.find({ workloads = { nim } }))
    f = only({
      quotas = {
        {
          metadata = { name = "q" },
          status = { hard = { pods = "3", cpu = "4" }, used = { pods = "3", cpu = "1" } },
        },
      },
    })
    assert.truthy(f.message:find("all of pods is used: 3 of 3", 1, true))
    assert.equal("warn", diagnose.checks({ f })[1].state)
  end)

  it("a job that failed", function()
    local f = only({
      jobs = {
        {
          metadata = { name = "j", uid = "j" },
          status = {
            conditions = {
              { type = "Failed", status = "True", reason = "BackoffLimitExceeded", message = "x" },
            },
          },
        },
      },
    })
    assert.same({ "job", true }, { f.layer, f.next:find("job-name=j", 1, true) ~= nil })
  end)
end)

describe("a namespace", function()
  local base = "/api/v1/namespaces/default/"
  local function empty()
    return { json = { kind = "List", metadata = {}, items = json.array() } }
  end
  local routes = {
    ["GET " .. base .. "pods"] = function()
      return shapes.pods({ unscheduled("0/1 nodes are available: 1 Insufficient cpu.") }, "1")
    end,
    ["GET " .. base .. "events"] = empty,
    ["GET " .. base .. "persistentvolumeclaims"] = empty,
    ["GET " .. base .. "resourcequotas"] = empty,
    ["GET /apis/batch/v1/namespaces/default/jobs"] = empty,
    ["GET /apis/apps/v1/namespaces/default/deployments"] = empty,
    ["GET /apis/apps/v1/namespaces/default/statefulsets"] = empty,
    ["GET /apis/apps.nvidia.com/v1alpha1"] = shapes.not_found,
    ["GET /api/v1/nodes"] = shapes.forbidden_one,
    ["GET /apis/storage.k8s.io/v1/storageclasses"] = empty,
  }
  api.it("is read side by side, and what may not be read is named", routes, function(_, c)
    local found = assert(diagnose.namespace(c))
    assert.same({ 1, "capacity" }, { #found, found[1].layer })
    table.sort(found.unread)
    assert.same({ "NIMService", "nodes" }, found.unread)
  end)
end)
