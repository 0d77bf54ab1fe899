-- What `make run` does: the VDA demo on the real video, from start to evidence, and what a person
-- gets to see of it.
local support = dofile("tests/spec/demo/support.lua")
local vda = dofile("tests/spec/recipes/vda_support.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local pick = support.pick

-- Twenty seconds of ten frames each. Seed 0 draws fog in the morning; a prototype of this profile
-- reached these figures under that condition, counting boxes with an IoU of at least 0.5.
local FRAMES <const> = 200
local RECALL <const>, PRECISION <const> = 0.899, 0.911

describe("the VDA demo", function()
  local bench, events, result, run_dir

  setup(function()
    bench = support.new()
    local args = "--allow-dirty --json flow=e2e seed=0 out=" .. bench.dir .. "/media/vda"
    local r, e = exec.run({
      "make",
      "--no-print-directory",
      "run",
      "FLAVOUR=" .. (pai.exe:match("build/(%l+)/bin/pai$") or "release"),
      "STATE=" .. bench.state,
      "ARGS=" .. args,
    }, { cwd = pai.root, env = { XDG_CONFIG_HOME = bench.root .. "/config" }, timeout = "600s" })
    result = r or { code = e.exit, stdout = e.stdout, stderr = e.stderr }
    -- Lines of make and of what it builds are not pai's.
    local said = ("\n" .. result.stdout):gsub("\n[^{\n][^\n]*", "")
    events = support.events(said)
    run_dir = bench.dir .. "/media/vda/runs/" .. events[1].run
  end)

  teardown(function()
    support.remove(bench)
  end)

  it("ends green", function()
    assert.are.equal(0, result.code, result.stderr .. result.stdout:sub(-3000))
    for _, gate in ipairs(pick(events, "gate")) do
      assert.are.equal("green", gate.verdict)
    end
  end)

  it(
    "gives a side-by-side video with every frame of the clip, of a kind that browsers play",
    function()
      local list = fs.glob(run_dir .. "/display/*_compare.mp4")
      assert.are.equal(1, #list)
      local compare = support.probe(list[1])
      local input = support.probe(fs.glob(run_dir .. "/input/*.mp4")[1])
      assert.are.equal(FRAMES, tonumber(input.nb_read_frames))
      assert.are.equal(input.nb_read_frames, compare.nb_read_frames)
      assert.are.equal("yuv420p", compare.pix_fmt)
      assert.is_truthy(
        compare.codec_name == "h264" or compare.codec_name == "vp9",
        compare.codec_name
      )
    end
  )

  it("names each piece of evidence once, with an absolute path that is there", function()
    local said = {}
    for _, e in ipairs(pick(events, "media")) do
      assert.are.equal("/", e.path:sub(1, 1))
      assert.is_true(fs.exists(e.path), e.path)
      assert.is_nil(said[e.path], e.path .. " was named twice")
      said[e.path] = true
    end
    assert.is_truthy(said[fs.glob(run_dir .. "/display/*_compare.mp4")[1]])
  end)

  it("labels people in most frames, in the original and in the augmented clip", function()
    for _, pattern in ipairs({ "pseudo_labeled/*", "pseudo_labeled_augmented/*" }) do
      local scenes = fs.glob(run_dir .. "/outputs/" .. pattern)
      assert.are.equal(1, #scenes, pattern)
      local scene = assert(json.decode(assert(fs.read(scenes[1] .. "/contextual/objects.json"))))
      local with = 0
      for _, frame in pairs(scene.frames) do
        if #frame.instances > 0 then
          with = with + 1
        end
      end
      assert.is_true(with > FRAMES * 0.8, ("%s: people in %d frames"):format(pattern, with))
    end
  end)

  it("labels the augmented clip as it labels the original", function()
    local scene = fs.glob(run_dir .. "/outputs/pseudo_labeled_augmented/*")[1]
    local transfer = vda.read_json(scene .. "/sidecars/label_transfer.json")
    local agreement = transfer.agreement
    assert.are.equal(0.5, agreement.iou_threshold)
    assert.is_true(agreement.reference_boxes > FRAMES)
    assert.is_true(agreement.recall >= RECALL, "recall " .. agreement.recall)
    assert.is_true(agreement.precision >= PRECISION, "precision " .. agreement.precision)
    -- The same from the scene's files.
    local objects = vda.check_scene(scene, "augmented_video", 768, 576)
    local source = fs.glob(run_dir .. "/outputs/pseudo_labeled/*")[1]
    local reference = vda.check_scene(source, "vtest", 768, 576)
    local found = require("vda.agree").compare(reference, objects)
    assert.are.equal(agreement.recall, found.recall)
    assert.are.equal(agreement.precision, found.precision)
    assert.is_true(found.mean_iou >= 0.75, "IoU " .. found.mean_iou)
  end)

  it("writes the manifest that its metadata agree with", function()
    local manifest = assert(
      require("pai.yaml").decode(assert(fs.read(run_dir .. "/setup_b0/configs/manifest.yaml")))
    )
    assert.are.equal(1, manifest.total)
    assert.are.equal("fog", manifest.configs[1].sampled_vars.weather)
    assert.are.equal("morning", manifest.configs[1].sampled_vars.time_of_day)
    local scene = fs.glob(run_dir .. "/outputs/augmented/*")[1]
    local metadata = assert(json.decode(assert(fs.read(scene .. "/metadata.json"))))
    assert.are.same(manifest.configs[1].sampled_vars, metadata.selections)
    assert.are.equal("classical", metadata.method)
  end)

  it("says that it is no Cosmos Transfer and that the demo was used", function()
    local page = assert(fs.read(run_dir .. "/report.html"))
    assert.is_truthy(page:find("Cosmos Transfer", 1, true))
    assert.is_truthy(page:lower():find("demo", 1, true))
    local said = {}
    for _, e in ipairs(pick(events, "log")) do
      said[#said + 1] = e.text
    end
    said = table.concat(said, "\n")
    assert.is_truthy(said:find("Cosmos Transfer", 1, true))
    assert.is_truthy(said:lower():find("demo", 1, true))
  end)

  it("reports on a page that plays the video in a browser", function()
    local shot = os.getenv("PAI_SHOT") or (bench.root .. "/report.png")
    local r = assert(
      exec.run(
        { "node", "tests/peers/browser/report.js", run_dir .. "/report.html", shot, "light" },
        { timeout = "120s" }
      )
    )
    local seen = assert(json.decode(r.stdout))
    assert.is_true(#seen.videos >= 1)
    for _, video in ipairs(seen.videos) do
      assert.is_true(video.advanced, tostring(video.label) .. ": " .. tostring(video.problem))
      assert.is_true(video.width > 0)
    end
    assert.are.same({}, seen.outside)
    assert.is_true(assert(fs.stat(shot)).size > 20000)
  end)
end)
