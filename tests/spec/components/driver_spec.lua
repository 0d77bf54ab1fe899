-- driver and osmo-cli: the selection matrix, the gate table, and OSMO's client.
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local support = dofile("tests/spec/run/support.lua")
local stand_in = dofile("tests/spec/components/stand_in.lua")
local fs = require("pai.fs")
local json = require("pai.json")
local serve = require("pai.serve")

local HELM <const> = '#!/bin/sh\nexec "%s" lua "%s/tests/spec/components/helm_tool.lua" "%s" "$@"\n'

describe("driver and osmo-cli", function()
  local bench, talk

  before_each(function()
    bench = support.new()
    for _, component in ipairs({ "driver", "osmo-cli" }) do
      local from = pai.root .. "/components/" .. component
      for _, name in ipairs(fs.list(from)) do
        bench:write(
          ("components/%s/%s"):format(component, name),
          assert(fs.read(from .. "/" .. name))
        )
      end
    end
    talk = stand_in.new(bench.root .. "/tools", { "osmo" })
    talk:add("helm", HELM:format(pai.exe, pai.root, talk.dir))
  end)

  after_each(function()
    bench:remove()
  end)

  local function call(argv, more)
    local env = { PATH = talk.path, HOME = bench.root, HF_TOKEN = false, OSMO_URL = false }
    for k, v in pairs(more or {}) do
      env[k] = v
    end
    argv[#argv + 1] = "--json"
    local r = bench:pai(argv, { env = env })
    local checks, states = {}, {}
    for _, step in ipairs(assert(json.decode(r.stdout), r.stdout .. r.stderr).steps) do
      states[step.step:match("[^/]+$")] = step.state
      for _, check in ipairs(step.checks or {}) do
        checks[check.name] = check
      end
    end
    return checks, r, states
  end

  local function select(words, more)
    local argv = { "preflight", "driver" }
    for word in words:gmatch("%S+") do
      argv[#argv + 1] = word
    end
    return call(argv, more)
  end

  it("takes what can work, and says which components that is", function()
    for words, components in pairs({
      ["cluster=azure inference=nim nims=cosmos-transfer,cosmos-reason"] = "azure-access, "
        .. "cluster-azure, osmo-azure, inference-nim-operator, osmo-cli",
      ["cluster=microk8s inference=nvcf gpu=false"] = "cluster-microk8s, osmo-k8s, "
        .. "inference-nvcf, osmo-cli",
      ["cluster=microk8s inference=none storage=s3://osmo-workflows/x"] = "cluster-microk8s, "
        .. "osmo-k8s, osmo-cli",
      ["cluster=azure inference=foundry capabilities=vlm storage=azure://a/c"] = "azure-access, "
        .. "cluster-azure, osmo-azure, inference-azure, osmo-cli",
      ["cluster=onprem inference=nim nims=qwen3-235b gpus_total=9 hf=env:HF_X"] = "cluster-onprem, "
        .. "osmo-k8s, inference-nim-operator, osmo-cli",
    }) do
      local checks, r = select(words, { HF_X = "hf" .. tostring(os.time()) })
      assert.are.equal(0, r.code, words .. r.stdout .. r.stderr)
      assert.are.equal(components, checks["components"].measured)
    end
  end)

  it("refuses what can't, with every reason at once", function()
    for _, case in ipairs({
      { "cluster=microk8s inference=foundry", "combination", "needs Azure identities" },
      { "cluster=onprem inference=foundry", "combination", "needs Azure identities" },
      { "cluster=microk8s inference=nim gpu=false nims=qwen3-vl", "combination", "without a GPU" },
      { "cluster=azure inference=none osmo=osmo-k8s", "OSMO", "osmo-k8s on azure" },
      { "cluster=azure inference=nim", "NIM services", "none named" },
      { "cluster=azure inference=nim nims=qwen2.5-14b", "NIM services", "unknown: qwen2.5-14b" },
      {
        "cluster=azure inference=foundry capabilities=video-style-transfer",
        "capabilities",
        "foundry can't: video-style-transfer",
      },
      {
        "cluster=azure inference=nim nims=qwen3-235b gpus_per_node=1 gpus_total=8",
        "GPU fit",
        "8 GPUs, 8 on one node",
      },
      {
        "cluster=azure inference=nim nims=cosmos-reason,cosmos-predict gpus_total=1",
        "GPU fit",
        "2 GPUs",
      },
      {
        "cluster=azure inference=nim nims=qwen-image-edit-nvpcb-ovsl2sl",
        "HF_TOKEN",
        "needed by qwen-image-edit-nvpcb-ovsl2sl",
      },
      { "cluster=microk8s inference=none storage=azure://a/c", "storage scheme", "azure://a/c" },
      { "cluster=azure inference=none storage=s3://b", "storage scheme", "s3://b" },
      { "cluster=azure inference=none spot=true", "Spot pool", "do not tolerate" },
    }) do
      local checks, r = select(case[1])
      assert.are.equal(1, r.code, case[1])
      assert.are.equal("red", checks[case[2]].state, case[1])
      assert.is_truthy(checks[case[2]].measured:find(case[3], 1, true), checks[case[2]].measured)
    end
    local tolerated = select("cluster=azure inference=none spot=true spot_tolerated=true")
    assert.are.equal("ok", tolerated["Spot pool"].state)
    local checks =
      select("cluster=microk8s inference=foundry capabilities=robotics storage=azure://a/c")
    for _, name in ipairs({ "combination", "capabilities", "storage scheme" }) do
      assert.are.equal("red", checks[name].state)
    end
  end)

  it("has no deploy and no teardown, and says why", function()
    for _, component in ipairs({ "driver", "osmo-cli" }) do
      for _, action in ipairs({ "deploy", "teardown" }) do
        local r = bench:pai({ action, component })
        assert.are.equal(2, r.code)
        assert.is_truthy(r.stderr:find(component .. " has no " .. action, 1, true), r.stderr)
      end
      local r = bench:pai({ "show", component })
      assert.is_truthy(r.stdout:find("There is none", 1, true), r.stdout)
    end
  end)

  local function osmo()
    local self =
      { pools = { default = { status = "ONLINE" } }, workflow = "COMPLETED", ready = 200 }
    self.task = "COMPLETED"
    self.server = assert(serve.listen({
      handler = function(req)
        if req.path == "/api/version" then
          return { json = { major = "6", minor = self.minor or "4", revision = "0", hash = "" } }
        elseif req.path == "/api/pool" then
          return { json = { pools = self.pools } }
        elseif req.path == "/v1/health/ready" then
          return { status = self.ready, body = "" }
        elseif req.path == "/api/workflow/w-1" then
          return {
            json = {
              name = "w-1",
              status = self.workflow,
              groups = json.array({
                {
                  name = "g",
                  tasks = json.array({ { name = "t", retry_id = 0, status = self.task } }),
                },
              }),
            },
          }
        end
        return { status = 404, json = { message = "not found" } }
      end,
    }))
    self.url = "http://127.0.0.1:" .. self.server:port()
    return self
  end

  cluster.it("reads every gate by itself", function(c)
    local o = osmo()
    cluster.private(bench.root .. "/config", c:kubeconfig("lab"))
    local login = "dev_login:\n  username: admin\nname: admin\nosmo_token: false\n"
    login = login .. "token_login: null\nurl: " .. o.url .. "\n"
    cluster.private(bench.root .. "/osmo/login.yaml", login)
    c:node("one", { status = { allocatable = { ["nvidia.com/gpu"] = "1" } } })
    for _, name in ipairs({ "osmo-minimal", "osmo-operator" }) do
      c:put("/api/v1/namespaces/" .. name, {})
      c:pod(name, "p")
    end
    for _, which in ipairs({ "data", "log", "app" }) do
      c:put(("/api/v1/namespaces/osmo-minimal/secrets/osmo-workflow-%s-cred"):format(which), {})
    end
    assert(fs.mkdir(talk.dir .. "/releases"))
    for name, chart in pairs({
      ["osmo-minimal"] = "service",
      ["osmo-operator"] = "backend-operator",
    }) do
      assert(fs.write(
        ("%s/releases/%s.json"):format(talk.dir, name),
        json.encode({
          name = name,
          namespace = name,
          revision = 1,
          status = "deployed",
          chart = chart,
          version = "1.4.0",
        })
      ))
    end
    local function verify()
      return call({
        "verify",
        "driver",
        "--target",
        "osmo",
        "context=lab",
        "kubeconfig=" .. bench.root .. "/config",
        "url=" .. o.url,
        "endpoints=" .. o.url .. "/v1/health/ready",
        "workflow=w-1",
      }, { OSMO_CONFIG_FILE_DIR = bench.root .. "/osmo" })
    end
    local _, r, states = verify()
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.same(
      { kubernetes = "green", osmo = "green", inference = "green", workload = "green" },
      states
    )
    -- A workflow without a verdict, and one that ended well with a task that did not.
    local checks
    o.workflow = "RUNNING"
    checks, r = verify()
    assert.are.same({ 1, "red" }, { r.code, checks["workflow w-1"].state })
    assert.are.equal("ok", checks["task t"].state)
    o.workflow, o.task = "COMPLETED", "FAILED_EVICTED"
    checks, r = verify()
    assert.are.same({ 1, "ok" }, { r.code, checks["workflow w-1"].state })
    assert.are.same({ "red", "FAILED_EVICTED" }, {
      checks["task t"].state,
      checks["task t"].measured,
    })
    o.ready, o.workflow = 503, "FAILED_EVICTED"
    o.pools.default.status = "MAINTENANCE"
    c:node("two", { metadata = { labels = { ["nvidia.com/gpu.present"] = "true" } } })
    checks, r, states = verify()
    assert.are.equal(1, r.code)
    assert.are.same(
      { kubernetes = "red", osmo = "red", inference = "red", workload = "red" },
      states
    )
    assert.are.equal("none allocatable on two", checks["GPUs"].measured)
    assert.are.equal("MAINTENANCE", checks["pool default"].measured)
    assert.are.equal("HTTP 503", checks[o.url .. "/v1/health/ready"].measured)
    assert.are.equal("FAILED_EVICTED", checks["task t"].measured)
    assert.are.same({}, c:changed())

    -- The client's own view.
    local function client()
      return call(
        { "verify", "osmo-cli", "--target", "osmo" },
        { OSMO_CONFIG_FILE_DIR = bench.root .. "/osmo" }
      )
    end
    checks, r = client()
    assert.are.equal(1, r.code)
    assert.are.equal("default MAINTENANCE", checks["pools"].measured)
    o.pools = {
      default = {
        status = "ONLINE",
        resource_usage = { quota_free = "2", total_free = "5" },
      },
      low = { status = "ONLINE", resource_usage = { quota_free = "0", total_free = "3" } },
    }
    checks, r = client()
    assert.are.equal(0, r.code, r.stdout)
    assert.are.equal(
      "default: 2 GPUs, low: no quota, 3 GPUs free for priority LOW",
      checks["pools"].measured
    )
    o.minor = "2"
    assert.are.equal("red", client()["service"].state)
    o.server:close()
    checks, r = client()
    assert.are.equal(1, r.code)
    assert.are.equal("unknown", checks["service"].state)
    talk:check()
  end)

  it("reads the client's version as JSON, also on one line", function()
    local function preflight(text, argv)
      talk:instead({
        argv = { "osmo", "version", "--format-type", "json" },
        stdout = text,
        cite = "OSMO's CLI, version command: client, and service while it is reached",
      })
      return call({ "preflight", "osmo-cli", argv })
    end
    local one = '{"client":{"major":"6","minor":"%s","revision":"6"},'
      .. '"service":{"major":"6","minor":"4","revision":"1"}}'
    local checks, r = preflight(one:format("3"))
    assert.are.equal(0, r.code)
    assert.are.equal("6.3.6", checks["osmo version"].measured)
    assert.are.same({ "warn", "6.3 and 6.4" }, {
      checks["client and service"].state,
      checks["client and service"].measured,
    })
    assert.are.equal("ok", preflight(one:format("4"))["client and service"].state)
    checks, r = preflight(one:format("2"), "cli=osmo")
    assert.are.same({ 1, "red" }, { r.code, checks["osmo version"].state })
    checks, r = preflight("hello\n")
    assert.are.same({ 0, "warn" }, { r.code, checks["osmo version"].state })
    assert.are.equal("no service was reached", checks["client and service"].measured)
    talk:check()
    talk:remove("osmo")
    assert.are.equal("warn", call({ "preflight", "osmo-cli" })["osmo version"].state)
    checks, r = call({ "preflight", "osmo-cli", "cli=osmo" })
    assert.are.same({ 1, "not found on PATH" }, { r.code, checks["osmo version"].measured })
  end)
end)
