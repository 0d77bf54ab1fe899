local foundry = require("inference-azure.foundry")

return {
  summary = "Deletes the deployments of the models that are named; the account stays.",
  safety = "destroys",
  inputs = { subscription = { type = "string", doc = "Id or name of the subscription." } },
  locks = function(inp)
    return { "foundry:" .. (inp.account or inp.dir) }
  end,
  steps = {
    { name = "target", safety = "observes", timeout = "5m", run = foundry.target },
    {
      name = "model",
      after = { "target" },
      each = function(_, inp)
        local list = {}
        for i, name in ipairs(inp.models) do
          list[i] = { key = name }
        end
        return list
      end,
      timeout = "15m",
      done = function(ctx, inp, got, item)
        return not foundry.deployment(ctx, inp, got.target, item.key) and { removed = false } or nil
      end,
      run = function(ctx, inp, got, item)
        ctx.tools.az.act(
          foundry.about(inp, got.target, { "deployment", "delete", "--deployment-name", item.key }),
          { timeout = "10m" }
        )
        return { removed = true }
      end,
      verify = function(ctx, inp, got, item)
        return {
          {
            name = "deployment " .. item.key,
            expected = "none",
            run = function()
              local left = foundry.deployment(ctx, inp, got.target, item.key)
              return { state = left and "red" or "ok", measured = left and "still there" or "none" }
            end,
          },
        }
      end,
    },
  },
  examples = { "pai teardown inference-azure subscription=robots models=llama-3-1-8b" },
}
