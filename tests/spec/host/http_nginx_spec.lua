local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local http = require("pai.http")
local serve = require("pai.serve")
local task = require("pai.task")

local help = assert(loadfile(pai.root .. "/tests/spec/host/http_help.lua", "t", _ENV))()
local echo = help.echo
local failure = help.failure
local it_runs = help.it_runs

describe("beside nginx", function()
  local nginx = { root = nil, proc = nil, port = nil, tls = nil }

  local function free_ports(n)
    local servers, ports = {}, {}
    for i = 1, n do
      servers[i] = assert(serve.listen({ handler = echo }))
      ports[i] = servers[i]:port()
    end
    for _, s in ipairs(servers) do
      s:close()
    end
    return ports
  end

  setup(function()
    task.run(function()
      nginx.root = fs.tempdir({ prefix = "pai-nginx" })
      local root = nginx.root
      nginx.port, nginx.tls = table.unpack(free_ports(2))
      fs.mkdir(fs.join(root, "www"))
      fs.write(fs.join(root, "www", "small"), "small\n", { mode = 420 })
      fs.write(fs.join(root, "www", "big"), ("0123456789abcdef"):rep(4 << 16), { mode = 420 })
      assert(exec.run({
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=test",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        fs.join(root, "key.pem"),
        "-out",
        fs.join(root, "cert.pem"),
      }, { timeout = "1m" }))
      fs.write(
        fs.join(root, "nginx.conf"),
        ([[
        daemon off; master_process off; pid %s/pid; error_log %s/error.log;
        events { worker_connections 4096; }
        http {
          access_log off; client_body_temp_path %s/t1; proxy_temp_path %s/t2;
          fastcgi_temp_path %s/t3; uwsgi_temp_path %s/t4; scgi_temp_path %s/t5;
          keepalive_requests 100000;
          server {
            listen 127.0.0.1:%d backlog=4096; root %s/www;
            location /slow { limit_rate 4k; alias %s/www/big; }
            location /cut { return 444; }
          }
          server {
            listen 127.0.0.1:%d ssl http2; root %s/www;
            ssl_certificate %s/cert.pem; ssl_certificate_key %s/key.pem;
            location /down { return 302 http://127.0.0.1:%d/small; }
          }
        }
      ]]):format(
          root,
          root,
          root,
          root,
          root,
          root,
          root,
          nginx.port,
          root,
          root,
          nginx.tls,
          root,
          root,
          root,
          nginx.port
        )
      )
      nginx.proc = assert(exec.start({ "nginx", "-p", root, "-c", fs.join(root, "nginx.conf") }))
      local up = http.request({
        url = ("http://127.0.0.1:%d/small"):format(nginx.port),
        retries = 100,
        retry_wait = 50,
      })
      assert(up, fs.read(fs.join(root, "error.log")))
    end)
  end)

  teardown(function()
    task.run(function()
      nginx.proc:kill("TERM")
      nginx.proc:wait("5s")
      fs.remove(nginx.root, { recursive = true })
    end)
  end)

  local function url(path)
    return ("http://127.0.0.1:%d/%s"):format(nginx.port, path)
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
      assert.is_true(task.now() - start < 1000)
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
    local secure = ("https://localhost:%d/small"):format(nginx.tls)
    local ca = fs.join(nginx.root, "cert.pem")
    local err = failure({ url = secure, retries = 3, retry_wait = 5 })
    assert.same({ "ENETWORK", true, false }, { err.code, err.tls, err.retryable })
    assert.matches("certificate", err.message)
    assert.equal("small\n", assert(http.request({ url = secure, ca_file = ca })).body)
    err = failure({ url = ("https://127.0.0.1:%d/small"):format(nginx.tls), ca_file = ca })
    assert.is_true(err.tls)
    err = failure({ url = secure, ca_file = fs.join(help.dir, "none.pem") })
    assert.is_true(err.tls)
    assert.is_string(failure({ url = ("http://localhost:%d/"):format(nginx.tls) }).code)
    err = failure({ url = ("https://127.0.0.1:%d/"):format(nginx.port), ca_file = ca })
    assert.equal("ENETWORK", err.code)
    -- down from https to http is another origin
    local r = assert(http.request({
      url = ("https://localhost:%d/down"):format(nginx.tls),
      ca_file = ca,
      follow = 1,
      bearer = "token",
    }))
    assert.equal("small\n", r.body)
  end)

  it_runs("many TLS requests share connections", function()
    local ca = fs.join(nginx.root, "cert.pem")
    local tasks = {}
    for i = 1, 100 do
      tasks[i] = task.spawn(
        http.request,
        { url = ("https://localhost:%d/small"):format(nginx.tls), ca_file = ca }
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
