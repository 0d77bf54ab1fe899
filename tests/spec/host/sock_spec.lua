-- pai.sock: local connections and standard input.
local exec = require("pai.exec")
local fs = require("pai.fs")
local pai = require("pai")
local sock = require("pai.sock")
local task = require("pai.task")

local function it_runs(title, fn)
  it(title, function()
    task.run(fn)
  end)
end

-- What a client of Python's socket module gets back for what it sends.
local function client(port, script)
  local text = "import socket, sys\ns = socket.create_connection(('127.0.0.1', "
    .. port
    .. "))\n"
    .. script
  return assert(exec.start({ "/usr/bin/python3", "-c", text }, { stdin = "pipe" }))
end

describe("a connection that is made here", function()
  it_runs("carries bytes to a port, and tells why it could not be made", function()
    local l <close> = assert(sock.listen())
    local port = l:port()
    local a <close> = assert(sock.connect({ port = port }))
    local b <close> = assert(l:accept("60s"))
    assert(a:write("there"))
    assert.equal("there", b:read("60s"))
    assert(b:write("back"))
    b:shut()
    assert.equal("back", a:read("60s"))
    assert.is_nil((a:read("60s")))
    l:close()
    local none, e = sock.connect({ port = port })
    assert.is_nil(none)
    assert.equal("ECONNREFUSED", e.code)
    none, e = sock.connect({ host = "a.name", port = 1 })
    assert.is_nil(none)
    assert.equal("EINVAL", e.code)
    assert.has_error(function()
      sock.connect({ host = "127.0.0.1" })
    end)
  end)

  it_runs("reaches a unix socket", function()
    local dir = assert(fs.tempdir({ prefix = "pai-sock-" }))
    local srv = assert(require("pai.serve").listen({
      unix = dir .. "/s",
      handler = function()
        return { body = "hello" }
      end,
    }))
    local a <close> = assert(sock.connect({ unix = dir .. "/s" }))
    assert(a:write("GET / HTTP/1.0\r\n\r\n"))
    local all = ""
    local data = a:read("60s")
    while data do
      all = all .. data
      data = a:read("60s")
    end
    assert.matches("hello$", all)
    srv:close()
    local none, e = sock.connect({ unix = dir .. "/s" })
    assert.is_nil(none)
    assert.equal("ENOENT", e.code)
    none, e = sock.connect({ unix = dir .. ("/long"):rep(50) })
    assert.is_nil(none)
    assert.equal("ENAMETOOLONG", e.code)
    fs.remove(dir, { recursive = true })
  end)
end)

describe("a listener", function()
  it_runs("binds loopback and nothing else", function()
    for _, host in ipairs({ "0.0.0.0", "::", "192.0.2.1", "example.com", "" }) do
      local l, e = sock.listen({ host = host })
      assert.is_nil(l)
      assert.equal("EACCES", e.code)
    end
    local l <close> = assert(sock.listen({ host = "localhost" }))
    assert.is_true(l:port() > 0)
    local taken, e = sock.listen({ port = l:port() })
    assert.is_nil(taken)
    assert.equal("EADDRINUSE", e.code)
    assert.has_error(function()
      sock.listen({ port = 70000 })
    end)
  end)

  it_runs("waits for connections, within a deadline", function()
    local l <close> = assert(sock.listen())
    local c, e = l:accept(20)
    assert.is_nil(c)
    assert.equal("ETIMEDOUT", e.code)
    local t = task.spawn(function()
      local _, why = l:accept()
      return why.code
    end)
    task.sleep(10)
    l:close()
    assert.equal("EPIPE", t:wait("60s"))
  end)

  it_runs("carries what is written, however much, and sees the end", function()
    local l <close> = assert(sock.listen())
    local proc = client(
      l:port(),
      [[
n = 0
while True:
    b = s.recv(65536)
    if not b: break
    n += len(b)
s.sendall(b"got %d" % n)
s.close()
]]
    )
    local c <close> = assert(l:accept("60s"))
    local none, e = c:read(20)
    assert.is_nil(none)
    assert.equal("ETIMEDOUT", e.code)
    for _ = 1, 20 do
      assert.is_true(c:write(("x"):rep(1 << 19), "60s"))
    end
    c:shut()
    local text = ""
    while true do
      local piece, why = c:read("60s")
      assert.is_nil(why)
      if not piece then
        break
      end
      text = text .. piece
    end
    assert.equal("got " .. 20 * (1 << 19), text)
    proc:wait()
  end)

  it_runs("wakes a reader after a writer that waited beside it has done", function()
    local l <close> = assert(sock.listen())
    local a <close> = assert(sock.connect({ port = l:port() }))
    local b <close> = assert(l:accept("60s"))
    local text = ("x"):rep(8 << 20)
    local reader = task.spawn(a.read, a, "60s")
    local writer = task.spawn(a.write, a, text, "60s")
    local n = 0
    while n < #text do
      n = n + #assert(b:read("60s"))
    end
    assert.is_true(writer:wait())
    assert(b:write("answer"))
    assert.equal("answer", (reader:wait()))
  end)

  it_runs("waits for a peer that does not read, within a deadline", function()
    local l <close> = assert(sock.listen())
    local proc = client(l:port(), "sys.stdin.read()")
    local c <close> = assert(l:accept("60s"))
    local ok, e = c:write(("x"):rep(64 << 20), 100)
    assert.is_nil(ok)
    assert.equal("ETIMEDOUT", e.code)
    proc:stop()
    repeat
      ok, e = c:write("x", "60s")
    until not ok
    assert.is_true(e.code == "EPIPE" or e.code == "ECONNRESET")
  end)
end)

describe("standard input", function()
  local SCRIPT <const> = [[
    local sock, task = require("pai.sock"), require("pai.task")
    task.run(function()
      local s, n = sock.stdin(), 0
      while true do
        local text = s:read()
        if not text then break end
        n = n + #text
      end
      print("read " .. n)
    end)
  ]]

  it_runs("is read to its end from a pipe and from a file", function()
    local dir = fs.tempdir({ prefix = "pai-sock" })
    fs.write(dir .. "/s.lua", SCRIPT)
    local r = assert(exec.run({ pai.exe, "lua", dir .. "/s.lua" }, { stdin = ("a"):rep(300000) }))
    assert.equal("read 300000\n", r.stdout)
    r =
      assert(exec.run({ pai.exe, "lua", dir .. "/s.lua" }, { stdin = { file = dir .. "/s.lua" } }))
    assert.equal(("read %d\n"):format(#SCRIPT), r.stdout)
    fs.remove(dir, { recursive = true })
  end)
end)
