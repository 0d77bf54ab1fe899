-- ctx.finally: the clean-up comes whatever becomes of the work.
local support = dofile("tests/spec/run/support.lua")
local fs = require("pai.fs")

describe("ctx.finally", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function recipe(work, clean, more)
    bench:recipe(
      "r",
      ([[safety = "changes", needs = { writes = { "." } },
      steps = { { name = "s", %s run = function(ctx)
        return ctx.finally(function() %s end, function() %s end)
      end } }]]):format(more or "", work, clean)
    )
  end

  it("gives what the work gives, after the clean-up", function()
    recipe([[ctx.write("a", "1") return { n = 1 }]], [[ctx.write("b", ctx.read("a"))]])
    local events, r = bench:run({ "./r.lua" })
    assert.are.equal(0, r.code, r.stderr)
    assert.are.equal(1, support.pick(events, "step.done")[1].result.n)
    assert.are.equal("1", fs.read(bench.dir .. "/b"))
  end)

  it("cleans up after an error and tells that one, also if the clean-up fails", function()
    recipe([[error("broken", 0)]], [[ctx.write("b", "x")]])
    local _, r = bench:run({ "./r.lua" })
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("broken", 1, true))
    assert.are.equal("x", fs.read(bench.dir .. "/b"))
    recipe([[error("broken", 0)]], [[error("stuck", 0)]])
    local events = bench:run({ "./r.lua" })
    assert.are.equal("broken", support.pick(events, "step.fail")[1].error.message)
    local said = {}
    for _, event in ipairs(support.pick(events, "log", "s")) do
      said[#said + 1] = event.text
    end
    assert.is_truthy(table.concat(said, "\n"):find("the clean-up failed too: stuck", 1, true))
    recipe([[return {}]], [[error("stuck", 0)]])
    events = bench:run({ "./r.lua" })
    assert.are.equal("stuck", support.pick(events, "step.fail")[1].error.message)
  end)

  it("cleans up at a deadline", function()
    recipe([[ctx.wait("60s")]], [[ctx.wait("50ms") ctx.write("b", "x")]], 'timeout = "200ms",')
    local _, r = bench:run({ "./r.lua" })
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("did not end within", 1, true), r.stdout)
    assert.are.equal("x", fs.read(bench.dir .. "/b"))
  end)

  it("cleans up when the run is interrupted", function()
    recipe([[ctx.write("a", "1") ctx.wait("60s")]], [[ctx.wait("50ms") ctx.write("b", "x")]])
    local proc = bench:start({ "run", "./r.lua" })
    support.eventually(function()
      return fs.exists(bench.dir .. "/a")
    end, "the work")
    proc:kill("SIGTERM")
    local r = proc:wait("30s")
    assert.are.equal(143, r.code)
    assert.are.equal("x", fs.read(bench.dir .. "/b"))
  end)

  it("is refused where only looking is allowed", function()
    bench:recipe(
      "r",
      [[steps = { { name = "s", checks = function(ctx)
        return ctx.finally(function() return {} end, function() end)
      end } }]]
    )
    local r = bench:pai({ "check", "./r.lua" })
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("ctx.finally acts", 1, true), r.stdout)
  end)
end)
