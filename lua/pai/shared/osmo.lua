-- What the components that deploy OSMO declare alike: inputs, checks of this machine and of the
-- cluster; their steps are in osmo_steps.lua. Where the cluster, its database and its storage come
-- from is the component's own: it gives `conf`, which makes the configuration for ctx.osmo_deploy.
local M = {}

---@alias pai.shared.osmo.Conf fun(ctx: pai.ctx, inp: table, got: table?): pai.osmo_deploy.Conf

---Inputs of each of them; those of `more` beside them.
---@param more table<string, table>
---@return table<string, table>
function M.inputs(more)
  local inputs = {
    context = { type = "string", doc = "The cluster, by its context in the kubeconfig." },
    gpu = { type = "boolean", default = true, doc = "Tasks may ask for GPUs." },
    port = {
      type = "integer",
      default = 9000,
      min = 1024,
      max = 65535,
      doc = "Port of this machine that leads to the gateway.",
    },
    ngc = {
      type = "secret",
      env = "NGC_API_KEY",
      optional = true,
      hosts = { "@context", "nvcr.io", "helm.ngc.nvidia.com" },
      bins = { "helm" },
      doc = "Organisation key of NGC, for images and charts.",
    },
    values = { type = "path", optional = true, doc = "Values of the service chart, over ours." },
    scheduler = {
      type = "enum",
      values = { "auto", "existing" },
      default = "auto",
      doc = "existing: the cluster has a scheduler that serves podgroups, leave it alone.",
    },
    mek = { type = "path", optional = true, doc = "Master key that teardown exported." },
    url = {
      type = "string",
      optional = true,
      doc = "URL of the gateway; then no port-forward is started.",
    },
  }
  for name, decl in pairs(more) do
    inputs[name] = decl
  end
  return inputs
end

---What every configuration has: no secret but the key for registry and charts.
---@param ctx pai.ctx
---@param inp table
---@return pai.osmo_deploy.Conf
function M.conf(ctx, inp)
  return {
    context = inp.context,
    kubeconfig = inp.kubeconfig,
    namespaces = ctx.osmo_deploy.NAMESPACES,
    ngc = inp.ngc,
    gpu = inp.gpu,
    values = inp.values and ctx.yaml.decode(ctx.read(inp.values)),
    port = inp.port,
    mek_file = inp.mek,
  }
end

---@param inp table
---@return string
function M.url(inp)
  return inp.url or ("http://localhost:%d"):format(inp.port)
end

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

---The step of verify that asks the service, and looks at what leads there.
---@return table step
function M.service()
  return {
    name = "service",
    checks = function(ctx, inp)
      local list = ctx.osmo_deploy.smoke_checks(M.url(inp))
      if not inp.url then
        list[#list + 1] = ctx.osmo_deploy.forward_check(M.conf(ctx, inp))
      end
      return list
    end,
  }
end

---What teardown wants to know beside the component's inputs, and what it gives.
M.MEK_OUT = { type = "path", doc = "New file for the master key; it gets the mode 0600." }
M.MEK = { type = "path", from = "master-key.path", doc = "Where the master key is." }

return M
