-- cluster-onprem's deploy up to a cluster that answers: real git, venv, pip, Ansible and sshd; the
-- playbooks are stand-ins of Kubespray's shape, and the API server is one in memory.
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local onprem = dofile("tests/spec/components/onprem.lua")
local support = dofile("tests/spec/run/support.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local task = require("pai.task")

-- ssh for the preflight says what hosts that are ready say, and whether Kubernetes is on them;
-- everything else is the real one.
local SSH <const> = [[#!/bin/sh
for word in "$@"; do
  case $word in
    "set -- "*) date +time=%%s.%%N && exec cat %q/"$host" ;;
    "test -e /etc/kubernetes"*) [ -e %q/admin.conf ] && echo yes || echo no; exit 0 ;;
  esac
  host=${word#*@}
done
exec /usr/bin/ssh "$@"
]]

-- The end of what a run said, for a message.
local function tail(r)
  return r.stdout:sub(-3000) .. r.stderr:sub(-2000)
end

describe("cluster-onprem with Kubespray", function()
  local bench, ssh, tools

  local function prepare(c)
    local port = c.url:match(":(%d+)$")
    onprem.install(bench, {
      ["63cdf87915421dda5955281f38401fd1b55b230b"] = bench.commit,
      ['min = "2.16.4", below = "2.17.0"'] = 'min = "2.14.0", below = "2.20.0"',
      ["https://%s:6443"] = "http://%s:" .. port,
    })
    c.git_version = "v1.32.5"
    for _, name in ipairs(onprem.NODES) do
      c:node(name)
    end
    -- In the credential stands a name that only the nodes know.
    local given = c:kubeconfig("kubernetes-admin@cluster.local")
      :gsub(c.url:gsub("%p", "%%%0"), "https://lb-apiserver.kubernetes.local:6443")
    assert(fs.write(ssh.state .. "/given.conf", given, { mode = "0600" }))
  end

  before_each(function()
    bench = support.new()
    tools = bench.root .. "/bin"
    assert(fs.mkdir(tools .. "/said", { parents = true }))
    assert(
      fs.write(
        tools .. "/ssh",
        SSH:format(tools .. "/said", bench.root .. "/sshd/state"),
        { mode = "0755" }
      )
    )
    for i, name in ipairs(onprem.NODES) do
      local facts = { host = name, worker = i == 4, time = false }
      facts.addresses = "127.0.0." .. (10 + i)
      facts.route = "127.0.0.1 dev lo src 127.0.0.1 uid 0"
      assert(fs.write(tools .. "/said/" .. facts.addresses, onprem.said(facts)))
    end
    bench.commit = onprem.repository(bench.root .. "/upstream", "v2.28.0")
    bench:write("vars.yml", ("stand_state: %s/sshd/state\n"):format(bench.root))
    ssh = onprem.sshd(bench.root .. "/sshd")
    local known = fs.read(ssh.dir .. "/known_hosts")
    local all = { known }
    for i = 1, 4 do
      all[#all + 1] = known:gsub("127%.0%.0%.1%]", ("127.0.0.%d]"):format(10 + i))
    end
    assert(fs.write(ssh.dir .. "/known_hosts", table.concat(all)))
  end)

  after_each(function()
    ssh:close()
    bench:remove()
  end)

  local function inputs(more)
    local given = {
      context = "racks",
      control_planes = "cp1=127.0.0.11,cp2=127.0.0.12,cp3=127.0.0.13",
      workers = "gpu1=127.0.0.14",
      vip = "127.0.0.1",
      vip_interface = "lo",
      metallb = "192.0.2.20-192.0.2.40",
      site = bench.root .. "/site",
      kubespray = bench.root .. "/kubespray",
      kubespray_repo = bench.root .. "/upstream",
      kubeconfig = bench.root .. "/config",
      ssh_config = ssh.config,
      vars = bench.dir .. "/vars.yml",
      python = "/usr/bin/python3",
      pip_config = bench.pip_config,
      venv = not bench.pip_config and bench.root .. "/venv" or nil,
    }
    for name, value in pairs(more or {}) do
      given[name] = value
    end
    local list = {}
    for name, value in pairs(given) do
      list[#list + 1] = name .. "=" .. value
    end
    table.sort(list)
    return list
  end

  local function env(more)
    local all = { PATH = tools .. ":/usr/bin:/bin", HOME = bench.root, KUBECONFIG = false }
    all.SSH_AUTH_SOCK = false
    for k, v in pairs(more or {}) do
      all[k] = v
    end
    return all
  end

  local function deploy(argv, more_inputs, more_env)
    local command = { "deploy", "cluster-onprem", "--json" }
    table.move(argv or {}, 1, #(argv or {}), #command + 1, command)
    local given = inputs(more_inputs)
    table.move(given, 1, #given, #command + 1, command)
    local r = bench:pai(command, { env = env(more_env), timeout = "120s" })
    return support.events(r.stdout), r
  end

  local function resume(id, more_env)
    local r = bench:pai({ "resume", "--json", id }, { env = env(more_env), timeout = "120s" })
    return support.events(r.stdout), r
  end

  -- Debian's Ansible as an environment that the user has.
  local function own_venv()
    local dir = bench.root .. "/venv/bin"
    assert(fs.mkdir(dir, { parents = true }))
    for _, tool in ipairs({ "ansible-playbook", "ansible-inventory" }) do
      assert(exec.run({ "ln", "-s", "/usr/bin/" .. tool, dir .. "/" .. tool }))
    end
  end

  local function how(events, step)
    local one = support.pick(events, "step.done", "cluster-onprem/" .. step)[1]
    return one and one.how
  end

  local STEPS <const> = { "checkout", "ansible", "inventory", "kubernetes", "context" }

  -- There is no helm here, so that a run ends at the first chart: all before it is what counts.
  local function reached_the_stack(events, r)
    assert.are.equal(1, #support.pick(events, "gate", "cluster-onprem/api"), tail(r))
    assert.are.equal("green", support.pick(events, "gate", "cluster-onprem/api")[1].verdict)
  end

  cluster.it("makes a cluster out of nothing, and does nothing twice", function(c)
    prepare(c)
    bench.pip_config = onprem.wheel(bench.root .. "/wheels")
    local events, r = deploy({ "--run-id", "run-new" })
    reached_the_stack(events, r)
    for _, step in ipairs(STEPS) do
      assert.are.equal("ran", how(events, step), step)
    end
    -- What the playbook was given and said.
    local done = support.pick(events, "step.done", "cluster-onprem/kubernetes")[1].result
    assert.is_truthy(done.recap.gpu1:find("failed=0", 1, true))
    local beats = support.pick(events, "heartbeat", "cluster-onprem/kubernetes")
    assert.is_truthy(#beats > 0 and beats[1].observation:find("Stand%-in for the cluster"))
    local read = bench.root .. "/site/inventory/group_vars/k8s_cluster"
    assert.are.equal("kube_vip_enabled: false", fs.read(read .. "/addons.yml"):match("[^\n]+"))
    -- The context leads to the VIP, and the credential is nowhere else.
    local where = fs.read(bench.root .. "/config")
    assert.is_truthy(where:find("server: " .. c.url, 1, true), where)
    assert.is_nil(where:find("lb-apiserver", 1, true))
    assert.are.equal(384, fs.stat(bench.root .. "/config").mode & 511) -- 0600
    for _, path in ipairs(fs.walk(bench.state)) do
      local text = fs.read(bench.state .. "/" .. path) or ""
      assert.is_nil(text:find(c.token, 1, true), path)
    end
    -- Facts of hosts stay in the site's folder, and the host keys were looked at.
    assert.is_false(fs.exists("/tmp/cp1"))
    local before = fs.stat(bench.root .. "/site/done").mtime_ms
    events, r = deploy({ "--run-id", "run-again" })
    reached_the_stack(events, r)
    for _, step in ipairs(STEPS) do
      assert.are.equal("already", how(events, step), step)
    end
    assert.are.equal(before, fs.stat(bench.root .. "/site/done").mtime_ms)
    assert.are.equal(0, #support.pick(events, "child", "cluster-onprem/kubernetes"))
    -- And away again, by the real reset.yml's own confirmation.
    local argv = { "teardown", "cluster-onprem", "--json", "--yes", "stack=false", "reset=racks" }
    local only = { vip = 1, vip_interface = 1, metallb = 1, kubespray_repo = 1, vars = 1 }
    only.pip_config = 1
    for _, word in ipairs(inputs()) do
      argv[#argv + 1] = not only[word:match("^[^=]+")] and word or nil
    end
    r = bench:pai(argv, { env = env(), timeout = "120s" })
    assert.are.equal(0, r.code, tail(r))
    assert.is_false(fs.exists(ssh.state .. "/node.gpu1"))
    assert.is_false(fs.exists(bench.root .. "/site/done"))
    assert.is_nil(fs.read(bench.root .. "/config"):find("racks", 1, true))
  end)

  cluster.it("goes on after SIGKILL at every step, and in the middle of a playbook", function(c)
    prepare(c)
    own_venv()
    local function kill(step)
      return { PAI_TEST_KILL = "step.start:cluster-onprem/" .. step }
    end
    local function killed(_, r)
      assert.are.equal("SIGKILL", r.signal, tail(r))
    end
    killed(deploy({ "--run-id", "run-killed" }, nil, kill("checkout")))
    -- A clone that was cut short.
    assert(exec.run({ "git", "init", "-q", bench.root .. "/kubespray" }))
    assert(fs.write(bench.root .. "/kubespray/.git/pai-clone", ""))
    assert(fs.write(bench.root .. "/kubespray/.git/index.lock", ""))
    killed(resume("run-killed", kill("inventory")))
    killed(resume("run-killed", kill("kubernetes")))
    -- In the middle: the playbook is held, and pai is killed.
    assert(fs.write(ssh.state .. "/hold", ""))
    local proc = bench:start({ "resume", "--json", "run-killed" }, env())
    for _ = 1, 900 do
      if fs.exists(ssh.state .. "/held") then
        break
      end
      task.sleep("100ms")
    end
    assert.is_true(fs.exists(ssh.state .. "/held"))
    proc:kill("SIGKILL")
    proc:wait("30s")
    fs.remove(ssh.state .. "/hold")
    killed(resume("run-killed", kill("context")))
    local events, r = resume("run-killed")
    reached_the_stack(events, r)
    assert.are.equal("ran", how(events, "context"))
  end)

  local function failing(text, more, argv)
    local events, r = deploy(argv, more)
    assert.are.equal(1, r.code, tail(r))
    assert.is_truthy(r.stdout:find(text, 1, true), text .. tail(r))
    return events, r
  end

  cluster.it("names the task that failed, on which host, and goes on once it is mended", function(c)
    prepare(c)
    own_venv()
    -- One task fails, one host can't be reached; the trouble that the playbook ignores is not told.
    bench:write("vars.yml", ("stand_state: %s\nbreak_on: cp1\n"):format(ssh.state))
    local facts = fs.read(tools .. "/said/127.0.0.14")
    assert(fs.write(tools .. "/said/127.0.0.99", facts))
    local _, r = failing("): cp1 at [Break]: the disk is full; gpu1 at [Install the node]: ", {
      workers = "gpu1=127.0.0.99",
    })
    assert.is_truthy(r.stdout:find("Connection refused", 1, true), tail(r))
    bench:write("vars.yml", ("stand_state: %s\n"):format(ssh.state))
    -- The preflight does not stop at what the first try has left.
    local said = tools .. "/said/127.0.0.11"
    local socket = "kubernetes=yes\nLISTEN 0 4096 *:10250 *:*\n"
    assert(fs.write(said, fs.read(said) .. socket))
    local events
    events, r = deploy()
    reached_the_stack(events, r)
  end)

  cluster.it("refuses by name what it would break", function(c)
    prepare(c)
    local dir = bench.root .. "/venv/bin"
    assert(fs.mkdir(dir, { parents = true }))
    local version = "#!/bin/sh\necho 'ansible-playbook [core 2.16.5]'\n" -- ansible-playbook(1)
    assert(fs.write(dir .. "/ansible-playbook", version, { mode = "0755" }))
    -- The real one's answer, asked for once.
    local once = '#!/bin/sh\n[ -s %q ] || /usr/bin/ansible-inventory "$@" >%q\ncat %q\n'
    local kept = bench.root .. "/kept"
    once = once:format(kept, kept, kept)
    assert(fs.write(dir .. "/ansible-inventory", once, { mode = "0755" }))
    -- Nodes.
    failing("127.0.0.11 is no name of a node: give NAME=127.0.0.11", {
      control_planes = "127.0.0.11,cp2=127.0.0.12,cp3=127.0.0.13",
    })
    failing(
      "cp2 is named twice",
      { control_planes = "cp1=127.0.0.11,cp2=127.0.0.12,cp2=127.0.0.13" }
    )
    -- Variables that follow from inputs.
    bench:write("vars.yml", "kube_version: 1.31.0\n")
    failing("sets kube_version, which follows from an input or from the lock")
    bench:write("vars.yml", "- 1\n")
    failing("is no map of variables")
    bench:write("vars.yml", ("stand_state: %s\n"):format(ssh.state))
    -- A checkout that is somebody's work.
    assert(fs.write(bench.root .. "/kubespray/cluster.yml", "- hosts: all\n"))
    failing("changed files")
    -- Another commit, another repository, a folder of something else.
    local git = { "git", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q" }
    table.move({ "-a", "-m", "y" }, 1, 3, #git + 1, git)
    assert(exec.run(git, { cwd = bench.root .. "/kubespray" }))
    failing("give another folder, or check that out there")
    assert(fs.mkdir(bench.root .. "/other"))
    assert(fs.write(bench.root .. "/other/mine", "x"))
    failing("is there, and is no checkout", { kubespray = bench.root .. "/other" })
    assert.are.equal("x", fs.read(bench.root .. "/other/mine"))
    onprem.repository(bench.root .. "/moved", "v2.28.0")
    git = { "git", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q" }
    table.move({ "--allow-empty", "-m", "y" }, 1, 3, #git + 1, git)
    assert(exec.run(git, { cwd = bench.root .. "/moved" }))
    assert(exec.run({ "git", "tag", "-f", "v2.28.0" }, { cwd = bench.root .. "/moved" }))
    failing("the tag was moved, or it is another repository", {
      kubespray = bench.root .. "/fresh",
      kubespray_repo = bench.root .. "/moved",
    })
    assert.is_false(fs.exists(bench.root .. "/fresh"))
    -- A cluster of another version, and one with a node more.
    local here = { kubespray = bench.root .. "/fresh" }
    assert(fs.write(ssh.state .. "/admin.conf", "x"))
    assert(fs.write(ssh.state .. "/node.cp1", "v1.31.9"))
    failing("upgrade-cluster.yml", here)
    assert(fs.write(ssh.state .. "/node.cp1", "v1.32.5"))
    assert(fs.write(ssh.state .. "/node.old", "v1.32.5"))
    failing("a node old that the inputs do not name", here)
    fs.remove(ssh.state .. "/node.old")
    for _, name in ipairs(onprem.NODES) do
      assert(fs.write(ssh.state .. "/node." .. name, "v1.32.5"))
    end
    -- A context of that name that leads to another cluster.
    local other = cluster.start()
    cluster.private(bench.root .. "/config", other:kubeconfig("racks"))
    failing("leads to another cluster that answers, " .. other.url, here)
    other:close()
  end)

  it("asks a real host over a real ssh", function()
    onprem.install(bench, {})
    local argv = { "preflight", "cluster-onprem", "--json", "offline=true" }
    for _, word in ipairs(inputs({ registries = "localhost:1" })) do
      local name = word:match("^[^=]+")
      if
        not ("context site kubespray kubespray_repo kubeconfig vars pip_config"):find(name, 1, true)
      then
        argv[#argv + 1] = word
      end
    end
    local r = bench:pai(argv, { env = env({ PATH = "/usr/bin:/bin" }) })
    assert.are.equal(1, r.code, r.stderr)
    local checks = onprem.checks_of(r)
    local function measured(name)
      return assert(checks[name], name .. r.stdout).measured
    end
    local kernel = assert(exec.run({ "uname", "-r" })).stdout:match("%S+")
    local there = { "ssh", "-F", ssh.config, "127.0.0.14", "python3 --version" }
    local python = assert(exec.run(there)).stdout:match("%d%S+")
    assert.are.equal(kernel, measured("cp1: kernel"))
    assert.are.equal(python, measured("gpu1: python3"))
    assert.are.equal("yes", measured("cp1: sudo"))
    assert.are.equal("ok", checks["cp1: clock"].state)
    assert.are.equal("on lo", measured("cp1: VIP's network"))
    assert.are.equal("localhost", measured("cp1: registries"))
    assert.are.equal("answers: 127.0.0.1", measured("addresses unused"))
    assert.are.equal("red", checks["hostnames"].state)
    assert.are.equal("ok", checks["Python /usr/bin/python3"].state)
    assert.is_truthy(measured("cp1: size"):find("cores", 1, true))
    -- A host whose key is another one.
    fs.remove(ssh.dir .. "/known_hosts")
    r = bench:pai(argv, { env = env({ PATH = "/usr/bin:/bin" }) })
    assert.are.equal("Host key verification failed.", onprem.checks_of(r).cp1.measured)
    assert.is_truthy(json.decode(r.stdout))
  end)
end)
