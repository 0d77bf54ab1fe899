-- cluster-azure preflight: every check, green and red. Shapes of answers: the Azure CLI reference
-- of each command; terraform version -json as terraform 1.11.4 prints it.
local azure = dofile("tests/spec/components/azure.lua")
local support = dofile("tests/spec/run/support.lua")
local stand_in = dofile("tests/spec/components/stand_in.lua")
local json = require("pai.json")

local q = azure.questions("robots")

describe("cluster-azure preflight", function()
  local bench, talk

  before_each(function()
    bench = support.new()
    azure.install(bench, { "cluster-azure" })
    talk = stand_in.new(bench.root .. "/tools", { "az", "terraform", "helm" })
  end)

  after_each(function()
    bench:remove()
  end)

  local function preflight(inputs)
    local all = {
      subscription = "robots",
      allowed_cidr = "203.0.113.4/32",
      caller_ip = "203.0.113.4",
    }
    for k, v in pairs(inputs or {}) do
      all[k] = v
    end
    local argv = { "preflight", "cluster-azure", "--json" }
    for k, v in pairs(all) do
      if v then
        argv[#argv + 1] = k .. "=" .. v
      end
    end
    local r = bench:pai(argv, { env = { PATH = talk.path } })
    return azure.by_name(r), r
  end

  local function tell()
    azure.region(talk, "robots")
    azure.tell(talk, "robots")
  end

  it("is green, with each question asked once", function()
    tell()
    local checks, r = preflight()
    assert.are.equal(0, r.code, r.stdout)
    for name, check in pairs(checks) do
      local fine = check.state == "ok" or check.state == "skipped"
      assert.is_true(fine or name == "Redis capacity", name .. ": " .. tostring(check.measured))
    end
    for _, name in ipairs({ "kubectl", "helmfile", "envsubst", "curl", "awk" }) do
      assert.are.equal("skipped", checks[name].state)
    end
    assert.is_truthy(checks.quota.measured:find("StandardNCadsH100v5Family: 160 needed", 1, true))
    assert.is_truthy(checks.quota.measured:find("the region: 256 needed, 290 free of 300", 1, true))
    talk:check()
    local seen = {}
    for _, call in ipairs(talk:calls("^az ")) do
      assert.is_nil(seen[call.text], call.text)
      seen[call.text] = true
    end
  end)

  it("has a verdict for each check without any tool", function()
    local names = {}
    tell()
    for name in pairs((preflight())) do
      names[name] = true
    end
    for _, tool in ipairs({ "az", "terraform", "helm" }) do
      talk:remove(tool)
    end
    local checks, r = preflight()
    assert.are.equal(1, r.code)
    for name in pairs(names) do
      assert.is_truthy(checks[name], name .. " has no verdict")
    end
    for _, name in ipairs({ "az version", "terraform version", "helm version", "Azure login" }) do
      assert.are.equal("red", checks[name].state)
    end
    for _, name in ipairs({ "subscription", "quota", "region", "Kubernetes on AKS" }) do
      assert.are.equal("unknown", checks[name].state)
    end
  end)

  it("names each missing fact when nobody is logged in, and calls no Terraform", function()
    tell()
    talk:set("logged-out")
    local checks, r = preflight({ subscription = false })
    assert.are.equal(1, r.code)
    assert.are.equal("red", checks["Azure login"].state)
    assert.are.equal("unknown", checks.subscription.state)
    assert.are.equal("unknown", checks.quota.state)
    for _, call in ipairs(talk:calls("^terraform")) do
      assert.are.equal("terraform version -json", call.text)
    end
  end)

  -- what: inputs, answer that comes first, check, state, part of measured or hint
  local RED <const> = {
    ["an old terraform"] = {
      {},
      {
        argv = { "terraform", "version", "-json" },
        stdout = '{"terraform_version": "1.9.7"}',
        cite = "terraform version -json",
      },
      "terraform version",
      "red",
      "1.9.7",
    },
    ["a terraform that is too new"] = {
      {},
      {
        argv = { "terraform", "version", "-json" },
        stdout = '{"terraform_version": "2.0.0"}',
        cite = "terraform version -json",
      },
      "terraform version",
      "red",
      "2.0.0",
    },
    ["an old helm"] = {
      {},
      { argv = { "helm", "version", "--short" }, stdout = "v2.17.0", cite = "helm version" },
      "helm version",
      "red",
      "2.17.0",
    },
    ["no network"] = { { allowed_cidr = false }, nil, "allowed_cidr", "red", "none" },
    ["an empty list of networks"] = { { allowed_cidr = "" }, nil, "allowed_cidr", "red", "none" },
    ["garbage among networks"] = {
      { allowed_cidr = "203.0.113.4/32,garbage" },
      nil,
      "allowed_cidr",
      "red",
      "'garbage' is no IPv4 network",
    },
    ["a placeholder for a network"] = {
      { allowed_cidr = "YOUR_IP/32" },
      nil,
      "allowed_cidr",
      "red",
      "no IPv4 network",
    },
    ["everybody, in second place"] = {
      { allowed_cidr = "203.0.113.4/32,0.0.0.0/0" },
      nil,
      "allowed_cidr",
      "red",
      "everybody",
    },
    ["a private network"] = {
      { allowed_cidr = "203.0.113.4/32,10.1.0.0/16" },
      nil,
      "allowed_cidr",
      "red",
      "not on the Internet",
    },
    ["a network of two"] = {
      { allowed_cidr = "203.0.113.4/31" },
      nil,
      "allowed_cidr",
      "red",
      "/31",
    },
    ["bits beyond the prefix"] = {
      { allowed_cidr = "203.0.113.4/24" },
      nil,
      "allowed_cidr",
      "red",
      "203.0.113.0/24",
    },
    ["an address that looks like one that is in"] = {
      { allowed_cidr = "203.0.113.40/32" },
      nil,
      "your address",
      "red",
      "203.0.113.4",
    },
    ["an address that is to be taken away"] = {
      { drop_cidr = "203.0.113.4" },
      nil,
      "your address",
      "red",
      "203.0.113.4",
    },
    ["garbage that is to be taken away"] = {
      { drop_cidr = "garbage" },
      nil,
      "your address",
      "unknown",
      "'garbage' is no IPv4 network",
    },
    ["an address that nobody says"] = {
      { caller_ip = false, ip_service = "http://127.0.0.1:1/ip" },
      nil,
      "your address",
      "unknown",
      "not known",
    },
    ["long names"] = {
      { resource_prefix = "robotsrobot", environment = "prod" },
      nil,
      "names",
      "red",
      "15",
    },
    ["names that storage refuses"] = {
      { resource_prefix = "nv-pai" },
      nil,
      "names",
      "red",
      "nv-pai",
    },
    ["a network of the services"] = {
      { vnet_address_space = "192.168.0.0/17" },
      nil,
      "vnet_address_space",
      "red",
      "overlaps",
    },
    ["a network that is too small"] = {
      { vnet_address_space = "10.0.0.0/18" },
      nil,
      "vnet_address_space",
      "red",
      "five /20",
    },
    ["no network at all"] = {
      { vnet_address_space = "10.0.0" },
      nil,
      "vnet_address_space",
      "red",
      "no IPv4 network",
    },
    ["Spot without tolerations"] = {
      { gpu_priority = "Spot" },
      nil,
      "GPU pool",
      "red",
      "Pending",
    },
    ["a pool upside down"] = { { gpu_min = "5" }, nil, "GPU pool", "red", "5 to 4" },
    ["a GPU Operator that is too old for Kubernetes"] = {
      { gpu_operator_version = "v25.10.0" },
      nil,
      "GPU Operator",
      "red",
      "v25.10.0 on 1.33",
    },
    ["a Redis of which the region often has none"] = {
      { redis_sku = "Balanced_B1" },
      nil,
      "Redis capacity",
      "warn",
      "Balanced_B1 in eastus2",
    },
    ["a tag that is none"] = { { tags = "robots" }, nil, "tags", "red", "NAME=VALUE" },
    ["a version with long-term support only"] = {
      { kubernetes_version = "1.31" },
      nil,
      "Kubernetes on AKS",
      "red",
      "long-term",
    },
    ["a version that is not offered"] = {
      { kubernetes_version = "1.29" },
      nil,
      "Kubernetes on AKS",
      "red",
      "there are: 1.31, 1.33",
    },
    ["a size that is not offered"] = {
      {},
      azure.answer(q.gpu, json.array({}), "az vm list-skus"),
      "size of the gpu pool",
      "red",
      "not offered in eastus2",
    },
    ["a size that is not for this subscription"] = {
      {},
      azure.answer(q.gpu, {
        azure.sku(azure.GPU_SIZE, "StandardNCadsH100v5Family", 40, 1, {
          { type = "Location", reasonCode = "NotAvailableForSubscription" },
        }),
      }, "az vm list-skus"),
      "size of the gpu pool",
      "red",
      "NotAvailableForSubscription",
    },
    ["too little of a family"] = {
      {},
      azure.answer(
        q.usage,
        azure.usage({
          standardDDSv5Family = { 0, 100 },
          standardNCadsH100v5Family = { 8, 160 },
          cores = { 0, 999 },
        }),
        "az vm list-usage"
      ),
      "quota",
      "red",
      "160 needed, 152 free of 160",
    },
    ["a family that is only alike"] = {
      {},
      azure.answer(
        q.usage,
        azure.usage({
          standardDDSv5Family = { 0, 100 },
          standardNCadsH100v5FamilyX = { 0, 999 },
          cores = { 0, 999 },
        }),
        "az vm list-usage"
      ),
      "quota",
      "red",
      "no such quota",
    },
    ["too little in the region"] = {
      {},
      azure.answer(
        q.usage,
        azure.usage({
          standardDDSv5Family = { 0, 100 },
          standardNCadsH100v5Family = { 0, 160 },
          cores = { 100, 300 },
        }),
        "az vm list-usage"
      ),
      "quota",
      "red",
      "256 needed, 200 free of 300",
    },
    ["room to begin with"] = {
      {},
      azure.answer(
        q.usage,
        azure.usage({
          standardDDSv5Family = { 0, 60 },
          standardNCadsH100v5Family = { 0, 160 },
          cores = { 0, 999 },
        }),
        "az vm list-usage"
      ),
      "quota",
      "warn",
      "96 needed, 60 free of 60, 48 to begin with",
    },
    ["too little for Spot"] = {
      { gpu_priority = "Spot", spot_tolerated = "true" },
      azure.answer(
        q.usage,
        azure.usage({
          standardDDSv5Family = { 0, 100 },
          cores = { 0, 96 },
          lowPriorityCores = { 0, 80 },
        }),
        "az vm list-usage"
      ),
      "quota",
      "red",
      "Spot vCPUs of the region: 160 needed, 80 free",
    },
    ["services that do not fit together"] = {
      { gpu_requests = "1,1,1,1,1" },
      nil,
      "GPUs for the services",
      "red",
      "4 GPUs in all",
    },
    ["a service that fits on no node"] = {
      { gpu_requests = "2" },
      nil,
      "GPUs for the services",
      "red",
      "1 on one node",
    },
    ["a quota that can't be asked"] = {
      {},
      azure.refusal(q.usage, "(AuthorizationFailed) no", "error texts of Azure Resource Manager"),
      "quota",
      "unknown",
      "AuthorizationFailed",
    },
  }

  for what, case in pairs(RED) do
    it("sees " .. what, function()
      if case[2] then
        talk:tell(case[2])
      end
      tell()
      local checks, r = preflight(case[1])
      local check = checks[case[3]]
      assert.are.equal(case[4], check.state, check.measured)
      assert.is_truthy(check.measured:find(case[5], 1, true), check.measured)
      assert.are.equal(case[4] == "warn" and 0 or 1, r.code)
      talk:check()
    end)
  end

  it("asks nothing twice for what runs already", function()
    tell()
    talk:set("applied")
    talk:instead(azure.answer(
      q.usage,
      azure.usage({
        standardDDSv5Family = { 48, 96 },
        standardNCadsH100v5Family = { 160, 160 },
        cores = { 208, 256 },
      }),
      "az vm list-usage"
    ))
    -- The address is in a colleague's network, which the cluster lets in already.
    local checks, r = preflight({ caller_ip = "192.0.2.9" })
    assert.are.equal(0, r.code, r.stdout)
    assert.are.equal("ok", checks.quota.state, checks.quota.measured)
    assert.is_truthy(checks["your address"].measured:find("192.0.2.0/24", 1, true))
    talk:check()
  end)

  it("runs beside the other Azure components", function()
    local names = { "azure-access", "cluster-azure", "inference-azure", "osmo-azure" }
    azure.install(bench, names)
    tell()
    local argv = { "preflight", table.unpack(names) }
    for _, word in ipairs({
      "--json",
      "subscription=robots",
      "allowed_cidr=203.0.113.4/32",
      "caller_ip=203.0.113.4",
    }) do
      argv[#argv + 1] = word
    end
    local key = "ngc" .. require("pai.crypto").hex(16)
    local env = { PATH = talk.path, NGC_API_KEY = key, PHYSICAL_AI_PREFLIGHT_SKIP_NETWORK = "1" }
    local r = bench:pai(argv, { env = env })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.equal(7, #json.decode(r.stdout).steps) -- osmo-azure has three
    talk:check()
  end)

  it(
    "takes names that are as long as they may be, and networks that just do not overlap",
    function()
      tell()
      local checks = preflight({ resource_prefix = "robotsrobo", environment = "prod" })
      assert.are.equal("ok", checks.names.state, checks.names.measured)
      assert.are.equal(
        "ok",
        preflight({ vnet_address_space = "10.0.0.0/17" }).vnet_address_space.state
      )
      checks = preflight({ vnet_address_space = "192.0.0.0/8" })
      assert.are.equal("red", checks.vnet_address_space.state)
      checks = preflight({ vnet_address_space = "10.0.0.0/16", gpu_min = "4", gpu_max = "4" })
      assert.are.equal("ok", checks["GPU pool"].state)
      assert.are.equal(
        "ok",
        preflight({ redis_sku = "ComputeOptimized_X3" })["Redis capacity"].state
      )
    end
  )

  it("misses the Terraform module where an installation is not whole", function()
    tell()
    local path = bench.dir .. "/components/cluster-azure/terraform/versions.tf"
    assert.are.equal("ok", preflight()["Terraform module"].state)
    assert(require("pai.fs").remove(path))
    local checks, r = preflight()
    assert.are.same({ 1, "red" }, { r.code, checks["Terraform module"].state })
  end)

  it("takes Spot where its taint is tolerated", function()
    tell()
    local checks, r = preflight({ gpu_priority = "Spot", spot_tolerated = "true" })
    assert.are.equal(0, r.code, r.stdout)
    assert.is_truthy(checks.quota.measured:find("Spot vCPUs of the region: 160 needed", 1, true))
  end)
end)
