-- HTTP requests to an nginx of this machine beside a bare curl_multi program, in turns: small
-- bodies one after another and 64 side by side, and a download of 1 GiB to a file. CPU is that of
-- the client; the clock also has what nginx and the machine's other work take.
local bench = dofile("tests/bench/bench.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local serve = require("pai.serve")
local task = require("pai.task")

local ROUNDS, COUNT, WIDTH, GIB = 9, 2000, 64, 1 << 30

local CONFIG <const> = [[
daemon off; master_process off; pid $dir/pid; error_log $dir/error.log;
events { worker_connections 4096; }
http {
  access_log off; client_body_temp_path $dir/t1; proxy_temp_path $dir/t2;
  fastcgi_temp_path $dir/t3; uwsgi_temp_path $dir/t4; scgi_temp_path $dir/t5;
  keepalive_requests 1000000; sendfile on;
  server { listen 127.0.0.1:$port backlog=4096; root $dir/www; }
}
]]

local function free_port()
  local server = assert(serve.listen({
    handler = function()
      return {}
    end,
  }))
  local port = server:port()
  server:close()
  return port
end

local function start_nginx(dir)
  local port = tostring(free_port())
  local conf = dir .. "/nginx.conf"
  fs.write(conf, (CONFIG:gsub("%$(%w+)", { dir = dir, port = port })))
  local proc = assert(exec.start({ "/usr/sbin/nginx", "-c", conf, "-p", dir }))
  local http = require("pai.http")
  local deadline = task.now() + 20000
  while not http.request({ url = "http://127.0.0.1:" .. port .. "/small", accept = "any" }) do
    assert(task.now() < deadline, "nginx does not answer")
    task.sleep(20)
  end
  return proc, "http://127.0.0.1:" .. port
end

-- Microseconds of CPU and of the clock that a request of this program took.
local function once(argv)
  local r = assert(exec.run(argv, { timeout = "10m" }))
  local cpu, wall = r.stdout:match("([%d.]+) ([%d.]+)")
  return tonumber(cpu), tonumber(wall)
end

-- rounds of both in turns; the least CPU of each counts, what else the machine does adds to it.
local function measure(name, rounds, peer, args, show)
  local cpu, wall = { {}, {} }, { {}, {} }
  for round = 1, rounds do
    for i, program in ipairs({ { pai.exe, "lua", "tests/bench/http_client.lua" }, { peer } }) do
      local argv = table.move(args, 1, #args, #program + 1, program)
      cpu[i][round], wall[i][round] = once(argv)
    end
  end
  for i, who in ipairs({ "pai", "curl_multi" }) do
    local middle, clock = bench.median(cpu[i]), bench.median(wall[i])
    local detail = ("median %s, clock %s"):format(show(middle), show(clock))
    if i == 1 then
      detail = ("%s, %.2f x curl_multi"):format(detail, cpu[1][1] / math.min(table.unpack(cpu[2])))
    end
    bench.row(("%s: %s, CPU"):format(who, name), show(cpu[i][1]), detail)
  end
end

local function us(value)
  return ("%.1f us"):format(value)
end

local function ms(value)
  return ("%.0f ms"):format(value / 1000)
end

task.run(function()
  if not fs.stat("/usr/sbin/nginx") then
    bench.row("http", "-", "not installed (nginx)")
    return
  end
  -- In memory if that can be, so that no disk is measured.
  local memory = fs.stat("/dev/shm") and "/dev/shm" or nil
  local dir = fs.tempdir({ prefix = "pai-bench-", dir = memory })
  local peer = dir .. "/peer"
  assert(exec.run({ "gcc", "-O2", "-o", peer, "tests/bench/http_peer.c", "-lcurl" }))
  fs.mkdir(dir .. "/www")
  fs.write(dir .. "/www/small", "small\n", { mode = 420 })
  assert(exec.run({ "truncate", "-s", tostring(GIB), dir .. "/www/big" }))
  local nginx <close>, url = start_nginx(dir)
  local count = tostring(COUNT)
  measure("a small request", ROUNDS, peer, { url .. "/small", count, "1" }, us)
  measure(WIDTH .. " side by side", ROUNDS, peer, { url .. "/small", count, tostring(WIDTH) }, us)
  measure("1 GiB to a file", 3, peer, { url .. "/big", "1", "1", dir .. "/copy" }, ms)
  nginx:stop()
  fs.remove(dir, { recursive = true })
end)
