-- One release of the stack: what there is of it, how it gets there, when it is as it should be. A
-- release that somebody else made under another name, or in another version, is refused by name.
local lock = require("cluster-onprem.lock")
local objects = require("cluster-onprem.objects")
local patience = require("cluster-onprem.patience")
local values = require("cluster-onprem.values")

local M = {}

---@param inp table
---@param one table a chart of the lock
---@return table where for helm
function M.at(inp, one)
  return { context = inp.context, kubeconfig = inp.kubeconfig, namespace = one.namespace }
end

local function with_version(one, version)
  local copy = {}
  for key, value in pairs(one) do
    copy[key] = value
  end
  copy.version = version
  return copy
end

---A chart of the lock by its id; Run:ai's have the site's version.
---@param id string
---@param inp table
---@return table
function M.chart(id, inp)
  if id == lock.runai.id then
    return with_version(lock.runai, inp.runai_version)
  elseif id == lock.runai_cluster.id then
    return with_version(lock.runai_cluster, inp.runai_cluster_version or inp.runai_version)
  end
  for _, one in ipairs(lock.charts) do
    if one.id == id then
      return one
    end
  end
  error("the lock has no chart " .. id)
end

local function number(version)
  return (version:gsub("^v", ""))
end

-- "metallb-0.15.3" → "0.15.3" for the chart metallb
local function version_of(release, one)
  local name, version = tostring(release.chart):match("^(.-)%-v?(%d[%w.+-]*)$")
  return name == one.chart and version or nil
end

---What there is of a release.
---@param ctx pai.ctx
---@param inp table
---@param one table
---@return pai.tools.helm.Release?
function M.status(ctx, inp, one)
  local helm = ctx.tools.helm
  return (one.secrets and helm.find or helm.status)(one.id, M.at(inp, one))
end

-- Whether values are the same; secrets are compared by their handles, and nobody sees them.
local function same(a, b, null)
  if a == b or a == null or b == null then
    return a == b
  elseif type(a) == "userdata" or type(b) == "userdata" then
    return type(a) == type(b) and a:equals(b)
  elseif type(a) ~= "table" or type(b) ~= "table" then
    return false
  end
  for key, value in pairs(a) do
    if not same(value, b[key], null) then
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

---The release, if it is as it should be.
---@param ctx pai.ctx
---@param inp table
---@param one table
---@return table? release
---@return string said what there is in its place
function M.right(ctx, inp, one)
  local release = M.status(ctx, inp, one)
  if not release then
    return nil, "there is no release"
  end
  local said = ("%s, %s"):format(release.status, release.chart or "chart unknown")
  if release.status ~= "deployed" or version_of(release, one) ~= number(one.version) then
    return nil, said
  end
  local wanted = values[one.id](inp, ctx)
  local given = ctx.tools.helm.values(one.id, M.at(inp, one), one.secrets)
  if not same(wanted, given, ctx.json.null) then
    return nil, said .. ", with other values"
  end
  return release, said
end

-- Longhorn goes up by one minor version at a time and never down; the others are no better for it.
local function refuse_other(ctx, inp, one)
  local list = ctx.tools.helm.list({ context = inp.context, kubeconfig = inp.kubeconfig })
  for _, release in ipairs(list) do
    local version = version_of(release, one)
    local mine = release.name == one.id and release.namespace == one.namespace
    if version and not mine then
      local message = "%s is there already, as release %s in %s: it is somebody else's, and two of "
        .. "them can't be"
      error(message:format(one.chart, release.name, release.namespace), 0)
    elseif version and version ~= number(one.version) and not inp.upgrade then
      local message = "%s is there in version %s; upgrade=true makes it %s: read its notes on "
        .. "upgrades first"
      error(message:format(one.id, version, one.version), 0)
    elseif version then
      local have, want = ctx.semver.find(version), ctx.semver.find(one.version)
      local up = have and want and (want.major - have.major) * 1000 + want.minor - have.minor
      if up and (up < 0 or up > 1) and one.id == "longhorn" then
        local message = "Longhorn can't go from %s to %s: one minor version at a time, and only up"
        error(message:format(version, one.version), 0)
      end
    end
  end
end

---Makes the release what it should be; a failure is told with what the namespace shows.
---@param ctx pai.ctx
---@param inp table
---@param one table
function M.ensure(ctx, inp, one)
  local k = ctx.k8s(inp.context)
  refuse_other(ctx, inp, one)
  k:apply(objects.namespace(one), { force = true })
  local at = M.at(inp, one)
  local wanted = values[one.id](inp, ctx)
  at.version, at.repo = one.version, one.repo
  at.values = not one.secrets and wanted or nil
  at.sealed = one.secrets and ctx.json.seal(wanted) or nil
  ctx.tools.helm.unlock(one.id, at)
  at.timeout, at.deadline = "20m", "30m"
  local ok, e = pcall(ctx.tools.helm.upgrade, one.id, one.chart, at)
  if not ok then
    if type(e) == "table" and e.code == "ECANCELED" then
      error(e, 0)
    end
    local said = type(e) == "table" and (e.stderr or ""):match("([^\n]+)%s*$") or nil
    local message = said or (type(e) == "table" and e.message) or tostring(e)
    local trouble = patience.trouble(k, one.namespace, true)
    error(("%s: %s%s"):format(one.id, message, trouble and "; " .. trouble or ""), 0)
  end
end

---The checks of a release.
---@param ctx pai.ctx
---@param inp table
---@param one table
---@return table[]
function M.gate(ctx, inp, one)
  return {
    {
      name = "release " .. one.id,
      expected = ("deployed, %s-%s"):format(one.chart, one.version),
      hint = ("helm history %s -n %s"):format(one.id, one.namespace),
      run = function()
        local release, said = M.right(ctx, inp, one)
        return { state = release and "ok" or "red", measured = said }
      end,
    },
    ctx.check.kube.pods_ready(inp.context, { one.namespace }),
  }
end

return M
