-- inference-nim-operator: what it refuses before it acts, deploy, kills, repeats, verify, teardown.
local support = assert(loadfile("tests/spec/components/nim_support.lua", "t", _ENV))()
local it_deploys = support.it

local QWEN <const> = "nims=qwen25-14b"

local function seen_of(nim, ...)
  local _, seen = nim.act(...)
  return seen
end

describe("inference-nim-operator preflight", function()
  it_deploys("is green with keys, known names and enough GPUs", function(nim)
    local given = { "nims=qwen25-14b,cosmos-transfer", "gpu_nodes=2", "gpus_per_node=1" }
    local r, seen = nim.act("preflight", given)
    assert.equal(0, r.code, r.stdout)
    assert.equal("ok 1 GPU, 48Gi memory, 50Gi storage", seen["NIM qwen25-14b"])
    assert.equal("ok 3.19.0", seen["helm version"])
    assert.truthy(seen["GPU fit"]:find("^ok 2 of 2 GPUs"))
    assert.same({}, nim.c.acts)
  end)

  it_deploys("wants names, and only those that there are", function(nim)
    local r, seen = nim.act("preflight")
    assert.same({ 1, "red none is named" }, { r.code, seen.NIMs })
    r, seen = nim.act("preflight", { "nims=qwen2.5-14b,..,qwen25-14b" })
    assert.equal(1, r.code)
    assert.equal("red there is no such NIM (did you mean 'qwen25-14b'?)", seen["NIM qwen2.5-14b"])
    assert.equal("red there is no such NIM", seen["NIM .."])
    assert.truthy(seen["NIM qwen25-14b"]:find("^ok"))
    r, seen = nim.act("preflight", { "all=true", QWEN })
    assert.same({ 1, "red both nims and all are given" }, { r.code, seen.NIMs })
    r, seen = nim.act("preflight", { "all=true", "gpu_nodes=2", "gpus_per_node=8" })
    assert.equal(0, r.code, r.stdout)
    assert.truthy(seen["GPU fit"]:find("^ok 15 of 16 GPUs"))
    local memory, storage, n = 0, 0, 0
    for name, said in pairs(seen) do
      if name:find("^NIM ") then
        local m, s = said:match("(%d+)Gi memory, (%d+)Gi storage$")
        memory, storage, n = memory + m, storage + s, n + 1
      end
    end
    assert.same({ 8, 1152, 1320 }, { n, memory, storage })
  end)

  it_deploys("derives the need for a token from what the objects refer to", function(nim)
    local none = { HF_TOKEN = false }
    local r, seen = nim.act("preflight", { "nims=qwen-image-edit-nvpcb-ovsl2sl" }, none)
    assert.same({ 1, "red not set" }, { r.code, seen.HF_TOKEN })
    r, seen = nim.act("preflight", { "nims=cosmos-reason" }, none)
    assert.equal(0, r.code, r.stdout)
    assert.truthy(seen.HF_TOKEN:find("^skipped"))
    r, seen = nim.act("preflight", { QWEN }, { NGC_API_KEY = false })
    assert.same({ 1, "red not set" }, { r.code, seen.NGC_API_KEY })
  end)

  it_deploys("counts GPUs by node, not by sum", function(nim)
    local r, seen = nim.act("preflight", { "nims=qwen3-235b", "gpu_nodes=8", "gpus_per_node=1" })
    assert.equal(1, r.code)
    assert.equal(
      "red no place for qwen3-235b (8): 8 GPUs, at most 1 on a node by gpu_nodes and gpus_per_node",
      seen["GPU fit"]
    )
    seen = seen_of(nim, "preflight", { "nims=qwen3-235b" })
    assert.truthy(seen["GPU fit"]:find("^skipped 8 GPUs are wanted"))
  end)

  it_deploys("refuses an old helm, none, and what is no toleration", function(nim)
    nim.talk:instead({ argv = { "helm", "..." }, stdout = "v2.17.0\n", cite = "helm 2" })
    local _, seen = nim.act("preflight", { QWEN, "tolerations=spot" })
    assert.equal("red 2.17.0", seen["helm version"])
    assert.equal("red 'spot' is no toleration: KEY=VALUE:NoSchedule", seen.tolerations)
    nim.talk:remove("helm")
    seen = seen_of(nim, "preflight", { QWEN })
    assert.equal("red not found on PATH", seen["helm version"])
  end)
end)

describe("inference-nim-operator deploy", function()
  it_deploys("stops at what is no toleration, before it makes anything", function(nim)
    local r, seen = nim.act("deploy", { QWEN, "tolerations=spot" })
    assert.equal(1, r.code)
    assert.equal("red 'spot' is no toleration: KEY=VALUE:NoSchedule", seen.tolerations)
    assert.same({}, nim.c.acts)
    assert.same({}, nim.talk:calls("upgrade"))
  end)

  it_deploys("brings up what is named, and changes nothing the second time", function(nim)
    support.answers(nim, "qwen25-14b")
    local r, seen = nim.act("deploy", {
      QWEN,
      "tolerations=kubernetes.azure.com/scalesetpriority=spot:NoSchedule",
    })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.equal("ok HTTP 200", seen["endpoint qwen25-14b"])
    assert.equal("ok Ready", seen["NIMService qwen25-14b"])
    assert.equal("ok none", seen["NIMs that nothing references"])
    local service = nim.c.objects[support.NIMS .. "qwen25-14b"]
    assert.equal("nvcr.io/nim/nvidia/model-free-nim", service.spec.image.repository)
    assert.equal("spot", service.spec.tolerations[1].value)
    assert.same({ name = "qwen25-14b-pvc" }, service.spec.storage.pvc)
    assert.equal(16, #service.metadata.annotations["pai/applied"])
    local job = nim.c.objects[support.JOBS .. "qwen25-14b-hf-download"]
    assert.is_nil(job.spec.ttlSecondsAfterFinished)
    local pull = nim.c.objects[support.SECRETS .. "nvcr-pull-secret"]
    local config = require("pai.crypto").base64_decode(pull.data[".dockerconfigjson"])
    local login = require("pai.json").decode(config).auths["nvcr.io"]
    assert.same({ "$oauthtoken", nim.key }, { login.username, login.password })
    local upgrade = nim.talk:calls("upgrade nim%-operator")
    assert.equal(1, #upgrade)
    assert.truthy(upgrade[1].text:find("--version 3.1.0", 1, true), upgrade[1].text)
    assert.truthy(upgrade[1].text:find("--kube-context lab", 1, true))
    nim.c:forget()
    nim.talk:forget()
    r = nim.act("deploy", {
      QWEN,
      "tolerations=kubernetes.azure.com/scalesetpriority=spot:NoSchedule",
    })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.same({}, nim.c.acts)
    assert.same({}, nim.talk:calls("upgrade nim%-operator"))
  end)

  it_deploys("downloads once, also when the Job is gone, and anew when it differs", function(nim)
    support.answers(nim, "qwen25-14b")
    assert.equal(0, nim.act("deploy", { QWEN }).code)
    nim.c:drop(support.JOBS .. "qwen25-14b-hf-download")
    nim.c.objects[support.NIMS .. "qwen25-14b"].metadata.annotations["pai/applied"] = ""
    nim.c:forget()
    assert.equal(0, nim.act("deploy", { QWEN }).code)
    assert.same({}, nim.c:changed("/jobs"))
    -- Another download than the one that the claim holds, and a Job that is still there.
    nim.c.objects[support.CLAIMS .. "qwen25-14b-pvc"].metadata.annotations = {}
    nim.c:put(support.JOBS .. "qwen25-14b-hf-download", {
      metadata = { annotations = { ["pai/applied"] = "other" } },
    })
    nim.c.objects[support.NIMS .. "qwen25-14b"].metadata.annotations["pai/applied"] = ""
    nim.c:forget()
    assert.equal(0, nim.act("deploy", { QWEN }).code)
    local acts = nim.c:changed("/jobs")
    assert.equal("DELETE", acts[1]:match("^%a+"))
    assert.equal("PATCH", acts[2]:match("^%a+"))
  end)

  it_deploys("ends at a download that failed, and tries it anew", function(nim)
    support.answers(nim, "qwen25-14b")
    nim.c.job_state = "Failed"
    local r, seen = nim.act("deploy", { QWEN })
    assert.equal(1, r.code)
    assert.truthy(seen.failed:find("Job qwen25-14b-hf-download has failed", 1, true), seen.failed)
    assert.is_nil(nim.c.objects[support.NIMS .. "qwen25-14b"])
    nim.c.job_state = "Complete"
    nim.c:forget()
    r = nim.act("deploy", { QWEN })
    assert.equal(0, r.code, r.stdout)
    assert.equal("DELETE", nim.c:changed("/jobs")[1]:match("^%a+"))
  end)

  it_deploys("marks nothing that was not Ready", function(nim)
    nim.c.nim_state = "Failed"
    local r, seen = nim.act("deploy", { "nims=cosmos-reason" })
    assert.equal(1, r.code)
    assert.truthy(seen.failed:find("NIMService cosmos-reason has failed", 1, true), seen.failed)
    local object = nim.c.objects[support.NIMS .. "cosmos-reason"]
    assert.equal("", object.metadata.annotations["pai/applied"])
    object.status = nil
    nim.c.nim_state = "Ready"
    support.answers(nim, "cosmos-reason")
    assert.equal(0, nim.act("deploy", { "nims=cosmos-reason" }).code)
  end)

  it_deploys("ends the wait when a lower layer stops a pod, and names it", function(nim)
    nim.c.nim_state = "NotReady"
    nim.c:put("/api/v1/namespaces/osmo-nims", {})
    nim.c:pod("osmo-nims", "cosmos-reason-0", {
      metadata = { labels = { app = "cosmos-reason" } },
      status = {
        phase = "Pending",
        conditions = {
          {
            type = "PodScheduled",
            status = "False",
            reason = "Unschedulable",
            message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
          },
        },
      },
    })
    local r, seen = nim.act("deploy", { "nims=cosmos-reason", "patience_s=1" })
    assert.equal(1, r.code, r.stdout)
    assert.truthy(seen.failed:find("capacity:", 1, true), seen.failed)
    assert.truthy(seen.failed:find("Insufficient nvidia.com/gpu", 1, true))
    assert.truthy(seen.failed:find("next: ", 1, true))
  end)

  it_deploys("refuses before it acts what can't fit or be stored", function(nim)
    local r, seen = nim.act("deploy", { "nims=qwen3-235b" })
    assert.equal(1, r.code)
    assert.truthy(seen["GPU fit"]:find("no place for qwen3-235b (8): 2 GPUs", 1, true))
    -- What other pods hold is not free; what the NIM itself holds is.
    nim.c:pod("default", "other", {
      spec = {
        nodeName = "gpu-1",
        containers = {
          { name = "a", image = "x", resources = { limits = { ["nvidia.com/gpu"] = "2" } } },
        },
      },
    })
    seen = seen_of(nim, "deploy", { "nims=cosmos-reason" })
    assert.equal(
      "red no place for cosmos-reason (1): 0 GPUs, at most 0 on a node free now",
      seen["GPU fit"]
    )
    nim.c:drop("/api/v1/namespaces/default/pods/other")
    local class = "/apis/storage.k8s.io/v1/storageclasses/"
    nim.c:put(class .. "second", {
      provisioner = "file.csi.azure.com",
      metadata = { annotations = { ["storageclass.kubernetes.io/is-default-class"] = "true" } },
    })
    seen = seen_of(nim, "deploy", { QWEN })
    assert.equal("red several are the default: second, shared", seen.StorageClass)
    seen = seen_of(nim, "deploy", { QWEN, "storage_class=none" })
    assert.equal("red there is no class none", seen.StorageClass)
    nim.c:drop(class .. "second")
    nim.c:drop(class .. "shared")
    seen = seen_of(nim, "deploy", { QWEN })
    assert.equal("red no class is the default", seen.StorageClass)
    nim.c:put(class .. "local", { provisioner = "microk8s.io/hostpath" })
    nim.c:node("second")
    seen = seen_of(nim, "deploy", { QWEN, "storage_class=local" })
    assert.truthy(seen.StorageClass:find("^red .*a folder of a node; 2 nodes"))
    assert.same({}, nim.c.acts)
    -- All pods of the one node that there is may mount its folder.
    nim.c:drop("/api/v1/nodes/second")
    support.answers(nim, "qwen25-14b")
    r, seen = nim.act("deploy", { QWEN, "storage_class=local" })
    assert.equal(0, r.code, r.stdout)
    assert.equal("ok local by microk8s.io/hostpath, a folder of a node; 1 nodes", seen.StorageClass)
    assert.equal("local", nim.c.objects[support.CLAIMS .. "qwen25-14b-pvc"].spec.storageClassName)
  end)

  it_deploys("does not touch a claim that it would have to throw away", function(nim)
    nim.c:put("/api/v1/namespaces/osmo-nims", {})
    nim.c:put(support.CLAIMS .. "qwen25-14b-pvc", {
      spec = {
        accessModes = { "ReadWriteOnce" },
        resources = { requests = { storage = "80Gi" } },
      },
    })
    local r, seen = nim.act("deploy", { QWEN })
    assert.equal(1, r.code)
    assert.truthy(seen.failed:find("its access mode is ReadWriteOnce", 1, true), seen.failed)
    -- A larger one stays as large as it is.
    nim.c.objects[support.CLAIMS .. "qwen25-14b-pvc"].spec.accessModes = { "ReadWriteMany" }
    support.answers(nim, "qwen25-14b")
    assert.equal(0, nim.act("deploy", { QWEN }).code)
    local claim = nim.c.objects[support.CLAIMS .. "qwen25-14b-pvc"]
    assert.equal("80Gi", claim.spec.resources.requests.storage)
  end)

  it_deploys("makes Secrets anew for another key only", function(nim)
    support.answers(nim, "cosmos-reason")
    assert.equal(0, nim.act("deploy", { "nims=cosmos-reason" }).code)
    nim.c:forget()
    nim.key = "other-" .. nim.key
    assert.equal(0, nim.act("deploy", { "nims=cosmos-reason" }).code)
    local acts = table.concat(nim.c.acts, "\n")
    assert.equal(3, #nim.c:changed("/secrets/"), acts)
    assert.equal(3, #nim.c.acts, acts)
  end)

  it_deploys("goes on where it was killed", function(nim)
    support.answers(nim, "cosmos-reason")
    local id = 0
    for _, at in ipairs({
      "step.start:%s/operator",
      "step.done:%s/secrets",
      "step.start:%s/nims[x]",
    }) do
      at = at:format("inference-nim-operator"):gsub("%[x%]", "[cosmos-reason]")
      id = id + 1
      local run = "run-0badcaf" .. id
      local r = nim.pai({
        "deploy",
        "inference-nim-operator",
        "nims=cosmos-reason",
        "context=lab",
        "kubeconfig=" .. nim.config,
        "--run-id",
        run,
      }, { PAI_TEST_KILL = at })
      assert.equal("SIGKILL", r.signal, at .. r.stdout .. r.stderr)
      assert.is_nil(nim.c.objects[support.NIMS .. "cosmos-reason"])
      r = nim.pai({ "resume", run })
      assert.equal(0, r.code, r.stdout .. r.stderr)
      assert.equal(1, #nim.talk:calls("upgrade nim%-operator"))
      assert.equal(1, #nim.c:changed("PATCH .*/ngc%-api%-secret"))
      assert.equal(0, nim.act("teardown").code)
      nim.c:forget()
      nim.talk:forget()
    end
  end)
end)

describe("inference-nim-operator verify and teardown", function()
  it_deploys("tell what is there, changed, silent or waste", function(nim)
    local name = "qwen-image-edit-nvpcb-ovsl2sl"
    support.answers(nim, name, "/v1/models")
    assert.equal(0, nim.act("deploy", { "nims=" .. name }).code)
    local r, seen = nim.act("verify", { "nims=" .. name })
    assert.equal(0, r.code, r.stdout)
    assert.equal("ok deployed, k8s-nim-operator-3.1.0", seen["release nim-operator"])
    nim.c.objects[support.NIMS .. name].metadata.generation = 7
    nim.c.http = {}
    nim.c:put(support.NIMS .. "old", { status = { state = "Ready" } })
    r, seen = nim.act("verify", { "nims=" .. name })
    assert.equal(1, r.code)
    assert.equal("red its spec was changed since", seen["NIMService " .. name])
    assert.equal("red HTTP 404", seen["endpoint " .. name])
    assert.equal("warn old", seen["NIMs that nothing references"])
    nim.talk:instead({
      argv = { "helm", "status", "..." },
      stdout = '{"name":"nim-operator","namespace":"nim-operator","version":2,'
        .. '"info":{"status":"pending-upgrade"}}',
      cite = "helm status of an upgrade that was ended",
    })
    nim.c:drop(support.CRD)
    nim.c:drop("/api/v1/namespaces/nim-operator/pods/k8s-nim-operator-0")
    seen = seen_of(nim, "verify", { "nims=" .. name })
    assert.truthy(seen["release nim-operator"]:find("^red pending%-upgrade"))
    assert.equal("red there is none", seen["CRD nimservices.apps.nvidia.com"])
    assert.equal("red no pod", seen["pods of nim-operator"])
  end)

  it_deploys("frees a release that a killed helm has left pending", function(nim)
    support.answers(nim, "cosmos-reason")
    nim.talk:instead({
      argv = { "helm", "status", "nim-operator", "..." },
      stdout = '{"name":"nim-operator","namespace":"nim-operator","version":1,'
        .. '"info":{"status":"pending-install","last_deployed":"2020-01-01T00:00:00Z"}}',
      unless = "freed",
      cite = "helm status --output=json",
    })
    nim.talk:instead({
      argv = { "helm", "uninstall", "nim-operator", "..." },
      sets = "freed",
      cite = "helm uninstall --wait",
    })
    local r = nim.act("deploy", { "nims=cosmos-reason" })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.equal(1, #nim.talk:calls("^helm uninstall"))
    nim.talk:check()
  end)

  it_deploys("keep the models unless told to, and repeat nothing", function(nim)
    support.answers(nim, "qwen25-14b")
    assert.equal(0, nim.act("deploy", { QWEN }).code)
    local r = nim.act("teardown")
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.is_nil(nim.c.objects[support.NIMS .. "qwen25-14b"])
    assert.is_nil(nim.c.objects[support.SECRETS .. "ngc-api-secret"])
    assert.is_nil(nim.c.objects["/api/v1/namespaces/nim-operator"])
    assert.truthy(nim.c.objects[support.CLAIMS .. "qwen25-14b-pvc"])
    assert.truthy(nim.c.objects[support.CRD])
    assert.equal(1, #nim.talk:calls("uninstall nim%-operator"))
    nim.c:forget()
    assert.equal(0, nim.act("teardown").code)
    assert.same({}, nim.c.acts)
    r = nim.act("teardown", { "volumes=true", "crds=true" })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.is_nil(nim.c.objects["/api/v1/namespaces/osmo-nims"])
    assert.is_nil(nim.c.objects[support.CRD])
    assert.equal(1, #nim.talk:calls("uninstall nim%-operator"))
  end)

  it_deploys("take away one NIM and leave the others and the operator", function(nim)
    support.answers(nim, "qwen25-14b")
    support.answers(nim, "cosmos-reason")
    assert.equal(0, nim.act("deploy", { "nims=qwen25-14b,cosmos-reason" }).code)
    local r = nim.act("teardown", { QWEN, "volumes=true" })
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.is_nil(nim.c.objects[support.NIMS .. "qwen25-14b"])
    assert.is_nil(nim.c.objects[support.CLAIMS .. "qwen25-14b-pvc"])
    assert.truthy(nim.c.objects[support.NIMS .. "cosmos-reason"])
    assert.truthy(nim.c.objects[support.SECRETS .. "ngc-api-secret"])
    assert.same({}, nim.talk:calls("uninstall nim%-operator"))
  end)
end)
