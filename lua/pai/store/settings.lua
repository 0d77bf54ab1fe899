-- Settings that come from the environment. One that cannot be read is an error, not a default.
local err = require("pai.err")

local M = {}

---@param name string
---@return string? value nil when it is not set or empty
function M.env(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

---A whole number. Raises EINVAL.
---@param name string
---@param least integer
---@return integer?
function M.integer(name, least)
  local text = M.env(name)
  local value = text and math.tointeger(tonumber(text))
  if text and (not value or value < least) then
    local message = "%s is '%s': a whole number of at least %d is needed"
    err.raise("EINVAL", message:format(name, text, least))
  end
  return value
end

---One of some words, in any case. Raises EINVAL.
---@param name string
---@param words string[]
---@return string?
function M.choice(name, words)
  local text = M.env(name)
  local value = text and text:lower():match("^%s*(.-)%s*$")
  for _, word in ipairs(words) do
    if value == word then
      return value
    end
  end
  if text then
    local message = "%s is '%s': it must be one of %s"
    err.raise("EINVAL", message:format(name, text, table.concat(words, ", ")))
  end
end

---A duration. Raises EINVAL.
---@param name string
---@return integer? ms
function M.duration(name)
  local text = M.env(name)
  local ms = text and require("pai.duration").parse(text)
  if text and not ms then
    err.raise("EINVAL", ("%s is '%s': a duration such as 30m is needed"):format(name, text))
  end
  return ms
end

---The address of a server; what may be a password in it is not repeated. Raises EINVAL.
---@param name string
---@return string?
function M.url(name)
  local text = M.env(name)
  if text and not text:find("^https?://[^/?#@%s]+[^?#@%s]*$") then
    err.raise("EINVAL", name .. " must be http(s)://host[:port]")
  end
  return text
end

return M
