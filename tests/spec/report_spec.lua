-- The HTML report: what it says, what it must never say, and that it needs nothing but itself.
local fixture = dofile("tests/spec/report_fixture.lua")
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local journal = require("pai.report.journal")
local media = require("pai.report.media")
local report = require("pai.report")
local secret = require("pai.secret")

describe("pai.report", function()
  local dir

  before_each(function()
    dir = fs.tempdir({ prefix = "pai-report-" })
  end)

  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  local function render(options, given)
    fixture.write(dir, options)
    local path = assert(report.render(dir, given))
    return assert(fs.read(path)), path
  end

  local function has(text, part)
    assert.is_truthy(text:find(part, 1, true), "not in the page: " .. part)
  end

  local function lacks(text, part)
    assert.is_nil(text:find(part, 1, true), "in the page: " .. part)
  end

  it("writes report.html into the run's folder unless told where", function()
    local _, path = render()
    assert.equal(dir .. "/report.html", path)
    local elsewhere = dir .. "/a/b/page.html"
    assert.equal(elsewhere, select(2, render({}, { path = elsewhere })))
    assert.is_true(fs.exists(elsewhere))
  end)

  it("shows verdict, gates, inputs, files, steps and log of a run", function()
    local page = render({ torn = true })
    has(page, "<h1>Video data augmentation</h1>")
    has(page, '<span class="pill big green">green</span>')
    has(page, "recall &lt;IoU 0.5&gt;")
    has(page, "at least 0.85")
    has(page, "augmentation_and_al")
    has(page, ("ab12"):rep(16))
    has(page, "nothing to show")
    has(page, "30.0s to 1m 30s")
    has(page, "5 of 5")
  end)

  it("says first why a run is red, with measured, expected and hint", function()
    local page = render({ red = true })
    has(page, "Why this run is not green")
    has(page, "measured not found, expected 5.1 or newer.")
    has(page, "apt-get install ffmpeg")
    has(page, "pai resume run-0a1b2c3d")
    lacks(page, "preflight: ffmpeg is red</p>")
    lacks(render({ ended = true }), "pai resume")
  end)

  it("shows notices and every kind of section", function()
    local page = render({}, {
      title = "A <title>",
      notices = { "Demo input was used." },
      sections = {
        { title = "T", kind = "table", columns = { "a", "b" }, rows = { { "x", 1.5 }, { "y" } } },
        {
          title = "Marks",
          kind = "table",
          columns = { "n", "m" },
          rows = { { 1, 2 }, { "-", "mixed" } },
        },
        { title = "Words", kind = "text", text = "one\ntwo" },
        {
          title = "B",
          kind = "bars",
          items = { { label = "p", value = 4 }, { label = "q", value = 1 } },
        },
      },
    })
    has(page, "<h1>A &lt;title&gt;</h1>")
    has(page, "Demo input was used.")
    has(page, '<td class="num">1.5</td>')
    -- A mark for none stands with the numbers; a column of both stays on the left.
    has(page, '<td class="num">-</td>')
    has(page, "<td>2</td>")
    has(page, "<td>mixed</td>")
    has(page, "one\ntwo")
    has(page, 'class="value" height="100%" rx="3" width="25.00%"')
  end)

  it("shows what lies in a table, whatever its metatable says", function()
    local cell = setmetatable({ kept = 1 }, {
      __metatable = false,
      __index = { unlisted = 2 },
      __pairs = error,
    })
    local section = { title = "T", kind = "table", columns = { "a" }, rows = { { cell } } }
    local page = render({}, { sections = { section } })
    has(page, "&quot;kept&quot;: 1")
    lacks(page, "unlisted")
  end)

  it("refuses a section of unknown kind by name", function()
    fixture.write(dir)
    local ok, failure = pcall(report.render, dir, { sections = { { kind = "chart" } } })
    assert.is_false(ok)
    has(tostring(failure), '"chart"')
  end)

  it("escapes what comes from outside, wherever it stands", function()
    local evil = "<script>alert(1)</script>\"' onload=x"
    local page = render({}, {
      title = evil,
      notices = { evil },
      sections = {
        { title = evil, kind = "table", columns = { evil }, rows = { { evil } } },
        {
          title = evil,
          kind = "media",
          items = { { path = "/" .. evil .. ".mp4", caption = evil } },
        },
        { title = evil, kind = "bars", items = { { label = evil, value = evil } } },
      },
    })
    lacks(page, "<script")
    lacks(page, "\"' onload")
    has(page, "&lt;script&gt;")
    lacks(render(), "\27")
    has(render(), "submitted &lt;b&gt;bold&lt;/b&gt; &amp; co")
  end)

  it("masks a secret in every text", function()
    local value = crypto.hex(16)
    fs.write(dir .. "/token", value, { mode = 384 })
    local handle = assert(secret.from_file(dir .. "/token"))
    local page = render({}, {
      title = "t " .. value,
      notices = { value },
      sections = {
        { title = value, kind = "text", text = "key=" .. value .. ";" },
        { title = "m", kind = "media", items = { { path = "/no/" .. value .. ".mp4" } } },
        {
          title = "t",
          kind = "table",
          columns = { "at the cut", "inside" },
          rows = { { ("x"):rep(8192 - 16) .. value, { [value] = value .. "\n" } } },
        },
      },
    })
    lacks(page, value)
    lacks(page, value:sub(1, 10))
    has(page, "key=***;")
    assert.equal(32, handle:len())
  end)

  it("embeds media whole and asks the network for nothing", function()
    local bytes = crypto.random(3000)
    fs.write(dir .. "/clip.mp4", bytes)
    local page = render({ media = { dir .. "/clip.mp4" } })
    local encoded = page:match('src="data:video/mp4;base64,([%w+/=]+)"')
    assert.equal(bytes, crypto.base64_decode(encoded))
    for url in page:gmatch('[sh]rc?e?f?="([^"]*)"') do
      assert.is_truthy(url:find("^data:") or url:find("^#"), url)
    end
    lacks(page, "<link")
    lacks(page, "@import")
    lacks(page, "url(")
  end)

  it("names media that it cannot embed, and why", function()
    fs.write(dir .. "/big.mp4", ("x"):rep(2000))
    fs.write(dir .. "/notes.txt", "x")
    local max = media.MAX_FILE
    media.MAX_FILE = 1000
    local page = render({ media = { dir .. "/big.mp4", dir .. "/gone.mp4", dir .. "/notes.txt" } })
    media.MAX_FILE = max
    has(page, "2.0 kB is too large to be put inside this page")
    has(page, "gone.mp4")
    has(page, "no video or image that a browser shows")
    lacks(page, "<video")
  end)

  it("forbids scripts and foreign content by a policy that admits its own style", function()
    local page = render()
    local css = page:match("<style>(.-)</style>")
    local raw = crypto.sha256(css):gsub("%x%x", function(hex)
      return string.char(tonumber(hex, 16))
    end)
    has(page, "default-src &#39;none&#39;")
    has(page, crypto.base64_encode(raw))
    lacks(page, "unsafe-inline")
  end)

  it("is the same page for the same run", function()
    assert.equal(render(), render())
  end)

  it("says what is wrong when there is no journal or no run in it", function()
    local path, failure = report.render(dir .. "/nowhere")
    assert.is_nil(path)
    assert.equal("ENOENT", failure.code)
    fs.write(dir .. "/journal.jsonl", "")
    path, failure = report.render(dir)
    assert.is_nil(path)
    assert.equal("EPARSE", failure.code)
  end)
end)

describe("pai.report.journal", function()
  local dir

  before_each(function()
    dir = fs.tempdir({ prefix = "pai-report-" })
  end)

  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  it("reads time stamps to the millisecond, leap days too", function()
    assert.equal(0, journal.time("1970-01-01T00:00:00.000Z"))
    assert.equal(1709164799999, journal.time("2024-02-28T23:59:59.999Z"))
    assert.equal(1709164800000 + 86400000, journal.time("2024-03-01T00:00:00Z"))
    assert.is_nil(journal.time("yesterday"))
    assert.is_nil(journal.time(nil))
  end)

  it("tells a step that a kill interrupted from the one that finished it", function()
    fixture.write(dir, { torn = true })
    local run = assert(journal.read(dir .. "/journal.jsonl"))
    local wait = run.by_name.wait
    assert.equal(2, #wait.bars)
    assert.equal("interrupted", wait.bars[1].state)
    assert.equal(9800, wait.bars[1].to - wait.bars[1].from)
    assert.equal("done", wait.bars[2].state)
    assert.equal("already", run.by_name.collect.state)
    assert.equal("skipped", run.by_name.evidence.state)
    assert.equal(2, #run.sessions)
    assert.equal("green", run.status)
  end)

  it("takes a gate for the whole of a step that is nothing else", function()
    fixture.write(dir, { torn = true })
    local path = dir .. "/journal.jsonl"
    local text = fs.read(path):gsub('[^\n]*"event":"step[^\n]*"step":"preflight"[^\n]*\n', "")
    fs.write(path, text)
    local step = assert(journal.read(path)).by_name.preflight
    assert.equal("done", step.state)
    assert.equal(12, step.bars[1].to - step.bars[1].from)
    fixture.write(dir, { red = true })
    step = assert(journal.read(path)).by_name.preflight
    assert.equal("failed", step.state)
    assert.equal(1, #step.bars)
    fs.write(path, (fs.read(path):gsub('[^\n]*"event":"step[^\n]*"step":"preflight"[^\n]*\n', "")))
    step = assert(journal.read(path)).by_name.preflight
    assert.equal("red", step.state)
  end)

  it("calls a step red whose work is done and whose gate is not green, until it is", function()
    local function line(event, fields)
      fields.event, fields.run, fields.t = event, "run-1", "2026-01-01T00:00:00.000Z"
      fields.step = "a"
      return require("pai.json").encode(fields) .. "\n"
    end
    local function gate(verdict)
      return line("gate", { kind = "verify", verdict = verdict, checks = {} })
    end
    local text = line("run.start", {}) .. line("step.start", {}) .. line("step.done", { ms = 1 })
    local path = dir .. "/journal.jsonl"
    fs.write(path, text .. gate("red"))
    local step = assert(journal.read(path)).by_name.a
    assert.equal("red", step.state)
    assert.equal("red", step.bars[1].state)
    fs.write(path, text .. gate("red") .. gate("green"))
    assert.equal("done", assert(journal.read(path)).by_name.a.state)
    fs.write(path, text .. gate("green"))
    assert.equal("done", assert(journal.read(path)).by_name.a.state)
  end)

  it("puts items behind their step, which stands as they do", function()
    local function line(event, fields)
      fields.event, fields.run, fields.t = event, "run-1", "2026-01-01T00:00:00.000Z"
      return require("pai.json").encode(fields) .. "\n"
    end
    local function ran(name, last)
      return line("step.start", { step = name }) .. line(last, { step = name, ms = 1, error = {} })
    end
    local graph = line("run.graph", { steps = { { name = "a" }, { name = "b" } } })
    local text = line("run.start", {}) .. graph .. ran("a[x]", "step.done")
    local path = dir .. "/journal.jsonl"
    for last, state in pairs({ ["step.done"] = "done", ["step.fail"] = "failed" }) do
      fs.write(path, text .. ran("a[y]", last))
      local run = assert(journal.read(path))
      local names = {}
      for i, step in ipairs(run.steps) do
        names[i] = step.name
      end
      assert.same({ "a", "a[x]", "a[y]", "b" }, names)
      assert.equal(state, run.by_name.a.state)
      assert.equal("waiting", run.by_name.b.state)
    end
  end)

  it("takes the last verdict of a gate and counts those before it", function()
    local function line(event, fields)
      fields.event, fields.run, fields.t = event, "run-1", "2026-01-01T00:00:00.000Z"
      return require("pai.json").encode(fields) .. "\n"
    end
    local function gate(verdict)
      return line("gate", { step = "a", kind = "verify", verdict = verdict, checks = {} })
    end
    fs.write(dir .. "/journal.jsonl", line("run.start", {}) .. gate("red"))
    assert.equal("red", journal.read(dir .. "/journal.jsonl").status)
    fs.write(dir .. "/journal.jsonl", line("run.start", {}) .. gate("red") .. gate("green"))
    local run = journal.read(dir .. "/journal.jsonl")
    assert.equal("green", run.status)
    assert.equal(1, run.gates[1].earlier)
  end)
end)
