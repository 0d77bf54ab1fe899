-- Drawing conditions and what becomes of them before any video is touched: numbers, colours, text.
local support = dofile("tests/spec/recipes/vda_support.lua")
local cube = require("vda.cube")
local fs = require("pai.fs")
local graph = require("vda.graph")
local looks = require("vda.looks")
local sample = require("vda.sample")

local CLIP <const> = { width = 768, height = 576, rate = "10/1" }

describe("sampling", function()
  it(
    "draws the same for the same dataset, video, index and seed, and nothing else matters",
    function()
      local a = support.draw("street_local", 0, 3)
      assert.are.same(a, support.draw("street_local", 0, 3))
      local others = {}
      for index = 0, 7 do
        others[support.draw("street_local", index, 3).seed] = true
        others[support.draw("street_local", 0, 100 + index).seed] = true
        others[support.draw("street_local", 0, 3, "clip" .. index).seed] = true
      end
      others[a.seed] = nil
      local count = 0
      for _ in pairs(others) do
        count = count + 1
      end
      assert.are.equal(23, count)
    end
  )

  it("gives the demo of the default seed fog in the morning", function()
    local drawn = support.draw("street_local", 0, 0)
    assert.are.same({ weather = "fog", time_of_day = "morning", camera = "clean" }, drawn.values)
  end)

  it("follows the weights", function()
    local variables = { { name = "x", values = { { "rare", 0.1 }, { "often", 0.9 } } } }
    local rare, crypto = 0, require("pai.crypto")
    for i = 1, 2000 do
      if sample.draw(variables, crypto.sha256(tostring(i))).values.x == "rare" then
        rare = rare + 1
      end
    end
    assert.is_true(rare > 140 and rare < 260, rare .. " of 2000")
  end)

  it("draws again what contradicts itself, and says so", function()
    local variables = {
      { name = "surface_condition", values = { { "wet", 1 }, { "dry", 0.2 } } },
      { name = "weather", values = { { "snow", 1 } } },
    }
    local redrawn = 0
    for i = 1, 40 do
      local drawn = sample.draw(variables, require("pai.crypto").sha256(tostring(i)))
      assert.are.equal("dry", drawn.values.surface_condition)
      for _, one in ipairs(drawn.redraws) do
        assert.are.equal("wet", one.values.surface_condition)
        assert.is_truthy(one.why:find("snow"))
        redrawn = redrawn + 1
      end
    end
    assert.is_true(redrawn > 20)
  end)

  it("refuses variables that can't go together at all", function()
    local variables = {
      { name = "surface_condition", values = { { "wet", 1 } } },
      { name = "weather", values = { { "snow", 1 } } },
    }
    assert.has_error(function()
      sample.draw(variables, ("0"):rep(64))
    end, "the cookbook's variables contradict each other in every draw")
  end)
end)

describe("the colour cube", function()
  local function entries(drawn)
    local text = cube.text(assert(looks.grade(drawn)))
    local list = {}
    for r, g, b in text:gmatch("([%d.]+) ([%d.]+) ([%d.]+)\n") do
      list[#list + 1] = { tonumber(r), tonumber(g), tonumber(b) }
    end
    return list, text
  end

  it("has 25 points an axis, red first, and leaves a clear day as it is", function()
    local list, text = entries({ weather = "clear" })
    assert.is_truthy(text:find("LUT_3D_SIZE 25\n", 1, true))
    assert.are.equal(25 ^ 3, #list)
    for i, want in ipairs({ { 0, 0, 0 }, { 1 / 24, 0, 0 } }) do
      for c = 1, 3 do
        assert.is_near(want[c], list[i][c], 0.002)
      end
    end
    assert.is_near(1, list[25 ^ 3][2], 0.05) -- white, less the shoulder
    local grey = list[12 * (625 + 25 + 1) + 1]
    for c = 1, 3 do
      assert.is_near(0.5, grey[c], 0.002)
    end
  end)

  it("never leaves 0…1", function()
    for _, drawn in ipairs({
      { time_of_day = "night", weather = "snow" },
      { lighting = "bright", surface_condition = "wet" },
      { time_of_day = "midday", season = "autumn" },
    }) do
      for _, entry in ipairs((entries(drawn))) do
        for c = 1, 3 do
          assert.is_true(entry[c] >= 0 and entry[c] <= 1)
        end
      end
    end
  end)

  it(
    "darkens the night, warms the evening, turns leaves in autumn and covers them in snow",
    function()
      local function map(drawn, r, g, b)
        return { cube.map(assert(looks.grade(drawn)), r, g, b) }
      end
      local night = map({ time_of_day = "night" }, 0.5, 0.5, 0.5)
      assert.is_true(night[2] < 0.35 and night[3] > night[1])
      local evening = map({ time_of_day = "evening" }, 0.5, 0.5, 0.5)
      assert.is_true(evening[1] > evening[3] + 0.1)
      local autumn = map({ season = "autumn" }, 0.3, 0.5, 0.2)
      assert.is_true(autumn[1] > autumn[2] and autumn[2] > autumn[3])
      assert.is_near(0.5, map({ season = "autumn" }, 0.5, 0.5, 0.5)[1], 0.002)
      local snow = map({ weather = "snow" }, 0.3, 0.5, 0.2)
      assert.is_true(snow[1] > 0.7 and math.abs(snow[1] - snow[2]) < 0.06)
    end
  )
end)

describe("the filter graph", function()
  local function plan(drawn, clip)
    return assert(graph.plan(drawn, clip or CLIP, 5))
  end

  it("is the same text every time, in whatever order the values came", function()
    local a = plan({ weather = "rain", time_of_day = "evening" })
    local b = plan({ time_of_day = "evening", weather = "rain" })
    assert.are.same(a, b)
  end)

  it("has one input a tile, in order", function()
    local p = plan({ weather = "rain" })
    local names = {}
    for i, tile in ipairs(p.tiles) do
      names[i] = tile.name
      assert.is_truthy(p.filter:find(("[%d:v]loop"):format(i), 1, true))
    end
    assert.are.same({ "cloud", "depth", "rain_far", "rain_near" }, names)
    assert.is_nil(p.filter:find("[5:v]", 1, true))
    assert.is_true(p.particles)
    assert.is_truthy(p.filter:find("[clean]", 1, true))
  end)

  it("does only what was drawn", function()
    local p = plan({ weather = "clear", camera = "clean" })
    assert.are.same({}, p.tiles)
    assert.is_false(p.particles)
    for _, filter in ipairs({ "overlay", "vignette", "noise", "gblur", "scroll", "clean" }) do
      assert.is_nil(p.filter:find(filter, 1, true), filter)
    end
  end)

  it("scales particles with the picture", function()
    local small = plan({ weather = "snow" }, { width = 384, height = 288, rate = "10/1" })
    local large = plan({ weather = "snow" })
    assert.are.equal(#large.tiles, #small.tiles)
    local a, b = large.tiles[3], small.tiles[3]
    assert.are.equal(a.name, b.name)
    assert.are.equal(a.count, 4 * b.count)
    assert.is_near(a.radius, 2 * b.radius, 1e-9)
  end)

  it("stays inside black bars", function()
    local rect = { x = 0, y = 60, width = 768, height = 456 }
    local p = plan({ weather = "rain" }, { width = 768, height = 576, rate = "10/1", rect = rect })
    assert.is_truthy(p.filter:find("crop=768:456:0:60", 1, true))
    assert.is_truthy(p.filter:find("overlay=0:60", 1, true))
    assert.are.equal(456, p.tiles[1].height)
  end)

  it("keeps step by frame number, also with a broken frame rate", function()
    local p = plan({ weather = "fog" }, { width = 64, height = 64, rate = "30000/1001" })
    assert.is_truthy(p.filter:find("settb=1001/30000,setpts=N", 1, true))
  end)

  it("names a variable or a value that it does not know", function()
    local _, e = graph.plan({ mood = "good" }, CLIP, 5)
    assert.are.equal("no look for variable mood", e)
    _, e = graph.plan({ weather = "hail" }, CLIP, 5)
    assert.are.equal("no look for weather = hail", e)
  end)
end)

describe("every cookbook", function()
  local NAMES <const> = {}
  for _, path in ipairs(assert(fs.glob("recipes/vda/cookbooks/*.lua"))) do
    NAMES[#NAMES + 1] = fs.basename(path):gsub("%.lua$", "")
  end

  it("is one of those that the recipe offers", function()
    local offered = dofile("recipes/vda.lua").inputs.cookbook.values
    table.sort(offered)
    table.sort(NAMES)
    assert.are.same(NAMES, offered)
  end)

  it("has weights that sum to 1 and values that have a look", function()
    for _, name in ipairs(NAMES) do
      local cookbook = require("vda.cookbooks." .. name)
      assert.are.equal(name, cookbook.name)
      for _, variable in ipairs(cookbook.variables) do
        local sum = 0
        for _, entry in ipairs(variable.values) do
          sum = sum + entry[2]
          assert(looks.grade({ [variable.name] = entry[1] }))
        end
        assert.is_near(1, sum, 1e-9)
      end
    end
  end)

  it("has the facts of its scene", function()
    -- name: classes, max_age, fps, caption fps, questions, event types
    local facts = {
      city_traffic = { 6, 60, 6, 4, 11, 10 },
      piazza = { 2, 30, 3, 4, 11, 9 },
      warehouse = { 1, 45, 3, 4, 11, 9 },
      robot_assembly = { 1, 30, 6, 4, 10, 8 },
      trailer_dashcam = { 5, 45, 6, 6, 11, 9 },
    }
    for name, want in pairs(facts) do
      local c = require("vda.cookbooks." .. name)
      local events = 0
      for _, list in pairs(c.events) do
        events = events + #list
      end
      local have = { #c.classes, c.max_age, c.frame_fps, c.caption_fps, #c.questions, events }
      assert.are.same(want, have, name)
    end
  end)
end)
