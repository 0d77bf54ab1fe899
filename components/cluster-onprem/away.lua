-- What teardown asks and takes away beside the releases themselves.
local lock = require("cluster-onprem.lock")
local node = require("cluster-onprem.node")
local remote = require("cluster-onprem.remote")

local M = {}

local ABSENT <const> = { "NotFound", "NoKind" }
local SETTING <const> = { apiVersion = "longhorn.io/v1beta2", kind = "Setting" }
local THERE <const> =
  "test -e /etc/kubernetes/manifests -o -e /etc/kubernetes/admin.conf && echo yes || echo no"

---Where the context is gone, the cluster is, or nobody here can reach it.
---@param ctx pai.ctx
---@param inp table
---@return boolean
function M.gone(ctx, inp)
  return ctx.kubeconfig.server(inp.kubeconfig, inp.context) == nil
end

---Deletes objects, the last first, and waits until they are gone.
---@param k pai.ctx.k8s
---@param list table[]
function M.delete_all(k, list)
  for i = #list, 1, -1 do
    local one = list[i]
    local there = k:get(one, one.metadata.name, {
      namespace = one.metadata.namespace,
      accept = ABSENT,
    })
    if there then
      k:delete(one, one.metadata.name, {
        namespace = one.metadata.namespace,
        wait = true,
        absent = true,
        timeout = "10m",
      })
    end
  end
end

---Claims and volumes of Longhorn that would be lost: "namespace/name".
---@param k pai.ctx.k8s
---@return string[]
function M.volumes(k)
  local list = {}
  for _, one in ipairs(k:list("persistentvolumes")) do
    local csi = one.spec and one.spec.csi
    if csi and csi.driver == "driver.longhorn.io" then
      local ref = one.spec.claimRef or {}
      list[#list + 1] = ("%s/%s"):format(ref.namespace or "?", ref.name or one.metadata.name)
    end
  end
  table.sort(list)
  return list
end

---Longhorn's own guard wants to be told, or its uninstaller fails.
---@param k pai.ctx.k8s
function M.confirm_longhorn(_, _, k)
  local list = M.volumes(k)
  if #list > 0 then
    local message = "Longhorn still has volumes: %s; delete the claims that use them first"
    error(message:format(table.concat(list, ", ")), 0)
  end
  k:patch(SETTING, "deleting-confirmation-flag", { value = "true" }, {
    namespace = "longhorn-system",
  })
end

M.MONITORING = "monitoring"

---@param k pai.ctx.k8s
---@return table[]
function M.own_claims(k)
  return k:list("persistentvolumeclaims", { namespace = M.MONITORING })
end

---Namespaces of what is gone; Longhorn's stays with Longhorn.
---@param ctx pai.ctx
---@param inp table
---@return string[]
function M.namespaces(ctx, inp)
  local k, list = ctx.k8s(inp.context), {}
  local all = { lock.runai_cluster, lock.runai }
  for _, one in ipairs(lock.charts) do
    all[#all + 1] = (inp.volumes or one.id ~= "longhorn" and one.namespace ~= M.MONITORING) and one
      or nil
  end
  for _, one in ipairs(all) do
    if k:get("namespaces", one.namespace, { accept = ABSENT }) then
      list[#list + 1] = one.namespace
    end
  end
  return list
end

---Hosts that still have Kubernetes.
---@param ctx pai.ctx
---@param inp table
---@return string[] names
function M.kept_on_hosts(ctx, inp)
  local there = {}
  for _, one in ipairs(node.all(inp)) do
    local r = remote.ask(ctx, inp, one, THERE)
    if r.code ~= 0 then
      error(("%s: %s"):format(one.name, remote.said(r) or "no answer"), 0)
    end
    there[#there + 1] = r.stdout:find("yes", 1, true) and one.name or nil
  end
  return there
end

---Whether what was asked for makes sense.
---@param inp table
---@return table[] checks
function M.meant(_, inp)
  local good = inp.reset == nil or inp.reset == inp.context
  local list = {
    {
      name = "name of the cluster",
      expected = inp.reset and inp.context or "none",
      state = good and "ok" or "red",
      measured = inp.reset or "none: Kubernetes stays",
      hint = "reset= is the name of the context, typed once more",
    },
  }
  for _, name in ipairs(inp.reset and { "site", "kubespray", "control_planes", "workers" } or {}) do
    list[#list + 1] = {
      name = name,
      expected = "as deploy was given it",
      state = inp[name] and "ok" or "red",
      measured = inp[name] and "given" or "missing",
    }
  end
  return list
end

return M
