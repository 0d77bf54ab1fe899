-- What the components that deploy OSMO have in common: versions, namespaces, Secrets, stores, the
-- two releases, the port-forward, the smoke test, and taking it all away. Each part has a question
-- (`...ready`, which only looks) and an act, so that a step is `done` by the first.
local ctx_fs = require("pai.run.ctx_fs")
local err = require("pai.err")
local forward = require("pai.osmo_deploy.forward")
local json = require("pai.json")
local lock = require("pai.osmo_deploy.lock")
local secrets = require("pai.osmo_deploy.secrets")
local smoke = require("pai.osmo_deploy.smoke")
local stores = require("pai.osmo_deploy.stores")
local values = require("pai.osmo_deploy.values")

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

M.NAMESPACES = {
  service = "osmo-minimal",
  operator = "osmo-operator",
  workflows = "osmo-workflows",
}

local RELEASES <const> = {
  service = { name = "osmo-minimal", chart = "service", timeout = "15m" },
  operator = { name = "osmo-operator", chart = "backend-operator", timeout = "10m" },
}

local ABSENT <const> = { "NotFound" }
local CRD <const> = { apiVersion = "apiextensions.k8s.io/v1", kind = "CustomResourceDefinition" }

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  for key, value in pairs(a) do
    if not same(value, b[key]) then
      return false
    end
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false
    end
  end
  return true
end

-- As helm gives it back: through JSON.
local function plain(value)
  return assert(json.decode(json.encode(value)))
end

---Adds ctx.osmo_deploy.
---@param ctx pai.ctx
---@param env pai.run.CtxEnv
---@return pai.osmo_deploy
function M.new(ctx, env)
  ---@class pai.osmo_deploy
  local deploy = { LOCK = lock, NAMESPACES = M.NAMESPACES }

  local function cluster(conf)
    return ctx.k8s(conf.context)
  end

  local function at(conf, namespace)
    return { context = conf.context, kubeconfig = conf.kubeconfig, namespace = namespace }
  end

  local function act(what)
    if env.mode ~= "act" then
      local message = "ctx.osmo_deploy.%s changes something; %s may only observe"
      err.raise("EACCES", message:format(what, env.where))
    end
  end

  local function list(conf)
    return { conf.namespaces.service, conf.namespaces.operator, conf.namespaces.workflows }
  end

  ---@param conf pai.osmo_deploy.Conf
  ---@return boolean
  function deploy.namespaces_ready(conf)
    for _, name in ipairs(list(conf)) do
      local found = cluster(conf):get("namespaces", name, { accept = ABSENT })
      if not found or (found.status and found.status.phase == "Terminating") then
        return false
      end
    end
    return true
  end

  ---Makes the namespaces; waits for one that is still on its way out.
  ---@param conf pai.osmo_deploy.Conf
  function deploy.namespaces(conf)
    act("namespaces")
    local k = cluster(conf)
    for _, name in ipairs(list(conf)) do
      local found = k:get("namespaces", name, { accept = ABSENT })
      if found and found.status and found.status.phase == "Terminating" then
        k:wait("namespaces", name, { ["for"] = "delete", timeout = "10m" })
      end
      k:apply({ apiVersion = "v1", kind = "Namespace", metadata = { name = name } })
    end
  end

  function deploy.secrets_ready(conf)
    return secrets.complete(cluster(conf), conf)
  end

  ---Makes the Secrets and the master key that are missing; what is there stays.
  ---@param conf pai.osmo_deploy.Conf
  function deploy.secrets(conf)
    act("secrets")
    secrets.ensure(cluster(conf), conf)
  end

  function deploy.storage_ready(conf)
    return secrets.has_storage(cluster(conf), conf)
  end

  ---Writes the credentials of the storage.
  ---@param conf pai.osmo_deploy.Conf
  ---@param given table<string, string|pai.secret.handle>
  function deploy.storage(conf, given)
    act("storage")
    secrets.storage(cluster(conf), conf, given)
  end

  ---MinIO in the cluster: the bucket, and OSMO's credentials for it.
  ---@param conf pai.osmo_deploy.Conf
  function deploy.minio(conf)
    act("minio")
    local minio = require("pai.osmo_deploy.minio")
    local k = cluster(conf)
    local user, password = minio.credentials(k, ctx.fs.tempdir())
    local endpoint = minio.bucket(k, user, password)
    secrets.storage(k, conf, minio.credential(user, password, endpoint))
    return { base_url = "s3://" .. minio.BUCKET, endpoint = endpoint }
  end

  ---A storage account as OSMO's storage.
  ---@param conf pai.osmo_deploy.Conf
  ---@param given { account: string, key: pai.secret.handle, region: string }
  ---@return boolean
  function deploy.azure_blob_ready(conf, given)
    local blob = require("pai.osmo_deploy.azure_blob")
    return blob.is_current(cluster(conf), conf, blob.credential(given))
  end

  function deploy.azure_blob(conf, given)
    act("azure_blob")
    secrets.storage(cluster(conf), conf, require("pai.osmo_deploy.azure_blob").credential(given))
  end

  ---@param account string
  ---@return string base_url
  function deploy.azure_url(account)
    return require("pai.osmo_deploy.azure_blob").base_url(account)
  end

  ---How many tables a managed database has.
  ---@param conf pai.osmo_deploy.Conf
  ---@return integer
  function deploy.database_tables(conf)
    act("database_tables")
    return require("pai.osmo_deploy.database").tables(cluster(conf), conf)
  end

  ---Whether the master key is in the cluster.
  ---@param conf pai.osmo_deploy.Conf
  ---@return boolean
  function deploy.has_mek(conf)
    local opts =
      { namespace = conf.namespaces.service, accept = ABSENT, pick = { "metadata.name" } }
    return cluster(conf):get("configmaps", secrets.MEK, opts) ~= nil
  end

  ---Whether KAI is to be installed; see scheduler.lua.
  ---@param conf pai.osmo_deploy.Conf
  ---@param wanted "auto"|"existing"
  ---@return string? decision
  ---@return string? why
  function deploy.scheduler(conf, wanted)
    return require("pai.osmo_deploy.scheduler").decide(ctx, conf, wanted)
  end

  ---@param conf pai.osmo_deploy.Conf
  function deploy.install_scheduler(conf)
    act("install_scheduler")
    require("pai.osmo_deploy.scheduler").install(ctx, conf)
  end

  function deploy.stores_ready(conf)
    return stores.ready(cluster(conf), conf.namespaces.service)
  end

  ---PostgreSQL and Redis in the cluster.
  ---@param conf pai.osmo_deploy.Conf
  function deploy.stores(conf)
    act("stores")
    stores.ensure(cluster(conf), conf.namespaces.service)
  end

  local function wanted(conf, which)
    local crd = "podmonitors.monitoring.coreos.com"
    conf.pod_monitor = cluster(conf):get(CRD, crd, { accept = ABSENT }) ~= nil
    if conf.pull == nil then
      conf.pull = conf.ngc ~= nil
    end
    return values[which](conf)
  end

  ---Whether a release is deployed, in the version of the lock and with these values.
  ---@param conf pai.osmo_deploy.Conf
  ---@param which "service"|"operator"
  ---@return boolean
  function deploy.release_ready(conf, which)
    local release = RELEASES[which]
    local place = at(conf, conf.namespaces[which])
    local status = ctx.tools.helm.status(release.name, place)
    local chart = ("%s-%s"):format(release.chart, lock.charts[release.chart])
    if not status or status.status ~= "deployed" or status.chart ~= chart then
      return false
    end
    return same(plain(wanted(conf, which)), ctx.tools.helm.values(release.name, place))
  end

  ---Installs or upgrades a release and waits for its objects.
  ---@param conf pai.osmo_deploy.Conf
  ---@param which "service"|"operator"
  function deploy.release(conf, which)
    act("release")
    local release = RELEASES[which]
    ctx.tools.helm.unlock(release.name, at(conf, conf.namespaces[which]))
    local into = ctx.fs.tempdir()
    local archive = ctx.tools.helm.pull(release.chart, {
      repo = lock.charts.repo,
      version = lock.charts[release.chart],
      into = into,
      user = "$oauthtoken",
      password = conf.ngc,
    })
    local opts = at(conf, conf.namespaces[which])
    opts.values, opts.timeout = wanted(conf, which), release.timeout
    return ctx.tools.helm.upgrade(release.name, archive, opts)
  end

  ---The gate of both releases: pods Ready, nothing reachable from outside, storage in place.
  ---@param conf pai.osmo_deploy.Conf
  ---@return table[] checks
  function deploy.checks(conf)
    local kube = ctx.check.kube
    local checks = {
      kube.version(conf.context, { minimum = lock.kubernetes }),
      kube.pods_ready(conf.context, { conf.namespaces.service, conf.namespaces.operator }),
      kube.no_exposure(conf.context, { conf.namespaces.service }),
      {
        name = "storage credentials",
        expected = "three Secrets",
        hint = "deploy again: they are made anew from the storage's own",
        run = function()
          return deploy.storage_ready(conf)
        end,
      },
    }
    for _, which in ipairs({ "service", "operator" }) do
      local release = RELEASES[which]
      local chart = ("%s-%s"):format(release.chart, lock.charts[release.chart])
      checks[#checks + 1] = {
        name = "release " .. release.name,
        expected = "deployed, " .. chart,
        hint = "helm history and helm status say what failed",
        run = function()
          local status = ctx.tools.helm.status(release.name, at(conf, conf.namespaces[which]))
          if not status then
            return { state = "red", measured = "there is none" }
          end
          local state = status.status ~= "deployed" and "red"
            or status.chart == chart and "ok"
            or "warn"
          return { state = state, measured = ("%s, %s"):format(status.status, status.chart) }
        end,
      }
    end
    return checks
  end

  function deploy.forward_ready(conf)
    return forward.is_up(cluster(conf), conf)
  end

  ---Starts the port-forward to the gateway; it outlives the run.
  ---@param conf pai.osmo_deploy.Conf
  ---@return { pid: integer, port: integer }
  function deploy.forward(conf)
    act("forward")
    return forward.ensure(cluster(conf), conf)
  end

  ---@param url string
  ---@return table[] checks
  function deploy.smoke_checks(url)
    return smoke.checks(url)
  end

  ---Whether such a workflow has completed since the releases are as they are.
  ---@param conf pai.osmo_deploy.Conf
  ---@param url string
  ---@param which "hello"|"gpu"
  ---@return table? workflow
  function deploy.smoke_ready(conf, url, which)
    local since
    for _, one in ipairs({ "service", "operator" }) do
      local status = ctx.tools.helm.status(RELEASES[one].name, at(conf, conf.namespaces[one]))
      if not status or not status.deployed_at then
        return nil
      elseif not since or status.deployed_at > since then
        since = status.deployed_at
      end
    end
    return smoke.completed(url, which, since)
  end

  ---Runs a workflow to its end.
  ---@param url string
  ---@param which "hello"|"gpu"
  function deploy.smoke(url, which)
    act("smoke")
    return smoke.run(ctx, url, which)
  end

  ---Ends the port-forward that was started for this cluster, and no other.
  ---@param conf pai.osmo_deploy.Conf
  ---@return boolean stopped
  function deploy.stop_forward(conf)
    act("stop_forward")
    return forward.stop(cluster(conf), conf.port)
  end

  function deploy.forward_runs(conf)
    local known = forward.known(conf.port)
    return known ~= nil and known.context == conf.context
  end

  ---Writes the master key to a file for its owner only.
  ---@param conf pai.osmo_deploy.Conf
  ---@param path string
  ---@return boolean exported false when there is none
  function deploy.export_mek(conf, path)
    path = ctx_fs.path(env, path)
    ctx_fs.check_change(env, "ctx.osmo_deploy.export_mek", path)
    return secrets.export_mek(cluster(conf), conf, path)
  end

  ---Uninstalls a release; false when there is none.
  ---@param conf pai.osmo_deploy.Conf
  ---@param which "service"|"operator"
  function deploy.uninstall(conf, which)
    act("uninstall")
    return ctx.tools.helm.uninstall(RELEASES[which].name, at(conf, conf.namespaces[which]))
  end

  function deploy.installed(conf, which)
    return ctx.tools.helm.status(RELEASES[which].name, at(conf, conf.namespaces[which])) ~= nil
  end

  function deploy.namespaces_gone(conf)
    for _, name in ipairs(list(conf)) do
      if cluster(conf):get("namespaces", name, { accept = ABSENT }) then
        return false
      end
    end
    return true
  end

  ---Deletes the namespaces and waits until they are gone.
  ---@param conf pai.osmo_deploy.Conf
  function deploy.delete_namespaces(conf)
    act("delete_namespaces")
    local k = cluster(conf)
    for _, name in ipairs(list(conf)) do
      k:delete("namespaces", name, { absent = true })
    end
    for _, name in ipairs(list(conf)) do
      if k:get("namespaces", name, { accept = ABSENT }) then
        k:wait("namespaces", name, { ["for"] = "delete", timeout = "15m" })
      end
    end
  end

  return deploy
end

return M
