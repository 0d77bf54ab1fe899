-- The engine's process: on demand, one a state folder, replaced by a newer one, gone when idle.
local S = dofile("tests/spec/engine/support.lua")
local client = require("pai.osmo.client")
local exec = require("pai.exec")
local fs = require("pai.fs")
local http = require("pai.http")
local launch = require("pai.engine.launch")
local pai = require("pai")
local paths = require("pai.engine.paths")
local store = require("pai.engine.store")

local function stop(state)
  launch.stop(paths.of(state))
  fs.remove(state, { recursive = true })
end

describe("the engine's process", function()
  local state

  before_each(function()
    state = assert(fs.tempdir({ prefix = "pai-engine-" }))
  end)
  after_each(function()
    stop(state)
  end)

  it("is started by the first caller that needs it, and outlives it", function()
    assert.is_nil((launch.status(paths.of(state))))
    local c = assert(client.connect({ target = "local", state = state }))
    assert.equal("6", c:version().major)
    local s = assert(launch.status(paths.of(state)))
    assert.equal(1, fs.process(s.pid).ppid > 0 and 1 or 0)
    local again = assert(client.connect({ target = "local", state = state }))
    assert.equal("6", again:version().major)
    assert.equal(s.pid, launch.status(paths.of(state)).pid)
  end)

  it("is not started by a caller that must not", function()
    local c = assert(client.connect({ target = "local", state = state, start = false }))
    local answer, e = c:query("x-1")
    assert.is_nil(answer)
    assert.truthy(e.message:find("no engine is running", 1, true))
    assert.same({}, fs.list(state))
    -- A dry run needs none.
    answer = assert(c:submit({
      spec = S.spec({ name = "dry", tasks = { S.sh("t", "true") } }),
      dry_run = true,
    }))
    assert.equal("dry", answer.name)
    assert.same({}, fs.list(state))
  end)

  it("is one, however many call at once", function()
    local async = require("pai.async")
    local calls = {}
    for i = 1, 5 do
      calls[i] = function()
        local r = assert(exec.run({ pai.exe, "engine", "start", "--state", state, "--json" }))
        return require("pai.json").decode(r.stdout).pid
      end
    end
    local pids = require("pai.task").run(async.all, calls)
    for i = 2, 5 do
      assert.equal(pids[1], pids[i])
    end
    -- Those that lost the race for the lock leave by themselves.
    S.eventually(function()
      return #S.processes(state) == 1
    end)
    assert.equal(pids[1], S.processes(state)[1])
  end)

  it("refuses to be the second in the foreground", function()
    local e = S.start({ state = state })
    local s = assert(store.open(state .. "/other.db"))
    s:close()
    local lock, why = fs.lock(e.paths.lock)
    assert.is_nil(lock)
    assert.equal("EAGAIN", why.code)
    e:stop()
  end)

  it("has a socket for its user only", function()
    local e = S.start({ state = state })
    assert.equal(384, fs.stat(e.paths.socket).mode & 511)
    assert.equal(448, fs.stat(e.paths.root).mode & 511)
    e:stop()
    assert.is_false(fs.exists(e.paths.socket))
  end)

  it("finds a short socket for a long state folder", function()
    local deep = state .. "/" .. ("d"):rep(120)
    assert(fs.mkdir(deep))
    local c = assert(client.connect({ target = "local", state = deep }))
    assert.equal("6", c:version().major)
    assert.is_true(#paths.of(deep).socket < 108)
    launch.stop(paths.of(deep))
  end)

  it("listens on a loopback port when asked, for its own user", function()
    local probe = assert(require("pai.serve").listen({
      host = "127.0.0.1",
      port = 0,
      handler = function()
        return { body = "" }
      end,
    }))
    local port = probe:port()
    probe:close()
    local e = S.start({ state = state, port = port })
    local base = ("http://127.0.0.1:%d"):format(port)
    local res = assert(http.request({ url = base .. "/api/version" }))
    assert.equal("6", res:json().major)
    local id = e:submit({ name = "port", tasks = { S.sh("t", "true") } })
    assert.truthy(e.client:query(id).logs:find(base, 1, true))
    -- A page from elsewhere must not get at it through the user's browser.
    local _, refused =
      http.request({ url = base .. "/api/version", headers = { host = "evil.test" } })
    assert.truthy(refused)
    if select(2, fs.user()) == 0 then
      local r = exec.run({
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        "curl",
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        base .. "/api/version",
      }, { accept = "any" })
      assert.is_nil(r.stdout:find("200", 1, true))
    end
    e:stop()
  end)

  it("leaves when it has been idle for long enough, and not before", function()
    local e = S.start({ state = state, env = { PAI_ENGINE_IDLE = "1500ms" } })
    local id = e:submit({ name = "busy", tasks = { S.sh("t", "sleep 2.5") } })
    S.eventually(function()
      return not fs.exists(e.paths.socket)
    end)
    e.proc:wait("10s")
    local s = assert(store.open(e.paths.db))
    assert.equal("COMPLETED", s:workflow(id).status)
    s:close()
  end)

  it("comes back for the next call", function()
    local c = assert(client.connect({ target = "local", state = state }))
    local id =
      assert(c:submit({ spec = S.spec({ name = "one", tasks = { S.sh("t", "true") } }) })).name
    assert(c:wait(id, { every = "20ms", timeout = "20s" }))
    assert(launch.stop(paths.of(state)))
    assert.equal("COMPLETED", c:query(id).status)
  end)

  it("is stopped with unfinished work only when told to", function()
    local e = S.start({ state = state })
    local id = e:submit({ name = "busy", tasks = { S.sh("t", "sleep 60") } })
    S.eventually(function()
      return e.client:query(id).status == "RUNNING"
    end)
    local argv = { pai.exe, "engine", "stop", "--state", state }
    local r, why = exec.run(argv)
    assert.is_nil(r)
    assert.equal(1, why.exit)
    assert.truthy(why.stderr:find("1 unfinished workflow", 1, true))
    argv[#argv + 1] = "--force"
    assert(exec.run(argv))
    local s = assert(store.open(e.paths.db))
    assert.equal("FAILED_BACKEND_ERROR", s:workflow(id).status)
    s:close()
  end)

  it("is replaced when idle by a newer build, and left alone while it works", function()
    local e = S.start({ state = state })
    local real = paths.build
    finally(function()
      paths.build = real
    end)
    local newer = real()
    newer.stamp = newer.stamp + 1000
    paths.build = function()
      return newer
    end
    local id = e:submit({ name = "busy", tasks = { S.sh("t", "sleep 0.5") } })
    local _, s = launch.ensure(state)
    assert.equal(e.proc.pid, s.pid)
    assert(e.client:wait(id, { every = "20ms", timeout = "20s" }))
    _, s = launch.ensure(state)
    assert.are_not.equal(e.proc.pid, s.pid)
    e.proc:wait("10s")
    -- An older caller does not turn it back.
    newer.stamp = 1
    local _, same = launch.ensure(state)
    assert.equal(s.pid, same.pid)
  end)

  it("refuses a store of a version that it does not know", function()
    local p = paths.of(state)
    fs.mkdir(p.root)
    local s = assert(store.open(p.db))
    s.db:exec("PRAGMA user_version = 99")
    s:close()
    local c, e = client.connect({ target = "local", state = state })
    assert.is_nil(c)
    assert.truthy(e.message:find("version 99", 1, true))
  end)
end)

describe("builds", function()
  it("are compared by version, then by the newest file", function()
    local newer = paths.newer
    assert.is_true(newer({ version = "0.10.0", stamp = 1 }, { version = "0.9.9", stamp = 5 }))
    assert.is_false(newer({ version = "0.9.0", stamp = 9 }, { version = "0.9.1", stamp = 5 }))
    assert.is_true(newer({ version = "1.0.0", stamp = 6 }, { version = "1.0.0", stamp = 5 }))
    assert.is_false(newer({ version = "1.0.0", stamp = 5 }, { version = "1.0.0", stamp = 5 }))
  end)
end)
