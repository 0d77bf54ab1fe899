-- Video data augmentation, local profile: a real video, classical augmentation steered by drawn
-- conditions, people detected and tracked, through the embedded engine as an OSMO workflow.
local clip = require("vda.clip")
local configs = require("vda.configs")
local demo = require("vda.demo")
local evidence = require("vda.evidence")
local flow = require("vda.flow")
local preflight = require("vda.preflight")
local spec = require("vda.spec")
local words = require("vda.words")

local function described(ctx, inp, source)
  return flow.describe(inp, source, ctx.run_id, clip.run_dir(ctx, inp))
end

-- Every path that the flow promises, the label scenes' fields, and the motion check.
local function mirrored(ctx, inp, got)
  local dir = clip.run_dir(ctx, inp)
  local missing = {}
  for _, path in ipairs(spec.expected(described(ctx, inp, got.input))) do
    local st = ctx.fs.stat(dir .. "/" .. path)
    if not st or st.size == 0 then
      missing[#missing + 1] = path
    end
  end
  local checks = {
    {
      name = "every promised file",
      state = #missing == 0 and "ok" or "red",
      measured = #missing == 0 and "all there" or "missing: " .. table.concat(missing, ", "),
      hint = "look at the log of the task that writes it: pai osmo logs",
    },
  }
  if #missing > 0 then
    return checks
  end
  local problems = evidence.problems(ctx, dir)
  checks[2] = {
    name = "label scenes have the fields they must",
    state = #problems == 0 and "ok" or "red",
    measured = #problems == 0 and "all" or table.concat(problems, "; "),
  }
  for _, path in ipairs(ctx.fs.glob(dir .. "/outputs/augmented/*/metadata.json")) do
    local metadata = ctx.json.decode(ctx.read(path))
    local motion, name = metadata.hallucination_check, path:match("([^/]+)/metadata%.json$")
    checks[#checks + 1] = {
      name = "motion of " .. name,
      state = motion.passed and "ok" or inp.accept_unverified and "warn" or "red",
      measured = motion.score,
      expected = motion.threshold,
      hint = "look at the render; accept_unverified=true lets it pass",
    }
    local verified = metadata.attribute_verification
    local failed = {}
    for _, one in ipairs(verified.details.results) do
      if one.result == "failed" then
        failed[#failed + 1] = ("%s %s: %s"):format(one.variable, one.value, one.reason)
      end
    end
    checks[#checks + 1] = {
      name = "drawn values of " .. name,
      state = verified.passed and "ok" or "warn",
      measured = verified.passed and "none contradicted" or table.concat(failed, "; "),
      hint = "ranges come from street, dashcam and warehouse clips; others may lie outside",
    }
  end
  return checks
end

return {
  api = 1,
  name = "vda",
  title = "Video data augmentation",
  summary = "Augments and labels a video and brings the evidence home.",
  doc = [[
Draws conditions (weather, time of day, light, season, camera) from a cookbook for each
augmentation, renders the video under them, finds and tracks people in source and result, and
compares the two. The work runs as an OSMO workflow on the embedded engine, with the groups, tasks
and outputs of the cluster flow; everything is mirrored to out/runs/RUN_ID.

This is the local profile. It is classical image processing and not Cosmos Transfer: light, colour,
air, particles and sensor noise change; nothing is generated. Labels are of people only.

Without video= a demo is used and said so: the first 20 seconds of vtest.avi from Debian's package
opencv-doc, fetched with apt-get download when it is not installed. A video that is given is never
replaced: it is turned upright, made even, constant in its frame rate and silent, and left as it is
where it lies.

The same dataset, video name, seed and codec give the same bytes.]],
  tags = { "workload", "video", "labels" },
  safety = "changes",
  inputs = {
    flow = {
      type = "enum",
      values = { "augmentation_and_al", "auto_labeling", "e2e", "e2e_super_resolution" },
      default = "augmentation_and_al",
      doc = "augmentation_and_al: augment and label the result. auto_labeling: label the source "
        .. "only. e2e: both side by side. e2e_super_resolution: enlarge and label the source, "
        .. "then the rest (2x Lanczos here).",
    },
    video = { type = "path", optional = true, doc = "The video; the demo if not given." },
    seconds = {
      type = "integer",
      default = 20,
      min = 0,
      doc = "How much of the beginning is used; 0 for all of it.",
    },
    dataset = {
      type = "string",
      optional = true,
      pattern = "%a[%w_-]*%w",
      doc = "Name of the dataset and the workflow; vda-demo for the demo, else vda.",
    },
    cookbook = {
      type = "enum",
      values = {
        "street_local",
        "city_traffic",
        "piazza",
        "warehouse",
        "robot_assembly",
        "trailer_dashcam",
      },
      default = "street_local",
      doc = "The scene: what may be drawn, how often, and which questions are asked.",
    },
    augmentations = {
      type = "integer",
      default = 1,
      min = 1,
      max = 8,
      doc = "How many results are made of the video.",
    },
    seed = {
      type = "integer",
      default = 0,
      min = 0,
      doc = "Another number draws other conditions. 0 gives the demo fog in the morning.",
    },
    codec = {
      type = "enum",
      values = { "vp9", "h264", "av1", "mpeg4" },
      default = "vp9",
      doc = "Codec of every video that is written. vp9 is free and plays in browsers.",
    },
    labels = {
      type = "enum",
      values = { "detect", "transfer" },
      default = "detect",
      doc = "Labels of a result: found in it, or those of the source.",
    },
    backend = { type = "enum", values = { "cv2" }, default = "cv2", doc = "What finds people." },
    accept_unverified = {
      type = "boolean",
      default = false,
      doc = "Let a result pass whose motion check failed.",
    },
    out = { type = "path", default = "media/vda", doc = "Where runs are mirrored to." },
    cache = {
      type = "path",
      default = "~/.cache/pai",
      env = "PAI_DEMO_CACHE",
      doc = "Where the demo video is kept.",
    },
  },
  needs = {
    bins = { "ffmpeg", "ffprobe", "apt-get", "dpkg-deb", "tar" },
    reads = { { "test", "-w" }, { preflight.PYTHON, "-I", "-B", "-c", preflight.IMPORT } },
    writes = { "@out", "@cache" },
  },
  estimate = function(ctx, inp)
    local source = inp.video and ctx.which("ffprobe") and clip.probe(ctx, inp.video)
    return words.estimate(inp, source or nil, not inp.video and not demo.find(ctx, inp))
  end,
  steps = {
    { name = "preflight", title = "Tools, video, disk", checks = preflight.checks },
    {
      name = "input",
      title = "Make the clip",
      after = { "preflight" },
      timeout = "6h",
      done = clip.made,
      run = clip.make,
      verify = function(_, _, got)
        local frames = got.input.frames
        local state = frames > 0 and "ok" or "red"
        return { { name = "the clip has frames", state = state, measured = frames } }
      end,
    },
    {
      name = "configs",
      title = "Draw conditions",
      after = { "input" },
      done = function(ctx, inp, got)
        local dir = clip.run_dir(ctx, inp)
        if ctx.fs.exists(dir .. "/" .. configs.LAST) then
          return { draws = ctx.json.array(configs.draws(ctx, inp, got.input)) }
        end
      end,
      run = function(ctx, inp, got)
        local draws = configs.write(ctx, inp, got.input, clip.run_dir(ctx, inp))
        for i, draw in ipairs(draws) do
          ctx.log(("augmentation %d: %s"):format(i - 1, words.conditions(draw.values)))
          for _, redraw in ipairs(draw.redraws) do
            ctx.log(("drawn again: %s (%s)"):format(words.conditions(redraw.values), redraw.why))
          end
        end
        return { draws = ctx.json.array(draws) }
      end,
    },
    {
      name = "submit",
      title = "Submit the workflow",
      after = { "configs" },
      done = function(ctx)
        local found = flow.find(ctx)
        return found and { workflow = found.name }
      end,
      run = function(ctx, inp, got)
        return { workflow = flow.submit(ctx, described(ctx, inp, got.input)) }
      end,
      cancel = function(ctx)
        local found = flow.find(ctx)
        local ended = found and (found.status == "COMPLETED" or found.status:find("^FAILED"))
        return found and not ended and ctx.osmo:cancel(found.name)
      end,
    },
    {
      name = "watch",
      title = "Augment and label",
      after = { "submit" },
      timeout = "24h",
      safety = "observes",
      run = function(ctx, _, got)
        return flow.watch(ctx, got.submit.workflow)
      end,
    },
    {
      name = "mirror",
      title = "Check what came home",
      after = { "input", "watch" },
      verify = mirrored,
    },
    {
      name = "evidence",
      title = "Compare source and result",
      after = { "input", "mirror" },
      timeout = "12h",
      done = function(ctx, inp)
        local path = evidence.path(clip.run_dir(ctx, inp))
        return ctx.fs.exists(path) and ctx.json.decode(ctx.read(path)) or nil
      end,
      run = function(ctx, inp, got)
        return evidence.make(ctx, inp, got.input, clip.run_dir(ctx, inp))
      end,
    },
    {
      name = "summary",
      title = "Summary",
      after = { "input", "evidence" },
      safety = "observes",
      run = function(ctx, inp, got)
        for _, line in ipairs(words.summary(got.input, got.evidence)) do
          ctx.log(line)
        end
        for _, path in ipairs(words.files(got.evidence)) do
          ctx.media(path)
        end
        return { folder = clip.run_dir(ctx, inp), media = words.files(got.evidence) }
      end,
    },
  },
  report = function(ctx, inp, got)
    local report = words.report(got.input, got.evidence)
    if got.input then
      report.path = clip.run_dir(ctx, inp) .. "/report.html"
    end
    return report
  end,
  returns = {
    folder = { type = "path", from = "summary.folder", doc = "The run's folder." },
    workflow = { type = "string", from = "submit.workflow", doc = "Name of the OSMO workflow." },
    media = { type = "list", from = "summary.media", doc = "Videos to look at." },
  },
  examples = {
    "pai run vda",
    "pai run vda video=clip.mp4 seconds=0 flow=e2e",
    "pai run vda video=clip.mp4 cookbook=city_traffic augmentations=3 seed=7",
    "pai plan vda video=clip.mp4",
  },
}
