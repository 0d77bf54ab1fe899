-- Values that hold a secret, against a real Helm 4 and a real kube-apiserver: they go in by stdin,
-- are kept in the release's Secret, and come back as handles.
local client = require("pai.k8s.client")
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local layer = dofile(pai.root .. "/tests/spec/components/kubectl_layer.lua")
local server = dofile(pai.root .. "/tests/peers/kubernetes/server.lua")
local support = dofile(pai.root .. "/tests/spec/run/support.lua")
local task = require("pai.task")

local RECIPE <const> = [[
local function where(inp)
  return { context = "admin", namespace = "sealed", kubeconfig = inp.kubeconfig }
end

return {
  api = 1, name = "sealed", title = "S", summary = "S.", safety = "changes",
  inputs = {
    kubeconfig = { type = "path" },
    chart = { type = "path" },
    key = { type = "secret", env = "SEALED_KEY", bins = { "helm" } },
    url = { type = "string", default = "https://a.example.com" },
  },
  needs = { bins = { "helm" }, clusters = { "admin" } },
  steps = {
    {
      name = "release",
      done = function(ctx, inp)
        local one = ctx.tools.helm.find("one", where(inp))
        if not one then
          return nil
        end
        local given = ctx.tools.helm.values("one", where(inp), { "auth.key" })
        local same = given.auth.key:equals(ctx.secret("key")) and given.auth.url == inp.url
        return same and { revision = one.revision, status = one.status, chart = one.chart } or nil
      end,
      run = function(ctx, inp)
        local at = where(inp)
        at.sealed = ctx.json.seal({ auth = { key = ctx.secret("key"), url = inp.url } })
        at.wait = false
        local one = ctx.tools.helm.upgrade("one", inp.chart, at)
        return { revision = one.revision, status = one.status, chart = one.chart }
      end,
    },
  },
}
]]

local s, admin, bench, path

setup(function()
  task.run(function()
    s = server.start()
    admin = assert(client.connect({ kubeconfig = s.kubeconfig, context = "admin" }))
    bench = support.new()
    path = layer.dir()
    bench:write("recipes/sealed.lua", RECIPE)
    bench:write("chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 1.2.3\n")
    bench:write(
      "chart/templates/map.yaml",
      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n"
        .. "data: {url: {{ .Values.auth.url }}}\n"
    )
  end)
end)

teardown(function()
  task.run(function()
    s:close()
    bench:remove()
  end)
end)

describe("a release with a secret among its values", function()
  it("is made by stdin, known again, and followed", function()
    task.run(function()
      local key = "k" .. crypto.hex(16)
      local function run(more)
        local argv = { "run", "--json", "--allow-dirty", "sealed" }
        argv[#argv + 1] = "kubeconfig=" .. s.kubeconfig
        argv[#argv + 1] = "chart=" .. bench.dir .. "/chart"
        argv[#argv + 1] = more
        local r = bench:pai(argv, {
          env = {
            PATH = path .. "/helm:/usr/bin:/bin",
            HOME = bench.root,
            KUBECONFIG = false,
            SEALED_KEY = key,
          },
          timeout = "120s",
        })
        assert.equal(0, r.code, r.stdout .. r.stderr)
        assert.is_nil((r.stdout .. r.stderr):find(key, 1, true))
        local done = support.pick(support.events(r.stdout), "step.done")[1]
        return done.how, done.result
      end
      local how, one = run()
      assert.equal("ran", how)
      assert.same({ revision = 1, status = "deployed", chart = "chart-1.2.3" }, one)
      local map = admin:get("configmaps", "one", { namespace = "sealed" })
      assert.equal("https://a.example.com", map.data.url)
      how, one = run()
      assert.same({ "already", 1 }, { how, one.revision })
      how, one = run("url=https://b.example.com")
      assert.same({ "ran", 2 }, { how, one.revision })
      key = "k" .. crypto.hex(16)
      how, one = run("url=https://b.example.com")
      assert.same({ "ran", 3 }, { how, one.revision })
      -- It is nowhere but in the cluster.
      for _, name in ipairs(fs.walk(bench.root)) do
        local body = fs.read(bench.root .. "/" .. name) or ""
        assert.is_nil(body:find(key, 1, true), name)
      end
    end)
  end)
end)
