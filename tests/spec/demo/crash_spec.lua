-- The VDA flow, with pai and the engine killed at every point: it goes on where it stood, submits
-- one workflow, repeats nothing that was finished, and leaves no process behind.
local support = dofile("tests/spec/demo/support.lua")
local fs = require("pai.fs")
local json = require("pai.json")
local task = require("pai.task")
local pick = support.pick

local ID <const> = "run-0badcafe"

describe("the VDA run", function()
  local bench

  before_each(function()
    bench = support.new()
    support.video(bench.dir .. "/clip.mp4")
  end)

  after_each(function()
    support.remove(bench)
  end)

  local ARGV <const> = { "vda", "video=clip.mp4", "seconds=0", "seed=7" }

  -- How a run ended: its last run.end, or nil.
  local function ended(events)
    local ends = pick(events, "run.end")
    return ends[#ends]
  end

  local function count(events, event, step)
    return #pick(events, event, step)
  end

  local function run_argv()
    local argv = { "run", "--allow-dirty", "--json", "--run-id", ID }
    return table.move(ARGV, 1, #ARGV, #argv + 1, argv)
  end

  local function resume_argv()
    return { "resume", "--json", ID }
  end

  local function resume()
    local r = bench:pai(resume_argv(), { timeout = "120s" })
    assert.are.equal(0, r.code, r.stderr .. r.stdout)
  end

  -- A whole run, beside which a second one is tried. What it begins and ends, in order, is what
  -- the others are killed at: a step that is added to the recipe is tested from its first day.
  local whole
  local function whole_run()
    if whole then
      return whole
    end
    local proc = bench:start(run_argv())
    support.eventually(function()
      return fs.exists(bench.state .. "/runs/" .. ID .. "/journal.jsonl")
    end, "the first run")
    local second = bench:pai(run_argv())
    local r = assert(proc:wait("120s"))
    assert.are.equal(0, r.code)
    whole = { second = second, steps = {}, boundaries = {} }
    for _, e in ipairs(bench:journal(ID)) do
      if e.event == "step.start" or e.event == "step.done" or e.event == "gate" then
        whole.boundaries[#whole.boundaries + 1] = { event = e.event, step = e.step }
      end
      if e.event == "step.start" then
        whole.steps[#whole.steps + 1] = e.step
      end
    end
    assert.is_true(#whole.boundaries >= 10 and #whole.steps >= 5)
    support.remove(bench)
    bench = support.new()
    support.video(bench.dir .. "/clip.mp4")
    return whole
  end

  it("refuses a second run with the same id, naming the first", function()
    local second = whole_run().second
    assert.are.equal(4, second.code, second.stdout)
    assert.is_truthy((second.stdout .. second.stderr):find(ID, 1, true))
  end)

  -- One run, killed at its first boundary, then at the next one, and so on: each of them is where a
  -- resume begins and where one is killed, and all that a step is told comes from the journal.
  it("goes on after SIGKILL at every boundary between steps", function()
    local argv, killed, submitted = run_argv(), {}, false
    for _, at in ipairs(whole_run().boundaries) do
      local name = at.event .. ":" .. at.step
      local r = bench:pai(argv, { env = { PAI_TEST_KILL = name }, timeout = "120s" })
      assert.are.equal("SIGKILL", r.signal, name .. " " .. r.stderr .. r.stdout)
      argv = resume_argv()
      if at.event == "step.start" then
        killed[at.step] = true
      end
      submitted = submitted or name == "step.done:submit"
      -- What must hold at any time: nothing begun or finished twice but what was just killed, one
      -- workflow from the submit on, no child without its pai.
      local events = bench:journal(ID)
      assert.is_nil(ended(events), name)
      assert.is_true(count(events, at.event, at.step) > 0, name)
      for _, step in ipairs(support.steps(events)) do
        local starts, ends = count(events, "step.start", step), count(events, "step.done", step)
        local said = ("%s: %s was started %d times and finished %d times"):format(
          name,
          step,
          starts,
          ends
        )
        assert.is_true(ends <= 1 and starts <= (killed[step] and 2 or 1), said)
      end
      if submitted then
        assert.are.equal(1, #support.workflows(bench), name)
      end
      support.no_child_left(events)
    end
    resume()
    local events = bench:journal(ID)
    assert.are.equal("green", ended(events).status)
    for _, step in ipairs(support.steps(events)) do
      local starts = count(events, "step.start", step)
      assert.is_true(count(events, "step.done", step) <= 1, step .. " was finished more than once")
      assert.are.equal(killed[step] and 2 or 0, starts, step)
    end
    local workflows = support.workflows(bench)
    assert.are.equal(1, #workflows)
    assert.are.equal("COMPLETED", workflows[1].status)
    support.no_child_left(events)
  end)

  -- Each in a run of its own, which one resume takes to its end.
  it("goes on after SIGKILL in the middle of every step", function()
    for _, name in ipairs(whole_run().steps) do
      support.run_and_kill(bench, ARGV, ID, function(events)
        if count(events, "step.start", name) > 0 then
          task.sleep("30ms")
          return true
        end
      end)
      local before = bench:journal(ID)
      support.no_child_left(before)
      if not ended(before) then
        resume()
      end
      local events = bench:journal(ID)
      assert.are.equal("green", ended(events).status)
      for _, e in ipairs(pick(before, "step.done")) do
        assert.are.equal(1, count(events, "step.start", e.step), e.step .. " was repeated")
        assert.are.equal(1, count(events, "step.done", e.step), e.step .. " was looked at again")
      end
      local workflows = support.workflows(bench)
      assert.are.equal(1, #workflows)
      assert.are.equal("COMPLETED", workflows[1].status)
      support.no_child_left(events)
      support.remove(bench)
      bench = support.new()
      support.video(bench.dir .. "/clip.mp4")
    end
  end)

  it("says so when the engine is killed while a task runs, and resume finishes the work", function()
    local proc = bench:start(run_argv())
    local function running()
      for _, w in ipairs(support.workflows(bench)) do
        if w.status == "RUNNING" then
          local q = json.decode(bench:pai({ "osmo", "query", w.name, "--json" }).stdout)
          for _, g in ipairs(q.groups) do
            for _, t in ipairs(g.tasks) do
              if t.status == "RUNNING" then
                return w.name
              end
            end
          end
        end
      end
    end
    support.eventually(function()
      return fs.exists(bench.state .. "/runs/" .. ID .. "/journal.jsonl")
        and #pick(bench:journal(ID), "step.done", "submit") > 0
    end, "the submit")
    local workflow = support.eventually(running, "a running task")
    local status = json.decode(bench:pai({ "engine", "status", "--json" }).stdout)
    local start = fs.process(status.pid).start_time
    require("pai.exec").run({ "kill", "-9", tostring(status.pid) })
    local r, e = proc:wait("60s")
    local code = r and r.code or e.exit
    assert.are.equal(1, code)
    local events = bench:journal(ID)
    assert.are.equal("failed", ended(events).status)
    local reasons = {}
    for _, f in ipairs(pick(events, "step.fail")) do
      reasons[#reasons + 1] = f.error.message
    end
    assert.is_truthy(table.concat(reasons, "\n"):find("engine"), table.concat(reasons, "\n"))
    -- The next command restarts the engine, and nothing is RUNNING for ever.
    local q = json.decode(bench:pai({ "osmo", "query", workflow, "--json" }).stdout)
    assert.are.equal("FAILED_BACKEND_ERROR", q.status)
    local p = fs.process(status.pid)
    assert.is_true(not p or p.start_time ~= start)
    -- No process of the dead engine's tasks is left: all of them name the run's folder.
    support.eventually(function()
      local left = require("pai.exec").run(
        { "pgrep", "-f", bench.dir .. "/media" },
        { accept = "any" }
      )
      return left == nil or left.stdout == ""
    end, "the end of every task process")
    resume()
    events = bench:journal(ID)
    assert.are.equal("green", ended(events).status)
  end)
end)
