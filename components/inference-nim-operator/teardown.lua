-- Takes away what deploy made, in the order that leaves nothing behind: services and their pods
-- first, then what they used, then the operator, and last what is the whole cluster's.
local catalog = require("inference-nim-operator.catalog")
local converge = require("inference-nim-operator.converge")
local gate = require("inference-nim-operator.gate")

local MANAGED <const> = "app.kubernetes.io/managed-by=pai"
local SECRETS <const> = { "nvcr-pull-secret", "ngc-api-secret", "hf-token-secret" }
local ABSENT <const> = { "NotFound", "NoKind" }

-- Every NIM, or those that were named.
local function is_meant(inp, name)
  if not inp.nims then
    return true
  end
  for _, wanted in ipairs(inp.nims) do
    if name == wanted or name:sub(1, #wanted + 1) == wanted .. "-" and not catalog.NIMS[name] then
      return true
    end
  end
  return false
end

local function names(k, what, inp, labels)
  local list = {}
  local found = k:list(what, {
    namespace = catalog.NAMESPACE,
    labels = labels,
    accept = ABSENT,
  })
  for _, object in ipairs(found or {}) do
    if is_meant(inp, object.metadata.name) then
      list[#list + 1] = object.metadata.name
    end
  end
  return list
end

-- A step that deletes objects of a kind and waits until they are gone.
local function deletion(step, after, what, labels, when)
  return {
    name = step,
    after = after,
    timeout = "20m",
    when = when,
    done = function(ctx, inp)
      return #names(ctx.k8s(inp.context), what, inp, labels) == 0 and {} or nil
    end,
    run = function(ctx, inp)
      local k = ctx.k8s(inp.context)
      local list = names(k, what, inp, labels)
      for _, name in ipairs(list) do
        k:delete(what, name, {
          namespace = catalog.NAMESPACE,
          propagation = "Foreground",
          wait = true,
          absent = true,
          timeout = "10m",
        })
      end
      return { deleted = list }
    end,
  }
end

local function whole(inp)
  return not inp.nims, "nims= names some: the operator stays for the others"
end

local function secrets_there(k)
  local list = {}
  for _, namespace in ipairs({ catalog.OPERATOR_NAMESPACE, catalog.NAMESPACE }) do
    for _, name in ipairs(SECRETS) do
      local pick = { "metadata.name" }
      local opts = { namespace = namespace, pick = pick, accept = ABSENT }
      if k:get("secrets", name, opts) then
        list[#list + 1] = { name = name, namespace = namespace }
      end
    end
  end
  return list
end

local function namespaces_there(k, inp)
  local list = {}
  -- The namespace of the claims goes with the claims only.
  for i, name in ipairs({ catalog.OPERATOR_NAMESPACE, catalog.NAMESPACE }) do
    if (i == 1 or inp.volumes) and k:get("ns", name, { accept = ABSENT }) then
      list[#list + 1] = name
    end
  end
  return list
end

local function crds_there(k)
  local list = {}
  for _, crd in ipairs(k:list("crd")) do
    local name = crd.metadata.name
    if name:find("%.apps%.nvidia%.com$") then
      list[#list + 1] = name
    end
  end
  return list
end

return {
  summary = "Removes the NIMs, their Secrets and the operator; claims and CRDs only when told to.",
  safety = "destroys",
  needs = { clusters = { "@context" } },
  inputs = {
    volumes = {
      type = "boolean",
      default = false,
      doc = "Delete the claims too: the models on them are lost.",
    },
    crds = {
      type = "boolean",
      default = false,
      doc = "Delete the operator's CRDs, with every object of theirs in the whole cluster.",
    },
  },
  locks = function(inp)
    return { "kube:" .. inp.context }
  end,
  steps = {
    deletion("services", nil, converge.SERVICE),
    deletion("jobs", { "services" }, "jobs", MANAGED),
    deletion("claims", { "jobs" }, "pvc", nil, function(inp)
      return inp.volumes, "volumes=true deletes the models that were downloaded"
    end),
    {
      name = "secrets",
      after = { "claims" },
      when = whole,
      timeout = "5m",
      done = function(ctx, inp)
        return #secrets_there(ctx.k8s(inp.context)) == 0 and {} or nil
      end,
      run = function(ctx, inp)
        local k = ctx.k8s(inp.context)
        for _, one in ipairs(secrets_there(k)) do
          k:delete("secrets", one.name, { namespace = one.namespace, absent = true })
        end
        return {}
      end,
    },
    {
      name = "operator",
      after = { "secrets" },
      when = whole,
      timeout = "20m",
      done = function(ctx, inp)
        return not ctx.tools.helm.status("nim-operator", gate.at(inp)) and {} or nil
      end,
      run = function(ctx, inp)
        ctx.tools.helm.uninstall("nim-operator", gate.at(inp))
        return {}
      end,
    },
    {
      name = "namespaces",
      after = { "operator" },
      when = whole,
      timeout = "15m",
      done = function(ctx, inp)
        return #namespaces_there(ctx.k8s(inp.context), inp) == 0 and {} or nil
      end,
      run = function(ctx, inp)
        local k = ctx.k8s(inp.context)
        local gone = namespaces_there(k, inp)
        for _, name in ipairs(gone) do
          k:delete("ns", name, { wait = true, absent = true, timeout = "10m" })
        end
        return { deleted = gone }
      end,
    },
    {
      name = "crds",
      after = { "namespaces" },
      when = function(inp)
        if not inp.crds then
          return false, "crds=true deletes them"
        end
        return whole(inp)
      end,
      timeout = "10m",
      done = function(ctx, inp)
        return #crds_there(ctx.k8s(inp.context)) == 0 and {} or nil
      end,
      run = function(ctx, inp)
        local k = ctx.k8s(inp.context)
        for _, name in ipairs(crds_there(k)) do
          k:delete("crd", name, { wait = true, absent = true, timeout = "5m" })
        end
        return {}
      end,
    },
  },
  examples = { "pai teardown inference-nim-operator context=lab volumes=true" },
}
