-- Uploads: which file becomes which object, and how its bytes get there.
local async = require("pai.async")
local err = require("pai.err")
local fs = require("pai.fs")
local record = require("pai.store.record")
local settings = require("pai.store.settings")
local sums = require("pai.store.sums")
local url = require("pai.store.url")

local M = {}

-- Parts of 8 MiB, as OSMO's client and the AWS command line make them: so ETags can be compared.
local PART <const> = 8 << 20
local THRESHOLD <const> = 16 << 20

---@class pai.store.Source
---@field path string
---@field name string relative to the URL's path
---@field key string
---@field size integer
---@field mtime_ms integer
---@field ino integer

local function add_file(out, path, name)
  local st = fs.stat(path)
  if st and st.type == "file" then
    out[#out + 1] =
      { path = path, name = name, size = st.size, mtime_ms = st.mtime_ms, ino = st.ino }
  else
    out.left_out[#out.left_out + 1] = path
  end
end

local function add_tree(out, dir, name)
  local paths, e = fs.walk(dir)
  if not paths then
    error(e, 0)
  end
  for _, rel in ipairs(paths) do
    add_file(out, fs.join(dir, rel), name == "" and rel or name .. "/" .. rel)
  end
end

local function add_path(out, path)
  if type(path) == "table" then
    return add_file(out, path.path, path.name)
  end
  local dir = path:match("^(.*)/%*$") or (path == "*" and ".")
  if dir then -- what is in the folder, without the folder's own name
    local names, e = fs.list(dir == "" and "/" or dir)
    if not names then
      error(e, 0)
    end
    for _, name in ipairs(names) do
      if name:sub(1, 1) ~= "." then
        local st = fs.stat(fs.join(dir, name))
        local add = st and st.type == "directory" and add_tree or add_file
        add(out, fs.join(dir, name), name)
      end
    end
    return
  end
  local st, e = fs.stat(path)
  if not st then
    error(e, 0)
  elseif st.type == "directory" then
    local whole = fs.abspath(path)
    add_tree(out, whole, whole == "/" and "" or fs.basename(whole))
  else
    add_file(out, path, fs.basename(path))
  end
end

---The files of some paths and the keys that they get: a folder keeps its name, `dir/*` leaves it
---out. Raises when two files would get one key.
---@param place pai.store.Place
---@param paths (string|{path: string, name: string})[] a table names a file and the name it gets
---@param meant fun(name: string): boolean
---@return pai.store.Source[] sources `left_out`: what is neither file nor folder
function M.sources(place, paths, meant)
  local all, out, seen = { left_out = {} }, {}, {}
  for _, path in ipairs(paths) do
    add_path(all, path)
  end
  local prefix = place.key == "" and "" or url.prefix(place)
  for _, source in ipairs(all) do
    if meant(source.name) then
      source.path = fs.abspath(source.path)
      source.key = prefix .. source.name
      if seen[source.key] and seen[source.key] ~= source.path then
        local message = "%s and %s would both become %s"
        err.raise(
          "EINVAL",
          message:format(seen[source.key], source.path, url.of(place, source.key))
        )
      elseif not seen[source.key] then
        seen[source.key] = source.path
        out[#out + 1] = source
      end
    end
  end
  out.left_out = all.left_out
  return out
end

-- The size of the parts: as usual, doubled until the store takes so many.
local function part_size(driver, size, wanted)
  local part = wanted or PART
  while (size + part - 1) // part > driver.max_parts do
    part = part * 2
  end
  return part
end

local function check_unchanged(source)
  local st = fs.stat(source.path)
  if not st or st.size ~= source.size or st.mtime_ms ~= source.mtime_ms then
    err.raise("ECHANGED", ("%s has changed while it was uploaded"):format(source.path))
  end
end

local function part_of(source, n, part)
  local offset = (n - 1) * part
  return {
    path = source.path,
    offset = offset,
    length = math.min(part, source.size - offset),
  }
end

-- The parts that are missing, side by side. Gives the ETags or names of all.
local function put_parts(up, source, part, id, have, add)
  local etags, missing = {}, {}
  for n = 1, (source.size + part - 1) // part do
    etags[n] = have[n]
    if etags[n] then
      up.meter:add(part_of(source, n, part).length, true)
    else
      missing[#missing + 1] = n
    end
  end
  async.each(missing, function(n)
    up.gate:run(function()
      local from = part_of(source, n, part)
      local driver = up.driver
      local md5, sha256 =
        sums.range(from.path, from.offset, from.length, table.unpack(driver.digests))
      local known = up.pending and up.pending(n, md5, from.length)
      etags[n] = known or driver:put_part(source.key, id, n, from, md5, sha256)
      add(n, etags[n])
      up.meter:add(from.length, known ~= nil)
    end)
  end, { limit = up.gate.limit })
  check_unchanged(source)
  return etags
end

-- Azure: blocks are named by their content, so those that are there are found again.
local function put_blocks(up, source, part)
  local driver = up.driver
  local pending = driver:pending(source.key)
  local block_id = require("pai.store.azure").block_id
  local inner = setmetatable({
    pending = function(n, md5, length)
      local id = block_id(n, md5)
      return pending[id] == length and id or nil
    end,
  }, { __index = up })
  local ids = put_parts(inner, source, part, nil, {}, function() end)
  driver:finish(source.key, nil, ids)
end

local function put_recorded(up, source, part, rec)
  local driver = up.driver
  if not rec.id then
    rec:start(driver:begin(source.key, part))
  end
  local etags = put_parts(up, source, part, rec.id, rec.etags, function(n, etag)
    rec:add(n, etag)
  end)
  driver:finish(source.key, rec.id, etags)
  rec:remove()
end

-- S3: the record says what is there. An upload that the store has forgotten begins anew, and one
-- that cannot succeed is given up, so that no parts stay behind.
local function put_multipart(up, source, part)
  local driver = up.driver
  local target = driver.home .. " " .. driver:url(source.key)
  local rec = record.open(target, source, part)
  local _ <close> = setmetatable({}, {
    __close = function()
      rec:close()
    end,
  })
  local old, counted = rec.id ~= nil, 0
  local counting = setmetatable({
    meter = {
      add = function(_, n, known)
        counted = counted + n
        up.meter:add(n, known)
      end,
    },
  }, { __index = up })
  local ok, e = pcall(put_recorded, counting, source, part, rec)
  if not ok and old and err.is(e, "ENOENT") and e.store_code == "NoSuchUpload" then
    up.meter:add(-counted, true)
    rec.id, rec.etags = nil, {}
    ok, e = pcall(put_recorded, up, source, part, rec)
  end
  if ok then
    return
  end
  e = err.wrap(e)
  if e.expired then
    e.hint = "what has arrived is kept: with a new key the same command goes on from there"
  elseif e.retryable or e.code == "ECANCELED" then
    e.hint = e.hint or "what has arrived is kept: the same command goes on from there"
  elseif rec.id then
    pcall(driver.abort, driver, source.key, rec.id)
    rec.id = nil
    rec:remove()
  end
  error(e, 0)
end

local function put_one(up, source)
  local driver = up.driver
  if driver.copies then
    driver:copy_in(source.key, source.path)
  else
    local md5, sha256 = sums.range(source.path, 0, source.size, table.unpack(driver.digests))
    driver:put(source.key, source.path, source.size, md5, sha256)
  end
  check_unchanged(source)
  up.meter:add(source.size)
end

local function put_any(up, source, large, wanted)
  if up.driver.multipart and large then
    local part = part_size(up.driver, source.size, wanted)
    local put = up.driver.by_content and put_blocks or put_multipart
    put(up, source, part)
  else
    up.gate:run(put_one, up, source)
  end
end

-- Whether the object is there with these bytes.
local function is_there(up, source)
  local object = up.gate:run(up.driver.head, up.driver, source.key)
  return object ~= nil and sums.same(object, source.path, source.size) == true
end

---Uploads files. Raises; the first failure ends the others.
---@param up {driver: table, gate: pai.store.Gate, meter: pai.store.Meter}
---@param sources pai.store.Source[]
---@param opts {resume: boolean?, part_size: integer?, threshold: integer?}
function M.run(up, sources, opts)
  local threshold = opts.threshold
    or settings.integer("OSMO_S3_MULTIPART_THRESHOLD_BYTES", 1)
    or THRESHOLD
  for _, source in ipairs(sources) do
    up.meter:expect(source.size)
  end
  async.each(sources, function(source)
    local skipped = opts.resume and is_there(up, source)
    if skipped then
      up.meter:add(source.size, true)
    else
      local ok, e = pcall(put_any, up, source, source.size > threshold, opts.part_size)
      if not ok then
        if not err.is(e, "ECANCELED") then
          check_unchanged(source) -- which is why
        end
        error(e, 0)
      end
    end
    up.meter:done(source.name, skipped)
  end, { limit = up.gate.limit })
end

return M
