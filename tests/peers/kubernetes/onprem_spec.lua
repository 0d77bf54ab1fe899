-- The audit of cluster-onprem against a real kube-apiserver and releases that a real Helm 4 made.
-- There is no kubelet and no operator: nodes and policies get from here what those would write.
-- The server is older than the stack, so the rows about its version are set to what it is.
local client = require("pai.k8s.client")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local layer = dofile(pai.root .. "/tests/spec/components/kubectl_layer.lua")
local server = dofile(pai.root .. "/tests/peers/kubernetes/server.lua")
local support = dofile(pai.root .. "/tests/spec/run/support.lua")
local task = require("pai.task")

local s, admin, bench, path

local PLANES <const> = { "k8s-1-cp1", "k8s-1-cp2", "k8s-1-cp3" }
local WORKERS <const> = { "b200-1", "rtxprosrv1", "rtxprosrv2" }

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
        {
          name = version,
          served = true,
          storage = true,
          schema = {
            openAPIV3Schema = {
              type = "object",
              ["x-kubernetes-preserve-unknown-fields"] = true,
            },
          },
        },
      },
    },
  }))
  assert(
    admin:wait(
      "crd",
      plural .. "." .. group,
      { ["for"] = "condition=Established", timeout = "60s" }
    )
  )
end

local function status(name, more)
  local value = {
    conditions = {
      {
        type = "Ready",
        status = "True",
        reason = "KubeletReady",
        message = "ready",
        lastHeartbeatTime = os.date("!%Y-%m-%dT%H:%M:%SZ"),
      },
    },
    nodeInfo = {
      architecture = "amd64",
      bootID = "b",
      machineID = "m",
      systemUUID = "u",
      operatingSystem = "linux",
      kubeProxyVersion = "v1.32.5",
      osImage = "Ubuntu 24.04.3 LTS",
      kernelVersion = "6.8.0-84-generic",
      containerRuntimeVersion = "containerd://2.0.5",
      kubeletVersion = "v1.32.5",
    },
  }
  if not name:find("^k8s") then
    value.nodeInfo.kernelVersion = "6.8.0-85-generic"
    value.capacity = { ["nvidia.com/gpu"] = "8" }
    value.allocatable = { ["nvidia.com/gpu"] = "8" }
  end
  for key, field in pairs(more or {}) do
    for k, v in pairs(field) do
      value[key][k] = v
    end
  end
  assert(admin:patch("node", name, { status = value }, { subresource = "status" }))
end

-- As a kubelet does all the time; without it the node controller calls the node Unknown.
local function heartbeat()
  for _, list in ipairs({ PLANES, WORKERS }) do
    for _, name in ipairs(list) do
      status(name)
    end
  end
end

local function nodes()
  for _, name in ipairs(PLANES) do
    local labels = { ["node-role.kubernetes.io/control-plane"] = "" }
    assert(admin:apply({
      apiVersion = "v1",
      kind = "Node",
      metadata = { name = name, labels = labels },
    }))
  end
  for _, name in ipairs(WORKERS) do
    local labels = {
      ["nvidia.com/gpu.present"] = "true",
      ["nvidia.com/cuda.driver-version.full"] = "580.82.07",
      ["nvidia.com/cuda.runtime-version.full"] = "13.0",
      ["nvidia.com/gpu.product"] = name == "b200-1" and "NVIDIA-B200"
        or "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition",
    }
    assert(admin:apply({
      apiVersion = "v1",
      kind = "Node",
      metadata = { name = name, labels = labels },
    }))
  end
end

local function helm(...)
  local argv = { path .. "/helm/helm", ... }
  local where = { "--kube-context", "admin", "--kubeconfig", s.kubeconfig }
  table.move(where, 1, #where, #argv + 1, argv)
  return assert(exec.run(argv, { timeout = "120s", env = { HOME = bench.root } }))
end

local function release(name, chart, version)
  local dir = ("%s/charts/%s-%s"):format(bench.root, chart, version)
  assert(fs.mkdir(dir .. "/templates", { parents = true }))
  local text = "apiVersion: v2\nname: %s\nversion: %s\n"
  assert(fs.write(dir .. "/Chart.yaml", text:format(chart, version)))
  assert(
    fs.write(
      dir .. "/templates/map.yaml",
      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-chart}\n"
    )
  )
  helm("upgrade", name, dir, "--install", "--create-namespace", "--namespace", name)
end

local function daemonset(namespace, name, selector)
  return {
    apiVersion = "apps/v1",
    kind = "DaemonSet",
    metadata = { name = name, namespace = namespace },
    spec = {
      selector = { matchLabels = { app = name } },
      template = {
        metadata = { labels = { app = name } },
        spec = {
          nodeSelector = selector,
          tolerations = { { operator = "Exists" } },
          containers = { { name = "main", image = "example.com/main:1" } },
        },
      },
    },
  }
end

-- kube-vip renews its lease all the time.
local function lease()
  assert(admin:apply({
    apiVersion = "coordination.k8s.io/v1",
    kind = "Lease",
    metadata = { name = "plndr-cp-lock", namespace = "kube-system" },
    spec = {
      holderIdentity = PLANES[1],
      leaseDurationSeconds = 5,
      renewTime = os.date("!%Y-%m-%dT%H:%M:%S.000000Z", os.time() + 30),
    },
  }))
end

-- The static pods of a control plane, as the kubelet mirrors them.
local function static_pods(name)
  local members = "--etcd-servers=https://192.0.2.1:2379,https://192.0.2.2:2379,"
  local commands = { ["kube-apiserver"] = members .. "https://192.0.2.3:2379", ["kube-vip"] = "" }
  for component, word in pairs(commands) do
    local pod = component .. "-" .. name
    assert(admin:apply({
      apiVersion = "v1",
      kind = "Pod",
      metadata = { name = pod, namespace = "kube-system" },
      spec = {
        automountServiceAccountToken = false,
        nodeName = name,
        tolerations = { { operator = "Exists" } },
        containers = {
          {
            name = component,
            image = "example.com/x:1",
            command = { component, word },
            env = { { name = "address", value = "127.0.0.1" } },
          },
        },
      },
    }))
    local opts = { namespace = "kube-system", subresource = "status" }
    assert(admin:patch("pods", pod, { status = { phase = "Running" } }, opts))
  end
end

local function objects()
  definition("longhorn.io", "v1beta2", "volumes", "Volume", "Namespaced")
  definition("metallb.io", "v1beta1", "ipaddresspools", "IPAddressPool", "Namespaced")
  definition("metallb.io", "v1beta1", "l2advertisements", "L2Advertisement", "Namespaced")
  definition("longhorn.io", "v1beta2", "settings", "Setting", "Namespaced")
  definition("longhorn.io", "v1beta2", "nodes", "Node", "Namespaced")
  definition("nvidia.com", "v1", "clusterpolicies", "ClusterPolicy", "Cluster")
  definition("mellanox.com", "v1alpha1", "nicclusterpolicies", "NicClusterPolicy", "Cluster")
  local list = {
    { apiVersion = "v1", kind = "Namespace", metadata = { name = "longhorn-system" } },
    {
      apiVersion = "metallb.io/v1beta1",
      kind = "IPAddressPool",
      metadata = { name = "pai", namespace = "longhorn-system" },
    },
    {
      apiVersion = "metallb.io/v1beta1",
      kind = "L2Advertisement",
      metadata = { name = "pai", namespace = "longhorn-system" },
    },
    {
      apiVersion = "v1",
      kind = "ConfigMap",
      metadata = { name = "kube-proxy", namespace = "kube-system" },
      data = { ["config.conf"] = "mode: ipvs\nipvs:\n  strictARP: true\n" },
    },
    {
      apiVersion = "longhorn.io/v1beta2",
      kind = "Setting",
      metadata = { name = "current-longhorn-version", namespace = "longhorn-system" },
      value = "v1.7.2",
    },
    {
      apiVersion = "nvidia.com/v1",
      kind = "ClusterPolicy",
      metadata = { name = "cluster-policy" },
      spec = { driver = { kernelModuleConfig = { name = "kernel-module-params" } } },
      status = { state = "ready" },
    },
    {
      apiVersion = "mellanox.com/v1alpha1",
      kind = "NicClusterPolicy",
      metadata = { name = "nic-cluster-policy" },
      status = { state = "ready" },
    },
    {
      apiVersion = "storage.k8s.io/v1",
      kind = "StorageClass",
      metadata = {
        name = "longhorn",
        annotations = { ["storageclass.kubernetes.io/is-default-class"] = "true" },
      },
      provisioner = "driver.longhorn.io",
      parameters = { numberOfReplicas = "3" },
    },
    {
      apiVersion = "node.k8s.io/v1",
      kind = "RuntimeClass",
      metadata = { name = "nvidia" },
      handler = "nvidia",
    },
    {
      apiVersion = "v1",
      kind = "ConfigMap",
      metadata = { name = "kernel-module-params", namespace = "gpu-operator" },
      data = { ["nvidia-uvm.conf"] = "uvm_disable_hmm=1\n" },
    },
    -- No node is capable of MIG: none is wanted, and that is fine.
    daemonset("gpu-operator", "nvidia-mig-manager", { ["nvidia.com/mig.capable"] = "true" }),
  }
  for _, name in ipairs(PLANES) do
    static_pods(name)
    list[#list + 1] = {
      apiVersion = "longhorn.io/v1beta2",
      kind = "Node",
      metadata = { name = name, namespace = "longhorn-system" },
      status = { conditions = { { type = "Schedulable", status = "True" } } },
    }
  end
  for _, object in ipairs(list) do
    assert(admin:apply(object))
  end
end

-- A checkout of Kubespray at its tag.
local function kubespray()
  local dir = bench.root .. "/kubespray"
  assert(fs.mkdir(dir))
  local me = { "git", "-c", "user.name=t", "-c", "user.email=t@example.com" }
  for _, words in ipairs({
    { "init", "-q" },
    { "commit", "-q", "--allow-empty", "-m", "x" },
    { "tag", "v2.28.0" },
  }) do
    local argv = table.move(words, 1, #words, #me + 1, { table.unpack(me) })
    assert(exec.run(argv, { cwd = dir, env = { HOME = bench.root } }))
  end
  return dir
end

-- The component as it is, or with the rows about the API server's version as that one is.
local function install(version)
  local from = pai.root .. "/components/cluster-onprem/"
  for _, name in ipairs(fs.list(from)) do
    local text = assert(fs.read(from .. name))
    if name == "matrix.lua" and version then
      local minor = version:match("^%d+%.%d+")
      local n, m
      text, n = text:gsub('want = "1.32.5",(%s+class = "soft",%s+from = "api")', function(rest)
        return ('want = "%s",%s'):format(version, rest)
      end)
      text, m =
        text:gsub('want = { "1.%d+", "1.%d+" }', ('want = { "%s", "%s" }'):format(minor, minor))
      assert(n == 1 and m == 2, "the rows of the matrix have another form")
    end
    bench:write("components/cluster-onprem/" .. name, text)
  end
end

local function audit(...)
  heartbeat()
  lease()
  local argv = { "verify", "cluster-onprem", "--json", "context=admin" }
  argv[#argv + 1] = "kubeconfig=" .. s.kubeconfig
  argv[#argv + 1] = "kubespray=" .. bench.root .. "/kubespray"
  table.move({ ... }, 1, select("#", ...), #argv + 1, argv)
  local r = bench:pai(argv, {
    env = { PATH = path .. "/helm:/usr/bin:/bin", HOME = bench.root, KUBECONFIG = false },
    timeout = "120s",
  })
  local list = {}
  for _, step in ipairs(assert(json.decode(r.stdout), r.stderr).steps) do
    for _, check in ipairs(step.checks or {}) do
      list[check.name] = check
    end
  end
  return list, r
end

setup(function()
  task.run(function()
    s = server.start()
    admin = assert(client.connect({ kubeconfig = s.kubeconfig, context = "admin" }))
    bench = support.new()
    path = layer.dir()
    release("gpu-operator", "gpu-operator", "v25.3.4")
    release("network-operator", "network-operator", "25.7.0")
    release("prometheus", "kube-prometheus-stack", "82.4.3")
    release("metallb", "metallb", "0.15.3")
    nodes()
    objects()
    kubespray()
  end)
end)

teardown(function()
  task.run(function()
    s:close()
    bench:remove()
  end)
end)

local function it_runs(title, fn)
  it(title, function()
    task.run(fn)
  end)
end

local function version()
  return (assert(admin:version()).gitVersion:match("%d+%.%d+%.%d+"))
end

describe("the audit of cluster-onprem", function()
  it_runs("is green for the stack as it should be, drift counted too", function()
    install(version())
    local checks, r = audit("strict=true")
    local odd = {}
    for name, check in pairs(checks) do
      if check.state ~= "ok" and check.state ~= "skipped" then
        odd[#odd + 1] = ("%s %s: %s"):format(name, check.state, check.measured)
      end
    end
    assert.same({}, odd)
    assert.equal(0, r.code, r.stderr)
    assert.equal("v2.28.0", checks["kubespray"].measured)
    assert.equal("25.3.4", checks["gpu-operator"].measured)
    assert.equal(24, checks["GPUs"].measured)
    assert.equal("all", checks["DaemonSets"].measured)
  end)

  it_runs("calls another release drift, which only strict makes red", function()
    install(version())
    release("metallb", "metallb", "0.14.9")
    local checks, r = audit()
    assert.same({ "warn", "0.14.9" }, { checks["metallb"].state, checks["metallb"].measured })
    assert.equal(0, r.code, r.stdout)
    checks, r = audit("strict=true")
    assert.equal("red", checks["metallb"].state)
    assert.equal(1, r.code)
    release("metallb", "metallb", "0.15.3")
    helm("uninstall", "network-operator", "--namespace", "network-operator")
    checks = audit()
    assert.same(
      { "warn", "not to be read" },
      { checks["network-operator"].state, checks["network-operator"].measured }
    )
    release("network-operator", "network-operator", "25.7.0")
    assert.equal(0, select(2, audit("strict=true")).code)
  end)

  it_runs("is red where a limit is broken, whatever strict says", function()
    install() -- as shipped: this server is too old for Run:ai and the Network Operator
    assert(admin:apply(daemonset("gpu-operator", "nvidia-driver-daemonset", {
      ["nvidia.com/gpu.present"] = "true",
    })))
    assert(admin:wait("daemonset", "nvidia-driver-daemonset", {
      namespace = "gpu-operator",
      timeout = "60s",
      met = function(object)
        return object.status.desiredNumberScheduled == #WORKERS
      end,
    }))
    local kind = { apiVersion = "longhorn.io/v1beta2", kind = "Node" }
    assert(admin:delete(kind, PLANES[1], { namespace = "longhorn-system" }))
    assert(admin:patch("clusterpolicies", "cluster-policy", { status = { state = "notReady" } }))
    local label = { ["nvidia.com/cuda.driver-version.full"] = "530.30.02" }
    assert(admin:patch("nodes", "b200-1", { metadata = { labels = label } }))
    local checks, r = audit()
    assert.equal(1, r.code)
    assert.equal("warn", checks["apiserver"].state)
    for name, measured in pairs({
      ["apiserver.runai"] = "v" .. version(),
      ["apiserver.netop"] = "v" .. version(),
      ["driver.min b200-1"] = "530.30.02",
      ["ClusterPolicy"] = "notReady",
      ["DaemonSets"] = "gpu-operator/nvidia-driver-daemonset 0 of 3",
      ["Longhorn nodes"] = 2,
    }) do
      assert.same({ "red", measured }, { checks[name].state, checks[name].measured }, name)
    end
    assert.equal("ok", checks["driver.min rtxprosrv1"].state)
  end)
end)
