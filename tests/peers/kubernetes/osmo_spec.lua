-- osmo-k8s against a real kube-apiserver and its controllers: namespaces, Secrets, databases, a
-- MinIO of its own and its bucket. Pods become Ready because the test says so; helm and OSMO are
-- played.
local client = require("pai.k8s.client")
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local osmo_support = assert(loadfile("tests/spec/components/osmo_support.lua", "t", _ENV))()
local support = dofile(pai.root .. "/tests/spec/run/support.lua")
local server = dofile(pai.root .. "/tests/peers/kubernetes/server.lua")
local task = require("pai.task")

local READY <const> = { { type = "Ready", status = "True" } }
local NAMESPACES <const> = { "osmo-minimal", "osmo-operator", "osmo-workflows", "minio-operator" }

local s, c, t, o, playing

-- A pod starts when its volumes are bound.
local function may_start(pod, namespace)
  for _, volume in ipairs(pod.spec.volumes or {}) do
    local name = volume.persistentVolumeClaim and volume.persistentVolumeClaim.claimName
    local claim = name and c:get("pvc", name, { namespace = namespace })
    if name and not (claim and claim.status.phase == "Bound") then
      return false
    end
  end
  return pod.status.phase == "Pending" and not pod.metadata.deletionTimestamp
end

-- What a kubelet reports: pods of Jobs end well, all others run.
local function play()
  local alive = { conditions = { server.node_ready() } }
  c:patch("nodes", "one", { status = alive }, { subresource = "status" })
  for _, namespace in ipairs(NAMESPACES) do
    for _, pod in ipairs(c:list("pods", { namespace = namespace }) or {}) do
      local job = (pod.metadata.labels or {})["job-name"]
      if may_start(pod, namespace) then
        local status = job and { phase = "Succeeded" } or { phase = "Running", conditions = READY }
        local opts = { namespace = namespace, subresource = "status" }
        c:patch("pods", pod.metadata.name, { status = status }, opts)
      end
    end
    -- What the backend operator's chart would bring.
    local account = namespace == "osmo-operator"
      and c:get("sa", "default", { namespace = namespace })
    if account and not c:get("pods", "listener", { namespace = namespace }) then
      c:create({
        apiVersion = "v1",
        kind = "Pod",
        metadata = { name = "listener", namespace = namespace },
        spec = {
          automountServiceAccountToken = false,
          containers = { { name = "main", image = "example.com/main:1" } },
        },
      })
    end
    -- A provisioner's volumes.
    for _, claim in ipairs(c:list("pvc", { namespace = namespace }) or {}) do
      if claim.status.phase == "Pending" and not c:get("pv", claim.metadata.name) then
        c:create({
          apiVersion = "v1",
          kind = "PersistentVolume",
          metadata = { name = claim.metadata.name },
          spec = {
            accessModes = claim.spec.accessModes,
            capacity = { storage = "20Gi" },
            storageClassName = "local",
            claimRef = { name = claim.metadata.name, namespace = namespace },
            hostPath = { path = "/none" },
          },
        })
      end
    end
  end
end

setup(function()
  task.run(function()
    s = server.start()
    c = assert(client.connect({ kubeconfig = s.kubeconfig, context = "admin" }))
    assert(c:create({ apiVersion = "v1", kind = "Node", metadata = { name = "one" } }))
    assert(c:apply({
      apiVersion = "storage.k8s.io/v1",
      kind = "StorageClass",
      metadata = {
        name = "local",
        annotations = { ["storageclass.kubernetes.io/is-default-class"] = "true" },
      },
      provisioner = "example.com/none",
    }))
    t = osmo_support.new()
    t.context, t.kubeconfig = "admin", s.kubeconfig
    o = osmo_support.osmo()
    playing = task.spawn(function()
      while true do
        play()
        task.sleep(200)
      end
    end)
  end)
end)

teardown(function()
  task.run(function()
    playing:cancel()
    pcall(playing.wait, playing)
    o.server:close()
    t.bench:remove()
    s:close()
  end)
end)

-- Versions of what deploy makes; claims and Deployments are written to by controllers, too, so that
-- of those the generation counts.
local function versions()
  local list = {}
  for _, namespace in ipairs(NAMESPACES) do
    for _, what in ipairs({ "secrets", "configmaps", "services", "deployments", "pvc" }) do
      for _, object in ipairs(assert(c:list(what, { namespace = namespace }))) do
        local name = ("%s/%s/%s"):format(namespace, what, object.metadata.name)
        local counts = what == "deployments" and object.metadata.generation
          or what == "pvc" and object.metadata.uid
          or object.metadata.resourceVersion
        list[name] = counts
      end
    end
  end
  return list
end

-- The server is older than OSMO wants, which is the first check of the step `cluster`. Here that
-- step goes without it, so that the rest can be seen; the gate after the releases still has it.
local function without_version()
  local path = t.bench.dir .. "/components/osmo-k8s/deploy.lua"
  local text = assert(fs.read(path))
  local changed, n =
    text:gsub("(local list = checks%.cluster%b()\n)", "%1  table.remove(list, 1)\n")
  assert(n == 1)
  assert(fs.write(path, changed))
end

-- Checks that were red, by name; a step that failed ends the test.
local function reds(r)
  local list = {}
  for _, e in ipairs(support.events(r.stdout)) do
    if e.event == "step.fail" then
      error(e.step .. ": " .. e.error.message)
    end
    for _, check in ipairs(e.event == "gate" and e.checks or {}) do
      if check.state == "red" or check.state == "unknown" then
        list[#list + 1] = ("%s: %s"):format(check.name, tostring(check.measured))
      end
    end
  end
  return list
end

local function it_runs(title, fn)
  it(title, function()
    task.run(fn)
  end)
end

local OLD <const> = { "Kubernetes API of admin: v1.20.2" }

describe("osmo-k8s on a real API server", function()
  it_runs("refuses a Kubernetes that is too old, and has looked at all the rest", function()
    local r = t:call("deploy", o)
    assert.equal(1, r.code, r.stderr)
    assert.same(OLD, reds(r))
    for _, said in ipairs({ "1 Ready", "is to be installed", '"measured":"install"' }) do
      assert.truthy(r.stdout:find(said, 1, true), r.stdout)
    end
    assert.is_nil((c:get("ns", "osmo-minimal")))
  end)

  it_runs("is deployed, and a second run changes nothing", function()
    without_version()
    local r = t:call("deploy", o)
    assert.same(OLD, reds(r))
    assert.same(
      { "upgrade kai-scheduler", "upgrade osmo-minimal", "upgrade osmo-operator" },
      t:helm_acts()
    )
    local where = { namespace = "osmo-minimal" }
    local cred = assert(c:secret("osmo-workflow-data-cred", where))
    local root = assert(c:secret("minio-root", { namespace = "minio-operator" }))
    assert.is_true(cred.access_key:equals(root["root-password"]))
    assert.truthy(assert(c:secret("nvcr-secret", where))[".dockerconfigjson"])
    assert.equal(
      "Bound",
      assert(c:get("pvc", "minio-data", {
        namespace = "minio-operator",
      })).status.phase
    )
    assert.equal(1, assert(c:get("deployments", "postgres", where)).status.availableReplicas)
    assert.is_nil((c:get("jobs", "osmo-bucket-setup", { namespace = "minio-operator" })))
    local before = versions()
    t.talk:forget()
    r = t:call("deploy", o)
    assert.same(OLD, reds(r))
    assert.same(before, versions())
    assert.same({}, t:helm_acts())
    -- A key that was changed by hand is brought back, and nothing else is written.
    assert(c:patch("secrets", "osmo-workflow-log-cred", {
      stringData = { access_key = crypto.hex(8) },
    }, where))
    t:call("deploy", o)
    local log = assert(c:secret("osmo-workflow-log-cred", where))
    assert.is_true(log.access_key:equals(root["root-password"]))
  end)

  it_runs("is red with the reason when something is exposed or can't run", function()
    local where = { namespace = "osmo-minimal" }
    assert(c:patch("services", "postgres", { spec = { type = "NodePort" } }, where))
    local broken = assert(c:list("pods", { namespace = "osmo-operator" }))[1].metadata.name
    assert(c:patch("pods", broken, {
      status = {
        conditions = { { type = "Ready", status = "False" } },
        containerStatuses = {
          {
            name = "main",
            image = "example.com/main:1",
            imageID = "",
            ready = false,
            restartCount = 0,
            state = { waiting = { reason = "ErrImagePull", message = "401 Unauthorized" } },
          },
        },
      },
    }, { namespace = "osmo-operator", subresource = "status" }))
    local r = t:call("deploy", o)
    local said = table.concat(reds(r), "\n")
    assert.truthy(said:find("osmo-minimal/postgres: NodePort", 1, true), said)
    assert.truthy(said:find("Pod listener: credential: ", 1, true), said)
  end)

  it_runs("is taken away, the key first, and what others have made stays", function()
    local out = t.bench.dir .. "/mek.yaml"
    local r = t:call("teardown", o, { "mek_out=" .. out, "minio=true", "--yes" })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.equal(384, fs.stat(out).mode & 511)
    for _, namespace in ipairs(NAMESPACES) do
      assert.is_nil((c:get("ns", namespace)), namespace)
    end
    assert.truthy((c:get("ns", "kube-system")))
    r = t:call("teardown", o, { "mek_out=" .. out, "minio=true", "--yes" })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    t.talk:check()
  end)
end)
