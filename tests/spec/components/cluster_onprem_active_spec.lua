-- cluster-onprem's active tests against a cluster in memory whose Jobs end as told. What is applied
-- goes through a real kube-apiserver in tests/peers/kubernetes/onprem_active_spec.lua. Logs: the
-- cuda-sample vectoradd; iperf 2 with -y C.
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local onprem = dofile("tests/spec/components/onprem.lua")
local support = dofile("tests/spec/run/support.lua")
local fs = require("pai.fs")
local json = require("pai.json")
local serve = require("pai.serve")

local PASSED <const> = "[Vector addition of 50000 elements]\nTest PASSED\nDone\n"
local IPERF <const> = "20260821120000,198.51.100.3,42000,198.51.100.2,5001,-1,0.0-10.0,"
  .. "236250000000,%s\n"

describe("cluster-onprem's active tests", function()
  local bench

  before_each(function()
    bench = support.new()
    onprem.install(bench, {})
  end)

  after_each(function()
    bench:remove()
  end)

  -- The end of a Job, with the pod whose log tells it.
  local function ended(c, job, kind, log, message)
    local name, namespace = job.metadata.name, job.metadata.namespace
    job.status = {
      conditions = json.array({
        {
          type = kind,
          status = "True",
          reason = message and "BackoffLimitExceeded",
          message = message,
        },
      }),
    }
    c:pod(namespace, name .. "-x", {
      metadata = { labels = { test = name } },
      status = { phase = kind == "Complete" and "Succeeded" or "Failed" },
    })
    local path = ("/api/v1/namespaces/%s/pods/%s-x/log"):format(namespace, name)
    local lines = log:gsub("([^\n]+)\n", "2026-08-21T12:00:00.000000000Z %1\n")
    c.plain[path] = { body = lines }
  end

  local LOGS <const> = {
    vectoradd = PASSED,
    store = "STORED\n",
    client = IPERF:format("189000000000"),
  }

  local function prepare(c, logs)
    for name, text in pairs(LOGS) do
      logs[name] = logs[name] or text
    end
    c.discovery["/apis/longhorn.io/v1beta2"] = { volumes = "Volume" }
    c.discovery["/apis/metallb.io/v1beta1"] = { ipaddresspools = "IPAddressPool" }
    c:node("cp1", { metadata = { labels = { ["node-role.kubernetes.io/control-plane"] = "" } } })
    for i = 1, 3 do
      c:node("gpu" .. i, {
        metadata = { labels = { ["nvidia.com/gpu.product"] = "NVIDIA-B200" } },
        status = { allocatable = { ["nvidia.com/gpu"] = "8" } },
      })
    end
    c:put("/apis/longhorn.io/v1beta2/volumes/pvc-1", { status = { robustness = "healthy" } })
    c:put("/apis/metallb.io/v1beta1/ipaddresspools/pai", {
      spec = { addresses = json.array({ "127.0.0.1-127.0.0.9" }) },
    })
    c.on.Job = function(job)
      local log = logs[job.metadata.name] or logs[job.metadata.name:match("^%l+")]
      if log then
        ended(c, job, log.failed and "Failed" or "Complete", log.failed or log, log.why)
      end
    end
    c.on.PersistentVolumeClaim = function(claim)
      claim.spec.volumeName = "pvc-1"
    end
    c.on.Deployment = function(object)
      object.status = { availableReplicas = 1 }
    end
    c.on.Service = function(object)
      local ip = (object.metadata.annotations or {})["metallb.io/loadBalancerIPs"] or "127.0.0.5"
      object.status = { loadBalancer = { ingress = json.array({ { ip = ip } }) } }
    end
    c.on.Pod = function(object)
      if object.metadata.name == "server" and not logs.no_network then
        object.status = { phase = "Running" }
        local list = {
          { name = "cbr0", default = true, ips = { "10.1.1.1" } },
          { name = "default/rail", interface = "net1", ips = { "198.51.100.2" } },
        }
        local marks = object.metadata.annotations
        marks["k8s.v1.cni.cncf.io/network-status"] = json.encode(list)
      end
    end
    cluster.private(bench.root .. "/config", c:kubeconfig("racks"))
  end

  local ENV <const> = { KUBECONFIG = false }

  local function argv(more)
    local command = { "verify", "--active", "cluster-onprem", "--json", "context=racks" }
    command[#command + 1] = "kubeconfig=" .. bench.root .. "/config"
    for name, value in pairs(more or {}) do
      command[#command + 1] = name .. "=" .. value
    end
    return command
  end

  local function active(more)
    local r = bench:pai(argv(more), { env = ENV, timeout = "120s" })
    local checks = {}
    for _, gate in ipairs(support.pick(support.events(r.stdout), "gate")) do
      for _, check in ipairs(gate.checks) do
        checks[check.name] = check
      end
    end
    return checks, r
  end

  local function clean(c)
    for path in pairs(c.objects) do
      assert.is_nil(path:find("pai-active", 1, true), path)
    end
  end

  cluster.it("is green where everything works, and leaves nothing", function(c)
    prepare(c, {})
    local web = assert(serve.listen({
      handler = function(req)
        return { body = req.path == "/hostname" and "web-x" or "?" }
      end,
    }))
    local checks, r = active({
      tests = "gpu,storage,loadbalancer,network",
      lb_address = "127.0.0.1",
      lb_port = tostring(web:port()),
      min_gbit = "100",
    })
    web:close()
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    local measured = {}
    for name, check in pairs(checks) do
      assert.are.equal("ok", check.state, name)
      measured[name] = check.measured
    end
    assert.are.same({
      ["CUDA on gpu1 (NVIDIA-B200)"] = "Test PASSED",
      ["CUDA on gpu2 (NVIDIA-B200)"] = "Test PASSED",
      ["CUDA on gpu3 (NVIDIA-B200)"] = "Test PASSED",
      ["volume on gpu1"] = "as expected",
      ["volume on gpu2"] = "as expected",
      ["volume on gpu3"] = "as expected",
      ["Longhorn volume"] = "healthy",
      ["LoadBalancer address"] = "127.0.0.1 of pai",
      ["LoadBalancer from here"] = "HTTP 200",
      ["gpu2 to gpu1"] = "189.0 Gbit/s",
    }, measured)
    clean(c)
    -- What was put on the cluster is bounded, and where it should be.
    local base = "PATCH /apis/batch/v1/namespaces/pai-active-"
    local gpu = c.bodies[base .. "gpu/jobs/vectoradd-2"].spec
    local pod = gpu.template.spec
    assert.are.equal("gpu2", pod.nodeSelector["kubernetes.io/hostname"])
    assert.are.equal("nvidia", pod.runtimeClassName)
    assert.are.equal("1", pod.containers[1].resources.limits["nvidia.com/gpu"])
    assert.are.same({ 0, 1800, 1800 }, {
      gpu.backoffLimit,
      gpu.activeDeadlineSeconds,
      pod.activeDeadlineSeconds,
    })
    local store = c.bodies[base .. "storage/jobs/store-3"].spec.template.spec
    assert.are.equal("2", store.containers[1].env[1].value)
    local client = c.bodies[base .. "network/jobs/client"].spec.template
    assert.are.equal("default/rail", client.metadata.annotations["k8s.v1.cni.cncf.io/networks"])
    assert.are.equal("198.51.100.2", client.spec.containers[1].command[3])
    -- Of several models the two RTX servers are asked.
    local models = { gpu1 = "NVIDIA-B200", gpu2 = "NVIDIA-RTX-PRO", gpu3 = "NVIDIA-RTX-PRO" }
    for name, model in pairs(models) do
      c.objects["/api/v1/nodes/" .. name].metadata.labels["nvidia.com/gpu.product"] = model
    end
    checks, r = active({ tests = "network" })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.equal("189.0 Gbit/s", checks["gpu3 to gpu2"].measured)
  end)

  cluster.it("says what is wrong, and cleans up all the same", function(c)
    local logs = { ["vectoradd-1"] = { failed = "Failed to allocate device vector A\n" } }
    logs["vectoradd-1"].why = "Job has reached the specified backoff limit"
    logs["vectoradd-2"] = "no GPU here\n"
    logs["store-2"] = { failed = "found 0 files of 1\n", why = "backoff limit" }
    logs.client = IPERF:format("9000000000")
    prepare(c, logs)
    local function red(checks, wanted)
      for name, measured in pairs(wanted) do
        local check = assert(checks[name], name)
        assert.are.equal("red", check.state, name)
        assert.is_truthy(
          tostring(check.measured):find(measured, 1, true),
          name .. ": " .. check.measured
        )
      end
      clean(c)
    end
    local checks, r = active({ tests = "gpu" })
    assert.are.equal(1, r.code)
    red(checks, {
      ["CUDA on gpu1 (NVIDIA-B200)"] = "its log ends: Failed to allocate device vector A",
      ["CUDA on gpu2 (NVIDIA-B200)"] = "its log has no Test PASSED: no GPU here",
    })
    assert.are.equal("ok", checks["CUDA on gpu3 (NVIDIA-B200)"].state)
    checks = active({ tests = "storage" })
    red(checks, { ["volume on gpu2"] = "its log ends: found 0 files of 1" })
    assert.is_nil(checks["volume on gpu3"])
    checks = active({ tests = "network", min_gbit = "100" })
    red(checks, { ["gpu2 to gpu1"] = "9.0 Gbit/s" })
    -- An address of nobody's pool; and one that nobody answers for.
    c.objects["/apis/metallb.io/v1beta1/ipaddresspools/pai"].spec.addresses =
      json.array({ "192.0.2.0/24" })
    checks = active({ tests = "loadbalancer" })
    red(checks, { ["LoadBalancer address"] = "127.0.0.5" })
    assert.are.equal("skipped", checks["LoadBalancer from here"].state)
    local more = { tests = "loadbalancer", lb_address = "127.0.0.1", lb_port = "1" }
    more.answer_timeout = "1s"
    red(active(more), { ["LoadBalancer from here"] = "127.0.0.1" })
    -- Trouble that stays: the pod can't be placed; nothing has a second interface; no address.
    c.on.Job = function(job)
      local name, namespace = job.metadata.name, job.metadata.namespace
      c:pod(namespace, name .. "-x", {
        metadata = { labels = { test = name } },
        status = {
          phase = "Pending",
          conditions = json.array({
            {
              type = "PodScheduled",
              status = "False",
              reason = "Unschedulable",
              message = "0/4 nodes are available: 1 Insufficient nvidia.com/gpu.",
            },
          }),
        },
      })
    end
    checks = active({ tests = "gpu", patience = "0" })
    red(checks, { ["CUDA on gpu1 (NVIDIA-B200)"] = "Insufficient nvidia.com/gpu" })
    logs.no_network = true
    checks = active({ tests = "network", timeout = "1s" })
    red(checks, { ["gpu2 to gpu1"] = "no second address" })
    c.on.Service = nil
    checks = active({ tests = "loadbalancer", timeout = "1s" })
    red(checks, { ["LoadBalancer"] = "it has no address" })
    -- Nothing to test with.
    for i = 1, 3 do
      c.objects["/api/v1/nodes/gpu" .. i].status.allocatable = {}
    end
    red(active({ tests = "gpu" }), { CUDA = "none has one that pods may ask for" })
    for i = 1, 3 do
      c.objects["/api/v1/nodes/gpu" .. i].spec = { unschedulable = true }
    end
    red(active({ tests = "storage" }), { volume = "there is none" })
    red(active({ tests = "network" }), { ["second interfaces"] = "0" })
  end)

  cluster.it("cleans up after a signal, a kill, a cancel and a resume", function(c)
    local logs = {}
    prepare(c, logs)
    local quick = c.on.Job
    local job = "/apis/batch/v1/namespaces/pai-active-gpu/jobs/vectoradd-1"
    local function hung(id)
      c.on.Job = nil
      local command = argv({ tests = "gpu" })
      table.move({ "--run-id", id }, 1, 2, #command + 1, command)
      local proc = bench:start(command, ENV)
      support.eventually(function()
        return c.objects[job]
      end, "the Job of " .. id)
      return proc
    end
    local proc = hung("run-signal")
    proc:kill("SIGTERM")
    assert.are.equal(143, proc:wait("60s").code)
    clean(c)
    -- A kill leaves it; cancel takes it away.
    proc = hung("run-killed")
    proc:kill("SIGKILL")
    proc:wait("30s")
    assert.is_truthy(c.objects[job])
    local r = bench:pai({ "runs", "cancel", "run-killed" }, { env = ENV })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    clean(c)
    -- Or a resume, which begins with a namespace of its own.
    proc = hung("run-again")
    proc:kill("SIGKILL")
    proc:wait("30s")
    local old = c.objects[job].metadata.uid
    c.on.Job = function(object)
      assert.are_not.equal(old, object.metadata.uid)
      quick(object)
    end
    r = bench:pai({ "resume", "--json", "run-again" }, { env = ENV, timeout = "60s" })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    clean(c)
    -- Or the next run.
    proc = hung("run-left")
    proc:kill("SIGKILL")
    proc:wait("30s")
    c.on.Job = quick
    assert.are.equal(0, select(2, active({ tests = "gpu" })).code)
    clean(c)
    assert.is_true(fs.exists(bench.state .. "/runs/run-left"))
  end)

  it("is a run that only components with active tests have", function()
    bench:write(
      "components/plain/component.lua",
      'return { api = 1, name = "plain", title = "P", summary = "S." }\n'
    )
    local r = bench:pai({ "verify", "--active", "plain" })
    assert.are.equal(2, r.code)
    assert.is_truthy(r.stderr:find("plain has no active", 1, true), r.stderr)
    r = bench:pai({ "verify", "--help" })
    assert.is_truthy(r.stdout:find("--active", 1, true))
    r = bench:pai({ "show", "cluster-onprem.active" })
    assert.is_truthy(r.stdout:find("safety: changes", 1, true), r.stdout)
    r = bench:pai({ "preflight", "--active", "plain" })
    assert.are.equal(2, r.code)
  end)
end)
