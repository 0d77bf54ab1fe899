-- Inputs, outputs and checkpoints in object stores: an S3 server that checks signatures and
-- Azurite, with keys from the credentials of the engine and from the configuration of its user.
local S = dofile("tests/spec/engine/support.lua")
local W = dofile("tests/spec/store/support.lua")
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local store = require("pai.store")
local task = require("pai.task")

-- Whatever a caller has set must not stand in for a key.
local CLEAN <const> = {
  AWS_ACCESS_KEY_ID = "",
  AWS_SECRET_ACCESS_KEY = "",
  AWS_SHARED_CREDENTIALS_FILE = "/nonexistent/credentials",
  AWS_CONFIG_FILE = "/nonexistent/config",
  AZURE_STORAGE_CONNECTION_STRING = "",
}

describe("object stores of tasks", function()
  local s3, azurite, engine, config

  setup(function()
    W.dir = fs.tempdir({ prefix = "pai-objects-" })
    config = W.path("osmo")
    assert(fs.mkdir(config, { mode = "0700" }))
    task.run(function()
      s3, azurite = W.s3(), W.azurite()
      local account = azurite.account
      azurite.place = ("azure://%s/made"):format(account)
      local made = assert(store.open(azurite.place, {
        keys = { connection_string = W.handle(W.connection(azurite)) },
      }))
      made.driver:send("make the container", { method = "PUT", query = { restype = "container" } })
    end)
    local env = { OSMO_CONFIG_FILE_DIR = config }
    for name, value in pairs(CLEAN) do
      env[name] = value
    end
    engine = S.start({ env = env })
    local function set(name, data)
      local status, body =
        engine:request("POST", "/api/credentials/" .. name, { json = { data_credential = data } })
      assert.equal(200, status, type(body) == "table" and body.message)
    end
    set("s3", {
      endpoint = "s3://bucket",
      access_key_id = s3.id,
      access_key = s3.key,
      override_url = s3.url,
      region = "us-east-1",
    })
    set("az", {
      endpoint = "azure://" .. azurite.account,
      access_key_id = azurite.account,
      access_key = W.connection(azurite),
    })
  end)
  teardown(function()
    S.stop_all()
    W.stop(s3)
    W.stop(azurite)
    fs.remove(W.dir, { recursive = true })
  end)

  local function s3_store(url)
    return assert(store.open(url, { keys = W.keys(s3) }))
  end

  local function azure_store(path)
    local keys = { connection_string = W.handle(W.connection(azurite)) }
    return assert(store.open(azurite.place .. path, { keys = keys }))
  end

  -- Puts files, by name, below a place.
  local function put(place, files)
    local list = {}
    for name, contents in pairs(files) do
      list[#list + 1] = { path = W.write("put/" .. crypto.hex(4), contents), name = name }
    end
    assert(place:upload(list))
  end

  -- What lies below a place, by name.
  local function contents(place)
    local dir = W.path("got-" .. crypto.hex(4))
    assert(place:download(dir))
    local out = {}
    for _, name in ipairs(fs.walk(dir)) do
      out[name] = fs.read(dir .. "/" .. name)
    end
    return out
  end

  local function run(entry, script)
    local q = engine:run({ name = "objects", tasks = { S.sh("t", script, entry) } })
    return S.tasks(q).t, engine:log(q.name)
  end

  local COPY <const> = "cp -R {{input:0}}/. {{output}}/; ls -R {{input:0}}"

  for _, kind in ipairs({ "s3", "azure" }) do
    local function place(path)
      return kind == "s3" and "s3://bucket" .. path or azurite.place .. path
    end
    local function open(path)
      return kind == "s3" and s3_store(place(path)) or azure_store(path)
    end

    it(kind .. ": a folder becomes an input, the output a folder", function()
      put(open("/in"), { ["a.txt"] = "one\n", ["deep/b"] = "two\n", [".dot"] = "three\n" })
      local t, log = run(
        {
          inputs = { { url = place("/in") } },
          outputs = { { url = place("/out") } },
        },
        COPY
          .. "; ln -s a.txt {{output}}/near; ln -s /etc/hostname {{output}}/far; "
          .. "ln -s far {{output}}/farther"
      )
      assert.equal("COMPLETED", t.status, log)
      assert.same({
        ["a.txt"] = "one\n",
        ["deep/b"] = "two\n",
        [".dot"] = "three\n",
        near = "one\n",
      }, contents(open("/out")))
      assert.truthy(log:find("Left out far:", 1, true))
      assert.truthy(log:find("Left out farther:", 1, true))
      assert.truthy(log:find("Downloaded 3 files, 14 bytes", 1, true))
    end)

    it(kind .. ": one object becomes a file, regex chooses", function()
      put(open("/pick"), { ["a.png"] = "A", ["b.txt"] = "B\n", ["sub/c.png"] = "C" })
      local t, log = run({
        inputs = { { url = place("/pick/b.txt") }, { url = place("/pick"), regex = [[.*\.png]] } },
        outputs = { { url = place("/chosen"), regex = [[.*c.*]] } },
      }, "cat {{input:0}}/b.txt; cp -R {{input:1}}/. {{output}}/; touch {{input:0}}/x || echo ro")
      assert.equal("COMPLETED", t.status, log)
      assert.truthy(log:find("[t] B", 1, true))
      assert.truthy(log:find("[t] ro", 1, true))
      assert.same({ ["sub/c.png"] = "C" }, contents(open("/chosen")))
    end)

    it(kind .. ": checkpoints, while it runs and at the end", function()
      local mark = open("/marks/step")
      local id = engine:submit({
        name = "marks",
        tasks = {
          S.sh(
            "t",
            "echo 1 > {{output}}/step; until test -e /osmo/run/go; do sleep 0.1; done; "
              .. "echo 2 > {{output}}/step",
            {
              checkpoint = {
                { path = "/osmo/data/output", url = place("/marks"), frequency = "1s" },
              },
              outputs = { { url = place("/marked") } },
            }
          ),
        },
      })
      task.run(function()
        S.eventually(function()
          return mark:stat()
        end)
      end)
      assert.equal("1\n", contents(open("/marks")).step)
      fs.write(fs.glob(engine.paths.runs .. "/" .. id .. "/tasks/*/run")[1] .. "/go", "")
      local q = assert(engine.client:wait(id, { every = "20ms", timeout = "60s" }))
      assert.equal("COMPLETED", q.status, engine:log(id))
      assert.equal("2\n", contents(open("/marks")).step)
    end)
  end

  it("take a file of several parts in and out", function()
    local path = W.big("big", 20 << 20)
    assert(s3_store("s3://bucket/parts"):upload({ path }))
    local t, log = run({
      inputs = { { url = "s3://bucket/parts" } },
      outputs = { { url = "s3://bucket/whole" } },
    }, "cp {{input:0}}/big {{output}}/big")
    assert.equal("COMPLETED", t.status, log)
    assert(s3_store("s3://bucket/whole"):download(W.path("whole")))
    assert.equal(W.sum(path), W.sum(W.path("whole/big")))
  end)

  it("fail by name for an input that is not there", function()
    local t, log = run({ inputs = { { url = "s3://bucket/nothing-here" } } }, "true")
    assert.equal("FAILED", t.status)
    assert.equal(2010, t.exit_code)
    assert.truthy(t.failure_message:find("s3://bucket/nothing-here", 1, true), log)
  end)

  it("are refused without a key, before anything runs", function()
    for url, what in pairs({
      ["s3://other/in"] = "s3://other",
      ["s3://bucket2/in"] = "s3://bucket2",
      ["gs://bucket/in"] = "gs://bucket",
      ["swift://host/account/container/in"] = "swift://host/account",
      ["tos://host/bucket/in"] = "tos://host",
      ["azure://someone/container"] = "azure://someone",
    }) do
      for _, entry in ipairs({ { inputs = { { url = url } } }, { outputs = { { url = url } } } }) do
        local answer, e = engine.client:submit({
          spec = S.spec({ name = "no", tasks = { S.sh("t", "true", entry) } }),
        })
        assert.is_nil(answer)
        assert.equal("CREDENTIAL", e.error_code)
        assert.truthy(e.message:find("no key for " .. what, 1, true), e.message)
      end
    end
  end)

  it("use the user's configuration where there is no credential", function()
    local yaml = ("auth:\n  data:\n    s3://other:\n      access_key_id: %s\n"):format(s3.id)
      .. ("      access_key: %s\n      override_url: %s\n"):format(s3.key, s3.url)
      .. "      region: us-east-1\n"
    assert(fs.write(config .. "/config.yaml", yaml, { mode = "0600" }))
    local t, log = run({ outputs = { { url = "s3://other/x" } } }, "echo yes > {{output}}/y")
    fs.remove(config .. "/config.yaml")
    assert.equal("COMPLETED", t.status, log)
    assert.same({ y = "yes\n" }, contents(s3_store("s3://other/x")))
  end)

  it("say that a key is refused, and no key", function()
    local wrong = crypto.hex(20)
    engine:request("POST", "/api/credentials/wrong", {
      json = {
        data_credential = {
          endpoint = "s3://bucket/locked",
          access_key_id = s3.id,
          access_key = wrong,
          override_url = s3.url,
          region = "us-east-1",
        },
      },
    })
    local t, log =
      run({ outputs = { { url = "s3://bucket/locked/x" } } }, "echo it ran; echo > {{output}}/y")
    assert.equal("FAILED", t.status)
    assert.equal(2014, t.exit_code, t.failure_message)
    -- It is said before anything runs.
    assert.is_nil(log:find("it ran", 1, true), log)
    local said = fs.read(engine.paths.log) .. log .. t.failure_message
    for _, key in ipairs({ wrong, s3.key, azurite.key }) do
      assert.is_nil(said:find(key, 1, true))
    end
    engine:request("POST", "/api/credentials/away", {
      json = {
        data_credential = {
          endpoint = "s3://no-such-bucket",
          access_key_id = s3.id,
          access_key = s3.key,
          override_url = s3.url,
          region = "us-east-1",
        },
      },
    })
    local away, away_log =
      run({ outputs = { { url = "s3://no-such-bucket/x" } } }, "echo it ran; echo > {{output}}/y")
    assert.equal(2013, away.exit_code, away.failure_message)
    assert.is_nil(away_log:find("it ran", 1, true), away_log)
    -- The longest endpoint counts: beside it the other key still works.
    local other, other_log =
      run({ outputs = { { url = "s3://bucket/free" } } }, "echo > {{output}}/y")
    assert.equal("COMPLETED", other.status, other_log)
  end)
end)
