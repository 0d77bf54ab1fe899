-- What verify shows beside the lock: charts wherever their releases are, images of pods.
local nim_support = assert(loadfile("tests/spec/components/nim_support.lua", "t", _ENV))()
local support = dofile("tests/spec/components/osmo_support.lua")
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local fs = require("pai.fs")
local json = require("pai.json")

local function release(osmo, name, chart, version)
  local dir = osmo.talk.dir .. "/releases"
  assert(fs.mkdir(dir, { parents = true }))
  assert(fs.write(
    ("%s/%s.json"):format(dir, name),
    json.encode({
      name = name,
      namespace = name .. "-ns",
      revision = 1,
      status = "deployed",
      chart = chart,
      version = version,
    })
  ))
end

local function image(c, namespace, name, ref, init)
  c:pod(namespace, name, {
    spec = {
      containers = json.array({ { name = "main", image = ref } }),
      initContainers = init and json.array({ { name = "init", image = init } }) or nil,
    },
  })
end

describe("osmo-k8s verify beside the lock", function()
  local osmo

  local function looks(title, fn)
    cluster.it(title, function(c)
      osmo = support.new()
      osmo:prepare(c)
      for _, namespace in ipairs({ "osmo-minimal", "osmo-operator", "osmo-workflows" }) do
        c:put("/api/v1/namespaces/" .. namespace, { status = { phase = "Active" } })
      end
      local ok, problem = pcall(fn, c, function(...)
        local r = osmo:call("verify", { url = "http://127.0.0.1:1" }, { ... })
        return nim_support.seen(r.stdout)
      end)
      osmo.bench:remove()
      assert(ok, problem)
    end)
  end

  looks("shows charts and images with what the lock says", function(c, verify)
    local own = "nvcr.io/nvidia/osmo/"
    image(c, "osmo-minimal", "service", own .. "service:6.4.0", own .. "init-container:6.4.0")
    image(c, "osmo-operator", "listener", own .. "backend-listener:6.4.0")
    image(c, "osmo-minimal", "postgres", "postgres:15.1")
    local seen = verify()
    assert.equal("skipped there is no release of it", seen["version of kai-scheduler"])
    assert.equal("skipped there is no release of it", seen["version of gpu-operator"])
    assert.equal("ok 3, all of it", seen["images of osmo-minimal, osmo-operator"])
    -- v or not, in whichever namespace; a chart whose name only begins alike is another
    release(osmo, "kai", "kai-scheduler", "v0.14.0")
    release(osmo, "gpu", "gpu-operator", "v25.3.4")
    release(osmo, "other", "gpu-operator-dashboards", "1.0.0")
    image(c, "osmo-operator", "worker", own .. "backend-worker:6.3.1")
    image(c, "osmo-minimal", "router", own .. "router:6.4.0-rc1")
    seen = verify()
    assert.equal("ok v0.14.0, as kai in kai-ns", seen["version of kai-scheduler"])
    assert.equal("warn v25.3.4, as gpu in gpu-ns", seen["version of gpu-operator"])
    assert.equal(
      "warn backend-worker:6.3.1, router:6.4.0-rc1",
      seen["images of osmo-minimal, osmo-operator"]
    )
    -- a values file may have wanted other images
    local values = osmo.bench:write("v.yaml", "global: {osmoImageLocation: my.registry/osmo}\n")
    image(c, "osmo-minimal", "service", "my.registry/osmo/service:6.4.0")
    seen = verify("values=" .. values)
    assert.equal("ok 1, all of it", seen["images of osmo-minimal, osmo-operator"])
    values = osmo.bench:write("v.yaml", "global: {osmoImageLocation: none.registry/osmo}\n")
    seen = verify("values=" .. values)
    local said = "skipped no pod has an image of that registry"
    assert.equal(said, seen["images of osmo-minimal, osmo-operator"])
  end)

  looks("says that helm can't list, and goes on", function(_, verify)
    osmo.talk:add("helm", "#!/bin/sh\necho 'Error: list: Unauthorized' >&2\nexit 1\n")
    local seen = verify()
    assert.truthy(seen["versions of charts"]:find("^warn helm can't list releases"), seen)
    assert.truthy(seen["images of osmo-minimal, osmo-operator"]:find("^skipped"))
  end)
end)
