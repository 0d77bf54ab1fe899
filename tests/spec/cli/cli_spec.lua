-- The commands as a user meets them: help, options, exit codes, JSON. Those on a terminal are in
-- terminal_spec.lua.
local support = dofile("tests/spec/run/support.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local pick = support.pick

describe("the command line", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function says(r, part, stream)
    local output = stream and r[stream] or r.stdout .. r.stderr
    assert.is_truthy(output:find(part, 1, true), ("'%s' is not in:\n%s"):format(part, output))
  end

  it("has help for every command, with options and examples", function()
    local overview = bench:pai({ "help" })
    assert.are.equal(0, overview.code)
    assert.are.equal(overview.stdout, bench:pai({ "--help" }).stdout)
    local list = json.decode(bench:pai({ "help", "--json" }).stdout).commands
    assert.is_true(#list >= 16)
    for _, command in ipairs(list) do
      says(overview, "\n  " .. command.name)
      assert.is_truthy(command.summary ~= "", command.name)
      if command.name ~= "lua" then
        local help = bench:pai({ "help", command.name })
        assert.are.equal(0, help.code, command.name)
        says(help, "usage: pai " .. command.name)
        says(help, "--json")
        says(help, "examples:")
        assert.are.equal(help.stdout, bench:pai({ command.name, "--help" }).stdout)
        for _, sub in ipairs(command.commands or {}) do
          local inner = bench:pai({ command.name, sub.name, "--help" })
          assert.are.equal(0, inner.code)
          says(inner, ("usage: pai %s %s"):format(command.name, sub.name))
        end
      end
    end
  end)

  local usage = {
    { {}, "usage: pai COMMAND" },
    { { "rnu" }, "no command 'rnu' (did you mean 'run'?)" },
    { { "run" }, "missing RECIPE" },
    { { "run", "hello", "--jsno" }, "no option --jsno (did you mean '--json'?)" },
    { { "run", "hello", "-x" }, "no option -x" },
    { { "run", "hello", "Ada" }, "'Ada' is not key=value" },
    { { "run", "hello", "name=a", "name=b" }, "the input name is given twice" },
    { { "run", "hello", "--input" }, "--input needs a value: --input FILE" },
    { { "run", "hello", "--json=1" }, "--json takes no value" },
    { { "run", "hello", "nmae=Ada" }, "no input 'nmae' (did you mean 'name'?)" },
    { { "run", "hello", "--run-id", "x" }, "a run id is run- and" },
    { { "run", "hello", "name=a", "--target", "mars" }, "the target is local or osmo, not 'mars'" },
    { { "resume" }, "missing RUN" },
    { { "resume", "a", "b" }, "too many arguments: 'b'" },
    { { "runs", "shwo", "x" }, "pai runs has no 'shwo' (did you mean 'show'?)" },
    { { "show", "none" }, "no recipe 'none'" },
    { { "list", "x" }, "too many arguments: 'x'" },
    { { "runs", "--limit", "x" }, "--limit must be a count" },
    { { "runs", "prune", "--older", "soon" }, "--older takes a duration" },
    { { "help", "rnu" }, "no command 'rnu'" },
    { { "exec" }, "missing COMMAND" },
  }
  for _, case in ipairs(usage) do
    it("ends 2 with a clear word: pai " .. table.concat(case[1], " "), function()
      local r = bench:pai(case[1])
      assert.are.equal(2, r.code)
      says(r, case[2], "stderr")
      assert.are.equal("", r.stdout)
    end)
  end

  it("prints errors as JSON too when asked", function()
    local r = bench:pai({ "show", "none", "--json" })
    assert.are.equal(2, r.code)
    assert.are.equal("ENOENT", json.decode(r.stdout).error.code)
    r = bench:pai({ "plan", "hello", "--json" })
    assert.are.equal(3, r.code)
    assert.are.equal("name", json.decode(r.stdout).error.missing[1].name)
  end)

  it("says its version, and loads little for it", function()
    local r = bench:pai({ "version" })
    assert.are.equal(0, r.code)
    assert.is_truthy(r.stdout:find("^pai %d+%.%d+%.%d+ %(Lua 5%.4%)\n$"), r.stdout)
    assert.are.equal(
      require("pai.version"),
      json.decode(bench:pai({ "version", "--json" }).stdout).version
    )
    local traced = exec.run(
      { "strace", "-qq", "-e", "trace=stat,newfstatat", pai.exe, "version" },
      { timeout = "30s" }
    )
    if traced then
      local loaded = {}
      for name in traced.stderr:gmatch('"[^"]*/lua/pai/([%w_/]+)%.lua", {') do
        loaded[name] = true
      end
      assert.is_true(loaded["cli/version"])
      loaded["cli/init"], loaded["cli/version"], loaded.version = nil, nil, nil
      assert.are.same({}, loaded)
    end
  end)

  it("takes inputs from a file, from standard input, and from words over both", function()
    bench:recipe(
      "r",
      [[
      inputs = { n = { type = "integer" }, s = { type = "string" },
        l = { type = "list", of = "integer", default = {} } },
      steps = { { name = "a", run = function(_, inp) return inp end } },]]
    )
    bench:write("in.yaml", "n: 1\ns: yes it is\nl: [1, 2]\n")
    local function result(argv, stdin)
      local events, r = bench:run(argv, { stdin = stdin })
      assert.are.equal(0, r.code, r.stderr)
      return pick(events, "step.done")[1].result
    end
    assert.are.same(
      { n = 1, s = "yes it is", l = { 1, 2 } },
      result({ "./r.lua", "--input", "in.yaml" })
    )
    assert.are.same(
      { n = 2, s = "x", l = { 3 } },
      result({ "./r.lua", "--input", "-", "n=2", "l=3" }, '{"s": "x", "n": 5, "zz": null}')
    )
    local r = bench:pai({ "run", "./r.lua", "--input", "none.yaml" })
    assert.are.equal(2, r.code)
    bench:write("bad.yaml", "n: 1\nm: 2\n")
    r = bench:pai({ "run", "./r.lua", "--input", "bad.yaml" })
    assert.are.equal(2, r.code)
    says(r, "no input 'm'")
  end)

  it("ends 1 with file and line for a recipe that is broken", function()
    bench:write("r.lua", "return {\n  api = = 1,\n}\n")
    local events, r = bench:run({ "./r.lua" })
    assert.are.equal(1, r.code)
    assert.are.equal("pai: r.lua:2: unexpected symbol near '='\n", r.stderr)
    assert.are.same({ "run.end", "failed" }, { events[1].event, events[1].status })
    assert.are.equal(2, events[1].problems[1].line)
    bench:recipe("r", 'stepz = {}, steps = { { name = "a", run = function() end } },')
    r = bench:pai({ "plan", "./r.lua" })
    assert.are.equal(1, r.code)
    says(r, "r.lua:4: stepz: unknown key 'stepz' in a recipe (did you mean 'steps'?)", "stderr")
    assert.is_false(fs.exists(bench.state))
  end)

  it("asks one question for all that is missing when nobody can be asked", function()
    bench:recipe(
      "r",
      [[inputs = { b = { type = "path", doc = "The clip." },
        a = { type = "integer" }, c = { type = "string", default = "x" } },
      steps = { { name = "a", run = function() end } },]]
    )
    local events, r = bench:run({ "./r.lua" })
    assert.are.equal(3, r.code)
    assert.are.equal("USER_INPUT_REQUIRED: a (integer); b (path): The clip.\n", r.stderr)
    assert.are.same({ "input.required", "run.end" }, { events[1].event, events[2].event })
    assert.are.equal("b", events[1].missing[2].name)
    assert.are.same({ "input_required", 3 }, { events[2].status, events[2].code })
    assert.is_false(fs.exists(bench.state))
  end)

  it("ends quietly when nobody reads on", function()
    bench:recipe(
      "r",
      [[steps = { { name = "a", run = function(ctx)
      for i = 1, 2000 do ctx.log("line " .. i) end return { n = 1 } end } },]]
    )
    local r = assert(
      exec.run(
        { "sh", "-c", '"$1" run ./r.lua | head -1', "sh", pai.exe },
        { cwd = bench.dir, env = { PAI_STATE = bench.state }, timeout = "30s" }
      )
    )
    assert.are.equal("", r.stderr)
    -- The run itself goes on to its end.
    local brief = json.decode(bench:pai({ "runs", "--json" }).stdout).runs[1]
    assert.are.equal("green", brief.status)
  end)

  it("lists, shows, follows and prunes runs", function()
    bench:recipe(
      "r",
      [[needs = { bins = { "sh" } }, steps = {
      { name = "a", run = function(ctx)
        ctx.log("hello") ctx.exec({ "sh", "-c", "echo from sh" }) return { n = 7 } end },
      { name = "b", after = { "a" },
        checks = function() return { { name = "c", state = "red", hint = "mend it" } } end },
    },
    report = function(_, _, got) return { notices = { "n is " .. got.a.n } } end,]]
    )
    local events = bench:run({ "./r.lua" })
    local id = events[1].run
    local r = bench:pai({ "runs" })
    says(r, id)
    says(r, "red")
    says(bench:pai({ "runs", "show", id:sub(1, 8) }), "mend it")
    local shown = json.decode(bench:pai({ "runs", "show", "last", "--json" }).stdout)
    assert.are.equal("red", shown.status)
    assert.is_true(shown.steps.a.done)
    r = bench:pai({ "runs", "logs", id })
    says(r, "a: hello")
    says(r, "a | from sh")
    support.events(bench:pai({ "runs", "logs", id, "--json" }).stdout)
    r = bench:pai({ "runs", "watch", id, "--json" })
    assert.are.equal(1, r.code)
    assert.are.same(events, support.events(r.stdout))
    r = bench:pai({ "runs", "report", id })
    assert.is_truthy(fs.read((r.stdout:gsub("\n", ""))):find("n is 7", 1, true))
    r = bench:pai({ "runs", "prune", "--older", "0s", "--keep", "0", "--dry-run" })
    says(r, "would remove " .. id)
    assert.is_true(fs.exists(bench.state .. "/runs/" .. id))
    r = bench:pai({ "runs", "prune", "--older", "1h", "--keep", "0" })
    says(r, "0 of 1 runs")
    r = bench:pai({ "runs", "prune", "--older", "0s", "--keep", "0", "--json" })
    assert.are.same({ id }, json.decode(r.stdout).removed)
    assert.is_false(fs.exists(bench.state .. "/runs/" .. id))
  end)

  it("follows a run that goes on elsewhere, also when it is killed", function()
    bench:recipe(
      "r",
      [[steps = { { name = "a", run = function(ctx)
      ctx.log("ready")
      ctx.wait(function() return ctx.fs.exists("go") or nil end, { every = "20ms" }) end } },]]
    )
    local first = bench:start({ "run", "./r.lua", "--run-id", "run-one" })
    support.eventually(function()
      return fs.exists(bench.state .. "/runs/run-one/journal.jsonl")
        and pick(bench:journal("run-one"), "log")[1]
    end, "the run is on")
    local brief = json.decode(bench:pai({ "runs", "--json" }).stdout).runs[1]
    assert.are.equal("running", brief.status)
    local watcher = bench:start({ "runs", "watch", "run-one", "--json" })
    bench:write("go", "")
    first:wait("20s")
    local r = watcher:wait("20s")
    assert.are.equal(0, r.code)
    assert.are.same(bench:journal("run-one"), support.events(r.stdout))
    fs.remove(bench.dir .. "/go")
    local second = bench:start({ "run", "./r.lua", "--run-id", "run-two" })
    support.eventually(function()
      return fs.exists(bench.state .. "/runs/run-two/journal.jsonl")
        and pick(bench:journal("run-two"), "log")[1]
    end, "the run is on")
    second:kill("KILL")
    second:wait("10s")
    r = bench:pai({ "runs", "watch", "run-two" })
    assert.are.equal(1, r.code)
    says(r, "pai: run-two was killed; to go on: pai resume run-two", "stderr")
    assert.are.equal("killed", json.decode(bench:pai({ "runs", "--json" }).stdout).runs[1].status)
  end)

  it("checks the gates of a recipe without acting", function()
    bench:recipe(
      "r",
      [[needs = { writes = { "." } }, steps = {
      { name = "g", checks = function() return { { name = "c", state = "ok" } } end },
      { name = "a", after = { "g" }, run = function(ctx) ctx.write("acted", "") return {} end },
      { name = "h", after = { "a" },
        checks = function(_, _, got) return { { name = "d", state = got.a.state } } end },
    },]]
    )
    local r = bench:pai({ "check", "./r.lua", "--json" })
    assert.are.equal(0, r.code, r.stderr)
    local value = json.decode(r.stdout)
    assert.are.same(
      { "green", "green", "unknown" },
      { value.verdict, value.steps[1].state, value.steps[2].state }
    )
    assert.is_false(fs.exists(bench.dir .. "/acted"))
    bench:recipe("r", 'steps = { { name = "g", checks = function() error("no") end } },')
    r = bench:pai({ "check", "./r.lua" })
    assert.are.equal(1, r.code)
    says(r, "unknown g: ")
  end)

  it("says what this machine can do", function()
    local r = bench:pai({ "doctor", "--json" })
    local value = json.decode(r.stdout)
    assert.are.equal(value.verdict == "red" and 1 or 0, r.code)
    local names = {}
    for _, check in ipairs(value.checks) do
      names[check.name] = check
    end
    for _, file in ipairs(assert(fs.glob(fs.dirname(pai.exe) .. "/../lib/pai/*.so"))) do
      local module = names["module " .. fs.basename(file):gsub("%.so$", "")]
      assert.are.equal("ok", module and module.state, file)
    end
    for _, name in ipairs({
      "bubblewrap",
      "user namespaces",
      "Landlock",
      "state folder",
      ".env",
      "git",
      "module yaml",
    }) do
      assert.is_truthy(names[name], name)
    end
    assert.is_truthy(names["state folder"].measured:find(bench.state, 1, true))
    assert.is_false(fs.exists(bench.state))
  end)

  it("lints recipes: schema, size, needs of what is used, what a resume repeats", function()
    bench:write(
      "components/k8s/component.lua",
      'return { api = 1, name = "k8s", title = "K", summary = "S." }\n'
    )
    bench:write(
      "components/k8s/deploy.lua",
      'return { safety = "changes", needs = { bins = { "helm" } },\n'
        .. '  steps = { { name = "a", run = function() end } } }\n'
    )
    bench:recipe("recipes/good", 'steps = { { name = "a", run = function() end } },')
    local text = fs.read(bench.dir .. "/recipes/good.lua"):gsub("recipes/good", "good")
    assert(fs.write(bench.dir .. "/recipes/good.lua", text))
    local good = bench:pai({ "lint", "recipes/good.lua" })
    assert.are.equal("1 checked, 0 errors, 0 warnings\n", good.stdout)
    bench:write("recipes/bad.lua", (text:gsub("title", "titel")))
    bench:write("recipes/long.lua", text .. ("-- more\n"):rep(301))
    bench:write(
      "recipes/uses.lua",
      [[
return { api = 1, name = "uses", title = "T", summary = "S.", safety = "changes",
  inputs = { hf = { type = "secret" } }, needs = { writes = { "@outt" } },
  steps = {
    { name = "x", use = "k8s.deploy" },
    { name = "y", run = function() end },
  } }
]]
    )
    local r = bench:pai({ "lint", "--json", "bad", "long", "uses", "k8s", "k8s.deploy" })
    assert.are.equal(1, r.code)
    local found = {}
    for _, f in ipairs(json.decode(r.stdout).findings) do
      found[#found + 1] = ("%s:%d %s %s"):format(f.file, f.line, f.level, f.message)
    end
    local all = table.concat(found, "\n")
    for _, part in ipairs({
      "recipes/bad.lua:2 error unknown key 'titel' in a recipe (did you mean 'title'?)",
      "recipes/long.lua:301 error the file has",
      "recipes/long.lua:2 warning the file is called long, the recipe good",
      "recipes/uses.lua:2 error no input 'outt'",
      "recipes/uses.lua:2 warning the secret names no env variable to come from",
      "recipes/uses.lua:4 error k8s.deploy needs more than this recipe declares: needs.bins: helm",
      "recipes/uses.lua:5 warning the step changes something and has no done",
    }) do
      assert.is_truthy(all:find(part, 1, true), part .. "\nis not in\n" .. all)
    end
    local everything = bench:pai({ "lint" })
    assert.are.equal(1, everything.code)
    says(everything, "recipes/bad.lua:2: titel: unknown key")
  end)

  it("finds nothing wrong with pai's own recipes", function()
    local r = bench:pai({ "lint", "--json" }, { cwd = pai.root })
    local value = json.decode(r.stdout)
    assert.are.same({}, value.findings)
    assert.is_true(value.files >= 1)
  end)

  it("runs the specs of a user's recipes, and says when busted is not there", function()
    bench:write(
      "recipes/x_spec.lua",
      [[
describe("x", function()
  it("is there", function() assert.is_truthy(require("pai.fs").exists("recipes/x_spec.lua")) end)
end)
]]
    )
    local r = bench:pai({ "test" }, { env = { PATH = os.getenv("PATH") } })
    assert.are.equal(0, r.code, r.stderr)
    says(r, "1 success")
    bench:write(
      "recipes/x_spec.lua",
      'describe("x", function() it("y", function() error() end) end)'
    )
    assert.are.equal(1, bench:pai({ "test" }).code)
    r = bench:pai({ "test", "--busted", bench.dir .. "/none" })
    assert.are.equal(1, r.code)
    says(r, "hint: apt-get install lua-busted", "stderr")
    r = bench:pai({ "test", "none_spec.lua" })
    assert.are.equal(2, r.code)
  end)
end)

describe("pai exec", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function sh(script, opts, more)
    local argv = { "exec" }
    table.move(more or {}, 1, #(more or {}), 2, argv)
    table.move({ "--", "sh", "-c", script }, 1, 4, #argv + 1, argv)
    return bench:pai(argv, opts)
  end

  it("passes output, exit code and standard input on", function()
    local r = sh("cat; echo err >&2; exit 7", { stdin = "in\n" })
    assert.are.same({ 7, "in\n", "err\n" }, { r.code, r.stdout, r.stderr })
    assert.are.equal(0, sh("true").code)
    assert.are.equal(143, sh("kill -TERM $$").code)
  end)

  it("has codes of its own, as env has", function()
    assert.are.equal(127, bench:pai({ "exec", "--", "pai-spec-no-such-program" }).code)
    local path = bench:write("plain", "text")
    assert.are.equal(126, bench:pai({ "exec", "--", path }).code)
  end)

  it("masks variables that look secret, those that are named, and .env", function()
    local function value()
      return "canary-" .. require("pai.crypto").hex(10)
    end
    local token, named, stored = value(), value(), value()
    assert(exec.run({ "git", "init", "-q", bench.dir }))
    bench:write(".gitignore", ".env\n")
    bench:write(".env", "STORED=" .. stored .. "\n")
    fs.chmod(bench.dir .. "/.env", "0600")
    local env = { MY_TOKEN = token, DB_URL = named, PLAIN = "visible" }
    local r = sh(
      'echo "$MY_TOKEN $DB_URL $PLAIN"; grep STORED .env; echo "$MY_TOKEN" >&2',
      { env = env },
      { "--secret", "DB_URL" }
    )
    assert.are.equal("*** *** visible\nSTORED=***\n", r.stdout)
    assert.are.equal("***\n", r.stderr)
    r = sh("true", {}, { "--secret", "PAI_SPEC_NO_SUCH_VARIABLE" })
    assert.are.equal(2, r.code)
  end)

  it("passes signals on", function()
    local proc = bench:start({
      "exec",
      "--",
      "sh",
      "-c",
      'trap "echo got it; exit 9" TERM; echo ready; while :; do sleep 0.05; done',
    })
    assert.are.equal("ready", (proc:read_line("10s")))
    proc:kill("TERM")
    assert.are.equal(9, proc:wait("10s").code)
  end)

  it("prints JSON Lines when asked", function()
    local r = sh("echo a; exit 3", {}, { "--json" })
    assert.are.same({
      { event = "line", stream = "stdout", text = "a" },
      { event = "exit", code = 3 },
    }, support.events(r.stdout))
    assert.are.equal(3, r.code)
  end)
end)
