-- Terraform by a plan that was looked at, then the context, the StorageClass and the GPU Operator.
local cluster = require("cluster-azure.cluster")
local plan = require("cluster-azure.plan")
local stack = require("cluster-azure.stack")

local NEEDED <const> = { "resource_group", "aks_name", "nfs_storage_account" }

local function again(inp)
  return ("pai deploy cluster-azure subscription=%s allowed_cidr=%s (and the other inputs)"):format(
    inp.subscription,
    table.concat(inp.allowed_cidr, ",")
  )
end

-- The module's variables. Networks are added to those the cluster lets in; a colleague's stays.
local function variables(ctx, inp)
  local questions = stack.checks(ctx, inp).questions
  local account, why = questions:account()
  if not account then
    error("no subscription: " .. why, 0)
  end
  local live = stack.live_ranges(inp, questions) or {}
  local allowed = ctx.cidr.union(live, inp.allowed_cidr)
  local kept = stack.without(ctx, allowed, inp.drop_cidr)
  return stack.variables(inp, account.id, kept)
end

local function outputs_gate(ctx, inp)
  return {
    {
      name = "outputs",
      expected = "all of the module's",
      hint = "the apply did not end: deploy again",
      timeout = "2m",
      run = function()
        local there, missing, n = ctx.tools.terraform.output_names(inp.dir), {}, 0
        for name, sensitive in pairs(stack.OUTPUTS) do
          n = n + 1
          if there[name] ~= sensitive then
            missing[#missing + 1] = there[name] == nil and name or name .. " (not sensitive)"
          end
        end
        table.sort(missing)
        local measured = #missing > 0 and "missing: " .. table.concat(missing, ", ")
        return { state = #missing == 0 and "ok" or "red", measured = measured or ("%d"):format(n) }
      end,
    },
  }
end

local function fqdn(ctx, inp, got)
  local names = got.outputs or stack.names(inp)
  local shown, e = ctx.tools.az.ask({
    "aks",
    "show",
    "--resource-group",
    names.resource_group,
    "--name",
    names.aks_name,
    "--subscription",
    inp.subscription,
  })
  if e then
    error(e, 0)
  end
  return shown.fqdn
end

return {
  summary = "Makes the cluster by a plan that is shown and approved, and readies it for GPU work.",
  safety = "changes",
  inputs = {
    subscription = { type = "string", doc = "Id or name of the subscription that pays." },
    allowed_cidr = {
      type = "list",
      of = "string",
      doc = "Networks that may reach the API server, your own address among them.",
      example = { "203.0.113.4/32" },
    },
  },
  needs = { writes = { "@dir", "@kubeconfig" } },
  locks = function(inp)
    return { "terraform:" .. inp.dir, "kube:" .. inp.context }
  end,
  steps = {
    {
      name = "preflight",
      use = "cluster-azure.preflight",
      with = function(inp)
        return inp
      end,
    },
    {
      name = "init",
      after = { "preflight" },
      timeout = "30m",
      done = function(ctx, inp)
        return plan.is_prepared(ctx, inp.dir) and { dir = inp.dir } or nil
      end,
      run = function(ctx, inp)
        plan.init(ctx, inp.dir)
        return { dir = inp.dir }
      end,
    },
    {
      name = "plan",
      after = { "init" },
      timeout = "40m",
      done = function(ctx, inp)
        return inp.approve and plan.kept(ctx, inp.dir, inp.approve)
      end,
      run = function(ctx, inp)
        return plan.make(ctx, inp.dir, { vars = variables(ctx, inp) })
      end,
      verify = function(_, inp, got)
        return plan.gate(got.plan, {
          approve = inp.approve,
          destroy_data = inp.destroy_data,
          again = again(inp),
        })
      end,
    },
    {
      name = "apply",
      after = { "plan" },
      timeout = "3h",
      done = function(_, _, got)
        return not got.plan.more and { applied = false } or nil
      end,
      run = function(ctx, inp, got)
        plan.apply(ctx, inp.dir, got.plan, { vars = variables(ctx, inp) })
        return { applied = true }
      end,
      verify = outputs_gate,
    },
    {
      name = "outputs",
      after = { "apply" },
      safety = "observes",
      timeout = "5m",
      run = function(ctx, inp)
        return ctx.tools.terraform.outputs(inp.dir, NEEDED)
      end,
    },
    {
      name = "kubeconfig",
      after = { "outputs" },
      timeout = "5m",
      done = function(ctx, inp, got)
        local here = cluster.leads_here(ctx, inp, fqdn(ctx, inp, got))
        return here and cluster.answers(ctx, inp) and { context = inp.context } or nil
      end,
      run = function(ctx, inp, got)
        local here, server = cluster.leads_here(ctx, inp, fqdn(ctx, inp, got))
        if here == false and cluster.answers(ctx, inp) then
          local message = "the context %s leads to another cluster that answers, %s: pass context="
          error(message:format(inp.context, server), 0)
        end
        local given = ctx.tools.az.kubeconfig({
          subscription = inp.subscription,
          group = got.outputs.resource_group,
          name = got.outputs.aks_name,
        })
        local written = ctx.kubeconfig.merge(inp.kubeconfig, given, inp.context)
        return { context = inp.context, backup = written.backup }
      end,
      verify = function(ctx, inp)
        return { ctx.check.kube.version(inp.context) }
      end,
    },
    {
      name = "storage-class",
      after = { "kubeconfig" },
      timeout = "5m",
      done = function(ctx, inp, got)
        return cluster.has_class(ctx, inp, got.outputs) and {} or nil
      end,
      run = function(ctx, inp, got)
        cluster.make_class(ctx, inp, got.outputs)
        return {}
      end,
    },
    {
      name = "gpu-operator",
      after = { "kubeconfig" },
      timeout = "30m",
      done = function(ctx, inp)
        return cluster.operator(ctx, inp) and {} or nil
      end,
      run = function(ctx, inp)
        cluster.install_operator(ctx, inp)
        return {}
      end,
    },
    {
      name = "gate",
      after = { "storage-class", "gpu-operator" },
      timeout = "40m",
      safety = "observes",
      run = function(ctx, inp)
        -- Drivers are built on each node; the gate itself does not wait.
        ctx.wait(function()
          local total = 0
          for _, node in ipairs(ctx.k8s(inp.context):list("nodes")) do
            local free = node.status and node.status.allocatable or {}
            total = total + (math.tointeger(tonumber(free["nvidia.com/gpu"] or 0)) or 0)
          end
          return total >= inp.gpu_min and {}
        end, { every = "10s", timeout = "30m", what = "GPUs that pods may ask for" })
        return { context = inp.context }
      end,
      verify = cluster.gate,
    },
    {
      name = "tidy",
      after = { "gate" },
      timeout = "1m",
      done = function(ctx, inp)
        return #ctx.fs.glob(inp.dir .. "/plan-*") == 0 and {} or nil
      end,
      run = function(ctx, inp)
        plan.forget(ctx, inp.dir)
        return {}
      end,
    },
  },
  returns = { context = { type = "string", from = "gate.context", doc = "The context." } },
  examples = {
    "pai deploy cluster-azure subscription=robots allowed_cidr=203.0.113.4/32",
    "pai deploy cluster-azure subscription=robots allowed_cidr=203.0.113.4/32 approve=DIGEST",
  },
}
