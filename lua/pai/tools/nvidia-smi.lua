-- nvidia-smi: the GPUs of this machine and their driver.
local nvidia = require("pai.nvidia")
local semver = require("pai.semver")

local FIELDS <const> = { "index", "name", "driver_version", "memory.total" }

---@param said string
---@return { index: integer, name: string, driver: string, memory_mib: integer? }[]
local function rows(said)
  local list = {}
  for _, row in ipairs(nvidia.rows(said, FIELDS)) do
    local driver = row.driver_version
    if driver:find("^[%d.]+$") then
      local gpu = { index = row.index, name = row.name, driver = driver }
      gpu.memory_mib = row["memory.total"]
      list[#list + 1] = gpu
    end
  end
  return list
end

return {
  name = "nvidia-smi",
  reads = {
    nvidia.query(FIELDS),
    { "--query-gpu=driver_version", "--format=csv,noheader" },
    { "-L" },
    { "--version" },
  },
  wrap = function(ctx)
    local wrapper = {}

    ---The GPUs of this machine; none when the driver is not there or does not answer.
    ---@return { index: integer, name: string, driver: string, memory_mib: integer? }[] gpus
    ---@return string? why there is none
    function wrapper.gpus()
      if not ctx.which("nvidia-smi") then
        return {}, "nvidia-smi is not on PATH"
      end
      local argv = { "nvidia-smi", table.unpack(nvidia.query(FIELDS)) }
      local r = ctx.query(argv, { accept = "any", timeout = "20s" })
      local list = r.code == 0 and rows(r.stdout) or {}
      local said = (r.stdout .. r.stderr):match("[^\r\n]+") or "no answer"
      return list, #list == 0 and said or nil
    end

    ---A check: every GPU's driver is new enough. The oldest one counts.
    ---@param minimum string "525.0.0"
    ---@return table check
    function wrapper.driver_check(minimum)
      return {
        name = "NVIDIA driver",
        expected = ">= " .. minimum,
        hint = "install a newer NVIDIA driver and restart the machine",
        run = function()
          local gpus, why = wrapper.gpus()
          local oldest
          for _, gpu in ipairs(gpus) do
            local version = semver.find(gpu.driver)
            if version and (not oldest or semver.compare(version, oldest) < 0) then
              oldest = version
            end
          end
          if not oldest then
            return { state = "red", measured = why or "no driver version can be read" }
          end
          local fits = semver.within(oldest, minimum)
          return {
            state = fits and "ok" or "red",
            measured = ("%s, %d GPUs"):format(oldest.text, #gpus),
          }
        end,
      }
    end

    return wrapper
  end,
}
