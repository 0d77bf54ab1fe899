-- The label task on the real demo video: people are found and followed, the scene keeps to the
-- schema, and labels under a condition agree with those of the source (under the demo's own
-- condition: demo/demo_spec.lua).
local support = dofile("tests/spec/recipes/vda_support.lua")
local agree = require("vda.agree")
local fs = require("pai.fs")

describe("the label task", function()
  local dir, short

  setup(function()
    dir = assert(fs.tempdir({ prefix = "pai-vda-" }))
    local source = support.demo(dir)
    short = dir .. "/short.mp4"
    support.normalise(source, short, 10)
  end)

  teardown(function()
    assert(fs.remove(dir, { recursive = true }))
  end)

  local function label(video, name, more)
    local out = dir .. "/" .. name
    local args = {
      "--config",
      support.label_config(dir .. "/" .. name .. ".json"),
      "--video",
      video,
      "--out",
      out,
    }
    table.move(more or {}, 1, #(more or {}), #args + 1, args)
    support.python("label.py", args)
    return out
  end

  local check_scene = support.check_scene

  it("finds and follows people in 100 real frames", function()
    local scene = label(short, "short")
    local objects = check_scene(scene, "short", 768, 576)
    local found = agree.count(objects)
    assert.are.equal(100, found.frames)
    assert.is_true(found.boxes >= 300, found.boxes .. " boxes")
    assert.is_true(found.tracks >= 4, found.tracks .. " tracks")
    assert.is_true(found.frames_with_people >= 95, found.frames_with_people .. " frames")
    local overlay = assert(support.describe(scene .. "/sidecars/short_tracking.mp4"))
    assert.are.equal(100, overlay.frames)
    assert.are.equal(768, overlay.width)
  end)

  it("gives the same labels and the same overlay twice", function()
    local few = dir .. "/few.mp4"
    support.normalise(short, few, 3)
    local first, second = label(few, "first"), label(few, "second")
    for _, path in ipairs({ "contextual/objects.json", "sidecars/few_tracking.mp4" }) do
      local text = assert(fs.read(first .. "/" .. path))
      assert.are.equal(text, assert(fs.read(second .. "/" .. path)), path)
    end
  end)

  it("agrees in the evening, and labels may be those of the source", function()
    -- evening, 200 frames: recall .928, precision .934
    local work = dir .. "/evening"
    assert(fs.mkdir(work))
    local _, result = support.render(work, short, { time_of_day = "evening" })
    local scene = label(result, "transfer", { "--reference", short, "--labels", "transfer" })
    local objects = check_scene(scene, "augmented_video", 768, 576)
    local reference = support.read_json(scene .. "/sidecars/reference_objects.json")
    local detected = support.read_json(scene .. "/sidecars/detected_objects.json")
    local found = agree.compare(reference, detected)
    assert.is_true(found.recall >= 0.928, "recall " .. found.recall)
    assert.is_true(found.precision >= 0.934, "precision " .. found.precision)
    assert.are.same(reference.frames, objects.frames)
    local status = support.read_json(scene .. "/sidecars/pipeline_status.json")
    assert.are.equal("transfer", status.stages.tracking.labels)
  end)

  it("fails when the source can't be labelled, and writes no scene", function()
    local text = dir .. "/text.mp4"
    assert(fs.write(text, "this is no video\n"))
    local few = dir .. "/some.mp4"
    support.normalise(short, few, 1)
    local ok, said = pcall(label, few, "lost", { "--reference", text })
    assert.is_false(ok)
    assert.is_truthy(tostring(said):find("labelling the source failed", 1, true), said)
    assert.is_truthy(tostring(said):find("cannot read " .. text, 1, true), said)
    assert.is_false(fs.exists(dir .. "/lost/contextual"))
  end)

  it("knows a moving camera and looks at whole frames then", function()
    local pan = dir .. "/pan.mp4"
    local filter = "crop=480:360:x='60+n*4':y='60+20*sin(n/9)'"
    support.run({ "ffmpeg", "-v", "error", "-y", "-i", short, "-t", "3", "-vf", filter, pan })
    local scene = label(pan, "pan")
    local found = agree.count(check_scene(scene, "pan", 480, 360))
    assert.is_true(found.boxes >= 40, found.boxes .. " boxes")
    local status = support.read_json(scene .. "/sidecars/pipeline_status.json")
    assert.is_true(status.stages.tracking.moving_camera)
    local log = assert(fs.read(scene .. "/logs/tracking.log"))
    assert.is_truthy(log:find("the camera moves", 1, true))
  end)

  it("says what it can't name, and enlarges without claiming detail", function()
    local config = support.label_config(dir .. "/cars.json", { "car", "person" })
    local street = support.street(dir .. "/street.mp4", { frames = 30 })
    local scene = dir .. "/cars"
    support.python("label.py", {
      "--config",
      config,
      "--video",
      street,
      "--out",
      scene,
      "--super-resolution",
    })
    check_scene(scene, "street", 256, 192)
    local status = support.read_json(scene .. "/sidecars/pipeline_status.json")
    assert.are.same({ "car" }, status.stages.tracking.classes_not_covered)
    assert.are.equal("completed_degraded", status.status)
    assert.is_true(status.stages.super_resolution.degraded)
    assert.is_truthy(status.stages.super_resolution.reason:find("Lanczos", 1, true))
    local enlarged = assert(support.describe(scene .. "/sidecars/sr_output.mp4"))
    assert.are.equal(512, enlarged.width)
    assert.are.equal(30, enlarged.frames)
    for name, one in pairs(support.read_json(scene .. "/contextual/instances.json").instances) do
      assert.are.equal(one.object_type == "person" and 1 or 0, one.semantic_id, name)
    end
  end)

  it("works on one frame, on a tiny picture, and on nothing that moves", function()
    local function counted(name, source)
      local path = dir .. "/" .. name .. ".mp4"
      support.run({ "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source, path })
      local objects = check_scene(label(path, name), name, 64, 48)
      return agree.count(objects)
    end
    assert.are.equal(1, counted("one", "testsrc2=size=64x48:rate=10:duration=0.1").frames)
    local still = counted("still", "color=gray:size=64x48:rate=10:duration=1")
    assert.are.equal(0, still.boxes)
    assert.are.equal(10, still.frames)
  end)
end)
