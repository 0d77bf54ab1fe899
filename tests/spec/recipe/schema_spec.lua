-- Every mistake in a recipe is named by file, line and key.
local schema = require("pai.recipe.schema")
local loader = require("pai.recipe.loader")
local fs = require("pai.fs")

local HEAD = [[
return {
  api = 1,
  name = "x",
  title = "X",
  summary = "S.",
  safety = "observes",
]]
local STEPS = [[
  steps = {
    { name = "a", run = function() end },
  },
]]

describe("the recipe schema", function()
  local dir

  before_each(function()
    dir = fs.tempdir({ prefix = "pai-schema-" })
  end)

  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  local function load(text)
    assert(fs.write(dir .. "/x.lua", text))
    local one = loader.new({ cwd = dir })
    return one:load(dir .. "/x.lua")
  end

  local function problems(text)
    local loaded, list = load(text)
    assert.is_nil(loaded)
    local lines = {}
    for i, p in ipairs(list) do
      lines[i] = schema.format(p)
    end
    return lines
  end

  -- The one problem that a recipe with this body has.
  local function problem(body, steps)
    local lines = problems(HEAD .. body .. (steps or STEPS) .. "}\n")
    assert.are.equal(1, #lines, table.concat(lines, "\n"))
    return lines[1]
  end

  it("accepts a whole recipe", function()
    local loaded = assert(load(HEAD .. STEPS .. "}\n"))
    assert.are.equal("x", loaded.name)
    assert.are.equal(dir .. "/x", loaded.dir)
  end)

  it("names every missing key", function()
    local lines = problems("-- nothing\nreturn {}\n")
    assert.are.same({
      "x.lua:2: missing key 'api' in a recipe",
      "x.lua:2: missing key 'name' in a recipe",
      "x.lua:2: missing key 'safety' in a recipe: one of observes, changes, destroys",
      "x.lua:2: missing key 'steps' in a recipe",
      "x.lua:2: missing key 'summary' in a recipe",
      "x.lua:2: missing key 'title' in a recipe",
    }, lines)
  end)

  local cases = {
    {
      "an unknown key with the nearest name",
      '  tag = { "a" },\n',
      nil,
      "x.lua:7: tag: unknown key 'tag' in a recipe (did you mean 'tags'?)",
    },
    {
      "a wrong type",
      "  doc = 5,\n",
      nil,
      "x.lua:7: doc: 'doc' must be a string, not number",
    },
    {
      "another api",
      "",
      nil,
      "x.lua:2: api: this pai reads api = 1, not 2",
      { "api = 1", "api = 2" },
    },
    {
      "a safety that is none",
      "",
      nil,
      "x.lua:6: safety: 'safety' must be one of observes, changes, destroys, not 'harmless'",
      { '"observes"', '"harmless"' },
    },
    {
      "a safety with a slip",
      "",
      nil,
      "x.lua:6: safety: 'safety' must be one of observes, changes, destroys, not 'observs' "
        .. "(did you mean 'observes'?)",
      { '"observes"', '"observs"' },
    },
    {
      "no safety",
      "",
      nil,
      "x.lua:1: missing key 'safety' in a recipe: one of observes, changes, destroys",
      { 'safety = "observes",', "" },
    },
    {
      "a name with capitals",
      "",
      nil,
      "x.lua:3: name: a name is small letters, digits, '_' and '-'; not 'Xx'",
      { 'name = "x"', 'name = "Xx"' },
    },
    {
      "an unknown key of an input",
      '  inputs = {\n    v = { type = "string", defualt = "a" },\n  },\n',
      nil,
      "x.lua:8: inputs.v.defualt: unknown key 'defualt' in an input (did you mean 'default'?)",
    },
    {
      "an unknown type of an input",
      '  inputs = { v = { type = "strng" } },\n',
      nil,
      "x.lua:7: inputs.v.type: unknown type 'strng' (did you mean 'string'?)",
    },
    {
      "an enum without values",
      '  inputs = { v = { type = "enum" } },\n',
      nil,
      "x.lua:7: inputs.v: an enum needs 'values'",
    },
    {
      "a default that does not fit",
      '  inputs = { v = { type = "enum", values = { "aa", "bb" }, default = "ab" } },\n',
      nil,
      "x.lua:7: inputs.v.default: the default must be one of aa, bb; not 'ab' (did you mean 'aa'?)",
    },
    {
      "a secret with a default",
      '  inputs = { v = { type = "secret", default = "x" } },\n',
      nil,
      "x.lua:7: inputs.v.default: a secret has no default",
    },
    {
      "a list of lists",
      '  inputs = { v = { type = "list", of = "list" } },\n',
      nil,
      "x.lua:7: inputs.v.of: 'of' must be a type other than list and secret",
    },
    {
      "an unknown need",
      '  needs = { bin = { "ffmpeg" } },\n',
      nil,
      "x.lua:7: needs.bin: unknown key 'bin' in 'needs' (did you mean 'bins'?)",
    },
    {
      "a need that is no list",
      '  needs = { bins = "ffmpeg" },\n',
      nil,
      "x.lua:7: needs.bins: 'bins' must be a list of strings, not string",
    },
    {
      "an unknown key of a step",
      "",
      '  steps = {\n    { name = "a", runn = 1, run = function() end },\n  },\n',
      "x.lua:8: steps[1].runn: unknown key 'runn' in a step (did you mean 'run'?)",
    },
    {
      "a step that does nothing",
      "",
      '  steps = { { name = "a" } },\n',
      "x.lua:7: steps[1]: missing key 'run' in a step (or 'checks', 'verify' or 'use')",
    },
    {
      "two steps of one name",
      "",
      '  steps = {\n    { name = "a", run = function() end },\n'
        .. '    { name = "a", run = function() end },\n  },\n',
      "x.lua:9: steps[2].name: two steps are named 'a'",
    },
    {
      "a step after none",
      "",
      '  steps = {\n    { name = "submit", run = function() end },\n'
        .. '    { name = "b", after = { "submitt" }, run = function() end },\n  },\n',
      "x.lua:9: steps[2].after[1]: no step 'submitt' (did you mean 'submit'?)",
    },
    {
      "a circle",
      "",
      '  steps = {\n    { name = "a", after = { "b" }, run = function() end },\n'
        .. '    { name = "b", after = { "a" }, run = function() end },\n  },\n',
      "x.lua:8: steps[1].after: steps wait for each other: a → b → a",
    },
    {
      "checks beside run",
      "",
      '  steps = { { name = "a", checks = function() end, run = function() end } },\n',
      "x.lua:7: steps[1].run: a step with 'checks' has no 'run'",
    },
    {
      "done without run",
      "",
      '  steps = { { name = "a", verify = function() end, done = function() end } },\n',
      "x.lua:7: steps[1].done: 'done' without 'run'",
    },
    {
      "limit without each",
      "",
      '  steps = { { name = "a", run = function() end, limit = 2 } },\n',
      "x.lua:7: steps[1].limit: 'limit' is a count of at least 1, beside 'each'",
    },
    {
      "a timeout that is no duration",
      "",
      '  steps = { { name = "a", run = function() end, timeout = "soon" } },\n',
      'x.lua:7: steps[1].timeout: \'timeout\' must be a duration such as "30s" or "10m",'
        .. " not 'soon'",
    },
    {
      "a name of a step with a slash",
      "",
      '  steps = { { name = "a/b", run = function() end } },\n',
      "x.lua:7: steps[1].name: a step's name is letters, digits, '_', '-', '.'; not 'a/b'",
    },
    {
      "no steps",
      "",
      "  steps = {},\n",
      "x.lua:7: steps: a recipe needs at least one step",
    },
    {
      "a metatable",
      "  inputs = setmetatable({}, {}),\n",
      nil,
      "x.lua:7: inputs: a recipe is made of plain tables, without metatables",
    },
    {
      "a key that is no string",
      "  needs = { [1.5] = true },\n",
      nil,
      "x.lua:7: needs: a key must be a string, not number",
    },
    {
      "a returned value without a type",
      "  returns = { v = {} },\n",
      nil,
      "x.lua:7: returns.v: missing key 'type' in a returned value",
    },
  }
  for _, case in ipairs(cases) do
    it("names " .. case[1], function()
      local text = HEAD .. case[2] .. (case[3] or STEPS) .. "}\n"
      if case[5] then
        text = text:gsub(case[5][1]:gsub("%p", "%%%0"), (case[5][2]:gsub("%%", "%%%%")), 1)
      end
      assert.are.same({ case[4] }, problems(text))
    end)
  end

  it("does not follow tables that hold themselves", function()
    local text = "local t = {}\nt.a, t.b, t.c = t, t, t\n"
      .. HEAD
      .. "  inputs = t,\n"
      .. STEPS
      .. "}"
    assert.is_truthy(problems(text)[1]:find("more tables than a recipe can need", 1, true))
  end)

  it("names a chunk that returns no table", function()
    assert.are.same({ "x.lua:1: recipe must return one table, not number" }, problems("return 5\n"))
  end)

  it("names the line of a syntax error", function()
    local lines = problems("return {\n  api = = 1,\n}\n")
    assert.are.same({ "x.lua:2: unexpected symbol near '='" }, lines)
  end)

  it("checks a list that a function of the inputs returned", function()
    local source = { file = "x.lua", text = HEAD .. "  steps = function() end,\n}\n" }
    local steps, list = schema.check_steps({ { name = "a" } }, source)
    assert.is_nil(steps)
    assert.are.equal(
      "x.lua:7: steps[1]: missing key 'run' in a step (or 'checks', 'verify' or 'use')",
      schema.format(list[1])
    )
    assert.is_nil(schema.check_steps("none", source))
    assert.are.equal(1, #assert(schema.check_steps({ { name = "a", run = print } }, source)))
  end)

  it("has a problem only where there is one", function()
    assert.is_truthy(problem("  doc = 5,\n"))
  end)
end)
