-- Durations: "250ms" "30s" "10m" "2h" "1d", or integer milliseconds.
local M = {}

local UNITS <const> = { ms = 1, s = 1000, m = 60000, h = 3600000, d = 86400000 }

---Reads a duration; one without a unit must be an integer of milliseconds.
---@param value string|integer
---@return integer? ms nil when it is not a duration
function M.parse(value)
  if math.type(value) == "integer" then
    return value >= 0 and value or nil
  end
  if type(value) ~= "string" then
    return nil
  end
  local digits, unit = value:match("^(%d+)(%a+)$")
  local factor = unit and UNITS[unit]
  if not factor or #digits > 12 then
    return nil
  end
  return math.tointeger(tonumber(digits) * factor)
end

---Writes a duration for people: "120 ms", "4.2s", "1m 05s", "2h 03m", "3d 04h".
---@param ms number
---@return string
function M.format(ms)
  if ms < 1000 then
    return ("%d ms"):format(ms // 1)
  end
  local s = ms / 1000
  if s < 59.95 then
    return ("%.1fs"):format(s)
  end
  local whole = math.floor(s + 0.5)
  if whole < 3600 then
    return ("%dm %02ds"):format(whole // 60, whole % 60)
  end
  if whole < 86400 then
    return ("%dh %02dm"):format(whole // 3600, whole % 3600 // 60)
  end
  return ("%dd %02dh"):format(whole // 86400, whole % 86400 // 3600)
end

return M
