-- Streamable HTTP: who is let in, sessions, streams that are resumed, and requests that stand for
-- themselves.
local exec = require("pai.exec")
local http = require("pai.http")
local json = require("pai.json")
local support = dofile("tests/spec/mcp/support.lua")
local task = require("pai.task")

local eventually = support.eventually

local ACCEPT <const> = "application/json, text/event-stream"

describe("MCP over HTTP", function()
  local proc, url

  setup(function()
    proc, url = support.http_server()
  end)

  teardown(function()
    proc:stop()
  end)

  local function send(opts)
    local headers = { Accept = ACCEPT, ["Content-Type"] = "application/json" }
    for name, value in pairs(opts.headers or {}) do
      headers[name] = value or nil
    end
    return assert(http.request({
      url = opts.url or url,
      method = opts.method or "POST",
      headers = headers,
      body = opts.body or (opts.message and json.encode(opts.message)) or nil,
      accept = "any",
      timeout = "60s",
    }))
  end

  -- The messages of an answer, of one JSON body or of a stream; and the ids of its events.
  local function messages(r)
    if not (r.headers["content-type"] or ""):find("event-stream", 1, true) then
      return { assert(json.decode(r.body)) }, {}
    end
    local list, ids = {}, {}
    for event in r.body:gmatch("(.-)\n\n") do
      ids[#ids + 1] = event:match("id: (%S+)")
      local data = event:match("data: (.+)")
      list[#list + 1] = data and assert(json.decode(data))
    end
    return list, ids
  end

  local function request(id, method, params)
    return { jsonrpc = "2.0", id = id, method = method, params = params }
  end

  local function open(version)
    local r = send({
      message = request(0, "initialize", {
        protocolVersion = version or "2025-11-25",
        capabilities = {},
        clientInfo = { name = "spec", version = "1" },
      }),
    })
    assert.are.equal(200, r.status, r.body)
    return { ["Mcp-Session-Id"] = assert(r.headers["mcp-session-id"]) }
  end

  local function modern(method, params, headers)
    params = params or {}
    params._meta = params._meta or support.meta({ elicitation = {} })
    local all = {
      ["MCP-Protocol-Version"] = "2026-07-28",
      ["Mcp-Method"] = method,
      ["Mcp-Name"] = params.name or params.uri,
    }
    for name, value in pairs(headers or {}) do
      all[name] = value
    end
    return send({ headers = all, message = request(1, method, params) })
  end

  it("lets no page of another origin in, and no other name for this host", function()
    local message = request(1, "server/discover", { _meta = support.meta() })
    for _, headers in ipairs({
      { Origin = "http://evil.example.com" },
      { Host = "evil.example.com" },
      { Origin = "null" },
    }) do
      local r = send({ headers = headers, message = message })
      assert.are.equal(403, r.status)
    end
  end)

  it("refuses what is no message, with its reason", function()
    assert.are.equal(-32700, json.decode(send({ body = "{" }).body).error.code)
    assert.are.equal(400, send({ body = "[]" }).status)
    assert.are.equal(
      415,
      send({ body = "{}", headers = { ["Content-Type"] = "text/html" } }).status
    )
    assert.are.equal(406, send({ body = "{}", headers = { Accept = "text/html" } }).status)
    assert.are.equal(404, send({ body = "{}", url = (url:gsub("mcp$", "other")) }).status)
    assert.are.equal(405, send({ method = "PUT", body = "{}" }).status)
  end)

  describe("in a session", function()
    it("wants its id, knows no other, and forgets it when it ends", function()
      local headers = open()
      local ping = request(1, "ping")
      assert.are.equal(400, send({ message = ping }).status)
      assert.are.equal(404, send({ message = ping, headers = { ["Mcp-Session-Id"] = "x" } }).status)
      assert.are.equal(200, send({ message = ping, headers = headers }).status)
      local bad = { ["Mcp-Session-Id"] = headers["Mcp-Session-Id"] }
      bad["MCP-Protocol-Version"] = "1999-01-01"
      assert.are.equal(400, send({ message = ping, headers = bad }).status)
      assert.are.equal(200, send({ method = "DELETE", headers = headers }).status)
      assert.are.equal(404, send({ message = ping, headers = headers }).status)
    end)

    it("takes notifications without an answer", function()
      local headers = open()
      local note = { jsonrpc = "2.0", method = "notifications/initialized" }
      local r = send({ message = note, headers = headers })
      assert.are.equal(202, r.status)
      assert.are.equal("", r.body)
    end)

    it("streams a tool's notifications before its result", function()
      local headers = open()
      local list, ids = messages(send({
        headers = headers,
        message = request(5, "tools/call", {
          name = "test_tool_with_progress",
          _meta = { progressToken = "p" },
        }),
      }))
      assert.are.equal(4, #list)
      assert.are.equal(5, list[4].id)
      assert.are.equal(5, #ids) -- with the one that comes first and has no data
    end)

    it("goes on with a stream that was cut, from the last event seen", function()
      local headers = open()
      local r = send({
        headers = headers,
        message = request(5, "tools/call", {
          name = "test_reconnection",
        }),
      })
      local list, ids = messages(r)
      assert.are.same({}, list)
      headers["Last-Event-ID"] = ids[#ids]
      list = messages(send({ method = "GET", headers = headers }))
      assert.are.equal("Reconnected.", support.text(list[1].result))
      headers["Last-Event-ID"] = "r999-1"
      assert.are.equal(404, send({ method = "GET", headers = headers }).status)
      headers["Last-Event-ID"] = "junk"
      assert.are.equal(404, send({ method = "GET", headers = headers }).status)
    end)

    it("has a stream of its own for what belongs to no request", function()
      local headers = open()
      local seen
      local listener = task.spawn(function()
        http.request({
          url = url,
          headers = {
            Accept = "text/event-stream",
            ["Mcp-Session-Id"] = headers["Mcp-Session-Id"],
          },
          on_data = function(chunk)
            seen = (seen or "") .. chunk
            return not seen:find("list_changed", 1, true)
          end,
        })
      end)
      -- Until somebody listens nothing tells; so it is tried until it came.
      while not seen do
        send({
          headers = headers,
          message = request(1, "tools/call", {
            name = "test_trigger_tool_change",
          }),
        })
        task.sleep("20ms")
      end
      listener:wait("30s")
      assert.is_truthy(seen:find("notifications/tools/list_changed", 1, true))
    end)

    it("keeps sessions apart", function()
      local first, second = open(), open("2025-06-18")
      send({ headers = first, message = request(1, "logging/setLevel", { level = "debug" }) })
      local call = request(2, "tools/call", { name = "test_tool_with_logging" })
      assert.are.equal(4, #messages(send({ headers = first, message = call })))
      assert.are.equal(1, #messages(send({ headers = second, message = call })))
    end)
  end)

  describe("without a session", function()
    it("answers each request for itself", function()
      local r = modern("tools/list")
      assert.are.equal(200, r.status)
      assert.is_nil(r.headers["mcp-session-id"])
      assert.are.equal("complete", json.decode(r.body).result.resultType)
    end)

    it("wants headers that say what the body says", function()
      for _, headers in ipairs({
        { ["MCP-Protocol-Version"] = "2025-11-25" },
        { ["Mcp-Method"] = "prompts/list" },
        { ["Mcp-Method"] = "TOOLS/CALL" },
        { ["Mcp-Name"] = "sleep" },
        { ["Mcp-Name"] = "=?base64?!!?=" },
      }) do
        local r = modern("tools/call", { name = "echo", arguments = { text = "x" } }, headers)
        assert.are.equal(400, r.status)
        assert.are.equal(-32020, json.decode(r.body).error.code)
      end
      local name = "=?base64?" .. require("pai.crypto").base64_encode("echo") .. "?="
      local params = { name = "echo", arguments = { text = "x" } }
      assert.are.equal(200, modern("tools/call", params, { ["Mcp-Name"] = name }).status)
    end)

    it("gives errors of the protocol their status", function()
      assert.are.equal(404, modern("no/such").status)
      assert.are.equal(400, modern("tools/list", { _meta = {} }).status)
      local params = { name = "test_missing_capability", _meta = support.meta() }
      local r = modern("tools/call", params)
      assert.are.equal(400, r.status)
      assert.are.equal(-32021, json.decode(r.body).error.code)
    end)

    it("ends a call when its client goes away", function()
      local function sleeping()
        return support.text(json.decode(modern("tools/call", { name = "sleeping" }).body).result)
      end
      local caller = task.spawn(function()
        return http.request({
          url = url,
          timeout = 0,
          headers = {
            Accept = ACCEPT,
            ["MCP-Protocol-Version"] = "2026-07-28",
            ["Mcp-Method"] = "tools/call",
            ["Mcp-Name"] = "sleep",
          },
          json = request(1, "tools/call", {
            name = "sleep",
            arguments = { ms = 3600000 },
            _meta = support.meta(),
          }),
        })
      end)
      eventually(function()
        return sleeping() == "1"
      end, "the call")
      caller:cancel()
      eventually(function()
        return sleeping() == "0"
      end, "the end of the call")
    end)
  end)

  describe("as pai mcp --http", function()
    local function start(args, env)
      local argv = { pai.exe, "mcp", "--http" }
      table.move(args, 1, #args, #argv + 1, argv)
      return assert(exec.start(argv, { env = env, accept = "any" }))
    end

    it("lets in only who has the token", function()
      local token = require("pai.crypto").hex(16)
      local guarded <close> = start({ "--token", "env:SPEC_TOKEN" }, { SPEC_TOKEN = token })
      local address = assert(guarded:read_line("30s"))
      local message = request(1, "server/discover", { _meta = support.meta() })
      local function status(authorization)
        local r = send({
          url = address,
          message = message,
          headers = {
            Authorization = authorization,
            ["MCP-Protocol-Version"] = "2026-07-28",
            ["Mcp-Method"] = "server/discover",
          },
        })
        return r.status
      end
      assert.are.equal(401, status())
      assert.are.equal(401, status("Bearer " .. token .. "0"))
      assert.are.equal(401, status("Basic " .. token))
      assert.are.equal(200, status("Bearer " .. token))
    end)

    it("ends when it is asked to", function()
      local server <close> = start({ "--json" })
      local address = json.decode((assert(server:read_line("30s")))).url
      assert.matches("^http://127%.0%.0%.1:%d+/mcp$", address)
      server:kill("TERM")
      assert.are.equal(0, server:wait("30s").code)
    end)

    it("refuses options that make no sense", function()
      for _, args in ipairs({
        { "--port", "70000" },
        { "--token", "plain" },
        { "--token", "env:SPEC_NOT_SET" },
        { "--recipes", "," },
        { "--recipes", "hello,helo" },
      }) do
        local server <close> = start(args)
        assert.are.equal(2, server:wait("30s").code)
      end
      local r = exec.run({ pai.exe, "mcp", "--port", "1" }, { accept = "any" })
      assert.are.equal(2, r.code)
    end)
  end)
end)
