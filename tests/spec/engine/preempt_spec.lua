-- LOW runs make room for those of a higher priority, as the exit actions for 3006 say.
local S = dofile("tests/spec/engine/support.lua")
local fs = require("pai.fs")
local task = require("pai.task")

local NVIDIA_SMI <const> = [=[
#!/bin/sh
echo "0, GPU-00000000-0000-0000-0000-000000000000, Stand-in, 46068"
echo "1, GPU-00000000-0000-0000-0000-000000000001, Stand-in, 46068"
]=]

local POOLS <const> = [[
pools:
  local: {}
  again: {max_retry_per_task: 1, default_exit_actions: {RESCHEDULE: "3006"}}
]]

describe("preemption", function()
  local dir, engine

  setup(function()
    dir = assert(fs.tempdir({ prefix = "pai-preempt-" }))
    assert(fs.write(dir .. "/pools.yaml", POOLS))
    assert(fs.mkdir(dir .. "/bin"))
    assert(fs.write(dir .. "/bin/nvidia-smi", NVIDIA_SMI, { mode = "0755" }))
  end)
  after_each(function()
    engine:stop()
  end)
  teardown(function()
    fs.remove(dir, { recursive = true })
  end)

  local function env(point)
    return {
      PAI_ENGINE_POOLS = dir .. "/pools.yaml",
      PAI_ENGINE_CORES = "3",
      PAI_ENGINE_MEMORY = "64Gi",
      PAI_TEST_KILL = point,
      PATH = dir .. "/bin:" .. os.getenv("PATH"),
    }
  end

  local function submit(name, priority, script, more)
    more = more or {}
    return engine:submit({
      name = name,
      resources = { default = { cpu = more.cpu or 1, gpu = more.gpu } },
      tasks = { S.sh("t", script, more.task) },
    }, { priority = priority, pool = more.pool })
  end

  local function state(id)
    return engine.client:query(id)
  end

  local function running(id)
    S.eventually(function()
      return state(id).status == "RUNNING"
    end)
    return id
  end

  local function ended(id)
    return assert(engine.client:wait(id, { every = "20ms", timeout = "60s" }))
  end

  local function tries(id)
    local _, q = engine:request("GET", "/api/workflow/" .. id .. "?verbose=true")
    return q.groups[1].tasks
  end

  it("ends the youngest LOW run, and no more than is needed", function()
    engine = S.start({ env = env() })
    local old = running(submit("old", "LOW", "sleep 600"))
    local normal = running(submit("normal", "NORMAL", "sleep 600"))
    local young = running(submit("young", "LOW", "echo > {{output}}/x; sleep 600"))
    local waiting = submit("waiting", "LOW", "sleep 600")
    local high = running(submit("high", "HIGH", "sleep 600"))
    local q = ended(young)
    assert.equal("FAILED_PREEMPTED", q.status)
    local t = S.tasks(q).t
    assert.equal("FAILED_PREEMPTED", t.status)
    assert.equal(3006, t.exit_code)
    assert.truthy(t.failure_message:find("higher priority", 1, true))
    -- What it had made is not kept.
    assert.equal("", q.outputs)
    local _, events = engine:request("GET", "/api/workflow/" .. young .. "/events")
    assert.truthy(events:find("Preempted", 1, true), events)
    for _, id in ipairs({ old, normal, high }) do
      assert.equal("RUNNING", state(id).status, id)
    end
    assert.equal("PENDING", state(waiting).status)
    -- Only LOW runs make room, and only for others.
    local third = running(submit("third", "NORMAL", "sleep 600"))
    assert.equal("FAILED_PREEMPTED", ended(old).status)
    local fourth = submit("fourth", "HIGH", "sleep 600")
    task.sleep("300ms")
    assert.equal("PENDING", state(fourth).status)
    assert.equal("RUNNING", state(normal).status)
    assert.equal("RUNNING", state(third).status)
  end)

  it("puts a run back into the queue, before younger ones, if its exit actions say so", function()
    engine = S.start({ env = env() })
    local script = "test -e {{output}}/x && exit 9; echo > {{output}}/x; "
      .. "echo try; test -e /tmp/none; sleep 2; exit 0"
    local low = running(submit("low", "LOW", script, { cpu = 3, pool = "again" }))
    local later = submit("later", "LOW", "true", { cpu = 3 })
    local high = submit("high", "HIGH", "sleep 0.3", { cpu = 3 })
    assert.equal("COMPLETED", ended(high).status)
    local q = ended(low)
    assert.equal("COMPLETED", q.status, engine:log(low))
    local all = tries(low)
    assert.equal(2, #all)
    assert.equal(1, all[1].retry_id)
    assert.equal("RESCHEDULED", all[2].status)
    assert.equal(3006, all[2].exit_code)
    local after = ended(later)
    assert.is_true(after.start_time >= q.end_time)
  end)

  it("counts the tries, and asks a task's own exit actions first", function()
    engine = S.start({ env = env() })
    local more = { cpu = 3, pool = "again" }
    local low = running(submit("low", "LOW", "sleep 600", more))
    ended(submit("one", "NORMAL", "true", { cpu = 3 }))
    S.eventually(function()
      return tries(low)[1].retry_id == 1 and state(low).status == "RUNNING"
    end)
    ended(submit("two", "NORMAL", "true", { cpu = 3 }))
    assert.equal("FAILED_PREEMPTED", ended(low).status)
    more.task = { exitActions = { FAIL = "3006" } }
    low = running(submit("low", "LOW", "sleep 600", more))
    ended(submit("three", "NORMAL", "true", { cpu = 3 }))
    assert.equal("FAILED_PREEMPTED", ended(low).status)
    assert.equal(1, #tries(low))
  end)

  it("frees GPUs", function()
    engine = S.start({ env = env() })
    local one = running(submit("one", "LOW", "sleep 600", { gpu = 1 }))
    local none = running(submit("none", "LOW", "sleep 600"))
    local both = ended(submit("both", "NORMAL", "true", { gpu = 2 }))
    assert.equal("COMPLETED", both.status)
    assert.equal("FAILED_PREEMPTED", ended(one).status)
    assert.equal("RUNNING", state(none).status)
  end)

  it("is why LOW runs count for no quota", function()
    engine = S.start({ env = env() })
    running(submit("low", "LOW", "sleep 600", { gpu = 1 }))
    local sum = select(2, engine:request("GET", "/api/pool_quota")).resource_sum
    assert.equal("0", sum.quota_used)
    assert.equal("2", sum.quota_free)
    assert.equal("1", sum.total_usage)
    assert.equal("1", sum.total_free)
  end)

  it("ends nothing where that would not help", function()
    engine = S.start({ env = env() })
    local normal = running(submit("normal", "NORMAL", "sleep 600", { gpu = 1 }))
    local low = running(submit("low", "LOW", "sleep 600"))
    local both = submit("both", "HIGH", "true", { gpu = 2 })
    task.sleep("300ms")
    assert.equal("PENDING", state(both).status)
    assert.equal("RUNNING", state(low).status)
    assert.equal("RUNNING", state(normal).status)
  end)

  it("gives way to a cancel that comes meanwhile", function()
    engine = S.start({ env = env() })
    local low = submit("low", "LOW", "trap '' TERM; echo up; while :; do sleep 0.1; done", {
      cpu = 3,
      pool = "again",
    })
    S.eventually(function()
      return engine:log(low):find("[t] up", 1, true)
    end)
    submit("high", "HIGH", "true", { cpu = 3 })
    S.eventually(function()
      local _, events = engine:request("GET", "/api/workflow/" .. low .. "/events?pai_follow=false")
      return events:find("Preempted", 1, true)
    end)
    assert(engine.client:cancel(low, { force = true }))
    local q = ended(low)
    assert.equal("FAILED_CANCELED", q.status)
    assert.equal("FAILED_CANCELED", S.tasks(q).t.status)
  end)

  for point, verdict in pairs({
    ["before:preempt"] = "FAILED_BACKEND_ERROR",
    ["after:preempt"] = "FAILED_PREEMPTED",
    ["before:finish"] = "FAILED_PREEMPTED",
  }) do
    it("comes to its end when the engine is killed " .. point, function()
      engine = S.start({ env = env(point) })
      local low = running(submit("low", "LOW", "sleep 600", { cpu = 3 }))
      local high = submit("high", "HIGH", "true", { cpu = 3 })
      assert(engine.proc:wait("30s") ~= nil or fs.process(engine.proc.pid) == nil)
      engine:boot({ env = env() })
      local q = ended(low)
      assert.equal(verdict, q.status)
      assert.equal(verdict == "FAILED_PREEMPTED" and 3006 or 3001, S.tasks(q).t.exit_code)
      -- It may have begun by then.
      local began = point == "before:finish" and S.tasks(state(high)).t.start_time ~= nil
      assert.equal(began and "FAILED_BACKEND_ERROR" or "COMPLETED", ended(high).status)
    end)
  end

  for _, point in ipairs({ "after:preempt", "before:requeue", "after:requeue" }) do
    it("puts the run back all the same when the engine is killed " .. point, function()
      engine = S.start({ env = env(point) })
      local script = "echo try; test -e {{input:0}}/go || sleep 600"
      local inputs = { { url = "file://" .. dir .. "/in" } }
      fs.remove(dir .. "/in", { recursive = true })
      assert(fs.mkdir(dir .. "/in"))
      assert(engine:request("POST", "/api/pai/roots", { json = { roots = { dir } } }))
      local low = running(
        submit("low", "LOW", script, { cpu = 3, pool = "again", task = { inputs = inputs } })
      )
      local high = submit("high", "HIGH", "true", { cpu = 3 })
      assert(engine.proc:wait("30s") ~= nil or fs.process(engine.proc.pid) == nil)
      assert(fs.write(dir .. "/in/go", ""))
      engine:boot({ env = env() })
      assert.truthy(ended(high).end_time)
      assert.equal("COMPLETED", ended(low).status)
      assert.equal(1, tries(low)[1].retry_id)
      assert.equal(3006, tries(low)[2].exit_code)
    end)
  end
end)
