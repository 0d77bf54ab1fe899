-- The engine of an ordinary user: where the specs run as root, of the user nobody, with a copy of
-- pai that nobody may read. Everything goes through the command line, as that user's would.
local S = dofile("tests/spec/engine/support.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")
local sock = require("pai.sock")
local task = require("pai.task")

local NOBODY <const> = "65534"

local SERVICE <const> = [[
import socket
s = socket.socket()
s.bind(("127.0.0.1", 7071))
s.listen(5)
print("up", flush=True)
while True:
    c, _ = s.accept()
    c.sendall(c.recv(100).upper())
    c.close()
]]

describe("the engine of an ordinary user", function()
  local dir, words, binary
  local root = select(2, fs.user()) == 0
  local pools

  local function it_runs(title, fn)
    it(title, function()
      task.run(fn)
    end)
  end

  local function run(argv, opts)
    local all = table.move(words, 1, #words, 1, {})
    table.move(argv, 1, #argv, #all + 1, all)
    opts = opts or {}
    opts.timeout = "120s"
    opts.env = {
      PAI_STATE = dir .. "/state",
      HOME = dir .. "/home",
      PAI_ENGINE_POOLS = pools,
      PAI_ENGINE_CORES = "8",
      OSMO_URL = false,
    }
    return exec.run(all, opts)
  end

  local function command(...)
    return { binary, ... }
  end

  local function submit(workflow, pool)
    assert(fs.write(dir .. "/spec.yaml", S.spec(workflow), { mode = "0644" }))
    local argv = command("osmo", "submit", dir .. "/spec.yaml", "--target", "local", "--json")
    if pool then
      table.move({ "--pool", pool }, 1, 2, #argv + 1, argv)
    end
    local id = json.decode(assert(run(argv)).stdout).name
    local logs = command("osmo", "logs", id, "--target", "local")
    S.eventually(function()
      local r = assert(run(logs))
      assert(not r.stdout:find("terminated", 1, true), r.stdout)
      return r.stdout:find("] up", 1, true)
    end)
    return id
  end

  local function stop()
    run(command("engine", "stop", "--force"), { accept = "any" })
  end

  setup(function()
    dir = assert(fs.tempdir({ prefix = "pai-user-" }))
    words, binary = {}, pai.exe
    if root then
      for _, name in ipairs({ "build/bin", "build/lib", "lua" }) do
        local target = dir .. "/pai/" .. fs.dirname(name)
        assert(fs.mkdir(target, { parents = true }))
        assert(exec.run({ "cp", "-r", pai.root .. "/" .. name, target }))
      end
      assert(exec.run({ "chmod", "-R", "a+rX", dir }))
      words = { "setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups" }
      binary = dir .. "/pai/build/bin/pai"
    end
    for _, name in ipairs({ "state", "home" }) do
      assert(fs.mkdir(dir .. "/" .. name, { mode = "0700" }))
      if root then
        assert(exec.run({ "chown", NOBODY .. ":" .. NOBODY, dir .. "/" .. name }))
      end
    end
  end)
  after_each(stop)
  teardown(function()
    fs.remove(dir, { recursive = true })
  end)

  -- What a command in a task shows.
  local function inside(id, name, entry)
    local argv = command("osmo", "exec", id, name, "--entry", entry, "--target", "local")
    return assert(run(argv, { stdin = "null" })).stdout
  end

  -- What a port of a task answers.
  local function ask(id, name, port, text)
    local argv = table.move(words, 1, #words, 1, {})
    local more = command("osmo", "port-forward", id, name, "--port", "0:" .. port)
    table.move(more, 1, #more, #argv + 1, argv)
    table.move({ "--target", "local" }, 1, 2, #argv + 1, argv)
    local ready, here = task.event(), nil
    local proc = assert(exec.start(argv, {
      env = { PAI_STATE = dir .. "/state", HOME = dir .. "/home", OSMO_URL = false },
      accept = "any",
      on_line = function(line)
        here = here or line:match(":(%d+) leads")
        ready:set()
      end,
    }))
    local life = task.spawn(proc.wait, proc)
    assert.is_true(ready:wait("60s"))
    local stream <close> = assert(sock.connect({ port = math.tointeger(tonumber(here)) }))
    assert(stream:write(text))
    local answer = stream:read("60s")
    proc:kill("TERM")
    life:wait()
    return answer
  end

  it_runs("opens terminals in its tasks, and their ports", function()
    local script = 'echo mark > mark; /usr/bin/python3 -c "$SERVICE"'
    local id = submit({
      name = "own",
      tasks = { S.sh("t", script, { environment = { SERVICE = SERVICE, SEEN = "yes" } }) },
    })
    local out = inside(
      id,
      "t",
      "id -u; cat mark; echo seen=$SEEN; tty; touch /etc/x; "
        .. "grep -E 'CapEff|NoNew' /proc/self/status"
    )
    assert.truthy(out:find("^" .. (root and NOBODY or "%d+")), out)
    for _, text in ipairs({ "mark\r\n", "seen=yes", "/dev/pts/", "Read%-only file system" }) do
      assert.truthy(out:find(text), out)
    end
    assert.truthy(out:find("CapEff:%s+0000000000000000"), out)
    assert.truthy(out:find("NoNewPrivs:%s+1"), out)
    assert.equal("HELLO", ask(id, "t", 7071, "hello"))
  end)

  it_runs("opens terminals also where mounts stood ready", function()
    local script = "grep -c ' /proc ' /proc/self/mountinfo > n; echo up; sleep 600"
    -- Those that follow one another soon; a slow machine gets another try.
    for _ = 1, 10 do
      local tasks = { S.sh("t1", "true") }
      for i = 2, 5 do
        local inputs = { { task = "t" .. i - 1 } }
        tasks[i] = S.sh("t" .. i, i < 5 and "true" or script, { inputs = inputs })
      end
      local id = submit({ name = "ready", tasks = tasks })
      local look = "id -u; cat n; tty; touch /etc/x; grep CapEff /proc/self/status"
      local out = inside(id, "t5", look)
      assert.truthy(out:find("^" .. (root and NOBODY or "%d+") .. "\r\n"), out)
      assert.truthy(out:find("/dev/pts/0", 1, true), out)
      assert.truthy(out:find("Read%-only file system"), out)
      assert.truthy(out:find("CapEff:%s+0000000000000000"), out)
      if out:match("\n(%d+)\r") == "2" then
        return
      end
    end
    error("no task began in mounts that stood ready")
  end)

  it_runs("opens those of groups that share a network", function()
    local one = S.sh("one", '/usr/bin/python3 -c "$SERVICE"', {
      lead = true,
      environment = { SERVICE = SERVICE },
    })
    local id = submit({
      name = "pair",
      groups = { { name = "g", tasks = { one, S.sh("two", "sleep 600 # {{host:one}}") } } },
    })
    assert.truthy(inside(id, "two", "cat /etc/hosts"):find("127.0.1.2", 1, true))
    assert.equal("HELLO", ask(id, "one", 7071, "hello"))
  end)

  if root then
    local D = dofile("tests/spec/engine/daemon.lua")

    it_runs("enters containers of a daemon of root's", function()
      local daemon = D.start("docker")
      finally(function()
        stop()
        daemon:stop()
        pools = nil
      end)
      assert(exec.run({ "chmod", "a+rx", daemon.dir }))
      assert(exec.run({ "chmod", "a+rw", daemon.socket }))
      pools = daemon:pools({ box = daemon:pool() }).PAI_ENGINE_POOLS
      local function sh(name, script, more)
        local t = S.sh(name, script, more)
        t.image = D.IMAGE
        return t
      end
      local id = submit(
        { name = "box", tasks = { sh("t", "nc -ll -p 7072 -e cat & echo up; wait") } },
        "box"
      )
      assert.truthy(inside(id, "t", "id -u; echo in:$((1+1))"):find("in:2", 1, true))
      -- There is no address, and the network may not be entered: a program of the image carries it.
      assert.equal("hello", ask(id, "t", 7072, "hello"))
      assert.same({}, S.processes("busybox nc 127.0.0.1"))
      assert(run(command("osmo", "cancel", id, "--force", "--target", "local")))
      local group = { sh("a", "nc -ll -p 7073 -e cat & echo up; wait", { lead = true }) }
      group[2] = sh("b", "busybox rm /bin/nc; sleep 600 # {{host:a}}")
      id = submit({ name = "named", groups = { { name = "g", tasks = group } } }, "box")
      assert.equal("hello", ask(id, "a", 7073, "hello"))
    end)
  end
end)
