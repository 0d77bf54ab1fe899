-- Upload and download of one large file beside `aws s3 cp`, on the same S3 server, which checks
-- signatures and runs on this machine: what it costs is in both figures.
--
--   tests/bench/store.lua [MIB] [ROUNDS]    1024 and 3 if not given
local bench = dofile("tests/bench/bench.lua")
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local task = require("pai.task")

local size = (tonumber(arg[1]) or 1024) << 20
local rounds = tonumber(arg[2]) or 3

-- Runs a command and tells its time, processor time and peak memory.
local METER <const> = "import resource,subprocess,sys,time\n"
  .. "t=time.monotonic()\nrc=subprocess.call(sys.argv[1:],stdout=2)\nt=time.monotonic()-t\n"
  .. "u=resource.getrusage(resource.RUSAGE_CHILDREN)\n"
  .. "print(t,u.ru_utime+u.ru_stime,u.ru_maxrss)\nsys.exit(rc)"

local function measure(argv, env)
  local r = assert(exec.run({ "/usr/bin/python3", "-c", METER, table.unpack(argv) }, {
    env = env,
    timeout = "30m",
  }))
  local wall, cpu, rss = r.stdout:match("(%S+) (%S+) (%S+)")
  return { wall = tonumber(wall), cpu = tonumber(cpu), rss = tonumber(rss) }
end

local function column(list, field)
  local values = {}
  for i, m in ipairs(list) do
    values[i] = m[field]
  end
  table.sort(values)
  return values
end

local function report(name, ours, theirs)
  local a, b = column(ours, "wall"), column(theirs, "wall")
  local mib = size / (1 << 20)
  for _, side in ipairs({ { "pai", a, ours }, { "aws s3 cp", b, theirs } }) do
    local cpu, rss = column(side[3], "cpu"), column(side[3], "rss")
    bench.row(
      ("%s, %s"):format(name, side[1]),
      ("%.2f s"):format(side[2][1]),
      ("median %.2f s, %.0f MiB/s at best, cpu %.2f s, peak %.0f MiB"):format(
        bench.median(side[2]),
        mib / side[2][1],
        cpu[1],
        rss[#rss] / 1024
      )
    )
  end
  bench.row(
    name .. ", ratio",
    ("%.2fx"):format(b[1] / a[1]),
    ("median %.2fx; over 1: pai is faster"):format(bench.median(b) / bench.median(a))
  )
end

local function make_file(path)
  local block = crypto.random(1 << 20)
  assert(fs.write(path, "", { sync = false }))
  for i = 1, size >> 20 do
    assert(fs.append(path, ("%016d"):format(i) .. block:sub(17)))
  end
end

task.run(function()
  local aws = fs.exists("/usr/bin/aws") and "/usr/bin/aws" or "aws"
  if not exec.run({ aws, "--version" }, { timeout = "1m" }) then
    bench.row("aws s3 cp", "-", "not installed (awscli)")
    return
  end
  local dir = fs.tempdir({ prefix = "pai-bench" })
  local id, key = "BENCH" .. crypto.hex(4):upper(), crypto.hex(20)
  fs.mkdir(dir .. "/s3")
  local server =
    assert(exec.start({ "node", "--openssl-legacy-provider", "tests/peers/store/s3.js" }, {
      stdin = json.encode({ dir = dir .. "/s3", buckets = { "bucket" }, id = id, key = key }),
    }))
  local _ <close> = setmetatable({}, {
    __close = function()
      server:kill("KILL")
      server:wait("10s")
      fs.remove(dir, { recursive = true })
    end,
  })
  local url = "http://127.0.0.1:" .. assert(server:read_line("2m"))
  local file = dir .. "/file"
  make_file(file)
  local env = {
    HOME = dir,
    PAI_STATE = dir .. "/state",
    AWS_ACCESS_KEY_ID = id,
    AWS_SECRET_ACCESS_KEY = key,
    AWS_ENDPOINT_URL_S3 = url,
    AWS_DEFAULT_REGION = "us-east-1",
    AWS_EC2_METADATA_DISABLED = "true",
  }
  local function pai_data(...)
    return measure({ pai.exe, "osmo", "data", ... }, env)
  end
  local function aws_cp(from, to)
    return measure({ aws, "--endpoint-url", url, "s3", "cp", "--no-progress", from, to }, env)
  end
  local up, down = { {}, {} }, { {}, {} }
  for i = 1, rounds do
    up[1][i] = pai_data("upload", "s3://bucket/pai", file, "--json")
    up[2][i] = aws_cp(file, "s3://bucket/aws/file")
    down[1][i] = pai_data("download", "s3://bucket/pai/file", dir .. "/pai", "--json")
    fs.remove(dir .. "/pai", { recursive = true })
    down[2][i] = aws_cp("s3://bucket/pai/file", dir .. "/aws-file")
    fs.remove(dir .. "/aws-file")
  end
  local name = ("%d MiB"):format(size >> 20)
  report("upload of " .. name, up[1], up[2])
  report("download of " .. name, down[1], down[2])
end)
