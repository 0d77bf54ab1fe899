-- The protocol over standard input and output, mirroring what the official suite checks over HTTP;
-- and what a hostile or careless client does.
local json = require("pai.json")
local support = dofile("tests/spec/mcp/support.lua")
local task = require("pai.task")

describe("MCP over stdio", function()
  local client

  before_each(function()
    client = support.fixture()
  end)

  after_each(function()
    client.proc:stop()
  end)

  -- The client's answers to what the server asks.
  local function answering(answers)
    client.on_request = function(m)
      return answers[m.method]
    end
  end

  describe("with a handshake", function()
    for _, version in ipairs({ "2025-06-18", "2025-11-25" }) do
      it("speaks " .. version, function()
        local result = client:initialize(version)
        assert.are.equal(version, result.protocolVersion)
        assert.are.equal("pai", result.serverInfo.name)
        assert.is_truthy(result.capabilities.tools and result.capabilities.prompts)
        assert.are.equal("A server for tests.", result.instructions)
      end)
    end

    it("offers its newest revision for one that it does not speak", function()
      assert.are.equal("2025-11-25", client:initialize("1999-01-01").protocolVersion)
    end)

    it("answers a ping before it, and nothing else", function()
      assert.are.same({}, client:ok("ping"))
      assert.are.equal(-32600, client:call("tools/list").error.code)
      client:initialize()
      assert.is_true(#client:ok("tools/list").tools > 20)
    end)

    it("is done once", function()
      client:initialize()
      local reply = client:call("initialize", { protocolVersion = "2025-11-25" })
      assert.are.equal(-32600, reply.error.code)
    end)

    it("lists tools, prompts, resources and templates, each time the same", function()
      client:initialize()
      local lists = {
        ["tools/list"] = "tools",
        ["prompts/list"] = "prompts",
        ["resources/list"] = "resources",
        ["resources/templates/list"] = "resourceTemplates",
      }
      for method, key in pairs(lists) do
        local first = client:ok(method)
        assert.is_true(#first[key] > 0, method)
        assert.are.same(first, client:ok(method))
        assert.is_nil(first.resultType)
        assert.are.equal(-32602, client:call(method, { cursor = "x" }).error.code)
      end
    end)

    it("keeps every keyword of a schema", function()
      client:initialize()
      for _, tool in ipairs(client:ok("tools/list").tools) do
        assert.matches("^[%w_.-]+$", tool.name)
        assert.are.equal("object", tool.inputSchema.type)
        if tool.name == "json_schema_2020_12_tool" then
          assert.is_truthy(tool.inputSchema["$defs"].address["$anchor"])
          assert.is_truthy(tool.inputSchema["then"] and tool.inputSchema.allOf)
          assert.is_false(tool.inputSchema.additionalProperties)
        end
      end
    end)

    it("gives every kind of content", function()
      client:initialize()
      local kinds = {
        test_simple_text = "text",
        test_image_content = "image",
        test_audio_content = "audio",
        test_embedded_resource = "resource",
      }
      for name, kind in pairs(kinds) do
        assert.are.equal(kind, client:tool(name).content[1].type)
      end
      assert.are.equal(3, #client:tool("test_multiple_content_types").content)
    end)

    it("gives a tool's failure as its result, an unknown tool as an error", function()
      client:initialize()
      local failed = client:tool("test_error_handling")
      assert.is_true(failed.isError)
      assert.is_truthy(support.text(failed):find("intentionally", 1, true))
      assert.are.equal(-32602, client:call("tools/call", { name = "none" }).error.code)
      assert.are.equal(-32601, client:call("no/such").error.code)
    end)

    it("tells progress only to a token, and only forwards", function()
      client:initialize()
      client:tool("test_tool_with_progress")
      assert.are.same({}, client.notes)
      client:tool("test_tool_with_progress", {}, { progressToken = "t" })
      local seen = {}
      for i, note in ipairs(client.notes) do
        assert.are.equal("t", note.params.progressToken)
        seen[i] = note.params.progress
      end
      assert.are.same({ 0, 50, 100 }, seen)
    end)

    it("logs from the level that was set on", function()
      client:initialize()
      client:tool("test_tool_with_logging")
      assert.are.equal(0, #client.notes)
      assert.are.same({}, client:ok("logging/setLevel", { level = "debug" }))
      client:tool("test_tool_with_logging")
      assert.are.equal(3, #client.notes)
      client:ok("logging/setLevel", { level = "error" })
      client:tool("test_tool_with_logging")
      assert.are.equal(3, #client.notes)
      assert.are.equal(-32602, client:call("logging/setLevel", { level = "loud" }).error.code)
    end)

    it("asks the client and goes on with the answer", function()
      client:initialize(nil, { elicitation = {}, sampling = {}, roots = {} })
      answering({
        ["elicitation/create"] = { action = "accept", content = { username = "ada" } },
        ["sampling/createMessage"] = {
          role = "assistant",
          model = "m",
          content = { type = "text", text = "Paris" },
        },
      })
      local said = support.text(client:tool("test_elicitation", { message = "Who?" }))
      assert.is_truthy(said:find("action=accept", 1, true))
      assert.is_truthy(said:find("ada", 1, true))
      assert.are.equal("Who?", client.asked[1].params.message)
      assert.are.equal("form", client.asked[1].params.mode)
      said = support.text(client:tool("test_sampling", { prompt = "Capital?" }))
      assert.are.equal("LLM response: Paris", said)
    end)

    it("does not ask a client that can't be asked", function()
      client:initialize(nil, {})
      local result = client:tool("test_elicitation", { message = "Who?" })
      assert.is_true(result.isError)
      assert.is_truthy(support.text(result):find("elicitation", 1, true))
    end)

    it("lives with answers that have no sense, and with an error as answer", function()
      client:initialize()
      answering({ ["elicitation/create"] = { action = "maybe" } })
      assert.is_true(client:tool("test_elicitation", { message = "Who?" }).isError)
      client.on_request = function(m)
        client:send({ id = m.id, error = { code = -1, message = "no form here" } })
      end
      local result = client:tool("test_elicitation", { message = "Who?" })
      assert.is_truthy(support.text(result):find("no form here", 1, true))
      client:send({ id = "pai-99", result = {} })
      assert.are.same({}, client:ok("ping"))
    end)

    it("sends nothing more for a request that was cancelled", function()
      client:initialize()
      local id = client:ask("tools/call", { name = "sleep", arguments = { ms = 600000 } })
      client:send({ method = "notifications/cancelled", params = { requestId = id } })
      assert.are.same({}, client:ok("ping"))
      assert.is_nil(client.replies[id])
      -- The id is free again.
      client.id = id - 1
      assert.are.equal("hi", support.text(client:tool("echo", { text = "hi" })))
    end)

    it("reads resources, by name and by template", function()
      client:initialize()
      local read = client:ok("resources/read", { uri = "test://static-text" })
      assert.are.equal("text/plain", read.contents[1].mimeType)
      read = client:ok("resources/read", { uri = "test://template/a%20b/data" })
      assert.are.equal("a b", json.decode(read.contents[1].text).id)
      local reply = client:call("resources/read", { uri = "test://none" })
      assert.are.equal(-32002, reply.error.code)
      assert.are.same({}, client:ok("resources/subscribe", { uri = "test://watched-resource" }))
      assert.are.same({}, client:ok("resources/unsubscribe", { uri = "test://watched-resource" }))
    end)

    it("gives prompts and completes their arguments", function()
      client:initialize()
      local got = client:ok("prompts/get", {
        name = "test_prompt_with_arguments",
        arguments = { arg1 = "a", arg2 = "b" },
      })
      assert.is_truthy(got.messages[1].content.text:find("arg1='a', arg2='b'", 1, true))
      for _, params in ipairs({
        { name = "test_prompt_with_arguments", arguments = { arg1 = "a" } },
        { name = "test_prompt_with_arguments", arguments = { arg1 = 1, arg2 = "b" } },
        { name = "none" },
      }) do
        assert.are.equal(-32602, client:call("prompts/get", params).error.code)
      end
      local completion = client:ok("completion/complete", {
        ref = { type = "ref/prompt", name = "test_prompt_with_arguments" },
        argument = { name = "arg1", value = "par" },
      }).completion
      assert.are.same({ "paris", "park", "party" }, completion.values)
    end)

    it("tells when a list changes", function()
      client:initialize()
      client:tool("test_trigger_tool_change")
      assert.are.equal("notifications/tools/list_changed", client.notes[1].method)
    end)
  end)

  describe("without a handshake (2026-07-28)", function()
    local function call(method, params, caps)
      params = params or {}
      params._meta = support.meta(caps)
      return client:call(method, params)
    end

    it("is discovered, and says who it is", function()
      local result = call("server/discover").result
      assert.are.same({ "2026-07-28" }, result.supportedVersions)
      assert.are.equal("complete", result.resultType)
      assert.are.equal("pai", result._meta["io.modelcontextprotocol/serverInfo"].name)
    end)

    it("marks what may be cached", function()
      for _, method in ipairs({ "tools/list", "prompts/list", "resources/list" }) do
        local result = call(method).result
        assert.are.equal("integer", math.type(result.ttlMs))
        assert.are.equal("private", result.cacheScope)
        assert.are.equal("complete", result.resultType)
      end
    end)

    it("refuses a request that does not say what it must", function()
      assert.are.equal(-32602, client:call("server/discover").error.code)
      local meta = support.meta()
      meta["io.modelcontextprotocol/clientCapabilities"] = nil
      assert.are.equal(-32602, client:call("tools/list", { _meta = meta }).error.code)
      meta = support.meta()
      meta["io.modelcontextprotocol/protocolVersion"] = "2031-01-01"
      local e = client:call("tools/list", { _meta = meta }).error
      assert.are.equal(-32022, e.code)
      assert.are.same({ "2026-07-28" }, e.data.supported)
      assert.are.equal("2031-01-01", e.data.requested)
    end)

    it("has none of the methods that were taken away", function()
      for method in ("initialize ping logging/setLevel resources/subscribe"):gmatch("%S+") do
        assert.are.equal(-32601, call(method).error.code)
      end
    end)

    it("stands beside a handshake on the same stream", function()
      client:initialize()
      assert.are.equal("complete", call("tools/list").result.resultType)
      assert.is_nil(client:ok("tools/list").resultType)
    end)

    local ASK <const> = "test_input_required_result_"

    it("asks by a result, over several rounds", function()
      local caps = { elicitation = {} }
      local first = call("tools/call", { name = ASK .. "multi_round" }, caps).result
      assert.are.equal("input_required", first.resultType)
      assert.are.equal("elicitation/create", first.inputRequests.step1.method)
      local second = call("tools/call", {
        name = ASK .. "multi_round",
        inputResponses = { step1 = { action = "accept", content = { name = "Ada" } } },
        requestState = first.requestState,
      }, caps).result
      assert.is_truthy(second.inputRequests.step2)
      assert.is_nil(second.inputRequests.step1)
      local last = call("tools/call", {
        name = ASK .. "multi_round",
        inputResponses = { step2 = { action = "accept", content = { color = "blue" } } },
        requestState = second.requestState,
      }, caps).result
      assert.are.equal("Ada likes blue", support.text(last))
    end)

    it("refuses a state that was changed, made up, or is of another request", function()
      local caps = { elicitation = {} }
      local state = call("tools/call", { name = ASK .. "request_state" }, caps).result.requestState
      local yes = { confirm = { action = "accept", content = { ok = true } } }
      local function retry(name, value)
        return call("tools/call", {
          name = name,
          inputResponses = yes,
          requestState = value,
        }, caps)
      end
      local body, mac = state:match("^(.*)%.(.*)$")
      local other = body:sub(1, -2) .. (body:sub(-1) == "A" and "B" or "A")
      for _, bad in ipairs({ "", "x", state .. "0", other .. "." .. mac, body, 7, {} }) do
        assert.are.equal(-32602, retry(ASK .. "request_state", bad).error.code)
      end
      assert.are.equal(-32602, retry(ASK .. "tampered_state", state).error.code)
      for _ = 1, 2 do
        -- Replayed, it gives the same and does no harm.
        assert.are.equal("state-ok", support.text(retry(ASK .. "request_state", state).result))
      end
    end)

    it("wants the capability declared with each request", function()
      local e = call("tools/call", { name = ASK .. "elicitation" }, { sampling = {} }).error
      assert.are.equal(-32021, e.code)
      assert.are.same({ elicitation = {} }, e.data.requiredCapabilities)
    end)

    it("asks again when an answer is missing or has no sense", function()
      local caps = { elicitation = {} }
      for _, responses in ipairs({ { other = {} }, { user_name = 7 }, { user_name = {} } }) do
        local result = call("tools/call", {
          name = ASK .. "elicitation",
          inputResponses = responses,
        }, caps).result
        assert.are.equal("input_required", result.resultType)
      end
      local reply =
        call("tools/call", { name = ASK .. "elicitation", inputResponses = json.null }, caps)
      assert.are.equal(-32602, reply.error.code)
    end)

    it("logs only for a request that asks for it", function()
      call("tools/call", { name = "test_logging_tool" })
      assert.are.equal(0, #client.notes)
      local meta = support.meta()
      meta["io.modelcontextprotocol/logLevel"] = "info"
      client:ok("tools/call", { name = "test_logging_tool", _meta = meta })
      assert.are.equal("notifications/message", client.notes[1].method)
    end)

    it("listens for what was asked for, and for no more", function()
      local id = client:ask("subscriptions/listen", {
        _meta = support.meta(),
        notifications = { toolsListChanged = true },
      })
      call("tools/call", { name = "test_trigger_prompt_change" })
      call("tools/call", { name = "test_trigger_tool_change" })
      assert.are.equal("notifications/subscriptions/acknowledged", client.notes[1].method)
      assert.are.same({ toolsListChanged = true }, client.notes[1].params.notifications)
      assert.are.equal("notifications/tools/list_changed", client.notes[2].method)
      for _, note in ipairs(client.notes) do
        assert.are.equal(id, note.params._meta["io.modelcontextprotocol/subscriptionId"])
      end
      client:send({ method = "notifications/cancelled", params = { requestId = id } })
      call("tools/call", { name = "test_trigger_tool_change" })
      assert.are.equal(2, #client.notes)
    end)

    it("ends what listens with a result when it is asked to end", function()
      local id = client:ask("subscriptions/listen", {
        _meta = support.meta(),
        notifications = { promptsListChanged = true },
      })
      call("server/discover")
      client.proc:kill("TERM")
      local result = client:wait(id).result
      assert.are.equal("complete", result.resultType)
      assert.are.equal(id, result._meta["io.modelcontextprotocol/subscriptionId"])
      assert.are.equal(0, client:finish().code)
    end)
  end)

  describe("with a hostile client", function()
    -- What no client should send; the server answers or ignores it, and goes on.
    local LINES <const> = {
      "",
      "   ",
      "{",
      "null",
      "7",
      '"text"',
      "[]",
      '[{"jsonrpc":"2.0","id":1,"method":"ping"}]',
      "{}",
      '{"jsonrpc":"1.0","id":1,"method":"ping"}',
      '{"jsonrpc":"2.0"}',
      '{"jsonrpc":"2.0","id":{},"method":"ping"}',
      '{"jsonrpc":"2.0","id":1.5,"method":"ping"}',
      '{"jsonrpc":"2.0","id":null,"method":"ping"}',
      '{"jsonrpc":"2.0","id":true,"method":"ping"}',
      '{"jsonrpc":"2.0","id":1,"method":7}',
      '{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}',
      '{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}',
      '{"jsonrpc":"2.0","id":1,"result":{},"error":{}}',
      '{"jsonrpc":"2.0","id":"pai-1","result":{}}',
      '{"jsonrpc":"2.0","method":"notifications/cancelled"}',
      '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":{}}}',
      '{"jsonrpc":"2.0","method":"notifications/none","params":{}}',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":{}}}',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":[]}}',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":7}}',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"sleep","arguments":{}}}',
      '{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///etc/passwd"}}',
      '{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{}}}',
      '{"jsonrpc":"2.0","id":1,"method":"constructor"}',
      '{"jsonrpc":"2.0","id":1,"method":"__index"}',
      '{"jsonrpc":"2.0","id":1e400,"method":"ping"}',
      '{"jsonrpc":"2.0","id":99999999999999999999,"method":"ping"}',
      '{"jsonrpc":"2.0","id":1,"method":"ping"} trailing',
      "\0\1\2",
      "\xff\xfe",
      '{"jsonrpc":"2.0","id":"\xff","method":"ping"}',
      '{"jsonrpc":"2.0","id":1,"method":"\xc3\x28"}',
    }

    it("goes on after every bad line", function()
      client:initialize()
      for i, line in ipairs(LINES) do
        client:raw(line)
        assert.are.same({}, client:ok("ping"), "after line " .. i)
      end
      -- What was no message was answered without an id.
      assert.is_truthy(client.replies["null"])
    end)

    it("refuses what is nested too deep", function()
      client:initialize()
      for _, depth in ipairs({ 70, 600, 100000 }) do
        client:raw(
          ('{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":%s%s}}'):format(
            ("["):rep(depth),
            ("]"):rep(depth)
          )
        )
        assert.are.same({}, client:ok("ping"))
        assert.are.equal(-32600, client.replies["null"].error.code)
        client.replies["null"] = nil
      end
    end)

    it("refuses what is too long, and takes what is just long", function()
      client:initialize()
      local text = ("x"):rep(500000)
      assert.are.equal(text, support.text(client:tool("echo", { text = text })))
      client:raw(("y"):rep(17 << 20))
      assert.are.same({}, client:ok("ping"))
      assert.are.equal(-32600, client.replies["null"].error.code)
    end)

    it("keeps text that is not UTF-8 out of its output", function()
      client:initialize()
      client:raw(
        '{"jsonrpc":"2.0","id":50,"method":"tools/call",'
          .. '"params":{"name":"echo","arguments":{"text":"\xff\\ud800"}}}'
      )
      assert.is_truthy(client:wait("null").error)
    end)

    it("tells a client that asks without end, and goes on", function()
      client:initialize()
      task.spawn(function()
        for i = 1, 12100 do
          client:send({
            id = "s" .. i,
            method = "tools/call",
            params = { name = "sleep", arguments = { ms = 3600000 } },
          })
        end
        for i = 1, 12100 do
          client:send({ method = "notifications/cancelled", params = { requestId = "s" .. i } })
        end
      end)
      assert.is_truthy(client:wait("s12100").error.message:find("too many", 1, true))
      local reply
      repeat
        reply = client:call("ping")
      until reply.result
    end)

    it("answers requests that share an id", function()
      client:initialize()
      for _ = 1, 20 do
        client:send({ id = 7, method = "tools/call", params = { name = "test_simple_text" } })
      end
      assert.is_truthy(client:wait(7).result)
      assert.are.same({}, client:ok("ping"))
    end)
  end)

  it("answers 10,000 pipelined calls, the short ones before the long", function()
    client:initialize()
    local n = 10000
    local slow = client:ask("tools/call", { name = "sleep", arguments = { ms = 2000 } })
    local writer = task.spawn(function()
      for i = 1, n do
        client:send({
          id = "p" .. i,
          method = "tools/call",
          params = { name = "echo", arguments = { text = tostring(i) } },
        })
      end
    end)
    local seen, last = 0, nil
    while seen < n + 1 do
      local m = assert(client:read())
      assert.is_nil(m.error)
      if m.id ~= slow then
        assert.are.equal(tostring(m.id):sub(2), support.text(m.result))
        last = tonumber(tostring(m.id):sub(2))
      end
      seen = seen + 1
    end
    writer:wait()
    assert.are.equal(n, last)
  end)

  describe("ends with its input", function()
    it("when nothing runs", function()
      client:initialize()
      local r = client:finish()
      assert.are.equal(0, r.code)
      assert.are.equal("", r.stdout)
    end)

    it("when a tool runs", function()
      client:initialize()
      for _ = 1, 5 do
        client:ask("tools/call", { name = "sleep", arguments = { ms = 3600000 } })
      end
      assert.are.same({}, client:ok("ping"))
      assert.are.equal(0, client:finish().code)
    end)

    it("when it waits for an answer of the client", function()
      client:initialize()
      client:ask("tools/call", { name = "test_elicitation", arguments = { message = "?" } })
      assert.are.equal("elicitation/create", client:read().method)
      assert.are.equal(0, client:finish().code)
    end)

    it("after it has answered what was asked before", function()
      local r = assert(
        require("pai.exec").run({ pai.exe, "lua", support.FIXTURES .. "/server.lua", "stdio" }, {
          stdin = '{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
            .. '{"jsonrpc":"2.0","id":2,"method":"ping"}',
        })
      )
      assert.are.equal(
        '{"id":1,"jsonrpc":"2.0","result":{}}\n{"id":2,"jsonrpc":"2.0","result":{}}\n',
        r.stdout
      )
    end)

    it("also when nobody reads what it says", function()
      local fs = require("pai.fs")
      local dir = fs.tempdir({ prefix = "pai-mcp-" })
      -- A pipe that the server itself holds open: it fills up, and never breaks.
      local script = 'mkfifo "$1/pipe" && exec 3<>"$1/pipe" && exec "$2" lua "$3" stdio >&3'
      local stuck = support.client({
        "/bin/sh",
        "-c",
        script,
        "sh",
        dir,
        pai.exe,
        support.FIXTURES .. "/server.lua",
      })
      stuck:send({
        id = 1,
        method = "initialize",
        params = { protocolVersion = "2025-11-25", capabilities = {} },
      })
      for i = 1, 8 do
        stuck:send({
          id = "z" .. i,
          method = "tools/call",
          params = { name = "echo", arguments = { text = ("z"):rep(500000) } },
        })
      end
      local r = stuck:finish()
      fs.remove(dir, { recursive = true })
      assert.are.equal(0, r.code)
    end)
  end)
end)
