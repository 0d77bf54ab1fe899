-- Bodies that are parts of files, a secret behind the URL, and transfers that stall.
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local http = require("pai.http")

local help = assert(loadfile(pai.root .. "/tests/spec/host/http_help.lua", "t", _ENV))()
local echo = help.echo
local failure = help.failure
local it_runs = help.it_runs

local function path_of(name, text)
  local path = fs.join(help.dir, name)
  assert(fs.write(path, text))
  return path
end

-- Answers with the part of `text` that the Range header asks for.
local function ranges(text)
  return function(req)
    local from, to = (req.headers.range or ""):match("^bytes=(%d+)-(%d+)$")
    if not from then
      return { body = text }
    end
    return { status = 206, body = text:sub(from + 1, to + 1) }
  end
end

describe("a part of a file", function()
  it_runs("is sent as it is, with its length", function()
    local text = crypto.hex(300000)
    local path = path_of("data", text)
    local srv, url = help.listen(echo)
    local got = assert(
      http.request({ url = url, body_file = { path = path, offset = 100000, length = 200000 } })
    ):json()
    assert.same({ "PUT", "200000" }, { got.method, got.headers["content-length"] })
    assert.is_true(got.body == text:sub(100001, 300000))
    got = assert(http.request({ url = url, body_file = { path = path, length = 0 } })):json()
    assert.same({ "PUT", "0" }, { got.method, got.headers["content-length"] })
    srv:close()
  end)

  it_runs("is counted while it is under way", function()
    local seen, path = {}, path_of("data", "0123456789")
    local srv, url = help.listen(function(req)
      if req.method == "PUT" then
        seen[1] = http.under_way()
        return { status = 500 }
      end
      return {
        status = 206,
        stream = function(w)
          w:write("abc")
          while http.under_way() == 0 do
            require("pai.task").sleep(1)
          end
          seen[2] = http.under_way()
          error("cut off")
        end,
      }
    end)
    failure({ url = url, body_file = { path = path, length = 10 } })
    assert.equal(0, http.under_way())
    failure({ url = url, into = { path = path, offset = 2, length = 5 } })
    assert.same({ 10, 3 }, seen)
    assert.equal(0, http.under_way())
    srv:close()
  end)

  it_runs("that is shorter than said, or no file, fails", function()
    local srv, url = help.listen(echo)
    local path = path_of("data", "12345")
    assert.matches(
      "shorter",
      failure({ url = url, body_file = { path = path, length = 6 } }).message
    )
    assert.equal("EACCES", failure({ url = url, body_file = { path = "/", length = 1 } }).code)
    assert.equal(
      "ENOENT",
      failure({ url = url, body_file = { path = "/no/file", length = 1 } }).code
    )
    assert.has_error(function()
      http.request({ url = url, body = "x", body_file = { path = path, length = 1 } })
    end)
    assert.has_error(function()
      http.request({ url = url, body_file = { path = path, length = -1 } })
    end)
    srv:close()
  end)

  it_runs("is written where it belongs", function()
    local text = crypto.hex(200000)
    local srv, url = help.listen(ranges(text))
    local path = path_of("out", ("."):rep(#text))
    for _, offset in ipairs({ 200000, 0 }) do
      local r = assert(http.request({
        url = url,
        headers = { range = ("bytes=%d-%d"):format(offset, offset + 199999) },
        into = { path = path, offset = offset, length = 200000 },
      }))
      assert.equal(200000, r.written)
      assert.is_nil(r.body)
    end
    assert.is_true(text == fs.read(path))
    srv:close()
  end)

  it_runs("is refused from a server that sends the whole, or more than asked for", function()
    local srv, url = help.listen(ranges(("x"):rep(1000)))
    local path = path_of("out", ("."):rep(100))
    local err = failure({ url = url, into = { path = path, offset = 50, length = 50 } })
    assert.equal("EPROTO", err.code)
    assert.equal(("."):rep(100), fs.read(path))
    err = failure({ url = url, into = { path = path, offset = 0, length = 50 } })
    assert.equal("EPROTO", err.code)
    assert.equal(("."):rep(50), fs.read(path):sub(51))
    srv:close()
  end)

  it_runs("says how far it came when the server is cut off", function()
    local head = "HTTP/1.1 206 Partial\r\nContent-Length: 100\r\n\r\n"
    local url, proc = help.raw_server({ head .. ("x"):rep(60) })
    local path = path_of("out", ("."):rep(100))
    local err = failure({ url = url, into = { path = path, length = 100 } })
    assert.same({ "ENETWORK", 60 }, { err.code, err.written })
    assert.equal(("x"):rep(60) .. ("."):rep(40), fs.read(path))
    proc:kill("KILL")
    proc:wait()
  end)
end)

describe("a secret query", function()
  it_runs("reaches the server and no message", function()
    local value = "sv=1&sig=" .. crypto.hex(16)
    local query = help.new_secret(value)
    local seen
    local srv, url = help.listen(function(req)
      seen = req.query
      return { status = 403, body = "no" }
    end)
    local err = failure({ url = url .. "/a", query = { b = "c" }, secret_query = query })
    assert.equal(403, err.status)
    assert.is_nil(err.message:find("sig", 1, true))
    assert.same({ b = { "c" }, sv = { "1" }, sig = { value:match("sig=(.*)") } }, seen)
    srv:close()
    err = failure({ url = url .. "/a", secret_query = query })
    assert.equal("ENETWORK", err.code)
    assert.is_nil(err.message:find("sig", 1, true))
    assert.has_error(function()
      http.request({ url = url, secret_query = query, follow = 1 })
    end)
    assert.has_error(function()
      http.request({ url = url, secret_query = help.new_secret("two words in it") })
    end)
  end)
end)

describe("a stalled transfer", function()
  it_runs("fails, however long its deadline", function()
    local head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx"
    local url, proc = help.raw_server({ head, "" }, 3600)
    local err = failure({ url = url, stall_timeout = "1s", timeout = "10m" })
    assert.equal("ETIMEDOUT", err.code)
    proc:kill("KILL")
    proc:wait()
  end)
end)
