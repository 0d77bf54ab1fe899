-- Numbers as Python reads and prints them: int() and float() of a text, str() of a float. Variables
-- given at submit, template output and the coercions of the schema all rest on these.
local M = {}

-- What str.strip() takes away, as far as ASCII goes.
local SPACE = "[ \t\n\r\f\v\28-\31]"

local function strip(text)
  return (text:gsub("^" .. SPACE .. "+", ""):gsub(SPACE .. "+$", ""))
end

-- Digits with single underscores between them; nil when the form is wrong.
local function plain_digits(text)
  if text:find("^%d[%d_]*$") and not text:find("__", 1, true) and not text:find("_$") then
    return (text:gsub("_", ""))
  end
  return nil
end

---Reads a text as Python's int() does. A number beyond 64 bits becomes a float.
---@param text string
---@param base integer? 2 to 36, default 10
---@return number? value nil when int() would raise
---@return string? digits of a number beyond 64 bits
function M.int(text, base)
  local sign, digits = strip(text):match("^([+-]?)(.*)$")
  base = base or 10
  if base ~= 10 then
    local prefix = ({ [2] = "0[bB]", [8] = "0[oO]", [16] = "0[xX]" })[base]
    digits = prefix and digits:gsub("^" .. prefix .. "_?", "") or digits
    digits = digits:find("^%w[%w_]*$") and not digits:find("__", 1, true) and digits:gsub("_", "")
    local value = digits and tonumber(digits, base)
    return value and (sign == "-" and -value or value)
  end
  digits = plain_digits(digits)
  if not digits then
    return nil
  end
  digits = digits:gsub("^0+(%d)", "%1")
  local value = math.tointeger(tonumber(sign == "-" and "-" .. digits or digits))
  if value and #digits < 20 then
    return value
  end
  digits = (sign == "-" and "-" or "") .. digits
  return tonumber(digits .. ".0"), digits
end

---Reads a text as Python's float() does.
---@param text string
---@return number? value nil when float() would raise
function M.float(text)
  local sign, body = strip(text):match("^([+-]?)(.*)$")
  local lower = body:lower()
  local value
  if lower == "inf" or lower == "infinity" then
    value = math.huge
  elseif lower == "nan" then
    value = 0.0 / 0.0
  else
    local mantissa, exponent = lower:match("^([%d_.]+)e([+-]?[%d_]+)$")
    mantissa = mantissa or lower
    local whole, fraction = mantissa:match("^([%d_]*)%.?([%d_]*)$")
    if not whole or whole .. fraction == "" then
      return nil
    end
    for _, part in ipairs({ whole, fraction, exponent and exponent:gsub("^[+-]", "") or "0" }) do
      if part ~= "" and not plain_digits(part) then
        return nil
      end
    end
    if exponent and exponent:gsub("^[+-]", "") == "" then
      return nil
    end
    value = tonumber((lower:gsub("_", "")))
    value = value and value + 0.0
  end
  return value and (sign == "-" and -value or value)
end

---The text that Python prints for a float: the shortest that reads back the same.
---@param value number
---@return string
function M.repr(value)
  if value ~= value then
    return "nan"
  elseif value == math.huge then
    return "inf"
  elseif value == -math.huge then
    return "-inf"
  elseif value == 0 then
    return 1 / value < 0 and "-0.0" or "0.0"
  end
  local text
  for precision = 0, 16 do
    text = ("%." .. precision .. "e"):format(value)
    if tonumber(text) == value then
      break
    end
  end
  local sign, first, rest, exponent = text:match("^(-?)(%d)%.?(%d*)e([+-]%d+)$")
  exponent = math.tointeger(tonumber(exponent))
  local digits = (first .. rest):gsub("0+$", "")
  digits = digits == "" and "0" or digits
  if exponent < -4 or exponent >= 16 then
    local mantissa = digits:sub(1, 1) .. (#digits > 1 and "." .. digits:sub(2) or "")
    return ("%s%se%s%02d"):format(sign, mantissa, exponent < 0 and "-" or "+", math.abs(exponent))
  elseif exponent < 0 then
    return sign .. "0." .. ("0"):rep(-exponent - 1) .. digits
  elseif #digits <= exponent + 1 then
    return sign .. digits .. ("0"):rep(exponent + 1 - #digits) .. ".0"
  end
  return sign .. digits:sub(1, exponent + 1) .. "." .. digits:sub(exponent + 2)
end

---The text that Python prints for any number.
---@param value number
---@return string
function M.str(value)
  return math.type(value) == "integer" and tostring(value) or M.repr(value)
end

return M
