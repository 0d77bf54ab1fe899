-- A secret that a command of the user's settings prints. It runs as in the user's shell, without
-- standard input; what it prints is collected in locked memory.
local err = require("pai.err")
local text = require("pai.text")

local M = {}

---How long it may take if its entry does not say.
M.TIMEOUT = "60s"

-- The end of what it said on standard error, for people.
local function said(stderr)
  local line = text.one_line(require("pai.mask").text(tostring(stderr or "")))
  return line ~= "" and ": " .. text.cut(line, 200) or ""
end

---Runs the command of an entry. Messages name the entry, never the arguments.
---@param name string of the variable
---@param entry pai.secrets.Entry
---@return userdata? handle
---@return string|pai.Error|nil warning
function M.open(name, entry)
  local who = ("the command for %s (settings.yaml, line %d)"):format(name, entry.line)
  local r, e = require("pai.exec").run(entry.value, {
    inherit_env = true,
    stdout = "secret",
    timeout = entry.timeout or M.TIMEOUT,
  })
  if r then
    if r.stdout:len() == 0 then
      return err.fail("ENOENT", who .. " printed nothing" .. said(r.stderr))
    end
    return r.stdout
  elseif e.code == "EEXIT" then
    local how = e.exit and "exit code " .. e.exit or tostring(e.signal)
    return err.fail("EEXIT", ("%s ended with %s%s"):format(who, how, said(e.stderr)))
  elseif e.code == "ETIMEDOUT" then
    local message = ("%s did not end within %s"):format(who, entry.timeout or M.TIMEOUT)
    return err.fail("ETIMEDOUT", message)
  elseif e.code == "ENOENT" then
    return err.fail("ENOENT", who .. ": there is no such program")
  end
  return err.fail(e.code, ("%s could not be run (%s)"):format(who, e.code))
end

return M
