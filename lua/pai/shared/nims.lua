-- The NIMs that can be deployed. Sizes are those that the models were seen to need; what an entry
-- does not say is common to all (components/inference-nim-operator/objects.lua).
local M = {}

M.DATE = "2026-08-21"

---The image that serves a model of Hugging Face.
M.MODEL_FREE = "nvcr.io/nim/nvidia/model-free-nim:2.0.2"

---@class nim.Entry
---@field image string
---@field gpus integer
---@field memory string
---@field storage string
---@field vram string for people
---@field capabilities string[]
---@field hf string? repository at Hugging Face that a Job downloads before
---@field env table<string, string>?
---@field ngc_env boolean? it wants NGC_API_KEY in its environment
---@field own table? what is unlike all others
---@field ready string path that answers 200 when it is up
---@field failures integer of the startup probe, 30 s each
---@field token boolean an object of it refers to HF_TOKEN

local READY <const> = "/v1/health/ready"

-- Several fields of a video request are bounded: vLLM 0.18.0 mistakes timestamps, and a video is
-- cut to 8 frames. On two GPUs of 80 GB drop both limits, and ask 2 GPUs and 180Gi.
local VIDEO <const> = {
  VLLM_ENABLE_EXPERT_PARALLEL = "1",
  NIM_DISABLE_CUDA_GRAPH = "true", -- capturing runs out of memory on one card of 96 GB
  NIM_MAX_MODEL_LEN = "131072", -- 262K would need 24 GB beside 58 GB of weights
  NVIDIA_DRIVER_CAPABILITIES = "compute,utility,video", -- video input needs libnvidia-encode
  NIM_MAX_VIDEOS_PER_PROMPT = "1",
  NIM_MEDIA_IO_KWARGS = '{"video":{"num_frames":8}}',
  NIM_MM_PROCESSOR_KWARGS = '{"videos_kwargs":{"min_pixels":1568,"max_pixels":262144}}',
}

---@type table<string, nim.Entry>
M.NIMS = {
  ["cosmos-predict"] = {
    image = "nvcr.io/nim/nvidia/cosmos-predict1-7b-video2world:1.0.0",
    gpus = 1,
    memory = "96Gi", -- 48Gi was killed for memory, exit code 137
    storage = "100Gi",
    vram = "48 GB",
    capabilities = { "video-world-model", "video-generation" },
    ngc_env = true,
    -- A library takes the parent of the cache for its temporary files; that of the default is /.
    env = { NIM_CACHE_PATH = "/model-store/cache" },
  },
  ["cosmos-reason"] = {
    image = "nvcr.io/nim/nvidia/cosmos-reason2-8b:1.7.0",
    gpus = 1,
    memory = "48Gi",
    storage = "50Gi",
    vram = "16 GB",
    capabilities = { "vlm", "spatial-reasoning", "video-qa" },
    ngc_env = true,
  },
  ["cosmos-transfer"] = {
    image = "nvcr.io/nim/nvidia/cosmos-transfer2.5-2b:1.0.0",
    gpus = 1,
    memory = "96Gi",
    storage = "150Gi",
    vram = "56 GB",
    capabilities = { "video-style-transfer" }, -- warms up for about 20 minutes
    ngc_env = true,
  },
  ["qwen-image-edit"] = {
    image = "nvcr.io/nim/qwen/qwen-image-edit:1.0.0-variant",
    gpus = 1,
    memory = "128Gi",
    storage = "120Gi",
    vram = "80 GB",
    capabilities = { "image-edit" },
    env = {
      NIM_MODEL_VERSION = "qwen-image-edit-2511",
      NIM_SERVED_MODEL_NAME = "qwen/qwen-image-edit-2511",
    },
  },
  ["qwen-image-edit-nvpcb-ovsl2sl"] = {
    image = "vllm/vllm-omni:v0.20.0",
    gpus = 1,
    memory = "128Gi",
    storage = "150Gi",
    vram = "one GPU",
    capabilities = { "image-edit" },
    ready = "/v1/models",
    own = {
      serve = "nvidia/Qwen-Image-Edit-NVPCB-OVSL2SL",
      ephemeral = "50Gi",
      shared_memory = "32Gi",
    },
  },
  ["qwen25-14b"] = {
    gpus = 1,
    memory = "48Gi",
    storage = "50Gi",
    vram = "28 GB",
    capabilities = { "text-llm", "chat" },
    hf = "Qwen/Qwen2.5-14B-Instruct",
  },
  ["qwen3-235b"] = {
    gpus = 8,
    memory = "512Gi",
    storage = "600Gi", -- the files are about 470 GB
    vram = "8 x H100 80 GB",
    capabilities = { "text-llm", "chat" },
    hf = "Qwen/Qwen3-235B-A22B",
    failures = 180,
    download_env = { HF_HUB_DISABLE_XET = "1", HF_XET_DISABLE = "1" },
    env = {
      NIM_TENSOR_PARALLEL_SIZE = "8",
      VLLM_ENABLE_EXPERT_PARALLEL = "1",
      NIM_DISABLE_CUDA_GRAPH = "true",
      NIM_MAX_MODEL_LEN = "32768",
    },
  },
  ["qwen3-vl"] = {
    gpus = 1,
    memory = "96Gi",
    storage = "100Gi", -- the weights are about 60 GB
    vram = "58 GB",
    capabilities = { "vlm", "video-qa", "chat" },
    hf = "Qwen/Qwen3-VL-30B-A3B-Instruct",
    env = VIDEO,
  },
}

for _, entry in pairs(M.NIMS) do
  entry.image = entry.image or M.MODEL_FREE
  entry.ready = entry.ready or READY
  entry.failures = entry.failures or 120
  -- The model's files, or the server itself, come from Hugging Face.
  entry.token = entry.hf ~= nil or entry.own ~= nil
end

---The names, sorted.
---@return string[]
function M.names()
  local list = {}
  for name in pairs(M.NIMS) do
    list[#list + 1] = name
  end
  table.sort(list)
  return list
end

return M
