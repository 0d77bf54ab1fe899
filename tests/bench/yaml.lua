-- YAML to Lua tables beside lyaml, on a made stream of Kubernetes documents.
local yaml = require("pai.yaml")
local bench = dofile("tests/bench/bench.lua")

local DOCUMENT = [[
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web-%d
  labels: {app: web, tier: "backend", index: %d}
  annotations:
    note: |
      Two lines of a literal,
      the second one.
spec:
  replicas: 3
  template:
    spec:
      containers:
        - name: main
          image: example.com/team/web:1.2
          args: [--port=8080, --verbose]
          resources:
            limits: {cpu: 500m, memory: 256Mi}
      terminationGracePeriodSeconds: 30
      hostNetwork: false
]]

local documents = {}
for i = 1, 3000 do
  documents[i] = DOCUMENT:format(i, i)
end
local text = table.concat(documents, "---\n")
local megabytes = #text / 1e6

local ours = bench.best(3, function()
  local all = assert(yaml.decode(text, { all = true, max_size = 1 << 30 }))
  assert(#all == #documents)
end)
local lyaml = bench.peer("lyaml", "lua-yaml")
local theirs = lyaml and bench.best(1, function()
  lyaml.load(text, { all = true })
end)
bench.row(
  ("pai.yaml.decode, %.1f MB"):format(megabytes),
  ("%.1f MB/s"):format(megabytes / ours),
  theirs and ("%.1f x lyaml"):format(theirs / ours)
)
if theirs then
  bench.row("lyaml", ("%.1f MB/s"):format(megabytes / theirs))
end
