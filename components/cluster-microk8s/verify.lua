local node = require("cluster-microk8s.node")

-- What is followed decides what the next refresh brings.
local function channel(ctx)
  return {
    name = "MicroK8s",
    expected = "channel " .. node.LOCK.channel,
    hint = "snap refresh microk8s --channel=" .. node.LOCK.channel,
    run = function()
      if not ctx.which("snap") then
        return { state = "skipped", measured = "no snap here" }
      end
      local found = ctx.tools.snap.installed("microk8s")
      if not found then
        return { state = "skipped", measured = "it is not on this machine" }
      end
      return {
        state = found.channel == node.LOCK.channel and "ok" or "warn",
        measured = ("%s from channel %s"):format(found.version, found.channel),
      }
    end,
  }
end

return {
  summary = "The gate of the cluster: API, nodes, storage class, runtime class, pods, GPUs.",
  safety = "observes",
  steps = {
    { name = "cluster", checks = node.gate },
    {
      name = "versions",
      title = "Beside the lock",
      checks = function(ctx)
        return { channel(ctx) }
      end,
    },
  },
}
