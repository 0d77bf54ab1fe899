-- The stack in the reverse of its order. Volumes go only when told to, and Kubernetes itself only
-- when the cluster's name is typed: reset.yml wipes the hosts.
local away = require("cluster-onprem.away")
local cluster = require("cluster-onprem.cluster")
local inputs = require("cluster-onprem.inputs")
local kubespray = require("cluster-onprem.kubespray")
local lock = require("cluster-onprem.lock")
local objects = require("cluster-onprem.objects")
local stack = require("cluster-onprem.stack")

local function wants_stack(inp)
  return inp.stack, "stack=false"
end

local function wants_volumes(inp)
  if not inp.stack then
    return false, "stack=false"
  end
  return inp.volumes, "volumes=true removes Longhorn, and with it every volume"
end

local function wants_reset(inp)
  return inp.reset ~= nil, "reset=" .. inp.context .. " wipes Kubernetes off the hosts"
end

-- A release goes; `before` takes away what its operator has to clean up itself.
local function uninstall(id, after, opts)
  opts = opts or {}
  return {
    name = id,
    after = after,
    when = opts.when or wants_stack,
    timeout = "1h",
    done = function(ctx, inp)
      if away.gone(ctx, inp) then
        return {}
      end
      local one = stack.chart(id, inp)
      return not stack.status(ctx, inp, one) and {} or nil
    end,
    run = function(ctx, inp)
      local one = stack.chart(id, inp)
      if opts.before then
        opts.before(ctx, inp, ctx.k8s(inp.context))
      end
      local at = stack.at(inp, one)
      at.timeout = "10m"
      return { removed = ctx.tools.helm.uninstall(one.id, at) }
    end,
  }
end

return {
  summary = "Takes the stack away; volumes and Kubernetes itself only when told to.",
  safety = "destroys",
  inputs = inputs.of(inputs.ssh, inputs.optional(inputs.nodes), inputs.machine, {
    context = {
      type = "string",
      pattern = "%w[%w._-]*",
      doc = "The cluster, by its context in the kubeconfig.",
    },
    kubeconfig = {
      type = "path",
      default = "~/.kube/config",
      doc = "Where the context is, and is taken from after a reset.",
    },
    stack = {
      type = "boolean",
      default = true,
      doc = "Take the releases away; false leaves them to a reset.",
    },
    volumes = {
      type = "boolean",
      default = false,
      doc = "Remove Longhorn and the metrics that Prometheus kept.",
    },
    reset = {
      type = "string",
      optional = true,
      doc = "The context's name once more: runs Kubespray's reset.yml on every host.",
    },
    site = { type = "path", optional = true, doc = "Folder that deploy was given." },
    kubespray = { type = "path", optional = true, doc = "Checkout that deploy was given." },
  }),
  needs = {
    bins = { "helm", "git", "ssh", "ansible-playbook" },
    clusters = { "@context" },
    writes = { "@kubeconfig", "@site" },
    reads = { "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes" },
  },
  locks = function(inp)
    return { "kube:" .. inp.context, inp.site and "kubespray:" .. inp.site or nil }
  end,
  steps = {
    { name = "meant", title = "What was asked for makes sense", checks = away.meant },
    uninstall("runai-cluster", { "meant" }),
    uninstall("runai-backend", { "runai-cluster" }),
    uninstall("gpu-operator", { "runai-backend" }),
    uninstall("network-operator", { "gpu-operator" }, {
      before = function(_, _, k)
        -- Finalizers of these are the operator's work: they go while it is there.
        for _, kind in ipairs({ objects.RAIL, objects.IP_POOL }) do
          local found = k:list(
            kind,
            { labels = objects.LABEL .. "=pai", accept = { "NotFound", "NoKind" }, all = true }
          )
          for _, one in ipairs(found or {}) do
            one.apiVersion, one.kind = kind.apiVersion, kind.kind
          end
          away.delete_all(k, found or {})
        end
        away.delete_all(k, objects.policy())
      end,
    }),
    uninstall("kube-prometheus-stack", { "network-operator" }),
    uninstall("metallb", { "kube-prometheus-stack" }, {
      before = function(_, _, k)
        away.delete_all(k, objects.metallb({ metallb = "0.0.0.0" }))
      end,
    }),
    {
      name = "metrics",
      title = "Prometheus' volumes",
      after = { "metallb" },
      when = wants_volumes,
      timeout = "20m",
      done = function(ctx, inp)
        return (away.gone(ctx, inp) or #away.own_claims(ctx.k8s(inp.context)) == 0) and {} or nil
      end,
      run = function(ctx, inp)
        local k = ctx.k8s(inp.context)
        for _, one in ipairs(away.own_claims(k)) do
          local opts = { namespace = away.MONITORING, wait = true, absent = true, timeout = "10m" }
          k:delete("persistentvolumeclaims", one.metadata.name, opts)
        end
        ctx.wait(function()
          for _, one in ipairs(away.volumes(k)) do
            if one:find("^" .. away.MONITORING .. "/") then
              return false
            end
          end
          return true
        end, {
          every = "2s",
          timeout = "10m",
          what = "the volumes of " .. away.MONITORING .. " to go",
        })
        return {}
      end,
    },
    uninstall("longhorn", { "metrics" }, { when = wants_volumes, before = away.confirm_longhorn }),
    {
      name = "namespaces",
      after = { "longhorn" },
      when = wants_stack,
      timeout = "1h",
      done = function(ctx, inp)
        return (away.gone(ctx, inp) or #away.namespaces(ctx, inp) == 0) and {} or nil
      end,
      run = function(ctx, inp)
        local list = away.namespaces(ctx, inp)
        for _, name in ipairs(list) do
          local opts = { wait = true, absent = true, timeout = "15m" }
          ctx.k8s(inp.context):delete("namespaces", name, opts)
        end
        return { deleted = list }
      end,
    },
    {
      name = "reset",
      title = "Kubespray's reset.yml",
      after = { "namespaces" },
      when = wants_reset,
      timeout = "2h",
      done = function(ctx, inp)
        return #away.kept_on_hosts(ctx, inp) == 0 and {} or nil
      end,
      run = function(ctx, inp)
        if kubespray.checkout(ctx, inp) ~= lock.kubespray.commit then
          error(inp.kubespray .. " is not at the commit that deploy used", 0)
        end
        local opts = { timeout = "90m", extra = { "--extra-vars", "reset_confirmation=yes" } }
        local recap = kubespray.play(ctx, inp, "reset.yml", opts)
        local left = away.kept_on_hosts(ctx, inp)
        if #left > 0 then
          error("reset.yml ended well, but Kubernetes is on " .. table.concat(left, ", "), 0)
        end
        cluster.forget(ctx, inp)
        return { recap = recap }
      end,
    },
    {
      name = "context",
      title = "The context of a cluster that is no more",
      after = { "reset" },
      when = wants_reset,
      timeout = "5m",
      done = function(ctx, inp)
        return away.gone(ctx, inp) and {} or nil
      end,
      run = function(ctx, inp)
        return { removed = ctx.kubeconfig.remove(inp.kubeconfig, inp.context) ~= false }
      end,
    },
  },
  examples = {
    "pai teardown cluster-onprem context=racks",
    "pai teardown cluster-onprem context=racks volumes=true reset=racks site=racks "
      .. "kubespray=kubespray control_planes=cp1,cp2,cp3 workers=gpu1",
  },
}
