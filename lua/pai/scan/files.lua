-- Which files pai scan looks at: those named, those of a folder, those that git knows or would.
local err = require("pai.err")
local exec = require("pai.exec")
local fs = require("pai.fs")

local M = {}

---@class pai.scan.Listing
---@field files string[] paths, without doubles
---@field skipped { path: string, why: string }[]
---@field errors { path: string, message: string }[]

-- A repository's own settings may name programs that git would start; none of them is needed.
local GIT <const> = { "git", "--no-optional-locks", "-c", "core.fsmonitor=false" }

-- What git tracks or would track below a folder, or nil where git has no say.
local function ask_git(dir)
  local argv = table.move(GIT, 1, #GIT, 1, {})
  local rest = { "-C", dir, "ls-files", "-z", "--cached", "--others", "--exclude-standard" }
  table.move(rest, 1, #rest, #argv + 1, argv)
  local r, e = exec.run(argv, { timeout = "5m", raw = true, max_output = 1 << 30 })
  if r and r.truncated then
    return nil, err.new("EGIT", ("git lists too many files in %s"):format(dir))
  elseif r then
    return r.stdout
  elseif e.code == "ENOENT" then
    return nil -- there is no git: all files
  end
  local why = (e.stderr or ""):match("[^\n]+") or e.message
  return nil, err.new("EGIT", ("git does not list %s: %s"):format(dir, why))
end

local function in_work_tree(dir)
  return require("pai.recipe.dotenv").git_root(fs.realpath(dir) or dir) ~= nil
end

local add_folder

local function add_file(listing, path)
  if not listing.seen[path] then
    listing.seen[path] = true
    listing.files[#listing.files + 1] = path
  end
end

local function add_found(listing, path, options)
  local st, e = fs.stat(path, { follow = false })
  if not st then
    if e.code ~= "ENOENT" then -- git also lists what was deleted
      table.insert(listing.errors, { path = path, message = e.message })
    end
  elseif st.type == "file" then
    add_file(listing, path)
  elseif st.type == "directory" then
    add_folder(listing, path, options) -- a submodule, or a work tree in this one
  else
    table.insert(listing.skipped, { path = path, why = "a " .. st.type })
  end
end

-- Every entry below a folder; .git is git's own and holds compressed objects.
local function walk(listing, dir, options)
  local names, e = fs.list(dir)
  if not names then
    table.insert(listing.errors, { path = dir, message = e.message })
    return
  end
  for _, name in ipairs(names) do
    if name ~= ".git" then
      add_found(listing, fs.join(dir, name), options)
    end
  end
end

function add_folder(listing, dir, options)
  local real = fs.realpath(dir) or dir
  if listing.folders[real] then
    return
  end
  listing.folders[real] = true
  if options.ignored or not in_work_tree(dir) then
    return walk(listing, dir, options)
  end
  local names, e = ask_git(dir)
  if e then
    e.hint = "--ignored looks at all files without asking git"
    table.insert(listing.errors, { path = dir, message = e.message, hint = e.hint })
  elseif not names then
    walk(listing, dir, options)
  else
    for name in names:gmatch("[^\0]+") do
      local clean = name:gsub("/$", "")
      add_found(listing, dir == "." and clean or fs.join(dir, clean), options)
    end
  end
end

---Lists what to scan. Links are not followed in a folder; a link that is named is.
---@param targets string[] paths; "-" is standard input
---@param options { ignored: boolean? } ignored: also what git ignores
---@return pai.scan.Listing
function M.list(targets, options)
  local listing = { files = {}, skipped = {}, errors = {}, seen = {}, folders = {} }
  for _, target in ipairs(targets) do
    local st, e
    if target ~= "-" then
      st, e = fs.stat(target)
    end
    if target == "-" then
      add_file(listing, target)
    elseif not st then
      table.insert(listing.errors, { path = target, message = e.message })
    elseif st.type == "directory" then
      add_folder(listing, #target > 1 and target:gsub("/+$", "") or target, options)
    else
      add_file(listing, target)
    end
  end
  return listing
end

return M
