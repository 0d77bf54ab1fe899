-- cluster-onprem's drills that take one pod away, against a cluster in memory whose DaemonSets make
-- them anew. Shapes: GPU Operator's driver DaemonSet; MetalLB's ServiceL2Status and its event
-- nodeAssigned; the cuda-sample vectoradd.
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local drills = assert(loadfile("tests/spec/components/onprem_drill.lua", "t", _ENV))()
local crypto = require("pai.crypto")
local json = require("pai.json")
local serve = require("pai.serve")

local GPU <const> = "nvidia.com/gpu"
local DRIVER <const> = "/api/v1/namespaces/gpu-operator/pods/nvidia-driver-daemonset-"
local SPEAKER <const> = "/api/v1/namespaces/metallb-system/pods/speaker-"

describe("cluster-onprem's drill", function()
  local d

  before_each(function()
    d = drills.new()
  end)

  after_each(function()
    d:remove()
  end)

  local function daemon(c, namespace, set, node, suffix)
    c:pod(namespace, ("%s-%s%s"):format(set, node, suffix or ""), {
      metadata = {
        ownerReferences = json.array({
          { apiVersion = "apps/v1", kind = "DaemonSet", name = set, controller = true },
        }),
      },
      spec = { nodeName = node },
    })
  end

  local function clean(c)
    for path in pairs(c.objects) do
      assert.is_nil(path:find("pai-active", 1, true), path)
    end
  end

  describe("of a driver pod", function()
    -- The pod goes, the GPUs with it; the DaemonSet makes another, and they are there again.
    local function prepare(c, gpus)
      c:put("/api/v1/namespaces/gpu-operator", {})
      for _, name in ipairs({ "gpu1", "gpu2" }) do
        c:node(name, { status = { allocatable = { [GPU] = "8" } } })
        daemon(c, "gpu-operator", "nvidia-driver-daemonset", name)
      end
      c:pod("team", "train", {
        spec = {
          nodeName = "gpu1",
          containers = json.array({ { name = "main", resources = { limits = { [GPU] = "4" } } } }),
        },
      })
      c.on.Delete = function(object)
        if object.metadata.name:find("^nvidia%-driver") then
          local node = object.spec.nodeName
          daemon(c, "gpu-operator", "nvidia-driver-daemonset", node, "-new")
          c.objects["/api/v1/nodes/" .. node].status.allocatable = { [GPU] = gpus or "8" }
        end
      end
      c.on.Job = function(job)
        local name, namespace = job.metadata.name, job.metadata.namespace
        job.status = { conditions = json.array({ { type = "Complete", status = "True" } }) }
        c:pod(namespace, name .. "-x", { metadata = { labels = { test = name } } })
        c.plain[("/api/v1/namespaces/%s/pods/%s-x/log"):format(namespace, name)] =
          { body = "2026-08-21T12:00:00.000000000Z Test PASSED\n" }
      end
      d:kubeconfig(c)
    end

    cluster.it("sees the GPUs come back and compute", function(c)
      prepare(c)
      local _, r = d:drill("driver-pod", {}, { "--json" })
      assert.are.equal(3, r.code)
      assert.are.same({}, c:changed())
      local checks
      checks, r = d:drill("driver-pod")
      assert.are.equal(0, r.code, r.stdout .. r.stderr)
      -- gpu1 is in use, so it was gpu2's.
      assert.are.same({ "DELETE " .. DRIVER .. "gpu2" }, c:changed("nvidia%-driver"))
      assert.are.equal("gpu2, 8 GPUs", checks["GPU node"].measured)
      local back = checks["GPUs of gpu2"]
      assert.are.equal("8, by a new driver pod", back.expected)
      assert.are.equal("nvidia-driver-daemonset-gpu2-new, 8 of 8 GPUs", back.measured)
      assert.are.equal("Test PASSED", checks["CUDA on gpu2 (GPU)"].measured)
      clean(c)
      -- Another one is another drill, of the pod that is there now.
      c:forget()
      prepare(c)
      c:drop(DRIVER .. "gpu2")
      _, r = d:drill("driver-pod", { node = "gpu2" })
      assert.are.equal(0, r.code, r.stdout .. r.stderr)
      assert.are.same({ "DELETE " .. DRIVER .. "gpu2-new" }, c:changed("nvidia%-driver"))
    end)

    cluster.it("is red where it can't begin, and where the GPUs stay away", function(c)
      prepare(c, "7")
      local function red(name, measured, more)
        local checks, r = d:drill("driver-pod", more)
        assert.are.equal(1, r.code, name)
        local check = assert(checks[name], name)
        assert.are.equal("red", check.state)
        assert.is_truthy(tostring(check.measured):find(measured, 1, true), check.measured)
      end
      red("pods that use its GPUs", "team/train", { node = "gpu1" })
      red("GPU node", "cp1 is none that takes pods", { node = "cp1" })
      c.objects[DRIVER .. "gpu2"].status.conditions[1].status = "False"
      red("driver pod", "nvidia-driver-daemonset-gpu2")
      c:drop(DRIVER .. "gpu2")
      red("driver pod", "none")
      assert.are.same({}, c:changed())
      daemon(c, "gpu-operator", "nvidia-driver-daemonset", "gpu2")
      red("GPUs of gpu2", "7 of 8 GPUs", { timeout = "1s" })
      c:drop(DRIVER .. "gpu2-new")
      daemon(c, "gpu-operator", "nvidia-driver-daemonset", "gpu2")
      c.objects["/api/v1/nodes/gpu2"].status.allocatable = { [GPU] = "8" }
      c.on.Delete = nil
      red("GPUs of gpu2", "no new driver pod, 8 of 8 GPUs", { timeout = "1s" })
      clean(c)
      for _, name in ipairs({ "gpu1", "gpu2" }) do
        c.objects["/api/v1/nodes/" .. name].status.allocatable = {}
      end
      red("GPU node", "there is none")
    end)

    cluster.it("deletes the pod once, also when it was killed and resumed", function(c)
      prepare(c)
      local job = c.on.Job
      c.on.Job = nil
      local path = "/apis/batch/v1/namespaces/pai-active-drill-driver/jobs/vectoradd-1"
      local proc = d:hung("driver-pod", "run-killed", function()
        return c.objects[path]
      end)
      proc:kill("SIGKILL")
      proc:wait("30s")
      c.on.Job = job
      local r = d:pai({ "resume", "--json", "run-killed" })
      assert.are.equal(0, r.code, r.stdout .. r.stderr)
      assert.are.same({ "DELETE " .. DRIVER .. "gpu2" }, c:changed("nvidia%-driver"))
      clean(c)
    end)
  end)

  describe("of a speaker", function()
    local STATUS <const> = "/apis/metallb.io/v1beta1/namespaces/metallb-system/servicel2statuses/"
    local NAMESPACE <const> = "pai-active-drill-speaker"

    local function announce(c, node, how)
      if how == "status" then
        c:put(STATUS .. "l2-" .. node, {
          kind = "ServiceL2Status",
          status = { node = node, serviceName = "web", serviceNamespace = NAMESPACE },
        })
      elseif how == "event" then
        c.at = (c.at or 0) + 1
        c:put(("/api/v1/namespaces/%s/events/web.%s"):format(NAMESPACE, crypto.hex(4)), {
          reason = "nodeAssigned",
          message = ('announcing from node "%s" with protocol "layer2"'):format(node),
          involvedObject = { kind = "Service", name = "web", namespace = NAMESPACE },
          lastTimestamp = ("2026-08-21T12:00:%02dZ"):format(c.at),
          count = 1,
        })
      end
    end

    -- gpu1 announces; when its speaker goes gpu2 does, and after a while gpu1 does again.
    local function prepare(c, how)
      c.discovery["/apis/metallb.io/v1beta1"] = { ipaddresspools = "IPAddressPool" }
      c.discovery["/apis/metallb.io/v1beta1"].servicel2statuses = how == "status"
          and "ServiceL2Status"
        or nil
      c:put("/api/v1/namespaces/metallb-system", {})
      c:put("/apis/metallb.io/v1beta1/ipaddresspools/pai", {
        spec = { addresses = json.array({ "127.0.0.1-127.0.0.9" }) },
      })
      for _, name in ipairs({ "gpu1", "gpu2" }) do
        c:node(name)
        daemon(c, "metallb-system", "speaker", name)
      end
      c.on.Deployment = function(object)
        object.status = { availableReplicas = 1 }
      end
      c.on.Service = function(object)
        object.status = { loadBalancer = { ingress = json.array({ { ip = "127.0.0.1" } }) } }
        announce(c, "gpu1", how)
      end
      c.on.Delete = function(object)
        if object.metadata.name:find("^speaker") then
          if how == "status" then
            c:drop(STATUS .. "l2-gpu1")
          end
          announce(c, "gpu2", how)
          if how == "event" then
            announce(c, "gpu1", how)
          end
          daemon(c, "metallb-system", "speaker", object.spec.nodeName, "-new")
        end
      end
      d:kubeconfig(c)
    end

    for _, how in ipairs({ "status", "event" }) do
      cluster.it("sees the address move, by " .. how, function(c)
        prepare(c, how)
        local web = assert(serve.listen({
          handler = function()
            return { body = "web" }
          end,
        }))
        local checks, r = d:drill("speaker", {
          lb_address = "127.0.0.1",
          lb_port = tostring(web:port()),
        })
        web:close()
        assert.are.equal(0, r.code, r.stdout .. r.stderr)
        assert.are.equal("gpu1 to gpu2", checks["address 127.0.0.1"].measured)
        assert.are.equal("Ready", checks["speaker on gpu1"].measured)
        assert.are.equal("HTTP 200", checks["LoadBalancer from here"].measured)
        assert.are.same({ "DELETE " .. SPEAKER .. "gpu1" }, c:changed("/speaker"))
        assert.are.equal(0, c.bodies["DELETE " .. SPEAKER .. "gpu1"].gracePeriodSeconds)
        clean(c)
      end)
    end

    cluster.it("is red where nothing moves, and cleans up all the same", function(c)
      prepare(c, "status")
      local function red(name, measured, more)
        local checks, r = d:drill("speaker", more)
        assert.are.equal(1, r.code, name)
        local check = assert(checks[name], name)
        assert.are.same({ "red", measured }, { check.state, check.measured })
        clean(c)
        c:drop(STATUS .. "l2-gpu1")
        c:drop(STATUS .. "l2-gpu2")
      end
      local address = "address 127.0.0.1"
      c.on.Delete = nil
      red(address, "nobody but gpu1", { timeout = "1s" })
      prepare(c, "status")
      c:drop(SPEAKER .. "gpu1-new")
      c.on.Delete = function(object)
        if object.metadata.name:find("^speaker") then
          announce(c, "gpu2", "status")
        end
      end
      red("speaker on gpu1", "not Ready", { timeout = "1s" })
      prepare(c, "none")
      red(address, "neither a status nor an event says who", { answer_timeout = "1s" })
      c.on.Service = function(object)
        object.status = { loadBalancer = { ingress = json.array({ { ip = "127.0.0.1" } }) } }
        announce(c, "cp1", "event")
      end
      red(address, "there is no speaker on cp1")
      c.on.Service = nil
      local checks = d:drill("speaker", { timeout = "1s" })
      assert.are.equal("red", checks["LoadBalancer"].state)
      c:drop(SPEAKER .. "gpu2")
      red("speakers", 1)
      daemon(c, "metallb-system", "speaker", "gpu2")
      c.objects[SPEAKER .. "gpu2"].status.conditions[1].status = "False"
      red("speakers", "not Ready on gpu2")
    end)

    cluster.it("is taken away after a kill by a cancel", function(c)
      prepare(c, "status")
      c.on.Delete = nil
      local proc = d:hung("speaker", "run-killed", function()
        return not c.objects[SPEAKER .. "gpu1"]
      end)
      proc:kill("SIGKILL")
      proc:wait("30s")
      assert.is_truthy(c.objects["/api/v1/namespaces/" .. NAMESPACE])
      local r = d:pai({ "runs", "cancel", "run-killed" })
      assert.are.equal(0, r.code, r.stdout .. r.stderr)
      clean(c)
    end)
  end)

  it("is a run of its own", function()
    local r = d.bench:pai({ "verify", "--active", "--drill", "cluster-onprem" })
    assert.are.equal(2, r.code)
    r = d.bench:pai({ "show", "cluster-onprem.drill" })
    assert.is_truthy(r.stdout:find("safety: destroys", 1, true), r.stdout)
  end)
end)
