local exec = require("pai.exec")
local fs = require("pai.fs")
local http = require("pai.http")
local json = require("pai.json")
local serve = require("pai.serve")
local task = require("pai.task")

local function listen(handler, opts)
  opts = opts or {}
  opts.handler = handler
  local srv = assert(serve.listen(opts))
  local url = opts.unix and "http://localhost" or "http://127.0.0.1:" .. srv:port()
  return srv, url
end

-- Sends bytes as they stand and gives all that came back. How long to wait for it: ms.
local function raw(port, bytes, ms)
  local script = ([[exec 3<>/dev/tcp/127.0.0.1/%d; cat >&3; timeout %.1f cat <&3; true]]):format(
    port,
    (ms or 500) / 1000
  )
  return assert(exec.run({ "bash", "-c", script }, { stdin = bytes, timeout = "20s" })).stdout
end

-- Calls fn until it gives true, for at most 5 s.
local function eventually(fn)
  for _ = 1, 250 do
    if fn() then
      return true
    end
    task.sleep(20)
  end
  return false
end

local function describe_in_tasks(name, body)
  describe(name, function()
    local in_task = function(title, fn)
      it(title, function()
        task.run(fn)
      end)
    end
    body(in_task)
  end)
end

describe_in_tasks("a request", function(it_runs)
  it_runs("arrives with everything in it", function()
    local seen
    local srv, url = listen(function(req)
      seen = req
      return { body = "ok" }
    end)
    assert(http.request({
      url = url .. "/a%20b/%2Fc?x=1&x=2&y=%26+%c3%a9&flag&=v&bad=%zz",
      method = "PUT",
      body = "bytes\0\255",
      headers = { ["X-Two"] = { "1", "2" }, ["Content-Type"] = "x/y" },
    }))
    assert.equal("PUT", seen.method)
    assert.equal("/a b//c", seen.path)
    assert.same(
      { x = { "1", "2" }, y = { "& é" }, flag = { "" }, [""] = { "v" }, bad = { "%zz" } },
      seen.query
    )
    assert.equal("bytes\0\255", seen.body)
    assert.equal("1, 2", seen.headers["x-two"])
    assert.equal("x/y", seen.headers["content-type"])
    assert.is_false(seen.gone())
    srv:close()
  end)

  it_runs("gets the answer that the handler returns", function()
    local srv, url = listen(function(req)
      return ({
        ["/text"] = { body = "text" },
        ["/json"] = { json = { list = json.array({}) }, status = 201 },
        ["/head"] = { headers = { ["X-A"] = { "1", "2" }, ["Content-Type"] = "a/b" }, body = "x" },
        ["/empty"] = { status = 204 },
        ["/moved"] = { status = 302, headers = { location = "/text" } },
      })[req.path]
    end)
    local r = assert(http.request({ url = url .. "/text" }))
    assert.same(
      { 200, "text", "text/plain; charset=utf-8" },
      { r.status, r.body, r.headers["content-type"] }
    )
    r = assert(http.request({ url = url .. "/json" }))
    assert.same(
      { 201, '{"list":[]}', "application/json" },
      { r.status, r.body, r.headers["content-type"] }
    )
    r = assert(http.request({ url = url .. "/head" }))
    assert.same({ "1, 2", "a/b" }, { r.headers["x-a"], r.headers["content-type"] })
    r = assert(http.request({ url = url .. "/empty" }))
    assert.same({ 204, "" }, { r.status, r.body })
    r = assert(http.request({ url = url .. "/text", method = "HEAD" }))
    assert.same({ "", "4" }, { r.body, r.headers["content-length"] })
    assert.equal("text", assert(http.request({ url = url .. "/moved", follow = 1 })).body)
    srv:close()
  end)

  it_runs("gets a 500 when the handler fails, in whatever way", function()
    local cases = {
      ["/string"] = {
        function()
          error("went wrong", 0)
        end,
        "went wrong",
      },
      ["/table"] = {
        function()
          error({ code = "EX", message = "as a table" })
        end,
        "as a table",
      },
      ["/number"] = {
        function()
          error(setmetatable({}, {}))
        end,
        "table",
      },
      ["/nothing"] = { function() end, "must return an answer" },
      ["/key"] = {
        function()
          return { sttus = 1 }
        end,
        "unknown option 'sttus'",
      },
      ["/status"] = {
        function()
          return { status = 99 }
        end,
        "status must be",
      },
      ["/both"] = {
        function()
          return { body = "", json = {} }
        end,
        "either a body or json",
      },
      ["/header"] = {
        function()
          return { headers = { a = "x\r\ny: z" } }
        end,
        "cannot be sent",
      },
      ["/json"] = {
        function()
          return { json = print }
        end,
        "cannot encode",
      },
      ["/stream"] = {
        function()
          return { stream = "x" }
        end,
        "stream must be a function",
      },
    }
    local srv, url = listen(function(req)
      return cases[req.path][1]()
    end)
    for path, case in pairs(cases) do
      local r = assert(http.request({ url = url .. path, accept = { 500 } }))
      local message = assert(r.json()).message
      assert.matches("^Internal server error: ", message)
      assert.is_truthy(message:find(case[2], 1, true), message)
    end
    srv:close()
  end)

  it_runs("runs its handler in a task of its own", function()
    local running, most = 0, 0
    local srv, url = listen(function()
      running = running + 1
      most = math.max(most, running)
      task.sleep(100)
      running = running - 1
      return { body = "done" }
    end)
    local tasks = {}
    for i = 1, 20 do
      tasks[i] = task.spawn(http.request, { url = url })
    end
    for _, t in ipairs(tasks) do
      assert.equal("done", assert(t:wait()).body)
    end
    assert.equal(20, most)
    srv:close()
  end)

  it_runs("comes through among 500 at once", function()
    local srv, url = listen(function(req)
      task.sleep(#req.path % 3)
      return { json = { path = req.path } }
    end)
    local tasks = {}
    for i = 1, 500 do
      tasks[i] = task.spawn(http.request, { url = url .. "/" .. i })
    end
    for i = 1, 500 do
      local r, err = tasks[i]:wait()
      assert.equal("/" .. i, r and r.json().path, err and err.message)
    end
    srv:close()
  end)

  it_runs("is refused when its body is too large, with and without a length", function()
    local calls = 0
    local srv, url = listen(function(req)
      calls = calls + 1
      return { body = tostring(#req.body) }
    end, { max_body = 1000 })
    assert.equal("1000", assert(http.request({ url = url, body = ("x"):rep(1000) })).body)
    local r, err = http.request({ url = url, body = ("x"):rep(1001) })
    assert.is_nil(r)
    assert.equal(413, err.status)
    assert.matches("too large", json.decode(err.body).message)
    local chunk = "3e8\r\n" .. ("x"):rep(1000) .. "\r\n"
    local head = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    local text = raw(srv:port(), head .. chunk .. chunk .. "0\r\n\r\n")
    assert.matches("^HTTP/1.1 413 ", text)
    text = raw(srv:port(), head .. chunk .. "0\r\n\r\n")
    assert.matches("^HTTP/1.1 200 .*1000$", text)
    assert.equal(2, calls)
    srv:close()
  end)

  it_runs("may follow another on the same connection, also before its answer", function()
    local srv = listen(function(req)
      task.sleep(req.path == "/1" and 100 or 1)
      return { body = req.path .. req.body .. "\n" }
    end)
    local text = raw(
      srv:port(),
      "GET /1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        .. "POST /2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
        .. "GET /3 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
      2000
    )
    assert.matches("/1\n.*/2abc\n.*/3\n$", text)
    local _, answers = text:gsub("HTTP/1.1 200 OK", "")
    assert.equal(3, answers)
    srv:close()
  end)

  it_runs("that is no HTTP does not hurt", function()
    local srv, url = listen(function()
      return { body = "fine" }
    end)
    assert.is_nil(raw(srv:port(), "nonsense\r\n\r\n", 200):find(" 200 ", 1, true))
    assert.matches("^HTTP/1.1 400", raw(srv:port(), "GET / HTTP/1.1\r\n\r\n", 200)) -- no Host
    raw(
      srv:port(),
      "GET / HTTP/1.1\r\nHost: localhost\r\nX: " .. ("y"):rep(200000) .. "\r\n\r\n",
      200
    )
    raw(srv:port(), "\0\255\22\3\1", 200)
    raw(srv:port(), "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc", 200)
    assert.equal("fine", assert(http.request({ url = url })).body)
    srv:close()
  end)
end)

describe_in_tasks("a stream", function(it_runs)
  it_runs("is sent as it is written", function()
    local pieces = {}
    local srv, url = listen(function()
      return {
        headers = { ["Content-Type"] = "application/x-ndjson" },
        stream = function(w)
          -- What was written is there before the next is: 20 s for a slow machine.
          for i = 1, 3 do
            assert.is_true(w:write(i .. "\n"))
            for _ = 1, 4000 do
              if #pieces >= i then
                break
              end
              task.sleep(5)
            end
          end
        end,
      }
    end)
    local r = assert(http.request({
      url = url,
      on_data = function(chunk)
        pieces[#pieces + 1] = chunk
      end,
    }))
    assert.same({ "1\n", "2\n", "3\n" }, pieces)
    assert.equal("application/x-ndjson", r.headers["content-type"])
    srv:close()
  end)

  it_runs("makes its writer wait for a slow reader, and loses nothing", function()
    local written, ahead = 0, 0
    local srv, url = listen(function()
      return {
        stream = function(w)
          local piece = ("x"):rep(65536)
          for _ = 1, 400 do
            assert(w:write(piece))
            written = written + #piece
          end
        end,
      }
    end)
    local read = 0
    assert(http.request({
      url = url,
      on_data = function(chunk)
        read = read + #chunk
        task.sleep(read < 4000000 and 10 or 0)
        ahead = math.max(ahead, written - read)
      end,
    }))
    assert.equal(400 * 65536, read)
    -- the buffers of both ends and of the kernel, far from all of it
    assert.is_true(ahead < 400 * 65536 / 2, ahead)
    srv:close()
  end)

  it_runs("is cut off when its function fails, so that the client sees it", function()
    local srv, url = listen(function()
      return {
        stream = function(w)
          w:write("half")
          error("no more")
        end,
      }
    end)
    local r, err = http.request({ url = url })
    assert.is_nil(r)
    assert.equal("ENETWORK", err.code)
    srv:close()
  end)

  it_runs("notices within two seconds that its client is gone, also when idle", function()
    local gone_after, write_result, write_code
    local left
    local srv, url = listen(function()
      return {
        stream = function(w)
          w:write("hello")
          while not w:gone() do
            task.sleep(20)
          end
          gone_after = task.now() - left
          local err
          write_result, err = w:write("more")
          write_code = err.code
        end,
      }
    end)
    assert(http.request({
      url = url,
      on_data = function()
        return false
      end,
    }))
    left = task.now()
    assert.is_true(eventually(function()
      return write_code
    end))
    assert.is_true(gone_after <= 2000, gone_after)
    assert.is_nil(write_result)
    assert.equal("EPIPE", write_code)
    srv:close()
  end)

  it_runs("frees a writer that waits for a client that has gone", function()
    local result
    local srv, url = listen(function()
      return {
        stream = function(w)
          local ok, err
          repeat
            ok, err = w:write(("x"):rep(100000))
          until not ok
          result = err.code
        end,
      }
    end)
    local t = task.spawn(http.request, {
      url = url,
      on_data = function()
        task.sleep("1m")
      end,
    })
    task.sleep(200)
    assert.is_nil(result)
    t:cancel()
    assert.is_true(eventually(function()
      return result
    end))
    assert.equal("EPIPE", result)
    srv:close()
  end)
end)

describe_in_tasks("a client that goes while the handler runs", function(it_runs)
  it_runs("is noticed by gone() and the server goes on", function()
    local noticed
    local srv, url = listen(function(req)
      if req.path == "/fine" then
        return { body = "fine" }
      end
      noticed = eventually(req.gone)
      return { body = "for nobody" }
    end)
    for _, opts in ipairs({ { timeout = 100 }, { timeout = 100, body = "x" } }) do
      noticed = nil
      opts.url = url
      local _, err = http.request(opts)
      assert.equal("ETIMEDOUT", err.code)
      assert.is_true(eventually(function()
        return noticed ~= nil
      end))
      assert.is_true(noticed)
    end
    assert.equal("fine", assert(http.request({ url = url .. "/fine" })).body)
    srv:close()
  end)
end)

describe_in_tasks("a server", function(it_runs)
  local dir

  before_each(function()
    dir = fs.tempdir({ prefix = "pai-serve" })
  end)

  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  local function hello()
    return { body = "hello" }
  end

  it_runs("checks Host and Origin on TCP", function()
    local srv, url =
      listen(hello, { hosts = { "box.example" }, origins = { "https://ui.example" } })
    local port = srv:port()
    local function status(headers)
      return assert(http.request({ url = url, headers = headers, accept = "any" })).status
    end
    local good = { "localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:80", "box.example:8" }
    for _, host in ipairs(good) do
      assert.equal(200, status({ Host = host }), host)
    end
    for _, host in ipairs({
      "evil.example",
      "localhost.evil.example",
      "127.0.0.1.evil",
      "[::2]",
      "localhost:x",
      "a:localhost",
    }) do
      assert.equal(403, status({ Host = host }), host)
    end
    for _, origin in ipairs({
      "http://localhost:" .. port,
      "https://ui.example",
      "http://box.example",
    }) do
      assert.equal(200, status({ Origin = origin }), origin)
    end
    for _, origin in ipairs({
      "http://localhost:1",
      "null",
      "http://evil.example",
      "https://localhost:" .. port,
    }) do
      assert.equal(403, status({ Origin = origin }), origin)
    end
    srv:close()
  end)

  it_runs("listens beyond loopback only when told, and then needs names", function()
    for _, host in ipairs({ "0.0.0.0", "::", "192.0.2.1" }) do
      local srv, err = serve.listen({ host = host, handler = hello })
      assert.is_nil(srv)
      assert.equal("EACCES", err.code)
    end
    local srv, err = serve.listen({ host = "example.org", handler = hello })
    assert.is_nil(srv)
    assert.equal("EINVAL", err.code)
    assert.error_matches(function()
      serve.listen({ host = "0.0.0.0", allow_remote = true, handler = hello })
    end, "needs 'hosts'")
    local r = listen(hello, { host = "127.0.0.2" })
    assert.equal(
      "hello",
      assert(
        http.request({ url = "http://127.0.0.2:" .. r:port(), headers = { Host = "localhost" } })
      ).body
    )
    r:close()
  end)

  it_runs("says that a port is taken", function()
    local first = listen(hello)
    local srv, err = serve.listen({ port = first:port(), handler = hello })
    assert.is_nil(srv)
    assert.equal("EADDRINUSE", err.code)
    first:close()
  end)

  it_runs("listens on a unix socket of mode 0600, and takes its file away", function()
    local path = fs.join(dir, "s")
    local srv, url = listen(hello, { unix = path })
    assert.equal(384, fs.stat(path).mode & 511)
    assert.equal("hello", assert(http.request({ url = url, unix_socket = path })).body)
    assert.equal(
      "hello",
      assert(http.request({ url = "http://any.name/", unix_socket = path })).body
    )
    local second, err = serve.listen({ unix = path, handler = hello })
    assert.is_nil(second)
    assert.equal("EADDRINUSE", err.code)
    srv:close()
    assert.is_false(fs.exists(path))
    assert.same({}, fs.list(dir))
  end)

  it_runs("replaces a socket that nobody listens on, and nothing else", function()
    local path = fs.join(dir, "s")
    local code = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"
    assert(exec.run({ "/usr/bin/python3", "-c", code, path }))
    assert.is_true(fs.exists(path))
    local srv, url = listen(hello, { unix = path })
    assert.equal("hello", assert(http.request({ url = url, unix_socket = path })).body)
    -- somebody else's socket in the place of ours stays
    fs.remove(path)
    assert(exec.run({ "/usr/bin/python3", "-c", code, path }))
    srv:close()
    assert.is_true(fs.exists(path))
    fs.remove(path)
    fs.write(path, "a file")
    local none, err = serve.listen({ unix = path, handler = hello })
    assert.is_nil(none)
    assert.equal("EEXIST", err.code)
    assert.equal("a file", fs.read(path))
  end)

  it_runs(
    "says that a path is too long for a unix socket, and where a folder is missing",
    function()
      local srv, err = serve.listen({ unix = fs.join(dir, ("x"):rep(120)), handler = hello })
      assert.is_nil(srv)
      assert.equal("ENAMETOOLONG", err.code)
      assert.matches("at most 107", err.message)
      srv, err = serve.listen({ unix = fs.join(dir, "none", "s"), handler = hello })
      assert.is_nil(srv)
      assert.equal("ENOENT", err.code)
    end
  )

  it_runs("answers its own user only, when told so", function()
    if select(2, fs.user()) ~= 0 then
      pending("needs root to become another user")
      return
    end
    local path = fs.join(dir, "s")
    local srv, url = listen(hello, { unix = path, same_uid = true })
    local tcp, tcp_url = listen(hello, { same_uid = true })
    local six = serve.listen({ host = "::1", same_uid = true, handler = hello })
    assert.equal("hello", assert(http.request({ url = url, unix_socket = path })).body)
    assert.equal("hello", assert(http.request({ url = tcp_url })).body)
    fs.chmod(path, 511)
    fs.chmod(dir, 493)
    local function as_nobody(...)
      local argv =
        { "setpriv", "--reuid=65534", "--clear-groups", "curl", "-s", "--noproxy", "*", ... }
      return assert(exec.run(argv, { accept = { 0, 7 } })).stdout
    end
    local root = select(2, fs.user()) == 0 -- who alone can become another user
    if root then
      assert.matches("own user only", as_nobody("--unix-socket", path, url))
      assert.matches("own user only", as_nobody(tcp_url))
    end
    if six then
      local six_url = ("http://[::1]:%d"):format(six:port())
      assert.equal("hello", assert(http.request({ url = six_url })).body)
      assert.is_truthy(not root or as_nobody(six_url):find("own user only", 1, true))
      six:close()
    end
    srv:close()
    tcp:close()
  end)

  it_runs("ends on close: what runs is cancelled and answered, then nobody listens", function()
    local canceled
    local srv, url = listen(function()
      local ok, err = pcall(task.sleep, "1m")
      canceled = not ok and err.code
      error(err)
    end)
    local t = task.spawn(http.request, { url = url })
    task.sleep(50)
    local start = task.now()
    srv:close()
    assert.is_true(task.now() - start < 30000) -- of a minute
    assert.equal("ECANCELED", canceled)
    local r, err = t:wait()
    assert.is_nil(r)
    assert.equal(503, err.status)
    r, err = http.request({ url = url })
    assert.is_nil(r)
    assert.equal("ECONNREFUSED", err.errno)
    srv:close()
    assert.error(function()
      srv:port()
    end)
  end)

  it_runs("lets requests end first when close is given time", function()
    local srv, url = listen(function()
      task.sleep(150)
      return { body = "done" }
    end)
    local t = task.spawn(http.request, { url = url })
    task.sleep(50)
    srv:close({ drain = "5s" })
    assert.equal("done", assert(t:wait()).body)
  end)

  it_runs("ends also with a handler that will not, and with open streams", function()
    local srv, url = listen(function(req)
      if req.path == "/stubborn" then
        task.shield(task.sleep, "12s")
        return { body = "late" }
      end
      return {
        stream = function(w)
          while w:write("tick") do
            task.sleep(20)
          end
        end,
      }
    end)
    local a = task.spawn(http.request, { url = url .. "/stubborn" })
    local b = task.spawn(http.request, { url = url .. "/stream" })
    task.sleep(100)
    local start = task.now()
    srv:close()
    assert.is_true(task.now() - start < 10000)
    assert.equal("ENETWORK", select(2, a:wait()).code)
    assert.is_nil((b:wait()))
  end)

  it_runs("can be closed by its own handler, whose answer still goes out", function()
    local srv, url
    srv, url = listen(function()
      srv:close({ drain = "2s" })
      return { body = "bye" }
    end)
    assert.equal("bye", assert(http.request({ url = url })).body)
    assert.is_true(eventually(function()
      return not pcall(srv.port, srv)
    end))
  end)

  it_runs("leaves no descriptor behind", function()
    local function count()
      return #fs.list("/proc/self/fd")
    end
    local warm = listen(hello)
    http.request({ url = "http://127.0.0.1:" .. warm:port() })
    warm:close()
    local before = count()
    for i = 1, 20 do
      local srv, url = listen(hello, i % 2 == 0 and { unix = fs.join(dir, "s") } or {})
      http.request({ url = url, unix_socket = i % 2 == 0 and fs.join(dir, "s") or nil })
      srv:close()
    end
    -- libcurl may keep a few idle connections
    assert.is_true(count() - before < 10, count() - before)
  end)

  it("raises for the caller's mistakes", function()
    for what, opts in pairs({
      ["'handler' must be a function"] = {},
      ["unknown option 'prot'"] = { handler = hello, prot = 1 },
      ["option 'port'"] = { handler = hello, port = 70000 },
      ["option 'hosts'"] = { handler = hello, hosts = { 1 } },
    }) do
      local ok, err = pcall(serve.listen, opts)
      assert.is_false(ok)
      assert.is_truthy(tostring(err):find(what, 1, true), err)
    end
  end)
end)
