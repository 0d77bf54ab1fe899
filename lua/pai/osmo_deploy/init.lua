-- What the components that deploy OSMO have in common: versions, namespaces, Secrets, stores, the
-- two releases, the port-forward, the smoke test, and taking it all away. Each part has a question
-- (`...ready`, which only looks) and an act, so that a step is `done` by the first.
local err = require("pai.err")
local forward = require("pai.osmo_deploy.forward")
local lock = require("pai.osmo_deploy.lock")
local parts = require("pai.osmo_deploy.parts")

local M = {}

---@class pai.osmo_deploy.Conf
---@field context string
---@field kubeconfig string?
---@field namespaces { service: string, operator: string, workflows: string }
---@field ngc pai.secret.handle? for the registry and the charts
---@field pull boolean? a pull secret is used; default: whether ngc is given
---@field gpu boolean?
---@field storage { base_url: string }
---@field db table? host, port, name, user, password (a handle); default: in the cluster
---@field redis table? host, port, password (a handle); default: in the cluster
---@field database_has_data boolean? of one outside of the cluster: a new key would not fit it
---@field values table? the user's own, over ours
---@field port integer? of this machine, that leads to the gateway
---@field mek_file string? with the master key of an earlier deployment
---@field repo string? of the charts; default: that of the lock

M.NAMESPACES = {
  service = "osmo-minimal",
  operator = "osmo-operator",
  workflows = "osmo-workflows",
}

local ABSENT <const> = { "NotFound" }

---What the parts share.
---@class pai.osmo_deploy.Kit
---@field ctx pai.ctx
---@field env pai.run.CtxEnv
---@field cluster fun(conf: pai.osmo_deploy.Conf): pai.ctx.k8s
---@field at fun(conf: pai.osmo_deploy.Conf, namespace: string): table where, for helm
---@field act fun(what: string) raises where only looking is allowed

local function kit_of(ctx, env)
  local kit = { ctx = ctx, env = env }

  function kit.cluster(conf)
    return ctx.k8s(conf.context)
  end

  function kit.at(conf, namespace)
    return { context = conf.context, kubeconfig = conf.kubeconfig, namespace = namespace }
  end

  function kit.act(what)
    if env.mode ~= "act" then
      local message = "ctx.osmo_deploy.%s changes something; %s may only observe"
      err.raise("EACCES", message:format(what, env.where))
    end
  end

  return kit
end

local function list(conf)
  return { conf.namespaces.service, conf.namespaces.operator, conf.namespaces.workflows }
end

local function add_namespaces(deploy, kit)
  ---@param conf pai.osmo_deploy.Conf
  ---@return boolean
  function deploy.namespaces_ready(conf)
    for _, name in ipairs(list(conf)) do
      local found = kit.cluster(conf):get("namespaces", name, { accept = ABSENT })
      if not found or (found.status and found.status.phase == "Terminating") then
        return false
      end
    end
    return true
  end

  ---Makes the namespaces; waits for one that is still on its way out.
  ---@param conf pai.osmo_deploy.Conf
  function deploy.namespaces(conf)
    kit.act("namespaces")
    for _, name in ipairs(list(conf)) do
      parts.namespace(kit.cluster(conf), name)
    end
  end

  function deploy.namespaces_gone(conf)
    for _, name in ipairs(list(conf)) do
      if kit.cluster(conf):get("namespaces", name, { accept = ABSENT }) then
        return false
      end
    end
    return true
  end

  ---Deletes the namespaces and waits until they are gone.
  ---@param conf pai.osmo_deploy.Conf
  function deploy.delete_namespaces(conf)
    kit.act("delete_namespaces")
    local k = kit.cluster(conf)
    for _, name in ipairs(list(conf)) do
      k:delete("namespaces", name, { absent = true })
    end
    for _, name in ipairs(list(conf)) do
      if k:get("namespaces", name, { accept = ABSENT }) then
        k:wait("namespaces", name, { ["for"] = "delete", timeout = "15m" })
      end
    end
  end
end

local function add_scheduler(deploy, kit)
  ---Whether KAI is to be installed; see scheduler.lua.
  ---@param conf pai.osmo_deploy.Conf
  ---@param wanted "auto"|"existing"
  ---@return string? decision
  ---@return string? why
  function deploy.scheduler(conf, wanted)
    return require("pai.osmo_deploy.scheduler").decide(kit.ctx, conf, wanted)
  end

  ---@param conf pai.osmo_deploy.Conf
  function deploy.install_scheduler(conf)
    kit.act("install_scheduler")
    require("pai.osmo_deploy.scheduler").install(kit.ctx, conf)
  end
end

local function add_forward(deploy, kit)
  function deploy.forward_ready(conf)
    return forward.is_up(kit.cluster(conf), conf)
  end

  ---Starts the port-forward to the gateway; it outlives the run.
  ---@param conf pai.osmo_deploy.Conf
  ---@return { pid: integer, port: integer }
  function deploy.forward(conf)
    kit.act("forward")
    return forward.ensure(kit.cluster(conf), conf)
  end

  ---Ends the port-forward that was started for this cluster, and no other.
  ---@param conf pai.osmo_deploy.Conf
  ---@return boolean stopped
  function deploy.stop_forward(conf)
    kit.act("stop_forward")
    return forward.stop(conf.context, conf.port)
  end

  function deploy.forward_runs(conf)
    local known = forward.known(conf.port)
    return known ~= nil and known.context == conf.context
  end

  ---The port of this machine leads to this cluster, by a forward that is looked after.
  ---@param conf pai.osmo_deploy.Conf
  ---@return table check
  function deploy.forward_check(conf)
    return {
      name = ("port %d"):format(conf.port),
      expected = "led to " .. conf.context .. " by pai",
      hint = "pai deploy starts the port-forward anew; port=NUMBER takes another port",
      run = function()
        local known = forward.known(conf.port)
        if not known then
          local measured = "no port-forward of pai's; whoever leads it does not look after it"
          return { state = "warn", measured = measured }
        end
        local here = known.context == conf.context
          and known.server == forward.server(kit.cluster(conf))
        local measured = ("process %d leads to %s, %s"):format(
          known.pid,
          known.context,
          known.server
        )
        return { state = here and "ok" or "red", measured = measured }
      end,
    }
  end

  ---The ports of this machine whose forward leads to a cluster.
  ---@param context string
  ---@return integer[]
  function deploy.forwards(context)
    return forward.ports(context)
  end

  ---Ends every port-forward that was started for a cluster, and no other.
  ---@param context string
  ---@return integer[] ports
  function deploy.stop_forwards(context)
    kit.act("stop_forwards")
    local ports = forward.ports(context)
    for _, port in ipairs(ports) do
      forward.stop(context, port)
    end
    return ports
  end
end

---Adds ctx.osmo_deploy.
---@param ctx pai.ctx
---@param env pai.run.CtxEnv
---@return pai.osmo_deploy
function M.new(ctx, env)
  ---@class pai.osmo_deploy
  local deploy = { LOCK = lock, NAMESPACES = M.NAMESPACES }
  local kit = kit_of(ctx, env)
  add_namespaces(deploy, kit)
  add_scheduler(deploy, kit)
  add_forward(deploy, kit)
  require("pai.osmo_deploy.storage").add(deploy, kit)
  require("pai.osmo_deploy.releases").add(deploy, kit)
  return deploy
end

return M
