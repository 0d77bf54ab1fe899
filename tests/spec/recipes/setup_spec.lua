-- The setup flow with small stand-ins of its components: which choices are refused, what runs
-- before what, where it stops, and that it goes on and repeats nothing.
local setup = assert(loadfile("tests/spec/recipes/setup_support.lua", "t", _ENV))()
local support = dofile("tests/spec/run/support.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")

local SPEC <const> = [[
workflow:
  name: look
  tasks:
  - name: a
    image: ubuntu
    command: ["curl", "http://{{llm}}.osmo-nims.svc.cluster.local:8000/v1"]
    outputs:
    - url: azure://account/osmo
default-values:
  llm: qwen25-14b
]]

describe("setup's choice", function()
  local bench

  before_each(function()
    bench = setup.new()
  end)

  after_each(function()
    bench:remove()
  end)

  -- Nothing but the choice is looked at: no component is loaded, nothing is written.
  local function refused(argv, name, text)
    local events, r, seen = bench:setup(argv)
    assert.equal(1, r.code, r.stdout .. r.stderr)
    assert.truthy(seen[name]:find("^red"), name)
    assert.truthy(seen[name]:find(text, 1, true), seen[name])
    local graph = support.pick(events, "run.graph")[1]
    assert.equal(1, #graph.steps)
    assert.is_false(fs.exists(bench.dir .. "/infra"))
    assert.truthy(seen.stopped:find("stopped at targets; lowest layer: config", 1, true))
  end

  it("refuses Foundry on MicroK8s, with the reason", function()
    refused({ "cluster=microk8s", "inference=foundry" }, "inference", "needs Azure identities")
    refused({ "cluster=onprem", "inference=nvcf,foundry" }, "inference", "needs Azure identities")
  end)

  it("refuses every other choice that makes no sense", function()
    local gpu = { "cluster=microk8s", "inference=nim", "gpu=false" }
    refused(gpu, "inference", "without a GPU can't run a NIM")
    refused({ "cluster=azure", "inference=none,nim" }, "inference", "none and nim at once")
    refused({ "cluster=azure", "inference=" }, "inference", "no backend is chosen")
    local osmo = { "cluster=azure", "inference=none", "osmo=osmo-k8s" }
    refused(osmo, "osmo", "osmo-k8s does not go with cluster=azure")
    local style = { "cluster=azure", "inference=foundry", "capabilities=video-style-transfer" }
    refused(style, "capabilities", "foundry can't do video-style-transfer")
    refused({ "cluster=azure", "inference=nim", "spot=true" }, "spot", "no NIM would tolerate it")
    refused({ "cluster=microk8s", "inference=nvcf", "spot=true" }, "spot", "are Azure's")
    refused(
      { "cluster=azure", "inference=none", "workload=custom" },
      "workload",
      "no spec is given"
    )
  end)

  it("takes every other one", function()
    for _, argv in ipairs({
      { "cluster=microk8s", "inference=nim" },
      { "cluster=microk8s", "inference=nvcf", "gpu=false" },
      { "cluster=microk8s", "inference=none" },
      { "cluster=azure", "inference=nim" },
      { "cluster=azure", "inference=nvcf" },
      { "cluster=azure", "inference=foundry" },
      { "cluster=onprem", "inference=nim" },
      { "cluster=azure", "inference=none" },
      { "cluster=azure", "inference=nim,nvcf", "capabilities=image-edit" },
      {
        "cluster=azure",
        "inference=nim",
        "spot=true",
        "tolerations=kubernetes.azure.com/scalesetpriority=spot:NoSchedule",
      },
    }) do
      local plan, r = bench:plan(argv)
      assert.equal(0, r.code, table.concat(argv, " ") .. r.stdout .. r.stderr)
      assert.is_false(plan.red)
      assert.truthy(#plan.estimate == 3)
    end
  end)

  it("plans as far as can be seen: preflights are looked at, a mismatch is red", function()
    bench:write("spec.yaml", SPEC)
    bench:flag("osmo-azure.preflight")
    local plan = bench:plan({ "cluster=azure", "inference=nim", "spec=spec.yaml" })
    local states = {}
    for _, step in ipairs(plan.steps) do
      states[step.step] = step.state
    end
    assert.equal("red", states["preflight-osmo-azure/look"])
    assert.equal("green", states["preflight-cluster-azure/look"])
    assert.equal("would run", states["cluster/up"])
    assert.is_true(plan.red)
    plan = bench:plan({ "cluster=azure", "inference=nim", "spec=none.yaml" })
    assert.equal("red", plan.steps[1].state)
    local spec = plan.steps[1].checks[#plan.steps[1].checks]
    assert.truthy(spec.measured:find("there is no file .*none%.yaml$"), spec.measured)
    plan = bench:plan({ "cluster=azure", "inference=nvcf", "spec=spec.yaml" })
    assert.is_true(plan.red)
    assert.is_false(fs.exists(bench.dir .. "/infra"))
  end)

  it("asks for what is missing, and for nothing else", function()
    local r = bench:pai({ "run", "setup" })
    assert.equal(3, r.code)
    assert.truthy(r.stderr:find("USER_INPUT_REQUIRED: cluster", 1, true), r.stderr)
    assert.truthy(r.stderr:find("inference", 1, true))
    assert.is_nil(r.stderr:find("subscription", 1, true))
    r = bench:pai({ "run", "setup", "cluster=gke", "inference=nim" })
    assert.equal(2, r.code)
  end)
end)

describe("setup's flow", function()
  local bench

  after_each(function()
    bench:remove()
  end)

  local function order(events, ...)
    local last, before = 0, "the beginning"
    for _, step in ipairs({ ... }) do
      local at
      for i, event in ipairs(events) do
        if event.step == step and not at then
          at = i
        end
      end
      assert(at, step .. " is not there")
      assert(at > last, ("%s does not come after %s"):format(step, before))
      last, before = at, step
    end
  end

  it("goes from the choice to the workload's gate, and changes nothing twice", function()
    bench = setup.new()
    local argv = { "cluster=azure", "inference=nim", "nims=qwen25-14b", "location=westus3" }
    local events, r, seen = bench:setup(argv)
    assert.equal(0, r.code, r.stdout .. r.stderr)
    order(
      events,
      "targets",
      "discover",
      "preflight-azure-access/look",
      "cluster/up",
      "gate-kubernetes/look",
      "osmo/up",
      "gate-osmo/look",
      "gate-workload"
    )
    order(events, "gate-kubernetes/look", "inference-nim/up", "gate-inference-nim/look")
    assert.truthy(seen.endpoints:find("^warn no spec is given"))
    local up = support.pick(events, "step.done", "inference-nim/up")[1].result.inputs
    assert.same({ "qwen25-14b" }, up.nims)
    assert.same({ 4, 1, "osmo" }, { up.gpu_nodes, up.gpus_per_node, up.context })
    local cluster = support.pick(events, "step.done", "cluster/up")[1].result.inputs
    assert.equal("westus3", cluster.location)
    for _, name in ipairs({ "cluster-azure", "osmo-azure", "inference-nim-operator" }) do
      assert.is_true(bench:is_up(name), name)
    end
    events, r = bench:setup(argv)
    assert.equal(0, r.code, r.stdout)
    assert.same({}, support.pick(events, "step.start", "cluster/up"))
    assert.same({}, support.pick(events, "step.start"))
  end)

  it("runs the preflights side by side, and OSMO beside inference", function()
    -- Each waits until all are there, so that they end only if they run side by side.
    local meet = [[touch met.$1; for i in $(seq 300); do
      [ $(ls met.* | wc -l) = 4 ] && exit 0; sleep 0.1; done; exit 1]]
    local wait = [[ctx.wait(function()
      return ctx.fs.exists(inp.dir .. "/%s.begun") end,
      { every = "20ms", timeout = "30s", what = "the other" })]]
    bench = setup.new({
      look = ([[ctx.query({ "git", "rev-parse", %q, ctx.recipe })]]):format(meet),
      deploy = {
        ["osmo-k8s"] = wait:format("inference-nvcf"),
        ["inference-nvcf"] = wait:format("osmo-k8s"),
      },
    })
    local tools = bench.root .. "/tools"
    assert(fs.mkdir(tools))
    assert(fs.write(tools .. "/git", '#!/bin/sh\nexec sh -c "$2" sh "$3"\n', { mode = "0755" }))
    for name in pairs(setup.COMPONENTS) do
      local path = ("components/%s/preflight.lua"):format(name)
      local text = assert(fs.read(bench.dir .. "/" .. path))
      bench:write(path, (text:gsub("safety = ", 'needs = { bins = { "git" } }, safety = ', 1)))
    end
    local _, r = bench:setup({ "cluster=microk8s", "inference=nvcf" }, {
      env = { PATH = tools .. ":" .. os.getenv("PATH") },
    })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.is_true(bench:is_up("inference-nvcf"))
  end)

  it("stops at a red preflight before anything changes, and shows all the others", function()
    bench = setup.new()
    bench:flag("osmo-azure.preflight")
    bench:flag("azure-access.preflight")
    local events, r, seen = bench:setup({ "cluster=azure", "inference=none" })
    assert.equal(1, r.code)
    local gates = {}
    for _, gate in ipairs(support.pick(events, "gate")) do
      gates[gate.step] = gate.verdict
    end
    assert.equal("red", gates["preflight-osmo-azure/look"])
    assert.equal("red", gates["preflight-azure-access/look"])
    assert.equal("green", gates["preflight-cluster-azure/look"])
    assert.equal("green", gates["preflight-osmo-cli/look"])
    assert.is_nil(gates["gate-kubernetes/look"])
    assert.is_false(bench:is_up("cluster-azure"))
    assert.truthy(
      seen.stopped:find(
        "stopped at preflight-azure-access/look; lowest layer: config: inputs, keys and quota of "
          .. "azure-access",
        1,
        true
      ),
      seen.stopped
    )
  end)

  it("stops where a deploy fails or its gate is red, and goes on once that is mended", function()
    bench = setup.new()
    bench:flag("osmo-k8s.deploy")
    local argv = { "cluster=microk8s", "inference=none", "--run-id", "run-0badcafe" }
    local events, r, seen = bench:setup(argv)
    assert.equal(1, r.code)
    assert.truthy(seen.stopped:find("stopped at osmo/up; lowest layer: script", 1, true))
    assert.truthy(seen.stopped:find("components/osmo-k8s/deploy.lua", 1, true))
    assert.truthy(seen.stopped:find("guidance of pai show osmo-k8s", 1, true))
    assert.same({}, support.pick(events, "gate", "gate-osmo/look"))
    bench:flag("osmo-k8s.deploy", false)
    bench:flag("osmo-k8s.verify")
    events, r = bench:resume("run-0badcafe")
    assert.equal(1, r.code)
    seen = setup.seen(events)
    assert.truthy(seen.stopped:find("stopped at gate-osmo/look", 1, true), seen.stopped)
    assert.truthy(seen.stopped:find("components/osmo-k8s/verify.lua", 1, true))
    bench:flag("osmo-k8s.verify", false)
    events, r = bench:resume("run-0badcafe")
    assert.equal(0, r.code, r.stdout)
    assert.same({}, support.pick(events, "step.start", "cluster/up"))
    local report = assert(fs.read(bench.state .. "/runs/run-0badcafe/report.html"))
    for _, layer in ipairs({ "Kubernetes", "OSMO", "Workload" }) do
      assert.truthy(report:find(layer, 1, true))
    end
  end)

  it("goes on after it was killed in the middle", function()
    local points = { "step.start:cluster/up", "step.done:cluster/up", "step.start:osmo/up" }
    for i, at in ipairs(points) do
      bench = setup.new()
      local id = "run-0badcaf" .. i
      local argv = { "cluster=microk8s", "inference=nvcf", "--run-id", id }
      local _, r = bench:setup(argv, { env = { PAI_TEST_KILL = at } })
      assert.equal("SIGKILL", r.signal, at)
      _, r = bench:resume(id)
      assert.equal(0, r.code, at .. r.stdout .. r.stderr)
      local starts = support.pick(bench:journal(id), "step.start", "cluster/up")
      assert.truthy(#starts <= 2)
      if i < 3 then
        bench:remove()
      end
    end
  end)

  it("logs in first where there is no browser", function()
    bench = setup.new()
    local events, r = bench:setup({ "cluster=azure", "inference=none", "chat_only=true" })
    assert.equal(0, r.code, r.stdout)
    order(events, "discover", "login/up", "preflight-azure-access/look")
  end)

  it("gives components inputs of their own, and refuses what is not theirs", function()
    bench = setup.new()
    bench:write("c.yaml", "cluster-azure:\n  gpu_priority: Regular\n  location: northeurope\n")
    local argv = { "cluster=azure", "inference=none", "config=c.yaml", "location=westus3" }
    local events, r = bench:setup(argv)
    assert.equal(0, r.code, r.stdout)
    local given = support.pick(events, "step.done", "cluster/up")[1].result.inputs
    assert.same({ "northeurope", "Regular" }, { given.location, given.gpu_priority })
    argv[2] = "inference=nim"
    for size, wanted in pairs({ ["gpu_max: 2"] = { 2, 1 }, ["gpu_vm_size: Other"] = {} }) do
      bench:write("c.yaml", "cluster-azure: { " .. size .. " }\n")
      fs.remove(bench.dir .. "/infra", { recursive = true })
      events, r = bench:setup(argv)
      assert.equal(0, r.code, r.stdout)
      given = support.pick(events, "step.done", "inference-nim/up")[1].result.inputs
      assert.same(wanted, { given.gpu_nodes, given.gpus_per_node })
    end
    bench:write("c.yaml", "osmo-k8s: {}\n")
    r = select(2, bench:setup(argv))
    assert.equal(1, r.code)
    assert.truthy(r.stdout:find("osmo-k8s is none of the components", 1, true), r.stdout)
    bench:write("c.yaml", "cluster-azure: { context: other }\n")
    r = select(2, bench:setup(argv))
    assert.equal(1, r.code)
    assert.truthy(r.stdout:find("is an input of setup itself", 1, true), r.stdout)
    bench:write("c.yaml", "cluster-azure: { nope: 1 }\n")
    r = select(2, bench:setup(argv))
    assert.equal(1, r.code)
    assert.truthy(r.stdout:find("nope", 1, true))
  end)
end)

describe("setup's discovery", function()
  local bench

  before_each(function()
    bench = setup.new()
    bench:write("spec.yaml", SPEC)
  end)

  after_each(function()
    bench:remove()
  end)

  it("deploys what the workflow refers to", function()
    local argv = { "cluster=azure", "inference=nim", "spec=spec.yaml", "nims=cosmos-reason" }
    local events, r, seen = bench:setup(argv)
    assert.equal(0, r.code, r.stdout)
    assert.truthy(seen["endpoint qwen25-14b"]:find("^ok"))
    assert.truthy(seen["NIM cosmos-reason"]:find("^warn it is named"))
    local up = support.pick(events, "step.done", "inference-nim/up")[1].result.inputs
    assert.same({ "qwen25-14b", "cosmos-reason" }, up.nims)
    table.insert(argv, "set=llm=qwen3-vl")
    fs.remove(bench.dir .. "/infra", { recursive = true })
    events = bench:setup(argv)
    up = support.pick(events, "step.done", "inference-nim/up")[1].result.inputs
    assert.same({ "qwen3-vl", "cosmos-reason" }, up.nims)
  end)

  it("gives Foundry the models and the account that the workflow refers to", function()
    bench:write(
      "spec.yaml",
      [[
workflow:
  name: look
  tasks:
  - name: a
    image: ubuntu
    command: ["https://llama-3-1-8b.eastus2.models.ai.azure.com/v1"]
    args: ["https://{{a}}.openai.azure.com"]
default-values:
  a: acc
]]
    )
    local events, r = bench:setup({ "cluster=azure", "inference=foundry", "spec=spec.yaml" })
    assert.equal(0, r.code, r.stdout)
    local up = support.pick(events, "step.done", "inference-foundry/up")[1].result.inputs
    assert.same({ { "llama-3-1-8b" }, "acc" }, { up.models, up.account })
  end)

  it("looks at a cluster of one's own, and deploys none", function()
    bench:write("spec.yaml", (SPEC:gsub("azure://account", "s3://bucket")))
    local argv = { "cluster=onprem", "inference=nim", "spec=spec.yaml", "context=lab" }
    local events, r = bench:setup(argv)
    assert.equal(0, r.code, r.stdout)
    assert.is_false(bench:is_up("cluster-onprem"))
    assert.is_true(bench:is_up("osmo-k8s"))
    assert.truthy(#support.pick(events, "gate", "gate-kubernetes/look") == 1)
    bench:flag("cluster-onprem.verify")
    local seen = select(3, bench:setup(argv))
    local where = "stopped at gate-kubernetes/look; lowest layer: config"
    assert.truthy(seen.stopped:find(where, 1, true), seen.stopped)
  end)

  local function stopped(argv, name, text)
    table.insert(argv, "spec=spec.yaml")
    local events, r, seen = bench:setup(argv)
    assert.equal(1, r.code, r.stdout)
    assert.truthy(seen[name] and seen[name]:find("^red"), name .. r.stdout)
    local said = ("%s %s"):format(seen[name], seen["expected " .. name])
    assert.truthy(said:find(text, 1, true), said)
    assert.same({}, support.pick(events, "gate", "preflight-osmo-cli/look"))
    assert.truthy(seen.stopped:find("stopped at endpoints; lowest layer: config", 1, true))
  end

  it("stops at a mismatch and names both sides", function()
    stopped(
      { "cluster=azure", "inference=nvcf" },
      "endpoint qwen25-14b",
      "inference=nvcf was chosen; the workflow wants inference=nim"
    )
    stopped({ "cluster=azure", "inference=none" }, "endpoint qwen25-14b", "inference=none")
  end)

  it("stops at a host that is put together later, and at storage of another cluster", function()
    stopped(
      { "cluster=azure", "inference=nim", "set_string=llm=$NAME" },
      "endpoint at workflow.tasks[0].command[1]",
      "put together later"
    )
    stopped({ "cluster=microk8s", "inference=nim" }, "storage azure://", "s3://")
  end)

  it("takes a spec that can't be rendered for red, not for one without endpoints", function()
    bench:write("spec.yaml", (SPEC:gsub("{{llm}}", "{{llm | nofilter}}")))
    local events, r = bench:setup({ "cluster=azure", "inference=nim", "spec=spec.yaml" })
    assert.equal(1, r.code)
    local failed = support.pick(events, "step.fail", "discover")[1]
    assert.truthy(failed.error.message:find("nofilter", 1, true), failed.error.message)
    assert.same({}, support.pick(events, "gate", "preflight-osmo-cli/look"))
  end)

  it("is asked again at the end: a spec that changed meanwhile is red", function()
    bench:flag("osmo-azure.verify")
    local argv = { "cluster=azure", "inference=nim", "spec=spec.yaml", "--run-id", "run-0badcafe" }
    local _, r = bench:setup(argv)
    assert.equal(1, r.code)
    bench:write("spec.yaml", SPEC .. "\n")
    bench:flag("osmo-azure.verify", false)
    local events
    events, r = bench:resume("run-0badcafe")
    assert.equal(1, r.code, r.stdout)
    assert.truthy(setup.seen(events).spec:find("^red it has changed"), r.stdout)
  end)
end)

-- Upstream's three evals, as what they ask for can be seen from outside.
describe("setup by upstream's evals", function()
  local bench

  before_each(function()
    bench = setup.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function route(request)
    local events, r = bench:run({ "route", "request=" .. request })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    return support.pick(events, "run.end")[1].returns
  end

  it("loads exactly the five components of AKS with NIM, and plans without an act", function()
    local said = route(
      "Set up resilient infrastructure for video data augmentation on AKS with OSMO "
        .. "and NIM Operator"
    )
    assert.is_true(said.mine)
    assert.equal("pai plan setup cluster=azure inference=nim workload=vda", said.command)
    local r = assert(exec.run({
      "strace",
      "-f",
      "-qq",
      "-e",
      "trace=openat",
      pai.exe,
      "plan",
      "setup",
      "cluster=azure",
      "inference=nim",
      "workload=vda",
      "kubeconfig=" .. bench.dir .. "/none",
      "--json",
    }, {
      cwd = bench.dir,
      env = { PAI_STATE = bench.state, ASAN_OPTIONS = "detect_leaks=0" },
      timeout = "120s",
    }))
    local opened = {}
    for name in r.stderr:gmatch("components/([%w-]+)/%w+%.lua") do
      opened[name] = true
    end
    local names = {}
    for name in pairs(opened) do
      names[#names + 1] = name
    end
    table.sort(names)
    assert.same({
      "azure-access",
      "cluster-azure",
      "inference-nim-operator",
      "osmo-azure",
      "osmo-cli",
    }, names)
    local order = {}
    for _, step in ipairs(require("pai.json").decode(r.stdout).steps) do
      order[#order + 1] = step.step:match("^preflight%-([%w-]+)/")
    end
    assert.same({
      "azure-access",
      "cluster-azure",
      "osmo-azure",
      "inference-nim-operator",
      "osmo-cli",
    }, order)
    assert.is_false(fs.exists(bench.dir .. "/infra"))
  end)

  it("is not asked by a question about logs", function()
    for request, command in pairs({
      ["Summarise the logs of workflow abc123 and say which task failed"] = "pai osmo logs abc123",
      ["summarize recent logs for a workflow id"] = "pai osmo logs WORKFLOW",
      ["What is the weather in Oslo?"] = "pai list",
    }) do
      local said = route(request)
      assert.is_false(said.mine, request)
      assert.truthy(said.why:find("^not mine"))
      assert.equal(command, said.command)
    end
    local said = route("deploy a Kubernetes cluster")
    assert.same({ "cluster", "inference" }, said.missing)
    assert.same({ "cluster" }, route("set up AKS or MicroK8s with NVCF inference").missing)
  end)

  it("is blocked without a login, with one blocker for each fact that is missing", function()
    bench:write(
      "components/azure-access/preflight.lua",
      [[return { safety = "observes", needs = { bins = { "az" } },
      steps = { { name = "look", checks = function(ctx)
        local r = ctx.query({ "az", "account", "show", "--output=json" }, { accept = "any" })
        local state = r.code == 0 and "ok" or "red"
        return { { name = "login", state = state, hint = "az login" },
          { name = "subscription", state = state }, { name = "quota", state = "unknown" } }
      end } } }]]
    )
    local stand_in = dofile("tests/spec/components/stand_in.lua")
    local talk = stand_in.new(bench.root .. "/tools", { "az", "terraform" })
    talk:tell({
      argv = { "az", "account", "show", "--output=json" },
      stderr = "ERROR: Please run 'az login' to setup account.\n",
      code = 1,
      cite = "az account show without a login",
    })
    local events, r, seen = bench:setup({ "cluster=azure", "inference=nim" }, {
      env = { PATH = talk.path },
    })
    assert.equal(1, r.code)
    assert.truthy(seen.login:find("^red") and seen.subscription:find("^red"))
    assert.truthy(seen.quota:find("^unknown"))
    assert.same({}, talk:calls("terraform"))
    assert.same({}, support.pick(events, "step.start", "cluster/up"))
    assert.is_false(bench:is_up("cluster-azure"))
    talk:check()
  end)
end)

describe("setup and the real components", function()
  it("plans every choice of targets, and reports what a bare machine lacks", function()
    local bench = setup.new({ real = true })
    local empty = bench.root .. "/empty"
    assert(fs.mkdir(empty))
    for _, cluster in ipairs({ "microk8s", "azure", "onprem" }) do
      for _, inference in ipairs({ "nim", "nvcf", "foundry", "none" }) do
        local r = bench:pai({
          "plan",
          "setup",
          "cluster=" .. cluster,
          "inference=" .. inference,
          "nims=qwen25-14b",
          "kubeconfig=" .. bench.dir .. "/none",
          "ip_service=http://127.0.0.1:1/ip",
          "--json",
        }, {
          env = {
            PATH = empty,
            HOME = bench.root,
            KUBECONFIG = false,
            PHYSICAL_AI_PREFLIGHT_SKIP_NETWORK = "1",
          },
        })
        local what = cluster .. " " .. inference .. r.stdout .. r.stderr
        local plan = assert(require("pai.json").decode(r.stdout), what)
        assert.equal(1, r.code, what)
        local red = 0
        for _, step in ipairs(plan.steps) do
          local preflight = step.step:find("^preflight%-")
          red = red + (step.state == "red" and 1 or 0)
          -- Inputs that a component does not have would be an error of looking.
          local fault = step.failed and preflight
          -- Of a cluster that is yet to be made, no gate is red.
          assert.is_false(
            step.state == "red"
              and step.step:find("^gate%-kubernetes") ~= nil
              and cluster ~= "onprem",
            what
          )
          assert.is_nil(fault or nil, ("%s: %s"):format(step.step, step.why))
        end
        assert.truthy(red >= 1, what)
        if cluster ~= "azure" and inference == "foundry" then
          assert.equal(1, #plan.steps)
        end
      end
    end
    bench:remove()
  end)

  it("covers what each of them needs, and gives them inputs that they have", function()
    local loader_of = require("pai.recipe.loader")
    local graph = require("pai.recipe.graph")
    local root = assert(loader_of.new({ cwd = pai.root }):load(pai.root .. "/recipes/setup.lua"))
    local text = fs.read(pai.root .. "/recipes/setup/pass.lua")
    local seen = 0
    for name in pairs(setup.COMPONENTS) do
      for _, action in ipairs({ "preflight", "deploy", "verify" }) do
        local path = ("%s/components/%s/%s.lua"):format(pai.root, name, action)
        -- A cluster of one's own is looked at and not made.
        local used = name ~= "cluster-onprem" or action == "verify"
        if used and fs.exists(path) then
          seen = seen + 1
          local loaded = assert(loader_of.new({ cwd = pai.root }):load(path))
          assert.same({}, graph.uncovered(root.doc, loaded.doc), path)
          for _, command in ipairs(loaded.doc.needs and loaded.doc.needs.reads or {}) do
            local covered = false
            for _, known in ipairs(root.doc.needs.reads) do
              covered = covered or known == command
            end
            assert.is_true(covered, ("%s: needs.reads: %s"):format(path, tostring(command)))
          end
          local own = text:match('%["' .. name .. '"%] = (%b{})')
          for input in (own or ""):gmatch('"([%w_]+)"') do
            assert.truthy(loaded.doc.inputs[input], ("%s has no input %s"):format(path, input))
          end
        end
      end
    end
    assert.truthy(seen >= 9, "components that are there: " .. seen)
  end)
end)

describe("the workload's own preflight", function()
  local outside = dofile("tests/spec/components/outside.lua")
  local crypto = require("pai.crypto")
  local task = require("pai.task")

  local TRAIN <const> = [[
workflow:
  name: train
  resources:
    default: {cpu: 1, gpu: 4, memory: 1Gi}
  tasks:
  - {name: a, image: "nvcr.io/nvidia/pytorch:25.01", command: ["true"]}
  - {name: b, image: "nvcr.io/nvidia/pytorch:25.01", command: ["true"]}
  - {name: c, image: "my.registry.example/x:1", command: ["true"]}
]]

  local function looks(title, fn)
    it(title, function()
      task.run(function()
        local bench = setup.new()
        local key = "ngc" .. crypto.hex(12)
        local out = outside.start(key)
        local ok, problem = pcall(fn, bench, out, function(text, argv)
          local spec = "spec=" .. bench:write("workflow.yaml", text)
          local command = { "cluster=microk8s", "inference=none", spec }
          table.move(argv or {}, 1, #(argv or {}), #command + 1, command)
          local env = { NGC_API_KEY = key, PHYSICAL_AI_PREFLIGHT_SKIP_NETWORK = "0" }
          return bench:setup(command, { env = env })
        end)
        out:close()
        bench:remove()
        assert(ok, problem)
      end)
    end)
  end

  local NGC <const> = "image nvcr.io/nvidia/pytorch:25.01"

  looks("is red for a spec that OSMO would refuse, before anything is made", function(bench, _, run)
    local text = TRAIN:gsub("name: a, image", "name: a, imag")
    local events, r, seen = run(text)
    assert.equal(1, r.code, r.stdout .. r.stderr)
    assert.truthy(seen.workflow:find("^red .*unknown key 'imag'"), seen.workflow)
    assert.is_false(bench:is_up("cluster-microk8s"))
    assert.truthy(seen.stopped:find("stopped at preflight-workload", 1, true), seen.stopped)
    assert.same({}, support.pick(events, "step.start", "cluster/up"))
  end)

  looks("compares the largest task with a node, and asks for its images", function(bench, out, run)
    local mirror = "registry=" .. out.url
    local _, r, seen = run(TRAIN, { mirror, "gpus_per_node=2" })
    assert.equal(1, r.code)
    assert.equal("red a asks for 4", seen["GPUs of a task"])
    assert.equal("at most 2 on a node", seen["expected GPUs of a task"])
    assert.equal("ok HTTP 200", seen[NGC])
    assert.equal("ok HTTP 200", seen["image my.registry.example/x:1"])
    _, r, seen = run(TRAIN, { mirror, "gpu=false" })
    assert.equal(1, r.code)
    assert.equal("red a asks for 4", seen["GPUs of a task"])
    out.images["nvidia/pytorch:25.01"] = 403
    _, r, seen = run(TRAIN, { mirror, "gpus_per_node=4" })
    assert.equal(1, r.code)
    assert.equal("ok a asks for 4", seen["GPUs of a task"])
    assert.equal("red HTTP 403", seen[NGC])
    assert.is_false(bench:is_up("cluster-microk8s"))
    out.images = {}
    _, r, seen = run(TRAIN, { mirror })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.equal("ok a asks for 4", seen["GPUs of a task"])
    assert.equal("ok train", seen.workflow)
  end)

  looks("asks no private registry, and nobody when it is told so", function(_, out, run)
    local text = TRAIN:gsub("nvcr.io/nvidia/pytorch:25.01", "my.registry.example/y:1")
    local _, r, seen = run(text)
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.truthy(seen["image my.registry.example/x:1"]:find("^skipped my.registry.example has"))
    _, r, seen = run(TRAIN, { "registry=" .. out.url, "skip_network=true" })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.equal("skipped skip_network=true", seen.images)
    assert.same({}, out.asked)
  end)
end)
