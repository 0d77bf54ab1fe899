-- Which groups run when, and how they end.
local S = dofile("tests/spec/engine/support.lua")
local fs = require("pai.fs")
local task = require("pai.task")

describe("the scheduler", function()
  local engine

  setup(function()
    engine = S.start({ env = { PAI_ENGINE_CORES = "2" } })
  end)
  teardown(function()
    engine:stop()
  end)

  it("runs a group once its upstream groups are done, others side by side", function()
    local q = engine:run({
      name = "order",
      tasks = {
        S.sh("first", "echo one > {{output}}/n; sleep 1"),
        S.sh("other", "sleep 0.2"),
        S.sh("second", "cat {{input:first}}/n", { inputs = { { task = "first" } } }),
      },
    })
    assert.equal("COMPLETED", q.status)
    local t = S.tasks(q)
    assert.is_true(t.second.start_time >= t.first.end_time)
    assert.is_true(t.other.start_time < t.first.end_time)
    assert.truthy(engine:log(q.name):find("[second] one", 1, true))
  end)

  it("marks what comes after a failure FAILED_UPSTREAM and lets the rest go on", function()
    local q = engine:run({
      name = "broken",
      tasks = {
        S.sh("bad", "exit 3"),
        S.sh("next", "true", { inputs = { { task = "bad" } } }),
        S.sh("last", "true", { inputs = { { task = "next" } } }),
        S.sh("free", "sleep 0.1"),
      },
    })
    assert.equal("FAILED", q.status)
    local t, g = S.tasks(q), S.groups(q)
    assert.equal("FAILED", t.bad.status)
    assert.equal(3, t.bad.exit_code)
    for _, name in ipairs({ "next", "last" }) do
      assert.equal("FAILED_UPSTREAM", t[name].status)
      assert.equal(3000, t[name].exit_code)
      assert.equal("FAILED_UPSTREAM", g[name .. "-group"].status)
      assert.equal("Upstream task failed.", t[name].failure_message)
    end
    assert.equal("COMPLETED", t.free.status)
    assert.same({ "bad-group" }, g["next-group"].remaining_upstream_groups)
    assert.same({ "last-group" }, g["next-group"].downstream_groups)
  end)

  it("takes exit actions into account", function()
    local q = engine:run({
      name = "actions",
      tasks = {
        S.sh("fine", "exit 7", { exitActions = { COMPLETE = "7" } }),
        S.sh("bad", "exit 0", { exitActions = { FAIL = "0" } }),
        S.sh("again", "exit 9", { exitActions = { RESCHEDULE = "9" } }),
      },
    })
    local t = S.tasks(q)
    assert.equal("COMPLETED", t.fine.status)
    assert.equal(7, t.fine.exit_code)
    assert.equal("FAILED", t.bad.status)
    assert.equal("FAILED", t.again.status)
    assert.equal(0, t.again.retry_id)
    assert.truthy(t.again.failure_message:find("retry limit 0", 1, true))
  end)

  it("reports a signal as a shell does, and a missing command apart", function()
    local q = engine:run({
      name = "codes",
      tasks = {
        S.sh("killed", "kill -9 $$"),
        { name = "missing", image = "pai.local/x", command = { "no-such-program-here" } },
        { name = "nowhere", image = "pai.local/x", command = { "/no/such/program" } },
      },
    })
    local t = S.tasks(q)
    assert.equal(137, t.killed.exit_code)
    assert.equal(2031, t.missing.exit_code)
    assert.truthy(t.missing.failure_message:find("no-such-program-here", 1, true))
    assert.equal(2031, t.nowhere.exit_code)
  end)

  it("never asks for more cores than there are, but for a task that needs more", function()
    local q = engine:run({
      name = "cores",
      resources = { default = { cpu = 1 }, wide = { cpu = 64 } },
      tasks = {
        S.sh("a", "sleep 0.2"),
        S.sh("b", "sleep 0.2"),
        S.sh("c", "sleep 0.2"),
        S.sh("huge", "sleep 0.1", { resource = "wide" }),
      },
    })
    assert.equal("COMPLETED", q.status)
    local points = {}
    for _, t in pairs(S.tasks(q)) do
      points[#points + 1] = { at = t.initializing_start_time, cpu = t.name == "huge" and 64 or 1 }
      points[#points + 1] = {
        at = t.output_upload_start_time,
        cpu = t.name == "huge" and -64 or -1,
      }
    end
    table.sort(points, function(a, b)
      return a.at < b.at or (a.at == b.at and a.cpu < b.cpu)
    end)
    local busy, most = 0, 0
    for _, p in ipairs(points) do
      -- Nothing may run beside the wide one.
      assert.is_true(p.cpu < 64 or busy == 0)
      busy = busy + p.cpu
      if busy < 64 then
        most = math.max(most, busy)
      end
    end
    assert.equal(2, most)
  end)

  it("starts what has the higher priority first", function()
    local hold = engine:submit({
      name = "hold",
      resources = { default = { cpu = 2 } },
      tasks = { S.sh("hold", "sleep 0.4") },
    })
    local low = engine:submit({
      name = "low",
      resources = { default = { cpu = 2 } },
      tasks = { S.sh("t", "true") },
    }, { priority = "LOW" })
    local high = engine:submit({
      name = "high",
      resources = { default = { cpu = 2 } },
      tasks = { S.sh("t", "true") },
    }, { priority = "HIGH" })
    local q = {}
    for _, id in ipairs({ hold, low, high }) do
      q[id] = assert(engine.client:wait(id, { timeout = "30s", every = "20ms" }))
    end
    assert.is_true(q[high].start_time < q[low].start_time)
    assert.equal("HIGH", q[high].priority)
  end)

  it("ends a group that runs too long, and only that one", function()
    local q = engine:run({
      name = "slow",
      timeout = { exec_timeout = "1s" },
      tasks = { S.sh("slow", "echo x > {{output}}/x; sleep 60"), S.sh("quick", "true") },
    })
    assert.equal("FAILED_EXEC_TIMEOUT", q.status)
    local t = S.tasks(q)
    assert.equal("FAILED_EXEC_TIMEOUT", t.slow.status)
    assert.equal("COMPLETED", t.quick.status)
    assert.equal(1.0, q.exec_timeout)
    assert.is_nil(engine:log(q.name, { task = "slow" }):find("Upload", 1, true))
  end)

  it("ends a group that waits too long for its turn", function()
    local hold = engine:submit({
      name = "hold",
      resources = { default = { cpu = 2 } },
      tasks = { S.sh("hold", "sleep 3") },
    })
    local q = engine:run({
      name = "late",
      timeout = { queue_timeout = "1s" },
      tasks = { S.sh("late", "true"), S.sh("after", "true", { inputs = { { task = "late" } } }) },
    })
    assert.equal("FAILED_QUEUE_TIMEOUT", q.status)
    assert.equal("FAILED_QUEUE_TIMEOUT", S.tasks(q).late.status)
    assert.equal("FAILED_UPSTREAM", S.tasks(q).after.status)
    assert(engine.client:cancel(hold, { force = true }))
    assert(engine.client:wait(hold, { timeout = "20s" }))
  end)

  it("runs 200 tasks that do nothing", function()
    local ids = {}
    for i = 1, 10 do
      local tasks = {}
      for n = 1, 20 do
        tasks[n] = { name = "t" .. n, image = "pai.local/x", command = { "/bin/true" } }
      end
      ids[i] = engine:submit({ name = "many", tasks = tasks })
    end
    for _, id in ipairs(ids) do
      local q = assert(engine.client:wait(id, { timeout = "120s" }))
      assert.equal("COMPLETED", q.status)
      assert.equal(20, #q.groups)
    end
  end)
end)

describe("a group", function()
  local engine

  setup(function()
    engine = S.start({ env = { PAI_ENGINE_CORES = "4" } })
  end)
  teardown(function()
    engine:stop()
  end)

  it("starts together, behind its barrier", function()
    local q = engine:run({
      name = "gang",
      groups = {
        {
          name = "pair",
          tasks = {
            S.sh("lead", "sleep 0.2", { lead = true }),
            S.sh("other", "sleep 0.1"),
          },
        },
      },
    })
    assert.equal("COMPLETED", q.status)
    local log = engine:log(q.name)
    assert.truthy(log:find("[lead][osmo] Group ready", 1, true))
    assert.truthy(log:find("[other][osmo] Group ready", 1, true))
    local t = S.tasks(q)
    assert.is_true(t.lead.lead)
    assert.is_false(t.other.lead)
  end)

  it("ends with its lead, whose result the others get", function()
    for code, expected in pairs({ [0] = "COMPLETED", [5] = "FAILED" }) do
      local q = engine:run({
        name = "led",
        groups = {
          {
            name = "pair",
            tasks = {
              S.sh("lead", "sleep 0.1; exit " .. code, { lead = true }),
              S.sh("other", "sleep 60"),
            },
          },
        },
      })
      assert.equal(expected, q.status)
      local t = S.tasks(q)
      assert.equal(expected, t.other.status)
      assert.equal("Lead task finished", t.other.failure_message)
      assert.equal(expected, q.groups[1].status)
    end
  end)

  it("goes on without a task that failed, unless all count", function()
    local function run(ignore)
      return engine:run({
        name = "rest",
        groups = {
          {
            name = "pair",
            ignoreNonleadStatus = ignore,
            tasks = {
              S.sh("lead", "sleep 0.3", { lead = true }),
              S.sh("other", "exit 4"),
            },
          },
        },
      })
    end
    local q = run(true)
    assert.equal("COMPLETED", q.status)
    assert.equal("FAILED", S.tasks(q).other.status)
    q = run(false)
    assert.equal("FAILED", q.status)
    assert.equal("FAILED", S.tasks(q).lead.status)
    assert.equal("Task other Failed.", S.tasks(q).lead.failure_message)
  end)

  it("holds cores for all of its tasks", function()
    local q = engine:run({
      name = "sum",
      resources = { default = { cpu = 2 } },
      groups = {
        {
          name = "pair",
          tasks = { S.sh("a", "sleep 0.3", { lead = true }), S.sh("b", "sleep 0.3") },
        },
        { name = "one", tasks = { S.sh("c", "sleep 0.1") } },
      },
    })
    local g = S.groups(q)
    assert.is_true(g.one.start_time >= g.pair.end_time)
  end)
end)

describe("cancel", function()
  local engine

  before_each(function()
    engine = S.start()
  end)
  after_each(function()
    engine:stop()
  end)

  it("ends what runs and what waits, and uploads nothing", function()
    local id = engine:submit({
      name = "stop",
      tasks = {
        S.sh("now", "echo x > {{output}}/x; sleep 60"),
        S.sh("later", "true", { inputs = { { task = "now" } } }),
      },
    })
    S.eventually(function()
      return S.tasks(engine.client:query(id)).now.status == "RUNNING"
    end)
    local status, body = engine:request("POST", "/api/workflow/" .. id .. "/cancel?message=enough")
    assert.equal(200, status)
    assert.same({ name = id }, body)
    local q = assert(engine.client:wait(id, { timeout = "20s" }))
    assert.equal("FAILED_CANCELED", q.status)
    local t = S.tasks(q)
    assert.equal("FAILED_CANCELED", t.now.status)
    assert.equal("FAILED_CANCELED", t.later.status)
    assert.equal((fs.user()), q.cancelled_by)
    assert.truthy(t.now.failure_message:find("Task was canceled by user: .-%. enough"))
    assert.equal("", q.outputs)
  end)

  it("gives a task the time to end by itself, unless it is forced", function()
    local script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    for _, force in ipairs({ false, true }) do
      local id = engine:submit({ name = "polite", tasks = { S.sh("t", script) } })
      S.eventually(function()
        return engine:log(id):find("[t] up", 1, true)
      end)
      assert(engine.client:cancel(id, { force = force }))
      local q = assert(engine.client:wait(id, { timeout = "20s" }))
      assert.equal("FAILED_CANCELED", q.status)
      assert.equal(not force, engine:log(id):find("[t] bye", 1, true) ~= nil)
    end
  end)

  it("is refused for a run that has ended, unless it is forced", function()
    local q = engine:run({ name = "over", tasks = { S.sh("t", "true") } })
    local status, body = engine:request("POST", "/api/workflow/" .. q.name .. "/cancel")
    assert.equal(400, status)
    assert.equal("USER", body.error_code)
    status = engine:request("POST", "/api/workflow/" .. q.name .. "/cancel?force=true")
    assert.equal(200, status)
    assert.equal("COMPLETED", engine.client:query(q.name).status)
  end)

  it("leaves no process behind", function()
    local mark = "0.7" .. tostring(task.now())
    local id = engine:submit({
      name = "orphans",
      tasks = { S.sh("t", ("setsid sleep 6%s & sleep 6%s"):format(mark, mark)) },
    })
    S.eventually(function()
      return #S.processes("6" .. mark) >= 2
    end)
    assert(engine.client:cancel(id))
    assert(engine.client:wait(id, { timeout = "20s" }))
    assert.same({}, S.processes("6" .. mark))
  end)
end)
