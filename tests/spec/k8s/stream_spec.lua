-- exec and port-forward against WebSockets that stall, break and lie.
local exec = require("pai.exec")
local fs = require("pai.fs")
local task = require("pai.task")

local peer, dir, ports

setup(function()
  task.run(function()
    dir = assert(fs.tempdir({ prefix = "pai-k8s" }))
    peer = assert(exec.start({ "/usr/bin/python3", pai.root .. "/tests/spec/k8s/ws_peer.py" }, {
      stdin = "pipe",
    }))
    ports = {}
    for port in assert(peer:read_line("60s")):gmatch("%d+") do
      ports[#ports + 1] = port
    end
  end)
end)

teardown(function()
  task.run(function()
    peer:stop()
    fs.remove(dir, { recursive = true })
  end)
end)

local function config(port)
  local path = dir .. "/config"
  assert(fs.write(
    path,
    ([[
current-context: c
clusters: [{name: c, cluster: {server: "http://127.0.0.1:%s"}}]
contexts: [{name: c, context: {cluster: c}}]
]]):format(port or ports[1])
  ))
  return path
end

local function it_runs(title, fn)
  it(title, function()
    task.run(function()
      fn(assert(require("pai.k8s.client").connect({ kubeconfig = config() })))
    end)
  end)
end

describe("exec", function()
  it_runs("gives what the program wrote and how it ended", function(c)
    local res = assert(c:exec("fine", { "echo", "a b", "&" }, { container = "main" }))
    assert.same({ 0, "out: echo a b &", "err", false }, {
      res.code,
      res.stdout,
      res.stderr,
      res.truncated,
    })
    local parts = {}
    assert(c:exec("fine", { "x" }, {
      on_output = function(text, stream)
        parts[#parts + 1] = stream .. " " .. text
      end,
    }))
    assert.same({ "stdout out: x", "stderr err" }, parts)
    assert.equal("ou", assert(c:exec("fine", { "x" }, { max_output = 2 })).stdout)
  end)

  it_runs("gives the exit code of a failure, as an error or as an answer", function(c)
    local res, e = c:exec("code", { "false" })
    assert.same({ "EEXIT", 3, "out: false", "err" }, { e.code, e.exit, e.stdout, e.stderr })
    assert.is_nil(res)
    assert.equal(3, assert(c:exec("code", { "false" }, { accept = { 0, 3 } })).code)
    assert.equal(3, assert(c:exec("code", { "false" }, { accept = "any" })).code)
    local _, broken = c:exec("broken", { "nothing" })
    assert.same({ "EHTTP", "InternalError" }, { broken.code, broken.reason })
  end)

  it_runs("is never a success without a word on the end", function(c)
    for _, pod in ipairs({ "nostatus", "cut" }) do
      local res, e = c:exec(pod, { "x" }, { accept = "any" })
      assert.same({ pod, nil, "ENOSTATUS", "out: x" }, { pod, res, e.code, e.stdout })
    end
    local _, e = c:exec("nonsense", { "x" }, { accept = "any" })
    assert.equal("EPROTO", e.code)
    _, e = c:exec("stall", { "x" }, { timeout = "3s", accept = "any" })
    assert.same({ "ETIMEDOUT", "begun" }, { e.code, e.stdout })
  end)

  it_runs("sends stdin and its end where the server can tell it", function(c)
    local text = ("some words "):rep(20000)
    assert.equal(text:upper(), assert(c:exec("cat", { "cat" }, { stdin = text })).stdout)
    local old = assert(require("pai.k8s.client").connect({ kubeconfig = config(ports[2]) }))
    assert.equal(0, assert(old:exec("fine", { "x" })).code)
    local _, e = old:exec("cat", { "cat" }, { stdin = "x" })
    assert.same({ "EPROTO", true }, { e.code, e.message:find("v5", 1, true) ~= nil })
  end)

  it_runs("that is forbidden says what is missing", function(c)
    local _, e = c:exec("denied", { "x" })
    assert.equal(
      'user "jane" may not create pods/exec "denied" in the namespace "default"',
      e.message
    )
  end)

  it("is a command that passes the code on", function()
    local argv = { pai.exe, "k8s", "exec", "--context", "c", "--kubeconfig", config() }
    local function run(...)
      return assert(
        exec.run(table.move({ ... }, 1, select("#", ...), #argv + 1, { table.unpack(argv) }), {
          accept = "any",
          timeout = "60s",
        })
      )
    end
    local r = run("fine", "--", "echo", "hi")
    assert.same({ 0, "out: echo hi" }, { r.code, r.stdout })
    assert.equal(3, run("pod/code", "--", "false").code)
    r = run("nostatus", "--", "x")
    assert.same(
      { 125, true },
      { r.code, r.stderr:find("ended before it was said", 1, true) ~= nil }
    )
    assert.equal(2, run("fine").code)
  end)

  it("is a command that Ctrl-C ends where the server has stalled", function()
    task.run(function()
      local argv = { pai.exe, "k8s", "exec", "--context", "c", "--kubeconfig", config() }
      local run
      run = assert(exec.start(table.move({ "stall", "--", "x" }, 1, 3, #argv + 1, argv), {
        on_output = function(text, stream)
          if stream == "stdout" then
            assert.equal("begun", text)
            run:kill("SIGINT")
          end
        end,
      }))
      local _, ended = run:wait("60s")
      assert.equal("SIGINT", ended.signal)
    end)
  end)
end)

-- Forwards in a task until fn has done.
local function forwarding(c, opts, fn)
  local ready, events = task.event(), {}
  local port
  opts.backoff = { 1, 20 }
  function opts.on_ready(p)
    port = p
    ready:set()
  end
  function opts.on_event(event)
    events[#events + 1] = event
  end
  local t = task.spawn(c.forward, c, opts)
  assert.is_true(ready:wait("60s"))
  local ok, problem = pcall(fn, port, events)
  t:cancel()
  pcall(t.wait, t)
  if not ok then
    error(problem, 0)
  end
end

-- What a client of that port gets for a word.
local function ask(port, word)
  local script = [[
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
s.sendall(sys.argv[2].encode())
print(s.recv(1000).decode(), end="")
]]
  local argv = { "/usr/bin/python3", "-c", script, tostring(port), word }
  return assert(exec.run(argv, { accept = "any", timeout = "60s" })).stdout
end

describe("port-forward", function()
  it_runs("leads to the pod, each connection on its own", function(c)
    forwarding(c, { to = "pod/one", port = 9000 }, function(port)
      local got = require("pai.async").all({
        function()
          return ask(port, "hello")
        end,
        function()
          return ask(port, "quit")
        end,
      })
      assert.same({ "one:9000 HELLO", "one:9000 QUIT" }, got)
    end)
  end)

  it_runs("of a Service takes its port's target, and another pod when one goes", function(c)
    forwarding(c, { to = "svc/web", port = 80 }, function(port, events)
      assert.equal("web-1:8080 A", ask(port, "a"))
      assert.equal("web-2:8080 B", ask(port, "b"))
      local last = events[#events]
      assert.same({ "pod", "web-2", "web-1" }, { last.event, last.pod, last.before })
    end)
  end)

  it_runs("says what the pod refuses, and goes on", function(c)
    forwarding(c, { to = "refuses", port = 1 }, function(port, events)
      assert.equal("", ask(port, "a"))
      assert.equal("", ask(port, "a"))
      local deadline = task.now() + 60000
      while #events < 2 and task.now() < deadline do
        task.sleep("10ms")
      end
      assert.same({ "failed", "the pod refuses: connection refused" }, {
        events[2].event,
        events[2].error.message,
      })
    end)
  end)

  it_runs("that cannot begin is an error", function(c)
    local _, e = c:forward({ to = "svc/none", port = 80, backoff = { 1, 5 } })
    assert.same({ "EINVAL", true }, { e.code, e.message:find("selects no pods", 1, true) ~= nil })
    _, e = c:forward({ to = "svc/web", port = 81, backoff = { 1, 5 } })
    assert.equal("EINVAL", e.code)
    _, e = c:forward({ to = "pod/denied", port = 81, backoff = { 1, 5 } })
    assert.equal("Forbidden", e.reason)
  end)

  it("may be detached: one a target, and only that very process is ended", function()
    task.run(function()
      local config_path = config()
      local function run(...)
        local argv = { pai.exe, "k8s" }
        table.move({ ... }, 1, select("#", ...), 3, argv)
        return assert(exec.run(argv, {
          env = { PAI_STATE = dir .. "/state", KUBECONFIG = config_path },
          accept = "any",
          timeout = "120s",
        }))
      end
      local decode = require("pai.json").decode
      local begin = { "port-forward", "--context", "c", "--detach", "--json", "pod/one", "0:9000" }
      local first = assert(decode(run(table.unpack(begin)).stdout))
      assert.is_true(first.began)
      assert.equal("one:9000 HI", ask(first.local_port, "hi"))
      local second = assert(decode(run(table.unpack(begin)).stdout))
      assert.same({ false, first.pid, first.id }, { second.began, second.pid, second.id })
      assert.truthy(run("forwards").stdout:find(first.id .. " .* up\n"))
      -- a record of the same pid with another start time is somebody else's process
      local path = ("%s/state/forwards/%s.json"):format(dir, first.id)
      local record = assert(decode(assert(fs.read(path))))
      record.start_time = record.start_time - 1
      local text = require("pai.json").encode(record)
      local right = assert(fs.read(path))
      assert(fs.write(path, text))
      assert.truthy(run("forwards").stdout:find("gone\n"))
      require("pai.k8s.forwards").stop_record(record)
      assert.equal("one:9000 AGAIN", ask(first.local_port, "again"))
      assert(fs.write(path, right))
      assert.truthy(run("forwards", "--stop", "all").stdout:find("stopped"))
      local left = fs.process(first.pid)
      assert.is_true(left == nil or left.state == "Z" or left.start_time ~= first.start_time)
      assert.equal("no port-forwards\n", run("forwards").stdout)
      assert.equal(2, run("forwards", "--stop", "abc").code)
      local failed = run("port-forward", "--context", "c", "--detach", "svc/none", "80")
      assert.same({ 1, true }, {
        failed.code,
        failed.stderr:find("did not begin: svc/none selects no pods", 1, true) ~= nil,
      })
    end)
  end)

  it("is a command that runs until it is ended", function()
    task.run(function()
      local run = assert(exec.start({
        pai.exe,
        "k8s",
        "port-forward",
        "--context",
        "c",
        "--kubeconfig",
        config(),
        "--json",
        "pod/one",
        "0:9000",
      }))
      local line
      repeat
        line = assert(run:read_line("60s"))
      until line:find("^{")
      local ready = assert(require("pai.json").decode(line))
      assert.same({ "ready", "one" }, { ready.event, ready.pod })
      assert.equal("one:9000 HI", ask(ready.port, "hi"))
      run:kill("SIGINT")
      local _, ended = run:wait("60s")
      assert.equal("SIGINT", ended.signal)
    end)
  end)
end)
