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

local text = pod_list(20000)
local megabytes = #text / 1e6

local function rate(seconds)
  return ("%.0f MB/s"):format(megabytes / seconds)
end

local ours = bench.best(3, function()
  assert(json.decode(text))
end)
local names = bench.best(3, function()
  assert(json.decode(text, { pick = { "items[].metadata.name" } }))
end)
local cjson = bench.peer("cjson", "lua-cjson")
local theirs = cjson and bench.best(3, function()
  cjson.decode(text)
end)
bench.row(
  ("pai.json.decode, %.0f MB of pods"):format(megabytes),
  rate(ours),
  theirs and ("%.2f x lua-cjson"):format(theirs / ours)
)
bench.row(
  "pai.json.decode, names picked",
  rate(names),
  theirs and ("%.2f x lua-cjson"):format(theirs / names)
)
if theirs then
  bench.row("lua-cjson", rate(theirs))
end
