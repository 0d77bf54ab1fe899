-- The REST contract: routes, members, types, status codes and error bodies as upstream has them.
local S = dofile("tests/spec/engine/support.lua")
local fs = require("pai.fs")
local json = require("pai.json")

local TIME <const> = "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.?%d*$"
local HEX <const> = "^" .. ("%x"):rep(32) .. "$"

-- What a member must be: a Lua type name, "float", "integer", "time", "list", or either with "?".
local function check(value, shape, where)
  local optional = shape:sub(-1) == "?"
  local kind = optional and shape:sub(1, -2) or shape
  if value == json.null then
    assert.is_true(optional, where .. " is null")
    return
  end
  assert.are_not.equal(nil, value, where .. " is missing")
  if kind == "time" then
    assert.truthy(type(value) == "string" and value:find(TIME), where .. ": " .. tostring(value))
  elseif kind == "float" or kind == "integer" then
    assert.equal(kind, math.type(value), where)
  elseif kind == "list" then
    assert.is_true(json.is_array(value), where)
  else
    assert.equal(kind, type(value), where)
  end
end

local function check_all(object, shapes, where)
  for name, shape in pairs(shapes) do
    check(object[name], shape, where .. "." .. name)
  end
  for name in pairs(object) do
    assert.truthy(shapes[name], where .. " has a member too many: " .. name)
  end
end

local WORKFLOW <const> = {
  name = "string",
  uuid = "string",
  submitted_by = "string",
  cancelled_by = "string?",
  spec = "string",
  template_spec = "string",
  logs = "string",
  events = "string",
  overview = "string",
  parent_name = "string?",
  parent_job_id = "integer?",
  dashboard_url = "string?",
  grafana_url = "string?",
  tags = "list",
  submit_time = "time",
  start_time = "time?",
  end_time = "time?",
  exec_timeout = "float?",
  queue_timeout = "float?",
  duration = "float?",
  queued_time = "float",
  status = "string",
  outputs = "string",
  groups = "list",
  pool = "string?",
  backend = "string?",
  app_owner = "string?",
  app_name = "string?",
  app_version = "integer?",
  plugins = "table",
  priority = "string",
  labels = "table",
  warnings = "list",
}

local GROUP <const> = {
  name = "string",
  status = "string",
  start_time = "time?",
  end_time = "time?",
  processing_start_time = "time?",
  scheduling_start_time = "time?",
  initializing_start_time = "time?",
  remaining_upstream_groups = "list",
  downstream_groups = "list",
  failure_message = "string?",
  tasks = "list",
}

local TASK <const> = {
  name = "string",
  retry_id = "integer",
  status = "string",
  failure_message = "string?",
  exit_code = "integer?",
  logs = "string",
  error_logs = "string?",
  processing_start_time = "time?",
  scheduling_start_time = "time?",
  initializing_start_time = "time?",
  events = "string",
  start_time = "time?",
  end_time = "time?",
  input_download_start_time = "time?",
  input_download_end_time = "time?",
  output_upload_start_time = "time?",
  dashboard_url = "string?",
  pod_name = "string",
  pod_ip = "string?",
  task_uuid = "string",
  node_name = "string?",
  lead = "boolean",
}

local ENTRY <const> = {
  user = "string",
  name = "string",
  workflow_uuid = "string",
  submit_time = "time",
  start_time = "time?",
  end_time = "time?",
  queued_time = "float",
  duration = "float?",
  status = "string",
  overview = "string",
  logs = "string",
  error_logs = "string?",
  grafana_url = "string?",
  dashboard_url = "string?",
  pool = "string?",
  app_owner = "string?",
  app_name = "string?",
  app_version = "integer?",
  priority = "string",
  labels = "table",
}

local ANSWER <const> = {
  name = "string",
  overview = "string?",
  logs = "string?",
  spec = "string?",
  dashboard_url = "string?",
  warnings = "list",
}

describe("the wire", function()
  local engine
  local POST <const> = "/api/pool/local/workflow"

  setup(function()
    engine = S.start()
  end)
  teardown(function()
    engine:stop()
  end)

  local function post(query, body)
    return engine:request("POST", POST .. (query or ""), { json = body })
  end

  local good = S.spec({ name = "wire", tasks = { S.sh("t", "true") } })

  it("answers the small routes", function()
    local function get(path)
      local status, body = engine:request("GET", path)
      assert.equal(200, status, path)
      return body
    end
    assert.same({ status = "OK" }, get("/health"))
    check_all(get("/api/version"), {
      major = "string",
      minor = "string",
      revision = "string",
      hash = "string",
    }, "version")
    local login = get("/api/auth/login")
    for _, name in ipairs({
      "device_endpoint",
      "device_client_id",
      "browser_endpoint",
      "browser_client_id",
      "token_endpoint",
      "logout_endpoint",
    }) do
      assert.equal(json.null, login[name], name)
    end
    local settings = get("/api/profile/settings")
    check_all(settings, { profile = "table", roles = "list", pools = "list", token = "table?" }, "")
    assert.equal("local", settings.profile.pool)
    assert.equal((fs.user()), settings.profile.username)
  end)

  it("takes the caller's name from its header", function()
    local _, settings =
      engine:request("GET", "/api/profile/settings", { headers = { ["x-osmo-user"] = "alice" } })
    assert.equal("alice", settings.profile.username)
  end)

  it("shows one pool and its quota, whose numbers are texts", function()
    local _, body = engine:request("GET", "/api/pool")
    local pool = body.pools["local"]
    check_all(pool, {
      name = "string",
      description = "string",
      status = "string",
      download_type = "string?",
      enable_maintenance = "boolean",
      backend = "string",
      default_platform = "string?",
      default_exec_timeout = "string",
      default_queue_timeout = "string",
      max_exec_timeout = "string",
      max_queue_timeout = "string",
      default_exit_actions = "table",
      resources = "table",
      topology_keys = "list",
      platforms = "table",
    }, "pool")
    assert.equal("ONLINE", pool.status)
    _, body = engine:request("GET", "/api/pool_quota")
    check_all(body, { node_sets = "list", resource_sum = "table" }, "quota")
    for _, name in ipairs({
      "quota_used",
      "quota_free",
      "quota_limit",
      "total_usage",
      "total_capacity",
      "total_free",
    }) do
      assert.equal("string", type(body.resource_sum[name]))
      assert.equal("string", type(body.node_sets[1].pools[1].resource_usage[name]))
    end
    local status
    status, body = engine:request("GET", "/api/pool?pools=other")
    assert.equal(400, status)
    assert.equal("Pool other not found.", body.message)
  end)

  it("shows this machine as a resource", function()
    local _, body = engine:request("GET", "/api/resources")
    local r = body.resources[1]
    assert.equal(fs.hostname(), r.hostname)
    assert.equal("SHARED", r.resource_type)
    assert.same({ "local/local" }, r.exposed_fields["pool/platform"])
    assert.equal("string", type(r.exposed_fields.cpu))
    _, body = engine:request("GET", "/api/resources?concise=true")
    assert.equal("local", body.pools[1].pool)
    local status
    status, body = engine:request("GET", "/api/resources/" .. fs.hostname())
    assert.equal(200, status)
    assert.equal(1, #body.resources)
    status, body = engine:request("GET", "/api/resources/nowhere")
    assert.equal(500, status)
    assert.is_nil(body.error_code)
  end)

  it("submits", function()
    local status, body = post("", { file = good })
    assert.equal(200, status)
    check_all(body, ANSWER, "answer")
    assert.truthy(body.name:find("^wire%-%d+$"))
    assert.truthy(body.logs:find("/api/workflow/" .. body.name .. "/logs", 1, true))
    assert.equal(json.null, body.spec)
    local _, second = post("", { file = good })
    assert.equal(
      tonumber(body.name:match("%d+$")) + 1,
      tonumber(second.name:match("%d+$")),
      "numbers go up by one"
    )
  end)

  it("renders a dry run and keeps nothing of it", function()
    local text = "default-values:\n  word: hi\nworkflow:\n  name: dry\n  tasks:\n  - name: t\n"
      .. "    image: pai.local/x\n    command: [echo, '{{word}} {{n}}']\n"
    local status, body = post("?dry_run=True", { file = text, set_variables = { "n=7" } })
    assert.equal(200, status)
    check_all(body, ANSWER, "answer")
    assert.equal("dry", body.name)
    assert.equal(json.null, body.logs)
    assert.truthy(body.spec:find("hi 7", 1, true))
    local runs = engine.client:list({ name = "dry" })
    assert.same(0, #runs)
  end)

  it("validates without a run", function()
    local status, body = post("?validation_only=true", {
      file = S.spec({ name = "valid", tasks = { S.sh("t", "true") } }),
    })
    assert.equal(200, status)
    assert.equal("valid", body.name)
    assert.equal("Workflow validation succeeded.", body.logs)
    assert.equal(json.null, body.spec)
    assert.equal(0, #engine.client:list({ name = "valid" }))
  end)

  it("keeps a FAILED_SUBMISSION run of a failed validation, hidden from lists", function()
    local status, body =
      post("?validation_only=true", { file = "workflow:\n  name: bad\n  nope: 1\n" })
    assert.equal(400, status)
    assert.equal("USAGE", body.error_code)
    assert.equal("bad", body.workflow_id)
    check(body.message, "string", "message")
    assert.equal(0, #engine.client:list({ name = "bad-" }))
    local runs = engine.client:list({ name = "bad-", statuses = { "FAILED_SUBMISSION" } })
    assert.equal(1, #runs)
    check_all(runs[1], ENTRY, "entry")
    local q = assert(engine.client:query(runs[1].name))
    check_all(q, WORKFLOW, "workflow")
    assert.equal("FAILED_SUBMISSION", q.status)
    -- Why: there is no group that could say so.
    assert.equal(1, #q.warnings)
    assert.truthy(q.warnings[1]:find(body.message:match("^[^\n]+"), 1, true), q.warnings[1])
    local log = engine:log(q.name)
    assert.truthy(log:find("^%d+/%d+/%d+ %d+:%d+:%d+ %[osmo%] "), log)
    assert.truthy(log:find(body.message:match("^[^\n]+"), 1, true), log)
    assert.equal("", engine:log(q.name, { query = "nothing that is there" }))
  end)

  it("leaves nothing behind where upstream leaves nothing", function()
    local before = #engine.client:list({ statuses = { "FAILED_SUBMISSION" }, limit = 1000 })
    local status, body = post("", { file = "workflow:\n  name: {{nope}}\n" })
    assert.equal(400, status)
    assert.equal("USAGE", body.error_code)
    assert.equal(before, #engine.client:list({ statuses = { "FAILED_SUBMISSION" }, limit = 1000 }))
  end)

  it("refuses a body that is none of the contract's with 422", function()
    for _, case in ipairs({
      { {}, "missing", { "body", "file" } },
      { { file = good, extra = 1 }, "extra_forbidden", { "body", "extra" } },
      { { file = 7 }, "string_type", { "body", "file" } },
      { { file = good, set_variables = "a=b" }, "list_type", { "body", "set_variables" } },
    }) do
      local status, body = post("", case[1])
      assert.equal(422, status)
      local detail = body.detail[1]
      assert.equal(case[2], detail.type)
      assert.same(case[3], detail.loc)
      check(detail.msg, "string", "msg")
      assert.are_not.equal(nil, detail.input)
    end
    local status, body = engine:request("POST", POST, { body = "{nope" })
    assert.equal(422, status)
    assert.equal("json_invalid", body.detail[1].type)
  end)

  it("refuses query values that are none of the contract's with 422", function()
    local status, body = post("?dry_run=perhaps", { file = good })
    assert.equal(422, status)
    assert.equal("bool_parsing", body.detail[1].type)
    assert.same({ "query", "dry_run" }, body.detail[1].loc)
    assert.equal("perhaps", body.detail[1].input)
    status, body = post("?priority=URGENT", { file = good })
    assert.equal(422, status)
    assert.equal("enum", body.detail[1].type)
    status, body = engine:request("GET", "/api/workflow?limit=many")
    assert.equal(422, status)
    assert.equal("int_parsing", body.detail[1].type)
  end)

  it("needs a body or a stored run, and not both", function()
    local status, body = engine:request("POST", POST)
    assert.equal(400, status)
    assert.equal("Need to provide either file contents or workflow ID.", body.message)
    local _, first = post("", { file = good })
    status, body = post("?workflow_id=" .. first.name, { file = good })
    assert.equal(400, status)
    assert.equal("USAGE", body.error_code)
    status, body = engine:request("POST", POST .. "?workflow_id=" .. first.name)
    assert.equal(200, status)
    assert.are_not.equal(first.name, body.name)
    status, body = engine:request("POST", POST .. "?workflow_id=nope-1")
    assert.equal(400, status)
    assert.equal("DATABASE", body.error_code)
  end)

  it("knows no pool but its own", function()
    local status, body =
      engine:request("POST", "/api/pool/gpu/workflow", { json = { file = good } })
    assert.equal(400, status)
    assert.same(
      { message = "Pool gpu not found.", error_code = "USER", workflow_id = json.null },
      body
    )
  end)

  it("merges env_vars and labels as upstream does", function()
    local _, body = post("?env_vars=A=b=c&env_vars=B=2&label=who=me&label=run=7", {
      file = S.spec({
        name = "merge",
        labels = { who = "spec", kept = "yes" },
        tasks = { S.sh("t", "echo $A $B $C", { environment = { B = "1", C = "3" } }) },
      }),
    })
    local q = assert(engine.client:wait(body.name, { every = "20ms", timeout = "20s" }))
    assert.same({ who = "me", kept = "yes", run = "7" }, q.labels)
    assert.truthy(engine:log(q.name):find("[t] b 2 3", 1, true))
  end)

  it("answers a query with every member in its type", function()
    local q = engine:run({
      name = "shape",
      tasks = { S.sh("a", "exit 1"), S.sh("b", "true", { inputs = { { task = "a" } } }) },
    })
    check_all(q, WORKFLOW, "workflow")
    assert.truthy(q.uuid:find(HEX))
    assert.same({ rsync = false }, q.plugins)
    assert.equal(5184000.0, q.exec_timeout)
    for _, g in ipairs(q.groups) do
      check_all(g, GROUP, "group")
      for _, t in ipairs(g.tasks) do
        check_all(t, TASK, "task")
        assert.truthy(t.task_uuid:find(HEX))
        assert.equal(q.uuid:sub(1, 16) .. "-" .. t.task_uuid:sub(1, 16), t.pod_name)
      end
    end
    local t = S.tasks(q)
    assert.truthy(t.a.error_logs:find("task_name=a&retry_id=0", 1, true))
    assert.equal(json.null, t.b.error_logs)
    local _, by_uuid = engine:request("GET", "/api/workflow/" .. q.uuid .. "?skip_groups=true")
    assert.equal(q.name, by_uuid.name)
    assert.same({}, by_uuid.groups)
    assert.is_true(json.is_array(by_uuid.groups))
    local _, entry = engine:request("GET", "/api/workflow/" .. q.name .. "/task/a")
    check_all(entry, {
      workflow_id = "string",
      task_name = "string",
      node = "string?",
      start_time = "time?",
      end_time = "time?",
      status = "string",
      storage = "float",
      cpu = "integer",
      memory = "float",
      gpu = "integer",
    }, "task")
    assert.equal(1.0, entry.memory)
  end)

  it("calls what is unknown a 400 of code DATABASE", function()
    for _, path in ipairs({
      "/api/workflow/nope-1",
      "/api/workflow/nope-1/logs",
      "/api/workflow/nope-1/events",
      "/api/workflow/nope-1/spec",
      "/api/workflow/nope-1/task/t",
    }) do
      local status, body = engine:request("GET", path)
      assert.equal(400, status, path)
      assert.equal("DATABASE", body.error_code)
      assert.equal(json.null, body.workflow_id)
    end
    local status, body = engine:request("POST", "/api/workflow/nope-1/cancel")
    assert.equal(400, status)
    assert.equal("Workflow nope-1 is not found.", body.message)
  end)

  it("answers dependency order, a plain value error upstream, with 500 and no code", function()
    local status, body = post("", {
      file = S.spec({
        name = "order",
        tasks = { S.sh("a", "true", { inputs = { { task = "b" } } }), S.sh("b", "true") },
      }),
    })
    assert.equal(500, status)
    assert.is_nil(body.error_code)
    assert.truthy(body.message:find("^Internal server error: "))
  end)

  it("refuses by name what it does not do", function()
    local function refused(method, path)
      local status, body = engine:request(method, path)
      assert.equal(400, status, path)
      assert.equal("USAGE", body.error_code)
      assert.truthy(body.message:find("is not supported by the embedded engine", 1, true), path)
    end
    refused("POST", "/api/auth/access_token/mine?expires_at=2999-01-01")
    refused("POST", "/api/workflow/x-1/webserver/t")
    refused("POST", "/api/workflow/x-1/portforward/t?use_udp=true")
    refused("DELETE", "/api/workflow/x-1")
    for feature, entry in pairs({
      checkpoint = { checkpoint = { { path = "/c", url = "s3://b/c", frequency = "1m" } } },
      image = { image = "ubuntu:24.04" },
      privileged = { privileged = true },
      volumeMounts = { volumeMounts = { "/data" } },
      hostNetwork = { hostNetwork = true },
    }) do
      local status, body =
        post("", { file = S.spec({ name = "no", tasks = { S.sh("t", "true", entry) } }) })
      assert.equal(400, status, feature)
      assert.truthy(body.message:find("is not supported by the embedded engine", 1, true), feature)
      assert.truthy(body.message:find(feature, 1, true), feature)
    end
  end)

  it("refuses resources that this machine does not have", function()
    for name, resources in pairs({
      gpu = { gpu = 1 },
      memory = { memory = "900Ti" },
      cpu = { cpu = 0 },
    }) do
      local status, body = post("", {
        file = S.spec({
          name = "big",
          resources = { default = resources },
          tasks = { S.sh("t", "true") },
        }),
      })
      assert.equal(400, status, name)
      assert.equal("RESOURCE", body.error_code)
      assert.truthy(body.message:find(name, 1, true))
    end
  end)

  it("checks inputs from earlier runs", function()
    local function submit(input)
      return post("", {
        file = S.spec({
          name = "uses",
          tasks = { S.sh("t", "true", { inputs = { { task = input } } }) },
        }),
      })
    end
    local status, body = submit("nope-1:t")
    assert.equal(400, status)
    assert.equal("DATABASE", body.error_code)
    local id = engine:submit({ name = "going", tasks = { S.sh("t", "sleep 60") } })
    status, body = submit(id .. ":t")
    assert.equal(400, status)
    assert.equal("SUBMISSION", body.error_code)
    assert(engine.client:cancel(id, { force = true }))
    assert(engine.client:wait(id, { timeout = "20s" }))
  end)

  it("restarts failed runs only", function()
    local q = engine:run({ name = "fine", tasks = { S.sh("t", "true") } })
    local path = "/api/pool/local/workflow/" .. q.name .. "/restart"
    local status, body = engine:request("POST", path)
    assert.equal(400, status)
    assert.equal("SUBMISSION", body.error_code)
  end)

  it("gives the stored spec and the template", function()
    local text = "workflow:\n  name: kept\n  tasks:\n  - name: t\n    image: pai.local/x\n"
      .. "    command: [echo, '{{word}}', '{{output}}']\n"
    local id = engine:submit(text, { variables = { word = "hello" } })
    local _, stored, res = engine:request("GET", "/api/workflow/" .. id .. "/spec")
    assert.truthy(res.headers["content-type"]:find("text/plain", 1, true))
    local doc = assert(require("pai.yaml").decode(stored, { schema = "1.1" }))
    assert.equal("kept", doc.workflow.name)
    assert.equal("t-group", doc.workflow.groups[1].name)
    assert.same({ "echo", "hello", "{{output}}" }, doc.workflow.groups[1].tasks[1].command)
    local _, template = engine:request("GET", "/api/workflow/" .. id .. "/spec?use_template=true")
    assert.equal(text, template)
  end)
end)

describe("the list", function()
  local engine

  setup(function()
    engine = S.start()
    for i = 1, 5 do
      engine:run({
        name = "run",
        labels = { n = "v" .. i },
        tasks = { S.sh("t", i == 3 and "exit 1" or "true") },
      }, { priority = i == 2 and "LOW" or nil })
    end
  end)
  teardown(function()
    engine:stop()
  end)

  local function names(query, headers)
    local status, body = engine:request("GET", "/api/workflow" .. query, { headers = headers })
    assert.equal(200, status)
    local out = {}
    for i, w in ipairs(body.workflows) do
      check_all(w, ENTRY, "entry")
      out[i] = w.name
    end
    return table.concat(out, " "), body.more_entries
  end

  it("pages by submit time, both ways", function()
    assert.equal("run-1 run-2 run-3 run-4 run-5", (names("")))
    assert.equal("run-5 run-4", (names("?order=DESC&limit=2")))
    assert.is_true(select(2, names("?limit=4")))
    assert.is_false(select(2, names("?limit=5")))
    assert.equal("run-3 run-4", (names("?limit=2&offset=2")))
  end)

  it("filters", function()
    assert.equal("run-3", (names("?statuses=FAILED")))
    assert.equal("run-2", (names("?priority=LOW")))
    assert.equal("run-4", (names("?name=n-4")))
    assert.equal("", (names("?name=n_4")))
    assert.equal("run-2 run-4", (names("?label=n%3D(v2%7Cv4)")))
    assert.equal("run-1 run-2 run-3 run-4 run-5", (names("?label=n%3Dv*")))
    assert.equal("", (names("?label=n%3Dv1&label=n%3Dv2")))
    assert.equal("", (names("?no_label=n")))
    assert.equal("", (names("?pools=other")))
    assert.equal("", (names("?submitted_before=2020-01-01T00:00:00")))
    assert.equal("", (names("?submitted_after=2999-01-01")))
    assert.equal("run-1 run-2 run-3 run-4 run-5", (names("?submitted_after=2020-01-01")))
    assert.equal("", (names("?tags=x")))
  end)

  it("shows the caller's own unless asked for others'", function()
    local bob = { ["x-osmo-user"] = "bob" }
    assert.equal("", (names("", bob)))
    assert.equal("run-1 run-2 run-3 run-4 run-5", (names("?all_users=true", bob)))
    assert.equal(
      "run-1 run-2 run-3 run-4 run-5",
      (names("?users=" .. (fs.user()) .. "&users=bob", bob))
    )
  end)

  it("refuses limits and labels as upstream does", function()
    local status, body = engine:request("GET", "/api/workflow?limit=1001")
    assert.equal(400, status)
    assert.equal("Limit must be less than 1000.", body.message)
    status, body = engine:request("GET", "/api/workflow?label=broken")
    assert.equal(400, status)
    assert.equal("USAGE", body.error_code)
  end)

  it("goes on where the page before ended, in either order, whatever has come between", function()
    local function page(offset, more)
      local status, body =
        engine:request("GET", ("/api/workflow?limit=2&offset=%d%s"):format(offset, more or ""))
      assert.equal(200, status)
      local out = {}
      for i, w in ipairs(body.workflows) do
        out[i] = w.name
      end
      return table.concat(out, " "), body.more_entries
    end
    local function is(text, more, ...)
      local got, there = page(...)
      assert.equal(text, got)
      assert.equal(more, there)
    end
    for _ = 1, 2 do
      is("run-1 run-2", true, 0)
      is("run-3 run-4", true, 2)
      is("run-5", false, 4)
      is("", false, 6)
      is("run-5 run-4", true, 0, "&order=DESC")
      is("run-3 run-2", true, 2, "&order=DESC")
      is("run-1", false, 4, "&order=DESC")
    end
    -- Another list at the same place, and a page that does not follow the one before.
    is("run-1 run-2", true, 0)
    is("run-3 run-2", true, 2, "&order=DESC")
    is("run-3 run-4", true, 2, "&name=run")
    is("run-5 run-4", true, 0, "&order=DESC")
    -- One more at the newest end moves all others by one.
    local id = engine:run({ name = "late", tasks = { S.sh("t", "true") } }).name
    is("run-4 run-3", true, 2, "&order=DESC")
    is(id, false, 5)
    assert.equal("", (names("?name=RUN")))
    assert.equal("", (names("?limit=0")))
    assert.is_true(select(2, engine:request("GET", "/api/workflow?limit=0")).more_entries)
    assert.equal("", (names("?limit=0&offset=99")))
    assert.is_false(
      select(2, engine:request("GET", "/api/workflow?limit=0&offset=99")).more_entries
    )
  end)
end)
