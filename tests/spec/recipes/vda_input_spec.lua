-- What users' videos go through: turned, odd, anamorphic, variable in rate, with sound, barred;
-- and how the demo is found and fetched.
local support = dofile("tests/spec/recipes/vda_support.lua")
local clip = require("vda.clip")
local demo = require("vda.demo")
local exec = require("pai.exec")
local fs = require("pai.fs")
local video = require("vda.video")

describe("a video becomes a clip:", function()
  local dir

  setup(function()
    dir = assert(fs.tempdir({ prefix = "pai-vda-" }))
  end)

  teardown(function()
    assert(fs.remove(dir, { recursive = true }))
  end)

  local function make(name, args, source)
    local argv = { "ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i" }
    argv[#argv + 1] = source or "testsrc2=size=192x144:rate=10:duration=2"
    table.move(args or {}, 1, #(args or {}), #argv + 1, argv)
    argv[#argv + 1] = dir .. "/" .. name
    support.run(argv, { timeout = "60s" })
    return dir .. "/" .. name
  end

  local function normal(path, seconds)
    return support.normalise(path, dir .. "/out.mp4", seconds or 0)
  end

  it("a plain one keeps its frames", function()
    local path = make("plain.mp4")
    local out = normal(path)
    assert.are.equal(20, out.frames)
    assert.are.equal("10/1", out.rate)
    assert.are.same({}, video.notes(assert(support.describe(path)), 0))
  end)

  it("the first seconds are taken, exactly", function()
    local path = make("long.avi", { "-c:v", "mpeg4" })
    assert.are.equal(10, normal(path, 1).frames)
    assert.are.same({ "first 1 seconds taken" }, video.notes(assert(support.describe(path)), 1))
    assert.are.equal(20, normal(path, 60).frames)
    assert.are.same({}, video.notes(assert(support.describe(path)), 60))
  end)

  it("odd sizes become even", function()
    local path = make("odd.mkv", { "-vf", "format=gbrp,crop=191:143:exact=1", "-c:v", "ffv1" })
    local out = normal(path)
    assert.are.equal(190, out.width)
    assert.are.equal(142, out.height)
    assert.are.same({ "odd size made even" }, video.notes(assert(support.describe(path)), 0))
  end)

  it("a turned one stands upright", function()
    local plain = make("lying.mp4")
    local path = dir .. "/turned.mp4"
    -- ffmpeg of this age writes the old tag, which it turns into a display matrix itself
    support.run({
      "ffmpeg",
      "-v",
      "error",
      "-y",
      "-i",
      plain,
      "-c",
      "copy",
      "-metadata:s:v",
      "rotate=90",
      path,
    })
    local found = assert(support.describe(path))
    assert.are.equal(90, math.abs(found.rotation))
    local out = normal(path)
    assert.are.equal(144, out.width)
    assert.are.equal(192, out.height)
    assert.are.equal(0, out.rotation)
    assert.is_truthy(video.notes(found, 0)[1]:find("turned by", 1, true))
  end)

  it("oblong pixels become square", function()
    local path = make("wide.mp4", { "-vf", "setsar=2" })
    assert.is_false(assert(support.describe(path)).square)
    local out = normal(path)
    assert.are.equal(384, out.width)
    assert.is_true(out.square)
  end)

  it("a variable frame rate becomes constant and the length stays", function()
    for _, name in ipairs({ "vfr.mp4", "vfr.mkv" }) do
      local path = make(name, {
        "-vf",
        "select='lt(n,10)+not(mod(n,3))'",
        "-vsync",
        "vfr",
        "-c:v",
        "mpeg4",
      }, "testsrc2=size=192x144:rate=30:duration=3")
      local found = assert(support.describe(path))
      local out = normal(path)
      assert.is_false(out.variable)
      assert.is_near(3, out.frames / tonumber(out.rate:match("^%d+")), 0.2)
      if name == "vfr.mp4" then -- the other container does not tell
        assert.is_true(found.variable)
        assert.is_truthy(video.notes(found, 0)[1]:find("constant", 1, true))
      end
    end
  end)

  it("sound is left out", function()
    local path = make("loud.mp4", {
      "-f",
      "lavfi",
      "-i",
      "sine=duration=2",
      "-c:a",
      "aac",
      "-shortest",
    })
    local found = assert(support.describe(path))
    assert.is_true(found.sound)
    assert.is_false(normal(path).sound)
    assert.are.same({ "sound left out" }, video.notes(found, 0))
  end)

  it("an uncommon frame rate is kept as the fraction that it is", function()
    local path = make("ntsc.mp4", nil, "testsrc2=size=192x144:rate=30000/1001:duration=1")
    assert.are.equal("30000/1001", normal(path).rate)
  end)

  it("black bars are found, and a dark picture is not taken for bars", function()
    local path = make("barred.mp4", { "-vf", "pad=192:192:0:24:black" })
    local function picture(of)
      local found = assert(support.describe(of))
      return video.picture(support.run(video.bars_command(of)).stderr, found.width, found.height)
    end
    assert.are.same({ x = 0, y = 24, width = 192, height = 144 }, picture(path))
    local whole = { x = 0, y = 0, width = 192, height = 144 }
    assert.are.same(whole, picture(make("full.mp4")))
    local dark = make(
      "dark.mp4",
      { "-vf", "drawbox=x=80:y=60:w=20:h=20:c=white:t=fill" },
      "color=c=black:size=192x144:rate=10:duration=1"
    )
    assert.are.same(whole, picture(dark))
    assert.are.same(whole, video.picture("no such message", 192, 144))
  end)

  it("nothing else passes for a video", function()
    local ctx = support.ctx()
    local function why(path)
      local found, reason = clip.probe(ctx, path)
      assert.is_nil(found)
      return reason
    end
    function ctx.query(argv, opts)
      local r, e = exec.run(argv, opts)
      return assert(r, e and e.stderr)
    end
    assert.are.equal("there is no such file", why(dir .. "/none.mp4"))
    assert.are.equal("it is a directory, not a file", why(dir))
    assert(fs.write(dir .. "/empty.mp4", ""))
    assert.are.equal("the file is empty", why(dir .. "/empty.mp4"))
    assert(fs.write(dir .. "/text.mp4", "no video\n"))
    assert.is_truthy(why(dir .. "/text.mp4"):find("no video that ffmpeg can read", 1, true))
    local sound = make("sound.m4a", { "-c:a", "aac" }, "sine=duration=1")
    assert.are.equal("it has no video stream, only sound", why(sound))
  end)

  it("a clip that could not be made leaves nothing half written", function()
    local ctx, out = support.ctx(), dir .. "/failed"
    function ctx.exec(argv)
      assert(fs.write(argv[#argv], "half"))
      error("no space left", 0)
    end
    local path = make("whole.mp4")
    local inp = { video = path, out = out, seconds = 0, codec = "vp9" }
    assert.has_error(function()
      clip.make(ctx, inp)
    end, "no space left")
    assert.are.same({}, fs.walk(out))
    assert.is_nil(clip.made(ctx, inp))
  end)

  it("a picture that belongs to a song is no video stream", function()
    local streams = {
      { codec_type = "video", disposition = { attached_pic = 1 }, width = 9, height = 9 },
      { codec_type = "audio" },
    }
    local found, reason = video.describe({ streams = streams })
    assert.is_nil(found)
    assert.are.equal("it has no video stream, only sound", reason)
  end)

  it("every codec that is offered encodes into mp4", function()
    local path = make("codec.mp4", nil, "testsrc2=size=96x64:rate=10:duration=0.5")
    local found = assert(support.describe(path))
    for _, codec in ipairs(dofile("recipes/vda.lua").inputs.codec.values) do
      local to = dir .. "/" .. codec .. ".mp4"
      support.run(video.normalise_command(found, path, to, { seconds = 0, codec = codec }))
      assert.are.equal(5, assert(support.describe(to)).frames, codec)
    end
  end)
end)

describe("the demo video", function()
  local dir

  before_each(function()
    dir = assert(fs.tempdir({ prefix = "pai-vda-" }))
  end)

  after_each(function()
    assert(fs.remove(dir, { recursive = true }))
  end)

  -- A ctx on which apt and dpkg are scripted; anything else that is called fails the test.
  local function scripted(apt_works)
    local calls = {}
    local ctx = support.ctx({ dir = dir })
    local exists = ctx.fs.exists
    function ctx.fs.exists(path)
      return not path:find("^/usr/share/doc/opencv%-doc/") and exists(path)
    end
    function ctx.exec(argv, opts)
      calls[#calls + 1] = argv[1] .. " " .. argv[#argv]
      if argv[1] == "apt-get" and argv[#argv] == "opencv-doc" then
        if argv[2] == "download" and not apt_works then
          return { code = 100 }
        end
        assert(fs.write(opts.cwd .. "/opencv-doc_4.6.0_all.deb", "package"))
      elseif argv[1] == "dpkg-deb" then
        assert(fs.write(opts.stdout.file, "tar"))
      elseif argv[1] == "tar" then
        assert.are.equal("./usr/share/doc/opencv-doc/examples/data/vtest.avi", argv[#argv])
        assert(fs.write(opts.stdout.file, "the video"))
      else
        assert.are.equal("update", argv[#argv])
      end
      return { code = 0 }
    end
    return ctx, calls
  end

  it("is taken out of the package once and kept", function()
    local ctx, calls = scripted(true)
    local inp = { cache = dir .. "/cache" }
    assert.is_nil(demo.find(ctx, inp))
    local path = demo.fetch(ctx, inp)
    assert.are.equal(dir .. "/cache/demo/vtest.avi", path)
    assert.are.equal("the video", fs.read(path))
    assert.are.equal(3, #calls)
    assert.are.equal(path, demo.fetch(ctx, inp))
    assert.are.equal(3, #calls)
    assert.are.same({ "demo/vtest.avi" }, fs.walk(dir .. "/cache"))
    assert.are.same({}, fs.glob(dir .. "/step-*"))
  end)

  it("is downloaded with package lists of its own where apt knows no package", function()
    local ctx, calls = scripted(false)
    demo.fetch(ctx, { cache = dir .. "/cache" })
    assert.are.same({
      "apt-get opencv-doc",
      "apt-get update",
      "apt-get opencv-doc",
    }, table.move(calls, 1, 3, 1, {}))
    assert.is_truthy(ctx.logged[2]:find("renewing package lists", 1, true))
  end)

  it("is said to differ when it is not the one that was measured", function()
    local ctx = scripted(true)
    demo.fetch(ctx, { cache = dir .. "/cache" })
    assert.is_truthy(ctx.logged[#ctx.logged]:find("differs", 1, true))
  end)
end)
