-- Whether a region has room for pools of virtual machines: a SKU's own family and vCPUs, the row of
-- that family by its exact name, the region's total, Spot's own row, less what the deployment uses
-- already. Nothing here acts.
local M = {}

---@class pai.azure.Pool
---@field name string
---@field size string "Standard_NC40ads_H100_v5"
---@field count integer most nodes
---@field least integer fewest nodes it can begin with; red below, a warning between the two
---@field spot boolean?

local HINT <const> = "raise the quota, or choose another region or size, before anything is made"

-- vCPUs by row of the quota: { need, least } for each, less what runs already.
local function rows_of(questions, pools, there)
  local rows, total = {}, { row = "cores", name = "vCPUs of the region", need = 0, least = 0 }
  local used = {}
  for _, pool in ipairs(there and (questions:pools(there.group, there.cluster)) or {}) do
    local key = (pool.vmSize or ""):lower() .. (pool.scaleSetPriority == "Spot" and " spot" or "")
    used[key] = (used[key] or 0) + (pool.count or 0)
  end
  for _, pool in ipairs(pools) do
    local sku = questions:sku(pool.size)
    if not sku then
      return nil, pool.size .. " is not offered in " .. questions.location
    end
    local key = pool.size:lower() .. (pool.spot and " spot" or "")
    local running = used[key] or 0
    used[key] = math.max(0, running - pool.count)
    local need = math.max(0, pool.count - running) * sku.vcpus
    local least = math.max(0, pool.least - running) * sku.vcpus
    local row = pool.spot and "lowprioritycores" or sku.family:lower()
    local shown = pool.spot and "Spot vCPUs of the region" or "vCPUs of " .. sku.family
    rows[row] = rows[row] or { row = row, name = shown, need = 0, least = 0 }
    for _, one in ipairs({ rows[row], not pool.spot and total or nil }) do
      one.need, one.least = one.need + need, one.least + least
    end
  end
  local list = {}
  for _, row in pairs(rows) do
    list[#list + 1] = row
  end
  table.sort(list, function(a, b)
    return a.name < b.name
  end)
  list[#list + 1] = total
  return list
end

local function verdict(row, usage)
  local have = usage[row.row]
  if not have then
    if row.need == 0 then
      return "ok", ("%s: nothing more is needed"):format(row.name)
    end
    return "red", ("%s: the region has no such quota"):format(row.name)
  end
  local free = have.limit - have.used
  local said = ("%s: %d needed, %d free of %d"):format(row.name, row.need, free, have.limit)
  if free >= row.need then
    return "ok", said
  elseif free >= row.least then
    return "warn", said .. (", %d to begin with"):format(row.least)
  end
  return "red", said
end

local WORSE <const> = { ok = 1, warn = 2, red = 3 }

---The checks of a deployment's pools.
---@param questions pai.azure.Questions
---@param pools pai.azure.Pool[]
---@param there { group: string, cluster: string }?
---@param make fun(name: string, expected: string, hint: string, look: function): table
---@return table[] checks
function M.checks(questions, pools, there, make)
  local list = {}
  for _, pool in ipairs(pools) do
    local name = ("size of the %s pool"):format(pool.name)
    list[#list + 1] = make(name, pool.size .. " offered", HINT, function()
      local sku = questions:sku(pool.size)
      if not sku then
        return { state = "red", measured = "not offered in " .. questions.location }
      elseif sku.blocked then
        return { state = "red", measured = "not for this subscription: " .. sku.blocked }
      end
      local measured = ("%d vCPUs, %d GPUs, %s"):format(sku.vcpus, sku.gpus, sku.family)
      return { state = "ok", measured = measured }
    end)
  end
  list[#list + 1] = make("quota", "room for every pool", HINT, function()
    local rows, why = rows_of(questions, pools, there)
    if not rows then
      return { state = "red", measured = why }
    end
    local usage, worst, said = questions:usage(), "ok", {}
    for i, row in ipairs(rows) do
      local state
      state, said[i] = verdict(row, usage)
      worst = WORSE[state] > WORSE[worst] and state or worst
    end
    return { state = worst, measured = table.concat(said, "; ") }
  end)
  return list
end

---Whether services that ask for GPUs fit into a pool.
---@param questions pai.azure.Questions
---@param pool pai.azure.Pool
---@param asked integer[] GPUs of each service
---@param make function
---@return table check
function M.gpu_fit(questions, pool, asked, make)
  if #asked == 0 then
    return { name = "GPUs for the services", state = "skipped", measured = "none named" }
  end
  local sum, most = 0, 0
  for _, n in ipairs(asked) do
    sum, most = sum + n, math.max(most, n)
  end
  local wanted = ("%d GPUs in all, %d on one node"):format(sum, most)
  local hint = "choose fewer services, more nodes, or a size with more GPUs"
  return make("GPUs for the services", wanted, hint, function()
    local sku = questions:sku(pool.size)
    if not sku then
      return { state = "red", measured = pool.size .. " is not offered" }
    end
    local all = sku.gpus * pool.count
    local fits = sum <= all and most <= sku.gpus
    local measured = ("%d GPUs in all, %d on one node"):format(all, sku.gpus)
    return { state = fits and "ok" or "red", measured = measured }
  end)
end

return M
