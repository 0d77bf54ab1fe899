-- Which endpoints a workflow refers to: the forms of their hosts, what is no reference, templates,
-- and what was found beside what was chosen.
local discover = require("pai.inference.discover")
local references = require("pai.inference.references")
local fs = require("pai.fs")

local ID <const> = "0aa11bb2-0000-4000-8000-0000000000a1"

local function scan(text)
  local found = references.scan(text)
  local list = {}
  for i, r in ipairs(found.references) do
    list[i] = ("%s %s%s"):format(r.kind, r.key, r.port and ":" .. r.port or "")
  end
  return list, found.unresolved
end

describe("references in a text", function()
  local forms = {
    { "http://qwen25-14b.osmo-nims.svc.cluster.local:8000/v1", "nim qwen25-14b:8000" },
    { "qwen25-14b.osmo-nims.svc", "nim qwen25-14b" },
    { "curl cosmos-reason.osmo-nims:8000/x", "nim cosmos-reason:8000" },
    { "pod-0.qwen3-vl.osmo-nims.svc.cluster.local", "nim qwen3-vl" },
    {
      "https://api.nvcf.nvidia.com/v2/nvcf/pexec/functions/" .. ID .. "/versions/x",
      "nvcf " .. ID,
    },
    { "https://api.nvcf.nvidia.com/v2/nvcf/functions/" .. ID:upper(), "nvcf " .. ID },
    { "https://api.nvcf.nvidia.com/v2/nvc/functions/" .. ID, "nvcf " .. ID },
    { "https://llama.eastus2.inference.ai.azure.com/v1/chat", "foundry llama" },
    { "https://llama.inference.ai.azure.com", "foundry llama" },
    { "https://llama.westus3.models.ai.azure.com", "foundry llama" },
    { "https://acc.services.ai.azure.com/models", "foundry acc" },
    { "https://acc.cognitiveservices.azure.com/", "foundry acc" },
    { "https://acc.openai.azure.com/openai/deployments/x", "foundry acc" },
  }
  for _, form in ipairs(forms) do
    it("has the form " .. form[1]:sub(1, 60), function()
      local list, unresolved = scan(form[1])
      assert.same({ form[2] }, list)
      assert.same({}, unresolved)
      assert.same({ form[2] }, (scan("x='" .. form[1] .. "', y")))
    end)
  end

  it("is not what only looks like one", function()
    for _, text in ipairs({
      "the namespace osmo-nims",
      "x.osmo-nims2.svc",
      "a.osmo-nims-old.svc.cluster.local",
      "https://api.nvcf.nvidia.com",
      "https://docs.azure.com/",
      "https://openai.azure.com.example.com",
    }) do
      local list, unresolved = scan(text)
      assert.same({ {}, {} }, { list, unresolved }, text)
    end
  end)

  it("is told apart when its host is put together later", function()
    for _, text in ipairs({
      "http://{{nim}}.osmo-nims.svc.cluster.local:8000",
      "http://qwen{{size}}.osmo-nims.svc",
      "http://$NIM.osmo-nims.svc",
      "http://${NIM}.osmo-nims.svc",
      "http://$(nim).osmo-nims.svc",
      "https://api.nvcf.nvidia.com/v2/nvcf/pexec/functions/{{id}}",
      "https://api.nvcf.nvidia.com/v2/nvcf/pexec/functions/$ID",
      "https://{{name}}.eastus2.inference.ai.azure.com",
      "https://$ACCOUNT.openai.azure.com",
    }) do
      local list, unresolved = scan(text)
      assert.same({}, list, text)
      assert.same({ text }, unresolved)
    end
    local _, unresolved = scan("curl http://{{ nim }}-x.osmo-nims/v1")
    assert.same({ "{{ nim }}-x.osmo-nims/v1" }, unresolved)
  end)
end)

local SPEC <const> = [[
workflow:
  name: look
  groups:
  - name: g
    tasks:
    - name: a
      image: ubuntu
      command: [sh]
      args: ["-c", "curl http://{{llm}}.osmo-nims.svc.cluster.local:8000/v1/models"]
      environment:
        VLM_URL: http://cosmos-reason.osmo-nims:8000/v1
      files:
      - path: /tmp/run.sh
        contents: |
          cat {{input:0}}
          curl https://api.nvcf.nvidia.com/v2/nvcf/functions/0aa11bb2-0000-4000-8000-0000000000a1
      - path: /tmp/other.sh
        localpath: other.sh
      inputs:
      - url: s3://bucket/in
default-values:
  llm: qwen25-14b
  edit: http://qwen-image-edit.osmo-nims:8000
]]

describe("discovery", function()
  local dir

  before_each(function()
    dir = fs.tempdir({ prefix = "pai-discover-" })
    assert(fs.write(dir .. "/other.sh", "curl https://acc.openai.azure.com/x\n"))
    assert(fs.write(dir .. "/spec.yaml", SPEC))
  end)

  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  it("reads args, environment, files, local files and defaults of the rendered spec", function()
    local found = assert(discover.file(dir .. "/spec.yaml"))
    assert.equal("look", found.name)
    assert.same({ "cosmos-reason", "qwen-image-edit", "qwen25-14b" }, found.nims)
    assert.same({ ID }, found.nvcf)
    assert.same({ "acc" }, found.foundry)
    assert.same({ { "acc" }, {} }, { found.accounts, found.models })
    assert.same({ "s3" }, found.storage)
    assert.same({}, found.unresolved)
    local at = {}
    for _, r in ipairs(found.references) do
      at[r.key] = r.at
    end
    assert.equal("workflow.groups[0].tasks[0].args[1]", at["qwen25-14b"])
    assert.equal("workflow.groups[0].tasks[0].environment.VLM_URL", at["cosmos-reason"])
    assert.equal("workflow.groups[0].tasks[0].files[1].contents", at.acc)
    assert.equal("default-values.edit", at["qwen-image-edit"])
  end)

  it("takes the values that are given in place of the defaults", function()
    local found =
      assert(discover.file(dir .. "/spec.yaml", { variables = { "llm=qwen3-vl", "edit=none" } }))
    assert.same({ "cosmos-reason", "qwen3-vl" }, found.nims)
  end)

  it("knows nothing of a spec that can't be rendered", function()
    local found, e = discover.text("workflow:\n  name: x\n  tasks: [{{ nothing | nofilter }}]\n")
    assert.is_nil(found)
    assert.equal("ESPEC", e.code)
    found, e = discover.file(dir .. "/none.yaml")
    assert.is_nil(found)
    assert.equal("ENOENT", e.code)
  end)

  local function states(checks)
    local list = {}
    for _, check in ipairs(checks) do
      list[check.name] = check.state
      list["expected " .. check.name] = check.expected
      list["measured " .. check.name] = check.measured
    end
    return list
  end

  it("names both sides of a mismatch and puts nothing in another's place", function()
    local found = assert(discover.file(dir .. "/spec.yaml"))
    local seen = states(discover.checks(found, { "nim" }))
    assert.equal("ok", seen["endpoint qwen25-14b"])
    assert.equal("red", seen["endpoint " .. ID])
    assert.equal(
      "inference=nim was chosen; the workflow wants inference=nvcf",
      seen["expected endpoint " .. ID]
    )
    assert.truthy(seen["measured endpoint acc"]:find("files[1].contents", 1, true))
    seen = states(discover.checks(found, { "nim", "nvcf", "foundry" }))
    assert.same({ "ok", "ok" }, { seen["endpoint acc"], seen["endpoint " .. ID] })
    seen = states(discover.checks(found, { "none" }))
    assert.equal("red", seen["endpoint qwen25-14b"])
  end)

  it("reports waste, wrong ports and what is put together later", function()
    local found = assert(discover.text([[
workflow:
  name: look
  tasks:
  - name: a
    image: ubuntu
    command: ["http://qwen25-14b.osmo-nims:9000", "http://$NIM.osmo-nims:8000"]
]]))
    local seen = states(discover.checks(found, { "nim", "nvcf" }))
    assert.equal("red", seen["port of qwen25-14b"])
    assert.equal("red", seen["endpoint at workflow.tasks[0].command[1]"])
    assert.equal("warn", seen["inference=nvcf"])
    found = assert(discover.text("workflow:\n  name: x\n  tasks: []\n"))
    seen = states(discover.checks(found, { "none" }))
    assert.equal("ok", seen.endpoints)
  end)
end)
