-- Where the value of a secret input comes from: each source, which of them counts, what is refused,
-- and that no message, journal or output has the value. The recipe gives it to sha256sum, so that
-- the spec can tell which value it was.
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local support = dofile("tests/spec/run/support.lua")

local RECIPE <const> = [[
  inputs = {
    s = { type = "secret", env = "CANARY", bins = { "sha256sum" } },
    n = { type = "integer", env = "PLAIN", default = 1 },
  },
  needs = { bins = { "sha256sum" } },
  steps = {
    { name = "a", run = function(ctx, inp)
      local r = ctx.exec({ "sha256sum" }, { stdin = inp.s })
      return { digest = r.stdout:match("^%x+"), n = inp.n }
    end },
  },
]]

describe("a secret", function()
  local bench, home, config, made

  before_each(function()
    bench = support.new()
    home = bench.root .. "/home"
    config = home .. "/.config"
    made = {}
    assert(fs.mkdir(config .. "/pai", { parents = true, mode = 448 }))
    bench:recipe("r", RECIPE)
  end)

  after_each(function()
    bench:remove()
  end)

  -- A value that stands nowhere else; no output or file of pai's may have it.
  local function value()
    made[#made + 1] = "value-" .. crypto.hex(12)
    return made[#made]
  end

  local function put(path, body, mode)
    assert(fs.mkdir(fs.dirname(path), { parents = true }))
    assert(fs.write(path, body, { sync = false }))
    assert(fs.chmod(path, mode or "0600"))
    return path
  end

  local function settings(body, mode)
    return put(config .. "/pai/settings.yaml", body, mode or "0644")
  end

  local function work_tree()
    local env = { GIT_CONFIG_GLOBAL = "/dev/null", HOME = home }
    assert(exec.run({ "git", "-C", bench.dir, "init", "-q" }, { env = env }))
    put(bench.dir .. "/.gitignore", "/.env\n", "0644")
  end

  local function program(name, script)
    put(bench.root .. "/bin/" .. name, "#!/bin/sh\n" .. script .. "\n", "0755")
  end

  local function check_clean(r)
    local texts = { r.stdout, r.stderr }
    for _, name in ipairs(fs.exists(bench.state) and fs.walk(bench.state) or {}) do
      texts[#texts + 1] = fs.read(bench.state .. "/" .. name)
    end
    for _, text in ipairs(texts) do
      for _, one in ipairs(made) do
        assert.is_nil(text:find(one, 1, true))
      end
    end
  end

  local function pai(argv, env, stdin)
    local all = {
      HOME = home,
      XDG_CONFIG_HOME = "",
      PATH = bench.root .. "/bin:" .. os.getenv("PATH"),
      DOCKER_CONFIG = false,
      OSMO_CONFIG_FILE_DIR = false,
    }
    for k, v in pairs(env or {}) do
      all[k] = v
    end
    local r = bench:pai(argv, { env = all, stdin = stdin })
    check_clean(r)
    return r
  end

  local function run(given, env, stdin)
    local r = pai({ "run", "./r.lua", "--json", table.unpack(given or {}) }, env, stdin)
    local events = support.events(r.stdout)
    local start = support.pick(events, "run.start")[1]
    local done = support.pick(events, "step.done", "a")[1]
    r.source = start and start.inputs.s["$secret"]
    r.run = start and start.run
    r.result = done and done.result or {}
    r.message = r.stderr
    return r
  end

  local function assert_is(expected, r)
    assert.equal(crypto.sha256(expected), r.result.digest, r.stderr .. r.stdout)
  end

  local function assert_refused(text, r)
    assert.is_nil(r.result.digest)
    assert.not_equal(0, r.code)
    assert.is_truthy(r.stderr:find(text, 1, true), r.stderr)
  end

  it("comes from the first of environment, .env, settings and store that has it", function()
    local of = { env = value(), dotenv = value(), settings = value(), store = value() }
    work_tree()
    put(bench.dir .. "/.env", ("# mine\nexport CANARY='%s' # why\r\n"):format(of.dotenv))
    put(bench.root .. "/of-settings", of.settings .. "\n")
    settings(("secrets:\n  CANARY: {file: %s/of-settings}\n"):format(bench.root))
    put(config .. "/pai/secrets.env", "CANARY=" .. of.store .. "\n")
    local r = run(nil, { CANARY = of.env })
    assert_is(of.env, r)
    assert.equal("env:CANARY", r.source)
    r = run()
    assert_is(of.dotenv, r)
    assert.equal("dotenv:" .. bench.dir .. "/.env#CANARY", r.source)
    assert(fs.remove(bench.dir .. "/.env"))
    r = run(nil, { CANARY = "" })
    assert_is(of.settings, r)
    assert.equal("settings:CANARY", r.source)
    assert(fs.remove(config .. "/pai/settings.yaml"))
    r = run()
    assert_is(of.store, r)
    assert.equal("store:CANARY", r.source)
    assert(fs.remove(config .. "/pai/secrets.env"))
    r = run()
    assert.equal(3, r.code)
    assert_refused("set CANARY or run `pai secret set CANARY`", r)
  end)

  it("comes from a source that is named, before all others", function()
    local named, other = value(), value()
    put(home .. "/token", named .. "\n")
    for _, given in ipairs({ "s=file:" .. home .. "/token", "s=file:~/token", "s=env:OTHER" }) do
      local r = run({ given }, { CANARY = other, OTHER = named })
      assert_is(named, r)
      assert.equal(given:sub(3), r.source)
    end
    local r = run({ "s=-" }, { CANARY = other }, named .. "\r\n")
    assert_is(named, r)
    assert.equal("stdin", r.source)
    assert_refused("standard input gave no value", run({ "s=-" }, nil, ""))
  end)

  it("is not read from a file that others can read", function()
    local path = put(bench.dir .. "/token", value(), "0640")
    local r = run({ "s=file:token" })
    assert_refused("has mode 0640", r)
    assert.is_truthy(r.stderr:find("chmod 600 " .. path, 1, true), r.stderr)
    put(config .. "/pai/secrets.env", "CANARY=" .. value(), "0644")
    assert_refused("secrets.env has mode 0644", run())
  end)

  it("is not read from a .env that git tracks", function()
    work_tree()
    put(bench.dir .. "/.env", "CANARY=" .. value())
    assert(exec.run({ "git", "-C", bench.dir, "add", "-f", ".env" }))
    local r = run()
    assert_refused(".env is tracked by git", r)
    assert.is_truthy(r.stderr:find("rm --cached .env", 1, true), r.stderr)
  end)

  it("is found in .env beside plain inputs, which are text", function()
    local secret = value()
    work_tree()
    put(bench.dir .. "/.env", ("PLAIN=42\nCANARY=%s\n"):format(secret))
    local r = run()
    assert_is(secret, r)
    assert.equal(42, r.result.n)
    assert.equal(7, run(nil, { PLAIN = "7" }).result.n)
    put(bench.dir .. "/.env", ("PLAIN=many\nCANARY=%s\n"):format(secret))
    assert_refused(".env: PLAIN)", run())
    put(bench.dir .. "/.env", ("CANARY=%s\nno entry here\n"):format(secret))
    r = run()
    assert_refused('.env", line 2: ', r)
    assert.is_nil(r.stderr:find("no entry here", 1, true))
  end)

  it("says that it is too short to be masked", function()
    local r = run(nil, { CANARY = "q7" })
    assert.equal(0, r.code)
    local said = support.pick(support.events(r.stdout), "log")[1]
    assert.equal("warn", said.level)
    assert.matches("the secret s %(env:CANARY%) is not masked", said.text)
  end)

  describe("of Docker's configuration", function()
    local function config_json(body)
      put(home .. "/.docker/config.json", body)
    end

    local function auth(password)
      return crypto.base64_encode("$oauthtoken:" .. password)
    end

    -- As docs.docker.com describes the protocol: `get`, the server on standard input, an object
    -- with ServerURL, Username and Secret on standard output; a failure has its reason there.
    local function helper(name, answers)
      local cases = {}
      for server, password in pairs(answers) do
        local answer = '{"ServerURL":"%s","Username":"u","Secret":"%s"}'
        cases[#cases + 1] = ("%s) echo '%s' ;;"):format(server, answer:format(server, password))
      end
      program(
        "docker-credential-" .. name,
        ('[ "$1" = get ] || exit 9\ncase "$(cat)" in\n%s\n'):format(table.concat(cases, "\n"))
          .. "*) echo credentials not found in native keychain; exit 1 ;;\nesac"
      )
    end

    it("is the password of its auths", function()
      local password, hub, token = value(), value() .. ":with-colon", value()
      config_json(([[{ "HttpHeaders": {"a": ["b"]}, "auths": {
        "https://index.docker.io/v1/": { "auth": "%s" },
        "nvcr.io": { "auth": "%s", "email": null },
        "https://ghcr.io": { "auth": "", "identitytoken": "%s" }
      } }]]):format(auth(hub), auth(password), token))
      local r = run({ "s=docker:nvcr.io" })
      assert_is(password, r)
      assert.equal("docker:nvcr.io", r.source)
      assert_is(hub, run({ "s=docker:docker.io" }))
      assert_is(token, run({ "s=docker:ghcr.io" }))
      assert_refused("has no credentials for quay.io", run({ "s=docker:quay.io" }))
      put(
        home .. "/elsewhere/config.json",
        ('{"auths":{"x.io":{"auth":"%s"}}}'):format(auth(token))
      )
      assert_is(token, run({ "s=docker:x.io" }, { DOCKER_CONFIG = home .. "/elsewhere" }))
    end)

    it("is asked of the helper of the registry, then of the store", function()
      local of = { helper = value(), store = value(), file = value() }
      config_json(([[{ "credHelpers": { "nvcr.io": "one" }, "credsStore": "two",
        "auths": { "nvcr.io": { "auth": "%s" } } }]]):format(auth(of.file)))
      helper("one", { ["nvcr.io"] = of.helper })
      helper("two", { ["https://index.docker.io/v1/"] = of.store, ["nvcr.io"] = value() })
      assert_is(of.helper, run({ "s=docker:nvcr.io" }))
      assert_is(of.store, run({ "s=docker:docker.io" }))
      local r = run({ "s=docker:ghcr.io" })
      assert_refused("docker-credential-two has no credentials for ghcr.io (exit code 1)", r)
      config_json('{"credsStore": "../evil"}')
      assert_refused("is no plain word", run({ "s=docker:nvcr.io" }))
      config_json('{"credsStore": "none-such"}')
      assert_refused("docker-credential-none-such", run({ "s=docker:nvcr.io" }))
    end)

    it("is refused when the file is broken, open or not there", function()
      assert_refused("there is no Docker configuration", run({ "s=docker:nvcr.io" }))
      config_json(('{\n"auths": {"nvcr.io": {"auth": "%s"'):format(auth(value())))
      assert_refused("line 2", run({ "s=docker:nvcr.io" }))
      config_json('{\n"auths": {"nvcr.io" 1}}')
      assert_refused("line 2", run({ "s=docker:nvcr.io" }))
      config_json('{"auths": {"nvcr.io": {"auth": "not-base64!"}}}')
      local r = run({ "s=docker:nvcr.io" })
      assert_refused("it is no base64", r)
      assert.is_nil(r.stderr:find("not-base64!", 1, true))
      config_json(('{"auths": {"nvcr.io": {"auth": "%s"}}}'):format(auth(value())))
      fs.chmod(home .. "/.docker/config.json", "0644")
      assert_refused("config.json has mode 0644", run({ "s=docker:nvcr.io" }))
    end)
  end)

  it("comes from the files of OSMO's command line", function()
    local of = { pat = value(), id = value(), key = value() }
    local login = put(
      config .. "/osmo/login.yaml",
      ([[
dev_login: null
name: alice
osmo_token: true
token_login:
  client_id: null
  id_token: %s
  refresh_token: "%s"
  refresh_url: https://osmo.example.com/api/auth/jwt/access_token
url: https://osmo.example.com
]]):format(of.id, of.pat)
    )
    put(
      config .. "/osmo/config.yaml",
      "auth:\n  data:\n    s3://bucket:\n      access_key: " .. of.key .. "\n      region: x\n"
    )
    assert_is(of.pat, run({ "s=osmo:refresh_token" }))
    assert_is(of.id, run({ "s=osmo:id_token" }))
    assert_is(of.key, run({ "s=osmo:s3://bucket" }))
    assert_refused("access_key", run({ "s=osmo:s3://other" }))
    assert_refused("it is refresh_token, id_token", run({ "s=osmo:url" }))
    put(login, "token_login: {refresh_token: " .. of.pat .. "}\n")
    assert_refused("line 1: expected a mapping", run({ "s=osmo:refresh_token" }))
    fs.chmod(login, "0644")
    assert_refused("login.yaml has mode 0644", run({ "s=osmo:refresh_token" }))
    local r = run({ "s=osmo:id_token" }, { OSMO_CONFIG_FILE_DIR = home .. "/none" })
    assert_refused("there is no " .. home .. "/none/login.yaml", r)
  end)

  describe("of a command in the settings", function()
    it("is what it prints, less one line end", function()
      local secret = value()
      put(bench.root .. "/store", secret .. "\n\n")
      program("fetch", 'echo "a note" >&2; cat "$STORE/$1"')
      settings("secrets:\n  CANARY: {command: [fetch, store], timeout: 50s}\n")
      local r = run(nil, { STORE = bench.root })
      assert_is(secret .. "\n", r)
      assert.equal("settings:CANARY", r.source)
      settings("secrets:\n  OTHER:\n    command:\n    - fetch\n    - store\n")
      assert_is(secret .. "\n", run({ "s=settings:OTHER" }, { STORE = bench.root }))
    end)

    it("is refused with its exit code and its masked last words, not its arguments", function()
      local argument = "argument-" .. crypto.hex(4)
      program("fetch", 'echo "$TOKEN"; echo "no entry; $TOKEN" >&2; exit 3')
      settings(("# one\nsecrets:\n  CANARY: {command: [fetch, %s]}\n"):format(argument))
      local r = run(nil, { TOKEN = value() })
      assert_refused(
        "the command for CANARY (settings.yaml, line 3) ended with exit code 3: no entry; ***",
        r
      )
      assert.is_nil(r.stderr:find(argument, 1, true))
      program("fetch", "kill -9 $$")
      assert_refused("ended with SIGKILL", run())
      program("fetch", "exit 0")
      assert_refused("printed nothing", run())
      assert(fs.remove(bench.root .. "/bin/fetch"))
      assert_refused("there is no such program", run())
    end)

    it("ends at its deadline", function()
      settings("secrets:\n  CANARY: {command: [sleep, '600'], timeout: 200ms}\n")
      assert_refused("did not end within 200ms", run())
    end)

    it("is run once for two inputs, and not when something before it has the value", function()
      local other = 't = { type = "secret", env = "CANARY", bins = { "cat" } },'
      bench:recipe("r", (RECIPE:gsub("inputs = {", "%0 " .. other)))
      local secret = value()
      program("fetch", ("echo x >> '%s/ran'; echo %s"):format(bench.root, secret))
      settings("secrets:\n  CANARY: {command: [fetch]}\n")
      assert_is(secret, run())
      assert.equal("x\n", fs.read(bench.root .. "/ran"))
      assert.equal(0, run(nil, { CANARY = value() }).code)
      assert.equal("x\n", fs.read(bench.root .. "/ran"))
    end)

    it("works with pass", function()
      local secret = value()
      local gnupg = bench.root .. "/gpg"
      local env = {
        HOME = home,
        GNUPGHOME = gnupg,
        PASSWORD_STORE_DIR = bench.root .. "/store",
        PATH = os.getenv("PATH"),
      }
      assert(fs.mkdir(gnupg, { mode = 448 }))
      finally(function()
        exec.run({ "gpgconf", "--kill", "all" }, { env = env, accept = "any" })
      end)
      local function call(argv, stdin)
        return assert(exec.run(argv, { env = env, stdin = stdin, timeout = "60s" }))
      end
      local batch = { "gpg", "--batch", "-q", "--pinentry-mode", "loopback", "--passphrase", "" }
      local key = { "--quick-generate-key", "spec@localhost", "future-default", "default", "never" }
      call(table.move(key, 1, #key, #batch + 1, batch))
      call({ "pass", "init", "spec@localhost" })
      call({ "pass", "insert", "-e", "hf" }, secret .. "\n")
      settings("secrets:\n  CANARY: {command: [pass, show, hf]}\n")
      assert_is(secret, run(nil, env))
      settings("secrets:\n  CANARY: {command: [pass, show, none]}\n")
      assert_refused("none is not in the password store", run(nil, env))
    end)
  end)

  it("comes from whatever source an entry of the settings names", function()
    local of = { other = value(), docker = value(), osmo = value(), file = value() }
    put(home .. "/token", of.file .. "\n")
    put(
      home .. "/.docker/config.json",
      ('{"auths":{"nvcr.io":{"auth":"%s"}}}'):format(crypto.base64_encode("u:" .. of.docker))
    )
    local body = "url: https://osmo.example.com\ntoken_login:\n  refresh_token: %s\n"
    put(config .. "/osmo/login.yaml", body:format(of.osmo))
    for entry, expected in pairs({
      ["{env: OTHER}"] = of.other,
      ["{docker: nvcr.io}"] = of.docker,
      ["{osmo: refresh_token}"] = of.osmo,
      ["{file: ~/token}"] = of.file,
    }) do
      settings("secrets:\n  CANARY: " .. entry .. "\n")
      local r = run(nil, { OTHER = of.other })
      assert_is(expected, r)
      assert.equal("settings:CANARY", r.source)
    end
    settings("secrets:\n  CANARY: {env: NONE_SUCH}\n")
    assert_refused("the environment variable NONE_SUCH is not set", run())
  end)

  it("is asked for on a terminal without echo", function()
    local secret = value()
    local command = { "/usr/bin/python3", fs.cwd() .. "/tests/spec/cli/pty_ask.py", "s: " }
    table.move({ require("pai").exe, "run", "./r.lua", "--plain" }, 1, 4, #command + 1, command)
    local r = assert(exec.run(command, {
      cwd = bench.dir,
      env = { HOME = home, XDG_CONFIG_HOME = "", PAI_STATE = bench.state, TERM = "dumb" },
      stdin = secret .. "\n",
      timeout = "60s",
      accept = "any",
    }))
    assert.equal(0, r.code, r.stdout)
    check_clean(r)
    local id = assert(fs.list(bench.state .. "/runs"))[1]
    local events =
      support.events(assert(fs.read(bench.state .. "/runs/" .. id .. "/journal.jsonl")))
    assert.same({ ["$secret"] = "prompt" }, support.pick(events, "run.start")[1].inputs.s)
    local done = support.pick(events, "step.done", "a")[1]
    assert.equal(crypto.sha256(secret), done.result.digest)
  end)

  describe("with settings that break the rules", function()
    local token = "tok-" .. crypto.hex(8)
    local broken = {
      { "secrets:\n  CANARY: " .. token .. "\n", "line 2, secrets.CANARY: says where" },
      { "secrets:\n  CANARY: {comand: [a]}\n", "unknown key (did you mean 'command'?)" },
      {
        "secrets:\n  A: {env: B}\n  CANARY: {env: B, file: c}\n",
        "line 3, secrets.CANARY: has both",
      },
      { "secrets:\n  CANARY: {}\n", "needs one of command, file" },
      { "secrets:\n  CANARY: {command: pass show}\n", "must be a list of arguments" },
      { "secrets:\n  CANARY: {command: []}\n", "must be a list of arguments" },
      { "secrets:\n  CANARY: {command: [a, 1]}\n", "must be a list of arguments" },
      { "secrets:\n  CANARY: {file: 5}\n", "must be text" },
      { "secrets:\n  CANARY: {file: a}\n", "must be an absolute path" },
      { "secrets:\n  CANARY: {file: /a, timeout: 5s}\n", "is for a command only" },
      { "secrets:\n  CANARY: {command: [a], timeout: soon}\n", "must be a duration" },
      { "secrets:\n  CAN-ARY: {file: a}\n", "letters, digits and _" },
      { "secrets: [a]\n", "must be a map" },
      { "secret:\n  A: {env: B}\n", "line 1, secret: unknown key" },
      { "- a\n", "must be a map" },
      { "secrets: {CANARY: {file: " .. token .. "\n", "can't be read" },
    }
    for i, case in ipairs(broken) do
      it(("is refused by line and key, without a value (%d)"):format(i), function()
        settings(case[1])
        local r = run()
        assert_refused(case[2], r)
        assert.is_nil(r.stderr:find(token, 1, true))
      end)
    end

    it("is refused when others can write them", function()
      settings("secrets: {CANARY: {command: [true]}}\n", "0664")
      local r = run()
      assert_refused("can be written by others (mode 0664)", r)
      assert.is_truthy(r.stderr:find("chmod go-w ", 1, true))
    end)

    it("is not looked at when nothing asks for them", function()
      settings("nonsense: 1\n")
      local secret = value()
      assert_is(secret, run(nil, { CANARY = secret }))
    end)

    it("may be empty", function()
      settings("# nothing yet\n")
      assert.equal(3, run().code)
      settings("secrets:\n")
      assert.equal(3, run().code)
    end)
  end)

  it("is opened again by its source when a run is resumed", function()
    local first, second = value(), value()
    local waits = RECIPE:gsub(
      "steps = {",
      [[%0 { name = "wait", run = function(ctx)
        if not ctx.fs.exists("go") then error("not yet") end
        return {}
      end },]]
    )
    waits = waits:gsub('{ name = "a",', '{ name = "a", after = { "wait" },')
    bench:recipe("r", waits)
    program("fetch", "cat '" .. bench.root .. "/value'")
    put(bench.root .. "/value", first)
    settings("secrets:\n  CANARY: {command: [fetch]}\n")
    local r = run()
    assert.equal(1, r.code)
    assert.equal("settings:CANARY", r.source)
    put(bench.root .. "/value", second)
    put(bench.dir .. "/go", "")
    settings("secrets:\n  CANARY: {command: ['false']}\n")
    local asked = pai({ "resume", r.run, "--json" })
    assert.equal(3, asked.code)
    assert.is_truthy(asked.stderr:find("ended with exit code 1", 1, true), asked.stderr)
    settings("secrets:\n  CANARY: {command: [fetch]}\n")
    local resumed = pai({ "resume", r.run, "--json" })
    local done = support.pick(support.events(resumed.stdout), "step.done", "a")[1]
    assert.equal(crypto.sha256(second), done and done.result.digest, resumed.stderr)
  end)
end)
