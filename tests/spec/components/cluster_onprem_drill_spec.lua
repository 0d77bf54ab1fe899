-- cluster-onprem's drill of a control plane against a cluster in memory. Eviction, its refusal by a
-- budget, and the cordon go through a real kube-apiserver in
-- tests/peers/kubernetes/onprem_drill_spec.lua. Fields: Longhorn's Volume and Replica.
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local drills = assert(loadfile("tests/spec/components/onprem_drill.lua", "t", _ENV))()
local json = require("pai.json")

local NODE <const> = "/api/v1/nodes/cp2"
local EVICT <const> = "POST /api/v1/namespaces/%s/pods/%s/eviction"
local VOLUME <const> = "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/volumes/pvc-1"
local DNS <const> = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"

describe("cluster-onprem's drill of a control plane", function()
  local d

  before_each(function()
    d = drills.new()
  end)

  after_each(function()
    d:remove()
  end)

  local function owned(kind, name)
    return json.array({ { kind = kind, name = name, controller = true, apiVersion = "x/v1" } })
  end

  local function place(c)
    local function pod(namespace, name, owner, more)
      local object = { metadata = { ownerReferences = owner }, spec = { nodeName = "cp2" } }
      for key, value in pairs(more or {}) do
        object[key] = value
      end
      c:pod(namespace, name, object)
    end
    pod("kube-system", "coredns-x", owned("ReplicaSet", "coredns"))
    pod("kube-system", "kube-proxy-x", owned("DaemonSet", "kube-proxy"))
    pod("kube-system", "kube-vip-cp2", owned("Node", "cp2"))
    pod("kube-system", "job-x", owned("Job", "job"), { status = { phase = "Succeeded" } })
    pod("longhorn-system", "instance-manager-x", owned("InstanceManager", "instance-manager-x"))
  end

  -- Three control planes; cp2 carries the VIP, a replica of the volume, and a pod of CoreDNS.
  local function prepare(c)
    c.discovery["/apis/longhorn.io/v1beta2"] = { volumes = "Volume", replicas = "Replica" }
    for i = 1, 3 do
      c:node("cp" .. i, {
        metadata = { labels = { ["node-role.kubernetes.io/control-plane"] = "" } },
      })
    end
    c:node("gpu1", { status = { allocatable = { ["nvidia.com/gpu"] = "8" } } })
    c:put("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/plndr-cp-lock", {
      spec = { holderIdentity = "cp2" },
    })
    c:put("/api/v1/namespaces/longhorn-system", {})
    place(c)
    c:put(VOLUME, {
      kind = "Volume",
      status = { state = "attached", robustness = "healthy" },
    })
    for i = 2, 3 do
      c:put("/apis/longhorn.io/v1beta2/namespaces/longhorn-system/replicas/pvc-1-r-" .. i, {
        kind = "Replica",
        spec = { nodeID = "cp" .. i, volumeName = "pvc-1" },
      })
    end
    c:put(DNS, { spec = { replicas = 2 }, status = { availableReplicas = 2 } })
    c.on.Eviction = function(object)
      if object.metadata.name == "coredns-x" then
        c.objects[DNS].status.availableReplicas = 1
      else
        c.objects[VOLUME].status.robustness = "degraded"
      end
    end
    -- The node back, the replica is rebuilt and the pod placed.
    c.on.Node = function(object)
      if not object.spec.unschedulable then
        place(c)
        c.objects[DNS].status.availableReplicas = 2
        c.objects[VOLUME].status.robustness = "healthy"
      end
    end
    d:kubeconfig(c)
  end

  local function as_found(c)
    local node = c.objects[NODE]
    assert.is_nil(node.spec and node.spec.unschedulable)
    assert.is_nil((node.metadata.annotations or {})["pai/drill"])
  end

  local function holding(message)
    return function(req)
      if req.path:find("coredns-x/eviction", 1, true) then
        local cause = { reason = "DisruptionBudget", message = message }
        local said = "Cannot evict pod as it would violate the pod's disruption budget."
        return { 429, "TooManyRequests", said, { causes = json.array({ cause }) } }
      end
    end
  end

  local NEEDS <const> = "The disruption budget dns needs 2 healthy pods and has 2 currently"
  local HELD <const> = "kube-system/coredns-x held by PodDisruptionBudget kube-system/dns: "
    .. NEEDS

  cluster.it("asks first, drains, and leaves the cluster as it was found", function(c)
    prepare(c)
    local _, r = d:drill("control-plane", {}, { "--json" })
    assert.are.equal(3, r.code, r.stdout .. r.stderr)
    assert.is_truthy((r.stdout .. r.stderr):find("these steps destroy", 1, true), r.stderr)
    assert.are.same({}, c:changed())
    for _ = 1, 2 do
      local checks
      checks, r = d:drill("control-plane")
      assert.are.equal(0, r.code, r.stdout .. r.stderr)
      assert.are.same({
        "PATCH " .. NODE,
        EVICT:format("kube-system", "coredns-x"),
        EVICT:format("longhorn-system", "instance-manager-x"),
        "PATCH " .. NODE,
      }, c:changed())
      local measured = {}
      for name, check in pairs(checks) do
        assert.are.equal("ok", check.state, name)
        measured[name] = check.measured
      end
      assert.is_truthy(measured["API through the VIP"]:find("^(%d+) of %1 answers$"))
      assert.are.same({ "2 evicted", "1 of 1 degraded", "all healthy", "1 as before", "cp2" }, {
        measured["pods of cp2"],
        measured["volumes meanwhile"],
        measured["volumes afterwards"],
        measured["workloads"],
        measured["node"],
      })
      as_found(c)
      c:forget()
      prepare(c)
    end
  end)

  cluster.it("waits for a budget, and names the one that holds for too long", function(c)
    prepare(c)
    local times = 0
    local hold = holding(NEEDS)
    c.refuse = function(req)
      local refused = hold(req)
      times = times + (refused and 1 or 0)
      return times <= 2 and refused or nil
    end
    local _, r = d:drill("control-plane")
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.equal(3, times)
    prepare(c)
    c.refuse = hold
    local checks
    checks, r = d:drill("control-plane", { budget_timeout = "2s" })
    assert.are.equal(1, r.code)
    local pods = checks["pods of cp2"]
    assert.are.same({ "red", HELD }, { pods.state, pods.measured })
    assert.are.equal("ok", checks["volumes afterwards"].state)
    assert.is_nil(checks["volumes meanwhile"])
    as_found(c)
    -- Too many requests of another kind, and a refusal that waiting does not mend.
    prepare(c)
    c.refuse = function(req)
      return req.path:find("coredns-x/eviction", 1, true) and { 429, "TooManyRequests", "busy" }
        or nil
    end
    checks = d:drill("control-plane", { budget_timeout = "1s" })
    assert.are.equal("kube-system/coredns-x busy", checks["pods of cp2"].measured)
    c.refuse = function(req)
      return req.path:find("eviction$") and { 403, "Forbidden", "no" } or nil
    end
    r = select(2, d:drill("control-plane"))
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find('"event":"step.fail"', 1, true))
    as_found(c)
  end)

  cluster.it("does not begin where all is not well", function(c)
    prepare(c)
    local function refused(name, measured, more)
      c:forget()
      local checks, r = d:drill("control-plane", more)
      assert.are.equal(1, r.code, name)
      local check = assert(checks[name], name)
      assert.are.same({ "red", measured }, { check.state, check.measured })
      assert.are.same({}, c:changed())
    end
    refused("node", "there is no node cp9", { node = "cp9" })
    refused("node", "gpu1", { node = "gpu1" })
    local spec = c.objects["/api/v1/namespaces/kube-system/pods/coredns-x"].spec
    spec.volumes = json.array({ { name = "tmp", emptyDir = {} } })
    refused("pods with an emptyDir", "kube-system/coredns-x")
    spec.volumes = nil
    c:pod("default", "shell", { spec = { nodeName = "cp2" } })
    refused("pods without a controller", "default/shell")
    c:drop("/api/v1/namespaces/default/pods/shell")
    c.objects[NODE].spec = { unschedulable = true }
    refused("cordon", "somebody's")
    c.objects[NODE].metadata.annotations = { ["pai/drill"] = "run-other" }
    refused("drills", "cp2 by run-other")
    c.objects[NODE].spec, c.objects[NODE].metadata.annotations = {}, nil
    c.objects["/api/v1/nodes/cp1"].status.conditions[1].status = "False"
    refused("other control planes", "not Ready or cordoned: cp1")
    c.objects["/api/v1/nodes/cp1"].status.conditions[1].status = "True"
    c.objects[VOLUME].status.robustness = "degraded"
    refused("Longhorn volumes", "pvc-1 degraded")
    c.objects[VOLUME].status.robustness = "healthy"
    c.plain["/readyz"] = { status = 500, body = "[-]etcd failed" }
    refused("API server", "HTTP 500")
    c.plain["/readyz"] = { body = "ok" }
    -- What is in an emptyDir may be lost when that was said.
    spec.volumes = json.array({ { name = "tmp", emptyDir = {} } })
    local _, r = d:drill("control-plane", { emptydir = "true" })
    assert.are.equal(0, r.code, r.stdout)
    as_found(c)
  end)

  cluster.it("says what did not hold, and gives the node back", function(c)
    prepare(c)
    local function ends(name, state, measured, more)
      local checks = d:drill("control-plane", more)
      local check = assert(checks[name], name)
      assert.are.equal(state, check.state, name)
      assert.is_truthy(tostring(check.measured):find(measured), name .. ": " .. check.measured)
      as_found(c)
      prepare(c)
    end
    c.on.Eviction = function() end
    ends("volumes meanwhile", "warn", "^0 of 1 degraded", { degrade_timeout = "1s" })
    c.on.Eviction = function()
      c.objects[VOLUME].status.robustness = "faulted"
    end
    ends("volumes meanwhile", "red", "^pvc%-1 faulted")
    c.objects[VOLUME].status.state = "detached"
    ends("volumes meanwhile", "skipped", "no attached volume")
    c.on.Node = function() end
    ends("volumes afterwards", "red", "pvc%-1 degraded", {
      rebuild_timeout = "1s",
      timeout = "1s",
    })
    c.on.Node = function(object)
      c.objects[VOLUME].status.robustness = object.spec.unschedulable and "degraded" or "healthy"
    end
    ends("workloads", "red", "not: deployments kube%-system/coredns", { timeout = "1s" })
    -- The API is away while the node is cordoned; the budget holds until that was seen four times,
    -- half a second apart.
    for gap, state in pairs({ ["0"] = "red", ["600"] = "warn" }) do
      local seen, plain, hold = 0, c.plain, holding(NEEDS)
      c.plain = setmetatable({}, {
        __index = function(_, path)
          local away = path == "/readyz" and (c.objects[NODE].spec or {}).unschedulable
          seen = seen + (away and 1 or 0)
          return away and { status = 503, body = "away" } or plain[path]
        end,
      })
      c.refuse = function(req)
        return seen < 8 and hold(req) or nil
      end
      ends("API through the VIP", state, "HTTP 503 away", { api_gap = gap })
      c.plain, c.refuse = plain, nil
    end
  end)

  cluster.it("gives the node back after a signal, a kill, a cancel and a resume", function(c)
    prepare(c)
    local function hung(id)
      c.refuse = holding(NEEDS)
      return d:hung("control-plane", id, function()
        return (c.objects[NODE].spec or {}).unschedulable and #c:changed("coredns%-x/eviction$") > 0
      end)
    end
    local proc = hung("run-signal")
    proc:kill("SIGTERM")
    assert.are.equal(143, proc:wait("60s").code)
    as_found(c)
    local function killed(id)
      c:forget()
      prepare(c)
      proc = hung(id)
      proc:kill("SIGKILL")
      proc:wait("30s")
      assert.is_true(c.objects[NODE].spec.unschedulable)
      assert.are.equal(id, c.objects[NODE].metadata.annotations["pai/drill"])
      c.refuse = nil
    end
    killed("run-killed")
    -- Another drill does not meet it.
    local checks, r = d:drill("control-plane")
    assert.are.equal(1, r.code)
    assert.are.equal("cp2 by run-killed", checks["drills"].measured)
    r = d:pai({ "runs", "cancel", "run-killed" })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    as_found(c)
    -- A resume ends the drill.
    killed("run-again")
    r = d:pai({ "resume", "--json", "run-again" })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    as_found(c)
    -- So does the next run, where it is told to.
    killed("run-left")
    r = select(2, d:drill("control-plane", { take_over = "true" }))
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    as_found(c)
  end)

  cluster.it("is left to a cancel when the API was away at its end", function(c)
    prepare(c)
    c.refuse = function(req, body)
      local back = req.method == "PATCH" and body.spec and body.spec.unschedulable == json.null
      return back and { 403, "Forbidden", "not now" } or nil
    end
    local _, r = d:drill("control-plane", {}, { "--json", "--yes", "--run-id", "run-away" })
    assert.are.equal(1, r.code)
    assert.is_true(c.objects[NODE].spec.unschedulable)
    c.refuse = nil
    r = d:pai({ "runs", "cancel", "run-away" })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    as_found(c)
  end)
end)
