-- The MinIO of osmo-k8s: whose it is, one of its own where there is none, and taking it away. Shape
-- of pai's own: the manifest of OSMO's deployment scripts (minio-root, minio-data, minio).
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local osmo_support = assert(loadfile("tests/spec/components/osmo_support.lua", "t", _ENV))()
local secrecy = dofile("tests/spec/components/secrecy.lua")
local crypto = require("pai.crypto")
local json = require("pai.json")

local MINIO <const> = osmo_support.MINIO
local APPS <const> = "/apis/apps/v1/namespaces/minio-operator/deployments/"
local CRED <const> = osmo_support.SERVICE .. "/secrets/osmo-workflow-data-cred"
local ID <const> = "run-0c0ffee0"

local value = osmo_support.value

describe("the MinIO of osmo-k8s", function()
  local t, bench

  before_each(function()
    t = osmo_support.new()
    bench = t.bench
  end)

  after_each(function()
    bench:remove()
  end)

  local function root(c, key)
    return value(c, MINIO .. "/secrets/minio-root", key)
  end

  local function green(o, argv, more)
    local r = t:call("deploy", o, argv, more)
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    return r
  end

  local function red(o, text, argv)
    local r = t:call("deploy", o, argv)
    assert.are.equal(1, r.code, r.stdout)
    assert.is_truthy(r.stdout:find(text, 1, true), r.stdout)
  end

  cluster.it("is installed where there is none, and a second run changes nothing", function(c)
    t:bare(c)
    local o = osmo_support.osmo()
    local r = green(o)
    local deployment = c.objects[APPS .. "minio"]
    local container = deployment.spec.template.spec.containers[1]
    assert.are.equal("quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z", container.image)
    assert.are.equal("/minio/health/ready", container.readinessProbe.httpGet.path)
    assert.are.equal("/minio/health/live", container.livenessProbe.httpGet.path)
    assert.are.same({ cpu = "2", memory = "2Gi" }, container.resources.limits)
    for _, env in ipairs(container.env) do
      assert.is_nil(env.value)
      assert.are.equal("minio-root", env.valueFrom.secretKeyRef.name)
    end
    local service = c.objects[MINIO .. "/services/minio"].spec
    assert.are.same({ "ClusterIP", 9000, 9001 }, {
      service.type,
      service.ports[1].port,
      service.ports[2].port,
    })
    local claim = c.objects[MINIO .. "/persistentvolumeclaims/minio-data"].spec
    assert.are.equal("20Gi", claim.resources.requests.storage)
    assert.are.equal("osmoadmin", root(c, "root-user"))
    assert.are.equal(root(c, "root-password"), value(c, CRED, "access_key"))
    local url = "http://minio.minio-operator.svc.cluster.local:9000"
    assert.are.equal(url, value(c, CRED, "override_url"))
    assert.is_nil(c.objects[MINIO .. "/secrets/osmo-bucket-setup"])
    secrecy.check({
      texts = { t.key, root(c, "root-password") },
      bench = bench,
      talk = t.talk,
      cluster = c,
      said = r.stdout .. r.stderr,
    })

    c:forget()
    t.talk:forget()
    green(o)
    assert.are.same({}, c:changed())
    assert.are.same({}, t:helm_acts())
    assert.are.same({ "verify-hello-1" }, o.submitted)
    r = t:call("verify", o)
    assert.are.equal(0, r.code, r.stdout)
    t.talk:check()
    o.server:close()
  end)

  cluster.it(
    "goes on after a kill and after a failure half way, with the same password",
    function(c)
      t:bare(c)
      local o = osmo_support.osmo()
      local kill = { PAI_TEST_KILL = "step.start:osmo-k8s/minio" }
      local r = t:call("deploy", o, { "--run-id", ID }, kill)
      assert.are.equal("SIGKILL", r.signal, r.stdout .. r.stderr)
      assert.is_nil(c.objects[APPS .. "minio"])
      -- The Service is there then, and the Deployment is not.
      c.refuse = function(req)
        if req.path == APPS .. "minio" then
          return { 500, "InternalError", "etcdserver: request timed out" }
        end
      end
      r = bench:pai({ "resume", ID, "--json" }, { env = t:env(), timeout = "120s" })
      assert.are.equal(1, r.code, r.stdout .. r.stderr)
      assert.is_truthy(c.objects[MINIO .. "/services/minio"])
      local password = root(c, "root-password")
      c.refuse = nil
      r = bench:pai({ "resume", ID, "--json" }, { env = t:env(), timeout = "120s" })
      assert.are.equal(0, r.code, r.stdout .. r.stderr)
      assert.are.equal(password, root(c, "root-password"))
      assert.are.equal(password, value(c, CRED, "access_key"))
      o.server:close()
    end
  )

  cluster.it("gets new credentials when they were lost, and OSMO gets them too", function(c)
    t:bare(c)
    local o = osmo_support.osmo()
    green(o)
    local old = root(c, "root-password")
    local function mark()
      return c.objects[APPS .. "minio"].spec.template.metadata.annotations["pai/credentials"]
    end
    local before = mark()
    c:drop(MINIO .. "/secrets/minio-root")
    c:forget()
    green(o)
    assert.are_not.equal(old, root(c, "root-password"))
    assert.are.equal(root(c, "root-password"), value(c, CRED, "access_key"))
    assert.are_not.equal(before, mark()) -- so that the pod is another one
    assert.are.same({}, c:changed("persistentvolumeclaims"))
    -- A key that somebody changed by hand in OSMO's Secret is brought back.
    c.objects[CRED].data.access_key = crypto.base64_encode("something else")
    green(o)
    assert.are.equal(root(c, "root-password"), value(c, CRED, "access_key"))
    o.server:close()
  end)

  cluster.it("of others is used as it is, and left where it is", function(c)
    t:bare(c)
    c:put(MINIO, { status = { phase = "Active" } })
    c:put(MINIO .. "/services/minio", {
      spec = { type = "ClusterIP", ports = json.array({ { port = 9900 } }) },
    })
    local o = osmo_support.osmo()
    red(o, "no Secret minio-root with its credentials")
    assert.are.same({}, c:changed())
    local theirs = crypto.hex(12)
    c:put(MINIO .. "/secrets/minio-root", {
      data = {
        ["root-user"] = crypto.base64_encode("theirs"),
        ["root-password"] = crypto.base64_encode(theirs),
      },
    })
    green(o)
    assert.are.equal(theirs, value(c, CRED, "access_key"))
    local url = "http://minio.minio-operator.svc.cluster.local:9900"
    assert.are.equal(url, value(c, CRED, "override_url"))
    assert.is_nil(c.objects[APPS .. "minio"])
    local argv = { "mek_out=" .. bench.dir .. "/mek.yaml", "minio=true", "--yes" }
    local r = t:call("teardown", o, argv)
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.is_truthy(c.objects[MINIO .. "/services/minio"])
    assert.is_truthy(c.objects[MINIO .. "/secrets/minio-root"])
    o.server:close()
  end)

  cluster.it("is red while the addon is not through, and when its pod can't run", function(c)
    t:bare(c)
    local o = osmo_support.osmo()
    c:put(MINIO, { status = { phase = "Active" } })
    c:put(APPS .. "minio-operator", {})
    red(o, "minio addon is enabled, and has made no credentials yet")
    assert.are.same({}, c:changed())
    c:drop(APPS .. "minio-operator")
    local ready = c.on.Deployment
    c.on.Deployment = function(object, into)
      if object.metadata.name ~= "minio" then
        return ready(object, into)
      end
      object.status = {
        conditions = json.array({
          { type = "Progressing", status = "False", reason = "ProgressDeadlineExceeded" },
        }),
      }
      into:pod("minio-operator", "minio-1", {
        status = {
          phase = "Pending",
          conditions = json.array({ { type = "Ready", status = "False" } }),
          containerStatuses = json.array({
            {
              name = "minio",
              image = object.spec.template.spec.containers[1].image,
              state = {
                waiting = {
                  reason = "ImagePullBackOff",
                  message = "Back-off pulling image: dial tcp: lookup quay.io: no such host",
                },
              },
            },
          }),
        },
      })
    end
    red(o, "Pod minio-1: image:")
    assert.is_nil(c.objects[CRED])
    o.server:close()
  end)

  cluster.it("stays at teardown unless it is told to go, and can be told twice", function(c)
    t:bare(c)
    local o = osmo_support.osmo()
    green(o)
    local password = root(c, "root-password")
    local argv = { "mek_out=" .. bench.dir .. "/mek.yaml", "--yes" }
    assert.are.equal(0, t:call("teardown", o, argv).code)
    assert.is_truthy(c.objects[MINIO .. "/persistentvolumeclaims/minio-data"])
    green(o, { "mek=" .. bench.dir .. "/mek.yaml" })
    assert.are.equal(password, root(c, "root-password"))
    table.insert(argv, 2, "minio=true")
    argv[1] = "mek_out=" .. bench.dir .. "/mek2.yaml"
    local kill = { PAI_TEST_KILL = "step.start:osmo-k8s/minio" }
    local r = t:call("teardown", o, { argv[1], argv[2], argv[3], "--run-id", ID .. "t" }, kill)
    assert.are.equal("SIGKILL", r.signal, r.stdout .. r.stderr)
    r = bench:pai({ "resume", ID .. "t", "--json" }, { env = t:env(), timeout = "120s" })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    for path in pairs(c.objects) do
      assert.is_nil(path:find("minio-operator", 1, true), path)
    end
    c:forget()
    assert.are.equal(0, t:call("teardown", o, argv).code)
    assert.are.same({}, c:changed())
    o.server:close()
  end)
end)
