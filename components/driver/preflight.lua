-- The selection, looked at by itself. Every reason against it is named at once.
local nims_known = require("pai.shared.nims")
local stages = require("pai.shared.stages")

local NIMS <const> = nims_known.NIMS

local function ok(measured)
  return { state = "ok", measured = measured }
end

local function red(measured, hint)
  return { state = "red", measured = measured, hint = hint }
end

-- The one backend as a list; none for "none".
local function backends(inp)
  return inp.inference ~= "none" and { inp.inference } or {}
end

local function combination(inp)
  local why, hint = stages.rejected(inp.cluster, inp.inference, inp.gpu)
  if why then
    return red(("%s with %s: %s"):format(inp.cluster, inp.inference, why), hint)
  end
  return ok(("%s with %s"):format(inp.cluster, inp.inference))
end

local function components(inp)
  return ok(table.concat(stages.components(inp.cluster, backends(inp)), ", "))
end

local function osmo(inp)
  local derived = stages.OSMO[inp.cluster]
  if inp.osmo and inp.osmo ~= derived then
    return red(("%s on %s"):format(inp.osmo, inp.cluster), "leave osmo= out: it is " .. derived)
  end
  return ok(derived)
end

local function nims(inp)
  local known = table.concat(nims_known.names(), ", ")
  if inp.inference ~= "nim" then
    return { state = "skipped", measured = "inference=" .. inp.inference }
  elseif #inp.nims == 0 then
    return red("none named", "nims=NAME,...: of " .. known)
  end
  local odd = {}
  for _, name in ipairs(inp.nims) do
    odd[#odd + 1] = not NIMS[name] and name or nil
  end
  if #odd > 0 then
    return red("unknown: " .. table.concat(odd, ", "), "there are " .. known)
  end
  return ok(table.concat(inp.nims, ", "))
end

local function capabilities(inp)
  local missing = stages.missing(inp.capabilities, backends(inp), inp.nims)
  if #missing > 0 then
    local list = table.concat(missing, ", ")
    return red(("%s can't: %s"):format(inp.inference, list), "another backend, or another workload")
  end
  return ok(#inp.capabilities > 0 and table.concat(inp.capabilities, ", ") or "none asked for")
end

local function gpus(inp)
  local sum, most = 0, 0
  for _, name in ipairs(inp.inference == "nim" and inp.nims or {}) do
    local one = NIMS[name] and NIMS[name].gpus or 0
    sum, most = sum + one, math.max(most, one)
  end
  local measured = ("%d GPUs, %d on one node"):format(sum, most)
  if inp.gpus_total and sum > inp.gpus_total then
    return red(
      measured,
      ("the pool has %d: deploy only what the workload names"):format(inp.gpus_total)
    )
  elseif inp.gpus_per_node and most > inp.gpus_per_node then
    return red(
      measured,
      ("a node has %d, and one service runs on one node"):format(inp.gpus_per_node)
    )
  end
  return ok(measured)
end

local function token(inp)
  local names = {}
  for _, name in ipairs(inp.inference == "nim" and inp.nims or {}) do
    if NIMS[name] and NIMS[name].token then
      names[#names + 1] = name
    end
  end
  if #names == 0 then
    return { state = "skipped", measured = "nothing comes from Hugging Face" }
  elseif inp.hf == nil then
    local list = table.concat(names, ", ")
    return red("not set, and needed by " .. list, "set HF_TOKEN: pai secret set HF_TOKEN")
  end
  return ok("set")
end

local function storage(inp)
  if not inp.storage then
    return { state = "skipped", measured = "not given" }
  end
  local scheme = inp.storage:match("^(%a[%w+.-]*)://")
  local wanted = stages.scheme(inp.cluster)
  if scheme ~= wanted then
    return red(inp.storage, ("%s://... on %s"):format(wanted, inp.cluster))
  end
  return ok(inp.storage)
end

local function spot(inp)
  if not inp.spot then
    return { state = "skipped", measured = "no Spot pool" }
  elseif not inp.spot_tolerated then
    return red(
      "a Spot pool, and pods that do not tolerate it",
      ("tolerate %s, or priority Regular"):format(stages.SPOT)
    )
  end
  return ok("tolerated")
end

local CHECKS <const> = {
  { "combination", combination, "one that can work" },
  { "components", components, "those of the stages" },
  { "OSMO", osmo, "the one that follows the cluster" },
  { "NIM services", nims, "names of the catalogue" },
  { "capabilities", capabilities, "all that the workload asks for" },
  { "GPU fit", gpus, "within the pool and a node" },
  { "HF_TOKEN", token, "set where weights come from Hugging Face" },
  { "storage scheme", storage, "that of the cluster's storage" },
  { "Spot pool", spot, "tolerated" },
}

return {
  summary = "Looks at a selection by itself and names every reason against it.",
  safety = "observes",
  inputs = {
    cluster = { type = "enum", values = { "microk8s", "azure", "onprem" }, doc = "Stage 1." },
    osmo = {
      type = "enum",
      values = { "osmo-k8s", "osmo-azure" },
      optional = true,
      doc = "Stage 2; it follows stage 1, so it may be left out.",
    },
    inference = {
      type = "enum",
      values = { "nim", "nvcf", "foundry", "none" },
      doc = "Stage 3.",
    },
    gpu = { type = "boolean", default = true, doc = "The cluster has GPUs." },
    nims = { type = "list", of = "string", default = {}, doc = "NIM services of the workload." },
    capabilities = {
      type = "list",
      of = "string",
      default = {},
      doc = "What the workload asks of inference: vlm, video-style-transfer...",
    },
    gpus_total = { type = "integer", optional = true, min = 0, doc = "GPUs of the pool." },
    gpus_per_node = { type = "integer", optional = true, min = 0, doc = "GPUs of a node." },
    storage = { type = "string", optional = true, doc = "URL of the workload's storage." },
    spot = { type = "boolean", default = false, doc = "The GPU pool is a Spot pool." },
    spot_tolerated = { type = "boolean", default = false, doc = "The pods tolerate it." },
    hf = {
      type = "secret",
      env = "HF_TOKEN",
      optional = true,
      hosts = { "huggingface.co" },
      doc = "Looked at for its presence only.",
    },
  },
  steps = {
    {
      name = "selection",
      checks = function(_, inp)
        local list = {}
        for i, one in ipairs(CHECKS) do
          local check = one[2](inp)
          check.name, check.expected = one[1], one[3]
          list[i] = check
        end
        return list
      end,
    },
  },
  examples = { "pai preflight driver cluster=microk8s inference=nim nims=cosmos-transfer" },
}
