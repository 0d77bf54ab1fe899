-- Whether the GPUs are enough, and on one node each: by figures before there is a cluster, and by
-- what its nodes have to give once there is one.
local catalog = require("inference-nim-operator.catalog")

local M = {}

local GPU <const> = "nvidia.com/gpu"

local function wishes(names)
  local list, sum = {}, 0
  for i, name in ipairs(names) do
    local gpus = catalog.NIMS[name].gpus
    list[i] = { name = name, gpus = gpus }
    sum = sum + gpus
  end
  table.sort(list, function(a, b)
    if a.gpus ~= b.gpus then
      return a.gpus > b.gpus
    end
    return a.name < b.name
  end)
  return list, sum
end

---Places NIMs on nodes, the largest first, each where the least is left over.
---@param names string[]
---@param nodes { name: string, free: integer }[] changed
---@return string[] left those without a place, with what they want
function M.place(names, nodes)
  local left = {}
  for _, wish in ipairs((wishes(names))) do
    local best
    for _, node in ipairs(nodes) do
      if node.free >= wish.gpus and (not best or node.free < best.free) then
        best = node
      end
    end
    if best then
      best.free = best.free - wish.gpus
    else
      left[#left + 1] = ("%s (%d)"):format(wish.name, wish.gpus)
    end
  end
  return left
end

local function verdict(names, nodes, where)
  local _, sum = wishes(names)
  local free, most = 0, 0
  for _, node in ipairs(nodes) do
    free, most = free + node.free, math.max(most, node.free)
  end
  local left = M.place(names, nodes)
  return {
    name = "GPU fit",
    state = #left == 0 and "ok" or "red",
    measured = #left == 0
        and ("%d of %d GPUs, at most %d on a node%s"):format(sum, free, most, where)
      or ("no place for %s: %d GPUs, at most %d on a node%s"):format(
        table.concat(left, ", "),
        free,
        most,
        where
      ),
    expected = ("%d GPUs, each NIM's on one node"):format(sum),
    hint = "name fewer NIMs, add nodes, or take nodes with more GPUs; quota comes first on Azure",
  }
end

---Before there is a cluster: by the figures that were given.
---@param names string[]
---@param inp table
---@return table check
function M.planned(names, inp)
  if not inp.gpu_nodes and not inp.gpus_per_node then
    local _, sum = wishes(names)
    return {
      name = "GPU fit",
      state = "skipped",
      measured = ("%d GPUs are wanted; gpu_nodes and gpus_per_node say what there will be"):format(
        sum
      ),
    }
  end
  local nodes = {}
  for i = 1, inp.gpu_nodes or 1 do
    nodes[i] = { name = "node " .. i, free = inp.gpus_per_node or 1 }
  end
  return verdict(names, nodes, " by gpu_nodes and gpus_per_node")
end

local function integer(value)
  return math.tointeger(tonumber(value or 0)) or 0
end

local function requested(pod)
  local sum = 0
  for _, container in ipairs(pod.spec and pod.spec.containers or {}) do
    local limits = container.resources and container.resources.limits or {}
    sum = sum + integer(limits[GPU])
  end
  return sum
end

-- Pods of the NIMs themselves: theirs is the place that they hold.
local function is_own(pod, names)
  local labels = pod.metadata.labels or {}
  if pod.metadata.namespace ~= catalog.NAMESPACE then
    return false
  end
  for _, name in ipairs(names) do
    if labels.app == name or labels["app.kubernetes.io/name"] == name then
      return true
    end
  end
  return false
end

local function is_ready(node)
  for _, c in ipairs(node.status and node.status.conditions or {}) do
    if c.type == "Ready" then
      return c.status == "True"
    end
  end
  return false
end

---In the cluster: by what its ready nodes can give, less what other pods hold.
---@param k pai.ctx.k8s
---@param names string[]
---@return table check
function M.live(k, names)
  local nodes, by_name = {}, {}
  for _, node in ipairs(k:list("nodes")) do
    local cordoned = node.spec and node.spec.unschedulable
    if is_ready(node) and not cordoned then
      local allocatable = node.status and node.status.allocatable or {}
      local entry = { name = node.metadata.name, free = integer(allocatable[GPU]) }
      nodes[#nodes + 1], by_name[entry.name] = entry, entry
    end
  end
  for _, pod in ipairs(k:list("pods", { all = true })) do
    local node = by_name[pod.spec and pod.spec.nodeName or ""]
    local phase = pod.status and pod.status.phase
    local ended = phase == "Succeeded" or phase == "Failed"
    if node and not ended and not is_own(pod, names) then
      node.free = math.max(0, node.free - requested(pod))
    end
  end
  return verdict(names, nodes, " free now")
end

return M
