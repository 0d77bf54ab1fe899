-- The two releases of OSMO's charts: installed, upgraded, looked at, taken away.
local json = require("pai.json")
local lock = require("pai.osmo_deploy.lock")
local smoke = require("pai.osmo_deploy.smoke")
local values = require("pai.osmo_deploy.values")

local M = {}

local RELEASES <const> = {
  service = { name = "osmo-minimal", chart = "service", timeout = "15m" },
  operator = { name = "osmo-operator", chart = "backend-operator", timeout = "10m" },
}

local ABSENT <const> = { "NotFound" }
local CRD <const> = { apiVersion = "apiextensions.k8s.io/v1", kind = "CustomResourceDefinition" }
---The ConfigMap that the service's configuration is read from (OSMO in ConfigMap mode).
local CONFIGS <const> = "osmo-service-configs"

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

local function chart_of(release)
  return ("%s-%s"):format(release.chart, lock.charts[release.chart])
end

local function storage_check(deploy, conf)
  return {
    name = "storage credentials",
    expected = "three Secrets",
    hint = "deploy again: they are made anew from the storage's own",
    run = function()
      return deploy.storage_ready(conf)
    end,
  }
end

-- What the service reads: `osmo config` answers 409 or nothing in this mode.
local function configs_check(kit, conf)
  local url = conf.storage and conf.storage.base_url
  return {
    name = "service configuration",
    expected = url and "names " .. url or "there",
    hint = ("pai k8s get cm %s --namespace %s; it is made from the chart's values"):format(
      CONFIGS,
      conf.namespaces.service
    ),
    run = function()
      local opts = { namespace = conf.namespaces.service, accept = ABSENT }
      local found = kit.cluster(conf):get("configmaps", CONFIGS, opts)
      if not found then
        return { state = "warn", measured = "there is no ConfigMap " .. CONFIGS }
      end
      local text = table.concat({ json.encode(found.data or {}) })
      local names = not url or text:find(url, 1, true) ~= nil
      return { state = names and "ok" or "red", measured = names and "so it is" or "it does not" }
    end,
  }
end

---Adds what is done with releases.
---@param deploy pai.osmo_deploy
---@param kit pai.osmo_deploy.Kit
function M.add(deploy, kit)
  local ctx = kit.ctx

  local function wanted(conf, which)
    local crd = "podmonitors.monitoring.coreos.com"
    conf.pod_monitor = kit.cluster(conf):get(CRD, crd, { accept = ABSENT }) ~= nil
    if conf.pull == nil then
      conf.pull = conf.ngc ~= nil
    end
    return values[which](conf)
  end

  local function status_of(conf, which)
    return ctx.tools.helm.status(RELEASES[which].name, kit.at(conf, conf.namespaces[which]))
  end

  ---Whether a release is deployed, in the version of the lock and with these values.
  ---@param conf pai.osmo_deploy.Conf
  ---@param which "service"|"operator"
  ---@return boolean
  function deploy.release_ready(conf, which)
    local release, status = RELEASES[which], status_of(conf, which)
    if not status or status.status ~= "deployed" or status.chart ~= chart_of(release) then
      return false
    end
    local there = ctx.tools.helm.values(release.name, kit.at(conf, conf.namespaces[which]))
    return same(plain(wanted(conf, which)), there)
  end

  ---Installs or upgrades a release and waits for its objects; what stops its pods is told.
  ---@param conf pai.osmo_deploy.Conf
  ---@param which "service"|"operator"
  function deploy.release(conf, which)
    kit.act("release")
    local release, place = RELEASES[which], kit.at(conf, conf.namespaces[which])
    ctx.tools.helm.unlock(release.name, place)
    local archive = ctx.tools.helm.pull(release.chart, {
      repo = conf.repo or lock.charts.repo,
      version = lock.charts[release.chart],
      into = ctx.fs.tempdir(),
      user = "$oauthtoken",
      password = conf.ngc,
    })
    place.values, place.timeout = wanted(conf, which), release.timeout
    return kit.cluster(conf):guarded({ namespace = place.namespace }, function()
      return ctx.tools.helm.upgrade(release.name, archive, place)
    end)
  end

  local function release_check(conf, which)
    local release = RELEASES[which]
    local chart = chart_of(release)
    return {
      name = "release " .. release.name,
      expected = "deployed, " .. chart,
      hint = "helm history and helm status say what failed",
      run = function()
        local status = status_of(conf, which)
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

  ---The gate of both releases: pods Ready, nothing reachable from outside, storage in place.
  ---@param conf pai.osmo_deploy.Conf
  ---@return table[] checks
  function deploy.checks(conf)
    local kube = ctx.check.kube
    return {
      kube.version(conf.context, { minimum = lock.kubernetes }),
      kube.pods_ready(conf.context, { conf.namespaces.service, conf.namespaces.operator }),
      kube.in_order(conf.context, { conf.namespaces.service, conf.namespaces.operator }),
      kube.no_exposure(conf.context, { conf.namespaces.service }),
      storage_check(deploy, conf),
      configs_check(kit, conf),
      release_check(conf, "service"),
      release_check(conf, "operator"),
    }
  end

  ---@param url string
  ---@return table[] checks
  function deploy.smoke_checks(url)
    return smoke.checks(url)
  end

  ---What the service knows that only looking can tell: whether the smoke test has passed since the
  ---releases are as they are, and which credentials there are for workflows.
  ---@param conf pai.osmo_deploy.Conf
  ---@param url string
  ---@return table[] checks
  function deploy.service_checks(conf, url)
    return {
      {
        name = "verify-hello",
        expected = "COMPLETED since the releases are as they are",
        hint = "pai deploy runs it again: what is done is not repeated",
        timeout = "60s",
        run = function()
          local found = deploy.smoke_ready(conf, url, "hello")
          return {
            state = found and "ok" or "warn",
            measured = found and ("%s %s"):format(found.workflow, found.status) or "none of them",
          }
        end,
      },
      smoke.credentials(url),
    }
  end

  ---Whether such a workflow has completed since the releases are as they are.
  ---@param conf pai.osmo_deploy.Conf
  ---@param url string
  ---@param which "hello"|"gpu"
  ---@return table? workflow
  function deploy.smoke_ready(conf, url, which)
    local since
    for _, one in ipairs({ "service", "operator" }) do
      local status = status_of(conf, one)
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
    kit.act("smoke")
    return smoke.run(ctx, url, which)
  end

  ---Uninstalls a release; false when there is none.
  ---@param conf pai.osmo_deploy.Conf
  ---@param which "service"|"operator"
  function deploy.uninstall(conf, which)
    kit.act("uninstall")
    local place = kit.at(conf, conf.namespaces[which])
    return ctx.tools.helm.uninstall(RELEASES[which].name, place)
  end

  function deploy.installed(conf, which)
    return status_of(conf, which) ~= nil
  end
end

return M
