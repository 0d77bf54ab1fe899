-- The project around pai: what is installed and how, the Makefile, the lint rules and the test
-- driver. Each rule is shown something that breaks it.
local exec = require("pai.exec")
local fs = require("pai.fs")

local function run(argv, options)
  options = options or {}
  options.stdin = "null"
  options.stderr = options.stderr or "stdout"
  options.timeout = options.timeout or "120s"
  options.accept = { 0, 1, 2 }
  return assert(exec.run(argv, options))
end

local function has(text, part)
  assert.is_truthy(text:find(part, 1, true), ("no %q in:\n%s"):format(part, text))
end

local function lacks(text, part)
  assert.is_nil(text:find(part, 1, true), ("%q in:\n%s"):format(part, text))
end

local dir

local function fresh()
  dir = fs.tempdir({ prefix = "pai-project-" })
end

local function clean()
  fs.remove(dir, { recursive = true })
end

local function put(path, text, mode)
  local full = dir .. "/" .. path
  fs.mkdir(fs.dirname(full), { parents = true })
  assert(fs.write(full, text, { mode = mode }))
end

describe("vendor/apt.txt", function()
  it("gives each package once, with group, minimum, alternative and purpose", function()
    local seen, groups = {}, {}
    for line in fs.read("vendor/apt.txt"):gmatch("[^\n]+") do
      if line:sub(1, 1) ~= "#" then
        local group, package, minimum, _, purpose =
          line:match("^(%l+)%s+(%S+)%s+(%S+)%s+(%S+)%s+(.+)$")
        assert.is_truthy(purpose, line)
        assert.is_nil(seen[package], package)
        assert.is_truthy(minimum == "-" or minimum:find("^%d"), line)
        seen[package], groups[group] = true, true
      end
    end
    for _, group in ipairs({ "run", "build", "test", "bench", "fuzz" }) do
      assert.is_true(groups[group], group)
    end
  end)
end)

describe("vendor/npm", function()
  it("is locked, by digest, without an address", function()
    local lock = fs.read("vendor/npm/package-lock.json")
    for line in lock:gmatch("[^\n]*://[^\n]*") do
      local key = line:match('^%s*"(%l+)": ') -- who to thank is no address to fetch from
      assert.is_truthy(key == "url" or key == "funding" or key == "license", line)
    end
    lacks(lock, '"resolved"')
    has(lock, '"integrity"')
    for version in fs.read("vendor/npm/package.json"):gmatch('": "([^"]*%d%.%d[^"]*)"') do
      assert.is_truthy(version:find("^%d"), version .. " is not one exact version")
    end
  end)
end)

-- A copy of vendor/install beside a manifest of two packages; dpkg-query, apt-get and apt-cache are
-- played by scripts. dpkg-query's answer is `dpkg-query -W -f='${Package} ${db:Status-Status}
-- ${Version}\n'`, apt-cache's that of `apt-cache policy`, both as Debian 12 gives them.
describe("vendor/install", function()
  before_each(function()
    fresh()
    put("vendor/apt.txt", "# c\nrun one 1.2 - the first\nrun two 3 bash the second\n")
    fs.copy("vendor/install", dir .. "/vendor/install", { mode = 493 })
    put("bin/apt-get", '#!/bin/sh\necho "apt-get $*" >> "$LOG"\nexit "${APT_CODE:-0}"\n', 493)
    put(
      "bin/apt-cache",
      '#!/bin/sh\nprintf "%s:\\n  Installed: (none)\\n  Candidate: %s\\n" "$2" "$CANDIDATE"\n',
      493
    )
    put("bin/dpkg-query", '#!/bin/sh\n[ -z "$ONE" ] || echo "one installed $ONE"\n', 493)
    put("bin/sudo", '#!/bin/sh\nexec "$@"\n', 493)
  end)
  after_each(clean)

  local function install(groups, env)
    env.PATH = dir .. "/bin:" .. os.getenv("PATH")
    env.LOG = dir .. "/log"
    local r = run({ dir .. "/vendor/install", table.unpack(groups) }, { env = env })
    return r.code, r.stdout, fs.read(dir .. "/log") or ""
  end

  it("is silent and runs nothing when nothing is missing", function()
    local code, said, log = install({ "run" }, { ONE = "1:1.2-3" })
    assert.same({ 0, "", "" }, { code, said, log })
  end)

  it("says what it installs, and installs only that", function()
    local code, said, log = install({ "run" }, { CANDIDATE = "1.3" })
    assert.equal(0, code)
    assert.equal("vendor/install: installing with apt-get: one\n", said)
    has(log, "update")
    has(log, "--no-install-recommends -o DPkg::Lock::Timeout=300 install one\n")
  end)

  it("takes an older version for a missing one", function()
    local _, said = install({ "run" }, { ONE = "1.1", CANDIDATE = "1.3" })
    has(said, "installing with apt-get: one")
  end)

  it("names the package, the reason and the purpose in one line when it can't", function()
    local code, said = install({ "run" }, { APT_CODE = "100", CANDIDATE = "(none)" })
    assert.equal(1, code)
    has(said, "no package one in this machine's apt sources; it is needed for: the first\n")
    code, said = install({ "run" }, { APT_CODE = "100", CANDIDATE = "1.0" })
    assert.equal(1, code)
    has(said, "one is 1.0 here, 1.2 or newer is needed for: the first\n")
  end)

  it("only lists when asked to", function()
    local code, said, log = install({ "--list", "run" }, {})
    assert.same({ 1, "one\n", "" }, { code, said, log })
  end)

  it("refuses an unknown group and names those it knows", function()
    local code, said = install({ "rnu" }, {})
    assert.equal(1, code)
    has(said, 'no group "rnu"')
    has(said, "groups: run")
  end)
end)

describe("tests/lint", function()
  before_each(fresh)
  after_each(clean)

  local function lint()
    local r = run({ "tests/lint", "--rules", dir })
    return r.stdout, r.code
  end

  -- Each: the rule's name, a file, and what in it breaks the rule.
  local BAD = {
    { "no banned function in host/", "host/a.c", "int f(void) {\n  return atoi(x);\n}\n" },
    { "signal() in main.c only, for SIGPIPE", "host/a.c", "  signal(SIGINT, h);\n" },
    { "exit() in main.c only", "host/a.c", "  exit(1);\n" },
    { "malloc and free in alloc.c only", "host/a.c", "  void *p = malloc(1);\n" },
    { "standard output is written in out.c only", "host/a.c", '  fputs("x", stdout);\n' },
    { "standard output is written in out.c only", "host/a.c", '  printf("x");\n' },
    { "C files of at most 800 lines", "host/a.c", ("int a;\n"):rep(801) },
    {
      "C functions of at most 60 lines",
      "host/a.c",
      "int f(void) {\n" .. ("  g();\n"):rep(59) .. "}\n",
    },
    { "recipes of at most 300 lines", "recipes/a.lua", ("-- x\n"):rep(301) },
    { "pai_ext.h has no preprocessor line", "host/include/pai_ext.h", "#define X 1\n" },
    { "no shell from Lua", "lua/a.lua", 'os.execute("ls")\n' },
    { "nothing at the top level but what belongs there", "oom", "" },
    { "no path of this machine", "docs/a.md", "see " .. os.getenv("HOME") .. "/x\n" },
    { "no package registry's host", "docs/a.md", "https://registry" .. ".example.org/x\n" },
    { "nothing unfinished", "docs/a.md", "TO" .. "DO later\n" },
    { "no space at a line's end", "docs/a.md", "x \n" },
  }

  for _, case in ipairs(BAD) do
    local rule, path, text = case[1], case[2], case[3]
    it(("breaks on %s: %s"):format(path, rule), function()
      put(path, text)
      local said, code = lint()
      assert.equal(1, code)
      has(said, "FAIL  " .. rule .. "\n")
    end)
  end

  it("is content with code that keeps the rules", function()
    put("host/alloc.c", "void f(void) {\n  free(malloc(1));\n}\n")
    put("host/main.c", '  signal(SIGPIPE, SIG_IGN);\n  fputs("x", stderr);\n  exit(1);\n')
    put("host/out.c", '  printf("x");\n')
    put(
      "host/a.c",
      '/* malloc(1) in a\n * comment, exit(1) */\n// free(x)\nint f(void) {\n  log("exit(1)");\n'
        .. ("  g();\n"):rep(56)
        .. "  _exit(1);\n}\n"
    )
    put("host/include/pai_ext.h", "int pai_x(void);\n")
    put("recipes/a.lua", "return {}\n")
    local said, code = lint()
    assert.equal(0, code, said)
  end)
end)

local PEER <const> = "tests/peers/kubernetes/client_spec.lua"
-- Seconds of a file that tests/durations does not list.
local UNKNOWN <const> = 6

describe("tests/run", function()
  before_each(fresh)
  after_each(clean)

  local function drive(text)
    put("a_spec.lua", text)
    local r = run({ "tests/run", dir .. "/a_spec.lua" })
    return r.stdout:match("([^\n]*)\n$"), r.code, r.stdout
  end

  it("adds up what passed", function()
    local last, code = drive("it('a', function() end) it('b', function() end)")
    assert.same({ "2 passed, 0 failed", 0 }, { last, code })
  end)

  it("counts failures and errors and shows them", function()
    local last, code, all =
      drive("it('a', function() assert.equal(1, 2) end) it('b', function() error('zz') end)")
    assert.same({ "0 passed, 2 failed", 1 }, { last, code })
    has(all, "zz")
  end)

  it("fails on a skip that is not expected", function()
    local last, code, all =
      drive("it('a', function() end) it('b', function() pending('no reason') end)")
    assert.same({ "1 passed, 1 failed, 1 skipped", 1 }, { last, code })
    has(all, "not listed in tests/expected-skips")
  end)

  it("counts a file that dies without its closing line as a failure", function()
    local last, code, all = drive("it('a', function() os.exit(0) end)")
    assert.same({ "0 passed, 1 failed", 1 }, { last, code })
    has(all, "without a closing line")
  end)

  it("counts a file that runs no test, or does not load, as a failure", function()
    assert.equal("0 passed, 1 failed", (drive("local x = 1")))
    assert.equal("0 passed, 1 failed", (drive("this is not Lua")))
  end)

  it("runs each file of the tree once, the longest first", function()
    local function listed(cache)
      local r = run({ "tests/run", "--list" }, { env = { XDG_CACHE_HOME = cache } })
      assert.equal(0, r.code, r.stderr)
      local order, at = {}, {}
      for path in r.stdout:gmatch("%l+ ([^\n]+)\n") do
        assert.is_nil(at[path], path .. " is there twice")
        order[#order + 1] = path
        at[path] = #order
      end
      return at, order
    end
    local at = listed(dir .. "/nothing")
    for path in run({ "find", "tests/spec", "-name", "*_spec.lua" }).stdout:gmatch("[^\n]+") do
      assert.is_truthy(at[path], path)
    end
    assert.is_truthy(at["tests/lint"])
    assert.is_nil(at[PEER])
    -- Those against a real kube-apiserver, where one was built.
    for _, name in ipairs({ "kube-apiserver", "kube-controller-manager" }) do
      put("cache/pai/kubernetes/bin/" .. name, "", "0755")
    end
    local with, order = listed(dir .. "/cache")
    assert.is_truthy(with[PEER])
    local seconds, before = {}, math.huge
    for second, path in assert(fs.read("tests/durations")):gmatch("(%d+) ([^\n]+)\n") do
      seconds[path] = tonumber(second)
      assert.is_truthy(with[path], path .. " is listed in tests/durations and is not there")
    end
    for _, path in ipairs(order) do
      local one = seconds[path] or UNKNOWN
      assert.is_true(one <= before, path)
      before = one
    end
  end)

  it("ends a file that takes too long", function()
    put("a_spec.lua", "it('a', function() while true do end end)")
    local env = { TEST_TIMEOUT = "1" }
    local r = run({ "tests/run", dir .. "/a_spec.lua" }, { env = env })
    has(r.stdout, "It was ended after 1 s.")
    has(r.stdout, "0 passed, 1 failed\n")
  end)
end)

describe("the Makefile", function()
  local help = run({ "make", "--no-print-directory", "help" }).stdout

  it("lists what a person may type", function()
    for _, target in ipairs({
      "build",
      "run",
      "test",
      "check",
      "check-asan",
      "check-hard",
      "check-valgrind",
      "fuzz",
      "lint",
      "bench",
      "api",
      "install",
      "clean",
    }) do
      local row = ("\n" .. help):find("\n  " .. target .. " ", 1, true)
      assert.is_truthy(row, target)
    end
  end)

  it("has every target that the documents name", function()
    local documents = { "README.md", "CONTRIBUTING.md", "vendor/README.md", "docs/recipes.md" }
    for _, path in ipairs(documents) do
      for words in fs.read(path):gmatch("`make ([^`]*)`") do
        for target in words:gmatch("[%l-]+") do
          assert.is_truthy(help:find("  " .. target .. " ", 1, true), path .. ": make " .. target)
        end
      end
    end
  end)
end)

describe("what is linked", function()
  local function lines(argv)
    local out = {}
    for line in run(argv).stdout:gmatch("[^\n]+") do
      out[#out + 1] = line
    end
    return out
  end

  it("keeps the executable to the C library, the libraries to their own", function()
    for _, line in ipairs(lines({ "readelf", "-d", pai.exe })) do
      local name = line:match("NEEDED.*%[(.-)%]")
      assert.is_truthy(not name or name:find("^lib[cm]%.so") or name:find("^ld%-linux"), name)
    end
    local modules = fs.glob(pai.lib .. "/pai/*.so")
    local listed = fs.read("Makefile"):match("\nMODULES := ([^\n]+)")
    assert.equal(select(2, listed:gsub("%S+", "")), #modules)
    for _, module in ipairs(modules) do
      for _, line in ipairs(lines({ "readelf", "-d", module })) do
        assert.is_nil(line:match("NEEDED.*%[(liblua.-)%]"), module)
      end
      -- A second copy of the masker or the loop would be one that nobody feeds.
      for _, line in ipairs(lines({ "nm", "-D", "--defined-only", module })) do
        local name = line:match("%S+$")
        assert.is_truthy(
          not name:find("^pai_mask") and not name:find("^pai_loop") and not name:find("^lua_"),
          module .. ": " .. name
        )
      end
    end
  end)

  it("exports no name of our own that does not begin with pai_", function()
    local foreign = {}
    for _, line in ipairs(lines({ "nm", "-D", "--defined-only", pai.exe })) do
      local kind, name = line:match("(%a) (%S+)$")
      local ours = name:find("^pai_") or name:find("^lua_") or name:find("^luaL_")
      local linker = name:find("^_")
        or name:find("@GLIBC")
        or name == "main"
        or name == "data_start"
      local allowed = ours or name:find("^luaopen_") or linker or kind == "A"
      foreign[#foreign + 1] = not allowed and name or nil
    end
    assert.same({}, foreign)
  end)
end)

describe("the documents", function()
  it("name only files that are there", function()
    for _, path in ipairs({
      "README.md",
      "CONTRIBUTING.md",
      "docs/architecture.md",
      "docs/security.md",
      "vendor/README.md",
    }) do
      for name in fs.read(path):gmatch("[%[`%(]([%w_./-]+/[%w_.-]+%.%l+)[%]`%)]") do
        local known = name:find("^build/")
          or name:find("NAME")
          or name:find("TOPIC")
          or name:find("/%.%l+$")
        local there = known or fs.exists(name) or fs.exists(fs.dirname(path) .. "/" .. name)
        assert.is_truthy(there, path .. " names " .. name)
      end
    end
  end)

  it("begin with the two commands", function()
    local text = fs.read("README.md")
    local first = text:match("```%a*\n(.-)```")
    has(first, "make run")
    has(first, "make test")
    local _, count = text:gsub("\n", "")
    assert.is_true(count <= 60, "README.md is longer than one screen")
  end)

  it("tell users of a change in changelogs/unreleased", function()
    assert.is_true(#fs.glob("changelogs/unreleased/*.md") > 0)
  end)
end)
