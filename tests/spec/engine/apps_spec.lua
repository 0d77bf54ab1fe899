-- Apps, the list of tasks, and what a client asks about the service and itself.
local S = dofile("tests/spec/engine/support.lua")
local fs = require("pai.fs")
local json = require("pai.json")

describe("the engine's", function()
  local engine

  setup(function()
    engine = S.start()
  end)
  teardown(function()
    engine:stop()
  end)

  local function spec(text)
    return S.spec({ name = "from-app", tasks = { S.sh("t", "echo " .. text) } })
  end

  describe("apps", function()
    local uuid

    it("are kept in versions", function()
      local status, made = engine:request("POST", "/api/app/user/demo?description=a%20demo", {
        body = json.encode(spec("one")),
      })
      assert.equal(200, status)
      assert.equal(1, made.version)
      uuid = made.uuid
      local _, second = engine:request("PATCH", "/api/app/user/demo", {
        body = json.encode(spec("two")),
      })
      assert.equal(2, second.version)
      local _, info = engine:request("GET", "/api/app/user/demo")
      assert.equal("a demo", info.description)
      assert.equal(fs.user(), info.owner)
      assert.same({ 1, 2 }, { info.versions[1].version, info.versions[2].version })
      local _, text = engine:request("GET", "/api/app/user/demo/spec")
      assert.equal(spec("two"), text)
      _, text = engine:request("GET", "/api/app/user/demo/spec?version=1")
      assert.equal(spec("one"), text)
      local _, list = engine:request("GET", "/api/app?name=dem")
      assert.equal(1, #list.apps)
      assert.equal(2, list.apps[1].latest_version)
    end)

    it("are known by the runs that come from them", function()
      local status, answer = engine:request(
        "POST",
        ("/api/pool/local/workflow?app_uuid=%s&app_version=1"):format(uuid),
        { json = { file = spec("one") } }
      )
      assert.equal(200, status)
      local q = assert(engine.client:wait(answer.name, { every = "20ms", timeout = "60s" }))
      assert.equal("demo", q.app_name)
      assert.equal(1, q.app_version)
      assert.equal(fs.user(), q.app_owner)
      for filter, count in pairs({ demo = 1, ["demo:1"] = 1, ["demo:2"] = 0, other = 0 }) do
        local _, list = engine:request("GET", "/api/workflow?app=" .. filter)
        assert.equal(count, #list.workflows, filter)
      end
      assert.equal(
        400,
        (
          engine:request("POST", "/api/pool/local/workflow?app_uuid=" .. ("0"):rep(32), {
            json = { file = spec("one") },
          })
        )
      )
    end)

    it("refuse what is wrong and change nothing", function()
      local function refused(code, method, path, opts)
        local status, body = engine:request(method, path, opts)
        assert.is_true(status == 400 or status == 422, method .. " " .. path)
        assert.equal(code, body.error_code)
      end
      local text = { body = json.encode(spec("x")) }
      refused("USER", "POST", "/api/app/user/demo", text)
      refused("USER", "POST", "/api/app/user/1x", text)
      refused(nil, "POST", "/api/app/user/other", { body = "{}" })
      refused("DATABASE", "GET", "/api/app/user/other")
      refused("DATABASE", "GET", "/api/app/user/demo/spec?version=9")
      refused("USAGE", "DELETE", "/api/app/user/demo")
      refused("DATABASE", "DELETE", "/api/app/user/demo?version=9")
      local stranger = { body = json.encode(spec("x")), headers = { ["x-osmo-user"] = "stranger" } }
      refused("USER", "PATCH", "/api/app/user/demo", stranger)
      refused("USER", "POST", "/api/app/user/demo/rename", { body = '"demo"' })
      refused(nil, "POST", "/api/app/user/demo/rename?new_name=other", {})
      assert.equal(2, #select(2, engine:request("GET", "/api/app/user/demo")).versions)
    end)

    it("are renamed and deleted", function()
      local _, name = engine:request("POST", "/api/app/user/demo/rename", { body = '"renamed"' })
      assert.equal("renamed", name)
      local _, gone = engine:request("DELETE", "/api/app/user/renamed?version=2")
      assert.same({ 2 }, gone.versions)
      -- A number is not given twice.
      local _, third = engine:request("PATCH", "/api/app/user/renamed", {
        body = json.encode(spec("three")),
      })
      assert.equal(3, third.version)
      _, gone = engine:request("DELETE", "/api/app/user/renamed?all_versions=true")
      assert.same({ 1, 3 }, gone.versions)
      assert.equal(400, (engine:request("GET", "/api/app/user/renamed")))
    end)
  end)

  describe("list of tasks", function()
    local hold

    setup(function()
      engine:run({
        name = "done",
        resources = { default = { cpu = 2, memory = "2Gi" } },
        tasks = { S.sh("good", "true"), S.sh("bad", "exit 3") },
      })
      hold = engine:submit({ name = "hold", tasks = { S.sh("busy", "sleep 60") } })
      S.eventually(function()
        return engine.client:query(hold).status == "RUNNING"
      end)
    end)
    teardown(function()
      assert(engine.client:cancel(hold, { force = true }))
    end)

    local function names(query)
      local status, answer = engine:request("GET", "/api/task?" .. query)
      assert.equal(200, status, query)
      local out = {}
      for i, t in ipairs(answer.tasks) do
        out[i] = t.task_name
      end
      return out, answer.tasks
    end

    it("has filters", function()
      assert.same({ "busy" }, names("statuses=RUNNING"))
      assert.same({ "bad" }, names("statuses=FAILED&workflow_id=done"))
      assert.same({ "good", "bad" }, names("workflow_id=done-&limit=5"))
      assert.same({ "bad", "good" }, names("workflow_id=done-&order=DESC"))
      assert.same({ "bad" }, names("workflow_id=done-&offset=1"))
      assert.same({}, names("users=nobody-here"))
      assert.same({}, names("nodes=elsewhere"))
      assert.same({ "busy" }, names("statuses=RUNNING&nodes=" .. fs.hostname()))
      assert.same({}, names("workflow_id=done&started_after=2100-01-01"))
      local _, list = names("statuses=RUNNING")
      assert.equal(hold, list[1].workflow_id)
      assert.equal(json.null, list[1].end_time)
      assert.equal(1, list[1].cpu)
      for _, query in ipairs({ "statuses=NO", "limit=x", "started_after=x" }) do
        assert.equal(422, (engine:request("GET", "/api/task?" .. query)))
      end
      assert.equal(400, (engine:request("GET", "/api/task?limit=1001")))
    end)

    it("can be summed up", function()
      local _, answer = engine:request("GET", "/api/task?summary=true&workflow_id=done")
      assert.same({
        {
          user = fs.user(),
          pool = "local",
          priority = "NORMAL",
          cpu = 4,
          gpu = 0,
          memory = 4.0,
          storage = 2.0,
        },
      }, answer.summaries)
      _, answer =
        engine:request("GET", "/api/task?summary=true&aggregate_by_workflow=true&workflow_id=done")
      assert.truthy(answer.summaries[1].workflow_id:find("^done%-"))
    end)
  end)

  it("profile, versions, users and tags are there for clients that ask", function()
    for _, path in ipairs({ "/api/version", "/api/router/version", "/client/version" }) do
      local status, answer = engine:request("GET", path)
      assert.equal(200, status)
      assert.equal("6", answer.major)
    end
    assert.same({ tags = {} }, select(2, engine:request("GET", "/api/tag")))
    local _, users = engine:request("GET", "/api/users")
    assert.same({ (fs.user()) }, users)
    local _, list = engine:request("GET", "/api/auth/user?count=5")
    assert.equal(1, list.total_results)
    assert.equal(1, list.items_per_page)
    assert.equal((fs.user()), list.users[1].id)
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT", list.users[1].created_at)
    local counts = { ["roles=osmo-admin"] = 0, ["roles=osmo-user"] = 1, ["id_prefix=,"] = 0 }
    for query, n in pairs(counts) do
      assert.equal(n, #select(2, engine:request("GET", "/api/auth/user?" .. query)).users, query)
    end
    assert.same({}, select(2, engine:request("GET", "/api/auth/user?start_index=2")).users)
    local _, user = engine:request("GET", "/api/auth/user/" .. fs.user())
    assert.equal("osmo-user", user.roles[1].role_name)
    _, user = engine:request("GET", "/api/auth/user/" .. fs.user() .. "/roles")
    assert.equal("osmo-user", user.roles[1].role_name)
    assert.equal(400, (engine:request("GET", "/api/auth/user/nobody-here")))
    assert.same({ keys = {} }, select(2, engine:request("GET", "/api/auth/keys")))
    assert.same({}, select(2, engine:request("GET", "/api/auth/access_token")))
    local gone, said = engine:request("DELETE", "/api/auth/access_token/mine")
    assert.equal(400, gone)
    assert.equal("Access token mine does not exist.", said.message)
    assert.is_false(select(2, engine:request("GET", "/api/plugins/configs")).rsync.enabled)
    local function post(body)
      return engine:request("POST", "/api/profile/settings", { json = body })
    end
    local status, answer = post({ pool = "local" })
    assert.equal(200, status)
    assert.equal(json.null, answer)
    assert.equal(400, (post({ pool = "none" })))
    assert.equal(400, (post({ email_notification = true })))
    assert.equal(422, (post({ colour = "red" })))
    local _, settings = engine:request("GET", "/api/profile/settings")
    assert.equal("local", settings.profile.pool)
  end)
end)
