-- The checks that the components which deploy OSMO have in common: of this machine, and of the
-- cluster before anything is put into it.
local M = {}

local function values_check(ctx, inp)
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

local function key_check(ctx, inp, component)
  return {
    name = "master key",
    expected = "a file for its owner only",
    hint = ("chmod 600; it is what `pai teardown %s` exported"):format(component),
    run = function()
      local st = inp.mek and ctx.fs.stat(inp.mek)
      if not inp.mek then
        return { state = "skipped", measured = "not given" }
      elseif not st then
        return { state = "red", measured = "no file " .. inp.mek }
      end
      local private = st.mode & 63 == 0 -- 0077
      return { state = private and "ok" or "red", measured = ("mode %o"):format(st.mode & 511) }
    end,
  }
end

---Checks of this machine: helm, the key, the files that were given. No cluster is asked.
---@param ctx pai.ctx
---@param inp table
---@param component string
---@return table[]
function M.machine(ctx, inp, component)
  return {
    ctx.check.version("helm", ctx.osmo_deploy.LOCK.helm),
    ctx.check.secret("ngc"),
    values_check(ctx, inp),
    key_check(ctx, inp, component),
  }
end

---Checks of the cluster, before anything is put into it.
---@param ctx pai.ctx
---@param inp table
---@param conf pai.osmo_deploy.Conf
---@return table[]
function M.cluster(ctx, inp, conf)
  local kube = ctx.check.kube
  return {
    kube.version(inp.context, { minimum = ctx.osmo_deploy.LOCK.kubernetes }),
    kube.nodes_ready(inp.context),
    kube.default_class(inp.context),
    {
      name = "scheduler",
      expected = "KAI, or none yet",
      hint = "pass scheduler=existing if it serves podgroups, else remove what is left of it",
      run = function()
        local decision, why = ctx.osmo_deploy.scheduler(conf, inp.scheduler)
        return { state = decision and "ok" or "red", measured = decision or why }
      end,
    },
  }
end

return M
