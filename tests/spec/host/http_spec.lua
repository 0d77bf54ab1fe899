local crypto = require("pai.crypto")
local fs = require("pai.fs")
local http = require("pai.http")
local json = require("pai.json")
local task = require("pai.task")

local help = assert(loadfile(pai.root .. "/tests/spec/host/http_help.lua", "t", _ENV))()
local echo = help.echo
local failure = help.failure
local it_runs = help.it_runs
local listen = help.listen
local new_secret = help.new_secret
local raw_server = help.raw_server

describe("a request's options", function()
  it_runs("make the request", function()
    local srv, url = listen(function(req)
      local answer = echo(req)
      answer.json.query = req.query
      return answer
    end)
    local r = assert(http.request({
      url = url .. "/p?z=1#fragment",
      query = { b = { "1", "x y&=" }, a = true, n = 2 },
      headers = { ["X-List"] = { "1", "2" }, ["X-Empty"] = "", ["X-N"] = 5 },
    }))
    local seen = r.json()
    assert.equal("GET", seen.method)
    assert.same({ z = { "1" }, a = { "true" }, b = { "1", "x y&=" }, n = { "2" } }, seen.query)
    assert.equal("1, 2", seen.headers["x-list"])
    assert.equal("", seen.headers["x-empty"])
    assert.equal("5", seen.headers["x-n"])
    assert.equal("pai", seen.headers["user-agent"])
    assert.is_nil(seen.headers["content-type"])
    seen = assert(http.request({ url = url, json = { a = { 1, json.null } } })).json()
    assert.same({ "POST", '{"a":[1,null]}' }, { seen.method, seen.body })
    assert.equal("application/json", seen.headers["content-type"])
    seen = assert(http.request({ url = url, method = "PUT", body = "" })):json()
    assert.same({ "PUT", "0" }, { seen.method, seen.headers["content-length"] })
    assert.is_nil(seen.headers["content-type"])
    assert.is_nil(seen.headers["expect"])
    for _, method in ipairs({ "DELETE", "PATCH", "OPTIONS" }) do
      assert.equal(method, assert(http.request({ url = url, method = method })).json().method)
    end
    seen = assert(http.request({ url = url, method = "DELETE", body = "b" })).json()
    assert.same({ "DELETE", "b" }, { seen.method, seen.body })
    srv:close()
  end)

  it_runs("that are wrong raise", function()
    local url = "http://127.0.0.1:1/"
    local key = new_secret("a secret value")
    for what, opts in pairs({
      ["option 'url' is missing"] = {},
      ["unknown option 'tiemout'"] = { url = url, tiemout = 1 },
      ["no name of a header"] = { url = url, headers = { ["a b"] = "c" } },
      ["has a line end"] = { url = url, headers = { a = "b\r\nc: d" } },
      ["must be a string or a secret"] = { url = url, headers = { a = {} and print } },
      ["'json' and 'body' exclude"] = { url = url, json = {}, body = "" },
      ["'on_data' and 'output' exclude"] = { url = url, on_data = print, output = "x" },
      ["a secret cannot be part of a URL"] = { url = url, query = { a = key } },
      ["in capitals"] = { url = url, method = "get" },
      ["option 'accept'"] = { url = url, accept = 404 },
      ["option 'basic' must be"] = { url = url, basic = "u:p" },
      ["exclude each other"] = { url = url, bearer = key, headers = { authorization = "x" } },
      ["option 'timeout'"] = { url = url, timeout = "soon" },
      ["option 'retries'"] = { url = url, retries = -1 },
    }) do
      local ok, err = pcall(http.request, opts)
      assert.is_false(ok, what)
      assert.is_truthy(tostring(err):find(what, 1, true), tostring(err))
    end
  end)

  it_runs("that a user got wrong are an error value", function()
    for _, url in ipairs({ "", "x", "ftp://h/", "file:///etc/passwd", "http://", "http://a b/" }) do
      assert.equal("EINVAL", failure({ url = url }).code, url)
    end
    local err = failure({ url = "http://h/", unix_socket = fs.join(help.dir, ("x"):rep(120)) })
    assert.equal("ENAMETOOLONG", err.code)
    err = failure({ url = "http://h/", unix_socket = fs.join(help.dir, "none") })
    assert.same({ "ENETWORK", "ENOENT", true }, { err.code, err.errno, err.retryable })
    assert.matches(fs.join(help.dir, "none"), err.message, 1, true)
    err = failure({ url = "http://no-such-host.invalid/", proxy = "" })
    assert.same({ "ENETWORK", true }, { err.code, err.retryable })
  end)

  it_runs("carry secrets in headers and bodies without showing them", function()
    local value = crypto.hex(16)
    local key = new_secret(value)
    local seen
    local srv, url = listen(function(req)
      seen = req
      return { status = 500, body = "no" }
    end)
    local err =
      failure({ url = url, bearer = key, body = key, headers = { ["X-Key"] = { key, "b" } } })
    assert.equal("Bearer " .. value, seen.headers.authorization)
    assert.equal(value, seen.body)
    assert.equal(value .. ", b", seen.headers["x-key"])
    assert.is_nil(err.message:find(value, 1, true))
    failure({ url = url, basic = { "user", key } })
    assert.equal("Basic " .. crypto.base64_encode("user:" .. value), seen.headers.authorization)
    err = failure({ url = "http://user:" .. value .. "@127.0.0.1:1/" .. value .. "?t=" .. value })
    assert.is_nil(err.message:find(value, 1, true))
    assert.matches("http://***@127.0.0.1:1/***:", err.message, 1, true)
    assert.is_nil(err.message:find("user", 1, true))
    srv:close()
  end)
end)

describe("an answer", function()
  it_runs("that was not asked for is an error with all of it", function()
    local srv, url = listen(function(req)
      return {
        status = tonumber(req.path:sub(2)),
        body = '{"message":"m"}',
        headers = { ["X-A"] = "b" },
      }
    end)
    for status, retryable in pairs({
      [404] = false,
      [500] = false,
      [429] = true,
      [503] = true,
      [304] = false,
    }) do
      local err = failure({ url = url .. "/" .. status .. "?token=abc" })
      assert.same({ "EHTTP", status, retryable }, { err.code, err.status, err.retryable })
      assert.equal("b", err.headers["x-a"])
      assert.equal(status ~= 304 and '{"message":"m"}' or "", err.body)
      assert.equal(
        "GET " .. url .. "/" .. status .. ": the server answered " .. status,
        err.message
      )
    end
    assert.equal(404, assert(http.request({ url = url .. "/404", accept = { 404, 409 } })).status)
    assert.equal(503, assert(http.request({ url = url .. "/503", accept = "any" })).status)
    assert.equal("EHTTP", failure({ url = url .. "/410", accept = { 404 } }).code)
    srv:close()
  end)

  it_runs("has lower-case headers, several of one name joined", function()
    local url, proc = raw_server({
      "HTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:  2 \r\nSet-Cookie: a=1, x\r\nSet-Cookie: b=2\r\n",
      "Content-Length: 2\r\n\r\nok",
    })
    local r = assert(http.request({ url = url }))
    assert.equal("1, 2", r.headers["x-a"])
    assert.equal("a=1, x\nb=2", r.headers["set-cookie"])
    assert.is_nil(r.headers["x-interim"])
    assert.equal("ok", r.body)
    local value, err = r:json()
    assert.is_nil(value)
    assert.equal("EPARSE", err.code)
    proc:kill("KILL")
  end)

  it_runs("that is cut off or no HTTP is an error, never a short success", function()
    for what, pieces in pairs({
      length = { "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc" },
      chunked = { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" },
      chunk = { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n30\r\nabc" },
      head = { "HTTP/1.1 200 OK\r\nContent-Le" },
      nothing = { "" },
      garbage = { "SSH-2.0-OpenSSH_9.2\r\n" },
      bad_chunk = { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc" },
    }) do
      local url, proc = raw_server(pieces)
      local out = { output = fs.join(help.dir, "out") }
      for _, opts in ipairs({ {}, out, { on_data = function() end } }) do
        opts.url = url
        local err = failure(opts)
        assert.is_truthy(
          err.code == "ENETWORK" or err.code == "EPROTO",
          what .. ": " .. err.message
        )
      end
      assert.is_false(fs.exists(fs.join(help.dir, "out")), what)
      proc:kill("KILL")
    end
    for _, name in ipairs(fs.list(help.dir)) do
      assert.is_nil(name:find("part", 1, true), name)
    end
  end)

  it_runs("over max_body is refused, at the byte", function()
    local srv, url = listen(function()
      return { body = ("x"):rep(1000) }
    end)
    assert.equal(1000, #assert(http.request({ url = url, max_body = 1000 })).body)
    local err = failure({ url = url, max_body = 999 })
    assert.equal("ELIMIT", err.code)
    assert.is_false(err.retryable)
    srv:close()
    local long = "HTTP/1.1 200 OK\r\n" .. ("X-Y: " .. ("z"):rep(1000) .. "\r\n"):rep(2000) .. "\r\n"
    local raw, proc = raw_server({ long })
    assert.is_string(failure({ url = raw }).code)
    proc:kill("KILL")
  end)

  it_runs("is waited for until the one deadline, however it comes", function()
    local cases = {
      { {}, 0 },
      { { "HTTP/1.1 200 OK\r\n", "X: 1\r\n", "X: 2\r\n", "X: 3\r\n", "X: 4\r\n" }, 0.15 },
      { { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "a", "b", "c", "d", "e" }, 0.15 },
    }
    for _, case in ipairs(cases) do
      local url, proc =
        raw_server(#case[1] > 0 and case[1] or { "" }, #case[1] > 0 and case[2] or 5)
      local start = task.now()
      local err = failure({ url = url, timeout = 300 })
      local took = task.now() - start
      assert.equal("ETIMEDOUT", err.code)
      assert.is_true(err.retryable)
      assert.matches("within 300 ms", err.message)
      assert.is_true(took >= 300 and took < 4500, took)
      proc:kill("KILL")
    end
  end)

  it_runs("goes to a file whole or not at all", function()
    local srv, url = listen(function(req)
      if req.path == "/cut" then
        return {
          stream = function(w)
            w:write("half")
            error("cut")
          end,
        }
      end
      return {
        status = req.path == "/404" and 404 or 200,
        body = req.path == "/empty" and "" or "content",
      }
    end)
    local out = fs.join(help.dir, "out")
    fs.write(out, "before")
    local err = failure({ url = url .. "/404", output = out })
    assert.same({ 404, "content" }, { err.status, err.body })
    failure({ url = url .. "/cut", output = out })
    assert.equal("before", fs.read(out))
    local r = assert(http.request({ url = url, output = out }))
    assert.is_nil(r.body)
    assert.equal("content", fs.read(out))
    assert(http.request({ url = url .. "/empty", output = out }))
    assert.equal("", fs.read(out))
    assert.same({ "out" }, fs.list(help.dir))
    err = failure({ url = url, output = fs.join(help.dir, "none", "out") })
    assert.equal("ENOENT", err.code)
    assert.error(function()
      return r:json()
    end)
    srv:close()
  end)
end)

describe("on_data", function()
  it_runs("gets the body in the calling task and may wait, fail or end it", function()
    local srv, url = listen(function(req)
      if req.path == "/404" then
        return { status = 404, body = "none" }
      end
      return {
        stream = function(w)
          for i = 1, 5 do
            if not w:write(i .. ",") then
              return
            end
            task.sleep(20)
          end
        end,
      }
    end)
    local got = {}
    local r = assert(http.request({
      url = url,
      on_data = function(chunk)
        task.sleep(5)
        got[#got + 1] = chunk
      end,
    }))
    assert.equal("1,2,3,4,5,", table.concat(got))
    assert.is_nil(r.body)
    local calls = 0
    r = assert(http.request({
      url = url,
      on_data = function()
        calls = calls + 1
        return false
      end,
    }))
    assert.same({ 200, 1 }, { r.status, calls })
    local ok, err = pcall(http.request, {
      url = url,
      on_data = function()
        error("mine", 0)
      end,
    })
    assert.same({ false, "mine" }, { ok, err })
    err = failure({ url = url .. "/404", on_data = error })
    assert.equal("none", err.body)
    srv:close()
  end)

  it_runs("holds the sender back while it waits", function()
    local written = 0
    local srv, url = listen(function()
      return {
        stream = function(w)
          for _ = 1, 500 do
            assert(w:write(("x"):rep(65536)))
            written = written + 65536
          end
        end,
      }
    end)
    local read, most = 0, 0
    assert(http.request({
      url = url,
      on_data = function(chunk)
        if read == 0 then
          task.sleep(400)
          most = written
        end
        read = read + #chunk
      end,
    }))
    assert.equal(500 * 65536, read)
    assert.is_true(most < 500 * 65536 / 2, most)
    srv:close()
  end)

  it_runs("is still under the deadline while it waits", function()
    local srv, url = listen(function()
      return {
        stream = function(w)
          while w:write(("x"):rep(1000)) do
            task.sleep(10)
          end
        end,
      }
    end)
    local err = failure({
      url = url,
      timeout = 200,
      on_data = function()
        task.sleep(60)
      end,
    })
    assert.equal("ETIMEDOUT", err.code)
    srv:close()
  end)

  it_runs("is called where a task cannot wait, too", function()
    local url, proc = raw_server({ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain" })
    local text
    -- in a comparator the loop turns below the caller, other tasks are held back
    table.sort({ 1, 2 }, function(a, b)
      text = ""
      assert(http.request({
        url = url,
        on_data = function(chunk)
          text = text .. chunk
        end,
      }))
      return a < b
    end)
    assert.equal("plain", text)
    proc:kill("KILL")
  end)

  it("is called outside any task, too", function()
    help.dir = fs.tempdir({ prefix = "pai-http" })
    local url, proc = raw_server({ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain" })
    assert.equal("plain", assert(http.request({ url = url })).body)
    proc:kill("KILL")
    fs.remove(help.dir, { recursive = true })
  end)
end)

describe("cancellation", function()
  it_runs("ends the transfer at once, and the server sees it", function()
    local gone
    local srv, url = listen(function()
      return {
        stream = function(w)
          while w:write("tick") do
            task.sleep(20)
          end
          gone = true
        end,
      }
    end)
    local t = task.spawn(http.request, { url = url })
    task.sleep(100)
    t:cancel()
    local ok, err = pcall(t.wait, t)
    assert.is_false(ok)
    assert.equal("ECANCELED", err.code)
    for _ = 1, 100 do
      if gone then
        break
      end
      task.sleep(20)
    end
    assert.is_true(gone)
    -- while it waits to try again
    t = task.spawn(http.request, { url = "http://127.0.0.1:1/", retries = 5, retry_wait = "1m" })
    task.sleep(50)
    t:cancel()
    assert.equal("ECANCELED", select(2, pcall(t.wait, t)).code)
    srv:close()
  end)

  it_runs("of many requests leaves nothing behind", function()
    local srv, url = listen(function()
      task.sleep("1m")
      return {}
    end)
    local tasks = {}
    for i = 1, 50 do
      tasks[i] = task.spawn(http.request, { url = url, output = fs.join(help.dir, "o" .. i) })
    end
    task.sleep(100)
    for _, t in ipairs(tasks) do
      t:cancel()
    end
    for _, t in ipairs(tasks) do
      assert.is_false(pcall(t.wait, t))
    end
    assert.same({}, fs.list(help.dir))
    srv:close()
  end)
end)
