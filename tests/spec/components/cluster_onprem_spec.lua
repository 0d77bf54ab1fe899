-- cluster-onprem: the audit against a cluster in memory, the preflight against hosts behind a
-- scripted ssh. Shapes: Kubernetes API reference; ClusterPolicy of GPU Operator 25.3; Longhorn 1.7
-- CRDs; `helm list --output=json`.
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
    talk = stand_in.new(bench.root .. "/tools", { "ssh", "git", "date" })
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

  local GPU <const> = { ["rtxprosrv1"] = true, ["rtxprosrv2"] = true, ["b200-1"] = true }

  local function node(c, name)
    local gpu = GPU[name]
    c:node(name, {
      metadata = {
        labels = gpu and {
          ["nvidia.com/gpu.present"] = "true",
          ["nvidia.com/cuda.driver-version.full"] = "580.82.07",
          ["nvidia.com/cuda.runtime-version.full"] = "13.0",
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

  local function said(facts)
    local out = { ("time=%s"):format(facts.time or "2000.5") }
    out[#out + 1] = "host=" .. facts.host
    out[#out + 1] = "machine=" .. (facts.machine or facts.host)
    out[#out + 1] = facts.sudo or "sudo=yes"
    out[#out + 1] = "swaps=" .. (facts.swaps or "0")
    out[#out + 1] = "iscsid=" .. (facts.iscsid or "active")
    out[#out + 1] = facts.nfs or "nfs=yes"
    out[#out + 1] = "free_kib=" .. (facts.free_kib or 300 * 1024 * 1024)
    out[#out + 1] = "gpus=" .. (facts.gpus or 8)
    out[#out + 1] = facts.unresolved and "unresolved=" .. facts.unresolved or "addresses_seen=1"
    out[#out + 1] = "addresses=" .. facts.address .. " fe80::1"
    out[#out + 1] = facts.socket or "LISTEN 0 128 0.0.0.0:22 0.0.0.0:*"
    return table.concat(out, "\n") .. "\n"
  end

  local function answers(host, facts)
    talk:instead({
      argv = {
        "ssh",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "ConnectTimeout=15",
        "--",
        host,
        "~^printf",
      },
      stdout = facts.host and said(facts) or nil,
      stderr = facts.stderr,
      code = facts.code,
      cite = "ssh: the output of the command, or its own error and 255",
    })
  end

  local function preflight(argv)
    local command = { "preflight", "cluster-onprem", "--json" }
    local given = { control_planes = "a,b,c", workers = "w", vip = "192.0.2.10" }
    given.metallb = "192.0.2.20-192.0.2.40"
    for name, value in pairs(argv or {}) do
      given[name] = value
    end
    for name, value in pairs(given) do
      command[#command + 1] = name .. "=" .. value
    end
    local r = bench:pai(command, { env = { PATH = talk.path, HOME = bench.root } })
    return checks_of(r), r
  end

  it("preflight is green for hosts that are ready, and red for each thing that is not", function()
    talk:tell({ argv = { "date", "+%s.%N" }, stdout = "2000.000000000\n", cite = "date +%s.%N" })
    for i, name in ipairs({ "a", "b", "c", "w" }) do
      answers(name, { host = name, address = "192.0.2." .. i })
    end
    local _, r = preflight()
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    talk:check()
    answers("b", { stderr = "b: Permission denied (publickey).\n", code = 255 })
    answers("w", {
      host = "a",
      machine = "a",
      address = "192.0.2.30",
      time = "1000",
      sudo = "",
      swaps = "1",
      iscsid = "inactive",
      nfs = "",
      gpus = 7,
      unresolved = "nvcr.io",
      socket = "LISTEN 0 4096 *:10250 *:*",
    })
    answers("c", { host = "c", address = "192.0.2.10", free_kib = 1024 })
    local checks
    checks, r = preflight()
    assert.are.equal(1, r.code)
    for name, measured in pairs({
      ["b"] = "b: Permission denied (publickey).",
      ["w: sudo"] = "refused",
      ["w: swap"] = "1",
      ["w: iscsid"] = "inactive",
      ["w: NFS client"] = "none",
      ["w: GPUs on PCI"] = "7",
      ["w: names"] = "nvcr.io",
      ["w: ports"] = "10250",
      ["c: disk"] = "0 GiB",
      ["VIP"] = "192.0.2.10 touches c 192.0.2.10",
      ["MetalLB range"] = "192.0.2.20-192.0.2.40 touches w 192.0.2.30",
    }) do
      assert.are.same({ "red", measured }, { checks[name].state, checks[name].measured }, name)
    end
    for _, name in ipairs({ "w: clock", "hostnames", "machine ids" }) do
      assert.are.equal("red", checks[name].state, name)
    end
    checks = preflight({ control_planes = "a,c", vip = "10.233.1.1", metallb = "192.0.2.300" })
    assert.are.equal("red", checks["etcd quorum"].state)
    assert.are.equal("10.233.1.1 touches services 10.233.0.0/18", checks["VIP"].measured)
    assert.are.equal("192.0.2.300 is no range or network", checks["MetalLB range"].measured)
    checks = preflight({ workers = "-oProxyCommand=x" })
    assert.are.equal("that is no name of a host", checks["-oProxyCommand=x"].measured)
    talk:check()
  end)

  it("says that it has no deploy", function()
    local r = bench:pai({ "deploy", "cluster-onprem" })
    assert.are.equal(2, r.code)
    assert.is_truthy(r.stderr:find("cluster-onprem has no deploy", 1, true), r.stderr)
    r = bench:pai({ "show", "cluster-onprem" })
    assert.is_truthy(r.stdout:find("deploy          There is none", 1, true), r.stdout)
  end)
end)
