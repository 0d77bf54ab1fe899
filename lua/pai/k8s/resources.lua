-- Which resource a word means: "pods", "po", "Deployment", "nimservices.apps.nvidia.com", and where
-- its objects are. Resources whose place has been the same since Kubernetes 1.19 are known here, so
-- that the usual request needs no discovery; the server is asked about all others.
local err = require("pai.err")
local text = require("pai.text")

local M = {}

---@class pai.k8s.Resource
---@field name string plural: "pods"
---@field kind string
---@field singular string
---@field short string[]
---@field group string "" for the core group
---@field version string
---@field namespaced boolean

-- plural, kind, group/version, short names, cluster-scoped
local KNOWN <const> = {
  { "pods", "Pod", "v1", "po" },
  { "services", "Service", "v1", "svc" },
  { "endpoints", "Endpoints", "v1", "ep" },
  { "configmaps", "ConfigMap", "v1", "cm" },
  { "secrets", "Secret", "v1" },
  { "events", "Event", "v1", "ev" },
  { "serviceaccounts", "ServiceAccount", "v1", "sa" },
  { "persistentvolumeclaims", "PersistentVolumeClaim", "v1", "pvc" },
  { "resourcequotas", "ResourceQuota", "v1", "quota" },
  { "namespaces", "Namespace", "v1", "ns", true },
  { "nodes", "Node", "v1", "no", true },
  { "persistentvolumes", "PersistentVolume", "v1", "pv", true },
  { "deployments", "Deployment", "apps/v1", "deploy" },
  { "replicasets", "ReplicaSet", "apps/v1", "rs" },
  { "statefulsets", "StatefulSet", "apps/v1", "sts" },
  { "daemonsets", "DaemonSet", "apps/v1", "ds" },
  { "jobs", "Job", "batch/v1" },
  { "ingresses", "Ingress", "networking.k8s.io/v1", "ing" },
  { "networkpolicies", "NetworkPolicy", "networking.k8s.io/v1", "netpol" },
  { "leases", "Lease", "coordination.k8s.io/v1" },
  { "roles", "Role", "rbac.authorization.k8s.io/v1" },
  { "rolebindings", "RoleBinding", "rbac.authorization.k8s.io/v1" },
  { "clusterroles", "ClusterRole", "rbac.authorization.k8s.io/v1", nil, true },
  { "clusterrolebindings", "ClusterRoleBinding", "rbac.authorization.k8s.io/v1", nil, true },
  { "storageclasses", "StorageClass", "storage.k8s.io/v1", "sc", true },
  { "priorityclasses", "PriorityClass", "scheduling.k8s.io/v1", "pc", true },
  {
    "customresourcedefinitions",
    "CustomResourceDefinition",
    "apiextensions.k8s.io/v1",
    "crd",
    true,
  },
}

local by_word, by_kind

local function split_version(api_version)
  local group, version = api_version:match("^([^/]+)/([^/]+)$")
  return group or "", version or api_version
end

local function index()
  by_word, by_kind = {}, {}
  for _, row in ipairs(KNOWN) do
    local group, version = split_version(row[3])
    local r = {
      name = row[1],
      kind = row[2],
      singular = row[2]:lower(),
      short = { row[4] },
      group = group,
      version = version,
      namespaced = row[5] ~= true,
    }
    by_kind[row[3] .. " " .. r.kind] = r
    for _, word in ipairs({ r.name, r.singular, row[4] or r.name }) do
      by_word[word] = r
      if group ~= "" then
        by_word[word .. "." .. group] = r
      end
    end
  end
end

---A resource that needs no discovery.
---@param word string
---@return pai.k8s.Resource?
function M.known(word)
  if not by_word then
    index()
  end
  return by_word[word:lower()]
end

-- One list of resources as discovery gives it, less the subresources.
local function add_list(into, list)
  if type(list) ~= "table" or type(list.resources) ~= "table" then
    return
  end
  local group, version = split_version(list.groupVersion)
  for _, r in ipairs(list.resources) do
    if not r.name:find("/", 1, true) then
      into[#into + 1] = {
        name = r.name,
        kind = r.kind,
        singular = r.singularName ~= "" and r.singularName or r.kind:lower(),
        short = r.shortNames or {},
        group = group,
        version = version,
        namespaced = r.namespaced == true,
        verbs = r.verbs,
      }
    end
  end
end

local AGGREGATED <const> = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
  .. "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"

-- apidiscovery.k8s.io: groups, versions (the preferred one first) and resources in one answer.
local function add_aggregated(into, doc)
  for _, group in ipairs(doc.items or {}) do
    for _, version in ipairs(group.versions or {}) do
      for _, r in ipairs(version.resources or {}) do
        into[#into + 1] = {
          name = r.resource,
          kind = r.responseKind and r.responseKind.kind or "",
          singular = r.singularResource or "",
          short = r.shortNames or {},
          group = group.metadata and group.metadata.name or "",
          version = version.version,
          namespaced = r.scope == "Namespaced",
          verbs = r.verbs,
        }
      end
    end
  end
end

---@class pai.k8s.Resources
---@field transport pai.k8s.Transport
---@field broken string[] groups whose own server did not answer
local Resources = {}
Resources.__index = Resources

local function read_groups(self, into)
  local doc, e = self.transport:call("GET", "/apis", { accept = AGGREGATED })
  if not doc then
    return nil, e
  elseif doc.kind == "APIGroupDiscoveryList" then
    self.aggregated = true
    add_aggregated(into, doc)
    return true
  end
  local versions = {}
  for _, group in ipairs(doc.groups or {}) do
    local preferred = group.preferredVersion and group.preferredVersion.groupVersion
    table.sort(group.versions, function(a, b)
      return a.groupVersion == preferred and b.groupVersion ~= preferred
    end)
    for _, version in ipairs(group.versions) do
      versions[#versions + 1] = version.groupVersion
    end
  end
  local lists = {}
  require("pai.async").each(versions, function(version, i)
    -- A group whose server is down must not take the others along.
    local list = self.transport:call("GET", "/apis/" .. version)
    lists[i] = list or false
    if not list then
      self.broken[#self.broken + 1] = version
    end
  end, { limit = 8 })
  for _, list in ipairs(lists) do
    add_list(into, list)
  end
  return true
end

---All resources that the server has, preferred versions first.
---@param fresh boolean? asks again
---@return pai.k8s.Resource[]?
---@return pai.Error? err
function Resources:all(fresh)
  if self.list and not fresh then
    return self.list
  end
  local list = {}
  self.broken = {}
  local core, e = self.transport:call("GET", "/api/v1")
  if not core then
    return nil, e
  end
  add_list(list, core)
  local ok
  ok, e = read_groups(self, list)
  if not ok then
    return nil, e
  end
  self.list = list
  return list
end

local function means(r, word, group)
  if group and r.group ~= group and r.group:sub(1, #group + 1) ~= group .. "." then
    return false
  end
  if r.name == word or r.singular == word or r.kind:lower() == word then
    return true
  end
  for _, short in ipairs(r.short) do
    if short == word then
      return true
    end
  end
  return false
end

---The resource that a word means.
---@param word string plural, singular, kind or short name, with or without ".GROUP"
---@return pai.k8s.Resource?
---@return pai.Error? err ENOENT when the server has none
function Resources:find(word)
  local known = M.known(word)
  if known then
    return known
  end
  local plain, group = word:lower():match("^([^.]+)%.?(.*)$")
  if not plain then
    return err.fail("EUSAGE", ("'%s' names no resource"):format(word))
  end
  group = group ~= "" and group or nil
  local had = self.list ~= nil
  for round = 1, had and 2 or 1 do
    local list, e = self:all(round == 2)
    if not list then
      return nil, e
    end
    for _, r in ipairs(list) do
      if means(r, plain, group) then
        return r
      end
    end
  end
  local names = {}
  for i, r in ipairs(self.list) do
    names[i] = r.name
  end
  local down = #self.broken > 0 and "; no answer for " .. table.concat(self.broken, ", ") or ""
  return err.fail(
    "ENOENT",
    ("the server has no resource '%s'%s%s"):format(word, text.did_you_mean(plain, names), down)
  )
end

---The resource of a kind in a version, as an object names it.
---@param api_version string "apps/v1"
---@param kind string
---@return pai.k8s.Resource?
---@return pai.Error? err ENOENT when the server has none
function Resources:of_kind(api_version, kind)
  if not by_kind then
    index()
  end
  local key = api_version .. " " .. kind
  local found = by_kind[key] or self.kinds[key]
  if found then
    return found
  end
  local group, version = split_version(api_version)
  local path = group == "" and "/api/" .. version or ("/apis/%s/%s"):format(group, version)
  local doc, e = self.transport:call("GET", path)
  if not doc and e.http ~= 404 then
    return nil, e
  end
  local list = {}
  add_list(list, doc)
  for _, r in ipairs(list) do
    self.kinds[r.group == "" and version .. " " .. r.kind or api_version .. " " .. r.kind] = r
  end
  if self.kinds[key] then
    return self.kinds[key]
  end
  return err.fail("ENOENT", ("the server has no %s of %s"):format(kind, api_version), {
    reason = "NoKind",
    hint = "is its CustomResourceDefinition installed?",
  })
end

---@param transport pai.k8s.Transport
---@return pai.k8s.Resources
function M.new(transport)
  return setmetatable({ transport = transport, kinds = {}, broken = {} }, Resources)
end

return M
