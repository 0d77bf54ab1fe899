-- cluster-onprem's preflight: hosts behind a scripted ssh, tools and a registry that answer as
-- told.
local onprem = dofile("tests/spec/components/onprem.lua")
local support = dofile("tests/spec/run/support.lua")
local stand_in = dofile("tests/spec/components/stand_in.lua")
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local serve = require("pai.serve")
local task = require("pai.task")

describe("cluster-onprem's preflight", function()
  local bench, talk, token

  before_each(function()
    bench = support.new()
    onprem.install(bench, {})
    talk = stand_in.new(bench.root .. "/tools", { "ssh", "date", "helm", "git", "python3" })
    token = "tok" .. crypto.hex(16)
    talk:tell({ argv = { "date", "+%s.%N" }, stdout = "2000.000000000\n", cite = "date +%s.%N" })
    talk:tell({ argv = { "git", "--version" }, stdout = "git version 2.43.0\n", cite = "git" })
    talk:tell({
      argv = { "python3", "--version" },
      stdout = "Python 3.12.3\n",
      cite = "python3 --version",
    })
    talk:tell({
      argv = { "python3", "-I", "-m", "ensurepip", "--version" },
      stdout = "pip 24.0\n",
      cite = "python3 -m ensurepip --version",
    })
    talk:tell({
      argv = { "helm", "version", "--short" },
      stdout = "v3.16.2+g13654a5\n",
      cite = "helm version --short",
    })
    talk:tell({
      argv = { "helm", "show", "chart", "..." },
      stdout = "apiVersion: v2\nname: x\nversion: 1.0.0\n",
      cite = "helm show chart",
    })
  end)

  after_each(function()
    bench:remove()
  end)

  local function answers(host, facts)
    talk:instead({
      argv = {
        "ssh",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "ConnectTimeout=15",
        "--",
        host,
        "~^set %-%- 'eno1' ",
      },
      stdout = facts.host and onprem.said(facts) or facts.stdout,
      stderr = facts.stderr,
      code = facts.code,
      cite = "ssh: the output of the command, or its own error and 255",
    })
  end

  local function ready()
    for i, name in ipairs({ "a", "b", "c", "w" }) do
      answers(name, { host = name, worker = i == 4, addresses = "192.0.2." .. i })
    end
  end

  local function preflight(more, env)
    local command = { "preflight", "cluster-onprem", "--json" }
    local given = { control_planes = "a,b,c", workers = "w", vip = "192.0.2.10" }
    given.metallb, given.vip_interface, given.offline = "192.0.2.20-192.0.2.40", "eno1", "true"
    for name, value in pairs(more or {}) do
      given[name] = value
    end
    for name, value in pairs(given) do
      command[#command + 1] = name .. "=" .. value
    end
    local all = { PATH = talk.path, HOME = bench.root, SSH_AUTH_SOCK = false }
    for name, value in pairs(env or {}) do
      all[name] = value
    end
    local r = bench:pai(command, { env = all, timeout = "120s" })
    return onprem.checks_of(r), r
  end

  local function red(checks, wanted)
    for name, measured in pairs(wanted) do
      local check = assert(checks[name], name)
      assert.are.same({ "red", measured }, { check.state, check.measured }, name)
    end
  end

  it("is green for hosts that are ready", function()
    ready()
    local checks, r = preflight()
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    for name, check in pairs(checks) do
      assert.is_true(check.state == "ok" or check.state == "skipped", name)
    end
    assert.are.equal("22 asked for", checks["addresses unused"].measured)
    talk:check()
  end)

  it("is red for each thing that is not", function()
    ready()
    answers("b", { stderr = "b: Permission denied (publickey).\r\n", code = 255 })
    answers("w", {
      host = "a",
      worker = true,
      addresses = "192.0.2.30",
      time = "1000",
      sudo = false,
      os = "Ubuntu 22.04.5 LTS",
      python = "",
      swaps = "1",
      iscsid = "inactive",
      nfs = false,
      gpus = "7",
      secureboot = "1",
      unresolved = "nvcr.io",
      unreached = "quay.io\nregistry.k8s.io",
      socket = "LISTEN 0 4096 *:10250 *:*",
    })
    answers("c", { host = "c", addresses = "192.0.2.10", free_kib = "1024", device = false })
    local checks, r = preflight()
    assert.are.equal(1, r.code)
    red(checks, {
      ["b"] = "b: Permission denied (publickey).",
      ["w: sudo"] = "refused",
      ["w: system"] = "Ubuntu 22.04.5 LTS",
      ["w: python3"] = "none",
      ["w: swap"] = "1",
      ["w: iscsid"] = "inactive",
      ["w: NFS client"] = "none",
      ["w: GPUs on PCI"] = "7",
      ["w: secure boot"] = "on",
      ["w: names"] = "nvcr.io",
      ["w: registries"] = "quay.io, registry.k8s.io",
      ["w: ports"] = "10250",
      ["c: disk"] = "0 GiB",
      ["c: VIP's network"] = "there is no device eno1",
      ["VIP"] = "192.0.2.10 touches c 192.0.2.10",
      ["MetalLB range"] = "192.0.2.20-192.0.2.40 touches w 192.0.2.30",
      ["hostnames"] = "a and w: a",
      ["machine ids"] = "a and w: a",
      ["w: clock"] = "1000.0 s",
    })
    talk:check()
  end)

  it("tells drift and what nobody could see from what is broken", function()
    ready()
    answers("w", {
      host = "w",
      worker = true,
      addresses = "192.0.2.4",
      kernel = "6.8.0-99-generic",
      secureboot = "",
    })
    answers("a", {
      host = "a",
      addresses = "192.0.2.1",
      cpus = "4",
      answers = "192.0.2.10\n192.0.2.25\n192.0.2.25",
      route = "192.0.2.10 via 192.0.2.254 dev eno1 src 192.0.2.1 uid 0",
    })
    local checks = preflight()
    assert.are.equal("warn", checks["w: kernel"].state)
    assert.are.equal("warn", checks["a: size"].state)
    assert.are.equal("unknown", checks["w: secure boot"].state)
    red(checks, {
      ["addresses unused"] = "answers: 192.0.2.10, 192.0.2.25",
      ["a: VIP's network"] = "behind the router 192.0.2.254",
    })
    answers("a", { host = "a", addresses = "192.0.2.1", probe = false })
    assert.are.equal("unknown", preflight()["addresses unused"].state)
    answers("a", { stdout = "Welcome!\n" })
    checks = preflight({ metallb = "198.51.100.0/24" })
    red(checks, { a = "the answer is none of the command's" })
    assert.are.equal("unknown", checks["addresses unused"].state)
    ready()
    checks = preflight({ metallb = "198.51.100.0/24" })
    assert.are.equal("warn", checks["addresses unused"].state)
    checks = preflight({ control_planes = "a,c", vip = "10.233.1.1", metallb = "192.0.2.300" })
    red(checks, {
      ["etcd quorum"] = 2,
      ["VIP"] = "10.233.1.1 touches services 10.233.0.0/18",
      ["MetalLB range"] = "192.0.2.300 is no range or network",
    })
    checks = preflight({ workers = "-oProxyCommand=x", pod_cidr = "10.233.0.0/16" })
    red(checks, {
      ["-oProxyCommand=x"] = "that is no name of a host",
      ["pods and services"] = "10.233.0.0/16 touches services 10.233.0.0/18",
    })
    talk:check()
  end)

  it("looks at Python, Ansible, git and helm of this machine", function()
    ready()
    talk:instead({
      argv = { "python3", "--version" },
      stdout = "Python 3.13.1\n",
      cite = "python3 --version",
    })
    red(preflight(), { ["Python python3"] = "3.13.1" })
    talk:instead({ argv = { "python3", "--version" }, stdout = "Python 3.10.12\n", cite = "same" })
    talk:instead({
      argv = { "python3", "-I", "-m", "ensurepip", "--version" },
      stderr = "/usr/bin/python3: No module named ensurepip\n",
      code = 1,
      cite = "python3 without python3-venv, as Debian and Ubuntu have it",
    })
    red(preflight(), { ["Python python3"] = "3.10.12, without venv" })
    red(preflight({ python = "/none/python3" }), { ["Python /none/python3"] = "not found" })
    -- An environment that the user has.
    local venv = bench.root .. "/venv"
    red(preflight({ venv = venv }), { Ansible = "none in " .. venv })
    assert(fs.mkdir(venv .. "/bin", { parents = true }))
    local said = "#!/bin/sh\necho 'ansible-playbook [core %s]'\n" -- ansible-playbook --version
    for version, state in pairs({ ["2.14.18"] = "red", ["2.16.14"] = "ok", ["2.17.0"] = "red" }) do
      local path = venv .. "/bin/ansible-playbook"
      assert(fs.write(path, said:format(version), { mode = "0755" }))
      local check = preflight({ venv = venv }).Ansible
      assert.are.same({ state, version }, { check.state, check.measured })
    end
    talk:check()
  end)

  -- A registry with a token service, as the distribution specification has it.
  local function registry(state)
    local server
    server = assert(serve.listen({
      handler = function(req)
        local base = "http://127.0.0.1:" .. server:port()
        if req.path == "/token" then
          state.asked[#state.asked + 1] = (req.query.scope or { "" })[1]
          local login = crypto.base64_encode("self-hosted-image-puller-prod:" .. token)
          local with = req.headers.authorization
          if state.login and with and with ~= "Basic " .. login then
            return { status = 401, json = {} }
          end
          return { json = { token = "bearer-" .. token } }
        elseif req.headers.authorization ~= "Bearer bearer-" .. token then
          local how = 'Bearer realm="%s/token",service="registry"'
          return { status = 401, headers = { ["WWW-Authenticate"] = how:format(base) } }
        end
        local image = req.path:match("^/v2/(.+)/manifests/")
        return { status = state[image] or 200 }
      end,
    }))
    state.url, state.server = "http://127.0.0.1:" .. server:port(), server
    return state
  end

  it("looks whether charts are there and images may be pulled", function()
    ready()
    task.run(function()
      local state = registry({ asked = {}, ["nvidia/driver"] = 403, login = true })
      talk:instead({
        argv = {
          "helm",
          "show",
          "chart",
          "longhorn",
          "--repo",
          "https://charts.longhorn.io",
          "...",
        },
        stderr = 'Error: chart "longhorn" version "1.7.2" not found\n',
        code = 1,
        cite = "helm show chart, of a version that is not there",
      })
      local more = { offline = "false", registry = state.url, runai = "true" }
      more.runai_registry = state.url
      local checks, r = preflight(more, { RUNAI_TOKEN = token })
      assert.are.equal(1, r.code, r.stderr)
      red(checks, {
        ["image nvidia/driver:580.82.07-ubuntu24.04"] = "HTTP 403",
        ["chart longhorn 1.7.2"] = 'Error: chart "longhorn" version "1.7.2" not found',
      })
      local hint = checks["image nvidia/driver:580.82.07-ubuntu24.04"].hint
      assert.is_truthy(hint:find("entitlement is missing", 1, true))
      for _, name in ipairs({
        "image nvidia/gpu-operator:v25.3.4",
        "image nvidia/cloud-native/network-operator:v25.7.0",
        "chart gpu-operator v25.3.4",
        "RUNAI_TOKEN",
        "login to " .. state.url,
      }) do
        assert.are.equal("ok", assert(checks[name], name).state, name)
      end
      assert.is_nil((r.stdout .. r.stderr):find(token, 1, true))
      table.sort(state.asked)
      assert.are.equal("repository:nvidia/gpu-operator:pull", state.asked[4])
      checks = preflight(more, { RUNAI_TOKEN = "not" .. token })
      red(checks, { ["login to " .. state.url] = "HTTP 401" })
      checks = preflight(more, { RUNAI_TOKEN = false })
      red(checks, { RUNAI_TOKEN = "not set" })
      state.server:close()
    end)
    talk:check()
  end)
end)
