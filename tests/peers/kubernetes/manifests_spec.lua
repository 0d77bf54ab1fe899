-- What pai would deploy, before a real kube-apiserver: OSMO's values rendered by Helm 4 and NIMs'
-- manifests, taken by kubectl 1.35; NIMs applied by pai. No operator runs here, so nothing starts.
local chart = dofile(pai.root .. "/tests/spec/components/osmo_chart.lua")
local client = require("pai.k8s.client")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local layer = dofile(pai.root .. "/tests/spec/components/kubectl_layer.lua")
local server = dofile(pai.root .. "/tests/peers/kubernetes/server.lua")
local task = require("pai.task")
local values = require("pai.osmo_deploy.values")

local COMPONENT <const> = "inference-nim-operator"

local s, admin, dir

local loader = require("pai.recipe.loader").new()
local require_of = loader:require_for(COMPONENT, pai.root .. "/components")
local objects = require_of(COMPONENT .. ".objects")
local catalog = require_of(COMPONENT .. ".catalog")

local function crd()
  local image = {
    type = "object",
    required = { "repository", "tag" },
    properties = { repository = { type = "string" }, tag = { type = "string" } },
    ["x-kubernetes-preserve-unknown-fields"] = true,
  }
  local spec = {
    type = "object",
    required = { "image", "authSecret" },
    properties = {
      image = image,
      authSecret = { type = "string", minLength = 1 },
      replicas = { type = "integer", minimum = 0 },
    },
    ["x-kubernetes-preserve-unknown-fields"] = true,
  }
  return server.nim_crd(spec)
end

setup(function()
  task.run(function()
    s = server.start()
    dir = assert(fs.tempdir())
    admin = assert(client.connect({ kubeconfig = s.kubeconfig, context = "admin" }))
    assert(admin:apply(crd()))
    assert(admin:wait("crd", "nimservices.apps.nvidia.com", { ["for"] = "condition=Established" }))
    for _, name in ipairs({ "osmo-nims", "osmo-minimal" }) do
      assert(admin:apply({ apiVersion = "v1", kind = "Namespace", metadata = { name = name } }))
    end
  end)
end)

teardown(function()
  task.run(function()
    s:close()
    fs.remove(dir, { recursive = true })
  end)
end)

local function it_runs(title, fn)
  it(title, function()
    task.run(fn)
  end)
end

local function nims(name)
  local made = objects.of(name, { storage_class = "shared" })
  local list = json.array({})
  for _, key in ipairs({ "claim", "job", "service" }) do
    list[#list + 1] = made[key]
  end
  return list
end

local function dry_run(path)
  local argv = { layer.dir() .. "/kubectl/kubectl", "apply", "--dry-run=client" }
  local more = { "--validate=false", "--output=json", "--kubeconfig", s.kubeconfig }
  table.move(more, 1, #more, #argv + 1, argv)
  table.move({ "--context", "admin", "--filename", path }, 1, 4, #argv + 1, argv)
  local r = assert(exec.run(argv, { timeout = "60s", env = { HOME = dir } }))
  local doc = assert(json.decode(r.stdout))
  return doc.items or { doc }
end

describe("manifests", function()
  it_runs("of OSMO's values, rendered by helm, are taken by kubectl", function()
    local given = values.service(chart.conf(true))
    local text = chart.render(layer.dir() .. "/helm/helm", dir, {}, given)
    assert(fs.write(dir .. "/osmo.yaml", text))
    local kinds = {}
    for _, item in ipairs(dry_run(dir .. "/osmo.yaml")) do
      kinds[item.kind] = (kinds[item.kind] or 0) + 1
    end
    assert.same({ Deployment = 5, Service = 1, ConfigMap = 1 }, kinds)
    assert.equal(0, #assert(admin:list("deployments", { all = true })))
  end)

  it_runs("of every NIM are taken by kubectl as they are", function()
    for name in pairs(catalog.NIMS) do
      local list = nims(name)
      local path = ("%s/%s.json"):format(dir, name)
      local body = { apiVersion = "v1", kind = "List", items = list }
      assert(fs.write(path, json.encode(body)))
      local taken = dry_run(path)
      assert.equal(#list, #taken)
      for i, item in ipairs(list) do
        assert.equal(item.kind, taken[i].kind)
        assert.same(json.decode(json.encode(item.spec)), taken[i].spec)
      end
    end
  end)

  it_runs("of every NIM are applied by pai, and a second time nothing changes", function()
    for name in pairs(catalog.NIMS) do
      for _, item in ipairs(nims(name)) do
        local made, how = admin:apply(item)
        assert.equal("created", how)
        local again
        again, how = admin:apply(item)
        assert.same(made.spec, again.spec)
        -- Kubernetes' own controllers write to claims and Jobs meanwhile.
        assert.is_true(how == "unchanged" or item.kind ~= "NIMService", how)
      end
    end
    local spoiled = objects.of("cosmos-transfer", {}).service
    spoiled.spec.image.tag = nil
    spoiled.metadata.name = "spoiled"
    local _, e = admin:apply(spoiled)
    assert.is_truthy(e.message:find("spec.image.tag", 1, true), e.message)
  end)
end)
