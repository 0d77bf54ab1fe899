-- The client against a scripted service: who asks, logins, errors, the pool.
local client = require("pai.osmo.client")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")
local secret = require("pai.secret")

local scripted = assert(loadfile(pai.root .. "/tests/spec/osmo/scripted.lua"))()

describe("the client of a service", function()
  local s, routes, calls

  before_each(function()
    s = scripted.start()
    routes, calls = s.routes, s.calls
  end)
  after_each(function()
    s:finish()
  end)

  local function connect(opts)
    return s:connect(opts)
  end

  it("says who asks, and leaves the client version out", function()
    routes["GET /api/version"] = scripted.version
    assert.equal("abc", connect():version().hash)
    assert.equal("alice", calls[1].headers["x-osmo-user"])
    assert.is_nil(calls[1].headers["x-osmo-client-version"])
    assert.is_nil(calls[1].headers.authorization)
    assert.truthy(calls[1].headers["user-agent"]:find("^pai/"))
  end)

  it("never stands in for another target", function()
    s.srv:close()
    local c = connect()
    local answer, e = c:version()
    assert.is_nil(answer)
    assert.equal("ENETWORK", e.code)
    local none, why = client.connect({ target = "not a url", user = "x" })
    assert.is_nil(none)
    assert.truthy(why.message:find("no URL", 1, true))
  end)

  it("passes warnings on, once each", function()
    routes["GET /api/version"] = function()
      local answer = scripted.version()
      answer.headers = { ["x-osmo-warning"] = "bmV3IGNsaWVudCBhdmFpbGFibGU=" }
      return answer
    end
    local heard = {}
    local c = connect({
      on_warning = function(text)
        heard[#heard + 1] = text
      end,
    })
    c:version()
    c:version()
    assert.same({ "new client available" }, heard)
  end)

  describe("errors", function()
    local function failing(answer)
      routes["GET /api/workflow/x-1"] = function()
        return answer
      end
      local q, e = connect():query("x-1")
      assert.is_nil(q)
      return e
    end

    it("carry the service's code and message", function()
      local e = failing({
        status = 400,
        json = {
          message = "Workflow x-1 is not found.",
          error_code = "DATABASE",
          workflow_id = json.null,
        },
      })
      assert.equal("EHTTP", e.code)
      assert.equal(400, e.http)
      assert.equal("DATABASE", e.error_code)
      assert.equal("Workflow x-1 is not found.", e.message)
    end)

    it("are read from FastAPI's form, plain text and nothing", function()
      local e = failing({
        status = 422,
        json = { detail = { { type = "x", loc = { "query", "limit" }, msg = "is bad" } } },
      })
      assert.equal("query.limit: is bad", e.message)
      e = failing({ status = 403, body = "access denied" })
      assert.equal("access denied", e.message)
      assert.equal(403, e.http)
      e = failing({ status = 500, json = { message = "Internal server error: oops" } })
      assert.is_nil(e.error_code)
      assert.equal(500, e.http)
      e = failing({ status = 502, body = "" })
      assert.equal(502, e.http)
    end)
  end)

  describe("a token login", function()
    local token_file, token

    before_each(function()
      token = require("pai.crypto").hex(32)
      token_file = s.dir .. "/token"
      fs.write(token_file, token .. "\n", { mode = "0600" })
    end)

    local function exchange(life, counter)
      routes["POST /api/auth/jwt/access_token"] = function(req)
        local body = json.decode(req.body)
        if body.token ~= token then
          return {
            status = 400,
            json = { message = "Invalid", error_code = "USER", workflow_id = json.null },
          }
        end
        counter.n = counter.n + 1
        return { json = { token = "jwt-number-" .. counter.n, expires_at = os.time() + life } }
      end
      routes["GET /api/version"] = scripted.version
    end

    it("exchanges the token for a JWT and renews it in time", function()
      local counter = { n = 0 }
      exchange(300, counter)
      local c = connect({ user = false, token = assert(secret.from_file(token_file)) })
      c:version()
      c:version()
      assert.equal(1, counter.n)
      assert.equal("Bearer jwt-number-1", calls[#calls].headers.authorization)
      assert.is_nil(calls[#calls].headers["x-osmo-user"])
      -- One that is about to end is renewed before it is used.
      exchange(2, counter)
      c = connect({ user = false, token = assert(secret.from_file(token_file)) })
      c:version()
      c:version()
      assert.equal(3, counter.n)
    end)

    it("names a refused token without showing it", function()
      exchange(300, { n = 0 })
      fs.write(token_file, ("f"):rep(64), { mode = "0600" })
      local c = connect({ user = false, token = assert(secret.from_file(token_file)) })
      local answer, e = c:version()
      assert.is_nil(answer)
      assert.equal("EACCES", e.code)
      assert.is_nil(tostring(e.message):find("ffff", 1, true))
    end)

    it("is kept as OSMO's own command line keeps it", function()
      exchange(300, { n = 0 })
      local env = { OSMO_CONFIG_FILE_DIR = s.dir .. "/osmo" }
      local r = assert(exec.run({
        pai.exe,
        "osmo",
        "login",
        s.url .. "/",
        "--method",
        "token",
        "--username",
        "alice",
        "--token-file",
        token_file,
      }, { env = env }))
      assert.is_nil((r.stdout .. r.stderr):find(token, 1, true))
      local path = s.dir .. "/osmo/login.yaml"
      assert.equal(384, fs.stat(path).mode)
      local doc = assert(require("pai.yaml").decode(fs.read(path), { schema = "1.1" }))
      assert.equal(s.url, doc.url)
      assert.is_true(doc.osmo_token)
      assert.equal(json.null, doc.dev_login)
      assert.equal(token, doc.token_login.refresh_token)
      assert.equal(s.url .. "/api/auth/jwt/access_token", doc.token_login.refresh_url)
      assert.same({ "login.yaml" }, fs.list(s.dir .. "/osmo"))
      -- And it is used from there.
      r = assert(exec.run({ pai.exe, "osmo", "version", "--target", "osmo" }, { env = env }))
      assert.truthy(r.stdout:find("OSMO 6.4.0", 1, true))
      assert.truthy(calls[#calls].headers.authorization:find("^Bearer jwt"))
    end)

    it("is not sent to another service than the one it is for", function()
      exchange(300, { n = 0 })
      local config = s.dir .. "/osmo"
      fs.mkdir(config)
      fs.write(
        config .. "/login.yaml",
        ("url: https://osmo.test\nosmo_token: true\ntoken_login: {refresh_token: %s}\n"):format(
          token
        ),
        { mode = "0600" }
      )
      local r, e = exec.run({ pai.exe, "osmo", "version", "--target", s.url }, {
        env = { OSMO_CONFIG_FILE_DIR = config },
      })
      assert.is_nil(r)
      assert.truthy(e.stderr:find("no login for " .. s.url, 1, true))
      assert.equal(0, #calls)
    end)
  end)

  it("keeps a dev login and uses it", function()
    routes["GET /api/version"] = scripted.version
    local env = { OSMO_CONFIG_FILE_DIR = s.dir .. "/osmo" }
    assert(exec.run({
      pai.exe,
      "osmo",
      "login",
      s.url,
      "--method",
      "dev",
      "--username",
      "bob",
    }, { env = env }))
    assert(exec.run({ pai.exe, "osmo", "version" }, { env = env }))
    assert.equal("bob", calls[1].headers["x-osmo-user"])
  end)

  it("refuses a login file that others can read", function()
    local config = s.dir .. "/osmo"
    fs.mkdir(config)
    fs.write(config .. "/login.yaml", "url: " .. s.url .. "\n", { mode = "0644" })
    local r, e = exec.run({ pai.exe, "osmo", "version", "--target", "osmo" }, {
      env = { OSMO_CONFIG_FILE_DIR = config },
    })
    assert.is_nil(r)
    assert.truthy(e.stderr:find("chmod 600", 1, true))
  end)

  describe("the pool", function()
    it("is the profile's, else the only one", function()
      routes["GET /api/profile/settings"] = function()
        return { json = { profile = { pool = json.null }, pools = { "one" }, roles = {} } }
      end
      assert.equal("one", connect():default_pool())
      routes["GET /api/profile/settings"] = function()
        return { json = { profile = { pool = "mine" }, pools = { "a", "b" }, roles = {} } }
      end
      assert.equal("mine", connect():default_pool())
      routes["GET /api/profile/settings"] = function()
        return { json = { profile = { pool = json.null }, pools = { "a", "b" }, roles = {} } }
      end
      local pool, e = connect():default_pool()
      assert.is_nil(pool)
      assert.truthy(e.hint:find("--pool", 1, true))
    end)
  end)
end)
