-- pai secret: list, set, check and rm, on files of every state that people leave them in. No output
-- may have a value.
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local secret = require("pai.secret")
local support = dofile("tests/spec/run/support.lua")

local PTY <const> = fs.cwd() .. "/tests/spec/cli/pty_ask.py"

describe("pai secret", function()
  local bench, home, made

  before_each(function()
    bench = support.new()
    home = bench.root .. "/home"
    made = {}
    assert(fs.mkdir(home))
  end)

  after_each(function()
    bench:remove()
  end)

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

  local function git(...)
    local env = { GIT_CONFIG_GLOBAL = "/dev/null", HOME = home }
    assert(exec.run({ "git", "-C", bench.dir, ... }, { env = env }))
  end

  local function environment(more)
    local env = { HOME = home, XDG_CONFIG_HOME = "", GIT_CONFIG_GLOBAL = "/dev/null" }
    for k, v in pairs(more or {}) do
      env[k] = v
    end
    return env
  end

  local function check_clean(text)
    for _, one in ipairs(made) do
      assert.is_nil(text:find(one, 1, true), text)
    end
  end

  local function pai(argv, stdin, env)
    local r = bench:pai({ "secret", table.unpack(argv) }, { env = environment(env), stdin = stdin })
    check_clean(r.stdout .. r.stderr)
    return r
  end

  -- The same on a terminal: the answer is typed when the prompt is there.
  local function on_terminal(prompt, answer, argv)
    local command = { "/usr/bin/python3", PTY, prompt, require("pai").exe, "secret" }
    local env = environment({ PAI_STATE = bench.state, TERM = "dumb", LC_ALL = "C.UTF-8" })
    local r, e = exec.run(table.move(argv, 1, #argv, #command + 1, command), {
      cwd = bench.dir,
      env = env,
      stdin = answer,
      timeout = "60s",
      accept = "any",
    })
    assert(r, tostring(e))
    check_clean(r.stdout .. r.stderr)
    return r
  end

  local function said(text, r)
    assert.is_truthy((r.stdout .. r.stderr):find(text, 1, true), r.stdout .. r.stderr)
  end

  local function read(path)
    return assert(fs.read(path))
  end

  local function mode(path)
    return ("%04o"):format(assert(fs.stat(path)).mode & 511)
  end

  local env_file, store

  before_each(function()
    env_file, store = bench.dir .. "/.env", home .. "/.config/pai/secrets.env"
  end)

  describe("set", function()
    it("writes .env of the work tree with mode 0600 and has git ignore it", function()
      git("init", "-q")
      put(bench.dir .. "/.gitignore", "*.log", "0644")
      local v = value()
      local r = pai({ "set", "HF_TOKEN" }, v .. "\n")
      assert.equal(0, r.code, r.stderr)
      said("/.env added to " .. bench.dir .. "/.gitignore", r)
      said("HF_TOKEN is set in " .. env_file .. " (16 to 31 bytes)", r)
      assert.equal("HF_TOKEN=" .. v .. "\n", read(env_file))
      assert.equal("0600", mode(env_file))
      assert.equal("*.log\n/.env\n", read(bench.dir .. "/.gitignore"))
      said("replaced", pai({ "set", "HF_TOKEN" }, value()))
      assert.equal("*.log\n/.env\n", read(bench.dir .. "/.gitignore"))
    end)

    it("works below the root, in a linked work tree too", function()
      git("init", "-q")
      git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")
      git("worktree", "add", "-q", bench.dir .. "/linked", "-b", "other")
      assert(fs.mkdir(bench.dir .. "/linked/sub"))
      local r = bench:pai({ "secret", "set", "A_KEY" }, {
        cwd = bench.dir .. "/linked/sub",
        env = environment(),
        stdin = value(),
      })
      assert.equal(0, r.code, r.stderr)
      assert.equal("0600", mode(bench.dir .. "/linked/.env"))
    end)

    it("keeps the other lines and comments, and takes older values of the name out", function()
      git("init", "-q")
      local old, older = value(), value()
      put(
        env_file,
        ("# mine\r\nA_KEY=%s\r\nexport B='x\ny' # two\r\n\r\n A_KEY = '%s'  # why\r\nC=3"):format(
          older,
          old
        )
      )
      local v = value() .. " with $HOME and `id`"
      assert.equal(0, pai({ "set", "A_KEY" }, v).code)
      assert.equal(
        ("# mine\r\nexport B='x\ny' # two\r\n\r\n A_KEY = '%s'  # why\r\nC=3"):format(v),
        read(env_file)
      )
    end)

    it("writes any value so that it is read again", function()
      git("init", "-q")
      local hard = { 'it\'s "x"', "a\\b\\\\n", "# no comment", " blank ", "two\nlines\n", "$A`b`" }
      for i, v in ipairs(hard) do
        local name = "V" .. i
        assert.equal(0, pai({ "set", name }, v .. "\n").code)
        local got = assert(secret.from_dotenv(env_file))[name]
        put(bench.root .. "/expected", v .. "\n")
        assert.is_true(got:equals(assert(secret.from_file(bench.root .. "/expected"))), v)
      end
    end)

    it("asks without echo on a terminal", function()
      git("init", "-q")
      local v = value()
      local r = on_terminal("Value of HF_TOKEN (not shown): ", v .. "\n", { "set", "HF_TOKEN" })
      assert.equal(0, r.code, r.stdout)
      said("HF_TOKEN is set in", r)
      assert.equal("HF_TOKEN=" .. v .. "\n", read(env_file))
      r = on_terminal("(not shown): ", "\n", { "set", "HF_TOKEN" })
      assert.equal(1, r.code)
      said("the question got no answer", r)
      assert.equal("HF_TOKEN=" .. v .. "\n", read(env_file))
    end)

    it("never takes the value as an argument, and does not repeat it", function()
      git("init", "-q")
      for _, argv in ipairs({
        { "set", "HF_TOKEN", value() },
        { "set", "HF_TOKEN=" .. value() },
        { "set", value() },
        { "set", (value():gsub("-", "_")) },
        { "set", "HF_TOKEN", "-" .. value() },
        { "set", "HF_TOKEN", "--" .. value() },
        { "set", "HF_TOKEN", "--value=" .. value() },
        { "set", "HF_TOKEN", value(), "--json" },
        { "set", "--user=" .. value(), "HF_TOKEN" },
        { "rm", "HF_TOKEN", value() },
      }) do
        local r = pai(argv, "something-else")
        assert.equal(2, r.code, table.concat(argv, " "))
        assert.is_false(fs.exists(env_file))
      end
      said("the value of a secret is never an argument", pai({ "set", "HF_TOKEN", value() }))
    end)

    it("writes the user's store with --user, and outside of a work tree", function()
      local v = value()
      local r = pai({ "set", "HF_TOKEN" }, v)
      assert.equal(0, r.code, r.stderr)
      said("HF_TOKEN is set in " .. store, r)
      assert.equal("HF_TOKEN=" .. v .. "\n", read(store))
      assert.equal("0600", mode(store))
      assert.equal("0700", mode(fs.dirname(store)))
      git("init", "-q")
      r = pai({ "set", "NGC_API_KEY", "--user", "--json" }, value())
      assert.is_false(fs.exists(env_file))
      assert.same({
        name = "NGC_API_KEY",
        path = store,
        replaced = false,
        length = "16 to 31 bytes",
        masked = true,
        changes = {},
        warnings = {},
      }, json.decode(r.stdout))
    end)

    it("changes nothing when git tracks the file, when it is broken, or without a value", function()
      git("init", "-q")
      put(env_file, "A=1\n")
      git("add", ".env")
      local r = pai({ "set", "HF_TOKEN" }, value())
      assert.equal(1, r.code)
      said(".env is tracked by git", r)
      said("git -C " .. bench.dir .. " rm --cached .env", r)
      git("rm", "-q", "--cached", ".env")
      put(env_file, "A=1\nno entry: " .. value() .. "\n")
      local before = read(env_file)
      r = pai({ "set", "HF_TOKEN" }, value())
      assert.equal(1, r.code)
      said('.env" is not changed: line 2: ', r)
      assert.equal(before, read(env_file))
      assert.equal(1, pai({ "set", "HF_TOKEN" }, "").code)
      assert.equal(1, pai({ "set", "HF_TOKEN" }, "a\0b").code)
      assert.equal(before, read(env_file))
    end)

    it("makes a file private that others could read, and says so", function()
      git("init", "-q")
      put(env_file, "A=1\n", "0644")
      said("mode 0600 for " .. env_file, pai({ "set", "HF_TOKEN" }, value()))
      assert.equal("0600", mode(env_file))
    end)

    it("changes the file behind a link", function()
      git("init", "-q")
      local shared = put(bench.root .. "/shared.env", "A=1\n")
      assert(fs.symlink(shared, env_file))
      local v = value()
      assert.equal(0, pai({ "set", "HF_TOKEN" }, v).code)
      assert.equal("link", assert(fs.stat(env_file, { follow = false })).type)
      assert.equal("A=1\nHF_TOKEN=" .. v .. "\n", read(shared))
    end)

    it("warns of what is looked at first, of placeholders and of what is not masked", function()
      git("init", "-q")
      local r = pai({ "set", "HF_TOKEN" }, value(), { HF_TOKEN = value() })
      said("warning: environment is looked at first and has one too", r)
      r = pai({ "set", "HF_TOKEN", "--user" }, value())
      said("warning: " .. env_file .. " is looked at first", r)
      said("the value is a placeholder", pai({ "set", "A" }, "<your-token>"))
      said("it is not masked in output", pai({ "set", "A" }, "q7"))
    end)

    it("loses nothing when several are set at once", function()
      git("init", "-q")
      put(bench.dir .. "/.gitignore", "/.env\n", "0644")
      local fns, expected = {}, {}
      for i = 1, 8 do
        local v = value()
        expected[i] = ("KEY_%d=%s"):format(i, v)
        fns[i] = function()
          assert.equal(0, pai({ "set", "KEY_" .. i }, v).code)
        end
      end
      require("pai.async").all(fns)
      local lines = {}
      for line in read(env_file):gmatch("[^\n]+") do
        lines[#lines + 1] = line
      end
      table.sort(lines)
      assert.same(expected, lines)
    end)
  end)

  describe("list", function()
    it("shows names, sources and rough lengths, and opens nothing of the settings", function()
      git("init", "-q")
      put(bench.dir .. "/.gitignore", "/.env\n", "0644")
      put(env_file, ("HF_TOKEN=%s\nSHORT=q7\n"):format(value()))
      put(store, ("HF_TOKEN=%s\nOWN=%s\n"):format(value(), value() .. value()))
      local ran = bench.root .. "/ran"
      put(
        home .. "/.config/pai/settings.yaml",
        ("secrets:\n  CMD: {command: [touch, %s]}\n"):format(ran),
        "0644"
      )
      local r = pai({ "list" }, nil, { OWN = value() })
      assert.equal(0, r.code, r.stderr)
      assert.matches(
        "\nHF_TOKEN +16 to 31 bytes +yes +%S+/%.env %(before store:HF_TOKEN%)",
        r.stdout
      )
      assert.matches("\nSHORT +under 6 bytes +no ", r.stdout)
      assert.matches("\nOWN +16 to 31 bytes +yes +environment %(before store:OWN%)", r.stdout)
      assert.matches("CMD +not opened +%- +%S+settings%.yaml, line 2: command", r.stdout)
      assert.is_false(fs.exists(ran))
      local doc = json.decode(pai({ "list", "--json" }).stdout)
      local names = {}
      for i, one in ipairs(doc.secrets) do
        names[i] = one.name .. " " .. one.source
      end
      assert.same({
        "CMD settings:CMD",
        "HF_TOKEN dotenv:" .. env_file .. "#HF_TOKEN",
        "OWN store:OWN",
        "SHORT dotenv:" .. env_file .. "#SHORT",
      }, names)
      assert.same({}, doc.checks)
    end)

    it("is empty, or red where a file breaks the rules", function()
      said("no secrets", pai({ "list" }))
      put(store, "A=" .. value(), "0644")
      local r = pai({ "list" })
      assert.equal(1, r.code)
      said("has mode 0644", r)
      said("chmod 600 " .. store, r)
    end)
  end)

  describe("check", function()
    it("opens each and is red for what is missing, a placeholder or broken", function()
      git("init", "-q")
      put(bench.dir .. "/.gitignore", "/.env\n", "0644")
      put(
        env_file,
        ("GOOD=%s\nPLACE=your-token-here\nBLANK=' %s'\nNOTES='%s\nuser: me'\n"):format(
          value(),
          value(),
          value()
        )
      )
      put(
        home .. "/.config/pai/settings.yaml",
        ("secrets:\n  BAD: {command: ['false']}\n  OK: {command: [echo, %s]}\n"):format(
          "w0rd-" .. 77
        ),
        "0644"
      )
      local r = pai({ "check" })
      assert.equal(1, r.code)
      assert.matches("ok +GOOD: 16 to 31 bytes", r.stdout)
      assert.matches("red +PLACE: .*a placeholder.*pai secret set PLACE", r.stdout)
      assert.matches("warn +BLANK: .*blanks around it", r.stdout)
      assert.matches("warn +NOTES: .*of several lines", r.stdout)
      assert.matches("red +BAD: .*ended with exit code 1", r.stdout)
      assert.matches("ok +OK: 6 to 15 bytes", r.stdout)
      assert.equal(0, pai({ "check", "GOOD", "OK" }).code)
      r = pai({ "check", "NONE", "--json" })
      assert.equal(1, r.code)
      local doc = json.decode(r.stdout)
      assert.equal("red", doc.verdict)
      assert.same({ "not set", "pai secret set NONE" }, {
        doc.checks[1].measured,
        doc.checks[1].hint,
      })
    end)

    it("looks at what a recipe declares", function()
      bench:recipe(
        "r",
        [[inputs = {
          a = { type = "secret", env = "A_KEY", hosts = { "x.org" } },
          b = { type = "secret", env = "B_KEY", optional = true, hosts = { "x.org" } },
          c = { type = "string", env = "C_NAME", default = "x" },
        },
        steps = { { name = "s", run = function() return {} end } },]]
      )
      local r = pai({ "check", "./r.lua" })
      assert.equal(1, r.code)
      assert.matches("red +A_KEY: not set", r.stdout)
      assert.matches("skipped +B_KEY: not set; it is optional", r.stdout)
      assert.is_nil(r.stdout:find("C_NAME", 1, true))
      assert.equal(0, pai({ "check", "./r.lua" }, nil, { A_KEY = value() }).code)
      assert.equal(2, pai({ "check", "./none.lua" }).code)
    end)

    it("gives the exact command that mends a file", function()
      git("init", "-q")
      put(env_file, "A=" .. value(), "0644")
      said("chmod 600 " .. env_file, pai({ "check" }))
      assert(fs.chmod(env_file, "0600"))
      local fix = "echo /.env >> " .. bench.dir .. "/.gitignore"
      said(fix, pai({ "check" }))
      assert(exec.run({ "/bin/sh", "-c", fix }))
      assert.equal(0, pai({ "check" }).code)
    end)
  end)

  describe("rm", function()
    it("takes one out after a question or --yes, and keeps the rest", function()
      git("init", "-q")
      put(bench.dir .. "/.gitignore", "/.env\n", "0644")
      local body = "# mine\nA=1\nHF_TOKEN='" .. value() .. "\nmore' # old\nB=2\n"
      put(env_file, body)
      local r = pai({ "rm", "HF_TOKEN" })
      assert.equal(3, r.code)
      assert.equal(body, read(env_file))
      r = on_terminal("Type yes to go on: ", "no\n", { "rm", "HF_TOKEN" })
      assert.equal(1, r.code)
      assert.is_truthy(r.stdout:find("not confirmed; HF_TOKEN stays in", 1, true), r.stdout)
      assert.equal(body, read(env_file))
      r = on_terminal("Type yes to go on: ", "\4", { "rm", "HF_TOKEN" })
      assert.equal(3, r.code)
      assert.equal(body, read(env_file))
      r = on_terminal("Type yes to go on: ", "yes\n", { "rm", "HF_TOKEN" })
      assert.equal(0, r.code, r.stdout)
      assert.equal("# mine\nA=1\nB=2\n", read(env_file))
      said("A is removed from", pai({ "rm", "A", "--yes" }))
      assert.equal("# mine\nB=2\n", read(env_file))
      assert.equal("0600", mode(env_file))
    end)

    it("says where a name is that is not in the file", function()
      git("init", "-q")
      put(store, "OWN=" .. value() .. "\n")
      local r = pai({ "rm", "OWN", "--yes" })
      assert.equal(2, r.code)
      said("hint: pai secret rm OWN --user", r)
      said("unset OWN", pai({ "rm", "OWN", "--yes" }, nil, { OWN = value() }))
      assert.equal(0, pai({ "rm", "OWN", "--user", "--yes" }).code)
      assert.equal("", read(store))
    end)
  end)

  it("explains where secrets come from", function()
    local r = bench:pai({ "help", "secret" })
    assert.equal(0, r.code)
    local at = 0
    for _, text in ipairs({
      "1. the source that the command line names",
      "2. the environment variable",
      "3. .env at the root",
      "4. settings.yaml",
      "5. your own store",
      "6. a question on the terminal",
      "    HF_TOKEN: {command: [pass, show, hf], timeout: 30s}",
    }) do
      local found = r.stdout:find(text, at + 1, true)
      assert.is_truthy(found, text)
      at = found
    end
    for _, name in ipairs({ "list", "set", "check", "rm" }) do
      assert.equal(0, bench:pai({ "secret", name, "--help" }).code)
    end
    assert.equal(2, bench:pai({ "secret" }).code)
    assert.equal(2, bench:pai({ "secret", "show" }).code)
  end)
end)
