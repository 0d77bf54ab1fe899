-- pai.ws beside python3-websockets, and against servers that break the protocol.
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")
local secret = require("pai.secret")
local task = require("pai.task")
local ws = require("pai.ws")

local HERE <const> = pai.root .. "/tests/spec/host"
local PYTHON <const> = "/usr/bin/python3"

local net = assert(loadfile(pai.root .. "/tests/peers/net.lua"))()

local function it_runs(title, fn)
  it(title, function()
    task.run(fn)
  end)
end

describe("a WebSocket beside python3-websockets", function()
  local dir, proc, port, tls, socket

  setup(function()
    task.run(function()
      dir = fs.tempdir({ prefix = "pai-ws" })
      socket = dir .. "/s"
      net.certificate(dir)
      proc = assert(
        exec.start(
          { PYTHON, HERE .. "/ws_peer.py", socket, dir .. "/cert.pem", dir .. "/key.pem" },
          { stdin = "pipe" }
        )
      )
      port, tls = assert(proc:read_line("60s")):match("^(%d+) (%d+)$")
    end)
  end)
  teardown(function()
    task.run(function()
      proc:stop()
      fs.remove(dir, { recursive = true })
    end)
  end)

  local function connect(path, opts)
    local settings = { url = ("ws://127.0.0.1:%s%s"):format(port, path or "/") }
    for name, value in pairs(opts or {}) do
      settings[name] = value
    end
    return assert(ws.connect(settings))
  end

  it_runs("carries messages of every size and kind both ways", function()
    local c <close> = connect()
    assert.is_true(c:is_open())
    for _, size in ipairs({ 0, 1, 125, 126, 65535, 65536, 3000000 }) do
      local data = ("\0\255ab"):rep(size // 4) .. ("z"):rep(size % 4)
      assert.is_true(c:send(data))
      local back, kind = c:receive("60s")
      assert.equal("binary", kind)
      assert.is_true(back == data)
    end
    assert.is_true(c:send("grüße", "text"))
    assert.same({ "grüße", "text" }, { c:receive("60s") })
    assert.is_true(c:close(1000, "done"))
    assert.is_false(c:is_open())
    local message, e = c:receive()
    assert.is_nil(message)
    assert.equal("ECLOSED", e.code)
    assert.is_true(e.clean)
    assert.equal(1000, e.close_code)
    assert.is_true(c:close())
    local sent, why = c:send("x")
    assert.is_nil(sent)
    assert.equal("ECLOSED", why.code)
  end)

  it_runs("sends its headers, a secret one too, and agrees on a subprotocol", function()
    local value = crypto.hex(16)
    fs.write(dir .. "/token", value, { mode = 384 })
    local c <close> = connect("/headers", {
      headers = { ["x-osmo-user"] = "alice", cookie = "a=b" },
      bearer = assert(secret.from_file(dir .. "/token")),
      protocols = { "v1", "v3" },
    })
    local got = json.decode((c:receive("60s")))
    assert.equal("Bearer " .. value, got.authorization)
    assert.equal("alice", got["x-osmo-user"])
    assert.equal("a=b", got.cookie)
    assert.equal("13", got["sec-websocket-version"])
    assert.equal("127.0.0.1:" .. port, got.host)
    assert.equal("v1, v3", got["sec-websocket-protocol"])
    assert.equal("v1", c:protocol())
    local plain <close> = connect()
    assert.is_nil(plain:protocol())
  end)

  it_runs("gives what came before the end, and then how it ended", function()
    local c <close> = connect("/bye")
    assert.equal("last words", c:receive("60s"))
    local message, e = c:receive("60s")
    assert.is_nil(message)
    assert.equal("ECLOSED", e.code)
    assert.is_true(e.clean)
    assert.equal(4001, e.close_code)
    assert.equal("enough", e.reason)
    assert.matches("4001: enough", e.message, 1, true)
    local cut <close> = connect("/cut")
    local last
    repeat
      message, last = cut:receive("60s")
    until not message
    assert.is_true(last.code == "ECLOSED" or last.code == "ENETWORK")
    assert.is_not_true(last.clean)
    assert.equal(1006, last.close_code)
  end)

  it_runs("answers pings and joins pieces", function()
    local c <close> = connect("/ping")
    assert.equal("ponged", c:receive("60s"))
    local pieces <close> = connect("/pieces")
    assert.same({ "abéc", "text" }, { pieces:receive("60s") })
  end)

  it_runs("goes through TLS that it checks, and through a unix socket", function()
    local url = ("wss://localhost:%s/"):format(tls)
    local c <close> = assert(ws.connect({ url = url, ca_file = dir .. "/cert.pem" }))
    local data = crypto.random(700000)
    c:send(data)
    assert.is_true(c:receive("60s") == data)
    local refused, e = ws.connect({ url = url })
    assert.is_nil(refused)
    assert.equal("ENETWORK", e.code)
    assert.is_true(e.tls)
    assert.is_false(e.retryable)
    local u <close> = assert(ws.connect({ url = "ws://any.host/", unix_socket = socket }))
    u:send("here", "text")
    assert.equal("here", u:receive("60s"))
  end)

  it_runs("waits for a peer that does not read, within a deadline", function()
    local c <close> = connect("/deaf")
    local sent, e = nil, nil
    for _ = 1, 200 do
      sent, e = c:send(("x"):rep(1 << 18), "binary", 200)
      if not sent then
        break
      end
    end
    assert.is_nil(sent)
    assert.equal("ETIMEDOUT", e.code)
    local ok, why = c:close(1000, "", 200)
    assert.is_nil(ok)
    assert.equal("ETIMEDOUT", why.code)
  end)

  it_runs("lets a peer that floods wait, and loses nothing", function()
    local c <close> = connect("/flood3000")
    task.sleep(100) -- so that much is waiting, wherever it waits
    for _ = 1, 3000 do
      assert.equal(4096, #c:receive("60s"))
    end
    assert.equal("done", c:receive("60s"))
  end)

  it_runs("gives up a silent wait, and goes on after it", function()
    local c <close> = connect()
    local message, e = c:receive(30)
    assert.is_nil(message)
    assert.equal("ETIMEDOUT", e.code)
    c:send("still here", "text")
    assert.equal("still here", c:receive("60s"))
  end)

  it_runs("ends when a task that waits on it is cancelled", function()
    local c <close> = connect()
    local t = task.spawn(function()
      return c:receive()
    end)
    task.sleep(20)
    t:cancel()
    pcall(t.wait, t)
    assert.equal("canceled", t:status())
    assert.is_false(c:is_open())
    local sent, e = c:send("x")
    assert.is_nil(sent)
    assert.equal("ECANCELED", e.code)
  end)

  it_runs("wakes its waiters when it is closed by another task", function()
    local c = connect()
    local t = task.spawn(function()
      local _, e = c:receive()
      return e.code
    end)
    task.sleep(10)
    assert.is_true(c:close())
    assert.equal("ECLOSED", t:wait("60s"))
  end)

  it_runs("has one sender and one receiver side by side", function()
    local c <close> = connect()
    local sender = task.spawn(function()
      for i = 1, 500 do
        assert(c:send(("%d:"):format(i) .. ("y"):rep(i * 7), "text"))
      end
    end)
    for i = 1, 500 do
      assert.equal(("%d:"):format(i) .. ("y"):rep(i * 7), c:receive("60s"))
    end
    sender:wait()
  end)

  it_runs("asks a silent peer whether it is there", function()
    -- Two pings, each answered before the next one is due, by a slow machine too.
    local c <close> = connect("/", { ping = 1500 })
    local message, e = c:receive(3500)
    assert.is_nil(message)
    assert.equal("ETIMEDOUT", e.code)
    assert.is_true(c:is_open())
  end)
end)

describe("a WebSocket", function()
  -- A server of the script; gives its URL, and a function for what the client had sent.
  local function hostile(script)
    local proc = assert(exec.start({ PYTHON, HERE .. "/ws_hostile.py" }, { stdin = "pipe" }))
    assert(proc:write(json.encode(script) .. "\n"))
    local port = assert(proc:read_line("60s"))
    return "ws://127.0.0.1:" .. port .. "/secret/path?key=hidden",
      function()
        return proc:read_line("60s")
      end,
      proc
  end

  local function failure(script, opts)
    local url, _, proc = hostile(script)
    local settings = { url = url }
    for name, value in pairs(opts or {}) do
      settings[name] = value
    end
    local c, e = ws.connect(settings)
    assert.is_nil(c)
    assert.is_nil(e.message:find("hidden", 1, true))
    assert.is_nil(e.message:find("secret/path", 1, true))
    proc:stop()
    return e
  end

  it_runs("refuses a handshake that does not fit", function()
    local head =
      "HTTP/1.1 101 X\r\nUpgrade: %s\r\nConnection: %s\r\nSec-WebSocket-Accept: %s\r\n%s\r\n"
    for why, parts in pairs({
      ["Sec-WebSocket-Accept does not fit"] = { "websocket", "Upgrade", "AAAA", "" },
      ["did not switch"] = { "h2c", "Upgrade", "@ACCEPT@", "" },
      ["switch to WebSocket"] = { "websocket", "close", "@ACCEPT@", "" },
      ["extension that was not offered"] = {
        "websocket",
        "keep-alive, Upgrade",
        "@ACCEPT@",
        "Sec-WebSocket-Extensions: permessage-deflate\r\n",
      },
      ["subprotocol that was not offered"] = {
        "websocket",
        "upgrade",
        "@ACCEPT@",
        "Sec-WebSocket-Protocol: other\r\n",
      },
    }) do
      local e = failure({ head = head:format(table.unpack(parts)) })
      assert.equal("EPROTO", e.code)
      assert.matches(why, e.message, 1, true)
    end
    assert.equal("EPROTO", failure({ head = "SSH-2.0-OpenSSH_9.2\r\n\r\n" }).code)
    assert.equal("EPROTO", failure({ head = "HTTP/1.1 101 X\r\nUpgrade: web" }).code)
    local huge = "HTTP/1.1 101 X\r\nA: " .. ("x"):rep(70000) .. "\r\n\r\n"
    assert.equal("ELIMIT", failure({ head = huge }).code)
  end)

  it_runs("says what a server answered that refused", function()
    local e =
      failure({ head = "HTTP/1.1 403 Forbidden\r\nContent-Length: 13\r\n\r\naccess denied" })
    assert.equal("EHTTP", e.code)
    assert.equal(403, e.status)
    assert.equal("access denied", e.body)
    assert.is_false(e.retryable)
    e = failure({ head = "HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\n\r\n" })
    assert.equal(302, e.status)
    e = failure({ head = "HTTP/1.1 503 Busy\r\n\r\n" })
    assert.is_true(e.retryable)
  end)

  it_runs("has a deadline for the handshake", function()
    local e = failure({ head = "HTTP/1.1 101 X\r\n", hold = true }, { timeout = 100 })
    assert.equal("ETIMEDOUT", e.code)
    assert.matches("100 ms", e.message, 1, true)
  end)

  it_runs("says why a server cannot be reached", function()
    local c, e = ws.connect({ url = "ws://127.0.0.1:1/" })
    assert.is_nil(c)
    assert.equal("ENETWORK", e.code)
    assert.equal("ECONNREFUSED", e.errno)
    c, e = ws.connect({ url = "ws://x/", unix_socket = "/nonexistent/socket" })
    assert.is_nil(c)
    assert.equal("ENETWORK", e.code)
  end)

  it_runs("stops connecting when its task is cancelled", function()
    local url, _, proc = hostile({ head = "HTTP/1.1 101 X\r\n", hold = true })
    local t = task.spawn(ws.connect, { url = url })
    task.sleep(50)
    t:cancel()
    pcall(t.wait, t)
    assert.equal("canceled", t:status())
    proc:stop()
  end)

  -- The Close that the client answered with: its code, unmasked.
  local function close_code(hex)
    local bytes = hex:gsub("%x%x", function(h)
      return string.char(tonumber(h, 16))
    end)
    local at = bytes:find("\x88", 1, true)
    local a, b, m1, m2 = bytes:byte(at + 6), bytes:byte(at + 7), bytes:byte(at + 2, at + 3)
    return (a ~ m1) << 8 | (b ~ m2)
  end

  for name, case in pairs({
    ["reserved bits"] = { "c10178", "EPROTO", 1002 },
    ["a masked frame"] = { "818161626364ff", "EPROTO", 1002 },
    ["text that is not UTF-8"] = { "8102c328", "EPROTO", 1007 },
    ["a message too large"] = { "827f0000000001000001", "ELIMIT", 1009 },
    ["a long ping"] = { "897e0080", "EPROTO", 1002 },
  }) do
    it_runs("ends at " .. name .. " and says so to the peer", function()
      local url, sent, proc = hostile({ pieces = { "810161", case[1] }, hold = true })
      local c = assert(ws.connect({ url = url, max_message = 1 << 16 }))
      assert.equal("a", c:receive("60s"))
      local message, e = c:receive("60s")
      assert.is_nil(message)
      assert.equal(case[2], e.code)
      assert.equal(case[3], e.close_code)
      assert.equal(case[3], close_code(sent()))
      proc:stop()
    end)
  end

  it_runs("takes frames that come with the handshake, and byte by byte", function()
    local url, _, proc = hostile({ pieces = { "810568656c6c6f" }, together = true, hold = true })
    local c <close> = assert(ws.connect({ url = url }))
    assert.equal("hello", c:receive("60s"))
    proc:stop()
    url, _, proc = hostile({
      pieces = { "81", "05", "68", "656c", "6c6f", "88", "02", "03e8" },
      pause = 0.01,
      hold = true,
    })
    local d <close> = assert(ws.connect({ url = url }))
    assert.equal("hello", d:receive("60s"))
    local _, e = d:receive("60s")
    assert.is_true(e.clean)
    proc:stop()
  end)

  it_runs("is told at once when a peer says goodbye with its first bytes", function()
    local url, _, proc = hostile({ pieces = { "8101618802" .. "03e9" }, together = true })
    local c <close> = assert(ws.connect({ url = url }))
    assert.equal("a", c:receive("60s"))
    local _, e = c:receive("60s")
    assert.equal(1001, e.close_code)
    proc:stop()
  end)

  it_runs("gives up a peer that is silent to its pings", function()
    local url, _, proc = hostile({ hold = true })
    local c <close> = assert(ws.connect({ url = url, ping = 50 }))
    local _, e = c:receive("60s")
    assert.equal("ETIMEDOUT", e.code)
    assert.matches("silent", e.message, 1, true)
    proc:stop()
  end)

  it_runs("leaves nothing open when it is forgotten", function()
    local url, sent, proc = hostile({ hold = true })
    do
      local c = assert(ws.connect({ url = url }))
      assert.is_true(c:is_open())
    end
    collectgarbage()
    collectgarbage()
    assert.equal(1001, close_code(sent()))
    proc:stop()
  end)

  it("raises at a caller's mistakes", function()
    local function raises(opts, what)
      local ok, e = pcall(ws.connect, opts)
      assert.is_false(ok)
      assert.matches(what, tostring(e), 1, true)
    end
    raises({}, "'url' is missing")
    raises({ url = "ws://h/", nonsense = 1 }, "nonsense")
    raises({ url = "ws://h/", headers = { ["Sec-WebSocket-Key"] = "x" } }, "cannot be given")
    raises({ url = "ws://h/", headers = { host = "x" } }, "cannot be given")
    raises({ url = "ws://h/", headers = { a = "b\r\nc: d" } }, "line end")
    raises({ url = "ws://h/", headers = { Authorization = "x" }, bearer = "y" }, "exclude")
    raises({ url = "ws://h/", protocols = { "a b" } }, "protocols")
    raises({ url = "ws://h/", max_message = 0 }, "max_message")
    for _, url in ipairs({ "http://h/", "ws://", "ws://u:p@h/", "ws://h/#x", "h", "ws://h\n/" }) do
      local c, e = ws.connect({ url = url })
      assert.is_nil(c)
      assert.equal("EINVAL", e.code)
    end
  end)
end)
