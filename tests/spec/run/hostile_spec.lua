-- A recipe that never ends, in each way that Lua allows, while it loads and in a step; one that
-- eats memory; one that reaches for what is not there. Deadlines and watchdog are shortened by the
-- documented variables.
local support = dofile("tests/spec/run/support.lua")
local fs = require("pai.fs")
local pick = support.pick

local ENV <const> = { PAI_READ_TIMEOUT = "500ms", PAI_WATCHDOG = "3s", PAI_MEMORY = "64" }

-- Ways that pre-emption can stop.
local LOOPS <const> = {
  { "a plain loop", "while true do end" },
  { "a loop that catches errors", "while true do pcall(function() while true do end end) end" },
  { "a coroutine that spins", "coroutine.wrap(function() while true do end end)()" },
  {
    "resumes that spin",
    "while true do coroutine.resume(coroutine.create(function() coroutine.yield() end)) end",
  },
  { "calls that never return", "local function f() return f() end f()" },
  {
    "a metamethod that loops",
    "local t = setmetatable({}, { __index = function() while true do end end }) local _ = t.x",
  },
  {
    "a closing variable that loops",
    "local x <close> = setmetatable({}, { __close = function() while true do end end })",
  },
  { "code made by load", "load('while true do end')()" },
}

-- What only the watchdog ends.
local STUCK <const> = {
  { "a pattern that backtracks", 'string.find(("a"):rep(40) .. "b", ("a*"):rep(40) .. "c")' },
}

describe("a hostile recipe", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function at_load(code)
    bench:recipe("r", 'steps = { { name = "a", run = function() end } },', "do " .. code .. " end")
    return bench:run({ "./r.lua" }, { env = ENV, timeout = "30s" })
  end

  local function in_step(code, what)
    bench:recipe(
      "r",
      ([[
      steps = {
        { name = "a", timeout = "400ms", %s = function() %s end %s },
        { name = "other", run = function(ctx) ctx.wait("100ms") return { n = 1 } end },
      },]]):format(
        what or "run",
        code,
        what and what ~= "checks" and ", run = function() end" or ""
      )
    )
    return bench:run({ "./r.lua" }, { env = ENV, timeout = "30s" })
  end

  for _, case in ipairs(LOOPS) do
    it("is stopped at load: " .. case[1], function()
      local events, r = at_load(case[2])
      assert.are.equal(1, r.code, r.stderr)
      assert.is_truthy(r.stderr:find("does it loop for ever?", 1, true), r.stderr)
      assert.are.equal("failed", pick(events, "run.end")[1].status)
      assert.is_false(fs.exists(bench.state .. "/runs"))
    end)

    it("is stopped in a step, and others go on: " .. case[1], function()
      local events, r = in_step(case[2])
      assert.are.equal(1, r.code, r.stderr)
      local e = pick(events, "step.fail", "a")[1].error
      assert.are.equal("ETIMEDOUT", e.code)
      assert.are.same({ n = 1 }, pick(events, "step.done", "other")[1].result)
      assert.are.equal("failed", pick(events, "run.end")[1].status)
    end)
  end

  it("is stopped in done, when, each, with and checks", function()
    local loop = "while true do end"
    for _, what in ipairs({ "done", "when", "each" }) do
      local events, r = in_step(loop, what)
      assert.are.equal(1, r.code, what)
      assert.are.equal("ETIMEDOUT", pick(events, "step.fail", "a")[1].error.code, what)
    end
    local events, r = in_step(loop, "checks")
    assert.are.equal(1, r.code)
    assert.are.equal("no verdict within 400ms", pick(events, "gate", "a")[1].checks[1].measured)
  end)

  it("is stopped in the list of steps, in locks and in estimate", function()
    bench:recipe("r", "steps = function() while true do end end,")
    local _, r = bench:run({ "./r.lua" }, { env = ENV })
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stderr:find("the list of steps did not end within 500ms", 1, true), r.stderr)
    bench:recipe(
      "r",
      [[locks = function() while true do end end,
      steps = { { name = "a", run = function() end } },]]
    )
    _, r = bench:run({ "./r.lua" }, { env = ENV })
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stderr:find("locks did not end within 500ms", 1, true), r.stderr)
  end)

  for _, case in ipairs(STUCK) do
    it("is ended by the watchdog at load, by name: " .. case[1], function()
      local _, r = at_load(case[2])
      assert.are.equal(1, r.code)
      assert.is_truthy(r.stderr:find(bench.dir .. "/r.lua", 1, true), r.stderr)
      assert.is_truthy(r.stderr:find("held the host", 1, true), r.stderr)
    end)

    it("is ended by the watchdog in a step, and the run can be resumed: " .. case[1], function()
      local code = 'if not ctx.fs.exists("go") then ' .. case[2] .. " end"
      bench:recipe(
        "r",
        ('steps = { { name = "a", run = function(ctx) %s return { n = 1 } end } },'):format(code)
      )
      local events, r = bench:run({ "./r.lua" }, { env = ENV, timeout = "30s" })
      assert.are.equal(1, r.code)
      assert.is_truthy(r.stderr:find("held the host", 1, true), r.stderr)
      bench:write("go", "")
      events, r = bench:resume(events[1].run)
      assert.are.equal(0, r.code, r.stderr)
      assert.are.same({ n = 1 }, pick(events, "step.done", "a")[1].result)
    end)
  end

  local eaters = {
    { "one huge string", 'local s = ("x"):rep(2 ^ 30)' },
    {
      "a table without end",
      'local t = {} while true do t[#t + 1] = ("x"):rep(2 ^ 10):rep(2 ^ 6) end',
    },
    { "a string that doubles", 'local s = "x" while true do s = s .. s end' },
  }
  for _, case in ipairs(eaters) do
    it("is stopped when it eats memory: " .. case[1], function()
      local _, r = at_load(case[2])
      assert.are.equal(1, r.code)
      assert.is_truthy(r.stderr:find("not enough memory", 1, true), r.stderr)
      local events
      events, r = in_step(case[2])
      assert.are.equal(1, r.code, r.stderr)
      local e = pick(events, "step.fail", "a")[1].error
      assert.is_truthy(e.message:find("not enough memory", 1, true), e.message)
      assert.are.same({ n = 1 }, pick(events, "step.done", "other")[1].result)
    end)
  end

  it("is refused os.execute in a step, with its line", function()
    local events, r = in_step("os.execute('touch acted')")
    assert.are.equal(1, r.code)
    local message = pick(events, "step.fail", "a")[1].error.message
    assert.are.equal(
      "r.lua:5: os.execute does not exist in a recipe: use ctx.exec, or ctx.query to observe",
      message
    )
    assert.is_false(fs.exists(bench.dir .. "/acted"))
  end)

  describe("is refused by its needs", function()
    local function refused(needs, code)
      bench:recipe(
        "r",
        ([[
        inputs = { out = { type = "path", default = "out" } },
        needs = { %s },
        steps = { { name = "a", run = function(ctx, inp) %s end } },]]):format(needs, code)
      )
      local events, r = bench:run({ "./r.lua" })
      assert.are.equal(1, r.code)
      local e = pick(events, "step.fail", "a")[1].error
      assert.are.equal("EACCES", e.code, e.message)
      return e.message, e.hint
    end

    it("a program", function()
      local message, hint = refused('bins = { "ffmpeg" }', 'ctx.exec({ "ffmepg" })')
      assert.are.equal("r: needs.bins does not name 'ffmepg' (did you mean 'ffmpeg'?)", message)
      assert.are.equal("add it to needs.bins of r", hint)
      refused("", 'ctx.exec({ "/bin/sh", "-c", "touch acted" })')
      refused('bins = { "sh" }', 'ctx.exec({ "./sh" })')
      refused('bins = { "sh" }', 'ctx.exec({ "sh", "-c", "true" }, { stdout = { file = "x" } })')
      refused('bins = { "sh" }', 'ctx.exec({ "sh", "-c", "true" }, { inherit_env = true })')
    end)

    it("a file", function()
      refused('writes = { "@out" }', 'ctx.write("elsewhere", "x")')
      refused('writes = { "@out" }', 'ctx.write("out/../elsewhere", "x")')
      refused('writes = { "@out" }', 'ctx.fs.rename("out/a", "b")')
      refused('writes = { "@out" }', 'ctx.fs.copy("r.lua", "b")')
      refused('writes = { "@out" }', 'ctx.fs.remove("r.lua")')
      refused('writes = { "@out" }', 'ctx.read(".env")')
      assert(fs.mkdir(bench.dir .. "/out"))
      assert(fs.symlink("/tmp", bench.dir .. "/out/link"))
      refused('writes = { "@out" }', 'ctx.write("out/link/pai-spec-file", "x")')
      assert.is_false(fs.exists(bench.dir .. "/elsewhere"))
    end)

    it("a host", function()
      local get = 'ctx.http({ url = "%s" })'
      refused('hosts = { "example.test" }', get:format("http://127.0.0.1:1/"))
      refused('hosts = { "example.test" }', get:format("http://example.test@127.0.0.1:1/"))
      refused('hosts = { "example.test" }', get:format("http://example.test.evil.test/"))
      refused('hosts = { "127.0.0.1:80" }', get:format("http://127.0.0.1:81/"))
      refused("", 'ctx.http({ url = "http://x/", unix_socket = "/run/x" })')
      refused('hosts = { "127.0.0.1" }', 'ctx.http({ url = "http://127.0.0.1:1/", follow = 5 })')
    end)

    it("a reading command that is none", function()
      refused('bins = { "git" }', 'ctx.query({ "git", "push" })')
      refused('bins = { "git" }', 'ctx.query({ "git", "diff", "--output=x" })')
      refused("", 'ctx.query({ "git", "status" })')
      refused('reads = { "sh -c true" }', 'ctx.query({ "sh", "-c", "false" })')
    end)
  end)

  it("may do what its needs name", function()
    bench:recipe(
      "r",
      [[
      inputs = { out = { type = "path", default = "out" } },
      needs = { bins = { "sh", "git" }, writes = { "@out" },
        reads = { "echo a", { "echo", "b" } } },
      steps = { { name = "a", run = function(ctx, inp)
        ctx.fs.mkdir("out/deep")
        ctx.write("out/deep/x", "text")
        ctx.fs.copy("out/deep/x", "out/y")
        ctx.exec({ "sh", "-c", "echo hi" }, { stdout = { file = "out/z" } })
        ctx.write(ctx.run_dir .. "/own", "x")
        ctx.query({ "git", "--version" })
        return { a = ctx.query({ "echo", "a", "c" }).stdout, b = ctx.query({ "echo", "b" }).stdout,
          list = ctx.fs.list("out"), z = ctx.read("out/z"), sum = ctx.fs.digest("out/y"),
          code = ctx.exec({ "sh", "-c", "exit 3" }, { accept = { 3 } }).code }
      end } },]]
    )
    local events, r = bench:run({ "./r.lua" })
    assert.are.equal(0, r.code, r.stderr .. r.stdout)
    assert.are.same({
      a = "a c\n",
      b = "b\n",
      list = { "deep", "y", "z" },
      z = "hi\n",
      sum = require("pai.crypto").sha256("text"),
      code = 3,
    }, pick(events, "step.done", "a")[1].result)
  end)

  describe("and secrets", function()
    local value = "canary-" .. require("pai.crypto").hex(12)

    local function run(code, decl)
      bench:recipe(
        "r",
        ([[
        inputs = { hf = { type = "secret", env = "HF_TOKEN" %s } },
        needs = { bins = { "sh", "env" }, writes = { "." }, hosts = { "127.0.0.1" } },
        steps = { { name = "a", run = function(ctx, inp) %s end } },]]):format(
          decl or "",
          code
        )
      )
      local events, r = bench:run({ "./r.lua" }, { env = { HF_TOKEN = value } })
      assert.is_nil((r.stdout .. r.stderr):find(value, 1, true))
      for _, path in ipairs(fs.walk(bench.state)) do
        assert.is_nil(fs.read(bench.state .. "/" .. path):find(value, 1, true), path)
      end
      local fail = pick(events, "step.fail", "a")[1]
      return fail and fail.error.message, pick(events, "step.done", "a")[1], r
    end

    it("gives one only to the programs and hosts that its input names", function()
      local exec = 'ctx.exec({ "sh", "-c", "true" }, { env = { T = inp.hf } })'
      assert.is_truthy(run(exec):find("the secret 'hf' may not be given to sh", 1, true))
      assert.is_nil((run(exec, ', bins = { "sh" }')))
      local stdin = 'ctx.exec({ "sh", "-c", "true" }, { stdin = inp.hf })'
      assert.is_truthy(run(stdin):find("the secret 'hf' may not be given to sh", 1, true))
      for _, where in ipairs({ "bearer = inp.hf", "body = inp.hf", "headers = { x = inp.hf }" }) do
        local http = ('ctx.http({ url = "http://127.0.0.1:1/", %s })'):format(where)
        assert.is_truthy(run(http):find("may not be given to http://127.0.0.1:1/", 1, true))
      end
    end)

    it("masks what a program prints of one, and what an error says", function()
      local code =
        'return { out = ctx.exec({ "sh", "-c", "echo $T" }, { env = { T = inp.hf } }).stdout }'
      local _, done = run(code, ', bins = { "sh" }')
      assert.are.same({ out = "***\n" }, done.result)
      code = 'ctx.exec({ "sh", "-c", "echo $T >&2; exit 1" }, { env = { T = inp.hf } })'
      assert.is_truthy(run(code, ', bins = { "sh" }'))
    end)

    it("refuses one in an argument, and in a file that is written", function()
      assert.is_truthy(run('ctx.exec({ "sh", "-c", inp.hf })', ', bins = { "sh" }'))
      bench:write("leak", value)
      local env = run('ctx.exec({ "env" }, { env = { T = "x" .. ctx.read("leak") } })')
      assert.is_truthy(env:find("variable T is text that holds a secret", 1, true), env)
      local message = run('ctx.write("copy", ctx.read("leak"))')
      assert.is_truthy(message:find("the text holds a secret", 1, true), message)
      assert.is_false(fs.exists(bench.dir .. "/copy"))
    end)

    it("opens declared inputs only", function()
      local message = run('ctx.secret("hff")')
      assert.are.equal("no secret input 'hff' is declared (did you mean 'hf'?)", message)
      local _, done = run('return { same = ctx.secret("hf"):equals(inp.hf) }')
      assert.are.same({ same = true }, done.result)
    end)
  end)
end)
