-- What a workflow asks of the stack before there is one: would OSMO take it at all, the GPUs of its
-- largest task, and the images of its tasks. It reads files and asks nobody.
local spec = require("pai.osmo.spec")

local M = {}

---@class pai.inference.Workload
---@field problem string? why OSMO would refuse it; then nothing else is known
---@field name string?
---@field images string[] of the tasks, each once, sorted
---@field gpus integer of the task that asks for the most
---@field task string? that task

local function gpus_of(found, task)
  local resource = found.resources[task.resource] or {}
  return math.tointeger(tonumber(resource.gpu or 0)) or 0
end

---Reads a spec's file as submitting it would, without a service and without its pool.
---@param path string
---@param opts pai.osmo.ClientOptions?
---@return pai.inference.Workload
function M.file(path, opts)
  local options = { offline = true }
  for key, value in pairs(opts or {}) do
    options[key] = value
  end
  local found, e = spec.validate_file(path, options)
  if not found then
    return { problem = e.message, images = {}, gpus = 0 }
  end
  local out, seen = { name = found.name, images = {}, gpus = 0 }, {}
  for _, group in ipairs(found.groups) do
    for _, task in ipairs(group.tasks) do
      if not seen[task.image] then
        seen[task.image] = true
        table.insert(out.images, task.image)
      end
      local gpus = gpus_of(found, task)
      if gpus > out.gpus then
        out.gpus, out.task = gpus, task.name
      end
    end
  end
  table.sort(out.images)
  return out
end

return M
