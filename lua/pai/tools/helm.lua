-- helm: releases of a cluster. The context is always named; values go through a file that only
-- this user can read, never through --set. helm 3 and 4 print the same JSON.
local err = require("pai.err")

-- helm status and helm upgrade print a release with its values; a release whose values hold secrets
-- is looked at by helm list, which has none.

-- helm says "Error: release: not found" with exit code 1 for a release that is not there.
local NOT_FOUND <const> = "release: not found"

-- What is listed of a namespace: helm 3 shows no pending ones by itself, helm 4 has no --all.
local STATES <const> = { "deployed", "failed", "pending", "uninstalling" }

-- How long a release may be pending before its helm counts as gone: longer than any wait of ours.
local PENDING_S <const> = 1800

---@class pai.tools.helm.Release
---@field name string
---@field namespace string
---@field status string "deployed", "failed", "pending-install"...
---@field chart string? "osmo-1.4.0"
---@field revision integer
---@field deployed_at string? "2026-08-21T10:00:00", UTC

---@class pai.tools.helm.Upgrade
---@field context string
---@field namespace string
---@field kubeconfig string?
---@field version string? of the chart
---@field repo string? URL of the chart's repository
---@field values table?
---@field sealed pai.secret.handle? values that hold secrets, as JSON; they go through stdin, and
---nothing of what helm prints of the release is read
---@field wait boolean? default true
---@field timeout string? of helm's own waiting, default 10m
---@field deadline string? of the command, default 70m

-- Every call goes by here: it names the cluster, and says what is missing where there is no helm.
local function where(ctx, opts, argv)
  if not ctx.which("helm") then
    err.raise(
      "ENOENT",
      "helm is not on PATH",
      { hint = "install helm: helm.sh/docs/intro/install" }
    )
  elseif type(opts.context) ~= "string" or opts.context == "" then
    err.raise("EINVAL", "ctx.tools.helm: context is missing: name the cluster")
  end
  if opts.namespace then
    argv[#argv + 1] = "--namespace"
    argv[#argv + 1] = opts.namespace
  end
  argv[#argv + 1] = "--kube-context"
  argv[#argv + 1] = opts.context
  if opts.kubeconfig then
    argv[#argv + 1] = "--kubeconfig"
    argv[#argv + 1] = opts.kubeconfig
  end
  return argv
end

-- "2026-08-21T12:00:00.123456789+02:00" in UTC, to the second.
local function utc(text)
  local y, mo, d, h, mi, s, zone = tostring(text):match("^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)(.*)$")
  if not y then
    return nil
  end
  local sign, zone_h, zone_m = zone:match("([+-])(%d%d):(%d%d)$")
  local offset = sign and (tonumber(zone_h) * 60 + tonumber(zone_m)) * (sign == "+" and 1 or -1)
  -- os.time takes local time; the difference of the two notions of it is the machine's offset.
  local at = os.time({ year = y, month = mo, day = d, hour = h, min = mi, sec = s, isdst = false })
  local here = os.time(os.date("!*t", at)) - at
  return os.date("!%Y-%m-%dT%H:%M:%S", at - here - (offset or 0) * 60)
end

-- "2026-08-21 12:00:00.123456789 +0200 CEST", as helm list has it.
local function listed_at(text)
  local day, clock, hour, minute =
    tostring(text):match("^(%d+%-%d+%-%d+) (%d+:%d+:%d+)[%.%d]* ([+-]%d%d)(%d%d)")
  return day and utc(("%sT%s%s:%s"):format(day, clock, hour, minute)) or nil
end

local function wrap(ctx)
  local helm = {}

  local function values_file(values)
    local path = ("%s/values-%s.yaml"):format(ctx.fs.tempdir(), ctx.step:gsub("[^%w]", "-"))
    return ctx.write(path, ctx.yaml.encode(values), { mode = "0600" })
  end

  ---What there is of a release.
  ---@param name string
  ---@param opts { context: string, namespace: string, kubeconfig: string? }
  ---@return pai.tools.helm.Release? release nil when there is none
  function helm.status(name, opts)
    local argv = where(ctx, opts, { "helm", "status", name })
    argv[#argv + 1] = "--output=json"
    local r = ctx.query(argv, { accept = { 0, 1 }, timeout = "60s" })
    if r.code ~= 0 then
      if r.stderr:find(NOT_FOUND, 1, true) then
        return nil
      end
      err.raise("EEXIT", "helm status " .. name .. ": " .. r.stderr:gsub("%s+$", ""))
    end
    local body = ctx.json.decode(r.stdout)
    return {
      name = body.name,
      namespace = body.namespace,
      status = body.info.status,
      chart = body.chart
          and body.chart.metadata
          and (body.chart.metadata.name .. "-" .. body.chart.metadata.version)
        or nil,
      revision = body.version,
      deployed_at = utc(body.info.last_deployed),
    }
  end

  ---The releases of a namespace, or of all.
  ---@param opts { context: string, namespace: string?, kubeconfig: string? }
  ---@return table[] releases as helm list prints them: name, namespace, revision, status, chart
  function helm.list(opts)
    local argv = where(ctx, opts, { "helm", "list" })
    if not opts.namespace then
      argv[#argv + 1] = "--all-namespaces"
    end
    for _, state in ipairs(opts.namespace and STATES or {}) do
      argv[#argv + 1] = "--" .. state
    end
    argv[#argv + 1] = "--output=json"
    return ctx.json.decode(ctx.query(argv, { timeout = "60s" }).stdout)
  end

  ---What there is of a release, by helm list: for one whose values hold secrets.
  ---@param name string
  ---@param opts { context: string, namespace: string, kubeconfig: string? }
  ---@return pai.tools.helm.Release? release nil when there is none
  function helm.find(name, opts)
    for _, one in ipairs(helm.list(opts)) do
      if one.name == name then
        return {
          name = one.name,
          namespace = one.namespace,
          status = one.status,
          chart = one.chart,
          revision = math.tointeger(tonumber(one.revision)),
          deployed_at = listed_at(one.updated),
        }
      end
    end
  end

  ---Frees a release that a killed helm has left pending: helm itself refuses it for ever. One that
  ---somebody may still be working on is refused by name.
  ---@param name string
  ---@param opts { context: string, namespace: string, kubeconfig: string?, sealed: any }
  ---@return boolean mended
  function helm.unlock(name, opts)
    local found = (opts.sealed and helm.find or helm.status)(name, opts)
    if not found or not found.status:find("^pending") then
      return false
    end
    local long_ago = os.date("!%Y-%m-%dT%H:%M:%S", os.time() - PENDING_S)
    if not ctx.resumed and (found.deployed_at or "") > long_ago then
      err.raise("EBUSY", ("%s is %s since %s"):format(name, found.status, found.deployed_at), {
        hint = "another helm may be at work; wait for it, or resume the run that was",
        retryable = true,
      })
    elseif found.status == "pending-install" then
      helm.uninstall(name, opts)
    else
      ctx.exec(where(ctx, opts, { "helm", "rollback", name, "--wait" }), { timeout = "15m" })
    end
    return true
  end

  ---Installs or upgrades a release and waits for its objects.
  ---@param name string
  ---@param chart string a path, a URL, or repo/chart
  ---@param opts pai.tools.helm.Upgrade
  ---@return pai.tools.helm.Release
  function helm.upgrade(name, chart, opts)
    local argv =
      where(ctx, opts, { "helm", "upgrade", name, chart, "--install", "--create-namespace" })
    local timeout = opts.timeout or "10m"
    for flag, value in pairs({ version = opts.version or false, repo = opts.repo or false }) do
      if value then
        argv[#argv + 1] = "--" .. flag
        argv[#argv + 1] = value
      end
    end
    if opts.sealed then
      argv[#argv + 1] = "--values"
      argv[#argv + 1] = "-"
    elseif opts.values and next(opts.values) ~= nil then
      argv[#argv + 1] = "--values"
      argv[#argv + 1] = values_file(opts.values)
    end
    if opts.wait ~= false then
      argv[#argv + 1] = "--wait"
      argv[#argv + 1] = "--timeout"
      argv[#argv + 1] = timeout
    end
    if opts.sealed then
      local deadline = opts.deadline or "70m"
      ctx.exec(argv, { stdin = opts.sealed, stdout = "null", timeout = deadline })
      return helm.find(name, opts) or err.raise("ENOENT", "helm upgrade left no release " .. name)
    end
    argv[#argv + 1] = "--output=json"
    local r = ctx.exec(argv, { timeout = opts.deadline or "70m" })
    local body = ctx.json.decode(r.stdout)
    return {
      name = body.name,
      namespace = body.namespace,
      status = body.info.status,
      revision = body.version,
    }
  end

  ---Removes a release and waits until its objects are gone. One that is not there is fine.
  ---@param name string
  ---@param opts { context: string, namespace: string, kubeconfig: string?, timeout: string? }
  ---@return boolean removed
  function helm.uninstall(name, opts)
    local argv =
      where(ctx, opts, { "helm", "uninstall", name, "--wait", "--timeout", opts.timeout or "5m" })
    local r = ctx.exec(argv, { accept = { 0, 1 }, timeout = "15m" })
    if r.code ~= 0 and not r.stderr:find("not found", 1, true) then
      err.raise("EEXIT", "helm uninstall " .. name .. ": " .. r.stderr:gsub("%s+$", ""))
    end
    return r.code == 0
  end

  ---Renders a chart without a cluster.
  ---@param name string
  ---@param chart string
  ---@param opts { namespace: string?, version: string?, values_file: string? }?
  ---@return string yaml
  function helm.template(name, chart, opts)
    opts = opts or {}
    local argv = { "helm", "template", name, chart }
    for _, pair in ipairs({
      { "--namespace", opts.namespace },
      { "--version", opts.version },
      { "--values", opts.values_file },
    }) do
      if pair[2] then
        argv[#argv + 1], argv[#argv + 2] = pair[1], pair[2]
      end
    end
    return ctx.query(argv, { timeout = "2m" }).stdout
  end

  ---The values that a release was given, without the chart's own.
  ---@param name string
  ---@param opts { context: string, namespace: string, kubeconfig: string? }
  ---@param secrets string[]? paths of values that become handles; no text has them
  ---@return table values
  function helm.values(name, opts, secrets)
    local argv = where(ctx, opts, { "helm", "get", "values", name })
    argv[#argv + 1] = "--output=json"
    local r = ctx.query(argv, { timeout = "60s", stdout = secrets and "secret" or nil })
    local values = ctx.json.decode(r.stdout, secrets and { secret = secrets } or nil)
    return type(values) == "table" and values or {}
  end

  ---Fetches a chart into a folder. With a password the repository is made known under a folder of
  ---its own first, which is removed afterwards: helm would keep the password in clear.
  ---@param chart string name in the repository
  ---@param opts { repo: string, version: string, into: string, user: string?, password: any? }
  ---@return string path of the archive
  function helm.pull(chart, opts)
    local argv = { "helm", "pull", chart, "--repo", opts.repo }
    local home = opts.password and ctx.fs.tempdir()
    local env = home
      and {
        HELM_REPOSITORY_CONFIG = home .. "/repositories.yaml",
        HELM_REPOSITORY_CACHE = home .. "/cache",
      }
    if home then
      argv = { "helm", "pull", "pai/" .. chart }
    end
    for _, word in ipairs({ "--version", opts.version, "--destination", opts.into }) do
      argv[#argv + 1] = word
    end
    local ok, e = pcall(function()
      if home then
        local add = { "helm", "repo", "add", "pai", opts.repo, "--username", opts.user }
        add[#add + 1] = "--password-stdin"
        ctx.exec(add, { stdin = opts.password, env = env, timeout = "2m" })
      end
      ctx.exec(argv, { env = env, timeout = "5m" })
    end)
    if home then
      ctx.fs.remove(home, { recursive = true })
    end
    if not ok then
      error(e, 0)
    end
    local path = ("%s/%s-%s.tgz"):format(opts.into, chart, opts.version)
    if not ctx.fs.exists(path) then
      err.raise("ENOENT", ("helm pull %s %s left no %s"):format(chart, opts.version, path))
    end
    return path
  end

  ---Makes a chart repository known under a name; it may be known already.
  ---@param name string
  ---@param url string
  function helm.repo_add(name, url)
    ctx.exec({ "helm", "repo", "add", name, url, "--force-update" }, { timeout = "2m" })
  end

  return helm
end

return {
  name = "helm",
  version = { argv = { "version", "--short" } },
  install = "helm.sh/docs/intro/install, or snap install helm --classic",
  reads = {
    { "version" },
    { "status" },
    { "list" },
    { "get", "values" },
    { "get", "manifest" },
    { "history" },
    { "template" },
    { "show" },
    { "lint" },
    { "repo", "list" },
  },
  refuse = { "--output-dir", "--post-renderer" },
  wrap = wrap,
}
