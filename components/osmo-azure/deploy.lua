-- Each step asks first whether it is done, so that a second run changes nothing.
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
  }
end

local function release(which, after)
  return {
    name = which,
    after = after,
    timeout = "30m",
    done = function(ctx, inp, got)
      local conf = plan.conf(ctx, inp, got.outputs)
      return ctx.osmo_deploy.release_ready(conf, which) and {} or nil
    end,
    run = function(ctx, inp, got)
      local made = ctx.osmo_deploy.release(plan.conf(ctx, inp, got.outputs), which)
      return { status = made.status, revision = made.revision }
    end,
  }
end

local function smoke(which, after)
  return {
    name = "smoke-" .. which,
    after = after,
    timeout = "30m",
    when = which == "gpu" and function(inp)
      return inp.gpu, "gpu=false"
    end or nil,
    done = function(ctx, inp, got)
      local conf = plan.conf(ctx, inp, got.outputs)
      return ctx.osmo_deploy.smoke_ready(conf, plan.url(inp), which)
    end,
    run = function(ctx, inp)
      return ctx.osmo_deploy.smoke(plan.url(inp), which)
    end,
  }
end

return {
  summary = "Deploys OSMO on AKS, or brings a deployment up to the versions of the lock.",
  safety = "changes",
  inputs = { subscription = { type = "string", doc = "Id or name of the subscription." } },
  needs = { hosts = { "@url" } },
  locks = function(inp)
    return { "kube:" .. inp.context }
  end,
  steps = {
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
    {
      name = "cluster",
      after = { "outputs" },
      timeout = "5m",
      checks = function(ctx, inp, got)
        local kube = ctx.check.kube
        local list = {
          plan.same_cluster(ctx, inp, got.outputs),
          kube.version(inp.context, { minimum = ctx.osmo_deploy.LOCK.kubernetes }),
          kube.nodes_ready(inp.context),
          kube.default_class(inp.context),
          {
            name = "scheduler",
            expected = "KAI, or none yet",
            hint = "pass scheduler=existing if it serves podgroups, else remove what is left of it",
            run = function()
              local conf = plan.conf(ctx, inp, got.outputs)
              local decision, why = ctx.osmo_deploy.scheduler(conf, inp.scheduler)
              return { state = decision and "ok" or "red", measured = decision or why }
            end,
          },
        }
        if inp.gpu then
          list[#list + 1] = kube.gpus(inp.context)
        end
        return list
      end,
    },
    {
      name = "namespaces",
      after = { "cluster" },
      timeout = "15m",
      done = function(ctx, inp, got)
        return ctx.osmo_deploy.namespaces_ready(plan.conf(ctx, inp, got.outputs)) and {} or nil
      end,
      run = function(ctx, inp, got)
        ctx.osmo_deploy.namespaces(plan.conf(ctx, inp, got.outputs))
        return {}
      end,
    },
    {
      name = "scheduler",
      after = { "cluster" },
      timeout = "15m",
      done = function(ctx, inp, got)
        local conf = plan.conf(ctx, inp, got.outputs)
        local decision = ctx.osmo_deploy.scheduler(conf, inp.scheduler)
        return decision ~= "install" and { scheduler = decision } or nil
      end,
      run = function(ctx, inp, got)
        ctx.osmo_deploy.install_scheduler(plan.conf(ctx, inp, got.outputs))
        return { scheduler = "install" }
      end,
    },
    {
      -- Only for a key that is to be made: where it is, nobody asks the database.
      name = "database",
      after = { "namespaces" },
      timeout = "10m",
      done = function(ctx, inp, got)
        local conf = plan.conf(ctx, inp, got.outputs)
        return (inp.mek or ctx.osmo_deploy.has_mek(conf)) and { asked = false, tables = 0 } or nil
      end,
      run = function(ctx, inp, got)
        local conf = plan.opened(ctx, inp, got.outputs)
        return { asked = true, tables = ctx.osmo_deploy.database_tables(conf) }
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
        local conf = plan.opened(ctx, inp, got.outputs)
        conf.database_has_data = got.database.tables > 0
        ctx.osmo_deploy.secrets(conf)
        return {}
      end,
    },
    {
      name = "storage",
      after = { "namespaces" },
      timeout = "5m",
      done = function(ctx, inp, got)
        local given = plan.storage(ctx, inp, got.outputs)
        return ctx.osmo_deploy.azure_blob_ready(plan.conf(ctx, inp, got.outputs), given) and {}
          or nil
      end,
      run = function(ctx, inp, got)
        local given = plan.storage(ctx, inp, got.outputs)
        ctx.osmo_deploy.azure_blob(plan.conf(ctx, inp, got.outputs), given)
        return {}
      end,
    },
    release("service", { "secrets", "storage", "scheduler" }),
    release("operator", { "service" }),
    {
      name = "gate",
      after = { "operator" },
      timeout = "10m",
      verify = function(ctx, inp, got)
        return ctx.osmo_deploy.checks(plan.conf(ctx, inp, got.outputs))
      end,
    },
    {
      name = "forward",
      after = { "gate" },
      timeout = "10m",
      when = function(inp)
        return inp.url == nil, "url is given"
      end,
      done = function(ctx, inp, got)
        local conf = plan.conf(ctx, inp, got.outputs)
        return ctx.osmo_deploy.forward_ready(conf) and { port = conf.port } or nil
      end,
      run = function(ctx, inp, got)
        return { port = ctx.osmo_deploy.forward(plan.conf(ctx, inp, got.outputs)).port }
      end,
    },
    {
      name = "answers",
      after = { "forward" },
      timeout = "5m",
      verify = function(ctx, inp)
        return ctx.osmo_deploy.smoke_checks(plan.url(inp))
      end,
    },
    smoke("hello", { "answers" }),
    smoke("gpu", { "smoke-hello" }),
  },
  examples = { "pai deploy osmo-azure subscription=robots context=aks-nvpai-dev" },
}
