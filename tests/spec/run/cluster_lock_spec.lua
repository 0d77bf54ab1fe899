-- The lock in the cluster: one run at a time, from whichever machine; told, renewed, taken over
-- when it has expired, given up at the end. The cluster is in memory and checks versions as a real
-- one does; tests/peers/kubernetes/lease_spec.lua asks a real one.
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local support = dofile("tests/spec/run/support.lua")
local fs = require("pai.fs")
local json = require("pai.json")
local task = require("pai.task")

local PATH <const> = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/pai"

local RECIPE <const> = [[
safety = "changes",
inputs = { context = { type = "string", default = "lab" },
  kubeconfig = { type = "path", doc = "K." }, out = { type = "path", doc = "O." } },
needs = { clusters = { "@context" }, writes = { "@out" } },
locks = function(inp) return { "kube:" .. inp.context } end,
steps = { { name = "make",
  run = function(ctx, inp)
    local k = ctx.k8s(inp.context)
    k:apply({ apiVersion = "v1", kind = "ConfigMap",
      metadata = { name = "made", namespace = "default" }, data = { a = "b" } })
    ctx.write(inp.out .. "/began", "")
    %s
    return {}
  end } },]]

local function holder(more)
  local note = {
    run = "run-other",
    recipe = "osmo-k8s.deploy",
    pid = 4711,
    host = "elsewhere",
    since = "2026-01-02T03:04:05Z",
    boot = "another",
  }
  for k, v in pairs(more or {}) do
    note[k] = v
  end
  return note
end

-- A Lease of somebody else, renewed so many seconds ago.
local function put(c, ago, note)
  local when = os.date("!%Y-%m-%dT%H:%M:%S.000000Z", os.time() - ago)
  return c:put(PATH, {
    metadata = { annotations = { ["pai/holder"] = json.encode(note or holder()) } },
    spec = {
      holderIdentity = "elsewhere/run-other",
      leaseDurationSeconds = 60,
      acquireTime = when,
      renewTime = when,
      leaseTransitions = 3,
    },
  })
end

describe("the lock in the cluster", function()
  -- fn(c, run): run(argv, opts) → result; c.bench
  local function locks(title, fn, body)
    cluster.it(title, function(c)
      local bench = support.new()
      c.bench, c.out = bench, bench.dir .. "/out"
      assert(fs.mkdir(c.out))
      local config = cluster.private(bench.root .. "/config", c:kubeconfig("lab"))
      local path = bench:recipe("locker", RECIPE:format(body or ""))
      c.recipe, c.inputs = path, { "kubeconfig=" .. config, "out=" .. c.out }
      local function run(argv, opts)
        local command = table.move(argv, 1, #argv, 1, {})
        table.move(c.inputs, 1, #c.inputs, #command + 1, command)
        return bench:pai(command, opts)
      end
      local ok, problem = pcall(fn, c, run)
      bench:remove()
      assert(ok, problem)
    end)
  end

  local function logged(r)
    local list = {}
    for line in r.stdout:gmatch("[^\n]+") do
      local event = json.decode(line)
      if type(event) == "table" and event.event == "log" then
        list[#list + 1] = event.text
      end
    end
    return table.concat(list, "\n")
  end

  locks("is taken before the first change and given up at the end", function(c, run)
    local seen
    c.on.ConfigMap = function()
      seen = json.decode(json.encode(c.objects[PATH]))
    end
    local r = run({ "run", c.recipe, "--json" })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.equal(60, seen.spec.leaseDurationSeconds)
    assert.truthy(seen.spec.holderIdentity:find("/run-", 1, true))
    local note = json.decode(seen.metadata.annotations["pai/holder"])
    assert.equal("locker", note.recipe)
    assert.is_nil(c.objects[PATH])
    assert.equal(2, #c.locking, table.concat(c.locking, "\n"))
  end)

  locks("is not taken by a plan, nor by what only looks", function(c, run)
    put(c, 1)
    local r = run({ "plan", c.recipe })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    local look = c.bench:recipe(
      "look",
      [[
inputs = { kubeconfig = { type = "path", doc = "K." }, out = { type = "path", doc = "O." } },
needs = { clusters = { "lab" } },
steps = { { name = "look", checks = function(ctx)
  return { { name = "it", state = ctx.k8s("lab"):version() and "ok" or "red" } }
end } },]]
    )
    r = run({ "run", look })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.same({}, c.locking)
  end)

  locks("refuses a second machine with exit code 4, and names the holder", function(c, run)
    put(c, 5)
    local r = run({ "run", c.recipe, "--json" })
    assert.equal(4, r.code, r.stdout .. r.stderr)
    local said = r.stdout .. r.stderr
    for _, word in ipairs({
      "run-other",
      "osmo-k8s.deploy",
      "pid 4711 on elsewhere",
      "2026-01-02T03:04:05Z",
      "kube-system/pai",
    }) do
      assert.truthy(said:find(word, 1, true), word .. " in " .. said)
    end
    assert.same({}, c.acts)
    assert.same({}, c.locking)
    -- nothing of it stays here: this machine's lock is free again
    c:drop(PATH)
    assert.equal(0, run({ "run", c.recipe }).code)
  end)

  locks("is taken over when it has expired, or its holder is known to be gone", function(c, run)
    put(c, 61)
    local transitions
    c.on.ConfigMap = function()
      transitions = c.objects[PATH].spec.leaseTransitions
    end
    assert.equal(0, run({ "run", c.recipe }).code)
    assert.equal(4, transitions)
    -- a process of this machine that has ended; one that runs; one of another pid namespace
    local f = assert(io.open("/proc/self/stat"))
    local pid = math.tointeger(f:read("n"))
    f:close()
    local here = {
      host = fs.hostname(),
      boot = fs.boot_id(),
      pid_space = fs.readlink("/proc/self/ns/pid"),
      pid = pid,
      start_time = 1,
    }
    put(c, 1, holder(here))
    assert.equal(0, run({ "run", c.recipe }).code)
    here.start_time = fs.process(pid).start_time
    put(c, 1, holder(here))
    assert.equal(4, run({ "run", c.recipe }).code)
    here.start_time, here.pid_space = 1, "pid:[1]"
    put(c, 1, holder(here))
    assert.equal(4, run({ "run", c.recipe }).code)
    here.pid_space, here.boot = fs.readlink("/proc/self/ns/pid"), "before"
    put(c, 1, holder(here))
    assert.equal(4, run({ "run", c.recipe }).code)
  end)

  locks("is judged by the API server's clock, not by this machine's", function(c, run)
    -- to this machine it looks renewed; the server is two minutes ahead
    local handler = c.get
    function c.get(self, path, req)
      local res = handler(self, path, req)
      res.headers = res.headers or {}
      res.headers.Date = os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time() + 120)
      return res
    end
    put(c, 1)
    assert.equal(0, run({ "run", c.recipe }).code)
    put(c, -100)
    assert.equal(4, run({ "run", c.recipe }).code)
  end)

  locks("goes on with this machine's lock where Leases are forbidden, and says so", function(c, run)
    c.refuse = function(req)
      if req.path:find("/leases", 1, true) then
        return { 403, "Forbidden", "leases.coordination.k8s.io is forbidden" }
      end
    end
    local r = run({ "run", c.recipe, "--json" })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.truthy(logged(r):find("no lock in the cluster of lab", 1, true), logged(r))
    assert.equal("b", c.objects["/api/v1/namespaces/default/configmaps/made"].data.a)
    -- who may write but not delete leaves it without a holder
    c.refuse = function(req)
      if req.method == "DELETE" and req.path:find("/leases/", 1, true) then
        return { 403, "Forbidden", "leases.coordination.k8s.io is forbidden" }
      end
    end
    r = run({ "run", c.recipe, "--json" })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.is_nil(c.objects[PATH].spec.holderIdentity)
    assert.equal(0, run({ "run", c.recipe }).code)
  end)

  locks(
    "stops a run that has lost it",
    function(c, run)
      c.on.ConfigMap = function()
        put(c, 0)
      end
      local r = run({ "run", c.recipe, "--json" }, { env = { PAI_LEASE = "3s" } })
      assert.equal(4, r.code, r.stdout .. r.stderr)
      local said = "this run has lost its lock: the cluster of lab is held by run-other"
      assert.truthy(logged(r):find(said, 1, true), logged(r))
      assert.equal("elsewhere/run-other", c.objects[PATH].spec.holderIdentity)
      assert.truthy(fs.exists(c.out .. "/began"))
      assert.is_false(fs.exists(c.out .. "/ended"))
    end,
    'ctx.wait(function() end, { every = "1s", timeout = "2m" }) ctx.write(inp.out .. "/ended", "")'
  )

  locks("is this run's own after a kill", function(c, run)
    local r = run({ "run", c.recipe }, { env = { PAI_TEST_KILL = "step.start:make" } })
    assert.equal("SIGKILL", r.signal)
    assert.truthy(c.objects[PATH])
    r = c.bench:pai({ "resume", "last" })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.is_nil(c.objects[PATH])
  end)

  locks("is taken as soon as there is a cluster that was not there before", function(c, run)
    put(c, 5)
    local late = c.bench:recipe(
      "late",
      [[
safety = "changes",
inputs = { kubeconfig = { type = "path", doc = "K." }, out = { type = "path", doc = "O." } },
needs = { clusters = { "late" }, writes = { "@kubeconfig", "@out" } },
locks = function() return "kube:late" end,
steps = {
  { name = "cluster", run = function(ctx, inp)
    ctx.write(inp.kubeconfig, ctx.read(inp.out .. "/config"), { mode = "0600" })
    return {}
  end },
  { name = "use", after = { "cluster" }, run = function(ctx)
    ctx.k8s("late"):apply({ apiVersion = "v1", kind = "ConfigMap",
      metadata = { name = "made", namespace = "default" }, data = { a = "b" } })
    return {}
  end } },]]
    )
    cluster.private(c.out .. "/config", c:kubeconfig("late"))
    c.inputs[1] = "kubeconfig=" .. c.bench.dir .. "/late-config"
    local r = run({ "run", late, "--json" })
    assert.equal(4, r.code, r.stdout .. r.stderr)
    assert.truthy(r.stdout:find("run-other", 1, true))
    assert.same({}, c.acts)
    c:drop(PATH)
    r = c.bench:pai({ "resume", "last" })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.is_nil(c.objects[PATH])
  end)
end)

describe("a Lease", function()
  local auth = require("pai.k8s.client")
  local lease = require("pai.k8s.lease")

  local function client_of(c, bench)
    local config = cluster.private(bench.root .. "/config", c:kubeconfig("lab"))
    return assert(auth.connect({ context = "lab", kubeconfig = config }))
  end

  local function with_client(title, fn)
    cluster.it(title, function(c)
      local bench = support.new()
      local ok, problem = pcall(fn, c, client_of(c, bench))
      bench:remove()
      assert(ok, problem)
    end)
  end

  with_client("is renewed while it is kept, and tells when it is lost", function(c, client)
    local one = assert(lease.take(client, "a/run-1", holder(), { seconds = 1 }))
    local lost
    local keeper = one:keep(function(e)
      lost = e
    end)
    local deadline = task.now() + 60000
    while #c.locking < 4 and task.now() < deadline do
      task.sleep("20ms")
    end
    assert.truthy(#c.locking >= 4)
    assert.equal("a/run-1", c.objects[PATH].spec.holderIdentity)
    assert.equal(0, c.objects[PATH].spec.leaseTransitions)
    c:drop(PATH) -- somebody tidied up: it is made anew
    while not c.objects[PATH] and task.now() < deadline do
      task.sleep("20ms")
    end
    assert.equal("a/run-1", c.objects[PATH].spec.holderIdentity)
    put(c, 0)
    while not lost and task.now() < deadline do
      task.sleep("20ms")
    end
    assert.equal("ELEASE", lost.code)
    keeper:wait()
    -- and what somebody else holds is not given up by who has lost it
    one:release()
    assert.equal("elsewhere/run-other", c.objects[PATH].spec.holderIdentity)
  end)

  with_client("goes to one of two who come at once", function(c, client)
    local got, refused = {}, {}
    local tasks = {}
    for i = 1, 8 do
      tasks[i] = task.spawn(function()
        local one, e = lease.take(client, "m" .. i .. "/run-" .. i, holder({ run = "run-" .. i }))
        local list = one and got or refused
        list[#list + 1] = one and one.me or e.code
      end)
    end
    for _, t in ipairs(tasks) do
      t:wait()
    end
    assert.equal(1, #got)
    assert.same({ "ELEASE", "ELEASE", "ELEASE", "ELEASE", "ELEASE", "ELEASE", "ELEASE" }, refused)
    assert.equal(got[1], c.objects[PATH].spec.holderIdentity)
  end)
end)
