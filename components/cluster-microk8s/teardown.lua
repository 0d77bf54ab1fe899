-- The context first, if it leads here: without the cluster nobody could tell any more. One of the
-- same name that leads elsewhere stays.
local forwards = require("pai.shared.forwards")
local node = require("cluster-microk8s.node")

return {
  summary = "Takes the context away and removes MicroK8s with all of its data.",
  safety = "destroys",
  needs = { writes = { "@kubeconfig" } },
  locks = function(inp)
    return { "snap:microk8s", "kube:" .. inp.context }
  end,
  steps = {
    forwards.step(),
    {
      name = "context",
      after = { "forwards" },
      timeout = "5m",
      done = function(ctx, inp)
        local here, server = node.leads_here(ctx, inp)
        return not here and { removed = false, kept = server } or nil
      end,
      run = function(ctx, inp)
        local gone = ctx.kubeconfig.remove(inp.kubeconfig, inp.context)
        return { removed = gone ~= false, backup = gone and gone.backup }
      end,
    },
    {
      name = "remove",
      after = { "context" },
      timeout = "20m",
      done = function(ctx)
        return not ctx.tools.snap.installed("microk8s") and {} or nil
      end,
      run = function(ctx)
        ctx.tools.snap.behind(node.as_root(ctx)).remove("microk8s", { purge = true })
        return {}
      end,
      verify = function(ctx)
        return {
          {
            name = "MicroK8s",
            expected = "none",
            run = function()
              local there = ctx.tools.snap.installed("microk8s")
              return {
                state = there and "red" or "ok",
                measured = there and there.version or "none",
              }
            end,
          },
        }
      end,
    },
  },
}
