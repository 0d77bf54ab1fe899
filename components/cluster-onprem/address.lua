-- IPv4 addresses, networks and ranges as numbers, to tell whether they touch.
local M = {}

local function number(text)
  local a, b, c, d = text:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  local value = 0
  for _, part in ipairs(a and { a, b, c, d } or {}) do
    local n = math.tointeger(tonumber(part))
    if n > 255 then
      return nil
    end
    value = value << 8 | n
  end
  return a and value or nil
end

---Reads "10.0.0.1", "10.0.0.0/24" or "10.0.0.5-10.0.0.9".
---@param text string
---@return integer? first nil when it is none of these
---@return integer? last
function M.range(text)
  local first, last = text:match("^([%d.]+)%-([%d.]+)$")
  if first then
    first, last = number(first), number(last)
    if first and last and first <= last then
      return first, last
    end
    return nil
  end
  local base, bits = text:match("^([%d.]+)/(%d+)$")
  local at = number(base or text)
  bits = math.tointeger(tonumber(bits or 32))
  if not at or bits > 32 then
    return nil
  end
  local size = 1 << (32 - bits)
  at = at & ~(size - 1)
  return at, at + size - 1
end

---Whether two of them have an address in common.
---@param a string
---@param b string
---@return boolean? touch nil when one is no address
function M.touch(a, b)
  local a1, a2 = M.range(a)
  local b1, b2 = M.range(b)
  if not a1 or not b1 then
    return nil
  end
  return a1 <= b2 and b1 <= a2
end

---@param at integer
---@return string
function M.text(at)
  return ("%d.%d.%d.%d"):format(at >> 24 & 255, at >> 16 & 255, at >> 8 & 255, at & 255)
end

return M
