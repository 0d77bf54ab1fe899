-- Logs and events over the wire.
local S = dofile("tests/spec/engine/support.lua")
local http = require("pai.http")
local logs = require("pai.engine.logs")
local task = require("pai.task")

describe("log lines", function()
  it("have upstream's form", function()
    local at = 1787187723
    assert.equal("2026/08/20 01:02:03 [grip] hi", logs.line(at, "grip", 0, "hi"))
    assert.equal("2026/08/20 01:02:03 [grip retry-2] hi", logs.line(at, "grip", 2, "hi"))
    assert.equal("2026/08/20 01:02:03 [grip][osmo] hi", logs.line(at, "grip", 0, "hi", true))
  end)

  it("are told apart by task and attempt", function()
    local of = logs.of_task("a", 0)
    assert.is_true(of("2026/08/20 01:02:03 [a] x"))
    assert.is_true(of("2026/08/20 01:02:03 [a][osmo] x"))
    assert.is_false(of("2026/08/20 01:02:03 [ab] x"))
    assert.is_false(of("2026/08/20 01:02:03 [a retry-1] x"))
    assert.is_true(logs.of_task("a", 1)("2026/08/20 01:02:03 [a retry-1] x"))
  end)
end)

describe("the logs of a run", function()
  local engine

  setup(function()
    engine = S.start()
  end)
  teardown(function()
    engine:stop()
  end)

  local function get(id, query)
    local _, body = engine:request("GET", "/api/workflow/" .. id .. "/logs", { query = query })
    return body
  end

  it("can be cut, filtered and searched", function()
    local q = engine:run({
      name = "lines",
      tasks = {
        S.sh("a", "for i in 1 2 3 4 5 6 7 8 9; do echo a$i; done; echo err >&2"),
        S.sh("b", "echo b1"),
      },
    })
    local all = get(q.name)
    assert.truthy(all:find("^%d%d%d%d/%d%d/%d%d %d%d:%d%d:%d%d %[%a%]"))
    local a = get(q.name, { task_name = "a" })
    assert.is_nil(a:find("[b]", 1, true))
    assert.truthy(a:find("[a] err\n", 1, true))
    local last = get(q.name, { task_name = "a", last_n_lines = 2 })
    assert.equal(2, select(2, last:gsub("\n", "")))
    local found = get(q.name, { query = "a[2-4]$" })
    assert.equal(3, select(2, found:gsub("\n", "")))
    assert.equal("", get(q.name, { task_name = "a", retry_id = 1 }))
  end)

  it("refuse what is wrong as upstream does", function()
    local q = engine:run({ name = "one", tasks = { S.sh("t", "true") } })
    local path = "/api/workflow/" .. q.name .. "/logs"
    local status, body = engine:request("GET", path .. "?last_n_lines=-1")
    assert.equal(400, status)
    assert.equal("USER", body.error_code)
    status, body = engine:request("GET", path .. "?query=(")
    assert.equal(400, status)
    assert.equal("Invalid regex: (", body.message)
    status, body = engine:request("GET", path .. "?task_name=nobody")
    assert.equal(400, status)
    assert.equal("DATABASE", body.error_code)
    status, body = engine:request("GET", path .. "?retry_id=x")
    assert.equal(422, status)
    assert.equal("int_parsing", body.detail[1].type)
  end)

  it("follow a run until it has ended", function()
    local id = engine:submit({
      name = "live",
      tasks = { S.sh("t", "for i in 1 2 3 4; do echo n$i; sleep 0.1; done") },
    })
    local seen, first = {}, nil
    assert(engine.client:logs(id, {
      follow = true,
      task = "t",
      on_line = function(line)
        local n = line:match("%[t%] n(%d)")
        if n then
          first = first or engine.client:query(id, { skip_groups = true }).status
          seen[#seen + 1] = n
        end
      end,
    }))
    assert.same({ "1", "2", "3", "4" }, seen)
    assert.equal("RUNNING", first)
    assert.equal("COMPLETED", engine.client:query(id).status)
  end)

  it("say on a failed run where to look", function()
    local q = engine:run({ name = "bad", tasks = { S.sh("t", "echo why; exit 1") } })
    local log = get(q.name)
    local rule = ("-"):rep(100)
    assert.truthy(log:find("\n" .. rule .. "\n", 1, true))
    assert.truthy(log:find("/api/workflow/" .. q.name .. "/error_logs\n" .. rule, 1, true))
    local _, hint = engine:request("GET", "/api/workflow/" .. q.name .. "/error_logs")
    assert.truthy(hint:find("^Specify task for error logs.\n\n{"))
    assert.truthy(hint:find('"t retry-0"', 1, true))
    local _, errors =
      engine:request("GET", "/api/workflow/" .. q.name .. "/error_logs?task_name=t&retry_id=0")
    assert.truthy(errors:find("[t] why\n", 1, true))
  end)

  it("have events beside them", function()
    local q = engine:run({ name = "ev", tasks = { S.sh("a", "true"), S.sh("b", "exit 2") } })
    local _, text = engine:request("GET", "/api/workflow/" .. q.name .. "/events")
    assert.truthy(text:find("[a] Started: ", 1, true))
    assert.truthy(text:find("[b] Failed: ", 1, true))
    _, text = engine:request("GET", "/api/workflow/" .. q.name .. "/events?task_name=a")
    assert.is_nil(text:find("[b]", 1, true))
    for line in text:gmatch("[^\n]+") do
      assert.truthy(line:find("^%d+/%d+/%d+ %d+:%d+:%d+ %[a%] %a+: "), line)
    end
  end)

  it("let go of a client that has hung up", function()
    local id = engine:submit({ name = "gone", tasks = { S.sh("t", "sleep 60") } })
    local listening = 0
    local function follow()
      return http.request({
        url = "http://localhost/api/workflow/" .. id .. "/logs",
        unix_socket = engine.paths.socket,
        timeout = "1d",
        on_data = function()
          listening = listening + 1
        end,
      })
    end
    local function descriptors()
      return #require("pai.fs").list(("/proc/%d/fd"):format(engine.proc.pid))
    end
    S.eventually(function()
      return engine:log(id):find("All Inputs Gathered", 1, true)
    end)
    local clients = {}
    for i = 1, 10 do
      clients[i] = task.spawn(follow)
    end
    S.eventually(function()
      return listening >= 10
    end)
    local open = descriptors()
    for _, t in ipairs(clients) do
      t:cancel()
    end
    S.eventually(function()
      return descriptors() <= open - 10
    end)
    assert(engine.client:cancel(id, { force = true }))
    assert(engine.client:wait(id, { timeout = "20s" }))
  end)

  it("survive a task that prints without end", function()
    local id = engine:submit({ name = "noisy", tasks = { S.sh("t", "yes 'a line of text'") } })
    S.eventually(function()
      return #get(id, { pai_follow = "false" }) > 1000000
    end)
    assert(engine.client:cancel(id, { force = true }))
    local q = assert(engine.client:wait(id, { timeout = "30s" }))
    assert.equal("FAILED_CANCELED", q.status)
    for line in get(id):sub(1, 100000):gmatch("[^\n]+\n") do
      assert.truthy(line:find("%[t%]"), line)
    end
  end)
end)
