-- Sessions in tasks that run in containers of a real daemon; container_cases.lua runs these.
local S = dofile("tests/spec/engine/support.lua")
local commands = require("pai.engine.container_exec")
local crypto = require("pai.crypto")
local enter_container = require("pai.engine.enter_container")
local exec = require("pai.exec")
local json = require("pai.json")
local task = require("pai.task")
local ws = require("pai.ws")

---@param both fun(): tests.Daemon, tests.Engine
---@param sh fun(name: string, script: string, more: table?): table makes a task
return function(both, sh)
  local daemon, engine

  local function it_runs(title, fn)
    it(title, function()
      task.run(fn)
    end)
  end

  local function run_task(script, more)
    daemon, engine = both()
    local id = engine:submit({ name = "s", tasks = { sh("t", script, more) } }, { pool = "box" })
    S.eventually(function()
      return engine:log(id):find("[t] up", 1, true)
    end)
    return id
  end

  local function first()
    return daemon:containers()[1].Id
  end

  local function pool()
    return { name = "box", runtime = daemon.kind, socket = daemon.socket }
  end

  local function cancel(id)
    assert(engine.client:cancel(id, { force = true }))
    assert(engine.client:wait(id, { every = "20ms", timeout = "60s" }))
  end

  local function gone(pattern)
    S.eventually(function()
      return exec.run({ "pgrep", "-f", pattern }, { accept = { 1 } })
    end)
  end

  it_runs(
    "opens a terminal in the place of a task, of the right size, and tells the exit code",
    function()
      local value = "c" .. crypto.hex(16)
      daemon, engine = both()
      assert.equal(200, (engine:request("POST", "/api/credentials/inside", {
        json = { generic_credential = { credential = { token = value } } },
      })))
      local id = run_task("echo mark > /tmp/mark; echo up; sleep 600", {
        environment = { GREETING = "from the spec" },
        credentials = { inside = { TOKEN = "token" } },
      })
      local opts = { entry = "/bin/sh", size = { rows = 31, cols = 97 } }
      local conn = assert(engine.client:exec(id, "t", opts))
      assert(conn:send('stty size; cat /tmp/mark; echo "[$GREETING] $TERM"; echo ${#TOKEN}; tty\n'))
      local all = S.until_text(conn, "/dev/pts")
      assert.truthy(all:find("31 97\r\n", 1, true), all)
      assert.truthy(all:find("mark\r\n", 1, true), all)
      assert.truthy(all:find("[from the spec] xterm", 1, true), all)
      assert.truthy(all:find(#value .. "\r\n", 1, true), all)
      -- What makes the terminal ready is not shown.
      assert.is_nil(all:find("ready-", 1, true))
      assert.is_nil(all:find("go-", 1, true))
      assert(engine.client:resize_session(conn, { rows = 40, cols = 120 }))
      S.eventually(function()
        assert(conn:send("stty size; echo done:$((1+1))\n"))
        return S.until_text(conn, "done:2"):find("40 120", 1, true)
      end)
      assert(conn:send("exit 7\n"))
      local why = S.ending(conn)
      assert.equal(1000, why.close_code)
      assert.equal("exit code 7", why.reason)
      -- The end of what is typed is a character of a terminal.
      conn = assert(engine.client:exec(id, "t", { entry = "cat; echo after:$((3+4))" }))
      assert(conn:send("typed\n\4"))
      assert.truthy(S.until_text(conn, "after:7"):find("typed", 1, true))
      assert.equal("exit code 0", S.ending(conn).reason)
      cancel(id)
    end
  )

  it_runs(
    "runs commands without a terminal: both streams, the end of the input, the code",
    function()
      local id = run_task("echo up; sleep 600")
      local script = "echo to-err >&2; cat; exit 5"
      local command = commands.start(pool(), first(), { "/bin/sh", "-c", script }, { stdin = true })
      local text = ("line of the input\0\1\2\n"):rep(20000)
      local writer = task.spawn(function()
        assert(command:write(text))
        command:shut()
      end)
      local out = { stdout = {}, stderr = {} }
      local code = command:wait(function(data, stream)
        table.insert(out[stream], data)
      end)
      writer:wait()
      assert.equal(5, code)
      assert.is_true(table.concat(out.stdout) == text)
      assert.equal("to-err\n", table.concat(out.stderr))
      cancel(id)
    end
  )

  it_runs("ends what a session started when its client goes, or its task", function()
    local id = run_task("echo up; sleep 600")
    local conn = assert(engine.client:exec(id, "t", { entry = "/bin/sh" }))
    assert(conn:send("sleep 5561 & sleep 5562 & echo up:$((1+1)); wait\n"))
    S.until_text(conn, "up:2")
    assert.equal(0, exec.run({ "pgrep", "-f", "^sleep 5561$" }).code)
    conn:close()
    gone("^sleep 556[12]$")
    assert.equal("RUNNING", engine.client:query(id).status)
    conn = assert(engine.client:exec(id, "t", { entry = "echo up:$((1+1)); exec sleep 5563" }))
    S.until_text(conn, "up:2")
    cancel(id)
    assert.is_true(S.ending(conn).clean)
    gone("^sleep 5563$")
    local none, refused = engine.client:exec(id, "t")
    assert.is_nil(none)
    assert.equal(410, refused.http)
  end)

  it_runs("says so when the container is gone, or has no shell", function()
    local id = run_task("echo up; busybox rm /bin/sh; sleep 600")
    local conn = assert(engine.client:exec(id, "t", { entry = "true" }))
    local said = ""
    local why
    repeat
      local data
      data, why = conn:receive("60s")
      said = said .. (data or "")
    until not data
    assert.equal(1011, why.close_code)
    assert.truthy(said:find("cannot open a session", 1, true), said)
    cancel(id)
    local t = {
      gone = task.event(),
      proc = { id = ("0"):rep(64), pool = pool() },
      row = { uuid = "none" },
    }
    local size = { rows = 24, cols = 80 }
    local ok, e = pcall(enter_container.shell, t, { entry = "sh", size = size }, print)
    assert.is_false(ok)
    assert.truthy(e.message:lower():find("no such container", 1, true), e.message)
    t.proc.pool.socket = daemon.dir .. "/none.sock"
    ok, e = pcall(enter_container.shell, t, { entry = "sh", size = size }, print)
    assert.is_false(ok)
    assert.truthy(e.message:find("none.sock", 1, true), e.message)
    t.gone:set()
    ok, e = pcall(enter_container.way, t, 80)
    assert.is_false(ok)
    assert.truthy(e.message:find("has just ended", 1, true), e.message)
  end)

  it_runs("carries a port of a task's own loopback", function()
    local id = run_task("nc -ll -p 7070 -e cat & echo up; wait")
    local _, routers =
      engine:request("POST", "/api/workflow/" .. id .. "/portforward/t?task_ports=7070")
    local at = "/api/router/portforward/" .. id .. "/client/"
    local function open(key)
      local url = "ws://localhost" .. at .. key
      return assert(ws.connect({ url = url, unix_socket = engine.paths.socket }))
    end
    local control = open(routers[1].key)
    local key = "PORTFORWARD-" .. crypto.hex(16)
    assert(control:send(json.encode({ key = key })))
    local conn = open(key)
    local bytes = {}
    for i = 0, 255 do
      bytes[i + 1] = string.char(i)
    end
    local text = table.concat(bytes):rep(400)
    local writer = task.spawn(function()
      assert(conn:send(text, "binary", "1d"))
    end)
    local all = ""
    while #all < #text do
      local data, why = conn:receive("60s")
      all = all .. assert(data, tostring(why) .. " after " .. #all)
    end
    writer:wait()
    assert.is_true(all == text)
    conn:close()
    control:close()
    cancel(id)
  end)
end
