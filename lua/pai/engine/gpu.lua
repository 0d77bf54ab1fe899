-- The GPUs of this machine: what nvidia-smi says, else the device files. Which of them are taken.
local exec = require("pai.exec")
local fs = require("pai.fs")
local nvidia = require("pai.nvidia")

local M = {}

local FIELDS <const> = { "index", "uuid", "name", "memory.total" }

---@class pai.engine.Gpu
---@field index integer
---@field uuid string?
---@field name string?
---@field memory_mib integer?

---@return pai.engine.Gpu[] in the order of their indices
function M.detect()
  local argv, out = { "nvidia-smi", table.unpack(nvidia.query(FIELDS)) }, {}
  local r = exec.run(argv, { timeout = "20s", stdin = "null" })
  for i, row in ipairs(r and nvidia.rows(r.stdout, FIELDS) or {}) do
    out[i] = { index = row.index, uuid = row.uuid, name = row.name }
    out[i].memory_mib = row["memory.total"]
  end
  if r then
    return out
  end
  for _, name in ipairs(fs.list("/dev") or {}) do
    local index = name:match("^nvidia(%d+)$")
    if index then
      out[#out + 1] = { index = math.tointeger(tonumber(index)) }
    end
  end
  table.sort(out, function(a, b)
    return a.index < b.index
  end)
  return out
end

---Finds so many free GPUs, the lowest indices first.
---@param gpus pai.engine.Gpu[]
---@param taken table<integer, boolean> by index
---@param count integer
---@return integer[]? indices nil when too few are free
function M.find(gpus, taken, count)
  local out = {}
  for _, gpu in ipairs(gpus) do
    if #out < count and not taken[gpu.index] then
      out[#out + 1] = gpu.index
    end
  end
  return #out == count and out or nil
end

---Device files that a task with these GPUs needs.
---@param indices integer[]
---@return string[]
function M.devices(indices)
  local out =
    { "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset" }
  for _, index in ipairs(indices) do
    out[#out + 1] = "/dev/nvidia" .. index
  end
  return out
end

return M
