-- The streaming masker over log text with 20, 100 and 1,000 secrets of 24 characters: 120, 600 and
-- 6,000 needles as a value, three alignments of its base64 and both cases of its hexadecimal; pai
-- looks for some more. Beside it, in the same run, vectorscan (streamed, the same needles), ripgrep
-- and sed. Then the texts that cost most, and `pai exec` beside `cat`.
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local mask = require("pai.mask")
local bench = dofile("tests/bench/bench.lua")

local MEGABYTES <const> = 64
local PIECE <const> = 65536

local dir <close> = setmetatable({ path = fs.tempdir({ prefix = "pai-bench-" }) }, {
  __close = function(d)
    fs.remove(d.path, { recursive = true })
  end,
})

local function path(name)
  return dir.path .. "/" .. name
end

local lines = {}
for i = 1, 4000 do
  local line = "03:04:05 worker-%d step %d: read %d bytes of clip-%d.mp4 ok\n"
  lines[i] = line:format(i % 8, i, i * 7919 % 100000, i)
end
local chunk = table.concat(lines):sub(1, PIECE)
local rounds = MEGABYTES * 1000000 // #chunk

local function secrets(n)
  local out = {}
  for i = 1, n do
    out[i] = crypto.hex(12)
  end
  return out
end

local function set_of(values)
  local m = mask.new()
  for _, value in ipairs(values) do
    m:add(value)
  end
  return m
end

-- Millions of bytes a second for a piece of text that comes again and again.
local function rate(values, text)
  local m = set_of(values)
  local count = MEGABYTES * 1000000 // #text
  local seconds = bench.best(3, function()
    for _ = 1, count do
      m:feed(text)
    end
    m:finish()
  end)
  return count * #text / 1e6 / seconds
end

local function needles(values)
  local out = {}
  for _, value in ipairs(values) do
    local hex = value:gsub(".", function(c)
      return ("%02x"):format(c:byte())
    end)
    table.move({ value, hex, hex:upper() }, 1, 3, #out + 1, out)
    for shift = 0, 2 do
      local text = crypto.base64_encode(("x"):rep(shift) .. value)
      out[#out + 1] = text:sub((8 * shift + 5) // 6 + 1, 8 * (shift + #value) // 6)
    end
  end
  return table.concat(out, "\n") .. "\n"
end

-- Seconds of CPU time that a program takes, start and all.
local function cpu(argv)
  local script = [[TIMEFORMAT='%U %S'; time "$@" >/dev/null]]
  local command = { "bash", "-c", script, "-", table.unpack(argv) }
  local r = assert(exec.run(command, { env = { LC_ALL = "C" }, accept = "any", timeout = "120s" }))
  local user, system = r.stderr:match("([%d.]+) ([%d.]+)%s*$")
  return math.max(tonumber(user) + tonumber(system), 0.001)
end

local function build_peer()
  local argv = { "gcc", "-O2", "-o", path("peer"), "tests/bench/mask_vectorscan.c", "-lhs" }
  return exec.run(argv, { inherit_env = true }) ~= nil
end

fs.write(path("log"), chunk:rep(rounds), { sync = false })
fs.write(path("part"), chunk:rep(rounds // 32), { sync = false })
local peer = build_peer()
if not peer then
  bench.row("vectorscan", "-", "not installed (libvectorscan-dev)")
end

for _, n in ipairs({ 20, 100, 1000 }) do
  local values = secrets(n)
  local ours = rate(values, chunk)
  fs.write(path("needles"), needles(values), { sync = false })
  local size = rounds * #chunk / 1e6
  local details = {}
  if peer then
    local r = assert(exec.run({ path("peer"), path("needles"), path("log") }, { timeout = "120s" }))
    local theirs, built = r.stdout:match("^(%d+) ([%d.]+)")
    details[1] = ("%.2f x vectorscan (%s MB/s, %s ms to build)"):format(
      ours / tonumber(theirs),
      theirs,
      built
    )
  end
  local rg = size / cpu({ "rg", "-a", "-c", "-F", "-f", path("needles"), path("log") })
  details[#details + 1] = ("%.0f x rg -F (%.0f MB/s)"):format(ours / rg, rg)
  if n == 20 then
    local script = needles(values):gsub("[^\n]+", function(needle)
      return "s|" .. needle .. "|***|g"
    end)
    fs.write(path("sed"), script, { sync = false })
    local sed = size / 32 / cpu({ "sed", "-f", path("sed"), path("part") })
    details[#details + 1] = ("%.0f x sed (%.0f MB/s)"):format(ours / sed, sed)
  end
  local name = ("masking, %d secrets"):format(n)
  bench.row(name, ("%.0f MB/s"):format(ours), table.concat(details, "; "))
end

local m, many = mask.new(), secrets(1000)
local adding = bench.best(1, function()
  for _, value in ipairs(many) do
    m:add(value)
  end
end)
bench.row("adding a secret, mean of 1,000", ("%.3f ms"):format(adding))

local values = secrets(100)
local function flood(text)
  return text:rep(PIECE // #text)
end
for _, case in ipairs({
  { "near misses", flood(values[1]:sub(1, -2)) },
  { "nothing but hits", flood(values[1] .. " ") },
  {
    "near misses with a colour code",
    flood(values[1]:sub(1, 9) .. "\27[0m" .. values[1]:sub(10, -2)),
  },
  { "random base64", crypto.base64_encode(crypto.random(PIECE * 3 // 4)) },
  { "colour codes", flood("\27[31mx\27[0m") },
  { "percent escapes", flood("%41%6f%2f") },
  { "empty lines", flood("\n") },
}) do
  bench.row("masking, " .. case[1], ("%.0f MB/s"):format(rate(values, case[2])))
end

-- A gigabyte from a program, through `pai exec` and through `cat`, to a pipe that is read.
local produce = "yes '" .. lines[77]:sub(1, -2) .. "' | head -c 1000000000"
local function seconds(command)
  local least = math.huge
  for _ = 1, 3 do
    local r = assert(exec.run({ "sh", "-c", command }, {
      env = { PAI = require("pai").exe, BENCH_TOKEN = values[1], PRODUCE = produce },
      timeout = "120s",
    }))
    least = math.min(least, r.duration_ms / 1000)
  end
  return least
end
local cat = seconds('sh -c "$PRODUCE" | cat | cat >/dev/null')
local ours = seconds('cd / && "$PAI" exec -- sh -c "$PRODUCE" | cat >/dev/null')
local detail = ("%.2f x cat (%.0f MB/s)"):format(cat / ours, 1000 / cat)
bench.row("pai exec, 1 GB", ("%.0f MB/s"):format(1000 / ours), detail)
