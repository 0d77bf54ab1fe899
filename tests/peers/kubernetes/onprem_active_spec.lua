-- The active tests of cluster-onprem against a real kube-apiserver with its Job, Deployment,
-- namespace and volume controllers. There is no kubelet, no scheduler and no MetalLB: what those
-- would do is written from here, and logs come over the kubelet's own interface.
local client = require("pai.k8s.client")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local server = dofile(pai.root .. "/tests/peers/kubernetes/server.lua")
local support = dofile(pai.root .. "/tests/spec/run/support.lua")
local task = require("pai.task")

local OPEN <const> = { type = "object", ["x-kubernetes-preserve-unknown-fields"] = true }
local WORKERS <const> = { "gpu1", "gpu2" }
local TESTS <const> = { "gpu", "storage", "loadbalancer", "network" }

local s, admin, bench, kubelet, port, playing

local function definition(group, version, plural, kind, scope)
  assert(admin:apply({
    apiVersion = "apiextensions.k8s.io/v1",
    kind = "CustomResourceDefinition",
    metadata = { name = plural .. "." .. group },
    spec = {
      group = group,
      scope = scope,
      names = { plural = plural, singular = kind:lower(), kind = kind, listKind = kind .. "List" },
      versions = {
        { name = version, served = true, storage = true, schema = { openAPIV3Schema = OPEN } },
      },
    },
  }))
  local wish = { ["for"] = "condition=Established", timeout = "60s" }
  assert(admin:wait("crd", plural .. "." .. group, wish))
end

local function logs(more)
  local list = { vectoradd = "Test PASSED", store = "STORED" }
  list.client = "20260821120000,198.51.100.3,42000,198.51.100.2,5001,-1,0.0-10.0,1,250000000000"
  for name, text in pairs(more or {}) do
    list[name] = text
  end
  assert(fs.write(s.dir .. "/logs", json.encode(list)))
end

local function node(name, labels, gpus)
  admin:apply({ apiVersion = "v1", kind = "Node", metadata = { name = name, labels = labels } })
  local status = {
    addresses = { { type = "InternalIP", address = "127.0.0.1" } },
    daemonEndpoints = { kubeletEndpoint = { Port = port } },
    conditions = { { type = "Ready", status = "True", lastHeartbeatTime = os.date("!%FT%TZ") } },
  }
  if gpus then
    status.capacity = { ["nvidia.com/gpu"] = gpus }
    status.allocatable = { ["nvidia.com/gpu"] = gpus }
  end
  admin:patch("node", name, { status = status }, { subresource = "status" })
end

-- The scheduler: a pod goes to the node that its selector names.
local function bind(namespace, pod)
  local wanted = (pod.spec.nodeSelector or {})["kubernetes.io/hostname"] or WORKERS[1]
  local path = ("/api/v1/namespaces/%s/pods/%s/binding"):format(namespace, pod.metadata.name)
  admin.transport:call("POST", path, {
    body = json.encode({
      apiVersion = "v1",
      kind = "Binding",
      metadata = { name = pod.metadata.name },
      target = { apiVersion = "v1", kind = "Node", name = wanted },
    }),
  })
end

local function pod_status(namespace, pod, status)
  local opts = { namespace = namespace, subresource = "status" }
  admin:patch("pods", pod.metadata.name, { status = status }, opts)
end

local NETWORKS <const> = '[{"name":"cbr0","default":true,"ips":["10.1.1.1"]},'
  .. '{"name":"default/rail","interface":"net1","ips":["198.51.100.2"]}]'

local failing = {}

-- The kubelet: Jobs' pods end, the others run; a pod that is to be deleted goes.
local function run_pod(namespace, pod)
  local name = pod.metadata.name
  if pod.metadata.deletionTimestamp then
    admin:delete("pods", name, { namespace = namespace, absent = true, grace_s = 0 })
  elseif not pod.spec.nodeName then
    bind(namespace, pod)
  elseif pod.status.phase == "Pending" and (name == "server" or name:find("^web")) then
    local ready = { { type = "Ready", status = "True" } }
    pod_status(namespace, pod, { phase = "Running", conditions = ready })
    if name == "server" then
      local marks = { ["k8s.v1.cni.cncf.io/network-status"] = NETWORKS }
      admin:patch("pods", name, { metadata = { annotations = marks } }, { namespace = namespace })
    end
  elseif pod.status.phase == "Pending" then
    local claim = namespace:find("storage$")
      and admin:get("pvc", "claim", { namespace = namespace })
    if claim and claim.status.phase ~= "Bound" then
      return
    end
    local bad = failing[name:match("^%l+%-?%d*")]
    local over = { exitCode = bad and 1 or 0, reason = bad and "Error" or "Completed" }
    pod_status(namespace, pod, {
      phase = bad and "Failed" or "Succeeded",
      containerStatuses = {
        {
          name = "main",
          image = pod.spec.containers[1].image,
          imageID = "",
          ready = false,
          restartCount = 0,
          state = { terminated = over },
        },
      },
    })
  end
end

-- MetalLB, and Longhorn's provisioner.
local function provide(namespace)
  local service = admin:get("services", "web", { namespace = namespace })
  if service and not (service.status.loadBalancer or {}).ingress then
    local status = { loadBalancer = { ingress = { { ip = "192.0.2.21" } } } }
    admin:patch("services", "web", { status = status }, {
      namespace = namespace,
      subresource = "status",
    })
  end
  local claim = admin:get("pvc", "claim", { namespace = namespace })
  if claim and not claim.spec.volumeName then
    admin:apply({
      apiVersion = "v1",
      kind = "PersistentVolume",
      metadata = { name = "pvc-1" },
      spec = {
        accessModes = { "ReadWriteOnce" },
        capacity = { storage = "1Gi" },
        storageClassName = "longhorn",
        claimRef = { namespace = namespace, name = "claim" },
        csi = { driver = "driver.longhorn.io", volumeHandle = "pvc-1" },
      },
    })
  end
end

local function play()
  node("cp1", { ["node-role.kubernetes.io/control-plane"] = "" })
  for _, name in ipairs(WORKERS) do
    node(name, { ["kubernetes.io/hostname"] = name }, "8")
  end
  for _, name in ipairs(TESTS) do
    local namespace = "pai-active-" .. name
    for _, pod in ipairs(admin:list("pods", { namespace = namespace }) or {}) do
      run_pod(namespace, pod)
    end
    provide(namespace)
  end
end

setup(function()
  task.run(function()
    s = server.start()
    admin = assert(client.connect({ kubeconfig = s.kubeconfig, context = "admin" }))
    bench = support.new()
    local from = pai.root .. "/components/cluster-onprem/"
    for _, name in ipairs(fs.list(from)) do
      bench:write("components/cluster-onprem/" .. name, assert(fs.read(from .. name)))
    end
    definition("longhorn.io", "v1beta2", "volumes", "Volume", "Namespaced")
    definition("metallb.io", "v1beta1", "ipaddresspools", "IPAddressPool", "Namespaced")
    for _, object in ipairs({
      { apiVersion = "v1", kind = "Namespace", metadata = { name = "longhorn-system" } },
      { apiVersion = "v1", kind = "Namespace", metadata = { name = "metallb-system" } },
      {
        apiVersion = "longhorn.io/v1beta2",
        kind = "Volume",
        metadata = { name = "pvc-1", namespace = "longhorn-system" },
        status = { robustness = "healthy" },
      },
      {
        apiVersion = "metallb.io/v1beta1",
        kind = "IPAddressPool",
        metadata = { name = "pai", namespace = "metallb-system" },
        spec = { addresses = { "192.0.2.20-192.0.2.40" } },
      },
      {
        apiVersion = "storage.k8s.io/v1",
        kind = "StorageClass",
        metadata = { name = "longhorn" },
        provisioner = "driver.longhorn.io",
      },
      {
        apiVersion = "node.k8s.io/v1",
        kind = "RuntimeClass",
        metadata = { name = "nvidia" },
        handler = "nvidia",
      },
    }) do
      assert(admin:apply(object))
    end
    logs()
    local argv =
      { "/usr/bin/python3", pai.root .. "/tests/peers/kubernetes/kubelet_logs.py", s.dir }
    local said = s.dir .. "/kubelet"
    kubelet = assert(exec.start(argv, { stdin = "pipe", accept = "any", stdout = { file = said } }))
    support.eventually(function()
      port = math.tointeger(tonumber((fs.read(said) or ""):match("%d+\n")))
      return port
    end, "the port of the kubelet")
  end)
end)

teardown(function()
  task.run(function()
    kubelet:kill("SIGKILL")
    kubelet:wait("10s")
    s:close()
    bench:remove()
  end)
end)

local function argv(tests, more)
  local list = { "verify", "--active", "cluster-onprem", "--json", "context=admin" }
  list[#list + 1] = "kubeconfig=" .. s.kubeconfig
  list[#list + 1] = "tests=" .. tests
  return table.move(more or {}, 1, #(more or {}), #list + 1, list)
end

local function active(tests, more)
  local r = bench:pai(argv(tests, more), { env = { KUBECONFIG = false }, timeout = "5m" })
  local checks = {}
  for _, gate in ipairs(support.pick(support.events(r.stdout), "gate")) do
    for _, check in ipairs(gate.checks) do
      checks[check.name] = check
    end
  end
  return checks, r
end

-- The namespace controller takes a moment.
local function gone()
  for _, name in ipairs(TESTS) do
    assert(admin:wait("ns", "pai-active-" .. name, { ["for"] = "delete", timeout = "2m" }))
  end
  assert(admin:delete("persistentvolumes", "pvc-1", { absent = true }))
end

local function it_plays(title, fn)
  it(title, function()
    task.run(function()
      play()
      playing = task.spawn(function()
        while true do
          play()
          task.sleep(200)
        end
      end)
      local ok, problem = pcall(fn)
      playing:cancel()
      pcall(playing.wait, playing)
      assert(ok, tostring(problem))
    end)
  end)
end

describe("the active tests of cluster-onprem", function()
  it_plays("are green on a real API server, and leave nothing", function()
    local checks, r = active(table.concat(TESTS, ","), { "min_gbit=100" })
    local failed = support.pick(support.events(r.stdout), "step.fail")
    assert.same({}, failed)
    assert.equal(0, r.code, r.stderr)
    local measured = {}
    for name, check in pairs(checks) do
      measured[name] = check.measured
    end
    assert.same({
      ["CUDA on gpu1 (GPU)"] = "Test PASSED",
      ["CUDA on gpu2 (GPU)"] = "Test PASSED",
      ["volume on gpu1"] = "as expected",
      ["volume on gpu2"] = "as expected",
      ["Longhorn volume"] = "healthy",
      ["LoadBalancer address"] = "192.0.2.21 of pai",
      ["LoadBalancer from here"] = checks["LoadBalancer from here"].measured,
      ["gpu2 to gpu1"] = "250.0 Gbit/s",
    }, measured)
    gone()
  end)

  it_plays("name what failed, and clean up all the same", function()
    failing = { ["vectoradd-1"] = true, ["store-2"] = true }
    logs({ ["vectoradd-1"] = "Failed to allocate device vector A", ["store-2"] = "found 0 files" })
    local checks, r = active("gpu,storage")
    assert.equal(1, r.code)
    local said = checks["CUDA on gpu1 (GPU)"].measured
    assert.truthy(said:find("its log ends: Failed to allocate device vector A", 1, true), said)
    assert.equal("ok", checks["CUDA on gpu2 (GPU)"].state)
    assert.truthy(checks["volume on gpu2"], r.stdout:sub(-3000))
    said = checks["volume on gpu2"].measured
    assert.truthy(said:find("its log ends: found 0 files", 1, true), said)
    failing = {}
    logs()
    gone()
  end)

  it_plays("are taken away by pai runs cancel after a kill", function()
    playing:cancel()
    local list = argv("gpu", { "--run-id", "run-killed" })
    local proc = bench:start(list, { KUBECONFIG = false })
    assert(admin:wait("jobs", "vectoradd-1", {
      namespace = "pai-active-gpu",
      appear = true,
      timeout = "2m",
      met = function()
        return true
      end,
    }))
    proc:kill("SIGKILL")
    proc:wait("30s")
    assert.truthy(admin:get("ns", "pai-active-gpu"))
    local r = bench:pai({ "runs", "cancel", "run-killed" }, { env = { KUBECONFIG = false } })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    playing = task.spawn(function()
      while true do
        play()
        task.sleep(200)
      end
    end)
    gone()
  end)
end)
