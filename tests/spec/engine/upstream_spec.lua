-- What OSMO's own command line sends (version 6.4.0, observed between it and an engine): queries as
-- Python writes them, its headers and bodies, and what it reads in the answers.
local S = dofile("tests/spec/engine/support.lua")
local W = dofile("tests/spec/store/support.lua")
local crypto = require("pai.crypto")
local http = require("pai.http")
local json = require("pai.json")

local SLOW <const> = table.concat({
  "version: 2",
  "workflow:",
  "  name: slow-{{who}}",
  "  tasks:",
  "  - name: t",
  "    image: pai.local/sh",
  '    command: ["sh", "-c", "echo one; echo zwei ä; sleep {{n}}"]',
  "default-values:",
  "  who: me",
  "  n: 60",
  "",
}, "\n")

local HELLO <const> = "workflow:\n  name: hello\n  tasks:\n  - command:\n    - sh\n    - -c\n"
  .. "    - echo $A $B; exit $C\n    environment:\n      A: spec\n      C: '0'\n"
  .. "    image: pai.local/sh\n    name: t\n"

describe("OSMO's own command line", function()
  local engine, base

  setup(function()
    local port = W.free_port()
    engine = S.start({ port = port })
    base = "http://127.0.0.1:" .. port
  end)
  teardown(function()
    engine:stop()
  end)

  -- A request with the headers of that program; the body is a value that becomes JSON.
  local function send(method, path, body)
    local res = assert(http.request({
      method = method,
      url = base .. path,
      accept = "any",
      timeout = "2m",
      headers = {
        ["user-agent"] = "osmo-cli/6.4.0",
        ["accept-encoding"] = "gzip, deflate",
        accept = "*/*",
        ["content-type"] = "application/json",
        ["x-osmo-client-version"] = "6.4.0",
        ["x-osmo-user"] = "alice",
      },
      body = body ~= nil and json.encode(body) or nil,
    }))
    if (res.headers["content-type"] or ""):find("json", 1, true) then
      return res.status, assert(json.decode(res.body)), res
    end
    return res.status, res.body, res
  end

  local function ok(method, path, body)
    local status, answer, res = send(method, path, body)
    assert.equal(200, status, type(answer) == "table" and answer.message or answer)
    return answer, res
  end

  local function template(file, set, raw)
    return {
      file = file,
      set_variables = json.array(set or {}),
      set_string_variables = json.array({}),
      uploaded_templated_spec = raw or json.null,
    }
  end

  local function wait(id)
    return assert(engine.client:wait(id, { every = "20ms", timeout = "60s" }))
  end

  it("finds its user and pool before it submits", function()
    local profile = ok("GET", "/api/profile/settings")
    assert.equal("alice", profile.profile.username)
    assert.equal("local", profile.profile.pool)
    assert.is_true(json.is_array(profile.pools))
    assert.is_true(json.is_array(profile.roles))
    local version = ok("GET", "/api/version")
    for _, part in ipairs({ "major", "minor", "revision", "hash" }) do
      assert.equal("string", type(version[part]))
    end
  end)

  it("submits a template in two steps, the second with what the first gave", function()
    local body = template(SLOW, { "who=you" })
    local dry = ok("POST", "/api/pool/local/workflow?dry_run=True", body)
    assert.equal(json.null, dry.logs)
    local file = dry.spec:match("^(workflow:.*)$")
    assert.truthy(file and file:find("name: slow-you", 1, true), dry.spec)
    local made =
      ok("POST", "/api/pool/local/workflow?dry_run=False", template(file, { "who=you" }, SLOW))
    assert.equal("slow-you-1", made.name)
    assert.equal(base .. "/api/workflow/slow-you-1", made.overview)
    assert.equal(json.null, made.spec)
    local q = ok("GET", "/api/workflow/slow-you-1?verbose=False")
    assert.equal("alice", q.submitted_by)
    local raw, res = ok("GET", "/api/workflow/slow-you-1/spec?use_template=True")
    assert.equal(SLOW, raw)
    assert.equal("text/plain; charset=utf-8", res.headers["content-type"])
    raw = ok("GET", "/api/workflow/slow-you-1/spec?use_template=False")
    assert.truthy(raw:find("name: slow-you", 1, true))
  end)

  it("cancels with a message in form encoding and follows logs to the end", function()
    local answer = ok("POST", "/api/workflow/slow-you-1/cancel?force=True&message=a+b%26c%3Dd")
    assert.same({ name = "slow-you-1" }, answer)
    local text, res = ok("GET", "/api/workflow/slow-you-1/logs?last_n_lines=1000&task_name=t")
    assert.truthy(res.headers["content-type"]:find("^text/plain"))
    assert.truthy(text:find("%d%d%d%d/%d%d/%d%d %d%d:%d%d:%d%d %[t%]%[osmo%] "), text)
    local q = wait("slow-you-1")
    assert.equal("FAILED_CANCELED", q.status)
    assert.equal("alice", q.cancelled_by)
    assert.truthy(S.tasks(q).t.failure_message:find("a b&c=d", 1, true))
    local status, body = send("POST", "/api/workflow/slow-you-1/cancel")
    assert.equal(400, status)
    assert.equal("string", type(body.message))
  end)

  it("submits what is no template in one step, with labels and variables", function()
    local query = "?priority=LOW&label=team%3Dx&env_vars=A%3D1&env_vars=B%3D2"
    local made = ok("POST", "/api/pool/local/workflow" .. query, template(HELLO))
    local q = wait(made.name)
    assert.equal("COMPLETED", q.status)
    assert.equal("LOW", q.priority)
    assert.same({ team = "x" }, q.labels)
    local log = ok("GET", ("/api/workflow/%s/logs?last_n_lines=2&task_name=t"):format(made.name))
    assert.equal(2, select(2, log:gsub("\n", "\n")))
    log = ok("GET", ("/api/workflow/%s/logs"):format(made.name))
    assert.truthy(log:find("[t] 1 2\n", 1, true), log)
    local events = ok("GET", ("/api/workflow/%s/events?task_name=t"):format(made.name))
    assert.truthy(events:find("[t] Completed: ", 1, true))
  end)

  it("validates and shows what is wrong, without a run", function()
    local path = "/api/pool/local/workflow?validation_only=True&dry_run=False"
    local answer = ok("POST", path, template(HELLO))
    assert.equal("string", type(answer.logs))
    local status, body = send("POST", path, template((HELLO:gsub("image", "imago"))))
    assert.equal(400, status)
    assert.truthy(body.message:find("imago", 1, true))
    assert.equal("string", type(body.error_code))
  end)

  it("restarts what failed after it has asked for its pool", function()
    local failed = ok(
      "POST",
      "/api/pool/local/workflow?env_vars=C%3D3",
      template((HELLO:gsub("name: hello", "name: bad")))
    )
    assert.equal("FAILED", wait(failed.name).status)
    local pool = ok("GET", "/api/workflow/" .. failed.name).pool
    local again = ok("POST", ("/api/pool/%s/workflow/%s/restart"):format(pool, failed.name))
    assert.equal("bad-2", again.name)
    local q = wait("bad-2")
    assert.same({ "bad", 1 }, { q.parent_name, q.parent_job_id })
    local status, body = send("POST", "/api/pool/local/workflow/hello-1/restart")
    assert.equal(400, status)
    assert.truthy(body.message:find("hello-1", 1, true))
  end)

  it("lists with repeated members, Python's truth and times", function()
    local list = ok(
      "GET",
      "/api/workflow?statuses=FAILED&statuses=COMPLETED&order=DESC&all_users=True&all_pools=True"
        .. "&label=team%3D%2A&submitted_after=2020-01-01T00%3A00%3A00&limit=5&offset=0"
    )
    assert.equal(1, #list.workflows)
    assert.equal("hello-1", list.workflows[1].name)
    assert.is_false(list.more_entries)
    local tasks = ok(
      "GET",
      "/api/task?limit=20&offset=0&all_users=False&workflow_id=bad"
        .. "&statuses=COMPLETED&statuses=FAILED&order=ASC&all_pools=True"
    )
    assert.same({ "bad-1", "bad-2" }, { tasks.tasks[1].workflow_id, tasks.tasks[2].workflow_id })
  end)

  it("keeps apps: bodies are JSON strings, also that of a new name", function()
    local made = ok("POST", "/api/app/user/other?description=two+words", SLOW)
    assert.equal(1, made.version)
    ok("PATCH", "/api/app/user/other", SLOW .. "# second\n")
    local info = ok("GET", "/api/app/user/other?limit=1")
    assert.equal("two words", info.description)
    assert.same({ 2 }, { info.versions[1].version, info.versions[2] })
    info = ok("GET", "/api/app/user/other?version=1&limit=1")
    assert.equal(1, info.versions[1].version)
    info = ok("GET", "/api/app/user/other")
    assert.same({ 1, 2 }, { info.versions[1].version, info.versions[2].version })
    info = ok("GET", "/api/app/user/other?order=DESC")
    assert.same({ 2, 1 }, { info.versions[1].version, info.versions[2].version })
    assert.equal(SLOW, (ok("GET", "/api/app/user/other/spec?version=1")))
    local dry = ok(
      "POST",
      ("/api/pool/local/workflow?app_uuid=%s&app_version=1&dry_run=True"):format(info.uuid),
      template(SLOW, { "n=0" })
    )
    local run = ok(
      "POST",
      ("/api/pool/local/workflow?app_uuid=%s&app_version=1&dry_run=False"):format(info.uuid),
      template(dry.spec, { "n=0" }, SLOW)
    )
    local q = wait(run.name)
    assert.same({ "other", 1, "alice" }, { q.app_name, q.app_version, q.app_owner })
    assert.equal("else", (ok("POST", "/api/app/user/other/rename", "else")))
    for _, wrong in ipairs({ "1x", "", "else", "a b", { name = "x" }, 7 }) do
      local status = send("POST", "/api/app/user/else/rename", wrong)
      assert.is_true(status == 400 or status == 422, tostring(wrong))
    end
    assert.same({ versions = { 1, 2 } }, (ok("DELETE", "/api/app/user/else?all_versions=True")))
  end)

  it("sets, lists and deletes credentials", function()
    local key = crypto.hex(12)
    assert.equal(json.null, (ok("POST", "/api/credentials/st", {
      data_credential = {
        endpoint = "s3://bucket",
        access_key_id = "ID" .. crypto.hex(4),
        access_key = key,
        region = "us-east-1",
      },
    })))
    ok("POST", "/api/credentials/gen", { generic_credential = { credential = { k = key } } })
    local list, res = ok("GET", "/api/credentials")
    assert.same({
      { cred_name = "gen", cred_type = "GENERIC", profile = json.null },
      { cred_name = "st", cred_type = "DATA", profile = "s3://bucket" },
    }, list.credentials)
    assert.is_nil(res.body:find(key, 1, true))
    local gone = ok("DELETE", "/api/credentials/gen")
    assert.equal("gen", gone.credentials[1].cred_name)
    local status, body = send("DELETE", "/api/credentials/gen")
    assert.equal(400, status)
    assert.equal("CREDENTIAL", body.error_code)
  end)

  it("hears that a task is over before it enters one", function()
    for _, path in ipairs({
      "/api/workflow/hello-1/exec/task/t?entry_command=ls",
      "/api/workflow/hello-1/portforward/t?task_ports=8000&use_udp=False",
    }) do
      local status, body = send("POST", path)
      assert.equal(410, status)
      assert.equal("Workflow hello-1 has finished.", body.message)
    end
  end)

  it("hears by name what the engine does not do", function()
    for path, method in pairs({
      ["/api/auth/access_token/mine?expires_at=2999-01-01"] = "POST",
      ["/api/configs/service"] = "GET",
    }) do
      local status, body = send(method, path)
      assert.equal(400, status)
      assert.truthy(body.message:find("not supported by the embedded engine", 1, true))
      assert.equal("USAGE", body.error_code)
    end
  end)
end)
