-- What of S3 changes something: uploads in one piece and in parts, and deletions. These methods
-- become those of pai.store.s3.
local crypto = require("pai.crypto")
local err = require("pai.err")
local sums = require("pai.store.sums")
local wire = require("pai.store.wire")
local xml = require("pai.store.xml")

---@class pai.store.S3
local M = {}

local PART_META <const> = "x-amz-meta-pai-part"
local DELETE_MANY <const> = 1000

-- Raises when the store says that it got other bytes. An ETag that is no MD5 tells nothing.
local function check_etag(what, r, md5)
  local etag = wire.unquote(r.headers.etag)
  local kms = (r.headers["x-amz-server-side-encryption"] or ""):find("kms")
  if etag and etag:find("^%x+$") and #etag == 32 and not kms and etag:lower() ~= md5 then
    err.raise("ECHECKSUM", what .. ": the store received other bytes than were sent", {
      retryable = true,
    })
  end
end

---Uploads a file in one piece.
---@param key string
---@param path string
---@param size integer
---@param md5 string hex
---@param sha256 string? hex
function M:put(key, path, size, md5, sha256)
  local what = "upload " .. self:url(key)
  self:send(what, {
    method = "PUT",
    key = key,
    body_file = { path = path, offset = 0, length = size },
    sha256 = sha256,
    headers = { ["content-md5"] = sums.base64(md5), ["content-type"] = "application/octet-stream" },
  }, {
    check = function(r)
      check_etag(what, r, md5)
    end,
  })
end

---Begins an upload in parts.
---@param key string
---@param part_size integer
---@return string id
function M:begin(key, part_size)
  local what = "upload " .. self:url(key)
  local r = self:send(what, {
    method = "POST",
    key = key,
    query = { uploads = "" },
    body = "",
    headers = { [PART_META] = tostring(part_size) },
  })
  local id = xml.text(wire.root(what, r), "UploadId")
  if not id or id == "" then
    err.raise("EPROTO", what .. ": the store gave the upload no id")
  end
  return id
end

---Uploads one part.
---@param key string
---@param id string
---@param n integer from 1
---@param from {path: string, offset: integer, length: integer}
---@param md5 string hex
---@param sha256 string? hex
---@return string etag
function M:put_part(key, id, n, from, md5, sha256)
  local what = ("upload part %d of %s"):format(n, self:url(key))
  local r = self:send(what, {
    method = "PUT",
    key = key,
    query = { partNumber = n, uploadId = id },
    body_file = from,
    sha256 = sha256,
    headers = { ["content-md5"] = sums.base64(md5) },
  }, {
    check = function(r)
      check_etag(what, r, md5)
    end,
  })
  local etag = wire.unquote(r.headers.etag)
  if not etag then
    err.raise("EPROTO", what .. ": the store gave the part no ETag")
  end
  return etag
end

---Puts the parts together. S3 may answer 200 and say in the body that it failed.
---@param key string
---@param id string
---@param etags string[]
function M:finish(key, id, etags)
  local what = "upload " .. self:url(key)
  local body = { "<CompleteMultipartUpload>" }
  for n, etag in ipairs(etags) do
    local form = "<Part><PartNumber>%d</PartNumber><ETag>&quot;%s&quot;</ETag></Part>"
    body[#body + 1] = form:format(n, xml.escape(etag))
  end
  body[#body + 1] = "</CompleteMultipartUpload>"
  local ok, e = pcall(function()
    self:send(what, {
      method = "POST",
      key = key,
      query = { uploadId = id },
      body = table.concat(body),
      headers = { ["content-type"] = "application/xml" },
    }, {
      check = function(r)
        local root = wire.root(what, r)
        if root.name == "Error" then
          local code = xml.text(root, "Code") or "no code"
          local kind = code == "InternalError" and "ECHECKSUM" or "EHTTP"
          err.raise(kind, ("%s: the store could not put it together (%s)"):format(what, code))
        end
        local etag = wire.unquote(xml.text(root, "ETag"))
        local expected = sums.etag(etags)
        if etag and etag:find("^%x+%-%d+$") and etag:lower() ~= expected then
          for _, part in ipairs(etags) do
            if #part ~= 32 then
              return -- no MD5s: nothing to compare
            end
          end
          err.raise("EHTTP", what .. ": the store put together other bytes than were sent")
        end
      end,
    })
  end)
  -- The answer to an attempt that succeeded may have been lost: then the upload is gone because the
  -- object is there.
  if not ok then
    local gone = err.is(e, "ENOENT") and e.store_code == "NoSuchUpload"
    local object = gone and self:head(key)
    if not object or object.etag ~= sums.etag(etags) then
      error(e, 0)
    end
  end
end

---Gives up an upload in parts.
---@param key string
---@param id string
function M:abort(key, id)
  self:send(
    "give up the upload of " .. self:url(key),
    { method = "DELETE", key = key, query = { uploadId = id } },
    { accept = { [404] = true, [405] = true, [501] = true } } -- some stores cannot
  )
end

function M:delete_one(key)
  self:send("delete " .. self:url(key), { method = "DELETE", key = key }, {
    accept = { [404] = true },
  })
end

-- Whether the store took the keys all at once; false when it has no such request.
function M:delete_batch(keys, first, last, failed)
  local body = { "<Delete><Quiet>true</Quiet>" }
  for i = first, last do
    body[#body + 1] = ("<Object><Key>%s</Key></Object>"):format(xml.escape(keys[i]))
  end
  body[#body + 1] = "</Delete>"
  local text = table.concat(body)
  local what = "delete below " .. self:url()
  local r = self:send(what, {
    method = "POST",
    query = { delete = "" },
    body = text,
    headers = {
      ["content-md5"] = sums.base64(crypto.digest("md5", text)),
      ["content-type"] = "application/xml",
    },
  }, { accept = { [405] = true, [501] = true } })
  if r.status == 405 or r.status == 501 then
    return false
  end
  for _, node in ipairs(wire.root(what, r)) do
    if node.name == "Error" then
      failed[#failed + 1] = { key = xml.text(node, "Key"), code = xml.text(node, "Code") }
    end
  end
  return true
end

---Deletes objects; those that are not there count as deleted.
---@param keys string[]
---@param gate pai.store.Gate
---@return {key: string, code: string}[] failed
function M:delete(keys, gate)
  local failed = {}
  local batch = self.place.scheme ~= "gs" and #keys > 1 -- Google's S3 API has no such request
  for first = 1, #keys, DELETE_MANY do
    local last = math.min(first + DELETE_MANY - 1, #keys)
    batch = batch and self:delete_batch(keys, first, last, failed)
    if not batch then
      local list = table.move(keys, first, last, 1, {})
      require("pai.async").each(list, function(key)
        gate:run(self.delete_one, self, key)
      end, { limit = gate.limit })
    end
  end
  return failed
end

---Whether the key may write here, without a trace: an upload is begun and given up.
---@param key string that nobody has
function M:try_write(key)
  self:abort(key, self:begin(key, 1))
end

return M
