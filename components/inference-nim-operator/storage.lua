-- The StorageClass that the claims will get: exactly one default, or the one that was named, and of
-- a kind that several nodes can mount at once.
local M = {}

local DEFAULT <const> = "storageclass.kubernetes.io/is-default-class"

-- Provisioners whose volumes can be mounted by many nodes: their drivers' documentation.
local SHARED <const> = {
  ["file.csi.azure.com"] = true,
  ["nfs.csi.k8s.io"] = true,
  ["efs.csi.aws.com"] = true,
  ["filestore.csi.storage.gke.io"] = true,
  ["driver.longhorn.io"] = true,
  ["rook-ceph.cephfs.csi.ceph.com"] = true,
  ["cephfs.csi.ceph.com"] = true,
}

-- Volumes that are folders of a node: many pods of that node may mount them, no other node can.
local LOCAL <const> = { ["microk8s.io/hostpath"] = true, ["rancher.io/local-path"] = true }

local function defaults(classes)
  local list = {}
  for _, class in ipairs(classes) do
    local marks = class.metadata.annotations or {}
    if marks[DEFAULT] == "true" then
      list[#list + 1] = class
    end
  end
  return list
end

---Looks at the classes.
---@param k pai.ctx.k8s
---@param wanted string? the class that was named
---@return table check
function M.look(k, wanted)
  local check = {
    name = "StorageClass",
    expected = wanted and wanted .. ", ReadWriteMany" or "one default, ReadWriteMany",
    hint = "mark one class with the annotation " .. DEFAULT .. ", or pass storage_class",
  }
  local classes = k:list("storageclasses")
  local class
  if wanted then
    for _, one in ipairs(classes) do
      class = one.metadata.name == wanted and one or class
    end
    if not class then
      check.state, check.measured = "red", "there is no class " .. wanted
      return check
    end
  else
    local found = defaults(classes)
    if #found ~= 1 then
      local names = {}
      for i, one in ipairs(found) do
        names[i] = one.metadata.name
      end
      check.state = "red"
      check.measured = #found == 0 and "no class is the default"
        or "several are the default: " .. table.concat(names, ", ")
      return check
    end
    class = found[1]
  end
  local by = class.provisioner
  check.measured = ("%s by %s"):format(class.metadata.name, tostring(by))
  if SHARED[by] then
    check.state = "ok"
  elseif LOCAL[by] then
    local nodes = #k:list("nodes")
    check.state = nodes == 1 and "ok" or "red"
    check.measured = ("%s, a folder of a node; %d nodes"):format(check.measured, nodes)
    check.hint = "on several nodes use a class whose volumes all of them can mount"
  else
    check.state = "warn"
    check.measured = check.measured .. ", of which is not known whether many nodes can mount it"
  end
  return check
end

return M
