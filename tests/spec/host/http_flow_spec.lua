local exec = require("pai.exec")
local fs = require("pai.fs")
local http = require("pai.http")
local json = require("pai.json")
local serve = require("pai.serve")
local task = require("pai.task")

local help = assert(loadfile(pai.root .. "/tests/spec/host/http_help.lua", "t", _ENV))()
local echo = help.echo
local failure = help.failure
local it_runs = help.it_runs
local listen = help.listen
local new_secret = help.new_secret

describe("retries", function()
  local function flaky(failures, status, headers)
    local calls, times = 0, {}
    local srv, url = listen(function()
      calls = calls + 1
      times[calls] = task.now()
      if calls <= failures then
        return { status = status, headers = headers, body = "later" }
      end
      return { body = "fine" }
    end)
    return srv, url, function()
      return calls
    end, times
  end

  it_runs("are made for methods that may be repeated, with longer and longer waits", function()
    local srv, url, calls, times = flaky(3, 503)
    local r = assert(http.request({ url = url, retries = 3, retry_wait = 40 }))
    assert.equal("fine", r.body)
    assert.equal(4, calls())
    assert.is_true(times[2] - times[1] >= 30 and times[4] - times[3] >= 120)
    srv:close()
    srv, url, calls = flaky(9, 503)
    assert.equal(503, failure({ url = url, retries = 2, retry_wait = 5, method = "DELETE" }).status)
    assert.equal(3, calls())
    srv:close()
  end)

  it_runs("are not made for others unless asked, nor for what will not change", function()
    local srv, url, calls = flaky(1, 503)
    assert.equal(503, failure({ url = url, body = "x", retries = 3, retry_wait = 5 }).status)
    assert.equal(1, calls())
    srv:close()
    srv, url, calls = flaky(1, 503)
    assert(http.request({ url = url, body = "x", retries = 3, retry_wait = 5, retry_any = true }))
    assert.equal(2, calls())
    srv:close()
    srv, url, calls = flaky(1, 404)
    assert.equal(404, failure({ url = url, retries = 3, retry_wait = 5 }).status)
    assert.equal(1, calls())
    srv:close()
    srv, url, calls = flaky(1, 503) -- an accepted status is an answer
    assert.equal(503, assert(http.request({ url = url, retries = 3, accept = "any" })).status)
    assert.equal(1, calls())
    srv:close()
  end)

  it_runs("are made for every method when the server cannot have seen the request", function()
    local probe = assert(serve.listen({ handler = echo }))
    local port = probe:port()
    probe:close()
    local t = task.spawn(http.request, {
      url = "http://127.0.0.1:" .. port,
      body = "x",
      retries = 20,
      retry_wait = 30,
    })
    task.sleep(100)
    local srv = assert(serve.listen({ handler = echo, port = port }))
    assert.equal("x", assert(t:wait()).json().body)
    srv:close()
  end)

  it_runs("wait as long as Retry-After says, but never past the deadline", function()
    local srv, url, _, times = flaky(1, 429, { ["Retry-After"] = "1" })
    assert(http.request({ url = url, retries = 1, retry_wait = 5 }))
    assert.is_true(times[2] - times[1] >= 1000)
    srv:close()
    local calls
    srv, url, calls = flaky(9, 429, { ["Retry-After"] = "60" })
    local start = task.now()
    assert.equal(429, failure({ url = url, retries = 3, retry_wait = 5, timeout = "50s" }).status)
    assert.is_true(task.now() - start < 25000) -- it does not wait for what can't be reached
    assert.equal(1, calls())
    srv:close()
  end)

  it_runs("are not made after on_data has seen a part", function()
    local calls = 0
    local srv, url = listen(function()
      calls = calls + 1
      return {
        stream = function(w)
          w:write("part")
          task.sleep(20)
          error("cut")
        end,
      }
    end)
    local seen = {}
    failure({
      url = url,
      retries = 3,
      retry_wait = 5,
      on_data = function(chunk)
        seen[#seen + 1] = chunk
      end,
    })
    assert.same({ 1, { "part" } }, { calls, seen })
    -- without on_data nobody has seen it
    failure({ url = url, retries = 2, retry_wait = 5 })
    assert.equal(4, calls)
    srv:close()
  end)
end)

describe("redirects", function()
  -- Two origins; /to?URL on either sends a client on with the status of the path.
  local function two_origins()
    local seen = {}
    local function handler(req)
      seen[#seen + 1] = req
      local status = tonumber(req.path:match("^/(%d+)$"))
      if status then
        return { status = status, headers = { location = req.query.to[1] } }
      end
      return echo(req)
    end
    local a, url_a = listen(handler)
    local b, url_b = listen(handler)
    return url_a, url_b, seen, function()
      a:close()
      b:close()
    end
  end

  it_runs("are followed only when asked, and not for ever", function()
    local a, b, seen, close = two_origins()
    local err = failure({ url = a .. "/302", query = { to = b .. "/x" } })
    assert.same({ 302, b .. "/x" }, { err.status, err.headers.location })
    local r = assert(http.request({ url = a .. "/302", query = { to = b .. "/x" }, follow = 1 }))
    assert.same({ "/x", b .. "/x" }, { r.json().path, r.url })
    r = assert(http.request({ url = a .. "/302", query = { to = "y?q=1" }, follow = 1 }))
    assert.equal(a .. "/y?q=1", r.url)
    local before = #seen
    -- an endless circle
    local srv, url = listen(function(req)
      seen[#seen + 1] = req
      return { status = 301, headers = { location = "/again" } }
    end)
    assert.equal(301, failure({ url = url, follow = 5 }).status)
    assert.equal(6, #seen - before)
    srv:close()
    close()
  end)

  it_runs("never carry credentials to another origin, nor back again", function()
    local a, b, seen, close = two_origins()
    local key = new_secret("the bearer token")
    local headers = {
      Cookie = "c=1",
      ["X-Api-Key"] = "k",
      ["X-Secret"] = key,
      Accept = "text/plain",
      ["X-Custom"] = "v",
    }
    local function run(to, opts)
      for i = #seen, 1, -1 do
        seen[i] = nil
      end
      opts.url, opts.query, opts.follow, opts.headers = a .. "/302", { to = to }, 3, headers
      assert(http.request(opts))
      return seen[#seen].headers
    end
    local same = run(a .. "/x", { bearer = key })
    assert.equal("Bearer the bearer token", same.authorization)
    assert.same({ "c=1", "k", "v" }, { same.cookie, same["x-api-key"], same["x-custom"] })
    for _, opts in ipairs({ { bearer = key }, { basic = { "u", key } } }) do
      local other = run(b .. "/x", opts)
      assert.is_nil(other.authorization)
      assert.is_nil(other.cookie)
      assert.is_nil(other["x-api-key"])
      assert.is_nil(other["x-secret"])
      assert.is_nil(other["x-custom"])
      assert.equal("text/plain", other.accept)
      local back = run(b .. "/302?to=" .. a .. "/x", opts)
      assert.equal(3, #seen)
      assert.is_nil(back.authorization)
      assert.is_nil(back.cookie)
    end
    -- another name for the same address is another origin
    assert.is_nil(run((a:gsub("127.0.0.1", "localhost")) .. "/x", { bearer = key }).authorization)
    -- a user in the new URL is the other server's wish, not the caller's
    assert.is_nil(run((b:gsub("//", "//u:p@")) .. "/x", {}).authorization)
    close()
  end)

  it_runs("keep method and body as the status says", function()
    local a, b, seen, close = two_origins()
    local function run(status, method, to)
      assert(http.request({
        url = a .. "/" .. status,
        query = { to = to },
        method = method,
        body = "b",
        follow = 1,
      }))
      return { seen[#seen].method, seen[#seen].body }
    end
    assert.same({ "GET", "" }, run(301, "POST", "/x"))
    assert.same({ "GET", "" }, run(302, "POST", b .. "/x"))
    assert.same({ "GET", "" }, run(303, "PUT", "/x"))
    assert.same({ "PUT", "b" }, run(302, "PUT", "/x"))
    assert.same({ "POST", "b" }, run(307, "POST", b .. "/x"))
    assert.same({ "POST", "b" }, run(308, "POST", "/x"))
    close()
  end)

  it_runs("to where they must not lead are refused", function()
    local a, b, _, close = two_origins()
    for _, to in ipairs({ "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/" }) do
      assert.equal(
        "EPROTO",
        failure({ url = a .. "/302", query = { to = to }, follow = 1 }).code,
        to
      )
    end
    local err = failure({ url = a .. "/302", query = { to = b .. "/x" }, follow = 3, stay = true })
    assert.same({ "EACCES", false }, { err.code, err.retryable })
    assert(http.request({ url = a .. "/302", query = { to = "/x" }, follow = 3, stay = true }))
    local key = new_secret("a secret body")
    err = failure({ url = a .. "/307", query = { to = b .. "/x" }, body = key, follow = 1 })
    assert.equal("EACCES", err.code)
    assert(http.request({ url = a .. "/307", query = { to = a .. "/x" }, body = key, follow = 1 }))
    local path = fs.join(help.dir, "s")
    local srv = assert(serve.listen({
      unix = path,
      handler = function(req)
        if req.path == "/away" then
          return { status = 302, headers = { location = b .. "/x" } }
        elseif req.path == "/here" then
          return { status = 302, headers = { location = "/x" } }
        end
        return { body = "here" }
      end,
    }))
    assert.equal("EACCES", failure({ url = "http://h/away", unix_socket = path, follow = 1 }).code)
    assert.equal(
      "here",
      assert(http.request({ url = "http://h/here", unix_socket = path, follow = 1 })).body
    )
    srv:close()
    close()
  end)
end)

describe("the environment", function()
  -- Runs requests in a pai of its own with this environment; gives what it printed as JSON.
  local function in_child(env, url, opts)
    local script = fs.join(help.dir, "run.lua")
    fs.write(
      script,
      [[
      local json = require("pai.json")
      local r, err = require("pai.http").request(json.decode(arg[1]))
      print(json.encode(r and { body = r.body } or { code = err.code, message = err.message }))
    ]]
    )
    opts.url = url
    local r =
      assert(exec.run({ pai.exe, "lua", script, json.encode(opts) }, { env = env, timeout = "1m" }))
    return assert(json.decode(r.stdout))
  end

  it_runs("gives no credentials from .netrc", function()
    local srv, url = listen(echo)
    fs.write(
      fs.join(help.dir, ".netrc"),
      "machine 127.0.0.1 login me password mine\n",
      { mode = 384 }
    )
    local r = in_child({ HOME = help.dir }, url, {})
    assert.is_nil(json.decode(r.body).headers.authorization)
    srv:close()
  end)

  it_runs("names the proxies, but not for loopback, and an option stands above it", function()
    local srv, proxy = listen(function(req)
      return { body = "proxied " .. req.path }
    end, { hosts = { "example.invalid" } })
    local direct, direct_url = listen(function()
      return { body = "direct" }
    end)
    local env = { http_proxy = proxy }
    local url = "http://example.invalid/x"
    assert.equal("proxied http://example.invalid/x", in_child(env, url, {}).body)
    assert.equal("ENETWORK", in_child(env, url, { proxy = "" }).code)
    assert.equal(
      "ENETWORK",
      in_child({ http_proxy = proxy, no_proxy = "example.invalid" }, url, {}).code
    )
    assert.equal("direct", in_child(env, direct_url, {}).body)
    assert.equal("proxied " .. url, in_child({ no_proxy = "*" }, url, { proxy = proxy }).body)
    srv:close()
    direct:close()
  end)
end)
