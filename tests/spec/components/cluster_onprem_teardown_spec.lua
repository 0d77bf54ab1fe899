-- cluster-onprem's teardown: what was deployed goes in the reverse order; volumes and Kubernetes
-- only when they are named.
local stack = assert(loadfile("tests/spec/components/onprem_stack.lua", "t", _ENV))()
local fs = require("pai.fs")

local tail = stack.tail

describe("cluster-onprem's teardown", function()
  local s

  before_each(function()
    s = stack.new()
  end)

  after_each(function()
    s:remove()
  end)

  local REVERSE <const> = {
    "uninstall gpu-operator",
    "uninstall network-operator",
    "uninstall kube-prometheus-stack",
    "uninstall metallb",
  }

  local function deployed(c)
    s:prepare(c)
    local more = { rail_subnet = "198.51.100.0/24", rail_device = "eno2" }
    local _, r = s:act("deploy", nil, more)
    assert.are.equal(0, r.code, tail(r))
    s.talk:forget()
    c:forget()
  end

  local function teardown(more, argv, env)
    local given = { vip = false, vip_interface = false, metallb = false, patience = false }
    given.venv = s.bench.root .. "/tools"
    for name, value in pairs(more or {}) do
      given[name] = value
    end
    local words = { "--yes" }
    table.move(argv or {}, 1, #(argv or {}), 2, words)
    local _, r = s:act("teardown", words, given, env)
    return r
  end

  stack.it("takes the stack away and leaves volumes and Kubernetes", function(c)
    deployed(c)
    local r = teardown()
    assert.are.equal(0, r.code, tail(r))
    assert.are.same(REVERSE, s:acts())
    assert.is_true(fs.exists(s.talk.dir .. "/releases/longhorn.json"))
    assert.is_nil(c.objects["/api/v1/namespaces/gpu-operator"])
    assert.is_truthy(c.objects["/api/v1/namespaces/longhorn-system"])
    assert.is_truthy(c.objects["/api/v1/namespaces/monitoring"])
    for _, path in ipairs({
      "/apis/mellanox.com/v1alpha1/macvlannetworks/rail",
      "/apis/mellanox.com/v1alpha1/nicclusterpolicies/nic-cluster-policy",
      "/apis/metallb.io/v1beta1/ipaddresspools/pai",
    }) do
      assert.is_nil(c.objects[path], path)
    end
    assert.is_true(s.talk:is_set("made"))
    s.talk:forget()
    c:forget()
    r = teardown()
    assert.are.equal(0, r.code, tail(r))
    assert.are.same({}, s:acts())
    assert.are.same({}, c:changed())
    s.talk:check()
  end)

  stack.it("keeps Longhorn while somebody has a volume, and confirms to it", function(c)
    deployed(c)
    c:put("/api/v1/namespaces/monitoring/persistentvolumeclaims/prometheus", {})
    local volume = "/api/v1/persistentvolumes/"
    c:put(volume .. "pvc-1", {
      spec = {
        csi = { driver = "driver.longhorn.io" },
        claimRef = { namespace = "team", name = "models" },
      },
    })
    c:put(volume .. "local", { spec = { hostPath = { path = "/x" } } })
    local r = teardown({ volumes = "true" })
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("Longhorn still has volumes: team/models", 1, true), tail(r))
    assert.is_true(fs.exists(s.talk.dir .. "/releases/longhorn.json"))
    c:drop(volume .. "pvc-1")
    r = teardown({ volumes = "true" })
    assert.are.equal(0, r.code, tail(r))
    assert.is_false(fs.exists(s.talk.dir .. "/releases/longhorn.json"))
    local flag = c.objects["/apis/longhorn.io/v1beta2/settings/deleting-confirmation-flag"]
    assert.are.equal("true", flag.value)
    assert.is_nil(c.objects["/api/v1/namespaces/monitoring"])
    assert.is_nil(c.objects["/api/v1/namespaces/longhorn-system"])
    s.talk:check()
  end)

  stack.it("resets the hosts only by the cluster's name, and goes on after SIGKILL", function(c)
    deployed(c)
    local r = teardown({ reset = "rack" })
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("typed once more", 1, true), tail(r))
    r = teardown({ reset = "racks", site = false, kubespray = false })
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find('"measured":"missing","name":"site"', 1, true), tail(r))
    assert.are.same({}, s:acts())
    assert.are.same({}, c:changed())
    local more = { reset = "racks", volumes = "true" }
    local steps = { "gpu-operator", "network-operator", "kube-prometheus-stack", "metallb" }
    table.move({ "longhorn", "namespaces", "reset", "context" }, 1, 4, 5, steps)
    for i, step in ipairs(steps) do
      local kill = { PAI_TEST_KILL = "step.start:cluster-onprem/" .. step }
      if i == 1 then
        r = teardown(more, { "--run-id", "run-away" }, kill)
      else
        r = select(2, s:resume("run-away", kill))
      end
      assert.are.equal("SIGKILL", r.signal, step .. tail(r))
    end
    r = select(2, s:resume("run-away"))
    assert.are.equal(0, r.code, tail(r))
    local wanted = { table.unpack(REVERSE) }
    table.move({ "uninstall longhorn", "reset.yml" }, 1, 2, #wanted + 1, wanted)
    assert.are.same(wanted, s:acts())
    assert.is_false(s.talk:is_set("made"))
    assert.is_false(fs.exists(s.bench.root .. "/site/done"))
    assert.is_nil(fs.read(s.bench.root .. "/config"):find("racks", 1, true))
    local extra = s.talk:calls("reset%.yml")[1].text
    assert.is_truthy(extra:find("--extra-vars reset_confirmation=yes", 1, true))
    -- There is nothing left, and that is fine.
    s.talk:forget()
    r = teardown(more)
    assert.are.equal(0, r.code, tail(r))
    assert.are.same({}, s:acts())
    s.talk:check()
  end)

  stack.it("stops when a host can't be asked, or reset.yml leaves something", function(c)
    deployed(c)
    local ssh = { "ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes" }
    table.move({ "-o", "ConnectTimeout=15", "--", "gpu2", "~^test " }, 1, 5, #ssh + 1, ssh)
    s.talk:instead({
      argv = ssh,
      unless = "up",
      stderr = "ssh: connect to host gpu2 port 22: Connection refused\r\n",
      code = 255,
      cite = "ssh(1): its own trouble is 255",
    })
    local more = { reset = "racks", stack = "false" }
    local r = teardown(more)
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("gpu2: ssh: connect to host gpu2", 1, true), tail(r))
    s.talk:set("up")
    s.talk:instead({ argv = ssh, when = "up", stdout = "yes\n", cite = "the command's own answer" })
    r = teardown(more)
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("but Kubernetes is on gpu2", 1, true), tail(r))
    assert.are.same({ "reset.yml" }, s:acts())
    assert.is_truthy(fs.read(s.bench.root .. "/config"):find("racks", 1, true))
    s.talk:check()
  end)
end)
