-- What pai sends, call by call, in the forms of upstream's own command line (see contract.lua for
-- where they are from): query encodings, bodies and headers. Through the commands themselves.
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")

local contract = assert(loadfile(pai.root .. "/tests/spec/osmo/contract.lua"))()

describe("pai osmo against the contract", function()
  local dir, srv, env

  before_each(function()
    dir = assert(fs.tempdir({ prefix = "pai-wire-" }))
    srv = contract.start()
    fs.mkdir(dir .. "/osmo", { mode = 448 })
    fs.write(
      dir .. "/osmo/login.yaml",
      ("dev_login: {username: alice}\nname: alice\nosmo_token: false\nurl: %s\n"):format(srv.url),
      { mode = 384 }
    )
    env = { OSMO_CONFIG_FILE_DIR = dir .. "/osmo", OSMO_URL = false, TZ = "UTC" }
  end)
  after_each(function()
    fs.remove(dir, { recursive = true })
    srv:finish()
  end)

  local function pai_run(words, opts)
    local argv = { pai.exe, "osmo" }
    for _, word in ipairs(words) do
      argv[#argv + 1] = word
    end
    local r = assert(exec.run(argv, {
      env = env,
      accept = "any",
      cwd = dir,
      stdin = opts and opts.stdin,
    }))
    return r.code, r.stdout, r.stderr
  end

  local function good(words, opts)
    local code, out, said = pai_run(words, opts)
    assert.equal(0, code, said)
    return out, said
  end

  -- The command, the route, what is answered, and what must have been sent.
  local function sends(words, route, answer, expected)
    srv.answers[route] = answer
    local out, said = good(words)
    assert.equal(expected, srv:last())
    return out, said
  end

  describe("reads", function()
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

    it("runs, with every filter", function()
      local out, said =
        sends({ "list" }, "GET /api/workflow", RUNS, "GET /api/workflow?all_pools=True&order=DESC")
      assert.matches("a%-1%s+RUNNING%s+alice%s+2026%-01%-02 03:04:05%s+1m 02s", out)
      assert.matches("a%-0%s+FAILED_IMAGE_PULL", out)
      assert.matches("--offset 2", said, 1, true)
      sends(
        {
          "workflow",
          "list",
          "--status",
          "running",
          "--status",
          "COMPLETED",
          "--user",
          "bob",
          "--user",
          "eve",
          "--pool",
          "p/1",
          "--tags",
          "a=b c",
          "--priority",
          "high",
          "--label",
          "team=(red|blue)",
          "--no-label",
          "old",
          "--app",
          "train:2",
          "--name",
          "ü&",
          "--count",
          "7",
          "--offset",
          "3",
          "--submitted-after",
          "2026-01-31",
          "--submitted-before",
          "2026-02-28",
        },
        "GET /api/workflow",
        RUNS,
        "GET /api/workflow?app=train:2&label=team=(red|blue)&limit=7&name=ü&&no_label=old&offset=3"
          .. "&order=DESC&pools=p/1&priority=HIGH&statuses=RUNNING&statuses=COMPLETED"
          .. "&submitted_after=2026-01-31T00:00:00&submitted_before=2026-02-28T00:00:00"
          .. "&tags=a=b c&users=bob&users=eve"
      )
      assert.equal("alice", srv.calls[1].headers["x-osmo-user"])
      sends(
        { "list", "--all-users" },
        "GET /api/workflow",
        RUNS,
        "GET /api/workflow?all_pools=True&all_users=True&order=DESC"
      )
    end)

    it("a page with the newest last, which the service counts from the wrong end", function()
      local out = sends(
        { "list", "--order", "asc", "--json" },
        "GET /api/workflow",
        RUNS,
        "GET /api/workflow?all_pools=True&order=DESC"
      )
      local answer = json.decode(out)
      assert.equal("a-0", answer.workflows[1].name)
      assert.is_true(answer.more_entries)
    end)

    it("days of the user's own time zone", function()
      env.TZ = "America/Los_Angeles"
      sends(
        { "list", "--submitted-after", "2026-07-01" },
        "GET /api/workflow",
        RUNS,
        "GET /api/workflow?all_pools=True&order=DESC&submitted_after=2026-07-01T07:00:00"
      )
      for _, day in ipairs({ "2026-02-30", "yesterday", "2026-1-1" }) do
        local code, _, said = pai_run({ "list", "--submitted-after", day })
        assert.equal(2, code)
        assert.matches(day, said, 1, true)
      end
    end)

    it("a run, its spec and its tasks", function()
      local q =
        { name = "a-1", status = "RUNNING", submitted_by = "alice", groups = json.array({}) }
      local route = "GET /api/workflow/{id}"
      sends({ "query", "a-1" }, route, { json = q }, "GET /api/workflow/a-1")
      sends(
        { "query", "a-1", "--verbose", "--json" },
        route,
        { json = q },
        "GET /api/workflow/a-1?verbose=True"
      )
      route = "GET /api/workflow/{id}/spec"
      assert.equal(
        "x: 1\n",
        sends({ "spec", "a-1" }, route, { body = "x: 1\n" }, "GET /api/workflow/a-1/spec")
      )
      sends(
        { "spec", "a-1", "--template" },
        route,
        { body = "x: {{y}}\n" },
        "GET /api/workflow/a-1/spec?use_template=True"
      )
      route = "GET /api/task"
      local out = sends(
        { "task", "list", "--node", "n1", "--node", "n2", "--all-users" },
        route,
        {
          json = {
            tasks = {
              { workflow_id = "a-1", task_name = "t", status = "RUNNING", user = "alice", gpu = 1 },
            },
          },
        },
        "GET /api/task?all_pools=True&all_users=True&nodes=n1&nodes=n2&order=DESC"
          .. "&statuses=PROCESSING&statuses=SCHEDULING&statuses=INITIALIZING&statuses=RUNNING"
      )
      assert.matches("a%-1%s+t%s+RUNNING%s+alice%s+%-%s+%-%s+1", out)
      sends(
        { "task", "list", "--summary", "--by-workflow", "--pool", "p" },
        route,
        { json = { summaries = json.array({}) } },
        "GET /api/task?aggregate_by_workflow=True&order=DESC&pools=p&summary=True"
      )
    end)

    it("pools, whose figures are text, and nodes, some without GPUs", function()
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
      local out = sends({ "pool", "list" }, route, answer, "GET /api/pool_quota?all_pools=True")
      assert.matches("p%s+ONLINE%s+3%s+8%s+10%s+16", out)
      out = sends(
        { "pool", "list", "--pool", "p", "--pool", "q", "--mode", "free" },
        route,
        answer,
        "GET /api/pool_quota?pools=p&pools=q"
      )
      assert.matches("p%s+ONLINE%s+5%s+6", out)
      out = sends({ "resource", "list", "--pool", "p", "--platform", "x" }, "GET /api/resources", {
        json = {
          resources = {
            {
              hostname = "n1",
              backend = "b",
              resource_type = "SHARED",
              exposed_fields = { cpu = "8", memory = "32", storage = "100" },
            },
          },
        },
      }, "GET /api/resources?platforms=x&pools=p")
      assert.matches("n1%s+SHARED%s+b%s+8%s+32%s+100%s+0", out)
      local code, _, said = pai_run({ "resource", "list", "--platform", "x" })
      assert.equal(1, code)
      assert.matches("together with pools", said, 1, true)
      srv.answers["GET /api/resources/{n}"] = {
        status = 500,
        json = { message = "Internal server error: nothing" },
      }
      code, _, said = pai_run({ "resource", "info", "nope" })
      assert.equal(1, code)
      assert.matches("does not know", said, 1, true)
    end)

    it("the profile, tags, users, configurations", function()
      local settings = {
        profile = { username = "alice", pool = "p", email_notification = true },
        roles = { "osmo-user" },
        pools = { "p", "q" },
        token = json.null,
      }
      local out = sends(
        { "profile", "list" },
        "GET /api/profile/settings",
        { json = settings },
        "GET /api/profile/settings"
      )
      assert.matches("Pool%s+p\n", out)
      out = sends({ "tag" }, "GET /api/tag", { json = { tags = { "a", "b" } } }, "GET /api/tag")
      assert.equal("a\nb\n", out)
      out = sends({ "user", "list" }, "GET /api/users", { json = { "x", "y" } }, "GET /api/users")
      assert.equal("x\ny\n", out)
      out = sends(
        { "config", "show", "POOL", "pools", "gpu", "--json", "--verbose" },
        "GET /api/configs/{t}",
        { json = { pools = { gpu = { name = "gpu" } } } },
        "GET /api/configs/pool?verbose=True"
      )
      assert.same({ name = "gpu" }, json.decode(out))
    end)
  end)

  describe("changes", function()
    it("runs: cancel, restart, tag", function()
      sends(
        { "cancel", "a-1", "--message", "wrong & late", "--force" },
        "POST /api/workflow/{id}/cancel",
        { json = { name = "a-1" } },
        "POST /api/workflow/a-1/cancel?force=True&message=wrong & late"
      )
      srv.answers["GET /api/workflow/{id}"] =
        { json = { name = "a-1", status = "FAILED", pool = "q", groups = json.array({}) } }
      local out = sends(
        { "restart", "a-1" },
        "POST /api/pool/{p}/workflow/{id}/restart",
        { json = { name = "a-2" } },
        "POST /api/pool/q/workflow/a-1/restart"
      )
      assert.equal("a-2\n", out)
      assert.equal("GET /api/workflow/a-1?skip_groups=True", srv:last(2))
      sends(
        { "tag", "a-1", "--add", "x", "--add", "y", "--remove", "z" },
        "POST /api/workflow/{id}/tag",
        { json = json.null },
        "POST /api/workflow/a-1/tag?add=x&add=y&remove=z"
      )
      assert.equal("", srv.calls[#srv.calls].body or "")
    end)

    it("the profile", function()
      local route = "POST /api/profile/settings"
      sends(
        { "profile", "set", "pool", "gpu" },
        route,
        { json = json.null },
        "POST /api/profile/settings"
      )
      assert.same({ pool = "gpu" }, srv:body())
      good({ "profile", "set", "notifications", "slack", "false" })
      assert.same({ slack_notification = false }, srv:body())
      local code, _, said = pai_run({ "profile", "set", "notifications", "fax", "true" })
      assert.equal(2, code)
      assert.matches("email or slack", said, 1, true)
    end)

    it("access tokens, whose value goes to a file and nowhere else", function()
      local value = crypto.base64_encode(crypto.random(32), { url = true })
      srv.answers["POST /api/auth/access_token/{n}"] = { json = value }
      local out, said = good({
        "token",
        "set",
        "ci",
        "--output",
        "tok",
        "--expires-at",
        "2027-01-01",
        "--description",
        "for CI",
        "--roles",
        "a",
        "--roles",
        "b",
      })
      assert.equal(
        "POST /api/auth/access_token/ci?description=for CI&expires_at=2027-01-01&roles=a&roles=b",
        srv:last()
      )
      assert.equal(value, fs.read(dir .. "/tok"))
      assert.equal(384, fs.stat(dir .. "/tok").mode)
      assert.is_nil((out .. said):find(value, 1, true))
      local code, _
      code, _, said = pai_run({ "token", "set", "ci", "--output", "tok" })
      assert.equal(2, code)
      assert.matches("already there", said, 1, true)
      code = pai_run({ "token", "set", "ci" })
      assert.equal(2, code)
      code, _, said = pai_run({ "token", "set", "-x-", "--output", "t2" })
      assert.equal(2, code, said)
      srv.answers["POST /api/auth/access_token/{n}"] =
        { status = 400, json = { message = "too long", error_code = "USER" } }
      code = pai_run({ "token", "set", "ci", "--output", "t3" })
      assert.equal(1, code)
      assert.is_false(fs.exists(dir .. "/t3"))
      out = sends(
        { "token", "list" },
        "GET /api/auth/access_token",
        { json = { { token_name = "ci", expires_at = "2027-01-01T00:00:00", roles = { "a" } } } },
        "GET /api/auth/access_token"
      )
      assert.matches("ci%s+2027%-01%-01 00:00:00%s+a", out)
      sends(
        { "token", "roles", "ci" },
        "GET /api/auth/access_token/{n}/roles",
        { json = { roles = json.array({}) } },
        "GET /api/auth/access_token/ci/roles"
      )
      sends(
        { "token", "delete", "ci" },
        "DELETE /api/auth/access_token/{n}",
        { json = json.null },
        "DELETE /api/auth/access_token/ci"
      )
    end)

    it("stored workflows", function()
      fs.write(dir .. "/flow.yaml", "workflow: {name: x}\n")
      sends(
        { "app", "create", "train", "flow.yaml", "--description", "d e" },
        "POST /api/app/user/{n}",
        { json = json.null },
        "POST /api/app/user/train?description=d e"
      )
      assert.equal("workflow: {name: x}\n", srv:body())
      sends(
        { "app", "update", "train", "flow.yaml" },
        "PATCH /api/app/user/{n}",
        { json = { version = 2 } },
        "PATCH /api/app/user/train"
      )
      sends(
        { "app", "rename", "train", "old" },
        "POST /api/app/user/{n}/rename",
        { json = "old" },
        "POST /api/app/user/train/rename"
      )
      assert.equal("old", srv:body())
      sends(
        { "app", "delete", "old:1" },
        "DELETE /api/app/user/{n}",
        { json = { versions = { 1 } } },
        "DELETE /api/app/user/old?version=1"
      )
      sends(
        { "app", "delete", "old", "--all" },
        "DELETE /api/app/user/{n}",
        { json = {} },
        "DELETE /api/app/user/old?all_versions=True"
      )
      local out = sends({ "app", "list", "--user", "bob" }, "GET /api/app", {
        json = {
          apps = { { name = "a", owner = "bob", latest_version = 3, description = "" } },
          more_entries = false,
        },
      }, "GET /api/app?users=bob")
      assert.matches("a%s+bob%s+3", out)
      sends(
        { "app", "info", "a:3" },
        "GET /api/app/user/{n}",
        { json = { uuid = "u", versions = { { version = 3 } } } },
        "GET /api/app/user/a?version=3"
      )
    end)

    it("credentials of the three types, whose values are read where they are", function()
      local key = 'quote " and \\ ' .. crypto.hex(16)
      local set, list = "POST /api/credentials/{n}", "GET /api/credentials"
      srv.answers[list] = { json = { credentials = json.array({}) } }
      srv.answers[set] = { json = json.null }
      fs.write(dir .. "/key", key .. "\n", { mode = 384 })
      env.MY_KEY = key
      local all = ""
      local function run(...)
        local out, said = good({ "credential", "set", ... })
        all = all .. out .. said
        assert.equal("application/json", srv.calls[#srv.calls].headers["content-type"])
        return srv:body()
      end
      assert.same(
        { generic_credential = { credential = { token = key, other = key } } },
        run("hf", "--payload-env", "token=MY_KEY", "--payload-file", "other=key")
      )
      assert.equal("POST /api/credentials/hf", srv:last())
      assert.same(
        { registry_credential = { registry = "nvcr.io", username = "$oauthtoken", auth = key } },
        run(
          "nvcr",
          "--type",
          "registry",
          "--payload",
          "registry=nvcr.io",
          "--payload",
          "username=$oauthtoken",
          "--payload-file",
          "auth=key"
        )
      )
      assert.same(
        {
          data_credential = {
            endpoint = "s3://bucket",
            access_key_id = "id",
            access_key = key,
            region = "r",
          },
        },
        run(
          "store",
          "--type",
          "DATA",
          "--payload",
          "endpoint=s3://bucket/",
          "--payload",
          "access_key_id=id",
          "--payload",
          "region=r",
          "--payload-env",
          "access_key=MY_KEY"
        )
      )
      local out = good(
        { "credential", "set", "piped", "--payload-file", "k=-", "--json" },
        { stdin = key .. "\n" }
      )
      assert.same({ generic_credential = { credential = { k = key } } }, srv:body())
      all = all .. out
      assert.is_nil(all:find(key, 1, true))
      assert.is_nil(all:find(key:sub(-16), 1, true))
      sends(
        { "credential", "delete", "hf" },
        "DELETE /api/credentials/{n}",
        { json = { credentials = json.array({}) } },
        "DELETE /api/credentials/hf"
      )
    end)

    it("no credential whose secret stands on the command line, or that cannot be one", function()
      local posted = 0
      srv.answers["GET /api/credentials"] = { json = { credentials = json.array({}) } }
      srv.answers["POST /api/credentials/{n}"] = function()
        posted = posted + 1
        return { json = json.null }
      end
      env.MY_KEY = crypto.hex(16)
      local function refused(code, what, ...)
        local got, _, said = pai_run({ "credential", "set", ... })
        assert.equal(code, got, said)
        assert.matches(what, said, 1, true)
      end
      refused(2, "seen on the command line", "hf", "--payload", "token=abc")
      refused(2, "seen on the command line", "r", "--type", "REGISTRY", "--payload", "auth=abc")
      refused(1, "needs 'auth'", "r", "--type", "REGISTRY", "--payload", "registry=x")
      refused(1, "no type", "r", "--type", "SSH", "--payload-env", "k=MY_KEY")
      refused(1, "is empty", "r")
      refused(1, "has no 'token'", "r", "--type", "REGISTRY", "--payload-env", "token=MY_KEY")
      refused(1, "cannot be the name", "9x", "--payload-env", "k=MY_KEY")
      refused(2, "given twice", "x", "--payload-env", "k=MY_KEY", "--payload-env", "k=MY_KEY")
      local data = { "d", "--type", "DATA", "--payload", "access_key_id=i" }
      table.insert(data, "--payload-env")
      table.insert(data, "access_key=MY_KEY")
      table.insert(data, "--payload")
      table.insert(data, "endpoint=https://s3.example.com")
      refused(1, "is no storage URI", table.unpack(data))
      assert.equal(0, posted)
    end)
  end)

  it("sends a stored workflow as its client does", function()
    srv.answers["GET /api/app/user/{n}"] =
      { json = { uuid = "u-1", versions = { { version = 4 } } } }
    srv.answers["GET /api/app/user/{n}/spec"] = {
      body = "workflow:\n  name: x\n  tasks:\n  - name: t\n    image: a\n    command: [b]\n",
    }
    local out = sends(
      { "app", "submit", "train", "--pool", "p", "--priority", "low" },
      "POST /api/pool/{p}/workflow",
      function(req)
        req.query.label = nil
        return { json = { name = "x-1", warnings = { "careful" } } }
      end,
      "POST /api/pool/p/workflow?app_uuid=u-1&app_version=4&priority=LOW"
    )
    assert.equal("x-1\n", out)
    assert.equal("GET /api/app/user/train?limit=1", srv:last(3))
    assert.equal("GET /api/app/user/train/spec", srv:last(2))
  end)

  describe("submits", function()
    local FLOW <const> =
      "workflow:\n  name: flow\n  tasks:\n  - name: t\n    image: a\n    command: [x]\n"

    local function label_of(req)
      local labels = {}
      for _, v in ipairs(req.query.label or {}) do
        if not v:find("^pai%-submit=%x+$") then
          labels[#labels + 1] = v
        end
      end
      req.query.label = #labels > 0 and labels or nil
    end

    before_each(function()
      srv.answers["POST /api/pool/{p}/workflow"] = function(req)
        label_of(req)
        local dry = req.query.dry_run and req.query.dry_run[1] == "True"
        local text = req.body ~= "" and json.decode(req.body).file or nil
        return {
          json = {
            name = dry and "flow" or "flow-1",
            spec = dry and text:gsub("{{word}}", "hi") or json.null,
            logs = not dry and "http://x/logs" or json.null,
            warnings = json.array({}),
          },
        }
      end
      srv.answers["GET /api/profile/settings"] =
        { json = { profile = { pool = "mine" }, pools = { "mine" }, roles = {} } }
    end)

    it("a plain file with one call, that has no dry_run", function()
      fs.write(dir .. "/f.yaml", FLOW)
      good({
        "submit",
        "f.yaml",
        "--set",
        "n=1",
        "--set",
        "e=a=b",
        "--set-string",
        "s=007",
        "--set-env",
        "A=1",
        "--set-env",
        "B=x y",
        "--label",
        "team=red",
        "--priority",
        "high",
      })
      assert.equal(
        "POST /api/pool/mine/workflow?env_vars=A=1&env_vars=B=x y&label=team=red&priority=HIGH",
        srv:last()
      )
      local body = srv:body()
      assert.same({ "n=1", "e=a=b" }, body.set_variables)
      assert.same({ "s=007" }, body.set_string_variables)
      assert.is_nil(body.uploaded_templated_spec)
      assert.equal(2, #srv.calls)
    end)

    it("a template with two calls, and keeps the template", function()
      local template = FLOW:gsub("%[x%]", "['{{word}}']")
      fs.write(dir .. "/f.yaml", template)
      good({ "submit", "f.yaml", "--pool", "p", "--set", "word=hi" })
      assert.equal("POST /api/pool/p/workflow?dry_run=True", srv:last(2))
      assert.equal("POST /api/pool/p/workflow?dry_run=False", srv:last())
      assert.equal(template, json.decode(srv.calls[1].body).file)
      assert.equal(template, srv:body().uploaded_templated_spec)
      assert.matches("- hi", srv:body().file, 1, true)
    end)

    it("a dry run and a validation", function()
      fs.write(dir .. "/f.yaml", FLOW)
      assert.equal(FLOW, (good({ "submit", "f.yaml", "--pool", "p", "--dry-run" })))
      assert.equal("POST /api/pool/p/workflow?dry_run=True", srv:last())
      good({ "validate", "f.yaml", "--pool", "p", "--target", "osmo" })
      assert.equal("POST /api/pool/p/workflow?validation_only=True", srv:last())
      fs.write(dir .. "/g.yaml", (FLOW:gsub("%[x%]", "['{{word}}']")))
      good({ "validate", "g.yaml", "--pool", "p", "--target", "osmo", "--set", "word=hi" })
      assert.equal("POST /api/pool/p/workflow?dry_run=True&validation_only=True", srv:last(2))
      assert.equal("POST /api/pool/p/workflow?dry_run=False&validation_only=True", srv:last())
    end)

    it("a run once more, by its id and with no body", function()
      assert.equal("flow-1\n", (good({ "submit", "flow-7", "--pool", "p", "--set-env", "A=1" })))
      assert.equal("POST /api/pool/p/workflow?env_vars=A=1&workflow_id=flow-7", srv:last())
      assert.equal("", srv.calls[#srv.calls].body or "")
      local code, _, said = pai_run({ "submit", "flow-7", "--set", "a=1" })
      assert.equal(2, code)
      assert.matches("--set has no meaning", said, 1, true)
    end)
  end)
end)
