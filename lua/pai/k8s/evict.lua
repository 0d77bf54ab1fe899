-- Eviction: a pod is asked to go, and its PodDisruptionBudgets are asked first. Shapes: policy/v1
-- Eviction, v1beta1 before Kubernetes 1.22, as the resource pods/eviction of /api/v1 says; a budget
-- that holds the pod answers 429 with a cause DisruptionBudget that names it.
local json = require("pai.json")
local resources = require("pai.k8s.resources")

local M = {}

-- "The disruption budget web needs 2 healthy pods and has 2 currently"
local NAMED <const> = "^The disruption budget (%S+) "

-- "policy/v1", or what an older server has in its place.
local function version_of(self)
  if not self.eviction then
    local list = self.transport:call("GET", "/api/v1")
    for _, r in ipairs(list and list.resources or {}) do
      if r.name == "pods/eviction" and r.version then
        self.eviction = "policy/" .. r.version
      end
    end
    self.eviction = self.eviction or "policy/v1"
  end
  return self.eviction
end

---Evicts a pod; it ends by itself after its grace period. Too many requests is an answer here.
---@param self pai.k8s.Client
---@param name string
---@param opts { namespace: string?, uid: string?, timeout: string? }? uid: only this very pod
---@return true?
---@return pai.Error? err "NotFound"; "TooManyRequests" with `budgets`, a list of { name, message }
function M.evict(self, name, opts)
  opts = opts or {}
  local namespace = opts.namespace or self.namespace
  local where = { namespace = namespace, subresource = "eviction" }
  local answer, e = self.transport:call("POST", self:path(resources.known("pods"), name, where), {
    body = json.encode({
      apiVersion = version_of(self),
      kind = "Eviction",
      metadata = { name = name, namespace = namespace },
      deleteOptions = opts.uid and { preconditions = { uid = opts.uid } } or nil,
    }),
    timeout = opts.timeout,
    once = true,
  })
  if answer then
    return true
  end
  for _, cause in ipairs(e.causes or {}) do
    if cause.reason == "DisruptionBudget" then
      e.budgets = e.budgets or {}
      local message = tostring(cause.message)
      table.insert(e.budgets, { name = message:match(NAMED), message = message })
    end
  end
  return nil, e
end

return M
