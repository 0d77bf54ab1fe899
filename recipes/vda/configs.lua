-- Draws the conditions and writes setup_b0: what the cluster's setup task writes, plus the scripts
-- and plans of the local profile's tasks. Sampling is done here, so no task needs the network.
local bank = require("vda.bank")
local graph = require("vda.graph")
local sample = require("vda.sample")
local video = require("vda.video")

local M = {}

local SCRIPTS <const> = {
  "attributes.py",
  "augment.py",
  "detect.py",
  "ground.py",
  "label.py",
  "people.py",
  "scene.py",
  "track.py",
}

local COOKBOOKS <const> = {
  city_traffic = require("vda.cookbooks.city_traffic"),
  piazza = require("vda.cookbooks.piazza"),
  warehouse = require("vda.cookbooks.warehouse"),
  robot_assembly = require("vda.cookbooks.robot_assembly"),
  trailer_dashcam = require("vda.cookbooks.trailer_dashcam"),
  street_local = require("vda.cookbooks.street_local"),
}

M.COOKBOOKS = COOKBOOKS

---The draws of a run; the same for the same dataset, video and seed.
---@param ctx pai.ctx
---@param inp table
---@param source vda.Source
---@return vda.Draw[] draws from index 0 at [1]
function M.draws(ctx, inp, source)
  local cookbook, list = COOKBOOKS[inp.cookbook], {}
  if inp.flow == "auto_labeling" then
    return list
  end
  for index = 0, inp.augmentations - 1 do
    local key = sample.key(source.dataset, source.video, index, inp.seed)
    list[index + 1] = sample.draw(cookbook.variables, ctx.hash(key))
  end
  return list
end

local function weights(ctx, cookbook, n)
  local variables = {}
  for _, variable in ipairs(cookbook.variables) do
    variables[variable.name] = {}
    for _, entry in ipairs(variable.values) do
      variables[variable.name][entry[1]] = entry[2]
    end
  end
  return ctx.yaml.encode({ augmentation = { n_augmentations = n, variables = variables } })
end

local function questions(cookbook)
  local list = {}
  for i, q in ipairs(cookbook.questions) do
    list[i] = {
      id = q.id,
      question = q.question,
      options = q.options,
      aggregation = q.aggregation,
      include_if = q.include_if,
      include_if_any = q.include_if_any,
    }
  end
  return { name = "window_default_" .. cookbook.name, questions = list }
end

local function readme(cookbook)
  local lines = { "# " .. cookbook.title, "", "Camera: " .. cookbook.camera .. ".", "" }
  lines[#lines + 1] = "Why these variables: " .. cookbook.why .. "."
  lines[#lines + 1] = ""
  for _, trap in ipairs(cookbook.traps) do
    lines[#lines + 1] = "- " .. trap
  end
  return table.concat(lines, "\n") .. "\n"
end

-- The labelling configuration under the cluster's keys, and for the script as JSON.
local function labelling(ctx, inp, source, cookbook, put)
  local unknown = false
  for _, class in ipairs(cookbook.classes) do
    unknown = unknown or class ~= "person"
  end
  put(
    "auto_labeling/auto_labeling_config.yaml",
    ctx.yaml.encode({
      super_resolution = { enabled = inp.flow == "e2e_super_resolution", variant = "lanczos_2x" },
      detection_and_tracking = {
        enabled = true,
        model = "hog_svm",
        tracker = "iou",
        classes = cookbook.classes,
        max_age = cookbook.max_age,
        min_hits = 3,
        min_track_frames = 5,
        save_video = true,
      },
      vlm_json = { enabled = false },
      mcq_generation = {
        enabled = true,
        mode = "measurement",
        window_metadata_extraction = { window_frames = 60 },
      },
    })
  )
  put("auto_labeling/question_bank.json", ctx.json.encode(questions(cookbook), { pretty = true }))
  return {
    profile = "local",
    backend = inp.backend,
    cookbook = cookbook.name,
    scenario_info = cookbook.scenario_info,
    classes = cookbook.classes,
    unknown = unknown,
    max_age = cookbook.max_age,
    rate = source.rate,
    codec = inp.codec,
    encoder = video.encoder(inp.codec, "clean"),
    threads = video.THREADS,
  }
end

local function augmentation(ctx, inp, source, cookbook, draw, index, put)
  local clip = { width = source.width, height = source.height, rate = source.rate }
  clip.rect = source.rect
  local plan, err = graph.plan(draw.values, clip, draw.seed)
  if not plan then
    error(("cookbook %s: %s"):format(cookbook.name, err), 0)
  end
  local noisy = plan.grade.noise > 0
  local name = ("%s_aug%d"):format(source.video, index)
  local input = ("input/%s.mp4"):format(source.video)
  local output = ("outputs/augmented/%s/augmented_video.mp4"):format(name)
  local folder = ("%s/aug_%d/"):format(source.video, index)
  put(folder .. "grade.cube", plan.cube)
  put(
    folder .. "render.json",
    ctx.json.encode({
      drawn = draw.values,
      options = sample.options(cookbook.variables),
      seed = draw.seed,
      filter = plan.filter,
      particles = plan.particles,
      tiles = ctx.json.array(plan.tiles),
      rect = source.rect,
      rate = source.rate,
      frames = source.frames,
      threads = video.THREADS,
      codec = inp.codec,
      encoder = video.encoder(inp.codec, noisy and "noisy" or "clean"),
      input_path = input,
      output_path = output,
    }, { pretty = true })
  )
  put(
    name .. ".yaml",
    ctx.yaml.encode({
      profile = "local",
      data = {
        {
          inputs = { rgb = input },
          output = { video = output, metadata = output:gsub("[^/]+$", "metadata.json") },
        },
      },
      augmentation = {
        model = { name = "classical", executor_type = "local" },
        parameters = { seed = draw.seed },
        sampled_vars = draw.values,
      },
    }, { order = { "profile", "data", "augmentation" } })
  )
  return {
    video = input,
    video_name = source.video,
    aug_idx = index,
    config = name .. ".yaml",
    sampled_vars = draw.values,
    seed = draw.seed,
    redraws = #draw.redraws > 0 and draw.redraws or nil,
  }
end

local function tools(ctx)
  local ffmpeg = ctx.query({ "ffmpeg", "-version" }).stdout:match("^(%S+ %S+ %S+)")
  return { ffmpeg = ffmpeg, threads = video.THREADS }
end

---The file that is written last: with it, setup_b0 is whole.
M.LAST = "setup_b0/configs/label.json"

---Writes setup_b0.
---@param ctx pai.ctx
---@param inp table
---@param source vda.Source
---@param dir string the run's folder
---@return vda.Draw[]
function M.write(ctx, inp, source, dir)
  local cookbook = COOKBOOKS[inp.cookbook]
  local problems = bank.problems(cookbook.questions)
  if #problems > 0 then
    error(("question bank of %s: %s"):format(cookbook.name, table.concat(problems, "; ")), 0)
  end
  local base = dir .. "/setup_b0"
  local function put(path, text)
    local whole = base .. "/configs/" .. path
    ctx.fs.mkdir(ctx.fs.dirname(whole))
    ctx.write(whole, text)
  end
  ctx.fs.mkdir(base .. "/configs")
  for _, script in ipairs(SCRIPTS) do
    ctx.fs.copy(ctx.dir .. "/task/" .. script, base .. "/" .. script)
  end
  put("README.md", readme(cookbook))
  local draws, configs = M.draws(ctx, inp, source), {}
  if #draws > 0 then
    put("workflow_config.yaml", weights(ctx, cookbook, inp.augmentations))
  end
  for i, draw in ipairs(draws) do
    configs[i] = augmentation(ctx, inp, source, cookbook, draw, i - 1, put)
  end
  local label = labelling(ctx, inp, source, cookbook, put)
  if #draws > 0 then
    local manifest = { configs = configs, total = #configs, seed = inp.seed, profile = "local" }
    manifest.tools = tools(ctx)
    put("manifest.yaml", ctx.yaml.encode(manifest, { order = { "configs", "total" } }))
  end
  put("label.json", ctx.json.encode(label, { pretty = true }) .. "\n")
  return draws
end

return M
