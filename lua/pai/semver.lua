-- Versions of programs, compared by their first three numbers. Build and pre-release suffixes are
-- left out: "v1.31.2+k3s1" and "1.31.2-rc.1" are both 1.31.2, as kubectl and helm print them.
local M = {}

---@class pai.Version
---@field major integer
---@field minor integer
---@field patch integer
---@field text string "1.31.2"

---Finds the first version in a text: a number with at least one dot, after an optional v.
---@param text string
---@return pai.Version? version nil when there is none
function M.find(text)
  local major, minor, rest = text:match("%f[%w]v?(%d+)%.(%d+)([%d.]*)")
  if not major then
    return nil
  end
  local patch = rest:match("^%.(%d+)") or "0"
  local version = {
    major = math.tointeger(tonumber(major)),
    minor = math.tointeger(tonumber(minor)),
    patch = math.tointeger(tonumber(patch)),
  }
  version.text = ("%d.%d.%d"):format(version.major, version.minor, version.patch)
  return version
end

---Reads a whole text as a version; missing numbers are 0: "v2" is 2.0.0.
---@param text string
---@return pai.Version? version nil when the text is none
function M.parse(text)
  local core = text:match("^%s*v?(%d+%.?%d*%.?%d*)[-+.%w]*%s*$")
  if not core then
    return nil
  end
  return M.find(core:find("%.%d") and core or core:gsub("%.$", "") .. ".0")
end

---Compares two versions.
---@param a pai.Version
---@param b pai.Version
---@return integer # below 0, 0 or above 0, as a is older, the same or newer
function M.compare(a, b)
  for _, part in ipairs({ "major", "minor", "patch" }) do
    if a[part] ~= b[part] then
      return a[part] < b[part] and -1 or 1
    end
  end
  return 0
end

---Tells whether a version is at least another one and, if given, below a third.
---@param version pai.Version
---@param minimum string
---@param below string?
---@return boolean
function M.within(version, minimum, below)
  local least, limit = M.parse(minimum), below and M.parse(below)
  assert(least, "not a version: " .. tostring(minimum))
  return M.compare(version, least) >= 0 and (not limit or M.compare(version, limit) < 0)
end

return M
