-- The embedded engine: how long a submit takes, how many tasks that do nothing it runs beside the
-- same sandbox started by nobody but a loop, how fast many runs are listed and watched.
local async = require("pai.async")
local bench = dofile("tests/bench/bench.lua")
local client = require("pai.osmo.client")
local exec = require("pai.exec")
local fs = require("pai.fs")
local launch = require("pai.engine.launch")
local paths = require("pai.engine.paths")
local sandbox = require("pai.engine.sandbox")
local store = require("pai.engine.store")
local task = require("pai.task")

local SUBMITS, WORKFLOWS, TASKS, ROUNDS = 50, 5, 20, 5
local RUNS, PAGE, WATCHED, WATCH_MS = 10000, 1000, 1000, 5000

local function spec(name, tasks)
  local out = { "workflow:", "  name: " .. name, "  tasks:" }
  for i = 1, tasks do
    out[#out + 1] = ('  - {name: t%d, image: pai.local/true, command: ["true"]}'):format(i)
  end
  return table.concat(out, "\n") .. "\n"
end

local function least_and_median(values)
  local middle = bench.median(values)
  return values[1], middle
end

local function submits(c)
  local times = {}
  for i = 1, SUBMITS do
    local before = task.now()
    local name = assert(c:submit({ spec = spec("bench", 1) })).name
    times[i] = task.now() - before
    assert(c:wait(name, { every = "5ms", timeout = "1m" }))
  end
  local least, middle = least_and_median(times)
  bench.row(
    "submit, one at a time",
    middle .. " ms",
    ("median of %d, least %d"):format(#times, least)
  )
end

-- The sandbox alone: what a task costs without an engine, as many side by side as there are cores.
-- Each mounts all of its own, as the engine's first task does; those that follow find most of it.
local function bare(cores)
  local dir = fs.tempdir({ prefix = "pai-bench-" })
  for _, path in ipairs({ "run/workspace", "output", "config" }) do
    assert(fs.mkdir(dir .. "/" .. path, { parents = true }))
  end
  local plan = sandbox.plan(sandbox.detect().kind, {
    folder = dir,
    output = dir .. "/output",
    config = dir .. "/config",
    command = { "true" },
    environment = {},
    gpu = 0,
    name = "t",
    inputs = {},
    files = {},
    hide = {},
  })
  local before, calls = task.now(), {}
  for i = 1, cores do
    calls[i] = function()
      for _ = 1, WORKFLOWS * TASKS // cores do
        assert(exec.run(plan.argv, { env = plan.env, cwd = plan.cwd, stdin = "null" }))
      end
    end
  end
  async.all(calls)
  local rate = WORKFLOWS * TASKS * 1000 / (task.now() - before)
  fs.remove(dir, { recursive = true })
  return rate
end

local function many(c)
  local before, names = task.now(), {}
  for i = 1, WORKFLOWS do
    names[i] = assert(c:submit({ spec = spec("many", TASKS) })).name
  end
  for _, name in ipairs(names) do
    local q = assert(c:wait(name, { every = "20ms", timeout = "5m" }))
    assert(q.status == "COMPLETED", q.status)
  end
  return WORKFLOWS * TASKS * 1000 / (task.now() - before)
end

local function throughput(c, cores)
  local engine, alone = {}, {}
  for i = 1, ROUNDS do
    alone[i] = bare(cores)
    engine[i] = many(c)
  end
  local text = "median of %d rounds, best %.0f"
  local middle, peer = bench.median(engine), bench.median(alone)
  bench.row(
    ("%d tasks that do nothing"):format(WORKFLOWS * TASKS),
    ("%.0f tasks/s"):format(middle),
    text:format(ROUNDS, engine[ROUNDS])
  )
  bench.row(
    "  the same in the bare sandbox",
    ("%.0f tasks/s"):format(peer),
    (text .. "; the engine does %.0f %% of it"):format(ROUNDS, alone[ROUNDS], 100 * middle / peer)
  )
end

-- Rows as a long-lived engine has them, put in while it is away.
local function fill(state)
  local s = assert(store.open(paths.of(state).db))
  s:transaction("fill", function()
    local now = s:now()
    for i = 1, RUNS do
      s:insert_workflow({
        id = "old-" .. i,
        uuid = store.uuid(),
        name = "old",
        number = i,
        user = (fs.user()),
        pool = "local",
        priority = "NORMAL",
        status = "COMPLETED",
        submit_time = now - RUNS * 1000 + i * 1000,
        end_time = now - RUNS * 1000 + i * 1000 + 500,
        labels = { number = tostring(i % 7) },
        request = { file = "" },
      }, {})
    end
  end)
  s:close()
end

-- Milliseconds of CPU that a process has had.
local function cpu_ms(pid)
  local f <close> = assert(io.open(("/proc/%d/schedstat"):format(pid)))
  return f:read("n") / 1e6
end

local function listing(c, state, pid)
  local times, engine, own, count = {}, {}, {}, 0
  for i = 1, ROUNDS do
    local before, engine_before, own_before = task.now(), cpu_ms(pid), os.clock()
    count = 0
    for offset = 0, RUNS - 1, PAGE do
      count = count
        + #assert(c:list({ limit = PAGE, offset = offset, name = "old-", order = "DESC" }))
    end
    times[i] = task.now() - before
    engine[i], own[i] = cpu_ms(pid) - engine_before, (os.clock() - own_before) * 1000
  end
  local least, middle = least_and_median(times)
  bench.row(("%d runs listed, %d a page"):format(count, PAGE), middle .. " ms", "least " .. least)
  bench.row(
    "  whose time that is",
    ("%.0f ms CPU"):format(bench.median(engine)),
    ("the engine's, and %.0f ms the client's"):format(bench.median(own))
  )
  local function once(what, fn)
    for i = 1, ROUNDS do
      local before = task.now()
      fn()
      times[i] = task.now() - before
    end
    least, middle = least_and_median(times)
    bench.row("  " .. what, middle .. " ms", "least " .. least)
  end
  local shown = { "status", "user", "submit_time", "duration" }
  once("in one call, pages asked for ahead", function()
    assert(#assert(c:list({ limit = RUNS, name = "old-" })) == RUNS)
  end)
  once("the same, read as far as a table shows it", function()
    assert(#assert(c:list({ limit = RUNS, name = "old-", fields = shown })) == RUNS)
  end)
  once("pai osmo list --count, as a command", function()
    local argv = { pai.exe, "osmo", "list", "--target", "local", "--state", state, "--count" }
    argv[#argv + 1] = tostring(RUNS)
    assert(exec.run(argv))
  end)
  local page = {}
  for i = 1, 20 do
    local before = task.now()
    assert(c:list({ limit = 20, order = "DESC" }))
    page[i] = task.now() - before
  end
  bench.row(("the newest 20 of %d runs"):format(RUNS), bench.median(page) .. " ms", "median of 20")
end

-- Runs that wait for their turn, each with a waiter of its own in this process.
local function watching(c, pid)
  local hold = "workflow:\n  name: hold\n  resources: {default: {cpu: 64}}\n  tasks:\n"
    .. '  - {name: t, image: pai.local/x, command: ["sleep", "600"]}\n'
  local held = assert(c:submit({ spec = hold })).name
  local names, waiters = {}, {}
  for i = 1, WATCHED do
    names[i] = assert(c:submit({ spec = spec("watched", 1) })).name
  end
  for i, name in ipairs(names) do
    waiters[i] = task.spawn(function()
      return c:wait(name, { every = "1s", timeout = "10m" })
    end)
  end
  task.sleep(2000)
  local engine, own = cpu_ms(pid), os.clock()
  task.sleep(WATCH_MS)
  local share = 100 * (cpu_ms(pid) - engine) / WATCH_MS
  local mine = 100 * (os.clock() - own) * 1000 / WATCH_MS
  bench.row(
    ("%d runs watched by one process"):format(WATCHED),
    ("%.0f %% CPU"):format(mine),
    ("of the watcher, %.0f %% of the engine; each asked once a second"):format(share)
  )
  for _, waiter in ipairs(waiters) do
    waiter:cancel()
  end
  assert(c:cancel(held, { force = true }))
end

local function measure(state)
  local c = assert(client.connect({ target = "local", state = state }))
  local s = assert(launch.status(paths.of(state)))
  submits(c)
  throughput(c, s.cores)
  assert(launch.stop(paths.of(state)))
  fill(state)
  c = assert(client.connect({ target = "local", state = state }))
  local pid = assert(launch.status(paths.of(state))).pid
  listing(c, state, pid)
  watching(c, pid)
end

task.run(function()
  local state = fs.tempdir({ prefix = "pai-bench-" })
  local ok, failure = pcall(measure, state)
  exec.run({ pai.exe, "engine", "stop", "--force", "--state", state }, { timeout = "20s" })
  fs.remove(state, { recursive = true })
  if not ok then
    error(failure, 0)
  end
end)
