-- Credentials: what is stored and shown, what tasks get, and that no value is seen anywhere else.
local S = dofile("tests/spec/engine/support.lua")
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")

describe("credentials of the engine", function()
  local engine, value

  setup(function()
    engine = S.start()
    value = "v" .. crypto.hex(16)
  end)
  teardown(function()
    engine:stop()
  end)

  local function set(name, body, user)
    return engine:request("POST", "/api/credentials/" .. name, {
      json = body,
      headers = user and { ["x-osmo-user"] = user },
    })
  end

  local function list(user)
    local _, answer = engine:request("GET", "/api/credentials", {
      headers = user and { ["x-osmo-user"] = user },
    })
    local out = {}
    for _, c in ipairs(answer.credentials) do
      out[c.cred_name] = c
    end
    return out
  end

  local function generic(values)
    return { generic_credential = { credential = values } }
  end

  it("are masked in a stored spec that holds the value all the same", function()
    local word = "v" .. crypto.hex(16)
    assert.equal(200, (engine:request("POST", "/api/credentials/shown", {
      json = { generic_credential = { credential = { word = word } } },
    })))
    local id = engine:submit({
      name = "shown",
      tasks = { S.sh("t", "true", { environment = { PLAIN = word } }) },
    })
    for _, query in ipairs({ "", "?use_template=true" }) do
      local status, text = engine:request("GET", "/api/workflow/" .. id .. "/spec" .. query)
      assert.equal(200, status)
      assert.is_nil(text:find(word, 1, true))
      assert.truthy(text:find("PLAIN", 1, true))
    end
    assert(engine.client:wait(id, { every = "20ms", timeout = "60s" }))
  end)

  it("are stored in files of their user's only, and shown without values", function()
    local status, answer = set("hub", generic({ token = value, other = "plain-text" }))
    assert.equal(200, status)
    assert.equal(json.null, answer)
    assert.same({ cred_name = "hub", cred_type = "GENERIC", profile = json.null }, list().hub)
    local found
    for _, path in ipairs(fs.walk(engine.paths.credentials)) do
      local full = engine.paths.credentials .. "/" .. path
      assert.equal(384, fs.stat(full).mode & 511, path) -- 0600
      found = found or fs.read(full) == value
    end
    assert.is_true(found)
    assert.equal(448, fs.stat(engine.paths.credentials).mode & 511)
    -- Neither the store nor the log of the engine knows the value.
    for _, name in ipairs({ "engine.db", "engine.db-wal", "engine.log" }) do
      local text = fs.read(engine.paths.root .. "/" .. name)
      assert.is_nil(text and text:find(value, 1, true), name)
    end
    assert.same({}, list("somebody-else"))
  end)

  it("follow upstream's rules for setting again", function()
    assert.equal(200, (set("twice", generic({ k = "a-value" }))))
    local status, body = set("twice", generic({ k = "b-value" }))
    assert.equal(400, status)
    assert.equal("CREDENTIAL", body.error_code)
    local function data(bucket, key)
      return {
        data_credential = {
          endpoint = "s3://" .. bucket .. "/",
          access_key_id = "id",
          access_key = key,
        },
      }
    end
    assert.equal(200, (set("store", data("one", value))))
    assert.equal("s3://one", list().store.profile)
    -- The same profile takes the new name; the same name for another profile is refused.
    assert.equal(200, (set("newer", data("one", value .. "2"))))
    assert.is_nil(list().store)
    assert.equal("s3://one", list().newer.profile)
    assert.equal(400, (set("newer", data("two", value))))
    assert.equal(200, (set("reg", { registry_credential = { registry = "", auth = value } })))
    assert.equal("docker.io", list().reg.profile)
  end)

  it("are refused when they are no such thing, and nothing is kept of them", function()
    local before = list()
    for _, body in ipairs({
      {},
      generic({}),
      generic({ ["a/b"] = "x" }),
      generic({ [".."] = "x" }),
      generic({ a = 3 }),
      { generic_credential = { credential = { a = "x" } }, registry_credential = { auth = "x" } },
      { other_credential = {} },
      { data_credential = { endpoint = "https://x", access_key_id = "i", access_key = "k" } },
      { data_credential = { endpoint = "s3://x", access_key_id = "i" } },
      { registry_credential = { registry = "x" } },
    }) do
      local status = set("bad", body)
      assert.is_true(status == 400 or status == 422, json.encode(body))
    end
    assert.equal(400, (set("1bad", generic({ a = "x" }))))
    assert.same(before, list())
    assert.equal(400, (engine:request("DELETE", "/api/credentials/none")))
  end)

  it("reach a task as variables and as files, and its log only masked", function()
    local q = engine:run({
      name = "use",
      tasks = {
        S.sh("env", "echo env=$TOKEN; echo len=$(printf %s $TOKEN | wc -c)", {
          credentials = { hub = { TOKEN = "token" } },
        }),
        S.sh(
          "files",
          "ls /keys; cat /keys/token; echo; wc -c < /keys/token; touch /keys/x || echo ro",
          {
            credentials = { hub = "/keys" },
          }
        ),
        S.sh("both", 'printf %s "$TOKEN" | base64 -w0', {
          credentials = { hub = { TOKEN = "token" } },
        }),
      },
    })
    assert.equal("COMPLETED", q.status)
    local log = engine:log(q.name)
    assert.is_nil(log:find(value, 1, true))
    assert.is_nil(log:find(crypto.base64_encode(value), 1, true))
    assert.truthy(log:find("[env] env=***", 1, true), log)
    assert.truthy(log:find("[env] len=" .. #value, 1, true))
    assert.truthy(log:find("[files] other", 1, true))
    assert.truthy(log:find("[files] " .. #value, 1, true))
    assert.truthy(log:find("[files] ro", 1, true), log)
  end)

  it("are masked after the engine was started anew, too", function()
    engine:kill()
    engine:boot()
    local q = engine:run({
      name = "said",
      tasks = {
        S.sh(
          "t",
          "cat note",
          { files = { { path = "note", contents = "said " .. value .. "\n" } } }
        ),
      },
    })
    assert.is_nil(engine:log(q.name):find(value, 1, true))
    assert.truthy(engine:log(q.name):find("said ***", 1, true))
  end)

  it("must be there, of the right type, with the right keys", function()
    for said, credentials in pairs({
      ["the credential none is not set"] = { none = "/keys" },
      ["has no key missing"] = { hub = { TOKEN = "missing" } },
      ["is of the type REGISTRY"] = { reg = "/keys" },
    }) do
      local status, body = engine:request("POST", "/api/pool/local/workflow", {
        json = {
          file = S.spec({
            name = "no",
            tasks = { S.sh("t", "true", { credentials = credentials }) },
          }),
        },
      })
      assert.equal(400, status)
      assert.equal("CREDENTIAL", body.error_code)
      assert.truthy(body.message:find(said, 1, true), body.message)
    end
  end)

  it("of object stores are in the task's config.yaml, beside its login", function()
    local q = engine:run({
      name = "login",
      tasks = {
        S.sh(
          "t",
          "cat $OSMO_CONFIG_FILE_DIR/login.yaml; grep -c s3://one $OSMO_CONFIG_FILE_DIR/config.yaml"
        ),
      },
    })
    local log = engine:log(q.name)
    assert.truthy(log:find("username: " .. fs.user(), 1, true))
    assert.truthy(log:find("osmo_token: false", 1, true))
    assert.truthy(log:find("[t] 1", 1, true))
    assert.is_nil(log:find(value, 1, true))
  end)

  it("never show in a command line, not even when a spec puts them there", function()
    local q = engine:run({ name = "put", tasks = { S.sh("t", "echo " .. value) } })
    assert.equal("FAILED", q.status)
    assert.is_nil(engine:log(q.name):find(value, 1, true))
    assert.truthy(engine:log(q.name):find("is a secret", 1, true))
    local id = engine:submit({
      name = "argv",
      tasks = {
        S.sh("t", "echo up; sleep 60", { credentials = { hub = { TOKEN = "token" } } }),
      },
    })
    S.eventually(function()
      return engine:log(id):find("[t] up", 1, true)
    end)
    local r = assert(exec.run({ "ps", "axww", "-o", "args" }))
    assert.is_nil(r.stdout:find(value, 1, true))
    assert.same({}, S.processes(value))
    assert(engine.client:cancel(id, { force = true }))
  end)

  it("go when they are deleted", function()
    assert.equal(200, (engine:request("DELETE", "/api/credentials/reg")))
    local status, answer = engine:request("DELETE", "/api/credentials/hub")
    assert.equal(200, status)
    assert.equal("hub", answer.credentials[1].cred_name)
    assert.is_nil(list().hub)
    for _, path in ipairs(fs.walk(engine.paths.credentials)) do
      local text = fs.read(engine.paths.credentials .. "/" .. path)
      assert.are_not.equal(value, text)
    end
  end)
end)
