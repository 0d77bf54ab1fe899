-- The values of OSMO's two charts, as plain tables. No secret is among them: they name Secrets.
-- Layers, low to high: the chart's defaults, ours, the user's file. Keys: values.yaml of the charts
-- service and backend-operator 1.4.0.
local err = require("pai.err")
local json = require("pai.json")
local lock = require("pai.osmo_deploy.lock")
local secrets = require("pai.osmo_deploy.secrets")

local M = {}

local function copy(value)
  if type(value) ~= "table" then
    return value
  end
  local out = json.is_array(value) and json.array({}) or {}
  for key, inner in pairs(value) do
    out[key] = copy(inner)
  end
  return out
end

-- Over what is there, maps key by key and lists as a whole, as helm does it.
local function over(base, more)
  for key, value in pairs(more) do
    local both = type(value) == "table" and type(base[key]) == "table"
    if both and not json.is_array(value) and #value == 0 then
      over(base[key], value)
    else
      base[key] = copy(value) -- what is laid over it later must not change the original
    end
  end
  return base
end

local ONE <const> = { scaling = { minReplicas = 1, maxReplicas = 1 } }

local function gateway_host(conf)
  return ("osmo-gateway.%s.svc.cluster.local"):format(conf.namespaces.service)
end

-- Where tasks' data goes; every credential is a Secret's name.
local function storage(conf)
  local function credential(which)
    return { credential = { secretName = ("osmo-workflow-%s-cred"):format(which) } }
  end
  local data = credential("data")
  data.base_url = conf.storage.base_url
  return {
    workflow_data = data,
    workflow_log = credential("log"),
    workflow_app = credential("app"),
  }
end

local function secret_refs(conf)
  local refs = json.array({})
  if conf.pull then
    refs[1] = { secretName = secrets.PULL }
  end
  for _, which in ipairs({ "data", "log", "app" }) do
    refs[#refs + 1] = { secretName = ("osmo-workflow-%s-cred"):format(which) }
  end
  return refs
end

local function gpu_pool()
  return {
    podTemplates = {
      gpu_toleration = {
        spec = {
          tolerations = json.array({
            { key = "nvidia.com/gpu", operator = "Exists", effect = "NoSchedule" },
          }),
          nodeSelector = { ["nvidia.com/gpu.present"] = "true" },
        },
      },
    },
    pools = {
      default = {
        default_platform = "gpu",
        platforms = {
          system = json.decode("{}"),
          gpu = { override_pod_template = "gpu_toleration" },
        },
      },
    },
  }
end

local function configs(conf)
  local registry, tag = lock.images.registry, lock.images.tag
  local workflow = storage(conf)
  workflow.backend_images = {
    init = ("%s/init-container:%s"):format(registry, tag),
    client = ("%s/client:%s"):format(registry, tag),
    credential = conf.pull and { secretName = secrets.PULL, secretKey = ".dockerconfigjson" }
      or nil,
  }
  local made = {
    enabled = true,
    secretRefs = secret_refs(conf),
    workflow = workflow,
    service = { service_base_url = "http://" .. gateway_host(conf) },
    backends = {
      default = {
        router_address = "ws://" .. gateway_host(conf),
        -- Images since mid-2026 do not start without it, and the chart does not set it.
        k8s_namespace = conf.namespaces.service,
      },
    },
  }
  return conf.gpu and over(made, gpu_pool()) or made
end

local function postgres(conf)
  local db = conf.db or {}
  return {
    enabled = false,
    serviceName = db.host or "postgres",
    port = db.port or 5432,
    db = db.name or "osmo",
    user = db.user or "postgres",
    passwordSecretName = "db-secret",
    passwordSecretKey = "db-password",
  }
end

local function redis(conf)
  local r = conf.redis or {}
  return {
    enabled = false,
    serviceName = r.host or "redis",
    port = r.port or 6379,
    tlsEnabled = r.host ~= nil,
    passwordSecretName = "redis-secret",
    passwordSecretKey = "redis-password",
  }
end

local function global(conf)
  return {
    osmoImageLocation = lock.images.registry,
    osmoImageTag = lock.images.tag,
    imagePullSecret = conf.pull and secrets.PULL or nil,
  }
end

-- A list of the user's stands in the place of ours, so it has to name what ours does.
local function check_user(conf, values)
  local given = values.services and values.services.configs and values.services.configs.secretRefs
  for _, ref in ipairs(given and secret_refs(conf) or {}) do
    local found = false
    for _, one in ipairs(given) do
      found = found or (type(one) == "table" and one.secretName == ref.secretName)
    end
    if not found then
      err.raise("EINPUT", "the values' services.configs.secretRefs lacks " .. ref.secretName, {
        hint = "helm replaces a list as a whole: repeat every entry",
      })
    end
  end
  local envoy = values.gateway and values.gateway.envoy
  local kind = envoy and envoy.service and envoy.service.type
  if kind and kind ~= "ClusterIP" then
    err.raise("EACCES", "the values make the gateway a " .. tostring(kind), {
      hint = "this deployment has no authentication; its gateway stays inside of the cluster",
    })
  end
end

---The service chart's values.
---@param conf pai.osmo_deploy.Conf
---@return table
function M.service(conf)
  local made = {
    global = global(conf),
    services = {
      configFile = { enabled = true },
      configs = configs(conf),
      postgres = postgres(conf),
      redis = redis(conf),
      backendApiTokens = {
        enabled = true,
        credentials = json.array({ { name = "default", existingSecret = "osmo-operator-token" } }),
      },
      ui = { enabled = true, apiHostname = gateway_host(conf) .. ":80" },
      defaultAdmin = {
        enabled = true,
        username = "admin",
        passwordSecretName = "default-admin-secret",
        passwordSecretKey = "password",
      },
    },
    gateway = {
      enabled = true,
      oauth2Proxy = { enabled = false },
      authz = { enabled = false },
      envoy = {
        service = { type = "ClusterIP" },
        defaultIdentity = { user = "admin", roles = "osmo-admin", allowedPools = "default" },
      },
    },
    podMonitor = { enabled = conf.pod_monitor == true },
  }
  for _, name in ipairs({ "service", "router", "agent", "worker", "logger" }) do
    made.services[name] = over(made.services[name] or {}, ONE)
  end
  if conf.values then
    check_user(conf, conf.values)
    over(made, conf.values)
  end
  return made
end

local SMALL <const> = {
  resources = {
    requests = { cpu = "125m", memory = "128Mi" },
    limits = { cpu = "250m", memory = "256Mi" },
  },
}

---The backend operator's values.
---@param conf pai.osmo_deploy.Conf
---@return table
function M.operator(conf)
  local made = global(conf)
  made.serviceUrl = "http://" .. gateway_host(conf)
  made.agentNamespace = conf.namespaces.operator
  made.backendNamespace = conf.namespaces.workflows
  made.backendName = "default"
  made.accountTokenSecret = "osmo-operator-token"
  made.loginMethod = "token"
  return {
    global = made,
    services = { backendListener = SMALL, backendWorker = SMALL },
    sidecars = { otel = { enabled = false } },
    podMonitor = { enabled = conf.pod_monitor == true },
  }
end

return M
