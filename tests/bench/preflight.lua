-- `pai preflight` over every component that has one, beside the same calls one after another. The
-- tools are one small C program with its answers ready: once they answer at once, which shows what
-- pai itself costs, once each call of a cloud takes 0.7 s.
local azure = dofile("tests/spec/components/azure.lua")
local bench = dofile("tests/bench/bench.lua")
local onprem = dofile("tests/spec/components/onprem.lua")
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local http = require("pai.http")
local index = require("pai.recipe.index")
local json = require("pai.json")
local serve = require("pai.serve")
local task = require("pai.task")

local CLOUD_MS <const> = 700
-- What a cloud, a host or a service answers; the rest is on this machine.
local CLOUD <const> = { az = true, ssh = true, osmo = true }
local FUNCTION <const> = "00000000-1111-4222-8333-444444444444"

-- A repository of charts with as many of them as NGC's have.
local INDEX <const> = (function()
  local lines = { "apiVersion: v1", "entries:" }
  for i = 1, 60 do
    lines[#lines + 1] = ("  chart-%d:"):format(i)
    for version = 1, 20 do
      lines[#lines + 1] = ("  - name: chart-%d\n    version: 1.%d.0"):format(i, version)
      lines[#lines + 1] = "    created: 2026-08-21T10:00:00.123Z\n    digest: " .. ("0a"):rep(32)
    end
  end
  for name, version in pairs({
    service = "1.4.0",
    ["backend-operator"] = "1.4.0",
    ["k8s-nim-operator"] = "3.1.0",
  }) do
    lines[#lines + 1] = ("  %s:\n  - version: %s"):format(name, version)
  end
  return table.concat(lines, "\n") .. "\n"
end)()

local answers = {}

-- Answers as specs tell them: those of a subscription without a cluster.
local talk = {}
function talk.tell(_, answer)
  if not answer.when then
    answers[#answers + 1] = answer
  end
end

local function tell(argv, stdout)
  talk:tell({ argv = argv, stdout = stdout })
end

local function conversation()
  azure.region(talk, "robots")
  azure.tell(talk, "robots")
  tell({ "snap", "version" }, "snap          2.63+24.04\nsnapd         2.63+24.04\n")
  talk:tell({ argv = { "snap", "list", "microk8s" }, stderr = "no matching snaps\n", code = 1 })
  tell({ "nvidia-smi", "..." }, "0, NVIDIA H100 80GB HBM3, 580.82.07, 81559\n")
  tell({ "git", "--version" }, "git version 2.39.5\n")
  tell({ "ss", "..." }, "")
  tell({ "id", "-u" }, "0\n")
  tell({ "date", "+%s.%N" }, "2000.500000000\n")
  tell({ "helm", "version", "..." }, "v3.16.2+g13654a5\n")
  tell({ "helm", "show", "..." }, "apiVersion: v2\nname: x\nversion: 1.0.0\n")
  tell({ "python3", "--version" }, "Python 3.12.3\n")
  tell({ "python3", "-I", "..." }, "pip 24.0\n")
  tell(
    { "osmo", "version", "..." },
    '{"client":{"major":"6","minor":"3","revision":"0"},'
      .. '"service":{"major":"6","minor":"3","revision":"0"}}\n'
  )
  for i, name in ipairs({ "a", "b", "c", "w" }) do
    local argv = { "ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes" }
    table.move({ "-o", "ConnectTimeout=15", "--", name, "..." }, 1, 5, #argv + 1, argv)
    local facts = { host = name, worker = i == 4, addresses = "192.0.2." .. i }
    tell(argv, onprem.said(facts))
  end
end

-- The folder of the tools, with the answers at this pace.
local function write_answers(dir, cloud_ms)
  local out = {}
  for _, answer in ipairs(answers) do
    local words = table.move(answer.argv, 1, #answer.argv, 1, {})
    if words[#words] == "..." then
      words[#words] = ""
    end
    local said = answer.stdout or answer.stderr or ""
    local wait = CLOUD[words[1]] and cloud_ms or 0
    out[#out + 1] = ("%d %d %d\n%s\n%s\n"):format(
      answer.code or 0,
      wait,
      #said,
      table.concat(words, "\x1f"),
      said
    )
  end
  assert(fs.write(dir .. "/answers", table.concat(out)))
end

local function make_tools(dir)
  assert(fs.mkdir(dir .. "/bin"))
  assert(exec.run({ "gcc", "-O2", "-o", dir .. "/tool", "tests/bench/preflight_tool.c" }))
  for _, answer in ipairs(answers) do
    local name = dir .. "/bin/" .. answer.argv[1]
    if not fs.exists(name) then
      assert(exec.run({ "ln", "-s", dir .. "/tool", name }))
    end
  end
end

local function calls_of(dir)
  local list = {}
  for call in (fs.read(dir .. "/calls") or ""):gmatch("[^\x1e]+") do
    local words = {}
    for word in (call .. "\x1f"):gmatch("([^\x1f]*)\x1f") do
      words[#words + 1] = word
    end
    list[#list + 1] = words
  end
  return list
end

local function components()
  local names = {}
  for _, entry in ipairs((index.all())) do
    names[#names + 1] = entry.name:match("^(.+)%.preflight$")
  end
  return names
end

local function command(names, api)
  local argv = table.move(names, 1, #names, 3, { pai.exe, "preflight" })
  for _, given in ipairs({
    "--json",
    "cluster=azure",
    "inference=foundry",
    "context=bench",
    "control_planes=a,b,c",
    "workers=w",
    "vip=192.0.2.10",
    "vip_interface=eno1",
    "registry=" .. api,
    "metallb=192.0.2.20-192.0.2.40",
    "subscription=robots",
    "allowed_cidr=203.0.113.4/32",
    "caller_ip=203.0.113.4",
    "nims=qwen25-14b",
    "functions=" .. FUNCTION,
    "api=" .. api,
    "charts=" .. api,
    "hf_endpoint=" .. api,
  }) do
    argv[#argv + 1] = given
  end
  return argv
end

-- Milliseconds of the preflight and of its calls one after another.
local function round(dir, argv, env, ask)
  fs.remove(dir .. "/calls")
  local r = assert(exec.run(argv, { env = env, cwd = dir, accept = "any", timeout = "5m" }))
  local found = assert(json.decode(r.stdout), r.stderr)
  local calls = calls_of(dir)
  local began = task.now()
  for _, call in ipairs(calls) do
    assert(exec.run(call, { env = env, accept = "any", timeout = "1m" }))
  end
  ask()
  return r.duration_ms, task.now() - began, calls, found
end

local function checks_of(found)
  local n, odd = 0, {}
  for _, step in ipairs(found.steps) do
    for _, check in ipairs(step.checks or {}) do
      n = n + 1
      if check.state == "red" or check.state == "unknown" then
        odd[#odd + 1] = check.name
      end
    end
  end
  return n, odd
end

local function measure(title, rounds, dir, argv, env, ask)
  local ours, theirs, calls, found = {}, {}, nil, nil
  for i = 1, rounds do
    ours[i], theirs[i], calls, found = round(dir, argv, env, ask)
  end
  local a, b = bench.median(ours), bench.median(theirs)
  local n, odd = checks_of(found)
  local cloud = 1 -- the list of functions
  for _, call in ipairs(calls) do
    cloud = cloud + (CLOUD[call[1]] and 1 or 0)
  end
  bench.row(title, ("%d ms"):format(a), ("least %d ms; %d checks"):format(ours[1], n))
  local many = ("%d calls, %d of them to a cloud, in sequence"):format(#calls + 1, cloud)
  bench.row(many, ("%d ms"):format(b), ("least %d ms, %.1f x pai"):format(theirs[1], b / a))
  if #odd > 0 then
    bench.row("not green", tostring(#odd), table.concat(odd, ", "))
  end
end

task.run(function()
  local pace = 0
  local server = assert(serve.listen({
    handler = function(req)
      task.sleep(pace)
      if req.path:find("/index%.yaml$") then
        return { body = INDEX }
      end
      return {
        headers = { ["Content-Type"] = "application/json" },
        body = json.encode({ functions = { { id = FUNCTION, name = "f", status = "ACTIVE" } } }),
      }
    end,
  }))
  local api = ("http://127.0.0.1:%d"):format(server:port())
  local dir = assert(fs.realpath(assert(fs.tempdir({ prefix = "pai-bench-" }))))
  conversation()
  make_tools(dir)
  local names = components()
  local env = {
    PATH = dir .. "/bin",
    HOME = dir,
    NGC_API_KEY = crypto.hex(16),
    HF_TOKEN = crypto.hex(16),
  }
  local function ask()
    assert(http.request({ url = api .. "/v2/nvcf/functions", proxy = "" }))
  end
  local argv = command(names, api)
  write_answers(dir, 0)
  measure(("%d preflights, answered at once"):format(#names), 15, dir, argv, env, ask)
  pace = CLOUD_MS
  write_answers(dir, CLOUD_MS)
  measure(("%d preflights, 0.7 s a cloud call"):format(#names), 3, dir, argv, env, ask)
  server:close()
  fs.remove(dir, { recursive = true })
end)
