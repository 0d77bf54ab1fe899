-- Sizes of memory, storage and cache: "12Gi", "2.5M", "4096". To upstream G and Gi are the same, GB
-- is no unit, and a number alone counts bytes.
local pynum = require("pai.osmo.pynum")

local M = {}

-- Powers of two relative to Gi.
local POWER = { B = -30, m = -40 }
for letter, power in pairs({ T = 10, G = 0, M = -10, K = -20 }) do
  POWER[letter], POWER[letter .. "i"], POWER[letter .. "iB"] = power, power, power
end

local UNITS = "T, Ti, TiB, G, Gi, GiB, M, Mi, MiB, K, Ki, KiB, B"

---Splits a quantity into its number and unit.
---@param text string
---@return string? size nil when the form is wrong
---@return string unitOrReason "" when there is none
function M.split(text)
  local size, unit = text:match("^(%d+%.?%d*)(%a*)$")
  if not size or size:find("%.$") then
    local spaced = text:match("^(%d+%.?%d*)%s+(%a+)$")
    local hint = spaced and "leave out the space before the unit"
      or "write a number and a unit, such as 12Gi"
    return nil, ("'%s' is no size: %s"):format(text, hint)
  elseif unit ~= "" and not POWER[unit] then
    local near = unit:match("^([TGMK])[bB]$")
    local hint = near and (": write %s%si"):format(size, near) or "; units are " .. UNITS
    return nil, ("'%s' has the unknown unit '%s'%s"):format(text, unit, hint)
  end
  return size, unit
end

---Bytes of a quantity.
---@param text string
---@return number? bytes
---@return string? reason
function M.bytes(text)
  local size, unit = M.split(text)
  if not size then
    return nil, unit
  end
  return tonumber(size) * 2.0 ^ (POWER[unit == "" and "B" or unit] + 30)
end

---The text that upstream's model keeps: one without a unit is rewritten in Ki.
---@param text string
---@return string? text
---@return string? reason
function M.normal(text)
  local size, unit = M.split(text)
  if not size then
    return nil, unit
  elseif unit ~= "" then
    return text
  end
  return pynum.repr(tonumber(size) / 1024.0) .. "Ki"
end

---Checks a cache size: a quantity, or a percentage of the storage.
---@param text string
---@return boolean? ok
---@return string? reason
---@return boolean? fault upstream fails internally here
function M.cache(text)
  local percent = text:match("^(.*)%%$")
  if not percent then
    local size, reason = M.split(text)
    return size and true or nil, reason
  end
  local n = pynum.float(percent)
  if n and math.abs(n) == math.huge then
    return nil, ("'%s' is no percentage"):format(text), true
  elseif not n or n ~= n or math.floor(n) < 0 or math.floor(n) > 100 then
    return nil, ("'%s' is no percentage from 0%% to 100%%"):format(text)
  end
  return true
end

return M
