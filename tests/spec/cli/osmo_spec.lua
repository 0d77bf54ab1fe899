-- pai osmo and pai engine as a user calls them.
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local launch = require("pai.engine.launch")
local pai = require("pai")
local paths = require("pai.engine.paths")

local FLOW <const> = [[
workflow:
  name: hello
  tasks:
  - name: greet
    image: pai.local/sh
    command: [sh, -c, "echo hello {{who}}; cat /tmp/note; echo {{who}} > {{output}}/who"]
    files:
    - path: /tmp/note
      localpath: note.txt
default-values:
  who: world
]]

describe("pai osmo", function()
  local dir, state

  setup(function()
    dir = assert(fs.tempdir({ prefix = "pai-cli-" }))
    state = dir .. "/state"
    fs.write(dir .. "/flow.yaml", FLOW)
    fs.write(dir .. "/note.txt", "from beside\n")
    fs.write(dir .. "/bad.yaml", (FLOW:gsub("    files:", "    nope: 1\n    files:")))
    fs.write(
      dir .. "/fails.yaml",
      "workflow:\n  name: fails\n  tasks:\n  - name: t\n    image: pai.local/sh\n"
        .. "    command: [sh, -c, 'echo oops; exit 3']\n"
    )
  end)
  teardown(function()
    launch.stop(paths.of(state))
    fs.remove(dir, { recursive = true })
  end)

  -- Runs a command; its exit code, output and errors.
  local function pai_run(...)
    local argv = { pai.exe, ... }
    table.insert(argv, "--state")
    table.insert(argv, state)
    local r, e = exec.run(argv, {
      cwd = dir,
      timeout = "60s",
      env = { HOME = dir, XDG_CONFIG_HOME = dir .. "/config" },
    })
    r = r or e
    return r.code == "EEXIT" and r.exit or r.code, r.stdout, r.stderr
  end

  local function pai_json(...)
    local code, stdout = pai_run(...)
    return code, assert(json.decode(stdout))
  end

  it("renders without an engine", function()
    local code, text = pai_run("osmo", "submit", "flow.yaml", "--set", "who=you", "--dry-run")
    assert.equal(0, code)
    assert.truthy(text:find("echo hello you", 1, true))
    assert.is_false(fs.exists(state))
  end)

  it("submits and waits", function()
    local code, text, said = pai_run("osmo", "submit", "flow.yaml", "--wait")
    assert.equal(0, code, said)
    assert.truthy(text:find("^hello%-1\n"))
    assert.truthy(text:find("Status%s+COMPLETED"))
    assert.truthy(text:find("greet%s+greet%-group%s+COMPLETED%s+0"))
    local _, log = pai_run("osmo", "logs", "hello-1")
    assert.truthy(log:find("[greet] hello world", 1, true))
    assert.truthy(log:find("[greet] from beside", 1, true))
  end)

  it("takes variables, labels and JSON", function()
    local code, q = pai_json(
      "osmo",
      "submit",
      "flow.yaml",
      "--set-string",
      "who=007",
      "--label",
      "team=red",
      "--wait",
      "--json"
    )
    assert.equal(0, code)
    assert.equal("COMPLETED", q.status)
    assert.equal("red", q.labels.team)
    local _, log = pai_run("osmo", "logs", q.name, "--task", "greet", "--query", "hello")
    assert.truthy(log:find("hello 007", 1, true))
    local _, listed = pai_json("osmo", "list", "--label", "team=r*", "--json")
    assert.equal(1, #listed.workflows)
    assert.equal(q.name, listed.workflows[1].name)
    assert.is_false(listed.more_entries)
  end)

  it("ends with 1 when the run has failed, and says why", function()
    local code, text = pai_run("osmo", "submit", "fails.yaml", "--wait")
    assert.equal(1, code)
    assert.truthy(text:find("Status%s+FAILED"))
    assert.truthy(text:find("t: Failure reason: - Exit code 3", 1, true))
    local _, errors = pai_run("osmo", "logs", "fails-1", "--error", "--task", "t")
    assert.truthy(errors:find("[t] oops", 1, true))
    -- The only task that failed is the one that is meant.
    local _, same = pai_run("osmo", "logs", "fails-1", "--error")
    assert.equal(errors, same)
    local _, events = pai_run("osmo", "events", "fails-1")
    assert.truthy(events:find("[t] Failed: ", 1, true))
    local restarted
    code, restarted = pai_run("osmo", "restart", "fails-1")
    assert.equal(0, code)
    assert.equal("fails-2\n", restarted)
    code = pai_run("osmo", "query", "fails-2", "--wait")
    assert.equal(1, code)
  end)

  it("asks which task's error log is meant when several failed, or says that none did", function()
    fs.write(
      dir .. "/both.yaml",
      "workflow:\n  name: both\n  tasks:\n"
        .. "  - {name: a, image: pai.local/x, command: [sh, -c, exit 3]}\n"
        .. "  - {name: b, image: pai.local/x, command: [sh, -c, exit 4]}\n"
    )
    local _, id = pai_run("osmo", "submit", "both.yaml")
    assert.equal(1, (pai_run("osmo", "query", id:gsub("\n", ""), "--wait")))
    local code, _, said = pai_run("osmo", "logs", "both-1", "--error")
    assert.equal(2, code)
    assert.truthy(said:find("which task of both-1? --task NAME\nhint: these failed: a, b", 1, true))
    assert.equal(0, (pai_run("osmo", "submit", "flow.yaml", "--wait")))
    local _, newest = pai_json("osmo", "list", "--json")
    code, _, said = pai_run("osmo", "logs", newest.workflows[1].name, "--error")
    assert.equal(1, code)
    assert.truthy(said:find("no task of hello%-%d+ has failed\nhint: pai osmo logs hello"))
  end)

  it("names file and line of a mistake before anything is submitted, also to the engine", function()
    fs.write(dir .. "/slip.yaml", "workflow:\n  name: slip\n  tasks:\n  - nme: a\n    image: x\n")
    local code, text, said = pai_run("osmo", "submit", "slip.yaml")
    assert.equal(1, code)
    assert.equal("", text)
    assert.truthy(said:find("slip.yaml:4: workflow.tasks.0.nme: unknown key 'nme'", 1, true), said)
    local _, failed = pai_json("osmo", "list", "--status", "FAILED_SUBMISSION", "--json")
    assert.same({}, failed.workflows)
    code, _, said = pai_run("osmo", "submit", "flow.yaml", "--set", "who")
    assert.equal(2, code)
    assert.truthy(said:find("--set who: it is written NAME=VALUE", 1, true))
  end)

  it("says of what the engine has not got that a service has it", function()
    for _, words in ipairs({ "config history" }) do
      local argv = { "osmo" }
      for word in words:gmatch("%S+") do
        argv[#argv + 1] = word
      end
      local code, _, said = pai_run(table.unpack(argv))
      assert.equal(1, code)
      assert.truthy(said:find("not supported by the embedded engine", 1, true))
      assert.truthy(said:find("hint: a service has it: --target osmo", 1, true))
    end
    local code, _, said = pai_run("osmo", "port-forward", "fails-1", "t", "--port", "80")
    assert.equal(1, code)
    assert.truthy(said:find("has finished", 1, true))
    local text
    code, text = pai_run("osmo", "submit", "--help")
    assert.equal(0, code)
    assert.truthy(text:find("--set K=V...", 1, true))
  end)

  it("keeps a stored workflow's life: create, show, submit, delete", function()
    assert.equal(0, pai_run("osmo", "app", "create", "greet", "flow.yaml", "-d", "says hello"))
    local code, text = pai_run("osmo", "app", "show", "greet")
    assert.equal(0, code)
    assert.truthy(text:find("^says hello\n\nvariables.*\n  who: world\n$"))
    local answer
    code, answer = pai_json("osmo", "app", "submit", "greet", "--set", "who=app", "-t", "json")
    assert.equal(0, code)
    assert.equal(0, pai_run("osmo", "query", answer.name, "--wait", "--timeout", "60"))
    local _, log = pai_run("osmo", "logs", answer.name, "-t", "greet")
    assert.truthy(log:find("hello app", 1, true))
    code = pai_run("osmo", "app", "delete", "greet", "--all")
    assert.equal(3, code)
    assert.equal(0, pai_run("osmo", "app", "delete", "greet", "--all", "--force"))
    code, text = pai_run("osmo", "app", "list")
    assert.equal(0, code)
    assert.equal("no apps found\n", text)
  end)

  it("validates offline: no engine is started and no service asked", function()
    fs.write(
      dir .. "/wrong.yaml",
      "workflow:\n  name: x\n  tasks:\n  - name: t\n    image: a\n    command: sh\n"
        .. "    exitActions: {RESTART: 3}\n    outputs: [{url: http://x/y}]\n"
    )
    local elsewhere = fs.join(dir, "other-state")
    local r = assert(exec.run({ pai.exe, "osmo", "validate", "wrong.yaml", "--state", elsewhere }, {
      cwd = dir,
      accept = "any",
      env = { OSMO_URL = "http://127.0.0.1:1" },
    }))
    assert.equal(1, r.code)
    assert.matches("wrong.yaml:6: workflow.tasks.0.command: must be a list", r.stderr, 1, true)
    assert.matches("wrong.yaml:7: workflow.tasks.0.exitActions", r.stderr, 1, true)
    assert.is_false(fs.exists(elsewhere))
    r = assert(exec.run({ pai.exe, "osmo", "validate", "fails.yaml", "--json" }, {
      cwd = dir,
      env = { OSMO_URL = "http://127.0.0.1:1" },
    }))
    assert.is_true(json.decode(r.stdout).offline)
  end)

  it("validates", function()
    local code, text = pai_run("osmo", "validate", "fails.yaml")
    assert.equal(0, code)
    assert.equal("fails: Workflow validation succeeded.\n", text)
    local _, said
    code, _, said = pai_run("osmo", "validate", "bad.yaml")
    assert.equal(1, code)
    assert.truthy(said:find("nope", 1, true))
  end)

  it("cancels, and says of each whether it could", function()
    fs.write(dir .. "/long.yaml", (FLOW:gsub("echo hello", "sleep 60; echo hello")))
    local _, id = pai_run("osmo", "submit", "long.yaml")
    id = id:gsub("\n", "")
    local code, text, said = pai_run("osmo", "cancel", id, "nope-1", "--force")
    assert.equal(1, code)
    assert.equal(id .. ": being canceled\n", text)
    assert.truthy(said:find("nope-1: Workflow nope-1 is not found.", 1, true))
    code = pai_run("osmo", "query", id, "--wait")
    assert.equal(1, code)
  end)

  it("follows a log", function()
    fs.write(dir .. "/slow.yaml", (FLOW:gsub("echo hello", "sleep 0.3; echo hello")))
    local _, id = pai_run("osmo", "submit", "slow.yaml")
    local code, text = pai_run("osmo", "logs", (id:gsub("\n", "")), "--follow", "--json")
    assert.equal(0, code)
    local found = false
    for line in text:gmatch("[^\n]+") do
      found = found or assert(json.decode(line)).line:find("hello world", 1, true) ~= nil
    end
    assert.is_true(found)
  end)

  it("shows pools, specs and the version of the contract", function()
    local code, text = pai_run("osmo", "pools")
    assert.equal(0, code)
    assert.truthy(text:find("local%s+ONLINE%s+local"))
    local _, v = pai_json("osmo", "version", "--json")
    assert.equal("6", v.major)
    _, text = pai_run("osmo", "spec", "hello-1")
    assert.truthy(text:find("greet-group", 1, true))
    _, text = pai_run("osmo", "spec", "hello-1", "--template")
    assert.equal(FLOW, text)
  end)

  it("says what is wrong, with the right exit code", function()
    local code, _, said = pai_run("osmo", "submit")
    assert.equal(2, code)
    assert.truthy(said:find("FILE", 1, true))
    code, _, said = pai_run("osmo", "submit", "nothing.yaml")
    assert.equal(2, code)
    assert.truthy(said:find("nothing.yaml", 1, true))
    code, _, said = pai_run("osmo", "lst")
    assert.equal(2, code)
    assert.truthy(said:find("did you mean 'list'", 1, true))
    code, _, said = pai_run("osmo", "query", "nope-1")
    assert.equal(1, code)
    assert.truthy(said:find("Workflow nope-1 is not found.", 1, true))
    code, _, said = pai_run("osmo", "list", "--limit", "x")
    assert.equal(2, code)
    assert.truthy(said:find("--limit", 1, true))
    code, _, said = pai_run("osmo", "list", "--target", "osmo")
    assert.equal(2, code)
    assert.truthy(said:find("no OSMO is configured", 1, true))
    local login = dir .. "/config/osmo/login.yaml"
    assert(fs.mkdir(fs.dirname(login), { parents = true }))
    assert(fs.write(login, "url: http://127.0.0.1:9\n", { mode = "0644" }))
    code, _, said = pai_run("plan", "vda", "--target", "osmo")
    assert.equal(2, code, said)
    assert.truthy(said:find("hint: chmod 600 " .. login, 1, true), said)
    assert(fs.remove(login))
    code, _, said = pai_run("osmo", "list", "--target", "lcal")
    assert.equal(2, code)
    assert.truthy(said:find("not 'lcal' (did you mean 'local'?)", 1, true))
    code, _, said = pai_run("osmo", "credential", "set", "x")
    assert.equal(2, code)
    assert.truthy(said:find("hint: --payload-env K=VARIABLE", 1, true))
  end)

  it("says what to look at when nobody answers", function()
    -- A port that was free a moment ago.
    local sock = require("pai.sock")
    local listener = assert(sock.listen({ host = "127.0.0.1", port = 0 }))
    local url = "http://127.0.0.1:" .. listener:port()
    listener:close()
    local file = dir .. "/config/osmo/login.yaml"
    local code, _, said = pai_run("osmo", "login", url, "--method", "dev", "--username", "a")
    assert.equal(1, code)
    assert.truthy(said:find("the login is as it was", 1, true), said)
    assert.is_false(fs.exists(file))
    assert(fs.mkdir(fs.dirname(file), { parents = true }))
    local login = "url: %s\nname: a\nosmo_token: false\ndev_login: {username: a}\n"
    assert(fs.write(file, login:format(url), { mode = "0600" }))
    code, _, said = pai_run("osmo", "list")
    assert.equal(1, code)
    assert.truthy(said:find("--target local is the engine of this machine", 1, true), said)
    assert(fs.remove(file))
  end)
end)

describe("pai engine", function()
  local state

  before_each(function()
    state = assert(fs.tempdir({ prefix = "pai-cli-" }))
  end)
  after_each(function()
    launch.stop(paths.of(state))
    fs.remove(state, { recursive = true })
  end)

  local function run(...)
    local r, e = exec.run({ pai.exe, "engine", ..., "--state", state }, { accept = "any" })
    return assert(r, e)
  end

  it("starts, shows and stops", function()
    assert.equal("no engine is running\n", run("status").stdout)
    local r = run("start")
    assert.equal(0, r.code)
    assert.truthy(r.stdout:find("engine%s+running"))
    local s =
      json.decode(exec.run({ pai.exe, "engine", "status", "--json", "--state", state }).stdout)
    assert.truthy(fs.process(s.pid))
    assert.truthy(s.sandbox.kind == "bubblewrap" or s.sandbox.reason)
    r = run("stop")
    assert.equal(("engine stopped (pid %d)\n"):format(s.pid), r.stdout)
    local p = fs.process(s.pid)
    assert.is_true(p == nil or p.state == "Z")
    assert.equal("no engine is running\n", run("stop").stdout)
  end)

  it("needs a port that is one", function()
    local r = exec.run({ pai.exe, "engine", "start", "--port", "x", "--state", state }, {
      accept = "any",
    })
    assert.equal(2, r.code)
    assert.truthy(r.stderr:find("--port", 1, true))
    assert.same({}, fs.list(state))
  end)
end)
