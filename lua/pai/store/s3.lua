-- The S3 API as every s3, gs, swift and tos store speaks it. Methods raise.
local crypto = require("pai.crypto")
local err = require("pai.err")
local s3_sign = require("pai.store.s3_sign")
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

---@class pai.store.S3
---@field endpoint string
---@field digests string[] what put and put_part want to know of the bytes
---@field multipart boolean
---@field max_parts integer
local S3 = {}
S3.__index = S3

local function env(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

local function default_endpoint(place, region)
  if place.scheme == "s3" then
    local tail = region:find("^cn%-") and "amazonaws.com.cn" or "amazonaws.com"
    return ("https://s3.%s.%s"):format(region, tail)
  elseif place.scheme == "gs" then
    return "https://storage.googleapis.com"
  end
  return "https://" .. place.host
end

local function region_of(place, keys)
  local region = keys.region
  if place.scheme == "tos" then
    region = region or place.host:match("^tos%-s3%-([%w-]+)%.")
  elseif place.scheme == "gs" then
    region = region or "auto"
  elseif place.scheme == "s3" then
    region = region or env("AWS_REGION") or env("AWS_DEFAULT_REGION")
  end
  return region and region ~= "" and region or "us-east-1"
end

-- A bucket's name becomes part of the host where that is known to work: AWS and TOS.
local function is_virtual(place, keys, custom)
  local style = keys.addressing_style or env("OSMO_S3_ADDRESSING_STYLE")
  if style == "virtual" or style == "path" then
    return style == "virtual"
  elseif place.scheme == "tos" then
    return not custom
  end
  return place.scheme == "s3" and not custom and place.bucket:find("^[a-z0-9][a-z0-9-]+$") ~= nil
end

---Makes the driver of a place.
---@param place pai.store.Place
---@param keys pai.store.Keys
---@param opts table see pai.store.wire; on_host
---@return pai.store.S3
function M.new(place, keys, opts)
  if not keys.anonymous and not (keys.access_key_id and keys.access_key) then
    err.raise("EINVAL", ("%s: an access_key_id and an access_key are needed"):format(keys.source))
  end
  local custom = keys.override_url
  if not custom and place.scheme == "s3" then
    custom = env("AWS_ENDPOINT_URL_S3") or env("AWS_ENDPOINT_URL")
  end
  if custom and not custom:find("^https?://[^/?#@]+/?$") then
    err.raise("EINVAL", "the endpoint of a store must be http(s)://host[:port]")
  end
  local self = setmetatable({
    place = place,
    keys = keys,
    custom = custom,
    region = region_of(place, keys),
    wire = wire.new(keys, opts),
    on_host = opts.on_host,
    multipart = true,
    max_parts = 10000,
  }, S3)
  self:settle()
  return self
end

-- Where requests go; again when the region turns out to be another one.
function S3:settle()
  local endpoint = (self.custom or default_endpoint(self.place, self.region)):gsub("/+$", "")
  local scheme, host = endpoint:match("^(https?)://(.+)$")
  host = host:lower():gsub(scheme == "https" and ":443$" or ":80$", "")
  self.path = ""
  if is_virtual(self.place, self.keys, self.custom) then
    host = self.place.bucket .. "." .. host
  else
    self.path = "/" .. s3_sign.encode(self.place.bucket)
  end
  self.host, self.endpoint = host, scheme .. "://" .. host
  -- Over TLS nobody can change the body; without it, the signature covers its digest.
  self.digests = scheme == "https" and { "md5" } or { "md5", "sha256" }
  if self.on_host then
    self.on_host(self.endpoint)
  end
end

-- A store that knows the bucket's region better says so in a header.
function S3:adjust(e, code)
  local region = e.headers and e.headers["x-amz-bucket-region"]
  if region and region ~= self.region and region:find("^[%w-]+$") then
    self.region = region
    self:settle()
    return true
  elseif code == "RequestTimeTooSkewed" and self.wire.skew == 0 then
    local date = e.headers and e.headers.date
    local ahead = date and wire.ahead(date)
    self.wire.skew = ahead or 0
    return ahead ~= nil and ahead ~= 0
  end
  return false
end

-- Sends one request. req: method, key, query, headers, body, body_file, sha256, into; more options
-- as in wire.call.
function S3:send(what, req, opts)
  opts = opts or {}
  opts.adjust = function(e, code)
    return self:adjust(e, code)
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
      }, self.keys, self.region, os.time() + self.wire.skew),
    }
  end, opts)
end

function S3:url(key)
  return self.place.base .. "/" .. (key or "")
end

---One page of a listing.
---@param page {prefix: string, delimiter: string?, token: string?, limit: integer?}
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
      ["max-keys"] = page.limit,
      ["encoding-type"] = "url",
    },
  })
  local root = wire.root(what, r)
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
