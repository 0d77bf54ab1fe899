-- The .env file at the root of the git work tree: it answers declared inputs and nothing else. It
-- must be readable by its owner only and ignored by git, else it is not opened.
local fs = require("pai.fs")

local M = {}

---The root of the git work tree around a folder, found without running git.
---@param dir string
---@return string? root
function M.git_root(dir)
  while true do
    if fs.exists(dir .. "/.git") then
      return dir
    end
    local up = fs.dirname(dir)
    if up == dir then
      return nil
    end
    dir = up
  end
end

---@class pai.DotenvState
---@field path string? where it is or would be; nil outside of a work tree
---@field exists boolean
---@field check table? a red check when it breaks the rules

local function red(path, measured, expected, hint)
  return {
    name = ".env",
    state = "red",
    measured = ("%s %s"):format(path, measured),
    expected = expected,
    hint = hint,
  }
end

---Looks at the .env file without opening it.
---@param dir string
---@return pai.DotenvState
function M.inspect(dir)
  local root = M.git_root(dir)
  local path = root and root .. "/.env"
  local st = path and fs.stat(path)
  if not st then
    return { path = path, exists = false }
  end
  local state = { path = path, exists = true }
  local mode = st.mode & 511 -- 0777
  if mode ~= 384 then -- 0600
    local measured = ("has mode %04o"):format(mode)
    state.check = red(path, measured, "mode 0600", "chmod 600 " .. path)
    return state
  end
  local r, e = require("pai.exec").run(
    { "git", "--no-optional-locks", "-C", root, "check-ignore", "-q", ".env" },
    { timeout = "10s", accept = { 0, 1, 128 } }
  )
  if not r then
    local hint = "install git, or give the secret in the environment"
    state.check = red(path, "could not be checked: " .. e.message, "ignored by git", hint)
  elseif r.code ~= 0 then
    state.check = red(path, "is not ignored by git", "ignored by git", "add .env to .gitignore")
  end
  return state
end

---Opens the file; its values are handles and never strings.
---@param path string
---@return table<string, userdata>? handles
---@return pai.Error? err
function M.open(path)
  return require("pai.secret").from_dotenv(path)
end

return M
