-- What pai asks, call by call, in the forms of upstream's own command line (contract.lua says where
-- they are from): query encodings and headers. Through the commands themselves.
local client = require("pai.osmo.client")
local json = require("pai.json")
local pai = require("pai")
local task = require("pai.task")

local wire = assert(loadfile(pai.root .. "/tests/spec/osmo/wire.lua"))()

local RUN <const> = {
  user = "alice",
  name = "a-1",
  status = "RUNNING",
  submit_time = "2026-01-02T03:04:05.678901",
  duration = 61.5,
  labels = {},
}
local OLD <const> = {
  user = "alice",
  name = "a-0",
  status = "FAILED_IMAGE_PULL",
  submit_time = "2026-01-01T03:04:05",
  duration = json.null,
  labels = {},
}
local RUNS <const> = { json = { workflows = { RUN, OLD }, more_entries = true } }

describe("pai osmo reads", function()
  local w

  before_each(function()
    w = wire.start()
  end)
  after_each(function()
    w:finish()
  end)

  it("runs, with every filter", function()
    local route = "GET /api/workflow"
    local out, said = w:sends("list", route, RUNS, "GET /api/workflow?all_pools=True&order=DESC")
    assert.matches("a%-1%s+RUNNING%s+alice%s+2026%-01%-02 03:04:05%s+1m 02s", out)
    assert.matches("a%-0%s+FAILED_IMAGE_PULL%s+alice%s+2026%-01%-01 03:04:05%s+%-\n", out)
    assert.matches("--offset 2", said, 1, true)
    local all = "GET /api/workflow?app=train:2&label=team=(red|blue)&label=x=*&limit=7&name=ü&"
      .. "&no_label=old&no_label=y&offset=3&order=DESC&pools=p/1&pools=q&priority=HIGH&priority=LOW"
      .. "&statuses=RUNNING&statuses=COMPLETED&submitted_after=2026-01-31T00:00:00"
      .. "&submitted_before=2026-02-28T00:00:00&tags=a=b&tags=c&users=bob&users=eve"
    w:sends(
      "workflow list --status running --status COMPLETED --user bob --user eve --pool p/1 "
        .. "--pool q --tags a=b --tags c --priority high --priority low --label team=(red|blue) "
        .. "--label x=* --no-label old --no-label y --app train:2 --name ü& --count 7 --offset 3 "
        .. "--submitted-after 2026-01-31 --submitted-before 2026-02-28",
      route,
      RUNS,
      all
    )
    assert.equal("alice", w.srv.calls[1].headers["x-osmo-user"])
    -- the same as upstream's users write it
    w:sends(
      "workflow list -s running COMPLETED -u bob eve -p p/1 q --tags a=b c --priority high low "
        .. "--label team=(red|blue) --label x=* --no-label old --no-label y -P train:2 -n ü& "
        .. "-c7 -f 3 --submitted-after 2026-01-31 --submitted-before 2026-02-28 -o desc -t text",
      route,
      RUNS,
      all
    )
    w:sends("list -a", route, RUNS, "GET /api/workflow?all_pools=True&all_users=True&order=DESC")
    w:sends(
      "list -s failed_submission",
      route,
      RUNS,
      "GET /api/workflow?all_pools=True&order=DESC&statuses=FAILED_SUBMISSION"
    )
  end)

  it("nothing for filters that cannot be meant", function()
    w:refused(2, "not both", "list --user bob --all-users")
    w:refused(2, "earlier", "list --submitted-after 2026-02-02 --submitted-before 2026-01-01")
    w:refused(2, "label selector", "list --label team")
    w:refused(2, "whole number", "list --count many")
    w:refused(2, "asc or desc", "list --order up")
    w:refused(2, "json or text", "list -t yaml")
    w:refused(2, "there is no RUNING (did you mean 'RUNNING'?)", "list --status pending runing")
    w:refused(2, "there is no URGENT", "list --priority urgent")
    w:refused(2, "there is no URGENT", "submit a-1 --priority urgent")
    w:refused(2, "there is no SCHEDULED", "task list -s scheduled")
    assert.equal(0, #w.srv.calls)
  end)

  it("a page with the newest last, which the service counts from the wrong end", function()
    local out = w:sends(
      "list --order asc -t json",
      "GET /api/workflow",
      RUNS,
      "GET /api/workflow?all_pools=True&order=DESC"
    )
    local answer = json.decode(out)
    assert.equal("a-0", answer.workflows[1].name)
    assert.equal(RUN.duration, answer.workflows[2].duration)
    assert.is_true(answer.more_entries)
  end)

  -- So many runs, of which three come again on the next page, as when somebody submits meanwhile.
  local function many(total)
    return function(req)
      local offset = tonumber((req.query.offset or { "0" })[1])
      local limit = tonumber(req.query.limit[1])
      local list = json.array({})
      for i = math.max(offset - 3, 0) + 1, math.min(offset + limit, total) do
        list[#list + 1] = { name = "a-" .. i, status = "RUNNING", user = "alice" }
      end
      return { json = { workflows = list, more_entries = offset + limit < total } }
    end
  end

  it("more than a page holds, page by page and each run once", function()
    w.srv.answers["GET /api/workflow"] = many(3500)
    local out, said = w:good("list --count 10000")
    local n, seen = 0, {}
    for name in out:gmatch("\n(a%-%d+) ") do
      assert.is_nil(seen[name])
      seen[name], n = true, n + 1
      assert.equal("a-" .. n, name)
    end
    assert.equal(3500, n)
    assert.equal("", said)
    for i, req in ipairs(w.srv.calls) do
      assert.same({ "1000" }, req.query.limit)
      assert.same(i > 1 and { tostring((i - 1) * 1000) } or nil, req.query.offset)
    end
    assert.equal(4, #w.srv.calls)
    -- as many as were asked for, from where it was asked
    w.srv.calls = {}
    out, said = w:good("list --count 1500 --offset 1000 --json")
    assert.equal("", said)
    local answer = json.decode(out)
    assert.is_true(answer.more_entries)
    assert.equal(1500, #answer.workflows - 3) -- the stand-in repeats the three before
    assert.equal("a-2500", answer.workflows[#answer.workflows].name)
    assert.equal(2, #w.srv.calls)
  end)

  it("nothing rather than a part when a page cannot be had", function()
    local page = many(5000)
    w.srv.answers["GET /api/workflow"] = function(req)
      if req.query.offset and req.query.offset[1] == "2000" then
        return { status = 400, json = { message = "not this one", error_code = "USER" } }
      end
      return page(req)
    end
    local code, out, said = w:run("list --count 5000")
    assert.equal(1, code)
    assert.equal("", out)
    assert.matches("not this one", said, 1, true)
  end)

  it("days of the user's own time zone", function()
    w.env.TZ = "America/Los_Angeles"
    w:sends(
      "list --submitted-after 2026-07-01",
      "GET /api/workflow",
      RUNS,
      "GET /api/workflow?all_pools=True&order=DESC&submitted_after=2026-07-01T07:00:00"
    )
    for _, day in ipairs({ "2026-02-30", "yesterday", "2026-1-1", "2026-01-01T00:00:00" }) do
      w:refused(2, day, { "list", "--submitted-after", day })
    end
  end)

  it("a run, its spec, its log and its events", function()
    local q =
      { name = "a-1", status = "COMPLETED", submitted_by = "alice", groups = json.array({}) }
    local route = "GET /api/workflow/{id}"
    w:sends("query a-1", route, { json = q }, "GET /api/workflow/a-1")
    for _, words in ipairs({ "query a-1 --verbose --json", "workflow query a-1 -v -t json" }) do
      local out = w:sends(words, route, { json = q }, "GET /api/workflow/a-1?verbose=True")
      assert.equal("COMPLETED", json.decode(out).status)
    end
    route = "GET /api/workflow/{id}/spec"
    local spec = w:sends("spec a-1", route, { body = "x: 1\n" }, "GET /api/workflow/a-1/spec")
    assert.equal("x: 1\n", spec)
    w:sends(
      "spec a-1 --template",
      route,
      { body = "x: {{y}}\n" },
      "GET /api/workflow/a-1/spec?use_template=True"
    )
    for path, letters in pairs({ logs = "logs a-1", error_logs = "logs a-1 --error" }) do
      local out = w:sends(
        letters .. " -t train -r 2 -n 5 --query x+",
        ("GET /api/workflow/{id}/%s"):format(path),
        { body = "one\ntwo\n" },
        ("GET /api/workflow/a-1/%s?last_n_lines=5&query=x+&retry_id=2&task_name=train"):format(path)
      )
      assert.equal("one\ntwo\n", out)
    end
    local out = w:sends(
      "events a-1 --task train --retry-id 1",
      "GET /api/workflow/{id}/events",
      { body = "it began\n" },
      "GET /api/workflow/a-1/events?retry_id=1&task_name=train"
    )
    assert.equal("it began\n", out)
    w:refused(2, "--task NAME goes with it", "logs a-1 -r 2")
    w:refused(2, "--task NAME goes with it", "events a-1 --retry-id 2")
  end)

  it("a task, and the state of a run without its groups", function()
    w.srv.answers["GET /api/workflow/{id}/task/{t}"] = { json = { task_name = "t1", cpu = 2 } }
    w.srv.answers["GET /api/workflow/{id}"] = { json = { name = "a-1", status = "RUNNING" } }
    task.run(function()
      local c = assert(client.connect({ target = w.srv.url, user = "alice" }))
      assert.equal(2, c:task("a-1", "t1").cpu)
      assert.equal("GET /api/workflow/a-1/task/t1", w.srv:last())
      assert.equal("RUNNING", c:query("a-1", { skip_groups = true }).status)
      assert.equal("GET /api/workflow/a-1?skip_groups=True", w.srv:last())
    end)
  end)

  it("tasks of all runs", function()
    local route = "GET /api/task"
    local TASK <const> = {
      workflow_id = "a-1",
      task_name = "t",
      status = "RUNNING",
      user = "alice",
      pool = "p",
      priority = "LOW",
      cpu = 2,
      memory = 4,
      storage = 8,
      gpu = 1,
    }
    local two = { TASK, { workflow_id = "a-0", task_name = "u" } }
    local out = w:sends(
      "task list --node n1 n2 --all-users",
      route,
      { json = { tasks = two } },
      "GET /api/task?all_pools=True&all_users=True&nodes=n1&nodes=n2&order=DESC"
        .. "&statuses=PROCESSING&statuses=SCHEDULING&statuses=INITIALIZING&statuses=RUNNING"
    )
    assert.matches("a%-1%s+t%s+RUNNING%s+alice%s+%-%s+%-%s+1\n", out)
    out = w:sends(
      "task list -s completed failed -w a- -u bob eve -p p q -n n --priority low high -c 9 -f 2 "
        .. "-o asc -v --started-after 2026-01-31 --started-before 2026-02-01",
      route,
      { json = { tasks = two } },
      "GET /api/task?limit=9&nodes=n&offset=2&order=DESC&pools=p&pools=q&priority=LOW"
        .. "&priority=HIGH&started_after=2026-01-31T00:00:00&started_before=2026-02-01T00:00:00"
        .. "&statuses=COMPLETED&statuses=FAILED&users=bob&users=eve&workflow_id=a-"
    )
    assert.matches("a%-0.*a%-1%s+t%s+RUNNING%s+alice%s+%-%s+%-%s+p%s+LOW%s+8%s+2%s+4%s+1\n", out)
    local sum = { user = "alice", pool = "p", cpu = 2, workflow_id = "a-1" }
    out = w:sends(
      "task list -S -p p",
      route,
      { json = { summaries = { sum } } },
      "GET /api/task?order=DESC&pools=p&summary=True"
    )
    assert.matches("alice%s+p%s+%-%s+a%-1%s+%-%s+2", out)
    w:sends(
      "task list -W --summary",
      route,
      { json = { summaries = json.array({}) } },
      "GET /api/task?aggregate_by_workflow=True&all_pools=True&order=DESC&summary=True"
    )
    w:refused(2, "not both", "task list -S -v")
  end)

  it("pools, whose figures are text", function()
    local usage = {
      quota_used = "3",
      quota_free = "5",
      quota_limit = "8",
      total_usage = "10",
      total_capacity = "16",
      total_free = "6",
    }
    local answer = {
      json = {
        node_sets = {
          { pools = { { name = "p", status = "ONLINE", resource_usage = usage } } },
        },
        resource_sum = usage,
      },
    }
    local route = "GET /api/pool_quota"
    local out = w:sends("pool list", route, answer, "GET /api/pool_quota?all_pools=True")
    assert.matches("p%s+ONLINE%s+3%s+8%s+10%s+16\n", out)
    local both = { "pool list --pool p --pool q --mode free", "pool list -p p q -m free" }
    for _, words in ipairs(both) do
      out = w:sends(words, route, answer, "GET /api/pool_quota?pools=p&pools=q")
      assert.matches("p%s+ONLINE%s+5%s+6\n", out)
    end
    w:refused(2, "free or used", "pool list --mode all")
    out = w:sends("pools", "GET /api/pool", {
      json = { pools = { p = { status = "ONLINE", platforms = { x = {} }, description = "d" } } },
    }, "GET /api/pool?all_pools=True")
    assert.matches("p%s+ONLINE%s+x%s+d\n", out)
  end)

  describe("nodes", function()
    local NODE <const> = {
      hostname = "n1",
      backend = "b",
      resource_type = "SHARED",
      exposed_fields = { cpu = "8", memory = "32", storage = "100" },
      allocatable_fields = { cpu = "8", memory = "33554432Ki", storage = "100Gi" },
      usage_fields = { cpu = "500m", memory = "2Gi" },
      pool_platform_labels = { p = { "x", "y" }, q = { "x" } },
      config_fields = { p = { x = { privileged = true }, y = {} }, q = { x = {} } },
    }

    it("some of them without GPUs", function()
      local route = "GET /api/resources"
      local answer = { json = { resources = { NODE } } }
      local out = w:sends(
        "resource list -p p q --platform x y",
        route,
        answer,
        "GET /api/resources?platforms=x&platforms=y&pools=p&pools=q"
      )
      assert.matches("n1%s+SHARED%s+b%s+8%s+32%s+100%s+0\n", out)
      out = w:sends("resource list -a -m free", route, answer, "GET /api/resources?all_pools=True")
      assert.matches("n1%s+SHARED%s+b%s+7%.5%s+30%s+100%s+0\n", out)
      w:refused(2, "together with --pool", "resource list --platform x")
    end)

    it("one of them, in a pool and on a platform", function()
      local route = "GET /api/resources/{n}"
      local answer = { json = { resources = { NODE } } }
      local out = w:sends("resource info n1 -t json", route, answer, "GET /api/resources/n1")
      assert.same(NODE.config_fields, json.decode(out).config_fields)
      out = w:sends("resource info n1 -p p -pl x --json", route, answer, "GET /api/resources/n1")
      local r = json.decode(out)
      assert.same({ p = { x = { privileged = true } } }, r.config_fields)
      assert.same({ p = { "x" } }, r.pool_platform_labels)
      w:refused(2, "pool q, platform y", "resource info n1 -p q -pl y")
      w:refused(2, "together with --pool", "resource info n1 --platform x")
      w.srv.answers[route] = { status = 500, json = { message = "Internal server error: nothing" } }
      w:refused(1, "does not know", "resource info nope")
    end)
  end)

  it("the profile, tags and the version", function()
    local settings = {
      profile = { username = "alice", pool = "p", email_notification = true },
      roles = { "osmo-user" },
      pools = { "p", "q" },
      token = { name = "ci", expires_at = "2027-01-01T00:00:00" },
    }
    local route = "GET /api/profile/settings"
    local out = w:sends("profile list", route, { json = settings }, "GET /api/profile/settings")
    assert.matches("Pool%s+p\n", out)
    assert.matches("Token%s+ci, until 2027%-01%-01 00:00:00 UTC\n", out)
    out = w:sends("tag", "GET /api/tag", { json = { tags = { "a", "b" } } }, "GET /api/tag")
    assert.equal("a\nb\n", out)
    out = w:sends("tag", "GET /api/tag", { json = { tags = json.array({}) } }, "GET /api/tag")
    assert.matches("no tags", out, 1, true)
    out = w:sends("version", "GET /api/version", {
      json = { major = "6", minor = "4", revision = "0", hash = "abc" },
    }, "GET /api/version")
    assert.equal("OSMO 6.4.0 (abc)\n", out)
  end)

  it("whatever the contract has for it", function()
    assert.same({}, wire.contract.unsent("read"))
  end)
end)
