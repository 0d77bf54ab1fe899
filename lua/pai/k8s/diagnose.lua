-- What is wrong in a namespace: which object, which layer owns it, what shows it, what to try next.
-- `find` works on what was read and asks nobody; `namespace` reads it. States and the layers that
-- own them: Kubernetes documentation, "Debug Pods", "Pod Lifecycle", "Determine the Reason for Pod
-- Failure".
local async = require("pai.async")
local pods = require("pai.k8s.diagnose_pod")

local M = {}

---@class pai.k8s.Finding
---@field layer string capacity, taints, storage, cluster, image, credential, config, memory, quota,
---workload or job
---@field kind string
---@field name string
---@field state string "Pending", "ImagePullBackOff", ...
---@field message string
---@field evidence string[] events, conditions, image, node, quota
---@field next string the next thing to try

local function condition(object, kind)
  return require("pai.k8s.conditions").find(object, kind)
end

local function node_findings(facts, list)
  for _, node in ipairs(facts.nodes or {}) do
    local ready = condition(node, "Ready")
    if ready and ready.status ~= "True" then
      local evidence = {}
      for _, c in ipairs(node.status.conditions or {}) do
        if c.type == "Ready" or c.status == "True" then
          evidence[#evidence + 1] = ("condition %s=%s: %s"):format(
            c.type,
            c.status,
            c.message or c.reason or ""
          )
        end
      end
      list[#list + 1] = {
        layer = "cluster",
        kind = "Node",
        name = node.metadata.name,
        state = "NotReady",
        message = "the node is not ready",
        evidence = evidence,
        next = "look at the node's kubelet and container runtime; its pods wait until it is back",
      }
    end
  end
end

local function claim_findings(facts, list)
  for _, claim in ipairs(facts.claims or {}) do
    local phase = claim.status and claim.status.phase
    if phase == "Pending" or phase == "Lost" then
      list[#list + 1] = pods.claim(claim, facts)
    end
  end
end

local function quota_findings(facts, list)
  for _, quota in ipairs(facts.quotas or {}) do
    local st = quota.status or {}
    for name, hard in pairs(st.hard or {}) do
      local used = st.used and st.used[name]
      if used and used == hard and hard ~= "0" then
        list[#list + 1] = {
          layer = "quota",
          kind = "ResourceQuota",
          name = quota.metadata.name,
          state = "Used",
          message = ("all of %s is used: %s of %s"):format(name, used, hard),
          evidence = {},
          next = "free some of it, or have the quota raised",
          minor = true,
        }
      end
    end
  end
end

local READY <const> = {
  Deployment = "availableReplicas",
  StatefulSet = "readyReplicas",
  NIMService = "availableReplicas",
}

local function workload_findings(facts, list)
  for _, w in ipairs(facts.workloads or {}) do
    local want = w.spec and w.spec.replicas or 1
    local st = w.status or {}
    local have = st[READY[w.kind] or "readyReplicas"] or 0
    local nim_up = w.kind == "NIMService" and st.state == "Ready"
    if want > 0 and have == 0 and not nim_up then
      local evidence = {}
      for _, c in ipairs(st.conditions or {}) do
        if c.status ~= "True" or c.type == "ReplicaFailure" then
          evidence[#evidence + 1] = ("condition %s=%s: %s"):format(
            c.type,
            c.status,
            c.message or c.reason or ""
          )
        end
      end
      pods.add_events(evidence, facts, w)
      local refused = condition(w, "ReplicaFailure")
      local quota = refused and (refused.message or ""):find("exceeded quota", 1, true)
      list[#list + 1] = {
        layer = quota and "quota" or "workload",
        kind = w.kind,
        name = w.metadata.name,
        state = "0 ready",
        message = ("0 of %d replicas are ready"):format(want),
        evidence = evidence,
        next = quota and "raise the quota or ask for less"
          or "look at what its pods lack: the findings about them come first",
        minor = not quota,
      }
    end
  end
end

local JOB_NEXT <const> = "read the log of its pods (label job-name=%s); a download that failed "
  .. "most often lacks a token or the access to a model"

local function job_findings(facts, list)
  for _, job in ipairs(facts.jobs or {}) do
    local failed = condition(job, "Failed")
    if failed and failed.status == "True" then
      local evidence =
        { ("condition Failed: %s: %s"):format(failed.reason or "", failed.message or "") }
      pods.add_events(evidence, facts, job)
      list[#list + 1] = {
        layer = "job",
        kind = "Job",
        name = job.metadata.name,
        state = "Failed",
        message = ("the job has failed: %s"):format(failed.reason or failed.message or "?"),
        evidence = evidence,
        next = JOB_NEXT:format(job.metadata.name),
      }
    end
  end
end

---Finds what is wrong in what was read. The lowest layer comes first.
---@param facts { pods: table[]?, nodes: table[]?, claims: table[]?, events: table[]?,
---workloads: table[]?, jobs: table[]?, quotas: table[]?, classes: table[]? }
---@return pai.k8s.Finding[]
function M.find(facts)
  local list = {}
  node_findings(facts, list)
  claim_findings(facts, list)
  for _, pod in ipairs(facts.pods or {}) do
    local finding = pods.pod(pod, facts)
    if finding then
      list[#list + 1] = finding
    end
  end
  job_findings(facts, list)
  quota_findings(facts, list)
  workload_findings(facts, list)
  local rank = {}
  for i, layer in ipairs({
    "cluster",
    "quota",
    "capacity",
    "taints",
    "storage",
    "credential",
    "image",
    "config",
    "memory",
    "job",
    "workload",
  }) do
    rank[layer] = i
  end
  for i, f in ipairs(list) do
    f.order = (f.minor and 100 or rank[f.layer]) * 100000 + i
  end
  table.sort(list, function(a, b)
    return a.order < b.order
  end)
  for _, f in ipairs(list) do
    f.order, f.minor = nil, nil
  end
  return list
end

---Findings as checks of a gate.
---@param found pai.k8s.Finding[]
---@param namespace string?
---@return table[] checks one a finding, or one that is green
function M.checks(found, namespace)
  local list = {}
  for i, f in ipairs(found) do
    local evidence = #f.evidence > 0 and " (" .. table.concat(f.evidence, "; ") .. ")" or ""
    list[i] = {
      name = ("%s %s"):format(f.kind, f.name),
      -- A quota that is used up is in nobody's way until it refuses something.
      state = f.state == "Used" and "warn" or "red",
      measured = ("%s: %s%s"):format(f.layer, f.message, evidence),
      expected = "in order",
      hint = f.next,
    }
  end
  if #list == 0 then
    list[1] = { name = namespace or "namespace", state = "ok", measured = "nothing is wrong" }
  end
  return list
end

-- What may not be read, or is not there, leaves the rest of the diagnosis as it is.
local function maybe(c, what, opts, denied)
  local items, e = c:list(what, opts)
  if items then
    return items
  end
  if e.http == 403 or e.http == 404 or e.code == "ENOENT" then
    denied[#denied + 1] = type(what) == "string" and what or what.kind
    return {}
  end
  error(e, 0)
end

---Reads a namespace and finds what is wrong in it.
---@param c pai.k8s.Client
---@param opts { namespace: string?, labels: string? }?
---@return pai.k8s.Finding[]? findings and `unread`, what the user may not look at
---@return pai.Error? err
function M.namespace(c, opts)
  opts = opts or {}
  local own = { namespace = opts.namespace, labels = opts.labels }
  local all = { namespace = opts.namespace }
  local denied = {}
  local function reads(what, options)
    return function()
      return maybe(c, what, options, denied)
    end
  end
  local nim = { apiVersion = "apps.nvidia.com/v1alpha1", kind = "NIMService" }
  local ok, got = pcall(async.all, {
    pods = reads("pods", own),
    events = reads("events", all),
    claims = reads("persistentvolumeclaims", all),
    jobs = reads("jobs", own),
    deployments = reads("deployments", own),
    statefulsets = reads("statefulsets", own),
    nims = reads(nim, own),
    quotas = reads("resourcequotas", all),
    nodes = reads("nodes", {}),
    classes = reads("storageclasses", {}),
  })
  if not ok then
    return nil, require("pai.err").wrap(got)
  end
  got.workloads = {}
  for _, key in ipairs({ "deployments", "statefulsets", "nims" }) do
    table.move(got[key], 1, #got[key], #got.workloads + 1, got.workloads)
  end
  local found = M.find(got)
  found.unread = denied
  return found
end

return M
