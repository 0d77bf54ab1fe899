-- The client against a real kube-apiserver, and the scripted one's answers against its.
local client = require("pai.k8s.client")
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")
local server = dofile(pai.root .. "/tests/peers/kubernetes/server.lua")
local shapes = dofile(pai.root .. "/tests/spec/k8s/shapes.lua")
local task = require("pai.task")

local s, admin, jane

setup(function()
  s = task.run(server.start)
  admin = assert(client.connect({ kubeconfig = s.kubeconfig, context = "admin" }))
  jane = assert(client.connect({ kubeconfig = s.kubeconfig, context = "jane" }))
end)

teardown(function()
  task.run(function()
    s:close()
  end)
end)

local function it_runs(title, fn)
  it(title, function()
    task.run(fn)
  end)
end

local function config_map(name, data)
  return { apiVersion = "v1", kind = "ConfigMap", metadata = { name = name }, data = data }
end

local function pod(name, labels)
  return {
    apiVersion = "v1",
    kind = "Pod",
    metadata = { name = name, labels = labels },
    spec = {
      automountServiceAccountToken = false,
      containers = { { name = "main", image = "example.com/main:1" } },
    },
  }
end

local function crd()
  local any = { type = "object", ["x-kubernetes-preserve-unknown-fields"] = true }
  return server.nim_crd({
    type = "object",
    required = { "image" },
    properties = { image = any, replicas = { type = "integer", minimum = 0 } },
    ["x-kubernetes-preserve-unknown-fields"] = true,
  })
end

-- What a list's item is compared with: the one of the same name, else the first.
local function counterpart(list, item)
  for _, other in ipairs(list) do
    if type(item) == "table" and type(other) == "table" and other.name == item.name then
      return other
    end
  end
  return list[1]
end

-- Every key of the sample is in the real one with the same type.
local function has_shape(sample, real, path)
  if json.is_array(real) then
    for _, item in ipairs(sample) do
      local other = counterpart(real, item)
      assert.equal(type(item), type(other), path)
      if type(item) == "table" then
        has_shape(item, other, path .. "[]")
      end
    end
    return
  end
  for key, value in pairs(sample) do
    local where = path .. "." .. tostring(key)
    assert.equal(type(value), type(real[key]), where)
    if type(value) == "table" then
      has_shape(value, real[key], where)
    end
  end
end

local function raw(c, method, path, opts)
  local res, e = c.transport:call(method, path, opts)
  return res, e
end

-- The Status of a request that is refused, as the server sent it.
local function refused(c, method, path, opts)
  local http = require("pai.http")
  local send = http.request
  local seen
  http.request = function(request) -- luacheck: ignore 122
    local res, e = send(request)
    seen = e and e.body
    return res, e
  end
  raw(c, method, path, opts)
  http.request = send -- luacheck: ignore 122
  return assert(json.decode(seen))
end

describe("the scripted server's answers", function()
  it_runs("for refusals are those of a real one", function()
    local pods = "/api/v1/namespaces/default/pods"
    local maps = "/api/v1/namespaces/default/configmaps"
    assert(admin:apply(config_map("c", { a = "1" })))
    local body = json.encode(config_map("c", { a = "2" }))
    local apply = { body = body, content_type = "application/apply-patch+yaml" }
    apply.query = { fieldManager = "other" }
    local nameless = pod("p")
    nameless.spec.containers[1].image = nil
    local real = {
      forbidden = refused(jane, "GET", pods),
      forbidden_one = refused(jane, "GET", "/api/v1/nodes/x"),
      not_found = refused(admin, "GET", pods .. "/x"),
      exists = refused(admin, "POST", maps, { body = body }),
      apply_conflict = refused(admin, "PATCH", maps .. "/c", apply),
      invalid = refused(admin, "POST", pods, { body = json.encode(nameless) }),
    }
    for name, status in pairs(real) do
      has_shape(shapes[name], status, name)
      assert.same({ shapes[name].message, shapes[name].reason, shapes[name].code }, {
        status.message,
        status.reason,
        status.code,
      })
      assert.same(shapes[name].details.causes, status.details.causes)
    end
    local path = s.dir .. "/wrong"
    assert(fs.write(path, (assert(fs.read(s.kubeconfig)):gsub(s.jane, "wrong-token"))))
    local wrong = assert(client.connect({ kubeconfig = path, context = "jane" }))
    local status = refused(wrong, "GET", pods)
    has_shape(shapes.unauthorized, status, "unauthorized")
    assert.equal(shapes.unauthorized.reason, status.reason)
  end)

  it_runs("for discovery and objects have its shape", function()
    has_shape(shapes.core, raw(admin, "GET", "/api/v1"), "core")
    has_shape(shapes.groups, raw(admin, "GET", "/apis"), "groups")
    has_shape(shapes.namespace, raw(admin, "GET", "/api/v1/namespaces/kube-system"), "namespace")
    assert(admin:apply(pod("shape")))
    local list = raw(admin, "GET", "/api/v1/namespaces/default/pods", { query = { limit = 1 } })
    has_shape(shapes.pods({ shapes.pod("shape") }, "1"), list, "pods")
    assert.is_nil(list.items[1].kind)
    assert(admin:delete("pod", "shape", { grace_s = 0, wait = true }))
    assert.is_false(jane:can("list", "pods"))
    assert.is_true(admin:can("list", "pods"))
  end)
end)

describe("objects", function()
  it_runs("are applied, and a second time nothing changes", function()
    assert.equal("created", select(2, assert(admin:apply(config_map("one", { a = "1" })))))
    assert.equal("unchanged", select(2, assert(admin:apply(config_map("one", { a = "1" })))))
    assert.equal("configured", select(2, assert(admin:apply(config_map("one", { a = "2" })))))
    local dry = assert(admin:apply(config_map("one", { a = "9" }), { dry_run = true }))
    assert.equal("9", dry.data.a)
    assert.equal("2", assert(admin:get("cm", "one")).data.a)
  end)

  it_runs("have owners by field, and a conflict names them", function()
    assert(admin:apply(config_map("owned", { a = "1", b = "1" })))
    local _, e = admin:apply(config_map("owned", { a = "2" }), { manager = "team" })
    assert.same({ { field = ".data.a", manager = "pai" } }, e.conflicts)
    assert(admin:apply(config_map("owned", { a = "2" }), { manager = "team", force = true }))
    assert.equal("2", assert(admin:get("cm", "owned")).data.a)
  end)

  it_runs("are patched in three ways", function()
    assert(admin:apply(config_map("patched", { a = "1" })))
    local changed = assert(admin:patch("cm", "patched", { data = { b = "2" } }))
    assert.same({ a = "1", b = "2" }, changed.data)
    changed = assert(admin:patch("cm", "patched", {
      { op = "remove", path = "/data/a" },
    }, { type = "json" }))
    assert.same({ b = "2" }, changed.data)
    assert(admin:patch("cm", "patched", { data = { c = "3" } }, { type = "strategic" }))
  end)

  it_runs("of a Secret go out and come back as handles", function()
    local value = require("pai.secret").generate(16)
    assert(admin:apply({
      apiVersion = "v1",
      kind = "Secret",
      metadata = { name = "s" },
      stringData = { key = value, word = "plain" },
    }))
    assert.is_true(assert(admin:secret("s")).key:equals(value))
    assert.equal(5, admin:secret("s").word:len())
    local seen = assert(admin:get("secret", "s"))
    assert.is_nil(seen.data)
    for _, one in ipairs(assert(admin:list("secrets"))) do
      assert.is_nil(one.data)
    end
  end)

  it_runs("are deleted once they are gone: foreground, finalizers, another of the name", function()
    assert(admin:apply({
      apiVersion = "v1",
      kind = "ConfigMap",
      metadata = { name = "held", finalizers = { "example.com/hold" } },
    }))
    local _, e = admin:delete("cm", "held", { wait = true, timeout = "3s" })
    assert.equal("ETIMEDOUT", e.code)
    assert.truthy(e.seen:find("example.com/hold", 1, true))
    local gone = task.spawn(function()
      return admin:wait("cm", "held", { ["for"] = "delete" })
    end)
    assert(admin:patch("cm", "held", { metadata = { finalizers = json.null } }))
    assert(gone:wait("60s"))
    assert.equal("absent", admin:delete("cm", "held", { absent = true }))
  end)

  it_runs("of a kind that is not there are refused by name", function()
    local _, e = admin:apply({
      apiVersion = "none.example/v1",
      kind = "Thing",
      metadata = { name = "x" },
    })
    assert.same({ "ENOENT", "NoKind" }, { e.code, e.reason })
  end)
end)

describe("RBAC", function()
  it_runs("says what is missing, and it is enough", function()
    local _, e = jane:list("configmaps")
    assert.equal("jane", e.denied.user)
    assert(admin:apply({
      apiVersion = "rbac.authorization.k8s.io/v1",
      kind = "Role",
      metadata = { name = "reads" },
      rules = {
        {
          apiGroups = { e.denied.group or "" },
          resources = { e.denied.resource },
          verbs = { e.denied.verb },
        },
      },
    }))
    assert(admin:apply({
      apiVersion = "rbac.authorization.k8s.io/v1",
      kind = "RoleBinding",
      metadata = { name = "reads" },
      roleRef = { apiGroup = "rbac.authorization.k8s.io", kind = "Role", name = "reads" },
      subjects = {
        { apiGroup = "rbac.authorization.k8s.io", kind = "User", name = e.denied.user },
      },
    }))
    local deadline = task.now() + 60000
    local list
    repeat
      list, e = jane:list("configmaps")
      if not list then
        task.sleep(100) -- the authorizer reads roles a moment later
      end
    until list or task.now() > deadline
    assert(list, e)
    local identity = assert(jane:identity())
    assert.same({ s.port, nil }, { tonumber(identity.server:match("%d+$")), identity.uid })
    assert.truthy(admin:identity().uid)
  end)
end)

describe("custom resources", function()
  it_runs("are found, checked, waited for", function()
    assert(admin:apply(crd()))
    assert(admin:wait("crd", "nimservices.apps.nvidia.com", { ["for"] = "condition=Established" }))
    local nim = {
      apiVersion = "apps.nvidia.com/v1alpha1",
      kind = "NIMService",
      metadata = { name = "cosmos-reason" },
      spec = { image = { repository = "example.com/nim" }, replicas = 1 },
    }
    local deadline = task.now() + 60000
    local applied, e
    repeat
      applied, e = admin:apply(nim)
      if not applied then
        task.sleep(100) -- established, and served a moment later
      end
    until applied or task.now() > deadline
    assert(applied, e)
    assert.equal("NIMService", assert(admin:list("nimservices.apps.nvidia.com"))[1].kind)
    local bad = json.decode(json.encode(nim))
    bad.metadata.name, bad.spec.replicas = "bad", -1
    local _
    _, e = admin:apply(bad)
    assert.same({ "Invalid", true }, { e.reason, e.message:find("spec.replicas", 1, true) ~= nil })
    local ready = task.spawn(function()
      return admin:wait("nimservice", "cosmos-reason", { ["for"] = "ready" })
    end)
    assert(admin:patch("nimservice", "cosmos-reason", { status = { state = "Ready" } }, {
      subresource = "status",
    }))
    assert.equal("Ready", assert(ready:wait("60s")).status.state)
    local failed = { status = { state = "Failed" } }
    assert(admin:patch("nimservice", "cosmos-reason", failed, { subresource = "status" }))
    _, e = admin:wait("nimservice", "cosmos-reason", { ["for"] = "condition=Ready" })
    assert.equal("EFAILED", e.code)
  end)
end)

describe("nodes and runtime classes", function()
  it_runs("show GPUs and the handler", function()
    assert(admin:create({
      apiVersion = "v1",
      kind = "Node",
      metadata = { name = "gpu-1" },
    }))
    local gpus = { capacity = { ["nvidia.com/gpu"] = "8" }, allocatable = {} }
    gpus.allocatable["nvidia.com/gpu"] = "8"
    assert(admin:patch("node", "gpu-1", { status = gpus }, { subresource = "status" }))
    local nodes = assert(admin:list("nodes", {
      pick = { "metadata.name", 'status.allocatable["nvidia.com/gpu"]' },
    }))
    assert.equal("8", nodes[1].status.allocatable["nvidia.com/gpu"])
    local class = {
      apiVersion = "node.k8s.io/v1",
      kind = "RuntimeClass",
      metadata = { name = "nvidia" },
      handler = "runc",
    }
    assert(admin:apply(class))
    assert.equal("runc", assert(admin:get("runtimeclass", "nvidia")).handler)
    class.handler = "nvidia"
    local _, e = admin:apply(class)
    assert.equal("Invalid", e.reason) -- it cannot be changed: delete and make it anew
    assert(admin:delete("runtimeclass", "nvidia", { wait = true }))
    assert.equal("created", select(2, assert(admin:apply(class))))
  end)
end)

describe("waiting", function()
  it_runs("for a Job ends when it has failed", function()
    assert(admin:apply({
      apiVersion = "batch/v1",
      kind = "Job",
      metadata = { name = "job" },
      spec = {
        backoffLimit = 0,
        template = {
          spec = {
            restartPolicy = "Never",
            containers = { { name = "main", image = "example.com/main:1" } },
          },
        },
      },
    }))
    local waits = task.spawn(function()
      return admin:wait("job", "job", { ["for"] = "condition=Complete", timeout = "120s" })
    end)
    local made
    repeat
      made = assert(admin:list("pods", { labels = "job-name=job" }))
      task.sleep(50)
    until #made > 0
    local failed = { status = { phase = "Failed" } }
    assert(admin:patch("pod", made[1].metadata.name, failed, { subresource = "status" }))
    local done, e = waits:wait("120s")
    assert.is_nil(done)
    assert.same({ "EFAILED", "Failed" }, { e.code, e.condition })
    assert.truthy(e.message:find("BackoffLimitExceeded", 1, true))
  end)

  it_runs("for a Deployment ends at its rollout; a deadline says what was seen last", function()
    local deployment = {
      apiVersion = "apps/v1",
      kind = "Deployment",
      metadata = { name = "web" },
      spec = {
        replicas = 1,
        selector = { matchLabels = { app = "web" } },
        template = {
          metadata = { labels = { app = "web" } },
          spec = { containers = { { name = "main", image = "example.com/web:1" } } },
        },
      },
    }
    assert(admin:apply(deployment))
    local _, e = admin:wait("deploy", "web", { ["for"] = "ready", timeout = "5s" })
    assert.equal("ETIMEDOUT", e.code)
    assert.truthy(e.message:find("0 available", 1, true))
    local waits = task.spawn(function()
      return admin:wait("deploy", "web", { ["for"] = "ready", timeout = "120s" })
    end)
    local made
    repeat
      made = assert(admin:list("pods", { labels = "app=web" }))
      task.sleep(50)
    until #made > 0
    local ready = {
      phase = "Running",
      conditions = { { type = "Ready", status = "True" } },
    }
    local name = made[1].metadata.name
    assert(admin:patch("pod", name, { status = ready }, { subresource = "status" }))
    assert(waits:wait("120s"))
  end)
end)

describe("a watch", function()
  it_runs("goes on through a restart of the server, and ends with what is there", function()
    local events, synced = {}, task.event()
    local known = {}
    local watch = task.spawn(function()
      return admin:watch("configmaps", {
        labels = "watched=yes",
        backoff = { 50, 500 },
        on_sync = function()
          synced:set()
        end,
        on_event = function(kind, object)
          events[#events + 1] = kind .. " " .. object.metadata.name
          known[object.metadata.name] = kind ~= "DELETED" and object.data.a or nil
          return object.metadata.name ~= "last"
        end,
      })
    end)
    local function apply(name, value)
      local object = config_map(name, { a = value })
      object.metadata.labels = { watched = "yes" }
      assert(admin:apply(object))
    end
    assert.is_true(synced:wait("60s"))
    apply("w1", "1")
    apply("w2", "1")
    s:stop_api()
    s:start_api()
    s:wait_ready()
    apply("w1", "2")
    assert(admin:delete("cm", "w2"))
    apply("last", "1")
    assert.is_true(watch:wait("120s"))
    assert.same({ w1 = "2", last = "1" }, known)
    local seen = {}
    for _, event in ipairs(events) do
      seen[event] = (seen[event] or 0) + 1
    end
    assert.same({ 1, 1, 1 }, { seen["ADDED w1"], seen["MODIFIED w1"], seen["DELETED w2"] })
  end)

  it_runs("of an old version starts anew", function()
    local e = refused(admin, "GET", "/api/v1/namespaces/default/pods", {
      query = { resourceVersion = "99999999999", resourceVersionMatch = "Exact", limit = 1 },
    })
    assert.is_true(e.code == 504 or e.code == 410 or e.code == 500)
  end)
end)

describe("3,000 pods", function()
  it_runs("come in pages, whole and picked", function()
    local made = {}
    for i = 1, 3000 do
      made[i] = ("many-%04d"):format(i)
    end
    require("pai.async").each(made, function(name, i)
      assert(admin:create(pod(name, { many = "yes", part = i % 10 == 0 and "ten" or "rest" })))
    end, { limit = 16 })
    local pages = 0
    local items = assert(admin:list("pods", {
      labels = "many=yes",
      pick = { "metadata.name", "metadata.labels" },
    }))
    assert(admin:list("pods", {
      labels = "many=yes",
      on_page = function(page)
        pages = pages + 1
        assert.is_true(#page <= 500)
      end,
    }))
    assert.equal(3000, #items)
    assert.is_true(pages >= 6)
    local seen = {}
    for _, item in ipairs(items) do
      seen[item.metadata.name] = true
    end
    for _, name in ipairs(made) do
      assert.is_true(seen[name], name)
    end
    assert.equal(300, #assert(admin:list("pods", { labels = "part=ten" })))
    local whole = assert(admin:list("pods", { labels = "many=yes" }))
    assert.same({ 3000, "Pod" }, { #whole, whole[3000].kind })
  end)
end)

describe("pai k8s", function()
  local function run(...)
    return assert(require("pai.exec").run({ pai.exe, "k8s", ... }, {
      env = { KUBECONFIG = s.kubeconfig },
      accept = "any",
      timeout = "120s",
    }))
  end

  it_runs("prints the real server's tables, of every page", function()
    local r = run("get", "pods", "--selector", "many=yes", "--where", "STATUS=Pending")
    assert.same({ 0, 3001 }, { r.code, select(2, r.stdout:gsub("\n", "")) })
    assert.truthy(r.stdout:find("^NAME +READY +STATUS +RESTARTS +AGE"))
    r = run("get", "cm", "--all", "--where", "NAME=one")
    assert.truthy(r.stdout:find("default +one"))
    r = run("get", "nimservices")
    assert.truthy(r.stdout:find("cosmos%-reason"))
  end)

  it_runs("applies files, and a definition before what it defines", function()
    local file = s.dir .. "/app.yaml"
    assert(fs.write(
      file,
      [[
apiVersion: example.com/v1
kind: Toy
metadata: {name: one}
spec: {a: 1}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: toys.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: toys, kind: Toy}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
]]
    ))
    local r = run("apply", "--context", "admin", file)
    assert.equal(0, r.code, r.stderr)
    assert.truthy(r.stdout:find("^CustomResourceDefinition .*Toy one created\n$"))
    r = run("apply", "--context", "admin", file)
    assert.truthy(r.stdout:find("Toy one unchanged", 1, true))
    r = run("delete", "--context", "admin", "toy", "one", "--yes")
    assert.same({ 0, "toy one deleted\n" }, { r.code, r.stdout })
  end)

  it_runs("takes no answer without a kubelet for a success", function()
    assert(admin:apply(pod("hostless")))
    local r = run("exec", "--context", "admin", "hostless", "--", "true")
    assert.equal(125, r.code)
    assert.truthy(r.stderr:find("pod hostless does not have a host assigned", 1, true))
    local _, e = admin:forward({ to = "hostless", port = 80, backoff = { 1, 5 } })
    assert.equal("EHTTP", e.code)
    _, e = jane:exec("hostless", { "true" })
    assert.same({ "Forbidden", "jane" }, { e.reason, e.denied and e.denied.user })
  end)

  it_runs("diagnoses claims, jobs and workloads as the controllers leave them", function()
    assert(admin:apply({
      apiVersion = "v1",
      kind = "PersistentVolumeClaim",
      metadata = { name = "data" },
      spec = {
        accessModes = { "ReadWriteMany" },
        storageClassName = "none",
        resources = { requests = { storage = "1Gi" } },
      },
    }))
    local found
    local deadline = task.now() + 60000
    repeat
      found = {}
      for _, f in ipairs(assert(require("pai.k8s.diagnose").namespace(admin))) do
        found[f.kind .. " " .. f.name] = f
      end
    until found["PersistentVolumeClaim data"] or task.now() > deadline
    assert.equal("storage", found["PersistentVolumeClaim data"].layer)
    assert.equal("job", found["Job job"].layer)
    assert.equal("NIMService", found["NIMService cosmos-reason"].kind)
  end)
end)

describe("without a cluster", function()
  it_runs("the error names the context", function()
    local path = s.dir .. "/nowhere"
    assert(fs.write(path, (assert(fs.read(s.kubeconfig)):gsub("127.0.0.1:%d+", "127.0.0.1:1"))))
    local c = assert(client.connect({ kubeconfig = path, context = "admin" }))
    local _, e = c:get("pods", "x")
    assert.is_true(err.is(e, "ENETWORK"))
    assert.truthy(e.hint:find("'admin'", 1, true))
  end)
end)
