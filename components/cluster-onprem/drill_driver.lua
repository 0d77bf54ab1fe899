-- The drill that deletes a GPU driver's pod: the GPUs must come back and compute.
local patience = require("cluster-onprem.patience")
local probe = require("cluster-onprem.probe")
local trials = require("cluster-onprem.trials")
local watch = require("cluster-onprem.drill_watch")

local M = {}

local GPU <const> = "nvidia.com/gpu"
local OPERATOR <const> = "gpu-operator"
local TEST <const> = "drill-driver"

local check, some = watch.check, watch.some
local is_ready, of_daemonset = watch.is_ready, watch.of_daemonset

-- Pods that hold a GPU, by node.
local function busy(k)
  local by_node = {}
  for _, pod in ipairs(k:list("pods", { all = true })) do
    local phase = pod.status and pod.status.phase
    local node = pod.spec.nodeName
    local runs = node and phase ~= "Succeeded" and phase ~= "Failed"
    for _, c in ipairs(runs and pod.spec.containers or {}) do
      local limits = c.resources and c.resources.limits or {}
      if tonumber(limits[GPU] or 0) ~= 0 then
        by_node[node] = by_node[node] or {}
        table.insert(by_node[node], pod.metadata.namespace .. "/" .. pod.metadata.name)
        break
      end
    end
  end
  return by_node
end

---Which driver pod is to go, and how many GPUs there are.
---@param ctx pai.ctx
---@param inp table
---@return table found
function M.look(ctx, inp)
  local k = ctx.k8s(inp.context)
  local held, drivers = busy(k), of_daemonset(k, OPERATOR, "^nvidia%-driver%-daemonset")
  local chosen, first
  for _, one in ipairs(probe.workers(k)) do
    local meant = one.gpus > 0 and (inp.node == nil or inp.node == one.name)
    first = first or (meant and one)
    chosen = chosen or (meant and not held[one.name] and one)
  end
  local one = chosen or first
  if not one then
    local said = inp.node and inp.node .. " is none that takes pods" or "there is none"
    return { checks = { check("GPU node", "one with GPUs", false, said) } }
  end
  local driver = drivers[one.name]
  local users = held[one.name] or {}
  local hint = "no driver container there? driver.enabled=false has none to delete"
  return {
    node = one.name,
    gpus = one.gpus,
    uid = driver and driver.metadata.uid,
    pod = driver and driver.metadata.name,
    checks = {
      check("GPU node", "one with GPUs", true, ("%s, %d GPUs"):format(one.name, one.gpus)),
      check(
        "pods that use its GPUs",
        "none",
        #users == 0,
        some(users, "none"),
        "the driver's restart ends them: wait, or choose another with node="
      ),
      check(
        "driver pod",
        "Ready",
        is_ready(driver),
        driver and driver.metadata.name or "none",
        hint
      ),
    },
  }
end

-- Another driver pod than the one before, Ready, and as many GPUs as there were.
local function driver_back(k, found)
  local pod = of_daemonset(k, OPERATOR, "^nvidia%-driver%-daemonset")[found.node]
  local node = k:get("nodes", found.node)
  local gpus = math.tointeger(tonumber((node.status.allocatable or {})[GPU] or 0))
  local new = pod and pod.metadata.uid ~= found.uid
  local said = ("%s, %d of %d GPUs"):format(
    not new and "no new driver pod" or pod.metadata.name .. (is_ready(pod) and "" or " not Ready"),
    gpus,
    found.gpus
  )
  return new and is_ready(pod) and gpus == found.gpus, said
end

---Deletes the driver pod, unless a run before has; its GPUs come back.
---@param ctx pai.ctx
---@param inp table
---@param found table
---@return { checks: table[] }
function M.run(ctx, inp, found)
  local k = ctx.k8s(inp.context)
  local now = k:get("pods", found.pod, { namespace = OPERATOR, accept = { "NotFound" } })
  if now and now.metadata.uid == found.uid then
    k:delete("pods", found.pod, { namespace = OPERATOR, uid = found.uid, absent = true })
    ctx.log(("%s on %s is deleted"):format(found.pod, found.node))
  end
  local seen
  local ok, e = pcall(patience.wait, ctx, k, {
    what = "the GPUs of " .. found.node,
    namespace = OPERATOR,
    timeout = inp.timeout,
    patience = inp.patience,
    look = function()
      local back
      back, seen = driver_back(k, found)
      return back, seen
    end,
  })
  if not ok then
    watch.unless_cancelled(e)
  end
  local hint = "its log: is a GPU in use, does it build for the node's kernel?"
  local expected = ("%d, by a new driver pod"):format(found.gpus)
  local checks = {
    check("GPUs of " .. found.node, expected, ok, ok and seen or watch.said(e), hint),
  }
  if ok then
    local computed = trials.vectoradd(ctx, inp, TEST, { { name = found.node, gpus = 1 } })
    table.move(computed.checks, 1, #computed.checks, 2, checks)
  end
  return { checks = checks }
end

---@param ctx pai.ctx
---@param inp table
function M.undo(ctx, inp)
  probe.clean(ctx, inp, TEST)
end

return M
