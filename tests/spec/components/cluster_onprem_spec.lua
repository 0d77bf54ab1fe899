-- cluster-onprem: the audit against a cluster in memory. Shapes: Kubernetes API reference;
-- ClusterPolicy of GPU Operator 25.3; Longhorn 1.7 CRDs; `helm list --output=json`.
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local support = dofile("tests/spec/run/support.lua")
local stand_in = dofile("tests/spec/components/stand_in.lua")
local fs = require("pai.fs")
local json = require("pai.json")

local HELM <const> = '#!/bin/sh\nexec "%s" lua "%s/tests/spec/components/helm_tool.lua" "%s" "$@"\n'

describe("cluster-onprem", function()
  local bench, talk

  before_each(function()
    bench = support.new()
    local from = pai.root .. "/components/cluster-onprem"
    for _, name in ipairs(fs.list(from)) do
      bench:write("components/cluster-onprem/" .. name, assert(fs.read(from .. "/" .. name)))
    end
    talk = stand_in.new(bench.root .. "/tools", { "git" })
    talk:add("helm", HELM:format(pai.exe, pai.root, talk.dir))
  end)

  after_each(function()
    bench:remove()
  end)

  local function checks_of(r)
    local list = {}
    for _, step in ipairs(assert(json.decode(r.stdout), r.stderr).steps) do
      for _, check in ipairs(step.checks or {}) do
        list[check.name] = check
      end
    end
    return list
  end

  local function release(name, chart, version)
    assert(fs.mkdir(talk.dir .. "/releases", { parents = true }))
    assert(fs.write(
      ("%s/releases/%s.json"):format(talk.dir, name),
      json.encode({
        name = name,
        namespace = name,
        revision = 1,
        status = "deployed",
        chart = chart,
        version = version,
      })
    ))
  end

  local RTX <const> = "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition"
  local GPU <const> = { ["rtxprosrv1"] = RTX, ["rtxprosrv2"] = RTX, ["b200-1"] = "NVIDIA-B200" }

  local function node(c, name)
    local gpu = GPU[name]
    c:node(name, {
      metadata = {
        labels = gpu and {
          ["nvidia.com/gpu.present"] = "true",
          ["nvidia.com/cuda.driver-version.full"] = "580.82.07",
          ["nvidia.com/cuda.runtime-version.full"] = "13.0",
          ["nvidia.com/gpu.product"] = GPU[name],
        } or { ["node-role.kubernetes.io/control-plane"] = "" },
      },
      status = {
        allocatable = gpu and { ["nvidia.com/gpu"] = "8" } or {},
        nodeInfo = {
          osImage = "Ubuntu 24.04.3 LTS",
          kernelVersion = gpu and "6.8.0-85-generic" or "6.8.0-84-generic",
          containerRuntimeVersion = "containerd://2.0.5",
          kubeletVersion = "v1.32.5",
        },
      },
    })
  end

  local PROMETHEUS <const> =
    "/api/v1/namespaces/monitoring/services/kube-prometheus-stack-prometheus"

  -- Prometheus' HTTP API, "Instant queries".
  local function sample(c, age)
    local found = age and { { metric = {}, value = { 1786000000.1, age } } } or {}
    local data = { resultType = "vector", result = json.array(found) }
    c.plain[PROMETHEUS .. ":9090/proxy/api/v1/query"] =
      { json = { status = "success", data = data } }
  end

  -- What a live one has besides: static pods, kube-vip's lease, volumes, addresses, metrics.
  local function live(c)
    c.plain["/readyz"] = { body = "[+]ping ok\nreadyz check passed\n" }
    for i = 1, 3 do
      local name = "k8s-1-cp" .. i
      local servers = "--etcd-servers=https://192.0.2.1:2379,https://192.0.2.2:2379,"
      c:pod("kube-system", "kube-apiserver-" .. name, {
        spec = {
          containers = json.array({
            {
              name = "kube-apiserver",
              command = { "kube-apiserver", servers .. "https://192.0.2.3:2379" },
            },
          }),
        },
      })
      c:pod("kube-system", "kube-vip-" .. name, {
        spec = {
          containers = json.array({
            { name = "kube-vip", env = json.array({ { name = "address", value = "127.0.0.1" } }) },
          }),
        },
      })
    end
    c:put("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/plndr-cp-lock", {
      spec = {
        holderIdentity = "k8s-1-cp1",
        leaseDurationSeconds = 5,
        renewTime = os.date("!%Y-%m-%dT%H:%M:%S.000000Z", os.time() + 60),
      },
    })
    c.discovery["/apis/longhorn.io/v1beta2"].volumes = "Volume"
    c:put("/apis/longhorn.io/v1beta2/volumes/pvc-1", { status = { robustness = "healthy" } })
    c.discovery["/apis/metallb.io/v1beta1"] = {
      ipaddresspools = "IPAddressPool",
      l2advertisements = "L2Advertisement",
    }
    c:put("/apis/metallb.io/v1beta1/ipaddresspools/pai", {})
    c:put("/apis/metallb.io/v1beta1/l2advertisements/pai", {})
    c:put("/api/v1/namespaces/kube-system/configmaps/kube-proxy", {
      data = { ["config.conf"] = "mode: ipvs\nipvs:\n  strictARP: true\n" },
    })
    c:put(PROMETHEUS, { metadata = { labels = { app = "kube-prometheus-stack-prometheus" } } })
    sample(c, "12.5")
  end

  -- The cluster of the reference architecture.
  local function stack(c)
    c.git_version = "v1.32.5"
    for _, name in ipairs({ "k8s-1-cp1", "k8s-1-cp2", "k8s-1-cp3" }) do
      node(c, name)
      c:put("/apis/longhorn.io/v1beta2/namespaces/longhorn-system/nodes/" .. name, {
        kind = "Node",
        status = { conditions = json.array({ { type = "Schedulable", status = "True" } }) },
      })
    end
    for name in pairs(GPU) do
      node(c, name)
    end
    c.discovery["/apis/longhorn.io/v1beta2"] = { settings = "Setting", nodes = "Node" }
    c.discovery["/apis/nvidia.com/v1"] = { clusterpolicies = "ClusterPolicy" }
    c.discovery["/apis/mellanox.com/v1alpha1"] = { nicclusterpolicies = "NicClusterPolicy" }
    c:put(
      "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/settings/current-longhorn-version",
      { kind = "Setting", value = "v1.7.2" }
    )
    c:put("/apis/nvidia.com/v1/clusterpolicies/cluster-policy", {
      kind = "ClusterPolicy",
      spec = { driver = { kernelModuleConfig = { name = "kernel-module-params" } } },
      status = { state = "ready" },
    })
    c:put("/apis/mellanox.com/v1alpha1/nicclusterpolicies/nic-cluster-policy", {
      kind = "NicClusterPolicy",
      status = { state = "ready" },
    })
    c:put("/apis/storage.k8s.io/v1/storageclasses/longhorn", {
      metadata = { annotations = { ["storageclass.kubernetes.io/is-default-class"] = "true" } },
      parameters = { numberOfReplicas = "3" },
    })
    c:put("/apis/node.k8s.io/v1/runtimeclasses/nvidia", { handler = "nvidia" })
    c:put("/api/v1/namespaces/gpu-operator", {})
    c:put("/api/v1/namespaces/gpu-operator/configmaps/kernel-module-params", {
      data = { ["nvidia-uvm.conf"] = "uvm_disable_hmm=1\n" },
    })
    c:put("/apis/apps/v1/namespaces/gpu-operator/daemonsets/nvidia-driver-daemonset", {
      status = { desiredNumberScheduled = 3, numberReady = 3 },
    })
    c:put("/apis/apps/v1/namespaces/gpu-operator/daemonsets/gpu-node-feature-discovery-worker", {
      status = { desiredNumberScheduled = 6, numberReady = 6 },
    })
    release("gpu-operator", "gpu-operator", "v25.3.4")
    release("network-operator", "network-operator", "25.7.0")
    release("prometheus", "kube-prometheus-stack", "82.4.3")
    release("metallb", "metallb", "0.15.3")
    live(c)
    cluster.private(bench.root .. "/config", c:kubeconfig("racks"))
    talk:tell({
      argv = { "git", "describe", "--tags" },
      stdout = "v2.28.0\n",
      cite = "git describe --tags in a checkout at the tag",
    })
  end

  local function audit(argv)
    local command = { "verify", "cluster-onprem", "--json", "context=racks" }
    command[#command + 1] = "kubeconfig=" .. bench.root .. "/config"
    command[#command + 1] = "kubespray=" .. bench.dir
    table.move(argv or {}, 1, #(argv or {}), #command + 1, command)
    local r = bench:pai(command, { env = { PATH = talk.path, HOME = bench.root } })
    return checks_of(r), r
  end

  cluster.it("finds the reference architecture as it is", function(c)
    stack(c)
    local checks, r = audit({ "strict=true" })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.same({ "1.32.5", "v1.32.5" }, {
      checks["apiserver"].expected,
      checks["apiserver"].measured,
    })
    assert.are.equal("1.30 to 1.33", checks["apiserver.runai"].expected)
    assert.are.equal("580.82.07", checks["driver b200-1"].measured)
    assert.are.equal("v1.7.2", checks["longhorn"].measured)
    assert.are.equal("v2.28.0", checks["kubespray"].measured)
    assert.are.equal("skipped", checks["firmware"].state)
    assert.are.equal(24, checks["GPUs"].measured)
    assert.are.same({}, c:changed())
    talk:check()
  end)

  cluster.it("tells drift from a broken limit", function(c)
    stack(c)
    c.git_version = "v1.33.1"
    release("metallb", "metallb", "0.14.9")
    fs.remove(talk.dir .. "/releases/network-operator.json")
    c.objects["/api/v1/nodes/b200-1"].metadata.labels["nvidia.com/cuda.driver-version.full"] = nil
    c:drop("/api/v1/nodes/k8s-1-cp3")
    c:drop("/apis/longhorn.io/v1beta2/namespaces/longhorn-system/nodes/k8s-1-cp3")
    local checks, r = audit()
    assert.are.equal(1, r.code)
    assert.are.equal("warn", checks["apiserver"].state)
    assert.are.equal("ok", checks["apiserver.runai"].state)
    assert.are.same({ "warn", "0.14.9" }, { checks["metallb"].state, checks["metallb"].measured })
    assert.are.same(
      { "warn", "not to be read" },
      { checks["network-operator"].state, checks["network-operator"].measured }
    )
    assert.are.equal("warn", checks["driver b200-1"].state)
    assert.are.equal("no such node", checks["kernel.cp k8s-1-cp3"].measured)
    assert.are.same(
      { "red", 2 },
      { checks["control planes"].state, checks["control planes"].measured }
    )
    assert.are.same(
      { "red", 2 },
      { checks["Longhorn nodes"].state, checks["Longhorn nodes"].measured }
    )
    assert.are.equal("red", audit({ "strict=true" })["metallb"].state)
    -- Hard rows.
    c.git_version = "v1.34.0"
    local labels = c.objects["/api/v1/nodes/b200-1"].metadata.labels
    labels["nvidia.com/cuda.driver-version.full"] = "530.30.02"
    labels["nvidia.com/cuda.runtime-version.full"] = "12.4"
    local info = c.objects["/api/v1/nodes/b200-1"].status.nodeInfo
    info.osImage, info.containerRuntimeVersion = "Ubuntu 22.04.5 LTS", "containerd://1.7.9"
    c.objects["/api/v1/nodes/b200-1"].status.allocatable = { ["nvidia.com/gpu"] = "7" }
    checks = audit()
    for _, name in ipairs({
      "apiserver.runai",
      "apiserver.netop",
      "driver.min b200-1",
      "cuda.min b200-1",
      "os b200-1",
      "containerd.min b200-1",
      "gpus b200-1",
      "GPUs",
    }) do
      assert.are.equal("red", checks[name].state, name)
    end
    assert.are.equal("ok", checks["driver.min rtxprosrv1"].state)
  end)

  cluster.it("ends with 0 where there is drift only, and with 1 where strict=true asks", function(c)
    stack(c)
    release("metallb", "metallb", "0.14.9")
    local checks, r = audit()
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.same({ "warn", "0.15.3" }, {
      checks["metallb"].state,
      checks["metallb"].expected,
    })
    checks, r = audit({ "strict=true" })
    assert.are.equal(1, r.code)
    assert.are.equal("red", checks["metallb"].state)
  end)

  cluster.it("asks the API server, etcd, the VIP, volumes, addresses and metrics", function(c)
    stack(c)
    local function red(name, measured)
      local check = assert(audit()[name], name)
      assert.are.same({ "red", measured }, { check.state, check.measured }, name)
    end
    local checks = audit()
    for name, measured in pairs({
      ["API server"] = "HTTP 200",
      ["etcd members"] = 3,
      ["kube-vip"] = 3,
      ["Longhorn volumes"] = "none degraded",
      ["MetalLB"] = "1 pools, 1 advertisements",
      ["DCGM samples"] = "12 s old",
    }) do
      assert.are.same({ "ok", measured }, { checks[name].state, checks[name].measured }, name)
    end
    for _, name in ipairs({ "OSMO's claims", "nv-ipam", "Run:ai", "Run:ai cluster" }) do
      assert.are.equal("skipped", checks[name].state, name)
    end
    -- Each of them broken.
    c.plain["/readyz"] = { status = 500, body = "[+]ping ok\n[-]etcd failed: reason withheld\n" }
    red("API server", "etcd")
    c.plain["/livez/etcd"] = { status = 500, body = "internal server error" }
    red("etcd", "HTTP 500")
    local api = c.objects["/api/v1/namespaces/kube-system/pods/kube-apiserver-k8s-1-cp2"]
    api.spec.containers[1].command[2] = "--etcd-servers=https://192.0.2.1:2379"
    red("etcd members", 1)
    local vip = "/api/v1/namespaces/kube-system/pods/kube-vip-k8s-1-cp"
    c.objects[vip .. 3].status.phase = "Failed"
    red("kube-vip", 2)
    for i = 1, 3 do
      c.objects[vip .. i].spec.containers[1].env[1].value = "192.0.2.10"
    end
    red("context", "127.0.0.1; kube-vip has 192.0.2.10")
    for i = 1, 3 do
      c.objects[vip .. i].spec.containers[1].env = nil
    end
    red("context", "no kube-vip's pod names an address")
    local lease = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/plndr-cp-lock"
    c.objects[lease].spec.renewTime = "2026-01-01T00:00:00.000000Z"
    red("lease plndr-cp-lock", "2026-01-01T00:00:00.000000Z, by k8s-1-cp1")
    c:drop(lease)
    red("lease plndr-cp-lock", "there is none")
    c.objects["/apis/longhorn.io/v1beta2/volumes/pvc-1"].status.robustness = "degraded"
    red("Longhorn volumes", "pvc-1 degraded")
    c:drop("/apis/metallb.io/v1beta1/l2advertisements/pai")
    red("MetalLB", "1 pools, 0 advertisements")
    local claim = "/api/v1/namespaces/osmo-minimal/persistentvolumeclaims/data"
    c:put("/api/v1/namespaces/osmo-minimal", {})
    c:put(claim, { spec = { storageClassName = "local" }, status = { phase = "Bound" } })
    red("OSMO's claims", "osmo-minimal/data Bound, class local")
    c.discovery["/apis/nv-ipam.nvidia.com/v1alpha1"] = { ippools = "IPPool" }
    c:put("/apis/nv-ipam.nvidia.com/v1alpha1/ippools/rail", {
      status = {
        allocations = json.array({ { nodeName = "b200-1" }, { nodeName = "rtxprosrv1" } }),
      },
    })
    red("nv-ipam", "none for rtxprosrv2 of rail")
    sample(c, "61")
    red("DCGM samples", "61 s old")
    assert.are.equal("<= 60 s old, two scrapes", audit()["DCGM samples"].expected)
    c.discovery["/apis/monitoring.coreos.com/v1"] = {
      prometheuses = "Prometheus",
      servicemonitors = "ServiceMonitor",
    }
    local prometheus = "/apis/monitoring.coreos.com/v1/prometheuses/main"
    c:put(prometheus, { kind = "Prometheus", spec = { scrapeInterval = "1m" } })
    assert.are.equal("<= 120 s old, two scrapes", audit()["DCGM samples"].expected)
    c:put("/apis/monitoring.coreos.com/v1/servicemonitors/nvidia-dcgm-exporter", {
      kind = "ServiceMonitor",
      spec = { endpoints = json.array({ { interval = "15s" } }) },
    })
    sample(c, "31")
    assert.are.equal("<= 30 s old, two scrapes", audit()["DCGM samples"].expected)
    red("DCGM samples", "31 s old")
    sample(c)
    red("DCGM samples", "there are none")
    c.plain[PROMETHEUS .. ":9090/proxy/api/v1/query"] = { status = 503, body = "no endpoints" }
    red("DCGM samples", "HTTP 503")
    c:put("/api/v1/namespaces/runai-backend", {})
    red("Run:ai", "runai-backend: no pod")
    local part = "/apis/run.ai/v1/namespaces/runai/runaiconfigs/runai"
    c.discovery["/apis/run.ai/v1"] = { runaiconfigs = "RunaiConfig" }
    c.namespaced = { runaiconfigs = true }
    c:put("/api/v1/namespaces/runai", {})
    c:put(part, { kind = "RunaiConfig" })
    red("Run:ai cluster", "it does not say")
    local why = { type = "Available", status = "False", message = "runai-agent is not ready" }
    c.objects[part].status = { conditions = json.array({ why }) }
    red("Run:ai cluster", "runai-agent is not ready")
    why.status = "True"
    assert.are.equal("ok", audit()["Run:ai cluster"].state)
    assert.are.same({}, c:changed())
  end)

  cluster.it("sees what is wrong with the stack beyond versions", function(c)
    stack(c)
    c:put("/apis/storage.k8s.io/v1/storageclasses/other", {
      metadata = { annotations = { ["storageclass.kubernetes.io/is-default-class"] = "true" } },
    })
    c.objects["/apis/storage.k8s.io/v1/storageclasses/longhorn"].parameters.numberOfReplicas = "1"
    local policy = c.objects["/apis/nvidia.com/v1/clusterpolicies/cluster-policy"]
    policy.status.state, policy.spec.driver = "notReady", {}
    c.discovery["/apis/mellanox.com/v1alpha1"] = nil
    c:drop("/api/v1/namespaces/gpu-operator/configmaps/kernel-module-params")
    local sets = "/apis/apps/v1/namespaces/%s/daemonsets/%s"
    c.objects[sets:format("gpu-operator", "nvidia-driver-daemonset")].status.numberReady = 2
    c:put(sets:format("nvidia-network-operator", "network-node-feature-discovery-worker"), {
      status = { desiredNumberScheduled = 6, numberReady = 6 },
    })
    c.objects["/apis/node.k8s.io/v1/runtimeclasses/nvidia"].handler = "runc"
    c.objects["/api/v1/nodes/k8s-1-cp1"].status.conditions[1].status = "False"
    local checks, r = audit()
    assert.are.equal(1, r.code)
    for name, measured in pairs({
      ["default StorageClass"] = "longhorn, other",
      ["Longhorn replicas"] = "1",
      ["ClusterPolicy"] = "notReady",
      ["NicClusterPolicy"] = "there is none",
      ["nvidia-uvm"] = "not set",
      ["driver.kernelModuleConfig"] = "not set",
      ["DaemonSets"] = "gpu-operator/nvidia-driver-daemonset 2 of 3",
      ["node feature discovery"] = "gpu-operator, nvidia-network-operator",
      ["RuntimeClass nvidia"] = "handler runc",
      ["nodes"] = "k8s-1-cp1",
    }) do
      assert.are.same({ "red", measured }, { checks[name].state, checks[name].measured }, name)
    end
  end)
end)
