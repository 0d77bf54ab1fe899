-- What has to be had from outside, found out before anything is deployed: charts, images, models.
local nim_support = assert(loadfile("tests/spec/components/nim_support.lua", "t", _ENV))()
local outside = dofile("tests/spec/components/outside.lua")
local support = dofile("tests/spec/components/osmo_support.lua")
local crypto = require("pai.crypto")
local registry = require("pai.shared.registry")
local task = require("pai.task")

local ASK <const> = { PHYSICAL_AI_PREFLIGHT_SKIP_NETWORK = "0" }
local NVPCB <const> = "nvidia/Qwen-Image-Edit-NVPCB-OVSL2SL"

local function joined(a, b)
  return table.move(b, 1, #b, #a + 1, table.move(a, 1, #a, 1, {}))
end

describe("the name of an image", function()
  it("is read as container runtimes read it", function()
    for name, parts in pairs({
      ["nvcr.io/nim/nvidia/x:1.0.0"] = { "nvcr.io", "nim/nvidia/x", "1.0.0" },
      ["vllm/vllm-omni:v0.20.0"] = { "docker.io", "vllm/vllm-omni", "v0.20.0" },
      ["python:3.11-slim"] = { "docker.io", "library/python", "3.11-slim" },
      ["docker.io/redis:7.0"] = { "docker.io", "library/redis", "7.0" },
      ["localhost:5000/a"] = { "localhost:5000", "a", "latest" },
      ["quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z"] = {
        "quay.io",
        "minio/minio",
        "RELEASE.2025-09-07T16-13-09Z",
      },
      ["quay.io/a/b@sha256:00ff"] = { "quay.io", "a/b", "sha256:00ff" },
    }) do
      assert.same(parts, { registry.parts(name) })
    end
  end)
end)

describe("inference-nim-operator's entitlement", function()
  local function looks(title, fn)
    nim_support.it(title, function(nim)
      local out = outside.start(nim.key, nim.token)
      local ok, problem = pcall(fn, nim, out, function(action, more, env)
        local all = { PHYSICAL_AI_PREFLIGHT_SKIP_NETWORK = "0" }
        for k, v in pairs(env or {}) do
          all[k] = v
        end
        return nim.act(action, joined(out:inputs(true), more), all)
      end)
      out:close()
      assert(ok, problem)
    end)
  end

  looks("is green when chart, images and models can be had", function(_, out, act)
    local r, seen = act("preflight", { "nims=qwen25-14b,cosmos-transfer,qwen3-vl" })
    assert.equal(0, r.code, r.stdout)
    assert.equal("ok there", seen["charts of " .. out.url .. "/nvidia"])
    assert.equal("ok HTTP 200", seen["image nvcr.io/nim/nvidia/model-free-nim:2.0.2"])
    assert.equal("ok HTTP 200", seen["image nvcr.io/nim/nvidia/cosmos-transfer2.5-2b:1.0.0"])
    assert.equal("ok HTTP 200", seen["image python:3.11-slim"])
    assert.equal("ok HTTP 200", seen["model Qwen/Qwen2.5-14B-Instruct"])
    -- two NIMs, one image: asked for once, and once more with the token
    assert.equal(2, out:count("^HEAD /v2/nim/nvidia/model%-free%-nim/"))
    assert.equal(1, out:count("index%.yaml"))
  end)

  looks("names each image, chart and model that can't be had", function(_, out, act)
    out.images["nim/nvidia/cosmos-transfer2.5-2b:1.0.0"] = 403
    out.images["vllm/vllm-omni:v0.20.0"] = 404
    out.models[NVPCB] = { 403, "GatedRepo" }
    out.charts["k8s-nim-operator"] = { "3.1.1", "3.2.0" }
    local nims = "nims=cosmos-transfer,cosmos-reason,qwen-image-edit-nvpcb-ovsl2sl"
    local r, seen = act("preflight", { nims })
    assert.equal(1, r.code)
    local image = "image nvcr.io/nim/nvidia/cosmos-transfer2.5-2b:1.0.0"
    assert.equal("red HTTP 403", seen[image])
    assert.truthy(seen["hint " .. image]:find("entitlement is missing", 1, true))
    assert.equal("red HTTP 404", seen["image vllm/vllm-omni:v0.20.0"])
    assert.equal("ok HTTP 200", seen["image nvcr.io/nim/nvidia/cosmos-reason2-8b:1.7.0"])
    assert.equal("red HTTP 403, GatedRepo", seen["model " .. NVPCB])
    assert.truthy(seen["hint model " .. NVPCB]:find("ask for access at " .. out.url, 1, true))
    local charts = seen["charts of " .. out.url .. "/nvidia"]
    assert.equal("red k8s-nim-operator: no 3.1.0 among 2 versions", charts)
  end)

  looks("tells a key that is not accepted from one that may not pull", function(_, out, act)
    out.locked = true
    local other = { NGC_API_KEY = "key-" .. crypto.hex(12), HF_TOKEN = "token-" .. crypto.hex(12) }
    local r, seen = act("preflight", { "nims=qwen25-14b" }, other)
    assert.equal(1, r.code)
    local image = "image nvcr.io/nim/nvidia/model-free-nim:2.0.2"
    assert.equal("red the registry gives no token: HTTP 401", seen[image])
    assert.truthy(seen["hint " .. image]:find("not accepted", 1, true))
    assert.equal("red HTTP 403", seen["charts of " .. out.url .. "/nvidia"])
    assert.equal("red HTTP 401", seen["model Qwen/Qwen2.5-14B-Instruct"])
    -- with the right one the locked index opens
    r, seen = act("preflight", { "nims=qwen25-14b" })
    assert.equal(0, r.code, r.stdout)
    assert.equal("ok there", seen["charts of " .. out.url .. "/nvidia"])
  end)

  looks("takes trouble that says nothing of the key for what it is", function(_, out, act)
    out.images["library/python:3.11-slim"] = 429
    out.models["Qwen/Qwen2.5-14B-Instruct"] = { 429 }
    local r, seen = act("preflight", { "nims=qwen25-14b" })
    assert.equal(0, r.code, r.stdout)
    assert.equal("warn HTTP 429", seen["image python:3.11-slim"])
    assert.equal("warn HTTP 429", seen["model Qwen/Qwen2.5-14B-Instruct"])
    out.images["library/python:3.11-slim"] = 503
    out.models["Qwen/Qwen2.5-14B-Instruct"] = { 502 }
    out.index_status = 503
    r, seen = act("preflight", { "nims=qwen25-14b" })
    assert.equal(1, r.code)
    assert.equal("unknown HTTP 503", seen["image python:3.11-slim"])
    assert.equal("unknown HTTP 502", seen["model Qwen/Qwen2.5-14B-Instruct"])
    assert.equal("unknown HTTP 503", seen["charts of " .. out.url .. "/nvidia"])
    out.index_status, out.index_text = nil, "entries: [\n"
    seen = select(2, act("preflight", { "nims=qwen25-14b" }))
    local said = seen["charts of " .. out.url .. "/nvidia"]
    assert.truthy(said:find("^red index.yaml can't be read"), said)
    out.index_text = "entries: {}\n"
    seen = select(2, act("preflight", { "nims=qwen25-14b" }))
    assert.equal("red k8s-nim-operator: no such chart", seen["charts of " .. out.url .. "/nvidia"])
  end)

  looks("reads an index however it is laid out", function(_, out, act)
    for said, text in pairs({
      ["ok there"] = '{"entries":{"k8s-nim-operator":[{"version":"3.1.0"}]}}',
      -- as Helm writes it; another chart's part, a map after it, and what can't be read elsewhere
      ["red k8s-nim-operator: no 3.1.0 among 1 versions"] = "apiVersion: v1\nentries:\n"
        .. "  aaa:\n  - version: 3.1.0\n  k8s-nim-operator:\n"
        .. "  - urls:\n    - x\n    version: v3.2.0\n"
        .. "  zzz:\n  - version: 3.1.0\n    description: [\ngenerated: now\n",
    }) do
      out.index_text = text
      local _, seen = act("preflight", { "nims=cosmos-reason" })
      assert.equal(said, seen["charts of " .. out.url .. "/nvidia"])
    end
    -- as the last thing of the text, without a version of that name but with an app's
    out.index_text = "entries:\n  k8s-nim-operator:\n  - appVersion: 3.1.0\n    version: v3.1.0"
    local _, seen = act("preflight", { "nims=cosmos-reason" })
    assert.equal("ok there", seen["charts of " .. out.url .. "/nvidia"])
  end)

  looks("gives the key to no token service that its input does not name", function(_, out, act)
    out.realm = "http://localhost:" .. out.server:port() -- not 127.0.0.1, so another host
    local r, seen = act("preflight", { "nims=cosmos-reason" })
    assert.equal(1, r.code)
    local said = seen["image nvcr.io/nim/nvidia/cosmos-reason2-8b:1.7.0"]
    assert.truthy(said:find("^unknown .*needs.hosts does not name 'localhost'"), said)
    assert.equal(0, out:count("/token"))
  end)

  looks("leaves it out when it is told to, and says so", function(_, out, act)
    local r, seen = act("preflight", { "nims=qwen25-14b", "skip_network=true" })
    assert.equal(0, r.code, r.stdout)
    assert.equal("skipped skip_network=true", seen.images)
    assert.equal("skipped skip_network=true", seen.models)
    assert.same({}, out.asked)
    -- without a key there is nothing to ask NGC with; others are asked all the same
    r, seen = act("preflight", { "nims=qwen25-14b" }, { NGC_API_KEY = false })
    assert.equal(1, r.code)
    assert.equal("red not set", seen.NGC_API_KEY)
    assert.equal("skipped there is no key to ask for 1 images with", seen["images of nvcr.io"])
    assert.equal("ok HTTP 200", seen["image python:3.11-slim"])
  end)

  looks("stops a deploy before it has made anything", function(nim, out, act)
    out.images["nim/nvidia/model-free-nim:2.0.2"] = 403
    local r = act("deploy", { "nims=qwen25-14b" })
    assert.equal(1, r.code)
    assert.same({}, nim.c:changed("namespaces"))
    assert.same({}, nim.talk:calls("upgrade"))
    out.images = {}
    nim_support.answers(nim, "qwen25-14b")
    r = act("deploy", { "nims=qwen25-14b" })
    assert.equal(0, r.code, r.stdout)
    local upgrade = nim.talk:calls("upgrade nim%-operator")[1].text
    assert.truthy(upgrade:find("--repo " .. out.url .. "/nvidia ", 1, true), upgrade)
    local job = nim.c.objects[nim_support.JOBS .. "qwen25-14b-hf-download"]
    local env = {}
    for _, one in ipairs(job.spec.template.spec.containers[1].env) do
      env[one.name] = one.value or false
    end
    assert.equal(out.url, env.HF_ENDPOINT)
  end)
end)

describe("osmo-k8s' entitlement", function()
  local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()

  -- fn(osmo, out, look): look(argv, env) → checks by name, code
  local function looks(title, fn)
    it(title, function()
      local osmo = support.new()
      local ok, problem = pcall(task.run, function()
        local out = outside.start(osmo.key)
        local fine, e = pcall(fn, osmo, out, function(action, argv, env)
          local r = osmo:call(action, nil, joined(out:inputs(), argv or {}), env or ASK)
          assert.is_nil((r.stdout .. r.stderr):find(osmo.key, 1, true))
          return nim_support.seen(r.stdout), r.code, r
        end)
        out:close()
        assert(fine, e)
      end)
      osmo.bench:remove()
      assert(ok, problem)
    end)
  end

  looks("asks for both charts and each image of the lock", function(osmo, out, look)
    local seen, code, r = look("preflight", { "gpu=true" })
    assert.equal(0, code, r.stdout .. r.stderr)
    assert.equal("ok there", seen["charts of " .. out.url .. "/nvidia/osmo"])
    for _, image in ipairs({
      "nvcr.io/nvidia/osmo/service:6.4.0",
      "nvcr.io/nvidia/osmo/backend-listener:6.4.0",
      "nvcr.io/nvidia/osmo/init-container:6.4.0",
      "nvcr.io/nvidia/cuda:12.4.1-base-ubuntu22.04",
      "postgres:15.1",
      "redis:7.0",
      "alpine:3.20",
    }) do
      assert.equal("ok HTTP 200", seen["image " .. image], image)
    end
    -- CPU nodes pull no CUDA, and a values file can name other images
    local values = osmo.bench:write("values.yaml", "global: {osmoImageTag: 6.4.1}\n")
    out.images["nvidia/osmo/service:6.4.1"] = 404
    out.charts.service = { "1.5.0" }
    seen, code = look("preflight", { "gpu=false", "values=" .. values })
    assert.equal(1, code)
    assert.equal("red HTTP 404", seen["image nvcr.io/nvidia/osmo/service:6.4.1"])
    assert.equal("ok HTTP 200", seen["image nvcr.io/nvidia/osmo/client:6.4.1"])
    assert.is_nil(seen["image nvcr.io/nvidia/cuda:12.4.1-base-ubuntu22.04"])
    local charts = seen["charts of " .. out.url .. "/nvidia/osmo"]
    assert.equal("red service: no 1.4.0 among 1 versions", charts)
  end)

  looks("asks for what is to be installed only when it is", function(osmo, out, look)
    local c = cluster.start()
    osmo:bare(c)
    out.images["minio/minio:RELEASE.2025-09-07T16-13-09Z"] = 404
    out.charts["gpu-operator"] = { "v25.3.4" }
    c:put("/apis/node.k8s.io/v1/runtimeclasses/nvidia", { handler = "nvidia" })
    -- a scheduler is there: KAI's chart is not at NGC, and nobody is asked for it
    local crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
    c:put(crds .. "podgroups.scheduling.run.ai", {})
    local seen, code = look("deploy", { "gpu=true", "scheduler=existing" })
    assert.equal(1, code)
    local image = "image quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z"
    assert.equal("red is to be installed; " .. image .. ": HTTP 404", seen.MinIO)
    local chart = ("charts of %s/nvidia: gpu-operator: no v25.10.1 among 1 versions"):format(
      out.url
    )
    assert.equal("red is to be installed; " .. chart, seen["GPU Operator"])
    assert.same({}, osmo:helm_acts())
    support.addon(c) -- with the addon's MinIO nothing of it is pulled
    seen = look("deploy", { "gpu=false", "scheduler=existing" })
    assert.equal("ok existing", seen.scheduler)
    assert.equal("ok that of MicroK8s' addon", seen.MinIO)
    assert.equal("ok gpu=false", seen["GPU Operator"])
    c:close()
  end)
end)

describe("a chart at a URL of its own", function()
  local run_support = dofile("tests/spec/run/support.lua")
  local serve = require("pai.serve")

  it("is there when the server has it, or leads to it", function()
    task.run(function()
      local bench = run_support.new()
      local server = assert(serve.listen({
        handler = function(req)
          local status = tonumber(req.path:match("^/(%d+)/"))
          return { status = req.method == "HEAD" and status or 400, headers = { Location = "/x" } }
        end,
      }))
      local path = bench:recipe(
        "look",
        [[
inputs = { origin = { type = "string", doc = "O." }, status = { type = "string", doc = "S." },
  skip_network = { type = "boolean", default = false, doc = "N." } },
needs = { hosts = { "@origin" } },
steps = { { name = "look", checks = function(ctx, inp)
  local url = ("%s/%s/kai-scheduler-v0.14.0.tgz"):format(inp.origin, inp.status)
  local found = { state = "ok", measured = "install" }
  local checks = entitlement.archive(ctx, inp, url)
  return { checks[1], { name = "also", run = function()
    return entitlement.also(found, checks)
  end } }
end } },]],
        'local entitlement = require("pai.shared.entitlement")'
      )
      for status, state in pairs({ ["200"] = "ok", ["302"] = "ok", ["404"] = "red" }) do
        local origin = "origin=http://127.0.0.1:" .. server:port()
        local r = bench:pai({ "run", path, "--json", origin, "status=" .. status })
        local seen = nim_support.seen(r.stdout)
        local said = ("%s HTTP %s"):format(state, status)
        assert.equal(said, seen["chart kai-scheduler-v0.14.0.tgz"])
        local also = state == "ok" and "ok install"
          or "red install; chart kai-scheduler-v0.14.0.tgz: HTTP 404"
        assert.equal(also, seen.also)
      end
      local none = { "run", path, "--json", "origin=http://127.0.0.1:1", "status=1" }
      none[#none + 1] = "skip_network=true"
      local seen = nim_support.seen(bench:pai(none).stdout)
      assert.equal("ok install", seen.also)
      server:close()
      bench:remove()
    end)
  end)
end)
