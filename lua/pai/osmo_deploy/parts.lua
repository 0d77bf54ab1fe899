-- The objects that databases and storage in the cluster are made of, and how one sees that they are
-- there as this pai would make them: a digest of the objects stands on each Deployment.
local digest = require("pai.digest")
local json = require("pai.json")

local M = {}

local STAMP <const> = "pai/spec-sha256"
local ABSENT <const> = { "NotFound" }

---@param namespace string
---@param name string
---@param size string
---@return table claim of the default class
function M.volume(namespace, name, size)
  return {
    apiVersion = "v1",
    kind = "PersistentVolumeClaim",
    metadata = { name = name, namespace = namespace },
    spec = {
      accessModes = json.array({ "ReadWriteOnce" }),
      resources = { requests = { storage = size } },
    },
  }
end

---@param namespace string
---@param name string also the pods' label `app`
---@param ports table[]
---@return table service inside of the cluster only
function M.service(namespace, name, ports)
  return {
    apiVersion = "v1",
    kind = "Service",
    metadata = { name = name, namespace = namespace },
    spec = { type = "ClusterIP", selector = { app = name }, ports = json.array(ports) },
  }
end

---@param namespace string
---@param name string
---@param container table
---@param data { claim: string, mount: string }
---@return table deployment of one pod, which is gone before the next one takes the volume
function M.deployment(namespace, name, container, data)
  container.name = name
  container.volumeMounts = json.array({ { name = "data", mountPath = data.mount } })
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
            { name = "data", persistentVolumeClaim = { claimName = data.claim } },
          }),
        },
      },
    },
  }
end

---@param variable string
---@param name string of the Secret
---@param key string
---@return table env entry
function M.from_secret(variable, name, key)
  return { name = variable, valueFrom = { secretKeyRef = { name = name, key = key } } }
end

---@param list table[] objects
---@return string
function M.stamp(list)
  return digest.sha256(json.encode(list)):sub(1, 16)
end

---Whether a Deployment runs as these objects make it.
---@param k pai.ctx.k8s
---@param namespace string
---@param name string
---@param stamp string
---@return boolean
function M.runs(k, namespace, name, stamp)
  local found = k:get("deployments", name, { namespace = namespace, accept = ABSENT })
  local marks = found and found.metadata.annotations or {}
  local st = found and found.status or {}
  return (st.availableReplicas or 0) >= 1 and marks[STAMP] == stamp
end

-- A claim is made and never changed: its size may have grown, and what it holds stays.
local function is_there(k, namespace, object)
  local opts = { namespace = namespace, pick = { "metadata.name" }, accept = ABSENT }
  return object.kind == "PersistentVolumeClaim"
    and k:get("persistentvolumeclaims", object.metadata.name, opts) ~= nil
end

---Applies objects, Deployments with their stamp, and waits for the Deployments.
---@param k pai.ctx.k8s
---@param namespace string
---@param list table[]
function M.ensure(k, namespace, list)
  local stamp = M.stamp(list)
  local names = {}
  for _, object in ipairs(list) do
    if object.kind == "Deployment" then
      object.metadata.annotations = { [STAMP] = stamp }
      names[#names + 1] = object.metadata.name
    end
    if not is_there(k, namespace, object) then
      k:apply(object)
    end
  end
  k:guarded({ namespace = namespace }, function()
    for _, name in ipairs(names) do
      k:wait("deployments", name, { namespace = namespace, ["for"] = "ready", timeout = "10m" })
    end
  end)
end

---Makes a namespace that is missing; waits for one that is still on its way out.
---@param k pai.ctx.k8s
---@param name string
---@param labels table<string, string>? of one that is made
function M.namespace(k, name, labels)
  local found = k:get("namespaces", name, { accept = ABSENT })
  if found and found.status and found.status.phase == "Terminating" then
    k:wait("namespaces", name, { ["for"] = "delete", timeout = "10m" })
    found = nil
  end
  if not found then
    local metadata = { name = name, labels = labels }
    k:apply({ apiVersion = "v1", kind = "Namespace", metadata = metadata })
  end
end

return M
