local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local http = require("pai.http")
local task = require("pai.task")

local help = assert(loadfile(pai.root .. "/tests/spec/host/http_help.lua", "t", _ENV))()
local failure = help.failure
local it_runs = help.it_runs
local peer = assert(loadfile(pai.root .. "/tests/peers/nginx.lua", "t", _ENV))()

describe("beside nginx", function()
  local nginx

  setup(function()
    nginx = task.run(peer.start, {
      ports = { "plain", "secure" },
      http = [[
  keepalive_requests 100000;
  server {
    listen 127.0.0.1:%plain% backlog=4096; root %root%/www;
    location /slow { limit_rate 4k; alias %root%/www/big; }
    location /cut { return 444; }
  }
  server {
    listen 127.0.0.1:%secure% ssl http2; root %root%/www; %certificate%
    location /down { return 302 http://127.0.0.1:%plain%/small; }
  }]],
      fill = function(root)
        fs.mkdir(fs.join(root, "www"))
        fs.write(fs.join(root, "www", "small"), "small\n", { mode = 420 })
        fs.write(fs.join(root, "www", "big"), ("0123456789abcdef"):rep(4 << 16), { mode = 420 })
      end,
    })
  end)

  teardown(function()
    peer.stop(nginx)
  end)

  local function url(path)
    return ("http://127.0.0.1:%d/%s"):format(nginx.ports.plain, path)
  end

  it_runs("500 requests at once all come back", function()
    local tasks = {}
    for i = 1, 500 do
      tasks[i] = task.spawn(http.request, { url = url("small"), query = { i = i } })
    end
    for i = 1, 500 do
      local r, err = tasks[i]:wait()
      assert.equal("small\n", r and r.body, err and err.message)
    end
  end)

  it_runs("a timer is kept while sockets are busy", function()
    local stop = false
    local busy = {}
    for i = 1, 20 do
      busy[i] = task.spawn(function()
        while not stop do
          assert(http.request({ url = url("small") }))
        end
      end)
    end
    -- each must end at its deadline although other transfers never pause
    for _ = 1, 3 do
      local start = task.now()
      assert.equal("ETIMEDOUT", failure({ url = url("slow"), timeout = 200 }).code)
      assert.is_true(task.now() - start < 10000)
    end
    stop = true
    for _, t in ipairs(busy) do
      t:wait()
    end
  end)

  it_runs("a large file comes whole, in memory, in pieces and to a file", function()
    local expected = fs.read(fs.join(nginx.root, "www", "big"))
    assert.is_true(expected == assert(http.request({ url = url("big") })).body)
    local got = {}
    assert(http.request({
      url = url("big"),
      on_data = function(chunk)
        got[#got + 1] = chunk
      end,
    }))
    assert.is_true(expected == table.concat(got))
    assert(http.request({ url = url("big"), output = fs.join(help.dir, "big") }))
    assert.equal(crypto.sha256(expected), crypto.file_sha256(fs.join(help.dir, "big")))
    local err = failure({ url = url("cut") })
    assert.equal("ENETWORK", err.code)
    err = failure({ url = url("none"), on_data = error })
    assert.equal(404, err.status)
  end)

  it_runs("TLS is verified: the chain and the name", function()
    local secure = ("https://localhost:%d/small"):format(nginx.ports.secure)
    local ca = nginx.ca_file
    local err = failure({ url = secure, retries = 3, retry_wait = 5 })
    assert.same({ "ENETWORK", true, false }, { err.code, err.tls, err.retryable })
    assert.matches("certificate", err.message)
    assert.equal("small\n", assert(http.request({ url = secure, ca_file = ca })).body)
    err = failure({ url = ("https://127.0.0.1:%d/small"):format(nginx.ports.secure), ca_file = ca })
    assert.is_true(err.tls)
    err = failure({ url = secure, ca_file = fs.join(help.dir, "none.pem") })
    assert.is_true(err.tls)
    assert.is_string(failure({ url = ("http://localhost:%d/"):format(nginx.ports.secure) }).code)
    err = failure({ url = ("https://127.0.0.1:%d/"):format(nginx.ports.plain), ca_file = ca })
    assert.equal("ENETWORK", err.code)
    -- down from https to http is another origin
    local r = assert(http.request({
      url = ("https://localhost:%d/down"):format(nginx.ports.secure),
      ca_file = ca,
      follow = 1,
      bearer = "token",
    }))
    assert.equal("small\n", r.body)
  end)

  it_runs("many TLS requests share connections", function()
    local ca = nginx.ca_file
    local tasks = {}
    for i = 1, 100 do
      tasks[i] = task.spawn(
        http.request,
        { url = ("https://localhost:%d/small"):format(nginx.ports.secure), ca_file = ca }
      )
    end
    for i = 1, 100 do
      assert.equal("small\n", assert(tasks[i]:wait()).body)
    end
  end)

  it_runs("sockets are not for children", function()
    assert(http.request({ url = url("small") }))
    local list = assert(exec.run({ "ls", "/proc/self/fd" })).stdout
    assert.equal("0\n1\n2\n3\n", list) -- 3 is the folder that ls reads
  end)
end)
