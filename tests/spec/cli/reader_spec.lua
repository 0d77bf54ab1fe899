-- What somebody reads who has only the command line: where help ends, what a slip is answered with,
-- lists and columns, and how a run that has ended is told.
local columns = require("pai.cli.columns")
local support = dofile("tests/spec/run/support.lua")
local json = require("pai.json")

local ACTION <const> =
  'return { safety = "changes", steps = { { name = "a", run = function() end } } }\n'

local function component(name)
  local text = 'return { api = 1, name = "%s", title = "The %s", summary = "S.", reference = "R." }'
  return text:format(name, name) .. "\n"
end

describe("columns", function()
  local rows = { { "  --a", "one two three four five six seven" }, { "  --long-name X", "eight" } }

  it("are one line a row where there is no terminal", function()
    assert.equal(
      "  --a            one two three four five six seven\n  --long-name X  eight\n",
      columns.fit(rows)
    )
  end)

  it("wrap their last cell under itself", function()
    assert.equal(
      "  --a            one two three four five\n"
        .. "                 six seven\n"
        .. "  --long-name X  eight\n",
      columns.fit(rows, 41)
    )
  end)

  it("put it below where there is no room", function()
    assert.equal(
      "  --a\n      one two three four\n      five six seven\n  --long-name X\n      eight\n",
      columns.fit(rows, 24)
    )
  end)

  it("keep the indent of a list of one column", function()
    assert.equal("  one two\n  three\n", columns.fit({ { "  one two three" } }, 10))
  end)
end)

describe("a reader of the command line", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function says(r, part)
    local output = r.stdout .. r.stderr
    assert.is_truthy(output:find(part, 1, true), ("'%s' is not in:\n%s"):format(part, output))
  end

  local slips = {
    { { "--json", "version" }, "options come after the command: --json", "pai version ... --json" },
    { { "--state", "x", "list" }, "options come after the command", "pai list ... --state" },
    { { "-V" }, "no command '-V'", "pai help" },
    { { "hello" }, "no command 'hello': it is a recipe", "pai run hello" },
    { { "run" }, "missing RECIPE", "hint: pai run RECIPE [key=value ...]" },
    { { "runs", "show" }, "missing RUN", "hint: pai runs show RUN" },
    { { "version", "x" }, "too many arguments: 'x'", "hint: pai version\n" },
    { { "help", "runs", "shwo" }, "pai runs has no 'shwo' (did you mean 'show'?)" },
    { { "help", "run", "show" }, "pai run has no commands of its own, and no 'show'" },
    { { "run", "osmo-cli" }, "osmo-cli is a component", "hint: pai preflight|verify osmo-cli" },
    { { "preflight", "vda" }, "vda is a recipe, not a component", "pai check vda" },
    { { "lint", "none" }, "no recipe 'none'", "hint: pai list" },
  }
  for _, slip in ipairs(slips) do
    it("is told what to type: pai " .. table.concat(slip[1], " "), function()
      local r = bench:pai(slip[1])
      assert.equal(2, r.code)
      assert.equal("", r.stdout)
      says(r, slip[2])
      says(r, slip[3] or "")
    end)
  end

  it("finds each word of a help text on a line that is filled", function()
    local r = bench:pai({ "help", "k8s", "wait" })
    says(r, "\nA Job is waited for until it is Complete or Failed, whichever comes first;")
    says(r, "first; the\nsame holds for whatever")
  end)

  it("finds recipes before components, each component once, and specs nowhere", function()
    bench:write("components/one/component.lua", component("one"))
    bench:write("components/one/deploy.lua", ACTION)
    bench:write("components/one/verify.lua", 'return { safety = "observes", steps = {} }\n')
    bench:recipe("recipes/mine", 'steps = { { name = "a", run = function() end } },')
    bench:write("recipes/mine_spec.lua", 'describe("mine", function() end)\n')
    local r = bench:pai({ "list" })
    assert.equal(0, r.code)
    assert.is_nil(r.stdout:find("mine_spec", 1, true))
    local recipe = r.stdout:find("\n  hello ", 1, true)
    assert.is_true(recipe < r.stdout:find("\n  one ", 1, true))
    says(r, "The one: deploy\n")
    says(r, "broken:\n")
    says(r, "  one.verify ")
    r = bench:pai({ "list", "--tag", "wrkload" })
    assert.equal(0, r.code)
    says(r, "nothing has the tag wrkload (did you mean 'workload'?)")
  end)

  it("reads a reason once in a plan, and at its end what is red", function()
    bench:recipe(
      "r",
      [[steps = {
        { name = "a", run = function() return { n = 1 } end },
        { name = "b", after = { "a" },
          done = function(_, _, got) return got.a.n end, run = function() end },
        { name = "c", after = { "a" },
          done = function(_, _, got) return got.a.n end, run = function() end },
        { name = "gate", checks = function() return { { name = "x", state = "red" } } end },
      },]]
    )
    local r = bench:pai({ "plan", "./r.lua" })
    assert.equal(1, r.code, r.stderr)
    says(r, "unknown   b     unknown until a has run\nunknown   c     as above\n")
    says(r, "\nred gate\ndigest ")
  end)

  it("sees what must be given first", function()
    bench:recipe(
      "r",
      [[inputs = { a = { type = "integer", default = 3, doc = "How many." },
        b = { type = "enum", values = { "x", "y" }, doc = "Which." } },
      steps = { { name = "s", run = function() end } },]]
    )
    local r = bench:pai({ "show", "r.lua" })
    says(r, "  b  enum     Which. (x | y; required)\n  a  integer  How many. (default 3)\n")
  end)
end)

describe("a run that has ended", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local GATES <const> = [[
    inputs = { state = { type = "string", default = "ok" } },
    steps = {
      { name = "made", done = function() return { n = 1 } end, run = function() end },
      { name = "sound", after = { "made" },
        verify = function(_, inp) return { { name = "c", state = inp.state } } end },
      { name = "each", after = { "sound" },
        each = function() return { { key = "k1" }, { key = "k2" } } end,
        run = function(ctx, _, got) ctx.log("at " .. ctx.item.key) return {} end },
      { name = "last", after = { "each" }, run = function(ctx) ctx.log("the last") return {} end },
    },]]

  local function words(...)
    local r = bench:pai({ "runs", "show", ... })
    assert.equal(0, r.code, r.stderr)
    local found = {}
    for word, name in r.stdout:gmatch("\n  (%l[%l ]-) +([%w%[%]]+)%f[%s]") do
      found[name] = word
    end
    return found, r.stdout
  end

  it("is told by what came of each step, also of one that is only a gate", function()
    bench:recipe("r", GATES)
    assert.equal(0, bench:pai({ "run", "./r.lua" }).code)
    local found, said = words("last")
    assert.equal("already", found.made)
    assert.equal("done", found.sound)
    assert.equal("done", found["each[k2]"])
    assert.is_nil(said:find("to go on", 1, true))

    assert.equal(1, bench:pai({ "run", "./r.lua", "state=red", "--run-id", "run-red" }).code)
    found, said = words("run-red")
    assert.equal("already", found.made)
    assert.equal("red", found.sound)
    assert.is_truthy(said:find("to go on: pai resume run-red", 1, true))
  end)

  it("has the gate of a step in its JSON only where there is one", function()
    bench:recipe("r", GATES)
    assert.equal(0, bench:pai({ "run", "./r.lua" }).code)
    local shown = json.decode(bench:pai({ "runs", "show", "last", "--json" }).stdout)
    assert.is_nil(shown.steps.made.green)
    assert.is_true(shown.steps.sound.green)
    local listed = bench:pai({ "runs", "--json" }).stdout
    assert.is_truthy(listed:find('"media":[]', 1, true), listed)
  end)

  it("has the log of a step, of its items together, and of no step that is not there", function()
    bench:recipe("r", GATES)
    assert.equal(0, bench:pai({ "run", "./r.lua" }).code)
    local function logs(step)
      return bench:pai({ "runs", "logs", "last", "--step", step })
    end
    assert.equal("log     each[k1]: at k1\n", logs("each[k1]").stdout)
    local all = logs("each").stdout
    assert.is_truthy(all:find("at k1", 1, true) and all:find("at k2", 1, true), all)
    assert.is_nil(all:find("the last", 1, true))
    local r = logs("lsat")
    assert.equal(2, r.code)
    assert.is_truthy(r.stderr:find("has no step 'lsat' (did you mean 'last'?)", 1, true), r.stderr)
    assert.is_truthy(r.stderr:find("it has made, sound, each, last", 1, true), r.stderr)
  end)
end)
