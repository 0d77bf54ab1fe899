-- The client of a service: `pai osmo list` beside a Python client, and 1,000 runs watched by one
-- process. The service is a stand-in in a process of its own.
local bench = dofile("tests/bench/bench.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local task = require("pai.task")

local REPEATS, RUNS = 21, 1000
local PYTHON <const> = "/usr/bin/python3"

local function timed(argv, opts)
  return assert(exec.run(argv, opts)).duration_ms
end

local function lists(url, env)
  local pai_argv = { pai.exe, "osmo", "list", "--target", url }
  local python_argv = { PYTHON, "tests/bench/osmo_peer.py", "list", url }
  timed(pai_argv, { env = env })
  timed(python_argv)
  local ours, theirs = {}, {}
  for i = 1, REPEATS do
    ours[i] = timed(pai_argv, { env = env })
    theirs[i] = timed(python_argv)
  end
  local a, b = bench.median(ours), bench.median(theirs)
  bench.row("pai osmo list, 20 runs", a .. " ms", ("least %d ms"):format(ours[1]))
  local ratio = ("least %d ms, %.0f x pai"):format(theirs[1], b / a)
  bench.row("the same in Python (requests)", b .. " ms", ratio)
end

local function watch(url)
  local function row(name, r)
    local detail = ("%d questions in %.1f s, %.0f MB"):format(r.asked, r.seconds, r.rss / 1024)
    bench.row(name, ("%.2f s CPU"):format(r.cpu), detail)
  end
  local count = tostring(RUNS)
  local ours = assert(exec.run({ pai.exe, "lua", "tests/bench/osmo_watch.lua", url, count }))
  row(RUNS .. " runs watched by one process", json.decode(ours.stdout))
  local theirs = assert(exec.run({ PYTHON, "tests/bench/osmo_peer.py", "watch", url, count }))
  row("the same in Python, 32 threads", json.decode(theirs.stdout))
end

task.run(function()
  if not exec.run({ PYTHON, "-c", "import requests" }) then
    bench.row("pai osmo list", "-", "not installed (python3-requests)")
    return
  end
  local dir = fs.tempdir({ prefix = "pai-bench-" })
  local server <close> =
    assert(exec.start({ pai.exe, "lua", "tests/bench/osmo_server.lua" }, { stdin = "pipe" }))
  local url = "http://127.0.0.1:" .. assert(server:read_line("20s"))
  fs.write(
    dir .. "/login.yaml",
    ("dev_login: {username: alice}\nurl: %s\n"):format(url),
    { mode = 384 }
  )
  lists(url, { OSMO_CONFIG_FILE_DIR = dir })
  watch(url)
  fs.remove(dir, { recursive = true })
end)
