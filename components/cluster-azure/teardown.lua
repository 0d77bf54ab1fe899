-- The context first, if it leads here; then Terraform by a plan that is shown. Nothing is deleted
-- without destroy_data=true, and at the end nothing that costs money is left.
local forwards = require("pai.shared.forwards")
local cluster = require("cluster-azure.cluster")
local plan = require("cluster-azure.plan")
local stack = require("cluster-azure.stack")

local function resources(ctx, inp)
  local names = stack.names(inp)
  local list, e = ctx.tools.az.ask({
    "resource",
    "list",
    "--resource-group",
    names.group,
    "--subscription",
    inp.subscription,
  })
  if e and e.code ~= "ENOENT" then
    error(e, 0)
  end
  return list or {}
end

local function variables(ctx, inp)
  local account, why = stack.checks(ctx, inp).questions:account()
  if not account then
    error("no subscription: " .. why, 0)
  end
  -- A destroy looks at no network, but the variable must be there.
  return stack.variables(inp, account.id, { "203.0.113.1/32" })
end

return {
  summary = "Takes the context away and destroys everything that deploy made.",
  safety = "destroys",
  inputs = {
    subscription = { type = "string", doc = "Id or name of the subscription." },
  },
  needs = { writes = { "@dir", "@kubeconfig" } },
  locks = function(inp)
    return { "terraform:" .. inp.dir, "kube:" .. inp.context }
  end,
  steps = {
    {
      name = "plan",
      timeout = "40m",
      done = function(ctx, inp)
        return #ctx.tools.terraform.resources(inp.dir) == 0
            and { digest = "none", more = false, changes = {}, losses = {} }
          or nil
      end,
      run = function(ctx, inp)
        if not plan.is_prepared(ctx, inp.dir) then
          plan.init(ctx, inp.dir)
        end
        return plan.make(ctx, inp.dir, { vars = variables(ctx, inp), destroy = true })
      end,
      verify = function(_, inp, got)
        local made = got.plan
        if not made.more then
          return { { name = "plan", state = "ok", measured = "there is nothing" } }
        end
        return plan.gate(made, {
          -- The run itself was confirmed; what it lost is asked for by its own input.
          approve = made.digest,
          destroy_data = inp.destroy_data,
          again = "pai teardown cluster-azure destroy_data=true",
        })
      end,
    },
    forwards.step({ "plan" }),
    {
      name = "context",
      after = { "forwards" },
      timeout = "5m",
      done = function(ctx, inp)
        local server = ctx.kubeconfig.server(inp.kubeconfig, inp.context)
        local names = stack.names(inp)
        local shown = server
          and ctx.tools.az.ask({
            "aks",
            "show",
            "--resource-group",
            names.group,
            "--name",
            names.cluster,
            "--subscription",
            inp.subscription,
          })
        local here = shown and cluster.leads_here(ctx, inp, shown.fqdn)
        return not here and { removed = false } or nil
      end,
      run = function(ctx, inp)
        local gone = ctx.kubeconfig.remove(inp.kubeconfig, inp.context)
        return { removed = gone ~= false, backup = gone and gone.backup }
      end,
    },
    {
      name = "destroy",
      after = { "context" },
      timeout = "3h",
      done = function(_, _, got)
        return not got.plan.more and {} or nil
      end,
      run = function(ctx, inp, got)
        plan.apply(ctx, inp.dir, got.plan, { vars = variables(ctx, inp), destroy = true })
        plan.forget(ctx, inp.dir)
        return {}
      end,
      verify = function(ctx, inp)
        return {
          {
            name = "what is left",
            expected = "nothing in " .. stack.names(inp).group,
            hint = "made beside Terraform: look at each, then az group delete",
            timeout = "80s",
            run = function()
              local names = {}
              for i, one in ipairs(resources(ctx, inp)) do
                names[i] = one.name
              end
              local measured = #names > 0 and table.concat(names, ", ") or "nothing"
              return { state = #names == 0 and "ok" or "red", measured = measured }
            end,
          },
        }
      end,
    },
  },
  examples = { "pai teardown cluster-azure subscription=robots destroy_data=true" },
}
