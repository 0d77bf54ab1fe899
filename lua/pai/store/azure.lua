-- Azure Blob storage with SharedKey, a shared access signature, a token or nothing. Methods raise.
-- Uploads in parts are lists of blocks whose names tell number and content, so that an interrupted
-- one goes on wherever it is begun again.
local azure_sign = require("pai.store.azure_sign")
local crypto = require("pai.crypto")
local err = require("pai.err")
local s3_sign = require("pai.store.s3_sign")
local sign = require("pai.sign")
local sums = require("pai.store.sums")
local wire = require("pai.store.wire")
local xml = require("pai.store.xml")

local M = {}

local VERSION <const> = "2021-12-02"
-- The service gives the MD5 of a range of at most this size.
local RANGE_MD5 <const> = 4 << 20
-- It refuses dates that are further away than 15 minutes.
local SKEW_S <const> = 600

---@class pai.store.Azure
local Azure = {}
Azure.__index = Azure

local SECRET <const> = { "AccountKey", "SharedAccessSignature" }

-- The parts of a connection string.
local function open_string(place, keys)
  local parts, e = sign.keys(keys.access_key, "pairs", SECRET)
  if not parts then
    err.raise("EINVAL", ("%s: no connection string: %s"):format(keys.source, e.message), {
      hint = "for azure, access_key is AccountName=...;AccountKey=...;EndpointSuffix=...",
    })
  end
  if parts.UseDevelopmentStorage then
    err.raise("ENOTSUP", ("%s: UseDevelopmentStorage is not supported"):format(keys.source), {
      hint = "name AccountName, AccountKey and BlobEndpoint",
    })
  elseif parts.AccountName and parts.AccountName ~= place.account then
    local message = "%s is for the account %s, the URL names %s"
    err.raise("EINVAL", message:format(keys.source, parts.AccountName, place.account))
  end
  local suffix = parts.EndpointSuffix or "core.windows.net"
  local scheme = parts.DefaultEndpointsProtocol or "https"
  return {
    account_key = parts.AccountKey,
    sas = parts.SharedAccessSignature,
    endpoint = parts.BlobEndpoint or ("%s://%s.blob.%s"):format(scheme, place.account, suffix),
  }
end

local function secrets_of(place, keys)
  return keys.access_key and open_string(place, keys)
    or { account_key = keys.account_key, sas = keys.sas }
end

---Makes the driver of a place.
---@param place pai.store.Place
---@param keys pai.store.Keys
---@param opts table see pai.store.wire; on_host
---@return pai.store.Azure
function M.new(place, keys, opts)
  local found = secrets_of(place, keys)
  if not (found.account_key or found.sas or keys.anonymous or keys.ask) then
    err.raise("EINVAL", ("%s: neither AccountKey nor SharedAccessSignature"):format(keys.source))
  end
  local endpoint = keys.override_url
    or found.endpoint
    or ("https://%s.blob.core.windows.net"):format(place.account)
  endpoint = endpoint:gsub("/+$", "")
  local path = endpoint:match("^https?://[^/?#@]+(/?[^?#]*)$")
  if not path then
    err.raise("EINVAL", ("%s: the endpoint is no http(s) address"):format(keys.source))
  end
  if opts.on_host then
    opts.on_host(endpoint)
  end
  local self = setmetatable({
    place = place,
    keys = keys,
    endpoint = endpoint,
    root = path,
    wire = wire.new(keys, opts),
    digests = { "md5" },
    multipart = true,
    by_content = true,
    max_parts = 50000,
    range = RANGE_MD5,
  }, Azure)
  self:sign_with(found)
  return self
end

function Azure:sign_with(found)
  self.account_key = found.account_key
  self.sas = not found.account_key and found.sas or nil
  if self.sas then
    sign.mask_sas(self.sas)
  end
end

-- Whether a request that was refused may go better now: the clock was wrong, a new key is there.
function Azure:adjust(e, code)
  if self.keys.ask and e.status == 401 then
    return wire.renew(self.keys, e)
  elseif code ~= "AuthenticationFailed" then
    return false
  end
  local date = e.headers and e.headers.date
  local ahead = date and wire.ahead(date) or 0
  if self.wire.skew == 0 and math.abs(ahead) > SKEW_S then
    self.wire.skew = ahead
    return true
  elseif wire.renew(self.keys, e) then
    self:sign_with(secrets_of(self.place, self.keys))
    return true
  end
  return false
end

function Azure:url(key)
  return self.place.base .. "/" .. (key or "")
end

-- Sends one request. req: method, key, query, headers, body, body_file, into, resume.
function Azure:send(what, req, opts)
  opts = opts or {}
  opts.adjust = function(e, code)
    return self:adjust(e, code)
  end
  local query = req.query or {}
  local path = "/" .. s3_sign.encode(self.place.bucket)
  if req.key then
    path = path .. "/" .. s3_sign.encode(req.key, true)
  end
  local text = s3_sign.query(query)
  return wire.call(self.wire, what, function(last)
    local headers = { ["x-ms-version"] = VERSION }
    for name, value in pairs(req.headers or {}) do
      headers[name] = value
    end
    local into = req.into
    if into then
      into = req.resume and req.resume(last) or into
      headers["x-ms-range"] = ("bytes=%d-%d"):format(into.offset, into.offset + into.length - 1)
    end
    if not self.sas and not self.keys.anonymous and not self.keys.ask then
      headers["x-ms-date"] = os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time() + self.wire.skew)
      headers.authorization = azure_sign.authorization({
        method = req.method,
        path = self.root .. path,
        query = query,
        headers = headers,
        length = req.body and #req.body or req.body_file and req.body_file.length or 0,
      }, self.place.account, self.account_key)
    end
    return {
      method = req.method,
      url = self.endpoint .. path .. (text ~= "" and "?" .. text or ""),
      secret_query = self.sas,
      bearer = self.keys.bearer,
      body = req.body,
      body_file = req.body_file,
      into = into,
      headers = headers,
    }
  end, opts)
end

local function md5_of(base64)
  local raw = base64 and base64 ~= "" and crypto.base64_decode(base64)
  return raw
      and #raw == 16
      and (raw:gsub(".", function(c)
        return ("%02x"):format(c:byte())
      end))
    or nil
end

-- A name that XML cannot hold comes percent-encoded.
local function name_of(node)
  local name = xml.child(node, "Name")
  if name.attributes and name.attributes:find('Encoded%s*=%s*"true"') then
    return (
      name.text:gsub("%%(%x%x)", function(hex)
        return string.char(tonumber(hex, 16))
      end)
    )
  end
  return name.text
end

---One page of a listing.
---@param page {prefix: string, delimiter: string?, token: string?, limit: integer?}
---@return {objects: pai.store.Object[], prefixes: string[], token: string?}
function Azure:list(page)
  local what = "list " .. self:url(page.prefix)
  local query = { restype = "container", comp = "list" }
  query.prefix = page.prefix ~= "" and page.prefix or nil
  query.delimiter, query.marker = page.delimiter, page.token
  query.maxresults = page.limit and tostring(page.limit)
  local root = wire.root(what, self:send(what, { method = "GET", query = query }))
  local out = { objects = {}, prefixes = {} }
  for _, node in ipairs(xml.child(root, "Blobs") or {}) do
    local properties = xml.child(node, "Properties")
    if node.name == "Blob" then
      out.objects[#out.objects + 1] = {
        key = name_of(node),
        size = math.tointeger(tonumber(xml.text(properties, "Content-Length"))) or 0,
        etag = wire.unquote(xml.text(properties, "Etag")),
        md5 = md5_of(xml.text(properties, "Content-MD5")),
        modified = xml.text(properties, "Last-Modified"),
      }
    elseif node.name == "BlobPrefix" then
      out.prefixes[#out.prefixes + 1] = name_of(node)
    end
  end
  local token = xml.text(root, "NextMarker")
  if token and token ~= "" then
    if token == page.token then
      err.raise("EPROTO", what .. ": the store says that there is more, and not how to get it")
    end
    out.token = token
  end
  return out
end

---Asks for the containers of the account, one of them.
function Azure:list_containers()
  local what = "list " .. self.place.base
  local query = { comp = "list", maxresults = "1" }
  wire.root(what, self:send(what, { method = "GET", query = query }))
end

---What is known of an object.
---@param key string
---@return pai.store.Object? object nil when there is none
function Azure:head(key)
  local r = self:send("look at " .. self:url(key), { method = "HEAD", key = key }, {
    accept = { [404] = true },
  })
  if r.status == 404 then
    if r.headers["x-ms-error-code"] == "ContainerNotFound" then
      error(wire.explain("look at " .. self:url(key), r, self.keys), 0)
    end
    return nil
  end
  return {
    key = key,
    size = math.tointeger(tonumber(r.headers["content-length"])) or 0,
    etag = wire.unquote(r.headers.etag),
    md5 = md5_of(r.headers["content-md5"]),
    modified = r.headers["last-modified"],
  }
end

---Fetches a part of an object into a file; a cut transfer begins again. The range carries its MD5.
---@param object pai.store.Object
---@param into {path: string, offset: integer, length: integer}
function Azure:get(object, into)
  local what = "download " .. self:url(object.key)
  self:send(what, {
    method = "GET",
    key = object.key,
    into = into,
    headers = {
      ["if-match"] = object.etag and '"' .. object.etag:gsub('"', "") .. '"',
      ["x-ms-range-get-content-md5"] = into.length <= RANGE_MD5 and "true" or nil,
    },
  }, {
    check = function(r)
      if r.written < into.length then
        err.raise("ECHECKSUM", what .. ": the store sent less than it has")
      end
      local md5 = r.status == 206 and md5_of(r.headers["content-md5"])
      if md5 and md5 ~= sums.range(into.path, into.offset, into.length, "md5") then
        err.raise("ECHECKSUM", what .. ": other bytes arrived than the store has")
      end
    end,
  })
end

---Uploads a file in one piece.
---@param key string
---@param path string
---@param size integer
---@param md5 string hex
function Azure:put(key, path, size, md5)
  self:send("upload " .. self:url(key), {
    method = "PUT",
    key = key,
    body_file = { path = path, offset = 0, length = size },
    headers = {
      ["x-ms-blob-type"] = "BlockBlob",
      ["x-ms-blob-content-type"] = "application/octet-stream",
      ["content-md5"] = sums.base64(md5),
    },
  })
end

---The name of a block: all of one blob must be equally long.
---@param n integer
---@param md5 string hex
---@return string
function M.block_id(n, md5)
  return crypto.base64_encode(("pai-%06d-%s"):format(n, md5))
end

---The blocks that an interrupted upload left.
---@param key string
---@return table<string, integer> sizes by name
function Azure:pending(key)
  local what = "look at the blocks of " .. self:url(key)
  local r = self:send(what, {
    method = "GET",
    key = key,
    query = { comp = "blocklist", blocklisttype = "uncommitted" },
  }, { accept = { [404] = true } })
  local found = {}
  if r.status == 404 then
    return found
  end
  for _, node in ipairs(xml.child(wire.root(what, r), "UncommittedBlocks") or {}) do
    found[xml.text(node, "Name")] = math.tointeger(tonumber(xml.text(node, "Size")))
  end
  return found
end

---Uploads one block.
---@param key string
---@param _ nil
---@param n integer from 1
---@param from {path: string, offset: integer, length: integer}
---@param md5 string hex
---@return string id
function Azure:put_part(key, _, n, from, md5)
  local id = M.block_id(n, md5)
  self:send(("upload part %d of %s"):format(n, self:url(key)), {
    method = "PUT",
    key = key,
    query = { comp = "block", blockid = id },
    body_file = from,
    headers = { ["content-md5"] = sums.base64(md5) },
  })
  return id
end

---Makes the blob of its blocks.
---@param key string
---@param _ nil
---@param ids string[]
function Azure:finish(key, _, ids)
  local body = { '<?xml version="1.0" encoding="utf-8"?><BlockList>' }
  for _, id in ipairs(ids) do
    body[#body + 1] = "<Latest>" .. id .. "</Latest>"
  end
  body[#body + 1] = "</BlockList>"
  self:send("upload " .. self:url(key), {
    method = "PUT",
    key = key,
    query = { comp = "blocklist" },
    body = table.concat(body),
    headers = { ["x-ms-blob-content-type"] = "application/octet-stream" },
  })
end

---Deletes objects one by one, side by side; those that are not there count as deleted.
---@param keys string[]
---@param gate pai.store.Gate
---@return {key: string, code: string}[] failed
function Azure:delete(keys, gate)
  local failed = {}
  require("pai.async").each(keys, function(key)
    local ok, e = pcall(gate.run, gate, self.send, self, "delete " .. self:url(key), {
      method = "DELETE",
      key = key,
      headers = { ["x-ms-delete-snapshots"] = "include" },
    }, { accept = { [404] = true } })
    if not ok and err.is(e, "EHTTP") then
      failed[#failed + 1] = { key = key, code = e.store_code or tostring(e.http) }
    elseif not ok then
      error(e, 0)
    end
  end, { limit = gate.limit })
  return failed
end

---Whether the key may write here: a block that belongs to no blob, which the service forgets.
---@param key string that nobody has
function Azure:try_write(key)
  self:send("write to " .. self:url(key), {
    method = "PUT",
    key = key,
    query = { comp = "block", blockid = M.block_id(1, ("0"):rep(32)) },
    body = "x",
  })
end

return M
