-- Checksums of files that are larger than what may be read in one go: pieces, with the other tasks
-- in between.
local crypto = require("pai.crypto")
local sign = require("pai.sign")
local task = require("pai.task")

local M = {}

local PIECE <const> = 8 << 20

local function add(hasher, path, offset, length)
  local at, stop = offset, offset + length
  while at < stop do
    local n = math.min(PIECE, stop - at)
    local ok, e = hasher:file(path, at, n)
    if not ok then
      error(e, 0)
    end
    at = at + n
    if at < stop then
      task.sleep(0)
    end
  end
end

---Digests of a part of a file, in hex. Raises.
---@param path string
---@param offset integer
---@param length integer
---@param ... string algorithms
---@return string ...
function M.range(path, offset, length, ...)
  local hasher = sign.hasher(...)
  add(hasher, path, offset, length)
  return hasher:hex()
end

---Base64 of a digest in hex, as headers have it.
---@param hex string
---@return string
function M.base64(hex)
  return crypto.base64_encode((hex:gsub("%x%x", function(byte)
    return string.char(tonumber(byte, 16))
  end)))
end

---The ETag that S3 gives an object of several parts: the MD5 of the parts' MD5s, and their number.
---@param md5s string[] hex
---@return string
function M.etag(md5s)
  local raw = table.concat(md5s):gsub("%x%x", function(byte)
    return string.char(tonumber(byte, 16))
  end)
  return ("%s-%d"):format(crypto.digest("md5", raw), #md5s)
end

-- The part size of OSMO's client and of the AWS command line.
local USUAL_PART <const> = 8 << 20

---What an object's checksum must come to, if the store offers one that can be computed.
---@param object pai.store.Object
---@return {etag: string, part: integer?}? expected part: the ETag is that of parts of this size
function M.expected(object)
  if object.opaque then
    return nil
  elseif object.md5 then
    return { etag = object.md5 }
  end
  local etag = (object.etag or ""):lower()
  if etag:find("^%x+$") and #etag == 32 then
    return { etag = etag }
  end
  local count = tonumber(etag:match("^%x+%-(%d+)$"))
  for _, part in ipairs({ object.part_size or USUAL_PART }) do
    if count and part > 0 and (object.size + part - 1) // part == count then
      return { etag = etag, part = part }
    end
  end
end

---Whether a file has what an object has; nil when the store offers nothing to compare.
---@param object pai.store.Object
---@param path string
---@param size integer of the file
---@return boolean?
function M.same(object, path, size)
  if object.size ~= size then
    return false
  end
  local expected = M.expected(object)
  if not expected then
    return nil
  end
  local walker = M.walker(path, expected.part)
  walker:advance(size)
  return walker:etag() == expected.etag
end

---@class pai.store.Walker
---@field pos integer digested so far
local Walker = {}
Walker.__index = Walker

---Digests a file from its beginning on while it grows: MD5s of parts of one size, or of the whole.
---@param path string
---@param part integer? size of the parts; nil: one digest over all
---@return pai.store.Walker
function M.walker(path, part)
  return setmetatable({ path = path, part = part, pos = 0, md5s = {} }, Walker)
end

---Goes on to where the file is complete. Raises.
---@param upto integer
function Walker:advance(upto)
  while self.pos < upto do
    self.hasher = self.hasher or sign.hasher("md5")
    local stop = upto
    if self.part then
      stop = math.min(upto, (#self.md5s + 1) * self.part)
    end
    add(self.hasher, self.path, self.pos, stop - self.pos)
    self.pos = stop
    if self.part and stop == (#self.md5s + 1) * self.part then
      self.md5s[#self.md5s + 1] = self.hasher:hex()
      self.hasher = nil
    end
  end
end

---The ETag of what has been digested.
---@return string
function Walker:etag()
  if not self.part then
    return ((self.hasher or sign.hasher("md5")):hex())
  end
  if self.hasher then
    self.md5s[#self.md5s + 1] = self.hasher:hex()
    self.hasher = nil
  end
  return M.etag(self.md5s)
end

return M
