-- PostgreSQL and Redis in the cluster, for a deployment without managed ones. Unlike the chart's
-- own they listen inside of the cluster only, have passwords, and take them from Secrets.
local err = require("pai.err")
local json = require("pai.json")
local lock = require("pai.osmo_deploy.lock")
local parts = require("pai.osmo_deploy.parts")

local M = {}

local ABSENT <const> = { "NotFound" }

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
      parts.from_secret("POSTGRES_PASSWORD", "db-secret", "db-password"),
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
    env = json.array({ parts.from_secret("REDIS_PASSWORD", "redis-secret", "redis-password") }),
    readinessProbe = { tcpSocket = { port = 6379 }, periodSeconds = 5 },
  }
  local function port(number)
    return { { port = number, targetPort = number, protocol = "TCP" } }
  end
  local data = { claim = "postgres-volume", mount = "/var/lib/postgresql/data" }
  local cache = { claim = "redis-volume", mount = "/data" }
  return {
    policy(namespace),
    parts.volume(namespace, data.claim, "20Gi"),
    parts.volume(namespace, cache.claim, "20Gi"),
    parts.service(namespace, "postgres", port(5432)),
    parts.service(namespace, "redis", port(6379)),
    parts.deployment(namespace, "postgres", postgres, data),
    parts.deployment(namespace, "redis", redis, cache),
  }
end

---Whether both run, as this pai would make them.
---@param k pai.ctx.k8s
---@param namespace string
---@return boolean
function M.ready(k, namespace)
  local stamp = parts.stamp(objects(namespace))
  return parts.runs(k, namespace, "postgres", stamp) and parts.runs(k, namespace, "redis", stamp)
end

---Makes both and waits for them.
---@param k pai.ctx.k8s
---@param namespace string
function M.ensure(k, namespace)
  for _, name in ipairs({ "postgres", "redis" }) do
    local found = k:get("deployments", name, { namespace = namespace, accept = ABSENT })
    local labels = found and found.metadata.labels or {}
    if labels["app.kubernetes.io/managed-by"] == "Helm" then
      err.raise("ESTATE", ("%s in %s is the OSMO chart's own"):format(name, namespace), {
        hint = "its password is in the release's values; pai does not take it over: tear it down",
      })
    end
  end
  parts.ensure(k, namespace, objects(namespace))
end

return M
