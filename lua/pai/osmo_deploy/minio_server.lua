-- Which MinIO the cluster's storage is: MicroK8s' addon, one that others have made, or pai's own,
-- which is installed where there is none. Its credentials are made in the cluster and stay there.
local json = require("pai.json")
local lock = require("pai.osmo_deploy.lock")
local parts = require("pai.osmo_deploy.parts")
local secret = require("pai.secret")

local M = {}

M.NAMESPACE = "minio-operator"
---Credentials: root-user, root-password.
M.ROOT = "minio-root"
M.CLAIM = "minio-data"
---The addon's credentials.
M.ADDON = "microk8s-env-configuration"

local NAME <const> = "minio"
local USER <const> = "osmoadmin"
local SIZE <const> = "20Gi"
local ABSENT <const> = { "NotFound" }
local OWN <const> = { ["app.kubernetes.io/managed-by"] = "pai" }

local function find(k, what, name)
  return k:get(what, name, { namespace = M.NAMESPACE, accept = ABSENT })
end

local function there(k, what, name)
  local opts = { namespace = M.NAMESPACE, pick = { "metadata.name" }, accept = ABSENT }
  return k:get(what, name, opts) ~= nil
end

local function is_own(object)
  local labels = object and object.metadata.labels or {}
  return labels["app.kubernetes.io/managed-by"] == "pai"
end

---Whose MinIO it is: "addon", "existing" (others'), "own", "install" for none, or nil and why that
---can't be told.
---@param k pai.ctx.k8s
---@return "addon"|"existing"|"own"|"install"|nil
---@return string? why
function M.whose(k)
  if there(k, "secrets", M.ADDON) then
    return "addon"
  end
  local service, deployment = find(k, "services", NAME), find(k, "deployments", NAME)
  if is_own(service) or is_own(deployment) then
    return "own"
  elseif service then
    return there(k, "secrets", M.ROOT) and "existing",
      ("a Service minio is in %s, and no Secret %s with its credentials"):format(
        M.NAMESPACE,
        M.ROOT
      )
  elseif there(k, "deployments", "minio-operator") then
    return nil, "MicroK8s' minio addon is enabled, and has made no credentials yet"
  end
  return "install"
end

-- Name and version of the Secret: with other credentials the pod has to be another one.
local function credentials_mark(k)
  local found = k:get("secrets", M.ROOT, {
    namespace = M.NAMESPACE,
    pick = { "metadata.uid", "metadata.resourceVersion" },
    accept = ABSENT,
  })
  return found and ("%s/%s"):format(found.metadata.uid, found.metadata.resourceVersion)
end

local function probe(path)
  return { httpGet = { path = "/minio/health/" .. path, port = 9000 }, periodSeconds = 10 }
end

-- Ports, probes and sizes: those of OSMO's own deployment of MinIO.
local function objects(mark)
  local container = {
    image = lock.images.minio,
    args = json.array({ "server", "/data", "--console-address", ":9001" }),
    ports = json.array({ { containerPort = 9000 }, { containerPort = 9001 } }),
    env = json.array({
      parts.from_secret("MINIO_ROOT_USER", M.ROOT, "root-user"),
      parts.from_secret("MINIO_ROOT_PASSWORD", M.ROOT, "root-password"),
    }),
    readinessProbe = probe("ready"),
    livenessProbe = probe("live"),
    resources = {
      requests = { cpu = "100m", memory = "256Mi" },
      limits = { cpu = "2", memory = "2Gi" },
    },
  }
  local data = { claim = M.CLAIM, mount = "/data" }
  local deployment = parts.deployment(M.NAMESPACE, NAME, container, data)
  deployment.spec.template.metadata.annotations = { ["pai/credentials"] = mark }
  local list = {
    parts.volume(M.NAMESPACE, M.CLAIM, SIZE),
    parts.service(M.NAMESPACE, NAME, {
      { name = "api", port = 9000, targetPort = 9000, protocol = "TCP" },
      { name = "console", port = 9001, targetPort = 9001, protocol = "TCP" },
    }),
    deployment,
  }
  for _, object in ipairs(list) do
    object.metadata.labels = OWN
  end
  return list
end

---Whether there is a MinIO that nothing has to be done for.
---@param k pai.ctx.k8s
---@return boolean
function M.ready(k)
  local whose = M.whose(k)
  if whose ~= "own" then
    return whose == "addon" or whose == "existing"
  end
  local mark = credentials_mark(k)
  return mark ~= nil
    and there(k, "services", NAME)
    and parts.runs(k, M.NAMESPACE, NAME, parts.stamp(objects(mark)))
end

---Installs pai's own and waits for it. The credentials that are there stay; MinIO takes new ones
---for old data, so that lost ones are made anew.
---@param k pai.ctx.k8s
function M.ensure(k)
  parts.namespace(k, M.NAMESPACE, OWN)
  if not there(k, "secrets", M.ROOT) then
    k:create({
      apiVersion = "v1",
      kind = "Secret",
      metadata = { name = M.ROOT, namespace = M.NAMESPACE, labels = OWN },
      stringData = { ["root-user"] = USER, ["root-password"] = secret.generate(24) },
    }, { namespace = M.NAMESPACE, accept = { "AlreadyExists" } })
  end
  parts.ensure(k, M.NAMESPACE, objects(credentials_mark(k)))
end

---What of pai's own is there, in the order in which it goes; the namespace only if pai made it and
---no addon has moved in.
---@param k pai.ctx.k8s
---@return { kind: string, name: string, namespace: string? }[]
function M.left(k)
  local list = {}
  local function look(kind, name, namespace)
    local found = k:get(kind, name, {
      namespace = namespace,
      pick = { "metadata.labels", "metadata.name" },
      accept = ABSENT,
    })
    if is_own(found) then
      list[#list + 1] = { kind = kind, name = name, namespace = namespace }
    end
  end
  look("deployments", NAME, M.NAMESPACE)
  look("services", NAME, M.NAMESPACE)
  look("persistentvolumeclaims", M.CLAIM, M.NAMESPACE)
  look("secrets", M.ROOT, M.NAMESPACE)
  if not there(k, "deployments", "minio-operator") then
    look("namespaces", M.NAMESPACE)
  end
  return list
end

---Deletes pai's own with its data, and nobody else's.
---@param k pai.ctx.k8s
function M.remove(k)
  for _, one in ipairs(M.left(k)) do
    k:delete(one.kind, one.name, {
      namespace = one.namespace,
      propagation = "Foreground",
      absent = true,
      wait = true,
      timeout = "10m",
    })
  end
end

return M
