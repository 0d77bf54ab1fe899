-- The checks that the components which deploy OSMO have in common: of this machine, and of the
-- cluster before anything is put into it.
local entitlement = require("pai.shared.entitlement")

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

-- OSMO's own images; a values file may name another registry or tag for all of them.
local function own_images(ctx, inp)
  local lock, global = ctx.osmo_deploy.LOCK.images, {}
  if inp.values and ctx.fs.exists(inp.values) then
    local ok, doc = pcall(ctx.yaml.decode, ctx.read(inp.values))
    global = ok and type(doc) == "table" and type(doc.global) == "table" and doc.global or {}
  end
  local list = {}
  for i, name in ipairs(lock.names) do
    list[i] = ("%s/%s:%s"):format(
      global.osmoImageLocation or lock.registry,
      name,
      global.osmoImageTag or lock.tag
    )
  end
  return list
end

---The steps that ask whether charts and images can be had, side by side.
---@param others string[] images by their names in the lock, beside OSMO's own
---@return table own, table more
function M.outside(others)
  local own = {
    name = "charts",
    title = "OSMO's charts and images",
    timeout = "3m",
    checks = function(ctx, inp)
      local charts = ctx.osmo_deploy.LOCK.charts
      local list = entitlement.charts(ctx, inp, charts.repo, {
        service = charts.service,
        ["backend-operator"] = charts["backend-operator"],
      })
      local images = entitlement.images(ctx, inp, own_images(ctx, inp))
      return table.move(images, 1, #images, #list + 1, list)
    end,
  }
  local more = {
    name = "images",
    title = "Images of others",
    timeout = "3m",
    checks = function(ctx, inp)
      local lock, images = ctx.osmo_deploy.LOCK.images, {}
      for i, name in ipairs(others) do
        images[i] = lock[name]
      end
      images[#images + 1] = inp.gpu and lock.cuda or nil
      return entitlement.images(ctx, inp, images)
    end,
  }
  return own, more
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
      timeout = "90s",
      hint = "pass scheduler=existing if it serves podgroups, else remove what is left of it",
      run = function()
        local decision, why = ctx.osmo_deploy.scheduler(conf, inp.scheduler)
        local found = { state = decision and "ok" or "red", measured = decision or why }
        local chart = ctx.osmo_deploy.LOCK.kai.chart
        return decision == "install"
            and entitlement.also(found, entitlement.archive(ctx, inp, chart))
          or found
      end,
    },
  }
end

return M
