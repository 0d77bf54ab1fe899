-- PostgreSQL and Redis in the cluster, for a deployment without managed ones. Unlike the chart's
-- own they listen inside of the cluster only, have passwords, and take them from Secrets.
local digest = require("pai.digest")
local err = require("pai.err")
local json = require("pai.json")
local lock = require("pai.osmo_deploy.lock")

local M = {}

local STAMP <const> = "pai/spec-sha256"
local ABSENT <const> = { "NotFound" }

local function volume(namespace, name)
  return {
    apiVersion = "v1",
    kind = "PersistentVolumeClaim",
    metadata = { name = name, namespace = namespace },
    spec = {
      accessModes = json.array({ "ReadWriteOnce" }),
      resources = { requests = { storage = "20Gi" } },
    },
  }
end

local function service(namespace, name, port)
  return {
    apiVersion = "v1",
    kind = "Service",
    metadata = { name = name, namespace = namespace },
    spec = {
      type = "ClusterIP",
      selector = { app = name },
      ports = json.array({ { port = port, targetPort = port, protocol = "TCP" } }),
    },
  }
end

local function deployment(namespace, name, container, mount)
  container.name = name
  container.volumeMounts = json.array({ { name = "data", mountPath = mount } })
  return {
    apiVersion = "apps/v1",
    kind = "Deployment",
    metadata = { name = name, namespace = namespace },
    spec = {
      replicas = 1,
      strategy = { type = "Recreate" },
      selector = { matchLabels = { app = name } },
      template = {
        metadata = { labels = { app = name } },
        spec = {
          containers = json.array({ container }),
          volumes = json.array({
            { name = "data", persistentVolumeClaim = { claimName = name .. "-volume" } },
          }),
        },
      },
    },
  }
end

local function from_secret(variable, name, key)
  return { name = variable, valueFrom = { secretKeyRef = { name = name, key = key } } }
end

local function policy(namespace)
  return {
    apiVersion = "networking.k8s.io/v1",
    kind = "NetworkPolicy",
    metadata = { name = "osmo-stores", namespace = namespace },
    spec = {
      podSelector = {
        matchExpressions = json.array({
          { key = "app", operator = "In", values = json.array({ "postgres", "redis" }) },
        }),
      },
      policyTypes = json.array({ "Ingress" }),
      ingress = json.array({ { from = json.array({ { podSelector = json.decode("{}") } }) } }),
    },
  }
end

-- postgres first reads its password when it makes the volume; redis from its standard input, so
-- that no argument holds it.
local function objects(namespace)
  local postgres = {
    image = lock.images.postgres,
    ports = json.array({ { containerPort = 5432 } }),
    env = json.array({
      { name = "POSTGRES_DB", value = "osmo" },
      { name = "PGDATA", value = "/var/lib/postgresql/data/pgdata" },
      from_secret("POSTGRES_PASSWORD", "db-secret", "db-password"),
    }),
    readinessProbe = {
      exec = { command = json.array({ "pg_isready", "-U", "postgres", "-d", "osmo" }) },
      periodSeconds = 5,
    },
  }
  local start = [[printf 'requirepass %s\ndir /data\n' "$REDIS_PASSWORD" |]]
    .. " redis-server - --appendonly yes"
  local redis = {
    image = lock.images.redis,
    ports = json.array({ { containerPort = 6379 } }),
    command = json.array({ "sh", "-c", start }),
    env = json.array({ from_secret("REDIS_PASSWORD", "redis-secret", "redis-password") }),
    readinessProbe = { tcpSocket = { port = 6379 }, periodSeconds = 5 },
  }
  return {
    policy(namespace),
    volume(namespace, "postgres-volume"),
    volume(namespace, "redis-volume"),
    service(namespace, "postgres", 5432),
    service(namespace, "redis", 6379),
    deployment(namespace, "postgres", postgres, "/var/lib/postgresql/data"),
    deployment(namespace, "redis", redis, "/data"),
  }
end

local function stamp_of(list)
  return digest.sha256(json.encode(list)):sub(1, 16)
end

local function available(object)
  local st = object and object.status or {}
  return (st.availableReplicas or 0) >= 1
end

---Whether both run, as this pai would make them.
---@param k pai.ctx.k8s
---@param namespace string
---@return boolean
function M.ready(k, namespace)
  local stamp = stamp_of(objects(namespace))
  for _, name in ipairs({ "postgres", "redis" }) do
    local found = k:get("deployments", name, { namespace = namespace, accept = ABSENT })
    local marks = found and found.metadata.annotations or {}
    if not available(found) or marks[STAMP] ~= stamp then
      return false
    end
  end
  return true
end

---Makes both and waits for them.
---@param k pai.ctx.k8s
---@param namespace string
function M.ensure(k, namespace)
  local list = objects(namespace)
  local stamp = stamp_of(list)
  for _, name in ipairs({ "postgres", "redis" }) do
    local found = k:get("deployments", name, { namespace = namespace, accept = ABSENT })
    local labels = found and found.metadata.labels or {}
    if labels["app.kubernetes.io/managed-by"] == "Helm" then
      err.raise("ESTATE", ("%s in %s is the OSMO chart's own"):format(name, namespace), {
        hint = "its password is in the release's values; pai does not take it over: tear it down",
      })
    end
  end
  for _, object in ipairs(list) do
    if object.kind == "Deployment" then
      object.metadata.annotations = { [STAMP] = stamp }
    end
    k:apply(object)
  end
  for _, name in ipairs({ "postgres", "redis" }) do
    k:wait("deployments", name, { namespace = namespace, ["for"] = "ready", timeout = "10m" })
  end
end

return M
