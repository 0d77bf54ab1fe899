-- Operator, Secrets, then each NIM side by side until it answers.
local catalog = require("inference-nim-operator.catalog")
local converge = require("inference-nim-operator.converge")
local entitled = require("inference-nim-operator.entitled")
local entitlement = require("pai.shared.entitlement")
local fit = require("inference-nim-operator.fit")
local gate = require("inference-nim-operator.gate")
local objects = require("inference-nim-operator.objects")
local secrets = require("inference-nim-operator.secrets")
local select = require("inference-nim-operator.select")
local storage = require("inference-nim-operator.storage")

local NAMESPACES <const> = { catalog.OPERATOR_NAMESPACE, catalog.NAMESPACE }

local function missing_namespaces(k)
  local list = {}
  for _, name in ipairs(NAMESPACES) do
    local there = k:get("ns", name, { accept = { "NotFound" } })
    local ending = there and there.metadata.deletionTimestamp
    if ending then
      error(("the namespace %s is being deleted: wait until it is gone"):format(name), 0)
    end
    list[#list + 1] = not there and name or nil
  end
  return list
end

local function secret_checks(ctx, names)
  local checks = { ctx.check.secret("ngc") }
  if objects.secrets(names)["hf-token-secret"] then
    checks[2] = ctx.check.secret("hf")
  end
  return checks
end

return {
  summary = "Installs NIM Operator and brings up the NIMs that are named, until they answer.",
  safety = "changes",
  needs = { clusters = { "@context" } },
  locks = function(inp)
    return { "kube:" .. inp.context }
  end,
  estimate = function(_, inp)
    local most, downloads = 0, 0
    for _, name in ipairs(select.known(inp)) do
      local entry = catalog.NIMS[name]
      most = math.max(most, catalog.startup_minutes(entry))
      downloads = math.max(downloads, not entry.hf and 0 or entry.gpus > 1 and 180 or 60)
    end
    return {
      { name = "operator", min = "30s", max = "6m" },
      { name = "downloads", min = "0s", max = downloads .. "m" },
      { name = "start of the slowest NIM", min = "2m", max = most + 30 .. "m" },
    }
  end,
  steps = {
    {
      name = "fit",
      timeout = "3m",
      checks = function(ctx, inp)
        local checks = select.checks(inp)
        local known = select.known(inp)
        for _, check in ipairs(secret_checks(ctx, known)) do
          checks[#checks + 1] = check
        end
        local k = ctx.k8s(inp.context)
        checks[#checks + 1] = {
          name = "StorageClass",
          run = function()
            return storage.look(k, inp.storage_class)
          end,
        }
        checks[#checks + 1] = {
          name = "GPU fit",
          run = function()
            return fit.live(k, known)
          end,
        }
        local _, problem = objects.tolerations(inp.tolerations)
        checks[#checks + 1] = problem
          and { name = "tolerations", state = "red", measured = problem }
        return checks
      end,
    },
    entitled.step({ "fit" }),
    {
      name = "namespaces",
      after = { "entitlement" },
      timeout = "2m",
      done = function(ctx, inp)
        return #missing_namespaces(ctx.k8s(inp.context)) == 0 and {} or nil
      end,
      run = function(ctx, inp)
        local k = ctx.k8s(inp.context)
        for _, name in ipairs(missing_namespaces(k)) do
          k:apply({ apiVersion = "v1", kind = "Namespace", metadata = { name = name } })
        end
        return {}
      end,
    },
    {
      name = "secrets",
      after = { "namespaces" },
      timeout = "2m",
      done = function(ctx, inp)
        local wanted = secrets.wanted(ctx, select.known(inp))
        return #secrets.stale(ctx.k8s(inp.context), wanted) == 0 and {} or nil
      end,
      run = function(ctx, inp)
        local k = ctx.k8s(inp.context)
        local made = {}
        for i, one in ipairs(secrets.stale(k, secrets.wanted(ctx, select.known(inp)))) do
          secrets.apply(k, one)
          made[i] = ("%s/%s"):format(one.namespace, one.name)
        end
        return { made = made }
      end,
    },
    {
      name = "operator",
      after = { "secrets" },
      timeout = "15m",
      done = function(ctx, inp)
        local release = gate.release(ctx, inp)
        return release and { version = catalog.LOCK.operator } or nil
      end,
      run = function(ctx, inp)
        local at = gate.at(inp)
        ctx.tools.helm.unlock("nim-operator", at)
        ctx.k8s(inp.context):guarded({ namespace = at.namespace }, function()
          ctx.tools.helm.upgrade("nim-operator", catalog.LOCK.chart, {
            context = at.context,
            kubeconfig = at.kubeconfig,
            namespace = at.namespace,
            repo = entitlement.repo(inp, catalog.LOCK.repo),
            version = catalog.LOCK.operator,
            timeout = "5m",
            deadline = "10m",
          })
        end)
        return { version = catalog.LOCK.operator }
      end,
      verify = function(ctx, inp)
        return gate.operator(ctx, inp)
      end,
    },
    {
      name = "nims",
      after = { "operator" },
      timeout = "5h",
      limit = 8,
      each = function(_, inp)
        local items = {}
        for i, name in ipairs(select.known(inp)) do
          items[i] = { key = name }
        end
        return items
      end,
      done = function(ctx, inp, _, item)
        local _, digest = converge.wanted(ctx, item.key, inp)
        local state = converge.state(converge.find(ctx.k8s(inp.context), item.key), digest)
        return state == "ready" and { name = item.key, digest = digest } or nil
      end,
      run = function(ctx, inp, _, item)
        return converge.up(ctx, ctx.k8s(inp.context), item.key, inp)
      end,
    },
    {
      name = "gate",
      after = { "nims" },
      timeout = "3m",
      checks = function(ctx, inp)
        return gate.services(ctx, inp, select.known(inp))
      end,
    },
  },
  examples = { "pai deploy inference-nim-operator context=lab nims=qwen25-14b" },
}
