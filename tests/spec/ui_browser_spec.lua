-- The live page in a real browser: it follows a run to its end, takes nothing that a run says for
-- markup, asks nobody else for anything, and fits a narrow screen.
local support = dofile("tests/spec/run/support.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")

describe("pai ui in Chromium", function()
  local bench, server, browser, url

  local function ask(command)
    assert(browser:write(json.encode(command) .. "\n"))
    local answer = json.decode((assert(browser:read_line("120s"))))
    assert.is_nil(answer.problem, tostring(answer.problem) .. "\n" .. tostring(answer.text))
    return answer
  end

  setup(function()
    bench = support.new()
    bench:recipe(
      "r",
      [[title = "A <b>title</b>", safety = "changes", needs = { bins = { "sh" } },
      inputs = { word = { type = "string", default = "<img src=x onerror=alert(1)>" } },
      steps = {
        { name = "first", checks = function() return { { name = "c", state = "ok" } } end },
        { name = "left", after = { "first" }, run = function(ctx)
          ctx.log("<script>alert(1)</script>")
          ctx.heartbeat({ state = "busy", observation = "half of it" })
          ctx.exec({ "sh", "-c", "echo printed; until [ -e go ]; do sleep 0.05; done" })
        end },
        { name = "right", after = { "first" }, run = function() end },
        { name = "last", after = { "left", "right" }, run = function() end,
          verify = function() return { { name = "big", state = "red", measured = 1,
            expected = "two", hint = "more of it" } } end },
      },
      report = function() return { title = "Its report" } end,]]
    )
    server = bench:start({ "ui", "--json" })
    url = json.decode((assert(server:read_line("30s")))).url
    browser = assert(exec.start({ "node", "tests/peers/browser/live.js" }, {
      stdin = "pipe",
      accept = "any",
    }))
  end)

  teardown(function()
    browser:close_stdin()
    browser:wait("60s")
    browser:stop()
    server:stop()
    bench:remove()
  end)

  local function class_of(seen, step)
    for _, node in ipairs(seen.nodes) do
      if node[1] == step then
        return node[2]
      end
    end
  end

  it("follows a run from nothing to its red gate", function()
    ask({ go = url })
    ask({ see = "#none", text = "No runs yet" })
    local run = bench:start({ "run", "./r.lua", "--json" })
    -- The newest run opens by itself.
    ask({ see = "#steps", text = "half of it" })
    ask({ see = "#log", text = "<script>alert(1)</script>" })
    local seen = ask({ survey = true })
    assert.equal(url:match("^(.-)%?"), (seen.address:gsub("#run%-%x+$", "")))
    assert.equal("", seen.cookie)
    assert.equal("node blue", class_of(seen, "left"))
    assert.equal("node green", class_of(seen, "first"))
    assert.equal("node ", class_of(seen, "last"))
    assert.is_truthy(seen.text:find("A <b>title</b>", 1, true), seen.text)
    ask({ click = "#steps li:nth-child(2) summary" })
    ask({ see = "#steps pre.output", text = "printed" })
    bench:write("go", "")
    ask({ see = "#status", text = "red" })
    ask({ see = "#steps", text = "more of it" })
    ask({ see = "#why", text = "pai resume run-" })
    local shot = bench.root .. "/red.png"
    seen = ask({ shot = shot, survey = true })
    assert.equal("node red", class_of(seen, "last"))
    assert.equal("node green", class_of(seen, "left"))
    assert.is_true(fs.stat(shot).size > 10000)
    assert.equal(0, seen.bold)
    assert.equal(0, seen.unnamed)
    assert.equal(0, seen.overflow)
    assert.same({}, seen.complaints)
    for _, request in ipairs(seen.requests) do
      local own = request:find(url:match("^(http://[^/]+/)"), 1, true) == 1
      assert.is_true(own or request:find("^data:") ~= nil, request)
    end
    assert.equal(1, assert(run:wait("30s")).code)
    assert.is_truthy(seen.text:find("Report", 1, true))
  end)

  it("fits a narrow screen, follows the dark choice, and opens the report", function()
    local backgrounds = {}
    for _, mode in ipairs({ "narrow", "dark" }) do
      ask({ go = url, mode = mode })
      ask({ see = "#status", text = "red" })
      local seen = ask({ survey = true })
      assert.equal(0, seen.overflow, mode)
      backgrounds[mode] = seen.background
      ask({
        go = url:match("^(http://[^/]+)/") .. "/report?run=" .. seen.address:match("run%-%x+$"),
      })
      seen = ask({ see = "h1", text = "Its report", survey = true })
      assert.equal("Its report", seen.title)
      assert.equal(json.null, seen.cookie) -- it is in a sandbox
      assert.same({}, seen.complaints)
    end
    assert.not_equal(backgrounds.narrow, backgrounds.dark)
  end)

  it("says plainly of an unknown run, a missing token and a lost server what they are", function()
    local base = url:match("^(http://[^/]+/)")
    ask({ go = url })
    ask({ see = "#status", text = "red" })
    ask({ go = base .. "#run-none" })
    ask({ see = "#empty", text = "There is no run run-none." })
    ask({ forget = true, go = base })
    ask({ see = "body", text = "Open the whole address that pai ui has printed" })
    ask({ go = url })
    ask({ see = "#status", text = "red" })
    ask({ gone = "#lost" })
    server:kill("SIGINT")
    assert.equal(0, assert(server:wait("30s")).code)
    ask({ see = "#lost", text = "pai ui has ended" })
  end)
end)
