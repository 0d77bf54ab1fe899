-- The embedded engine: how long a submit takes, and how many tasks that do nothing it runs.
local fs = require("pai.fs")
local client = require("pai.osmo.client")
local task = require("pai.task")
local exec = require("pai.exec")
local bench = dofile("tests/bench/bench.lua")

local SUBMITS, WORKFLOWS, TASKS = 50, 5, 20

local function spec(name, tasks)
  local out = { "workflow:", "  name: " .. name, "  tasks:" }
  for i = 1, tasks do
    out[#out + 1] = ('  - {name: t%d, image: pai.local/true, command: ["true"]}'):format(i)
  end
  return table.concat(out, "\n") .. "\n"
end

local function measure(state)
  local c = assert(client.connect({ target = "local", state = state }))
  local times, first = {}, task.now()
  for i = 1, SUBMITS do
    local before = task.now()
    assert(c:submit({ spec = spec("bench", 1) }))
    times[i] = task.now() - before
  end
  local mean = ("mean %.1f ms"):format((task.now() - first) / SUBMITS)
  bench.row("submit, median", bench.median(times) .. " ms", mean)
  local before, names = task.now(), {}
  for i = 1, WORKFLOWS do
    names[i] = assert(c:submit({ spec = spec("many", TASKS) })).name
  end
  local statuses = {}
  for i, name in ipairs(names) do
    statuses[i] = assert(c:wait(name, { every = "20ms", timeout = "5m" })).status
  end
  local seconds = (task.now() - before) / 1000
  local figure = ("%.0f tasks/s"):format(WORKFLOWS * TASKS / seconds)
  local what = ("%d tasks that do nothing"):format(WORKFLOWS * TASKS)
  bench.row(what, figure, table.concat(statuses, " "))
end

task.run(function()
  local state = fs.tempdir({ prefix = "pai-bench-" })
  local ok, failure = pcall(measure, state)
  exec.run({ pai.exe, "engine", "stop", "--state", state }, { timeout = "20s" })
  fs.remove(state, { recursive = true })
  if not ok then
    error(failure, 0)
  end
end)
