-- The cluster as it is: outputs, networks that may reach it, containers, nodes, class and GPUs.
local cluster = require("cluster-azure.cluster")
local constraints = require("cluster-azure.constraints")
local beside = require("pai.shared.drift")
local stack = require("cluster-azure.stack")

-- Whether this machine may still reach the API server. A change of address is shown, never mended
-- by itself: the list is shared.
local function drift(ctx, inp)
  return {
    name = "your address",
    expected = "inside of the cluster's networks",
    hint = "pai deploy cluster-azure with allowed_cidr=ADDRESS/32; the others' networks stay",
    timeout = "80s",
    run = function()
      local live = stack.live_ranges(inp, stack.checks(ctx, inp).questions)
      if not live then
        return { state = "red", measured = "there is no cluster " .. stack.names(inp).cluster }
      end
      local address = constraints.caller(ctx, inp)
      local one, why = ctx.cidr.parse(address)
      if not one then
        return { state = "unknown", measured = why, hint = "pass caller_ip=ADDRESS" }
      end
      local holder = ctx.cidr.holder(assert(ctx.cidr.parse_all(live)), one)
      local measured = holder and ("%s, in %s"):format(address, holder.text)
        or ("%s; let in: %s"):format(address, table.concat(live, ", "))
      return { state = holder and "ok" or "red", measured = measured }
    end,
  }
end

local function containers(ctx, inp)
  local wanted = { "osmo", "datasets", "osmo-workflows" }
  return {
    name = "containers",
    expected = table.concat(wanted, ", "),
    hint = "pai deploy cluster-azure; a listing that is refused: your address, or your role",
    timeout = "80s",
    run = function()
      local out = ctx.tools.terraform.outputs(inp.dir, { "storage_account" })
      local list, e = ctx.tools.az.ask({
        "storage",
        "container",
        "list",
        "--account-name",
        out.storage_account,
        "--auth-mode",
        "login",
        "--subscription",
        inp.subscription,
      })
      if e then
        return { state = "red", measured = e.message, hint = e.hint }
      end
      local there, missing = {}, {}
      for _, one in ipairs(list) do
        there[one.name] = true
      end
      for _, name in ipairs(wanted) do
        missing[#missing + 1] = not there[name] and name or nil
      end
      local measured = #missing > 0 and "missing: " .. table.concat(missing, ", ") or "all three"
      return { state = #missing == 0 and "ok" or "red", measured = measured }
    end,
  }
end

return {
  summary = "The gate of the cluster: API, nodes, storage, GPUs, and who may reach it.",
  safety = "observes",
  inputs = {
    subscription = { type = "string", doc = "Id or name of the subscription." },
  },
  steps = {
    {
      name = "azure",
      checks = function(ctx, inp)
        return { drift(ctx, inp), containers(ctx, inp) }
      end,
    },
    { name = "cluster", checks = cluster.gate },
    {
      name = "versions",
      title = "Beside the lock",
      timeout = "2m",
      checks = function(ctx, inp)
        local chart = stack.LOCK.gpu_chart
        return beside.releases(ctx, inp, { { chart = chart, version = inp.gpu_operator_version } })
      end,
    },
  },
}
