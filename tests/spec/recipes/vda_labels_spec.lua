-- Questions, agreement of labels, and the schema of a label scene; no video is needed.
dofile("tests/spec/recipes/vda_support.lua")
local agree = require("vda.agree")
local bank = require("vda.bank")
local fs = require("pai.fs")
local questions = require("vda.questions")
local schema = require("vda.schema")

local function frame(number, boxes)
  local instances = {}
  for id, box in pairs(boxes) do
    instances[#instances + 1] =
      { object_id = id, bounding_box_2d_tight = box, bounding_box_2d_loose = box }
  end
  return { format = "png", frame_number = number, instances = instances }
end

local function objects(list)
  local out = {
    version = "metropolis-v3.0",
    metadata = { type = "objects", date = "2026-01-01" },
    video_id = "clip",
    frames = {},
  }
  for i, boxes in ipairs(list) do
    out.frames[("clip_frame_%06d"):format(i - 1)] = frame(i - 1, boxes)
  end
  return out
end

describe("aggregation", function()
  local function rule(aggregation, answers, more)
    local q = { aggregation = aggregation }
    for k, v in pairs(more or {}) do
      q[k] = v
    end
    return questions.aggregate(q, answers)
  end

  it("any: one window says Yes", function()
    assert.are.equal("Yes", rule("any", { "No", "No", "Yes" }))
    assert.are.equal("No", rule("any", { "No", "No" }))
  end)

  it("majority: the most frequent, a tie goes to the first seen", function()
    assert.are.equal("B", rule("majority", { "A", "B", "B" }))
    assert.are.equal("C", rule("majority", { "C", "A", "A", "C" }))
    assert.are.equal("A", rule("majority_tie_first", { "A", "B" }))
  end)

  it("first: the first window", function()
    assert.are.equal("C", rule("first", { "C", "A", "A" }))
  end)

  it("supermajority: a share of .6 and one Yes, if nothing else is said", function()
    assert.are.equal("Yes", rule(nil, { "Yes", "Yes", "Yes", "No", "No" }))
    assert.are.equal("No", rule("supermajority", { "Yes", "Yes", "No", "No" }))
    assert.are.equal("Yes", rule("supermajority", { "Yes", "No" }, { threshold = 0.5 }))
    assert.are.equal("No", rule("supermajority", { "Yes" }, { min_yes = 2 }))
  end)
end)

describe("questions", function()
  it("look at windows of 60 frames, the last one shorter", function()
    assert.are.same(
      { { first = 0, last = 59 }, { first = 60, last = 119 }, { first = 120, last = 130 } },
      questions.windows(131)
    )
    assert.are.same({}, questions.windows(0))
  end)

  it("count different people in a window, and people only", function()
    local list = {}
    for i = 1, 61 do
      list[i] = { person_1 = { 0, 0, 1, 1 }, unknown_1 = { 0, 0, 1, 1 } }
    end
    list[61].person_2 = { 0, 0, 1, 1 }
    local windows = questions.windows(61)
    assert.are.same({ 1, 2 }, questions.crowds(objects(list), windows))
  end)

  local cookbook = require("vda.cookbooks.street_local")

  local function verified(result)
    return {
      weather = { value = "fog", result = result, reason = "because" },
      time_of_day = { value = "morning", result = "not_measurable", reason = "also evening" },
    }
  end

  it("are answered where something was measured, and named where not", function()
    local facts = { crowds = { 4, 8, 9 }, attributes = verified("passed") }
    local found = questions.answer(cookbook.questions, facts, "augmented_video")
    local by = {}
    for _, item in ipairs(found.mcq) do
      by[item.question] = item
      assert.is_truthy(item.options[item.answer])
      assert.are.equal("augmented_video", item.video_id)
    end
    assert.are.equal("fog", by["What is the weather?"].options.D)
    assert.are.equal("D", by["What is the weather?"].answer)
    assert.are.equal("C", by["How many people are about?"].answer)
    assert.are.equal("Yes", found.bcq[1].answer)
    local reasons = {}
    for _, item in ipairs(found.unanswered) do
      reasons[item.id] = item.reason
    end
    assert.is_truthy(reasons["2_2"]:find("also evening", 1, true))
    assert.is_truthy(reasons["5_3"]:find("no vision-language model", 1, true))
    assert.are.equal(#cookbook.questions, #found.mcq + #found.bcq + #found.unanswered)
  end)

  it("on the original have no answer after the conditions", function()
    local found = questions.answer(cookbook.questions, { crowds = { 0 } }, "clip")
    local reasons = {}
    for _, item in ipairs(found.unanswered) do
      reasons[item.id] = item.reason
    end
    assert.is_truthy(reasons["2_1"]:find("no reference", 1, true))
    assert.are.equal("No", found.bcq[1].answer)
  end)

  it("do not answer from a value that was contradicted", function()
    local facts = { crowds = { 1 }, attributes = verified("failed") }
    local found = questions.answer(cookbook.questions, facts, "augmented_video")
    for _, item in ipairs(found.mcq) do
      assert.are_not.equal("What is the weather?", item.question)
    end
  end)

  it("sort people into the classes of each bank by stated limits", function()
    local warehouse = require("vda.cookbooks.warehouse").questions
    local wants = { [0] = "A", [1] = "B", [2] = "B", [3] = "C" }
    for count, letter in pairs(wants) do
      local found = questions.answer(warehouse, { crowds = { count } }, "clip")
      assert.are.equal(letter, found.mcq[1].answer)
    end
    local robot = require("vda.cookbooks.robot_assembly").questions
    assert.are.equal("Yes", questions.answer(robot, { crowds = { 0, 1 } }, "clip").bcq[1].answer)
  end)

  it("that depend on another answer wait for it", function()
    local list = {
      bank.yes_no("a", "Anybody?", { measure = { people = { 0 } } }),
      bank.yes_no("b", "Many?", { include_if = { a = "Yes" }, measure = { people = { 5 } } }),
    }
    assert.are.equal(2, #questions.answer(list, { crowds = { 9 } }, "x").bcq)
    local none = questions.answer(list, { crowds = { 0 } }, "x")
    assert.are.equal(1, #none.bcq)
    assert.are.equal("b", none.unanswered[1].id)
    list[2].include_if, list[2].include_if_any = nil, { a = "Yes", z = "Yes" }
    assert.are.equal(2, #questions.answer(list, { crowds = { 9 } }, "x").bcq)
  end)

  it("of every cookbook are sound, and an unsound bank is found", function()
    for _, path in ipairs(assert(fs.glob("recipes/vda/cookbooks/*.lua"))) do
      local one = require("vda.cookbooks." .. fs.basename(path):gsub("%.lua$", ""))
      assert.are.same({}, bank.problems(one.questions), one.name)
    end
    local broken = {
      bank.yes_no("1", "A?", { include_if = { ["9"] = "Yes" } }),
      bank.yes_no("1", "B?", { include_if_any = { ["1"] = "Maybe" } }),
      { id = "2", options = { "A. x" }, aggregation = "most" },
    }
    assert.are.same({
      "1 is there twice",
      "1 depends on 9 = Yes, which can't be",
      "1 depends on 1 = Maybe, which can't be",
      "2: unknown aggregation most",
      "2 has no choice",
    }, bank.problems(broken))
  end)
end)

describe("agreement", function()
  it("is 1 for the same boxes", function()
    local a = objects({ { person_1 = { 0, 0, 10, 20 }, person_2 = { 50, 0, 60, 20 } } })
    local r = agree.compare(a, a)
    assert.are.equal(1, r.recall)
    assert.are.equal(1, r.precision)
    assert.are.equal(1, r.mean_iou)
    assert.are.equal(2, r.matched)
  end)

  it("counts what is missing, what is too much, and what lies elsewhere", function()
    local a = objects({
      { person_1 = { 0, 0, 10, 20 }, person_2 = { 50, 0, 60, 20 } },
      { person_1 = { 0, 0, 10, 20 } },
    })
    local b = objects({
      { person_7 = { 2, 0, 12, 20 } }, -- IoU 2/3
      { person_7 = { 8, 0, 18, 20 }, person_8 = { 100, 0, 110, 20 } },
    })
    local r = agree.compare(a, b)
    assert.are.equal(1, r.matched)
    assert.are.equal(0.3333, r.recall)
    assert.are.equal(0.3333, r.precision)
    assert.are.equal(0.6667, r.mean_iou)
  end)

  it("gives each box one partner, the nearest first", function()
    local a = objects({ { person_1 = { 0, 0, 10, 20 }, person_2 = { 3, 0, 13, 20 } } })
    local b = objects({ { person_1 = { 2, 0, 12, 20 } } })
    local r = agree.compare(a, b)
    assert.are.equal(1, r.matched)
    assert.are.equal(0.8182, r.mean_iou) -- with the second, not with the first
  end)

  it("leaves other things out, and has no figure for nothing", function()
    local a = objects({ { unknown_1 = { 0, 0, 10, 20 } } })
    local r = agree.compare(a, a)
    assert.is_nil(r.recall)
    assert.is_nil(r.precision)
    assert.are.equal(0, r.reference_boxes)
  end)
end)

describe("the schema check", function()
  local CONTEXT <const> = { width = 100, height = 100, instances = { person_1 = {} } }

  local function good()
    return objects({ { person_1 = { 10, 10, 20, 40 } } })
  end

  it("passes a good file", function()
    assert.are.same({}, schema.check("objects", good(), CONTEXT))
  end)

  it("names what is wrong", function()
    local function problem(change)
      local payload = good()
      change(payload, payload.frames.clip_frame_000000)
      return schema.check("objects", payload, CONTEXT, "objects.json")[1] or ""
    end
    local cases = {
      {
        "version is 2",
        function(p)
          p.version = "2"
        end,
      },
      {
        "metadata has no type",
        function(p)
          p.metadata.type = "boxes"
        end,
      },
      {
        "frames is nil",
        function(p)
          p.frames = nil
        end,
      },
      {
        "should be clip_frame_000005",
        function(_, f)
          f.frame_number = 5
        end,
      },
      {
        "format is jpg",
        function(_, f)
          f.format = "jpg"
        end,
      },
      {
        "is no instance",
        function(_, f)
          f.instances[1].object_id = "person_9"
        end,
      },
      {
        "not inside the picture",
        function(_, f)
          f.instances[1].bounding_box_2d_tight = { 10, 10, 200, 40 }
        end,
      },
      {
        "not inside the picture",
        function(_, f)
          f.instances[1].bounding_box_2d_loose = { 30, 10, 20, 40 }
        end,
      },
      {
        "four numbers",
        function(_, f)
          f.instances[1].bounding_box_2d_tight = { 1, 2, 3 }
        end,
      },
    }
    for _, case in ipairs(cases) do
      assert.is_truthy(problem(case[2]):find(case[1], 1, true), case[1] .. ": " .. problem(case[2]))
    end
  end)

  it("knows instances, videos, answers and the status", function()
    local head = { version = "metropolis-v3.0" }
    local function with(kind, fields)
      fields.version = head.version
      fields.metadata = { type = kind, date = "2026-01-01" }
      return schema.check(kind, fields, CONTEXT)
    end
    local person = {
      object_type = "person",
      instance_id = 1,
      semantic_id = 1,
      color = { 1, 2, 3 },
      caption = "person (track 1)",
    }
    assert.are.same({}, with("instances", { instances = { person_1 = person } }))
    assert.are.equal(1, #with("instances", { instances = { car_1 = person } }))
    local video =
      { video_id = "x", format = "mp4", fps = 10, duration = 2.0, width = 4, height = 4 }
    assert.are.same({}, with("video", video))
    video.fps = 300
    assert.are.equal(1, #with("video", video))
    local mcq = { video_id = "x", question = "?", answer = "B", options = { A = "a" } }
    assert.are.equal(1, #with("mcq", { items = { mcq } }))
    local bcq = { video_id = "x", question = "?", answer = "maybe" }
    assert.are.equal(1, #with("bcq", { items = { bcq } }))
    local stage = { enabled = true, status = "completed", degraded = false }
    local status = {
      version = "1.0",
      degraded = false,
      status = "completed",
      stages = {
        super_resolution = stage,
        tracking = stage,
        vlm_json = stage,
        mcq_generation = stage,
      },
    }
    assert.are.same({}, schema.check_status(status))
    status.degraded = true
    assert.are.equal(1, #schema.check_status(status))
    status.stages.tracking = nil
    assert.are.equal(2, #schema.check_status(status))
  end)
end)
