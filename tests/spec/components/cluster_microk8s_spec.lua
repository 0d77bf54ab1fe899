-- cluster-microk8s, against a scripted snapd and a cluster in memory. Shapes of answers: snap list
-- and snap version as snapd 2.63 prints them; microk8s status and config as documented by MicroK8s;
-- ss -ltnpH as iproute2 prints it.
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local support = dofile("tests/spec/run/support.lua")
local stand_in = dofile("tests/spec/components/stand_in.lua")
local secrecy = dofile("tests/spec/components/secrecy.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")

local ID <const> = "run-0badcafe"

describe("cluster-microk8s", function()
  local bench, talk

  before_each(function()
    bench = support.new()
    local from = pai.root .. "/components/cluster-microk8s"
    for _, name in ipairs(fs.list(from)) do
      bench:write("components/cluster-microk8s/" .. name, assert(fs.read(from .. "/" .. name)))
    end
    talk = stand_in.new(bench.root .. "/tools", {
      "snap",
      "microk8s",
      "nvidia-smi",
      "ss",
      "sudo",
      "id",
      "git",
      "journalctl",
    }, { "cat", "kill" })
  end)

  after_each(function()
    bench:remove()
  end)

  local function env(more)
    local all = { PATH = talk.path, HOME = bench.root .. "/home", KUBECONFIG = false }
    for k, v in pairs(more or {}) do
      all[k] = v
    end
    return all
  end

  local function config()
    return bench.root .. "/home/.kube/config"
  end

  -- A machine that is as it should be, as root, with nothing installed.
  local function machine()
    talk:tell({ argv = { "id", "-u" }, stdout = "0\n", cite = "id -u" })
    talk:tell({
      argv = { "snap", "version" },
      stdout = "snap          2.63+24.04\nsnapd         2.63+24.04\nseries        16\n",
      cite = "snap version of snapd 2.63",
    })
    talk:tell({
      argv = { "git", "--version" },
      stdout = "git version 2.43.0\n",
      cite = "git --version",
    })
    talk:tell({
      argv = { "nvidia-smi", "~^%-%-query%-gpu=", "--format=csv,noheader,nounits" },
      stdout = "0, NVIDIA L40S, 550.90.07, 46068\n",
      cite = "nvidia-smi --help-query-gpu",
    })
    talk:tell({
      argv = { "snap", "list", "microk8s" },
      stdout = "Name      Version  Rev   Tracking     Publisher   Notes\n"
        .. "microk8s  v1.31.4  7449  1.31/stable  canonical** classic\n",
      when = "installed",
      cite = "snap list of snapd 2.63",
    })
    talk:tell({
      argv = { "snap", "list", "microk8s" },
      stderr = "error: no matching snaps installed\n",
      code = 1,
      cite = "snap list of snapd 2.63",
    })
    talk:tell({ argv = { "ss", "-ltnpH" }, stdout = "", cite = "ss -ltnpH of iproute2" })
  end

  local function status_text(addons)
    local on = {}
    for i, name in ipairs(addons) do
      on[i] = ("    %-20s # (core) %s"):format(name, name)
    end
    return "microk8s is running\nhigh-availability: no\naddons:\n  enabled:\n"
      .. table.concat(on, "\n")
      .. "\n  disabled:\n    cert-manager         # (core) Cloud native certificate management\n"
  end

  local BASE <const> = { "dns", "ha-cluster", "helm3", "hostpath-storage", "minio", "rbac" }

  -- What MicroK8s says and does, with a cluster behind it.
  local function microk8s(c)
    local cite = "MicroK8s: command reference, microk8s status, enable, config"
    talk:tell({
      argv = { "snap", "wait", "system", "seed.loaded" },
      cite = "snap wait of snapd 2.63",
    })
    talk:tell({
      argv = { "snap", "install", "microk8s", "--classic", "--channel=1.31/stable" },
      stdout = "microk8s (1.31/stable) v1.31.4 from Canonical installed\n",
      sets = "installed",
      cite = "snap install of snapd 2.63",
    })
    talk:tell({
      argv = { "microk8s", "status", "--wait-ready", "--timeout", "300" },
      stdout = status_text({ "ha-cluster" }),
      sets = "up",
      unless = "broken",
      cite = cite,
    })
    talk:tell({
      argv = { "microk8s", "status", "..." },
      stdout = "microk8s is not running. Use microk8s inspect for a deeper inspection.\n",
      unless = "up",
      cite = cite,
    })
    local all = table.move(BASE, 1, #BASE, 2, { "nvidia" })
    for _, case in ipairs({ { all, "gpu" }, { BASE, "addons" }, { { "ha-cluster" }, "up" } }) do
      local text = status_text(case[1])
      talk:tell({ argv = { "microk8s", "status" }, stdout = text, when = case[2], cite = cite })
    end
    talk:tell({
      argv = { "microk8s", "config" },
      stdout = c:kubeconfig("microk8s"),
      when = "installed",
      cite = cite,
    })
    talk:tell({
      argv = { "microk8s", "config" },
      stderr = "microk8s is not installed\n",
      code = 1,
      unless = "installed",
      cite = "a program that is left behind without its snap",
    })
    talk:tell({
      argv = { "microk8s", "enable", "dns", "hostpath-storage", "helm3", "rbac", "minio" },
      stdout = "Infer repository core for addon dns\n",
      sets = "addons",
      cite = cite,
    })
    talk:tell({
      argv = {
        "microk8s",
        "enable",
        "nvidia",
        "--gpu-operator-driver",
        "host",
        "--gpu-operator-values",
        "~gpu%-operator.yaml$",
      },
      stdout = "NVIDIA is enabled\n",
      sets = "gpu",
      cite = "MicroK8s addon nvidia, arguments of its enable script",
    })
    talk:tell({
      argv = { "snap", "remove", "microk8s", "--purge" },
      stdout = "microk8s removed\n",
      clears = "installed",
      cite = "snap remove of snapd 2.63",
    })
    c:node("one")
    c:pod("kube-system", "coredns")
    c:put("/apis/storage.k8s.io/v1/storageclasses/microk8s-hostpath", {
      metadata = { annotations = { ["storageclass.kubernetes.io/is-default-class"] = "true" } },
    })
  end

  local function checks_of(r)
    local list = {}
    for _, step in ipairs(assert(json.decode(r.stdout), r.stdout .. r.stderr).steps) do
      for _, check in ipairs(step.checks or {}) do
        list[check.name] = check
      end
    end
    return list
  end

  local function preflight(argv)
    local command = { "preflight", "cluster-microk8s", "--json" }
    table.move(argv or {}, 1, #(argv or {}), #command + 1, command)
    local r = bench:pai(command, { env = env() })
    return checks_of(r), r
  end

  it("preflight is green on a machine that is as it should be", function()
    machine()
    local checks, r = preflight()
    assert.are.equal(0, r.code, r.stdout)
    assert.are.equal("free", checks["port 16443"].measured)
    assert.are.equal("none", checks["MicroK8s"].measured)
    assert.are.equal("root", checks["root"].measured)
    talk:check()
  end)

  it("preflight goes red for each thing that is missing, and names it", function()
    machine()
    local cite = "the tool's own answer on a machine that lacks something"
    for _, case in ipairs({
      { { "snap", "version" }, "snap    2.44.3\n", "snap version", "2.44.3" },
      { { "snap", "version" }, "hello\n", "snap version", "no version can be read from: hello" },
      {
        { "nvidia-smi", "..." },
        "0, Tesla T4, 550.1, 15360\n1, Tesla T4, 470.2, 15360\n",
        "NVIDIA driver",
        "470.2.0, 2 GPUs",
      },
      {
        { "snap", "list", "microk8s" },
        "Name Version Rev Tracking Publisher Notes\n"
          .. "microk8s v1.28.9 1 1.28/stable canonical classic\n",
        "MicroK8s",
        "v1.28.9 from 1.28/stable",
      },
      {
        { "ss", "-ltnpH" },
        'LISTEN 0 4096 *:16443 *:* users:(("haproxy",pid=7,fd=3))\n',
        "port 16443",
        "in use by haproxy",
      },
    }) do
      local before = #talk.answers
      talk:instead({ argv = case[1], stdout = case[2], cite = cite })
      local checks, r = preflight()
      assert.are.equal(1, r.code, r.stdout)
      assert.are.equal("red", checks[case[3]].state, case[3])
      assert.are.equal(case[4], checks[case[3]].measured)
      assert.is_truthy(checks[case[3]].hint)
      table.remove(talk.answers, 1)
      assert.are.equal(before, #talk.answers)
    end
    talk:remove("snap")
    assert.are.equal("not found on PATH", preflight()["snap version"].measured)
  end)

  it("preflight takes no GPU, an old git and a running cluster for what they are", function()
    machine()
    talk:instead({
      argv = { "ss", "-ltnpH" },
      stdout = 'LISTEN 0 4096 *:16443 *:* users:(("kubelite",pid=1,fd=9))\n'
        .. "LISTEN 0 4096 127.0.0.1:10250 0.0.0.0:*\nLISTEN 0 4096 [::]:22 [::]:*\n",
      cite = "ss -ltnpH of iproute2",
    })
    talk:instead({
      argv = { "microk8s", "status" },
      stdout = status_text({}),
      cite = "microk8s status: `is running` stands there once",
    })
    talk:remove("git")
    talk:remove("nvidia-smi")
    local checks, r = preflight({ "gpu=false" })
    assert.are.equal(0, r.code, r.stdout)
    assert.are.equal("skipped", checks["NVIDIA driver"].state)
    assert.are.equal("warn", checks["git version"].state)
    assert.are.equal("kubelite: the cluster runs already", checks["port 16443"].measured)
    assert.are.equal("in use, and MicroK8s runs", checks["port 10250"].measured)
    assert.are.equal("free", checks["port 10255"].measured)
    talk:remove("ss")
    assert.are.equal("warn", preflight({ "gpu=false" })["port 10255"].state)
    talk:check()
  end)

  it("preflight asks sudo for no password", function()
    machine()
    talk:instead({ argv = { "id", "-u" }, stdout = "1000\n", cite = "id -u" })
    talk:tell({
      argv = { "sudo", "-n", "true" },
      stderr = "sudo: a password is required\n",
      code = 1,
      cite = "sudo -n without NOPASSWD",
    })
    talk:tell({
      argv = { "ss", "-ltnH" },
      stdout = "LISTEN 0 4096 *:10255 *:*\n",
      cite = "ss -ltnH of iproute2: no owner without -p",
    })
    talk:tell({
      argv = { "sudo", "-n", "microk8s", "status" },
      stderr = "sudo: a password is required\n",
      code = 1,
      cite = "sudo -n without NOPASSWD",
    })
    local checks, r = preflight()
    assert.are.equal(1, r.code)
    assert.are.equal("sudo: a password is required", checks["root"].measured)
    assert.are.equal(
      "in use by a program that can't be seen from here",
      checks["port 10255"].measured
    )
    talk:remove("sudo")
    checks = preflight()
    assert.are.same(
      { "red", "not root, and there is no sudo" },
      { checks["root"].state, checks["root"].measured }
    )
    talk:check()
  end)

  it("preflight says whose the context is that it would replace", function()
    machine()
    cluster.private(
      config(),
      [[
apiVersion: v1
kind: Config
clusters: [{name: far, cluster: {server: "https://198.51.100.7:16443"}}]
users: [{name: admin, user: {}}]
contexts: [{name: microk8s, context: {cluster: far, user: admin}}]
]]
    )
    talk:remove("microk8s")
    local check = preflight()["context microk8s"]
    assert.are.same({ "warn", "https://198.51.100.7:16443" }, { check.state, check.measured })
    assert.are.equal("free", preflight({ "context=mine" })["context mine"].measured)
  end)

  local function deploy(argv, more)
    local command = { "deploy", "cluster-microk8s", "--json", "--run-id", ID }
    table.move(argv or {}, 1, #(argv or {}), #command + 1, command)
    return bench:pai(command, { env = env(more), timeout = "120s" })
  end

  local function acts()
    local list = {}
    for _, call in ipairs(talk:calls()) do
      local verb = call.text:match("^snap install") or call.text:match("^snap remove")
      verb = verb or call.text:match("^microk8s enable %w+")
      list[#list + 1] = verb
    end
    return list
  end

  -- Another user's entries: an `admin` of another cluster, a reference to a file, an unknown field.
  local function other_contexts(c)
    local token = require("pai.crypto").hex(12)
    cluster.private(
      config(),
      ([[
apiVersion: v1
kind: Config
current-context: far
clusters:
- {name: far, cluster: {server: "https://198.51.100.7:6443", certificate-authority: far.crt}}
users:
- {name: admin, user: {token: %s}}
- {name: cert, user: {client-certificate: a.crt, client-key: a.key}}
contexts:
- {name: far, context: {cluster: far, user: admin, namespace: team, extensions: [{name: x}]}}
]]):format(token)
    )
    assert(token ~= c.token)
    return token
  end

  cluster.it("deploys on a GPU node; a second run changes nothing", function(c)
    machine()
    microk8s(c)
    c:node("one", { status = { allocatable = { ["nvidia.com/gpu"] = "1" } } })
    c:put("/apis/node.k8s.io/v1/runtimeclasses/nvidia", { handler = "nvidia" })
    local token = other_contexts(c)
    local hub = require("pai.crypto").hex(12)
    local login = { auth = require("pai.crypto").base64_encode("somebody:" .. hub) }
    cluster.private(
      bench.root .. "/home/.docker/config.json",
      json.encode({ auths = { ["https://index.docker.io/v1/"] = login } })
    )
    local r = deploy()
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    talk:check()
    assert.are.same({ "snap install", "microk8s enable dns", "microk8s enable nvidia" }, acts())
    local enabled = talk:calls("^microk8s enable nvidia")[1].text
    local values = fs.read(enabled:match("%-%-gpu%-operator%-values (%S+)"))
    assert.is_truthy(values:find("DISABLE_DEV_CHAR_SYMLINK_CREATION", 1, true))

    -- All other contexts are as they were, and the new one has names of its own.
    local text = assert(fs.read(config()))
    local doc = assert(require("pai.yaml").decode(text))
    assert.are.equal(384, fs.stat(config()).mode & 511)
    assert.are.equal("far", doc["current-context"])
    assert.are.same(
      { cluster = "far", user = "admin", namespace = "team", extensions = { { name = "x" } } },
      doc.contexts[1].context
    )
    assert.are.same({ "admin", "cert", "microk8s-admin" }, {
      doc.users[1].name,
      doc.users[2].name,
      doc.users[3].name,
    })
    assert.are.equal(token, doc.users[1].user.token)
    assert.are.equal("a.key", doc.users[2].user["client-key"])
    assert.are.equal(c.token, doc.users[3].user.token)
    assert.are.equal("far.crt", doc.clusters[1].cluster["certificate-authority"])
    local backup = fs.glob(config() .. ".before-*")
    assert.are.equal(1, #backup)
    assert.are.equal(384, fs.stat(backup[1]).mode & 511)

    -- The credential is nowhere else, and the login to Docker Hub only where it was.
    secrecy.check({
      texts = { c.token, hub },
      bench = bench,
      talk = talk,
      cluster = c,
      said = r.stdout .. r.stderr,
    })
    assert.is_nil(text:find(hub, 1, true))

    talk:forget()
    c:forget()
    r = bench:pai({ "deploy", "cluster-microk8s", "--json" }, { env = env(), timeout = "120s" })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.same({}, acts())
    assert.are.same({}, c:changed())
    assert.are.equal(text, fs.read(config()))
    talk:check()
  end)

  cluster.it("makes the class anew when a GPU node becomes a CPU node", function(c)
    machine()
    microk8s(c)
    talk:set("installed")
    talk:set("up")
    talk:set("addons")
    c:put("/apis/node.k8s.io/v1/runtimeclasses/nvidia", { handler = "nvidia" })
    local r = deploy({ "gpu=false" })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    local path = "/apis/node.k8s.io/v1/runtimeclasses/nvidia"
    assert.are.same({ "DELETE " .. path, "PATCH " .. path }, c:changed())
    assert.are.equal("runc", c.objects[path].handler)
    assert.are.equal("microk8s", require("pai.yaml").decode(fs.read(config()))["current-context"])
    talk:check()
  end)

  cluster.it("goes on after SIGKILL at every step, and repeats nothing that was done", function(c)
    machine()
    microk8s(c)
    local steps = { "install", "ready", "kubeconfig", "addons", "runtime-class", "gate" }
    for _, step in ipairs(steps) do
      local name = "cluster-microk8s/" .. step
      for _, event in ipairs({ "step.start", step == "kubeconfig" and "step.done" or nil }) do
        for _, flag in ipairs({ "installed", "up", "addons" }) do
          fs.remove(talk.dir .. "/flags/" .. flag)
        end
        fs.remove(bench.root .. "/home", { recursive = true })
        fs.remove(bench.state, { recursive = true })
        c:drop("/apis/node.k8s.io/v1/runtimeclasses/nvidia")
        talk:forget()
        local r = deploy({ "gpu=false" }, { PAI_TEST_KILL = event .. ":" .. name })
        assert.are.equal("SIGKILL", r.signal, name .. r.stdout .. r.stderr)
        r = bench:pai({ "resume", ID, "--json" }, { env = env(), timeout = "120s" })
        assert.are.equal(0, r.code, r.stdout .. r.stderr)
        assert.are.same({ "snap install", "microk8s enable dns" }, acts(), event .. ":" .. name)
      end
    end
    talk:check()
  end)

  cluster.it("says why the node does not come up", function(c)
    machine()
    microk8s(c)
    talk:set("broken")
    talk:tell({
      argv = { "journalctl", "-u", "snap.microk8s.daemon-kubelite", "..." },
      stdout = "one\nkubelite: no space left on device\n",
      cite = "journalctl -u UNIT -n 100 --no-pager",
    })
    local r = deploy({ "gpu=false" })
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("no space left on device", 1, true), r.stdout)
    talk:check()
  end)

  cluster.it("leaves a kubeconfig that it can't read as it is", function(c)
    machine()
    microk8s(c)
    cluster.private(config(), "clusters: [\n")
    local r = deploy({ "gpu=false" })
    assert.are.equal(1, r.code)
    assert.are.equal("clusters: [\n", fs.read(config()))
    cluster.private(config(), "apiVersion: v1\n")
    cluster.private(config() .. ".lock", "")
    r = bench:pai({ "resume", ID, "--json" }, { env = env(), timeout = "120s" })
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("another program is changing", 1, true), r.stdout)
    assert.are.equal("apiVersion: v1\n", fs.read(config()))
  end)

  cluster.it("does not take the context of another cluster that answers", function(c)
    machine()
    microk8s(c)
    local other = cluster.start()
    cluster.private(config(), other:kubeconfig("microk8s"))
    local before = fs.read(config())
    local r = deploy({ "gpu=false" })
    other:close()
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("leads to another cluster that answers", 1, true), r.stdout)
    assert.are.equal(before, fs.read(config()))
    assert.are.same({}, other:changed())
    talk:check()
  end)

  cluster.it("verify is red for what a cluster can lack", function(c)
    microk8s(c)
    talk:tell({ argv = { "id", "-u" }, stdout = "0\n", cite = "id -u" })
    cluster.private(config(), c:kubeconfig("microk8s"))
    c:put("/apis/node.k8s.io/v1/runtimeclasses/nvidia", { handler = "runc" })
    local function verify(argv)
      local r = bench:pai({ "verify", "cluster-microk8s", "--json", argv }, { env = env() })
      return checks_of(r), r
    end
    talk:tell({
      argv = { "snap", "list", "microk8s" },
      stderr = "error: no matching snaps installed\n",
      code = 1,
      cite = "snap list of snapd 2.63",
    })
    local checks, r = verify("gpu=false")
    assert.are.equal(0, r.code, r.stdout)
    assert.are.equal("skipped", checks.MicroK8s.state)
    talk:instead({
      argv = { "snap", "list", "microk8s" },
      stdout = "Name      Version  Rev   Tracking     Publisher   Notes\n"
        .. "microk8s  v1.31.4  7449  1.31/stable  canonical** classic\n",
      cite = "snap list of snapd 2.63",
    })
    checks = verify("gpu=false")
    assert.are.equal("v1.31.4 from channel 1.31/stable", checks.MicroK8s.measured)
    assert.are.equal("ok", checks.MicroK8s.state)
    talk:instead({
      argv = { "snap", "list", "microk8s" },
      stdout = "Name      Version  Rev   Tracking     Publisher   Notes\n"
        .. "microk8s  v1.32.1  7500  1.32/stable  canonical** classic\n",
      cite = "snap list of snapd 2.63",
    })
    checks, r = verify("gpu=false")
    assert.are.equal(0, r.code, r.stdout)
    assert.are.equal("warn", checks.MicroK8s.state)
    assert.are.equal("channel 1.31/stable", checks.MicroK8s.expected)
    checks = verify("gpu=true")
    assert.are.equal("handler runc", checks["RuntimeClass nvidia"].measured)
    assert.are.equal("0 on 0 nodes", checks["GPUs"].measured)
    c:node("one", {
      metadata = { labels = { ["nvidia.com/gpu.present"] = "true" } },
      status = {
        conditions = json.array({ { type = "Ready", status = "False", reason = "Down" } }),
      },
    })
    c:put("/apis/storage.k8s.io/v1/storageclasses/other", {
      metadata = { annotations = { ["storageclass.kubernetes.io/is-default-class"] = "true" } },
    })
    c:pod("kube-system", "calico", {
      status = {
        phase = "Pending",
        conditions = json.array({}),
        containerStatuses = json.array({
          { name = "main", state = { waiting = { reason = "ImagePullBackOff" } } },
        }),
      },
    })
    c.git_version = "v1.30.2"
    c:drop("/apis/node.k8s.io/v1/runtimeclasses/nvidia")
    checks, r = verify("gpu=true")
    assert.are.equal(1, r.code)
    assert.are.equal("none allocatable on one", checks["GPUs"].measured)
    assert.are.equal("one: Down", checks["nodes"].measured)
    assert.are.equal("microk8s-hostpath, other", checks["default StorageClass"].measured)
    assert.are.equal("kube-system/calico: ImagePullBackOff", checks["pods of kube-system"].measured)
    assert.are.equal("there is none", checks["RuntimeClass nvidia"].measured)
    assert.are.equal("red", checks["Kubernetes API of microk8s"].state)
  end)

  -- A process that is on record as the port-forward of a cluster.
  local function forward(port, context)
    local p = assert(exec.start({ "sleep", "600" }))
    local known = { pid = p.pid, start_time = p.start_time, boot = fs.boot_id(), port = port }
    known.context, known.server = context, "https://127.0.0.1:1"
    local path = ("%s/forwards/%d.json"):format(bench.state, port)
    cluster.private(path, json.encode(known))
    return p
  end

  cluster.it("teardown takes away its context and the snap, and no other context", function(c)
    machine()
    microk8s(c)
    talk:set("installed")
    talk:set("up")
    local token = other_contexts(c)
    local argv = { "teardown", "cluster-microk8s", "gpu=false", "--json" }
    assert.are.equal(3, bench:pai(argv, { env = env() }).code)
    assert.are.same({}, acts())
    talk:set("addons")
    assert.are.equal(0, deploy({ "gpu=false" }).code)
    talk:forget()
    argv[#argv + 1] = "--yes"
    -- Two port-forwards: one leads here and is ended, the other one is another cluster's.
    local here, other = forward(9000, "microk8s"), forward(9001, "team")
    local r = bench:pai(argv, { env = env() })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.same({ "snap remove" }, acts())
    local _, ended = here:wait()
    assert.are.equal("SIGTERM", ended.signal)
    assert.is_truthy(fs.process(other.pid))
    other:stop()
    local doc = assert(require("pai.yaml").decode(fs.read(config())))
    assert.are.same({ 1, 1, 2 }, { #doc.contexts, #doc.clusters, #doc.users })
    assert.are.equal(token, doc.users[1].user.token)
    talk:forget()
    -- A context of that name that leads elsewhere stays.
    doc.contexts[1].name = "microk8s"
    cluster.private(config(), require("pai.yaml").encode(doc))
    local before = fs.read(config())
    r = bench:pai(argv, { env = env() })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.same({}, acts())
    assert.are.equal(before, fs.read(config()))
    talk:check()
  end)
end)
