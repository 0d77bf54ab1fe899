-- What must hold after a stage. Each function looks once; waiting is patience.lua's.
local M = {}

local GPU <const> = "nvidia.com/gpu"
local CONTROL_PLANE <const> = "node-role.kubernetes.io/control-plane"

---Whether a condition holds.
---@param object table
---@param kind string
---@return boolean
function M.is(object, kind)
  for _, c in ipairs(object.status and object.status.conditions or {}) do
    if c.type == kind then
      return c.status == "True"
    end
  end
  return false
end

---Longhorn's nodes that take replicas.
---@param k pai.ctx.k8s
---@param inp table
---@return boolean enough
---@return string said
function M.disks(k, inp)
  local found = k:list({ apiVersion = "longhorn.io/v1beta2", kind = "Node" }, {
    namespace = "longhorn-system",
    accept = { "NotFound", "NoKind" },
  })
  local n = 0
  for _, one in ipairs(found or {}) do
    n = n + (M.is(one, "Schedulable") and next(one.status.diskStatus or {}) and 1 or 0)
  end
  return n >= inp.replicas, ("%d of %d Longhorn nodes have a disk"):format(n, inp.replicas)
end

---Every node that is no control plane has its GPUs.
---@param k pai.ctx.k8s
---@param inp table
---@return boolean all
---@return string said
function M.gpus(k, inp)
  local short, n = {}, 0
  for _, one in ipairs(k:list("nodes")) do
    if not (one.metadata.labels or {})[CONTROL_PLANE] then
      local have = tonumber((one.status.allocatable or {})[GPU] or 0)
      n = n + 1
      if have ~= inp.gpus then
        short[#short + 1] = ("%s %d of %d"):format(one.metadata.name, have, inp.gpus)
      end
    end
  end
  table.sort(short)
  local said = #short > 0 and table.concat(short, ", ") or ("%d on each of %d"):format(inp.gpus, n)
  return #short == 0 and n > 0, "GPUs: " .. said
end

---kube-proxy answers no ARP for addresses that are MetalLB's.
---@param ctx pai.ctx
---@param inp table
---@return table check
function M.strict_arp(ctx, inp)
  return {
    name = "kube-proxy strictARP",
    expected = "true, where it uses IPVS",
    hint = "ConfigMap kube-proxy in kube-system, ipvs.strictARP; then restart its pods",
    run = function()
      local map = ctx.k8s(inp.context):get("configmaps", "kube-proxy", {
        namespace = "kube-system",
        accept = { "NotFound" },
      })
      local ok, conf = pcall(ctx.yaml.decode, map and map.data and map.data["config.conf"] or "")
      if not map or not ok or type(conf) ~= "table" then
        return { state = "warn", measured = map and "not to be read" or "there is no kube-proxy" }
      elseif conf.mode ~= "ipvs" then
        return { state = "ok", measured = ("mode %s"):format(conf.mode or "default") }
      end
      local strict = type(conf.ipvs) == "table" and conf.ipvs.strictARP == true
      return { state = strict and "ok" or "red", measured = tostring(strict) }
    end,
  }
end

---DaemonSets that have not all of their pods. Wanting none is fine.
---@param k pai.ctx.k8s
---@return string[]
function M.lagging(k)
  local bad = {}
  for _, set in ipairs(k:list("daemonsets", { all = true })) do
    local want = set.status and set.status.desiredNumberScheduled or 0
    local have = set.status and set.status.numberReady or 0
    if want > have then
      local text = "%s/%s %d of %d"
      bad[#bad + 1] = text:format(set.metadata.namespace, set.metadata.name, have, want)
    end
  end
  table.sort(bad)
  return bad
end

---The gate at the end.
---@param ctx pai.ctx
---@param inp table
---@param nodes cluster-onprem.Node[]
---@return table[] checks
function M.whole(ctx, inp, nodes)
  local list = {
    ctx.check.kube.version(inp.context, { minimum = "1.30.0", below = "1.34.0" }),
    ctx.check.kube.nodes_ready(inp.context),
    {
      name = "DaemonSets",
      expected = "all ready",
      hint = "pai k8s diagnose --context CONTEXT -n NAMESPACE",
      run = function()
        local bad = M.lagging(ctx.k8s(inp.context))
        local measured = #bad > 0 and table.concat(bad, ", ") or "all"
        return { state = #bad == 0 and "ok" or "red", measured = measured }
      end,
    },
    {
      name = "GPUs",
      expected = ("%d on each worker"):format(inp.gpus),
      hint = "device plugin and validator on that node; MIG and time slicing are off",
      run = function()
        local all, said = M.gpus(ctx.k8s(inp.context), inp)
        return { state = all and "ok" or "red", measured = said }
      end,
    },
  }
  if #nodes > 0 then
    list[#list + 1] = {
      name = "cluster",
      expected = ("%d nodes"):format(#nodes),
      run = function()
        local n = #ctx.k8s(inp.context):list("nodes")
        return { state = n == #nodes and "ok" or "red", measured = n }
      end,
    }
  end
  return list
end

return M
