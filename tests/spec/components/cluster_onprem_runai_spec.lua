-- Run:ai's cluster part, whose values hold a secret: it goes to helm by stdin, and nobody reads it
-- back as text. A real Helm 4 takes and keeps such values in tests/peers/kubernetes/helm_spec.lua.
local stack = assert(loadfile("tests/spec/components/onprem_stack.lua", "t", _ENV))()
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local json = require("pai.json")

local tail = stack.tail
local pick = stack.support.pick

describe("Run:ai's cluster part", function()
  local s, client_secret

  before_each(function()
    s = stack.new()
    client_secret = "cs" .. crypto.hex(16)
  end)

  after_each(function()
    s:remove()
  end)

  local GIVEN <const> = {
    runai_cluster = "true",
    runai_cluster_version = "2.20.24",
    runai_control_plane_url = "https://runai.example.com",
    runai_cluster_url = "https://racks.example.com",
    runai_cluster_uid = "7f0c9f0e-1111-2222-3333-444455556666",
  }

  local function deploy(more, argv, env)
    local given = {}
    for name, value in pairs(GIVEN) do
      given[name] = value
    end
    for name, value in pairs(more or {}) do
      given[name] = value
    end
    env = env or {}
    if env.RUNAI_CLIENT_SECRET == nil then
      env.RUNAI_CLIENT_SECRET = client_secret
    end
    return s:act("deploy", argv, given, env)
  end

  -- Only where helm keeps its releases.
  local function kept_to_itself(r)
    assert.is_nil((r.stdout .. r.stderr):find(client_secret, 1, true))
    for _, name in ipairs(fs.walk(s.bench.root)) do
      if not name:find("^tools/flags") and not name:find("^tools/releases") then
        local body = fs.read(s.bench.root .. "/" .. name) or ""
        assert.is_nil(body:find(client_secret, 1, true), name)
      end
    end
  end

  local function upgrades()
    return #s.talk:calls("^helm upgrade runai%-cluster")
  end

  stack.it("is deployed once, killed and resumed, and follows its values", function(c)
    s:prepare(c)
    local env = { PAI_TEST_KILL = "step.start:cluster-onprem/runai-cluster" }
    local _, r = deploy({}, { "--run-id", "run-one" }, env)
    assert.are.equal("SIGKILL", r.signal, tail(r))
    _, r = s:resume("run-one", { RUNAI_CLIENT_SECRET = client_secret })
    assert.are.equal(0, r.code, tail(r))
    kept_to_itself(r)
    assert.are.same({
      controlPlane = { url = "https://runai.example.com", clientSecret = client_secret },
      cluster = { uid = GIVEN.runai_cluster_uid, url = "https://racks.example.com" },
    }, s:release("runai-cluster").values)
    local call = s.talk:calls("^helm upgrade runai%-cluster")[1].text
    assert.is_truthy(call:find("--values - ", 1, true), call)
    assert.is_truthy(call:find("--namespace runai ", 1, true), call)
    -- helm status and an upgrade's JSON would print the values.
    assert.are.equal(0, #s.talk:calls("^helm status runai%-cluster"))
    -- A second run changes nothing; another secret, and one that somebody changed, are put right.
    s.talk:forget()
    c:forget()
    local events
    events, r = deploy()
    assert.are.equal(0, r.code, tail(r))
    assert.are.same({}, s:acts())
    assert.are.same({}, c:changed())
    for _, event in ipairs(pick(events, "step.done")) do
      assert.are.equal("already", event.how, event.step)
    end
    client_secret = "cs" .. crypto.hex(16)
    r = select(2, deploy())
    assert.are.equal(0, r.code, tail(r))
    assert.are.equal(1, upgrades())
    assert.are.equal(client_secret, s:release("runai-cluster").values.controlPlane.clientSecret)
    kept_to_itself(r)
    r = select(2, deploy({ runai_cluster_url = "https://other.example.com" }))
    assert.are.equal(2, upgrades())
    kept_to_itself(r)
    -- A release that a killed helm has left pending is freed, without its values being printed.
    local release = s:release("runai-cluster")
    release.status = "pending-upgrade"
    assert(fs.write(s.talk.dir .. "/releases/runai-cluster.json", json.encode(release)))
    r = select(2, deploy())
    assert.are.equal(0, r.code, tail(r))
    assert.are.equal(1, #s.talk:calls("^helm rollback runai%-cluster"))
    assert.are.equal(0, #s.talk:calls("^helm status runai%-cluster"))
    s.talk:check()
    -- It is gone first, and its namespace with it.
    s.talk:forget()
    local words = { "--yes" }
    local given = { vip = false, vip_interface = false, metallb = false, patience = false }
    r = select(2, s:act("teardown", words, given))
    assert.are.equal(0, r.code, tail(r))
    assert.are.equal("uninstall runai-cluster", s:acts()[1])
    assert.is_nil(c.objects["/api/v1/namespaces/runai"])
    assert.are.equal(0, #s.talk:calls("^helm status runai%-cluster"))
    kept_to_itself(r)
  end)

  stack.it("says what is missing, and what helm says without the secret in it", function(c)
    s:prepare(c)
    local function failing(text, more, env)
      local _, r = deploy(more, nil, env)
      assert.are.equal(1, r.code, tail(r))
      assert.is_truthy(r.stdout:find(text, 1, true), text .. tail(r))
      kept_to_itself(r)
    end
    failing("runai_cluster=true goes with runai_cluster_uid", { runai_cluster_uid = false })
    failing("runai_cluster=true goes with runai_cluster_url", { runai_cluster_url = false })
    failing("runai_cluster=true goes with runai_cluster_version", { runai_cluster_version = false })
    failing("RUNAI_CLIENT_SECRET is not set", {}, { RUNAI_CLIENT_SECRET = false })
    assert.are.equal(0, upgrades())
    s.talk:set("helm-echoes")
    failing("runai-cluster: Error: cannot patch: clientSecret ***")
    assert.are.equal(1, upgrades())
  end)
end)
