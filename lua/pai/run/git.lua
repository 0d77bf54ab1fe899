-- What git says of a recipe's files. A changing recipe that git tracks must be committed; one that
-- git does not know runs with the copy in the run's folder as its record, and the run says so.
local dotenv = require("pai.recipe.dotenv")
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")

local M = {}

---@class pai.run.Git
---@field root string?
---@field head string?
---@field dirty string[] tracked files with changes that are not committed
---@field unknown string[] files that git does not track, or that are in no work tree

local function run_git(root, args)
  local argv = { "git", "--no-optional-locks", "-C", root }
  table.move(args, 1, #args, #argv + 1, argv)
  return require("pai.exec").run(argv, { timeout = "30s" })
end

-- Adds what git says of the files below one root.
local function ask(root, paths, record)
  local args = { "status", "--porcelain=v1", "-z", "--ignored", "--untracked-files=all", "--" }
  table.move(paths, 1, #paths, #args + 1, args)
  local r, e = run_git(root, args)
  if not r then
    if e.code == "ENOENT" then
      table.move(paths, 1, #paths, #record.unknown + 1, record.unknown)
      return true
    end
    local why = e.stderr and e.stderr:match("[^\n]+") or e.message
    local hint = "repair that, or pass --allow-dirty"
    if why:find("dubious ownership", 1, true) then
      -- Another user's checkout: git asks for the reader's word first, and so does pai.
      hint = (
        "if you trust its owner: git config --global --add safe.directory %s; or pass "
        .. "--allow-dirty"
      ):format(root)
    end
    return err.fail("EGIT", ("ask git about the recipe: %s"):format(why), { hint = hint })
  end
  for entry in r.stdout:gmatch("[^\0]+") do
    local state, path = entry:match("^(..) (.*)$")
    if state then
      local list = (state == "??" or state == "!!") and record.unknown or record.dirty
      list[#list + 1] = root .. "/" .. path
    end
  end
  local head = run_git(root, { "rev-parse", "HEAD" })
  record.root, record.head = root, head and head.stdout:match("%x+")
  return true
end

---Asks git about the files of a recipe.
---@param files pai.recipe.File[]
---@return pai.run.Git? record
---@return pai.Error? err
function M.inspect(files)
  local record = { dirty = json.array({}), unknown = json.array({}) }
  local roots, by_root = {}, {}
  -- What recipes share (pai.shared) is a part of pai, as all of its library is.
  local library = require("pai").root .. "/lua/"
  for _, file in ipairs(files) do
    local real = fs.realpath(file.path) or file.path
    local own = file.path:sub(1, #library) == library
    local root = not own and dotenv.git_root(fs.dirname(real))
    if not root and not own then
      record.unknown[#record.unknown + 1] = file.path
    elseif root then
      if not by_root[root] then
        by_root[root] = {}
        roots[#roots + 1] = root
      end
      table.insert(by_root[root], real)
    end
  end
  for _, root in ipairs(roots) do
    local ok, e = ask(root, by_root[root], record)
    if not ok then
      return nil, e
    end
  end
  return record
end

---The rule for a recipe that changes something.
---@param files pai.recipe.File[]
---@param allow_dirty boolean?
---@return pai.run.Git? record
---@return pai.Error? err code EDIRTY names the files
function M.check(files, allow_dirty)
  local record, e = M.inspect(files)
  if not record then
    if allow_dirty then
      return { dirty = json.array({}), unknown = json.array({}) }
    end
    return nil, e
  end
  if #record.dirty > 0 and not allow_dirty then
    return err.fail("EDIRTY", "not committed: " .. table.concat(record.dirty, ", "), {
      hint = "commit the recipe, or pass --allow-dirty",
    })
  end
  return record
end

return M
