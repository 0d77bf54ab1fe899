-- What the components that deploy OSMO declare alike: inputs and the steps of deploy, verify and
-- teardown. Where the cluster, its database and its storage come from is the component's own: it
-- gives `conf`, which makes the configuration for ctx.osmo_deploy.
local drift = require("pai.shared.drift")
local entitlement = require("pai.shared.entitlement")
local versions = require("pai.shared.versions")

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
      hosts = entitlement.hosts(entitlement.KEY_HOSTS, "@context"),
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
  for _, list in ipairs({ entitlement.INPUTS, more }) do
    for name, decl in pairs(list) do
      inputs[name] = decl
    end
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
    repo = entitlement.repo(inp, ctx.osmo_deploy.LOCK.charts.repo),
  }
end

---@param inp table
---@return string
function M.url(inp)
  return inp.url or ("http://localhost:%d"):format(inp.port)
end

---A step that one question and one act of ctx.osmo_deploy make up.
---@param step { name: string, after: string[], timeout: string }
---@param conf pai.shared.osmo.Conf
---@param ready fun(deploy: pai.osmo_deploy, conf: pai.osmo_deploy.Conf, inp: table): any
---@param act fun(deploy: pai.osmo_deploy, conf: pai.osmo_deploy.Conf, inp: table): table?
---@return table step
function M.part(step, conf, ready, act)
  step.done = function(ctx, inp, got)
    local found = ready(ctx.osmo_deploy, conf(ctx, inp, got), inp)
    return found and (type(found) == "table" and found or {}) or nil
  end
  step.run = function(ctx, inp, got)
    return act(ctx.osmo_deploy, conf(ctx, inp, got), inp) or {}
  end
  return step
end

---A step NAME of ctx.osmo_deploy.NAME_ready and ctx.osmo_deploy.NAME.
---@param step { name: string, after: string[], timeout: string }
---@param conf pai.shared.osmo.Conf
---@return table step
function M.simple(step, conf)
  local name = step.name
  return M.part(step, conf, function(deploy, c)
    return deploy[name .. "_ready"](c)
  end, function(deploy, c)
    return deploy[name](c)
  end)
end

---The step `scheduler`.
---@param conf pai.shared.osmo.Conf
---@return table step
function M.scheduler(conf)
  local step = { name = "scheduler", after = { "cluster" }, timeout = "15m" }
  return M.part(step, conf, function(deploy, c, inp)
    local decision = deploy.scheduler(c, inp.scheduler)
    return decision ~= "install" and { scheduler = decision } or nil
  end, function(deploy, c)
    deploy.install_scheduler(c)
    return { scheduler = "install" }
  end)
end

local function release(which, after, conf)
  return M.part({ name = which, after = after, timeout = "30m" }, conf, function(deploy, c)
    return deploy.release_ready(c, which)
  end, function(deploy, c)
    local made = deploy.release(c, which)
    return { status = made.status, revision = made.revision }
  end)
end

local function smoke(which, after, conf)
  local step = { name = "smoke-" .. which, after = after, timeout = "30m" }
  if which == "gpu" then
    step.when = function(inp)
      return inp.gpu, "gpu=false"
    end
  end
  return M.part(step, conf, function(deploy, c, inp)
    return deploy.smoke_ready(c, M.url(inp), which)
  end, function(deploy, _, inp)
    return deploy.smoke(M.url(inp), which)
  end)
end

local function forward(conf)
  local step = { name = "forward", after = { "gate" }, timeout = "10m" }
  step.when = function(inp)
    return inp.url == nil, "url is given"
  end
  return M.part(step, conf, function(deploy, c)
    return deploy.forward_ready(c) and { port = c.port } or nil
  end, function(deploy, c)
    return { port = deploy.forward(c).port }
  end)
end

---The steps from the service's release to the smoke tests, added to a list.
---@param steps table[]
---@param after string[] of the service's release
---@param conf pai.shared.osmo.Conf
---@return table[] steps
function M.releases(steps, after, conf)
  for _, step in ipairs({
    release("service", after, conf),
    release("operator", { "service" }, conf),
    {
      name = "gate",
      after = { "operator" },
      timeout = "10m",
      verify = function(ctx, inp, got)
        return ctx.osmo_deploy.checks(conf(ctx, inp, got))
      end,
    },
    forward(conf),
    {
      name = "answers",
      after = { "forward" },
      timeout = "5m",
      verify = function(ctx, inp)
        return ctx.osmo_deploy.smoke_checks(M.url(inp))
      end,
    },
    smoke("hello", { "answers" }, conf),
    smoke("gpu", { "smoke-hello" }, conf),
  }) do
    steps[#steps + 1] = step
  end
  return steps
end

---The step of verify that asks the service, and looks at what leads there.
---@return table step
function M.service()
  return {
    name = "service",
    checks = function(ctx, inp)
      local list = ctx.osmo_deploy.smoke_checks(M.url(inp))
      local more = ctx.osmo_deploy.service_checks(M.conf(ctx, inp), M.url(inp))
      table.move(more, 1, #more, #list + 1, list)
      if not inp.url then
        list[#list + 1] = ctx.osmo_deploy.forward_check(M.conf(ctx, inp))
      end
      return list
    end,
  }
end

---The step of verify that shows what there is beside the lock. The charts of OSMO itself are among
---the releases' checks.
---@return table step
function M.versions()
  return {
    name = "versions",
    title = "Beside the lock",
    timeout = "2m",
    checks = function(ctx, inp)
      local c = M.conf(ctx, inp)
      local lock = ctx.osmo_deploy.LOCK
      local list = drift.releases(ctx, inp, { versions.kai, versions.gpu_operator })
      local global = c.values and c.values.global or {}
      list[#list + 1] = drift.images(
        ctx,
        inp.context,
        { c.namespaces.service, c.namespaces.operator },
        global.osmoImageLocation or lock.images.registry,
        global.osmoImageTag or lock.images.tag
      )
      return list
    end,
  }
end

local function uninstall(which, after, conf)
  local step = { name = "uninstall-" .. which, after = after, timeout = "15m" }
  return M.part(step, conf, function(deploy, c)
    return not deploy.installed(c, which)
  end, function(deploy, c)
    return { removed = deploy.uninstall(c, which) }
  end)
end

---The steps of teardown. The key first: with the namespace it would be gone, and what it encrypted
---with it.
---@param conf pai.shared.osmo.Conf
---@return table[] steps
function M.teardown(conf)
  local key = { name = "master-key", timeout = "2m" }
  local port = { name = "forward", after = { "master-key" }, timeout = "2m" }
  local spaces = { name = "namespaces", after = { "uninstall-service" }, timeout = "50m" }
  return {
    M.part(key, conf, function(deploy, c)
      return deploy.namespaces_gone(c) and { exported = false } or nil
    end, function(deploy, c, inp)
      local there = deploy.export_mek(c, inp.mek_out)
      return { exported = there, path = there and inp.mek_out or nil }
    end),
    M.part(port, conf, function(deploy, c)
      return not deploy.forward_runs(c)
    end, function(deploy, c)
      return { stopped = deploy.stop_forward(c) }
    end),
    uninstall("operator", { "forward" }, conf),
    uninstall("service", { "uninstall-operator" }, conf),
    M.part(spaces, conf, function(deploy, c)
      return deploy.namespaces_gone(c)
    end, function(deploy, c)
      deploy.delete_namespaces(c)
    end),
  }
end

---What teardown wants to know beside the component's inputs, and what it gives.
M.MEK_OUT = { type = "path", doc = "New file for the master key; it gets the mode 0600." }
M.MEK = { type = "path", from = "master-key.path", doc = "Where the master key is." }

return M
