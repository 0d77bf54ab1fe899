-- What az answers in specs of the Azure components: a subscription in which everything is as it
-- should be. A spec puts other answers before these with talk:instead.
local fs = require("pai.fs")
local json = require("pai.json")

local M = {}

---Copies components of this tree to a bench, so that they are no tracked files.
---@param bench tests.Bench
---@param names string[]
function M.install(bench, names)
  for _, name in ipairs(names) do
    local from = ("%s/components/%s"):format(pai.root, name)
    for _, path in ipairs(fs.walk(from)) do
      bench:write(("components/%s/%s"):format(name, path), assert(fs.read(from .. "/" .. path)))
    end
  end
end

M.SUBSCRIPTION = "11111111-2222-4333-8444-555555555555"
M.TENANT = "99999999-2222-4333-8444-555555555555"

M.PROVIDERS = {
  "Microsoft.ContainerService",
  "Microsoft.Compute",
  "Microsoft.Network",
  "Microsoft.Storage",
  "Microsoft.DBforPostgreSQL",
  "Microsoft.Cache",
  "Microsoft.KeyVault",
  "Microsoft.CognitiveServices",
  "Microsoft.OperationalInsights",
  "Microsoft.OperationsManagement",
}

local END <const> = { "--output=json", "--only-show-errors" }

---The words of a call of az as pai makes it.
---@param words string[]
---@return string[]
function M.argv(words)
  local argv = { "az", table.unpack(words) }
  return table.move(END, 1, #END, #argv + 1, argv)
end

---An answer of az, as JSON.
---@param words string[]
---@param value any
---@param cite string
---@param more table?
---@return tests.Answer
function M.answer(words, value, cite, more)
  local answer = { argv = M.argv(words), stdout = json.encode(value), cite = cite }
  for k, v in pairs(more or {}) do
    answer[k] = v
  end
  return answer
end

---A refusal of az.
---@param words string[]
---@param message string after "ERROR: "
---@param cite string
---@param more table?
---@return tests.Answer
function M.refusal(words, message, cite, more)
  local answer =
    { argv = M.argv(words), stderr = "ERROR: " .. message .. "\n", code = 1, cite = cite }
  for k, v in pairs(more or {}) do
    answer[k] = v
  end
  return answer
end

---One subscription as `az account list` has it.
---@param more table?
---@return table
function M.account(more)
  local account = {
    cloudName = "AzureCloud",
    id = M.SUBSCRIPTION,
    isDefault = true,
    name = "robots",
    state = "Enabled",
    tenantId = M.TENANT,
    user = { name = "somebody@example.com", type = "user" },
  }
  for k, v in pairs(more or {}) do
    account[k] = v
  end
  return account
end

---States of providers as `az provider list` has them.
---@param states table<string, string|false>? other than Registered; false: not listed
---@return table[]
function M.providers(states)
  local list = json.array({})
  for _, namespace in ipairs(M.PROVIDERS) do
    local state = states and states[namespace]
    if state ~= false then
      list[#list + 1] = { namespace = namespace, registrationState = state or "Registered" }
    end
  end
  return list
end

---Everything that the checks of access ask.
---@param talk tests.Talk
---@param subscription string? as it is named on each call
function M.tell(talk, subscription)
  local at = subscription and { "--subscription", subscription } or {}
  local function words(...)
    local list = { ... }
    return table.move(at, 1, #at, #list + 1, list)
  end
  talk:tell({
    argv = { "az", "version", "--output=json" },
    -- Compact on purpose: a text search that counts on blanks reads nothing here.
    stdout = '{"azure-cli":"2.71.0","azure-cli-core":"2.71.0","extensions":{}}',
    cite = "az version reference",
  })
  talk:tell(
    M.answer({ "account", "list", "--all" }, json.array({ M.account() }), "az account list", {
      unless = "logged-out",
    })
  )
  talk:tell(M.answer({ "account", "list", "--all" }, json.array({}), "az account list, logged out"))
  talk:tell(M.answer(words("provider", "list"), M.providers(), "az provider list"))
  talk:tell(M.answer(
    words("account", "list-locations"),
    json.array({
      { name = "eastus2", displayName = "East US 2" },
      { name = "westus3", displayName = "West US 3" },
    }),
    "az account list-locations"
  ))
  talk:tell(
    M.answer(
      words(
        "role",
        "assignment",
        "list",
        "--assignee",
        "somebody@example.com",
        "--scope",
        "/subscriptions/" .. M.SUBSCRIPTION,
        "--include-inherited",
        "--include-groups"
      ),
      json.array({ { roleDefinitionName = "Owner", scope = "/" } }),
      "az role assignment list"
    )
  )
end

local function sku(name, family, vcpus, gpus, restrictions)
  return {
    name = name,
    family = family,
    resourceType = "virtualMachines",
    capabilities = json.array({
      { name = "vCPUs", value = tostring(vcpus) },
      { name = "GPUs", value = gpus and tostring(gpus) or nil },
    }),
    restrictions = restrictions or json.array({}),
  }
end

---A size as `az vm list-skus` has it.
M.sku = sku

M.SYSTEM_SIZE = "Standard_D16ds_v5"
M.GPU_SIZE = "Standard_NC40ads_H100_v5"
M.NAT = "198.51.100.77"

---The words of the questions about a region.
---@param subscription string
---@return table<string, string[]>
function M.questions(subscription)
  local at = { "--subscription", subscription }
  local function words(...)
    local list = { ... }
    return table.move(at, 1, #at, #list + 1, list)
  end
  local function sizes(name)
    local one = { "vm", "list-skus", "--location", "eastus2", "--resource-type" }
    return words(table.unpack({
      one[1],
      one[2],
      one[3],
      one[4],
      one[5],
      "virtualMachines",
      "--size",
      name,
      "--all",
    }))
  end
  local group, cluster = "rg-nvpai-dev", "aks-nvpai-dev"
  return {
    system = sizes(M.SYSTEM_SIZE),
    gpu = sizes(M.GPU_SIZE),
    usage = words("vm", "list-usage", "--location", "eastus2"),
    versions = words("aks", "get-versions", "--location", "eastus2"),
    aks = words("aks", "show", "--resource-group", group, "--name", cluster),
    nat = words(
      "network",
      "public-ip",
      "show",
      "--resource-group",
      group,
      "--name",
      "pip-nat-nvpai-dev"
    ),
  }
end

---Rows of `az vm list-usage`; az prints numbers as texts.
---@param rows table<string, integer[]> name → used, limit
---@return table[]
function M.usage(rows)
  local list = json.array({})
  for name, row in pairs(rows) do
    list[#list + 1] = {
      name = { value = name, localizedValue = name },
      currentValue = tostring(row[1]),
      limit = tostring(row[2]),
    }
  end
  return list
end

M.ROOM = {
  standardDDSv5Family = { 0, 100 },
  standardNCadsH100v5Family = { 0, 160 },
  cores = { 10, 300 },
  lowPriorityCores = { 0, 160 },
}

---The cluster as `az aks show` has it.
---@param more table?
---@return table
function M.aks(more)
  local cluster = {
    name = "aks-nvpai-dev",
    fqdn = "127.0.0.1",
    provisioningState = "Succeeded",
    apiServerAccessProfile = {
      authorizedIpRanges = json.array({ "203.0.113.4/32", "192.0.2.0/24", M.NAT .. "/32" }),
    },
    agentPoolProfiles = json.array({
      { name = "system", vmSize = M.SYSTEM_SIZE, count = 3 },
      { name = "gpu", vmSize = M.GPU_SIZE, count = 4 },
    }),
  }
  for k, v in pairs(more or {}) do
    cluster[k] = v
  end
  return cluster
end

---Everything that cluster-azure asks of az before there is a cluster, and after the flag `applied`.
---@param talk tests.Talk
---@param subscription string
function M.region(talk, subscription)
  local q = M.questions(subscription)
  local skus = "az vm list-skus"
  local no = json.array({})
  -- az matches parts of names too.
  talk:tell(M.answer(q.system, {
    sku("Standard_D16ds_v5_other", "x", 1),
    sku(M.SYSTEM_SIZE, "standardDDSv5Family", 16, nil, no),
  }, skus))
  talk:tell(M.answer(q.gpu, { sku(M.GPU_SIZE, "StandardNCadsH100v5Family", 40, 1) }, skus))
  talk:tell(M.answer(q.usage, M.usage(M.ROOM), "az vm list-usage"))
  talk:tell(M.answer(q.versions, {
    values = json.array({
      {
        version = "1.31",
        isPreview = json.null,
        capabilities = { supportPlan = json.array({ "AKSLongTermSupport" }) },
        patchVersions = { ["1.31.9"] = { upgrades = no } },
      },
      {
        version = "1.33",
        isPreview = json.null,
        capabilities = {
          supportPlan = json.array({ "KubernetesOfficial", "AKSLongTermSupport" }),
        },
        patchVersions = { ["1.33.4"] = { upgrades = no } },
      },
    }),
  }, "az aks get-versions"))
  talk:tell(M.answer(q.aks, M.aks(), "az aks show", { when = "applied" }))
  talk:tell({
    argv = { "az", "aks", "show", "..." },
    stderr = "ERROR: (ResourceGroupNotFound) Resource group could not be found.\n",
    code = 3,
    cite = "error texts of Azure Resource Manager",
  })
  talk:tell(M.answer(q.nat, { ipAddress = M.NAT }, "az network public-ip show"))
  talk:tell({
    argv = { "terraform", "version", "-json" },
    stdout = '{"terraform_version":"1.11.4","platform":"linux_amd64","provider_selections":{}}',
    cite = "observed with terraform 1.11.4",
  })
  talk:tell({
    argv = { "helm", "version", "--short" },
    stdout = "v3.16.2+g13654a5\n",
    cite = "helm version --short",
  })
end

---The cluster as AKS makes it: its credential, the GPU Operator's release, nodes and classes.
---@param talk tests.Talk
---@param c tests.Cluster
function M.cluster(talk, c)
  talk:tell({
    argv = M.argv({
      "aks",
      "get-credentials",
      "--subscription",
      "robots",
      "--resource-group",
      "rg-nvpai-dev",
      "--name",
      "aks-nvpai-dev",
      "--file",
      "-",
    }),
    stdout = c:kubeconfig("aks-nvpai-dev", "clusterUser_rg-nvpai-dev_aks-nvpai-dev"),
    when = "applied",
    cite = "az aks get-credentials --file -",
  })
  local function helm(more)
    local answer = {
      argv = { "helm", "status", "gpu-operator", "--namespace", "gpu-operator", "..." },
      cite = "helm status --output=json",
    }
    for k, v in pairs(more) do
      answer[k] = v
    end
    talk:tell(answer)
  end
  helm({
    stdout = [[{"name":"gpu-operator","namespace":"gpu-operator","version":1,
      "info":{"status":"deployed"},
      "chart":{"metadata":{"name":"gpu-operator","version":"v25.10.1"}}}]],
    when = "operator",
  })
  helm({ stderr = "Error: release: not found\n", code = 1 })
  talk:tell({
    argv = { "helm", "upgrade", "gpu-operator", "gpu-operator", "--install", "..." },
    stdout = [[{"name":"gpu-operator","namespace":"gpu-operator","version":1,
      "info":{"status":"deployed"}}]],
    sets = "operator",
    cite = "helm upgrade --install --output=json",
  })
  -- The cluster as AKS makes it, and as it is once the operator has run.
  c.git_version = "v1.33.4"
  local system = {
    ["kubernetes.azure.com/mode"] = "system",
    ["node.kubernetes.io/instance-type"] = "Standard_D16ds_v5",
  }
  for i = 1, 3 do
    c:node("system" .. i, { metadata = { labels = system } })
  end
  for i = 1, 4 do
    c:node("gpu" .. i, {
      metadata = { labels = { ["nvidia.com/gpu.present"] = "true" } },
      status = {
        capacity = { ["nvidia.com/gpu"] = "1" },
        allocatable = { ["nvidia.com/gpu"] = "1" },
      },
    })
  end
  c:put("/api/v1/namespaces/gpu-operator", {})
  c:pod("gpu-operator", "gpu-operator-0")
  c:put("/apis/storage.k8s.io/v1/storageclasses/default", {
    provisioner = "disk.csi.azure.com",
    metadata = { annotations = { ["storageclass.kubernetes.io/is-default-class"] = "true" } },
  })
end

---The checks of an answer by name.
---@param r table of bench:pai with --json
---@return table<string, table> by name
function M.by_name(r)
  local out = {}
  for _, step in ipairs(assert(json.decode(r.stdout), r.stderr).steps) do
    for _, check in ipairs(step.checks) do
      out[check.name] = check
    end
  end
  return out
end

return M
