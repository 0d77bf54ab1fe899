-- Recipes as tools, as an agent sees them: schemas, plans, runs, questions, and what is refused.
local bench_support = dofile("tests/spec/run/support.lua")
local support = dofile("tests/spec/mcp/support.lua")
local fs = require("pai.fs")
local json = require("pai.json")

local eventually = support.eventually

local RECIPES <const> = {
  greet = [[
  safety = "changes",
  tags = { "workload" },
  inputs = {
    name = { type = "string", doc = "Who." },
    times = { type = "integer", default = 1, min = 1, max = 9, doc = "How often." },
    tone = { type = "enum", values = { "kind", "rude" }, default = "kind" },
    words = { type = "list", of = "string", optional = true },
    out = { type = "path", default = "greeting.txt" },
  },
  needs = { writes = { "@out" } },
  steps = {
    { name = "write",
      done = function(ctx, inp)
        if ctx.fs.exists(inp.out) and ctx.read(inp.out) == inp.name then return { n = 1 } end
      end,
      run = function(ctx, inp)
        ctx.log("writing for " .. inp.name)
        ctx.write(inp.out, inp.name)
        ctx.media(inp.out)
        return { n = inp.times }
      end },
  },
  returns = { n = { type = "integer", from = "write.n", doc = "How many." } },]],
  look = [[
  safety = "observes",
  needs = { writes = {} },
  steps = {
    { name = "see", run = function(ctx) return { said = ctx.read("seen.txt") } end },
  },
  returns = { said = { type = "string", from = "see.said" } },]],
  gate = [[
  safety = "observes",
  steps = {
    { name = "check", checks = function() return { { name = "the sky", state = "red",
      measured = "green", expected = "blue", hint = "wait for another day" } } end },
  },]],
  wipe = [[
  safety = "destroys",
  needs = { writes = { "wiped" } },
  steps = {
    { name = "remove", run = function(ctx) ctx.write("wiped", "yes") return {} end },
  },]],
  login = [[
  safety = "observes",
  inputs = {
    token = { type = "secret", env = "SPEC_TOKEN", doc = "For the spec." },
    user = { type = "string" },
  },
  steps = { { name = "one", run = function() return {} end } },]],
  slow = [[
  safety = "changes",
  needs = { writes = { "began", "ended" } },
  steps = {
    { name = "first", run = function(ctx) ctx.write("began", "yes") return {} end },
    { name = "second", after = { "first" }, run = function(ctx)
        ctx.wait(function() return ctx.fs.exists("go") or nil end, { every = "20ms" })
        ctx.write("ended", "yes")
        return {}
      end },
  },]],
  broken = "this is no Lua",
}

local function tool_of(list, name)
  for _, tool in ipairs(list) do
    if tool.name == name then
      return tool
    end
  end
end

describe("recipes over MCP", function()
  local bench, clients

  before_each(function()
    bench = bench_support.new()
    for name, body in pairs(RECIPES) do
      bench:recipe("recipes/" .. name, body)
      local path = bench.dir .. "/recipes/" .. name .. ".lua"
      local text = assert(fs.read(path)):gsub('name = "recipes/', 'name = "')
      assert(fs.write(path, text))
    end
    clients = {}
  end)

  after_each(function()
    for _, client in ipairs(clients) do
      client.proc:stop()
    end
    bench:remove()
  end)

  local function connect(args, caps, env)
    local argv = { pai.exe, "mcp", "--state", bench.state }
    table.move(args or {}, 1, #(args or {}), #argv + 1, argv)
    local client = support.client(argv, { cwd = bench.dir, env = env })
    clients[#clients + 1] = client
    if caps ~= "modern" then
      client:initialize(nil, caps)
    end
    return client
  end

  -- The events of the run that a result names.
  local function journal(result)
    return bench:journal(result.structuredContent.run)
  end

  it("are listed with schemas, annotations, and a plan beside what changes", function()
    local tools = connect():ok("tools/list").tools
    local run, plan = tool_of(tools, "greet_run"), tool_of(tools, "greet_plan")
    assert.are.equal("T", run.title)
    assert.are.equal("S.\n", run.description .. "\n")
    local p = run.inputSchema.properties
    assert.are.equal("string", p.name.type)
    assert.is_truthy(p.name.description:find("^Who%. Needed"))
    assert.are.same(
      { type = "integer", minimum = 1, maximum = 9, default = 1, description = "How often." },
      p.times
    )
    assert.are.same({ "kind", "rude" }, p.tone.enum)
    assert.are.equal("string", p.words.items.type)
    assert.are.equal("boolean", p.pai_detach.type)
    assert.is_false(run.inputSchema.additionalProperties)
    assert.is_nil(run.inputSchema.required)
    assert.are.equal("integer", run.outputSchema.properties.returns.properties.n.type)
    assert.is_false(run.annotations.readOnlyHint)
    assert.is_false(run.annotations.destructiveHint)
    assert.is_true(run.annotations.idempotentHint)
    assert.is_false(run.annotations.openWorldHint)
    assert.is_true(plan.annotations.readOnlyHint)
    assert.is_nil(plan.inputSchema.properties.pai_detach)
    assert.is_true(tool_of(tools, "look_run").annotations.readOnlyHint)
    assert.is_nil(tool_of(tools, "look_plan"))
    assert.is_true(tool_of(tools, "wipe_run").annotations.destructiveHint)
    local login = tool_of(tools, "login_run")
    assert.is_nil(login.inputSchema.properties.token)
    assert.is_truthy(login.description:find("SPEC_TOKEN", 1, true))
    assert.is_nil(tool_of(tools, "broken_run"))
    assert.is_truthy(tool_of(tools, "hello_run"))
  end)

  it("run, with progress, evidence and what they return", function()
    local client = connect()
    client:ok("logging/setLevel", { level = "info" })
    local result = client:tool("greet_run", { name = "Ada" }, { progressToken = 1 })
    assert.is_nil(result.isError)
    local data = result.structuredContent
    assert.are.equal("green", data.status)
    assert.are.same({ n = 1 }, data.returns)
    assert.are.same({ bench.dir .. "/greeting.txt" }, data.media)
    assert.are.equal("Ada", fs.read(bench.dir .. "/greeting.txt"))
    assert.is_truthy(support.text(result):find("MEDIA:" .. bench.dir .. "/greeting.txt", 1, true))
    local last, logged = -1, false
    for _, note in ipairs(client.notes) do
      if note.method == "notifications/progress" then
        assert.is_true(note.params.progress > last)
        last = note.params.progress
      else
        logged = logged or note.params.data == "write: writing for Ada"
      end
    end
    assert.are.equal(1, last)
    assert.is_true(logged)
    assert.are.equal("greet", journal(result)[1].recipe)
  end)

  it("say in a failed run what was red, and how to go on", function()
    local result = connect():tool("gate_run")
    assert.is_true(result.isError)
    assert.are.equal("red", result.structuredContent.status)
    assert.are.equal("the sky", result.structuredContent.checks[1].name)
    local said = support.text(result)
    assert.is_truthy(said:find("wait for another day", 1, true))
    assert.is_truthy(said:find("pai_runs_resume", 1, true))
  end)

  it("say in the words of a plan and of a run shown what is red, too", function()
    local client = connect()
    bench:write(
      "recipes/sky.lua",
      [[return { api = 1, name = "sky", title = "T", summary = "S.", safety = "changes",
        steps = { { name = "look", checks = function()
          return { { name = "blue", state = "red", measured = "grey", hint = "wait" },
            { name = "there", state = "ok" } } end } } }
      ]]
    )
    local line = "red blue; measured: grey; hint: wait"
    local said = support.text(client:tool("sky_plan"))
    assert.is_truthy(said:find("look: red\n  " .. line .. "\n", 1, true), said)
    assert.is_nil(said:find("there", 1, true))
    client:tool("sky_run")
    said = support.text(client:tool("pai_runs_show", { run = "last" }))
    assert.is_truthy(said:find("red look\n  " .. line, 1, true), said)
  end)

  it("give no client a value that is not what they declare", function()
    bench:write(
      "recipes/odd.lua",
      [[return { api = 1, name = "odd", title = "T", summary = "S.", safety = "observes",
        steps = { { name = "s", run = function()
          return { n = "seven", list = {}, mixed = { 1, "a" }, ms = 5, word = "so" } end } },
        returns = {
          n = { type = "integer", from = "s.n" },
          list = { type = "list", from = "s.list" },
          mixed = { type = "list", of = "string", from = "s.mixed" },
          ms = { type = "duration", from = "s.ms" },
          word = { type = "string", from = "s.word" },
        } }
      ]]
    )
    local client = connect()
    client:raw(json.encode({
      jsonrpc = "2.0",
      id = "odd",
      method = "tools/call",
      params = { name = "odd_run" },
    }))
    local result = client:wait("odd").result
    local returns = result.structuredContent.returns
    assert.are.same({ list = {}, ms = 5, word = "so" }, returns)
    assert.is_true(json.is_array(returns.list))
    local said = support.text(result)
    assert.is_truthy(said:find('n is "seven" here, and declared as integer', 1, true), said)
    assert.is_truthy(said:find("mixed is", 1, true))
  end)

  it("are planned without a change", function()
    local client = connect()
    local before = bench_support.picture(bench.dir)
    local result = client:tool("greet_plan", { name = "Ada" })
    assert.are.equal("would run", result.structuredContent.steps[1].state)
    assert.are.equal(before, bench_support.picture(bench.dir))
    local digest = result.structuredContent.digest
    result = client:tool("greet_run", { name = "Eve", pai_plan = digest })
    assert.is_true(result.isError)
    assert.is_false(fs.exists(bench.dir .. "/greeting.txt"))
    assert.is_nil(client:tool("greet_run", { name = "Ada", pai_plan = digest }).isError)
  end)

  it("refuse arguments that can't be right, and lose nothing", function()
    local client = connect()
    for _, args in ipairs({
      { name = "Ada", nmae = "x" },
      { name = 7 },
      { name = "Ada", times = 99 },
      { name = "Ada", tone = "loud" },
      { name = "Ada", words = { a = 1 } },
      { name = "Ada", pai_detach = "yes" },
      { name = "Ada", pai_plan = 7 },
      { name = "Ada", pai_plan = "none" },
    }) do
      local result = client:tool("greet_run", args)
      assert.is_true(result.isError, json.encode(args))
    end
    assert.is_false(fs.exists(bench.dir .. "/greeting.txt"))
    local said = support.text(client:tool("greet_run", { name = "Ada", nmae = "x" }))
    assert.is_truthy(said:find("'nmae'", 1, true), said)
    assert.is_true(client:tool("broken_run").isError)
  end)

  describe("with something missing", function()
    local function asking(client, content, action)
      client.on_request = function(m)
        assert.are.equal("elicitation/create", m.method)
        return { action = action or "accept", content = content }
      end
    end

    it("ask for exactly that, and run with the answer", function()
      local client = connect()
      asking(client, { name = "Ada" })
      local result = client:tool("greet_run", { times = 2 })
      assert.are.equal("green", result.structuredContent.status)
      local form = client.asked[1].params.requestedSchema
      assert.are.same({ "name" }, form.required)
      assert.are.equal("string", form.properties.name.type)
      assert.is_nil(form.properties.times)
      assert.are.equal("Ada", fs.read(bench.dir .. "/greeting.txt"))
      asking(client, { name = "Eve" })
      assert.is_nil(client:tool("greet_plan").isError)
    end)

    it("change nothing when the user declines, or does not say", function()
      local client = connect()
      for _, answer in ipairs({ { {}, "decline" }, { {}, "cancel" }, { {}, "accept" } }) do
        asking(client, answer[1], answer[2])
        local result = client:tool("greet_run")
        assert.is_true(result.isError)
        assert.are.equal("input_required", result.structuredContent.status)
        assert.is_truthy(support.text(result):find("USER_INPUT_REQUIRED: name", 1, true))
      end
      assert.is_false(fs.exists(bench.dir .. "/greeting.txt"))
    end)

    it("name it to a client that can't ask", function()
      local result = connect(nil, {}):tool("greet_run")
      assert.is_truthy(support.text(result):find("USER_INPUT_REQUIRED: name (string)", 1, true))
      assert.are.equal("name", result.structuredContent.missing[1].name)
    end)

    it("ask by a result in the stateless revision", function()
      local client = connect(nil, "modern")
      local meta = support.meta({ elicitation = {} })
      local params = { name = "greet_run", arguments = {}, _meta = meta }
      local first = client:ok("tools/call", params)
      assert.are.equal("input_required", first.resultType)
      local key = next(first.inputRequests)
      params.inputResponses = { [key] = { action = "accept", content = { name = "Ada" } } }
      params.requestState = first.requestState
      local second = client:ok("tools/call", params)
      assert.are.equal("complete", second.resultType)
      assert.are.equal("green", second.structuredContent.status)
      -- The state is bound to its arguments.
      params.arguments = { out = "other.txt" }
      assert.are.equal(-32602, client:call("tools/call", params).error.code)
    end)

    it("never ask for a secret, but name its variable", function()
      local client = connect()
      local result = client:tool("login_run", { user = "ada" })
      assert.is_true(result.isError)
      local said = support.text(result)
      assert.is_truthy(said:find("SPEC_TOKEN", 1, true))
      assert.is_truthy(said:find("pai secret set SPEC_TOKEN", 1, true))
      assert.is_truthy(said:find(".env", 1, true))
      assert.are.same({}, client.asked)
    end)

    it("never take a secret, nor repeat it", function()
      local value = "given-" .. require("pai.crypto").hex(8)
      local result = connect():tool("login_run", { user = "ada", token = value })
      assert.is_true(result.isError)
      assert.is_nil(json.encode(result):find(value, 1, true))
      assert.is_truthy(support.text(result):find("SPEC_TOKEN", 1, true))
    end)

    it("take a secret from the environment, and from .env", function()
      local value = require("pai.crypto").hex(12)
      local client = connect(nil, nil, { SPEC_TOKEN = value })
      assert.is_nil(client:tool("login_run", { user = "ada" }).isError)
      assert(require("pai.exec").run({ "git", "init", "-q", bench.dir }))
      bench:write(".gitignore", ".env\n")
      assert(fs.write(bench.dir .. "/.env", "SPEC_TOKEN=" .. value .. "\n", { mode = "0600" }))
      assert.is_nil(connect():tool("login_run", { user = "ada" }).isError)
    end)
  end)

  it("mask a secret in every result, whatever said it", function()
    local canary = "canary" .. require("pai.crypto").hex(12)
    bench:write("seen.txt", "it is " .. canary .. " indeed")
    local client = connect(nil, nil, { SPEC_TOKEN = canary })
    client:ok("tools/list")
    local encoded = require("pai.crypto").base64_encode(canary)
    for _, reply in ipairs({
      client:call("tools/call", { name = "look_run" }),
      client:call("tools/call", { name = "pai_runs_show", arguments = { run = "last" } }),
      client:call("tools/call", { name = canary }),
      client:call("tools/call", { name = "greet_plan", arguments = { name = canary } }),
      client:call("tools/call", { name = "greet_plan", arguments = { [canary] = 1 } }),
      client:call("resources/read", { uri = "pai://" .. canary }),
      client:call("prompts/get", { name = "greet", arguments = { name = encoded } }),
      client:call(canary),
    }) do
      local text = json.encode(reply)
      assert.is_nil(text:find(canary, 1, true), text)
      assert.is_nil(text:find(encoded, 1, true), text)
    end
    local r = client:finish()
    assert.is_nil((r.stderr .. (client.stderr or "")):find(canary, 1, true))
  end)

  describe("that destroy", function()
    it("run only after the user has confirmed it", function()
      local client = connect()
      local answer = { action = "accept", content = { confirm = false } }
      client.on_request = function(m)
        assert.is_truthy(m.params.message:find("remove", 1, true))
        return answer
      end
      assert.is_true(client:tool("wipe_run").isError)
      answer = { action = "decline" }
      assert.is_true(client:tool("wipe_run").isError)
      assert.is_false(fs.exists(bench.dir .. "/wiped"))
      answer = { action = "accept", content = { confirm = true } }
      local result = client:tool("wipe_run")
      assert.are.equal("green", result.structuredContent.status, support.text(result))
      assert.is_true(fs.exists(bench.dir .. "/wiped"))
    end)

    it("or with the token of their plan", function()
      local client = connect(nil, {})
      local refused = client:tool("wipe_run")
      assert.is_true(refused.isError)
      local plan = client:tool("wipe_plan")
      assert.is_truthy(support.text(refused):find(plan.structuredContent.digest, 1, true))
      assert.is_false(fs.exists(bench.dir .. "/wiped"))
      local result = client:tool("wipe_run", { pai_plan = plan.structuredContent.digest })
      assert.are.equal("green", result.structuredContent.status)
    end)
  end)

  describe("that take long", function()
    it("go on by themselves when they are detached, also without the server", function()
      local client = connect()
      local result = client:tool("slow_run", { pai_detach = true })
      local id = result.structuredContent.run
      assert.are.equal("detached", result.structuredContent.status)
      local seen = client:tool("pai_runs_watch", { run = id, seconds = 0.2 })
      assert.are.equal("running", seen.structuredContent.status)
      assert.are.equal(0, client:finish().code)
      bench:write("go", "")
      local other = connect()
      local ended = other:tool("pai_runs_watch", { run = id })
      assert.are.equal("green", ended.structuredContent.status)
      assert.is_true(fs.exists(bench.dir .. "/ended"))
      assert.are.same({}, fs.list(bench.state .. "/mcp"))
    end)

    it("say so when they cannot even begin", function()
      local result = connect(nil, {}):tool("greet_run", { pai_detach = true })
      assert.is_truthy(support.text(result):find("USER_INPUT_REQUIRED: name", 1, true))
      result = connect(nil, {}):tool("greet_run", { pai_detach = true, nmae = "x" })
      assert.is_truthy(support.text(result):find("'nmae'", 1, true))
    end)

    it("end with their server, and can be resumed", function()
      local client = connect()
      client:ask("tools/call", { name = "slow_run" })
      eventually(function()
        return fs.exists(bench.dir .. "/began")
      end, "the run's first step")
      assert.are.equal(0, client:finish().code)
      local id = fs.list(bench.state .. "/runs")[1]
      local lease = require("pai.run.lease")
      eventually(function()
        return not lease.is_held(bench.state .. "/runs/" .. id .. "/lease")
      end, "the end of the run")
      bench:write("go", "")
      local result = connect():tool("pai_runs_resume", { run = id })
      assert.are.equal("green", result.structuredContent.status)
      assert.is_true(fs.exists(bench.dir .. "/ended"))
    end)

    it("end with a server that is killed, too", function()
      local client = connect()
      client:ask("tools/call", { name = "slow_run" })
      eventually(function()
        return fs.exists(bench.dir .. "/began")
      end, "the run's first step")
      local id = fs.list(bench.state .. "/runs")[1]
      client.proc:kill("KILL")
      local lease = require("pai.run.lease")
      eventually(function()
        return not lease.is_held(bench.state .. "/runs/" .. id .. "/lease")
      end, "the end of the run")
      assert.is_false(fs.exists(bench.dir .. "/ended"))
    end)

    it("are interrupted when their call is cancelled", function()
      local client = connect()
      local id = client:ask("tools/call", { name = "slow_run" })
      eventually(function()
        return fs.exists(bench.dir .. "/began")
      end, "the run's first step")
      client:send({ method = "notifications/cancelled", params = { requestId = id } })
      local run = fs.list(bench.state .. "/runs")[1]
      eventually(function()
        local shown = client:tool("pai_runs_show", { run = run }).structuredContent
        return shown.status == "interrupted"
      end, "the interruption")
      assert.is_nil(client.replies[id])
    end)

    it("can be cancelled and resumed as runs", function()
      local client = connect()
      local id = client:tool("slow_run", { pai_detach = true }).structuredContent.run
      -- What goes on is to be watched, not resumed.
      local watched = client:tool("pai_runs_watch", { run = id, seconds = 0 })
      assert.are.equal("running", watched.structuredContent.status)
      assert.is_nil(support.text(watched):find("pai_runs_resume", 1, true))
      local cancelled = client:tool("pai_runs_cancel", { run = id })
      assert.are.equal("interrupted", cancelled.structuredContent.status)
      bench:write("go", "")
      local resumed = client:tool("pai_runs_resume", { run = id, detach = true })
      assert.are.equal(id, resumed.structuredContent.run)
      local ended = client:tool("pai_runs_watch", { run = id })
      assert.are.equal("green", ended.structuredContent.status)
      local again = client:tool("pai_runs_cancel", { run = id })
      assert.is_truthy(support.text(again):find("nothing to cancel", 1, true))
    end)
  end)

  describe("leave runs behind:", function()
    it("listed, shown, logged", function()
      local client = connect()
      assert.are.equal("no runs", support.text(client:tool("pai_runs_show")))
      local id = client:tool("greet_run", { name = "Ada" }).structuredContent.run
      local list = client:tool("pai_runs_show").structuredContent.runs
      assert.are.equal(id, list[1].run)
      assert.are.equal("green", client:tool("pai_runs_show", { run = id }).structuredContent.status)
      local logs = support.text(client:tool("pai_runs_logs", { run = "last" }))
      assert.is_truthy(logs:find("writing for Ada", 1, true))
      assert.is_true(client:tool("pai_runs_show", { run = "run-none" }).isError)
      assert.is_true(client:tool("pai_runs_show", { run = "../../etc" }).isError)
      assert.is_true(client:tool("pai_runs_logs", { run = id, lines = 0 }).isError)
      assert.is_true(client:tool("pai_runs_watch", { run = id, seconds = -1 }).isError)
      assert.is_true(client:tool("pai_runs_watch", {}).isError)
    end)

    it("as resources: journal, evidence", function()
      local client = connect()
      local result = client:tool("greet_run", { name = "Ada" })
      local id = result.structuredContent.run
      local base = "pai://runs/" .. id
      local read = client:ok("resources/read", { uri = base .. "/journal" }).contents[1]
      assert.are.equal(#journal(result), select(2, read.text:gsub("\n", "")))
      read = client:ok("resources/read", { uri = base .. "/media/1" }).contents[1]
      assert.are.equal("text/plain", read.mimeType)
      assert.are.equal("Ada", (require("pai.crypto").base64_decode(read.blob)))
      assert.are.equal(base .. "/media/1", result.content[2].uri)
      for _, bad in ipairs({
        base .. "/media/2",
        base .. "/media/0",
        base .. "/media/x",
        base .. "/report",
        "pai://runs/run-none/journal",
        "pai://runs/..%2F..%2Fetc/journal",
        "file://" .. bench.dir .. "/greeting.txt",
      }) do
        assert.are.equal(-32002, client:call("resources/read", { uri = bad }).error.code)
      end
    end)

    it("whose journal can be subscribed to", function()
      local client = connect()
      local id = client:tool("slow_run", { pai_detach = true }).structuredContent.run
      client:tool("pai_runs_cancel", { run = id })
      local uri = ("pai://runs/%s/journal"):format(id)
      client:ok("resources/subscribe", { uri = uri })
      bench:write("go", "")
      client:tool("pai_runs_resume", { run = id })
      local told = 0
      for _, note in ipairs(client.notes) do
        if note.method == "notifications/resources/updated" then
          assert.are.equal(uri, note.params.uri)
          told = told + 1
        end
      end
      assert.is_true(told > 0)
    end)
  end)

  it("have a page each, and a prompt when they are workloads", function()
    local client = connect()
    local page = client:ok("resources/read", { uri = "pai://recipes/greet" }).contents[1].text
    assert.is_truthy(page:find("`tone` (enum; kind | rude; default kind)", 1, true))
    local names = {}
    for _, prompt in ipairs(client:ok("prompts/list").prompts) do
      names[prompt.name] = true
    end
    assert.is_true(names.greet and names.vda)
    assert.is_nil(names.look)
    local got = client:ok("prompts/get", { name = "greet", arguments = { tone = "rude" } })
    local text = got.messages[1].content.text
    assert.is_truthy(text:find("greet_plan", 1, true) and text:find("- tone = rude", 1, true))
    local completion = client:ok("completion/complete", {
      ref = { type = "ref/prompt", name = "greet" },
      argument = { name = "tone", value = "k" },
    }).completion
    assert.are.same({ "kind" }, completion.values)
  end)

  describe("of components", function()
    before_each(function()
      local dir = "components/box/"
      bench:write(
        dir .. "component.lua",
        [[return { api = 1, name = "box", title = "A box", summary = "Holds things.",
          reference = "Boxes have four walls." }]]
      )
      bench:write(
        dir .. "verify.lua",
        [[return { safety = "observes", steps = {
          { name = "look", checks = function()
            return { { name = "walls", state = "ok" } } end } } }]]
      )
    end)

    it("are a group that is loaded on demand, and can be called before", function()
      local client = connect()
      assert.is_nil(tool_of(client:ok("tools/list").tools, "box_verify_run"))
      assert.is_nil(client:tool("box_verify_run").isError)
      assert.is_truthy(support.text(client:tool("pai_recipes")):find("group box", 1, true))
      local loaded = client:tool("pai_load", { group = "box" })
      assert.is_truthy(support.text(loaded):find("box_verify_run", 1, true))
      assert.are.equal("notifications/tools/list_changed", client.notes[1].method)
      assert.is_truthy(tool_of(client:ok("tools/list").tools, "box_verify_run"))
      assert.is_true(client:tool("pai_load", { group = "bix" }).isError)
    end)

    it("have their reference as a resource, read when asked for", function()
      local client = connect()
      local read = client:ok("resources/read", { uri = "pai://components/box" }).contents[1]
      assert.is_truthy(read.text:find("four walls", 1, true))
    end)
  end)

  it("that are not on the allow list do not exist", function()
    local outside = connect()
    local id = outside:tool("greet_run", { name = "Ada" }).structuredContent.run
    local client = connect({ "--recipes", "look,slow" })
    bench:write("seen.txt", "x")
    local names = {}
    for _, tool in ipairs(client:ok("tools/list").tools) do
      if not tool.name:find("^pai_") then
        names[#names + 1] = tool.name
      end
    end
    assert.are.same({ "look_run", "slow_plan", "slow_run" }, names)
    assert.are.equal(-32602, client:call("tools/call", { name = "greet_run" }).error.code)
    assert.is_true(client:tool("pai_runs_show", { run = id }).isError)
    assert.is_true(client:tool("pai_runs_resume", { run = id }).isError)
    assert.are.equal("no runs", support.text(client:tool("pai_runs_show")))
    local uri = ("pai://runs/%s/journal"):format(id)
    assert.is_truthy(client:call("resources/read", { uri = uri }).error)
    assert.is_truthy(client:call("resources/read", { uri = "pai://recipes/greet" }).error)
    assert.are.same({}, client:ok("prompts/list").prompts)
  end)

  it("are told from names that are nothing", function()
    local r = bench:pai({ "mcp", "--recipes", "look,slwo" })
    assert.are.equal(2, r.code)
    assert.is_truthy(r.stderr:find("no recipe or component 'slwo' (did you mean 'slow'?)", 1, true))
    local client = connect()
    local answer = client:call("tools/call", { name = "look_rnu" })
    assert.are.equal("no tool look_rnu (did you mean 'look_run'?)", answer.error.message)
    local function said(name, arguments)
      local result = client:tool(name, arguments)
      assert.is_true(result.isError)
      return support.text(result)
    end
    local wrong = said("pai_load", { grup = "x" })
    assert.is_truthy(
      wrong:find("no argument 'grup' (did you mean 'group'?); it has group", 1, true)
    )
    assert.are.equal("pai_load needs the argument 'group'", said("pai_load"))
    assert.are.equal("pai_runs_logs needs the argument 'run'", said("pai_runs_logs", { lines = 3 }))
  end)

  it("are planned and observed only when the server is read-only", function()
    local client = connect({ "--read-only" })
    for _, tool in ipairs(client:ok("tools/list").tools) do
      assert.is_true(tool.annotations.readOnlyHint, tool.name)
    end
    for _, name in ipairs({ "greet_run", "wipe_run", "pai_runs_cancel", "pai_runs_resume" }) do
      assert.are.equal(-32602, client:call("tools/call", { name = name }).error.code)
    end
    assert.is_nil(client:tool("greet_plan", { name = "Ada" }).isError)
    bench:write("seen.txt", "x")
    assert.is_nil(client:tool("look_run").isError)
  end)
end)
