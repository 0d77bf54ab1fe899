-- OSMO's values as a real Helm 4 reads them.
local chart = dofile("tests/spec/components/osmo_chart.lua")
local layer = dofile("tests/spec/components/kubectl_layer.lua")
local fs = require("pai.fs")
local json = require("pai.json")
local values = require("pai.osmo_deploy.values")
local yaml = require("pai.yaml")

-- As a program that reads JSON sees it.
local function plain(value)
  return json.decode(json.encode(value))
end

describe("a real helm", function()
  local dir, helm

  before_each(function()
    dir = assert(fs.tempdir())
    helm = layer.dir() .. "/helm/helm"
  end)

  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  local function rendered(defaults, given)
    local list = {}
    local text = chart.render(helm, dir, defaults, given)
    for _, doc in ipairs(assert(yaml.decode(text, { all = true }))) do
      list[doc.metadata.name] = doc
    end
    return list, json.decode(list.values.data.values)
  end

  it("reads our values as they were meant", function()
    for _, pull in ipairs({ true, false }) do
      local wanted = values.service(chart.conf(pull))
      local list, read = rendered({}, wanted)
      assert.are.same(plain(wanted), read)
      assert.are.equal("ClusterIP", list["osmo-gateway"].spec.type)
      for _, name in ipairs({ "service", "router", "agent", "worker", "logger" }) do
        assert.are.equal(1, list["osmo-" .. name].spec.replicas)
      end
    end
    local wanted = values.operator(chart.conf(true))
    local text = chart.render(helm, dir, {}, wanted, "values: {{ .Values | toJson | quote }}\n")
    assert.are.same(plain(wanted), json.decode(yaml.decode(text).values))
  end)

  it("lays a user's values over ours as pai does, and nothing of it stays", function()
    local user = {
      services = {
        worker = { scaling = { maxReplicas = 3 }, extraArgs = json.array({ "--a", "on", "1.0" }) },
        service = { scaling = { minReplicas = 2, maxReplicas = 4 } },
      },
      podMonitor = { enabled = true },
    }
    local before = plain(values.service(chart.conf(true)))
    local list, read = rendered(values.service(chart.conf(true)), user)
    assert.are.same(plain(values.service(chart.conf(true, user))), read)
    assert.are.equal(2, list["osmo-service"].spec.replicas)
    assert.are.equal(1, list["osmo-router"].spec.replicas)
    assert.are.same(before, plain(values.service(chart.conf(true))))
  end)
end)
