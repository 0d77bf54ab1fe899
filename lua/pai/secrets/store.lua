-- Changes the files that hold secrets: .env of a work tree, and the user's own store. The value is
-- a handle; the files are edited in the host, whole or not at all.
local dotenv = require("pai.recipe.dotenv")
local err = require("pai.err")
local fs = require("pai.fs")
local sources = require("pai.secrets.sources")

local M = {}

---@class pai.secrets.Target
---@field path string
---@field root string? the work tree, of .env
---@field user boolean it is the user's store

---Which file a change is for: .env where there is a work tree, unless the user's store is meant.
---@param cwd string
---@param user boolean?
---@return pai.secrets.Target
function M.target(cwd, user)
  local root = not user and dotenv.git_root(cwd) or nil
  local path = root and root .. "/.env" or sources.store_path()
  if not path then
    err.raise("ENOENT", "there is no folder for the settings: HOME is not set")
  end
  return { path = path, root = root, user = root == nil }
end

local function refuse(check)
  return err.fail("ERED", check.measured, { hint = check.hint, check = check })
end

-- Adds a line to .gitignore.
local function ignore(root, rule)
  local path = root .. "/.gitignore"
  local before = fs.exists(path) and fs.read(path) or ""
  local start = (before == "" or before:sub(-1) == "\n") and "" or "\n"
  return fs.append(path, start .. rule .. "\n", { sync = true })
end

---Makes sure that a value could be written: git ignores the file, it is the user's.
---@param target pai.secrets.Target
---@return string[]? changes what was done for it
---@return pai.Error? err
function M.prepare(target)
  local changes = {}
  local check = dotenv.privacy(target.path)
  if check and not check.measured:find(" has mode ", 1, true) then
    return refuse(check)
  elseif check then
    changes[1] = "mode 0600 for " .. target.path
  end
  local root = target.root or dotenv.git_root(fs.dirname(target.path))
  local problem = root and dotenv.ignored(root, target.path)
  if problem and problem.rule then
    local ok, e = ignore(root, problem.rule)
    if not ok then
      return nil, e
    end
    changes[#changes + 1] = ("%s added to %s/.gitignore"):format(problem.rule, root)
    problem = dotenv.ignored(root, target.path)
  end
  if problem then
    return refuse(problem)
  end
  return changes
end

---Sets a value, or takes it out (handle nil).
---@param target pai.secrets.Target
---@param name string
---@param handle userdata?
---@return integer? before how many entries of the name there were
---@return pai.Error? err
function M.save(target, name, handle)
  local state = require("pai.state")
  local locks = state.create(state.dir() .. "/locks")
  local lock_path = require("pai.run.lease").path_for(fs.dirname(locks), "secrets:" .. target.path)
  local lock <close>, e = fs.lock(lock_path, { wait = "30s" })
  if not lock then
    return nil, e
  end
  local dir = fs.dirname(target.path)
  if handle and not fs.exists(dir) then
    local made, why = fs.mkdir(dir, { parents = true, mode = 448 }) -- 0700
    if not made then
      return nil, why
    end
  end
  local path = fs.realpath(target.path) or target.path -- the file behind a link, not the link
  return require("pai.secret").save_dotenv(path, name, handle)
end

return M
