-- Times of Kubernetes: RFC 3339 with up to nanoseconds, always UTC when a server writes them.
local M = {}

local function days_from_civil(y, m, d)
  y = m <= 2 and y - 1 or y
  local era = y // 400
  local yoe = y - era * 400
  local doy = (153 * ((m + 9) % 12) + 2) // 5 + d - 1
  return era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468
end

---Seconds since 1970 of "2026-01-02T03:04:05.678Z" or with an offset.
---@param value any
---@return integer? seconds nil when it is no such time
---@return string? fraction digits after the point
function M.parse(value)
  if type(value) ~= "string" then
    return nil
  end
  local y, mo, d, h, mi, s, rest =
    value:match("^(%d%d%d%d)-(%d%d)-(%d%d)[Tt](%d%d):(%d%d):(%d%d)(.*)$")
  if not y then
    return nil
  end
  local fraction, zone = rest:match("^%.?(%d*)(.*)$")
  local seconds = days_from_civil(
    math.tointeger(tonumber(y)),
    math.tointeger(tonumber(mo)),
    math.tointeger(tonumber(d))
  ) * 86400 + h * 3600 + mi * 60 + s
  local sign, zh, zm = zone:match("^([+-])(%d%d):?(%d%d)$")
  if sign then
    local offset = zh * 3600 + zm * 60
    seconds = sign == "+" and seconds - offset or seconds + offset
  elseif zone ~= "Z" and zone ~= "z" then
    return nil
  end
  return math.tointeger(seconds), fraction
end

---"45s", "12m", "3h", "2d": how long ago, as kubectl shows ages.
---@param value any a time
---@param now integer? seconds since 1970
---@return string "-" when it is no time
function M.age(value, now)
  local at = M.parse(value)
  if not at then
    return "-"
  end
  local s = math.max(0, (now or os.time()) - at)
  if s < 120 then
    return ("%ds"):format(s)
  elseif s < 2 * 3600 then
    return ("%dm"):format(s // 60)
  elseif s < 2 * 86400 then
    return ("%dh"):format(s // 3600)
  end
  return ("%dd"):format(s // 86400)
end

return M
