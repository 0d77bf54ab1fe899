-- Loading: what a recipe's chunk can reach, `require`, components, and the record of files.
local support = dofile("tests/spec/run/support.lua")
local fs = require("pai.fs")
local loader = require("pai.recipe.loader")
local schema = require("pai.recipe.schema")

local BODY = 'steps = { { name = "a", run = function() end } },'

describe("the loader", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function load(name)
    local one = loader.new({ cwd = bench.dir })
    local loaded, problems = one:load(bench.dir .. "/" .. name)
    return loaded, problems and schema.format(problems[1]), one
  end

  -- What loading says when this code stands before the recipe's table.
  local function said(code)
    bench:recipe("r", BODY, code)
    local _, message = load("r.lua")
    return message
  end

  local missing = {
    { "os.execute('true')", "r.lua:1: os.execute does not exist in a recipe: use ctx.exec" },
    { "io.popen('true')", "r.lua:1: the global io does not exist in a recipe: use ctx.read" },
    { "io.open('x', 'w')", "r.lua:1: the global io does not exist in a recipe: use ctx.read" },
    { "debug.getregistry()", "r.lua:1: the global debug does not exist in a recipe" },
    { "package.loadlib('x', 'y')", "r.lua:1: the global package does not exist in a recipe" },
    { "print('x')", "r.lua:1: the global print does not exist in a recipe: use ctx.log" },
    { "local x = pai.exec", "r.lua:1: the global pai does not exist in a recipe" },
    { "dofile('x')", "r.lua:1: the global dofile does not exist in a recipe" },
    { "local x = os.getenv('HOME')", "r.lua:1: os.getenv does not exist in a recipe" },
    { "os.exit(0)", "r.lua:1: os.exit does not exist in a recipe" },
    { "leak = 1", "r.lua:1: assignment to the global leak in a recipe: say local" },
    { "helper()", "r.lua:1: the global helper does not exist in a recipe" },
  }
  for _, case in ipairs(missing) do
    it("says of " .. case[1] .. " that it is not there", function()
      local message = said(case[1])
      assert.are.equal(case[2], message:sub(1, #case[2]))
    end)
  end

  it("refuses bytecode, also through load", function()
    local code = string.dump(function() end)
    assert(fs.write(bench.dir .. "/r.lua", code))
    local loaded = load("r.lua")
    assert.is_nil(loaded)
    assert.is_truthy(said(("local f = assert(load(%q))"):format("return io")) == nil)
    assert.is_truthy(said('local x = load("return io.open")()'):find("the global io", 1, true))
    local dumped = ("local f, e = load(%q) assert(f, e)"):format(code)
    assert.is_truthy(said(dumped))
  end)

  it("keeps the metatable of strings and that of globals shut", function()
    assert.is_truthy(said("getmetatable('').__index = nil"))
    assert.is_truthy(said("getmetatable(_G).__index = nil"))
    assert.is_truthy(said("setmetatable(_G, {})"))
    assert.is_truthy(said("setmetatable({}, { __gc = function() end })"))
  end)

  it("requires modules of the recipe's own folder, once each, and records them", function()
    bench:write("r/graph.lua", 'local n = 0\nreturn { name = "g" }\n')
    bench:write("r/deep/er.lua", 'return require("r.graph")\n')
    local path =
      bench:recipe("r", BODY, 'local g = require("r.graph")\nassert(g == require("r.deep.er"))')
    local loaded, message, one = load("r.lua")
    assert.is_nil(message)
    assert.are.equal(path, loaded.path)
    local names = {}
    for i, file in ipairs(one.files) do
      names[i] = one:shown(file.path)
      assert.are.equal(require("pai.crypto").sha256(fs.read(file.path)), file.sha256)
    end
    assert.are.same({ "r.lua", "r/graph.lua", "r/deep/er.lua" }, names)
  end)

  it("requires what pai declares for all, in the same environment, and records it", function()
    local head = 'local s = require("pai.shared.stages")\nassert(s.OSMO.azure == "osmo-azure")\n'
    bench:recipe("r", BODY, head .. 'assert(require("pai.shared.nims").NIMS["qwen3-vl"])')
    local loaded, message, one = load("r.lua")
    assert.is_nil(message)
    assert.are.equal("r", loaded.name)
    local names = {}
    for i, file in ipairs(one.files) do
      names[i] = file.path:match("[^/]+/[^/]+$")
    end
    assert.are.same({ "shared/stages.lua", "shared/nims.lua" }, { names[2], names[3] })
    -- Each of them is no more than data and functions: nothing of pai's is in its reach.
    for _, name in ipairs(fs.list(pai.root .. "/lua/pai/shared")) do
      local module = name:match("^([%w_]+)%.lua$")
      assert.is_nil(
        said(('assert(type(require("pai.shared.%s")) == "table")'):format(module)),
        module
      )
    end
    bench:write("r/x.lua", "return 1\n")
    assert.is_truthy(said('require("pai.shared.none")'):find("pai.shared.none", 1, true))
    assert.is_truthy(said('require("pai.shared")'):find("of its own folder only", 1, true))
  end)

  it("requires nothing else", function()
    bench:write("other/x.lua", "return 1\n")
    assert.is_truthy(said('require("other.x")'):find("of its own folder only", 1, true))
    assert.is_truthy(said('require("pai.exec")'):find("of its own folder only", 1, true))
    assert.is_truthy(said('require("r...x")'):find("takes the name of a module", 1, true))
    assert.is_truthy(said('require("r.none")'):find("module 'r.none'", 1, true))
    assert(fs.mkdir(bench.dir .. "/r"))
    assert(fs.symlink(bench.dir .. "/other/x.lua", bench.dir .. "/r/link.lua"))
    assert.is_truthy(said('require("r.link")'):find("outside of the recipe's folder", 1, true))
  end)

  it("names the line in a module that is wrong", function()
    bench:write("r/bad.lua", "local x = 1\nx.y.z = 1\nreturn {}\n")
    assert.is_truthy(said('require("r.bad")'):find("r/bad.lua:2:", 1, true))
    bench:write("r/a.lua", 'return require("r.b")\n')
    bench:write("r/b.lua", 'return require("r.a")\n')
    assert.is_truthy(said('require("r.a")'):find("requires itself", 1, true))
  end)

  it("puts a component and its action together", function()
    bench:write(
      "components/k8s/component.lua",
      [[
return { api = 1, name = "k8s", title = "Kubernetes", summary = "A cluster.",
  inputs = { size = { type = "integer", default = 1 } }, needs = { bins = { "kubectl" } } }
]]
    )
    bench:write(
      "components/k8s/deploy.lua",
      [[
return { safety = "changes", needs = { bins = { "helm" } },
  inputs = { wait = { type = "boolean", default = true } },
  steps = { { name = "a", run = function() end } } }
]]
    )
    local loaded = assert(load("components/k8s/deploy.lua"))
    assert.are.equal("k8s.deploy", loaded.name)
    assert.are.equal("Kubernetes: deploy", loaded.doc.title)
    assert.are.equal("A cluster.", loaded.doc.summary)
    assert.are.same({ "kubectl", "helm" }, loaded.doc.needs.bins)
    assert.is_truthy(loaded.doc.inputs.size and loaded.doc.inputs.wait)
    assert.are.equal(bench.dir .. "/components/k8s", loaded.dir)
  end)

  it("says that a file is not there", function()
    local _, message = load("none.lua")
    assert.is_truthy(message:find("none.lua:1:", 1, true))
  end)
end)
