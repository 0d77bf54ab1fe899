-- cluster-onprem's deploy, stage by stage, against tools and a cluster that answer as told. What of
-- it real programs can do is in cluster_onprem_kubespray_spec.lua.
local stack = assert(loadfile("tests/spec/components/onprem_stack.lua", "t", _ENV))()
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local json = require("pai.json")

local tail = stack.tail
local pick = stack.support.pick

local RELEASES <const> =
  { "longhorn", "metallb", "kube-prometheus-stack", "network-operator", "gpu-operator" }

describe("cluster-onprem's deploy", function()
  local s

  before_each(function()
    s = stack.new()
  end)

  after_each(function()
    s:remove()
  end)

  local function all_acts()
    local list = { "cluster.yml" }
    for _, name in ipairs(RELEASES) do
      list[#list + 1] = "upgrade " .. name
    end
    return list
  end

  stack.it("brings the stack up in its order, and a second run changes nothing", function(c)
    s:prepare(c)
    local _, r = s:act("deploy")
    assert.are.equal(0, r.code, tail(r))
    s.talk:check()
    assert.are.same(all_acts(), s:acts())
    -- Values and versions that the stages turn on.
    local longhorn = s:release("longhorn")
    assert.are.equal("1.7.2", longhorn.version)
    assert.are.same(
      { defaultClass = true, defaultClassReplicaCount = 3 },
      longhorn.values.persistence
    )
    assert.is_true(longhorn.values.defaultSettings.createDefaultDiskLabeledNodes)
    assert.is_nil(longhorn.values.longhornManager.nodeSelector)
    for _, name in ipairs({ "cp1", "cp2", "cp3" }) do
      local labels = c.objects["/api/v1/nodes/" .. name].metadata.labels
      assert.are.equal("true", labels["node.longhorn.io/create-default-disk"])
    end
    local gpu = s:release("gpu-operator")
    assert.are.equal("v25.3.4", gpu.version)
    assert.are.same({ enabled = false }, gpu.values.nfd)
    assert.are.equal("580.82.07", gpu.values.driver.version)
    assert.are.equal("kernel-module-params", gpu.values.driver.kernelModuleConfig.name)
    assert.is_true(s:release("network-operator").values.nfd.enabled)
    local map = c.objects["/api/v1/namespaces/gpu-operator/configmaps/kernel-module-params"]
    assert.are.equal("uvm_disable_hmm=1\n", map.data["nvidia-uvm.conf"])
    local namespace = c.objects["/api/v1/namespaces/metallb-system"].metadata.labels
    assert.are.equal("privileged", namespace["pod-security.kubernetes.io/enforce"])
    local pool = c.objects["/apis/metallb.io/v1beta1/ipaddresspools/pai"]
    assert.are.same({ "192.0.2.100-192.0.2.120" }, pool.spec.addresses)
    local policy = c.objects["/apis/mellanox.com/v1alpha1/nicclusterpolicies/nic-cluster-policy"]
    assert.is_nil(policy.spec.ofedDriver)
    assert.are.equal("network-operator-v25.7.0", policy.spec.nvIpam.version)
    -- The parameters of the modules are there before the operator that reads them.
    local order = {}
    for i, act in ipairs(c:changed()) do
      order[act:match("[^/]+$")] = order[act:match("[^/]+$")] or i
    end
    assert.is_truthy(order["kernel-module-params"] > order["nic-cluster-policy"])
    s.talk:forget()
    c:forget()
    local events
    events, r = s:act("deploy")
    assert.are.equal(0, r.code, tail(r))
    assert.are.same({}, s:acts())
    assert.are.same({}, c:changed())
    for _, event in ipairs(pick(events, "step.done")) do
      assert.are.equal("already", event.how, event.step)
    end
    s.talk:check()
  end)

  stack.it("goes on after SIGKILL at every step, and repeats nothing", function(c)
    s:prepare(c)
    local steps = { "preflight", "inventory", "kubernetes", "context", "longhorn", "metallb" }
    for _, name in ipairs({
      "metallb-pool",
      "kube-prometheus-stack",
      "network-operator",
      "nic-policy",
      "rails",
      "gpu-modules",
      "gpu-operator",
      "runai-secrets",
      "runai-backend",
    }) do
      steps[#steps + 1] = name
    end
    local more = { rail_subnet = "198.51.100.0/24", rail_device = "eno2", rail_mtu = "9000" }
    more.runai, more.runai_version, more.runai_domain = "true", "2.20.24", "runai.example.com"
    local _, r
    for i, step in ipairs(steps) do
      local env = { PAI_TEST_KILL = "step.start:cluster-onprem/" .. step, RUNAI_TOKEN = s.token }
      if i == 1 then
        _, r = s:act("deploy", { "--run-id", "run-one" }, more, env)
      else
        _, r = s:resume("run-one", env)
      end
      assert.are.equal("SIGKILL", r.signal, step .. tail(r))
    end
    _, r = s:resume("run-one", { RUNAI_TOKEN = s.token })
    assert.are.equal(0, r.code, tail(r))
    local wanted = all_acts()
    wanted[#wanted + 1] = "upgrade runai-backend"
    assert.are.same(wanted, s:acts())
    s.talk:check()
    -- The second interfaces.
    local rail = c.objects["/apis/mellanox.com/v1alpha1/macvlannetworks/rail"].spec
    assert.are.same({ "eno2", 9000 }, { rail.master, rail.mtu })
    assert.are.equal("rail", json.decode(rail.ipam).poolName)
    local ips = c.objects["/apis/nv-ipam.nvidia.com/v1alpha1/ippools/rail"].spec
    assert.are.same({ "198.51.100.0/24", 32 }, { ips.subnet, ips.perNodeBlockSize })
    -- Run:ai's token is in its Secret, and nowhere else.
    local path = "/api/v1/namespaces/runai-backend/secrets/runai-reg-creds"
    local auth = json.decode(crypto.base64_decode(c.objects[path].data[".dockerconfigjson"])).auths
    local login = auth["runai.jfrog.io"]
    assert.are.same(
      { "self-hosted-image-puller-prod", s.token },
      { login.username, login.password }
    )
    assert.are.equal("2.20.24", s:release("runai-backend").version)
    for _, name in ipairs(fs.walk(s.bench.root)) do
      local body = not name:find("^tools/flags") and fs.read(s.bench.root .. "/" .. name) or ""
      assert.is_nil(body:find(s.token, 1, true), name)
    end
  end)

  local function failing(c, text, more, env)
    local _, r = s:act("deploy", nil, more, env)
    assert.are.equal(1, r.code, tail(r))
    assert.is_truthy(r.stdout:find(text, 1, true), text .. tail(r))
    return c:changed()
  end

  local function release(name, chart, version, namespace, status)
    assert(fs.mkdir(s.talk.dir .. "/releases", { parents = true }))
    assert(fs.write(
      ("%s/releases/%s.json"):format(s.talk.dir, name),
      json.encode({
        name = name,
        namespace = namespace,
        revision = 1,
        status = status or "deployed",
        deployed = "2026-08-21T12:00:00Z",
        chart = chart,
        version = version,
        values = { a = 1 },
      })
    ))
  end

  stack.it("refuses what is somebody else's, and other versions", function(c)
    s:prepare(c)
    release("storage", "longhorn", "1.7.2", "storage")
    failing(c, "longhorn is there already, as release storage in storage")
    fs.remove(s.talk.dir .. "/releases/storage.json")
    release("longhorn", "longhorn", "1.5.3", "longhorn-system")
    failing(c, "longhorn is there in version 1.5.3; upgrade=true makes it 1.7.2")
    failing(c, "Longhorn can't go from 1.5.3 to 1.7.2", { upgrade = "true" })
    release("longhorn", "longhorn", "1.8.0", "longhorn-system")
    failing(c, "Longhorn can't go from 1.8.0 to 1.7.2", { upgrade = "true" })
    -- Values that somebody changed are brought back; a release that a killed helm left is freed.
    release("longhorn", "longhorn", "1.7.2", "longhorn-system")
    release("metallb", "metallb", "0.14.9", "metallb-system", "pending-upgrade")
    local _, r = s:act("deploy", nil, { upgrade = "true" })
    assert.are.equal(0, r.code, tail(r))
    assert.are.equal(3, s:release("longhorn").values.persistence.defaultClassReplicaCount)
    assert.are.equal("0.15.3", s:release("metallb").version)
    local wanted = all_acts()
    table.insert(wanted, 3, "rollback metallb")
    assert.are.same(wanted, s:acts())
    s.talk:check()
  end)

  stack.it("stops at what a stage needs, and says it", function(c)
    s:prepare(c)
    local status = c.objects["/api/v1/nodes/cp1"].status
    status.addresses[1].address = "192.0.2.105"
    failing(c, "192.0.2.100-192.0.2.120 holds cp1's 192.0.2.105")
    status.addresses[1].address = "192.0.2.11"
    local proxy = c.objects["/api/v1/namespaces/kube-system/configmaps/kube-proxy"]
    proxy.data["config.conf"] = "mode: ipvs\nipvs:\n  strictARP: false\n"
    failing(c, "kube-proxy strictARP")
    proxy.data["config.conf"] = "mode: ipvs\nipvs:\n  strictARP: true\n"
    failing(c, "rail_subnet goes with rail_device", { rail_subnet = "198.51.100.0/24" })
    failing(c, "runai=true goes with runai_version", { runai = "true" })
    local runai = { runai = "true", runai_version = "2.20.24", runai_domain = "x.example.com" }
    failing(c, "RUNAI_TOKEN is not set", runai, { RUNAI_TOKEN = false })
    local env = { RUNAI_TOKEN = s.token, RUNAI_CERT = "cert" .. s.token, RUNAI_KEY = false }
    failing(c, "runai_cert and runai_key go together", runai, env)
    env.RUNAI_KEY = "key" .. s.token
    local _, r = s:act("deploy", nil, runai, env)
    assert.are.equal(0, r.code, tail(r))
    local tls = c.objects["/api/v1/namespaces/runai-backend/secrets/runai-backend-tls"]
    assert.are.equal("kubernetes.io/tls", tls.type)
    assert.are.equal("key" .. s.token, crypto.base64_decode(tls.data["tls.key"]))
    s.talk:check()
  end)

  stack.it("ends a wait with what is in its way", function(c)
    s:prepare(c)
    -- No Longhorn disk: a node of Longhorn's can't take replicas, and a pod can't be pulled.
    local disk = "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/nodes/cp2"
    c.objects[disk].status.diskStatus = {}
    c:put("/api/v1/namespaces/longhorn-system", {})
    c:pod("longhorn-system", "longhorn-manager-x", {
      status = {
        phase = "Pending",
        conditions = json.array({ { type = "Ready", status = "False" } }),
        containerStatuses = json.array({
          {
            name = "main",
            state = { waiting = { reason = "ImagePullBackOff", message = "not found" } },
          },
        }),
      },
    })
    failing(c, "longhorn at rest: stopped for ")
    failing(c, "longhorn-manager-x")
    c:drop("/api/v1/namespaces/longhorn-system/pods/longhorn-manager-x")
    c.objects[disk].status.diskStatus = { ["default-disk-1"] = {} }
    -- helm that gives up is told with what the namespace shows.
    s.talk:set("helm-fails")
    c:put("/api/v1/namespaces/metallb-system", {})
    c:pod("metallb-system", "speaker-x", {
      status = {
        phase = "Pending",
        conditions = json.array({
          {
            type = "PodScheduled",
            status = "False",
            reason = "Unschedulable",
            message = "0/5 nodes are available: 5 Insufficient cpu",
          },
        }),
      },
    })
    failing(c, "metallb: Error: UPGRADE FAILED: context deadline exceeded; Pod speaker-x")
    fs.remove(s.talk.dir .. "/flags/helm-fails")
    c:drop("/api/v1/namespaces/metallb-system/pods/speaker-x")
    -- A GPU that is missing is not waited for for ever: the driver's pod says why.
    c.objects["/api/v1/nodes/gpu2"].status.allocatable = { ["nvidia.com/gpu"] = "7" }
    c:put("/api/v1/namespaces/gpu-operator", {})
    c:pod("gpu-operator", "nvidia-driver-daemonset-x", {
      spec = { nodeName = "gpu2" },
      status = {
        phase = "Pending",
        conditions = json.array({ { type = "Ready", status = "False" } }),
        containerStatuses = json.array({
          { name = "main", state = { waiting = { reason = "ErrImagePull", message = "denied" } } },
        }),
      },
    })
    local _, r = s:act("deploy")
    assert.are.equal(1, r.code)
    local said = r.stdout:match("gpu%-operator at rest: stopped[^\n]+")
    assert.is_truthy(said and said:find("nvidia%-driver%-daemonset%-x"), tail(r))
    c:drop("/api/v1/namespaces/gpu-operator/pods/nvidia-driver-daemonset-x")
    c.objects["/api/v1/nodes/gpu2"].status.allocatable = { ["nvidia.com/gpu"] = "8" }
    _, r = s:act("deploy")
    assert.are.equal(0, r.code, tail(r))
    s.talk:check()
  end)
end)
