-- The preflight of the workload itself: would OSMO take it, has a node enough GPUs for its largest
-- task, may its images be pulled. All of that is known before half an hour of provisioning.
local entitlement = require("pai.shared.entitlement")
local pass = require("setup.pass")
local registry = require("pai.shared.registry")

local M = {}

-- Registries that pai knows how to ask; a private one has a login of its own in OSMO.
local KNOWN <const> = { ["nvcr.io"] = true, ["docker.io"] = true, ["quay.io"] = true }

local function gpu_check(inp, found, wanted)
  local _, each = pass.gpus(inp, found.config and found.config["cluster-azure"] or {})
  local check = {
    name = "GPUs of a task",
    state = "ok",
    measured = wanted.gpus == 0 and "no task asks for any"
      or ("%s asks for %d"):format(wanted.task, wanted.gpus),
    expected = each and ("at most %d on a node"):format(each) or nil,
  }
  if wanted.gpus > 0 and not inp.gpu then
    check.state, check.expected = "red", "none: gpu=false"
    check.hint = "gpu=true, or a workload that asks for none"
  elseif each and wanted.gpus > each then
    check.state, check.hint = "red", "nodes with more GPUs, or a task that asks for fewer"
  end
  return check
end

local function image_checks(ctx, inp, images)
  local known, checks = {}, {}
  for _, image in ipairs(images) do
    local host = registry.parts(image)
    if inp.registry or KNOWN[host] then
      known[#known + 1] = image
    else
      checks[#checks + 1] = {
        name = "image " .. image,
        state = "skipped",
        measured = ("%s has a login that only OSMO's credentials know"):format(host),
      }
    end
  end
  local asked = entitlement.images(ctx, inp, known)
  return table.move(asked, 1, #asked, #checks + 1, checks)
end

---The checks.
---@param ctx pai.ctx
---@param inp table of setup
---@param found table what discover gave
---@return table[]
function M.checks(ctx, inp, found)
  local wanted = found.workload
  if not wanted then
    return { { name = "workflow", state = "skipped", measured = "no spec is given" } }
  end
  local checks = {
    {
      name = "workflow",
      state = wanted.problem and "red" or "ok",
      measured = wanted.problem or wanted.name,
      expected = "one that OSMO takes",
      hint = wanted.problem and "pai osmo validate FILE shows the same" or nil,
    },
  }
  if not wanted.problem then
    checks[2] = gpu_check(inp, found, wanted)
    local images = image_checks(ctx, inp, wanted.images)
    table.move(images, 1, #images, 3, checks)
  end
  return checks
end

return M
