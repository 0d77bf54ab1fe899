-- The step of a cluster's teardown that ends the port-forwards which lead to it: they would dial a
-- cluster that is gone.
local M = {}

---@param after string[]?
---@return table step
function M.step(after)
  return {
    name = "forwards",
    after = after,
    timeout = "5m",
    done = function(ctx, inp)
      return #ctx.osmo_deploy.forwards(inp.context) == 0 and { stopped = {} } or nil
    end,
    run = function(ctx, inp)
      return { stopped = ctx.osmo_deploy.stop_forwards(inp.context) }
    end,
  }
end

return M
