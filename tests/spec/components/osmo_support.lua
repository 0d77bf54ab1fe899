-- What specs of osmo-k8s share: a bench with the component, a helm that keeps releases, an OSMO
-- that answers, and a cluster in which what is made becomes ready.
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local support = dofile("tests/spec/run/support.lua")
local stand_in = dofile("tests/spec/components/stand_in.lua")
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local json = require("pai.json")
local serve = require("pai.serve")

local M = {}

local HELM <const> = '#!/bin/sh\nexec "%s" lua "%s/tests/spec/components/helm_tool.lua" "%s" "$@"\n'

---The namespace of OSMO's service.
M.SERVICE = "/api/v1/namespaces/osmo-minimal"
---The namespace of MinIO.
M.MINIO = "/api/v1/namespaces/minio-operator"

---OSMO's service: its version, its pool, and workflows that end as told.
function M.osmo()
  local self = { status = "COMPLETED", submitted = {}, pool = "ONLINE", users = {} }
  self.credentials = {
    { cred_name = "nvcr-io", cred_type = "REGISTRY" },
    { cred_name = "data", cred_type = "DATA" },
  }
  self.server = assert(serve.listen({
    handler = function(req)
      local user = req.headers["x-osmo-user"]
      self.users[user or "nobody"] = req.path ~= "/api/version" or self.users[user or "nobody"]
      if req.path == "/api/version" then
        return { json = { major = "6", minor = "4", revision = "0", hash = "" } }
      elseif req.path == "/api/credentials" then
        return { json = { credentials = json.array(self.credentials) } }
      elseif req.path == "/api/pool" then
        return { json = { pools = { default = { status = self.pool } } } }
      elseif req.method == "POST" and req.path == "/api/pool/default/workflow" then
        local name = "verify-" .. (req.body:find("verify%-gpu") and "gpu" or "hello") .. "-1"
        self.submitted[#self.submitted + 1] = name
        return { json = { name = name, overview = "", logs = "", spec = "" } }
      elseif req.path == "/api/workflow" then
        local list, wanted = json.array({}), (req.query.name or {})[1]
        for _, name in ipairs(self.submitted) do
          if not wanted or name:find(wanted, 1, true) then
            list[#list + 1] = { name = name, status = self.status }
          end
        end
        self.since = (req.query.submitted_after or {})[1]
        return { json = { workflows = list, more_entries = false } }
      end
      local name = req.path:match("^/api/workflow/([%w-]+)$")
      if name then
        return { json = { name = name, status = self.status, groups = json.array({}) } }
      end
      return { status = 404, json = { message = "not found" } }
    end,
  }))
  self.url = "http://127.0.0.1:" .. self.server:port()
  return self
end

local function ready_deployment(object)
  object.status = {
    replicas = 1,
    updatedReplicas = 1,
    availableReplicas = 1,
    readyReplicas = 1,
  }
end

---@class tests.Osmo
---@field bench table
---@field talk table
---@field key string NGC_API_KEY
---@field context string
---@field kubeconfig string
local Osmo = {}
Osmo.__index = Osmo

---MicroK8s' minio addon: its Service, and its credentials in a script (the addon's tenant).
function M.addon(c)
  c:put(M.MINIO, { status = { phase = "Active" } })
  c:put(M.MINIO .. "/services/minio", {
    spec = { type = "ClusterIP", ports = json.array({ { port = 80 } }) },
  })
  c.minio = crypto.hex(12)
  local env = ('export MINIO_ROOT_USER="%s"\nexport MINIO_ROOT_PASSWORD="%s"\n'):format(
    "u" .. c.minio,
    "p" .. c.minio
  )
  c:put(M.MINIO .. "/secrets/microk8s-env-configuration", {
    data = { ["config.env"] = crypto.base64_encode(env) },
  })
end

---A cluster in which what is made becomes ready; without a MinIO.
function Osmo:bare(c)
  c.discovery["/apis/apiextensions.k8s.io/v1"] =
    { customresourcedefinitions = "CustomResourceDefinition" }
  c:node("one")
  c:put("/apis/storage.k8s.io/v1/storageclasses/microk8s-hostpath", {
    metadata = { annotations = { ["storageclass.kubernetes.io/is-default-class"] = "true" } },
  })
  c.on.Deployment = ready_deployment
  c.on.Job = function(object)
    object.status = { conditions = json.array({ { type = "Complete", status = "True" } }) }
  end
  c.on.Namespace = function(object, into)
    local name = object.metadata.name
    local pod = "/api/v1/namespaces/" .. name .. "/pods/p"
    if name ~= "osmo-workflows" and not into.objects[pod] then
      into:pod(name, "p")
    end
    if name == "osmo-minimal" then
      -- The chart makes it out of services.configs.
      into:put(M.SERVICE .. "/configmaps/osmo-service-configs", {
        data = { ["config.yaml"] = "workflow: {workflow_data: {base_url: s3://osmo-workflows}}" },
      })
    end
  end
  cluster.private(self.kubeconfig, c:kubeconfig(self.context))
end

---The same with MicroK8s' MinIO.
function Osmo:prepare(c)
  self:bare(c)
  M.addon(c)
end

function Osmo:env(more)
  local all = { PATH = self.talk.path, HOME = self.bench.root, NGC_API_KEY = self.key }
  all.PHYSICAL_AI_PREFLIGHT_SKIP_NETWORK = "1"
  for k, v in pairs(more or {}) do
    all[k] = v
  end
  return all
end

---Runs an action of the component.
function Osmo:call(action, o, argv, more)
  local command = { action, "osmo-k8s", "--json", "context=" .. self.context }
  if not table.concat(argv or {}, " "):find("gpu=", 1, true) then
    command[#command + 1] = "gpu=false"
  end
  command[#command + 1] = "kubeconfig=" .. self.kubeconfig
  command[#command + 1] = o and "url=" .. o.url or nil
  table.move(argv or {}, 1, #(argv or {}), #command + 1, command)
  return self.bench:pai(command, { env = self:env(more), timeout = "120s" })
end

---What helm was told to change.
function Osmo:helm_acts()
  local list = {}
  for _, one in ipairs(self.talk:calls()) do
    local verb, name = one.text:match("^helm (%l+) (%S+)")
    if verb == "upgrade" or verb == "uninstall" or verb == "rollback" then
      list[#list + 1] = verb .. " " .. name
    end
  end
  return list
end

---A value of a Secret as it is in the cluster.
function M.value(c, path, name)
  return crypto.base64_decode(assert(c.objects[path], path).data[name])
end

---@return tests.Osmo
function M.new()
  local self = setmetatable({ bench = support.new(), key = "ngc" .. crypto.hex(16) }, Osmo)
  self.context, self.kubeconfig = "lab", self.bench.root .. "/config"
  local from = pai.root .. "/components/osmo-k8s"
  for _, name in ipairs(fs.list(from)) do
    self.bench:write("components/osmo-k8s/" .. name, assert(fs.read(from .. "/" .. name)))
  end
  self.talk = stand_in.new(self.bench.root .. "/tools", {}, { "cat", "head", "kill" })
  self.talk:add("helm", HELM:format(pai.exe, pai.root, self.talk.dir))
  return self
end

return M
