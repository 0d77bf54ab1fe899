-- The server's side of WebSockets: a client of python3-websockets, and peers that break the rules.
local exec = require("pai.exec")
local json = require("pai.json")
local pai = require("pai")
local serve = require("pai.serve")
local task = require("pai.task")
local ws = require("pai.ws")

local PEER <const> = pai.root .. "/tests/spec/host/serve_ws_peer.py"
local CLIENT <const> = pai.root .. "/tests/spec/host/serve_ws_client.py"

describe("a WebSocket of a server", function()
  local srv, seen, answer

  local function it_runs(title, fn)
    it(title, function()
      task.run(function()
        seen = { done = task.event() }
        answer = {}
        local ok, e = pcall(fn)
        if srv then
          srv:close()
          srv = nil
        end
        if not ok then
          error(e, 0)
        end
      end)
    end)
  end

  -- Takes all messages, and gives fn those that come.
  local function listen(fn)
    srv = assert(serve.listen({
      handler = function(req)
        seen.headers = req.headers
        local a = { websocket = true }
        for k, v in pairs(answer) do
          a[k] = v
        end
        a.websocket = function(conn)
          seen.conn = conn
          seen.called = true
          local data, kind = conn:receive()
          while data do
            fn(conn, data, kind)
            data, kind = conn:receive()
          end
          seen.e = kind
          seen.done:set()
        end
        return a
      end,
    }))
    return srv:port()
  end

  local function echo(conn, data, kind)
    conn:send(data, kind)
  end

  -- Runs the peer; the head of the answer and the rest of it.
  local function peer(script)
    script.port = script.port or srv:port()
    local r = assert(exec.run({ "/usr/bin/python3", PEER }, {
      stdin = json.encode(script) .. "\n",
      timeout = "90s",
    }))
    local head, rest = r.stdout:match("^([^\n]*)\n([^\n]*)")
    return json.decode(head), rest
  end

  -- A client's frame, masked. first: its first byte; len: the second, when it lies.
  local function frame(first, payload, len)
    local key = "\x11\x22\x33\x44"
    local n = #payload
    local head = string.char(first, 0x80 | (len or (n < 126 and n or 126)))
    if not len and n >= 126 then
      head = head .. string.pack(">I2", n)
    end
    local i = 0
    local masked = payload:gsub(".", function(c)
      i = i + 1
      return string.char(c:byte() ~ key:byte((i - 1) % 4 + 1))
    end)
    return head .. key .. masked
  end

  local function hex(s)
    return (s:gsub(".", function(c)
      return ("%02x"):format(c:byte())
    end))
  end

  local function closed_with(rest)
    local code = rest:match("88%x%x(%x%x%x%x)")
    return code and tonumber(code, 16)
  end

  it_runs("serves a client not of our own", function()
    answer.protocol = "a"
    local port = listen(echo)
    local r = assert(exec.run({
      "/usr/bin/python3",
      CLIENT,
      ("ws://127.0.0.1:%d/x"):format(port),
    }, { timeout = "120s" }))
    assert.equal("4321\n", r.stdout)
    assert.is_true(seen.done:wait("60s"))
    assert.is_true(seen.e.clean)
    assert.equal(4321, seen.e.close_code)
    assert.equal("enough", seen.e.reason)
    assert.equal("a", seen.conn:protocol())
    assert.is_false(seen.conn:is_open())
    local none, e = seen.conn:send("late")
    assert.is_nil(none)
    assert.equal("ECLOSED", e.code)
  end)

  it_runs("serves pai's client over a unix socket, and each says its end", function()
    local path = os.tmpname()
    os.remove(path)
    local how, said, _
    srv = assert(serve.listen({
      unix = path,
      handler = function(req)
        return {
          websocket = function(conn)
            if req.path == "/fail" then
              error("with a reason of its own")
            elseif req.path == "/wait" then
              local _, e = pcall(conn.receive, conn)
              said = e
              error(e, 0)
            end
          end,
        }
      end,
    }))
    local function connect(to)
      return assert(ws.connect({ url = "ws://localhost" .. to, unix_socket = path }))
    end
    local conn = connect("/end")
    _, how = conn:receive("60s")
    assert.equal(1000, how.close_code)
    assert.is_true(how.clean)
    conn = connect("/fail")
    _, how = conn:receive("60s")
    assert.equal(1011, how.close_code)
    assert.equal("", how.reason)
    conn = connect("/wait")
    local waiting = task.spawn(function()
      return select(2, conn:receive("60s"))
    end)
    srv:close()
    assert.equal("ECANCELED", said.code)
    assert.equal(1001, waiting:wait().close_code)
    srv = nil
  end)

  it_runs("begins with a whole handshake only", function()
    listen(echo)
    local good = "GET /x HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
      .. "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: @KEY@\r\n"
    local last = "Connection: close\r\n\r\n"
    local function head(from, to)
      local at, till = good:find(from, 1, true)
      return peer({ head = good:sub(1, at - 1) .. to .. good:sub(till + 1) .. last })
    end
    local cases = {
      { "Upgrade: websocket\r\n", "", 426 },
      { "Connection: Upgrade\r\n", "", 426 },
      { "Version: 13", "Version: 8", 426 },
      { "@KEY@", "short", 400 },
      { "@KEY@", ("A"):rep(24), 400 },
      { "@KEY@", ("A"):rep(21) .. "B==", 400 },
      { "GET", "PUT", 400 },
      { "HTTP/1.1", "HTTP/1.0", 400 },
      { "Host: localhost", "Host: evil.example", 403 },
      { "Host: localhost", "Host: localhost\r\nOrigin: http://evil.example", 403 },
    }
    for _, case in ipairs(cases) do
      local said = head(case[1], case[2])
      assert.equal(tostring(case[3]), said:match("^HTTP/1%.%d (%d+)"), case[1] .. case[2])
      assert.equal(case[3] == 426, said:find("Sec-WebSocket-Version: 13", 1, true) ~= nil)
    end
    assert.is_nil(seen.called)
    assert.matches("^HTTP/1%.1 101 ", (peer({ pieces = { hex(frame(0x88, "\x03\xe8")) } })))
  end)

  it_runs("may not choose a protocol that nobody offered", function()
    answer.protocol = "c"
    listen(echo)
    local said = peer({ more = "Sec-WebSocket-Protocol: a, cc\r\nConnection: close\r\n" })
    assert.matches("^HTTP/1%.1 500 ", said)
    said = peer({
      more = "Sec-WebSocket-Protocol: a,c\r\n",
      pieces = { hex(frame(0x88, "\x03\xe8")) },
    })
    assert.matches("Sec%-WebSocket%-Protocol: c\r\n", said .. "\r\n")
  end)

  it_runs("takes frames that come with the handshake, or byte by byte", function()
    local got = {}
    listen(function(_, data, kind)
      got[#got + 1] = kind .. ":" .. data
    end)
    local pieces = {
      hex(frame(0x81, "one")),
      hex(frame(0x02, "tw") .. frame(0x89, "p") .. frame(0x80, "o")),
      hex(frame(0x82, ("3"):rep(300))),
      hex(frame(0x88, "\x0f\xa0bye")),
    }
    for _, how in ipairs({ "together", "slow" }) do
      got, seen.done = {}, task.event()
      local _, rest = peer({ pieces = pieces, [how] = true })
      assert.is_true(seen.done:wait("60s"))
      assert.same({ "text:one", "binary:two", "binary:" .. ("3"):rep(300) }, got)
      -- the pong, and the Close as it was said; neither is masked
      assert.equal("8a0170" .. "88020fa0", rest)
      assert.equal("bye", seen.e.reason)
    end
  end)

  it_runs("ends at the first breach, with the code that the RFC names", function()
    answer.max_message = 1000
    listen(echo)
    local cases = {
      { "\x81\x02hi", 1002, "EPROTO" }, -- not masked
      { frame(0xc1, "x"), 1002, "EPROTO" },
      { frame(0x83, "x"), 1002, "EPROTO" },
      { frame(0x80, "x"), 1002, "EPROTO" },
      { frame(0x09, "x"), 1002, "EPROTO" },
      { frame(0x01, "x") .. frame(0x81, "y"), 1002, "EPROTO" },
      { frame(0x88, "\x03"), 1002, "EPROTO" },
      { frame(0x88, "\x03\xed"), 1002, "EPROTO" },
      { "\x82\xff\xff\0\0\0\0\0\0\1\1\2\3\4", 1002, "EPROTO" }, -- a length of 2^63 and more
      { "\x82\xff\x7f\0\0\0\0\0\0\1\1\2\3\4", 1009, "ELIMIT" },
      { frame(0x82, ("x"):rep(1001)), 1009, "ELIMIT" },
      { frame(0x02, ("x"):rep(600)) .. frame(0x80, ("x"):rep(600)), 1009, "ELIMIT" },
      { frame(0x81, "\xff"), 1007, "EPROTO" },
      { frame(0x81, "\xc3"), 1007, "EPROTO" },
      { frame(0x88, "\x03\xe8\xff"), 1007, "EPROTO" },
    }
    for i, case in ipairs(cases) do
      seen.done = task.event()
      local _, rest = peer({ pieces = { hex(case[1]), hex(frame(0x81, "after")) } })
      assert.equal(case[2], closed_with(rest), i)
      assert.is_true(seen.done:wait("60s"))
      assert.equal(case[3], seen.e.code, i)
      assert.equal(case[2], seen.e.close_code, i)
    end
  end)

  it_runs("notices a client that goes without a word", function()
    listen(echo)
    peer({ pieces = { hex(frame(0x82, "half"):sub(1, 8)) }, ["end"] = true })
    assert.is_true(seen.done:wait("60s"))
    assert.equal("ECLOSED", seen.e.code)
    assert.is_false(seen.e.clean)
    assert.equal(1006, seen.e.close_code)
  end)

  it_runs("asks a silent client, and gives it up", function()
    answer.ping = "200ms"
    listen(echo)
    local _, rest = peer({})
    assert.is_true(seen.done:wait("60s"))
    assert.equal("8900", rest)
    assert.equal("ETIMEDOUT", seen.e.code)
    assert.is_false(seen.conn:is_open())
  end)

  it_runs("makes the sender wait for a client that does not read", function()
    listen(echo)
    local deaf = assert(exec.start({ "/usr/bin/python3", PEER }, { stdin = "pipe" }))
    assert(deaf:write(json.encode({
      port = srv:port(),
      deaf = true,
      pieces = { hex(frame(0x81, "x")) },
    }) .. "\n"))
    assert(deaf:read_line("60s"))
    while not seen.conn do
      task.sleep(10)
    end
    local sent = 0
    local ok, e
    repeat
      ok, e = seen.conn:send(("x"):rep(1 << 20), "binary", "300ms")
      sent = sent + 1
    until not ok
    assert.equal("ETIMEDOUT", e.code)
    assert.is_true(sent < 40)
    assert(deaf:write("\n"))
    seen.conn:close()
    local rest = assert(deaf:read_line("60s"))
    assert.is_true(tonumber(rest:match("^(%d+) bytes$")) > sent << 20)
    deaf:wait()
  end)

  it_runs("does not read on from a client while nobody takes what it sent", function()
    local go = task.event()
    local taken = 0
    listen(function(_, data)
      go:wait()
      taken = taken + #data
    end)
    local conn = assert(ws.connect({ url = ("ws://127.0.0.1:%d/"):format(srv:port()) }))
    local sent = 0
    local ok
    repeat
      ok = conn:send(("x"):rep(1 << 20), "binary", "300ms")
      sent = sent + 1
    until not ok
    assert.is_true(sent < 40)
    go:set()
    assert(conn:close(1000, "", "60s"))
    assert.is_true(seen.done:wait("60s"))
    assert.equal(sent << 20, taken)
  end)

  it_runs("is an answer of its own", function()
    for field, value in pairs({ body = "x", json = {}, status = 200, stream = function() end }) do
      answer[field] = value
      listen(echo)
      local said = peer({ more = "Connection: close\r\n" })
      assert.matches("^HTTP/1%.1 500 ", said, field)
      answer[field] = nil
      srv:close()
    end
    srv = nil
    assert.is_nil(seen.called)
  end)
end)
