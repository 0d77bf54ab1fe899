-- 3,000 pods listed, filtered and printed: whole processes of pai and kubectl by turns, against one
-- stand-in that has its answers ready (pages of 500; whole pods of some 1.6 KB). KUBECTL names
-- another kubectl than that of PATH.
local bench = dofile("tests/bench/bench.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local serve = require("pai.serve")
local task = require("pai.task")

local KUBECTL <const> = os.getenv("KUBECTL") or "kubectl"
local PODS <const>, PAGE <const>, ROUNDS <const> = 3000, 500, 15

local function meta(i)
  return {
    name = ("worker-%04d"):format(i),
    namespace = "default",
    uid = ("00000000-0000-0000-0000-%012d"):format(i),
    resourceVersion = tostring(1000 + i),
    creationTimestamp = "2026-01-01T00:00:00Z",
    labels = { app = "worker-" .. i % 20, ["pod-template-hash"] = ("%08x"):format(i) },
    managedFields = {
      {
        manager = "kubelet",
        operation = "Update",
        apiVersion = "v1",
        fieldsType = "FieldsV1",
        fieldsV1 = json.decode(
          ('{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{%s}}'):format(
            ('"f:field":{},'):rep(20) .. '"f:last":{}'
          )
        ),
      },
    },
  }
end

local function phase(i)
  return i % 50 == 0 and "Pending" or "Running"
end

local function pod(i)
  local env = {}
  for n = 1, 12 do
    env[n] = { name = "SETTING_" .. n, value = "a value of ordinary length, number " .. n }
  end
  return {
    metadata = meta(i),
    spec = {
      nodeName = "node-" .. i % 50,
      containers = {
        {
          name = "main",
          image = "example.com/team/worker:1." .. i % 9,
          env = env,
          resources = { limits = { cpu = "500m", memory = "256Mi" } },
        },
      },
      tolerations = { { key = "gpu", operator = "Exists", effect = "NoSchedule" } },
    },
    status = {
      phase = phase(i),
      podIP = "10.0.0." .. i % 250,
      conditions = { { type = "Ready", status = "True" } },
      containerStatuses = { { name = "main", ready = true, restartCount = i % 3 } },
    },
  }
end

local COLUMNS <const> = { "Name", "Ready", "Status", "Restarts", "Age" }

local function row(i, whole)
  local object =
    { kind = "PartialObjectMetadata", apiVersion = "meta.k8s.io/v1", metadata = meta(i) }
  return {
    cells = { ("worker-%04d"):format(i), "1/1", phase(i), tostring(i % 3), "3d" },
    object = whole and object or nil,
  }
end

-- The bodies of all pages of one form.
local function pages(form)
  local bodies = {}
  for page = 1, PODS // PAGE do
    local items = {}
    for i = 1, PAGE do
      local n = (page - 1) * PAGE + i
      items[i] = form == "pods" and pod(n) or row(n, form == "rows")
    end
    local doc = { metadata = { resourceVersion = "9000" } }
    if page < PODS // PAGE then
      doc.metadata.continue = tostring(page + 1)
    end
    if form == "pods" then
      doc.kind, doc.apiVersion, doc.items = "PodList", "v1", items
    else
      doc.kind, doc.apiVersion, doc.rows = "Table", "meta.k8s.io/v1", items
      doc.columnDefinitions = {}
      for i, name in ipairs(COLUMNS) do
        local column = { name = name, type = "string", format = "", description = "", priority = 0 }
        doc.columnDefinitions[i] = column
      end
    end
    bodies[page] = json.encode(doc)
  end
  return bodies
end

local bodies = { pods = pages("pods"), rows = pages("rows"), cells = pages("cells") }

local RESOURCE <const> = {
  name = "pods",
  singularName = "pod",
  namespaced = true,
  kind = "Pod",
  verbs = { "get", "list", "watch" },
  shortNames = { "po" },
}

local OTHER <const> = {
  ["/api"] = { kind = "APIVersions", versions = { "v1" } },
  ["/apis"] = { kind = "APIGroupList", apiVersion = "v1", groups = json.array() },
  ["/api/v1"] = { kind = "APIResourceList", groupVersion = "v1", resources = { RESOURCE } },
}

local function answer(req)
  local headers = { ["Content-Type"] = "application/json" }
  if req.path ~= "/api/v1/namespaces/default/pods" then
    local doc = OTHER[req.path]
    return { status = doc and 200 or 404, headers = headers, body = json.encode(doc or {}) }
  end
  local form = "pods"
  if (req.headers.accept or ""):find("as=Table", 1, true) then
    local include = req.query.includeObject and req.query.includeObject[1]
    form = include == "None" and "cells" or "rows"
  end
  local page = math.tointeger(tonumber(req.query.continue and req.query.continue[1] or "1"))
  return { headers = headers, body = bodies[form][page] }
end

local function size(form)
  local bytes = 0
  for _, body in ipairs(bodies[form]) do
    bytes = bytes + #body
  end
  return bytes / 1e6
end

local function measure(dir, runs)
  local times = {}
  for _ = 1, ROUNDS do
    for name, argv in pairs(runs) do
      local res = assert(exec.run(argv, {
        env = { HOME = dir, KUBECONFIG = dir .. "/config" },
        timeout = "60s",
      }))
      local lines = select(2, res.stdout:gsub("\n", "\n"))
      assert(lines >= 1, name)
      times[name] = times[name] or {}
      table.insert(times[name], res.duration_ms)
    end
  end
  return times
end

local function show(name, times, peer)
  local median = bench.median(times)
  local detail = ("least %d ms"):format(times[1])
  if peer then
    detail = ("%s; %.2f x kubectl"):format(detail, median / bench.median(peer))
  end
  bench.row(name, ("%d ms"):format(median), detail)
end

task.run(function()
  local server = assert(serve.listen({ handler = answer }))
  local dir = assert(fs.tempdir())
  assert(fs.write(
    dir .. "/config",
    ([[
apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "http://127.0.0.1:%d"}}]
contexts: [{name: c, context: {cluster: c}}]
]]):format(server:port())
  ))
  local kubectl = exec.run({ KUBECTL, "version", "--client", "-o", "json" }, { timeout = "60s" })
  local get = { pai.exe, "k8s", "get", "pods" }
  local runs = {
    table = { table.unpack(get) },
    picked = { table.unpack(get) },
  }
  table.move({ "--where", "Status!=Running" }, 1, 2, 5, runs.table)
  table.move(
    { "--json", "--pick", "metadata.name", "--pick", "status.phase" },
    1,
    5,
    5,
    runs.picked
  )
  if kubectl then
    runs.kubectl_table = { KUBECTL, "get", "pods" }
    local template = "jsonpath={range .items[*]}{.metadata.name} {.status.phase}{'\\n'}{end}"
    runs.kubectl_picked = { KUBECTL, "get", "pods", "-o", template }
  else
    bench.row("kubectl", "-", "not installed (kubernetes-client)")
  end
  local times = measure(dir, runs)
  show("pai k8s get pods --where, table", times.table, times.kubectl_table)
  show(
    ("pai k8s get pods --json --pick, of %.1f MB"):format(size("pods")),
    times.picked,
    times.kubectl_picked
  )
  if kubectl then
    show("kubectl get pods, table", times.kubectl_table)
    show("kubectl get pods -o jsonpath", times.kubectl_picked)
    local version = json.decode(kubectl.stdout)
    bench.row("kubectl", version and version.clientVersion.gitVersion or "?")
  end
  server:close()
  fs.remove(dir, { recursive = true })
end)
