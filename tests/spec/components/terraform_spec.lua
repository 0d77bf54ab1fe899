-- cluster-azure with a real Terraform. Its providers can't be had here: the module is held to
-- Terraform's own formatter and parser, its variables to Terraform's validation, and a stand-in
-- with the same variables and outputs, and no provider, drives the component and who reads it.
local azure = assert(loadfile("tests/spec/components/azure.lua", "t", _ENV))()
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local support = dofile("tests/spec/run/support.lua")
local stand_in = dofile("tests/spec/components/stand_in.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")

local MODULE <const> = pai.root .. "/components/cluster-azure/terraform"
local ENV <const> = { CHECKPOINT_DISABLE = "1", TF_IN_AUTOMATION = "1" }

local MISSING <const> = "no terraform is here, and no package source has it"

local function program()
  for dir in os.getenv("PATH"):gmatch("[^:]+") do
    if fs.exists(dir .. "/terraform") then
      return dir .. "/terraform"
    end
  end
end

local function terraform(dir, ...)
  local env = { HOME = dir }
  for key, value in pairs(ENV) do
    env[key] = value
  end
  return assert(exec.run({ program(), "-chdir=" .. dir, ... }, {
    accept = "any",
    env = env,
    timeout = "60s",
  }))
end

local function write(dir, name, text)
  assert(fs.write(dir .. "/" .. name, text))
end

-- Values of the stand-in by output; others are text.
local VALUES <const> = {
  resource_group = '"rg-${var.resource_prefix}-${var.environment}"',
  aks_name = '"aks-${var.resource_prefix}-${var.environment}"',
  location = "var.location",
  redis_port = "10000",
  pg_admin_password = "terraform_data.secret.output",
}

-- The module's own variables and the names and marks of its outputs, without a provider.
local function standing_in(into, secret)
  assert(fs.mkdir(into, { parents = true }))
  write(into, "variables.tf", assert(fs.read(MODULE .. "/variables.tf")))
  write(into, "versions.tf", 'terraform {\n  required_version = ">= 1.9.8, < 2.0.0"\n}\n')
  write(
    into,
    "main.tf",
    'resource "terraform_data" "cluster" {\n  input = [var.allowed_cidr, var.gpu_max]\n}\n\n'
      .. ('resource "terraform_data" "secret" {\n  input = "%s"\n}\n'):format(secret)
  )
  local outputs, n = {}, 0
  local text = assert(fs.read(MODULE .. "/outputs.tf"))
  for name, body in text:gmatch('output "([%w_]+)" (%b{})') do
    local sensitive = body:find("sensitive%s*=%s*true") and "  sensitive = true\n" or ""
    local value = VALUES[name] or ('"%s of the stand-in"'):format(name)
    outputs[#outputs + 1] = ('output "%s" {\n  value = %s\n%s}\n'):format(name, value, sensitive)
    n = n + 1
  end
  write(into, "outputs.tf", table.concat(outputs, "\n"))
  return n
end

describe("cluster-azure and a real terraform", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  -- A test that Terraform is needed for.
  local function it_needs(title, fn)
    if program() then
      cluster.it(title, fn)
    else
      it(title, function()
        pending(MISSING)
      end)
    end
  end

  it_needs("finds the module well formed", function()
    local r = terraform(MODULE, "fmt", "-check", "-diff")
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    local copy = bench.root .. "/copy"
    assert(fs.mkdir(copy))
    write(copy, "aks.tf", (assert(fs.read(MODULE .. "/aks.tf")):gsub("%}%s*$", "")))
    r = terraform(copy, "fmt", "-check")
    assert.are_not.equal(0, r.code)
    assert.is_truthy(r.stderr:find("aks.tf", 1, true), r.stderr)
  end)

  it_needs("refuses inputs that can't work, as the component does before it", function()
    local dir = bench.root .. "/standing-in"
    assert.are.equal(19, standing_in(dir, "x"))
    assert.are.equal(0, terraform(dir, "init", "-input=false").code)
    local r = terraform(dir, "validate", "-json")
    assert.is_true(json.decode(r.stdout).valid, r.stdout)
    local id = "00000000-0000-4000-8000-000000000000"
    local function plan(vars)
      local all = { subscription_id = id, allowed_cidr = { "203.0.113.4/32" } }
      for key, value in pairs(vars) do
        all[key] = value
      end
      write(dir, "v.json", json.encode(all))
      return terraform(dir, "plan", "-input=false", "-no-color", "-var-file=" .. dir .. "/v.json")
    end
    r = plan({})
    assert.are.equal(0, r.code, r.stderr)
    for _, case in ipairs({
      { { subscription_id = "robots" }, "must be the id of a subscription" },
      { { allowed_cidr = json.array({}) }, "at least one CIDR" },
      { { allowed_cidr = { "203.0.113.4/32", "0.0.0.0/0" } }, "to everybody" },
      { { allowed_cidr = { "garbage" } }, "at least one CIDR" },
      { { resource_prefix = "with blanks" }, "lower%-case letters and digits" },
      { { resource_prefix = "averylongprefix" }, "at most 14" },
      { { environment = "mine" }, "dev, staging or prod" },
      { { vnet_address_space = "10.0.0.0/24" }, "holds five /20" },
      { { gpu_priority = "Cheap" }, "Regular or Spot" },
      { { gpu_min = 5, gpu_max = 4 }, "at least gpu_min" },
    }) do
      r = plan(case[1])
      assert.are.equal(1, r.code, case[2])
      assert.is_truthy((r.stderr:gsub("%s+", " ")):find(case[2]), r.stderr)
    end
  end)

  it_needs("is planned, approved, applied, read, repeated and destroyed", function(c)
    azure.install(bench, { "cluster-azure", "osmo-azure" })
    local module = bench.dir .. "/components/cluster-azure/terraform"
    fs.remove(module, { recursive = true })
    local secret = "pg-" .. require("pai.crypto").hex(12)
    standing_in(module, secret)
    local talk = stand_in.new(bench.root .. "/tools", { "az", "helm" }, { "cat", "terraform" })
    azure.region(talk, "robots")
    azure.tell(talk, "robots")
    azure.cluster(talk, c)
    talk:set("applied") -- az knows a cluster, and the networks that it lets in
    talk:tell(azure.answer({
      "resource",
      "list",
      "--resource-group",
      "rg-nvpai-dev",
      "--subscription",
      "robots",
    }, json.array({}), "az resource list"))
    cluster.private(bench.root .. "/home/.kube/config", "apiVersion: v1\nkind: Config\n")
    local env = { PATH = talk.path, HOME = bench.root .. "/home" }
    for _, name in ipairs({ "KUBECONFIG", "TF_CLI_CONFIG_FILE", "AWS_CA_BUNDLE", "NGC_API_KEY" }) do
      env[name] = false
    end
    local function act(action, component, ...)
      local argv = { action, component, "subscription=robots", ... }
      local r = bench:pai(argv, { env = env, timeout = "120s" })
      assert.is_nil((r.stdout .. r.stderr):find(secret, 1, true))
      return r, r.stdout .. r.stderr
    end
    local function deploy(...)
      return act(
        "deploy",
        "cluster-azure",
        "allowed_cidr=203.0.113.4/32",
        "caller_ip=203.0.113.4",
        ...
      )
    end

    local r, said = deploy()
    assert.are.equal(1, r.code, said)
    assert.is_truthy(said:find("create terraform_data.cluster", 1, true), said)
    local digest = said:match("approve=(%x+)")
    assert.is_truthy(digest, said)
    r, said = deploy("approve=" .. digest)
    assert.are.equal(0, r.code, said)
    local dir = bench.dir .. "/infra/cluster-azure"
    assert.are.equal(0, fs.stat(dir .. "/terraform.tfstate").mode & 63)
    -- The readers of its outputs: names and marks, plain values, handles.
    local checks = azure.by_name(act("preflight", "osmo-azure", "--json"))
    assert.are.equal("all there", checks["outputs of cluster-azure"].measured)
    bench:recipe(
      "read",
      [[safety = "observes", needs = { bins = { "terraform" } },
        steps = { { name = "read", run = function(ctx)
          local names = { "resource_group", "redis_port", "pg_admin_password" }
          local out = ctx.tools.terraform.outputs("infra/cluster-azure", names)
          return { group = out.resource_group, port = out.redis_port,
            password = type(out.pg_admin_password) .. " " .. tostring(out.pg_admin_password) }
        end } }]]
    )
    local events = bench:run({ "./read.lua" }, { env = env })
    assert.are.same(
      { group = "rg-nvpai-dev", port = 10000, password = "userdata ***" },
      support.pick(events, "step.done")[1].result
    )
    -- Again: nothing to do. Then another network: one update, which waits for its approval.
    r, said = deploy()
    assert.are.equal(0, r.code, said)
    assert.is_truthy(said:find("nothing to do", 1, true), said)
    r, said = deploy("gpu_max=6")
    assert.are.equal(1, r.code)
    assert.is_truthy(said:find("create 0, update 1, replace 0, delete 0", 1, true), said)
    r, said = act("teardown", "cluster-azure", "--yes")
    assert.are.equal(0, r.code, said)
    assert.is_truthy(said:find("delete terraform_data.cluster", 1, true), said)
    local left = terraform(dir, "state", "list")
    assert.are.equal("", left.stdout)
    talk:check()
  end)
end)
