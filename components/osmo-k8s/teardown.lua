-- The key first: with the namespace it would be gone, and what it encrypted with it.
local plan = require("osmo-k8s.plan")

local function uninstall(which, after)
  return {
    name = "uninstall-" .. which,
    after = after,
    timeout = "15m",
    done = function(ctx, inp)
      return not ctx.osmo_deploy.installed(plan.conf(ctx, inp), which) and {} or nil
    end,
    run = function(ctx, inp)
      return { removed = ctx.osmo_deploy.uninstall(plan.conf(ctx, inp), which) }
    end,
  }
end

return {
  summary = "Exports the master key, uninstalls both releases, deletes the namespaces and volumes.",
  safety = "destroys",
  inputs = {
    mek_out = { type = "path", doc = "New file for the master key; it gets the mode 0600." },
  },
  needs = { writes = { "@mek_out" } },
  locks = function(inp)
    return { "kube:" .. inp.context }
  end,
  steps = {
    {
      name = "master-key",
      timeout = "2m",
      done = function(ctx, inp)
        local gone = ctx.osmo_deploy.namespaces_gone(plan.conf(ctx, inp))
        return gone and { exported = false } or nil
      end,
      run = function(ctx, inp)
        local conf = plan.conf(ctx, inp)
        local there = ctx.osmo_deploy.export_mek(conf, inp.mek_out)
        return { exported = there, path = there and inp.mek_out or nil }
      end,
    },
    {
      name = "forward",
      after = { "master-key" },
      timeout = "2m",
      done = function(ctx, inp)
        return not ctx.osmo_deploy.forward_runs(plan.conf(ctx, inp)) and {} or nil
      end,
      run = function(ctx, inp)
        return { stopped = ctx.osmo_deploy.stop_forward(plan.conf(ctx, inp)) }
      end,
    },
    uninstall("operator", { "forward" }),
    uninstall("service", { "uninstall-operator" }),
    {
      name = "namespaces",
      after = { "uninstall-service" },
      timeout = "50m",
      done = function(ctx, inp)
        return ctx.osmo_deploy.namespaces_gone(plan.conf(ctx, inp)) and {} or nil
      end,
      run = function(ctx, inp)
        ctx.osmo_deploy.delete_namespaces(plan.conf(ctx, inp))
        return {}
      end,
    },
  },
  returns = {
    mek = { type = "path", from = "master-key.path", doc = "Where the master key is." },
  },
}
