-- openclaw-azure-login, against a scripted az: `az login --use-device-code` prints the page and the
-- code on standard error and goes on until the browser is done.
local azure = dofile("tests/spec/components/azure.lua")
local support = dofile("tests/spec/run/support.lua")
local stand_in = dofile("tests/spec/components/stand_in.lua")
local fs = require("pai.fs")
local json = require("pai.json")

local CODE <const> = "ABCD" .. "EFGH1"
local SAID <const> = "To sign in, use a web browser to open the page "
  .. "https://microsoft.com/devicelogin and enter the code %s to authenticate.\n"

describe("openclaw-azure-login", function()
  local bench, talk

  before_each(function()
    bench = support.new()
    azure.install(bench, { "openclaw-azure-login" })
    talk = stand_in.new(bench.root .. "/tools", { "az" }, { "git" })
    talk:tell(
      azure.answer(
        { "account", "list", "--all" },
        json.array({ azure.account() }),
        "az account list",
        { when = "logged-in" }
      )
    )
    talk:tell(azure.answer({ "account", "list", "--all" }, json.array({}), "az account list"))
    talk:tell({
      argv = { "az", "version", "--output=json" },
      stdout = '{"azure-cli": "2.71.0"}',
      cite = "az version reference",
    })
  end)

  after_each(function()
    bench:remove()
  end)

  local function env(more)
    local all = { PATH = talk.path }
    for k, v in pairs(more or {}) do
      all[k] = v
    end
    return { env = all }
  end

  local function login(more)
    local answer = {
      argv = { "az", "login", "--use-device-code", "--output=json" },
      stderr = SAID:format(CODE),
      stdout = "[]",
      sets = "logged-in",
      cite = "az login --use-device-code",
    }
    for k, v in pairs(more or {}) do
      answer[k] = v
    end
    return answer
  end

  -- An az that prints its code, waits for a file, and is logged in then.
  local function waiting()
    talk:remove("az")
    talk:add(
      "az-told",
      ('#!/bin/sh\nexec "%s" lua "%s" "%s" az "$@"\n'):format(
        pai.exe,
        fs.abspath(pai.root) .. "/tests/spec/components/stand_in_tool.lua",
        talk.dir
      )
    )
    talk:add(
      "az",
      ([[#!/bin/sh
if [ "$1" = login ]; then
  echo login >> "%s/logins"
  printf '%s' >&2
  n=0
  while [ ! -e "%s/signed-in" ]; do
    n=$((n + 1)); [ $n -gt 600 ] && exit 1
    /bin/sleep 0.1
  done
  : > "%s/flags/logged-in"
  echo '[]'
  exit 0
fi
exec az-told "$@"
]]):format(talk.dir, SAID:format(CODE):gsub("\n", "\\n"), talk.dir, talk.dir)
    )
  end

  it("shows the code at once, while the one login waits", function()
    waiting()
    local argv = { "deploy", "openclaw-azure-login", "--run-id", "run-0badcafe" }
    local proc = bench:start(argv, env().env)
    local journal = bench.state .. "/runs/run-0badcafe/journal.jsonl"
    support.eventually(function()
      return (fs.read(journal) or ""):find(CODE, 1, true)
    end, "the code in the journal")
    assert.is_false(talk:is_set("logged-in"))
    -- Nobody else may log in meanwhile: its code would be another.
    local r = bench:pai({ "deploy", "openclaw-azure-login" }, env())
    assert.are.equal(4, r.code, r.stderr)
    assert(fs.write(talk.dir .. "/signed-in", ""))
    local ended = assert(proc:wait("60s"))
    assert.are.equal(0, ended.code, ended.stdout .. ended.stderr)
    assert.is_truthy(ended.stdout:find("https://microsoft.com/devicelogin", 1, true))
    assert.are.equal("login\n", fs.read(talk.dir .. "/logins"))
    local starts = support.pick(bench:journal("run-0badcafe"), "step.done")
    assert.are.equal(azure.SUBSCRIPTION, starts[1].result.subscription)
    -- Logged in already: no second login.
    r = bench:pai({ "deploy", "openclaw-azure-login" }, env())
    assert.are.equal(0, r.code, r.stderr)
    assert.are.equal("login\n", fs.read(talk.dir .. "/logins"))
    talk:check()
  end)

  it("goes on after a kill, with one login", function()
    talk:tell(login())
    local argv = { "deploy", "openclaw-azure-login", "--run-id", "run-0badcafe" }
    local r = bench:pai(argv, env({ PAI_TEST_KILL = "step.start:openclaw-azure-login/login" }))
    assert.are_not.equal(0, r.code)
    r = bench:pai({ "resume", "run-0badcafe" }, env())
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.equal(1, #talk:calls("^az login"))
    talk:check()
  end)

  it("passes the tenant and a folder of its own on", function()
    talk:tell(login({
      argv = { "az", "login", "--use-device-code", "--output=json", "--tenant", "example.com" },
      env = { AZURE_CONFIG_DIR = "/private$", AZURE_CORE_LOGIN_EXPERIENCE_V2 = "^off$" },
    }))
    local dir = bench.root .. "/private"
    local r = bench:pai({
      "deploy",
      "openclaw-azure-login",
      "tenant=example.com",
      "config_dir=" .. dir,
    }, env())
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    talk:check()
  end)

  for what, case in pairs({
    ["an expired code"] = { "AADSTS70020: This device code has expired.", "a new one" },
    ["the wrong tenant"] = { "AADSTS50020: User account does not exist in tenant", "--tenant" },
    ["a folder that can't be written"] = {
      "PermissionError: [Errno 13] Permission denied: '/home/x/.azure/config'",
      "config_dir=",
    },
  }) do
    it("says what to do about " .. what, function()
      talk:tell(login({ sets = false, code = 1, stderr = "ERROR: " .. case[1] .. "\n" }))
      talk.answers[#talk.answers].sets = nil
      talk:write()
      local r = bench:pai({ "deploy", "openclaw-azure-login" }, env())
      assert.are.equal(1, r.code)
      local said = r.stdout .. r.stderr
      assert.is_truthy(said:find(case[2], 1, true), said)
      assert.are.equal(1, #talk:calls("^az login"))
    end)
  end

  it("stops when the login has no subscription, or not the one that is wanted", function()
    talk:tell(login())
    local r = bench:pai({ "verify", "openclaw-azure-login", "--json" }, env())
    assert.are.equal(1, r.code)
    assert.are.equal("red", azure.by_name(r)["Azure login"].state)
    r = bench:pai({ "deploy", "openclaw-azure-login", "subscription=cars" }, env())
    assert.are.equal(1, r.code)
    assert.is_truthy((r.stdout .. r.stderr):find("without the subscription", 1, true), r.stdout)
    r = bench:pai({ "verify", "openclaw-azure-login", "subscription=cars" }, env())
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("there are: robots (Enabled)", 1, true), r.stdout)
    assert.are.equal(0, bench:pai({ "verify", "openclaw-azure-login" }, env()).code)
  end)

  local function folder(dir)
    local r = bench:pai({
      "preflight",
      "openclaw-azure-login",
      "--json",
      dir and "config_dir=" .. dir or nil,
    }, env())
    return azure.by_name(r)["az's folder"]
  end

  it("looks at az's folder before anything is written there", function()
    assert.are.equal("ok", folder().state)
    local dir = bench.root .. "/config-az"
    assert.are.equal("ok", folder(dir).state)
    assert(fs.mkdir(dir, { mode = "0755" }))
    assert(fs.chmod(dir, "0755"))
    assert.are.equal("red", folder(dir).state)
    assert(fs.chmod(dir, "0700"))
    assert.are.equal("ok", folder(dir).state)
    assert(require("pai.exec").run({ "git", "init", "-q", bench.dir }))
    local inside = bench.dir .. "/az"
    assert.is_truthy(folder(inside).measured:find("does not ignore it", 1, true))
    assert.are.equal("red", folder(inside).state)
    local file = folder(bench:write("file", ""))
    assert.are.equal("red", file.state)
    assert.is_truthy(file.measured:find("is no folder", 1, true))
    bench:write(".gitignore", "az\n")
    assert.are.equal("ok", folder(inside).state)
  end)
end)
