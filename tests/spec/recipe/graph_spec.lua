-- The graph: order, steps of used recipes, and what a used recipe may need.
local support = dofile("tests/spec/run/support.lua")
local graph = require("pai.recipe.graph")
local inputs = require("pai.recipe.inputs")
local loader = require("pai.recipe.loader")

describe("the graph", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function component(name, action, body)
    bench:write(
      ("components/%s/component.lua"):format(name),
      ('return { api = 1, name = "%s", title = "K", summary = "S." }\n'):format(name)
    )
    bench:write(("components/%s/%s.lua"):format(name, action), "return {\n" .. body .. "\n}\n")
  end

  local function build(given)
    local one = loader.new({ cwd = bench.dir })
    local loaded, problems = one:load(bench.dir .. "/r.lua")
    assert(loaded, problems and problems[1].message)
    local resolved = inputs.resolve(loaded.doc.inputs or {}, given or {}, { cwd = bench.dir })
    return (graph.build(one, loaded, resolved, bench.dir)), one, resolved
  end

  local function shape(built)
    local rows = {}
    for i, node in ipairs(built.nodes) do
      local after = graph.copy(node.after)
      table.sort(after)
      rows[i] = node.name .. "<" .. table.concat(after, ",")
    end
    return rows
  end

  it("keeps the written order where it can", function()
    bench:recipe(
      "r",
      [[steps = {
      { name = "c", after = { "a", "b" }, run = function() end },
      { name = "b", run = function() end },
      { name = "a", run = function() end },
    },]]
    )
    assert.are.same({ "a<", "b<", "c<a,b" }, shape(build()))
  end)

  it("takes steps from a function of the inputs", function()
    bench:recipe(
      "r",
      [[
      inputs = { n = { type = "integer", default = 2 } },
      steps = function(inp)
        local list = {}
        for i = 1, inp.n do
          local after = i > 1 and { "s" .. i - 1 } or nil
          list[i] = { name = "s" .. i, after = after, run = function() end }
        end
        return list
      end,]]
    )
    assert.are.same({ "s1<", "s2<s1" }, shape(build()))
    assert.are.same({ "s1<", "s2<s1", "s3<s2" }, shape(build({ n = 3 })))
  end)

  it("names the line when that function is wrong", function()
    bench:recipe(
      "r",
      [[
      steps = function(inp)
        return { { name = "a", after = { "b" .. inp.none } } }
      end,]]
    )
    local ok, e = pcall(build)
    assert.is_false(ok)
    assert.is_truthy(e.message:find("^r.lua:%d+: steps: "), e.message)
  end)

  it("puts the steps of a used recipe in their place", function()
    component(
      "k8s",
      "deploy",
      [[
      safety = "observes",
      steps = {
        { name = "apply", run = function() end },
        { name = "wait", after = { "apply" }, run = function() end },
      },]]
    )
    bench:recipe(
      "r",
      [[steps = {
      { name = "first", run = function() end },
      { name = "cluster", after = { "first" }, use = "k8s.deploy" },
      { name = "last", after = { "cluster" }, run = function() end },
    },]]
    )
    assert.are.same({
      "first<",
      "cluster/apply<first",
      "cluster/wait<cluster/apply",
      "cluster<cluster/apply,cluster/wait,first",
      "last<cluster",
    }, shape(build()))
  end)

  it("refuses what a used recipe needs beyond the outer one", function()
    component(
      "k8s",
      "deploy",
      [[
      safety = "destroys", needs = { bins = { "kubectl", "helm" }, hosts = { "@osmo" } },
      steps = { { name = "a", run = function() end } },]]
    )
    bench:recipe(
      "r",
      [[
      safety = "changes", needs = { bins = { "kubectl" } },
      steps = { { name = "cluster", use = "k8s.deploy" } },]]
    )
    local ok, e = pcall(build)
    assert.is_false(ok)
    assert.are.equal("ESCHEMA", e.code)
    assert.is_truthy(
      e.message:find("needs more than r declares: safety: it destroys, needs.bins: helm", 1, true),
      e.message
    )
  end)

  it("refuses recipes that use each other, and names that are none", function()
    component("a", "deploy", 'safety = "observes", steps = { { name = "s", use = "b.deploy" } },')
    component("b", "deploy", 'safety = "observes", steps = { { name = "s", use = "a.deploy" } },')
    bench:recipe("r", 'steps = { { name = "x", use = "a.deploy" } },')
    local ok, e = pcall(build)
    assert.is_false(ok)
    assert.is_truthy(e.message:find("uses itself", 1, true), e.message)
    bench:recipe("r", 'steps = { { name = "x", use = "c.deploy" } },')
    ok, e = pcall(build)
    assert.is_false(ok)
    assert.is_truthy(e.message:find("r.lua:4: step x: no recipe 'c.deploy'", 1, true), e.message)
  end)

  it("gives one digest for one plan, and another for each difference", function()
    bench:recipe(
      "r",
      [[
      inputs = { n = { type = "integer", default = 2 } },
      steps = { { name = "a", run = function() end } },]]
    )
    local function digest(given, target)
      local built, one, resolved = build(given)
      return graph.digest(one.files, resolved.record, target or "local", built)
    end
    local first = digest()
    assert.are.equal(first, digest())
    assert.are_not.equal(first, digest({ n = 3 }))
    assert.are_not.equal(first, digest(nil, "osmo"))
    bench:recipe(
      "r",
      [[
      inputs = { n = { type = "integer", default = 2 } },
      steps = { { name = "a", run = function() return 1 end } },]]
    )
    assert.are_not.equal(first, digest())
  end)
end)
