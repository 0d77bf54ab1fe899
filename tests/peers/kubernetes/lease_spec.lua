-- The lock in a cluster against a real kube-apiserver: its versions, preconditions and validation,
-- its clock, and RBAC.
local server = dofile(pai.root .. "/tests/peers/kubernetes/server.lua")
local support = dofile(pai.root .. "/tests/spec/run/support.lua")
local client = require("pai.k8s.client")
local lease = require("pai.k8s.lease")
local task = require("pai.task")

local WHERE <const> = { namespace = "kube-system" }

local k, c

setup(function()
  task.run(function()
    k = server.start()
    c = assert(client.connect({ kubeconfig = k.kubeconfig, context = "admin" }))
  end)
end)

teardown(function()
  task.run(function()
    k:close()
  end)
end)

local function it_runs(title, fn)
  it(title, function()
    task.run(fn)
  end)
end

local function note(run)
  return { run = run, recipe = "r", pid = 1, host = "elsewhere", since = "2026-01-02T03:04:05Z" }
end

describe("a Lease", function()
  it_runs("is made, renewed, refused to others, and deleted", function()
    local one = assert(lease.take(c, "a/run-1", note("run-1")))
    local made = assert(c:get("leases", "pai", WHERE))
    assert.equal("a/run-1", made.spec.holderIdentity)
    assert.equal(60, made.spec.leaseDurationSeconds)
    assert.equal("pai", made.metadata.labels["app.kubernetes.io/managed-by"])
    local renewed, deadline = made, task.now() + 60000
    while renewed.spec.renewTime == made.spec.renewTime and task.now() < deadline do
      assert(one:renew())
      renewed = assert(c:get("leases", "pai", WHERE))
    end
    assert.not_equal(made.metadata.resourceVersion, renewed.metadata.resourceVersion)
    assert.equal(made.spec.acquireTime, renewed.spec.acquireTime)
    local other, e = lease.take(c, "b/run-2", note("run-2"))
    assert.is_nil(other)
    assert.equal("ELEASE", e.code)
    assert.truthy(e.message:find("run-1 (r), pid 1 on elsewhere, since 2026", 1, true), e.message)
    assert(one:release())
    local gone, why = c:get("leases", "pai", WHERE)
    assert.is_nil(gone)
    assert.equal("NotFound", why.reason)
  end)

  it_runs("is taken over when it has expired, and its holder learns of it", function()
    local one = assert(lease.take(c, "a/run-1", note("run-1"), { seconds = 1 }))
    local two, deadline = nil, task.now() + 60000
    while not two and task.now() < deadline do
      two = lease.take(c, "b/run-2", note("run-2"))
      task.sleep("50ms")
    end
    local there = assert(c:get("leases", "pai", WHERE))
    assert.equal("b/run-2", there.spec.holderIdentity)
    assert.equal(1, there.spec.leaseTransitions)
    local held, e = one:renew()
    assert.is_nil(held)
    assert.equal("ELEASE", e.code)
    one:release() -- what is another's stays
    assert.equal("b/run-2", assert(c:get("leases", "pai", WHERE)).spec.holderIdentity)
    assert(two:release())
  end)

  it_runs("goes to one of many who come at once", function()
    local got, tasks = {}, {}
    for i = 1, 6 do
      tasks[i] = task.spawn(function()
        local one, e = lease.take(c, "m/run-" .. i, note("run-" .. i))
        if one then
          got[#got + 1] = one
        else
          assert.equal("ELEASE", e.code)
        end
      end)
    end
    for _, t in ipairs(tasks) do
      t:wait()
    end
    assert.equal(1, #got)
    assert(got[1]:release())
  end)
end)

describe("a run", function()
  local bench, recipe

  before_each(function()
    bench = support.new()
    recipe = bench:recipe(
      "locker",
      [[
safety = "changes",
inputs = { context = { type = "string", doc = "C." }, kubeconfig = { type = "path", doc = "K." } },
needs = { clusters = { "@context" } },
locks = function(inp) return { "kube:" .. inp.context } end,
steps = { { name = "make", run = function(ctx, inp)
  ctx.k8s(inp.context):apply({ apiVersion = "v1", kind = "ConfigMap",
    metadata = { name = "made", namespace = "default" }, data = { by = ctx.run_id } })
  return {}
end } },]]
    )
  end)

  after_each(function()
    bench:remove()
  end)

  local function run(context)
    local argv = { "run", recipe, "--json", "context=" .. context }
    argv[#argv + 1] = "kubeconfig=" .. k.kubeconfig
    return bench:pai(argv, { timeout = "120s" })
  end

  it_runs(
    "waits for nobody: another machine's deploy is refused, and later goes through",
    function()
      local one = assert(lease.take(c, "elsewhere/run-1", note("run-1")))
      local r = run("admin")
      assert.equal(4, r.code, r.stdout .. r.stderr)
      assert.truthy((r.stdout .. r.stderr):find("run-1 (r), pid 1 on elsewhere", 1, true))
      assert.is_nil((c:get("configmaps", "made", { namespace = "default" })))
      assert(one:release())
      r = run("admin")
      assert.equal(0, r.code, r.stdout .. r.stderr)
      assert.truthy(c:get("configmaps", "made", { namespace = "default" }))
      assert.is_nil((c:get("leases", "pai", WHERE)))
    end
  )

  it_runs("goes on where RBAC forbids Leases, with a warning", function()
    local name = { name = "makes-configmaps" }
    local group = "rbac.authorization.k8s.io"
    assert(c:apply({
      apiVersion = group .. "/v1",
      kind = "Role",
      metadata = { name = name.name, namespace = "default" },
      rules = { { apiGroups = { "" }, resources = { "configmaps" }, verbs = { "*" } } },
    }))
    assert(c:apply({
      apiVersion = group .. "/v1",
      kind = "RoleBinding",
      metadata = { name = name.name, namespace = "default" },
      roleRef = { apiGroup = group, kind = "Role", name = name.name },
      subjects = { { apiGroup = group, kind = "User", name = "jane" } },
    }))
    local deadline = task.now() + 60000 -- the authoriser hears of it a moment later
    local jane = assert(client.connect({ kubeconfig = k.kubeconfig, context = "jane" }))
    while not jane:can("patch", "configmaps", { namespace = "default" }) do
      assert(task.now() < deadline)
      task.sleep("50ms")
    end
    local r = run("jane")
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.truthy(r.stdout:find("no lock in the cluster of jane", 1, true), r.stdout)
    assert.truthy(r.stdout:find("may not get leases.coordination.k8s.io", 1, true), r.stdout)
  end)
end)
