-- Answers of an API server as the scripted one gives them. tests/peers/kubernetes asks a real
-- kube-apiserver for the same and compares: every key here must be there with the same type, and
-- what `same` names must be equal.
local M = {}

local function status(code, reason, message, details)
  return {
    kind = "Status",
    apiVersion = "v1",
    metadata = {},
    status = "Failure",
    message = message,
    reason = reason,
    details = details,
    code = code,
  }
end

M.status = status

M.forbidden = status(
  403,
  "Forbidden",
  'pods is forbidden: User "jane" cannot list resource "pods" in API group "" '
    .. 'in the namespace "default"',
  { kind = "pods" }
)

M.forbidden_one = status(
  403,
  "Forbidden",
  'nodes "x" is forbidden: User "jane" cannot get resource "nodes" in API group "" '
    .. "at the cluster scope",
  { name = "x", kind = "nodes" }
)

M.not_found = status(404, "NotFound", 'pods "x" not found', { name = "x", kind = "pods" })

M.unauthorized = status(401, "Unauthorized", "Unauthorized")

M.exists =
  status(409, "AlreadyExists", 'configmaps "c" already exists', { name = "c", kind = "configmaps" })

M.apply_conflict =
  status(409, "Conflict", 'Apply failed with 1 conflict: conflict with "pai": .data.a', {
    causes = {
      {
        reason = "FieldManagerConflict",
        message = 'conflict with "pai"',
        field = ".data.a",
      },
    },
  })

M.invalid = status(422, "Invalid", 'Pod "p" is invalid: spec.containers[0].image: Required value', {
  name = "p",
  kind = "Pod",
  causes = {
    {
      reason = "FieldValueRequired",
      message = "Required value",
      field = "spec.containers[0].image",
    },
  },
})

M.expired = status(
  410,
  "Expired",
  "The provided continue parameter is too old to display a consistent list result."
)

M.gone_event = {
  type = "ERROR",
  object = status(410, "Expired", "too old resource version: 1 (100)"),
}

M.groups = {
  kind = "APIGroupList",
  apiVersion = "v1",
  groups = {
    {
      name = "apps",
      versions = { { groupVersion = "apps/v1", version = "v1" } },
      preferredVersion = { groupVersion = "apps/v1", version = "v1" },
    },
  },
}

M.core = {
  kind = "APIResourceList",
  groupVersion = "v1",
  resources = {
    {
      name = "pods",
      singularName = "",
      namespaced = true,
      kind = "Pod",
      verbs = { "create", "delete", "get", "list", "patch", "update", "watch" },
      shortNames = { "po" },
    },
    { name = "pods/log", singularName = "", namespaced = true, kind = "Pod", verbs = { "get" } },
  },
}

M.nim_group = {
  kind = "APIResourceList",
  apiVersion = "v1",
  groupVersion = "apps.nvidia.com/v1alpha1",
  resources = {
    {
      name = "nimservices",
      singularName = "nimservice",
      namespaced = true,
      kind = "NIMService",
      verbs = { "get", "list", "watch" },
    },
  },
}

M.namespace = {
  kind = "Namespace",
  apiVersion = "v1",
  metadata = { name = "kube-system", uid = "11111111-2222-3333-4444-555555555555" },
}

M.access = {
  kind = "SelfSubjectAccessReview",
  apiVersion = "authorization.k8s.io/v1",
  spec = { resourceAttributes = { verb = "list", resource = "pods" } },
  status = { allowed = false },
}

M.secret_metadata = {
  kind = "PartialObjectMetadata",
  apiVersion = "meta.k8s.io/v1",
  metadata = { name = "s", namespace = "default", resourceVersion = "5", uid = "u" },
}

---A pod as a list has it: without kind and apiVersion.
---@param name string
---@param version string?
---@param more table? of status
---@return table
function M.pod(name, version, more)
  local pod = {
    metadata = {
      name = name,
      namespace = "default",
      uid = "uid-" .. name,
      resourceVersion = version or "1",
      creationTimestamp = "2026-01-01T00:00:00Z",
    },
    spec = { containers = { { name = "main", image = "example.com/main:1" } } },
    status = { phase = "Pending" },
  }
  for key, value in pairs(more or {}) do
    pod.status[key] = value
  end
  return pod
end

---A list of pods.
---@param items table[]
---@param version string
---@param continue string?
---@return table
function M.pods(items, version, continue)
  return {
    kind = "PodList",
    apiVersion = "v1",
    metadata = { resourceVersion = version, continue = continue },
    items = require("pai.json").array(items),
  }
end

return M
