-- All of it is independent and runs side by side; nothing here needs a cluster. kubectl, helmfile,
-- envsubst, curl and awk have a verdict too: they are not needed.
local constraints = require("cluster-azure.constraints")
local stack = require("cluster-azure.stack")

local LOCK <const> = stack.LOCK

local function module_there(ctx)
  return {
    name = "Terraform module",
    expected = "with pai",
    hint = "install pai again: its components/cluster-azure/terraform is missing",
    run = function()
      local files = ctx.fs.glob(ctx.dir .. "/terraform/*.tf")
      local there = ctx.fs.exists(ctx.dir .. "/terraform/versions.tf")
      return { state = there and "ok" or "red", measured = ("%d files"):format(#files) }
    end,
  }
end

local function unneeded(name)
  return { name = name, state = "skipped", measured = "pai does its work itself" }
end

return {
  summary = "Looks whether the cluster can be made: tools, access, inputs, offers and quota.",
  safety = "observes",
  steps = {
    {
      name = "tools",
      checks = function(ctx)
        local list = {
          ctx.check.version("az", LOCK.az),
          ctx.check.version("terraform", LOCK.terraform, { below = LOCK.terraform_below }),
          ctx.check.version("helm", LOCK.helm),
          module_there(ctx),
        }
        for _, name in ipairs({ "kubectl", "helmfile", "envsubst", "curl", "awk" }) do
          list[#list + 1] = unneeded(name)
        end
        return list
      end,
    },
    {
      name = "access",
      checks = function(ctx, inp)
        local checks = stack.checks(ctx, inp)
        local system, gpu = stack.pools(inp)
        local names = stack.names(inp)
        local list = constraints.checks(ctx, inp, checks)
        for _, one in ipairs({
          checks.login(),
          checks.subscription(),
          checks.roles(),
          checks.providers(stack.PROVIDERS),
          checks.region(),
          checks.kubernetes(inp.kubernetes_version),
          checks.gpu_fit(gpu, inp.gpu_requests),
          table.unpack(checks.quota({ system, gpu }, names)),
        }) do
          list[#list + 1] = one
        end
        return list
      end,
    },
  },
  examples = { "pai preflight cluster-azure subscription=NAME allowed_cidr=203.0.113.4/32" },
}
