-- Whole runs of the recipe on a small made-up street, through pai and its engine: what the flows
-- leave behind that the demo's spec does not look at.
local support = dofile("tests/spec/recipes/vda_support.lua")
local bench_support = dofile("tests/spec/run/support.lua")
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local yaml = require("pai.yaml")

describe("pai run vda", function()
  local bench

  setup(function()
    bench = bench_support.new()
    support.street(bench.dir .. "/street.mp4", { frames = 70 })
  end)

  teardown(function()
    bench:pai({ "engine", "stop" })
    bench:remove()
  end)

  local function run(argv)
    local command = { "--allow-dirty", "vda", "video=street.mp4", "seconds=0" }
    table.move(argv, 1, #argv, #command + 1, command)
    local events, r = bench:run(command, { timeout = "180s" })
    assert.are.equal(0, r.code, r.stderr .. r.stdout:sub(-3000))
    return bench.dir .. "/media/vda/runs/" .. events[1].run, events
  end

  it("e2e_super_resolution, two augmentations, a scene of the cluster", function()
    local dir = run({
      "flow=e2e_super_resolution",
      "augmentations=2",
      "cookbook=city_traffic",
      "dataset=my-set",
      "seed=4",
    })
    local manifest = assert(yaml.decode(assert(fs.read(dir .. "/setup_b0/configs/manifest.yaml"))))
    assert.are.equal(2, manifest.total)
    assert.are.equal("local", manifest.profile)
    for i, config in ipairs(manifest.configs) do
      local name = ("street_aug%d"):format(i - 1)
      assert.are.equal(i - 1, config.aug_idx)
      assert.are.equal(name .. ".yaml", config.config)
      assert.is_true(fs.exists(dir .. "/setup_b0/configs/" .. name .. ".yaml"))
      local drawn = require("vda.sample").draw(
        require("vda.cookbooks.city_traffic").variables,
        crypto.sha256(require("vda.sample").key("my-set", "street", i - 1, 4))
      )
      assert.are.same(drawn.values, config.sampled_vars)
      local metadata =
        support.read_json(dir .. ("/outputs/augmented/%s/metadata.json"):format(name))
      assert.are.same(config.sampled_vars, metadata.selections)
      assert.are.equal(drawn.seed, metadata.hallucination_check.seed_used)
      assert.is_true(fs.exists(dir .. ("/display/my-set_%s_compare.mp4"):format(name)))
      local transfer = support.read_json(
        dir .. ("/outputs/pseudo_labeled_augmented/%s/sidecars/label_transfer.json"):format(name)
      )
      assert.are.equal("augmented_video", transfer.video_id)
    end
    local scene = dir .. "/outputs/pseudo_labeled/street"
    assert.is_true(fs.exists(scene .. "/sidecars/sr_output.mp4"))
    local unanswered = support.read_json(scene .. "/sidecars/unanswered.json").items
    assert.is_true(#unanswered >= 9, #unanswered)
    local windows = support.read_json(scene .. "/sidecars/metadata.json").windows
    assert.are.equal(2, #windows)
    assert.are.equal(69, windows[2].end_frame)
    local bank = support.read_json(dir .. "/setup_b0/configs/auto_labeling/question_bank.json")
    assert.are.equal(11, #bank.questions)
  end)

  it("gives the same bytes for the same seed", function()
    local first, second = run({ "seed=3" }), run({ "seed=3" })
    assert.are_not.equal(first, second)
    for _, path in ipairs({
      "input/street.mp4",
      "setup_b0/configs/manifest.yaml",
      "outputs/augmented/street_aug0/augmented_video.mp4",
      "outputs/pseudo_labeled_augmented/street_aug0/contextual/objects.json",
      "outputs/pseudo_labeled_augmented/street_aug0/sidecars/augmented_video_tracking.mp4",
      "display/vda_street_aug0_compare.mp4",
    }) do
      local a = assert(crypto.file_sha256(first .. "/" .. path))
      assert.are.equal(a, crypto.file_sha256(second .. "/" .. path), path)
    end
  end)

  it("labels=transfer gives the result the labels of the source", function()
    local dir, events = run({ "labels=transfer", "codec=h264" })
    local scene = dir .. "/outputs/pseudo_labeled_augmented/street_aug0"
    local objects = support.read_json(scene .. "/contextual/objects.json")
    local reference = support.read_json(scene .. "/sidecars/reference_objects.json")
    assert.are.same(reference.frames, objects.frames)
    assert.is_true(fs.exists(scene .. "/sidecars/detected_objects.json"))
    local compare = assert(support.describe(dir .. "/display/vda_street_aug0_compare.mp4"))
    assert.are.equal("h264", compare.codec)
    assert.are.equal(70, compare.frames)
    assert.are.equal(720, compare.height)
    local said = {}
    for _, e in ipairs(bench_support.pick(events, "log")) do
      said[#said + 1] = e.text
    end
    assert.is_nil(table.concat(said, "\n"):find("Demo input", 1, true))
  end)

  it("auto_labeling draws nothing and shows the labels", function()
    local dir, events = run({ "flow=auto_labeling" })
    assert.is_false(fs.exists(dir .. "/setup_b0/configs/manifest.yaml"))
    assert.is_false(fs.exists(dir .. "/outputs/augmented"))
    local media = bench_support.pick(events, "media")
    assert.are.equal(1, #media)
    assert.are.equal(
      dir .. "/outputs/pseudo_labeled/street/sidecars/street_tracking.mp4",
      media[1].path
    )
  end)

  it("is refused on another target, by name", function()
    local r = bench:pai({ "run", "--allow-dirty", "vda", "video=street.mp4", "--target", "osmo" }, {
      env = { OSMO_URL = "http://127.0.0.1:9" },
    })
    assert.are.equal(1, r.code, r.stdout .. r.stderr)
    assert.is_truthy((r.stdout .. r.stderr):find("local profile only", 1, true))
  end)
end)
