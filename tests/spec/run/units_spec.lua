-- The parts of a run by themselves: journal, needs, results, small text and time helpers.
local support = dofile("tests/spec/run/support.lua")
local duration = require("pai.duration")
local err = require("pai.err")
local exec = require("pai.exec")
local fs = require("pai.fs")
local journal = require("pai.run.journal")
local json = require("pai.json")
local needs = require("pai.run.needs")
local text = require("pai.text")

describe("the journal", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function open()
    return assert(journal.open(bench.dir, "run-1"))
  end

  it("goes on where it ended", function()
    local one = open()
    one:append("log", { text = "a" })
    one:close()
    local two = open()
    assert.are.equal(2, two:append("log", { text = "b" }).seq)
    two:close()
    local events = assert(journal.read(bench.dir .. "/journal.jsonl"))
    assert.are.same({ "a", "b" }, { events[1].text, events[2].text })
    assert.are.equal(384, fs.stat(bench.dir .. "/journal.jsonl").mode & 511)
  end)

  it("cuts a torn tail, wherever it was torn", function()
    local one = open()
    one:append("log", { text = "a" })
    one:append("log", { text = "b" })
    one:close()
    local whole = fs.read(bench.dir .. "/journal.jsonl")
    local first = whole:find("\n", 1, true)
    for size = first + 1, #whole - 1 do
      assert(fs.write(bench.dir .. "/journal.jsonl", whole:sub(1, size)))
      local events, e, info = journal.read(bench.dir .. "/journal.jsonl")
      assert.is_nil(e)
      assert.are.equal(1, #events)
      assert.is_true(info.torn)
      local two = open()
      assert.are.equal(2, two:append("log", { text = "c" }).seq)
      two:close()
      events = assert(journal.read(bench.dir .. "/journal.jsonl"))
      assert.are.same({ "a", "c" }, { events[1].text, events[2].text })
    end
  end)

  it("has a result on disk soon, before the next intent, and when it is closed", function()
    local script = [[
      local journal = require("pai.run.journal")
      require("pai.task").run(function()
        local one = assert(journal.open(%q, "run-1", %s))
        one:append("step.start", { step = "o" }, true)
        one:append("step.done", { step = "a" })
        one:append("step.done", { step = "b" })
        require("pai.task").sleep(%s)
        one:append("step.start", { step = "c" })
        one:append("step.fail", { step = "c" })
        one:close()
      end)]]
    local function order(pause, observes)
      local traced = assert(exec.run({
        "strace",
        "-qq",
        "-e",
        "trace=write,fsync",
        "-s",
        "500",
        pai.exe,
        "lua",
        "/dev/stdin",
      }, {
        stdin = script:format(bench.dir, observes, pause),
        env = { ASAN_OPTIONS = "detect_leaks=0" },
      }))
      local list = {}
      for line in traced.stderr:gmatch("[^\n]+") do
        list[#list + 1] = line:find("^fsync") and "sync" or line:match([[step\":\"(%a)]])
      end
      return table.concat(list, " ")
    end
    assert.are.equal("o a b sync c sync c sync", order("'500ms'"))
    assert(fs.remove(bench.dir .. "/journal.jsonl"))
    assert.are.equal("o a b c sync c sync", order(0))
    assert(fs.remove(bench.dir .. "/journal.jsonl"))
    assert.are.equal("o a b c c", order("'500ms'", true))
  end)

  it("names a damaged line in the middle", function()
    assert(fs.write(bench.dir .. "/journal.jsonl", '{"event":"a","seq":1}\nxx\n{"event":"b"}\n'))
    local events, e = journal.read(bench.dir .. "/journal.jsonl")
    assert.is_nil(events)
    assert.are.equal(bench.dir .. "/journal.jsonl:2: the line is damaged", e.message)
  end)

  it("keeps foreign bytes out of its lines, and empty lists as lists", function()
    local one = open()
    one:append("log", { text = "a\xffb\xe2\x82", list = json.array({}) })
    one:close()
    local line = fs.read(bench.dir .. "/journal.jsonl")
    local event = assert(json.decode(line))
    assert.are.equal("a\u{FFFD}b\u{FFFD}\u{FFFD}", event.text)
    assert.is_truthy(line:find('"list":[]', 1, true))
  end)

  it("raises when it can't be written, since nothing may happen unrecorded", function()
    local one = open()
    one:close()
    local ok, e = pcall(one.append, one, "log", { text = "a" })
    assert.is_false(ok)
    assert.is_truthy(tostring(e):find("journal") or tostring(e):find("closed"))
  end)
end)

describe("needs", function()
  local function bind(declared, inp, parent)
    return needs.bind(declared, inp or {}, {
      cwd = "/base",
      run_dir = "/state/run",
      osmo = "https://osmo.test:8443",
      parent = parent,
      recipe = "r",
    })
  end

  local function allows(bound, method, ...)
    local ok, e = pcall(bound[method], bound, ...)
    assert.is_true(ok or err.is(e, "EACCES"), tostring(e))
    return ok
  end

  it("fill in inputs and the OSMO that is spoken to", function()
    local bound = bind(
      { writes = { "@out", "media" }, hosts = { "@osmo", "@urls" }, bins = { "@tool" } },
      { out = "/data/out", urls = { "http://a.test/x", "b.test" }, tool = "/opt/tool" }
    )
    assert.is_true(allows(bound, "check_write", "/data/out/x"))
    assert.is_true(allows(bound, "check_write", "/base/media/x"))
    assert.is_true(allows(bound, "check_write", "/state/run/x"))
    assert.is_false(allows(bound, "check_write", "/data/outer"))
    assert.is_false(allows(bound, "check_write", "/base/x"))
    assert.is_true(allows(bound, "check_host", "https://osmo.test:8443/api"))
    assert.is_false(allows(bound, "check_host", "https://osmo.test/api"))
    assert.is_true(allows(bound, "check_host", "http://a.test:80/y"))
    assert.is_true(allows(bound, "check_bin", "/opt/tool"))
  end)

  it("match hosts whole, with ports and wildcards", function()
    local bound = bind({ hosts = { "a.test", "b.test:81", "*.c.test", "[::1]:5" } })
    local yes = {
      "http://a.test/",
      "https://A.TEST:8443/x",
      "http://user@a.test/",
      "http://b.test:81/",
      "http://x.c.test/",
      "http://[::1]:5/",
    }
    local no = {
      "http://xa.test/",
      "http://a.test.x/",
      "http://a.test@evil.test/",
      "http://b.test/",
      "http://c.test/",
      "http://xc.test/",
      "http://[::1]:6/",
      "",
    }
    for _, url in ipairs(yes) do
      assert.is_true(allows(bound, "check_host", url), url)
    end
    for _, url in ipairs(no) do
      assert.is_false(allows(bound, "check_host", url), url)
    end
  end)

  it("of a used recipe count only as far as those of the outer one", function()
    local outer = bind({ bins = { "sh" }, writes = { "a" } })
    local inner = bind({ bins = { "sh", "rm" }, writes = { "." } }, {}, outer)
    assert.is_true(allows(inner, "check_bin", "sh"))
    assert.is_false(allows(inner, "check_bin", "rm"))
    assert.is_true(allows(inner, "check_write", "/base/a/x"))
    assert.is_false(allows(inner, "check_write", "/base/b"))
  end)
end)

describe("text", function()
  it("finds the nearest name", function()
    assert.are.equal("augmentation", text.nearest("augmentaton", { "e2e", "augmentation" }))
    assert.are.equal("ab", text.nearest("ba", { "xy", "ab" }))
    assert.are.equal("auto_labeling", text.nearest("labeling", { "e2e", "auto_labeling" }))
    assert.is_nil(text.nearest("zzz", { "e2e", "augmentation" }))
    assert.are.equal("", text.did_you_mean("zzz", { "abc" }))
  end)

  it("cuts and pads by columns", function()
    assert.are.equal("abc", text.cut("abc", 3))
    assert.are.equal("ab…", text.cut("abcd", 3))
    assert.are.equal("日…", text.cut("日本語", 4))
    assert.are.equal("", text.cut("abc", 0))
    assert.are.equal("日  ", text.pad("日", 4))
  end)

  it("lays rows out in columns, plain or not", function()
    local function columns(...)
      return text.columns({ ... })
    end
    assert.are.equal(
      "a    bb\nccc\nd    e   f\n",
      columns({ "a", "bb" }, { "ccc" }, { "d", "e", "f" })
    )
    assert.are.equal("日  b\nab  c\n", columns({ "日", "b" }, { "ab", "c" }))
    assert.are.equal("a\n\n", columns({ "a", "" }, { "", "" }))
    assert.are.equal("x\n", columns({ "x", "  " }))
    local long = ("x"):rep(150)
    assert.are.equal(
      long .. "  b\nc" .. (" "):rep(151) .. "d\n",
      columns({ long, "b" }, { "c", "d" })
    )
    assert.are.equal("a  100%\n", columns({ "a", "100%" }))
    assert.are.equal("", text.columns({}))
  end)

  it("masks plain data whole, and gives it back when there is nothing to mask", function()
    local secret = require("pai.secret")
    local dir = fs.tempdir({ prefix = "pai-units-" })
    local value = require("pai.crypto").hex(16)
    fs.write(dir .. "/key", value, { mode = 384 })
    assert(secret.from_file(dir .. "/key"))
    fs.remove(dir, { recursive = true })
    local clean = { a = { "x", { b = 1, c = true } }, [2] = "y" }
    assert.are.equal(clean, text.masked(clean))
    local dirty = { a = { "x", { b = "say " .. value } }, [value] = "y", n = 1 }
    assert.are.same({ a = { "x", { b = "say ***" } }, ["***"] = "y", n = 1 }, text.masked(dirty))
    assert.are.equal("say " .. value, dirty.a[2].b)
    assert.are.equal("***", text.masked(value))
  end)

  it("makes one clean line of anything", function()
    assert.are.equal("a b", text.one_line(" a\n\tb \r\n"))
    assert.are.equal("red", text.one_line("\27[31mred\27[0m"))
    assert.are.equal("x", text.one_line("\27]0;title\7x"))
    assert.is_truthy(utf8.len(text.utf8("\xff\xfe a \xc3")))
    assert.are.equal("é", text.utf8("é"))
  end)

  it("wraps words", function()
    assert.are.equal("aa bb\ncc", text.wrap("aa bb cc", 5))
    assert.are.equal("  a\n\n  b", text.wrap("a\n\nb", 10, "  "))
  end)
end)

describe("durations", function()
  it("are read", function()
    local cases = { ["250ms"] = 250, ["30s"] = 30000, ["10m"] = 600000, ["2h"] = 7200000 }
    for value, ms in pairs(cases) do
      assert.are.equal(ms, duration.parse(value))
    end
    assert.are.equal(86400000, duration.parse("1d"))
    assert.are.equal(5, duration.parse(5))
    for _, bad in ipairs({ "", "5", "s", "-1s", "1.5s", "1 s", "1w", -1, 1.5, true }) do
      assert.is_nil(duration.parse(bad))
    end
  end)

  it("are written", function()
    assert.are.same({ "0 ms", "999 ms", "1.0s", "59.9s", "1m 00s", "1m 05s", "2h 03m", "3d 04h" }, {
      duration.format(0),
      duration.format(999),
      duration.format(1000),
      duration.format(59900),
      duration.format(59960),
      duration.format(65000),
      duration.format(7380000),
      duration.format(273600000),
    })
  end)
end)

describe("errors", function()
  it("are wrapped whatever was raised", function()
    local plain = err.wrap({ code = "EX", message = "m", hint = "h" })
    assert.are.same(
      { "EX", "m", "h", false },
      { plain.code, plain.message, plain.hint, plain.retryable }
    )
    assert.are.equal("m", tostring(plain))
    assert.are.equal("ERECIPE", err.wrap("recipe:x.lua:1: no").code)
    assert.are.equal("x.lua:1: no", err.wrap("recipe:x.lua:1: no").message)
    assert.are.equal("EINTERNAL", err.wrap("x.lua:1: no").code)
    assert.are.equal("EINTERNAL", err.wrap(nil).code)
    local traced = err.wrap("no\nstack traceback:\n\tx")
    assert.are.same({ "no", "stack traceback:\n\tx" }, { traced.message, traced.trace })
    assert.are.equal(plain, err.wrap(plain))
  end)

  it("have the shape of the host's own", function()
    local _, e = fs.read("/nonexistent")
    assert.is_true(err.is(e, "ENOENT"))
    assert.is_false(err.is(e, "EACCES"))
    assert.are.equal(e, err.wrap(e))
    assert.are.equal("pai.error", getmetatable(e))
  end)
end)
