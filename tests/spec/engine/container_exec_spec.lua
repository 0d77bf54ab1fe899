-- What a daemon may answer to the start of a command, beside the connection that was asked for.
local S = dofile("tests/spec/engine/support.lua")
local commands = require("pai.engine.container_exec")
local exec = require("pai.exec")
local fs = require("pai.fs")
local task = require("pai.task")

-- Makes an exec, and answers its start with the bytes of a file.
local DAEMON <const> = [[
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(5)
print("listening", flush=True)
while True:
    c, _ = s.accept()
    d = b""
    while b"\r\n\r\n" not in d:
        d += c.recv(65536)
    if d.startswith(b"POST /containers/"):
        c.sendall(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"
                  b"Content-Length: 10\r\nConnection: close\r\n\r\n{\"Id\":\"e\"}")
    elif d.startswith(b"GET /exec/"):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\nConnection: close\r\n\r\n"
                  b"{\"Running\":false,\"ExitCode\":4}")
    else:
        try:
            c.sendall(open(sys.argv[2], "rb").read())
        except OSError:
            pass
    c.close()
]]

describe("the start of a command in a container", function()
  local dir, daemon, pool

  setup(function()
    dir = assert(fs.tempdir({ prefix = "pai-exec-" }))
    pool = { name = "box", runtime = "docker", socket = dir .. "/s" }
    local argv = { "/usr/bin/python3", "-c", DAEMON, pool.socket, dir .. "/answer" }
    daemon = assert(exec.start(argv, { stdout = { file = dir .. "/said" }, stderr = "stdout" }))
    S.eventually(function()
      return (fs.read(dir .. "/said") or ""):find("listening", 1, true)
    end)
  end)
  teardown(function()
    daemon:kill("KILL")
    daemon:wait()
    fs.remove(dir, { recursive = true })
  end)

  local function start(answer)
    assert(fs.write(dir .. "/answer", answer))
    local ok, command
    task.run(function()
      ok, command = pcall(commands.start, pool, "c", { "true" }, {})
    end)
    return ok, command
  end

  for said, answer in pairs({
    ["container c is not running"] = "HTTP/1.1 409 Conflict\r\nContent-Length: 41\r\n\r\n"
      .. '{"message":"container c is not running"}\n',
    ["no room left"] = "HTTP/1.1 500 Internal Server Error\r\n\r\n"
      .. '{"cause":"x","message":"no room left","response":500}\n',
    ["docker answered 503"] = "HTTP/1.1 503 Unavailable\r\nContent-Length: 4\r\n\r\nbusy",
    ["docker answered what is no HTTP"] = "220 mail.example ESMTP\r\n\r\n",
    ["it ended the connection"] = "HTTP/1.1 101 UPGR",
    ["its answer is too long"] = "HTTP/1.1 101 UPGRADED\r\nX: " .. ("x"):rep(200000),
  }) do
    it("says: " .. said, function()
      local ok, e = start(answer)
      assert.is_false(ok)
      assert.equal("ESTART", e.code)
      assert.truthy(e.message:find(said, 1, true), e.message)
    end)
  end

  it("takes what comes with the answer itself, and frames that are cut", function()
    local head = "HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n"
    local ok, command = start(head .. "\1\0\0\0\0\0\0\3one\2\0\0\0\0\0\0\3err\1\0\0\0\0\0\0\9cut")
    assert.is_true(ok, tostring(command))
    local out = { stdout = "", stderr = "" }
    local code
    task.run(function()
      code = command:wait(function(data, stream)
        out[stream] = out[stream] .. data
      end)
    end)
    assert.equal(4, code)
    assert.same({ stdout = "onecut", stderr = "err" }, out)
  end)
end)
