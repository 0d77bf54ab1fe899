-- The OSMO workflow of each flow: groups, tasks, names, inputs and outputs as on the cluster, with
-- processes of this machine as task bodies. What the cluster's task `setup` does, the recipe does
-- before it submits; its folder is input 0 of every task, as there.

local M = {}

local IMAGE <const> = "pai.local/video"
local PYTHON <const> = "/usr/bin/python3"

local RESOURCES <const> = {
  cosmos_worker = { cpu = 1, memory = "1Gi", storage = "10Gi" },
  pl_worker = { cpu = 1, memory = "1Gi", storage = "10Gi" },
}

---@class vda.Spec what a workflow is made of
---@field flow string
---@field run_id string
---@field dataset string name of the workflow
---@field video string stem of the source
---@field augmentations integer
---@field labels "detect"|"transfer"
---@field root string file:// url of the run's folder, without a slash at its end

local function suffix(index)
  return index == 0 and "" or "_" .. index
end

local function task(name, resource, s, extra)
  local environment = {
    WORKER_ID = extra.worker,
    VIDEO_NAME = s.video,
    SETUP_DIR = "{{input:0}}",
    OUTPUT_DIR = "{{output}}",
  }
  for key, value in pairs(extra.environment) do
    environment[key] = value
  end
  local inputs = { { url = s.root .. "/setup_b0" } }
  table.move(extra.inputs, 1, #extra.inputs, 2, inputs)
  return {
    name = name,
    lead = true,
    image = IMAGE,
    resource = resource,
    command = { PYTHON, "-B", "{{input:0}}/" .. extra.script },
    args = extra.args,
    environment = environment,
    inputs = inputs,
    outputs = { { url = s.root .. "/outputs/" .. extra.output } },
  }
end

local function source(s)
  return { url = ("%s/input/%s.mp4"):format(s.root, s.video) }
end

local function cosmos(s, index)
  local inputs = { source(s) }
  if s.flow == "e2e_super_resolution" then
    inputs[2] = { task = "pl_original_worker_0" } -- makes the graph a line; nothing in it is read
  end
  local name = ("cosmos_worker_%d"):format(index)
  return {
    name = "augmentation_group" .. suffix(index),
    tasks = {
      task(name, "cosmos_worker", s, {
        worker = tostring(index),
        script = "augment.py",
        args = {
          "--plan",
          ("{{input:0}}/configs/%s/aug_%d"):format(s.video, index),
          "--video",
          "{{input:1}}",
          "--out",
          "{{output}}",
        },
        environment = { AUG_INDEX = tostring(index), VIDEO_INPUT = "{{input:1}}" },
        inputs = inputs,
        output = ("augmented/%s_aug%d"):format(s.video, index),
      }),
    },
  }
end

local function label_args(more)
  local args = {
    "--config",
    "{{input:0}}/configs/label.json",
    "--video",
    "{{input:1}}",
    "--out",
    "{{output}}",
  }
  return table.move(more, 1, #more, #args + 1, args)
end

local function original(s, group)
  local more = s.flow == "e2e_super_resolution" and { "--super-resolution" } or {}
  return {
    name = group,
    tasks = {
      task("pl_original_worker_0", "pl_worker", s, {
        worker = "0",
        script = "label.py",
        args = label_args(more),
        environment = { VIDEO_INPUT = "{{input:1}}" },
        inputs = { source(s) },
        output = "pseudo_labeled/" .. s.video,
      }),
    },
  }
end

local function augmented(s, index)
  local name = ("pl_augmented_worker_%d"):format(index)
  local inputs = { { task = ("cosmos_worker_%d"):format(index) } }
  local more = {}
  -- Where nothing else labels the source it is labelled here, so that the two can be compared.
  if s.flow == "augmentation_and_al" or s.labels == "transfer" then
    inputs[2] = source(s)
    more = { "--reference", "{{input:2}}", "--labels", s.labels }
  end
  return {
    name = "auto_labeling_augmented_group" .. suffix(index),
    tasks = {
      task(name, "pl_worker", s, {
        worker = tostring(index),
        script = "label.py",
        args = label_args(more),
        environment = { AUG_INDEX = tostring(index), COSMOS_INPUT = "{{input:1}}" },
        inputs = inputs,
        output = ("pseudo_labeled_augmented/%s_aug%d"):format(s.video, index),
      }),
    },
  }
end

---The workflow of a flow, ready to be written as YAML.
---@param s vda.Spec
---@return table
function M.build(s)
  local groups = {}
  if s.flow == "auto_labeling" then
    groups[1] = original(s, "auto_labeling_group")
  else
    if s.flow ~= "augmentation_and_al" then
      groups[1] = original(s, "auto_labeling_original_group")
    end
    for index = 0, s.augmentations - 1 do
      groups[#groups + 1] = cosmos(s, index)
      groups[#groups + 1] = augmented(s, index)
    end
  end
  return {
    workflow = {
      name = s.dataset,
      labels = { run = s.run_id },
      timeout = { exec_timeout = "24h", queue_timeout = "2h" },
      resources = {
        cosmos_worker = RESOURCES.cosmos_worker,
        pl_worker = RESOURCES.pl_worker,
      },
      groups = groups,
    },
  }
end

---Paths below the run's folder that a flow must leave behind, in the order in which they appear.
---@param s vda.Spec
---@return string[]
function M.expected(s)
  local list = { ("input/%s.mp4"):format(s.video), "setup_b0/configs/label.json" }
  local function add(...)
    table.move({ ... }, 1, select("#", ...), #list + 1, list)
  end
  local function scene(dir, stem)
    add(
      dir .. "/raw/" .. stem .. ".mp4",
      dir .. "/contextual/instances.json",
      dir .. "/contextual/objects.json",
      dir .. "/contextual/video.json",
      dir .. "/sidecars/pipeline_status.json",
      dir .. ("/sidecars/%s_tracking.mp4"):format(stem),
      dir .. "/logs/tracking.log",
      dir .. "/config.yaml"
    )
  end
  if s.flow ~= "augmentation_and_al" then
    scene("outputs/pseudo_labeled/" .. s.video, s.video)
  end
  if s.flow == "e2e_super_resolution" then
    add(("outputs/pseudo_labeled/%s/sidecars/sr_output.mp4"):format(s.video))
  end
  if s.flow ~= "auto_labeling" then
    add("setup_b0/configs/manifest.yaml")
    for index = 0, s.augmentations - 1 do
      local name = ("%s_aug%d"):format(s.video, index)
      add(("setup_b0/configs/%s.yaml"):format(name))
      add(("outputs/augmented/%s/augmented_video.mp4"):format(name))
      add(("outputs/augmented/%s/metadata.json"):format(name))
      scene("outputs/pseudo_labeled_augmented/" .. name, "augmented_video")
    end
  end
  return list
end

return M
