-- Runs as a user starts them: order, side by side, gates, when, each, use, retry, results, limits.
local support = dofile("tests/spec/run/support.lua")
local fs = require("pai.fs")
local pick, position = support.pick, support.position

describe("a run", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function run(body, argv, opts)
    bench:recipe("r", body)
    local command = { "./r.lua" }
    table.move(argv or {}, 1, #(argv or {}), 2, command)
    return bench:run(command, opts)
  end

  local function ended(events)
    return pick(events, "run.end")[1]
  end

  it("journals what it prints, in one numbered sequence", function()
    local events, r = run([[steps = {
      { name = "a", run = function() return { n = 1 } end },
      { name = "b", after = { "a" }, run = function(_, _, got) return { n = got.a.n + 1 } end },
    },]])
    assert.are.equal(0, r.code, r.stderr)
    assert.are.same(bench:journal(events[1].run), events)
    for i, e in ipairs(events) do
      assert.are.equal(i, e.seq)
      assert.are.equal(events[1].run, e.run)
      assert.is_truthy(e.t:find("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$"), e.t)
    end
    assert.are.equal("run.start", events[1].event)
    assert.are.same(
      { { name = "a", after = {} }, { name = "b", after = { "a" } } },
      events[2].steps
    )
    assert.are.same({ n = 2 }, pick(events, "step.done", "b")[1].result)
    assert.are.equal("green", ended(events).status)
  end)

  it("keeps a copy and the digest of every file it loaded", function()
    bench:write("r/lib.lua", "return { n = 1 }\n")
    bench:write("r/late.lua", "return { n = 2 }\n")
    bench:recipe(
      "r",
      'steps = { { name = "a", run = function() return { require("r.late").n, lib.n } end } },',
      'local lib = require("r.lib")'
    )
    local events, r = bench:run({ "./r.lua" })
    assert.are.equal(0, r.code, r.stderr)
    local dir = bench.state .. "/runs/" .. events[1].run .. "/"
    local files = events[1].files
    files[3] = pick(events, "file")[1]
    assert.are.equal(3, #files)
    for _, file in ipairs(files) do
      local copy = fs.read(dir .. file.copy)
      assert.are.equal(fs.read(file.path), copy)
      assert.are.equal(require("pai.crypto").sha256(copy), file.sha256)
    end
  end)

  it("runs independent steps side by side and dependent ones in order", function()
    local events, r = run([[steps = {
      { name = "a", run = function(ctx) ctx.wait("300ms") end },
      { name = "b", run = function(ctx) ctx.wait("300ms") end },
      { name = "c", after = { "a", "b" }, run = function() end },
    },]])
    assert.are.equal(0, r.code, r.stderr)
    -- Each began before the other ended.
    assert.is_true(position(events, "step.start", "a") < position(events, "step.done", "b"))
    assert.is_true(position(events, "step.start", "b") < position(events, "step.done", "a"))
    local c = position(events, "step.start", "c")
    assert.is_true(c > position(events, "step.done", "a"))
    assert.is_true(c > position(events, "step.done", "b"))
  end)

  it("lets a step see results of steps before it, and of no other", function()
    local events, r = run([[steps = {
      { name = "a", run = function() return { n = 1 } end },
      { name = "b", run = function(_, _, got) return { n = got.a.n } end },
    },]])
    assert.are.equal(1, r.code)
    local e = pick(events, "step.fail", "b")[1].error
    assert.is_truthy(e.message:find("step b reads got.a but does not come after it", 1, true))
  end)

  it("gives each step its own copy of inputs and results", function()
    local events, r = run([[
      inputs = { list = { type = "list", default = { "x" } } },
      steps = {
        { name = "a", run = function(_, inp) inp.list[1] = "changed" return { inp = inp } end },
        { name = "b", after = { "a" }, run = function(_, inp, got)
          got.a.inp.list[1] = "again" return { list = inp.list } end },
        { name = "c", after = { "b" }, run = function(_, _, got) return { list = got.b.list } end },
      },]])
    assert.are.equal(0, r.code, r.stderr)
    assert.are.same({ list = { "x" } }, pick(events, "step.done", "c")[1].result)
  end)

  describe("gate", function()
    it("runs all checks before the verdict and stops at red", function()
      local events, r = run([[steps = {
        { name = "preflight", checks = function(ctx)
          return {
            { name = "bad", state = "red", measured = 1, expected = 2, hint = "do that" },
            { name = "slow", run = function() ctx.wait("200ms") return { state = "ok" } end },
            { name = "late", timeout = "50ms", run = function() ctx.wait("10s") end },
            { name = "raises", run = function() error("on purpose") end },
            { name = "silent", run = function() end },
            { name = "odd", state = "fine" },
          }
        end },
        { name = "next", after = { "preflight" }, run = function() end },
      },]])
      assert.are.equal(1, r.code)
      local gate = pick(events, "gate")[1]
      assert.are.equal("red", gate.verdict)
      local states = {}
      for i, check in ipairs(gate.checks) do
        states[i] = check.name .. " " .. check.state
      end
      assert.are.same({
        "bad red",
        "slow ok",
        "late unknown",
        "raises unknown",
        "silent unknown",
        "odd unknown",
      }, states)
      assert.are.equal("no answer within 50ms", gate.checks[3].measured)
      assert.is_truthy(gate.checks[4].measured:find("r.lua:%d+: on purpose"))
      assert.is_nil(position(events, "step.start", "next"))
      assert.are.equal("red", ended(events).status)
      assert.are.equal("step preflight is red", ended(events).reason)
      assert.are.equal(1, ended(events).counters.waiting)
    end)

    it("passes warnings and what was skipped", function()
      local events, r = run([[steps = { { name = "g", checks = {
        { name = "w", run = function() return { state = "warn" } end },
        { name = "s", run = function() return { state = "skipped" } end },
        { name = "t", run = function() return true end },
      } } },]])
      assert.are.equal(0, r.code)
      assert.are.equal("green", pick(events, "gate")[1].verdict)
    end)

    for _, state in ipairs({ "red", "unknown" }) do
      it("blocks when one check is " .. state .. " and all others are ok", function()
        local events, r = run(([[steps = {
          { name = "g", checks = function() return {
            { name = "a", state = "ok" }, { name = "b", state = "%s" } } end },
          { name = "next", after = { "g" }, run = function() end },
        },]]):format(state))
        assert.are.equal(1, r.code)
        assert.are.equal("red", pick(events, "gate")[1].verdict)
        assert.is_nil(position(events, "step.start", "next"))
      end)
    end

    for _, answer in ipairs({ "{}", "nil", "'fine'", "true" }) do
      it("is red when the answer is " .. answer, function()
        local events, r =
          run(('steps = { { name = "g", checks = function() return %s end } },'):format(answer))
        assert.are.equal(1, r.code)
        assert.are.equal("unknown", pick(events, "gate")[1].checks[1].state)
      end)
    end

    it("is red when it raises or does not end", function()
      local events, r = run([[steps = {
        { name = "a", checks = function() error({ code = "EX", message = "no", hint = "h" }) end },
        { name = "b", timeout = "100ms", checks = function(ctx) ctx.wait("10s") end },
      },]])
      assert.are.equal(1, r.code)
      local a, b = pick(events, "gate", "a")[1], pick(events, "gate", "b")[1]
      assert.are.same({ "red", "no", "h" }, { a.verdict, a.checks[1].measured, a.checks[1].hint })
      assert.are.equal("no verdict within 100ms", b.checks[1].measured)
    end)

    it("after a step sees what the step returned", function()
      local events, r = run([[steps = { { name = "a", run = function() return { n = 5 } end,
        verify = function(_, _, got)
          return { name = "n", state = got.a.n == 5 and "ok" or "red", measured = got.a.n }
        end } },]])
      assert.are.equal(0, r.code, r.stderr)
      assert.are.equal(5, pick(events, "gate", "a")[1].checks[1].measured)
    end)

    it("may not act", function()
      local events = run([[
        needs = { bins = { "touch" }, writes = { "." }, hosts = { "127.0.0.1" } },
        steps = { { name = "a", checks = {
          { name = "exec", run = function(ctx) ctx.exec({ "touch", "x" }) return true end },
          { name = "query", run = function(ctx) ctx.query({ "touch", "x" }) return true end },
          { name = "write", run = function(ctx) ctx.write("x", "") return true end },
          { name = "mkdir", run = function(ctx) ctx.fs.mkdir("x") return true end },
          { name = "post", run = function(ctx)
            ctx.http({ url = "http://127.0.0.1:1/", method = "POST" }) return true end },
          { name = "submit", run = function(ctx) ctx.osmo:submit({ spec = "" }) return true end },
        } } },]])
      for _, check in ipairs(pick(events, "gate")[1].checks) do
        assert.are.equal("unknown", check.state, check.name)
        local said = check.measured
        assert.is_truthy(
          said:find("may only observe", 1, true) or said:find("not known as a reading", 1, true),
          said
        )
      end
      assert.is_false(fs.exists(bench.dir .. "/x"))
    end)
  end)

  describe("step", function()
    it("is not run when it is already so, but is still verified", function()
      local events, r = run([[
        needs = { writes = { "." } },
        steps = { { name = "a", done = function() return { n = 1 } end,
          run = function(ctx) ctx.write("ran", "") end,
          verify = function(_, _, got)
            return { { name = "n", state = "ok", measured = got.a.n } } end,
        } },]])
      assert.are.equal(0, r.code, r.stderr)
      assert.are.equal("already", pick(events, "step.done", "a")[1].how)
      assert.is_nil(position(events, "step.start", "a"))
      assert.are.equal(1, pick(events, "gate", "a")[1].checks[1].measured)
      assert.is_false(fs.exists(bench.dir .. "/ran"))
    end)

    it("is left out by when, with the reason", function()
      local events, r = run([[
        inputs = { x = { type = "boolean", default = false } },
        steps = {
          { name = "a", when = function(inp) return inp.x, "x is off" end, run = function() end },
          { name = "b", after = { "a" },
            run = function(_, _, got) return { a = got.a == nil } end },
        },]])
      assert.are.equal(0, r.code, r.stderr)
      assert.are.equal("x is off", pick(events, "step.skip", "a")[1].reason)
      assert.are.same({ a = true }, pick(events, "step.done", "b")[1].result)
      assert.are.equal(1, ended(events).counters.skipped)
    end)

    it("runs once an item, at most `limit` side by side, with results by key", function()
      local events, r = run([[
        steps = {
          { name = "e", limit = 2, each = function()
              local list = {}
              for i = 1, 5 do list[i] = { key = "k" .. i, n = i } end
              return list
            end,
            run = function(ctx, _, _, item)
              ctx.wait("60ms")
              return { twice = item.n * 2, key = ctx.item.key, step = ctx.step }
            end },
          { name = "sum", after = { "e" }, run = function(_, _, got)
            local sum = 0
            for _, v in pairs(got.e) do sum = sum + v.twice end
            return { sum = sum, step = got.e.k3.step } end },
        },]])
      assert.are.equal(0, r.code, r.stderr)
      assert.are.same({ sum = 30, step = "e[k3]" }, pick(events, "step.done", "sum")[1].result)
      local open, most = 0, 0
      for _, e in ipairs(events) do
        if e.event == "step.start" then
          open = open + 1
          most = math.max(most, open)
        elseif e.event == "step.done" then
          open = open - 1
        end
      end
      assert.are.equal(2, most)
      assert.are.same({ "k1", "k2", "k3", "k4", "k5" }, pick(events, "each", "e")[1].keys)
    end)

    it("refuses items without a key, or with one key twice", function()
      local events = run([[steps = {
        { name = "a", each = function() return { {} } end, run = function() end } },]])
      assert.is_truthy(
        pick(events, "step.fail")[1].error.message:find("item 1 needs a `key`", 1, true)
      )
      events = run([[steps = { { name = "a", run = function() end,
        each = function() return { { key = "k" }, { key = "k" } } end } },]])
      assert.is_truthy(
        pick(events, "step.fail")[1].error.message:find("two items have the key k", 1, true)
      )
    end)

    it("stops the other items when one fails", function()
      local events, r = run([[steps = { { name = "a", limit = 1,
        each = function() return { { key = "x" }, { key = "y" } } end,
        run = function(_, _, _, item) error("no " .. item.key) end } },]])
      assert.are.equal(1, r.code)
      assert.is_truthy(position(events, "step.fail", "a[x]"))
      assert.is_nil(position(events, "step.start", "a[y]"))
    end)

    it("repeats only retryable errors, and asks done first", function()
      local events, r = run([[
        needs = { writes = { "." } },
        steps = {
          { name = "a", retry = { times = 3, wait = "10ms" },
            run = function(ctx)
              local n = ctx.fs.exists("n") and #ctx.read("n") or 0
              ctx.write("n", ("x"):rep(n + 1))
              if n < 2 then error({ code = "EX", message = "try again", retryable = true }) end
              return { n = n + 1 }
            end },
          { name = "b", after = { "a" }, retry = 3,
            run = function() error({ code = "EX", message = "final" }) end },
        },]])
      assert.are.equal(1, r.code)
      assert.are.equal(3, #pick(events, "step.start", "a"))
      assert.are.same({ n = 3 }, pick(events, "step.done", "a")[1].result)
      assert.is_true(pick(events, "step.fail", "a")[1].retry)
      assert.are.equal(1, #pick(events, "step.start", "b"))
    end)

    it("takes a result that done finds after a lost answer", function()
      local events, r = run([[
        needs = { writes = { "." } },
        steps = { { name = "a", retry = { times = 3, wait = "10ms" },
          done = function(ctx) return ctx.fs.exists("made") and { found = true } or nil end,
          run = function(ctx)
            ctx.write("made", "")
            error({ code = "ETIMEDOUT", message = "the answer was lost", retryable = true })
          end } },]])
      assert.are.equal(0, r.code, r.stderr)
      assert.are.equal(1, #pick(events, "step.start", "a"))
      assert.are.same({ found = true }, pick(events, "step.done", "a")[1].result)
    end)

    it("ends at its deadline", function()
      local events, r = run([[steps = { { name = "a", timeout = "100ms",
        run = function(ctx) ctx.wait("20s") end } },]])
      assert.are.equal(1, r.code)
      local e = pick(events, "step.fail", "a")[1].error
      assert.are.equal("ETIMEDOUT", e.code)
      assert.are.equal("run of a did not end within 100 ms", e.message)
    end)

    it("names the line of an error", function()
      local events, r = run(
        'steps = { { name = "a", run = function(ctx)\nlocal x = nil\n' .. "return x.y\nend } },"
      )
      assert.are.equal(1, r.code)
      local e = pick(events, "step.fail", "a")[1].error
      assert.are.equal("ERECIPE", e.code)
      assert.is_truthy(e.message:find("^r.lua:6: attempt to index a nil value"), e.message)
    end)

    it("lets steps that run end after another failed, and begins no further one", function()
      local events, r = run([[steps = {
        { name = "bad", run = function() error("no") end },
        { name = "slow", run = function(ctx) ctx.wait("200ms") return { n = 1 } end },
        { name = "after", after = { "slow" }, run = function() end },
      },]])
      assert.are.equal(1, r.code)
      assert.is_truthy(position(events, "step.done", "slow"))
      assert.is_nil(position(events, "step.start", "after"))
    end)
  end)

  describe("result", function()
    local function failure(code, opts)
      local events, r = run(
        ([[
        inputs = { hf = { type = "secret", env = "HF_TOKEN", optional = true } },
        steps = { { name = "a", run = function(ctx, inp) %s end } },]]):format(code),
        nil,
        opts
      )
      assert.are.equal(1, r.code)
      return pick(events, "step.fail", "a")[1].error.message
    end

    it("is plain data, and an error names the key that is not", function()
      assert.are.equal(
        "the result of step a, key x.y: is a function, not plain data",
        failure("return { x = { y = function() end } }")
      )
      assert.are.equal(
        "the result of step a, key x: is not a finite number",
        failure("return { x = 0 / 0 }")
      )
      assert.are.equal(
        "the result of step a, key x: is a list with holes",
        failure("return { x = { 1, nil, 3 } }")
      )
      assert.are.equal(
        "the result of step a, key x: is not UTF-8 text; give a file and its digest",
        failure("return { x = '\\xff' }")
      )
    end)

    it("is at most 256 KiB", function()
      local message = failure("return { x = ('y'):rep(300000) }")
      assert.is_truthy(message:find("bytes, more than 262144; give a file and its digest", 1, true))
    end)

    it("that holds a secret is an error that names the key", function()
      local value = "canary" .. require("pai.crypto").hex(8)
      bench:write("leak", "x " .. value .. " y")
      local message =
        failure("return { x = { y = ctx.read('leak') } }", { env = { HF_TOKEN = value } })
      assert.are.equal("the result of step a, key x.y: holds a secret", message)
    end)

    it("may be a handle, which is journalled as its source and opened for later steps", function()
      local value = "canary" .. require("pai.crypto").hex(8)
      local events, r = run(
        [[
        inputs = { hf = { type = "secret", env = "HF_TOKEN" } },
        steps = {
          { name = "a", run = function(_, inp) return { token = inp.hf } end },
          { name = "b", after = { "a" }, run = function(_, inp, got)
            return { same = got.a.token:equals(inp.hf), text = tostring(got.a.token) } end },
        },]],
        nil,
        { env = { HF_TOKEN = value } }
      )
      assert.are.equal(0, r.code, r.stderr)
      assert.are.same(
        { token = { ["$secret"] = "env:HF_TOKEN" } },
        pick(events, "step.done", "a")[1].result
      )
      assert.are.same({ same = true, text = "***" }, pick(events, "step.done", "b")[1].result)
    end)
  end)

  describe("with a used recipe", function()
    local function component(action, body)
      bench:write(
        "components/k8s/component.lua",
        'return { api = 1, name = "k8s", title = "K", summary = "S.",\n'
          .. '  inputs = { size = { type = "integer" } } }\n'
      )
      bench:write(("components/k8s/%s.lua"):format(action), "return {\n" .. body .. "\n}\n")
    end

    it("names its steps by the outer one and gives on what it returns", function()
      component(
        "deploy",
        [[
        safety = "observes",
        returns = { url = { type = "string", from = "wait.url" } },
        steps = {
          { name = "apply", run = function(ctx, inp) return { n = inp.size, r = ctx.recipe } end },
          { name = "wait", after = { "apply" },
            run = function(ctx, _, got) return { url = "u" .. got.apply.n, step = ctx.step } end },
        },]]
      )
      local events, r = run([[steps = {
        { name = "first", run = function() return { n = 3 } end },
        { name = "cluster", after = { "first" }, use = "k8s.deploy",
          with = function(_, got) return { size = got.first.n } end },
        { name = "last", after = { "cluster" },
          run = function(_, _, got) return { cluster = got.cluster } end },
      },]])
      assert.are.equal(0, r.code, r.stderr)
      assert.are.same(
        { n = 3, r = "k8s.deploy" },
        pick(events, "step.done", "cluster/apply")[1].result
      )
      assert.are.equal("cluster/wait", pick(events, "step.done", "cluster/wait")[1].result.step)
      assert.are.same({ cluster = { url = "u3" } }, pick(events, "step.done", "last")[1].result)
    end)

    it("leaves all of it out by when", function()
      component("deploy", 'safety = "observes", steps = { { name = "a", run = function() end } },')
      local events, r = run([[steps = {
        { name = "cluster", use = "k8s.deploy", when = function() return false, "not here" end },
        { name = "last", after = { "cluster" }, run = function() end },
      },]])
      assert.are.equal(0, r.code, r.stderr)
      assert.are.equal("not here", pick(events, "step.skip", "cluster/a")[1].reason)
      assert.is_truthy(position(events, "step.done", "last"))
    end)

    it("stops with a name when an input of it is missing", function()
      component("deploy", 'safety = "observes", steps = { { name = "a", run = function() end } },')
      local events, r = run('steps = { { name = "cluster", use = "k8s.deploy" } },')
      assert.are.equal(1, r.code)
      assert.are.equal(
        "step cluster: k8s.deploy needs size; give size in `with`",
        pick(events, "step.fail")[1].error.message
      )
      -- What the recipe around it has as an input is the user's to give.
      events = run([[inputs = { size = { type = "integer", optional = true } },
        steps = { { name = "cluster", use = "k8s.deploy",
          with = function(inp) return { size = inp.size } end } },]])
      assert.are.equal(
        "step cluster: k8s.deploy needs size; pass size=",
        pick(events, "step.fail")[1].error.message
      )
    end)
  end)

  it("shows an estimate before the first step, and heartbeats", function()
    local events, r = run(
      [[
      estimate = function() return { { name = "all", min = "1s", max = "90s" } } end,
      steps = { { name = "a", run = function(ctx)
        ctx.heartbeat({ state = "polling", observation = "3 of 5", next = "in 5 s" })
        ctx.heartbeat({ state = "polling", observation = "3 of 5", next = "in 5 s" })
        ctx.wait("400ms")
      end } },]],
      nil,
      { env = { PAI_HEARTBEAT = "150ms" } }
    )
    assert.are.equal(0, r.code, r.stderr)
    assert.are.same(
      { { name = "all", min_s = 1.0, max_s = 90.0 } },
      pick(events, "estimate")[1].phases
    )
    assert.is_true(position(events, "estimate") < position(events, "step.start"))
    local beats = pick(events, "heartbeat", "a")
    assert.is_true(#beats >= 2 and #beats <= 4, #beats .. " heartbeats")
    for _, beat in ipairs(beats) do
      assert.are.equal("3 of 5", beat.observation)
      assert.are.equal("in 5 s", beat.next)
    end
  end)

  it("waits for a condition, and says what it waited for in vain", function()
    local events, r = run([[
      steps = {
        { name = "a", run = function(ctx)
          local n = 0
          return { n = ctx.wait(function()
            n = n + 1 return n == 3 and n or nil end, { every = "10ms" }) }
        end },
        { name = "b", run = function(ctx)
          ctx.wait(function() end, { every = "10ms", timeout = "50ms", what = "the moon" }) end },
      },]])
    assert.are.equal(1, r.code)
    assert.are.same({ n = 3 }, pick(events, "step.done", "a")[1].result)
    assert.is_truthy(
      pick(events, "step.fail", "b")[1].error.message:find("waiting for the moon", 1, true)
    )
    assert.are.equal("waiting for the moon", pick(events, "heartbeat", "b")[1].observation)
  end)

  it("prints media once, as a line of its own", function()
    bench:write("v.mp4", "x")
    bench:recipe(
      "r",
      [[steps = { { name = "a", run = function(ctx)
      ctx.media("v.mp4") ctx.media("./v.mp4") end } },]]
    )
    local r = bench:pai({ "run", "./r.lua" })
    local line = "\nMEDIA:" .. bench.dir .. "/v.mp4\n"
    local _, stop = r.stdout:find(line, 1, true)
    assert.is_truthy(stop, r.stdout)
    assert.is_nil(r.stdout:find("MEDIA:", stop, true))
    local events
    events, r = bench:run({ "./r.lua" })
    assert.are.equal(0, r.code)
    assert.are.equal(bench.dir .. "/v.mp4", pick(events, "media")[1].path)
  end)

  it("ends with a recap of stable counters", function()
    bench:recipe(
      "r",
      [[steps = {
      { name = "a", run = function() end },
      { name = "b", done = function() return {} end, run = function() end },
      { name = "c", when = function() return false end, run = function() end },
    },]]
    )
    local r = bench:pai({ "run", "./r.lua" })
    local last = r.stdout:match("([^\n]+)\n$")
    assert.is_truthy(
      last:find(
        "^recap run%-%x+ green done=1 already=1 kept=0 skipped=1 red=0 "
          .. "failed=0 stopped=0 waiting=0 time=%d+%.%ds$"
      ),
      last
    )
  end)

  it("draws the recipe's report after a red run too", function()
    local events, r = run([[
      report = function(_, _, got)
        return { title = "Mine", notices = { "n = " .. tostring(got.a and got.a.n) } }
      end,
      steps = {
        { name = "a", run = function() return { n = 7 } end },
        { name = "b", after = { "a" }, run = function() error("no") end },
      },]])
    assert.are.equal(1, r.code)
    local path = pick(events, "report")[1].path
    assert.is_truthy(fs.read(path):find("n = 7", 1, true))
    assert.is_true(position(events, "report") > position(events, "run.end"))
  end)

  it("does not change the verdict for a report that fails", function()
    local events, r = run([[
      report = function() error("no report") end,
      steps = { { name = "a", run = function() end } },]])
    assert.are.equal(0, r.code)
    assert.is_truthy(pick(events, "log")[1].text:find("no report", 1, true))
  end)
end)
