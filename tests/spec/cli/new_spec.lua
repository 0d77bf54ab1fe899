-- pai new: what it writes lints, plans, runs and passes its tests as it stands; nothing is lost.
local support = dofile("tests/spec/run/support.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")

local STYLUA <const> = fs.abspath("vendor/npm/node_modules/.bin/stylua")
local STYLE <const> = fs.abspath("stylua.toml")
local BUSTED <const> = fs.abspath("/usr/bin/busted")

describe("pai new", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function fine(...)
    local r = bench:pai({ ... })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    return r.stdout
  end

  local function refused(part, ...)
    local r = bench:pai({ ... })
    assert.equal(2, r.code, r.stdout .. r.stderr)
    assert.is_truthy(r.stderr:find(part, 1, true), r.stderr)
  end

  -- The formatter and luacheck have nothing to say of files as they were written.
  local function well_formed(files)
    local style = { STYLUA, "--check", "--config-path", STYLE }
    local check = { "luacheck", "--std", "lua54+busted", "--no-color", "--no-config", "-q" }
    for _, argv in ipairs({ style, check }) do
      table.move(files, 1, #files, #argv + 1, argv)
      local r = assert(exec.run(argv, { cwd = bench.dir, accept = "any", timeout = "60s" }))
      assert.equal(0, r.code, r.stdout .. r.stderr)
    end
  end

  it("writes a recipe that lints, plans, runs twice and passes its tests", function()
    local said = json.decode(fine("new", "recipe", "my-thing", "--json"))
    assert.same({ "recipes/my-thing.lua", "recipes/my-thing_spec.lua" }, said.files)
    assert.equal("my-thing", said.name)
    well_formed(said.files)
    assert.matches("^1 checked, 0 errors, 0 warnings", fine("lint", "recipes/my-thing.lua"))
    fine("plan", "my-thing")
    assert.is_false(fs.exists(bench.dir .. "/out"))
    fine("run", "my-thing")
    assert.equal("hello\n", fs.read(bench.dir .. "/out/my-thing/text.txt"))
    assert.is_truthy(fine("run", "my-thing"):find("already=1", 1, true))
    local shown = fine("show", "my-thing")
    assert.is_truthy(shown:find("My thing", 1, true), shown)
    local tested = fine("test", "--busted", BUSTED)
    assert.is_truthy(tested:find("3 successes / 0 failures / 0 errors", 1, true), tested)
  end)

  it("says what comes next, and each of that works", function()
    local said = fine("new", "recipe", "next")
    local count = 0
    for command in said:gmatch("\n  pai ([^\n]+)") do
      local argv = {}
      for word in command:gmatch("%S+") do
        argv[#argv + 1] = word
      end
      fine(table.unpack(argv))
      count = count + 1
    end
    assert.equal(4, count)
  end)

  it("writes a component that lints, comes, is seen, goes, and passes its tests", function()
    local said = json.decode(fine("new", "component", "box", "--json"))
    assert.equal(7, #said.files)
    well_formed(said.files)
    assert.matches("^1 checked, 0 errors, 0 warnings", fine("lint", "box"))
    assert.is_truthy(fine("show", "box"):find("Symptom", 1, true))
    fine("preflight", "box")
    assert.equal(1, bench:pai({ "verify", "box" }).code)
    fine("deploy", "box")
    fine("verify", "box")
    assert.is_truthy(fine("deploy", "box"):find("already=1", 1, true))
    assert.equal(3, bench:pai({ "teardown", "box" }).code)
    fine("teardown", "box", "--yes")
    assert.equal(1, bench:pai({ "verify", "box" }).code)
    local tested = fine("test", "--busted", BUSTED)
    assert.is_truthy(tested:find("4 successes / 0 failures / 0 errors", 1, true), tested)
  end)

  it("puts the spec where a tree keeps its specs", function()
    assert(fs.mkdir(bench.dir .. "/tests/spec/recipes", { parents = true }))
    local said = json.decode(fine("new", "recipe", "here", "--json"))
    assert.same({ "recipes/here.lua", "tests/spec/recipes/here_spec.lua" }, said.files)
    local tested = fine("test", "--busted", BUSTED)
    assert.is_truthy(tested:find("3 successes", 1, true), tested)
  end)

  it("overwrites nothing and leaves nothing half done", function()
    bench:write("recipes/a_spec.lua", "-- mine")
    refused("recipes/a_spec.lua is there already; nothing was written", "new", "recipe", "a")
    assert.equal("-- mine", fs.read(bench.dir .. "/recipes/a_spec.lua"))
    assert.is_false(fs.exists(bench.dir .. "/recipes/a.lua"))
    -- A link that leads nowhere is something, too.
    assert(fs.symlink("nowhere", bench.dir .. "/recipes/b.lua"))
    refused("recipes/b.lua is there already", "new", "recipe", "b")
    assert.is_false(fs.exists(bench.dir .. "/recipes/nowhere"))
    bench:write("components/c/deploy.lua", "-- mine")
    refused("components/c/deploy.lua is there already", "new", "component", "c")
    assert.same({ "deploy.lua" }, fs.list(bench.dir .. "/components/c"))
    -- What can't be written: a file where the folder of the spec would be.
    bench:write("tests/spec/recipes/d_spec.lua/x", "")
    refused("tests/spec/recipes/d_spec.lua is there already", "new", "recipe", "d")
    fine("new", "recipe", "e")
    local before = fs.read(bench.dir .. "/recipes/e.lua")
    refused("there is a 'e' already: " .. bench.dir .. "/recipes/e.lua", "new", "recipe", "e")
    refused("there is a 'e' already", "new", "component", "e")
    assert.equal(before, fs.read(bench.dir .. "/recipes/e.lua"))
  end)

  it("takes what it wrote away when it can't write the rest", function()
    -- recipes is a folder, and the place of the specs one that takes no file.
    bench:write("components", "a file where the folder would be")
    local r = bench:pai({ "new", "component", "f" })
    assert.not_equal(0, r.code)
    assert.is_truthy(r.stderr:find("components", 1, true), r.stderr)
    assert(fs.mkdir(bench.dir .. "/tests/spec", { parents = true }))
    assert(fs.symlink("/proc/self", bench.dir .. "/tests/spec/recipes"))
    r = bench:pai({ "new", "recipe", "g" })
    assert.not_equal(0, r.code)
    assert.is_truthy(r.stderr:find("g_spec.lua", 1, true), r.stderr)
    assert.is_false(fs.exists(bench.dir .. "/recipes/g.lua"))
  end)

  it("says of a name what is wrong with it, and one that would do", function()
    local hint = "hint: for instance: pai new recipe "
    for name, better in pairs({
      ["My Recipe.lua"] = "my-recipe",
      ["../up"] = "up",
      ["a/b"] = "b",
      ["x_spec"] = "x",
      ["Ärger"] = "rger",
      ["2fast"] = "fast",
      [("a"):rep(65)] = ("a"):rep(64),
    }) do
      refused(hint .. better .. "\n", "new", "recipe", name)
    end
    refused("begins with a letter", "new", "recipe", "--", "-x")
    refused("begins with a letter", "new", "component", "...")
    refused("there is a 'vda' already", "new", "recipe", "vda")
    refused("there is a 'driver' already", "new", "component", "driver")
    refused("hint: pai new recipe NAME", "new", "recipe")
    refused("too many arguments: 'b'", "new", "recipe", "a", "b")
    refused("did you mean 'recipe'?", "new", "recpie", "a")
    refused("no option --force", "new", "recipe", "a", "--force")
    assert.same({}, fs.list(bench.dir))
    assert.is_truthy(fine("new", "component", "--help"):find("usage: pai new component NAME"))
  end)
end)
