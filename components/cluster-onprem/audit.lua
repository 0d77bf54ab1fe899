-- Reads what a cluster really has and puts it beside the matrix. One read of each kind serves all
-- rows. What can't be read is never green.
local matrix = require("cluster-onprem.matrix")

local M = {}

local ABSENT <const> = { "NotFound" }

-- "v1.32.5", "containerd://2.0.5", "580.82.07" → its numbers, as many as there are.
local function numbers(text)
  local core = tostring(text):match("%d[%d.]*")
  local list = {}
  for n in (core or ""):gmatch("%d+") do
    list[#list + 1] = math.tointeger(tonumber(n))
  end
  return #list > 0 and list or nil
end

local function compare(a, b, parts)
  for i = 1, parts or math.max(#a, #b) do
    local x, y = a[i] or 0, b[i] or 0
    if x ~= y then
      return x < y and -1 or 1
    end
  end
  return 0
end

local function stripped(text)
  return (tostring(text):gsub("^%a+://", ""):gsub("^v(%d)", "%1"))
end

---Whether a value is as a row of the matrix wants it; nil when it is no version.
---@param row table
---@param value string
---@return boolean? fits
function M.fits(row, value)
  if row.is == "~" then
    return value:sub(1, #row.want) == row.want
  elseif row.is == "=" then
    return stripped(value) == row.want
  end
  local have = numbers(stripped(value))
  if not have then
    return nil
  elseif row.is == ">=" then
    return compare(have, numbers(row.want)) >= 0
  end
  return compare(have, numbers(row.want[1]), 2) >= 0 and compare(have, numbers(row.want[2]), 2) <= 0
end

---What is wanted, for people.
---@param row table
---@return string
function M.wanted(row)
  if row.is == ".." then
    return ("%s to %s"):format(row.want[1], row.want[2])
  end
  return row.is == "=" and row.want
    or ("%s %s"):format(row.is == "~" and "begins" or row.is, row.want)
end

local function gpus_of(node)
  return tostring((node.status.allocatable or {})["nvidia.com/gpu"] or 0)
end

local function has_gpu(node)
  local labels = node.metadata.labels or {}
  return labels["nvidia.com/gpu.present"] == "true"
    or (node.status.capacity or {})["nvidia.com/gpu"] ~= nil
end

-- The nodes that a row is about, by name; names that are not there give false.
local function nodes_of(row, facts)
  local list = {}
  if row.where == "gpunode" or row.where == "node:*" then
    for _, node in ipairs(facts.nodes) do
      if row.where == "node:*" or has_gpu(node) then
        list[#list + 1] = { node.metadata.name, node }
      end
    end
    return list
  end
  local by_name = {}
  for _, node in ipairs(facts.nodes) do
    by_name[node.metadata.name] = node
  end
  for name in row.where:match("^node:(.+)$"):gmatch("[^,]+") do
    list[#list + 1] = { name, by_name[name] or false }
  end
  return list
end

local function node_value(row, node)
  local field = row.from:match("^node%.(.+)$")
  if field then
    return node.status.nodeInfo and node.status.nodeInfo[field]
  end
  local label = row.from:match("^label%.(.+)$")
  if label then
    return (node.metadata.labels or {})[label]
  end
  return row.from == "gpus" and gpus_of(node) or nil
end

local function cluster_value(row, facts)
  local chart = row.from:match("^helm%.(.+)$")
  if not chart then
    return facts[row.from]
  end
  for _, release in ipairs(facts.releases) do
    local name, version = tostring(release.chart):match("^(.-)%-v?(%d[%w.+-]*)$")
    if name == chart then
      return version
    end
  end
end

local function judged(row, name, value, strict)
  local check = { name = name, expected = M.wanted(row), measured = value, hint = row.hint }
  local drift = strict and "red" or "warn"
  if value == nil then
    check.measured = "not to be read"
    check.state = drift
    check.hint = check.hint or "is it installed, and by helm? labels need GPU feature discovery"
    return check
  end
  local fits = M.fits(row, value)
  check.state = fits and "ok" or row.class == "hard" and "red" or drift
  return check
end

---The checks of the version matrix.
---@param facts table
---@param strict boolean
---@return table[] checks
function M.versions(facts, strict)
  local checks = {}
  for _, row in ipairs(matrix.rows) do
    if row.class == "oob" then
      checks[#checks + 1] = {
        name = row.id,
        expected = M.wanted(row),
        state = "skipped",
        measured = "out of band: " .. row.from,
      }
    elseif row.where == "cluster" or row.where == "here" then
      checks[#checks + 1] = judged(row, row.id, cluster_value(row, facts), strict)
    else
      local nodes = nodes_of(row, facts)
      for _, pair in ipairs(nodes) do
        local name = ("%s %s"):format(row.id, pair[1])
        if pair[2] then
          checks[#checks + 1] = judged(row, name, node_value(row, pair[2]), strict)
        else
          local state = strict and "red" or "warn"
          checks[#checks + 1] =
            { name = name, expected = M.wanted(row), state = state, measured = "no such node" }
        end
      end
      if #nodes == 0 then
        checks[#checks + 1] =
          { name = row.id, expected = M.wanted(row), state = "red", measured = "no such node" }
      end
    end
  end
  return checks
end

-- A list of a kind whose definition may not be there.
local function list(k, api, kind)
  local ok, items = pcall(k.list, k, { apiVersion = api, kind = kind }, { all = true })
  if ok then
    return items
  elseif type(items) == "table" and items.code == "ENOENT" then
    return nil
  end
  error(items, 0)
end

---Reads all that the rows and checks need, side by side.
---@param ctx pai.ctx
---@param inp table
---@return table facts
function M.read(ctx, inp)
  local k = ctx.k8s(inp.context)
  local at = { context = inp.context, kubeconfig = inp.kubeconfig }
  local facts = ctx.all({
    nodes = function()
      return k:list("nodes")
    end,
    releases = function()
      return ctx.tools.helm.list(at)
    end,
    api = function()
      return k:version().gitVersion
    end,
    settings = function()
      return list(k, "longhorn.io/v1beta2", "Setting") or false
    end,
    disks = function()
      return list(k, "longhorn.io/v1beta2", "Node") or false
    end,
    classes = function()
      return k:list("storageclasses")
    end,
    gpu_policy = function()
      return list(k, "nvidia.com/v1", "ClusterPolicy") or false
    end,
    nic_policy = function()
      return list(k, "mellanox.com/v1alpha1", "NicClusterPolicy") or false
    end,
    daemonsets = function()
      return k:list("daemonsets", { all = true })
    end,
    modules = function()
      local where = { namespace = "gpu-operator", accept = ABSENT }
      return k:get("configmaps", "kernel-module-params", where) or false
    end,
    kubespray = function()
      if not inp.kubespray then
        return false
      end
      local r = ctx.query({ "git", "describe", "--tags" }, { cwd = inp.kubespray, accept = "any" })
      return r.code == 0 and r.stdout:match("%S+") or false
    end,
  })
  for _, one in ipairs(facts.settings or {}) do
    if one.metadata.name == "current-longhorn-version" then
      facts.longhorn = one.value
    end
  end
  facts.kubespray = facts.kubespray or nil
  return facts
end

return M
