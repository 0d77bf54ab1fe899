-- exec and port-forward against the engine itself, through pai's client and its commands.
local S = assert(loadfile(require("pai").root .. "/tests/spec/engine/support.lua"))()
local exec = require("pai.exec")
local json = require("pai.json")
local pai = require("pai")
local sock = require("pai.sock")
local task = require("pai.task")
local ws = require("pai.ws")

-- A service that answers each connection with what it gets, in upper case, until it says no more.
local SERVICE <const> = [[
import socket, sys, threading
def serve(c):
    while True:
        d = c.recv(65536)
        if not d or d == b"bye":
            break
        c.sendall(d.upper())
    c.close()
s = socket.socket()
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen(5)
print("listening", flush=True)
while True:
    c, _ = s.accept()
    threading.Thread(target=serve, args=(c,), daemon=True).start()
]]

describe("a session in a task of the engine", function()
  local e

  local function it_runs(title, fn)
    it(title, function()
      task.run(fn)
    end)
  end

  after_each(function()
    task.run(S.stop_all or function()
      if e then
        e:stop()
      end
    end)
    e = nil
  end)

  local function running(id)
    S.eventually(function()
      return e.client:query(id).status == "RUNNING"
    end)
    return id
  end

  local function start(kind)
    e = S.start({ env = { PAI_ENGINE_SANDBOX = kind == "plain" and "plain" or nil } })
  end

  local function run_task(script, more)
    return running(e:submit({ name = "s", tasks = { S.sh("t", script, more) } }))
  end

  for _, kind in ipairs({ "sandboxed", "plain" }) do
    it_runs("is a terminal in the place of a " .. kind .. " one", function()
      start(kind)
      local id = run_task("echo mark > mark; export HIDDEN=1; sleep 600", {
        environment = { GREETING = "from the spec" },
      })
      local conn = assert(e.client:exec(id, "t", {
        entry = "/bin/sh",
        size = { rows = 31, cols = 97 },
      }))
      assert(conn:send('stty size; cat mark; echo "[$GREETING] [$PAI_ENTRY] $PWD"; tty\n'))
      local all = S.until_text(conn, "/dev/pts")
      assert.matches("31 97\r\n", all, 1, true)
      assert.matches("mark\r\n", all, 1, true)
      assert.matches("[from the spec] [] /", all, 1, true)
      assert(e.client:resize_session(conn, { rows = 40, cols = 120 }))
      S.eventually(function()
        assert(conn:send("stty size; echo done:$((1+1))\n"))
        return S.until_text(conn, "done:2"):find("40 120", 1, true)
      end)
      if kind == "sandboxed" then
        -- As little may be done here as in the task: no capability, nothing of the host writable.
        assert(conn:send("cat /proc/self/status; touch /etc/x; ls /osmo; echo end:$?\n"))
        all = S.until_text(conn, "end:0")
        assert.matches("CapEff:%s+0000000000000000", all)
        assert.matches("NoNewPrivs:%s+1", all)
        assert.matches("Read-only file system", all, 1, true)
      end
      assert(conn:send("exit 6\n"))
      local why = S.ending(conn)
      assert.equal(1000, why.close_code)
      assert.equal("exit code 6", why.reason)
      assert(e.client:cancel(id))
    end)
  end

  it_runs("ends with its task, and what it started with it", function()
    start()
    local id = run_task("sleep 600")
    local conn = assert(e.client:exec(id, "t", { entry = "sleep 555; echo never" }))
    assert(e.client:cancel(id))
    assert.is_true(S.ending(conn).clean)
    S.eventually(function()
      return exec.run({ "pgrep", "-f", "^sleep 555$" }, { accept = { 1 } })
    end)
    local none, refused = e.client:exec(id, "t")
    assert.is_nil(none)
    assert.equal(410, refused.http)
  end)

  it_runs("takes what it started along when the client goes", function()
    start()
    local id = run_task("sleep 600")
    local conn = assert(e.client:exec(id, "t", { entry = "/bin/sh" }))
    assert(conn:send("echo up:$((1+1)); exec sleep 556\n"))
    S.until_text(conn, "up:2")
    conn:close()
    S.eventually(function()
      return exec.run({ "pgrep", "-f", "^sleep 556$" }, { accept = { 1 } })
    end)
    assert.equal("RUNNING", e.client:query(id).status)
  end)

  it_runs("is a command of pai, fed from standard input", function()
    start()
    local id = run_task("sleep 600")
    local state = { env = { PAI_STATE = e.state, OSMO_URL = false } }
    state.stdin = "echo $((40+2)); exit\n"
    state.timeout = "90s"
    local r = assert(
      exec.run(
        { pai.exe, "osmo", "exec", id, "t", "--entry", "/bin/sh", "--target", "local" },
        state
      )
    )
    assert.matches("42\r\n", r.stdout, 1, true)
    r = assert(exec.run({
      pai.exe,
      "osmo",
      "exec",
      id,
      "--group",
      e.client:query(id).groups[1].name,
      "--entry",
      "echo $((50+5))",
      "--target",
      "local",
    }, { env = state.env, timeout = "90s" }))
    assert.equal("[t] 55\n", r.stdout)
  end)

  it_runs("is refused for what is not there, and for what the engine does not do", function()
    start()
    local id = run_task("sleep 600")
    local function post(path)
      local status, body = e:request("POST", "/api/workflow/" .. id .. path)
      return status, body.message
    end
    assert.equal(404, (post("/exec/task/other?entry_command=sh")))
    assert.equal(404, (post("/exec/group/other?entry_command=sh")))
    assert.equal(400, (post("/exec/task/t")))
    assert.equal(400, (post("/portforward/t")))
    assert.equal(400, (post("/portforward/t?task_ports=0")))
    assert.equal(400, (post("/portforward/t?task_ports=70000")))
    local status, message = post("/portforward/t?task_ports=80&use_udp=True")
    assert.equal(400, status)
    assert.matches("over UDP is not supported by the embedded engine", message, 1, true)
    status, message = post("/webserver/t?task_port=80")
    assert.equal(400, status)
    assert.matches("is not supported by the embedded engine", message, 1, true)
    status = post("/rsync/task/t")
    assert.equal(403, status)
    assert.equal(404, (e:request("GET", "/api/router/exec/" .. id .. "/client/none")))
    -- a key is good once, for one run, as a WebSocket, and only for what it was made for
    local _, router = e:request("POST", "/api/workflow/" .. id .. "/exec/task/t?entry_command=sh")
    local path = "/api/router/exec/" .. id .. "/client/" .. router.key
    assert.equal(
      404,
      (e:request("GET", "/api/router/portforward/" .. id .. "/client/" .. router.key))
    )
    assert.equal(404, (e:request("GET", "/api/router/exec/other-1/client/" .. router.key)))
    assert.equal(426, (e:request("GET", path)))
    assert.equal(404, (e:request("GET", path)))
  end)

  it_runs("begins with a size", function()
    start()
    local id = run_task("sleep 600")
    local _, router = e:request("POST", "/api/workflow/" .. id .. "/exec/task/t?entry_command=sh")
    local conn = assert(ws.connect({
      url = router.router_address .. "/api/router/exec/" .. id .. "/client/" .. router.key,
      unix_socket = e.paths.socket,
    }))
    assert(conn:send("no size"))
    local _, why = conn:receive("60s")
    assert.equal(4000, why.close_code)
  end)

  local function forward(id, name, ports, done)
    local ready = task.event()
    local job = task.spawn(function()
      return e.client:port_forward(id, name, {
        ports = ports,
        on_event = function(what)
          if what == "ready" then
            ready:set()
          end
        end,
      })
    end)
    assert.is_true(ready:wait("60s"))
    local ok, fault = pcall(done)
    job:cancel()
    pcall(job.wait, job)
    if not ok then
      error(fault, 0)
    end
  end

  local function service(address, port)
    return {
      name = "t",
      image = "pai.local/python",
      command = { "/usr/bin/python3", "-c", SERVICE, address, tostring(port) },
    }
  end

  local function all_of(stream, n)
    local parts, len = {}, 0
    while len < n do
      local data, why = stream:read("60s")
      assert(data, why and why.message or "the end came early")
      parts[#parts + 1] = data
      len = len + #data
    end
    return table.concat(parts)
  end

  local function listening(id)
    S.eventually(function()
      local _, text = e:request("GET", "/api/workflow/" .. id .. "/logs?pai_follow=false")
      return text:find("listening", 1, true)
    end)
  end

  it_runs("reaches a port of a sandboxed task, with all of its bytes", function()
    start()
    local id = running(e:submit({ name = "s", tasks = { service("127.0.0.1", 8080) } }))
    local ports = { { remote = 8080, ["local"] = 0 }, { remote = 9, ["local"] = 0 } }
    forward(id, "t", ports, function()
      local bytes = {}
      for i = 0, 255 do
        bytes[i + 1] = string.char(i)
      end
      local text = table.concat(bytes):rep(2000)
      listening(id)
      local a <close> = assert(sock.connect({ port = ports[1]["local"] }))
      local b <close> = assert(sock.connect({ port = ports[1]["local"] }))
      assert(b:write("hello"))
      assert.equal("HELLO", b:read("60s"))
      local writer = task.spawn(a.write, a, text)
      assert.is_true(all_of(a, #text) == text:upper())
      writer:wait()
      assert(b:write("bye"))
      assert.is_nil((b:read("60s")))
      -- nobody listens there
      local c <close> = assert(sock.connect({ port = ports[2]["local"] }))
      assert.is_nil((c:read("60s")))
    end)
  end)

  it_runs("reaches the tasks of a group that name each other", function()
    start()
    local one = service("127.0.0.1", 8081)
    one.name, one.lead = "one", true
    local two = S.sh("two", "sleep 600 # {{host:one}}")
    local id = running(e:submit({
      name = "s",
      groups = { { name = "g", tasks = { one, two } } },
    }))
    local ports = { { remote = 8081, ["local"] = 0 } }
    forward(id, "one", ports, function()
      listening(id)
      local a <close> = assert(sock.connect({ port = ports[1]["local"] }))
      assert(a:write("hello"))
      assert.equal("HELLO", a:read("60s"))
    end)
    local conn = assert(e.client:exec(id, "one", { entry = "cat /etc/hosts; echo end:$((1+1))" }))
    assert.matches("127.0.1.2", S.until_text(conn, "end:2"), 1, true)
  end)

  it_runs("lets nobody in with a key that has no partner", function()
    start()
    local id = run_task("sleep 600")
    local _, routers =
      e:request("POST", "/api/workflow/" .. id .. "/portforward/t?task_ports=80&use_udp=False")
    local at = "/api/router/portforward/" .. id .. "/client/"
    local control = assert(ws.connect({
      url = "ws://localhost" .. at .. routers[1].key,
      unix_socket = e.paths.socket,
    }))
    assert(control:send(json.encode({ key = "../other" })))
    local _, why = control:receive("60s")
    assert.equal(4000, why.close_code)
  end)
end)
