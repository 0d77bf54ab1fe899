-- Whether what the named NIMs need can be had: the operator's chart, images, models. A key that may
-- not pull is found out here in seconds, not by a pod an hour later.
local catalog = require("inference-nim-operator.catalog")
local entitlement = require("pai.shared.entitlement")
local select = require("inference-nim-operator.select")

local M = {}

---@param inp table
---@return string[] images
---@return string[] models
local function wanted(inp)
  local images, models = {}, {}
  for _, name in ipairs(select.known(inp)) do
    local entry = catalog.NIMS[name]
    images[#images + 1] = entry.image
    if entry.hf then
      images[#images + 1] = catalog.LOCK.downloader
    end
    models[#models + 1] = entry.hf or (entry.own and entry.own.serve)
  end
  return images, models
end

---The step that preflight and deploy have.
---@param after string[]?
---@return table step
function M.step(after)
  return {
    name = "entitlement",
    title = "Chart, images and models",
    after = after,
    timeout = "3m",
    checks = function(ctx, inp)
      local images, models = wanted(inp)
      local lock, list = catalog.LOCK, {}
      for _, checks in ipairs({
        entitlement.charts(ctx, inp, lock.repo, { [lock.chart] = lock.operator }),
        entitlement.images(ctx, inp, images),
        entitlement.models(ctx, inp, models),
      }) do
        table.move(checks, 1, #checks, #list + 1, list)
      end
      return list
    end,
  }
end

return M
