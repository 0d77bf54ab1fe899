-- Each step asks first whether it is done, so that a second run changes nothing.
local checks = require("pai.shared.osmo_checks")
local osmo = require("pai.shared.osmo")
local plan = require("osmo-azure.plan")

local function preflight_inputs(inp)
  return {
    subscription = inp.subscription,
    dir = inp.dir,
    context = inp.context,
    kubeconfig = inp.kubeconfig,
    ngc = inp.ngc,
    values = inp.values,
    mek = inp.mek,
    gpu = inp.gpu,
    charts = inp.charts,
    registry = inp.registry,
    skip_network = inp.skip_network,
  }
end

-- The plain outputs tell where everything is; passwords are opened where they are needed.
local function conf(ctx, inp, got)
  return plan.conf(ctx, inp, got.outputs)
end

local function cluster(ctx, inp, got)
  local list = checks.cluster(ctx, inp, conf(ctx, inp, got))
  table.insert(list, 1, plan.same_cluster(ctx, inp, got.outputs))
  if inp.gpu then
    list[#list + 1] = ctx.check.kube.gpus(inp.context)
  end
  return list
end

return {
  summary = "Deploys OSMO on AKS, or brings a deployment up to the versions of the lock.",
  safety = "changes",
  inputs = { subscription = { type = "string", doc = "Id or name of the subscription." } },
  needs = { hosts = { "@url", "github.com" } },
  locks = function(inp)
    return { "kube:" .. inp.context }
  end,
  steps = osmo.releases({
    { name = "preflight", use = "osmo-azure.preflight", with = preflight_inputs },
    {
      name = "outputs",
      after = { "preflight" },
      safety = "observes",
      timeout = "5m",
      run = function(ctx, inp)
        local missing = plan.missing(ctx, inp)
        if #missing > 0 then
          local message = "cluster-azure has no output %s in %s: deploy it first, or pass dir="
          error(message:format(table.concat(missing, ", "), inp.dir), 0)
        end
        return ctx.tools.terraform.outputs(inp.dir, plan.PLAIN)
      end,
    },
    { name = "cluster", after = { "outputs" }, timeout = "5m", checks = cluster },
    osmo.simple({ name = "namespaces", after = { "cluster" }, timeout = "15m" }, conf),
    osmo.scheduler(conf),
    {
      -- Only for a key that is to be made: where it is, nobody asks the database.
      name = "database",
      after = { "namespaces" },
      timeout = "10m",
      done = function(ctx, inp, got)
        local known = inp.mek or ctx.osmo_deploy.has_mek(conf(ctx, inp, got))
        return known and { asked = false, tables = 0 } or nil
      end,
      run = function(ctx, inp, got)
        local opened = plan.opened(ctx, inp, got.outputs)
        return { asked = true, tables = ctx.osmo_deploy.database_tables(opened) }
      end,
    },
    {
      name = "secrets",
      after = { "database" },
      timeout = "5m",
      done = function(ctx, inp, got)
        return ctx.osmo_deploy.secrets_ready(plan.opened(ctx, inp, got.outputs)) and {} or nil
      end,
      run = function(ctx, inp, got)
        local opened = plan.opened(ctx, inp, got.outputs)
        opened.database_has_data = got.database.tables > 0
        ctx.osmo_deploy.secrets(opened)
        return {}
      end,
    },
    {
      name = "storage",
      after = { "namespaces" },
      timeout = "5m",
      done = function(ctx, inp, got)
        local given = plan.storage(ctx, inp, got.outputs)
        return ctx.osmo_deploy.azure_blob_ready(conf(ctx, inp, got), given) and {} or nil
      end,
      run = function(ctx, inp, got)
        ctx.osmo_deploy.azure_blob(conf(ctx, inp, got), plan.storage(ctx, inp, got.outputs))
        return {}
      end,
    },
  }, { "secrets", "storage", "scheduler" }, conf),
  examples = { "pai deploy osmo-azure subscription=robots context=aks-nvpai-dev" },
}
