-- Finding recipes, and reading each in a process of its own.
local support = dofile("tests/spec/run/support.lua")
local fs = require("pai.fs")
local json = require("pai.json")

local BODY = 'steps = { { name = "a", run = function() end } },'

describe("the index", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function list(env)
    local r = bench:pai({ "list", "--json" }, { env = env })
    assert.are.equal(0, r.code, r.stderr)
    local by_name = {}
    for _, entry in ipairs(json.decode(r.stdout).recipes) do
      by_name[entry.name] = entry
    end
    return by_name
  end

  it("finds recipes here, in PAI_RECIPE_PATH, and pai's own; the nearest wins", function()
    bench:recipe("recipes/here", BODY:gsub("%%", "%%%%"))
    local text = fs.read(bench.dir .. "/recipes/here.lua")
    assert(fs.write(bench.dir .. "/recipes/here.lua", (text:gsub("recipes/here", "here"))))
    bench:write("team/mine.lua", (text:gsub("recipes/here", "mine")))
    bench:write("team/here.lua", (text:gsub("recipes/here", "here")))
    local found = list({ PAI_RECIPE_PATH = bench.dir .. "/team" })
    assert.are.equal(bench.dir .. "/recipes/here.lua", found.here.path)
    assert.are.equal(bench.dir .. "/team/mine.lua", found.mine.path)
    assert.are.equal(pai.root .. "/recipes/hello.lua", found.hello.path)
  end)

  it("lists a broken recipe beside good ones, each with its reason", function()
    local function recipe(name, code)
      bench:write("recipes/" .. name .. ".lua", code)
    end
    local function good(before)
      local text = '%s\nreturn { api = 1, name = "x", title = "T", summary = "S.", '
        .. 'safety = "observes",\n%s }\n'
      return text:format(before or "", BODY)
    end
    recipe("good", good())
    recipe("syntax", "return {\n  api = = 1\n}\n")
    recipe("schema", (good():gsub("title", "titel")))
    recipe("raises", good('error("on purpose")'))
    recipe("acts", good("os.execute('touch acted')"))
    recipe("loops", good("while true do end"))
    recipe("holds", good("while true do pcall(function() while true do end end) end"))
    recipe("spins", good("local c = coroutine.wrap(function() while true do end end) c()"))
    recipe("matches", good('string.find(("a"):rep(40) .. "b", ("a*"):rep(40) .. "c")'))
    recipe("eats", good('local t = {} while true do t[#t + 1] = ("x"):rep(2 ^ 10):rep(2 ^ 6) end'))
    recipe("huge", good('local s = ("x"):rep(2 ^ 30)'))
    local found = list({ PAI_READ_TIMEOUT = "1s", PAI_WATCHDOG = "5s" })
    assert.is_nil(found.good.error)
    assert.are.equal("observes", found.good.safety)
    local expected = {
      syntax = "recipes/syntax.lua:2: unexpected symbol near '='",
      schema = "unknown key 'titel' in a recipe (did you mean 'title'?)",
      raises = "on purpose",
      acts = "os.execute does not exist in a recipe",
      loops = "does it loop for ever?",
      holds = "does it loop for ever?",
      spins = "does it loop for ever?",
      matches = "matches.lua",
      eats = "not enough memory",
      huge = "not enough memory",
    }
    for name, part in pairs(expected) do
      assert.is_truthy(found[name].error, name)
      local message = found[name].error.message
      assert.is_truthy(message:find(part, 1, true), name .. ": " .. message)
    end
    assert.is_false(fs.exists(bench.dir .. "/acted"))
  end)

  it("lets a path beat a name", function()
    bench:write("recipes/hello.lua", "return 1\n")
    bench:recipe("hello", BODY)
    local r = bench:pai({ "show", "hello.lua", "--json" })
    assert.are.equal(bench.dir .. "/hello.lua", json.decode(r.stdout).path)
    r = bench:pai({ "show", "hello" })
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stderr:find("recipes/hello.lua", 1, true))
  end)

  it("takes NAME.lua as a name when there is no such file", function()
    local r = bench:pai({ "show", "hello.lua", "--json" })
    assert.are.equal(pai.root .. "/recipes/hello.lua", json.decode(r.stdout).path)
  end)

  it("says what a wrong name may have meant", function()
    local r = bench:pai({ "run", "helo" })
    assert.are.equal(2, r.code)
    assert.is_truthy(r.stderr:find("no recipe 'helo' (did you mean 'hello'?)", 1, true))
    r = bench:pai({ "run", "./none.lua" })
    assert.are.equal(2, r.code)
    assert.is_truthy(r.stderr:find("no recipe at ./none.lua", 1, true))
  end)

  it("shows a component's reference and its actions", function()
    bench:write(
      "components/k8s/component.lua",
      'return { api = 1, name = "k8s", title = "K", summary = "S.", reference = "How it works." }\n'
    )
    bench:write(
      "components/k8s/deploy.lua",
      'return { safety = "changes", steps = { { name = "a", run = function() end } } }\n'
    )
    assert.is_truthy(list()["k8s.deploy"])
    local r = bench:pai({ "show", "k8s" })
    assert.is_truthy(r.stdout:find("How it works.", 1, true), r.stderr)
    r = bench:pai({ "show", "k8s.deploy" })
    assert.is_truthy(r.stdout:find("k8s.deploy: K: deploy", 1, true), r.stderr)
  end)
end)
