-- The .env file at the root of the git work tree: it answers declared inputs and nothing else. It
-- must be readable by its owner only and ignored by git, else it is not opened.
local err = require("pai.err")
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
---@field root string? the work tree
---@field exists boolean
---@field check table? a red check when it breaks the rules

-- A path as it is typed into a shell.
local function quote(path)
  return path:find("^[%w/._~-]+$") and path or "'" .. path:gsub("'", "'\\''") .. "'"
end

local function red(path, measured, expected, hint)
  return {
    name = fs.basename(path),
    state = "red",
    measured = ("%s %s"):format(path, measured),
    expected = expected,
    hint = hint,
  }
end

---Whether only its owner can read a file that holds secrets, and that is who runs this.
---@param path string
---@return table? check red; nil when all is well or there is no such file
function M.privacy(path)
  local st = fs.stat(path)
  if not st then
    return nil
  end
  local _, uid = fs.user()
  if st.type ~= "file" then
    return red(path, "is a " .. st.type, "a file", "take it away")
  elseif st.uid ~= uid and uid ~= 0 then
    return red(path, "belongs to another user", "yours", "sudo chown $(id -u) " .. quote(path))
  elseif st.mode & 127 ~= 0 then -- 0177: anything but the owner's reading and writing
    return red(path, ("has mode %04o"):format(st.mode), "mode 0600", "chmod 600 " .. quote(path))
  end
end

local function git(root, ...)
  return require("pai.exec").run(
    { "git", "--no-optional-locks", "-C", root, ... },
    { timeout = "10s", accept = { 0, 1, 128 } }
  )
end

---Whether git would leave a file of its work tree alone.
---@param root string
---@param path string
---@return table? check red; `rule` is the line that .gitignore lacks, if that is all
function M.ignored(root, path)
  local name = path:sub(#root + 2)
  local r, e = git(root, "check-ignore", "-q", "--", name)
  if not r then
    local hint = "install git, or give the secret in the environment"
    return red(path, "could not be checked: " .. e.message, "ignored by git", hint)
  elseif r.code == 128 then
    local why = require("pai.text").one_line(r.stderr)
    return red(path, "could not be checked: " .. why, "ignored by git", "make git status work")
  elseif r.code == 0 then
    return nil
  end
  local add = ("echo %s >> %s"):format(quote("/" .. name), quote(root .. "/.gitignore"))
  local tracked = git(root, "ls-files", "--error-unmatch", "--", name)
  if tracked and tracked.code == 0 then
    local untrack = ("git -C %s rm --cached %s"):format(quote(root), quote(name))
    local hint = untrack .. " && " .. add .. "; change what was committed: others know it"
    return red(path, "is tracked by git", "ignored by git", hint)
  end
  local check = red(path, "is not ignored by git", "ignored by git", add)
  check.rule = "/" .. name
  return check
end

---Looks at the .env file without opening it.
---@param dir string
---@return pai.DotenvState
function M.inspect(dir)
  local root = M.git_root(dir)
  local path = root and root .. "/.env"
  if not path or not fs.exists(path) then
    return { path = path, root = root, exists = false }
  end
  local check = M.privacy(path) or M.ignored(root, path)
  return { path = path, root = root, exists = true, check = check }
end

---Opens the file; its values are handles and never strings, but for names that are no secrets.
---@param path string
---@param plain table<string, any>? names that are no secrets
---@return table<string, userdata>? handles
---@return string[]|pai.Error warnings what is not masked; or the error
---@return table<string, string>? texts of the plain names
function M.open(path, plain)
  local check = M.privacy(path)
  if check then
    return err.fail("EACCES", check.measured, { hint = check.hint })
  end
  return require("pai.secret").from_dotenv(path, plain)
end

return M
