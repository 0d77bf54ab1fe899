-- Leases: one owner at a time, who that is, and when an owner is gone.
local support = dofile("tests/spec/run/support.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local lease = require("pai.run.lease")
local task = require("pai.task")

describe("a lease", function()
  local bench, path

  before_each(function()
    bench = support.new()
    path = bench.dir .. "/lease"
  end)

  after_each(function()
    bench:remove()
  end)

  local function leave(fields)
    local owner = lease.me("run-other", "r")
    for k, v in pairs(fields) do
      owner[k] = v
    end
    assert(fs.write(path, json.encode(owner)))
    return owner
  end

  it("is taken, refused to another, and free again", function()
    local one = assert(lease.take(path, "run run-1", lease.me("run-1", "r")))
    local held, owner = lease.is_held(path)
    assert.is_true(held)
    assert.are.equal("run-1", owner.run)
    local two, e = lease.take(path, "run run-1", lease.me("run-1", "r"))
    assert.is_nil(two)
    assert.are.equal("ELEASE", e.code)
    local message = "^run run%-1 is held by run%-1 %(r%), pid %d+ of [%w_-]+ on [%w_.-]+, since %d"
    assert.is_truthy(e.message:find(message), e.message)
    one:release()
    assert.is_false((lease.is_held(path)))
    assert(lease.take(path, "x", lease.me("run-2"))):release()
  end)

  it("is waited for while nobody is named, since an owner just comes or goes", function()
    local lock = assert(fs.lock(path))
    task.run(function()
      task.spawn(function()
        task.sleep("50ms")
        lock:release()
      end)
      assert(lease.take(path, "x", lease.me("run-1"))):release()
    end)
  end)

  it("is given up at the end of its scope", function()
    do
      local _ <close> = assert(lease.take(path, "x", lease.me("run-1")))
    end
    assert.is_false((lease.is_held(path)))
  end)

  it("of a process that is gone, of another boot, or with a reused pid is free", function()
    local cases = {
      { boot = "00000000-0000-0000-0000-000000000000" },
      { start_time = lease.me("x").start_time + 1 },
      { pid = 2 ^ 22 - 1 | 0 },
    }
    for _, fields in ipairs(cases) do
      leave(fields)
      assert.is_false((lease.is_held(path)))
      assert(lease.take(path, "x", lease.me("run-1"))):release()
    end
  end)

  it("of another machine is not broken, and the hint says what to do", function()
    leave({ host = "elsewhere" })
    assert.is_true((lease.is_held(path)))
    local one, e = lease.take(path, "x", lease.me("run-1"))
    assert.is_nil(one)
    assert.are.equal("ELEASE", e.code)
    assert.are.equal("if elsewhere is gone for good, remove " .. path, e.hint)
    assert(fs.remove(path))
    assert(lease.take(path, "x", lease.me("run-1"))):release()
  end)

  local WAITS = [[steps = { { name = "a", run = function(ctx)
    ctx.write(ctx.run_id, "x")
    ctx.wait(function() return ctx.fs.exists("go") or nil end, { every = "20ms" }) end } },]]

  it("on a run id refuses a second run with exit code 4", function()
    bench:recipe("r", 'needs = { writes = { "." } }, ' .. WAITS)
    local first = bench:start({ "run", "./r.lua", "--run-id", "run-one" })
    support.eventually(function()
      return fs.exists(bench.dir .. "/run-one")
    end, "the first runs")
    local events, r = bench:run({ "./r.lua", "--run-id", "run-one" })
    assert.are.equal(4, r.code)
    local who = ("run run-one is held by run-one (r), pid %d of"):format(first.pid)
    assert.is_truthy(r.stderr:find(who, 1, true), r.stderr)
    assert.is_truthy(r.stderr:find("hint: pai runs watch run-one", 1, true), r.stderr)
    assert.are.equal(4, support.pick(events, "run.end")[1].code)
    bench:write("go", "")
    assert.are.equal(0, first:wait("20s").code)
    -- Its id is taken for good.
    r = select(2, bench:run({ "./r.lua", "--run-id", "run-one" }))
    assert.are.equal(2, r.code)
    assert.is_truthy(r.stderr:find("there is a run run-one already", 1, true), r.stderr)
  end)

  it("on what a run changes refuses another run of it", function()
    local function recipe(name, what)
      local locks = ('locks = function() return { "media:/srv/%s" } end,'):format(what)
      bench:recipe(name, locks .. 'needs = { writes = { "." } },' .. WAITS)
    end
    recipe("r", "a")
    recipe("s", "a")
    recipe("t", "b")
    local first = bench:start({ "run", "./r.lua", "--run-id", "run-one" })
    support.eventually(function()
      return fs.exists(bench.dir .. "/run-one")
    end, "the first runs")
    local _, r = bench:run({ "./s.lua" })
    assert.are.equal(4, r.code)
    assert.is_truthy(r.stderr:find("media:/srv/a is held by run-one (r)", 1, true), r.stderr)
    bench:write("go", "")
    _, r = bench:run({ "./t.lua" })
    assert.are.equal(0, r.code, r.stderr)
    assert.are.equal(0, first:wait("20s").code)
    _, r = bench:run({ "./s.lua" })
    assert.are.equal(0, r.code, r.stderr)
  end)

  it("of a killed run is free for its resume", function()
    bench:recipe("r", 'steps = { { name = "a", run = function() end } },')
    local events = bench:run({ "./r.lua" }, { env = { PAI_TEST_KILL = "step.start:a" } })
    assert.is_false((lease.is_held(bench.state .. "/runs/" .. events[1].run .. "/lease")))
    local _, r = bench:resume(events[1].run)
    assert.are.equal(0, r.code, r.stderr)
  end)

  it("waits for what a killed owner was just starting", function()
    leave({ pid = 4194303 })
    local holder = assert(exec.start({ "flock", path, "sleep", "0.5" }))
    support.eventually(function()
      local lock = fs.lock(path)
      if lock then
        lock:release()
      end
      return not lock
    end, "the lock of the other process")
    local taken = assert(lease.take(path, "run x", lease.me("run-x", "r")))
    taken:release()
    assert(holder:wait("20s"))
  end)
end)
