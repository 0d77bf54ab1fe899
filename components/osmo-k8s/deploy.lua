-- Each step asks first whether it is done, so that a second run changes nothing.
local plan = require("osmo-k8s.plan")

-- A step that one question and one act of ctx.osmo_deploy make up.
local function part(name, after, timeout, ready, act)
  return {
    name = name,
    after = after,
    timeout = timeout,
    done = function(ctx, inp)
      return ready(ctx, plan.conf(ctx, inp)) and {} or nil
    end,
    run = function(ctx, inp)
      return act(ctx, plan.conf(ctx, inp)) or {}
    end,
  }
end

local function simple(name, after, timeout)
  return part(name, after, timeout, function(ctx, conf)
    return ctx.osmo_deploy[name .. "_ready"](conf)
  end, function(ctx, conf)
    ctx.osmo_deploy[name](conf)
  end)
end

local function place(inp, namespace)
  return { context = inp.context, kubeconfig = inp.kubeconfig, namespace = namespace }
end

local function release(which, after)
  return part(which, after, "30m", function(ctx, conf)
    return ctx.osmo_deploy.release_ready(conf, which)
  end, function(ctx, conf)
    local made = ctx.osmo_deploy.release(conf, which)
    return { status = made.status, revision = made.revision }
  end)
end

local function smoke(which, after)
  return {
    name = "smoke-" .. which,
    after = after,
    timeout = "30m",
    when = which == "gpu" and function(inp)
      return inp.gpu, "gpu=false"
    end or nil,
    done = function(ctx, inp)
      return ctx.osmo_deploy.smoke_ready(plan.conf(ctx, inp), plan.url(inp), which)
    end,
    run = function(ctx, inp)
      return ctx.osmo_deploy.smoke(plan.url(inp), which)
    end,
  }
end

return {
  summary = "Deploys OSMO, or brings a deployment up to the versions of the lock.",
  safety = "changes",
  needs = { hosts = { "@url" } },
  locks = function(inp)
    return { "kube:" .. inp.context }
  end,
  steps = {
    {
      name = "cluster",
      timeout = "5m",
      checks = function(ctx, inp)
        local kube = ctx.check.kube
        return {
          kube.version(inp.context, { minimum = ctx.osmo_deploy.LOCK.kubernetes }),
          kube.nodes_ready(inp.context),
          kube.default_class(inp.context),
          {
            name = "scheduler",
            expected = "KAI, or none yet",
            hint = "pass scheduler=existing if it serves podgroups, else remove what is left of it",
            run = function()
              local decision, why = plan.scheduler(ctx, inp)
              return { state = decision and "ok" or "red", measured = decision or why }
            end,
          },
          {
            name = "GPU Operator",
            expected = "there, or may be installed",
            hint = "a handler can't be changed: pai deploy cluster-microk8s gpu=true makes it anew",
            run = function()
              local install, why = plan.gpu_operator(ctx, inp)
              local measured = install and "is to be installed" or why
              return { state = install == nil and "red" or "ok", measured = measured }
            end,
          },
        }
      end,
    },
    simple("namespaces", { "cluster" }, "15m"),
    {
      name = "scheduler",
      after = { "cluster" },
      timeout = "15m",
      done = function(ctx, inp)
        local decision = plan.scheduler(ctx, inp)
        return decision ~= "install" and { scheduler = decision } or nil
      end,
      run = function(ctx, inp)
        ctx.osmo_deploy.install_scheduler(plan.conf(ctx, inp))
        return { scheduler = "install" }
      end,
    },
    {
      name = "gpu-operator",
      after = { "cluster" },
      timeout = "30m",
      when = function(inp)
        return inp.gpu, "gpu=false"
      end,
      done = function(ctx, inp)
        local install, why = plan.gpu_operator(ctx, inp)
        return install == false and { why = why } or nil
      end,
      run = function(ctx, inp)
        local lock = ctx.osmo_deploy.LOCK.gpu_operator
        local at = place(inp, "gpu-operator")
        ctx.tools.helm.unlock("gpu-operator", at)
        ctx.tools.helm.upgrade("gpu-operator", "gpu-operator", {
          context = at.context,
          kubeconfig = at.kubeconfig,
          namespace = at.namespace,
          repo = lock.repo,
          version = lock.version,
          timeout = "10m",
        })
        return { why = "installed " .. lock.version }
      end,
    },
    simple("secrets", { "namespaces" }, "5m"),
    simple("stores", { "secrets" }, "15m"),
    part("storage", { "secrets" }, "15m", function(ctx, conf)
      return ctx.osmo_deploy.storage_ready(conf)
    end, function(ctx, conf)
      return ctx.osmo_deploy.minio(conf)
    end),
    release("service", { "stores", "storage", "scheduler", "gpu-operator" }),
    release("operator", { "service" }),
    {
      name = "gate",
      after = { "operator" },
      timeout = "10m",
      verify = function(ctx, inp)
        return ctx.osmo_deploy.checks(plan.conf(ctx, inp))
      end,
    },
    {
      name = "forward",
      after = { "gate" },
      timeout = "10m",
      when = function(inp)
        return inp.url == nil, "url is given"
      end,
      done = function(ctx, inp)
        local conf = plan.conf(ctx, inp)
        return ctx.osmo_deploy.forward_ready(conf) and { port = conf.port } or nil
      end,
      run = function(ctx, inp)
        return { port = ctx.osmo_deploy.forward(plan.conf(ctx, inp)).port }
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
  examples = { "pai deploy osmo-k8s context=microk8s gpu=false" },
}
