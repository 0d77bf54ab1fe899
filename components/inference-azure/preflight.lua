-- Nothing here needs the account; it may be made later by cluster-azure.
local foundry = require("inference-azure.foundry")

local LOCK <const> = foundry.LOCK

local function capabilities(inp)
  return {
    name = "capabilities",
    expected = "all of the workload's",
    hint = "Foundry has no model for it: choose NIM or NVCF, or other models=",
    run = function()
      local missing = foundry.missing(inp)
      local measured = #missing > 0 and "missing: " .. table.concat(missing, ", ")
        or table.concat(inp.models, ", ")
      return { state = #missing == 0 and "ok" or "red", measured = measured }
    end,
  }
end

local function target(ctx, inp)
  return {
    name = "account",
    expected = "given, or an output of cluster-azure",
    hint = "pass resource_group= and account=, or dir= with the state of cluster-azure",
    run = function()
      if inp.resource_group and inp.account then
        return { state = "ok", measured = inp.resource_group .. "/" .. inp.account }
      elseif ctx.fs.exists(inp.dir) then
        return { state = "ok", measured = inp.dir }
      end
      return { state = "warn", measured = inp.dir .. " is not there yet: cluster-azure makes it" }
    end,
  }
end

return {
  summary = "Looks whether models can be deployed: az, access, catalog.",
  safety = "observes",
  steps = {
    {
      name = "access",
      checks = function(ctx, inp)
        local checks = ctx.tools.az.checks({ subscription = inp.subscription })
        local list = {
          ctx.check.version("az", LOCK.az),
          checks.login(),
          checks.subscription(),
          checks.providers({ "Microsoft.CognitiveServices" }),
          capabilities(inp),
          target(ctx, inp),
        }
        if not (inp.resource_group and inp.account) then
          list[#list + 1] =
            ctx.check.version("terraform", LOCK.terraform, { below = LOCK.terraform_below })
        end
        for _, name in ipairs({ "jq", "curl", "az extension ml" }) do
          list[#list + 1] = { name = name, state = "skipped", measured = "not needed" }
        end
        return list
      end,
    },
  },
}
