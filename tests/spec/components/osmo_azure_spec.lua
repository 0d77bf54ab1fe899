-- osmo-azure against a cluster in memory, a helm that keeps releases, a scripted az, a terraform
-- whose state has the outputs of cluster-azure, and an OSMO that answers. Shapes of answers: az
-- reference; terraform output and output -raw of terraform 1.11.
local azure = assert(loadfile("tests/spec/components/azure.lua", "t", _ENV))()
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local support = dofile("tests/spec/run/support.lua")
local stand_in = dofile("tests/spec/components/stand_in.lua")
local osmo_support = assert(loadfile("tests/spec/components/osmo_support.lua", "t", _ENV))()
local secrecy = dofile("tests/spec/components/secrecy.lua")
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local json = require("pai.json")

local ID <const> = "run-0badcafe"
local HELM <const> = '#!/bin/sh\nexec "%s" lua "%s/tests/spec/components/helm_tool.lua" "%s" "$@"\n'
local SERVICE <const> = "/api/v1/namespaces/osmo-minimal"

local osmo = osmo_support.osmo

describe("osmo-azure", function()
  local bench, talk, key, passwords

  before_each(function()
    bench = support.new()
    azure.install(bench, { "osmo-azure" })
    talk = stand_in.new(bench.root .. "/tools", { "az", "terraform" }, { "cat", "head", "kill" })
    talk:add("helm", HELM:format(pai.exe, pai.root, talk.dir))
    key = "ngc" .. crypto.hex(16)
    passwords = {
      pg_admin_password = crypto.hex(16),
      redis_primary_key = crypto.hex(16),
      storage_account_key = crypto.hex(16),
    }
  end)

  after_each(function()
    bench:remove()
  end)

  local PLAIN <const> = {
    resource_group = '"rg-nvpai-dev"',
    aks_name = '"aks-nvpai-dev"',
    location = '"eastus2"',
    pg_fqdn = '"psql.example"',
    pg_admin_user = '"postgres"',
    pg_database = '"osmo"',
    redis_hostname = '"redis.example"',
    redis_port = "10000",
    storage_account = '"stnvpaidevabcde"',
  }

  local function names(without)
    local lines = {}
    for name, value in pairs(PLAIN) do
      lines[#lines + 1] = name ~= without and ("%s = %s"):format(name, value) or ""
    end
    for name in pairs(passwords) do
      lines[#lines + 1] = name ~= without and name .. " = <sensitive>" or ""
    end
    return table.concat(lines, "\n") .. "\n"
  end

  local function tell_passwords()
    for name, value in pairs(passwords) do
      talk:instead({
        argv = { "terraform", "~^%-chdir=/", "output", "-raw", "-no-color", name },
        stdout = value,
        -- A trace would have the values in it.
        env = { TF_LOG = "^$", SHELLOPTS = "^$" },
        cite = "terraform output -raw NAME",
      })
    end
  end

  local function tell()
    azure.tell(talk, "robots")
    talk:tell(azure.answer(azure.questions("robots").aks, azure.aks(), "az aks show"))
    talk:tell({
      argv = { "terraform", "version", "-json" },
      stdout = '{"terraform_version":"1.11.4"}',
      cite = "terraform version -json",
    })
    talk:tell({
      argv = { "terraform", "~^%-chdir=/", "output", "-no-color" },
      stdout = names(),
      cite = "terraform output",
    })
    for name, value in pairs(PLAIN) do
      talk:tell({
        argv = { "terraform", "~^%-chdir=/", "output", "-json", "-no-color", name },
        stdout = value,
        cite = "terraform output -json NAME",
      })
    end
    tell_passwords()
  end

  -- The cluster of cluster-azure; `said` is what the database says of its tables.
  local function prepare(c)
    c.said, c.job_ends = "0\n", "Complete"
    c.discovery["/apis/apiextensions.k8s.io/v1"] =
      { customresourcedefinitions = "CustomResourceDefinition" }
    c:node("gpu1", {
      metadata = { labels = { ["nvidia.com/gpu.present"] = "true" } },
      status = {
        capacity = { ["nvidia.com/gpu"] = "1" },
        allocatable = { ["nvidia.com/gpu"] = "1" },
      },
    })
    c:put("/apis/storage.k8s.io/v1/storageclasses/azurefile-nfs-premium", {
      metadata = { annotations = { ["storageclass.kubernetes.io/is-default-class"] = "true" } },
    })
    c.on.Namespace = function(object, self)
      local name = object.metadata.name
      local path = "/api/v1/namespaces/" .. name .. "/pods/p"
      if name ~= "osmo-workflows" and not self.objects[path] then
        self:pod(name, "p")
      end
    end
    c.on.Job = function(object, self)
      c.asked = object
      -- Its password is in a Secret, and nowhere in the Job.
      local held = self.objects[SERVICE .. "/secrets/osmo-db-ops"]
      c.db_password = held and crypto.base64_decode(held.data.password)
      object.status = { conditions = json.array({ { type = c.job_ends, status = "True" } }) }
      self:pod("osmo-minimal", "osmo-db-ops-x", {
        metadata = { labels = { app = "osmo-db-ops" } },
        status = {
          phase = "Succeeded",
          containerStatuses = json.array({
            { state = { terminated = { exitCode = 0, message = c.said } } },
          }),
        },
      })
    end
    cluster.private(bench.root .. "/config", c:kubeconfig("aks-nvpai-dev"))
    bench:write("infra/cluster-azure/terraform.tfstate", "{}")
    tell()
  end

  local function env(more)
    local all = { PATH = talk.path, HOME = bench.root, NGC_API_KEY = key }
    all.PHYSICAL_AI_PREFLIGHT_SKIP_NETWORK = "1"
    all.TF_LOG, all.SHELLOPTS = "trace", "xtrace"
    for k, v in pairs(more or {}) do
      all[k] = v
    end
    return { env = all, timeout = "120s" }
  end

  local function call(action, o, ...)
    local argv = { action, "osmo-azure", "subscription=robots", "context=aks-nvpai-dev" }
    argv[#argv + 1] = "kubeconfig=" .. bench.root .. "/config"
    argv[#argv + 1] = o and "url=" .. o.url or nil
    local more = { ... }
    table.move(more, 1, #more, #argv + 1, argv)
    return bench:pai(argv, env())
  end

  local function said(r)
    return r.stdout .. r.stderr
  end

  local function helm_acts()
    local list = {}
    for _, one in ipairs(talk:calls("^helm")) do
      local verb, name = one.text:match("^helm (%l+) (%S+)")
      if verb == "upgrade" or verb == "uninstall" then
        list[#list + 1] = verb .. " " .. name
      end
    end
    return list
  end

  local function value(c, path, name)
    return crypto.base64_decode(assert(c.objects[path], path).data[name])
  end

  local function osmo_it(title, fn)
    cluster.it(title, function(c)
      prepare(c)
      local o = osmo()
      local ok, problem = pcall(fn, c, o)
      o.server:close()
      if not ok then
        error(problem, 0)
      end
    end)
  end

  osmo_it("deploys on what cluster-azure made, and a second run changes nothing", function(c, o)
    local r = call("deploy", o)
    assert.are.equal(0, r.code, said(r))
    assert.are.same(
      { "upgrade kai-scheduler", "upgrade osmo-minimal", "upgrade osmo-operator" },
      helm_acts()
    )
    assert.are.same({ "verify-hello-1", "verify-gpu-1" }, o.submitted)
    assert.are.equal(
      passwords.pg_admin_password,
      value(c, SERVICE .. "/secrets/db-secret", "db-password")
    )
    assert.are.equal(
      passwords.redis_primary_key,
      value(c, SERVICE .. "/secrets/redis-secret", "redis-password")
    )
    for _, which in ipairs({ "data", "log", "app" }) do
      local path = ("%s/secrets/osmo-workflow-%s-cred"):format(SERVICE, which)
      assert.are.equal("stnvpaidevabcde", value(c, path, "access_key_id"))
      assert.are.equal(
        "DefaultEndpointsProtocol=https;AccountName=stnvpaidevabcde;AccountKey="
          .. passwords.storage_account_key
          .. ";EndpointSuffix=core.windows.net",
        value(c, path, "access_key")
      )
      assert.are.equal("azure://stnvpaidevabcde/osmo-workflows", value(c, path, "endpoint"))
      assert.are.equal("eastus2", value(c, path, "region"))
    end
    -- The database was asked before a master key was made; what that took is gone.
    assert.are.equal(passwords.pg_admin_password, c.db_password)
    assert.is_nil(json.encode(c.asked):find(passwords.pg_admin_password, 1, true))
    assert.is_nil(c.objects[SERVICE .. "/secrets/osmo-db-ops"])
    assert.is_nil(c.objects["/apis/batch/v1/namespaces/osmo-minimal/jobs/osmo-db-ops"])
    local release = json.decode(fs.read(talk.dir .. "/releases/osmo-minimal.json"))
    local services = release.values.services
    assert.are.same({ "psql.example", 5432, "osmo", "postgres", false }, {
      services.postgres.serviceName,
      services.postgres.port,
      services.postgres.db,
      services.postgres.user,
      services.postgres.enabled,
    })
    assert.are.same(
      { "redis.example", 10000, true },
      { services.redis.serviceName, services.redis.port, services.redis.tlsEnabled }
    )
    local data = services.configs.workflow.workflow_data
    assert.are.equal("azure://stnvpaidevabcde/osmo-workflows", data.base_url)
    assert.are.equal("ClusterIP", release.values.gateway.envoy.service.type)
    -- No secret in what is kept, said or given as an argument.
    local found = { key }
    for _, text in pairs(passwords) do
      found[#found + 1] = text
    end
    secrecy.check({
      texts = found,
      bench = bench,
      talk = talk,
      cluster = c,
      said = said(r),
    })
    talk:check()

    talk:forget()
    c:forget()
    r = call("deploy", o)
    assert.are.equal(0, r.code, said(r))
    assert.are.same({}, helm_acts())
    assert.are.same({}, c:changed())
    assert.are.equal(2, #o.submitted)
    r = call("verify", o)
    assert.are.equal(0, r.code, said(r))

    -- Keys that were rotated are renewed, and nothing else is.
    passwords.storage_account_key = crypto.hex(16)
    passwords.redis_primary_key = crypto.hex(16)
    tell_passwords()
    r = call("deploy", o)
    assert.are.equal(0, r.code, said(r))
    assert.are.equal(3, #c:changed("osmo%-workflow"))
    assert.are.equal(1, #c:changed("redis%-secret"))
    assert.are.equal(4, #c:changed())
  end)

  osmo_it("leaves no key behind where the charts' repository can't be added", function(c, o)
    talk:set("helm-add-fails")
    local r = call("deploy", o)
    assert.are.equal(1, r.code)
    assert.is_truthy(said(r):find("not a valid chart repository", 1, true), said(r))
    secrecy.check({ texts = { key }, bench = bench, talk = talk, cluster = c, said = said(r) })
    fs.remove(talk.dir .. "/flags/helm-add-fails")
    assert.are.equal(0, call("deploy", o).code)
  end)

  osmo_it("makes no master key beside a database that is in use", function(c, o)
    c.said = "57\n"
    local r = call("deploy", o)
    assert.are.equal(1, r.code)
    assert.is_truthy(said(r):find("master key mek-config is gone", 1, true), said(r))
    assert.is_nil(c.objects[SERVICE .. "/configmaps/mek-config"])
    assert.are.same({ "upgrade kai-scheduler" }, helm_acts())
    -- With the key that was exported it goes on.
    local mek = "currentMek: key1\nmeks:\n  key1: " .. crypto.base64_encode(crypto.hex(16)) .. "\n"
    cluster.private(bench.dir .. "/mek.yaml", mek)
    r = call("deploy", o, "mek=mek.yaml")
    assert.are.equal(0, r.code, said(r))
    assert.are.equal(mek, c.objects[SERVICE .. "/configmaps/mek-config"].data["mek.yaml"])
  end)

  osmo_it("stops at once when the database does not answer", function(c, o)
    c.job_ends = "Failed"
    local r = call("deploy", o)
    assert.are.equal(1, r.code)
    assert.is_truthy(said(r):find("osmo-db-ops", 1, true), said(r))
    assert.is_nil(c.objects[SERVICE .. "/configmaps/mek-config"])
    assert.is_nil(c.objects[SERVICE .. "/secrets/osmo-db-ops"])
    c.job_ends, c.said = "Complete", "UNKNOWN"
    r = call("deploy", o)
    assert.are.equal(1, r.code)
    assert.is_truthy(said(r):find("the database said 'UNKNOWN'", 1, true), said(r))
    assert.is_nil(c.objects[SERVICE .. "/configmaps/mek-config"])
  end)

  osmo_it("refuses another cluster, missing outputs and a gate that is red", function(c, o)
    talk:instead(
      azure.answer(
        azure.questions("robots").aks,
        azure.aks({ fqdn = "other.example" }),
        "az aks show"
      )
    )
    local r = call("deploy", o)
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("red     cluster of the context", 1, true), r.stdout)
    table.remove(talk.answers, 1)
    talk:instead({
      argv = { "terraform", "~^%-chdir=/", "output", "-no-color" },
      stdout = names("redis_primary_key"),
      cite = "terraform output",
    })
    r = call("deploy", o)
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("missing: redis_primary_key", 1, true), r.stdout)
    table.remove(talk.answers, 1)
    talk:write()
    assert.are.same({}, c:changed())
    c:put("/api/v1/namespaces/osmo-minimal", { status = { phase = "Active" } })
    c:put(SERVICE .. "/services/osmo-gateway", { spec = { type = "LoadBalancer" } })
    r = call("deploy", o)
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("osmo-gateway: LoadBalancer", 1, true), r.stdout)
    assert.are.same({}, o.submitted)
  end)

  osmo_it("goes on after a kill, with the same secrets", function(c, o)
    local password
    for i, step in ipairs({ "database", "secrets", "service", "operator" }) do
      local id = ID .. i
      local argv = { "deploy", "osmo-azure", "subscription=robots", "context=aks-nvpai-dev" }
      table.move({
        "kubeconfig=" .. bench.root .. "/config",
        "url=" .. o.url,
        "--run-id",
        id,
      }, 1, 4, #argv + 1, argv)
      local r = bench:pai(argv, env({ PAI_TEST_KILL = "step.done:osmo-azure/" .. step }))
      assert.are.equal("SIGKILL", r.signal, step .. said(r))
      r = bench:pai({ "resume", id }, env())
      assert.are.equal(0, r.code, step .. said(r))
      local now = value(c, SERVICE .. "/secrets/default-admin-secret", "password")
      assert.are.equal(password or now, now)
      password = now
      fs.remove(talk.dir .. "/releases/osmo-minimal.json")
      fs.remove(talk.dir .. "/releases/osmo-operator.json")
    end
    assert.are.equal(1, #talk:calls("^helm upgrade kai"))
  end)

  osmo_it("teardown saves the key and leaves what is Azure's", function(c, o)
    assert.are.equal(0, call("deploy", o).code)
    local mek = c.objects[SERVICE .. "/configmaps/mek-config"].data["mek.yaml"]
    talk:forget()
    assert.are.equal(3, call("teardown", nil, "mek_out=mek.yaml").code)
    local r = call("teardown", nil, "mek_out=mek.yaml", "--yes")
    assert.are.equal(0, r.code, said(r))
    assert.are.equal(mek, fs.read(bench.dir .. "/mek.yaml"))
    for _, name in ipairs({ "osmo-minimal", "osmo-operator", "osmo-workflows" }) do
      assert.is_nil(c.objects["/api/v1/namespaces/" .. name])
    end
    assert.are.same({}, talk:calls("^terraform"))
    assert.are.same({}, talk:calls("^az"))
    talk:forget()
    c:forget()
    r = call("teardown", nil, "mek_out=mek.yaml", "--yes")
    assert.are.equal(0, r.code, said(r))
    assert.are.same({}, helm_acts())
    assert.are.same({}, c:changed())
  end)

  it("preflight asks no cluster and has a verdict for everything", function()
    tell()
    local function preflight(...)
      local argv = { "preflight", "osmo-azure", "--json", "subscription=robots", ... }
      local r = bench:pai(argv, env())
      return azure.by_name(r), r
    end
    local checks, r = preflight()
    assert.are.equal(0, r.code, r.stdout)
    assert.are.equal("warn", checks["outputs of cluster-azure"].state)
    assert.are.equal("ok", checks.NGC_API_KEY.state)
    for _, name in ipairs({ "kubectl", "git", "awk", "values", "master key" }) do
      assert.are.equal("skipped", checks[name].state, name)
    end
    bench:write("infra/cluster-azure/terraform.tfstate", "{}")
    assert.are.equal("ok", preflight()["outputs of cluster-azure"].state)
    talk:instead({
      argv = { "terraform", "~^%-chdir=/", "output", "-no-color" },
      stdout = names("pg_fqdn"),
      cite = "terraform output",
    })
    checks, r = preflight("values=" .. bench:write("v.yaml", "- a\n"), "mek=none")
    assert.are.equal(1, r.code)
    assert.are.equal("missing: pg_fqdn", checks["outputs of cluster-azure"].measured)
    assert.are.equal("red", checks.values.state)
    assert.are.equal("red", checks["master key"].state)
    local mek = bench:write("mek.yaml", "x")
    assert(fs.chmod(mek, "0644"))
    assert.are.equal("red", preflight("mek=mek.yaml")["master key"].state)
    talk:instead(
      azure.answer(
        { "provider", "list", "--subscription", "robots" },
        azure.providers({ ["Microsoft.Cache"] = "NotRegistered" }),
        "az provider list"
      )
    )
    assert.are.equal("red", preflight()["resource providers"].state)
    talk:check()
    key = nil
    for _, tool in ipairs({ "az", "terraform", "helm" }) do
      talk:remove(tool)
    end
    checks, r = preflight()
    assert.are.equal(1, r.code)
    for name, state in pairs({
      ["az version"] = "red",
      ["terraform version"] = "red",
      ["helm version"] = "red",
      ["Azure login"] = "red",
      NGC_API_KEY = "red",
      subscription = "unknown",
      ["resource providers"] = "unknown",
      ["outputs of cluster-azure"] = "unknown",
    }) do
      assert.are.equal(state, checks[name].state, name)
    end
  end)
end)
