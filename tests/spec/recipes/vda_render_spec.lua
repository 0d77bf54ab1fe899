-- The render task with real ffmpeg and OpenCV: every value on 20 frames of a made-up street, the
-- same bytes twice, and the measurements that tell conditions apart.
local support = dofile("tests/spec/recipes/vda_support.lua")
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local looks = require("vda.looks")

describe("the render task", function()
  local dir, clip, before

  setup(function()
    dir = assert(fs.tempdir({ prefix = "pai-vda-" }))
    clip = support.street(dir .. "/clip.mp4")
    before = assert(support.describe(clip))
  end)

  teardown(function()
    assert(fs.remove(dir, { recursive = true }))
  end)

  local function fresh()
    return assert(fs.tempdir({ dir = dir, prefix = "render-" }))
  end

  local rendered = {}

  local function render(drawn)
    local key = {}
    for name, value in pairs(drawn) do
      key[#key + 1] = name .. value
    end
    table.sort(key)
    key = table.concat(key, " ")
    if not rendered[key] then
      local metadata, path = support.render(fresh(), clip, drawn, { clip = before })
      rendered[key] = { metadata = metadata, path = path }
    end
    return rendered[key].metadata, rendered[key].path
  end

  for _, variable in ipairs(looks.order) do
    local values = {}
    for value in pairs(looks.values[variable]) do
      values[#values + 1] = value
    end
    table.sort(values)
    for _, value in ipairs(values) do
      it(("keeps frames, size and pixel format: %s %s"):format(variable, value), function()
        local metadata, path = render({ [variable] = value })
        local after = assert(support.describe(path))
        assert.are.equal(20, after.frames)
        for _, key in ipairs({ "frames", "width", "height", "rate" }) do
          assert.are.equal(before[key], after[key], key)
        end
        local r = support.run({
          "ffprobe",
          "-v",
          "error",
          "-show_entries",
          "stream=pix_fmt",
          "-of",
          "csv=p=0",
          path,
        })
        assert.are.equal("yuv420p\n", r.stdout)
        assert.are.equal("classical", metadata.method)
        assert.are.same({ [variable] = value }, metadata.selections)
        assert.is_true(metadata.hallucination_check.passed, metadata.hallucination_check.score)
      end)
    end
  end

  it("gives the same bytes for the same seed, and others for another", function()
    local drawn = { weather = "rain", time_of_day = "night" }
    local function digest(seed)
      local _, path = support.render(fresh(), clip, drawn, { seed = seed })
      return assert(crypto.file_sha256(path))
    end
    local first = digest(9)
    assert.are.equal(first, digest(9))
    assert.are_not.equal(first, digest(10))
  end)

  it("scores motion without particles, and reports both", function()
    local check = render({ weather = "rain" }).hallucination_check
    assert.is_true(check.score > 0.9, check.score)
    assert.is_true(check.details.score_with_particles < 0.6, check.details.score_with_particles)
    assert.is_true(check.details.particles)
    local fog = render({ weather = "fog" }).hallucination_check
    assert.are.equal(fog.score, fog.details.score_with_particles)
  end)

  it("refuses a clip of another length than the plan's", function()
    local work = fresh()
    support.plan(work .. "/plan", assert(support.describe(clip)), {}, { frames = 21 })
    local r, e = require("pai.exec").run({
      support.PYTHON,
      "-B",
      support.TASK .. "/augment.py",
      "--plan",
      work .. "/plan",
      "--video",
      clip,
      "--out",
      work .. "/out",
    })
    assert.is_nil(r)
    assert.is_truthy(e.stderr:find("rendered 20 frames of 21", 1, true), e.stderr)
    assert.is_false(fs.exists(work .. "/out/metadata.json"))
  end)

  it("leaves black bars black", function()
    local rect = { x = 0, y = 24, width = 256, height = 144 }
    local barred = dir .. "/barred.mp4"
    support.run({
      "ffmpeg",
      "-v",
      "error",
      "-y",
      "-i",
      clip,
      "-vf",
      "crop=256:144:0:24,pad=256:192:0:24:black",
      "-qp",
      "8",
      barred,
    })
    local _, path = support.render(fresh(), barred, { weather = "snow" }, { rect = rect })
    local r = support.run({
      "ffmpeg",
      "-v",
      "error",
      "-i",
      path,
      "-frames:v",
      "1",
      "-f",
      "rawvideo",
      "-pix_fmt",
      "gray",
      "-",
    }, { raw = true })
    local bar, picture = 0, 0
    for y = 4, 16, 4 do
      for x = 0, 255, 8 do
        bar = math.max(bar, r.stdout:byte(y * 256 + x + 1))
        picture = math.max(picture, r.stdout:byte((y + 80) * 256 + x + 1))
      end
    end
    assert.is_true(bar < 40, bar)
    assert.is_true(picture > 120, picture)
  end)

  -- What the changes measure, relative to the source.
  local function measured(drawn)
    return render(drawn).attribute_verification.details.measured
  end

  it("night is dark, dim is dim and soft, evening is darker and warm", function()
    assert.is_true(measured({ time_of_day = "night" }).luma < 0.48)
    local dim = measured({ lighting = "dim" })
    assert.is_true(dim.luma > 0.44 and dim.luma < 0.60, dim.luma)
    assert.is_true(dim.detail < 0.65, dim.detail)
    local evening = measured({ time_of_day = "evening" })
    assert.is_true(evening.luma > 0.65 and evening.luma < 0.80, evening.luma)
    assert.is_true(evening.warmth > 0.06, evening.warmth)
  end)

  it("fog takes contrast and detail, snow takes contrast and gives flakes", function()
    local fog, snow = measured({ weather = "fog" }), measured({ weather = "snow" })
    assert.is_true(fog.contrast < 0.50, fog.contrast)
    assert.is_true(fog.detail < 0.55, fog.detail)
    assert.is_true(snow.contrast < 0.60, snow.contrast)
    assert.is_true(snow.detail >= 0.55, snow.detail)
  end)

  it("only rain and snow lose motion score to particles", function()
    for weather in pairs(looks.values.weather) do
      local loss = measured({ weather = weather }).motion_loss
      assert.are.equal(weather == "rain" or weather == "snow", loss > 0.15, weather .. " " .. loss)
    end
  end)

  it("what lies inside the noise is never called passed", function()
    for variable, value in pairs({ lighting = "bright", surface_condition = "wet" }) do
      local found = render({ [variable] = value }).attribute_verification.details.results[1]
      assert.are_not.equal("passed", found.result)
    end
  end)
end)

describe("attribute verification", function()
  -- Asks the task's own module; the figures are those of the real demo clip.
  local function verify(drawn, options, measured, loss)
    local json = require("pai.json")
    local script = "import sys, json; sys.path.insert(0, sys.argv[1]); import attributes; "
      .. "print(json.dumps(attributes.verify(*json.loads(sys.argv[2]))))"
    local given = json.encode({ drawn, options, measured, loss })
    local r = support.run({ support.PYTHON, "-B", "-c", script, support.TASK, given })
    local out = {}
    local answer = assert(json.decode(r.stdout))
    for _, one in ipairs(answer.details.results) do
      out[one.variable] = one.result
    end
    return out, answer
  end

  local OPTIONS <const> = {
    weather = { "clear", "overcast", "rain", "fog", "snow" },
    time_of_day = { "morning", "midday", "evening", "night" },
  }

  local FOG <const> = { luma = 1.35, contrast = 0.42, detail = 0.33, warmth = -0.08 }

  it("passes what fits and nothing else would explain", function()
    local found, answer = verify({ weather = "fog" }, OPTIONS, FOG, 0)
    assert.are.equal("passed", found.weather)
    assert.is_true(answer.passed)
    assert.are.equal("measurement", answer.method)
  end)

  it("fails what is contradicted, and says by what", function()
    local found, answer = verify({ weather = "clear" }, OPTIONS, FOG, 0)
    assert.are.equal("failed", found.weather)
    assert.is_false(answer.passed)
    assert.is_truthy(answer.details.results[1].reason:find("contrast", 1, true))
    assert.are.equal("failed", verify({ weather = "snow" }, OPTIONS, FOG, 0).weather)
  end)

  it("calls not measurable what another value would explain too", function()
    local drawn = { weather = "fog", time_of_day = "morning" }
    local both = { luma = 1.397, contrast = 0.389, detail = 0.319, warmth = -0.061 }
    local found = verify(drawn, OPTIONS, both, 0)
    assert.are.same({ weather = "passed", time_of_day = "not_measurable" }, found)
  end)

  it("has no opinion on season and camera", function()
    local drawn = { season = "autumn", camera = "noise" }
    local same = { luma = 1, contrast = 1, detail = 1.3, warmth = 0 }
    local found = verify(drawn, {}, same, 0)
    assert.are.same({ season = "not_measurable", camera = "not_measurable" }, found)
  end)
end)
