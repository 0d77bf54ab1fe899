-- Exported skills against the rules of the Agent Skills specification.
local bench_support = dofile("tests/spec/run/support.lua")
local fs = require("pai.fs")
local json = require("pai.json")
local yaml = require("pai.yaml")

-- What the frontmatter may hold.
local FIELDS <const> = {
  name = true,
  description = true,
  license = true,
  compatibility = true,
  metadata = true,
  ["allowed-tools"] = true,
}

describe("pai skill export", function()
  local bench

  before_each(function()
    bench = bench_support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function check(dir)
    local text = assert(fs.read(dir .. "/SKILL.md"))
    local head, body = text:match("^%-%-%-\n(.-)\n%-%-%-\n(.*)$")
    assert.is_truthy(head, text)
    local front = assert(yaml.decode(head, { schema = "core" }))
    for key in pairs(front) do
      assert.is_true(FIELDS[key], key)
    end
    assert.are.equal(fs.basename(dir), front.name)
    assert.is_true(#front.name >= 1 and #front.name <= 64)
    assert.matches("^[a-z0-9]+[a-z0-9-]*$", front.name)
    assert.is_nil(front.name:find("--", 1, true))
    assert.is_nil(front.name:find("-$"))
    assert.are.equal("string", type(front.description))
    assert.is_true(#front.description >= 1 and #front.description <= 1024)
    assert.is_truthy(front.description:find("Use it when", 1, true))
    assert.is_true(#front.compatibility >= 1 and #front.compatibility <= 500)
    for key, value in pairs(front.metadata) do
      assert.are.equal("string", type(key))
      assert.are.equal("string", type(value))
    end
    -- About five thousand tokens.
    assert.is_true(#body < 20000, "a body of " .. #body)
    local links = 0
    for link in body:gmatch("%]%(([^)]+)%)") do
      links = links + 1
      assert.matches("^references/[^/]+$", link)
      assert.is_true(fs.exists(dir .. "/" .. link), link)
    end
    assert.is_true(links > 0)
    return front, body
  end

  it("is valid for every recipe that pai has", function()
    local names = {}
    for _, recipe in ipairs(json.decode(bench:pai({ "list", "--json" }).stdout).recipes) do
      names[#names + 1] = recipe.name
    end
    assert.is_true(#names > 1)
    local argv = { "skill", "export", "--out", "out", "--json" }
    table.move(names, 1, #names, #argv + 1, argv)
    local r = bench:pai(argv)
    assert.are.equal(0, r.code, r.stderr)
    local dirs = json.decode(r.stdout).skills
    assert.are.equal(#names, #dirs)
    for i, dir in ipairs(dirs) do
      local front, body = check(dir)
      assert.are.equal(names[i], front.metadata.recipe)
      assert.is_truthy(body:find("pai run " .. names[i], 1, true))
    end
  end)

  it("is valid for odd names and texts", function()
    bench:write(
      "recipes/Odd__name.lua",
      [[return { api = 1, name = "odd__name-", title = 'A "quoted": title # no',
        safety = "destroys",
        summary = "S: \"x\" \\ \n --- # " .. ("long "):rep(400),
        doc = "---\nname: evil\n---",
        inputs = { token = { type = "secret", env = "ODD_TOKEN" } },
        steps = function() return {} end }
      ]]
    )
    local r = bench:pai({ "skill", "export", "Odd__name", "--out", "out" })
    assert.are.equal(0, r.code, r.stderr)
    assert.are.equal(bench.dir .. "/out/odd-name\n", r.stdout)
    local front, body = check(bench.dir .. "/out/odd-name")
    assert.are.equal("odd-name", front.name)
    assert.is_truthy(body:find("--plan DIGEST", 1, true))
    assert.is_truthy(body:find("from ODD_TOKEN", 1, true))
    assert.is_nil(body:find("steps.md", 1, true))
  end)

  it("refuses by name what it can't export, and writes nothing", function()
    local r = bench:pai({ "skill", "export", "helo", "--out", "out" })
    assert.are.equal(2, r.code)
    assert.is_truthy(r.stderr:find("hello", 1, true))
    bench:write("recipes/bad.lua", "return { stepz = 1 }")
    r = bench:pai({ "skill", "export", "bad", "--out", "out" })
    assert.are_not.equal(0, r.code)
    assert.is_truthy(r.stderr:find("stepz", 1, true))
    assert.are.equal(2, bench:pai({ "skill", "export" }).code)
    assert.is_false(fs.exists(bench.dir .. "/out"))
  end)

  it("writes nothing when two recipes would be one skill", function()
    local recipe = [[return { api = 1, name = "%s", title = "T", summary = "S.",
      safety = "observes", steps = { { name = "a", run = function() end } } }]]
    bench:write("a/same.lua", recipe:format("same"))
    bench:write("b/same.lua", recipe:format("same"))
    bench:write("c/same_.lua", recipe:format("same_"))
    for _, other in ipairs({ "b/same.lua", "c/same_.lua" }) do
      local r = bench:pai({ "skill", "export", "a/same.lua", other, "--out", "out" })
      assert.are.equal(2, r.code, r.stderr)
      assert.is_truthy(r.stderr:find("would both be the skill 'same'", 1, true), r.stderr)
      assert.is_false(fs.exists(bench.dir .. "/out"))
    end
    -- The same one twice is no conflict.
    local r = bench:pai({ "skill", "export", "a/same.lua", "./a/same.lua", "--out", "out" })
    assert.are.equal(0, r.code, r.stderr)
    assert.are.equal(bench.dir .. "/out/same\n", r.stdout)
  end)

  it("writes its own folders anew, and leaves those of others", function()
    local mine = bench:write("out/hello/SKILL.md", "---\nname: hello\n---\nMine.\n")
    local r = bench:pai({ "skill", "export", "hello", "--out", "out" })
    assert.are.equal(1, r.code, r.stderr)
    assert.is_truthy(r.stderr:find("was not written by pai", 1, true), r.stderr)
    assert.are.equal("---\nname: hello\n---\nMine.\n", fs.read(mine))
    for _ = 1, 2 do
      r = bench:pai({ "skill", "export", "hello", "--out", "other" })
      assert.are.equal(0, r.code, r.stderr)
      check(bench.dir .. "/other/hello")
    end
  end)
end)
