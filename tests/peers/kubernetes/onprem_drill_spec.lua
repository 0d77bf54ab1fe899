-- The drill of a control plane against a real kube-apiserver with its disruption, Deployment and
-- namespace controllers: evictions and their refusals are real. There is no kubelet and no
-- scheduler: what those would do is written from here.
local client = require("pai.k8s.client")
local fs = require("pai.fs")
local json = require("pai.json")
local server = dofile(pai.root .. "/tests/peers/kubernetes/server.lua")
local support = dofile(pai.root .. "/tests/spec/run/support.lua")
local task = require("pai.task")

local PLANE <const> = { ["node-role.kubernetes.io/control-plane"] = "" }
local s, admin, bench

local function node(name)
  admin:apply({ apiVersion = "v1", kind = "Node", metadata = { name = name, labels = PLANE } })
  local ready = { type = "Ready", status = "True", lastHeartbeatTime = os.date("!%FT%TZ") }
  admin:patch("node", name, { status = { conditions = { ready } } }, { subresource = "status" })
end

-- The scheduler: cp2 while it takes pods, else cp3.
local function bind(pod)
  local first = admin:get("nodes", "cp2")
  local target = first and first.spec.unschedulable and "cp3" or "cp2"
  admin.transport:call("POST", ("/api/v1/namespaces/team/pods/%s/binding"):format(pod), {
    body = json.encode({
      apiVersion = "v1",
      kind = "Binding",
      metadata = { name = pod },
      target = { apiVersion = "v1", kind = "Node", name = target },
    }),
  })
end

-- The kubelet: what is bound runs and is Ready; what is to go goes.
local function play()
  for _, name in ipairs({ "cp1", "cp2", "cp3" }) do
    node(name)
  end
  for _, pod in ipairs(admin:list("pods", { namespace = "team" }) or {}) do
    local name = pod.metadata.name
    if pod.metadata.deletionTimestamp then
      admin:delete("pods", name, { namespace = "team", absent = true, grace_s = 0 })
    elseif not pod.spec.nodeName then
      bind(name)
    elseif pod.status.phase == "Pending" then
      local ready = { { type = "Ready", status = "True" } }
      local status = { phase = "Running", conditions = ready }
      admin:patch("pods", name, { status = status }, {
        namespace = "team",
        subresource = "status",
      })
    end
  end
end

local function it_plays(title, fn)
  it(title, function()
    task.run(function()
      local playing = task.spawn(function()
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

local LABELS <const> = { app = "web" }
-- policy/v1 came with Kubernetes 1.21; this server is older.
local BUDGET <const> = { apiVersion = "policy/v1beta1", kind = "PodDisruptionBudget" }

local function workload()
  return {
    apiVersion = "apps/v1",
    kind = "Deployment",
    metadata = { name = "web", namespace = "team" },
    spec = {
      replicas = 2,
      selector = { matchLabels = LABELS },
      template = {
        metadata = { labels = LABELS },
        spec = { containers = { { name = "main", image = "example/web:1" } } },
      },
    },
  }
end

-- A budget, once its controller has counted the pods.
local function budget(least)
  assert(admin:apply({
    apiVersion = BUDGET.apiVersion,
    kind = BUDGET.kind,
    metadata = { name = "web", namespace = "team" },
    spec = { minAvailable = least, selector = { matchLabels = LABELS } },
  }))
  support.eventually(function()
    local now = admin:get({ apiVersion = "policy/v1beta1", kind = "PodDisruptionBudget" }, "web", {
      namespace = "team",
    })
    local st = now and now.status or {}
    return st.observedGeneration == now.metadata.generation
      and st.currentHealthy == 2
      and st.disruptionsAllowed == 2 - least
  end, "the budget to be counted")
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
    assert(admin:apply({ apiVersion = "v1", kind = "Namespace", metadata = { name = "team" } }))
    for _, name in ipairs({ "cp1", "cp2", "cp3" }) do
      node(name)
    end
    support.eventually(function()
      return admin:get("serviceaccounts", "default", { namespace = "team" })
    end, "the namespace's account")
    assert(admin:apply(workload()))
  end)
end)

teardown(function()
  task.run(function()
    s:close()
    bench:remove()
  end)
end)

local ENV <const> = { KUBECONFIG = false }

local function argv(more)
  local list = { "verify", "--drill", "cluster-onprem", "--json", "--yes" }
  table.move(more or {}, 1, #(more or {}), #list + 1, list)
  local given = { "context=admin", "kubeconfig=" .. s.kubeconfig, "drill=control-plane" }
  given[#given + 1] = "node=cp2"
  return table.move(given, 1, #given, #list + 1, list)
end

local function drill(more)
  local list = argv()
  table.move(more or {}, 1, #(more or {}), #list + 1, list)
  local r = bench:pai(list, { env = ENV, timeout = "5m" })
  local checks = {}
  for _, gate in ipairs(support.pick(support.events(r.stdout), "gate")) do
    for _, check in ipairs(gate.checks) do
      checks[check.name] = check
    end
  end
  return checks, r
end

local function as_found()
  local now = admin:get("nodes", "cp2")
  assert.is_nil(now.spec.unschedulable)
  assert.is_nil((now.metadata.annotations or {})["pai/drill"])
end

describe("the drill of a control plane", function()
  it_plays("names a real budget that allows no eviction, and gives the node back", function()
    budget(2)
    local checks, r = drill({ "budget_timeout=3s" })
    assert.equal(1, r.code, r.stderr)
    local pods = checks["pods of cp2"]
    assert.equal("red", pods.state)
    local said = "held by PodDisruptionBudget team/web: "
      .. "The disruption budget web needs 2 healthy pods and has 2 currently"
    assert.truthy(pods.measured:find(said, 1, true), pods.measured)
    assert.equal("ok", checks["API through the VIP"].state)
    as_found()
    assert.equal(2, #admin:list("pods", { namespace = "team" }))
  end)

  it_plays("evicts one after another where the budget allows one", function()
    budget(1)
    local checks, r = drill()
    assert.equal(0, r.code, r.stdout:sub(-3000) .. r.stderr)
    assert.equal("2 evicted", checks["pods of cp2"].measured)
    assert.equal("skipped", checks["volumes meanwhile"].state)
    assert.equal("ok", checks["workloads"].state)
    as_found()
    for _, pod in ipairs(admin:list("pods", { namespace = "team" })) do
      assert.equal("cp3", pod.spec.nodeName)
    end
  end)

  it_plays("is undone by pai runs cancel after a kill", function()
    for _, pod in ipairs(admin:list("pods", { namespace = "team" })) do
      admin:delete("pods", pod.metadata.name, { namespace = "team", grace_s = 0 })
    end
    budget(2)
    local proc = bench:start(argv({ "--run-id", "run-killed" }), ENV)
    support.eventually(function()
      return admin:get("nodes", "cp2").spec.unschedulable
    end, "the cordon")
    proc:kill("SIGKILL")
    proc:wait("30s")
    assert.equal("run-killed", admin:get("nodes", "cp2").metadata.annotations["pai/drill"])
    local r = bench:pai({ "runs", "cancel", "run-killed" }, { env = ENV })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    as_found()
  end)
end)
