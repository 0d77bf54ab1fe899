-- The two kinds of stages on top of Kubernetes: a release, and objects that an operator waits for.
-- Each asks whether it is so already, waits with a diagnosis, and ends with a gate.
local objects = require("cluster-onprem.objects")
local patience = require("cluster-onprem.patience")
local stack = require("cluster-onprem.stack")

local M = {}

local function cluster(ctx, inp)
  return ctx.k8s(inp.context)
end

---A release as a step. `first` is done before it, `settle` says whether the stage has come to rest.
---@param id string
---@param opts table title, after, when, timeout, first, ready, settle, rest, gate
---@return table step
function M.release(id, opts)
  return {
    name = id,
    title = opts.title,
    after = opts.after,
    when = opts.when,
    timeout = opts.timeout or "1h",
    done = function(ctx, inp)
      local one = stack.chart(id, inp)
      if opts.ready and not opts.ready(ctx, inp) then
        return nil
      end
      return stack.right(ctx, inp, one) and { version = one.version } or nil
    end,
    run = function(ctx, inp)
      local one = stack.chart(id, inp)
      if opts.first then
        opts.first(ctx, inp)
      end
      -- Only what has to be settled may be missing: then helm has nothing to do.
      if not stack.right(ctx, inp, one) then
        stack.ensure(ctx, inp, one)
      end
      if opts.settle then
        patience.wait(ctx, cluster(ctx, inp), {
          what = id .. " at rest",
          namespace = one.namespace,
          timeout = opts.rest or "15m",
          patience = inp.patience,
          look = function()
            return opts.settle(ctx, inp)
          end,
        })
      end
      return { version = one.version }
    end,
    verify = function(ctx, inp)
      local checks = stack.gate(ctx, inp, stack.chart(id, inp))
      for _, check in ipairs(opts.gate and opts.gate(ctx, inp) or {}) do
        checks[#checks + 1] = check
      end
      return checks
    end,
  }
end

---Objects as a step; `settle` waits for what the operator makes of them.
---@param name string
---@param opts table title, after, when, timeout, first, objects, settle, waits, namespace, last,
---gate
---@return table step
function M.applied(name, opts)
  local function wanted(inp)
    return opts.objects(inp)
  end
  return {
    name = name,
    title = opts.title,
    after = opts.after,
    when = opts.when,
    timeout = opts.timeout or "40m",
    done = function(ctx, inp)
      local there = objects.there(cluster(ctx, inp), wanted(inp))
      return there and (not opts.settle or opts.settle(ctx, inp)) and {} or nil
    end,
    run = function(ctx, inp)
      local k = cluster(ctx, inp)
      if opts.first then
        opts.first(ctx, inp)
      end
      local outcomes = objects.apply(ctx, k, wanted(inp))
      if opts.settle then
        patience.wait(ctx, k, {
          what = opts.waits,
          namespace = opts.namespace,
          timeout = "30m",
          patience = inp.patience,
          look = function()
            return opts.settle(ctx, inp)
          end,
        })
      end
      if opts.last then
        opts.last(ctx, inp, outcomes)
      end
      return { outcomes = outcomes }
    end,
    verify = opts.gate,
  }
end

return M
