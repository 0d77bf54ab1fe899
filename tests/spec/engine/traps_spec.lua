-- What OSMO does with groups and quantities otherwise than one would think, and the engine, too.
local S = dofile("tests/spec/engine/support.lua")
local crypto = require("pai.crypto")
local serve = require("pai.serve")
local task = require("pai.task")

describe("a trap of OSMO's, in the engine:", function()
  local engine, store, held

  setup(function()
    engine = S.start({ env = { PAI_ENGINE_CORES = "4", PAI_ENGINE_MEMORY = "8Gi" } })
  end)
  teardown(function()
    engine:stop()
  end)
  before_each(function()
    held = true
    store = assert(serve.listen({
      host = "127.0.0.1",
      port = 0,
      handler = function(req)
        if req.query["list-type"] then
          local body = '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>'
            .. "<Contents><Key>in/a</Key><Size>3</Size></Contents></ListBucketResult>"
          return { headers = { ["content-type"] = "application/xml" }, body = body }
        end
        while held do
          task.sleep(10)
        end
        return { body = "abc" }
      end,
    }))
  end)
  after_each(function()
    held = false
    store:close()
  end)

  -- A group of a task whose input is held by the store, and one that has no input.
  local function held_group(barrier)
    local name = crypto.hex(4)
    local status, body = engine:request("POST", "/api/credentials/c" .. name, {
      json = {
        data_credential = {
          endpoint = "s3://held-" .. name,
          access_key_id = "id",
          access_key = crypto.hex(16),
          override_url = "http://127.0.0.1:" .. store:port(),
          region = "eu-1",
        },
      },
    })
    assert.equal(200, status, type(body) == "table" and body.message)
    local inputs = { { url = ("s3://held-%s/in"):format(name) } }
    return engine:submit({
      name = "held",
      groups = {
        {
          name = "pair",
          barrier = barrier,
          tasks = {
            S.sh("slow", "true", { lead = true, inputs = inputs }),
            S.sh("quick", "echo begun"),
          },
        },
      },
    })
  end

  local function release(id)
    held = false
    return assert(engine.client:wait(id, { every = "20ms", timeout = "60s" }))
  end

  it("a task that has its inputs waits until all of its group have theirs", function()
    local id = held_group(true)
    S.eventually(function()
      return engine:log(id):find("[quick][osmo] Waiting for group ready", 1, true)
    end)
    task.sleep(300) -- in which it would begin, if nothing held it
    assert.is_nil(engine:log(id):find("[quick] begun", 1, true))
    local q = release(id)
    assert.equal("COMPLETED", q.status)
    local t = S.tasks(q)
    assert.is_true(t.quick.start_time >= t.slow.input_download_end_time)
  end)

  it("without a barrier it does not", function()
    local id = held_group(false)
    S.eventually(function()
      return engine:log(id):find("[quick] begun", 1, true)
    end, 30000)
    assert.equal("COMPLETED", release(id).status)
    assert.is_nil(engine:log(id):find("group ready", 1, true))
  end)

  it("a group of one task has no barrier, and no host name that means anything", function()
    local q = engine:run({
      name = "single",
      tasks = { S.sh("t", "echo name: {{host:t}}; getent hosts {{host:t}}; echo found: $?") },
    })
    assert.equal("COMPLETED", q.status)
    local log = engine:log(q.name)
    assert.matches("[t] name: t.osmo-", log, 1, true)
    assert.matches("[t] found: 2", log, 1, true)
    assert.is_nil(log:find("group ready", 1, true))
  end)

  it("memory without a unit is bytes, and G and GiB are Gi", function()
    for _, memory in ipairs({ "2147483648", 2147483648, "2G", "2Gi", "2GiB" }) do
      local q = engine:run({
        name = "quantity",
        resources = { default = { memory = memory } },
        tasks = { S.sh("t", "true") },
      })
      local _, t = engine:request("GET", ("/api/workflow/%s/task/t"):format(q.name))
      assert.equal(2.0, t.memory, tostring(memory))
    end
  end)

  it("some refusals leave a FAILED_SUBMISSION run behind, and some do not", function()
    local function one(entry, more)
      local w = { name = "refused", tasks = { S.sh("t", "true", entry) } }
      for key, value in pairs(more or {}) do
        w[key] = value
      end
      return S.spec(w)
    end
    local tasks = {}
    for i = 1, 21 do
      tasks[i] = S.sh("t" .. i, "true")
    end
    local long = ("n"):rep(65)
    for what, case in pairs({
      ["no YAML"] = { "workflow:\n  name: refused\n  tasks: [\n", 1 },
      schema = { one({ args = { true } }), 1 },
      ["length of a name"] = { one(nil, { name = long }), 1 },
      resources = { one(nil, { resources = { default = { gpu = 900 } } }), 1 },
      ["size of a cache"] = { one({ cacheSize = "1GB" }), 1 },
      image = { one({ image = "a:b:c" }), 1 },
      ["url of an input"] = { one({ inputs = { { url = "http://x/y" } } }), 1 },
      ["a credential"] = { one({ credentials = { nowhere = "/c" } }), 1 },
      ["an input of another run"] = { one({ inputs = { { task = "nope-1:t" } } }), 1 },
      template = { "workflow:\n  name: refused\n  tasks: {{nope}}\n", 0 },
      label = { one(nil, { labels = { x = "" } }), 0 },
      ["order of tasks"] = { one({ inputs = { { task = "t" } } }), 0 },
      ["a resource that is not defined"] = { one({ resource = "big" }), 0 },
      ["number of tasks"] = { one(nil, { tasks = tasks }), 0 },
    }) do
      local function left()
        return #engine.client:list({ statuses = { "FAILED_SUBMISSION" }, limit = 1000 })
      end
      local before = left()
      local status = engine:request("POST", "/api/pool/local/workflow", {
        json = { file = case[1] },
      })
      assert.is_true(status >= 400, what)
      assert.equal(before + case[2], left(), what)
    end
  end)
end)
