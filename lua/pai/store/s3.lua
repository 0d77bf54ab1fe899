-- The S3 API as every s3, gs, swift and tos store speaks it. Methods raise.
local crypto = require("pai.crypto")
local err = require("pai.err")
local s3_sign = require("pai.store.s3_sign")
local s3_where = require("pai.store.s3_where")
local settings = require("pai.store.settings")
local task = require("pai.task")
local wire = require("pai.store.wire")
local xml = require("pai.store.xml")

local M = {}

-- What an object that pai uploaded in parts says of their size, so that its ETag can be checked.
local PART_META <const> = "x-amz-meta-pai-part"

---@class pai.store.Object
---@field key string
---@field size integer bytes
---@field etag string? without quotes
---@field md5 string? of the whole, hex
---@field part_size integer? of a multipart ETag
---@field modified string?

---@class pai.store.Page
---@field prefix string
---@field delimiter? string
---@field token? string of the page before
---@field limit? integer
---@field proof? boolean see S3:prove

---@class pai.store.S3
---@field endpoint string
---@field digests string[] what put and put_part want to know of the bytes
---@field multipart boolean
---@field max_parts integer
local S3 = {}
S3.__index = S3

---Makes the driver of a place.
---@param place pai.store.Place
---@param keys pai.store.Keys
---@param opts table see pai.store.wire; on_host
---@return pai.store.S3
function M.new(place, keys, opts)
  if not (keys.anonymous or keys.ask) and not (keys.access_key_id and keys.access_key) then
    err.raise("EINVAL", ("%s: an access_key_id and an access_key are needed"):format(keys.source))
  end
  local self = setmetatable({
    place = place,
    keys = keys,
    where = s3_where.find(place, keys),
    page = settings.integer("OSMO_S3_PAGINATOR_SIZE", 1),
    wire = wire.new(keys, opts),
    on_host = opts.on_host,
    multipart = true,
    max_parts = 10000,
  }, S3)
  self:settle()
  return self
end

-- The address of requests; again when region or style turn out to be others.
function S3:settle()
  local address = s3_where.address(self.where, self.place.bucket)
  if self.on_host then
    local ok, e = pcall(self.on_host, address.scheme .. "://" .. address.host)
    if not ok and self.where.guess then -- the named host is allowed, a name below it is not
      return self:use_path()
    elseif not ok then
      error(e, 0)
    end
  end
  self.host, self.path, self.home = address.host, address.path, address.home
  self.endpoint = address.scheme .. "://" .. address.host
  -- Over TLS nobody can change the body; without it, the signature covers its digest.
  self.digests = address.scheme == "https" and { "md5" } or { "md5", "sha256" }
end

function S3:use_path()
  self.where.style, self.where.guess = "path", nil
  self:settle()
  return true
end

-- Errors that are a server's answer.
local ANSWERS <const> = { EHTTP = true, EACCES = true, ENOENT = true, EPROTO = true }

-- Nobody said whether the bucket's name stands in the host's. That is found out before all else: a
-- server that does not look at its host's name takes a key's first part for the bucket.
function S3:prove()
  if self.proving then
    return self.proving:wait()
  end
  self.proving = task.event()
  local ok, e = pcall(self.list, self, { prefix = "", limit = 1, proof = true })
  self.proving:set()
  self.proving = nil
  if ok then
    self.where.guess = nil
  elseif not err.is(e) or e.retryable or not ANSWERS[e.code] then
    error(e, 0)
  elseif self.where.guess then
    self:use_path()
  end
end

-- What a refused look (which has no body) was about: a listing says it, and mends what can be.
function S3:ask_why()
  local before = self.mended
  self.asking = true
  local ok, e = pcall(self.list, self, { prefix = "", limit = 1 })
  self.asking = nil
  if not ok and err.is(e, "ECANCELED") then
    error(e, 0)
  end
  return self.mended ~= before
end

-- Whether a request that failed may go better now: the store knows the bucket's region better, the
-- bucket's name does not belong into the host's, the clock was wrong, a new key is there.
function S3:mend(e, code, req)
  local headers = e.headers or {}
  local region = headers["x-amz-bucket-region"]
  if code == "AuthorizationHeaderMalformed" then
    region = region or wire.said(e, "Region")
  end
  if region and region ~= self.where.region and region:find("^[%w-]+$") then
    self.where.region = region
    self:settle()
    return true
  elseif self.where.guess and (e.tls or wire.is_unknown_host(e)) then
    return self:use_path()
  elseif code == "RequestTimeTooSkewed" and self.wire.skew == 0 then
    local ahead = headers.date and wire.ahead(headers.date)
    self.wire.skew = ahead or 0
    return ahead ~= nil and ahead ~= 0
  elseif wire.is_expired(code) then
    return wire.renew(self.keys, e)
  end
  local unsaid = req.method == "HEAD" and not code and e.status == 400
  return unsaid and not self.asking and self:ask_why()
end

function S3:adjust(e, code, req)
  local better = self:mend(e, code, req)
  if better then
    self.mended = (self.mended or 0) + 1
  end
  return better
end

-- Sends one request. req: method, key, query, headers, body, body_file, sha256, into; more options
-- as in wire.call.
function S3:send(what, req, opts)
  opts = opts or {}
  while self.where.guess and not opts.proof do
    self:prove()
  end
  opts.adjust = function(e, code)
    return self:adjust(e, code, req)
  end
  local query = s3_sign.query(req.query or {})
  return wire.call(self.wire, what, function(last)
    local payload = req.sha256
    if req.body_file then
      payload = payload or s3_sign.UNSIGNED
    else
      payload = req.body and crypto.sha256(req.body) or s3_sign.EMPTY
    end
    local into, headers = req.into, {}
    for name, value in pairs(req.headers or {}) do
      headers[name] = value
    end
    if into then
      into = req.resume and req.resume(last) or into
      headers.range = ("bytes=%d-%d"):format(into.offset, into.offset + into.length - 1)
    end
    -- Some servers know a bucket by its bare name only.
    local path = self.path .. (req.key and "/" .. s3_sign.encode(req.key, true) or "")
    path = path ~= "" and path or "/"
    return {
      method = req.method,
      url = self.endpoint .. path .. (query ~= "" and "?" .. query or ""),
      body = req.body,
      body_file = req.body_file,
      into = into,
      headers = s3_sign.headers({
        method = req.method,
        host = self.host,
        path = path,
        query = query,
        headers = headers,
        payload = payload,
      }, self.keys, self.where.region, os.time() + self.wire.skew),
    }
  end, opts)
end

---Whether the key is one of the account that the URL names: in Swift's S3 API the key alone decides
---whose containers are meant. Raises EACCES.
function S3:check_account()
  local id, account = self.keys.access_key_id, self.place.account
  if account and id then
    local first, second = id:match("^([^:]*):(.*)$")
    if second ~= account and "AUTH_" .. (first or id) ~= account then
      local message = "the key %s is not for the account %s, which the URL names"
      err.raise("EACCES", message:format(id, account), {
        hint = "the key came from " .. self.keys.source,
      })
    end
  end
end

function S3:url(key)
  return self.place.base .. "/" .. (key or "")
end

---One page of a listing.
---@param page pai.store.Page
---@return {objects: pai.store.Object[], prefixes: string[], token: string?}
function S3:list(page)
  local what = "list " .. self:url(page.prefix)
  local r = self:send(what, {
    method = "GET",
    query = {
      ["list-type"] = "2",
      prefix = page.prefix,
      delimiter = page.delimiter,
      ["continuation-token"] = page.token,
      ["max-keys"] = page.limit or self.page,
      ["encoding-type"] = "url",
    },
  }, { proof = page.proof })
  local root = wire.root(what, r)
  if root.name == "ListAllMyBucketsResult" then -- the server did not see the bucket's name
    err.raise("EPROTO", what .. ": the store lists its buckets in place of this one", {
      hint = "addressing_style: path, in config.yaml, puts the bucket's name into the path",
    })
  end
  local coded = xml.text(root, "EncodingType") == "url"
  local function name_of(text)
    if not coded then
      return text
    end
    return (
      text:gsub("+", " "):gsub("%%(%x%x)", function(hex)
        return string.char(tonumber(hex, 16))
      end)
    )
  end
  local out = { objects = {}, prefixes = {} }
  for _, node in ipairs(root) do
    if node.name == "Contents" then
      out.objects[#out.objects + 1] = {
        key = name_of(xml.text(node, "Key")),
        size = math.tointeger(tonumber(xml.text(node, "Size"))) or 0,
        etag = wire.unquote(xml.text(node, "ETag")),
        modified = xml.text(node, "LastModified"),
      }
    elseif node.name == "CommonPrefixes" then
      out.prefixes[#out.prefixes + 1] = name_of(xml.text(node, "Prefix"))
    end
  end
  if xml.text(root, "IsTruncated") == "true" then
    out.token = xml.text(root, "NextContinuationToken")
    if not out.token or out.token == page.token then
      err.raise("EPROTO", what .. ": the store says that there is more, and not how to get it")
    end
  end
  return out
end

---Asks for the buckets of the key, one of them.
function S3:list_containers()
  local what = "list " .. self.place.base
  wire.root(what, self:send(what, { method = "GET", query = { ["max-buckets"] = 1 } }))
end

-- What the headers of an object say of its checksum. With a key of KMS, an ETag is no MD5.
local function note(object, headers)
  local kms = (headers["x-amz-server-side-encryption"] or ""):find("kms")
    or headers["x-amz-server-side-encryption-customer-algorithm"]
  object.opaque = kms ~= nil or nil
  object.part_size = math.tointeger(tonumber(headers[PART_META]))
  return object
end

---What is known of an object.
---@param key string
---@return pai.store.Object? object nil when there is none
function S3:head(key)
  local r = self:send("look at " .. self:url(key), { method = "HEAD", key = key }, {
    accept = { [404] = true },
  })
  if r.status == 404 then
    return nil
  end
  return note({
    key = key,
    size = math.tointeger(tonumber(r.headers["content-length"])) or 0,
    etag = wire.unquote(r.headers.etag),
    modified = r.headers["last-modified"],
  }, r.headers)
end

---Fetches a part of an object into a file, and goes on where a cut transfer ended.
---@param object pai.store.Object
---@param into {path: string, offset: integer, length: integer}
function S3:get(object, into)
  local done = 0
  local function resume(last)
    done = done + (last and last.written or 0)
    return { path = into.path, offset = into.offset + done, length = into.length - done }
  end
  local what = "download " .. self:url(object.key)
  self:send(what, {
    method = "GET",
    key = object.key,
    into = into,
    resume = resume,
    headers = { ["if-match"] = object.etag and '"' .. object.etag .. '"' },
  }, {
    check = function(r)
      note(object, r.headers)
      if done + r.written < into.length then
        -- What came is kept; the rest is asked for again.
        error(
          err.new("ECHECKSUM", what .. ": the store sent less than it has", {
            written = r.written,
          }),
          0
        )
      end
    end,
  })
end

for name, method in pairs(require("pai.store.s3_write")) do
  S3[name] = method
end

return M
