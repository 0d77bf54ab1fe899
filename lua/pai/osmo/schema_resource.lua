-- The schema of resources: cpu, gpu, sizes and topology.
local model = require("pai.osmo.model")
local quantity = require("pai.osmo.quantity")

local M = {}
local complain = model.complain

local function size(check, v, path)
  local text = model.optional(model.coerced)(check, v, path)
  if not text then
    return nil
  end
  local normal, reason = quantity.normal(text)
  if not normal then
    model.fault(path, { http = 400, error_code = "RESOURCE" }, "%s", reason)
  end
  return normal
end

local function requirement(check, v, path)
  local text = model.text(check, v, path)
  if text and text ~= "required" and text ~= "preferred" then
    return complain(check, path, "must be required or preferred, not '%s'", text)
  end
  return text
end

local TOPOLOGY_FIELDS = {
  { "key", model.text, required = true },
  { "group", model.text, default = "default" },
  { "requirementType", requirement, default = "required" },
}

local RESOURCE_FIELDS = {
  { "cpu", model.optional(model.integer) },
  { "storage", size },
  { "memory", size },
  { "gpu", model.optional(model.integer) },
  { "platform", model.optional(model.coerced) },
  { "nodesExcluded", model.list_of(model.coerced), default = {} },
  { "topology", model.list_of(model.record_of(TOPOLOGY_FIELDS)), default = {} },
}

---@return table? resource nil after a complaint
function M.check(check, v, path)
  return model.record(check, v, path, RESOURCE_FIELDS)
end

return M
