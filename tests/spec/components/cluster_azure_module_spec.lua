-- The Terraform module of cluster-azure as text: its blocks, what they declare and what they use.
-- Providers can't be had here, so their own rules are not asked.
local fs = require("pai.fs")

local DIR <const> = pai.root .. "/components/cluster-azure/terraform/"

-- The text without comments; strings stay, since they hold references.
local function bare(text)
  local lines = {}
  for line in (text .. "\n"):gmatch("(.-)\n") do
    local out, quoted, i = {}, false, 1
    while i <= #line do
      local c = line:sub(i, i)
      if c == '"' and line:sub(i - 1, i - 1) ~= "\\" then
        quoted = not quoted
      end
      if not quoted and (c == "#" or line:sub(i, i + 1) == "//") then
        break
      end
      out[#out + 1] = c
      i = i + 1
    end
    assert(not quoted, "a string does not end: " .. line)
    lines[#lines + 1] = table.concat(out)
  end
  return table.concat(lines, "\n")
end

-- Top-level blocks: { kind, labels, body }. Fails where brackets do not match.
local function blocks(text, file)
  local list, depth, from, head = {}, 0, nil, nil
  local stack, closes = {}, { ["}"] = "{", ["]"] = "[", [")"] = "(" }
  local quoted, line_start = false, 1
  for i = 1, #text do
    local c = text:sub(i, i)
    if c == "\n" then
      line_start = i + 1
    elseif c == '"' and text:sub(i - 1, i - 1) ~= "\\" then
      quoted = not quoted
    elseif not quoted and c:find("[%[{(]") then
      stack[#stack + 1] = c
      depth = depth + 1
      if depth == 1 then
        assert(c == "{", file .. ": a bracket outside of a block")
        head, from = text:sub(line_start, i - 1), i + 1
      end
    elseif not quoted and closes[c] then
      assert(table.remove(stack) == closes[c], file .. ": brackets that do not match near " .. head)
      depth = depth - 1
      if depth == 0 then
        local labels = {}
        for label in head:gmatch('"([^"]*)"') do
          labels[#labels + 1] = label
        end
        list[#list + 1] =
          { kind = head:match("^(%l+)"), labels = labels, body = text:sub(from, i - 1) }
      end
    end
  end
  assert(depth == 0, file .. ": a block does not end")
  return list
end

local function read()
  local all = {}
  for _, path in ipairs(fs.glob(DIR .. "*.tf")) do
    for _, block in ipairs(blocks(bare(assert(fs.read(path))), fs.basename(path))) do
      block.file = fs.basename(path)
      all[#all + 1] = block
    end
  end
  return all
end

-- What is declared: addresses of resources and data, variables, locals, outputs.
local function declared(all)
  local out = { address = {}, var = {}, ["local"] = {}, output = {}, count = {} }
  local function once(map, name, block)
    assert(not map[name], name .. " is declared twice")
    map[name] = block
  end
  for _, block in ipairs(all) do
    if block.kind == "resource" then
      once(out.address, block.labels[1] .. "." .. block.labels[2], block)
      out.count[block.labels[1]] = (out.count[block.labels[1]] or 0) + 1
    elseif block.kind == "data" then
      once(out.address, "data." .. block.labels[1] .. "." .. block.labels[2], block)
    elseif block.kind == "variable" then
      once(out.var, block.labels[1], block)
    elseif block.kind == "output" then
      once(out.output, block.labels[1], block)
    elseif block.kind == "locals" then
      for name in block.body:gmatch("\n  ([%w_]+)%s*=") do
        once(out["local"], name, block)
      end
    end
  end
  return out
end

describe("the Terraform module of cluster-azure", function()
  local all = read()
  local there = declared(all)

  it("declares what it uses, and uses what it declares", function()
    local used = { var = {}, ["local"] = {}, data = {} }
    for _, block in ipairs(all) do
      local body = block.body
      for kind, name in body:gmatch("%f[%w_](%l+)%.([%w_]+)") do
        if kind == "var" or kind == "local" then
          assert.is_truthy(there[kind][name], ("%s: %s.%s"):format(block.file, kind, name))
          used[kind][name] = true
        end
      end
      for before, kind, name in body:gmatch("([%w_.]*)%f[%w_](azurerm_[%w_]+)%.([%w_]+)") do
        local address = (before == "data." and "data." or "") .. kind .. "." .. name
        assert.is_truthy(there.address[address], ("%s: %s"):format(block.file, address))
      end
      for kind, name in body:gmatch("%f[%w_](random_[%w_]+)%.([%w_]+)") do
        assert.is_truthy(there.address[kind .. "." .. name], block.file)
      end
    end
    for _, kind in ipairs({ "var", "local" }) do
      for name in pairs(there[kind]) do
        assert.is_true(used[kind][name] == true, kind .. "." .. name .. " is used nowhere")
      end
    end
  end)

  it("has every resource of the deployment", function()
    assert.are.same({
      azurerm_resource_group = 1,
      random_password = 1,
      random_string = 1,
      azurerm_virtual_network = 1,
      azurerm_subnet = 4,
      azurerm_public_ip = 1,
      azurerm_nat_gateway = 1,
      azurerm_nat_gateway_public_ip_association = 1,
      azurerm_subnet_nat_gateway_association = 2,
      azurerm_network_security_group = 2,
      azurerm_subnet_network_security_group_association = 2,
      azurerm_log_analytics_workspace = 1,
      azurerm_log_analytics_solution = 1,
      azurerm_kubernetes_cluster = 1,
      azurerm_kubernetes_cluster_node_pool = 1,
      azurerm_postgresql_flexible_server = 1,
      azurerm_postgresql_flexible_server_database = 1,
      azurerm_postgresql_flexible_server_configuration = 2,
      azurerm_managed_redis = 1,
      azurerm_private_dns_zone = 4,
      azurerm_private_dns_zone_virtual_network_link = 4,
      azurerm_private_endpoint = 3,
      azurerm_storage_account = 2,
      azurerm_storage_container = 3,
      azurerm_role_assignment = 6,
      azurerm_key_vault = 1,
      azurerm_cognitive_account = 1,
      azurerm_cognitive_account_project = 1,
    }, there.count)
  end)

  it("takes the variables that the component gives, with their defaults", function()
    local stack = assert(fs.read(pai.root .. "/components/cluster-azure/stack.lua"))
    local component = assert(loadfile(pai.root .. "/components/cluster-azure/component.lua"))()
    local given = { subscription_id = true, allowed_cidr = true, tags = true }
    for name in stack:match("for _, name in ipairs%(({.-})%)"):gmatch('"([%w_]+)"') do
      given[name] = true
    end
    for name, block in pairs(there.var) do
      assert.is_true(given[name], name .. " is not given")
      given[name] = nil
      local default = block.body:match("\n%s*default%s*=%s*([^\n{]+)\n")
      local input = component.inputs[name]
      if default and input then
        assert.are.equal(tostring(input.default), (default:gsub('"', "")), name)
      end
    end
    assert.are.same({}, given)
  end)

  it("has the outputs that its users read, the secret ones sensitive", function()
    local stack = assert(loadfile(pai.root .. "/components/cluster-azure/stack.lua"))()
    local found = {}
    for name, block in pairs(there.output) do
      found[name] = block.body:find("sensitive%s*=%s*true") ~= nil
    end
    assert.are.same(stack.OUTPUTS, found)
  end)

  local function body(address)
    return there.address[address].body
  end

  local function has(address, text)
    local found = body(address):gsub("%s+", " ")
    assert.is_truthy(found:find(text, 1, true), address .. " has no " .. text)
  end

  it("keeps to what was decided", function()
    local terraform = all
    for _, block in ipairs(terraform) do
      if block.kind == "terraform" then
        local text = block.body:gsub("%s+", " ")
        assert.is_truthy(text:find('required_version = ">= 1.9.8, < 2.0.0"', 1, true))
        -- Managed Redis appeared in 4.50.0.
        assert.is_truthy(text:find('version = ">= 4.50.0, < 5.0.0"', 1, true))
      end
    end
    has("azurerm_kubernetes_cluster.main", 'service_cidr = "192.168.0.0/16"')
    has("azurerm_kubernetes_cluster.main", "min_count = 3")
    has("azurerm_kubernetes_cluster.main", "max_count = 6")
    has("azurerm_kubernetes_cluster_node_pool.gpu", 'gpu_driver = "None"')
    has("azurerm_kubernetes_cluster_node_pool.gpu", "nvidia.com/gpu=present:NoSchedule")
    has("azurerm_postgresql_flexible_server_configuration.secure_transport", 'value = "off"')
    has("azurerm_managed_redis.main", "access_keys_authentication_enabled = true")
    has("azurerm_storage_account.main", 'default_action = "Deny"')
    has("azurerm_storage_account.main", 'trimsuffix(c, "/32")')
    has("azurerm_storage_container.workflows", 'name = "osmo-workflows"')
    has("azurerm_storage_account.nfs", "https_traffic_only_enabled = false")
    has("azurerm_cognitive_account.foundry", 'kind = "AIServices"')
  end)

  it("notices a module that is broken", function()
    for _, text in ipairs({ 'a "b" {\n', 'a "b" {\n  c = [1, 2}\n}\n', "x = [1]\n" }) do
      assert.is_false((pcall(blocks, text, "broken.tf")))
    end
    assert.is_false((pcall(bare, 'a = "b\n')))
    local twice = blocks('variable "a" {}\nvariable "a" {}\n', "twice.tf")
    assert.is_false((pcall(declared, twice)))
  end)
end)
