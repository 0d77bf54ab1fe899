-- One NIM brought to where it should be: claim, download, service, and the mark that it was Ready.
local catalog = require("inference-nim-operator.catalog")
local entitlement = require("pai.shared.entitlement")
local objects = require("inference-nim-operator.objects")

local M = {}

local MARK <const> = "pai/applied"
local GENERATION <const> = "pai/generation"
local SERVICE <const> = { apiVersion = catalog.API, kind = "NIMService" }
local ABSENT <const> = { "NotFound", "NoKind" }

M.SERVICE = SERVICE

local function options(inp)
  return {
    storage_class = inp.storage_class,
    tolerations = objects.tolerations(inp.tolerations),
    -- Their own default is the same.
    hf_endpoint = inp.hf_endpoint ~= entitlement.HF_ENDPOINT.default and inp.hf_endpoint or nil,
  }
end

---The objects of a NIM and their digest.
---@param ctx pai.ctx
---@param name string
---@param inp table
---@return nim.Objects
---@return string digest
function M.wanted(ctx, name, inp)
  local wanted = objects.of(name, options(inp))
  return wanted, ctx.hash(ctx.json.encode(wanted)):sub(1, 16)
end

local function marks(object)
  return object.metadata.annotations or {}
end

local function ready(object)
  local st = object.status or {}
  if st.state == "Ready" then
    return true
  end
  for _, c in ipairs(st.conditions or {}) do
    if c.type == "Ready" and c.status == "True" then
      return true
    end
  end
  return false
end

---What is there of a NIM, in a word.
---@param object table? the NIMService
---@param digest string
---@return "absent"|"ready"|"not ready"|"changed"|"old" state
---@return string why
function M.state(object, digest)
  if not object then
    return "absent", "there is none"
  end
  local mark = marks(object)
  local generation = tostring(object.metadata.generation or 0)
  if not ready(object) then
    return "not ready", (object.status and object.status.state) or "no state yet"
  elseif not mark[MARK] or mark[MARK] == "" then
    return "old", "it was never seen Ready as pai applied it"
  elseif mark[MARK] ~= digest then
    return "old", "it was deployed from other objects"
  elseif mark[GENERATION] ~= generation then
    return "changed", "its spec was changed since"
  end
  return "ready", "Ready"
end

---@param k pai.ctx.k8s
---@param name string
---@return table?
function M.find(k, name)
  return (k:get(SERVICE, name, { namespace = catalog.NAMESPACE, accept = ABSENT }))
end

local UNITS <const> = { Ki = 2 ^ 10, Mi = 2 ^ 20, Gi = 2 ^ 30, Ti = 2 ^ 40 }

local function bytes(quantity)
  local n, unit = tostring(quantity):match("^([%d.]+)(%a*)$")
  return n and tonumber(n) * (UNITS[unit] or 1) or 0
end

-- A claim can't change its access mode, its class or become smaller; what it holds is not thrown
-- away for that.
local function apply_claim(k, claim)
  local name = claim.metadata.name
  local there = k:get("pvc", name, { namespace = catalog.NAMESPACE, accept = ABSENT })
  if not there then
    k:apply(claim)
    return
  end
  local spec = there.spec or {}
  local modes = table.concat(spec.accessModes or {}, ",")
  local want = claim.spec
  local problem
  if modes ~= table.concat(want.accessModes, ",") then
    problem = ("its access mode is %s"):format(modes)
  elseif want.storageClassName and spec.storageClassName ~= want.storageClassName then
    problem = ("its class is %s"):format(tostring(spec.storageClassName))
  end
  if problem then
    local hint = "delete it with the NIM (pai teardown inference-nim-operator volumes=true)"
    error(("claim %s: %s, which can't be changed; %s"):format(name, problem, hint), 0)
  end
  local size = spec.resources and spec.resources.requests and spec.resources.requests.storage
  if bytes(size) > bytes(want.resources.requests.storage) then
    want.resources.requests.storage = size
  end
  want.storageClassName = want.storageClassName or spec.storageClassName
  k:apply(claim)
end

local function condition(object, kind)
  for _, c in ipairs(object.status and object.status.conditions or {}) do
    if c.type == kind and c.status == "True" then
      return c
    end
  end
end

-- Waits for an object of a NIM; one trouble that stops its pods may last for patience_s.
local function await(k, name, inp, opts)
  k:guarded({
    namespace = catalog.NAMESPACE,
    labels = opts.labels,
    claims = name,
    patience_s = inp.patience_s,
  }, function()
    k:wait(opts.what, opts.name, {
      ["for"] = opts["for"],
      namespace = catalog.NAMESPACE,
      timeout = opts.timeout,
    })
  end)
end

-- Downloads the model, unless the claim says that this very download has been completed.
local function download(ctx, k, name, wanted, inp)
  local digest = ctx.hash(ctx.json.encode(wanted.job.spec)):sub(1, 16)
  local job, claim = wanted.job.metadata.name, wanted.claim.metadata.name
  local at = { namespace = catalog.NAMESPACE, accept = ABSENT }
  local held = k:get("pvc", claim, at)
  if held and marks(held)["pai/downloaded"] == digest then
    return
  end
  local there = k:get("jobs", job, at)
  local failed = there and condition(there, "Failed")
  local other = there and marks(there)[MARK] ~= digest
  if failed or other then
    ctx.log(("%s: the download %s is made anew"):format(name, failed and "that failed" or "before"))
    k:delete("jobs", job, {
      namespace = catalog.NAMESPACE,
      propagation = "Foreground",
      wait = true,
      absent = true,
      timeout = "5m",
    })
    there = nil
  end
  if not there then
    wanted.job.metadata.annotations = { [MARK] = digest }
    k:apply(wanted.job)
  end
  local minutes = catalog.NIMS[name].gpus > 1 and "180m" or "60m"
  await(k, name, inp, {
    what = "jobs",
    name = job,
    ["for"] = "complete",
    timeout = minutes,
    labels = "job-name=" .. job,
  })
  k:patch("pvc", claim, { metadata = { annotations = { ["pai/downloaded"] = digest } } }, {
    namespace = catalog.NAMESPACE,
  })
end

---Brings a NIM up.
---@param ctx pai.ctx
---@param k pai.ctx.k8s
---@param name string
---@param inp table
---@return table result
function M.up(ctx, k, name, inp)
  local wanted, digest = M.wanted(ctx, name, inp)
  if wanted.claim then
    apply_claim(k, wanted.claim)
    download(ctx, k, name, wanted, inp)
  end
  -- No mark until it has been seen Ready.
  wanted.service.metadata.annotations = { [MARK] = "", [GENERATION] = "" }
  k:apply(wanted.service, { force = true })
  local minutes = catalog.startup_minutes(catalog.NIMS[name]) + 30 -- and its image's pull
  await(k, name, inp, {
    what = SERVICE,
    name = name,
    ["for"] = "ready",
    timeout = minutes .. "m",
    labels = "app=" .. name,
  })
  local object = M.find(k, name) or error(name .. " is gone again", 0)
  local generation = tostring(object.metadata.generation or 0)
  k:apply({
    apiVersion = catalog.API,
    kind = "NIMService",
    metadata = {
      name = name,
      namespace = catalog.NAMESPACE,
      labels = wanted.service.metadata.labels,
      annotations = { [MARK] = digest, [GENERATION] = generation },
    },
    spec = wanted.service.spec,
  }, { force = true })
  return { name = name, digest = digest }
end

---The path that answers 200, through the API server.
---@param k pai.ctx.k8s
---@param name string
---@return table check
function M.endpoint(k, name)
  local path = catalog.NIMS[name].ready
  return {
    name = "endpoint " .. name,
    expected = "HTTP 200 on " .. path,
    hint = ("pai k8s logs of its pod in %s says why"):format(catalog.NAMESPACE),
    run = function()
      local status = k:proxy(name, {
        namespace = catalog.NAMESPACE,
        port = catalog.PORT,
        path = path,
        timeout = "15s",
      })
      return { state = status == 200 and "ok" or "red", measured = ("HTTP %d"):format(status) }
    end,
  }
end

return M
