-- Nothing here asks the cluster: a preflight comes before it is made.
local plan = require("osmo-azure.plan")

local LOCK <const> = plan.LOCK

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

local function private_file(ctx, name, path)
  return {
    name = name,
    expected = "a file for its owner only",
    hint = "chmod 600; it is what `pai teardown osmo-azure` exported",
    run = function()
      local st = path and ctx.fs.stat(path)
      if not path then
        return { state = "skipped", measured = "not given" }
      elseif not st then
        return { state = "red", measured = "no file " .. path }
      end
      local private = st.mode & 63 == 0 -- 0077
      return { state = private and "ok" or "red", measured = ("mode %o"):format(st.mode & 511) }
    end,
  }
end

local function values(ctx, inp)
  return {
    name = "values",
    expected = "a YAML map",
    hint = "look at the line that is named",
    run = function()
      if not inp.values then
        return { state = "skipped", measured = "not given" }
      elseif not ctx.fs.exists(inp.values) then
        return { state = "red", measured = "no file " .. inp.values }
      end
      local ok, doc = pcall(ctx.yaml.decode, ctx.read(inp.values))
      if not ok then
        return { state = "red", measured = tostring(doc) }
      end
      return { state = type(doc) == "table" and #doc == 0 and "ok" or "red", measured = inp.values }
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
        local list = {
          ctx.check.version("az", LOCK.az),
          ctx.check.version("terraform", LOCK.terraform, { below = LOCK.terraform_below }),
          ctx.check.version("helm", ctx.osmo_deploy.LOCK.helm),
          checks.login(),
          checks.subscription(),
          checks.providers(plan.PROVIDERS),
          outputs(ctx, inp),
          ctx.check.secret("ngc"),
          values(ctx, inp),
          private_file(ctx, "master key", inp.mek),
        }
        for _, name in ipairs({ "kubectl", "git", "awk" }) do
          list[#list + 1] = { name = name, state = "skipped", measured = "not needed" }
        end
        return list
      end,
    },
  },
}
