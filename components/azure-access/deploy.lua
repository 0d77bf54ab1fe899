-- Registers resource providers. That is all that Azure has to be changed for before a deployment.
local access = require("azure-access.access")

local function missing(ctx, inp)
  local states, list = access.checks(ctx, inp).questions:providers(), {}
  for _, namespace in ipairs(inp.providers) do
    if states[namespace:lower()] ~= "Registered" then
      list[#list + 1] = namespace
    end
  end
  return list
end

return {
  summary = "Registers the resource providers that are missing in the subscription.",
  safety = "changes",
  inputs = { subscription = { type = "string", doc = "Id or name of the subscription." } },
  locks = function(inp)
    return { "azure:" .. inp.subscription }
  end,
  steps = {
    {
      name = "who",
      checks = function(ctx, inp)
        return access.who(ctx, inp, access.checks(ctx, inp))
      end,
    },
    {
      name = "providers",
      after = { "who" },
      timeout = "30m",
      done = function(ctx, inp)
        return #missing(ctx, inp) == 0 and { registered = {} } or nil
      end,
      run = function(ctx, inp)
        local list, calls = missing(ctx, inp), {}
        for _, namespace in ipairs(list) do
          calls[namespace] = function()
            ctx.tools.az.act({
              "provider",
              "register",
              "--namespace",
              namespace,
              "--subscription",
              inp.subscription,
              "--wait",
            }, { timeout = "25m" })
          end
        end
        ctx.all(calls, { limit = 4 })
        return { registered = list }
      end,
      verify = function(ctx, inp)
        return { access.checks(ctx, inp).providers(inp.providers) }
      end,
    },
  },
  examples = { "pai deploy azure-access subscription=NAME" },
}
