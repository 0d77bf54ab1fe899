-- exec and port-forward through a router of python3-websockets.
local client = require("pai.osmo.client")
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")
local sock = require("pai.sock")
local task = require("pai.task")

local contract = assert(loadfile(pai.root .. "/tests/spec/osmo/contract.lua"))()

describe("sessions in a task", function()
  local dir, srv, router, port, env

  local function it_runs(title, fn)
    it(title, function()
      task.run(fn)
    end)
  end

  before_each(function()
    dir = assert(fs.tempdir({ prefix = "pai-session-" }))
    srv = contract.start()
    task.run(function()
      router = assert(
        exec.start(
          { "/usr/bin/python3", pai.root .. "/tests/spec/osmo/router_peer.py", "0" },
          { stdin = "pipe" }
        )
      )
      port = assert(json.decode((assert(router:read_line("60s"))))).port
    end)
    fs.mkdir(dir .. "/osmo", { mode = 448 })
    fs.write(
      dir .. "/osmo/login.yaml",
      ("dev_login: {username: alice}\nurl: %s\n"):format(srv.url),
      { mode = 384 }
    )
    env = { OSMO_CONFIG_FILE_DIR = dir .. "/osmo", OSMO_URL = false, LINES = "33", COLUMNS = "99" }
  end)
  after_each(function()
    task.run(function()
      router:stop()
    end)
    fs.remove(dir, { recursive = true })
    srv:finish()
  end)

  local function told()
    return assert(json.decode((assert(router:read_line("60s")))))
  end

  local function answer(key, cookie)
    return {
      router_address = "ws://127.0.0.1:" .. port,
      key = key,
      cookie = cookie or "_osmo_router_affinity=r7",
    }
  end

  local function connect()
    return assert(client.connect({ target = srv.url, user = "alice" }))
  end

  it_runs("run a command with a terminal of the right size", function()
    srv.answers["POST /api/workflow/{id}/exec/task/{t}"] = { json = answer("k1") }
    local c = connect()
    local conn = assert(c:exec("a-1", "t", { size = { rows = 10, cols = 20 } }))
    assert.equal("POST /api/workflow/a-1/exec/task/t?entry_command=/bin/bash", srv:last())
    assert.same({
      path = "/api/router/exec/a-1/client/k1",
      cookie = "_osmo_router_affinity=r7",
      bearer = json.null,
      user = "alice",
    }, told())
    assert.same({ size = { Rows = 10, Cols = 20 } }, told())
    assert.equal("$ ", conn:receive("60s"))
    assert(conn:send("hello\n"))
    assert.equal("you said hello\r\n$ ", conn:receive("60s"))
    assert(c:resize_session(conn, { rows = 5, cols = 6 }))
    assert.same({ resize = { Rows = 5, Cols = 6 } }, told())
    assert.equal("resized\r\n", conn:receive("60s"))
    assert(conn:send("exit\n"))
    local _, e = conn:receive("60s")
    assert.is_true(e.clean)
  end)

  it_runs("are commands of pai, fed from standard input", function()
    srv.answers["POST /api/workflow/{id}/exec/task/{t}"] = { json = answer("k1") }
    local r = assert(
      exec.run(
        { pai.exe, "osmo", "exec", "a-1", "t", "--entry", "sh -i" },
        { env = env, stdin = "one\ntwo\nexit\n" }
      )
    )
    assert.equal("POST /api/workflow/a-1/exec/task/t?entry_command=sh -i", srv:last())
    assert.equal("$ you said one\r\n$ you said two\r\n$ ", r.stdout)
    told()
    assert.same({ size = { Rows = 33, Cols = 99 } }, told())
    local _, ended = exec.run(
      { pai.exe, "osmo", "exec", "a-1", "t" },
      { env = env, stdin = "exit 3\n" }
    )
    assert.equal(3, ended.exit)
    local broken, e = exec.run(
      { pai.exe, "osmo", "exec", "a-1", "t" },
      { env = env, stdin = "crash\n" }
    )
    assert.is_nil(broken)
    assert.equal(1, e.exit)
    assert.matches("WebSocket", e.stderr, 1, true)
  end)

  it_runs("come back with --keep-alive after a loss, and end when they should", function()
    local asked = {}
    local answers = {
      { json = answer("drop") },
      { json = answer("late") },
      { status = 502, body = "bad gateway" },
      { json = answer("group-1") },
    }
    srv.answers["POST /api/workflow/{id}/exec/task/{t}"] = function(req)
      asked[#asked + 1] = req
      return answers[#asked]
    end
    local argv = { pai.exe, "osmo", "exec", "a-1", "t", "--entry", "train", "--keep-alive" }
    local r = assert(exec.run(argv, { env = env, timeout = "60s" }))
    assert.equal(4, #asked)
    assert.equal("line 1 of group-1\r\nhalf a line\nthe end", r.stdout)
    local _, times = r.stderr:gsub("the command is started again", "")
    assert.equal(3, times)
    assert.matches("no partner", r.stderr, 1, true)
    -- what the service refuses is no loss; and a loss is an end without the option
    answers = { { status = 410, json = { message = "is finished", error_code = "USER" } } }
    asked = {}
    local none, e = exec.run(argv, { env = env, timeout = "60s" })
    assert.is_nil(none)
    assert.matches("is finished", e.stderr, 1, true)
    assert.equal(1, #asked)
    answers, asked = { { json = answer("late") } }, {}
    argv[#argv] = nil
    none, e = exec.run(argv, { env = env, timeout = "60s" })
    assert.is_nil(none)
    assert.matches("no partner", e.stderr, 1, true)
    for words, why in pairs({
      ["exec a-1 --group g --entry x --keep-alive"] = "not for a group",
      ["exec a-1 t --connect-timeout soon"] = "is a time",
      ["port-forward a-1 t --port 80 --udp"] = "forwards TCP only",
    }) do
      argv = { pai.exe, "osmo" }
      for word in words:gmatch("%S+") do
        argv[#argv + 1] = word
      end
      none, e = exec.run(argv, { env = env, timeout = "60s" })
      assert.is_nil(none)
      assert.equal(2, e.exit)
      assert.matches(why, e.stderr, 1, true)
    end
  end)

  it_runs("are one letter away where upstream has one", function()
    srv.answers["POST /api/workflow/{id}/cancel"] = { json = { name = "a-1" } }
    assert(exec.run({ pai.exe, "osmo", "cancel", "a-1", "-f", "-m", "why" }, { env = env }))
    local call = srv:last()
    assert.matches("^POST /api/workflow/a%-1/cancel%?", call)
    assert.matches("message=why", call, 1, true)
    assert.matches("force=", call, 1, true)
    srv.answers["GET /api/workflow/{id}/logs"] = { body = "a line\n" }
    assert(exec.run({ pai.exe, "osmo", "logs", "a-1", "-n", "5" }, { env = env }))
    local asked = false
    for _, one in ipairs(srv.calls) do
      asked = asked or (one.query and one.query.last_n_lines and one.query.last_n_lines[1] == "5")
    end
    assert.is_true(asked)
  end)

  it_runs("run in every task of a group, each line marked", function()
    srv.answers["POST /api/workflow/{id}/exec/group/{g}"] =
      { json = { t1 = answer("group-1"), t2 = answer("group-2") } }
    local argv = { pai.exe, "osmo", "exec", "a-1", "--group", "g", "--entry", "hostname" }
    local r = assert(exec.run(argv, { env = env }))
    assert.equal("POST /api/workflow/a-1/exec/group/g?entry_command=hostname", srv:last())
    local lines = {}
    for line in r.stdout:gmatch("[^\n]+") do
      lines[#lines + 1] = line
    end
    table.sort(lines)
    assert.same({
      "[t1] half a line",
      "[t1] line 1 of group-1",
      "[t1] the end",
      "[t2] half a line",
      "[t2] line 1 of group-2",
      "[t2] the end",
    }, lines)
    local none, e = exec.run({ pai.exe, "osmo", "exec", "a-1", "--group", "g" }, { env = env })
    assert.is_nil(none)
    assert.equal(2, e.exit)
  end)

  it_runs("wait for a task that does not run yet, and say what cannot be", function()
    local asked = 0
    srv.answers["POST /api/workflow/{id}/exec/task/{t}"] = function()
      asked = asked + 1
      if asked == 1 then
        return { status = 425, json = { message = "not running yet", error_code = "USER" } }
      end
      return { json = answer("k1") }
    end
    local c = connect()
    local conn <close> = assert(c:exec("a-1", "t"))
    assert.equal("$ ", conn:receive("60s"))
    assert.equal(2, asked)
    srv.answers["POST /api/workflow/{id}/exec/task/{t}"] =
      { status = 410, json = { message = "the workflow has finished", error_code = "USER" } }
    local none, e = c:exec("a-1", "t")
    assert.is_nil(none)
    assert.equal(410, e.http)
    srv.answers["POST /api/workflow/{id}/exec/task/{t}"] = { json = answer("busy") }
    none, e = c:exec("a-1", "t")
    assert.is_nil(none)
    assert.equal("EHTTP", e.code)
    assert.equal(503, e.http)
    assert.is_nil(e.message:find("busy", 1, true))
    srv.answers["POST /api/workflow/{id}/exec/task/{t}"] = { json = { key = "x" } }
    none, e = c:exec("a-1", "t")
    assert.is_nil(none)
    assert.equal("EPROTO", e.code)
  end)

  it_runs("give the bearer to a router of the service's own origin only", function()
    srv.answers["POST /api/workflow/{id}/exec/task/{t}"] = { json = answer("k1") }
    local value = crypto.hex(32)
    fs.write(dir .. "/token", value, { mode = 384 })
    srv.answers["POST /api/auth/jwt/access_token"] =
      { json = { token = "jwt." .. value, expires_at = os.time() + 300 } }
    local token = assert(require("pai.secret").from_file(dir .. "/token"))
    local c = assert(client.connect({ target = srv.url, token = token }))
    local conn <close> = assert(c:exec("a-1", "t"))
    assert.is_true(conn:is_open())
    assert.equal(json.null, told().bearer)
    assert.equal("Bearer jwt." .. value, srv.calls[#srv.calls].headers.authorization)
    -- a service whose origin is the router's
    c.transport.base = "http://127.0.0.1:" .. port
    local answers = { json = answer("k2") }
    c.transport.call = function()
      return answers.json
    end
    local other <close> = assert(c:exec("a-1", "t"))
    assert.equal("$ ", other:receive("60s"))
    local seen = told()
    while seen.path ~= "/api/router/exec/a-1/client/k2" do
      seen = told()
    end
    -- what a child prints is masked here, too
    assert.equal("Bearer ***", seen.bearer)
  end)

  -- A client of a forwarded port: sends, ends, and gives back what came.
  local function talk(local_port, text)
    local script = "import socket, sys\n"
      .. "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
      .. "d = sys.stdin.buffer.read()\n"
      .. "import threading\n"
      .. "t = threading.Thread(target=lambda: (s.sendall(d), s.shutdown(1)))\n"
      .. "t.start()\n"
      .. "o = b''\n"
      .. "while len(o) < len(d):\n"
      .. "    b = s.recv(65536)\n"
      .. "    if not b: break\n"
      .. "    o += b\n"
      .. "sys.stdout.buffer.write(o)\n"
    return assert(
      exec.run(
        { "/usr/bin/python3", "-c", script, tostring(local_port) },
        { stdin = text, timeout = "60s" }
      )
    ).stdout
  end

  it_runs("make ports of a task reachable, several connections at once", function()
    srv.answers["POST /api/workflow/{id}/portforward/{t}"] = { json = { answer("ctl") } }
    local ready = task.event()
    local ports = { { remote = 80, ["local"] = 0 } }
    local forward = task.spawn(function()
      return connect():port_forward("a-1", "t", {
        ports = ports,
        on_event = function(what)
          if what == "ready" then
            ready:set()
          end
        end,
      })
    end)
    assert.is_true(ready:wait("60s"))
    assert.equal("POST /api/workflow/a-1/portforward/t?task_ports=80&use_udp=False", srv:last())
    assert.equal("/api/router/portforward/a-1/client/ctl", told().path)
    local jobs, got = {}, {}
    for i = 1, 3 do
      jobs[i] = function()
        local text = ("line %d of many\n"):format(i):rep(20000)
        got[i] = talk(ports[1]["local"], text) == text:upper()
      end
    end
    require("pai.async").all(jobs)
    assert.same({ true, true, true }, got)
    local keys, paths = {}, {}
    for _ = 1, 9 do
      local what = told()
      if what.control then
        assert.is_true(what.binary)
        assert.equal("_osmo_router_affinity=r1", what.control.cookie)
        keys[what.control.key] = true
      elseif what.path then
        assert.equal("_osmo_router_affinity=r1", what.cookie)
        paths[what.path:match("client/(.*)$")] = true
      end
    end
    assert.same(keys, paths)
    for key in pairs(keys) do
      assert.matches("^PORTFORWARD%-%x+$", key)
    end
    forward:cancel()
    pcall(forward.wait, forward)
    local free <close> = assert(sock.listen({ port = ports[1]["local"] }))
    assert.is_truthy(free)
  end)

  it_runs("come back after a loss, and end with the run", function()
    local asked = 0
    srv.answers["POST /api/workflow/{id}/portforward/{t}"] = function()
      asked = asked + 1
      if asked == 3 then
        return {
          status = 410,
          json = { message = "the workflow has finished", error_code = "USER" },
        }
      end
      return { json = { answer("short") } }
    end
    local argv = { pai.exe, "osmo", "port-forward", "a-1", "t", "--port", "0:80", "--json" }
    local r = assert(exec.run(argv, { env = env, timeout = "60s" }))
    assert.equal(3, asked)
    local events = {}
    for line in r.stdout:gmatch("[^\n]+") do
      local e = json.decode(line)
      events[#events + 1] = e.event
      assert.equal(80, e.remote)
    end
    assert.same({ "ready", "lost", "ready", "lost" }, events)
    assert.matches("has finished", r.stderr, 1, true)
    assert.matches("4000: no partner", r.stdout, 1, true)
  end)

  it_runs("make several ports reachable, as upstream writes them", function()
    local first = true
    srv.answers["POST /api/workflow/{id}/portforward/{t}"] = function(req)
      if not first then
        return { status = 410, json = { message = "is finished", error_code = "USER" } }
      end
      first = false
      assert.same({ "80", "81", "90" }, req.query.task_ports)
      return { json = { answer("short"), answer("short"), answer("short") } }
    end
    local argv = { pai.exe, "osmo", "port-forward", "a-1", "t", "--port", "0:80,0:81", "--json" }
    for _, word in ipairs({ "--port", "0:90", "--host", "localhost", "--connect-timeout", "30" }) do
      argv[#argv + 1] = word
    end
    local r = assert(exec.run(argv, { env = env, timeout = "60s" }))
    local ready = {}
    for line in r.stdout:gmatch("[^\n]+") do
      local e = json.decode(line)
      ready[e.remote] = ready[e.remote] or e.event == "ready" or nil
    end
    assert.same({ [80] = true, [81] = true, [90] = true }, ready)
  end)

  it_runs("are refused for ports and addresses that cannot be", function()
    for words, what in pairs({
      ["--port x"] = "no port",
      ["--port 1:2:3"] = "no port",
      ["--port 70000"] = "no port",
      ["--port 1-50"] = "no port",
      ["--port 1-3:5-6"] = "one length",
      ["--port 0"] = "no port 0",
      [""] = "missing --port",
      ["--port 0:80 --host 0.0.0.0"] = "only loopback",
    }) do
      local argv = { pai.exe, "osmo", "port-forward", "a-1", "t" }
      for word in words:gmatch("%S+") do
        argv[#argv + 1] = word
      end
      local none, e = exec.run(argv, { env = env })
      assert.is_nil(none)
      assert.matches(what, e.stderr, 1, true)
    end
    assert.equal(0, #srv.calls)
  end)

  it("sends whatever the contract has for it", function()
    assert.same({}, contract.unsent("session"))
  end)
end)
