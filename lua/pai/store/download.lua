-- Downloads: parts side by side into a temporary file beside the target, which gets its name when
-- size and checksum agree. A log beside it says which parts are there, for the next time.
local async = require("pai.async")
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")
local sums = require("pai.store.sums")
local url = require("pai.store.url")

local M = {}

local PART <const> = 8 << 20
local SUFFIX <const> = ".pai-part"

local function checked(value, e)
  if value == nil then
    error(e, 0)
  end
  return value
end

---Whether a relative name can be a file below the target folder.
---@param name string
---@return boolean
function M.is_safe(name)
  if name == "" or name:sub(1, 1) == "/" or name:find("%z") then
    return false
  end
  for part in (name .. "/"):gmatch("([^/]*)/") do
    if part == "" or part == "." or part == ".." then
      return false
    end
  end
  return true
end

---An object, or nil when there is none. Stores refuse to look at what is not there when the key may
---not list; what is to be said then comes from the listing.
---@param driver table
---@param key string
---@return pai.store.Object?
function M.look(driver, key)
  local ok, object = pcall(driver.head, driver, key)
  if not ok and not (err.is(object, "EACCES") and object.http == 403) then
    error(object, 0)
  end
  return ok and object or nil
end

---The objects of a place and the names that they get: the object itself, or everything below the
---path, relative to it. Keys that end in a slash are folders' marks and passed over.
---@param driver table
---@param place pai.store.Place
---@param meant fun(name: string): boolean
---@param each fun(prefix: string, fn: fun(object: pai.store.Object))
---@return table[] targets {object, name}; `left_out`: keys that can be no file
function M.targets(driver, place, meant, each)
  local out = { left_out = {} }
  if not place.folder then
    local object = M.look(driver, place.key)
    if object then
      local name = place.key:match("[^/]+$")
      return meant(name) and { { object = object, name = name }, left_out = {} } or out
    end
  end
  local prefix, found = url.prefix(place), false
  each(prefix, function(object)
    found = true
    local name = object.key:sub(#prefix + 1)
    if name:sub(-1) ~= "/" and name ~= "" and meant(name) then
      if M.is_safe(name) then
        out[#out + 1] = { object = object, name = name }
      else
        out.left_out[#out.left_out + 1] = object.key
      end
    end
  end)
  if not found and place.key ~= "" then
    err.raise("ENOENT", ("download %s: it is not there"):format(place.url))
  end
  return out
end

---@class pai.store.Fetch
---@field object pai.store.Object
---@field target string
---@field temp string
---@field log string
---@field part integer
---@field done table<integer, boolean>

-- The parts that an earlier run left, if it was of the same object and this machine has not been
-- restarted since: after that, what a log says need not be on the disk.
local function load_log(f, head)
  local text = fs.read(f.log)
  local have = checked(fs.stat(f.temp)).size
  local first = text and text:match("^([^\n]*)\n")
  if first ~= head then
    return
  end
  for line in text:sub(#first + 2):gmatch("([^\n]*)\n") do
    local i = math.tointeger(tonumber(line))
    if i and i >= 1 and math.min(i * f.part, f.object.size) <= have then
      f.done[i] = true
    end
  end
end

-- Makes and locks the temporary file.
local function open_temp(f)
  local ok, e = fs.write(f.temp, "", { exclusive = true, sync = false })
  if not ok and e.code ~= "EEXIST" then
    error(e, 0)
  end
  local lock
  lock, e = fs.lock(f.temp)
  if not lock then
    if e.code == "EAGAIN" then
      err.raise("EAGAIN", ("%s is being downloaded by another process"):format(f.target))
    end
    error(e, 0)
  end
  return lock
end

-- Digests what is complete from the beginning on, while the rest is still coming.
local function digest_on(f, down)
  if f.walking or down.no_checksum then
    return
  end
  if not f.expected then
    f.expected = sums.expected(f.object) or false
    f.walker = f.expected and sums.walker(f.temp, f.expected.part)
  end
  if not f.walker then
    return
  end
  f.walking = true
  while f.done[f.frontier + 1] do
    f.frontier = f.frontier + 1
    f.walker:advance(math.min(f.frontier * f.part, f.object.size))
  end
  f.walking = false
end

local function finish(f, down)
  digest_on(f, down)
  if f.walker and f.walker:etag() ~= f.expected.etag then
    fs.remove(f.log)
    fs.remove(f.temp)
    local message = "%s: other bytes arrived than the store has: its checksum is another"
    err.raise("ECHECKSUM", message:format(f.target), {
      hint = "try again; if the store's checksum is none of the content: --no-checksum",
    })
  end
  local size = checked(fs.stat(f.temp)).size
  if size ~= f.object.size then
    err.raise("ECHECKSUM", ("%s has %d bytes, not %d"):format(f.temp, size, f.object.size))
  end
  checked(fs.rename(f.temp, f.target))
  fs.remove(f.log)
end

local function missing_parts(f, down)
  local count = (f.object.size + f.part - 1) // f.part
  local missing = {}
  for i = 1, count do
    if f.done[i] then
      down.meter:add(math.min(i * f.part, f.object.size) - (i - 1) * f.part, true)
    else
      missing[#missing + 1] = i
    end
  end
  return missing, count
end

local function fetch_parts(f, down)
  local head = json.encode({
    size = f.object.size,
    etag = f.object.etag or "",
    part = f.part,
    boot = checked(fs.boot_id()),
  })
  if f.object.etag then
    load_log(f, head)
  end
  local missing, count = missing_parts(f, down)
  if #missing == count then
    checked(f.lock:write("")) -- what another object left
    if count > 1 then
      checked(fs.write(f.log, head .. "\n", { sync = false }))
    end
  elseif #missing == 0 then
    local now = down.driver:head(f.object.key)
    f.object = now and now.etag == f.object.etag and now or f.object
  end
  async.each(missing, function(i)
    down.gate:run(function()
      local offset = (i - 1) * f.part
      local length = math.min(f.part, f.object.size - offset)
      down.driver:get(f.object, { path = f.temp, offset = offset, length = length })
      f.done[i] = true
      if count > 1 then
        checked(fs.append(f.log, i .. "\n"))
      end
      down.meter:add(length)
      digest_on(f, down)
    end)
  end, { limit = down.gate.limit })
end

local function fetch(down, object, target)
  checked(fs.mkdir(fs.dirname(target), { parents = true }))
  if down.driver.copies then
    down.driver:copy_out(object.key, target)
    down.meter:add(object.size)
    return
  end
  local f = {
    object = object,
    target = target,
    temp = target .. SUFFIX,
    log = target .. SUFFIX .. ".log",
    part = down.driver.range or PART,
    done = {},
    frontier = 0,
  }
  f.lock = open_temp(f)
  local _ <close> = setmetatable({}, {
    __close = function()
      f.lock:release()
    end,
  })
  local ok, e = pcall(function()
    fetch_parts(f, down)
    finish(f, down)
  end)
  if ok then
    return
  end
  e = err.wrap(e)
  if e.code == "ECHANGED" or not fs.exists(f.log) then
    fs.remove(f.temp)
    fs.remove(f.log)
  elseif e.expired then
    e.hint = "what has arrived is kept: with a new key the same command goes on from there"
  elseif e.retryable then
    e.hint = e.hint or "what has arrived is kept: the same command goes on from there"
  end
  error(e, 0)
end

-- Whether the file is there with these bytes.
local function is_there(down, object, target)
  local st = fs.stat(target)
  if not st or st.type ~= "file" or st.size ~= object.size then
    return false
  end
  return sums.same(down.driver:head(object.key) or object, target, st.size) == true
end

---Downloads objects into a folder. Raises; the first failure ends the others.
---@param down {driver: table, gate: pai.store.Gate, meter: pai.store.Meter, no_checksum: boolean?}
---@param targets table[] as M.targets gives them
---@param dir string absolute
---@param opts {resume: boolean?}
function M.run(down, targets, dir, opts)
  local total = 0
  for _, t in ipairs(targets) do
    down.meter:expect(t.object.size)
    total = total + t.object.size
  end
  local free = fs.disk_free(dir)
  if free and free < total then
    local message = "%s has room for %d bytes, %d are to come"
    err.raise("ENOSPC", message:format(dir, free, total))
  end
  checked(fs.mkdir(dir, { parents = true }))
  async.each(targets, function(t)
    local target = dir .. "/" .. t.name
    local skipped = opts.resume and is_there(down, t.object, target)
    if skipped then
      down.meter:add(t.object.size, true)
    else
      fetch(down, t.object, target)
    end
    down.meter:done(t.name, skipped)
  end, { limit = down.gate.limit })
end

return M
