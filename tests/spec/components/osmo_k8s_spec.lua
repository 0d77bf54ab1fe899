-- osmo-k8s against a cluster in memory, a helm that keeps releases, and an OSMO that answers.
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local osmo_support = assert(loadfile("tests/spec/components/osmo_support.lua", "t", _ENV))()
local secrecy = dofile("tests/spec/components/secrecy.lua")
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local json = require("pai.json")
local yaml = require("pai.yaml")

local ID <const> = "run-0badcafe"
local SERVICE <const> = osmo_support.SERVICE

local osmo, value = osmo_support.osmo, osmo_support.value

describe("osmo-k8s", function()
  local t, bench, talk

  before_each(function()
    t = osmo_support.new()
    bench, talk = t.bench, t.talk
  end)

  after_each(function()
    bench:remove()
  end)

  local function prepare(c)
    t:prepare(c)
  end

  local function call(...)
    return t:call(...)
  end

  local function helm_acts()
    return t:helm_acts()
  end

  -- Of all that is secret here only the master key is in no Secret: the chart wants a ConfigMap.
  local function hides(c, r)
    local mek = assert(yaml.decode(c.objects[SERVICE .. "/configmaps/mek-config"].data["mek.yaml"]))
    local texts = { t.key, "p" .. c.minio, mek.meks.key1 }
    texts[#texts + 1] = json.decode(crypto.base64_decode(mek.meks.key1)).k
    for name, key in pairs({
      ["db-secret"] = "db-password",
      ["redis-secret"] = "redis-password",
      ["default-admin-secret"] = "password",
      ["osmo-operator-token"] = "token",
    }) do
      texts[#texts + 1] = value(c, SERVICE .. "/secrets/" .. name, key)
    end
    assert.are.equal(8, #texts)
    secrecy.check({
      texts = texts,
      bench = bench,
      talk = talk,
      cluster = c,
      said = r.stdout .. r.stderr,
      holders = { ["mek-config"] = true },
    })
  end

  cluster.it("deploys, and a second run changes nothing", function(c)
    prepare(c)
    local o = osmo()
    -- What a shell would take apart.
    t.key = ([[n g,c*"k'$x\\]]):gsub("%s+$", "") .. crypto.hex(16)
    local r = call("deploy", o)
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    talk:check()
    assert.are.same({ admin = true }, o.users)
    local function passwords()
      return fs.read(talk.dir .. "/passwords")
    end
    local digest = crypto.sha256(t.key) .. "\n"
    assert.are.equal(digest .. digest, passwords())
    assert.are.same(
      { "upgrade kai-scheduler", "upgrade osmo-minimal", "upgrade osmo-operator" },
      helm_acts()
    )
    assert.are.same({ "verify-hello-1" }, o.submitted)

    -- What the charts are to find, in the form they want it.
    assert.are.equal(43, #value(c, SERVICE .. "/secrets/default-admin-secret", "password"))
    assert.are.equal(
      value(c, SERVICE .. "/secrets/osmo-operator-token", "token"),
      value(c, "/api/v1/namespaces/osmo-operator/secrets/osmo-operator-token", "token")
    )
    local mek = assert(yaml.decode(c.objects[SERVICE .. "/configmaps/mek-config"].data["mek.yaml"]))
    assert.are.equal("key1", mek.currentMek)
    local jwk = assert(json.decode(crypto.base64_decode(mek.meks.key1)))
    assert.are.same({ "key1", "oct" }, { jwk.kid, jwk.kty })
    assert.are.equal(32, #crypto.base64_decode(jwk.k, { url = true }))
    for _, namespace in ipairs({ "osmo-minimal", "osmo-operator", "osmo-workflows" }) do
      local path = ("/api/v1/namespaces/%s/secrets/nvcr-secret"):format(namespace)
      local auth = json.decode(value(c, path, ".dockerconfigjson")).auths["nvcr.io"]
      assert.are.same({ "$oauthtoken", t.key }, { auth.username, auth.password })
      assert.are.equal("$oauthtoken:" .. t.key, crypto.base64_decode(auth.auth))
    end
    local data = SERVICE .. "/secrets/osmo-workflow-data-cred"
    assert.are.equal("u" .. c.minio, value(c, data, "access_key_id"))
    assert.are.equal("s3://osmo-workflows", value(c, data, "endpoint"))
    assert.are.equal(
      "http://minio.minio-operator.svc.cluster.local:80",
      value(c, data, "override_url")
    )
    assert.is_nil(c.objects["/api/v1/namespaces/minio-operator/secrets/osmo-bucket-setup"])
    for _, name in ipairs({ "postgres", "redis" }) do
      assert.are.equal("ClusterIP", c.objects[SERVICE .. "/services/" .. name].spec.type)
    end
    local policies = "/apis/networking.k8s.io/v1/namespaces/osmo-minimal/networkpolicies/"
    local policy = c.objects[policies .. "osmo-stores"].spec
    assert.are.same({ "postgres", "redis" }, policy.podSelector.matchExpressions[1].values)
    assert.are.same({ "Ingress" }, policy.policyTypes)
    local cache = c.objects["/apis/apps/v1/namespaces/osmo-minimal/deployments/redis"].spec
    cache = cache.template.spec.containers[1]
    assert.is_truthy(cache.command[3]:find("requirepass", 1, true))
    assert.are.equal("redis-secret", cache.env[1].valueFrom.secretKeyRef.name)
    local release = json.decode(fs.read(talk.dir .. "/releases/osmo-minimal.json"))
    assert.are.equal("ClusterIP", release.values.gateway.envoy.service.type)
    assert.is_false(release.values.services.postgres.enabled)
    assert.are.equal("osmo-minimal", release.values.services.configs.backends.default.k8s_namespace)
    hides(c, r)

    talk:forget()
    c:forget()
    r = call("deploy", o)
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.same({}, helm_acts())
    assert.are.same({}, c:changed())
    assert.are.same({ "verify-hello-1" }, o.submitted)
    assert.are.equal("2026-08-21T10:00:00", o.since)

    -- A rotated key is renewed, and nothing else is.
    t.key = "ngc" .. crypto.hex(16)
    r = call("deploy", o)
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.equal(3, #c:changed("nvcr%-secret"))
    assert.are.equal(3, #c:changed())
    -- The charts' repository is asked with the new one, too.
    fs.remove(talk.dir .. "/releases/osmo-operator.json")
    fs.remove(talk.dir .. "/passwords")
    assert.are.equal(0, call("deploy", o).code)
    assert.are.equal(crypto.sha256(t.key) .. "\n", passwords())
    talk:check()
    o.server:close()
  end)

  cluster.it("goes on after SIGKILL at every step, with the same secrets", function(c)
    prepare(c)
    local o = osmo()
    local steps = { "namespaces", "scheduler", "secrets", "stores", "storage", "service" }
    table.move({ "operator", "smoke-hello" }, 1, 2, #steps + 1, steps)
    local password
    for _, step in ipairs(steps) do
      local kill = { PAI_TEST_KILL = "step.start:osmo-k8s/" .. step }
      local r = call("deploy", o, { "--run-id", ID .. step }, kill)
      assert.are.equal("SIGKILL", r.signal, step .. r.stdout .. r.stderr)
      r = bench:pai({ "resume", ID .. step, "--json" }, { env = t:env(), timeout = "120s" })
      assert.are.equal(0, r.code, step .. r.stdout .. r.stderr)
      local now = value(c, SERVICE .. "/secrets/db-secret", "db-password")
      assert.are.equal(password or now, now)
      password = now
      -- So that the next step has something to do.
      local undo = {
        namespaces = "/apis/apps/v1/namespaces/osmo-minimal/deployments/redis",
        scheduler = SERVICE .. "/secrets/default-admin-secret",
        secrets = "/apis/apps/v1/namespaces/osmo-minimal/deployments/redis",
        stores = SERVICE .. "/secrets/osmo-workflow-log-cred",
      }
      if undo[step] then
        c:drop(undo[step])
      end
      if step == "namespaces" then
        fs.remove(talk.dir .. "/releases/kai-scheduler.json")
      elseif step == "storage" then
        fs.remove(talk.dir .. "/releases/osmo-minimal.json")
      elseif step == "service" then
        fs.remove(talk.dir .. "/releases/osmo-operator.json")
      elseif step == "operator" then
        o.submitted = {}
      end
    end
    talk:check()
    o.server:close()
  end)

  local function failing(c, o, text, argv)
    local r = call("deploy", o, argv)
    assert.are.equal(1, r.code, r.stdout)
    assert.is_truthy(r.stdout:find(text, 1, true), r.stdout)
    return c:changed()
  end

  cluster.it("refuses by name what it would break", function(c)
    prepare(c)
    local o = osmo()
    -- Run:ai owns the scheduler.
    c:put("/api/v1/namespaces/runai", { status = { phase = "Active" } })
    assert.are.same({}, failing(c, o, "Run:ai is there, without a KAI release"))
    assert.are.same({}, failing(c, o, "has no podgroups", { "scheduler=existing" }))
    c:drop("/api/v1/namespaces/runai")
    c.git_version = "v1.29.9"
    assert.are.same({}, failing(c, o, "v1.29.9"))
    c.git_version = "v1.31.4"
    -- A volume whose password is gone.
    c:put("/api/v1/namespaces/osmo-minimal", { status = { phase = "Active" } })
    c:put(SERVICE .. "/persistentvolumeclaims/postgres-volume", {})
    failing(c, o, "postgres-volume is there, and the Secret db-secret is gone")
    -- A database whose key is gone.
    c:put(SERVICE .. "/secrets/db-secret", { data = { ["db-password"] = "eHh4eHh4eHg=" } })
    failing(c, o, "master key mek-config is gone")
    assert.is_nil(c.objects[SERVICE .. "/configmaps/mek-config"])
    c:drop(SERVICE .. "/persistentvolumeclaims/postgres-volume")
    -- Two tokens.
    for _, namespace in ipairs({ "osmo-minimal", "osmo-operator" }) do
      c:put(("/api/v1/namespaces/%s/secrets/osmo-operator-token"):format(namespace), {
        data = { token = crypto.base64_encode("token-of-" .. namespace) },
      })
    end
    failing(c, o, "osmo-operator-token differs between osmo-minimal and osmo-operator")
    c:drop("/api/v1/namespaces/osmo-operator/secrets/osmo-operator-token")
    -- The chart's own database.
    c:put("/apis/apps/v1/namespaces/osmo-minimal/deployments/postgres", {
      metadata = { labels = { ["app.kubernetes.io/managed-by"] = "Helm" } },
    })
    failing(c, o, "postgres in osmo-minimal is the OSMO chart's own")
    c:drop("/apis/apps/v1/namespaces/osmo-minimal/deployments/postgres")
    assert.are.same({}, o.submitted)
    o.server:close()
  end)

  cluster.it("refuses values that open the gateway or lose a Secret", function(c)
    prepare(c)
    local o = osmo()
    local path = bench:write("v.yaml", "gateway: {envoy: {service: {type: LoadBalancer}}}\n")
    failing(c, o, "the values make the gateway a LoadBalancer", { "values=" .. path })
    bench:write("v.yaml", "services: {configs: {secretRefs: [{secretName: x}]}}\n")
    failing(c, o, "secretRefs lacks nvcr-secret", { "values=" .. path })
    assert.are.same({ "upgrade kai-scheduler" }, helm_acts())
    bench:write("v.yaml", "services: {worker: {scaling: {maxReplicas: 3}}}\n")
    local r = call("deploy", o, { "values=" .. path })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    local release = json.decode(fs.read(talk.dir .. "/releases/osmo-minimal.json"))
    assert.are.same({ minReplicas = 1, maxReplicas = 3 }, release.values.services.worker.scaling)
    o.server:close()
  end)

  cluster.it("is red when a release, a pod, a Service, the pool or the test is", function(c)
    prepare(c)
    local o = osmo()
    talk:set("helm-fails")
    failing(c, o, "UPGRADE FAILED")
    -- With what stands in the way of its pods, once its turn comes.
    local kai = talk.dir .. "/releases/kai-scheduler.json"
    assert(fs.write(kai, (assert(fs.read(kai)):gsub('"failed"', '"deployed"'))))
    c:pod("osmo-minimal", "bad", {
      status = {
        phase = "Pending",
        conditions = json.array({ { type = "Ready", status = "False" } }),
        containerStatuses = json.array({
          { name = "main", image = "x:1", state = { waiting = { reason = "ImagePullBackOff" } } },
        }),
      },
    })
    failing(c, o, "Pod bad: image: ")
    c:drop("/api/v1/namespaces/osmo-minimal/pods/bad")
    fs.remove(talk.dir .. "/flags/helm-fails")
    c:pod("osmo-operator", "listener", {
      status = { phase = "Running", conditions = json.array({}) },
    })
    failing(c, o, "osmo-operator/listener: not ready")
    c:drop("/api/v1/namespaces/osmo-operator/pods/listener")
    c:put(SERVICE .. "/configmaps/osmo-service-configs", { data = { ["config.yaml"] = "{}" } })
    failing(c, o, "names s3://osmo-workflows")
    c:put(SERVICE .. "/configmaps/osmo-service-configs", {
      data = { ["config.yaml"] = "base_url: s3://osmo-workflows" },
    })
    c:put(SERVICE .. "/services/osmo-gateway", { spec = { type = "LoadBalancer" } })
    failing(c, o, "osmo-minimal/osmo-gateway: LoadBalancer")
    c:drop(SERVICE .. "/services/osmo-gateway")
    o.pool = "OFFLINE"
    failing(c, o, "OFFLINE")
    o.pool = "ONLINE"
    -- Any terminal state ends the wait.
    o.status = "FAILED_IMAGE_PULL"
    failing(c, o, "verify-hello-1 ended as FAILED_IMAGE_PULL")
    o.status = "COMPLETED"
    local r = call("verify", o)
    assert.are.equal(0, r.code, r.stdout)
    assert.is_truthy(r.stdout:find('"measured":"data, nvcr-io"', 1, true), r.stdout)
    assert.is_truthy(r.stdout:find('"measured":"verify-hello-1 COMPLETED"', 1, true), r.stdout)
    o.submitted, o.credentials = {}, {}
    r = call("verify", o)
    assert.are.equal(0, r.code, r.stdout)
    assert.is_truthy(r.stdout:find('"measured":"none of them","ms":%d+,"name":"verify%-hello"'))
    assert.is_truthy(r.stdout:find('"measured":"none","ms":%d+,"name":"credentials"'), r.stdout)
    fs.remove(talk.dir .. "/releases/osmo-operator.json")
    c:drop(SERVICE .. "/secrets/osmo-workflow-app-cred")
    o.server:close()
    r = call("verify", o)
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("there is none", 1, true), r.stdout)
    assert.is_truthy(r.stdout:find('"name":"storage credentials"', 1, true))
    assert.is_truthy(r.stdout:find(o.url, 1, true))
  end)

  cluster.it("mends a release that a killed helm has left pending, and no other's", function(c)
    prepare(c)
    local o = osmo()
    assert.are.equal(0, call("deploy", o).code)
    local path = talk.dir .. "/releases/osmo-%s.json"
    local function pending(which, status, since)
      local r = json.decode(fs.read(path:format(which)))
      r.status, r.deployed = status, since
      assert(fs.write(path:format(which), json.encode(r)))
    end
    pending("minimal", "pending-install", os.date("!%Y-%m-%dT%H:%M:%SZ"))
    talk:forget()
    failing(c, o, "osmo-minimal is pending-install since")
    assert.are.same({}, helm_acts())
    pending("minimal", "pending-install", "2020-01-01T00:00:00Z")
    pending("operator", "pending-upgrade", "2020-01-01T00:00:00Z")
    local r = call("deploy", o)
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.same({
      "uninstall osmo-minimal",
      "upgrade osmo-minimal",
      "rollback osmo-operator",
      "upgrade osmo-operator",
    }, helm_acts())
    -- One that failed is tried again.
    local kai = talk.dir .. "/releases/kai-scheduler.json"
    local failed = json.decode(fs.read(kai))
    failed.status = "failed"
    assert(fs.write(kai, json.encode(failed)))
    talk:forget()
    assert.are.equal(0, call("deploy", o).code)
    assert.are.same({ "upgrade kai-scheduler" }, helm_acts())
    talk:check()
    o.server:close()
  end)

  cluster.it("decides about the GPU Operator", function(c)
    prepare(c)
    local o = osmo()
    local path = "/apis/node.k8s.io/v1/runtimeclasses/nvidia"
    c:put(path, { handler = "runc" })
    failing(c, o, "the RuntimeClass nvidia has the handler runc", { "gpu=true" })
    c:drop(path)
    local r = call("deploy", o, { "gpu=true" })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    local upgrade = talk:calls("^helm upgrade gpu%-operator")[1].text
    assert.is_truthy(upgrade:find("--version v25.10.1", 1, true), upgrade)
    assert.are.same({ "verify-hello-1", "verify-gpu-1" }, o.submitted)
    local release = json.decode(fs.read(talk.dir .. "/releases/osmo-minimal.json"))
    local pool = release.values.services.configs.pools.default
    assert.are.equal("gpu_toleration", pool.platforms.gpu.override_pod_template)
    o.server:close()
  end)

  cluster.it("teardown saves the key, waits for the namespaces, and can be told twice", function(c)
    prepare(c)
    local o = osmo()
    assert.are.equal(0, call("deploy", o).code)
    local mek = c.objects[SERVICE .. "/configmaps/mek-config"].data["mek.yaml"]
    local out = bench.dir .. "/mek.yaml"
    local argv = { "mek_out=" .. out }
    assert.are.equal(3, call("teardown", o, argv).code)
    assert.is_false(fs.exists(out))
    argv[2] = "--yes"
    fs.write(out, "something else")
    local r = call("teardown", o, argv)
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("mek.yaml is there and holds", 1, true), r.stdout)
    assert.are.equal("something else", fs.read(out))
    assert.is_truthy(c.objects[SERVICE])
    fs.remove(out)
    r = call("teardown", o, argv)
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.equal(mek, fs.read(out))
    assert.are.equal(384, fs.stat(out).mode & 511)
    for _, name in ipairs({ "osmo-minimal", "osmo-operator", "osmo-workflows" }) do
      assert.is_nil(c.objects["/api/v1/namespaces/" .. name])
    end
    talk:forget()
    c:forget()
    r = call("teardown", o, argv)
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.same({}, helm_acts())
    assert.are.same({}, c:changed())
    -- And the key comes back.
    r = call("deploy", o, { "mek=" .. out })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.equal(mek, c.objects[SERVICE .. "/configmaps/mek-config"].data["mek.yaml"])
    talk:check()
    o.server:close()
  end)

  it("preflight names what is missing, and asks no cluster", function()
    local function preflight(argv, more)
      local command = { "preflight", "osmo-k8s", "context=none", "--json" }
      table.move(argv or {}, 1, #(argv or {}), #command + 1, command)
      local r = bench:pai(command, { env = t:env(more) })
      local checks = {}
      for _, check in ipairs(assert(json.decode(r.stdout), r.stderr).steps[1].checks) do
        checks[check.name] = check
      end
      return checks, r.code
    end
    local checks, code = preflight()
    assert.are.equal(0, code)
    assert.are.equal("3.16.2", checks["helm version"].measured)
    assert.are.equal("skipped", checks["microk8s version"].state)
    checks, code = preflight(nil, { NGC_API_KEY = false })
    assert.are.same({ "red", 1 }, { checks["NGC_API_KEY"].state, code })
    bench:write("v.yaml", "a: [")
    bench:write("mek.yaml", "x")
    checks = preflight({ "values=v.yaml", "mek=mek.yaml" })
    assert.are.same({ "red", "red" }, { checks["values"].state, checks["master key"].state })
    checks = preflight({ "values=none.yaml", "mek=none.yaml" })
    assert.are.same({ "red", "red" }, { checks["values"].state, checks["master key"].state })
    talk:add("microk8s", "#!/bin/sh\necho 'MicroK8s v1.30.1 revision 7000'\n")
    assert.are.equal("red", preflight()["microk8s version"].state)
    talk:remove("helm")
    assert.are.equal("not found on PATH", preflight()["helm version"].measured)
  end)
end)
