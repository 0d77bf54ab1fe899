-- Logins: upstream's file read and written, tokens exchanged, refreshed and renewed once for all.
local async = require("pai.async")
local client = require("pai.osmo.client")
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")
local secret = require("pai.secret")
local task = require("pai.task")
local yaml = require("pai.yaml")

local contract = assert(loadfile(pai.root .. "/tests/spec/osmo/contract.lua"))()

local function base64url(text)
  return crypto.base64_encode(text, { url = true })
end

-- A token of the form of a JWT that ends after so many seconds.
local function jwt(life, name)
  local claims = json.encode({ exp = os.time() + life, unique_name = name or "alice" })
  return table.concat({
    base64url('{"alg":"RS256"}'),
    base64url(claims),
    base64url(crypto.random(32)),
  }, ".")
end

describe("a login of an OSMO service", function()
  local dir, config, srv, env

  before_each(function()
    dir = assert(fs.tempdir({ prefix = "pai-login-" }))
    config = dir .. "/osmo"
    fs.mkdir(config, { mode = 448 })
    srv = contract.start()
    srv.answers["GET /api/version"] = {
      json = { major = "6", minor = "4", revision = "0", hash = "abc" },
    }
    env = { OSMO_CONFIG_FILE_DIR = config, OSMO_URL = false }
  end)
  after_each(function()
    fs.remove(dir, { recursive = true })
    srv:finish()
  end)

  local function write_login(text)
    fs.write(config .. "/login.yaml", text, { mode = 384 })
  end

  local function read_login()
    return assert(yaml.decode(fs.read(config .. "/login.yaml"), { schema = "1.1" }))
  end

  local function pai_run(...)
    local r = assert(exec.run({ pai.exe, "osmo", ... }, { env = env, accept = "any" }))
    return r.code, r.stdout, r.stderr
  end

  local function bearer()
    return srv.calls[#srv.calls].headers.authorization
  end

  -- As PyYAML writes it: keys sorted, plain scalars, null for what is not there.
  local function upstream_pat(pat, id_token)
    return ([[
dev_login: null
name: alice
osmo_token: true
token_login:
  client_id: null
  id_token: %s
  refresh_token: %s
  refresh_url: %s/api/auth/jwt/access_token
  username: alice
url: %s
]]):format(id_token, pat, srv.url, srv.url)
  end

  local function exchange(life)
    srv.exchanged = {}
    srv.answers["POST /api/auth/jwt/access_token"] = function(req)
      table.insert(srv.exchanged, json.decode(req.body).token)
      local token = jwt(life or 300)
      srv.given = token
      return { json = { token = token, expires_at = os.time() + (life or 300) } }
    end
  end

  it("of upstream's token method uses the JWT of the file while it lasts", function()
    local kept = jwt(200)
    write_login(upstream_pat(crypto.hex(32), kept))
    assert.equal(0, pai_run("version"))
    assert.equal("Bearer " .. kept, bearer())
    assert.equal(1, #srv.calls)
  end)

  it("of upstream's token method is exchanged when it has ended, and kept in the file", function()
    local pat = crypto.base64_encode(crypto.random(32), { url = true })
    assert.equal(43, #pat)
    exchange()
    write_login(upstream_pat(pat, jwt(2)))
    local code, out, said = pai_run("version")
    assert.equal(0, code, said)
    assert.is_nil((out .. said):find(pat, 1, true))
    assert.same({ pat }, srv.exchanged)
    assert.equal("Bearer " .. srv.given, bearer())
    local doc = read_login()
    assert.equal(srv.given, doc.token_login.id_token)
    assert.equal(pat, doc.token_login.refresh_token)
    assert.equal(srv.url, doc.url)
    assert.is_true(doc.osmo_token)
    assert.equal(json.null, doc.dev_login)
    assert.equal(384, fs.stat(config .. "/login.yaml").mode)
    -- the next command finds it there
    assert.equal(0, pai_run("version"))
    assert.equal(1, #srv.exchanged)
  end)

  it(
    "of an identity provider is refreshed at its own address, which may change the token",
    function()
      local forms = {}
      local fresh, rotated = jwt(300), 'new+/=&"\\' .. crypto.hex(16)
      local idp = assert(require("pai.serve").listen({
        handler = function(req)
          forms[#forms + 1] = req
          return { json = { id_token = fresh, refresh_token = rotated, access_token = "unused" } }
        end,
      }))
      local old = "old+refresh/token=&" .. crypto.hex(16)
      write_login(([[
dev_login: null
name: alice
osmo_token: false
token_login:
  client_id: osmo-browser
  id_token: %s
  refresh_token: %s
  refresh_url: http://127.0.0.1:%d/oauth/token
  username: alice
url: %s
]]):format(jwt(-5), old, idp:port(), srv.url))
      local code, _, said = pai_run("version")
      assert.equal(0, code, said)
      idp:close()
      assert.equal(1, #forms)
      assert.equal("application/x-www-form-urlencoded", forms[1].headers["content-type"])
      assert.is_nil(forms[1].headers.authorization)
      local fields = {}
      for name, value in forms[1].body:gmatch("([^&=]+)=([^&]*)") do
        fields[name] = value:gsub("%%(%x%x)", function(h)
          return string.char(tonumber(h, 16))
        end)
      end
      assert.same(
        { grant_type = "refresh_token", refresh_token = old, client_id = "osmo-browser" },
        fields
      )
      assert.equal("Bearer " .. fresh, bearer())
      local doc = read_login()
      assert.equal(rotated, doc.token_login.refresh_token)
      assert.equal(fresh, doc.token_login.id_token)
      assert.is_false(doc.osmo_token)
      assert.equal("osmo-browser", doc.token_login.client_id)
      -- Python's YAML reads the same
      local r = assert(exec.run({
        "/usr/bin/python3",
        "-c",
        "import sys, yaml, json; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))",
        config .. "/login.yaml",
      }, { raw = true }))
      assert.same(doc, assert(json.decode(r.stdout)))
    end
  )

  it("by password, whose file names no client, is refreshed for the service's own", function()
    local forms, fresh = {}, jwt(300)
    local idp = assert(require("pai.serve").listen({
      handler = function(req)
        forms[#forms + 1] = req.body
        return { json = { id_token = fresh } }
      end,
    }))
    srv.answers["GET /api/auth/login"] = {
      json = { device_client_id = "osmo-device", browser_client_id = "osmo-browser" },
    }
    local text = "dev_login: null\nosmo_token: false\n"
      .. "token_login: {client_id: null, id_token: %s, username: null,\n"
      .. "  refresh_token: r%s, refresh_url: 'http://127.0.0.1:%d/t'}\nurl: %s\n"
    write_login(text:format(jwt(-5), crypto.hex(8), idp:port(), srv.url))
    local code, _, said = pai_run("version")
    idp:close()
    assert.equal(0, code, said)
    assert.matches("client_id=osmo%-device", forms[1])
    assert.equal("Bearer " .. fresh, bearer())
    -- a provider that gave no refresh token: used while it lasts, and then over
    text = "osmo_token: false\ntoken_login: {id_token: %s, refresh_token: null,\n"
      .. "  refresh_url: 'http://127.0.0.1:1/t', client_id: c}\nurl: %s\n"
    write_login(text:format(jwt(100), srv.url))
    assert.equal(0, pai_run("version"))
    write_login(text:format(jwt(-5), srv.url))
    code, _, said = pai_run("version")
    assert.equal(1, code)
    assert.matches("the login has ended", said, 1, true)
  end)

  it("that has ended says how to log in again", function()
    local idp = assert(require("pai.serve").listen({
      handler = function()
        return { status = 400, json = { error = "invalid_grant" } }
      end,
    }))
    local text = "osmo_token: false\ntoken_login: {id_token: %s, refresh_token: x%s,\n"
      .. "  refresh_url: 'http://127.0.0.1:%d/t', client_id: c}\nurl: %s\n"
    write_login(text:format(jwt(-5), crypto.hex(8), idp:port(), srv.url))
    local code, _, said = pai_run("version")
    idp:close()
    assert.equal(1, code)
    assert.matches("the login has ended", said, 1, true)
    assert.matches("OSMO's own command line", said, 1, true)
    assert.equal(0, #srv.calls)
    write_login(upstream_pat(crypto.hex(32), jwt(-5)))
    srv.answers["POST /api/auth/jwt/access_token"] = {
      status = 400,
      json = { message = "bad", error_code = "USER", workflow_id = json.null },
    }
    code, _, said = pai_run("version")
    assert.equal(1, code)
    assert.matches("pai osmo login URL --method token", said, 1, true)
  end)

  it("sends an access token to the service's own address only", function()
    local text = upstream_pat(crypto.hex(32), jwt(-5))
    write_login((text:gsub("refresh_url: [^\n]*", "refresh_url: https://127.0.0.1:9/steal")))
    local code, _, said = pai_run("version")
    assert.equal(1, code)
    assert.matches("refresh_url that is not the service's", said, 1, true)
    -- an identity provider is anywhere, but over TLS or on this machine
    text = "osmo_token: false\ntoken_login: {id_token: %s, refresh_token: x%s,\n"
      .. "  refresh_url: 'http://%s/t', client_id: c}\nurl: %s\n"
    for host in ("idp.test 127.idp.test 127.0.0.1.idp.test localhost.idp.test"):gmatch("%S+") do
      write_login(text:format(jwt(-5), crypto.hex(8), host, srv.url))
      code, _, said = pai_run("version")
      assert.equal(1, code)
      assert.matches("refresh_url that is not the service's", said, 1, true)
    end
  end)

  it("is refused when its file cannot be one", function()
    for text, why in pairs({
      ["url: [1"] = "did not find expected",
      ["name: x\n"] = "it names no url",
      ["url: https://a\n"] = "neither a dev_login nor a token_login",
      ["url: https://a\ndev_login: {}\n"] = "names no username",
      ["url: https://a\nosmo_token: true\ntoken_login: {id_token: x}\n"] = "no refresh_token",
      ["url: https://a\ndev_login: {username: a}\ntoken_login: {id_token: x}\n"] = "a dev_login",
    }) do
      write_login(text)
      local code, _, said = pai_run("version", "--target", srv.url)
      assert.equal(1, code)
      assert.matches(why, said, 1, true)
      assert.matches("log in again", said, 1, true)
    end
  end)

  it("is renewed once for all requests that wait for it", function()
    exchange()
    fs.write(dir .. "/token", crypto.hex(32), { mode = 384 })
    local c = assert(client.connect({
      target = srv.url,
      token = assert(secret.from_file(dir .. "/token")),
    }))
    local jobs = {}
    for i = 1, 8 do
      jobs[i] = function()
        return assert(c:version())
      end
    end
    async.all(jobs)
    assert.equal(1, #srv.exchanged)
    assert.equal(9, #srv.calls)
  end)

  it("that fails to renew fails for all that wait, and is tried again later", function()
    fs.write(dir .. "/token", crypto.hex(32), { mode = 384 })
    srv.answers["POST /api/auth/jwt/access_token"] = function()
      task.sleep(20)
      return { status = 400, json = { message = "no", error_code = "USER" } }
    end
    local c = assert(client.connect({
      target = srv.url,
      token = assert(secret.from_file(dir .. "/token")),
    }))
    local jobs, codes = {}, {}
    for i = 1, 3 do
      jobs[i] = function()
        local _, e = c:version()
        codes[i] = e.code
      end
    end
    async.all(jobs)
    assert.same({ "EACCES", "EACCES", "EACCES" }, codes)
    assert.equal(1, #srv.calls)
    exchange()
    assert(c:version())
  end)

  it("is renewed when the service refuses its bearer, and the request sent again", function()
    exchange()
    local refusals = 0
    local function guarded(answer)
      return function(req)
        if req.headers.authorization ~= "Bearer " .. srv.given then
          refusals = refusals + 1
          return { status = 401, body = "Jwt is expired" }
        end
        return answer
      end
    end
    srv.answers["GET /api/version"] = guarded(srv.answers["GET /api/version"])
    srv.answers["POST /api/workflow/{id}/cancel"] = guarded({ json = { name = "x-1" } })
    srv.given = "none"
    -- a clock that is wrong, or keys that were changed: the file's token looks good and is not
    write_login(upstream_pat(crypto.hex(32), jwt(250)))
    assert.equal(0, pai_run("version"))
    assert.equal(1, refusals)
    write_login(upstream_pat(crypto.hex(32), jwt(250)))
    assert.equal(0, pai_run("cancel", "x-1"))
    assert.equal(2, refusals)
    -- but only once
    srv.answers["GET /api/version"] = { status = 401, body = "Jwt verification fails" }
    local before = #srv.exchanged
    local code, _, said = pai_run("version")
    assert.equal(1, code)
    assert.matches("Jwt verification fails", said, 1, true)
    assert.matches("pai osmo login", said, 1, true)
    assert.equal(before + 1, #srv.exchanged)
  end)

  it("is renewed before each poll of a long wait", function()
    exchange(4) -- with the 3 seconds that it is renewed early, good for one
    local polls = 0
    srv.answers["GET /api/workflow/{id}"] = function(req)
      assert.equal("Bearer " .. srv.given, req.headers.authorization)
      polls = polls + 1
      local status = polls < 3 and "RUNNING" or "COMPLETED"
      return { json = { name = "x-1", status = status, groups = json.array({}) } }
    end
    fs.write(dir .. "/token", crypto.hex(32), { mode = 384 })
    local c = assert(client.connect({
      target = srv.url,
      token = assert(secret.from_file(dir .. "/token")),
    }))
    assert.equal("COMPLETED", c:wait("x-1", { every = 1100, first = 1100 }).status)
    assert.is_true(#srv.exchanged >= 2)
  end)

  it("of the dev method is written as upstream's client does, and is used", function()
    assert.equal(0, pai_run("login", srv.url .. "/", "--method", "dev", "--username", "bob"))
    local doc = read_login()
    assert.same({
      url = srv.url,
      name = "bob",
      osmo_token = false,
      dev_login = { username = "bob" },
      token_login = json.null,
    }, doc)
    assert.equal(384, fs.stat(config .. "/login.yaml").mode)
    assert.equal(0, pai_run("version"))
    assert.equal("bob", srv.calls[#srv.calls].headers["x-osmo-user"])
    assert.is_nil(bearer())
  end)

  it("carries the name beside the bearer when OSMO_LOGIN_DEV says so", function()
    local kept = jwt(200)
    write_login(upstream_pat(crypto.hex(32), kept))
    env.OSMO_LOGIN_DEV = "true"
    assert.equal(0, pai_run("version"))
    assert.equal("alice", srv.calls[#srv.calls].headers["x-osmo-user"])
    assert.equal("Bearer " .. kept, bearer())
  end)

  it("is forgotten by logout", function()
    write_login(upstream_pat(crypto.hex(32), jwt(200)))
    local code, out = pai_run("logout")
    assert.equal(0, code)
    assert.matches("logged out", out, 1, true)
    assert.is_false(fs.exists(config .. "/login.yaml"))
    code, out = pai_run("logout")
    assert.equal(0, code)
    assert.matches("no login", out, 1, true)
  end)

  it("by a method that pai has not says how to go about it", function()
    for _, method in ipairs({ "pkce", "code", "password" }) do
      local code, _, said = pai_run("login", srv.url, "--method", method)
      assert.equal(2, code)
      assert.matches("osmo login", said, 1, true)
      assert.matches(method, said, 1, true)
    end
    local code, _, said = pai_run("login", srv.url, "--method", "magic")
    assert.equal(2, code)
    assert.matches("magic", said, 1, true)
  end)

  it(
    "takes an access token from a file, the environment or standard input, and shows it never",
    function()
      local pat = crypto.hex(32)
      fs.write(dir .. "/token", pat .. "\n", { mode = 384 })
      env.MY_TOKEN = pat
      local file = { "--token-file", dir .. "/token" }
      for _, args in ipairs({ file, { "--token-env", "MY_TOKEN" } }) do
        exchange()
        local code, out, said = pai_run("login", srv.url, "--json", table.unpack(args))
        assert.equal(0, code, said)
        assert.is_nil((out .. said):find(pat, 1, true))
        assert.same({ pat }, srv.exchanged)
        assert.equal("token", json.decode(out).method)
      end
      exchange()
      local r = assert(
        exec.run(
          { pai.exe, "osmo", "login", srv.url, "--token-file", "-" },
          { env = env, stdin = pat .. "\n" }
        )
      )
      assert.same({ pat }, srv.exchanged)
      assert.is_nil((r.stdout .. r.stderr):find(pat, 1, true))
    end
  )

  it("sends whatever the contract has for it", function()
    assert.same({}, contract.unsent("login"))
  end)
end)
