-- What is kept from one request for the next: handles and connections, but nothing that was in it.
local async = require("pai.async")
local exec = require("pai.exec")
local fs = require("pai.fs")
local http = require("pai.http")
local task = require("pai.task")

local help = assert(loadfile(pai.root .. "/tests/spec/host/http_help.lua", "t", _ENV))()
local it_runs = help.it_runs

-- Answers every request with what it was, and with the number of its connection. A path "/close"
-- ends the connection right after the answer, "/cut" in the middle of it, and "/once" in place of
-- an answer when the connection was used before.
local SERVER <const> = [[
import json, socket, sys, threading
def serve(c, n):
    f = c.makefile("rb")
    used = False
    while True:
        head = []
        while True:
            line = f.readline()
            if not line:
                return
            if line == b"\r\n":
                break
            head.append(line.decode().strip())
        size = [int(h.split(":")[1]) for h in head if h.lower().startswith("content-length:")]
        sent = f.read(size[0]).decode() if size else ""
        body = json.dumps({"connection": n, "head": head, "body": sent}).encode()
        path = head[0].split()[1]
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        stale = path == "/once" and used
        used = True
        if not stale:
            c.sendall(answer[:-3] if path == "/cut" else answer)
        if stale or path in ("/close", "/cut"):
            c.shutdown(socket.SHUT_RDWR)
            c.close()
            return
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(50)
print(s.getsockname()[1], flush=True)
n = 0
while True:
    c, _ = s.accept()
    n += 1
    threading.Thread(target=serve, args=(c, n), daemon=True).start()
]]

local function start()
  local proc = assert(exec.start({ "/usr/bin/python3", "-c", SERVER }, {}))
  return proc, "http://127.0.0.1:" .. assert(proc:read_line("20s"))
end

local function ask(opts)
  return assert(http.request(opts)).json()
end

describe("a handle that is used again", function()
  it_runs("keeps nothing of the request before, whatever that was", function()
    local server <close>, url = start()
    local plain = ask({ url = url .. "/" })
    assert.same({ "GET / HTTP/1.1", "Accept: */*", "User-Agent: pai" }, {
      plain.head[1],
      plain.head[3],
      plain.head[4],
    })
    assert.equal(4, #plain.head)
    local path = fs.join(help.dir, "part")
    fs.write(path, "0123456789")
    local secret = help.new_secret("a-value-of-the-test")
    local before = {
      { headers = { ["X-One"] = "1", ["User-Agent"] = "other", Accept = "a/b" } },
      { bearer = secret },
      { basic = { "user", secret } },
      { body = "text" },
      { json = { 1 }, method = "PUT" },
      { form = { a = secret } },
      { method = "DELETE" },
      { method = "POST" },
      { body_file = { path = path, offset = 2, length = 5 } },
      { into = { path = path, offset = 0, length = 500 }, accept = "any" },
      { output = fs.join(help.dir, "out") },
      { stall_timeout = "20s", connect_timeout = "4s", timeout = "20s" },
      { proxy = "" },
      { secret_query = secret },
      { on_data = function() end },
      { tls = { insecure = true } },
      { connect_to = url:match("//(.*)") },
      { url = url:gsub("//", "//user:pass@") .. "/" },
      { url = url .. "/cut", accept = "any" },
    }
    for i, opts in ipairs(before) do
      opts.url = opts.url or url .. "/"
      http.request(opts)
      local again = ask({ url = url .. "/" })
      assert.same({ i, plain.head, "" }, { i, again.head, again.body })
    end
    server:stop()
  end)

  it_runs("keeps nothing of one that was stopped or canceled in the middle", function()
    local srv, url = help.listen(function(req)
      if req.path == "/slow" then
        task.sleep(20000)
      end
      return help.echo(req)
    end)
    local plain = ask({ url = url .. "/" }).headers
    for _ = 1, 3 do
      local t = task.spawn(http.request, { url = url .. "/slow", headers = { ["X-One"] = "1" } })
      assert.is_nil(http.request({ url = url .. "/slow", timeout = 50 }))
      t:cancel()
      pcall(t.wait, t)
      assert.same(plain, ask({ url = url .. "/" }).headers)
    end
    srv:close()
  end)
end)

describe("a connection", function()
  it_runs("is used again, by requests one after another and side by side", function()
    local server <close>, url = start()
    for _ = 1, 20 do
      assert.equal(1, ask({ url = url .. "/" }).connection)
    end
    local left, most, workers = 800, 0, {}
    for i = 1, 40 do
      workers[i] = function()
        while left > 0 do
          left = left - 1
          most = math.max(most, ask({ url = url .. "/" }).connection)
        end
      end
    end
    async.all(workers)
    assert.is_true(most <= 60, most .. " connections for 40 requests at a time")
    server:stop()
  end)

  it_runs("that its server closed while nobody used it costs the next request nothing", function()
    local server <close>, url = start()
    local last = 0
    for i = 1, 20 do
      local got = ask({ url = url .. "/close" })
      assert.is_true(got.connection > last)
      last = got.connection
      if i % 2 == 0 then
        task.sleep(5) -- the loop sees the end of the kept connection
        -- and its number goes to a file of another kind, which is waited for as well
        assert.equal("x\n", assert(exec.run({ "echo", "x" })).stdout)
      end
    end
    server:stop()
  end)

  it_runs("that dies under a request is replaced, however often that happens", function()
    local server <close>, url = start()
    for _ = 1, 20 do
      assert.equal("GET /once HTTP/1.1", ask({ url = url .. "/once" }).head[1])
    end
    server:stop()
  end)

  it("that is kept is nothing to wait for", function()
    local script = fs.tempdir({ prefix = "pai-http" }) .. "/idle.lua"
    fs.write(
      script,
      [[
local http, task = require("pai.http"), require("pai.task")
task.run(function()
  assert(http.request({ url = arg[1] .. "/" }))
end)
-- nothing can end this wait: it has to be an error and not a wait for ever
local ok, err = pcall(task.run, function()
  task.event():wait()
end)
pai.out.stdout(tostring(ok) .. " " .. tostring(err))
]]
    )
    local out
    task.run(function()
      local server <close>, url = start()
      out = assert(exec.run({ pai.exe, "lua", script, url }, { timeout = "60s" }))
      server:stop()
    end)
    assert.matches("^false .*deadlock", out.stdout)
    fs.remove(fs.dirname(script), { recursive = true })
  end)
end)
