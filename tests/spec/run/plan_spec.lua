-- Plan: what it says of each step, its digest, and that it changes nothing at all.
local support = dofile("tests/spec/run/support.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")

local BODY = [[
  safety = "destroys",
  inputs = { n = { type = "integer", default = 1 }, x = { type = "boolean", default = false } },
  needs = { bins = { "sh", "git" }, writes = { "." }, hosts = { "@osmo" } },
  estimate = function() return { { name = "all", min = "1m", max = "2m" } } end,
  steps = {
    { name = "checks", checks = function(ctx)
      return { { name = "git", state = "ok", measured = ctx.query({ "git", "--version" }).stdout },
        { name = "planning", state = ctx.planning and "ok" or "red" } } end },
    { name = "made", after = { "checks" }, done = function(ctx)
        return ctx.fs.exists("made") and { n = 1 } or nil end,
      run = function(ctx) ctx.write("made", "") return { n = 1 } end },
    { name = "submit", after = { "made" }, done = function(_, _, got)
        return got.made.n == 2 and {} or nil end,
      run = function(ctx) ctx.write("submitted", "") end },
    { name = "fetch", after = { "submit" }, done = function(_, _, got) return got.submit.id end,
      run = function() end },
    { name = "left", after = { "made" }, when = function(inp) return inp.x, "x is off" end,
      run = function() end },
    { name = "items", after = { "checks" },
      each = function() return { { key = "a" }, { key = "b" } } end,
      done = function(_, _, _, item) return item.key == "a" and {} or nil end,
      run = function() end },
    { name = "later", after = { "submit" }, each = function(_, _, got) return got.submit.list end,
      run = function() end },
    { name = "drop", after = { "submit" }, safety = "destroys", run = function() end },
  },
]]

describe("plan", function()
  local bench

  before_each(function()
    bench = support.new()
    bench:recipe("r", BODY)
  end)

  after_each(function()
    bench:remove()
  end)

  local function plan(argv)
    local command = { "plan", "./r.lua", "--json" }
    table.move(argv or {}, 1, #(argv or {}), 4, command)
    local r = bench:pai(command)
    local value = json.decode(r.stdout)
    local states = {}
    for _, entry in ipairs(value.steps or {}) do
      states[entry.step] = entry.state .. (entry.why and ": " .. entry.why or "")
    end
    return states, value, r
  end

  it("says of each step what it would be", function()
    local states, value, r = plan()
    assert.are.equal(0, r.code, r.stderr)
    assert.are.same({
      checks = "green",
      made = "would run",
      submit = "unknown: unknown until made has run",
      fetch = "unknown: unknown until submit has run",
      left = "left out: x is off",
      items = "would run",
      later = "unknown: unknown until submit has run",
      drop = "would run",
    }, states)
    assert.are.same({ { name = "all", min_s = 60.0, max_s = 120.0 } }, value.estimate)
    assert.are.equal("local", value.target)
    bench:write("made", "")
    states = plan()
    assert.are.equal("already", states.made)
    assert.are.equal("would run", states.submit)
    assert.are.equal("unknown: unknown until submit has run", states.fetch)
  end)

  it("takes no gate for red that a step before it may make green", function()
    bench:recipe(
      "r",
      [[safety = "changes", needs = { writes = { "." } }, steps = {
        { name = "make", run = function(ctx) ctx.write("made", "") end },
        { name = "gate", after = { "make" }, checks = function(ctx)
            return { { name = "made", state = ctx.fs.exists("made") and "ok" or "red" } } end },
        { name = "looks", after = { "gate" }, run = function() end,
          done = function() error("there is no such thing yet") end },
        { name = "first", checks = function() return { { name = "x", state = "red" } } end },
        { name = "last", after = { "first" }, checks = function()
            return { { name = "y", state = "red" } } end },
      }]]
    )
    local states, value, r = plan()
    assert.are.same({
      make = "would run",
      gate = "unknown: unknown until make has run",
      looks = "unknown: unknown until make has run",
      first = "red",
      last = "red",
    }, states)
    assert.are.equal(1, r.code)
    assert.is_nil(value.steps[2].checks)
    bench:write("made", "")
    assert.are.equal("unknown: unknown until make has run", (plan()).looks)
    assert.are.equal("green", (plan()).gate)
  end)

  it("shows items of each", function()
    local _, value = plan()
    for _, entry in ipairs(value.steps) do
      if entry.step == "items" then
        assert.are.same(
          { { key = "a", state = "already" }, { key = "b", state = "would run" } },
          entry.items
        )
      end
    end
  end)

  it("is red, and ends 1, when a check is", function()
    bench:recipe(
      "r",
      [[steps = {
      { name = "a", checks = function() return { { name = "c", state = "red" } } end },
      { name = "b", after = { "a" }, run = function() end } },]]
    )
    local states, _, r = plan()
    assert.are.equal(1, r.code)
    assert.are.same({ a = "red", b = "would run" }, states)
  end)

  it("prints the same for people", function()
    local r = bench:pai({ "plan", "./r.lua" })
    assert.are.equal(0, r.code)
    for _, part in ipairs({
      "plan r: T (destroys, target local)\n",
      "takes about 1m 00s to 2m 00s\n",
      "green     checks\n",
      "would run made    destroys\n",
      "left out  left    x is off\n",
      "          items[a]: already\n",
      "would run drop    destroys\n",
      "destroys: made, submit, fetch, left, items, later, drop\n",
    }) do
      assert.is_truthy(r.stdout:find(part, 1, true), part .. "\nnot in\n" .. r.stdout)
    end
  end)

  it("asks for what is missing, and refuses what is unknown", function()
    bench:recipe("r", 'inputs = { n = { type = "integer" } }, ' .. [[
      steps = { { name = "a", run = function() end } },]])
    local _, _, r = plan()
    assert.are.equal(3, r.code)
    assert.is_truthy(r.stderr:find("^USER_INPUT_REQUIRED: n %(integer%)"), r.stderr)
    _, _, r = plan({ "m=1" })
    assert.are.equal(2, r.code)
  end)

  it("gives a digest that run takes, and refuses another", function()
    bench:recipe(
      "r",
      [[inputs = { n = { type = "integer", default = 1 } },
      steps = { { name = "a", run = function() end } },]]
    )
    local _, value = plan()
    local _, again = plan()
    assert.are.equal(value.digest, again.digest)
    local events, r = bench:run({ "./r.lua", "--plan", value.digest })
    assert.are.equal(0, r.code, r.stderr)
    assert.are.equal(value.digest, events[1].digest)
    _, r = bench:run({ "./r.lua", "n=2", "--plan", value.digest })
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stderr:find("files, inputs, target or steps differ", 1, true), r.stderr)
    bench:recipe(
      "r",
      [[inputs = { n = { type = "integer", default = 1 } },
      steps = { { name = "b", run = function() end } },]]
    )
    _, r = bench:run({ "./r.lua", "--plan", value.digest })
    assert.are.equal(1, r.code)
  end)

  it("answers for steps that destroy, which else need --yes", function()
    bench:recipe(
      "r",
      [[safety = "destroys", needs = { writes = { "." } },
      steps = { { name = "drop", run = function(ctx) ctx.write("dropped", "") end } },]]
    )
    local events, r = bench:run({ "./r.lua" })
    assert.are.equal(3, r.code)
    assert.is_truthy(
      r.stderr:find("USER_INPUT_REQUIRED: these steps destroy: drop", 1, true),
      r.stderr
    )
    assert.are.equal("input_required", support.pick(events, "run.end")[1].status)
    assert.is_false(fs.exists(bench.dir .. "/dropped"))
    local _, value = plan()
    _, r = bench:run({ "./r.lua", "--plan", value.digest })
    assert.are.equal(0, r.code, r.stderr)
    _, r = bench:run({ "./r.lua", "--yes" })
    assert.are.equal(0, r.code, r.stderr)
  end)

  it("changes nothing: no file in the tree or the state folder", function()
    bench:run({ "./r.lua", "--yes" })
    fs.remove(bench.dir .. "/submitted")
    local tree, state = support.picture(bench.dir), support.picture(bench.state)
    local _, _, r = plan()
    assert.are.equal(0, r.code, r.stderr)
    assert.are.equal(tree, support.picture(bench.dir))
    assert.are.equal(state, support.picture(bench.state))
    local fresh = bench.root .. "/fresh"
    r = bench:pai({ "plan", "./r.lua", "--state", fresh })
    assert.are.equal(0, r.code, r.stderr)
    assert.is_false(fs.exists(fresh))
  end)

  it("makes no system call that changes something, and starts nothing but queries", function()
    local out = bench.root .. "/trace"
    local argv = {
      "strace",
      "-f",
      "-qq",
      "-e",
      "trace=%file,execve,ftruncate,bind,connect",
      "-o",
      out,
      pai.exe,
      "plan",
      "./r.lua",
    }
    local env = { PAI_STATE = bench.state }
    local r, e = exec.run(argv, { cwd = bench.dir, env = env, timeout = "60s" })
    if not r and e.code == "ENOENT" then
      pending("strace is not installed")
      return
    end
    assert.is_truthy(r, tostring(e))
    local changing = {
      "mkdir",
      "rmdir",
      "unlink",
      "rename",
      "link%(",
      "symlink",
      "chmod",
      "chown",
      "truncate",
      "mknod",
      "bind",
      "connect",
      "setxattr",
      "utime",
    }
    local programs = {}
    for line in fs.read(out):gmatch("[^\n]+") do
      if not line:find("ENOENT", 1, true) then
        for _, call in ipairs(changing) do
          assert.is_nil(line:find("%d+ +" .. call), line)
        end
        if line:find("O_WRONLY", 1, true) or line:find("O_RDWR", 1, true) then
          assert.is_truthy(line:find('"/dev/', 1, true), line)
        end
        assert.is_nil(line:find("O_CREAT", 1, true), line)
      end
      local program = line:match('execve%("([^"]+)".* = 0$')
      programs[#programs + 1] = program
    end
    for _, program in ipairs(programs) do
      local name = fs.basename(program)
      assert.is_truthy(name == "pai" or name == "git" or name == "exe", program)
    end
  end)
end)
