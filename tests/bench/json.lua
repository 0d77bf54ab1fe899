-- JSON to Lua tables beside lua-cjson, on a made list of pods.
local json = require("pai.json")
local bench = dofile("tests/bench/bench.lua")

local function pod(i)
  local labels =
    { app = "web-" .. i % 50, tier = "backend", ["pod-template-hash"] = ("%08x"):format(i) }
  return {
    apiVersion = "v1",
    kind = "Pod",
    metadata = { name = "web-" .. i, namespace = "ns-" .. i % 20, labels = labels, generation = i },
    spec = {
      nodeName = "node-" .. i % 100,
      containers = {
        {
          name = "main",
          image = "example.com/team/web:1." .. i,
          args = { "--port=8080", '--name="web"', "--verbose" },
          resources = { limits = { cpu = "500m", memory = "256Mi" } },
          env = {
            { name = "A", value = "some value of ordinary length" },
            { name = "B", value = "" },
          },
        },
      },
      tolerations = { { key = "gpu", operator = "Exists", effect = "NoSchedule" } },
    },
    status = {
      phase = "Running",
      podIP = "10.0.0." .. i % 250,
      ready = true,
      restarts = i % 7,
      load = i / 7,
    },
  }
end

local function pod_list(count)
  local items = {}
  for i = 1, count do
    items[i] = pod(i)
  end
  return json.encode({ apiVersion = "v1", kind = "PodList", items = items })
end

-- What `pai osmo list` reads: flat rows with many strings that come once.
local function row_list(count)
  local rows = {}
  for i = 1, count do
    local at = ("2026-11-%02dT10:%02d:%02d.12345"):format(i % 28 + 1, i % 60, i % 59)
    rows[i] = {
      name = "workflow-" .. i,
      workflow_uuid = ("%032x"):format(i * 7919),
      user = "user-" .. i % 30,
      pool = "default",
      priority = "NORMAL",
      status = i % 2 == 0 and "COMPLETED" or "RUNNING",
      submit_time = at .. "1",
      start_time = at .. "2",
      end_time = i % 3 == 0 and json.null or at .. "3",
      duration = i * 1.5,
      overview = "http://127.0.0.1/workflows/workflow-" .. i,
      logs = "http://127.0.0.1/api/workflow/workflow-" .. i .. "/logs",
    }
  end
  return json.encode({ workflows = rows, more_entries = false })
end

local cjson = bench.peer("cjson", "lua-cjson")

local function row(name, bytes, ours, theirs)
  local detail = theirs and ("%.2f x lua-cjson"):format(theirs / ours)
  bench.row(name, ("%.0f MB/s"):format(bytes / 1e6 / ours), detail)
end

-- Rounds of both in turns, so that a busy moment of the machine meets both.
local function beside(rounds, ours, theirs)
  local a, b = math.huge, math.huge
  for _ = 1, rounds do
    a = math.min(a, bench.best(1, ours))
    b = theirs and math.min(b, bench.best(1, theirs)) or b
  end
  return a, theirs and b or nil
end

local function measure(what, text, rounds)
  local ours, theirs = beside(rounds, function()
    assert(json.decode(text))
  end, cjson and function()
    cjson.decode(text)
  end)
  row(("pai.json.decode, %.0f MB of %s"):format(#text / 1e6, what), #text, ours, theirs)
  local value = json.decode(text, { null = false })
  local written, by_peer = beside(rounds, function()
    json.encode(value)
  end, cjson and function()
    cjson.encode(value)
  end)
  row(("pai.json.encode, %s, keys sorted"):format(what), #text, written, by_peer)
  return theirs
end

local pods = pod_list(20000)
local theirs = measure("pods", pods, 5)
measure("rows", row_list(10000), 15)
local names = bench.best(3, function()
  assert(json.decode(pods, { pick = { "items[].metadata.name" } }))
end)
row("pai.json.decode, names of pods picked", #pods, names, theirs)
