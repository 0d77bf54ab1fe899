-- A cluster for specs of components: an API server that keeps objects in memory. It speaks what
-- lua/pai/k8s asks for: get, list, watch, server-side apply, create, patch, delete. Its shapes are
-- those that tests/spec/k8s/shapes.lua holds to a real kube-apiserver. Run inside of task.run.
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local json = require("pai.json")
local serve = require("pai.serve")
local task = require("pai.task")

local M = {}

-- kind by resource, and those without a namespace
local KINDS <const> = {
  configmaps = "ConfigMap",
  daemonsets = "DaemonSet",
  deployments = "Deployment",
  events = "Event",
  jobs = "Job",
  namespaces = "Namespace",
  nodes = "Node",
  persistentvolumeclaims = "PersistentVolumeClaim",
  pods = "Pod",
  priorityclasses = "PriorityClass",
  leases = "Lease",
  runtimeclasses = "RuntimeClass",
  secrets = "Secret",
  services = "Service",
  storageclasses = "StorageClass",
  customresourcedefinitions = "CustomResourceDefinition",
}

---@class tests.Cluster
---@field objects table<string, table> by path
---@field acts string[] requests that change something, "PATCH /api/v1/..."
---@field bodies table<string, table> the last body of each such request
---@field plain table<string, table> answers at paths that hold no object: health, logs
---@field namespaced table<string, boolean> kinds of `discovery` that have a namespace, by plural
---@field on table<string, fun(object: table, cluster: tests.Cluster)> after a write, by kind
---@field locking string[] requests that changed a Lease: they are no acts
local Cluster = {}
Cluster.__index = Cluster

local function failure(code, reason, message, details)
  return {
    status = code,
    json = {
      kind = "Status",
      apiVersion = "v1",
      metadata = {},
      status = "Failure",
      reason = reason,
      message = message,
      details = details,
      code = code,
    },
  }
end

-- "/apis/apps/v1/namespaces/x/deployments/y" → base, resource, name
local function split(path)
  local base, rest = path:match("^(/api/[^/]+)/(.+)$")
  if not base then
    base, rest = path:match("^(/apis/[^/]+/[^/]+)/(.+)$")
  end
  if not base then
    return nil
  end
  local namespace, inner = rest:match("^namespaces/([^/]+)/(.+)$")
  local resource, name = (inner or rest):match("^([^/]+)/?([^/]*)$")
  return base, resource, name ~= "" and name or nil, namespace
end

function Cluster:change(kind, path, object)
  self.version = self.version + 1
  object.metadata.resourceVersion = tostring(self.version)
  self.events[#self.events + 1] = { kind = kind, path = path, object = object, at = self.version }
end

---Puts an object there.
---@param path string its own: "/api/v1/nodes/a"
---@param object table
---@return table object
function Cluster:put(path, object)
  local base, resource, name, namespace = split(path)
  object.kind = object.kind or KINDS[resource]
  object.apiVersion = object.apiVersion or base:gsub("^/apis?/", "")
  object.metadata = object.metadata or {}
  object.metadata.name, object.metadata.namespace = name, namespace
  object.metadata.uid = object.metadata.uid or crypto.uuid()
  object.metadata.generation = object.metadata.generation or 1
  local known = self.objects[path]
  self.objects[path] = object
  self:change(known and "MODIFIED" or "ADDED", path, object)
  return object
end

---Takes an object away, and with a namespace what is in it.
---@param path string
function Cluster:drop(path)
  local object = self.objects[path]
  if not object then
    return
  end
  self.objects[path] = nil
  self:change("DELETED", path, object)
  local namespace = path:match("^/api/v1/namespaces/([^/]+)$")
  for other in pairs(namespace and self:copy_of_paths() or {}) do
    if other:find("/namespaces/" .. namespace .. "/", 1, true) then
      self:drop(other)
    end
  end
end

function Cluster:copy_of_paths()
  local copy = {}
  for path in pairs(self.objects) do
    copy[path] = true
  end
  return copy
end

local function merge(into, from)
  for key, value in pairs(from) do
    if type(value) == "table" and type(into[key]) == "table" and not json.is_array(value) then
      merge(into[key], value)
    elseif value == json.null then
      into[key] = nil
    else
      into[key] = value
    end
  end
  return into
end

local function below(path, other)
  local rest = other:sub(1, #path + 1) == path .. "/" and other:sub(#path + 2)
  return rest and not rest:find("/", 1, true)
end

-- Objects of a list: of one namespace, or of all when the path names none.
function Cluster:matching(path, selector)
  local base, resource = path:match("^(.*)/([^/]+)$")
  local all = not path:find("/namespaces/[^/]+/") and resource ~= "namespaces"
  local list = json.array({})
  for other, object in pairs(self.objects) do
    local other_base, other_resource = split(other)
    local hit = below(path, other) or (all and other_base == base and other_resource == resource)
    local name = selector and selector:match("^metadata.name=(.+)$")
    if hit and (not name or object.metadata.name == name) then
      list[#list + 1] = object
    end
  end
  table.sort(list, function(a, b)
    return a.metadata.name < b.metadata.name
  end)
  return list
end

function Cluster:stream(path, req)
  local since = math.tointeger(tonumber((req.query.resourceVersion or { "0" })[1])) or 0
  local selector = (req.query.fieldSelector or {})[1]
  local name = selector and selector:match("^metadata.name=(.+)$")
  return {
    stream = function(w)
      local at = 1
      while not w:gone() and not self.closed do
        while self.events[at] do
          local e = self.events[at]
          at = at + 1
          if
            e.at > since
            and below(path, e.path)
            and (not name or e.object.metadata.name == name)
          then
            if not w:write(json.encode({ type = e.kind, object = e.object }) .. "\n") then
              return
            end
          end
        end
        task.sleep("10ms")
      end
    end,
  }
end

function Cluster:get(path, req)
  if path == "/version" then
    return { json = { gitVersion = self.git_version, major = "1", minor = "31" } }
  elseif self.plain[path] then
    return self.plain[path]
  end
  local kinds = self.discovery[path]
  if kinds then
    local list = json.array({})
    for plural, kind in pairs(kinds) do
      list[#list + 1] = { name = plural, kind = kind, namespaced = self.namespaced[plural] == true }
      list[#list].verbs = { "get", "list" }
    end
    local version = path:gsub("^/apis?/", "")
    return { json = { kind = "APIResourceList", groupVersion = version, resources = list } }
  end
  local _, resource, name = split(path)
  if not resource then
    return failure(404, "NotFound", "the server could not find the requested resource")
  elseif name then
    local object = self.objects[path]
    return object and { json = object }
      or failure(404, "NotFound", ('%s "%s" not found'):format(resource, name))
  elseif req.query.watch then
    return self:stream(path, req)
  end
  return {
    json = {
      kind = (KINDS[resource] or "Object") .. "List",
      apiVersion = "v1",
      metadata = { resourceVersion = tostring(self.version) },
      items = self:matching(path, (req.query.fieldSelector or {})[1]),
    },
  }
end

-- policy/v1 Eviction; what a budget holds is for `refuse` to say.
function Cluster:evict(pod, body)
  local object = self.objects[pod]
  local wanted = body.deleteOptions and body.deleteOptions.preconditions
  if not object then
    return failure(404, "NotFound", pod .. " not found")
  elseif wanted and wanted.uid ~= object.metadata.uid then
    return failure(409, "Conflict", "the UID in the precondition does not match")
  end
  self:drop(pod)
  if self.on.Eviction then
    self.on.Eviction(object, self)
  end
  return { status = 201, json = { kind = "Status", apiVersion = "v1", status = "Success" } }
end

-- A Lease is changed by who has read its last version, and deleted by who names it.
function Cluster:lock(req, body)
  local refused = self.refuse and self.refuse(req, body)
  if refused then
    return failure(table.unpack(refused))
  end
  self.locking[#self.locking + 1] = req.method .. " " .. req.path
  local path = req.path
  if req.method == "POST" then
    path = path .. "/" .. body.metadata.name
  end
  local known = self.objects[path]
  local wanted = body.preconditions or body.metadata or {}
  if req.method == "POST" and known then
    return failure(409, "AlreadyExists", path .. " already exists")
  elseif req.method ~= "POST" and not known then
    return failure(404, "NotFound", path .. " not found")
  elseif known and wanted.resourceVersion ~= known.metadata.resourceVersion then
    return failure(409, "Conflict", "the object has been modified")
  elseif req.method == "DELETE" then
    self:drop(path)
    return { json = { kind = "Status", status = "Success" } }
  end
  body.metadata.uid = known and known.metadata.uid
  return { status = known and 200 or 201, json = self:put(path, body) }
end

function Cluster:write(req)
  local key = req.method .. " " .. req.path
  local body = req.body ~= "" and assert(json.decode(req.body)) or {}
  if req.path:find("^/apis/coordination.k8s.io/") then
    return self:lock(req, body)
  end
  self.bodies[key] = body
  local path = req.path
  if path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" then
    return { json = { status = { allowed = true } } }
  end
  self.acts[#self.acts + 1] = key
  local refused = self.refuse and self.refuse(req, body)
  if refused then
    return failure(table.unpack(refused))
  end
  local pod = path:match("^(.*/pods/[^/]+)/eviction$")
  if pod then
    return self:evict(pod, body)
  elseif req.method == "DELETE" then
    if not self.objects[path] then
      return failure(404, "NotFound", path .. " not found")
    end
    local object = self.objects[path]
    self:drop(path)
    if self.on.Delete then
      self.on.Delete(object, self)
    end
    return { json = { kind = "Status", status = "Success" } }
  end
  if req.method == "POST" then
    path = path .. "/" .. body.metadata.name
    if self.objects[path] then
      return failure(409, "AlreadyExists", path .. " already exists")
    end
  end
  local namespace = path:match("/namespaces/([^/]+)/")
  if namespace and not self.objects["/api/v1/namespaces/" .. namespace] then
    return failure(404, "NotFound", ('namespaces "%s" not found'):format(namespace))
  end
  local known = self.objects[path]
  local object = self:put(path, merge(known or {}, body))
  local hook = self.on[object.kind]
  if hook then
    hook(object, self)
  end
  return { status = known and 200 or 201, json = object }
end

---Acts on objects of a kind.
---@param pattern string?
---@return string[]
function Cluster:changed(pattern)
  local list = {}
  for _, act in ipairs(self.acts) do
    if not pattern or act:find(pattern) then
      list[#list + 1] = act
    end
  end
  return list
end

---Forgets what was changed so far.
function Cluster:forget()
  self.acts = {}
end

---A Ready node.
---@param name string
---@param more table? merged over it
function Cluster:node(name, more)
  local node = {
    metadata = { labels = {} },
    status = {
      conditions = json.array({ { type = "Ready", status = "True", reason = "KubeletReady" } }),
      capacity = { cpu = "8" },
      allocatable = { cpu = "8" },
      nodeInfo = { kubeletVersion = "v1.31.4", osImage = "Ubuntu 24.04.1 LTS" },
    },
  }
  return self:put("/api/v1/nodes/" .. name, merge(node, more or {}))
end

---A Ready pod.
---@param namespace string
---@param name string
---@param more table?
function Cluster:pod(namespace, name, more)
  local pod = {
    spec = { containers = json.array({ { name = "main", image = "example/" .. name .. ":1" } }) },
    status = {
      phase = "Running",
      conditions = json.array({ { type = "Ready", status = "True" } }),
    },
  }
  local path = ("/api/v1/namespaces/%s/pods/%s"):format(namespace, name)
  return self:put(path, merge(pod, more or {}))
end

---A kubeconfig with one context, as a cluster's own tool prints it.
---@param context string
---@param user string?
---@return string
function Cluster:kubeconfig(context, user)
  return ([[
apiVersion: v1
clusters:
- cluster:
    server: %s
  name: %s-cluster
contexts:
- context:
    cluster: %s-cluster
    user: %s
  name: %s
current-context: %s
kind: Config
preferences: {}
users:
- name: %s
  user:
    token: %s
]]):format(
    self.url,
    context,
    context,
    user or "admin",
    context,
    context,
    user or "admin",
    self.token
  )
end

function Cluster:close()
  self.closed = true
  self.server:close()
end

---Starts one. It has the namespaces default and kube-system.
---@return tests.Cluster
function M.start()
  local self = setmetatable({
    objects = {},
    events = {},
    acts = {},
    bodies = {},
    locking = {},
    on = {},
    discovery = { ["/apis/node.k8s.io/v1"] = { runtimeclasses = "RuntimeClass" } },
    namespaced = {},
    version = 100,
    git_version = "v1.31.4",
    plain = { ["/readyz"] = { body = "ok" }, ["/livez/etcd"] = { body = "ok" } },
    token = crypto.hex(16),
  }, Cluster)
  self.server = assert(serve.listen({
    handler = function(req)
      if req.headers.authorization ~= "Bearer " .. self.token then
        return failure(401, "Unauthorized", "Unauthorized")
      elseif req.method == "GET" then
        return self:get(req.path, req)
      end
      return self:write(req)
    end,
  }))
  self.url = "http://127.0.0.1:" .. self.server:port()
  for _, name in ipairs({ "default", "kube-system" }) do
    self:put("/api/v1/namespaces/" .. name, { status = { phase = "Active" } })
  end
  return self
end

---A test in a task with a cluster of its own.
---@param title string
---@param fn fun(cluster: tests.Cluster)
function M.it(title, fn)
  it(title, function()
    task.run(function()
      local cluster = M.start()
      local ok, problem = pcall(fn, cluster)
      cluster:close()
      if not ok then
        error(problem, 0)
      end
    end)
  end)
end

---A private file.
---@param path string
---@param text string
function M.private(path, text)
  assert(fs.mkdir(fs.dirname(path), { parents = true }))
  assert(fs.write(path, text, { mode = "0600" }))
  return path
end

return M
