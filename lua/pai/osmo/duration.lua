-- Durations of a spec: "25m", "PT2H" or a number of seconds. One unit only, lower case; no weeks.
local pynum = require("pai.osmo.pynum")
local value = require("pai.osmo.template_value")

local M = {}

local SECONDS = { d = 86400, h = 3600, m = 60, s = 1, ms = 0.001, us = 0.000001 }

-- Python's timedelta ends at this many days.
local MAX_DAYS = 999999999

---@class pai.osmo.DurationError
---@field reason string
---@field fault boolean? upstream fails internally here

local function bad(text)
  local hint = "write a number and one unit of d, h, m, s, ms, us (25m), or ISO 8601 (PT2H)"
  if text:find("^%d+$") then
    hint = "a number in quotes has no unit: write " .. text .. "s, or leave the quotes out"
  elseif text:find("^%d+%a+%d") then
    hint = "units cannot be mixed: use one of them, or ISO 8601 (PT1H30M)"
  elseif text:find("^%d+%u$") then
    hint = "units are lower case: " .. text:lower()
  end
  return nil, { reason = ("'%s' is no duration: %s"):format(text, hint) }
end

local function seconds(n)
  if n ~= n then
    return nil, { reason = "nan is no duration" }
  elseif math.abs(n) >= (MAX_DAYS + 1) * 86400.0 then
    return nil, { reason = "the duration is too long", fault = true }
  end
  -- microseconds are what Python keeps
  local whole = math.tointeger(n)
  if whole then
    return whole
  end
  n = pynum.float(("%.6f"):format(n))
  return math.tointeger(n) or n
end

local function iso(text)
  local days, time = text:gsub("\n$", ""):match("^P([%d]*D?)(.*)$")
  if not days or not (days == "" or days:find("^%d+D$")) then
    return nil
  end
  local total = days ~= "" and tonumber(days:sub(1, -2)) * 86400 or 0
  local any = days ~= ""
  if time ~= "" then
    local rest = time:match("^T(.*)$")
    if not rest then
      return nil
    end
    for _, unit in ipairs({ { "^(%d+)H", 3600 }, { "^(%d+)M", 60 }, { "^(%d+%.?%d*)S", 1 } }) do
      local number = rest:match(unit[1])
      if number and not number:find("%.$") then
        total, any = total + tonumber(number) * unit[2], true
        rest = rest:sub(#number + 2)
      end
    end
    if rest ~= "" then
      return nil
    end
  end
  return any and total or nil
end

---Reads a duration.
---@param v any text or number of a spec
---@return number? seconds an integer when it is whole
---@return pai.osmo.DurationError? err
function M.parse(v)
  local t = value.type(v)
  if value.number(v) then
    return seconds(value.number(v))
  elseif t ~= "str" then
    return nil, { reason = "a duration is a text such as 25m or a number of seconds", fault = true }
  elseif v:find("^P") then
    local total = iso(v)
    if not total then
      return bad(v)
    end
    return seconds(total)
  end
  local unit = #v >= 3 and v:match("[mu]s$") or v:sub(-1)
  local number = pynum.int(v:sub(1, -#unit - 1))
  if not number or not SECONDS[unit] then
    return bad(v)
  end
  if unit == "ms" or unit == "us" then
    return seconds(number / (unit == "ms" and 1000 or 1000000))
  end
  return seconds(number * SECONDS[unit])
end

---Whether the text that upstream stores for a duration can be read again: it writes ISO 8601 with
---years and a sign, and reads neither.
---@param n number seconds
---@return boolean
function M.survives(n)
  return n >= 0 and n < 365 * 86400
end

return M
