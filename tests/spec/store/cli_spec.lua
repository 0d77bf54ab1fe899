-- pai osmo data as a program: keys from files, TLS, kills in the middle, memory, what it prints.
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local task = require("pai.task")

local help = assert(loadfile(pai.root .. "/tests/spec/store/support.lua", "t", _ENV))()
local it_runs = help.it_runs
local peer = assert(loadfile(pai.root .. "/tests/peers/nginx.lua", "t", _ENV))()

local MiB <const> = 1 << 20

local server

-- OSMO's config.yaml with the key of the server, reached at `url`.
local function config(url, key)
  local path = help.write(
    "conf/config.yaml",
    json.encode({
      auth = {
        data = {
          ["s3://bucket"] = {
            access_key_id = server.id,
            access_key = key or server.key,
            region = "us-east-1",
            override_url = url or server.url,
          },
        },
      },
    })
  )
  assert(fs.chmod(path, 384))
end

local function argv(...)
  return { pai.exe, "osmo", "data", ... }
end

local function env(more)
  local e = { OSMO_CONFIG_FILE_DIR = help.path("conf"), PAI_STATE = help.path("state") }
  e.HOME = help.dir
  e.AWS_EC2_METADATA_DISABLED = "true"
  for name, value in pairs(more or {}) do
    e[name] = value
  end
  return e
end

local function run(args, more)
  local r = assert(exec.run(args, {
    env = env(more),
    timeout = "5m",
    stdin = "null",
    accept = "any",
  }))
  for _, text in ipairs({ r.stdout or "", r.stderr or "" }) do
    assert.is_nil(text:find(server.key, 1, true))
  end
  return r
end

local function data(...)
  return run(argv(...))
end

local function ok(r)
  assert.equal(0, r.code, r.stderr)
  return r
end

-- Until fn gives something; fails when that takes for ever.
local function until_true(fn)
  for _ = 1, 6000 do
    local value = fn()
    if value then
      return value
    end
    task.sleep(10)
  end
  error("it did not happen")
end

describe("pai osmo data", function()
  setup(function()
    server = task.run(help.s3)
  end)
  teardown(function()
    help.stop(server)
  end)

  it_runs("moves files with the key of config.yaml, and says so as JSON", function()
    config()
    help.write("in/a", "12")
    help.write("in/s/b", "345")
    local r = ok(data("upload", "s3://bucket/cli", help.path("in"), "--json"))
    local doc = assert(json.decode(r.stdout))
    assert.same({ 2, 0, 5, 5 }, { doc.files, doc.skipped, doc.bytes, doc.moved })
    r = ok(data("upload", "s3://bucket/cli", help.path("in"), "--resume"))
    assert.matches("nothing uploaded: 2 files were there", r.stdout)
    r = ok(data("list", "s3://bucket/cli", "--recursive"))
    assert.equal("cli/in/a\ncli/in/s/b\n", r.stdout)
    assert.matches("2 entries, 5 B", r.stderr)
    doc = assert(json.decode(ok(data("list", "s3://bucket/cli/in", "--json")).stdout))
    assert.same({ "cli/in/s/", true }, { doc.entries[1].key, doc.entries[1].folder })
    assert.same({ "cli/in/a", 2 }, { doc.entries[2].key, doc.entries[2].size })
    r = ok(data("download", "s3://bucket/cli/in", help.path("out")))
    assert.matches("^downloaded 2 files, 5 B", r.stdout)
    assert.matches("downloaded s/b\n", r.stderr)
    assert.equal("345", fs.read(help.path("out/s/b")))
  end)

  it_runs("deletes only after a yes", function()
    config()
    help.write("in/a", "12")
    ok(data("upload", "s3://bucket/del", help.path("in")))
    local r = data("delete", "s3://bucket/del")
    assert.equal(3, r.code)
    assert.matches("^USER_INPUT_REQUIRED: .*1 object at s3://bucket/del needs %-%-yes", r.stderr)
    assert.equal("del/in/a\n", ok(data("delete", "s3://bucket/del", "--dry-run")).stdout)
    assert.equal("deleted 1 object\n", ok(data("delete", "s3://bucket/del", "--yes")).stdout)
    assert.equal("", ok(data("list", "s3://bucket/del")).stdout)
    assert.equal("nothing to delete\n", ok(data("delete", "s3://bucket/del", "--yes")).stdout)
  end)

  it_runs("checks, and a wrong key is a clear error without the key", function()
    config()
    assert.equal("pass\n", ok(data("check", "s3://bucket/x")).stdout)
    assert.same(
      { status = "pass" },
      json.decode(ok(data("check", "s3://bucket/x", "--json")).stdout)
    )
    assert.equal(2, data("check", "s3://bucket/x", "--access", "fly").code)
    local wrong = crypto.hex(20)
    config(nil, wrong)
    local r = data("check", "s3://bucket/x")
    assert.equal(1, r.code)
    assert.matches("^fail: list s3://bucket/x/: .*secret key does not fit", r.stdout)
    assert.matches("config.yaml, s3://bucket", r.stderr, 1, true)
    r = data("list", "s3://bucket/x")
    assert.equal(1, r.code)
    assert.matches("SignatureDoesNotMatch", r.stderr)
    assert.is_nil((r.stdout .. r.stderr):find(wrong, 1, true))
    r = data("list", "s3://other/x")
    assert.equal(1, r.code)
    assert.matches("no key for s3://other", r.stderr)
    assert.equal(1, data("list", "ftp://x/y").code)
    assert.equal(2, data("upload", "s3://bucket/x").code)
    assert.equal(2, data("move").code)
  end)

  it_runs("takes keys from the environment", function()
    help.write("in/a", "12")
    local r = run(argv("upload", "s3://bucket/env", help.path("in")), {
      AWS_ACCESS_KEY_ID = server.id,
      AWS_SECRET_ACCESS_KEY = server.key,
      AWS_ENDPOINT_URL_S3 = server.url,
    })
    ok(r)
    assert.matches("^uploaded 1 file", r.stdout)
  end)

  -- Whichever way it ends after three of six parts, the same command sends the other three.
  local function upload_that_ends(name, signal, check)
    local path = help.big("file", 41 * MiB)
    local parts, hold = 0, true
    local proxy = help.proxy(server.url, function(req)
      if req.method == "PUT" and req.query.partNumber then
        parts = parts + 1
        if hold and parts > 3 then
          until_true(function()
            return not hold
          end)
          return { status = 503 }
        end
      end
    end)
    config(proxy.url)
    local upload = argv("upload", "s3://bucket/" .. name, path, "--parallel", "1", "--json")
    local proc = assert(exec.start(upload, { env = env(), accept = "any" }))
    until_true(function()
      return parts > 3
    end)
    proc:kill(signal)
    check(proc:wait("60s"))
    hold, parts = false, 0
    local doc = assert(json.decode(ok(run(upload)).stdout))
    assert.same({ 3, 17 * MiB }, { parts, doc.moved })
    config()
    ok(data("download", "s3://bucket/" .. name .. "/file", help.path("out")))
    assert.equal(help.sum(path), help.sum(help.path("out/file")))
    proxy.srv:close()
  end

  it_runs("goes on after a kill in the middle of an upload", function()
    upload_that_ends("killed", "KILL", function() end)
  end)

  it_runs("ends in order when it is interrupted, and goes on later", function()
    for signal, code in pairs({ INT = 130, TERM = 143 }) do
      upload_that_ends("by-" .. signal, signal, function(r)
        assert.equal(code, r.code)
        assert.matches("^interrupted: .* the same command goes on from there\n$", r.stderr)
      end)
    end
  end)

  it_runs("goes on after a kill in the middle of a download", function()
    local path = help.big("file", 41 * MiB)
    config()
    ok(data("upload", "s3://bucket/half", path))
    local gets, hold = 0, true
    local proxy = help.proxy(server.url, function(req)
      if req.method == "GET" and req.headers.range then
        gets = gets + 1
        if hold and gets > 3 then
          until_true(function()
            return not hold
          end)
          return { status = 503 }
        end
      end
    end)
    config(proxy.url)
    local download =
      argv("download", "s3://bucket/half/", help.path("out"), "--parallel", "1", "--json")
    local proc = assert(exec.start(download, { env = env() }))
    until_true(function()
      return gets > 3
    end)
    -- while it runs, nobody else may write there
    local other = run(download)
    assert.equal(1, other.code)
    assert.matches("by another process", other.stderr)
    assert.same({ "file.pai-part", "file.pai-part.log" }, fs.list(help.path("out")))
    proc:kill("KILL")
    proc:wait("30s")
    hold, gets = false, 0
    local doc = assert(json.decode(ok(run(download)).stdout))
    assert.equal(3, gets)
    assert.equal(17 * MiB, doc.moved)
    assert.same({ "file" }, fs.list(help.path("out")))
    assert.equal(help.sum(path), help.sum(help.path("out/file")))
    proxy.srv:close()
  end)

  it_runs("keeps its memory when files are large", function()
    config()
    local path = help.big("file", 320 * MiB)
    local meter = "import resource,subprocess,sys\nrc=subprocess.call(sys.argv[1:])\n"
      .. "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,file=sys.stderr)\n"
      .. "sys.exit(rc)"
    for _, args in ipairs({
      argv("upload", "s3://bucket/large", path, "--json"),
      argv("download", "s3://bucket/large/file", help.path("out"), "--json"),
    }) do
      local r = ok(run({ "/usr/bin/python3", "-c", meter, table.unpack(args) }))
      local kib = tonumber(r.stderr:match("(%d+)%s*$"))
      assert.is_true(kib < 96 * 1024, kib .. " KiB")
    end
    assert.equal(help.sum(path), help.sum(help.path("out/file")))
  end)

  it_runs("draws one line on a terminal", function()
    config()
    help.big("file", 20 * MiB)
    local pty = "import pty,sys,os\nsys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    local r = ok(run({
      "/usr/bin/python3",
      "-c",
      pty,
      table.unpack(argv("upload", "s3://bucket/tty", help.path("file"))),
    }, { TERM = "xterm" }))
    assert.matches("\r\27%[K%[[#-]+%] +%d+%%  .- of 20%.0 MiB", r.stdout)
    assert.matches("\r\27%[Kuploaded 1 file", r.stdout)
  end)
end)

describe("pai osmo data behind nginx", function()
  local nginx

  setup(function()
    server = task.run(help.s3)
    nginx = task.run(peer.start, {
      ports = { "plain", "tls" },
      values = { back = server.url },
      http = [[
  client_max_body_size 0; proxy_http_version 1.1; proxy_set_header Host $http_host;
  server { listen 127.0.0.1:%tls% ssl http2; %certificate% location / { proxy_pass %back%; } }
  server { listen 127.0.0.1:%plain%; location / { limit_rate 4m; proxy_pass %back%; } }]],
    })
  end)

  teardown(function()
    peer.stop(nginx)
    help.stop(server)
  end)

  it_runs("speaks TLS with a certificate that it was told to trust, and with no other", function()
    config(("https://localhost:%d"):format(nginx.ports.tls))
    local path = help.big("file", 25 * MiB)
    local r = data("upload", "s3://bucket/tls", path)
    assert.equal(1, r.code)
    assert.matches("certificate", r.stderr)
    local trust = { "--ca-file", nginx.ca_file }
    ok(data("upload", "s3://bucket/tls", path, table.unpack(trust)))
    ok(data("download", "s3://bucket/tls/file", help.path("out"), table.unpack(trust)))
    assert.equal(help.sum(path), help.sum(help.path("out/file")))
    r = run(argv("list", "s3://bucket/tls"), { AWS_CA_BUNDLE = nginx.ca_file })
    assert.equal("tls/file\n", ok(r).stdout)
  end)

  it_runs("waits for a slow server", function()
    config(("http://127.0.0.1:%d"):format(nginx.ports.plain))
    local path = help.big("file", 10 * MiB)
    ok(data("upload", "s3://bucket/slow", path))
    ok(data("download", "s3://bucket/slow", help.path("out")))
    assert.equal(help.sum(path), help.sum(help.path("out/file")))
  end)
end)
