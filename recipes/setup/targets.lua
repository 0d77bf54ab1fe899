-- Which choices of targets make no sense, and which components the others come to. What goes with
-- what is data that the component driver reads too (lua/pai/shared/stages.lua).
local stages = require("pai.shared.stages")

local M = {}

M.CLUSTERS = stages.CLUSTERS
M.OSMO = stages.OSMO
M.INFERENCE = stages.INFERENCE
M.LOGIN = stages.LOGIN

---The inference backends that were chosen, without "none".
---@param inp table
---@return string[]
function M.backends(inp)
  local list, seen = {}, {}
  for _, name in ipairs(inp.inference or {}) do
    if name ~= "none" and not seen[name] then
      seen[name] = true
      list[#list + 1] = name
    end
  end
  return list
end

local function has(list, value)
  for _, entry in ipairs(list or {}) do
    if entry == value then
      return true
    end
  end
  return false
end

local function check(name, problem, measured, hint)
  return {
    name = name,
    state = problem and "red" or "ok",
    measured = problem or measured,
    hint = problem and hint or nil,
  }
end

local function inference(inp)
  local given = inp.inference or {}
  local backends = M.backends(inp)
  if #given == 0 then
    return "no backend is chosen", "inference=nim, nvcf, foundry or none"
  elseif has(given, "none") and #backends > 0 then
    return "none and " .. table.concat(backends, ", ") .. " at once", "choose one of them"
  end
  for _, backend in ipairs(backends) do
    local why, hint = stages.rejected(inp.cluster, backend, inp.gpu)
    if why then
      return why, hint
    end
  end
end

local function capabilities(inp)
  local backends = M.backends(inp)
  local missing = stages.missing(inp.capabilities or {}, backends)
  return #missing > 0
      and ("%s can't do %s"):format(
        #backends > 0 and table.concat(backends, ", ") or "no inference",
        table.concat(missing, ", ")
      )
    or nil
end

local function spot(inp)
  if not inp.spot then
    return nil
  elseif inp.cluster ~= "azure" then
    return "Spot nodes are Azure's"
  end
  for _, text in ipairs(inp.tolerations or {}) do
    if text:sub(1, #stages.SPOT) == stages.SPOT then
      return nil
    end
  end
  if has(M.backends(inp), "nim") then
    return "Spot nodes are tainted, and no NIM would tolerate it"
  end
end

---What is wrong with a choice, and what is right, as checks of a gate.
---@param inp table
---@return table[]
function M.checks(inp)
  local wrong, hint = inference(inp)
  local chosen = table.concat(inp.inference or {}, ", ")
  local osmo = M.OSMO[inp.cluster]
  local follows = inp.osmo and inp.osmo ~= osmo
  local needs_spec = inp.workload == "custom" and not inp.spec
  local lacks = capabilities(inp)
  local tainted = spot(inp)
  local several = #M.backends(inp) > 1 and " (several, as was given)" or ""
  return {
    check("cluster", nil, M.CLUSTERS[inp.cluster]),
    check(
      "osmo",
      follows and ("%s does not go with cluster=%s"):format(inp.osmo, inp.cluster) or nil,
      osmo,
      "it follows from the cluster: leave osmo out, or osmo=" .. osmo
    ),
    check("inference", wrong, chosen .. several, hint),
    check(
      "capabilities",
      lacks,
      #(inp.capabilities or {}) > 0 and table.concat(inp.capabilities, ", ") or "none is named",
      "choose a backend that can, or another model in the workload"
    ),
    check(
      "spot",
      tainted,
      inp.spot and "tolerated" or "no Spot nodes",
      ("tolerations=%s=spot:NoSchedule"):format(stages.SPOT)
    ),
    check(
      "workload",
      needs_spec and "custom, and no spec is given" or nil,
      inp.workload,
      "spec=FILE is the workflow that is to run"
    ),
  }
end

---The files that were given are there.
---@param ctx pai.ctx
---@param inp table
---@return table[]
function M.files(ctx, inp)
  local checks = {}
  for _, name in ipairs({ "spec", "config" }) do
    if inp[name] then
      local there = ctx.fs.exists(inp[name])
      local missing = not there and ("there is no file %s"):format(inp[name]) or nil
      checks[#checks + 1] = check(name, missing, inp[name], ("%s=FILE"):format(name))
    end
  end
  return checks
end

---Whether all of them are green.
---@param inp table
---@return boolean
function M.valid(inp)
  for _, one in ipairs(M.checks(inp)) do
    if one.state == "red" then
      return false
    end
  end
  return true
end

---Whether a component is a cluster that others have made: it has a gate, and nothing is deployed.
---@param component string
---@return boolean
function M.is_there(component)
  return component == M.CLUSTERS.onprem
end

---Every component of a choice, in the order of its use.
---@param inp table
---@return string[]
function M.components(inp)
  return stages.components(inp.cluster, M.backends(inp), inp.chat_only)
end

return M
