-- The Kubernetes objects of a NIM, out of its entry in the catalogue: a claim and a download Job
-- where its model comes from Hugging Face, and the NIMService. Fields: CRD nimservices.apps.nvidia.
-- com of NIM Operator 3.1.0.
local catalog = require("inference-nim-operator.catalog")

local M = {}

local STORE <const> = "/model-store"

local function sorted_env(map, refs)
  local list = {}
  for name, value in pairs(map) do
    list[#list + 1] = { name = name, value = value }
  end
  for name, secret in pairs(refs) do
    list[#list + 1] = {
      name = name,
      valueFrom = { secretKeyRef = { name = secret, key = name } },
    }
  end
  table.sort(list, function(a, b)
    return a.name < b.name
  end)
  return list
end

local function merged(a, b)
  local out = {}
  for _, t in ipairs({ a, b or {} }) do
    for key, value in pairs(t) do
      out[key] = value
    end
  end
  return out
end

local function meta(name)
  return {
    name = name,
    namespace = catalog.NAMESPACE,
    labels = { ["app.kubernetes.io/managed-by"] = "pai" },
  }
end

local function probe(path, entry)
  return {
    enabled = true,
    probe = {
      httpGet = { path = path, port = catalog.PORT },
      initialDelaySeconds = 60,
      periodSeconds = 30,
      timeoutSeconds = 5,
      failureThreshold = entry.failures,
    },
  }
end

local function claim(name, entry, opts)
  return {
    apiVersion = "v1",
    kind = "PersistentVolumeClaim",
    metadata = meta(name .. "-pvc"),
    spec = {
      accessModes = { "ReadWriteMany" },
      storageClassName = opts.storage_class,
      resources = { requests = { storage = entry.storage } },
    },
  }
end

-- Puts the files where the service looks: below `hub/` of HF_HOME. The operator's own cache writes
-- them flat, which the model-free image 2.0.2 cannot read offline. No time to live: a Job that has
-- gone would be taken for one that never ran.
local function download(name, entry, opts)
  local env = merged({
    HF_HOME = STORE .. "/huggingface",
    HF_HUB_ENABLE_HF_TRANSFER = "1",
    HF_ENDPOINT = opts.hf_endpoint,
    HUB = catalog.LOCK.hub,
    REPOSITORY = entry.hf,
  }, entry.download_env)
  local object = {
    apiVersion = "batch/v1",
    kind = "Job",
    metadata = meta(name .. "-hf-download"),
    spec = {
      backoffLimit = 2,
      template = {
        metadata = { labels = { ["app.kubernetes.io/managed-by"] = "pai" } },
        spec = {
          restartPolicy = "OnFailure",
          tolerations = opts.tolerations,
          containers = {
            {
              name = "download",
              image = catalog.LOCK.downloader,
              command = { "sh", "-ec" },
              args = { 'pip install --no-cache-dir "$HUB"\nexec hf download "$REPOSITORY"\n' },
              env = sorted_env(env, { HF_TOKEN = "hf-token-secret" }),
              resources = {
                requests = { cpu = "1", memory = "4Gi" },
                limits = { memory = "16Gi" },
              },
              volumeMounts = { { name = "models", mountPath = STORE } },
            },
          },
          volumes = {
            { name = "models", persistentVolumeClaim = { claimName = name .. "-pvc" } },
          },
        },
      },
    },
  }
  return object
end

local function amounts(entry)
  local own = entry.own or {}
  return {
    ["nvidia.com/gpu"] = tostring(entry.gpus),
    memory = entry.memory,
    ["ephemeral-storage"] = own.ephemeral,
  }
end

local function environment(entry, opts)
  local map, refs = merged({}, entry.env), {}
  if entry.hf then
    map.NIM_MODEL_PATH = "hf://" .. entry.hf
    map.NIM_CACHE_PATH = STORE
    map.HF_HOME = STORE .. "/huggingface/hub"
    map.HF_HUB_OFFLINE = "1"
    map.NIM_SERVED_MODEL_NAME = entry.hf
    map.NIM_PROXY_CLIENT_MAX_BODY_SIZE = "500M"
  elseif entry.own then
    map.HF_HOME = STORE .. "/huggingface"
    map.HF_ENDPOINT = opts.hf_endpoint
    refs.HF_TOKEN = "hf-token-secret"
  end
  if entry.ngc_env then
    refs.NGC_API_KEY = "ngc-api-secret"
  end
  return sorted_env(map, refs)
end

-- A server that is no NIM: started by a command of its own, with its own probes.
local function own_server(spec, entry)
  local own = entry.own
  spec.command = { "vllm", "serve" }
  spec.args = {
    own.serve,
    "--omni",
    "--host",
    "0.0.0.0",
    "--port",
    tostring(catalog.PORT),
  }
  spec.userID, spec.groupID = 0, 0
  spec.storage.sharedMemorySizeLimit = own.shared_memory
  spec.readinessProbe = {
    enabled = true,
    probe = { httpGet = { path = entry.ready, port = catalog.PORT } },
  }
  spec.livenessProbe = {
    enabled = true,
    probe = {
      tcpSocket = { port = catalog.PORT },
      initialDelaySeconds = 180,
      periodSeconds = 30,
      failureThreshold = 10,
    },
  }
end

local function service(name, entry, opts)
  local repository, tag = entry.image:match("^(.+):([^:/]+)$")
  local storage = {
    pvc = {
      create = true,
      size = entry.storage,
      volumeAccessMode = "ReadWriteMany",
      storageClass = opts.storage_class,
    },
  }
  if entry.hf then
    storage = { pvc = { name = name .. "-pvc" } }
  end
  local spec = {
    image = { repository = repository, tag = tag, pullPolicy = "IfNotPresent" },
    authSecret = "ngc-api-secret",
    replicas = 1,
    env = environment(entry, opts),
    expose = { service = { type = "ClusterIP", port = catalog.PORT } },
    resources = { requests = amounts(entry), limits = amounts(entry) },
    startupProbe = probe(entry.ready, entry),
    storage = storage,
    tolerations = opts.tolerations,
  }
  if entry.image:find("^nvcr%.io/") then
    spec.image.pullSecrets = { "nvcr-pull-secret" }
  end
  if entry.own then
    own_server(spec, entry)
  end
  if #spec.env == 0 then
    spec.env = nil
  end
  return {
    apiVersion = catalog.API,
    kind = "NIMService",
    metadata = meta(name),
    spec = spec,
  }
end

---@class nim.Objects
---@field claim table?
---@field job table?
---@field service table

---The objects of a NIM.
---@param name string
---@param opts { storage_class: string?, tolerations: table[]?, hf_endpoint: string? }
---@return nim.Objects
function M.of(name, opts)
  local entry = catalog.NIMS[name]
  return {
    claim = entry.hf and claim(name, entry, opts) or nil,
    job = entry.hf and download(name, entry, opts) or nil,
    service = service(name, entry, opts),
  }
end

-- Every Secret that an object names, wherever it stands.
local function collect(value, into)
  if type(value) ~= "table" then
    return
  end
  if type(value.secretKeyRef) == "table" then
    into[value.secretKeyRef.name] = true
  end
  for key, inner in pairs(value) do
    if key == "authSecret" then
      into[inner] = true
    elseif key == "pullSecrets" then
      for _, secret in ipairs(inner) do
        into[secret] = true
      end
    else
      collect(inner, into)
    end
  end
end

---The Secrets that NIMs need, read from their objects.
---@param names string[]
---@return table<string, boolean>
function M.secrets(names)
  local into = {}
  for _, name in ipairs(names) do
    collect(M.of(name, {}), into)
  end
  return into
end

---"key=value:Effect" or "key:Effect" as tolerations; also of taints that no manifest knows.
---@param list string[]?
---@return table[]? tolerations nil for none
---@return string? problem
function M.tolerations(list)
  local out = {}
  for i, text in ipairs(list or {}) do
    local key, value, effect = text:match("^([%w./_-]+)=([%w._-]*):(%a+)$")
    if not key then
      key, effect = text:match("^([%w./_-]+):(%a+)$")
    end
    if not key or not (effect == "NoSchedule" or effect == "NoExecute") then
      return nil, ("'%s' is no toleration: KEY=VALUE:NoSchedule"):format(text)
    end
    out[i] = {
      key = key,
      operator = value and "Equal" or "Exists",
      value = value,
      effect = effect,
    }
  end
  return #out > 0 and out or nil
end

return M
