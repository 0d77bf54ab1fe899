-- The active tests of GPUs and storage: a CUDA kernel on each GPU node, and a volume that is
-- written on one worker after another. Shapes: NVIDIA's cuda-sample vectoradd prints "Test PASSED".
local probe = require("cluster-onprem.probe")

local M = {}

local GPU <const> = "nvidia.com/gpu"
local VOLUME <const> = { apiVersion = "longhorn.io/v1beta2", kind = "Volume" }

local check, workers = probe.check, probe.workers

-- ctx.all gives its results by key; the checks keep the order of the nodes.
local function side_by_side(ctx, list, fn)
  local work = {}
  for i, one in ipairs(list) do
    work[i] = function()
      return fn(one, i)
    end
  end
  return ctx.all(work, { limit = 8 })
end

---A CUDA kernel on nodes, or on each that has a GPU.
---@param ctx pai.ctx
---@param inp table
---@param test string
---@param only { name: string, gpus: integer, model: string? }[]?
---@return { checks: table[] }
function M.vectoradd(ctx, inp, test, only)
  return probe.within(ctx, inp, test, function(k, namespace)
    local nodes = {}
    for _, one in ipairs(only or workers(k)) do
      nodes[#nodes + 1] = one.gpus > 0 and one or nil
    end
    if #nodes == 0 then
      return { check("CUDA", "a node with a GPU", false, "none has one that pods may ask for") }
    end
    return side_by_side(ctx, nodes, function(one, i)
      local container = { image = inp.cuda_image, resources = { limits = { [GPU] = "1" } } }
      local spec = probe.pod(one.name, container, { runtimeClassName = "nvidia" })
      local job = probe.job(namespace, "vectoradd-" .. i, spec)
      local completed, said = probe.run(ctx, k, job, inp)
      local passed = completed and said:find("Test PASSED", 1, true) ~= nil
      local measured = passed and "Test PASSED"
        or completed and "its log has no Test PASSED: " .. (said:match("[^\n]+") or "it is empty")
        or said
      local hint = "cuda-validation's log in gpu-operator; uvm_disable_hmm=1; all GPUs in use?"
      return check(
        ("CUDA on %s (%s)"):format(one.name, one.model or "GPU"),
        "Test PASSED",
        passed,
        measured,
        hint
      )
    end)
  end)
end

---A CUDA kernel on each node with a GPU.
---@param ctx pai.ctx
---@param inp table
---@return { checks: table[] }
function M.gpu(ctx, inp)
  return M.vectoradd(ctx, inp, "gpu")
end

-- On each worker in turn: what the workers before have written is there, and one more is written.
local SCRIPT <const> = [[set -e
n=0
for f in /data/*.node; do
  [ -e "$f" ] || continue
  [ "$(cat "$f")" = "$f" ]
  n=$((n + 1))
done
[ "$n" = "$BEFORE" ] || { echo "found $n files of $BEFORE"; exit 1; }
printf %s "/data/$BEFORE.node" >"/data/$BEFORE.node"
sync
echo STORED]]

local function claim(inp, namespace)
  return {
    apiVersion = "v1",
    kind = "PersistentVolumeClaim",
    metadata = { name = "claim", namespace = namespace },
    spec = {
      storageClassName = inp.storage_class,
      accessModes = { "ReadWriteOnce" },
      resources = { requests = { storage = "1Gi" } },
    },
  }
end

-- What Longhorn says of the volume while it is there.
local function robustness(k, namespace)
  local bound = k:get("persistentvolumeclaims", "claim", { namespace = namespace })
  local name = bound.spec and bound.spec.volumeName
  local volume = name
    and k:get(VOLUME, name, {
      namespace = "longhorn-system",
      accept = { "NotFound", "NoKind" },
    })
  local state = volume and volume.status and volume.status.robustness
  -- Detached, as it is after the last pod, it is "unknown"; faulted is what must not be.
  local good = state == "healthy" or state == "unknown"
  local hint = "pai k8s get volumes.longhorn.io; fewer replicas than wanted can be placed"
  return check("Longhorn volume", "healthy", good, state or "no such volume", hint)
end

---A volume that every worker writes, one after another.
---@param ctx pai.ctx
---@param inp table
---@return { checks: table[] }
function M.storage(ctx, inp)
  return probe.within(ctx, inp, "storage", function(k, namespace)
    k:apply(claim(inp, namespace))
    local checks, nodes = {}, workers(k)
    if #nodes == 0 then
      return { check("volume", "a worker", false, "there is none") }
    end
    for i, one in ipairs(nodes) do
      local container = {
        image = inp.image,
        command = { "sh", "-c", SCRIPT },
        env = { { name = "BEFORE", value = tostring(i - 1) } },
        volumeMounts = { { name = "data", mountPath = "/data" } },
      }
      local data = { name = "data", persistentVolumeClaim = { claimName = "claim" } }
      local spec = probe.pod(one.name, container, { volumes = { data } })
      local completed, said = probe.run(ctx, k, probe.job(namespace, "store-" .. i, spec), inp)
      local good = completed and said:find("STORED", 1, true) ~= nil
      local expected = ("attached, %d files read, one written"):format(i - 1)
      local hint = "the CSI plugin must run on the workers too; iscsid on the node"
      checks[#checks + 1] =
        check("volume on " .. one.name, expected, good, good and "as expected" or said, hint)
      if not good then
        return checks
      end
    end
    checks[#checks + 1] = robustness(k, namespace)
    return checks
  end)
end

return M
