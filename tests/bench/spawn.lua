-- Starting and reaping /bin/true, with a small heap and with 1 GB resident, beside a loop in bash
-- and one of posix_spawn in C, in turns. Each figure is the best of some batches: what else the
-- machine does would decide the mean.
local async = require("pai.async")
local exec = require("pai.exec")
local fs = require("pai.fs")
local task = require("pai.task")
local bench = dofile("tests/bench/bench.lua")

local BATCHES, JOBS = 15, 40

-- Milliseconds a job of the fastest batch of each function; one may give its own figure.
local function best(...)
  local batches, least = { ... }, {}
  for _ = 1, BATCHES do
    for i, batch in ipairs(batches) do
      local before = task.now()
      local found = batch() or (task.now() - before) / JOBS
      least[i] = math.min(least[i] or math.huge, found)
    end
  end
  return table.unpack(least)
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
  local dir = fs.tempdir({ prefix = "pai-bench-" })
  local peer = dir .. "/peer"
  assert(exec.run({ "gcc", "-O2", "-o", peer, "tests/bench/spawn_peer.c" }))
  local small, bash, bare = best(in_sequence, loop_of_bash, function()
    return tonumber(assert(exec.run({ peer, tostring(JOBS) })).stdout)
  end)
  fs.remove(dir, { recursive = true })
  local beside = ("%.2f x posix_spawn, %.2f x a bash loop"):format(small / bare, small / bash)
  bench.row("spawn and wait", ("%.2f ms"):format(small), beside)
  bench.row("posix_spawn and waitpid in C", ("%.2f ms"):format(bare))
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
