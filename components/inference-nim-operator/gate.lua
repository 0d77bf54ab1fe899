-- What must hold of the operator and of each NIM, for deploy's end and for verify.
local catalog = require("inference-nim-operator.catalog")
local converge = require("inference-nim-operator.converge")

local M = {}

local CRD <const> = "nimservices.apps.nvidia.com"

---@param inp table
---@return table where for helm
function M.at(inp)
  return {
    context = inp.context,
    kubeconfig = inp.kubeconfig,
    namespace = catalog.OPERATOR_NAMESPACE,
  }
end

---The release as it should be.
---@param ctx pai.ctx
---@param inp table
---@return table? release when it is deployed in the version of the lock
---@return string said
function M.release(ctx, inp)
  local release = ctx.tools.helm.status("nim-operator", M.at(inp))
  if not release then
    return nil, "there is no release"
  end
  local want = ("%s-%s"):format(catalog.LOCK.chart, catalog.LOCK.operator)
  local said = ("%s, %s"):format(release.status, release.chart or "chart unknown")
  if release.status ~= "deployed" or (release.chart and release.chart ~= want) then
    return nil, said
  end
  return release, said
end

local function release_check(ctx, inp)
  return {
    name = "release nim-operator",
    expected = ("deployed, %s-%s"):format(catalog.LOCK.chart, catalog.LOCK.operator),
    hint = "helm history nim-operator -n nim-operator; a pending one is rolled back first",
    run = function()
      local release, said = M.release(ctx, inp)
      return { state = release and "ok" or "red", measured = said }
    end,
  }
end

local function crd_check(k)
  return {
    name = "CRD " .. CRD,
    expected = "established",
    run = function()
      local crd = k:get("crd", CRD, { accept = { "NotFound" } })
      for _, c in ipairs(crd and crd.status and crd.status.conditions or {}) do
        if c.type == "Established" and c.status == "True" then
          return { state = "ok", measured = "established" }
        end
      end
      return { state = "red", measured = crd and "not established" or "there is none" }
    end,
  }
end

local function pods_check(k)
  return {
    name = "pods of " .. catalog.OPERATOR_NAMESPACE,
    expected = "all Ready",
    hint = "pai k8s diagnose --context CONTEXT -n nim-operator",
    run = function()
      local bad, n = {}, 0
      for _, pod in ipairs(k:list("pods", { namespace = catalog.OPERATOR_NAMESPACE })) do
        n = n + 1
        local fine = pod.status and pod.status.phase == "Succeeded"
        for _, c in ipairs(pod.status and pod.status.conditions or {}) do
          fine = fine or (c.type == "Ready" and c.status == "True")
        end
        bad[#bad + 1] = not fine and pod.metadata.name or nil
      end
      local said = n == 0 and "no pod" or #bad > 0 and "not Ready: " .. table.concat(bad, ", ")
      return { state = said and "red" or "ok", measured = said or ("%d Ready"):format(n) }
    end,
  }
end

---The operator's checks.
---@param ctx pai.ctx
---@param inp table
---@return table[]
function M.operator(ctx, inp)
  local k = ctx.k8s(inp.context)
  return { release_check(ctx, inp), crd_check(k), pods_check(k) }
end

local function service_check(ctx, k, name, inp)
  return {
    name = "NIMService " .. name,
    expected = "Ready, as it was deployed",
    hint = "pai deploy inference-nim-operator with the same inputs brings it back",
    run = function()
      local _, digest = converge.wanted(ctx, name, inp)
      local state, why = converge.state(converge.find(k, name), digest)
      return { state = state == "ready" and "ok" or "red", measured = why }
    end,
  }
end

local function waste_check(k, names)
  return {
    name = "NIMs that nothing references",
    expected = "none",
    hint = "each holds GPUs and storage: pai teardown inference-nim-operator nims=NAME",
    run = function()
      local wanted, extra = {}, {}
      for _, name in ipairs(names) do
        wanted[name] = true
      end
      for _, object in ipairs(k:list(converge.SERVICE, { namespace = catalog.NAMESPACE })) do
        local name = object.metadata.name
        extra[#extra + 1] = not wanted[name] and name or nil
      end
      table.sort(extra)
      local said = #extra > 0 and table.concat(extra, ", ") or "none"
      return { state = #extra > 0 and "warn" or "ok", measured = said }
    end,
  }
end

---The checks of the NIMs.
---@param ctx pai.ctx
---@param inp table
---@param names string[]
---@return table[]
function M.services(ctx, inp, names)
  local k = ctx.k8s(inp.context)
  local checks = {}
  for _, name in ipairs(names) do
    checks[#checks + 1] = service_check(ctx, k, name, inp)
    checks[#checks + 1] = converge.endpoint(k, name)
  end
  checks[#checks + 1] = waste_check(k, names)
  checks[#checks + 1] = ctx.check.kube.in_order(inp.context, { catalog.NAMESPACE })
  return checks
end

return M
