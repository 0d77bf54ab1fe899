-- What a run has to show: questions that could be measured, how well labels of source and result
-- agree, and source and result side by side. Reads the mirrored tree, writes only beside it.
local agree = require("vda.agree")
local clip = require("vda.clip")
local configs = require("vda.configs")
local questions = require("vda.questions")
local schema = require("vda.schema")
local video = require("vda.video")

local M = {}

local function read(ctx, path)
  return ctx.json.decode(ctx.read(path))
end

local function write(ctx, path, value)
  ctx.fs.mkdir(ctx.fs.dirname(path))
  ctx.write(path, ctx.json.encode(value, { pretty = true }) .. "\n")
end

local function stamped(kind, date, key, list)
  return { version = schema.VERSION, metadata = { type = kind, date = date }, [key] = list }
end

local function attributes_of(metadata)
  local out = {}
  for _, one in ipairs(metadata and metadata.attribute_verification.details.results or {}) do
    out[one.variable] = one
  end
  return metadata and out or nil
end

-- The files of a scene that need no video: answers, what is unanswered, the windows.
local function answer(ctx, scene, bank, metadata)
  local objects = read(ctx, scene .. "/contextual/objects.json")
  local frames, date = 0, objects.metadata.date
  for _ in pairs(objects.frames) do
    frames = frames + 1
  end
  local windows = questions.windows(frames)
  local facts = {
    crowds = questions.crowds(objects, windows),
    attributes = attributes_of(metadata),
  }
  local found = questions.answer(bank, facts, objects.video_id)
  for _, kind in ipairs({ "mcq", "bcq" }) do
    if #found[kind] > 0 then
      local path = ("%s/task/%s.json"):format(scene, kind)
      write(ctx, path, stamped(kind, date, "items", found[kind]))
    end
  end
  write(ctx, scene .. "/sidecars/unanswered.json", {
    profile = "local",
    items = ctx.json.array(found.unanswered),
  })
  local rows = {}
  for i, window in ipairs(windows) do
    rows[i] = { start_frame = window.first, end_frame = window.last, people = facts.crowds[i] }
  end
  write(ctx, scene .. "/sidecars/metadata.json", {
    windows = ctx.json.array(rows),
    window_frames = questions.WINDOW,
    valid = true,
    has_caption = false,
  })
  local said = { answered = #found.mcq + #found.bcq, unanswered = #found.unanswered, items = {} }
  for _, list in ipairs({ found.mcq, found.bcq }) do
    for _, item in ipairs(list) do
      local text = item.options and item.options[item.answer] or item.answer
      said.items[#said.items + 1] = { question = item.question, answer = text }
    end
  end
  return said, objects
end

local function scene_summary(ctx, scene, bank, metadata)
  local answers, objects = answer(ctx, scene, bank, metadata)
  return { labels = agree.count(objects), answers = answers }, objects
end

-- Labels of the source for the augmented clip: geometry is kept, so they hold for it as well.
local function transfer(ctx, scene, reference, detected, labels)
  local result = agree.compare(reference, detected)
  write(ctx, scene .. "/sidecars/label_transfer.json", {
    version = schema.VERSION,
    method = "the picture's geometry is unchanged, so boxes of the source hold for the result",
    labels = labels,
    agreement = result,
    video_id = detected.video_id,
    frames = reference.frames,
  })
  return result
end

-- Objects of the source: of its own scene, or what the augmented scene's task found beside it.
local function reference_of(ctx, scene, original)
  local beside = scene .. "/sidecars/reference_objects.json"
  if ctx.fs.exists(beside) then
    return read(ctx, beside)
  end
  return original
end

local function augmented(ctx, inp, source, dir, index, original, bank)
  local name = ("%s_aug%d"):format(source.video, index)
  local folder = dir .. "/outputs/augmented/" .. name
  local scene = dir .. "/outputs/pseudo_labeled_augmented/" .. name
  local metadata = read(ctx, folder .. "/metadata.json")
  local out, objects = scene_summary(ctx, scene, bank, metadata)
  local detected = objects
  if inp.labels == "transfer" then
    detected = read(ctx, scene .. "/sidecars/detected_objects.json")
  end
  local reference = reference_of(ctx, scene, original)
  out.source_labels = agree.count(reference)
  out.agreement = transfer(ctx, scene, reference, detected, inp.labels)
  out.conditions = metadata.selections
  local motion = metadata.hallucination_check
  out.motion = {
    passed = motion.passed,
    score = motion.score,
    threshold = motion.threshold,
    particles = motion.details.particles,
    with_particles = motion.details.score_with_particles,
  }
  out.attributes = metadata.attribute_verification.details.results
  local target = ("%s/display/%s_%s_compare.mp4"):format(dir, source.dataset, name)
  if not ctx.fs.exists(target) then
    ctx.fs.mkdir(ctx.fs.dirname(target))
    local part = target:gsub("%.mp4$", ".part")
    local opts = { rate = source.rate, codec = inp.codec }
    local result = folder .. "/augmented_video.mp4"
    clip.whole(ctx, part, function()
      ctx.exec(video.compare_command(source.path, result, part, opts), { timeout = "6h" })
    end)
    ctx.fs.rename(part, target)
  end
  out.compare = target
  out.overlay = scene .. "/sidecars/augmented_video_tracking.mp4"
  return out
end

---The file that is written last.
---@param dir string the run's folder
---@return string
function M.path(dir)
  return dir .. "/display/evidence.json"
end

---Makes the evidence of a run.
---@param ctx pai.ctx
---@param inp table
---@param source vda.Source
---@param dir string
---@return table
function M.make(ctx, inp, source, dir)
  local bank = configs.COOKBOOKS[inp.cookbook].questions
  local out = { augmented = {}, profile = "local" }
  local original
  if inp.flow ~= "augmentation_and_al" then
    local scene = dir .. "/outputs/pseudo_labeled/" .. source.video
    out.original, original = scene_summary(ctx, scene, bank, nil)
    out.original.overlay = ("%s/sidecars/%s_tracking.mp4"):format(scene, source.video)
  end
  if inp.flow ~= "auto_labeling" then
    for index = 0, inp.augmentations - 1 do
      out.augmented[index + 1] = augmented(ctx, inp, source, dir, index, original, bank)
    end
  end
  local result = { original = out.original, augmented = ctx.json.array(out.augmented) }
  result.profile = out.profile
  write(ctx, M.path(dir), result)
  return result
end

---What is wrong with the label scenes and renders of a run, for the gate after the workflow.
---@param ctx pai.ctx
---@param dir string
---@return string[] problems
function M.problems(ctx, dir)
  local problems = {}
  local scenes = ctx.fs.glob(dir .. "/outputs/pseudo_labeled/*")
  local more = ctx.fs.glob(dir .. "/outputs/pseudo_labeled_augmented/*")
  table.move(more, 1, #more, #scenes + 1, scenes)
  local function take(list)
    table.move(list, 1, #list, #problems + 1, problems)
  end
  for _, scene in ipairs(scenes) do
    local name = ctx.fs.basename(scene) .. "/"
    local about = read(ctx, scene .. "/contextual/video.json")
    local instances = read(ctx, scene .. "/contextual/instances.json")
    local objects = read(ctx, scene .. "/contextual/objects.json")
    local context = { width = about.width, height = about.height, instances = instances.instances }
    take(schema.check("video", about, context, name .. "video.json"))
    take(schema.check("instances", instances, context, name .. "instances.json"))
    take(schema.check("objects", objects, context, name .. "objects.json"))
    take(schema.check_status(read(ctx, scene .. "/sidecars/pipeline_status.json")))
  end
  return problems
end

return M
