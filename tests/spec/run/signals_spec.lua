-- Interruption: what a signal does to the run, to its steps and to their programs.
local support = dofile("tests/spec/run/support.lua")
local json = require("pai.json")
local task = require("pai.task")
local pick, position = support.pick, support.position

describe("a signal", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  -- Starts the recipe and waits until `ready` is there.
  local function start(steps)
    bench:recipe(
      "r",
      'safety = "changes", needs = { bins = { "sh" }, writes = { "." } },\n' .. steps
    )
    local proc = bench:start({ "run", "./r.lua", "--json" })
    support.eventually(function()
      return #bench:lines("ready") > 0
    end, "the step runs")
    return proc
  end

  local function finish(proc)
    local r = assert(proc:wait("20s"))
    return support.events(r.stdout), r
  end

  -- A program that writes down each signal it gets and ends at the one named.
  local function trap(last)
    return ([=[steps = {
      { name = "a", run = function(ctx) ctx.exec({ "sh", "-c", [[
          trap "echo INT >> signals; test %s = INT && exit 0" INT
          trap "echo TERM >> signals; test %s = TERM && exit 0" TERM
          echo x >> ready
          while :; do sleep 0.05; done]] }) return { n = 1 } end },
      { name = "b", after = { "a" }, run = function() end },
    },]=]):format(last, last)
  end

  it("SIGINT reaches the program once, and no further step begins", function()
    local proc = start(trap("INT"))
    proc:kill("INT")
    local events, r = finish(proc)
    assert.are.equal(130, r.code)
    assert.are.same({ "INT" }, bench:lines("signals"))
    -- What ended by itself is kept.
    assert.are.same({ n = 1 }, pick(events, "step.done", "a")[1].result)
    assert.is_nil(position(events, "step.start", "b"))
    local last = pick(events, "run.end")[1]
    assert.are.same({ "interrupted", 130, "SIGINT" }, { last.status, last.code, last.reason })
    assert.are.same(events, bench:journal(events[1].run))
    events, r = bench:resume(events[1].run)
    assert.are.equal(0, r.code, r.stderr)
    assert.is_nil(position(events, "step.start", "a"))
  end)

  it("a second one sends TERM", function()
    local proc = start(trap("TERM"))
    proc:kill("INT")
    support.eventually(function()
      return #bench:lines("signals") == 1
    end, "the first was heard")
    proc:kill("INT")
    local _, r = finish(proc)
    assert.are.equal(130, r.code)
    assert.are.equal("INT", bench:lines("signals")[1])
    assert.are.equal("TERM", bench:lines("signals")[2])
  end)

  it("a third one sends KILL", function()
    local proc = start(trap("nothing"))
    for i = 1, 3 do
      proc:kill("INT")
      support.eventually(function()
        return i == 3 or #bench:lines("signals") >= i
      end, "signal " .. i .. " was heard")
    end
    local _, r = finish(proc)
    assert.are.equal(130, r.code)
  end)

  for _, case in ipairs({ { "TERM", "SIGTERM" }, { "HUP", "SIGHUP" } }) do
    it(case[2] .. " ends with 143", function()
      local proc = start(trap("TERM"))
      proc:kill(case[1])
      local events, r = finish(proc)
      assert.are.equal(143, r.code)
      assert.are.equal(case[2], pick(events, "run.end")[1].reason)
      assert.are.same({ "TERM" }, bench:lines("signals"))
    end)
  end

  it("stops a step that waits for no program at once", function()
    local proc = start([[steps = { { name = "a", run = function(ctx)
      ctx.write("ready", "x") ctx.wait("60s") end } },]])
    proc:kill("INT")
    local events, r = finish(proc)
    assert.are.equal(130, r.code)
    local last = pick(events, "run.end")[1]
    assert.are.equal("interrupted", last.status)
    assert.are.same({ 0, 1 }, { last.counters.failed, last.counters.stopped })
    assert.are.equal("ECANCELED", pick(events, "step.fail", "a")[1].error.code)
  end)

  it("stops a step that catches the cancellation and loops", function()
    local proc = start([[steps = { { name = "a", run = function(ctx)
      ctx.write("ready", "x")
      while true do pcall(ctx.wait, "10s") end end } },]])
    proc:kill("INT")
    local _, r = finish(proc)
    assert.are.equal(130, r.code)
  end)

  it("lets no new program start", function()
    local proc = start([[steps = { { name = "a", run = function(ctx)
      pcall(ctx.exec, { "sh", "-c", "echo x >> ready; sleep 30" })
      pcall(ctx.exec, { "sh", "-c", "echo y >> ready" }) end } },]])
    proc:kill("INT")
    finish(proc)
    assert.are.same({ "x" }, bench:lines("ready"))
  end)

  it("before the run begins ends pai at once", function()
    bench:write("r.lua", "while true do end\n")
    for signal, code in pairs({ INT = 130, TERM = 143 }) do
      local proc = bench:start({ "run", "./r.lua" }, { PAI_READ_TIMEOUT = "30s" })
      task.sleep("300ms")
      proc:kill(signal)
      local r, e = proc:wait("5s")
      local ended = r and r.code or e.signal == "SIG" .. signal and code
      assert.are.equal(code, ended)
    end
  end)

  it("by `pai runs cancel` ends the run and calls the cancel functions, last first", function()
    local proc = start([[steps = {
      { name = "a", run = function() return { id = 7 } end,
        cancel = function(ctx, _, got)
          ctx.exec({ "sh", "-c", 'echo "a $1" >> cancelled', "sh", tostring(got.a.id) }) end },
      { name = "b", after = { "a" }, run = function(ctx)
          ctx.write("ready", "x") ctx.wait("60s") end,
        cancel = function(ctx, _, got)
          ctx.exec({ "sh", "-c", 'echo "b $1" >> cancelled', "sh", tostring(got.b) }) end },
      { name = "c", after = { "b" }, run = function() end,
        cancel = function(ctx) ctx.exec({ "sh", "-c", "echo c >> cancelled" }) end },
    },]])
    local r = bench:pai({ "runs", "cancel", "last" })
    assert.are.equal(0, r.code, r.stderr .. r.stdout)
    assert.are.equal(143, (proc:wait("10s")).code)
    assert.are.same({ "b nil", "a 7" }, bench:lines("cancelled"))
    local brief = json.decode(bench:pai({ "runs", "--json" }).stdout).runs[1]
    assert.are.same({ "interrupted", "cancelled" }, { brief.status, brief.reason })
  end)

  it("by `pai runs cancel` also ends the work of a run that was killed, by its copy", function()
    bench:recipe(
      "r",
      [[safety = "changes", needs = { bins = { "sh" } },
      steps = { { name = "a", run = function() end,
        cancel = function(ctx) ctx.exec({ "sh", "-c", "echo a >> cancelled" }) end } },]]
    )
    local events = bench:run({ "./r.lua" }, { env = { PAI_TEST_KILL = "step.start:a" } })
    bench:write("r.lua", "return 'something else'\n")
    local r = bench:pai({ "runs", "cancel", events[1].run, "--json" })
    assert.are.equal(0, r.code, r.stderr)
    assert.are.same({ "a" }, bench:lines("cancelled"))
    local all = support.events(r.stdout)
    assert.are.equal("a", pick(all, "cancel")[1].step)
  end)

  it("also ends a step whose task had not begun yet", function()
    task.run(function()
      local node, ran = { name = "a" }, false
      local run = {
        tasks = {},
        live = {},
        changed = task.event(),
        children = { live = {}, close = function() end, signal = function() end },
        log = function() end,
      }
      -- Its turn comes in the very moment of the signal.
      function run:stop()
        self.tasks[node] = task.spawn(function()
          ran = true
        end)
      end
      local remove = require("pai.run.signals").install(run)
      assert(require("pai.exec").run({ "/bin/sh", "-c", 'kill -s TERM "$PPID"' }))
      assert.is_true(run.changed:wait("30s"))
      remove()
      assert.is_nil(next(run.tasks))
      assert.is_false(ran)
      assert.are.equal("SIGTERM", run.interrupted)
    end)
  end)

  it("by `pai runs cancel` says when there is nothing to cancel", function()
    bench:recipe("r", 'steps = { { name = "a", run = function() end } },')
    bench:run({ "./r.lua" })
    local r = bench:pai({ "runs", "cancel", "last" })
    assert.are.equal(0, r.code)
    assert.is_truthy(r.stdout:find("nothing to cancel, it ended green", 1, true), r.stdout)
  end)
end)
