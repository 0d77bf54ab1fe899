-- What a cluster has beside what the lock says. Another version is no failure by itself: somebody
-- may have wanted it. It is yellow, with both versions.
local versions = require("pai.shared.versions")

local M = {}

local function bare(version)
  return (tostring(version):gsub("^v", ""))
end

-- "gpu-operator-v25.10.1" → "v25.10.1" for the chart gpu-operator
local function version_of(release, chart)
  local text = type(release.chart) == "string" and release.chart or ""
  local rest = text:sub(1, #chart + 1) == chart .. "-" and text:sub(#chart + 2) or ""
  return rest:find("^v?%d") and rest or nil
end

local function release_check(list, one)
  local check = {
    name = "version of " .. one.chart,
    expected = one.version,
    hint = ("that is the lock of %s; deploy brings a release of pai's there"):format(versions.date),
    state = "skipped",
    measured = "there is no release of it",
  }
  for _, release in ipairs(list) do
    local version = version_of(release, one.chart)
    if version then
      check.state = bare(version) == bare(one.version) and "ok" or "warn"
      check.measured = ("%s, as %s in %s"):format(version, release.name, release.namespace)
    end
  end
  return check
end

---Checks of the charts' releases in a cluster, wherever they are in it.
---@param ctx pai.ctx
---@param inp { context: string, kubeconfig: string? }
---@param wanted { chart: string, version: string }[]
---@return table[] checks
function M.releases(ctx, inp, wanted)
  local at = { context = inp.context, kubeconfig = inp.kubeconfig }
  local ok, list = pcall(ctx.tools.helm.list, at)
  if not ok then
    local e = type(list) == "table" and list or { message = tostring(list) }
    if e.code == "ECANCELED" then
      error(list, 0)
    end
    local why = "helm can't list releases: " .. e.message
    return { { name = "versions of charts", state = "warn", measured = why, hint = e.hint } }
  end
  local checks = {}
  for i, one in ipairs(wanted) do
    checks[i] = release_check(list, one)
  end
  return checks
end

-- Every image that pods of a namespace name.
local function images_of(k, namespace, into)
  for _, pod in ipairs(k:list("pods", { namespace = namespace })) do
    local spec = pod.spec or {}
    for _, list in ipairs({ spec.initContainers or {}, spec.containers or {} }) do
      for _, container in ipairs(list) do
        into[container.image] = true
      end
    end
  end
end

---A check that pods run the images of one registry in one tag.
---@param ctx pai.ctx
---@param context string
---@param namespaces string[]
---@param registry string
---@param tag string
---@return table check
function M.images(ctx, context, namespaces, registry, tag)
  return {
    name = "images of " .. table.concat(namespaces, ", "),
    expected = ("%s/*:%s"):format(registry, tag),
    hint = "deploy brings the releases to the versions of the lock",
    run = function()
      local found, others, n = {}, {}, 0
      for _, namespace in ipairs(namespaces) do
        images_of(ctx.k8s(context), namespace, found)
      end
      for image in pairs(found) do
        local rest = image:sub(1, #registry + 1) == registry .. "/" and image:sub(#registry + 2)
        n = n + (rest and 1 or 0)
        if rest and rest:match(":([^:]*)$") ~= tag then
          others[#others + 1] = rest
        end
      end
      table.sort(others)
      if n == 0 then
        return { state = "skipped", measured = "no pod has an image of that registry" }
      end
      local measured = #others > 0 and table.concat(others, ", ") or ("%d, all of it"):format(n)
      return { state = #others == 0 and "ok" or "warn", measured = measured }
    end,
  }
end

return M
