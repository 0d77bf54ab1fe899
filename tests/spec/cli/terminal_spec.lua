-- The commands on a terminal: questions and their answers, the live view, colours.
local support = dofile("tests/spec/run/support.lua")
local exec = require("pai.exec")

describe("on a terminal, the command line", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function says(r, part, stream)
    local output = stream and r[stream] or r.stdout .. r.stderr
    assert.is_truthy(output:find(part, 1, true), ("'%s' is not in:\n%s"):format(part, output))
  end

  -- Runs a command line in a terminal of its own; the screen's bytes.
  local function in_terminal(command, env)
    local all = { PAI_STATE = bench.state, TERM = "xterm", LC_ALL = "C.UTF-8" }
    for k, v in pairs(env or {}) do
      all[k] = v
    end
    local r = assert(exec.run({ "script", "-qec", command, "/dev/null" }, {
      cwd = bench.dir,
      env = all,
      stdin = env and env.stdin or "null",
      accept = "any",
      timeout = "30s",
    }))
    return r.stdout, r.code
  end

  it("asks on a terminal, value by value", function()
    bench:recipe(
      "r",
      [[inputs = { a = { type = "integer", doc = "How many." } },
      steps = { { name = "a", run = function(ctx, inp) ctx.log("a is " .. inp.a) end } },]]
    )
    local screen, code = in_terminal(pai.exe .. " run ./r.lua", { stdin = "42\n" })
    assert.are.equal(0, code, screen)
    assert.is_truthy(screen:find("a (How many.): ", 1, true), screen)
    assert.is_truthy(screen:find("a is 42", 1, true), screen)
  end)

  it("shows what can be answered, and asks again after a slip, a few times", function()
    bench:recipe(
      "r",
      [[inputs = { a = { type = "enum", values = { "near", "far" }, doc = "Where." },
        b = { type = "boolean" } },
      steps = { { name = "a", run = function(ctx, inp)
        ctx.log(inp.a .. " and " .. tostring(inp.b)) end } },]]
    )
    local screen, code = in_terminal(pai.exe .. " run ./r.lua", { stdin = "faar\nfar\ntrue\n" })
    assert.are.equal(0, code, screen)
    assert.is_truthy(screen:find("a (Where. near | far): ", 1, true), screen)
    assert.is_truthy(screen:find("not 'faar' (did you mean 'far'?)", 1, true), screen)
    assert.is_truthy(screen:find("b (true | false): ", 1, true), screen)
    assert.is_truthy(screen:find("far and true", 1, true), screen)
    screen, code = in_terminal(pai.exe .. " run ./r.lua", { stdin = "x\ny\nz\nfar\ntrue\n" })
    assert.are.equal(2, code, screen)
  end)

  it("asks no more once the input has ended", function()
    bench:recipe(
      "r",
      [[inputs = { a = { type = "string" }, b = { type = "string" } },
      steps = { { name = "a", run = function() end } },]]
    )
    local screen, code = in_terminal(pai.exe .. " run ./r.lua", { stdin = "\4" })
    assert.are.equal(3, code, screen)
    assert.is_nil(screen:find("b: ", 1, true), screen)
    assert.is_truthy(screen:find("USER_INPUT_REQUIRED: a (string); b (string)", 1, true), screen)
  end)

  it("asks on a terminal before steps that destroy", function()
    bench:recipe(
      "r",
      [[safety = "destroys",
      steps = { { name = "drop", run = function() end } },]]
    )
    local screen, code = in_terminal(pai.exe .. " run ./r.lua", { stdin = "no\n" })
    assert.are.equal(1, code, screen)
    assert.is_truthy(screen:find("These steps destroy: drop.", 1, true), screen)
    assert.is_truthy(screen:find("not confirmed; nothing was changed", 1, true), screen)
    assert.is_nil(screen:find("USER_INPUT_REQUIRED", 1, true), screen)
    screen, code = in_terminal(pai.exe .. " run ./r.lua", { stdin = "\4" })
    assert.are.equal(3, code, screen)
    assert.is_truthy(screen:find("USER_INPUT_REQUIRED: these steps destroy", 1, true), screen)
    screen, code = in_terminal(pai.exe .. " run ./r.lua", { stdin = "yes\n" })
    assert.are.equal(0, code, screen)
  end)

  it("shows the graph live on a terminal, never wider than it, with a recap at the end", function()
    bench:recipe(
      "r",
      ([[steps = {
      { name = "gate", checks = function() return { { name = "c", state = "ok" } } end },
      { name = "work", after = { "gate" }, run = function(ctx)
        ctx.heartbeat({ state = "x", observation = "%s" }) ctx.wait("500ms") end },
      { name = "left", when = function() return false, "no need" end, run = function() end },
      { name = "last", after = { "work" }, run = function() end },
    },]]):format(("日本 wide "):rep(30))
    )
    local screen, code = in_terminal("stty cols 50 rows 20; " .. pai.exe .. " run ./r.lua")
    assert.are.equal(0, code, screen)
    for _, part in ipairs({ "▸", "✓", "\27[32m", "\27[J", "work", "no need", "recap run-" }) do
      assert.is_truthy(screen:find(part, 1, true), part)
    end
    local text = require("pai.text")
    for line in screen:gmatch("[^\r\n]+") do
      if line:find("wide", 1, true) then
        local visible = line:gsub("\27%[[%d;]*%a", "")
        assert.is_true(text.width(visible) < 50, visible)
      end
    end
    local plain = in_terminal(
      "stty cols 50 rows 20; " .. pai.exe .. " run ./r.lua",
      { NO_COLOR = "1", LC_ALL = "C" }
    )
    assert.is_nil(plain:find("\27[32m", 1, true))
    assert.is_nil(plain:find("▸", 1, true))
  end)

  it("prints plain lines where there is no terminal, without colours", function()
    bench:recipe("r", 'steps = { { name = "a", run = function() end } },')
    local r = bench:pai({ "run", "./r.lua" })
    assert.is_nil(r.stdout:find("\27", 1, true))
    says(r, "start   a\ndone    a ")
    local screen = in_terminal(pai.exe .. " run ./r.lua --plain")
    assert.is_nil(screen:find("\27[J", 1, true))
  end)
end)
