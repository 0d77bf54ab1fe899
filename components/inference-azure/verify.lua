local foundry = require("inference-azure.foundry")

-- Reachable and authorised are two things: an answer at all, and the answer that the key earns.
local function authorised(ctx, inp, at)
  return {
    name = "endpoint",
    expected = "HTTP 200 with the account's key",
    hint = "401, 403: disableLocalAuth or network rules of the account",
    timeout = "90s",
    run = function()
      local key = ctx.tools.az.account_key({
        subscription = inp.subscription,
        group = at.group,
        account = at.account,
      })
      local url = ("%s/models/info?api-version=%s"):format(at.endpoint, foundry.LOCK.api)
      local r = ctx.http({
        url = url,
        headers = { ["api-key"] = key, ["x-ms-model-mesh-model-name"] = inp.models[1] },
        timeout = "20s",
        accept = "any",
      })
      local fits = r.status == 200
      local measured = fits and "reachable and authorised"
        or ("reachable, HTTP %d"):format(r.status)
      return { state = fits and "ok" or "red", measured = measured }
    end,
  }
end

return {
  summary = "The gate of the models: each deployment, and an authorised answer of the endpoint.",
  safety = "observes",
  inputs = { subscription = { type = "string", doc = "Id or name of the subscription." } },
  steps = {
    {
      name = "models",
      checks = function(ctx, inp)
        local at = foundry.target(ctx, inp)
        local list = { authorised(ctx, inp, at) }
        for _, name in ipairs(inp.models) do
          list[#list + 1] = foundry.check(ctx, inp, at, name)
        end
        return list
      end,
    },
  },
}
