-- Nothing here asks the cluster: a preflight comes before it is made.
local checks_of = require("pai.shared.osmo_checks")
local plan = require("osmo-azure.plan")

local LOCK <const> = plan.LOCK
-- postgres counts the tables of the managed database before a new master key is made.
local charts, images = checks_of.outside({ "postgres", "hello" })

local function outputs(ctx, inp)
  return {
    name = "outputs of cluster-azure",
    expected = ("%d"):format(#plan.PLAIN + #plan.SECRET),
    hint = "pai deploy cluster-azure, or dir= with the live state; no value is invented",
    timeout = "70s",
    run = function()
      if not ctx.fs.exists(inp.dir .. "/terraform.tfstate") then
        local measured = "no state in " .. inp.dir .. ": cluster-azure makes it"
        return { state = "warn", measured = measured }
      elseif not ctx.which("terraform") then
        return { state = "unknown", measured = "terraform is not on PATH" }
      end
      local missing = plan.missing(ctx, inp)
      local measured = #missing > 0 and "missing: " .. table.concat(missing, ", ") or "all there"
      return { state = #missing == 0 and "ok" or "red", measured = measured }
    end,
  }
end

return {
  summary = "Looks whether OSMO can be deployed on the AKS of cluster-azure; asks no cluster.",
  safety = "observes",
  inputs = {
    context = { type = "string", optional = true, doc = "The cluster, once it is there." },
  },
  steps = {
    {
      name = "machine",
      checks = function(ctx, inp)
        local checks = ctx.tools.az.checks({ subscription = inp.subscription })
        local list = checks_of.machine(ctx, inp, "osmo-azure")
        for _, one in ipairs({
          ctx.check.version("az", LOCK.az),
          ctx.check.version("terraform", LOCK.terraform, { below = LOCK.terraform_below }),
          checks.login(),
          checks.subscription(),
          checks.providers(plan.PROVIDERS),
          outputs(ctx, inp),
        }) do
          list[#list + 1] = one
        end
        for _, name in ipairs({ "kubectl", "git", "awk" }) do
          list[#list + 1] = { name = name, state = "skipped", measured = "not needed" }
        end
        return list
      end,
    },
    charts,
    images,
  },
}
