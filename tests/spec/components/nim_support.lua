-- A bench for inference-nim-operator: a cluster in memory that plays NIM Operator and the Job
-- controller, and a scripted helm. Shapes: "helm status --output=json" of Helm 3 and 4; NIMService
-- status.state of NIM Operator 3.1 ("Ready", "NotReady", "Failed"); Job conditions of batch/v1.
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local crypto = require("pai.crypto")
local json = require("pai.json")
local secrecy = dofile("tests/spec/components/secrecy.lua")
local stand_in = dofile("tests/spec/components/stand_in.lua")
local support = dofile("tests/spec/run/support.lua")

local M = {}

M.NIMS = "/apis/apps.nvidia.com/v1alpha1/namespaces/osmo-nims/nimservices/"
M.JOBS = "/apis/batch/v1/namespaces/osmo-nims/jobs/"
M.CLAIMS = "/api/v1/namespaces/osmo-nims/persistentvolumeclaims/"
M.SECRETS = "/api/v1/namespaces/osmo-nims/secrets/"
M.CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/nimservices.apps.nvidia.com"

local RELEASE <const> = {
  name = "nim-operator",
  namespace = "nim-operator",
  version = 1,
  info = { status = "deployed" },
  chart = { metadata = { name = "k8s-nim-operator", version = "3.1.0" } },
}

local API <const> = "/apis/apps.nvidia.com/v1alpha1"

-- What the cluster of the specs does not know by itself: the operator's kind, and a Service's
-- answer through the API server.
local function extend(c)
  local plain = c.get
  c.http = {}
  function c.get(self, path, req)
    local name, rest =
      path:match("^/api/v1/namespaces/osmo%-nims/services/([^:/]+):8000/proxy(/.*)$")
    if name then
      return self.http[name .. rest] or { status = 404, body = "404 page not found" }
    elseif path == API then
      return {
        json = {
          kind = "APIResourceList",
          groupVersion = "apps.nvidia.com/v1alpha1",
          resources = { { name = "nimservices", kind = "NIMService", namespaced = true } },
        },
      }
    end
    return plain(self, path, req)
  end
  function c.on.Namespace(object, self)
    if object.metadata.name == "nim-operator" then
      self:pod("nim-operator", "k8s-nim-operator-0")
      local established = { { type = "Established", status = "True" } }
      self:put(M.CRD, { status = { conditions = json.array(established) } })
    end
  end
  function c.on.NIMService(object, self)
    object.status = object.status or { state = c.nim_state or "Ready" }
    self:change("MODIFIED", M.NIMS .. object.metadata.name, object)
  end
  function c.on.Job(object, self)
    local how = c.job_state or "Complete"
    local conditions = { { type = how, status = "True", reason = how, message = "so it is" } }
    object.status = { conditions = json.array(how ~= "Active" and conditions or {}) }
    self:change("MODIFIED", M.JOBS .. object.metadata.name, object)
  end
  c:node("gpu-1", {
    status = {
      allocatable = { ["nvidia.com/gpu"] = "2" },
      capacity = { ["nvidia.com/gpu"] = "2" },
    },
  })
  c:put("/apis/storage.k8s.io/v1/storageclasses/shared", {
    provisioner = "nfs.csi.k8s.io",
    metadata = { annotations = { ["storageclass.kubernetes.io/is-default-class"] = "true" } },
  })
end

local function helm(talk)
  talk:tell({ argv = { "helm", "version", "--short" }, stdout = "v3.19.0\n", cite = "helm 3.19" })
  talk:tell({
    argv = { "helm", "status", "nim-operator", "..." },
    stdout = json.encode(RELEASE),
    when = "release",
    cite = "helm status --output=json",
  })
  talk:tell({
    argv = { "helm", "status", "nim-operator", "..." },
    stderr = "Error: release: not found\n",
    code = 1,
    cite = "helm status of a release that is not there",
  })
  talk:tell({
    argv = { "helm", "upgrade", "nim-operator", "k8s-nim-operator", "..." },
    stdout = json.encode(RELEASE),
    sets = "release",
    cite = "helm upgrade --install --output=json",
  })
  talk:tell({
    argv = { "helm", "uninstall", "nim-operator", "..." },
    stdout = 'release "nim-operator" uninstalled\n',
    clears = "release",
    cite = "helm uninstall",
  })
end

---@class tests.Nim
---@field c tests.Cluster
---@field talk tests.Talk
---@field bench tests.Bench
---@field key string
---@field token string

---A test with all of it; `fn` gets (nim).
---@param title string
---@param fn fun(nim: tests.Nim)
function M.it(title, fn)
  cluster.it(title, function(c)
    extend(c)
    local bench = support.new()
    local talk = stand_in.new(bench.root .. "/tools", { "helm" })
    helm(talk)
    local nim = {
      c = c,
      bench = bench,
      talk = talk,
      key = "key-" .. crypto.hex(12),
      token = "token-" .. crypto.hex(12),
    }
    nim.config = cluster.private(bench.root .. "/config", c:kubeconfig("lab"))
    function nim.env(more)
      local env = {
        PATH = talk.path,
        HOME = bench.root,
        NGC_API_KEY = nim.key,
        HF_TOKEN = nim.token,
        PHYSICAL_AI_PREFLIGHT_SKIP_NETWORK = "1",
        KUBECONFIG = false,
      }
      for k, v in pairs(more or {}) do
        env[k] = v
      end
      return env
    end
    function nim.pai(argv, env)
      local r = bench:pai(argv, { env = nim.env(env), timeout = "120s" })
      secrecy.check({
        texts = { nim.key, nim.token },
        bench = bench,
        talk = talk,
        cluster = c,
        said = r.stdout .. r.stderr,
      })
      return r
    end
    ---An action with the usual inputs; its gates' checks by name as "state measured".
    function nim.act(action, more, env)
      local argv = { action, "inference-nim-operator" }
      table.move(more or {}, 1, #(more or {}), #argv + 1, argv)
      if action ~= "preflight" then
        argv[#argv + 1] = "context=lab"
        argv[#argv + 1] = "kubeconfig=" .. nim.config
      end
      argv[#argv + 1] = "--json"
      if action == "teardown" then
        argv[#argv + 1] = "--yes"
      end
      local r = nim.pai(argv, env)
      return r, M.seen(r.stdout)
    end
    local ok, problem = pcall(fn, nim)
    if ok then
      ok, problem = pcall(talk.check, talk)
    end
    bench:remove()
    if not ok then
      error(problem, 0)
    end
  end)
end

---Checks by name, from one object of a look or from the events of a run.
---@param text string
---@return table<string, string>
function M.seen(text)
  local list = {}
  local function add(checks)
    for _, check in ipairs(checks or {}) do
      list[check.name] = ("%s %s"):format(check.state, check.measured)
      list["hint " .. check.name] = check.hint
    end
  end
  for line in text:gmatch("[^\n]+") do
    local event = json.decode(line)
    if type(event) == "table" then
      add(event.checks)
      for _, step in ipairs(type(event.steps) == "table" and event.steps or {}) do
        add(type(step) == "table" and step.checks or nil)
      end
      if event.event == "step.fail" then
        list.failed = event.error.message
      end
    end
  end
  return list
end

---Makes a NIM answer on its path.
---@param nim tests.Nim
---@param name string
---@param path string?
function M.answers(nim, name, path)
  nim.c.http[name .. (path or "/v1/health/ready")] = { status = 200, body = "{}" }
end

return M
