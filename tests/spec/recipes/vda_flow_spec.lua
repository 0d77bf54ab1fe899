-- The workflow of each flow, one submit whatever happens, and the gate over what came home.
local support = dofile("tests/spec/recipes/vda_support.lua")
local document = require("pai.osmo.document")
local err = require("pai.err")
local flow = require("vda.flow")
local fs = require("pai.fs")
local osmo_schema = require("pai.osmo.schema")
local spec = require("vda.spec")
local yaml = require("pai.yaml")

describe("the cancel of vda's workflow", function()
  it("is asked for while it goes on, and not after its end", function()
    local cancel
    for _, step in ipairs(dofile("recipes/vda.lua").steps) do
      cancel = cancel or step.cancel
    end
    local function cancelled(found)
      local asked = {}
      cancel({
        run_id = "run-0badcafe",
        osmo = {
          list = function(_, opts)
            assert.same({ run = "run-0badcafe" }, opts.label)
            return { found }
          end,
          cancel = function(_, name)
            asked[#asked + 1] = name
          end,
        },
      })
      return asked
    end
    assert.same({ "vda-1" }, cancelled({ name = "vda-1", status = "RUNNING" }))
    assert.same({ "vda-1" }, cancelled({ name = "vda-1", status = "PENDING" }))
    assert.same({}, cancelled({ name = "vda-1", status = "COMPLETED" }))
    assert.same({}, cancelled({ name = "vda-1", status = "FAILED_CANCELED" }))
    assert.same({}, cancelled(nil))
  end)
end)

local function built(name, more)
  local s = {
    flow = name,
    run_id = "run-0badcafe",
    dataset = "vda-demo",
    video = "vtest",
    augmentations = 1,
    labels = "detect",
    root = "file:///m/runs/run-0badcafe",
  }
  for k, v in pairs(more or {}) do
    s[k] = v
  end
  return spec.build(s), s
end

-- "group/task: input, input -> output" a line.
local function picture(document_)
  local lines = {}
  for _, group in ipairs(document_.workflow.groups) do
    for _, task in ipairs(group.tasks) do
      local inputs = {}
      for i, input in ipairs(task.inputs) do
        inputs[i] = input.task or input.url:gsub("^file:///m/runs/run%-0badcafe/", "")
      end
      lines[#lines + 1] = ("%s/%s: %s -> %s"):format(
        group.name,
        task.name,
        table.concat(inputs, ", "),
        (task.outputs[1].url:gsub("^.*/outputs/", ""))
      )
    end
  end
  return lines
end

local COSMOS <const> =
  "augmentation_group/cosmos_worker_0: setup_b0, input/vtest.mp4 -> augmented/vtest_aug0"
local AUGMENTED <const> = "auto_labeling_augmented_group/pl_augmented_worker_0: setup_b0, "
  .. "cosmos_worker_0 -> pseudo_labeled_augmented/vtest_aug0"
local ORIGINAL <const> = "/pl_original_worker_0: setup_b0, input/vtest.mp4 -> pseudo_labeled/vtest"

describe("the workflow of", function()
  it("augmentation_and_al: augment, then label; the source is labelled on the way", function()
    local with_source = AUGMENTED:gsub(" %->", ", input/vtest.mp4 ->")
    assert.are.same({ COSMOS, with_source }, picture(built("augmentation_and_al")))
  end)

  it("auto_labeling: one task", function()
    assert.are.same({ "auto_labeling_group" .. ORIGINAL }, picture(built("auto_labeling")))
  end)

  it("e2e: two branches, the second label task waits for cosmos only", function()
    assert.are.same(
      { "auto_labeling_original_group" .. ORIGINAL, COSMOS, AUGMENTED },
      picture(built("e2e"))
    )
  end)

  it("e2e_super_resolution: a line", function()
    local waits = COSMOS:gsub("input/vtest.mp4", "%0, pl_original_worker_0")
    local document_ = built("e2e_super_resolution")
    assert.are.same(
      { "auto_labeling_original_group" .. ORIGINAL, waits, AUGMENTED },
      picture(document_)
    )
    local args = document_.workflow.groups[1].tasks[1].args
    assert.are.equal("--super-resolution", args[#args])
  end)

  it("several augmentations: groups of their own, side by side", function()
    local document_ = built("e2e", { augmentations = 3 })
    assert.are.equal(7, #document_.workflow.groups)
    local last = document_.workflow.groups[7].tasks[1]
    assert.are.equal("pl_augmented_worker_2", last.name)
    assert.are.same({ task = "cosmos_worker_2" }, last.inputs[2])
    assert.are.equal("2", last.environment.AUG_INDEX)
  end)

  it("labels=transfer has the source beside the result", function()
    local task = built("e2e", { labels = "transfer" }).workflow.groups[3].tasks[1]
    assert.are.equal("file:///m/runs/run-0badcafe/input/vtest.mp4", task.inputs[3].url)
    assert.are.equal("transfer", task.args[#task.args])
  end)

  it("every flow is what OSMO takes, on images that only this machine runs", function()
    for _, name in ipairs({
      "augmentation_and_al",
      "auto_labeling",
      "e2e",
      "e2e_super_resolution",
    }) do
      local document_ = built(name, { augmentations = 8 })
      local text = yaml.encode(document_)
      assert.is_nil(text:find("{%", 1, true))
      assert.is_nil(text:find("{#", 1, true))
      local checked = osmo_schema.check(assert(document.load(text)), { file_urls = true })
      assert.are.same({}, checked.complaints, name)
      assert.is_nil(checked.fault)
      local count = 0
      for _, group in ipairs(document_.workflow.groups) do
        for _, task in ipairs(group.tasks) do
          count = count + 1
          assert.are.equal("pai.local/video", task.image)
        end
      end
      assert.is_true(count <= 20, name .. " has " .. count .. " tasks")
      assert.are.equal("run-0badcafe", document_.workflow.labels.run)
    end
  end)

  it("paths become urls byte by byte", function()
    local s = flow.describe({ flow = "e2e" }, { dataset = "d", video = "v" }, "r", "/a b/ü%")
    assert.are.equal("file:///a%20b/%C3%BC%25", s.root)
  end)
end)

describe("what a flow must leave behind", function()
  it("is named path by path", function()
    local function has(name, path, more)
      local _, s = built(name, more)
      for _, one in ipairs(spec.expected(s)) do
        if one == path then
          return true
        end
      end
      return false
    end
    local manifest = "setup_b0/configs/manifest.yaml"
    assert.is_true(has("e2e", manifest))
    assert.is_false(has("auto_labeling", manifest))
    local scene = "outputs/pseudo_labeled/vtest/contextual/objects.json"
    assert.is_true(has("e2e", scene))
    assert.is_false(has("augmentation_and_al", scene))
    local enlarged = "outputs/pseudo_labeled/vtest/sidecars/sr_output.mp4"
    assert.is_true(has("e2e_super_resolution", enlarged))
    assert.is_false(has("e2e", enlarged))
    local third = "outputs/augmented/vtest_aug2/metadata.json"
    assert.is_true(has("e2e", third, { augmentations = 3 }))
    assert.is_false(has("e2e", third, { augmentations = 2 }))
  end)
end)

-- An OSMO that answers from tables; a call that is not there fails the test.
local function with_osmo(osmo, more)
  local calls = {}
  local ctx = support.ctx(more)
  ctx.osmo = setmetatable({}, {
    __index = function(_, name)
      return function(_, ...)
        calls[#calls + 1] = name
        assert(osmo[name], "unexpected call " .. name)
        return osmo[name](...)
      end
    end,
  })
  function ctx.wait() end
  function ctx.heartbeat(beat)
    ctx.beat = beat
  end
  return ctx, calls
end

describe("submitting", function()
  local function lost(code)
    return function()
      err.raise(code, "no answer")
    end
  end

  it("adopts the workflow whose answer was lost", function()
    local looked = 0
    local ctx, calls = with_osmo({
      submit = lost("ETIMEDOUT"),
      list = function(opts)
        assert.are.same({ run = "run-00000000" }, opts.label)
        looked = looked + 1
        return looked == 2 and { { name = "vda-demo-3", status = "RUNNING" } } or {}
      end,
    })
    assert.are.equal("vda-demo-3", flow.submit(ctx, select(2, built("e2e"))))
    assert.are.same({ "submit", "list", "list" }, calls)
  end)

  it("fails when the workflow is not there either, without a second submit", function()
    local ctx, calls = with_osmo({
      submit = lost("ENETWORK"),
      list = function()
        return {}
      end,
    })
    local ok, e = pcall(flow.submit, ctx, select(2, built("e2e")))
    assert.is_false(ok)
    assert.are.equal("ENETWORK", e.code)
    assert.are.same({ "submit", "list", "list" }, calls)
  end)

  it("takes a refusal as it is", function()
    local ctx, calls = with_osmo({ submit = lost("EHTTP") })
    assert.is_false(pcall(flow.submit, ctx, select(2, built("e2e"))))
    assert.are.same({ "submit" }, calls)
  end)
end)

describe("watching", function()
  local function answer(status, task_status)
    return {
      name = "vda-demo-1",
      status = status,
      groups = {
        {
          name = "g",
          tasks = {
            {
              name = "cosmos_worker_0",
              status = task_status or status,
              exit_code = 1,
              failure_message = "it broke",
            },
            { name = "pl_augmented_worker_0", status = "FAILED_UPSTREAM" },
          },
        },
      },
    }
  end

  local function osmo(status, more)
    local calls = {
      list = function()
        return { { name = "vda-demo-1", status = status } }
      end,
      wait = function(name, opts)
        local q = answer(status)
        q.name = name
        opts.on_update(q)
        return q
      end,
      logs = function()
        return "last words\n"
      end,
    }
    for k, v in pairs(more or {}) do
      calls[k] = v
    end
    return calls
  end

  it("gives the tasks of a workflow that completed, and says what it sees", function()
    local ctx = with_osmo(osmo("COMPLETED"))
    local got = flow.watch(ctx, "vda-demo-1")
    assert.are.equal("COMPLETED", got.status)
    assert.are.equal("cosmos_worker_0", got.tasks[1].name)
    assert.is_truthy(ctx.beat.observation:find("cosmos_worker_0 COMPLETED", 1, true))
  end)

  it("names the task that failed, its message and its last lines", function()
    local ok, e = pcall(flow.watch, (with_osmo(osmo("FAILED"))), "vda-demo-1")
    assert.is_false(ok)
    for _, part in ipairs({
      "vda-demo-1 is FAILED",
      "cosmos_worker_0",
      "exit code 1",
      "it broke",
      "last words",
      "pai resume run-00000000",
    }) do
      assert.is_truthy(tostring(e):find(part, 1, true), part .. " is not in " .. tostring(e))
    end
  end)

  it("restarts a failed workflow when the run is resumed, and only then", function()
    local restarted = {}
    local again = {
      restart = function(name)
        restarted[#restarted + 1] = name
        return { name = "vda-demo-2" }
      end,
      wait = function(name)
        return { name = name, status = "COMPLETED", groups = {} }
      end,
    }
    local ctx = with_osmo(osmo("FAILED_BACKEND_ERROR", again), { resumed = true })
    assert.are.equal("vda-demo-2", flow.watch(ctx, "vda-demo-1").workflow)
    assert.are.same({ "vda-demo-1" }, restarted)
    assert.is_truthy(ctx.logged[1]:find("restarted as vda-demo-2", 1, true))
    assert.is_false(pcall(flow.watch, (with_osmo(osmo("FAILED_BACKEND_ERROR"))), "vda-demo-1"))
    assert.are.equal(1, #restarted)
  end)
end)

describe("the gate over what came home", function()
  local dir, recipe, inp, got

  local function put(path, value)
    local whole = dir .. "/runs/run-00000000/" .. path
    assert(fs.mkdir(fs.dirname(whole), { parents = true }))
    local text = type(value) == "table" and require("pai.json").encode(value) or value
    assert(fs.write(whole, text))
  end

  local HEAD <const> = { version = "metropolis-v3.0" }

  local function payload(kind, fields)
    fields.version, fields.metadata = HEAD.version, { type = kind, date = "2026-01-01" }
    return fields
  end

  local function metadata(passed, results)
    return {
      hallucination_check = { passed = passed, score = passed and 0.9 or 0.3, threshold = 0.682 },
      attribute_verification = { passed = #results == 0, details = { results = results } },
    }
  end

  before_each(function()
    dir = assert(fs.tempdir({ prefix = "pai-vda-" }))
    recipe = dofile("recipes/vda.lua")
    inp = { flow = "augmentation_and_al", augmentations = 1, labels = "detect", out = dir }
    got = { input = { dataset = "vda-demo", video = "vtest" } }
    for _, path in ipairs(spec.expected(select(2, built(inp.flow)))) do
      put(path, "something")
    end
    local scene = "outputs/pseudo_labeled_augmented/vtest_aug0/"
    local video = { video_id = "augmented_video", format = "mp4", fps = 10, duration = 1.0 }
    video.width, video.height = 64, 48
    put(scene .. "contextual/video.json", payload("video", video))
    put(scene .. "contextual/instances.json", payload("instances", { instances = {} }))
    put(
      scene .. "contextual/objects.json",
      payload("objects", { video_id = "augmented_video", frames = {} })
    )
    local stage = { enabled = true, status = "completed", degraded = false }
    put(scene .. "sidecars/pipeline_status.json", {
      version = "1.0",
      degraded = false,
      status = "completed",
      stages = {
        super_resolution = stage,
        tracking = stage,
        vlm_json = stage,
        mcq_generation = stage,
      },
    })
    put("outputs/augmented/vtest_aug0/metadata.json", metadata(true, {}))
  end)

  after_each(function()
    assert(fs.remove(dir, { recursive = true }))
  end)

  local function gate()
    for _, step in ipairs(recipe.steps) do
      if step.name == "mirror" then
        local by = {}
        for _, check in ipairs(step.verify(support.ctx(), inp, got)) do
          by[check.name] = check
        end
        return by
      end
    end
  end

  it("is green when all is there", function()
    for name, check in pairs(gate()) do
      assert.are.equal("ok", check.state, name .. ": " .. tostring(check.measured))
    end
  end)

  it("names a file that is missing or empty", function()
    put("outputs/augmented/vtest_aug0/augmented_video.mp4", "")
    local check = gate()["every promised file"]
    assert.are.equal("red", check.state)
    assert.is_truthy(
      check.measured:find("outputs/augmented/vtest_aug0/augmented_video.mp4", 1, true)
    )
  end)

  it("is red for a scene that breaks the schema", function()
    local path = "outputs/pseudo_labeled_augmented/vtest_aug0/contextual/video.json"
    put(path, payload("video", { video_id = "x" }))
    local check = gate()["label scenes have the fields they must"]
    assert.are.equal("red", check.state)
    assert.is_truthy(check.measured:find("video.json", 1, true))
  end)

  it("is red for a failed motion check, unless that is accepted", function()
    put("outputs/augmented/vtest_aug0/metadata.json", metadata(false, {}))
    assert.are.equal("red", gate()["motion of vtest_aug0"].state)
    inp.accept_unverified = true
    assert.are.equal("warn", gate()["motion of vtest_aug0"].state)
  end)

  it("warns of a drawn value that the picture contradicts", function()
    local failed =
      { variable = "weather", value = "fog", result = "failed", reason = "contradicted" }
    put("outputs/augmented/vtest_aug0/metadata.json", metadata(true, { failed }))
    local check = gate()["drawn values of vtest_aug0"]
    assert.are.equal("warn", check.state)
    assert.is_truthy(check.measured:find("weather fog", 1, true))
  end)
end)

describe("what a run says of itself", function()
  local words = require("vda.words")

  local function evidence(boxes)
    local labels = { tracks = 2, boxes = boxes, frames = 10, frames_with_people = 9 }
    return {
      augmented = {
        {
          labels = labels,
          source_labels = labels,
          answers = { answered = 0, unanswered = 4, items = {} },
          agreement = {
            recall = boxes > 0 and 0.9 or nil,
            precision = boxes > 0 and 0.8 or nil,
            mean_iou = boxes > 0 and 0.7 or nil,
            iou_threshold = 0.5,
            matched = 0,
            reference_boxes = boxes,
            detected_boxes = boxes,
          },
          conditions = { weather = "rain", time_of_day = "night" },
          motion = { score = 1, threshold = 0.682, particles = true, with_particles = 0.2 },
          attributes = {},
          compare = "/c.mp4",
          overlay = "/o.mp4",
        },
      },
    }
  end

  local SOURCE <const> = {
    demo = true,
    credit = "somebody",
    notes = { "sound left out" },
    original = "/v.mp4",
    width = 4,
    height = 2,
    frames = 10,
    rate = "10/1",
  }

  it("is plain: what it is not, what it used, what it found", function()
    local text = table.concat(words.summary(SOURCE, evidence(40)), "\n")
    for _, part in ipairs({
      "not Cosmos Transfer",
      "Demo input was used",
      "sound left out",
      "time_of_day night, weather rain",
      "2 people in 40 boxes, in 9 of 10 frames",
      "recall 0.900, precision 0.800, mean IoU 0.700",
      "without particles; 0.200 with them",
    }) do
      assert.is_truthy(text:find(part, 1, true), part .. " is not in\n" .. text)
    end
  end)

  it("claims no agreement of nothing, and no demo where there was none", function()
    local source = { notes = {}, demo = false }
    local text = table.concat(words.summary(source, evidence(0)), "\n")
    assert.is_truthy(text:find("labels can't be compared", 1, true))
    assert.is_nil(text:find("recall", 1, true))
    assert.is_nil(text:find("Demo", 1, true))
  end)

  it("is a report of what there is, also after a run that failed early", function()
    assert.are.same({}, words.report(nil, nil).sections)
    assert.are.equal(1, #words.report(SOURCE, nil).sections)
    local report = words.report(SOURCE, evidence(40))
    assert.are.equal("media", report.sections[1].kind)
    assert.are.same({ "/c.mp4", "/o.mp4" }, words.files(evidence(40)))
  end)

  it("is an estimate that grows with the video", function()
    local function total(inp, video, fetch)
      local min, max = 0, 0
      for _, phase in ipairs(words.estimate(inp, video, fetch)) do
        assert.is_true(phase.min_s <= phase.max_s)
        min, max = min + phase.min_s, max + phase.max_s
      end
      return min, max
    end
    local inp = { seconds = 20, flow = "e2e", augmentations = 1 }
    local demo = total(inp, nil, false)
    assert.is_true(demo > 10 and demo < 60, demo)
    assert.is_true(total(inp, nil, true) > demo)
    local big = { rate = "30/1", duration = 60, width = 1920, height = 1080 }
    assert.is_true(total({ seconds = 0, flow = "e2e", augmentations = 1 }, big) > 10 * demo)
  end)
end)
