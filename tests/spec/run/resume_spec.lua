-- A killed run goes on: at every boundary of the journal and in the middle of each step, with every
-- effect counted in a file.
local support = dofile("tests/spec/run/support.lua")
local fs = require("pai.fs")
local json = require("pai.json")
local task = require("pai.task")
local pick, position = support.pick, support.position

-- Each step appends its name to the file `effects`; `done` looks for it there.
local BODY = [[
  safety = "changes",
  needs = { bins = { "sh" }, writes = { "." } },
  steps = {
    { name = "preflight", checks = function() return { { name = "x", state = "ok" } } end },
    effect("submit", { "preflight" }),
    effect("fetch", { "submit" }),
    { name = "items", after = { "fetch" }, limit = 1,
      each = function() return { { key = "x" }, { key = "y" } } end,
      done = function(ctx, _, _, item) return seen(ctx, "items-" .. item.key) end,
      run = function(ctx, _, _, item) return act(ctx, "items-" .. item.key) end },
    { name = "sum", after = { "items" }, run = function(ctx, _, got)
      return { submit = got.submit.name, x = got.items.x.name, resumed = ctx.resumed } end,
      verify = function(_, _, got)
        return { { name = "s", state = got.sum.submit == "submit" and "ok" or "red" } } end },
  },
]]
local BEFORE = [[
local function seen(ctx, name)
  local text = ctx.fs.exists("effects") and ctx.read("effects") or ""
  return ("\n" .. text):find("\n" .. name .. "\n", 1, true) and { name = name } or nil
end
local function act(ctx, name)
  local script = 'echo "$1" >> effects; test "$(cat hold)" != "$1" || sleep 20'
  ctx.exec({ "sh", "-c", script, "sh", name })
  return { name = name }
end
local function effect(name, after)
  return {
    name = name, after = after,
    done = function(ctx) return seen(ctx, name) end,
    run = function(ctx) return act(ctx, name) end,
    verify = function(ctx)
      return { { name = "there", state = seen(ctx, name) and "ok" or "red" } }
    end,
  }
end
]]
local EFFECTS = { "submit", "fetch", "items-x", "items-y" }

describe("resume", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function recipe()
    return bench:recipe("r", BODY, BEFORE)
  end

  -- The journal's boundaries as a whole run has them: "step.start:submit".
  local function boundaries()
    recipe()
    local events, r = bench:run({ "./r.lua" })
    assert.are.equal(0, r.code, r.stderr)
    local list, seen = {}, {}
    for _, e in ipairs(events) do
      local at = e.step and e.event .. ":" .. e.step or e.event
      if not seen[at] then
        seen[at] = true
        list[#list + 1] = at
      end
    end
    return list
  end

  local function finishes(id, at)
    local events, r = bench:resume(id)
    assert.are.equal(0, r.code, at .. ": " .. r.stderr)
    assert.are.same(EFFECTS, bench:lines("effects"), at)
    return events
  end

  it("finishes a run that was killed at any line of its journal", function()
    local list = boundaries()
    assert.is_true(#list > 18, table.concat(list, " "))
    for _, at in ipairs(list) do
      fs.remove(bench.dir .. "/effects")
      local _, r = bench:run({ "./r.lua" }, { env = { PAI_TEST_KILL = at } })
      assert.are.equal("SIGKILL", r.signal, at)
      local id = json.decode(bench:pai({ "runs", "--json" }).stdout).runs[1].run
      local before = bench:journal(id)
      local events = finishes(id, at)
      if at == "run.end" then
        assert.are.equal("ended green before", events[1].reason)
      else
        -- What was finished is not begun again.
        for _, e in ipairs(before) do
          if e.event == "step.done" then
            assert.is_nil(position(events, "step.start", e.step), at .. " repeats " .. e.step)
          end
        end
        assert.are.equal(before[#before].seq + 1, events[1].seq, at)
        local whole = bench:journal(id)
        for i, e in ipairs(whole) do
          assert.are.equal(i, e.seq)
        end
      end
    end
  end)

  it("finishes a run that was killed in the middle of any step, and ends what was left", function()
    for _, name in ipairs(EFFECTS) do
      fs.remove(bench.dir .. "/effects")
      recipe()
      bench:write("hold", name)
      local proc = bench:start({ "run", "./r.lua", "--json" })
      support.eventually(function()
        local lines = bench:lines("effects")
        return lines[#lines] == name
      end, name .. " has run")
      local id = json.decode(bench:pai({ "runs", "--json" }).stdout).runs[1].run
      -- The program may be faster than the line that says it was started.
      local child
      support.eventually(function()
        for _, e in ipairs(bench:journal(id)) do
          child = e.event == "child" and e or child
        end
        return child
      end, name .. " is in the journal")
      proc:kill("KILL")
      proc:wait("10s")
      fs.remove(bench.dir .. "/hold")
      finishes(id, name)
      support.eventually(function()
        local p = fs.process(child.pid)
        return not p or p.start_time ~= child.start_time or p.state == "Z"
      end, "the child of the killed run ended")
    end
  end)

  it("ends a leftover child of a killed run before it goes on", function()
    recipe()
    local _, r = bench:run({ "./r.lua" }, { env = { PAI_TEST_KILL = "step.start:fetch" } })
    assert.are.equal("SIGKILL", r.signal)
    local id = json.decode(bench:pai({ "runs", "--json" }).stdout).runs[1].run
    -- A process as an earlier session would have left it, where no parent-death signal reached it.
    local exec = require("pai.exec")
    local pid = assert(exec.detach({ "sleep", "60" }))
    local events = bench:journal(id)
    local line = {
      event = "child",
      t = events[#events].t,
      run = id,
      seq = events[#events].seq + 1,
      step = "fetch",
      pid = pid,
      start_time = fs.process(pid).start_time,
      argv0 = "sleep",
    }
    local path = bench.state .. "/runs/" .. id .. "/journal.jsonl"
    assert(fs.append(path, json.encode(line) .. "\n"))
    -- The same pid with another start time is somebody else.
    line.seq, line.start_time = line.seq + 1, line.start_time + 1
    assert(fs.append(path, json.encode(line) .. "\n"))
    events = finishes(id, "leftover")
    local p = fs.process(pid)
    assert.is_true(p == nil or p.state == "Z")
    local count = 0
    for _, e in ipairs(pick(events, "log")) do
      count = count + (e.text:find("ended what was left of it", 1, true) and 1 or 0)
    end
    assert.are.equal(1, count)
  end)

  it("asks a step that was started whether it is done; without done it runs again", function()
    bench:recipe(
      "r",
      [[
      needs = { bins = { "sh" } }, safety = "changes",
      steps = { { name = "a", run = function(ctx)
        ctx.exec({ "sh", "-c", "echo a >> effects" }) end } },]]
    )
    local _, r = bench:run({ "./r.lua" }, { env = { PAI_TEST_KILL = "child:a" } })
    assert.are.equal("SIGKILL", r.signal)
    local events
    events, r = bench:resume("last")
    assert.are.equal(0, r.code, r.stderr)
    local said
    for _, e in ipairs(pick(events, "log", "a")) do
      said = said or e.text:find("no `done` to ask", 1, true)
    end
    assert.is_truthy(said)
    assert.are.equal(2, pick(events, "step.start", "a")[1].attempt)
  end)

  it("repeats a step that failed, and nothing before it", function()
    bench:recipe(
      "r",
      [[
      safety = "changes", needs = { writes = { "." } },
      steps = {
        { name = "a", run = function(ctx) ctx.write("a", tostring(ctx.fs.exists("a"))) end },
        { name = "b", after = { "a" }, run = function(ctx)
          if not ctx.fs.exists("go") then error("not yet") end return { n = 1 } end },
      },]]
    )
    local events, r = bench:run({ "./r.lua" })
    assert.are.equal(1, r.code)
    local id = events[1].run
    r = select(2, bench:resume(id))
    assert.are.equal(1, r.code)
    bench:write("go", "")
    events, r = bench:resume(id)
    assert.are.equal(0, r.code, r.stderr)
    assert.are.equal("false", fs.read(bench.dir .. "/a"))
    assert.are.same({ "a" }, events[1].finished)
    assert.are.equal(1, pick(events, "run.end")[1].counters.kept)
  end)

  it("after a red gate asks done whether the step must run again", function()
    bench:recipe(
      "r",
      [[
      safety = "changes", needs = { bins = { "sh" }, writes = { "." } },
      steps = { { name = "a",
        done = function(ctx) return ctx.fs.exists("good") and { n = 1 } or nil end,
        run = function(ctx)
          ctx.exec({ "sh", "-c", "echo a >> effects" })
          if ctx.fs.exists("go") then ctx.write("good", "") end
          return { n = 1 } end,
        verify = function(ctx)
          return { { name = "g", state = ctx.fs.exists("good") and "ok" or "red" } } end,
      } },]]
    )
    local events = bench:run({ "./r.lua" })
    assert.are.equal("red", pick(events, "run.end")[1].status)
    bench:write("go", "")
    local r
    events, r = bench:resume(events[1].run)
    assert.are.equal(0, r.code, r.stderr)
    assert.are.same({ "a", "a" }, bench:lines("effects"))
    assert.are.equal(2, pick(events, "step.start", "a")[1].attempt)
    fs.remove(bench.dir .. "/go")
    fs.remove(bench.dir .. "/good")
    events = bench:run({ "./r.lua" })
    bench:write("good", "")
    events, r = bench:resume(events[1].run)
    assert.are.equal(0, r.code, r.stderr)
    assert.are.equal("already", pick(events, "step.done", "a")[1].how)
    assert.are.equal(3, #bench:lines("effects"))
  end)

  it("ignores a torn last line, and stops at a damaged one in the middle", function()
    recipe()
    local _, r = bench:run({ "./r.lua" }, { env = { PAI_TEST_KILL = "step.done:submit" } })
    assert.are.equal("SIGKILL", r.signal)
    local id = json.decode(bench:pai({ "runs", "--json" }).stdout).runs[1].run
    local path = bench.state .. "/runs/" .. id .. "/journal.jsonl"
    local whole = fs.read(path)
    assert(fs.write(path, whole:sub(1, -20)))
    local events = finishes(id, "torn")
    -- The torn line was the step's end, so `done` had to say it.
    assert.are.equal("already", pick(events, "step.done", "submit")[1].how)
    local text = fs.read(path)
    assert(fs.write(path, (text:gsub('"event":"step.start"', '"event"~"step.start"', 1))))
    local _, again = bench:resume(id)
    assert.are.equal(1, again.code)
    assert.is_truthy(again.stderr:find("journal.jsonl:%d+: the line is damaged"), again.stderr)
  end)

  it("stops when the recipe was changed, and names the files", function()
    bench:write("r/lib.lua", "return 1\n")
    bench:recipe("r", BODY, 'local _ = require("r.lib")\n' .. BEFORE)
    local events, r = bench:run({ "./r.lua" }, { env = { PAI_TEST_KILL = "step.done:submit" } })
    assert.are.equal("SIGKILL", r.signal)
    local id = events[1].run
    bench:write("r/lib.lua", "return 2\n")
    events, r = bench:resume(id)
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stderr:find("changed: " .. bench.dir .. "/r/lib.lua", 1, true), r.stderr)
    assert.is_nil(r.stderr:find("/r.lua", 1, true))
    assert.are.equal("failed", pick(events, "run.end")[1].status)
    events, r = bench:resume(id, { "--accept-changes" })
    assert.are.equal(0, r.code, r.stderr)
    assert.are.same({ "changed: " .. bench.dir .. "/r/lib.lua" }, events[1].accepted_changes)
    assert.are.same(EFFECTS, bench:lines("effects"))
    -- What was accepted is the record from now on.
    local files = require("pai.run.replay").of(bench:journal(id)).files
    local digest = require("pai.crypto").sha256("return 2\n")
    assert.are.equal(digest, files[bench.dir .. "/r/lib.lua"])
  end)

  it("uses the same inputs, whatever the folder it is called from", function()
    bench:recipe(
      "r",
      [[
      inputs = { p = { type = "path" }, n = { type = "integer", default = 3 } },
      steps = { { name = "a", run = function(ctx, inp)
        return { p = inp.p, n = inp.n, cwd = ctx.cwd, here = ctx.fs.exists("go") } end,
        verify = function(ctx)
          return { { name = "go", state = ctx.fs.exists("go") and "ok" or "red" } } end,
      } },]]
    )
    local events, r = bench:run({ "./r.lua", "p=x/y", "n=4" })
    assert.are.equal(1, r.code)
    bench:write("go", "")
    assert(fs.mkdir(bench.dir .. "/elsewhere"))
    events, r = bench:resume(events[1].run, {}, { cwd = bench.dir .. "/elsewhere" })
    assert.are.equal(0, r.code, r.stderr)
    local state = require("pai.run.replay").of(bench:journal(events[1].run))
    assert.are.same(
      { p = bench.dir .. "/x/y", n = 4, cwd = bench.dir, here = false },
      state.units.a.result
    )
    assert.is_nil(position(events, "step.start", "a"))
  end)

  it("says that a green run has nothing left, and that there is no such run", function()
    recipe()
    bench:run({ "./r.lua" })
    local r = bench:pai({ "resume", "last" })
    assert.are.equal(0, r.code)
    assert.is_truthy(r.stdout:find("ended green; there is nothing to do", 1, true))
    r = bench:pai({ "resume", "run-none" })
    assert.are.equal(2, r.code)
    assert.is_truthy(r.stderr:find("no run 'run-none'", 1, true))
  end)

  it("finishes a run whose disk was full, which said so and ended 1", function()
    local exec = require("pai.exec")
    bench:recipe(
      "r",
      [[steps = {
      { name = "a", run = function() return { n = 1 } end },
      { name = "b", after = { "a" }, run = function(ctx)
        if not ctx.resumed then for _ = 1, 4000 do ctx.log(("x"):rep(200)) end end
        return { n = 2 } end },
    },]]
    )
    local small = bench.root .. "/small"
    assert(fs.mkdir(small))
    -- The small file system lives as long as its name space, so the state is copied out of it.
    local script = '"$1" run ./r.lua --json --state "$2/state"; echo $? > code; cp -r "$2/state" .'
    local r = assert(exec.run({
      "bwrap",
      "--dev-bind",
      "/",
      "/",
      "--size",
      "262144",
      "--tmpfs",
      small,
      "--chdir",
      bench.dir,
      "sh",
      "-c",
      script,
      "sh",
      pai.exe,
      small,
    }, { cwd = bench.dir, timeout = "30s" }))
    assert.are.equal("1", bench:lines("code")[1])
    assert.is_truthy(r.stderr:find("No space left on device", 1, true), r.stderr)
    local events = support.events(r.stdout)
    assert.are.equal("failed", events[#events].status)
    local id = events[1].run
    events, r = bench:resume(id, { "--state", bench.dir .. "/state" })
    assert.are.equal(0, r.code, r.stderr)
    assert.is_nil(position(events, "step.start", "a"))
    assert.are.same({ n = 2 }, pick(events, "step.done", "b")[1].result)
  end)

  it("lets one of two resumes go on and refuses the other with who and when", function()
    bench:recipe(
      "r",
      [[steps = { { name = "a", run = function(ctx)
      if not ctx.resumed then error("first") end
      ctx.wait(function() return ctx.fs.exists("go") or nil end, { every = "20ms" })
    end } },]]
    )
    local events = bench:run({ "./r.lua" })
    local id = events[1].run
    local first = bench:start({ "resume", id })
    support.eventually(function()
      return #bench:journal(id) > #events + 2
    end, "the first resume runs")
    local r = bench:pai({ "resume", id })
    assert.are.equal(4, r.code)
    local who = ("run %s is held by %s (r), pid %d of "):format(id, id, first.pid)
    assert.is_truthy(r.stderr:find(who, 1, true), r.stderr)
    assert.is_truthy(r.stderr:find("since %d%d%d%d%-%d%d%-%d%dT"), r.stderr)
    bench:write("go", "")
    assert.are.equal(0, first:wait("20s").code)
    assert.is_number(task.now())
  end)
end)
