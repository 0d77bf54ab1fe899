-- What the workload refers to, and what the file of `config` says, read once before anything runs.
local stages = require("pai.shared.stages")
local targets = require("setup.targets")

local M = {}

local function read_config(ctx, inp)
  if not inp.config then
    return {}
  end
  local doc = ctx.yaml.decode(ctx.read(inp.config))
  if type(doc) ~= "table" then
    error("config: it must be a map of components to their inputs", 0)
  end
  local known = {}
  for _, name in ipairs(targets.components(inp)) do
    known[name] = true
  end
  for name, inputs in pairs(doc) do
    if not known[name] then
      error(("config: %s is none of the components of this setup"):format(tostring(name)), 0)
    elseif type(inputs) ~= "table" then
      error(("config: %s must be a map of inputs"):format(name), 0)
    end
    for _, shared in ipairs({ "context", "kubeconfig" }) do
      if inputs[shared] ~= nil then
        error(("config: %s of %s is an input of setup itself"):format(shared, name), 0)
      end
    end
  end
  return doc
end

---@param ctx pai.ctx
---@param inp table
---@return table found
function M.run(ctx, inp)
  local found = { config = read_config(ctx, inp) }
  if inp.spec then
    local opts = { spec = inp.spec, set = inp.set, set_string = inp.set_string }
    for key, value in pairs(ctx.inference.discover(opts)) do
      found[key] = value
    end
    found.workload = ctx.inference.workload(opts)
    found.digest = ctx.fs.digest(inp.spec)
  end
  return found
end

-- MinIO of MicroK8s is s3://, Azure's storage is azure://, and az:// is none that OSMO's SDK reads.
local function storage(inp, found)
  local wrong, scheme = { az = "write azure://ACCOUNT/CONTAINER" }, stages.scheme(inp.cluster)
  if scheme == "s3" then
    wrong.azure = "the storage of this cluster is MinIO: write s3://BUCKET"
  else
    wrong.s3 = "the storage of this cluster is Azure's: write azure://ACCOUNT/CONTAINER"
  end
  local checks = {}
  for _, found_one in ipairs(found.storage or {}) do
    checks[#checks + 1] = {
      name = "storage " .. found_one .. "://",
      state = wrong[found_one] and "red" or "ok",
      measured = "the workflow refers to it",
      expected = scheme .. "://",
      hint = wrong[found_one],
    }
  end
  return checks
end

---What was found beside what was chosen.
---@param ctx pai.ctx
---@param inp table
---@param found table
---@return table[]
function M.checks(ctx, inp, found)
  if not inp.spec then
    return {
      {
        name = "endpoints",
        state = "warn",
        measured = "no spec is given: what the workload refers to is not known",
        hint = "spec=FILE lets setup deploy exactly what it refers to",
      },
    }
  end
  local checks = ctx.inference.checks(found, inp.inference)
  for _, check in ipairs(storage(inp, found)) do
    checks[#checks + 1] = check
  end
  local named = {}
  for _, name in ipairs(inp.nims or {}) do
    named[name] = true
  end
  for _, name in ipairs(found.nims or {}) do
    named[name] = nil
  end
  for name in pairs(named) do
    checks[#checks + 1] = {
      name = "NIM " .. name,
      state = "warn",
      measured = "it is named, and the workflow does not refer to it",
      hint = "it holds GPUs and storage: leave it out of nims",
    }
  end
  return checks
end

---Whether the spec is still the one that was looked through; the last gate before a submit.
---@param ctx pai.ctx
---@param inp table
---@param found table
---@return table[]
function M.still(ctx, inp, found)
  if not inp.spec then
    return { { name = "spec", state = "skipped", measured = "none is given" } }
  end
  local same = ctx.fs.exists(inp.spec) and ctx.fs.digest(inp.spec) == found.digest
  local checks = {
    {
      name = "spec",
      state = same and "ok" or "red",
      measured = same and "as it was looked through" or "it has changed since",
      hint = "run setup again: what it refers to may not be there",
    },
  }
  for _, check in ipairs(M.checks(ctx, inp, found)) do
    checks[#checks + 1] = check
  end
  return checks
end

return M
