-- What is special about gs, swift and tos, and where the bucket's name stands: in the host's or in
-- the path. The server is OpenStack Swift with its S3 API, which checks signatures; nginx gives it
-- TLS. Names below localhost are this machine for libcurl.
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")
local store = require("pai.store")
local task = require("pai.task")

local help = assert(loadfile(pai.root .. "/tests/spec/store/support.lua", "t", _ENV))()
local it_runs = help.it_runs
local peer = assert(loadfile(pai.root .. "/tests/peers/nginx.lua", "t", _ENV))()

local TOS <const> = "tos-s3-eu-9.store.localhost"

local server, nginx

local function keys(url, more)
  local t = { access_key_id = server.id, access_key = help.handle(server.key), override_url = url }
  t.region = "eu-9"
  for name, value in pairs(more or {}) do
    t[name] = value
  end
  return t
end

-- Opens a place and notes which servers are to be spoken to.
local function open(url, given, more)
  local hosts = {}
  local opts = { keys = given, retries = 0, retry_wait_ms = 1 }
  opts.on_host = function(host)
    hosts[#hosts + 1] = host
  end
  for name, value in pairs(more or {}) do
    opts[name] = value
  end
  return assert(store.open(url, opts)), hosts
end

local function failure(r, e)
  return help.failure({ server.key }, r, e)
end

-- A file goes up, is listed, comes back and is deleted.
local function works(s)
  help.write("in/a b", "12")
  assert.equal(1, assert(s:upload({ help.path("in/a b") })).files)
  assert.equal(2, assert(s:list())[1].size)
  assert.equal(1, assert(s:download(help.path("out"))).files)
  assert.equal("12", fs.read(help.path("out/a b")))
  assert.equal(1, assert(s:delete()).deleted)
  fs.remove(help.path("out"), { recursive = true })
end

local function data(args, env)
  env.OSMO_CONFIG_FILE_DIR, env.PAI_STATE, env.HOME =
    help.path("conf"), help.path("state"), help.dir
  local argv = table.move(args, 1, #args, 4, { pai.exe, "osmo", "data" })
  local r = assert(exec.run(argv, { env = env, timeout = "2m", accept = "any" }))
  assert.is_nil((r.stdout .. r.stderr):find(server.key, 1, true))
  return r
end

local function config(entries)
  help.write("conf/config.yaml", json.encode({ auth = { data = entries } }))
  assert(fs.chmod(help.path("conf/config.yaml"), 384))
end

describe("an S3 API that is not Amazon's", function()
  setup(function()
    server = task.run(help.swift, "eu-9", { TOS, "store.localhost" })
    nginx = task.run(peer.start, {
      ports = { "tls", "plain" },
      names = { "localhost", "path.localhost", "store.localhost", "bucket." .. TOS },
      values = { back = server.url },
      http = [[
  client_max_body_size 0; proxy_http_version 1.1; proxy_set_header Host $http_host;
  server { listen 127.0.0.1:%tls% ssl; %certificate% location / { proxy_pass %back%; } }
  server { listen 127.0.0.1:%plain%; location /s3/ { proxy_pass %back%/s3/; } }]],
    })
  end)

  teardown(function()
    peer.stop(nginx)
    help.stop(server)
  end)

  it_runs("is Swift: at the URL's host, with TLS, keys by account, the region learned", function()
    local base = ("swift://localhost:%d/AUTH_test"):format(nginx.ports.tls)
    config({ [base] = { access_key_id = server.id, access_key = server.key } })
    help.write("in/a", "12")
    local trust = { AWS_CA_BUNDLE = nginx.ca_file }
    local url = base .. "/bucket/dir"
    local r = data({ "upload", url, help.path("in") }, trust)
    assert.equal(0, r.code, r.stderr)
    r = data({ "list", url, "--recursive" }, trust)
    assert.equal("dir/in/a\n", r.stdout)
    r = data({ "check", url }, trust)
    assert.equal("pass\n", r.stdout)
    r = data({ "delete", url, "--yes" }, trust)
    assert.equal("deleted 1 object\n", r.stdout)
    r = data({ "check", base, "--json" }, trust)
    assert.same({ status = "pass" }, json.decode(r.stdout))
    config({ [base] = { access_key_id = server.id, access_key = crypto.hex(20) } })
    r = data({ "check", base .. "/" }, trust)
    assert.equal(1, r.code)
    assert.matches("^fail: list " .. base:gsub("%p", "%%%0") .. ": .*does not fit", r.stdout)
    assert.equal(1, data({ "list", base }, trust).code)
    -- no other source of keys, not even the environment
    config({})
    trust.AWS_ACCESS_KEY_ID, trust.AWS_SECRET_ACCESS_KEY = server.id, server.key
    r = data({ "list", url }, trust)
    assert.equal(1, r.code)
    assert.matches("no key for " .. base, r.stderr, 1, true)
  end)

  it_runs("checks signatures, and tells which key is wrong", function()
    local wrong = keys(server.url, { access_key = help.handle(crypto.hex(20)) })
    local s = open("swift://host/AUTH_test/bucket/x", wrong)
    local e = failure(s:list())
    assert.same({ "EACCES", "SignatureDoesNotMatch" }, { e.code, e.store_code })
    wrong = keys(server.url, { access_key_id = "nobody:AUTH_test" })
    e = failure(open("swift://host/AUTH_test/bucket/x", wrong):list())
    assert.equal("EACCES", e.code)
    e = failure(open("swift://host/AUTH_test/nobucket/x", keys(server.url)):list())
    assert.same({ "ENOENT", "NoSuchBucket" }, { e.code, e.store_code })
  end)

  it_runs("takes a key for its own account, so a check looks at the URL's", function()
    local e = failure(open("swift://host/AUTH_other/bucket", keys(server.url)):check())
    assert.equal("EACCES", e.code)
    assert.matches("not for the account AUTH_other", e.message)
    assert.is_true(open("swift://host/AUTH_test/bucket", keys(server.url)):check())
    -- what OSMO takes for a key's account when there is no colon in it
    local plain = keys(server.url, { access_key_id = "team" })
    e = failure(open("swift://host/AUTH_team/bucket", plain):check())
    assert.is_nil(e.message:find("account", 1, true))
  end)

  it_runs("says its region, also to one who only looks", function()
    for _, region in ipairs({ "us-east-1", "eu-9" }) do
      local s = open(
        "swift://host/AUTH_test/bucket/none",
        keys(server.url, {
          region = region,
        })
      )
      local object, e = s:stat()
      assert.same({}, { object, e })
      assert.equal("eu-9", s.driver.where.region)
      works(s)
    end
  end)

  it_runs("is TOS: the bucket in the host's name, the region from it", function()
    local at = ("tos://%s:%d/bucket/t"):format(TOS, nginx.ports.tls)
    local mine = keys()
    mine.region = nil
    local s, hosts = open(at, mine, { ca_file = nginx.ca_file })
    works(s)
    assert.same({ ("https://bucket.%s:%d"):format(TOS, nginx.ports.tls) }, hosts)
    assert.equal("eu-9", s.driver.where.region)
    -- the other host's name is none of the certificate's: TOS has no other style
    s = open(("tos://store.localhost:%d/bucket/t"):format(nginx.ports.tls), keys(), {
      ca_file = nginx.ca_file,
    })
    assert.is_true(failure(s:list()).tls)
  end)

  it_runs("is Google's, or a gateway to it: the bucket in the path", function()
    local s, hosts = open("gs://bucket/g", keys(server.virtual))
    works(s)
    assert.same({ server.virtual }, hosts)
    s = open("gs://bucket/g", keys())
    assert.equal("https://storage.googleapis.com", s.driver.endpoint)
    assert.same({ "/bucket", "eu-9" }, { s.driver.path, s.driver.where.region })
  end)

  it_runs("has the bucket in the host's name, where OSMO's client puts it", function()
    local virtual = "http://bucket.store.localhost:" .. server.port
    local s, hosts = open("s3://bucket/v", keys(server.virtual))
    works(s)
    assert.same({ virtual }, hosts)
    s, hosts = open("s3://bucket/v", keys(server.url)) -- an address has no names below it
    works(s)
    assert.same({ server.url }, hosts)
    s, hosts = open("s3://bucket/v", keys(server.virtual, { addressing_style = "path" }))
    works(s)
    assert.same({ server.virtual }, hosts)
  end)

  it_runs("has it in the path where it cannot be in the host's name", function()
    -- no certificate for the name
    local base = "https://path.localhost:" .. nginx.ports.tls
    local trust = { ca_file = nginx.ca_file }
    local s, hosts = open("s3://bucket/p", keys(base), trust)
    works(s)
    local guess = "https://bucket.path.localhost:" .. nginx.ports.tls
    assert.same({ guess, base }, { hosts[1], hosts[2] })
    s = open("s3://bucket/p", keys(base, { addressing_style = "virtual" }), trust)
    assert.is_true(failure(s:list()).tls)
    -- a server that does not look at the host's name
    base = "http://path.localhost:" .. server.port
    works(open("s3://bucket/p", keys(base)))
    s = open("s3://bucket/p", keys(base))
    assert.same({}, assert(s:list()))
    s = open("s3://bucket/p/none", keys(base))
    assert.is_nil((s:stat()))
    assert.equal("path", s.driver.where.style)
    s = open("s3://bucket/p/", keys(base, { addressing_style = "virtual" }))
    local e = failure(s:list())
    assert.equal("EPROTO", e.code)
    assert.matches("addressing_style: path", e.hint)
    -- nothing is written into the bucket that a key's first part names
    help.write("in/a b", "12")
    e = failure(open("s3://another/bucket/x", keys(base)):upload({ help.path("in/a b") }))
    assert.same({ "ENOENT", "NoSuchBucket" }, { e.code, e.store_code })
    assert.same({}, assert(open("s3://bucket/x", keys(server.url)):list()))
    -- no such name
    s, hosts = open("s3://bucket/p", keys("http://store.invalid"))
    e = failure(s:list())
    assert.equal("ENETWORK", e.code)
    assert.same({ "http://bucket.store.invalid", "http://store.invalid" }, hosts)
    -- the name is not allowed, that of the store itself is
    s = open("s3://bucket/p", keys("http://path.localhost:" .. server.port), {
      on_host = function(host)
        assert(not host:find("bucket", 1, true), "not allowed")
      end,
    })
    works(s)
  end)

  it_runs("is behind a gateway's path", function()
    local base = ("http://127.0.0.1:%d/s3"):format(nginx.ports.plain)
    local s, hosts = open("s3://bucket/x/", keys(base))
    assert.same({ "http://127.0.0.1:" .. nginx.ports.plain }, hosts)
    -- nginx answers 404 for all that is not below /s3: what comes is the store's own word
    local e = failure(s:list())
    assert.same({ "EHTTP", "InvalidBucketName" }, { e.code, e.store_code }) -- "s3" is too short
  end)

  it_runs("is used as the environment says, which must make sense", function()
    help.write("in/1", "")
    help.write("in/2", "")
    help.write("in/3", "")
    local env = { AWS_ACCESS_KEY_ID = server.id, AWS_SECRET_ACCESS_KEY = server.key }
    env.AWS_REGION = "eu-9"
    config({})
    local function list(name, value)
      local e = { OSMO_S3_PAGINATOR_SIZE = "2" }
      for k, v in pairs(env) do
        e[k] = v
      end
      e[name or "LANG"] = value
      return data({ "list", "s3://bucket/env/in", "--json" }, e)
    end
    env.AWS_ENDPOINT_URL_S3 = server.url
    assert.equal(0, data({ "upload", "s3://bucket/env", help.path("in") }, env).code)
    assert.equal(3, #json.decode(list().stdout).entries)
    env.AWS_ENDPOINT_URL_S3 = server.virtual
    assert.equal(3, #json.decode(list("OSMO_S3_ADDRESSING_STYLE", " Virtual").stdout).entries)
    assert.equal(3, #json.decode(list("OSMO_S3_ADDRESSING_STYLE", "path").stdout).entries)
    for name, value in pairs({
      OSMO_S3_ADDRESSING_STYLE = "odd",
      OSMO_S3_PAGINATOR_SIZE = "0",
      OSMO_S3_MAX_RETRY_COUNT = "many",
      OSMO_S3_TIMEOUT = "soon",
      AWS_ENDPOINT_URL_S3 = "store.localhost",
    }) do
      local r = list(name, value)
      assert.equal(1, r.code, name)
      assert.matches(name, r.stderr, 1, true)
    end
    env.AWS_ENDPOINT_URL_S3, env.OSMO_SKIP_DATA_AUTH = "http://127.0.0.1:9", "1"
    local r = data({ "check", "s3://bucket/env", "--json" }, env)
    assert.same({ status = "pass", checked = false }, json.decode(r.stdout))
  end)
end)
