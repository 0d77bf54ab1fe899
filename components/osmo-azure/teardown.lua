-- The key first: with the namespace it would be gone, while the database keeps what it encrypted.
-- Nothing of Azure is asked: the state may be gone already.
local function conf(ctx, inp)
  return {
    context = inp.context,
    kubeconfig = inp.kubeconfig,
    namespaces = ctx.osmo_deploy.NAMESPACES,
    port = inp.port,
  }
end

local function uninstall(which, after)
  return {
    name = "uninstall-" .. which,
    after = after,
    timeout = "15m",
    done = function(ctx, inp)
      return not ctx.osmo_deploy.installed(conf(ctx, inp), which) and {} or nil
    end,
    run = function(ctx, inp)
      return { removed = ctx.osmo_deploy.uninstall(conf(ctx, inp), which) }
    end,
  }
end

return {
  summary = "Exports the master key, uninstalls both releases and deletes the namespaces.",
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
        return ctx.osmo_deploy.namespaces_gone(conf(ctx, inp)) and { exported = false } or nil
      end,
      run = function(ctx, inp)
        local there = ctx.osmo_deploy.export_mek(conf(ctx, inp), inp.mek_out)
        return { exported = there, path = there and inp.mek_out or nil }
      end,
    },
    {
      name = "forward",
      after = { "master-key" },
      timeout = "2m",
      done = function(ctx, inp)
        return not ctx.osmo_deploy.forward_runs(conf(ctx, inp)) and {} or nil
      end,
      run = function(ctx, inp)
        return { stopped = ctx.osmo_deploy.stop_forward(conf(ctx, inp)) }
      end,
    },
    uninstall("operator", { "forward" }),
    uninstall("service", { "uninstall-operator" }),
    {
      name = "namespaces",
      after = { "uninstall-service" },
      timeout = "50m",
      done = function(ctx, inp)
        return ctx.osmo_deploy.namespaces_gone(conf(ctx, inp)) and {} or nil
      end,
      run = function(ctx, inp)
        ctx.osmo_deploy.delete_namespaces(conf(ctx, inp))
        return {}
      end,
    },
  },
  returns = {
    mek = { type = "path", from = "master-key.path", doc = "Where the master key is." },
  },
}
