-- pai preflight, deploy, verify, teardown over any set of components.
local support = dofile("tests/spec/run/support.lua")
local stand_in = dofile("tests/spec/components/stand_in.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")

describe("an action over components", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function component(name, inputs)
    local text = 'return { api = 1, name = "%s", title = "%s", summary = "S.", inputs = { %s } }'
    bench:write(("components/%s/component.lua"):format(name), text:format(name, name, inputs or ""))
  end

  local function action(name, which, body)
    bench:write(("components/%s/%s.lua"):format(name, which), "return { " .. body .. " }")
  end

  local function checks(name, list, needs)
    action(
      name,
      "preflight",
      ([[safety = "observes", needs = { %s },
      steps = { { name = "tools", checks = function(ctx) return { %s } end } }]]):format(
        needs or "",
        list
      )
    )
  end

  it("runs preflights side by side and gives one verdict", function()
    -- Each waits until all are there, so that they end only if they run side by side.
    local meet = [[touch met.$1; for i in $(seq 300); do
      [ $(ls met.* | wc -l) = 4 ] && exit 0; sleep 0.1; done; exit 1]]
    local one = [[{ name = "%s", run = function()
      ctx.query({ "sh", "-c", %q, "sh", "%s" }) return { state = "%s", hint = "get one" } end }]]
    local needs = 'reads = { "sh" }'
    for _, name in ipairs({ "a", "b" }) do
      component(name)
      checks(name, one:format("slow", meet, name, "ok"), needs)
    end
    component("c")
    local both = one:format("slow", meet, "c1", "ok")
      .. ","
      .. one:format("tool", meet, "c2", "red")
    checks("c", both, needs)
    local r = bench:pai({ "preflight", "a", "b", "c", "--json" })
    assert.are.equal(1, r.code)
    local answer = assert(json.decode(r.stdout))
    assert.are.equal("red", answer.verdict)
    local states = {}
    for i, step in ipairs(answer.steps) do
      states[i] = step.step .. "=" .. step.state
    end
    assert.are.same({ "a/tools=green", "b/tools=green", "c/tools=red" }, states)
    assert.are.equal("get one", answer.steps[3].checks[2].hint)
    assert.is_false(fs.exists(bench.state))
    r = bench:pai({ "preflight", "a", "b" })
    assert.are.equal(0, r.code)
    assert.is_truthy(r.stdout:find("green: 2 gates", 1, true), r.stdout)
  end)

  it("blocks when looking itself fails, and says why", function()
    component("a")
    action(
      "a",
      "verify",
      [[safety = "observes", steps = { { name = "x",
      when = function() error("no idea") end,
      checks = function() return { { name = "y", state = "ok" } } end } }]]
    )
    local r = bench:pai({ "verify", "a" })
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("no idea", 1, true), r.stdout)
  end)

  it("deploys in the order given, as one run that can be resumed", function()
    for _, name in ipairs({ "b", "a" }) do
      component(name, 'context = { type = "string", default = "kind" }')
      action(
        name,
        "deploy",
        ([[safety = "changes", needs = { writes = { "." } },
        steps = { { name = "do",
          done = function(ctx) return ctx.fs.exists("%s.done") and {} or nil end,
          run = function(ctx, inp)
            if ctx.fs.exists("stop-%s") then error("stopped") end
            ctx.write("%s.done", inp.context)
            return {}
          end } }]]):format(name, name, name)
      )
    end
    bench:write("stop-a", "")
    local r = bench:pai({ "deploy", "b", "a", "context=prod", "--run-id", "run-one" })
    assert.are.equal(1, r.code, r.stderr)
    -- What git does not know is named: components of the user, not the file composed of them.
    assert.is_truthy(r.stdout:find("not tracked by git, .*components/b/deploy.lua"), r.stdout)
    assert.is_nil(r.stdout:find("/composed/", 1, true), r.stdout)
    assert.are.equal("prod", fs.read(bench.dir .. "/b.done"))
    assert.is_false(fs.exists(bench.dir .. "/a.done"))
    assert(fs.remove(bench.dir .. "/stop-a"))
    r = bench:pai({ "resume", "run-one" })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.equal("prod", fs.read(bench.dir .. "/a.done"))
    local starts = support.pick(bench:journal("run-one"), "step.start")
    assert.are.equal(3, #starts)
    assert.are.equal("b/do", starts[1].step)
  end)

  it("asks before it destroys", function()
    component("a")
    action(
      "a",
      "teardown",
      [[safety = "destroys", steps = { { name = "x",
      run = function() return {} end } }]]
    )
    local r = bench:pai({ "teardown", "a" })
    assert.are.equal(3, r.code)
    assert.is_truthy(r.stderr:find("USER_INPUT_REQUIRED: these steps destroy: a/x", 1, true))
    assert.are.equal(0, bench:pai({ "teardown", "a", "--yes" }).code)
  end)

  it("holds the locks of what it deploys", function()
    component("a")
    action(
      "a",
      "deploy",
      [[safety = "changes",
      locks = function() return { "kube:one" } end,
      steps = { { name = "x", run = function(ctx) ctx.wait("20s") return {} end } }]]
    )
    local first = bench:start({ "deploy", "a", "--run-id", "run-first" })
    support.eventually(function()
      local path = bench.state .. "/runs/run-first/journal.jsonl"
      return (fs.read(path) or ""):find("step.start", 1, true)
    end, "the first run's step")
    local r = bench:pai({ "deploy", "a" })
    assert.are.equal(4, r.code)
    assert.is_truthy(r.stderr:find("kube:one is held by run-first", 1, true), r.stderr)
    first:kill("SIGTERM")
    first:wait("20s")
  end)

  it("takes an input that two name alike once, and refuses two kinds", function()
    component("a", 'n = { type = "integer", default = 1 }')
    component("b", 'n = { type = "integer", default = 2 }')
    component("c", 'n = { type = "string", default = "x" }')
    for _, name in ipairs({ "a", "b", "c" }) do
      action(
        name,
        "preflight",
        [[safety = "observes", steps = { { name = "s",
        checks = function(_, inp)
          return { { name = "n", state = "ok", measured = inp.n } } end } }]]
      )
    end
    local function measured(argv)
      local r = bench:pai(argv)
      assert.are.equal(0, r.code, r.stderr)
      local list = {}
      for i, step in ipairs(json.decode(r.stdout).steps) do
        list[i] = step.checks[1].measured
      end
      return list
    end
    assert.are.same({ 1, 2 }, measured({ "preflight", "a", "b", "--json" }))
    assert.are.same({ 7, 7 }, measured({ "preflight", "a", "b", "n=7", "--json" }))
    local r = bench:pai({ "preflight", "a", "c" })
    assert.are.equal(2, r.code)
    assert.is_truthy(r.stderr:find("a and c both have an input 'n', of different kinds", 1, true))
  end)

  it("holds both to a pattern that one of them has", function()
    component("a", 'n = { type = "string", default = "x", pattern = "%a+" }')
    component("b", 'n = { type = "string", default = "x" }')
    component("c", 'n = { type = "string", optional = true, pattern = "%d+" }')
    for _, name in ipairs({ "a", "b", "c" }) do
      checks(name, '{ name = "n", state = "ok" }')
    end
    for _, order in ipairs({ { "a", "b" }, { "b", "a" } }) do
      local argv = { "preflight", order[1], order[2], "n=y" }
      assert.are.equal(0, bench:pai(argv).code)
      argv[4] = "n=1"
      local r = bench:pai(argv)
      assert.are.equal(2, r.code)
      assert.is_truthy(r.stderr:find("n must match %a+", 1, true), r.stderr)
    end
    assert.are.equal(2, bench:pai({ "preflight", "a", "c" }).code)
  end)

  it("takes all preflights of pai at once, each with a verdict for every check", function()
    local names = {}
    for _, name in ipairs(fs.list(pai.root .. "/components")) do
      if fs.exists(("%s/components/%s/preflight.lua"):format(pai.root, name)) then
        names[#names + 1] = name
      end
    end
    table.sort(names)
    local argv = table.move(names, 1, #names, 2, { "preflight" })
    local given = "--json cluster=azure inference=foundry context=c control_planes=a,b,c workers=w "
      .. "vip=192.0.2.10 vip_interface=eno1 registry=http://127.0.0.1:1 "
      .. "metallb=192.0.2.20-192.0.2.40 nims=qwen25-14b caller_ip=203.0.113.4 "
      .. "skip_network=true"
    for word in given:gmatch("%S+") do
      argv[#argv + 1] = word
    end
    local talk = stand_in.new(bench.root .. "/tools", { "ssh" }, { "date", "id" })
    talk:tell({
      argv = { "ssh", "..." },
      stderr = "ssh: connect to host a port 22: Connection refused\n",
      code = 255,
      cite = "ssh: its own error and 255",
    })
    local r = bench:pai(argv, { env = { PATH = talk.path, HOME = bench.root } })
    assert.are.equal(1, r.code, r.stderr)
    local seen = {}
    for _, step in ipairs(assert(json.decode(r.stdout), r.stderr).steps) do
      seen[step.step:match("^[^/]+")] = true
      assert.is_true(#step.checks > 0, step.step)
      for _, check in ipairs(step.checks) do
        assert.is_string(check.state, check.name)
      end
    end
    for _, name in ipairs(names) do
      assert.is_true(seen[name], name)
    end
    talk:check()
  end)

  it("has every action in each component, or a reason why there is none", function()
    local dir = pai.root .. "/components/"
    for _, name in ipairs(fs.list(dir)) do
      local shown
      for _, what in ipairs({ "preflight", "deploy", "verify", "teardown" }) do
        if not fs.exists(("%s%s/%s.lua"):format(dir, name, what)) then
          shown = shown or bench:pai({ "show", name }).stdout:lower()
          local why = ("\n%s +there is none"):format(what)
          assert.is_truthy(shown:find(why), name .. " has no " .. what)
        end
      end
    end
  end)

  it("opens only the components that are named", function()
    for _, name in ipairs({ "a", "b" }) do
      component(name)
      checks(name, '{ name = "x", state = "ok" }')
    end
    local r =
      assert(exec.run({ "strace", "-f", "-qq", "-e", "trace=openat", pai.exe, "preflight", "a" }, {
        cwd = bench.dir,
        env = { PAI_STATE = bench.state, ASAN_OPTIONS = "detect_leaks=0" },
        timeout = "60s",
      }))
    assert.is_truthy(r.stderr:find("components/a/preflight.lua", 1, true))
    assert.is_nil(r.stderr:find("components/b/", 1, true))
  end)

  it("explains what it can't take", function()
    component("cluster-x")
    local function says(argv, code, text)
      local r = bench:pai(argv)
      assert.are.equal(code, r.code)
      assert.is_truthy(r.stderr:find(text, 1, true), r.stderr)
    end
    says({ "preflight" }, 2, "takes the names of components")
    says({ "preflight", "cluster-y" }, 2, "no component 'cluster-y' (did you mean 'cluster-x'?)")
    says({ "deploy", "cluster-x" }, 2, "cluster-x has no deploy")
    checks("cluster-x", '{ name = "x", state = "ok" }')
    says({ "preflight", "cluster-x", "cluster-x" }, 2, "named twice")
    says({ "preflight", "cluster-x", "nope=1" }, 2, "nope")
    says({ "preflight", "a=1", "cluster-x" }, 2, "comes after key=value")
  end)

  describe("the shared checks", function()
    local talk

    before_each(function()
      talk = stand_in.new(bench.root .. "/tools", { "helm", "nvidia-smi" }, { "git" })
      component("a", 'key = { type = "secret", env = "A_KEY", optional = true }')
      checks(
        "a",
        [[ctx.check.program("git"), ctx.check.program("none"),
        ctx.check.version("helm", "3.0.0", { below = "4.0.0" }),
        ctx.check.secret("key"), ctx.check.disk(".", 0.001), ctx.check.disk("/none/x", 9e9),
        ctx.tools.nvidia_smi.driver_check("525.0.0") ]],
        'bins = { "helm", "nvidia-smi" }'
      )
    end)

    local function states(env)
      env = env or {}
      env.PATH = talk.path
      local r = bench:pai({ "preflight", "a", "--json" }, { env = env })
      local list = {}
      for i, check in ipairs(json.decode(r.stdout).steps[1].checks) do
        list[i] = ("%s=%s %s"):format(check.name, check.state, check.measured)
      end
      return table.concat(list, "\n"), r
    end

    it("measure what there is", function()
      talk:tell({
        argv = { "helm", "version", "--short" },
        stdout = "v3.14.2+gc309b6f\n",
        cite = "helm version --short",
      })
      talk:tell({
        argv = { "nvidia-smi", "~^%-%-query%-gpu=", "--format=csv,noheader,nounits" },
        stdout = "0, NVIDIA L40S, 550.90.07, 46068\n1, NVIDIA L40S, 524.1, 46068\n",
        cite = "nvidia-smi --help-query-gpu",
      })
      local value = "k" .. tostring(os.time()) .. "value"
      local text, r = states({ A_KEY = value })
      assert.is_truthy(text:find("git=ok /", 1, true), text)
      assert.is_truthy(text:find("none=red not found", 1, true))
      assert.is_truthy(text:find("helm version=ok 3.14.2", 1, true), text)
      assert.is_truthy(text:find("A_KEY=ok set", 1, true))
      assert.is_truthy(text:find("room on .=ok", 1, true))
      assert.is_truthy(text:find("room on /none/x=red", 1, true))
      assert.is_truthy(text:find("NVIDIA driver=red 524.1.0, 2 GPUs", 1, true), text)
      assert.is_nil(r.stdout:find(value, 1, true))
      talk:check()
    end)

    it("say what a tool printed when it is of no use", function()
      talk:tell({ argv = { "helm", "..." }, stdout = "hello\n", cite = "a program of that name" })
      talk:tell({
        argv = { "nvidia-smi", "..." },
        stdout = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
        code = 9,
        cite = "nvidia-smi without a driver",
      })
      local text = states()
      assert.is_truthy(text:find("helm version=red no version can be read from: hello", 1, true))
      assert.is_truthy(text:find("A_KEY=red not set", 1, true))
      assert.is_truthy(text:find("NVIDIA driver=red NVIDIA-SMI has failed", 1, true), text)
      talk:remove("helm")
      assert.is_truthy(states():find("helm version=red not found on PATH", 1, true))
    end)
  end)
end)
