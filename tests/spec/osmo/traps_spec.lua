-- Every trap of OSMO's contract that its users fall into, and what pai does about it: one test
-- each, named in the table.
local client = require("pai.osmo.client")
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")
local secret = require("pai.secret")
local serve = require("pai.serve")
local task = require("pai.task")

local contract = assert(loadfile(pai.root .. "/tests/spec/osmo/contract.lua"))()

local FLOW <const> =
  "workflow:\n  name: flow\n  tasks:\n  - name: t\n    image: a\n    command: [x]\n"

local dir, srv, env

local function connect(opts)
  local settings = { target = srv.url, user = "alice" }
  for name, v in pairs(opts or {}) do
    settings[name] = v
  end
  return assert(client.connect(settings))
end

local function pai_run(...)
  local r = assert(exec.run({ pai.exe, "osmo", ... }, { env = env, accept = "any", cwd = dir }))
  return r.code, r.stdout, r.stderr
end

local function posts()
  local n = 0
  for _, req in ipairs(srv.calls) do
    n = n + (req.method == "POST" and 1 or 0)
  end
  return n
end

local TRAPS <const> = {
  ["an access token is no bearer: it is exchanged, and again before each poll"] = function()
    local given
    srv.answers["POST /api/auth/jwt/access_token"] = function()
      given = crypto.hex(16)
      -- within the three seconds before its end it is not used any more
      return { json = { token = given, expires_at = os.time() + 2 } }
    end
    srv.answers["GET /api/workflow/{id}"] = function(req)
      assert.equal("Bearer " .. given, req.headers.authorization)
      local status = #srv.calls > 4 and "COMPLETED" or "RUNNING"
      return { json = { name = "a-1", status = status, groups = json.array({}) } }
    end
    fs.write(dir .. "/pat", crypto.hex(32), { mode = 384 })
    local c = connect({ user = false, token = assert(secret.from_file(dir .. "/pat")) })
    assert.equal("COMPLETED", c:wait("a-1", { every = 20 }).status)
    -- Three looks, and what the run was in the end.
    assert.equal(8, #srv.calls)
    assert.equal(4, posts())
  end,

  ["what is not there is a 400 of the code DATABASE, not a 404"] = function()
    srv.answers["GET /api/workflow/{id}"] = {
      status = 400,
      json = { message = "Workflow a-1 is not found.", error_code = "DATABASE" },
    }
    local code, _, said = pai_run("query", "a-1")
    assert.equal(1, code)
    assert.matches("Workflow a-1 is not found.", said, 1, true)
    assert.matches("pai osmo list", said, 1, true)
    -- of what names nothing, that this is what it means
    srv.answers["GET /api/workflow/{id}"].json.message = "no rows"
    _, _, said = pai_run("query", "a-1")
    assert.matches("does not know", said, 1, true)
  end,

  ["a 500 may be the user's own fault"] = function()
    srv.answers["POST /api/pool/{p}/workflow"] =
      { status = 500, json = { message = "Internal server error: Task b not found in group" } }
    fs.write(dir .. "/f.yaml", FLOW)
    local code, _, said = pai_run("submit", "f.yaml", "--pool", "p")
    assert.equal(1, code)
    assert.matches("the workflow's own fault: pai osmo validate", said, 1, true)
    assert.equal(1, posts())
  end,

  ["figures of quota are text, times have no zone, durations are floats"] = function()
    local usage = {}
    for _, name in ipairs({ "quota_used", "quota_free", "quota_limit" }) do
      usage[name] = "7"
    end
    for _, name in ipairs({ "total_usage", "total_capacity", "total_free" }) do
      usage[name] = "12"
    end
    srv.answers["GET /api/pool_quota"] = {
      json = {
        node_sets = { { pools = { { name = "p", resource_usage = usage } } } },
        resource_sum = usage,
      },
    }
    local quota = assert(connect():quota())
    assert.equal(7, quota.pools[1].quota_free)
    assert.equal(12, quota.sum.total_free)
    srv.answers["GET /api/workflow"] = {
      json = {
        workflows = {
          {
            name = "a-1",
            status = "RUNNING",
            user = "alice",
            submit_time = "2026-01-02T03:04:05.678901",
            duration = 3661.25,
          },
        },
        more_entries = false,
      },
    }
    env.TZ = "America/New_York"
    local _, out = pai_run("list")
    assert.matches("SUBMITTED (UTC)", out, 1, true)
    assert.matches("2026-01-02 03:04:05  1h 01m", out, 1, true)
  end,

  ["the log of a live run does not end by itself"] = function()
    srv.answers["GET /api/workflow/{id}/logs"] = {
      stream = function(w)
        w:write("one\n")
        while not w:gone() do
          task.sleep(20)
        end
      end,
    }
    assert.equal("one\n", assert(connect():logs("a-1")))
  end,

  ["a run may have ended before its log is where it is kept"] = function()
    local reads = 0
    srv.answers["GET /api/workflow/{id}"] =
      { json = { name = "a-1", status = "COMPLETED", groups = json.array({}) } }
    srv.answers["GET /api/workflow/{id}/logs"] = function()
      reads = reads + 1
      if reads == 1 then
        return { status = 500, json = { message = "Internal server error: no such key" } }
      elseif reads == 2 then
        return { body = "" }
      end
      return { body = "one\ntwo\n" }
    end
    assert.equal("one\ntwo\n", assert(connect():logs("a-1", { follow = true })))
    assert.equal(3, reads)
  end,

  ["a failed validation leaves a run behind: what fails here is not sent"] = function()
    fs.write(dir .. "/f.yaml", (FLOW:gsub("command: %[x%]", "comand: [x]")))
    local code, _, said = pai_run("validate", "f.yaml", "--pool", "p", "--target", srv.url)
    assert.equal(1, code)
    assert.matches("f.yaml:6", said, 1, true)
    assert.matches("did you mean 'command'", said, 1, true)
    assert.equal(0, #srv.calls)
    -- what an admin may have set otherwise is the service's to judge
    local many = { "workflow:\n  name: flow\n  tasks:\n" }
    for i = 1, 25 do
      many[#many + 1] = ("  - {name: t%d, image: a, command: [x]}\n"):format(i)
    end
    fs.write(dir .. "/g.yaml", table.concat(many))
    srv.answers["POST /api/pool/{p}/workflow"] =
      { json = { name = "flow", logs = "Workflow validation succeeded.", spec = json.null } }
    code, _, said = pai_run("validate", "g.yaml", "--pool", "p", "--target", srv.url)
    assert.equal(0, code, said)
  end,

  ["a dry run of what is not YAML leaves a run behind, too: it is not sent"] = function()
    fs.write(dir .. "/f.yaml", "workflow:\n  name: {{ n }}\n  tasks: {{ '[' }}\n")
    local code, _, said = pai_run("submit", "f.yaml", "-p", "p", "--dry-run", "--set", "n=x")
    assert.equal(1, code)
    assert.matches("not YAML after rendering", said, 1, true)
    -- nor by a submit, which begins with a dry run
    code, _, said = pai_run("submit", "f.yaml", "-p", "p", "--set", "n=x")
    assert.equal(1, code)
    assert.matches("not YAML after rendering", said, 1, true)
    assert.equal(0, #srv.calls)
    -- what else is wrong is the service's to say: a dry run checks no schema
    srv.answers["POST /api/pool/{p}/workflow"] = { json = { name = "x", spec = "a: 1\n" } }
    fs.write(dir .. "/f.yaml", "workflow:\n  nope: {{ n }}\n")
    code, _, said = pai_run("submit", "f.yaml", "-p", "p", "--dry-run", "--set", "n=x")
    assert.equal(0, code, said)
    assert.equal("POST /api/pool/p/workflow?dry_run=True", srv:last())
  end,

  ["no route moves data and none gives keys back: those of a credential are kept here"] = function()
    local seen = {}
    local store = assert(serve.listen({
      host = "127.0.0.1",
      port = 0,
      handler = function(req)
        seen[#seen + 1] = req
        local body = '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>'
          .. "<Contents><Key>in/a.txt</Key><Size>3</Size></Contents></ListBucketResult>"
        return { headers = { ["content-type"] = "application/xml" }, body = body }
      end,
    }))
    local address = "http://127.0.0.1:" .. store:port()
    env.MY_KEY = crypto.hex(16)
    for name in pairs({ AWS_ACCESS_KEY_ID = 1, AWS_SECRET_ACCESS_KEY = 1, AWS_PROFILE = 1 }) do
      env[name] = false
    end
    env.HOME, env.AWS_EC2_METADATA_DISABLED = dir, "true"
    local code, _, said = pai_run("data", "list", "s3://bucket/in/")
    assert.equal(1, code)
    assert.matches("no key for s3://bucket", said, 1, true)
    srv.answers["GET /api/credentials"] = { json = { credentials = json.array({}) } }
    srv.answers["POST /api/credentials/{n}"] = { json = json.null }
    local words =
      { "credential", "set", "d", "--type", "DATA", "--payload", "endpoint=s3://bucket" }
    for _, word in ipairs({ "access_key_id=the-id", "region=eu-1", "override_url=" .. address }) do
      words[#words + 1] = word
    end
    words[#words + 1] = "--payload-env"
    words[#words + 1] = "access_key=MY_KEY"
    code, _, said = pai_run(table.unpack(words))
    assert.equal(0, code, said)
    local asked, out = #srv.calls
    code, out, said = pai_run("data", "list", "s3://bucket/in/", "-r", "--no-pager")
    assert.equal(0, code, said)
    assert.equal("in/a.txt\n", out)
    assert.equal(asked, #srv.calls)
    assert.equal("/bucket", (seen[1].path:gsub("/$", "")))
    assert.matches("Credential=the%-id/%d+/eu%-1/s3/", seen[1].headers.authorization)
    -- the list into a file, and with the keys of another file
    code = pai_run("data", "list", "s3://bucket/in/", "list.txt", "-r")
    assert.equal(0, code)
    assert.equal("in/a.txt\n", fs.read(dir .. "/list.txt"))
    fs.rename(dir .. "/osmo/config.yaml", dir .. "/other.yaml")
    code, out = pai_run("data", "check", "s3://bucket", "-a", "LIST", "-c", "other.yaml")
    assert.equal(0, code)
    assert.equal("pass\n", out)
    code, _, said = pai_run("data", "check", "gs://bucket", "-c", "other.yaml")
    assert.equal(1, code)
    assert.matches("no key for gs://bucket in other.yaml", said, 1, true)
    store:close()
  end,

  ["memory without a unit is bytes, G is Gi, and GB is no unit"] = function()
    local quantity = require("pai.osmo.quantity")
    assert.equal(4096, quantity.bytes("4096"))
    assert.equal(2 ^ 30, quantity.bytes("1Gi"))
    assert.equal(quantity.bytes("1Gi"), quantity.bytes("1G"))
    assert.equal(quantity.bytes("1Gi"), quantity.bytes("1GiB"))
    local size, why = quantity.bytes("4GB")
    assert.is_nil(size)
    assert.matches("write 4Gi", why, 1, true)
  end,

  ["a value with '=' in it is cut by the service: it goes into the spec"] = function()
    local sent
    srv.answers["POST /api/pool/{p}/workflow"] = function(req)
      sent = req
      return { json = { name = "flow-1", warnings = json.array({}) } }
    end
    fs.write(dir .. "/f.yaml", FLOW)
    local args = { "--set-env", "PLAIN=1", "--set-env", "OPTS=--a=b --c=d" }
    local code, _, said = pai_run("submit", "f.yaml", "--pool", "p", table.unpack(args))
    assert.equal(0, code, said)
    assert.same({ "PLAIN=1" }, sent.query.env_vars)
    local doc = require("pai.yaml").decode(json.decode(sent.body).file, { schema = "1.1" })
    assert.same({ OPTS = "--a=b --c=d" }, doc.workflow.tasks[1].environment)
    -- where that cannot be, it is refused and not cut
    code, _, said = pai_run("submit", "flow-1", "--pool", "p", "--set-env", "A=b=c")
    assert.equal(1, code)
    assert.matches("second '='", said, 1, true)
    code, _, said = pai_run("submit", "f.yaml", "--pool", "p", "--set-env", "A={{b}}=c")
    assert.equal(1, code)
    assert.matches("would be rendered", said, 1, true)
    assert.equal(1, posts())
  end,

  ["a credential is not overwritten: it is refused, or deleted first when asked for"] = function()
    srv.answers["GET /api/credentials"] =
      { json = { credentials = { { cred_name = "hf", cred_type = "GENERIC" } } } }
    srv.answers["POST /api/credentials/{n}"] = { json = json.null }
    srv.answers["DELETE /api/credentials/{n}"] = { json = { credentials = json.array({}) } }
    env.MY_KEY = crypto.hex(16)
    local code, _, said = pai_run("credential", "set", "hf", "--payload-env", "k=MY_KEY")
    assert.equal(1, code)
    assert.matches("--replace", said, 1, true)
    assert.equal(0, posts())
    code = pai_run("credential", "set", "hf", "--payload-env", "k=MY_KEY", "--replace")
    assert.equal(0, code)
    assert.equal("DELETE /api/credentials/hf", srv:last(2))
    assert.equal("POST /api/credentials/hf", srv:last())
    -- when the new one is refused, the user hears that the old one is gone
    srv.answers["POST /api/credentials/{n}"] =
      { status = 400, json = { message = "bad", error_code = "CREDENTIAL" } }
    code, _, said = pai_run("credential", "set", "hf", "--payload-env", "k=MY_KEY", "--replace")
    assert.equal(1, code)
    assert.matches("is deleted; set it again", said, 1, true)
  end,

  ["a DATA credential of the same store is replaced by the service itself"] = function()
    srv.answers["GET /api/credentials"] = {
      json = { credentials = { { cred_name = "d", cred_type = "DATA", profile = "s3://b" } } },
    }
    srv.answers["POST /api/credentials/{n}"] = { json = json.null }
    fs.write(dir .. "/key", crypto.hex(16), { mode = 384 })
    assert.is_true(connect():set_credential("d", {
      type = "DATA",
      payload = {
        endpoint = "s3://b",
        access_key_id = "i",
        access_key = assert(secret.from_file(dir .. "/key")),
      },
    }))
    assert.equal("POST /api/credentials/d", srv:last())
  end,

  ["a failed submission is left out of lists, and a lost one is looked for there, too"] = function()
    srv.answers["POST /api/pool/{p}/workflow"] = { status = 504, body = "upstream timeout" }
    srv.answers["GET /api/workflow"] = function(req)
      local statuses = table.concat(req.query.statuses, " ")
      assert.matches("FAILED_SUBMISSION", statuses, 1, true)
      local label = req.query.label[1]:match("^pai%-submit=(.*)$")
      local run =
        { name = "flow-3", status = "FAILED_SUBMISSION", labels = { ["pai-submit"] = label } }
      return { json = { workflows = { run }, more_entries = false } }
    end
    local answer, e = connect():submit({ spec = FLOW, pool = "p", request_timeout = 3000 })
    assert.is_nil(answer)
    assert.equal("ESUBMISSION", e.code)
    assert.matches("flow-3", e.message, 1, true)
    assert.equal(1, posts())
  end,

  ["a submit whose answer is lost is looked for by its label before it is sent again"] = function()
    local made = 0
    srv.answers["POST /api/pool/{p}/workflow"] = function()
      made = made + 1
      if made == 1 then
        return { status = 502, body = "bad gateway" }
      end
      return { json = { name = "flow-1", warnings = json.array({}) } }
    end
    srv.answers["GET /api/workflow"] =
      { json = { workflows = json.array({}), more_entries = false } }
    local c = connect()
    assert.equal("flow-1", c:submit({ spec = FLOW, pool = "p", request_timeout = 3000 }).name)
    assert.equal(2, made)
    assert.equal(4, #srv.calls)
  end,

  ["a cancel that fails is no success"] = function()
    srv.answers["POST /api/workflow/{id}/cancel"] =
      { status = 400, json = { message = "already finished", error_code = "USER" } }
    local code, _, said = pai_run("cancel", "a-1")
    assert.equal(1, code)
    assert.matches("already finished", said, 1, true)
  end,

  ["an old client version is refused: pai names none"] = function()
    srv.answers["GET /api/version"] = { json = { major = "6", minor = "4", revision = "0" } }
    assert(connect():version()) -- the contract knows no x-osmo-client-version
  end,

  ["the default pool is the profile's, else the only one, and never a guess"] = function()
    local settings = { profile = { pool = json.null }, pools = { "a", "b" }, roles = {} }
    srv.answers["GET /api/profile/settings"] = { json = settings }
    local none, e = connect():default_pool()
    assert.is_nil(none)
    assert.matches("--pool", e.hint, 1, true)
    settings.pools = { "a" }
    assert.equal("a", connect():default_pool())
  end,

  ["an unknown status that begins with FAILED is failed, any other is alive"] = function()
    assert.is_true(client.terminal("FAILED_BY_SOMETHING_NEW"))
    assert.is_false(client.terminal("HIBERNATING"))
    assert.is_false(client.terminal("WAITING"))
  end,
}

describe("a trap of OSMO's contract:", function()
  before_each(function()
    dir = assert(fs.tempdir({ prefix = "pai-traps-" }))
    srv = contract.start()
    fs.mkdir(dir .. "/osmo", { mode = 448 })
    fs.write(
      dir .. "/osmo/login.yaml",
      ("dev_login: {username: alice}\nurl: %s\n"):format(srv.url),
      { mode = 384 }
    )
    env = {
      OSMO_CONFIG_FILE_DIR = dir .. "/osmo",
      OSMO_URL = false,
      OSMO_S3_ADDRESSING_STYLE = false,
      AWS_CA_BUNDLE = false,
      TZ = "UTC",
    }
  end)
  after_each(function()
    fs.remove(dir, { recursive = true })
    srv:finish()
  end)

  for _, name in ipairs(require("pai.text").keys(TRAPS)) do
    it(name, function()
      task.run(TRAPS[name])
    end)
  end
end)
