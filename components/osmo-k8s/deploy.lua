-- Each step asks first whether it is done, so that a second run changes nothing.
local checks = require("pai.shared.osmo_checks")
local entitlement = require("pai.shared.entitlement")
local osmo = require("pai.shared.osmo")
local plan = require("osmo-k8s.plan")

local conf <const> = plan.conf

local WHOSE <const> = {
  addon = "that of MicroK8s' addon",
  existing = "one that others have made",
  own = "pai's own",
  install = "is to be installed",
}

local function cluster(ctx, inp)
  local list = checks.cluster(ctx, inp, conf(ctx, inp))
  list[#list + 1] = {
    name = "MinIO",
    expected = "one with its credentials, or none yet",
    timeout = "90s",
    hint = "microk8s status; a MinIO of others needs the Secret minio-root with root-user and "
      .. "root-password",
    run = function()
      local whose, why = ctx.osmo_deploy.minio_whose(conf(ctx, inp))
      local found = { state = whose and "ok" or "red", measured = WHOSE[whose] or why }
      local image = ctx.osmo_deploy.LOCK.images.minio
      return whose == "install" and entitlement.also(found, entitlement.images(ctx, inp, { image }))
        or found
    end,
  }
  list[#list + 1] = {
    name = "GPU Operator",
    expected = "there, or may be installed",
    timeout = "90s",
    hint = "a handler can't be changed: pai deploy cluster-microk8s gpu=true makes it anew",
    run = function()
      local install, why = plan.gpu_operator(ctx, inp)
      local measured = install and "is to be installed" or why
      local found = { state = install == nil and "red" or "ok", measured = measured }
      local lock = ctx.osmo_deploy.LOCK.gpu_operator
      local chart = { ["gpu-operator"] = lock.version }
      return install and entitlement.also(found, entitlement.charts(ctx, inp, lock.repo, chart))
        or found
    end,
  }
  return list
end

local GPU_OPERATOR <const> = {
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
    local at = { context = inp.context, kubeconfig = inp.kubeconfig, namespace = "gpu-operator" }
    ctx.tools.helm.unlock("gpu-operator", at)
    ctx.k8s(inp.context):guarded({ namespace = at.namespace }, function()
      ctx.tools.helm.upgrade("gpu-operator", "gpu-operator", {
        context = at.context,
        kubeconfig = at.kubeconfig,
        namespace = at.namespace,
        repo = entitlement.repo(inp, lock.repo),
        version = lock.version,
        timeout = "10m",
      })
    end)
    return { why = "installed " .. lock.version }
  end,
}

local function bucket()
  local step = { name = "storage", after = { "secrets", "minio" }, timeout = "15m" }
  return osmo.part(step, conf, function(deploy, c)
    return deploy.bucket_ready(c)
  end, function(deploy, c)
    return deploy.bucket(c)
  end)
end

return {
  summary = "Deploys OSMO, or brings a deployment up to the versions of the lock.",
  safety = "changes",
  needs = { hosts = { "@url", "github.com" } },
  locks = function(inp)
    return { "kube:" .. inp.context }
  end,
  steps = osmo.releases({
    {
      name = "preflight",
      use = "osmo-k8s.preflight",
      with = function(inp)
        return inp
      end,
    },
    { name = "cluster", after = { "preflight" }, timeout = "5m", checks = cluster },
    osmo.simple({ name = "namespaces", after = { "cluster" }, timeout = "15m" }, conf),
    osmo.scheduler(conf),
    GPU_OPERATOR,
    osmo.simple({ name = "secrets", after = { "namespaces" }, timeout = "5m" }, conf),
    osmo.simple({ name = "stores", after = { "secrets" }, timeout = "15m" }, conf),
    osmo.simple({ name = "minio", after = { "cluster" }, timeout = "30m" }, conf),
    bucket(),
  }, { "stores", "storage", "scheduler", "gpu-operator" }, conf),
  examples = { "pai deploy osmo-k8s context=microk8s gpu=false" },
}
