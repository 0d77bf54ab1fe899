-- file:// as a store: keys are absolute paths without their first slash. Methods raise.
local err = require("pai.err")
local fs = require("pai.fs")

local M = {}

---@class pai.store.File
local File = {}
File.__index = File

---@param place pai.store.Place
---@return pai.store.File
function M.new(place)
  return setmetatable({ place = place, endpoint = "file://", digests = {}, copies = true }, File)
end

local function checked(value, e)
  if value == nil then
    error(e, 0)
  end
  return value
end

function File:url(key)
  return self.place.base .. "/" .. (key or "")
end

local function object_of(key)
  local st = fs.stat("/" .. key)
  if st and st.type == "file" then
    return {
      key = key,
      size = st.size,
      modified = os.date("!%Y-%m-%dT%H:%M:%SZ", st.mtime_ms // 1000),
    }
  end
end

local function below(dir, rest, out)
  if not fs.exists("/" .. dir) then
    return
  end
  local st = checked(fs.stat("/" .. dir))
  if st.type ~= "directory" then
    return
  end
  for _, name in ipairs(checked(fs.walk("/" .. dir))) do
    if name:sub(1, #rest) == rest then
      out[#out + 1] = object_of((dir == "" and "" or dir .. "/") .. name)
    end
  end
end

-- First-level names only: folders end in a slash.
local function level(dir, rest, out)
  local names = fs.list("/" .. dir) or {}
  for _, name in ipairs(names) do
    local key = (dir == "" and "" or dir .. "/") .. name
    if name:sub(1, #rest) == rest then
      local st = fs.stat("/" .. key)
      if st and st.type == "directory" then
        out.prefixes[#out.prefixes + 1] = key .. "/"
      else
        out.objects[#out.objects + 1] = object_of(key)
      end
    end
  end
end

---All of a listing: there are no pages.
---@param page {prefix: string, delimiter: string?}
---@return {objects: pai.store.Object[], prefixes: string[]}
function File.list(_, page)
  local dir, rest = page.prefix:match("^(.-)/?([^/]*)$")
  local out = { objects = {}, prefixes = {} }
  if page.delimiter then
    level(dir, rest, out)
  else
    below(dir, rest, out.objects)
  end
  return out
end

---@param _ any
---@param key string
---@return pai.store.Object?
function File.head(_, key)
  return object_of(key)
end

---Copies an object to a file, whole or not at all.
---@param key string
---@param path string
function File.copy_out(_, key, path)
  checked(fs.copy("/" .. key, path))
end

---Copies a file to an object, whole or not at all.
---@param key string
---@param path string
function File.copy_in(_, key, path)
  local to = "/" .. key
  checked(fs.mkdir(fs.dirname(to), { parents = true }))
  checked(fs.copy(path, to))
end

---@param keys string[]
---@return {key: string, code: string}[] failed
function File.delete(_, keys)
  local failed = {}
  for _, key in ipairs(keys) do
    local ok, e = fs.remove("/" .. key)
    if not ok and e.code ~= "ENOENT" then
      failed[#failed + 1] = { key = key, code = e.code }
    end
  end
  return failed
end

---Whether one may write here: a file is made and removed.
---@param key string that nobody has
function File:try_write(key)
  local dir = fs.dirname("/" .. key)
  while not fs.exists(dir) do
    dir = fs.dirname(dir)
  end
  local path = dir .. "/." .. fs.basename(key)
  local ok, e = fs.write(path, "", { exclusive = true, sync = false })
  if not ok then
    err.raise("EACCES", ("write to %s: %s"):format(self:url(key), e.message))
  end
  fs.remove(path)
end

return M
