-- The report in a real browser: headless Chromium opens it from disk, its videos play, and a
-- screenshot shows them. The clips are made here: green on the left, magenta on the right.
local fixture = dofile("tests/spec/report_fixture.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local report = require("pai.report")

local SCRIPT = "tests/peers/browser/report.js"

describe("report.html in Chromium", function()
  local dir, page

  local function run(argv, options)
    options = options or {}
    options.timeout = options.timeout or "120s"
    local r, failure = exec.run(argv, options)
    if not r then
      error(tostring(failure) .. "\n" .. tostring(failure.stderr), 0)
    end
    return r
  end

  local function clip(name, codec)
    local path = dir .. "/" .. name
    local argv =
      { "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=0x10D040:s=160x120:r=10:d=2" }
    for _, word in ipairs({ "-f", "lavfi", "-i", "color=0xE020E0:s=160x120:r=10:d=2" }) do
      argv[#argv + 1] = word
    end
    for _, word in ipairs({ "-filter_complex", "hstack", "-pix_fmt", "yuv420p", "-c:v", codec }) do
      argv[#argv + 1] = word
    end
    argv[#argv + 1] = path
    run(argv)
    return path
  end

  setup(function()
    dir = fs.tempdir({ prefix = "pai-report-" })
    local items = {
      { path = clip("side.mp4", "libx264"), caption = "H.264", kind = "video" },
      { path = clip("overlay.webm", "libvpx-vp9"), caption = "VP9", kind = "video" },
    }
    fixture.write(dir, { torn = true })
    local notices = { "Demo input was used." }
    local sections = {
      { title = "Evidence", kind = "media", items = items },
      { title = "Labels", kind = "bars", items = { { label = "person", value = 7 } } },
    }
    page =
      assert(report.render(dir, { title = "A report", notices = notices, sections = sections }))
  end)

  teardown(function()
    fs.remove(dir, { recursive = true })
  end)

  local function open(mode)
    local shot = dir .. "/" .. mode .. ".png"
    local r = run({ "node", SCRIPT, page, shot, mode })
    return assert(json.decode(r.stdout)), shot
  end

  -- How many of 100 by 100 samples of the picture are green and how many magenta.
  local function colours(shot)
    local r = run({
      "ffmpeg",
      "-v",
      "error",
      "-i",
      shot,
      "-vf",
      "scale=100:100:flags=neighbor,format=rgb24",
      "-f",
      "rawvideo",
      "-",
    }, { raw = true })
    local green, magenta = 0, 0
    for i = 1, #r.stdout - 2, 3 do
      local red, g, blue = r.stdout:byte(i, i + 2)
      if red < 60 and g > 170 and blue < 110 then
        green = green + 1
      elseif red > 180 and g < 80 and blue > 180 then
        magenta = magenta + 1
      end
    end
    return green, magenta
  end

  it("plays its videos, asks the network for nothing, and a screenshot shows them", function()
    local seen, shot = open("light")
    assert.equal(2, #seen.videos)
    for _, video in ipairs(seen.videos) do
      assert.is_true(video.advanced, video.label .. " did not play: " .. tostring(video.problem))
      assert.equal(320, video.width)
    end
    assert.same({ "file://" .. page }, seen.requests)
    assert.same({}, seen.outside)
    assert.same({}, seen.complaints)
    assert.equal(0, seen.scripts)
    local green, magenta = colours(shot)
    assert.is_true(green > 500, "green samples: " .. green)
    assert.is_true(magenta > 500, "magenta samples: " .. magenta)
  end)

  it("has names for what is seen, working links and a way for the keyboard", function()
    local seen = open("narrow")
    assert.equal("A report", seen.title)
    assert.is_truthy(seen.text:find("Demo input was used.", 1, true))
    assert.equal(0, seen.unnamed)
    assert.equal(0, seen.deadLinks)
    assert.equal(0, seen.overflow, "the page is wider than a narrow screen")
    assert.same({ "a", "a", "a", "a" }, seen.stops)
  end)

  it("follows the reader's dark or light choice", function()
    local light, dark = open("light"), open("dark")
    assert.is_truthy(light.background:find("%d+, %d+, %d+"))
    assert.not_equal(light.background, dark.background)
  end)
end)
