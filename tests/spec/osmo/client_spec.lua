-- The client against a scripted service: logins, lost answers, followed logs, errors.
local async = require("pai.async")
local client = require("pai.osmo.client")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")
local secret = require("pai.secret")
local serve = require("pai.serve")
local task = require("pai.task")

local SPEC <const> = "workflow: "
  .. json.encode({
    name = "flow",
    tasks = { { name = "t", image = "alpine", command = { "true" } } },
  })
  .. "\n"

describe("the client of a service", function()
  local dir, srv, calls, routes, url

  -- A service whose routes are functions; what no route answers fails the test.
  local function handler(req)
    calls[#calls + 1] = req
    local route = routes[req.method .. " " .. req.path]
    if not route then
      return { status = 500, json = { message = "unexpected: " .. req.method .. " " .. req.path } }
    end
    return route(req)
  end

  before_each(function()
    dir = assert(fs.tempdir({ prefix = "pai-client-" }))
    calls, routes = {}, {}
    srv = assert(serve.listen({ host = "127.0.0.1", port = 0, handler = handler }))
    url = "http://127.0.0.1:" .. srv:port()
  end)
  after_each(function()
    srv:close()
    fs.remove(dir, { recursive = true })
  end)

  local function connect(opts)
    local settings = { target = url, user = "alice" }
    for name, value in pairs(opts or {}) do
      settings[name] = value
    end
    return assert(client.connect(settings))
  end

  local function version()
    return { json = { major = "6", minor = "4", revision = "0", hash = "abc" } }
  end

  it("says who asks, and leaves the client version out", function()
    routes["GET /api/version"] = version
    assert.equal("abc", connect():version().hash)
    assert.equal("alice", calls[1].headers["x-osmo-user"])
    assert.is_nil(calls[1].headers["x-osmo-client-version"])
    assert.is_nil(calls[1].headers.authorization)
    assert.truthy(calls[1].headers["user-agent"]:find("^pai/"))
  end)

  it("never stands in for another target", function()
    srv:close()
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
      local answer = version()
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
      token_file = dir .. "/token"
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
      routes["GET /api/version"] = version
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
      local env = { OSMO_CONFIG_FILE_DIR = dir .. "/osmo" }
      local r = assert(exec.run({
        pai.exe,
        "osmo",
        "login",
        url .. "/",
        "--method",
        "token",
        "--username",
        "alice",
        "--token-file",
        token_file,
      }, { env = env }))
      assert.is_nil((r.stdout .. r.stderr):find(token, 1, true))
      local path = dir .. "/osmo/login.yaml"
      assert.equal(384, fs.stat(path).mode)
      local doc = assert(require("pai.yaml").decode(fs.read(path), { schema = "1.1" }))
      assert.equal(url, doc.url)
      assert.is_true(doc.osmo_token)
      assert.equal(json.null, doc.dev_login)
      assert.equal(token, doc.token_login.refresh_token)
      assert.equal(url .. "/api/auth/jwt/access_token", doc.token_login.refresh_url)
      assert.same({ "login.yaml" }, fs.list(dir .. "/osmo"))
      -- And it is used from there.
      r = assert(exec.run({ pai.exe, "osmo", "version", "--target", "osmo" }, { env = env }))
      assert.truthy(r.stdout:find("OSMO 6.4.0", 1, true))
      assert.truthy(calls[#calls].headers.authorization:find("^Bearer jwt"))
    end)

    it("is not sent to another service than the one it is for", function()
      exchange(300, { n = 0 })
      local config = dir .. "/osmo"
      fs.mkdir(config)
      fs.write(
        config .. "/login.yaml",
        ("url: https://osmo.test\nosmo_token: true\ntoken_login: {refresh_token: %s}\n"):format(
          token
        ),
        { mode = "0600" }
      )
      local r, e = exec.run({ pai.exe, "osmo", "version", "--target", url }, {
        env = { OSMO_CONFIG_FILE_DIR = config },
      })
      assert.is_nil(r)
      assert.truthy(e.stderr:find("no login for " .. url, 1, true))
      assert.equal(0, #calls)
    end)
  end)

  it("keeps a dev login and uses it", function()
    routes["GET /api/version"] = version
    local env = { OSMO_CONFIG_FILE_DIR = dir .. "/osmo" }
    assert(exec.run({
      pai.exe,
      "osmo",
      "login",
      url,
      "--method",
      "dev",
      "--username",
      "bob",
    }, { env = env }))
    assert(exec.run({ pai.exe, "osmo", "version" }, { env = env }))
    assert.equal("bob", calls[1].headers["x-osmo-user"])
  end)

  it("refuses a login file that others can read", function()
    local config = dir .. "/osmo"
    fs.mkdir(config)
    fs.write(config .. "/login.yaml", "url: " .. url .. "\n", { mode = "0644" })
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

  describe("a submit", function()
    local ANSWER <const> = {
      name = "flow-1",
      overview = "o",
      logs = "l",
      spec = json.null,
      dashboard_url = json.null,
      warnings = json.array({}),
    }

    -- A submit whose first answers are lost; `hits` says how many runs there then are, with its
    -- label or, from a service that knows no labels, without.
    local function lossy(lost, hits, old)
      local posts = 0
      routes["POST /api/pool/p/workflow"] = function(req)
        posts = posts + 1
        if posts <= lost then
          -- The connection ends in the middle of the answer.
          return {
            headers = { ["content-type"] = "application/json" },
            stream = function(w)
              w:write("{")
              error("cut")
            end,
          }
        end
        return { json = ANSWER, headers = { ["x-label"] = req.query.label[1] } }
      end
      routes["GET /api/workflow"] = function(req)
        local list = json.array({})
        local label = req.query.label and req.query.label[1]:match("^pai%-submit=(.*)$")
        for i = 1, hits(req, posts) do
          local labels = not old and label and { ["pai-submit"] = label } or nil
          list[i] = { name = "flow-" .. i, logs = "l", overview = "o", labels = labels }
        end
        return { json = { workflows = list, more_entries = false } }
      end
      return function()
        return posts
      end
    end

    local function submit(c)
      -- The embedded engine's rule: nobody waits out a deadline on this machine.
      c.target = "local"
      c.roots = {}
      return c:submit({ spec = SPEC, pool = "p" })
    end

    it("carries a label of its own by which it is found", function()
      local posts = lossy(0, function()
        return 0
      end)
      local c = connect()
      assert.equal("flow-1", submit(c).name)
      assert.equal(1, posts())
      local label = calls[1].query.label[1]
      assert.truthy(label:find("^pai%-submit=%x+$"))
      submit(c)
      assert.are_not.equal(label, calls[2].query.label[1])
    end)

    it("whose answer was lost is adopted when it got through", function()
      local posts = lossy(9, function(req)
        assert.truthy(req.query.label[1]:find("^pai%-submit="))
        return 1
      end)
      local answer = assert(submit(connect()))
      assert.equal("flow-1", answer.name)
      assert.is_true(answer.adopted)
      assert.equal(1, posts())
    end)

    it("is found at the second look too", function()
      local looks = 0
      local posts = lossy(9, function()
        looks = looks + 1
        return looks >= 2 and 1 or 0
      end)
      assert.equal("flow-1", submit(connect()).name)
      assert.equal(2, looks)
      assert.equal(1, posts())
    end)

    it("is sent again when it did not get through", function()
      local posts = lossy(1, function()
        return 0
      end)
      assert.equal("flow-1", submit(connect()).name)
      assert.equal(2, posts())
      local looks = 0
      for _, req in ipairs(calls) do
        looks = looks + (req.method == "GET" and 1 or 0)
      end
      assert.equal(2, looks)
    end)

    it("that made two runs stops and names both", function()
      lossy(9, function()
        return 2
      end)
      local answer, e = submit(connect())
      assert.is_nil(answer)
      assert.equal("ECONFLICT", e.code)
      assert.truthy(e.message:find("flow-1 and flow-2", 1, true))
    end)

    it("is looked for by name, user and time where there are no labels", function()
      local asked
      lossy(9, function(req)
        if req.query.label then
          return 5
        end
        asked = req.query
        return 1
      end, true)
      assert.equal("flow-1", submit(connect()).name)
      assert.same({ "flow" }, asked.name)
      assert.truthy(asked.submitted_after[1]:find("^%d%d%d%d%-%d%d%-%d%dT"))
      assert.is_nil(asked.all_users)
    end)

    it("gives up after a few times", function()
      local posts = lossy(99, function()
        return 0
      end)
      local answer, e = submit(connect())
      assert.is_nil(answer)
      assert.truthy(e)
      assert.equal(3, posts())
    end)

    it("that is refused is not sent again", function()
      local n = 0
      routes["POST /api/pool/p/workflow"] = function()
        n = n + 1
        return {
          status = 400,
          json = { message = "no", error_code = "USAGE", workflow_id = json.null },
        }
      end
      local answer, e = submit(connect())
      assert.is_nil(answer)
      assert.equal("USAGE", e.error_code)
      assert.equal(1, n)
    end)

    it("renders a template twice and puts local files in between", function()
      fs.write(dir .. "/run.sh", "echo local\n")
      local text = "workflow:\n  name: flow\n  tasks:\n  - name: t\n    image: alpine\n"
        .. "    command: [sh, /run.sh, '{{word}}']\n    files:\n    - path: /run.sh\n"
        .. "      localpath: run.sh\n"
      fs.write(dir .. "/flow.yaml", text)
      local bodies = {}
      routes["POST /api/pool/p/workflow"] = function(req)
        bodies[#bodies + 1] = { query = req.query, body = json.decode(req.body) }
        if req.query.dry_run and req.query.dry_run[1] == "True" then
          return {
            json = {
              name = "flow",
              overview = json.null,
              logs = json.null,
              spec = text:gsub("{{word}}", "hi"),
              dashboard_url = json.null,
              warnings = json.array({}),
            },
          }
        end
        return { json = ANSWER }
      end
      assert(connect():submit({
        file = dir .. "/flow.yaml",
        pool = "p",
        variables = { word = "hi" },
        labels = { who = "me" },
      }))
      assert.equal(2, #bodies)
      assert.equal(text, bodies[1].body.file)
      assert.same({ "True" }, bodies[1].query.dry_run)
      assert.same({ "word=hi" }, bodies[1].body.set_variables)
      assert.same({ "False" }, bodies[2].query.dry_run)
      assert.equal(text, bodies[2].body.uploaded_templated_spec)
      local doc = assert(require("pai.yaml").decode(bodies[2].body.file, { schema = "1.1" }))
      local file = doc.workflow.tasks[1].files[1]
      assert.equal("echo local\n", file.contents)
      assert.is_nil(file.localpath)
      assert.equal("who=me", bodies[2].query.label[1])
    end)
  end)

  describe("a wait", function()
    it("ends with the run, and reports what changes", function()
      local states = { "PENDING", "RUNNING", "COMPLETED" }
      local n = 0
      routes["GET /api/workflow/x-1"] = function()
        n = math.min(n + 1, 3)
        return { json = { name = "x-1", status = states[n], groups = json.array({}) } }
      end
      local seen = {}
      local q = assert(connect():wait("x-1", {
        every = "10ms",
        on_update = function(update)
          seen[#seen + 1] = update.status
        end,
      }))
      assert.equal("COMPLETED", q.status)
      assert.same(states, seen)
    end)

    it("ends at its deadline with the status it saw", function()
      routes["GET /api/workflow/x-1"] = function()
        return { json = { name = "x-1", status = "HIBERNATING", groups = json.array({}) } }
      end
      local q, e = connect():wait("x-1", { every = "10ms", timeout = "100ms" })
      assert.is_nil(q)
      assert.equal("ETIMEDOUT", e.code)
      assert.equal("HIBERNATING", e.status)
    end)

    it("takes any FAILED_ status as an end", function()
      routes["GET /api/workflow/x-1"] = function()
        return { json = { name = "x-1", status = "FAILED_BY_MAGIC", groups = json.array({}) } }
      end
      assert.equal("FAILED_BY_MAGIC", connect():wait("x-1").status)
      assert.is_true(client.terminal("COMPLETED"))
      assert.is_false(client.terminal("WAITING"))
    end)

    it("outlives a service that is away for a moment", function()
      local n = 0
      routes["GET /api/workflow/x-1"] = function()
        n = n + 1
        if n == 1 then
          return { status = 503, body = "later" }
        end
        return { json = { name = "x-1", status = "COMPLETED", groups = json.array({}) } }
      end
      assert.equal("COMPLETED", connect():wait("x-1", { every = "10ms" }).status)
    end)
  end)

  describe("a followed log", function()
    -- Serves `log` in pieces; `plan` says for each connection how many lines it gives and whether
    -- it then ends, cuts or hangs.
    local function serve_log(log, plan)
      local connection = 0
      routes["GET /api/workflow/x-1/logs"] = function(req)
        connection = connection + 1
        local step = plan[math.min(connection, #plan)]
        local from = step.from or 1
        if req.query.last_n_lines then
          from = math.max(from, #log - tonumber(req.query.last_n_lines[1]) + 1)
        end
        return {
          stream = function(w)
            for i = from, step.to do
              w:write(log[i] .. "\n")
            end
            if step.how == "cut" then
              task.sleep("50ms") -- what was written is on its way
              error("cut")
            elseif step.how == "hang" then
              task.sleep("60s")
            end
          end,
        }
      end
      routes["GET /api/workflow/x-1"] = function()
        local status = plan[connection] and plan[connection].how == "end" and "COMPLETED"
          or "RUNNING"
        return { json = { name = "x-1", status = status, groups = json.array({}) } }
      end
    end

    local function lines(n)
      local out = {}
      for i = 1, n do
        out[i] = ("2026/08/20 01:02:%02d [t] line %d"):format(i // 3, i)
      end
      return out
    end

    local function follow(opts)
      local got = {}
      local settings = {
        follow = true,
        silence = "300ms",
        on_line = function(line)
          got[#got + 1] = line
        end,
      }
      for name, value in pairs(opts or {}) do
        settings[name] = value
      end
      assert(connect():logs("x-1", settings))
      return got
    end

    it("goes on after a cut without a gap and without a line twice", function()
      local log = lines(20)
      serve_log(
        log,
        { { to = 7, how = "cut" }, { to = 12, how = "cut" }, { to = 20, how = "end" } }
      )
      assert.same(log, follow())
    end)

    it("is asked again when it is silent", function()
      local log = lines(9)
      serve_log(log, { { to = 4, how = "hang" }, { to = 9, how = "end" } })
      assert.same(log, follow())
    end)

    it("finds its place when the beginning is gone", function()
      local log = lines(30)
      serve_log(log, { { to = 12, how = "cut" }, { from = 6, to = 30, how = "end" } })
      assert.same(log, follow())
    end)

    it("begins with the last lines if asked to", function()
      local log = lines(10)
      serve_log(log, { { to = 10, how = "cut" }, { to = 10, how = "end" } })
      assert.same({ log[8], log[9], log[10] }, follow({ last = 3 }))
    end)

    it("does not take equal lines for the same ones", function()
      local log = {}
      for i = 1, 80 do
        log[i] = "2026/08/20 01:02:03 [t] tick"
      end
      serve_log(log, { { to = 60, how = "cut" }, { to = 80, how = "end" } })
      assert.equal(80, #follow())
    end)

    it("ends with its caller", function()
      serve_log(lines(3), { { to = 3, how = "hang" } })
      local ok, e = pcall(task.run, function()
        async.deadline("200ms", follow, { silence = "30s" })
      end)
      assert.is_false(ok)
      assert.equal("ETIMEDOUT", e.code)
    end)
  end)
end)
