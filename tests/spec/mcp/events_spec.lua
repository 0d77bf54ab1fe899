-- docs/events.md against what runs really print: every event and field that is printed is described
-- with its type, and every one that is described is printed by the recipes below.
local bench_support = dofile("tests/spec/run/support.lua")
local fs = require("pai.fs")
local json = require("pai.json")
local eventually = dofile("tests/spec/mcp/support.lua").eventually

-- { fields of every event, events = { [name] = { [field] = { type, optional } } } }
local function described()
  local common, events = {}, {}
  local section = common
  for line in assert(fs.read("docs/events.md")):gmatch("[^\n]+") do
    local event = line:match("^### `([%w.]+)`$")
    local name, kind, optional = line:match("^| `([%w_]+)` | (%a+)(%??) |")
    if event then
      events[event] = {}
      section = events[event]
    elseif line == "## Every event" then
      section = common
    elseif name then
      rawset(section, name, { kind = kind, optional = optional == "?" })
    end
  end
  return common, events
end

local is = {}
function is.string(v)
  return type(v) == "string"
end
function is.integer(v)
  return math.type(v) == "integer"
end
function is.boolean(v)
  return type(v) == "boolean"
end
function is.list(v)
  return type(v) == "table" and (json.is_array(v) or next(v) == nil)
end
function is.object(v)
  return type(v) == "table" and not json.is_array(v)
end
function is.any()
  return true
end

local FULL <const> = [[
  safety = "changes",
  inputs = {
    who = { type = "string" },
    hold = { type = "boolean", default = false },
  },
  needs = { bins = { "sh" }, writes = { "out" } },
  estimate = function() return { { name = "all", min = "1s", max = "2s" } } end,
  steps = function(inp) return {
    { name = "look", title = "Look", checks = function() return {
        { name = "a", state = "ok", measured = 1, expected = 1, hint = "none" } } end },
    { name = "left", when = function() return false, "not today" end,
      run = function() return {} end },
    { name = "flaky", after = { "look" }, retry = { times = 1, wait = "1ms" },
      run = function(ctx)
        if not ctx.fs.exists("out/tried") then
          ctx.write("out/tried", "yes")
          error({ code = "EBUSY", message = "busy", hint = "later", retryable = true })
        end
        require("full.later")
        ctx.heartbeat({ state = "measuring", observation = "half", next = "the rest" })
        return { n = 1 }
      end },
    { name = "items", after = { "flaky" }, each = function() return { { key = "x" } } end,
      run = function(ctx, _, _, item)
        ctx.exec({ "sh", "-c", "echo hi" })
        ctx.write("out/" .. item.key, item.key)
        ctx.media("out/" .. item.key)
        ctx.log("made " .. item.key)
        return { path = item.key }
      end },
    { name = "so", after = { "items" }, done = function() return { n = 2 } end,
      run = function() return {} end,
      verify = function() return { { name = "b", state = "ok" } } end },
    { name = "hold", after = { "so" }, when = function() return inp.hold, "not asked" end,
      run = function(ctx)
        ctx.wait(function() return ctx.fs.exists("go") or nil end, { every = "20ms" })
        return {}
      end,
      cancel = function(ctx) if ctx.fs.exists("stuck") then error("stuck") end end },
  } end,
  report = function() return { title = "R", sections = {} } end,
  returns = { n = { type = "integer", from = "so.n" } },
]]

describe("docs/events.md", function()
  local bench, common, events, seen

  setup(function()
    common, events = described()
    seen = {}
    bench = bench_support.new()
    bench:recipe("full", FULL)
    bench:write("out/.keep", "")
    bench:write("full/later.lua", "return {}")
    bench:recipe(
      "red",
      [[steps = { { name = "r", checks = function() return {
      { name = "c", state = "red" } } end } },]]
    )
    bench:recipe(
      "fails",
      [[needs = { bins = { "sh" } }, safety = "changes",
      steps = { { name = "f", run = function(ctx)
        ctx.exec({ "sh", "-c", "echo no >&2; exit 3" }) end } },]]
    )
    bench:recipe("bad", "stepz = 1,")
  end)

  teardown(function()
    bench:remove()
  end)

  -- Checks the events of a session against the text.
  local function check(list)
    assert.is_true(#list > 0)
    for _, e in ipairs(list) do
      local fields = assert(events[e.event], "an event that is not described: " .. e.event)
      seen[e.event] = seen[e.event] or {}
      for name, value in pairs(e) do
        local field = fields[name] or common[name]
        assert(field, ("%s.%s is not described"):format(e.event, name))
        assert(is[field.kind](value), ("%s.%s is no %s"):format(e.event, name, field.kind))
        seen[e.event][name] = true
      end
      for _, known in ipairs({ fields, common }) do
        for name, field in pairs(known) do
          local there = field.optional or e[name] ~= nil
          assert(there, ("%s lacks %s: %s"):format(e.event, name, json.encode(e)))
        end
      end
    end
    return list
  end

  local function last(list)
    for i = #list, 1, -1 do
      if list[i].event == "run.end" then
        return list[i]
      end
    end
  end

  it("describes a run from start to report", function()
    local list = check((bench:run({ "full.lua", "who=Ada" })))
    assert.are.equal("run.start", list[1].event)
    assert.are.equal("green", last(list).status, json.encode(last(list)))
    for i, e in ipairs(list) do
      assert.are.equal(i, e.seq)
    end
  end)

  it("describes what is missing, red, failed and broken", function()
    local list, r = bench:run({ "full.lua" })
    check(list)
    assert.are.equal("input_required", last(list).status)
    assert.is_truthy(last(list).reason:find("^USER_INPUT_REQUIRED: who"))
    assert.are.equal(3, r.code)
    for name, status in pairs({ red = "red", fails = "failed", bad = "failed" }) do
      list = check((bench:run({ name .. ".lua" })))
      assert.are.equal(status, last(list).status)
    end
    assert.is_truthy(last(check((bench:run({ "none.lua" })))).hint)
  end)

  it("describes a run that is interrupted, cancelled and resumed", function()
    local id = "run-events"
    local proc = bench:start({
      "run",
      "--json",
      "full.lua",
      "who=Ada",
      "hold=true",
      "--run-id",
      id,
    })
    local path = bench.state .. "/runs/" .. id .. "/journal.jsonl"
    eventually(function()
      return (fs.read(path) or ""):find('"step.start"[^\n]*"hold"')
    end, "the step that holds")
    proc:kill("TERM")
    proc:wait("30s")
    check(bench:journal(id))
    local function cancel()
      return check(bench_support.events(bench:pai({ "runs", "cancel", id, "--json" }).stdout))
    end
    cancel()
    bench:write("stuck", "")
    cancel()
    bench:write("go", "")
    bench:recipe("full", FULL .. "tags = {},")
    local list = check((bench:resume(id, { "--accept-changes" })))
    assert.are.equal("green", last(list).status)
    check(bench_support.events(bench:pai({ "runs", "watch", id, "--json" }).stdout))
  end)

  it("describes nothing that is not printed", function()
    for event, fields in pairs(events) do
      assert.is_truthy(seen[event], event .. " was never printed")
      for name in pairs(fields) do
        assert.is_truthy(seen[event][name], ("%s.%s was never printed"):format(event, name))
      end
    end
  end)

  it("is right about plain output", function()
    local r = bench:pai({ "run", "full.lua", "who=Ada" })
    assert.is_truthy(r.stdout:find("\nMEDIA:" .. bench.dir .. "/out/x\n", 1, true), r.stdout)
    r = bench:pai({ "run", "full.lua" })
    assert.is_truthy(r.stderr:find("^USER_INPUT_REQUIRED: who"))
  end)
end)
