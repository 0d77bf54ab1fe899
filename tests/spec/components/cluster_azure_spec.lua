-- cluster-azure deploy, verify and teardown, against a scripted az, terraform and helm, and a
-- cluster in memory. No provider is there: the stand-in has the outputs of the module. Shapes of
-- answers: Azure CLI reference; terraform plan, show -json, output and apply of terraform 1.11;
-- helm status and upgrade --output=json of helm 3.16.
local azure = assert(loadfile("tests/spec/components/azure.lua", "t", _ENV))()
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local support = dofile("tests/spec/run/support.lua")
local stand_in = dofile("tests/spec/components/stand_in.lua")
local secrecy = dofile("tests/spec/components/secrecy.lua")
local digest = require("pai.digest")
local fs = require("pai.fs")
local json = require("pai.json")
local serve = require("pai.serve")

local ID <const> = "run-0badcafe"
local DIGEST <const> = digest.sha256("the plan"):sub(1, 12)
local REST <const> = digest.sha256("the rest"):sub(1, 12)

describe("cluster-azure", function()
  local bench, talk

  before_each(function()
    bench = support.new()
    azure.install(bench, { "cluster-azure" })
    talk = stand_in.new(bench.root .. "/tools", { "az", "terraform", "helm" }, { "cat" })
  end)

  after_each(function()
    bench:remove()
  end)

  local function env(more)
    local all = { PATH = talk.path, HOME = bench.root .. "/home", KUBECONFIG = false }
    for k, v in pairs(more or {}) do
      all[k] = v
    end
    return { env = all, timeout = "120s" }
  end

  local function config()
    return bench.root .. "/home/.kube/config"
  end

  local function dir()
    return bench.dir .. "/infra/cluster-azure"
  end

  local OUTPUTS <const> = {
    resource_group = '"rg-nvpai-dev"',
    aks_name = '"aks-nvpai-dev"',
    location = '"eastus2"',
    pg_fqdn = '"psql.example"',
    pg_admin_user = '"postgres"',
    pg_admin_password = false,
    pg_database = '"osmo"',
    redis_hostname = '"redis.example"',
    redis_port = "10000",
    redis_primary_key = false,
    storage_account = '"stnvpaidevabcde"',
    storage_account_key = false,
    nfs_storage_account = '"stnfsnvpaidevabcde"',
    foundry_resource = '"ai-nvpai-dev"',
    foundry_project = '"nvpai-project"',
    foundry_endpoint = '"https://ai.example/"',
    key_vault_name = '"kv-nvpai-dev-abcde"',
    log_analytics_workspace_id = '"/subscriptions/x"',
    nat_ip = '"198.51.100.77"',
  }

  local function outputs(without)
    local lines = {}
    for name, value in pairs(OUTPUTS) do
      if name ~= without then
        lines[#lines + 1] = ("%s = %s"):format(name, value or "<sensitive>")
      end
    end
    return table.concat(lines, "\n") .. "\n"
  end

  local function changes(list)
    local out = json.array({})
    for i = 1, #list, 2 do
      local actions = {}
      for word in list[i]:gmatch("%S+") do
        actions[#actions + 1] = word
      end
      out[#out + 1] = { address = list[i + 1], change = { actions = json.array(actions) } }
    end
    return json.encode({ format_version = "1.2", resource_changes = out })
  end

  local CREATE <const> = {
    "create",
    "azurerm_resource_group.main",
    "create",
    "azurerm_kubernetes_cluster.main",
    "no-op",
    "random_string.suffix",
  }

  local function terraform(words, more)
    local argv = { "terraform", "~^%-chdir=/.*/infra/cluster%-azure$", table.unpack(words) }
    local answer = { argv = argv, cite = "terraform 1.11, " .. words[1] }
    for k, v in pairs(more or {}) do
      answer[k] = v
    end
    talk:tell(answer)
  end

  local function plan_of(text, more)
    local words = {
      "plan",
      "-input=false",
      "-no-color",
      "-detailed-exitcode",
      "~^%-out=",
      "~^%-var%-file=",
    }
    more.writes = { { after = "-out=", text = text } }
    if more.destroy then
      table.insert(words, 6, "-destroy")
      more.destroy = nil
    end
    terraform(words, more)
  end

  local function show_of(id, list)
    terraform({ "show", "-json", "~/plan%-" .. id .. "%.tfplan$" }, { stdout = changes(list) })
  end

  local function apply_of(id, more)
    local file = "~/plan%-" .. id .. "%.tfplan$"
    terraform({ "apply", "-input=false", "-no-color", file }, more)
  end

  -- Terraform, az and helm around a deployment that works.
  local function stack(c, create)
    azure.region(talk, "robots")
    azure.tell(talk, "robots")
    terraform({ "init", "-input=false", "-no-color" }, {
      writes = { { after = "-chdir=", path = "/.terraform.lock.hcl", text = "# locked\n" } },
    })
    plan_of("the plan", { code = 2, unless = "applied" })
    plan_of("nothing", { code = 0, when = "applied" })
    show_of(DIGEST, create or CREATE)
    show_of(digest.sha256("nothing"):sub(1, 12), { "no-op", "azurerm_resource_group.main" })
    apply_of(DIGEST, {
      sets = "applied",
      writes = { { after = "-chdir=", path = "/terraform.tfstate", text = "{}" } },
    })
    terraform({ "output", "-no-color" }, { stdout = outputs(), when = "applied" })
    for name, value in pairs(OUTPUTS) do
      if value then
        terraform({ "output", "-json", "-no-color", name }, { stdout = value, when = "applied" })
      end
    end
    azure.cluster(talk, c)
    cluster.private(config(), "apiVersion: v1\nkind: Config\ncurrent-context: other\n")
  end

  local BASE <const> = {
    "deploy",
    "cluster-azure",
    "subscription=robots",
    "allowed_cidr=203.0.113.4/32",
    "caller_ip=203.0.113.4",
  }

  local function deploy(...)
    local argv = table.move(BASE, 1, #BASE, 1, {})
    local more = { ... }
    table.move(more, 1, #more, #argv + 1, argv)
    return bench:pai(argv, env())
  end

  local function said(r)
    return r.stdout .. r.stderr
  end

  cluster.it("shows its plan and stops, then applies exactly that one", function(c)
    stack(c)
    local r = deploy()
    assert.are.equal(1, r.code, said(r))
    assert.is_truthy(r.stdout:find("create azurerm_kubernetes_cluster.main", 1, true), r.stdout)
    assert.is_truthy(r.stdout:find("create 2, update 0, replace 0, delete 0", 1, true))
    assert.is_truthy(r.stdout:find("approve=" .. DIGEST, 1, true))
    assert.are.equal(0, #talk:calls("^terraform %S+ apply"))
    -- A digest that was never shown is a new plan, and stops too.
    r = deploy("approve=" .. ("0"):rep(12))
    assert.are.equal(1, r.code)
    assert.are.equal(0, #talk:calls("^terraform %S+ apply"))
    r = deploy("approve=" .. DIGEST)
    assert.are.equal(0, r.code, said(r))
    assert.are.equal(1, #talk:calls("^terraform %S+ apply"))
    -- Neither the plan nor the state can be read by others; the plans are gone once it stands.
    assert.are.equal(448, fs.stat(dir()).mode & 511)
    assert.are.equal(384, fs.stat(dir() .. "/terraform.tfstate").mode & 511)
    assert.are.same({}, fs.glob(dir() .. "/plan-*"))
    assert.are.equal("*\n", fs.read(dir() .. "/.gitignore"))
    -- The credential went into the kubeconfig only.
    local written = assert(fs.read(config()))
    assert.is_truthy(written:find(c.token, 1, true))
    assert.is_truthy(written:find("current-context: other", 1, true), written)
    secrecy.check({ texts = { c.token }, bench = bench, talk = talk, cluster = c, said = said(r) })
    local class = c.objects["/apis/storage.k8s.io/v1/storageclasses/azurefile-nfs-premium"]
    assert.are.equal("stnfsnvpaidevabcde", class.parameters.storageAccount)
    local old = c.objects["/apis/storage.k8s.io/v1/storageclasses/default"]
    assert.are.equal(
      "false",
      old.metadata.annotations["storageclass.kubernetes.io/is-default-class"]
    )
    talk:check()
    for _, call in ipairs(talk:calls()) do
      assert.is_nil(call.text:find("account set", 1, true))
      assert.is_nil(call.text:find("configure", 1, true))
      assert.is_nil(call.text:find("auto-approve", 1, true))
    end
    -- Once more: nothing is changed.
    talk:forget()
    c:forget()
    r = deploy()
    assert.are.equal(0, r.code, said(r))
    assert.are.equal(0, #talk:calls("^terraform %S+ apply"))
    assert.are.equal(0, #talk:calls("^terraform %S+ init"))
    assert.are.equal(0, #talk:calls("get%-credentials"))
    assert.are.equal(0, #talk:calls("^helm upgrade"))
    assert.are.same({}, c:changed())
    talk:check()
  end)

  local function vars_of(call)
    return assert(json.decode(assert(fs.read(call.text:match("%-var%-file=(%S+)")))))
  end

  cluster.it("adds networks to those of the cluster and takes nobody's away", function(c)
    stack(c)
    talk:set("applied")
    assert.are.equal(0, deploy("drop_cidr=192.0.2.0/24").code)
    local argv = table.move(BASE, 1, #BASE, 1, {})
    argv[4] = "allowed_cidr=203.0.113.4/32,198.51.100.9/32"
    assert.are.equal(0, bench:pai(argv, env()).code)
    local calls = talk:calls("^terraform %S+ plan")
    assert.are.same({ "203.0.113.4/32" }, vars_of(calls[1]).allowed_cidr)
    -- What the cluster has comes first, without the address of its own NAT gateway.
    assert.are.same(
      { "203.0.113.4/32", "192.0.2.0/24", "198.51.100.9/32" },
      vars_of(calls[2]).allowed_cidr
    )
    local vars = vars_of(calls[2])
    assert.are.equal(azure.SUBSCRIPTION, vars.subscription_id)
    assert.are.same({ project = "nvpai", ["managed-by"] = "terraform" }, vars.tags)
    assert.are.equal(4, vars.gpu_max)
  end)

  cluster.it("does not lose data unless that is asked for by name", function(c)
    stack(c, {
      "delete create",
      "azurerm_postgresql_flexible_server.main",
      "update",
      "azurerm_network_security_group.aks",
    })
    deploy()
    local r = deploy("approve=" .. DIGEST)
    assert.are.equal(1, r.code)
    assert.is_truthy(
      r.stdout:find("replace azurerm_postgresql_flexible_server.main", 1, true),
      r.stdout
    )
    assert.is_truthy(r.stdout:find("destroy_data=true", 1, true))
    assert.are.equal(0, #talk:calls("^terraform %S+ apply"))
    r = deploy("approve=" .. DIGEST, "destroy_data=true")
    assert.are.equal(0, r.code, said(r))
  end)

  cluster.it("does not begin while preflight is red", function(c)
    stack(c)
    talk:set("logged-out")
    local r = deploy()
    assert.are.equal(1, r.code)
    for _, call in ipairs(talk:calls("^terraform")) do
      assert.are.equal("terraform version -json", call.text)
    end
    assert.is_false(fs.exists(dir()))
  end)

  cluster.it("goes on after a kill, and applies once", function(c)
    stack(c)
    deploy()
    for _, name in ipairs({
      "plan",
      "apply",
      "kubeconfig",
      "gpu-operator",
    }) do
      -- What is done already would not start again.
      local argv = table.move(BASE, 1, #BASE, 1, {})
      table.move({ "approve=" .. DIGEST, "--run-id", ID .. name }, 1, 3, #argv + 1, argv)
      local r = bench:pai(argv, env({ PAI_TEST_KILL = "step.done:cluster-azure/" .. name }))
      assert.are.equal("KILL", ((r.signal or ""):gsub("^SIG", "")), name .. said(r))
      r = bench:pai({ "resume", ID .. name }, env())
      assert.are.equal(0, r.code, name .. said(r))
      assert.are.equal(1, #talk:calls("^terraform %S+ apply"), name)
      -- Back to before it was applied.
      talk:forget()
      for _, flag in ipairs({ "applied", "operator" }) do
        fs.remove(talk.dir .. "/flags/" .. flag)
      end
      fs.remove(config())
      fs.remove(dir(), { recursive = true })
      c:drop("/apis/storage.k8s.io/v1/storageclasses/azurefile-nfs-premium")
      deploy()
      talk:forget()
    end
  end)

  -- Killed in the middle of an apply: the state changed, the plan is stale.
  local function half(c, rest)
    stack(c)
    deploy()
    talk:instead({
      argv = { "terraform", "~^%-chdir=", "apply", "-input=false", "-no-color", "~" .. DIGEST },
      stderr = "\nError: Saved plan is stale\n\nThe given plan file can no longer be applied.\n",
      code = 1,
      cite = "terraform apply of a plan that is stale",
    })
    plan_of("the rest", { code = 2 })
    table.insert(talk.answers, 1, table.remove(talk.answers))
    talk:write()
    show_of(REST, rest)
    apply_of(REST, { sets = "applied" })
  end

  cluster.it("goes on with what is left of an approved plan", function(c)
    half(c, { "delete create", "azurerm_kubernetes_cluster.main" })
    fs.remove(dir() .. "/.terraform", { recursive = true })
    local before = #talk:calls("^terraform %S+ plan")
    local r = deploy("approve=" .. DIGEST)
    assert.are.equal(0, r.code, said(r))
    assert.are.equal(before + 1, #talk:calls("^terraform %S+ plan"))
    assert.are.equal(2, #talk:calls("^terraform %S+ apply"))
  end)

  cluster.it("asks again when more is left than was approved", function(c)
    half(c, { "create", "azurerm_key_vault.other" })
    local r = deploy("approve=" .. DIGEST)
    assert.are.equal(1, r.code)
    assert.is_truthy(said(r):find("not part of the approved plan", 1, true), said(r))
    assert.is_truthy(said(r):find("create azurerm_key_vault.other", 1, true))
    assert.are.equal(1, #talk:calls("^terraform %S+ apply"))
  end)

  cluster.it("does not apply a file that is not the one that was shown", function(c)
    stack(c)
    deploy()
    assert(fs.write(dir() .. "/plan-" .. DIGEST .. ".tfplan", "another plan"))
    talk:instead({
      argv = { "terraform", "~^%-chdir=", "plan", "..." },
      code = 2,
      writes = { { after = "-out=", text = "the rest" } },
      cite = "terraform plan -detailed-exitcode",
    })
    show_of(REST, CREATE)
    local r = deploy("approve=" .. DIGEST)
    assert.are.equal(1, r.code)
    assert.are.equal(0, #talk:calls("^terraform %S+ apply"))
  end)

  cluster.it("says what terraform said when an apply fails", function(c)
    stack(c)
    talk:instead({
      argv = { "terraform", "~^%-chdir=", "apply", "..." },
      stderr = "\nError: creating Redis: AllocationFailed: no capacity\n",
      code = 1,
      cite = "terraform apply",
    })
    deploy()
    local r = deploy("approve=" .. DIGEST)
    assert.are.equal(1, r.code)
    assert.is_truthy(said(r):find("AllocationFailed", 1, true), said(r))
  end)

  cluster.it("is red when an output is missing", function(c)
    stack(c)
    talk:instead({
      argv = { "terraform", "~^%-chdir=", "output", "-no-color" },
      stdout = outputs("pg_admin_password"),
      cite = "terraform output",
    })
    deploy()
    local r = deploy("approve=" .. DIGEST)
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("missing: pg_admin_password", 1, true), r.stdout)
  end)

  cluster.it("takes an install of the operator away that was killed", function(c)
    stack(c)
    talk:instead({
      argv = { "helm", "status", "gpu-operator", "..." },
      stdout = [[{"name":"gpu-operator","namespace":"gpu-operator","version":1,
        "info":{"status":"pending-install"},
        "chart":{"metadata":{"name":"gpu-operator","version":"v25.10.1"}}}]],
      unless = "cleared",
      cite = "helm status --output=json",
    })
    talk:tell({
      argv = { "helm", "uninstall", "gpu-operator", "--wait", "..." },
      sets = "cleared",
      cite = "helm uninstall --wait",
    })
    deploy()
    local r = deploy("approve=" .. DIGEST)
    assert.are.equal(0, r.code, said(r))
    assert.are.equal(1, #talk:calls("^helm uninstall"))
  end)

  cluster.it("does not take a context that leads to another cluster", function(c)
    stack(c)
    local other = c:kubeconfig("aks-nvpai-dev"):gsub("127%.0%.0%.1", "localhost")
    cluster.private(config(), other)
    deploy()
    local r = deploy("approve=" .. DIGEST)
    assert.are.equal(1, r.code)
    assert.is_truthy(said(r):find("leads to another cluster that answers", 1, true), said(r))
    assert.are.equal(other, fs.read(config()))
  end)

  describe("verify", function()
    local function containers(names)
      local list = json.array({})
      for i, name in ipairs(names) do
        list[i] = { name = name }
      end
      return azure.answer({
        "storage",
        "container",
        "list",
        "--account-name",
        "stnvpaidevabcde",
        "--auth-mode",
        "login",
        "--subscription",
        "robots",
      }, list, "az storage container list")
    end

    local function ready(c)
      stack(c)
      talk:tell(containers({ "osmo", "datasets", "osmo-workflows" }))
      deploy()
      assert.are.equal(0, deploy("approve=" .. DIGEST).code)
    end

    local function verify(...)
      local argv = { "verify", "cluster-azure", "--json", "subscription=robots", ... }
      local r = bench:pai(argv, env())
      return azure.by_name(r), r
    end

    cluster.it("is green for what deploy made, and red for what is amiss", function(c)
      ready(c)
      local function releases(version)
        talk:instead({
          argv = { "helm", "list", "--kube-context", "..." },
          stdout = json.encode(json.array({
            {
              name = "gpu-operator",
              namespace = "gpu-operator",
              revision = "1",
              status = "deployed",
              chart = "gpu-operator-" .. version,
            },
          })),
          cite = "helm list --output=json",
        })
      end
      releases("v25.10.1")
      local address = "203.0.113.4"
      local server = assert(serve.listen({
        handler = function()
          return { body = address .. "\n" }
        end,
      }))
      local ip = "ip_service=http://127.0.0.1:" .. server:port() .. "/ip"
      local checks, r = verify(ip)
      assert.are.equal(0, r.code, r.stdout)
      assert.are.equal("203.0.113.4, in 203.0.113.4/32", checks["your address"].measured)
      local chart = "version of gpu-operator"
      assert.are.equal("ok", checks[chart].state)
      releases("v25.10.0")
      checks, r = verify(ip)
      assert.are.equal(0, r.code, r.stdout)
      assert.are.equal("warn", checks[chart].state)
      assert.are.equal("v25.10.0, as gpu-operator in gpu-operator", checks[chart].measured)
      -- 203.0.113.40 begins like an address that is in; it is not in.
      address = "203.0.113.40"
      checks = verify(ip)
      assert.are.equal("red", checks["your address"].state)
      server:close()
      checks = verify("caller_ip=203.0.113.4", "system_vm_size=Standard_D32ds_v5")
      assert.are.equal("red", checks["system pool"].state)
      talk:instead(containers({ "osmo" }))
      checks = verify("caller_ip=203.0.113.4")
      assert.are.equal("missing: datasets, osmo-workflows", checks.containers.measured)
      talk:instead({
        argv = { "az", "storage", "container", "list", "..." },
        stderr = "ERROR: The request may be blocked by network rules of storage account.\n",
        code = 1,
        cite = "az storage container list, refused",
      })
      assert.are.equal("red", verify("caller_ip=203.0.113.4").containers.state)
      local free = c.objects["/api/v1/nodes/gpu1"].status.allocatable
      free["nvidia.com/gpu"] = "0"
      checks = verify("caller_ip=203.0.113.4")
      assert.are.equal("red", checks.GPUs.state)
    end)

    cluster.it("is red when there is no cluster", function(c)
      stack(c)
      local checks, r = verify("caller_ip=203.0.113.4")
      assert.are.equal(1, r.code)
      assert.is_truthy(checks["your address"].measured:find("no cluster aks-nvpai-dev", 1, true))
    end)
  end)

  describe("teardown", function()
    local GONE <const> = digest.sha256("destroy"):sub(1, 12)

    local function ready(c)
      stack(c)
      terraform({ "state", "list" }, {
        stdout = "azurerm_resource_group.main\n",
        when = "applied",
      })
      terraform({ "state", "list" }, {
        stderr = "\nNo state file was found!\n",
        code = 1,
      })
      plan_of("destroy", { code = 2, destroy = true })
      show_of(GONE, { "delete", "azurerm_resource_group.main" })
      apply_of(GONE, { clears = "applied" })
      talk:tell(azure.answer({
        "resource",
        "list",
        "--resource-group",
        "rg-nvpai-dev",
        "--subscription",
        "robots",
      }, json.array({}), "az resource list"))
      deploy()
      assert.are.equal(0, deploy("approve=" .. DIGEST).code)
      talk:forget()
    end

    local function teardown(...)
      return bench:pai({ "teardown", "cluster-azure", "subscription=robots", ... }, env())
    end

    cluster.it("asks twice before data goes, and leaves nothing", function(c)
      ready(c)
      local r = teardown()
      assert.are.equal(3, r.code)
      r = teardown("--yes")
      assert.are.equal(1, r.code)
      assert.is_truthy(r.stdout:find("delete azurerm_resource_group.main", 1, true), r.stdout)
      assert.are.equal(0, #talk:calls("^terraform %S+ apply"))
      assert.is_truthy(fs.read(config()):find(c.token, 1, true))
      r = teardown("--yes", "destroy_data=true")
      assert.are.equal(0, r.code, said(r))
      assert.are.equal(1, #talk:calls("^terraform %S+ apply"))
      assert.is_nil(fs.read(config()):find(c.token, 1, true))
      -- Once more: there is nothing.
      talk:forget()
      r = teardown("--yes", "destroy_data=true")
      assert.are.equal(0, r.code, said(r))
      assert.are.equal(0, #talk:calls("^terraform %S+ apply"))
      talk:check()
    end)

    cluster.it("is red when something that costs money is left", function(c)
      ready(c)
      talk:instead({
        argv = { "az", "resource", "list", "..." },
        stdout = '[{"name":"disk-left-behind"}]',
        cite = "az resource list",
      })
      local r = teardown("--yes", "destroy_data=true")
      assert.are.equal(1, r.code)
      assert.is_truthy(r.stdout:find("disk-left-behind", 1, true), r.stdout)
    end)

    cluster.it("goes on after a kill", function(c)
      ready(c)
      local argv = {
        "teardown",
        "cluster-azure",
        "subscription=robots",
        "destroy_data=true",
        "--yes",
        "--run-id",
        ID,
      }
      local r = bench:pai(argv, env({ PAI_TEST_KILL = "step.done:cluster-azure/context" }))
      assert.are_not.equal(0, r.code)
      r = bench:pai({ "resume", ID }, env())
      assert.are.equal(0, r.code, said(r))
      assert.are.equal(1, #talk:calls("^terraform %S+ apply"))
    end)
  end)
end)
