-- Starting and reaping /bin/true, with a small heap and with 1 GB resident, beside a loop in bash.
-- Each figure is the best of some batches: what else the machine does would decide the mean.
local async = require("pai.async")
local exec = require("pai.exec")
local task = require("pai.task")
local bench = dofile("tests/bench/bench.lua")

local BATCHES, JOBS = 15, 40

-- Milliseconds a job of the fastest batch.
local function best(batch)
  local least = math.huge
  for _ = 1, BATCHES do
    local before = task.now()
    batch()
    least = math.min(least, (task.now() - before) / JOBS)
  end
  return least
end

local function one()
  return assert(exec.run({ "/bin/true" })).code
end

local function in_sequence()
  for _ = 1, JOBS do
    one()
  end
end

local function side_by_side()
  local functions = {}
  for i = 1, JOBS do
    functions[i] = one
  end
  async.all(functions, { limit = 2 })
end

local function loop_of_bash()
  assert(exec.run({ "bash", "-c", ("for i in {1..%d}; do /bin/true; done"):format(JOBS) }))
end

task.run(function()
  local small, bash = best(in_sequence), best(loop_of_bash)
  bench.row(
    "spawn and wait",
    ("%.2f ms"):format(small),
    ("%.2f x a bash loop"):format(small / bash)
  )
  bench.row("spawn and wait, two side by side", ("%.2f ms"):format(best(side_by_side)))
  local ballast = ("x"):rep(1 << 30)
  local big = best(in_sequence)
  local detail = ("%.2f x the small one"):format(big / small)
  bench.row(
    ("spawn and wait, %d GB resident"):format(#ballast >> 30),
    ("%.2f ms"):format(big),
    detail
  )
end)
