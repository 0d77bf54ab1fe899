-- pai ui over HTTP: who is let in, what is shown of a run while it goes on, and that neither a
-- secret nor a file that is no run's comes out.
local support = dofile("tests/spec/run/support.lua")
local fs = require("pai.fs")
local http = require("pai.http")
local json = require("pai.json")
local sock = require("pai.sock")
local task = require("pai.task")

-- Generated, so that nothing in the tree looks like a secret.
local CANARY <const> = require("pai.crypto").hex(16)

describe("pai ui", function()
  local bench, proc, base, token, runs

  local function start(argv)
    local all = { "ui", "--json" }
    table.move(argv or {}, 1, #(argv or {}), 3, all)
    proc = bench:start(all, { CANARY_TOKEN = CANARY })
    local url = json.decode((assert(proc:read_line("30s")))).url
    base, token = url:match("^(http://127%.0%.0%.1:%d+)/%?token=(%x+)$")
    assert.is_truthy(base, url)
  end

  before_each(function()
    bench, runs = support.new(), {}
  end)

  after_each(function()
    for _, run in ipairs(runs) do
      run:stop()
    end
    if proc then
      proc:stop()
      proc = nil
    end
    bench:remove()
  end)

  local function ask(path, headers, method)
    return assert(http.request({
      url = base .. path,
      method = method or "GET",
      headers = headers or { Authorization = "Bearer " .. token },
      accept = "any",
      timeout = "60s",
    }))
  end

  local function get(path)
    local r = ask(path)
    assert.equal(200, r.status, path .. ": " .. tostring(r.body))
    return json.decode(r.body)
  end

  -- Starts a run that goes on until let_go, and its id.
  local function begin(body)
    bench:recipe("r", body or [[safety = "changes", needs = { bins = { "sh" } }, steps = {
        { name = "first", checks = function() return { { name = "c", state = "ok", ms = 3 } } end },
        { name = "work", after = { "first" }, run = function(ctx)
          ctx.exec({ "sh", "-c", "echo one; echo two" })
          ctx.log("a <b>bold</b> word")
          ctx.heartbeat({ state = "busy", observation = "half of it" })
          ctx.exec({ "sh", "-c", "until [ -e go ]; do sleep 0.05; done" }, { timeout = "5m" })
        end },
        { name = "many", after = { "work" }, each = function()
          return { { key = "x" }, { key = "y" } } end, run = function() return {} end },
        { name = "out", after = { "work" }, when = function() return false, "no need" end,
          run = function() end },
      }]])
    local run = bench:start({ "run", "./r.lua", "--json" })
    runs[#runs + 1] = run
    local event = json.decode((assert(run:read_line("30s"))))
    return event.run, run
  end

  local function let_go()
    bench:write("go", "")
  end

  -- A stream of events, read by a task of its own until `stop`.
  local function follow(path)
    local stream = { events = {}, more = task.event() }
    local rest = ""
    stream.task = task.spawn(function()
      local r, e = http.request({
        url = base .. path,
        headers = { Authorization = "Bearer " .. token },
        timeout = 0,
        on_data = function(chunk)
          rest = rest .. chunk
          for event, data in rest:gmatch("event: (%l+)\ndata: ([^\n]*)\n\n") do
            table.insert(stream.events, { event = event, data = json.decode(data) })
          end
          rest = rest:match("^.*\n\n(.-)$") or rest
          stream.more:set()
          return not stream.stopped
        end,
      })
      stream.ended = r or e
      stream.more:set()
    end)
    function stream.wait(fits)
      local seen, until_ms = 0, task.now() + 60000
      while task.now() < until_ms and not stream.ended do
        for i = seen + 1, #stream.events do
          seen = i
          if fits(stream.events[i]) then
            return stream.events[i].data
          end
        end
        stream.more:clear()
        stream.more:wait("5s")
      end
      error("it did not come; there are " .. json.encode(stream.events), 0)
    end
    function stream.stop()
      stream.task:cancel()
      pcall(stream.task.wait, stream.task)
    end
    return stream
  end

  local function in_task(fn)
    return function()
      task.run(fn)
    end
  end

  local function step(state, name)
    for _, s in ipairs(state.steps) do
      if s.name == name then
        return s
      end
    end
  end

  it("lets in who knows the token, from here, and nobody else", function()
    bench:recipe("r", "steps = { { name = 'a', run = function() end } },")
    assert.equal(0, bench:pai({ "run", "./r.lua" }).code)
    start()
    local id = get("/api/runs").runs[1].run
    local paths = { "/", "/page.js", "/page.css", "/api/runs", "/api/events", "/none" }
    for _, path in ipairs({ "/api/run", "/api/output", "/api/events", "/report" }) do
      paths[#paths + 1] = path .. "?run=" .. id
    end
    local other = ("0"):rep(#token)
    local cookie = "pai-ui-" .. base:match("%d+$") .. "="
    for _, path in ipairs(paths) do
      assert.equal(401, ask(path, {}).status, path)
      assert.equal(403, ask(path, { Authorization = "Bearer " .. other }).status, path)
      assert.equal(403, ask(path, { Cookie = cookie .. other }).status, path)
      assert.equal(401, ask(path, { Cookie = "token=" .. token }).status, path)
      for _, hostile in ipairs({
        { Host = "evil.example" },
        { Origin = "http://evil.example" },
        { Origin = "null" },
      }) do
        hostile.Authorization = "Bearer " .. token
        assert.equal(403, ask(path, hostile).status, path)
      end
      local refused = ask(path, { Authorization = "Bearer " .. token }, "POST")
      assert.equal(405, refused.status, path)
    end
    assert.equal(403, ask("/?token=" .. other, {}).status)
    assert.equal(403, ask("/?token=", {}).status)
    assert.equal(401, ask("/api/runs?token=" .. token, {}).status)
    -- The address gives a cookie that no script reads, and the token leaves the address.
    local r = ask("/?token=" .. token, {})
    assert.equal(303, r.status)
    assert.equal("/", r.headers.location)
    assert.equal(cookie .. token .. "; Path=/; HttpOnly; SameSite=Lax", r.headers["set-cookie"])
    r = ask("/", { Cookie = "a=b; " .. cookie .. token })
    assert.equal(200, r.status)
    assert.is_truthy(r.headers["content-security-policy"]:find("script-src 'self'", 1, true))
    assert.equal(200, ask("/page.css").status)
    assert.equal(404, ask("/none").status)
  end)

  it(
    "shows a run as it goes on",
    in_task(function()
      start()
      assert.same({ runs = json.array({}), total = 0 }, get("/api/runs"))
      local list = follow("/api/events")
      local id = begin()
      list.wait(function(e)
        return e.event == "runs" and e.data.total == 1 and e.data.runs[1].status == "running"
      end)
      list.stop()
      local stream = follow("/api/events?run=" .. id)
      local seen = stream.wait(function(e)
        return e.event == "run" and step(e.data, "work").said == "half of it"
      end)
      assert.equal("running", seen.status)
      assert.equal("done", step(seen, "first").state)
      assert.equal("running", step(seen, "work").state)
      assert.same({ "first" }, step(seen, "work").after)
      assert.equal("waiting", step(seen, "many").state)
      stream.wait(function(e)
        local last = e.event == "log" and e.data.lines[#e.data.lines]
        return last and last.step == "work" and last.text == "a <b>bold</b> word"
      end)
      local printed = "/api/output?run=" .. id .. "&step=work"
      assert.equal("one\ntwo\n", get(printed).text)
      let_go()
      seen = stream.wait(function(e)
        return e.event == "run" and e.data.status == "green"
      end)
      assert.equal("done", step(seen, "work").state)
      assert.equal("left out", step(seen, "out").state)
      assert.equal("no need", step(seen, "out").reason)
      assert.equal("done", step(seen, "many").state)
      assert.equal("many[x]", step(seen, "many").items[1].name)
      assert.equal(2, #step(seen, "many").items)
      stream.stop()
    end)
  )

  it(
    "says of a run whose process was killed that it was",
    in_task(function()
      start()
      local id, run = begin()
      local stream = follow("/api/events?run=" .. id)
      stream.wait(function(e)
        return e.event == "run" and (step(e.data, "work") or {}).said == "half of it"
      end)
      run:kill("SIGKILL")
      local seen = stream.wait(function(e)
        return e.event == "run" and e.data.status == "killed"
      end)
      assert.equal("stopped", step(seen, "work").state)
      assert.equal("the process ended without a last word", seen.reason)
      stream.stop()
      assert.equal("killed", get("/api/runs").runs[1].status)
      -- Resumed, it goes on, and so does the page.
      let_go()
      assert.equal(0, bench:pai({ "resume", id }).code)
      seen = get("/api/run?run=" .. id)
      assert.equal("green", seen.status)
      assert.equal(2, seen.sessions)
      assert.equal("green", get("/api/runs").runs[1].status)
    end)
  )

  it("shows the report that the run drew, where no script can run", function()
    bench:recipe(
      "r",
      [[steps = { { name = "a", run = function() end } },
      report = function() return { title = "The report" } end,]]
    )
    assert.equal(0, bench:pai({ "run", "./r.lua" }).code)
    -- Nothing of the recipe is needed to look at its runs.
    fs.remove(bench.dir .. "/r.lua")
    start()
    local id = get("/api/runs").runs[1].run
    assert.is_true(get("/api/run?run=" .. id).report)
    local r = ask("/report?run=" .. id)
    assert.equal(200, r.status)
    assert.is_truthy(r.body:find("<title>The report</title>", 1, true))
    assert.matches("^sandbox; default%-src 'none';", r.headers["content-security-policy"])
    -- A journal that names another file gets it nowhere.
    local journal = bench.state .. "/runs/" .. id .. "/journal.jsonl"
    local link, folder = bench.dir .. "/link.html", bench.dir .. "/d.html"
    assert(fs.symlink("/etc/hostname", link))
    assert(fs.mkdir(folder))
    for _, other in ipairs({ "/etc/hostname", link, folder, 7 }) do
      local line = { event = "report", path = other, t = "2026-01-02T03:04:05.678Z", seq = 99 }
      assert(fs.append(journal, json.encode(line) .. "\n"))
      assert.equal(404, ask("/report?run=" .. id).status, tostring(other))
    end
  end)

  it("gives no file that is no run's", function()
    bench:recipe("r", "steps = { { name = 'a', run = function() end } },")
    assert.equal(0, bench:pai({ "run", "./r.lua" }).code)
    start()
    local id = get("/api/runs").runs[1].run
    bench:write("journal.jsonl", "{}\n")
    for _, name in ipairs({
      "..",
      "run-/../../../work",
      "run-%2e%2e%2f" .. id,
      "%2e%2e%2fwork",
      "../runs/" .. id,
      id .. "/",
      id .. "%00",
      "run-none",
      "",
    }) do
      for _, path in ipairs({ "/api/run", "/api/output", "/report" }) do
        assert.equal(404, ask(path .. "?run=" .. name).status, path .. " " .. name)
      end
    end
    for _, path in ipairs({ "/..%2f..%2fetc/hostname", "/page.js/../../live.lua", "/live.lua" }) do
      assert.equal(404, ask(path).status, path)
    end
    local dir = bench.state .. "/runs/" .. id
    assert(fs.mkdir(dir .. "/output", { parents = true }))
    assert(fs.symlink("/etc/hostname", dir .. "/output/link.log"))
    for _, name in ipairs({ "link", "..%2fjournal.jsonl", "../journal", "%2fetc%2fpasswd", "" }) do
      local said = get("/api/output?run=" .. id .. "&step=" .. name)
      assert.equal(json.null, said.text, name)
    end
  end)

  it("shows no secret, whatever a journal or a program's output holds", function()
    bench:recipe("r", "steps = { { name = 'a', run = function(ctx) ctx.log('x') end } },")
    assert.equal(0, bench:pai({ "run", "./r.lua" }).code)
    local id = fs.list(bench.state .. "/runs")[1]
    local dir = bench.state .. "/runs/" .. id
    assert(fs.mkdir(dir .. "/output", { parents = true }))
    assert(fs.write(dir .. "/output/a.log", "before " .. CANARY .. " after\n"))
    local said = "the key is " .. CANARY
    for seq, event in ipairs({
      { event = "log", step = "a", text = said },
      { event = "heartbeat", step = "a", observation = said },
      { event = "step.fail", step = "a", error = { message = said, hint = said }, ms = 1 },
      {
        event = "gate",
        step = "a",
        verdict = "red",
        checks = { { name = said, measured = said } },
      },
      { event = "media", step = "a", path = "/" .. CANARY },
      { event = "run.end", status = "failed", reason = said, hint = said, code = 1, ms = 1 },
    }) do
      event.t, event.seq = "2026-01-02T03:04:05.678Z", 100 + seq
      assert(fs.append(dir .. "/journal.jsonl", json.encode(event) .. "\n"))
    end
    start()
    local all = {}
    for _, path in ipairs({
      "/api/runs",
      "/api/run?run=" .. id,
      "/api/output?run=" .. id .. "&step=a",
    }) do
      all[#all + 1] = ask(path).body
    end
    task.run(function()
      local stream = follow("/api/events?run=" .. id)
      stream.wait(function(e)
        return e.event == "log"
      end)
      stream.stop()
      all[#all + 1] = json.encode(stream.events)
    end)
    local text = table.concat(all, "\n")
    assert.is_nil(text:find(CANARY, 1, true))
    for _, part in ipairs({ "the key is ***", "before *** after", '"/***"' }) do
      assert.is_truthy(text:find(part, 1, true), part .. " is not in " .. text)
    end
  end)

  it("shows a journal that is damaged as that, and the others as they are", function()
    bench:recipe("r", "steps = { { name = 'a', run = function() end } },")
    assert.equal(0, bench:pai({ "run", "./r.lua" }).code)
    local good = fs.list(bench.state .. "/runs")[1]
    for name, text in pairs({
      ["run-empty"] = "",
      ["run-noise"] = "\0\1 no json\n{}\n[1]\n",
      ["run-torn"] = '{"event":"log","text":',
    }) do
      assert(fs.mkdir(bench.state .. "/runs/" .. name))
      assert(fs.write(bench.state .. "/runs/" .. name .. "/journal.jsonl", text))
    end
    assert(fs.mkdir(bench.state .. "/runs/run-nothing"))
    start()
    local status = {}
    for _, run in ipairs(get("/api/runs").runs) do
      status[run.run] = run.status
      local one = get("/api/run?run=" .. run.run)
      assert.equal(run.run == good and "green" or "broken", one.status, run.run)
    end
    assert.equal("green", status[good])
    assert.equal("broken", status["run-noise"])
  end)

  it(
    "lets a place go when its page is gone",
    in_task(function()
      start()
      local function open()
        local conn =
          assert(sock.connect({ host = "127.0.0.1", port = tonumber(base:match("%d+$")) }))
        local words =
          "GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n\r\n"
        assert(conn:write(words:format(token)))
        return conn, (assert(conn:read("30s")))
      end
      local conns = {}
      for i = 1, 32 do
        local said
        conns[i], said = open()
        assert.equal("HTTP/1.1 200", said:sub(1, 12), i)
      end
      local last, said = open()
      assert.equal("HTTP/1.1 503", said:sub(1, 12))
      last:close()
      for _, conn in ipairs(conns) do
        conn:close()
      end
      local until_ms = task.now() + 60000
      repeat
        task.sleep("100ms")
        local conn
        conn, said = open()
        conn:close()
      until said:sub(1, 12) == "HTTP/1.1 200" or task.now() > until_ms
      assert.equal("HTTP/1.1 200", said:sub(1, 12))
    end)
  )

  it(
    "ends with Ctrl-C although a page is open, and the run goes on",
    in_task(function()
      start()
      local id, run = begin()
      local stream = follow("/api/events?run=" .. id)
      stream.wait(function(e)
        return e.event == "run"
      end)
      proc:kill("SIGINT")
      local r = assert(proc:wait("30s"))
      assert.equal(0, r.code, r.stderr)
      assert.equal("", r.stderr)
      proc = nil
      stream.stop()
      let_go()
      assert.equal(0, assert(run:wait("30s")).code)
    end)
  )

  it("refuses a port that is taken, or none", function()
    start()
    local port = base:match("%d+$")
    local r = bench:pai({ "ui", "--port", port })
    assert.equal(1, r.code)
    assert.is_truthy(r.stderr:find(port, 1, true), r.stderr)
    assert.equal("", r.stdout)
    for _, bad in ipairs({ "x", "-1", "65536", "1.5" }) do
      assert.equal(2, bench:pai({ "ui", "--port=" .. bad }).code, bad)
    end
    assert.equal(2, bench:pai({ "ui", "now" }).code)
    assert.equal(0, bench:pai({ "ui", "--help" }).code)
  end)
end)
