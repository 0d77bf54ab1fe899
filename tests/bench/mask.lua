-- The streaming masker over log text, with 1, 50 and 1,000 secrets of 24 characters; a pass of
-- `grep -F` over the same bytes for one needle, and for fifty, is what a filter would cost.
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local mask = require("pai.mask")
local bench = dofile("tests/bench/bench.lua")

local MEGABYTES = 64
local lines = {}
for i = 1, 4000 do
  lines[i] = ("03:04:05 worker-%d step %d: read %d bytes of clip-%d.mp4 ok\n"):format(
    i % 8,
    i,
    i * 7919 % 100000,
    i
  )
end
local chunk = table.concat(lines):sub(1, 65536)
local rounds = MEGABYTES * 1000000 // #chunk

local function secrets(n)
  local out = {}
  for i = 1, n do
    out[i] = crypto.hex(12)
  end
  return out
end

local function pass(needles)
  local m = mask.new()
  for _, needle in ipairs(needles) do
    m:add(needle)
  end
  return bench.best(3, function()
    for _ = 1, rounds do
      m:feed(chunk)
    end
    m:finish()
  end)
end

local rates = {}
for _, n in ipairs({ 1, 50, 1000 }) do
  rates[n] = rounds * #chunk / 1e6 / pass(secrets(n))
end

local function grep(needles)
  local dir <close> = setmetatable({ path = fs.tempdir({ prefix = "pai-bench-" }) }, {
    __close = function(d)
      fs.remove(d.path, { recursive = true })
    end,
  })
  fs.write(dir.path .. "/needles", table.concat(needles, "\n") .. "\n")
  fs.write(dir.path .. "/log", chunk:rep(rounds))
  local argv = { "grep", "-c", "-F", "-f", dir.path .. "/needles", dir.path .. "/log" }
  local r = assert(exec.run(argv, { env = { LC_ALL = "C" }, accept = { 0, 1 } }))
  return rounds * #chunk / 1e3 / math.max(r.duration_ms, 1)
end

for _, n in ipairs({ 1, 50, 1000 }) do
  local peer = n <= 50 and grep(secrets(n))
  local detail = peer and ("%.1f x grep -F (%.0f MB/s)"):format(rates[n] / peer, peer)
  bench.row(("masking, %d secrets"):format(n), ("%.0f MB/s"):format(rates[n]), detail)
end

local m, many = mask.new(), secrets(1000)
local adding = bench.best(1, function()
  for _, needle in ipairs(many) do
    m:add(needle)
  end
end)
bench.row("adding a secret, mean of 1,000", ("%.3f ms"):format(adding))
