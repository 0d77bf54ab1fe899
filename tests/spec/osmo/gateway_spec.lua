-- The client behind a gateway: nginx with TLS in front of the stand-in and of the router, and what
-- gateways answer in its place: 401, 429, 500, 502, 504, slow and cut-off answers.
local client = require("pai.osmo.client")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")
local task = require("pai.task")

local contract = assert(loadfile(pai.root .. "/tests/spec/osmo/contract.lua"))()
local peer = assert(loadfile(pai.root .. "/tests/peers/nginx.lua", "t", _ENV))()

local FLOW <const> =
  "workflow:\n  name: flow\n  tasks:\n  - name: t\n    image: a\n    command: [x]\n"

describe("a service behind nginx", function()
  local root, nginx, srv, router, url, env

  local HTTP <const> = [[
  limit_req_zone $server_name zone=api:1m rate=1r/s;
  server {
    listen 127.0.0.1:%port% ssl; %certificate%
    proxy_read_timeout 1s;
    proxy_set_header Host $host;
    proxy_set_header Connection "";
    proxy_http_version 1.1;
    location /api/ { proxy_pass http://127.0.0.1:%backend%; }
    location = /api/version {
      limit_req zone=api; limit_req_status 429;
      proxy_pass http://127.0.0.1:%backend%;
      error_page 429 @later;
    }
    location @later { add_header Retry-After 1 always; return 429 "slow down"; }
    location = /api/users { return 401 "Jwt is missing"; }
    location = /api/tag { return 500; }
    location = /api/credentials { return 444; }
    location = /api/task { return 403 "access denied"; }
    location /api/router/ {
      proxy_pass http://127.0.0.1:%router%;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
      proxy_read_timeout 60s;
    }
  }]]

  setup(function()
    task.run(function()
      local program = pai.root .. "/tests/spec/osmo/router_peer.py"
      router = assert(exec.start({ "/usr/bin/python3", program, "0" }, { stdin = "pipe" }))
      local router_port = json.decode((assert(router:read_line("60s")))).port
      srv = contract.start()
      nginx = peer.start({
        ports = { "port" },
        values = { backend = srv.srv:port(), router = router_port },
        http = HTTP,
      })
      root, url = nginx.root, "https://localhost:" .. nginx.ports.port
      fs.mkdir(root .. "/osmo", { mode = 448 })
      fs.write(
        root .. "/osmo/login.yaml",
        ("dev_login: {username: alice}\nurl: %s\n"):format(url),
        { mode = 384 }
      )
      env = {
        OSMO_CONFIG_FILE_DIR = root .. "/osmo",
        OSMO_URL = false,
        REQUESTS_CA_BUNDLE = nginx.ca_file,
        SSL_CERT_FILE = false,
        CURL_CA_BUNDLE = false,
      }
    end)
  end)
  teardown(function()
    task.run(function()
      router:stop()
      srv:finish()
    end)
    peer.stop(nginx)
  end)
  before_each(function()
    srv.calls, srv.answers = {}, {}
  end)

  local function connect()
    return assert(client.connect({ target = url, user = "alice", ca_file = nginx.ca_file }))
  end

  local function pai_run(...)
    local r = assert(exec.run({ pai.exe, "osmo", ... }, { env = env, accept = "any", cwd = root }))
    return r.code, r.stdout, r.stderr
  end

  local function it_runs(title, fn)
    it(title, function()
      task.run(fn)
    end)
  end

  it_runs("is reached over TLS that is checked", function()
    srv.answers["GET /api/profile/settings"] =
      { json = { profile = { username = "alice" }, pools = {}, roles = {} } }
    local code, out, said = pai_run("profile", "list")
    assert.equal(0, code, said)
    assert.matches("alice", out, 1, true)
    env.REQUESTS_CA_BUNDLE = false
    local _
    code, _, said = pai_run("profile", "list")
    env.REQUESTS_CA_BUNDLE = nginx.ca_file
    assert.equal(1, code)
    assert.matches("certificate", said, 1, true)
    assert.equal(1, #srv.calls)
  end)

  it_runs("that limits requests is asked again when it said so", function()
    srv.answers["GET /api/version"] = { json = { major = "6", minor = "4", revision = "0" } }
    local c = connect()
    for _ = 1, 3 do
      assert.equal("6", assert(c:version()).major)
    end
    assert.equal(3, #srv.calls)
  end)

  it_runs("that does not take the login says so, and how to go on", function()
    local code, _, said = pai_run("user", "list", "--submitted")
    assert.equal(1, code)
    assert.matches("Jwt is missing", said, 1, true)
    assert.matches("pai osmo login", said, 1, true)
    code, _, said = pai_run("task", "list")
    assert.equal(1, code)
    assert.matches("access denied", said, 1, true)
    assert.matches("roles", said, 1, true)
  end)

  it_runs("that is at fault is reported in words, not as a page", function()
    local tags, e = connect():tags()
    assert.is_nil(tags)
    assert.equal(500, e.http)
    assert.equal("500 Internal Server Error", e.message)
    local none
    none, e = connect():credentials()
    assert.is_nil(none)
    assert.equal("ENETWORK", e.code)
  end)

  it_runs("that is slow is asked again for what only looks, and gives up with 504", function()
    srv.answers["GET /api/resources"] = function()
      if #srv.calls == 1 then
        task.sleep(2000)
      end
      return { json = { resources = json.array({}) } }
    end
    assert.same({}, assert(connect():resources()).resources)
    assert.equal(2, #srv.calls)
  end)

  it_runs("that loses the answer to a submit does not make two runs", function()
    local label, posts = nil, 0
    srv.answers["POST /api/pool/{p}/workflow"] = function(req)
      posts = posts + 1
      label = req.query.label[1]:match("=(.*)$")
      task.sleep(2000) -- the gateway gives up meanwhile, with 504
      return { json = { name = "flow-9" } }
    end
    srv.answers["GET /api/workflow"] = function()
      local run = { name = "flow-9", status = "PENDING", labels = { ["pai-submit"] = label } }
      return { json = { workflows = { run }, more_entries = false } }
    end
    local answer = assert(connect():submit({ spec = FLOW, pool = "p", request_timeout = 1500 }))
    assert.equal("flow-9", answer.name)
    assert.is_true(answer.adopted)
    assert.equal(1, posts)
  end)

  it_runs("that cuts answers off is followed through them, and nothing comes twice", function()
    local rounds = 0
    srv.answers["GET /api/workflow/{id}/logs"] = function()
      rounds = rounds + 1
      local round = rounds
      return {
        headers = { ["content-type"] = "text/plain" },
        stream = function(w)
          local last = ({ 300, 700, 1000 })[round]
          for i = 1, last do
            w:write(("line %d\n"):format(i))
          end
          if round < 3 then
            error("cut")
          end
        end,
      }
    end
    srv.answers["GET /api/workflow/{id}"] = function()
      local status = rounds >= 3 and "COMPLETED" or "RUNNING"
      return { json = { name = "a-1", status = status, groups = json.array({}) } }
    end
    local n = 0
    assert(connect():logs("a-1", {
      follow = true,
      on_line = function(line)
        n = n + 1
        assert.equal("line " .. n, line)
      end,
    }))
    assert.equal(1000, n)
    assert.equal(3, rounds)
  end)

  it_runs("gives a terminal in a task through its router", function()
    srv.answers["POST /api/workflow/{id}/exec/task/{t}"] = {
      json = {
        router_address = url:gsub("^https", "wss"),
        key = "k1",
        cookie = "_osmo_router_affinity=r7",
      },
    }
    local argv = { pai.exe, "osmo", "exec", "a-1", "t" }
    local r = assert(exec.run(argv, { env = env, stdin = "over TLS\nexit\n" }))
    assert.equal("$ you said over TLS\r\n$ ", r.stdout)
  end)
end)
