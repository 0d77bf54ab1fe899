-- The cluster itself: its context, its StorageClass, the GPU Operator, and the gate that deploy and
-- verify share.
local stack = require("cluster-azure.stack")

local M = {}

local LOCK <const> = stack.LOCK
local DEFAULT <const> = "storageclass.kubernetes.io/is-default-class"
local SPOT <const> = "kubernetes.azure.com/scalesetpriority"

---Whether the context leads to the cluster of this deployment; nil when there is none.
---@param ctx pai.ctx
---@param inp table
---@param fqdn string
---@return boolean? here
---@return string? server
function M.leads_here(ctx, inp, fqdn)
  local server = ctx.kubeconfig.server(inp.kubeconfig, inp.context)
  if not server then
    return nil
  end
  local host = server:match("^https?://([^:/]+)")
  return host == fqdn:lower(), server
end

---Whether the context's cluster answers.
---@param ctx pai.ctx
---@param inp table
---@return boolean
function M.answers(ctx, inp)
  return (pcall(function()
    ctx.k8s(inp.context):version()
  end))
end

---The StorageClass that claims for many nodes get.
---@param outputs table
---@return table object
function M.storage_class(outputs)
  return {
    apiVersion = "storage.k8s.io/v1",
    kind = "StorageClass",
    metadata = { name = LOCK.class, annotations = { [DEFAULT] = "true" } },
    provisioner = "file.csi.azure.com",
    allowVolumeExpansion = true,
    reclaimPolicy = "Delete",
    volumeBindingMode = "Immediate",
    -- The account is Terraform's, so that the driver makes none beside it.
    parameters = {
      protocol = "nfs",
      resourceGroup = outputs.resource_group,
      storageAccount = outputs.nfs_storage_account,
    },
    mountOptions = { "nconnect=4", "actimeo=30", "rsize=1048576", "wsize=1048576" },
  }
end

---Whether the class is there and the only default.
---@param ctx pai.ctx
---@param inp table
---@param outputs table
---@return boolean right
---@return string[] others that are a default too
function M.has_class(ctx, inp, outputs)
  local right, others = false, {}
  for _, class in ipairs(ctx.k8s(inp.context):list("storageclasses")) do
    local marked = (class.metadata.annotations or {})[DEFAULT] == "true"
    if class.metadata.name == LOCK.class then
      right = marked and (class.parameters or {}).storageAccount == outputs.nfs_storage_account
    elseif marked then
      others[#others + 1] = class.metadata.name
    end
  end
  return right and #others == 0, others
end

---Makes the class and takes the mark of a default from every other one.
---@param ctx pai.ctx
---@param inp table
---@param outputs table
function M.make_class(ctx, inp, outputs)
  local k = ctx.k8s(inp.context)
  local _, others = M.has_class(ctx, inp, outputs)
  for _, name in ipairs(others) do
    k:patch("storageclasses", name, { metadata = { annotations = { [DEFAULT] = "false" } } })
  end
  k:apply(M.storage_class(outputs))
end

local function at(inp)
  return { context = inp.context, namespace = LOCK.gpu_namespace, kubeconfig = inp.kubeconfig }
end

---Whether the GPU Operator is deployed in the version that is wanted.
---@param ctx pai.ctx
---@param inp table
---@return pai.tools.helm.Release?
function M.operator(ctx, inp)
  local release = ctx.tools.helm.status(LOCK.gpu_chart, at(inp))
  local chart = LOCK.gpu_chart .. "-" .. inp.gpu_operator_version
  return release and release.status == "deployed" and release.chart == chart and release or nil
end

---Installs the GPU Operator. A release that a killed helm has left pending is freed first: helm
---would say that another operation is in progress, for ever.
---@param ctx pai.ctx
---@param inp table
function M.install_operator(ctx, inp)
  ctx.tools.helm.unlock(LOCK.gpu_chart, at(inp))
  local tolerations = { { key = "nvidia.com/gpu", operator = "Exists", effect = "NoSchedule" } }
  if inp.gpu_priority == "Spot" then
    tolerations[2] = { key = SPOT, operator = "Equal", value = "spot", effect = "NoSchedule" }
  end
  ctx.k8s(inp.context):guarded({ namespace = LOCK.gpu_namespace }, function()
    ctx.tools.helm.upgrade(LOCK.gpu_chart, LOCK.gpu_chart, {
      context = inp.context,
      kubeconfig = inp.kubeconfig,
      namespace = LOCK.gpu_namespace,
      repo = LOCK.gpu_repo,
      version = inp.gpu_operator_version,
      values = {
        daemonsets = { tolerations = tolerations },
        ["node-feature-discovery"] = { worker = { tolerations = tolerations } },
      },
      timeout = "10m",
      deadline = "20m",
    })
  end)
end

local function system_nodes(ctx, inp)
  return {
    name = "system pool",
    expected = (">= %d nodes of %s"):format(LOCK.system_min, inp.system_vm_size),
    hint = "az aks nodepool show --name system; smaller nodes have no room for the control plane",
    run = function()
      local n, odd = 0, {}
      for _, node in ipairs(ctx.k8s(inp.context):list("nodes")) do
        local labels = node.metadata.labels or {}
        if labels["kubernetes.azure.com/mode"] == "system" then
          n = n + 1
          local size = labels["node.kubernetes.io/instance-type"]
          if size ~= inp.system_vm_size then
            odd[#odd + 1] = ("%s: %s"):format(node.metadata.name, tostring(size))
          end
        end
      end
      local measured = #odd > 0 and table.concat(odd, ", ") or ("%d nodes"):format(n)
      local fits = #odd == 0 and n >= LOCK.system_min
      return { state = fits and "ok" or "red", measured = measured }
    end,
  }
end

---What must hold of the cluster.
---@param ctx pai.ctx
---@param inp table
---@return table[] checks
function M.gate(ctx, inp)
  local kube = ctx.check.kube
  local list = {
    kube.version(inp.context, { minimum = inp.kubernetes_version }),
    kube.nodes_ready(inp.context),
    system_nodes(ctx, inp),
    kube.default_class(inp.context, LOCK.class),
    kube.pods_ready(inp.context, { LOCK.gpu_namespace }),
  }
  if inp.gpu_min > 0 then
    list[#list + 1] = kube.gpus(inp.context, { least = inp.gpu_min })
  end
  return list
end

return M
