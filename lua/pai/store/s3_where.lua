-- Where the S3 requests of a place go: the endpoint, the region, and whether the bucket's name is a
-- part of the host's or of the path. The rules are those of OSMO's client and of the AWS SDKs.
local err = require("pai.err")
local s3_sign = require("pai.store.s3_sign")
local settings = require("pai.store.settings")

local M = {}

---@class pai.store.Where
---@field region string
---@field endpoint string? with its scheme; nil: that of AWS in the region
---@field style "virtual"|"path" virtual: the bucket's name is a part of the host's
---@field guess boolean? nobody said so: the other style may turn out to be right

-- Google takes any region of a key; this is what its own documents say.
local REGIONS <const> = { gs = "auto" }

local function region_of(place, keys)
  local region = keys.region
  if place.scheme == "tos" then
    region = region or place.host:match("^tos%-s3%-([%w-]+)%.")
  elseif place.scheme == "s3" then
    region = region or settings.env("AWS_REGION") or settings.env("AWS_DEFAULT_REGION")
  end
  return region or REGIONS[place.scheme] or "us-east-1"
end

-- The endpoint, and whether a user of OSMO named it (then names of buckets are looked up below it).
local function endpoint_of(place, keys)
  if keys.override_url then
    return keys.override_url, true
  elseif place.scheme == "s3" then
    return settings.url("AWS_ENDPOINT_URL_S3")
      or settings.url("AWS_ENDPOINT_URL")
      or keys.profile_endpoint
  elseif place.scheme == "gs" then
    return "https://storage.googleapis.com"
  end
  return "https://" .. place.host
end

-- Whether the name can stand before a host's.
local function fits(bucket)
  return #bucket <= 63 and bucket:find("^[a-z0-9][a-z0-9-]*[a-z0-9]$") ~= nil
end

-- Whether names below this host's can be names of hosts.
local function has_names(endpoint)
  local host = endpoint:match("^https?://([^/]+)"):gsub(":%d+$", "")
  return host:find(".", 1, true) ~= nil and not host:find("^[%d.]+$") and host:sub(1, 1) ~= "["
end

-- What has been said: by the key, or, of s3 only, by the environment.
local function style_said(place, keys)
  if keys.addressing_style then
    return keys.addressing_style
  elseif place.scheme == "tos" then
    return "virtual"
  elseif place.scheme ~= "s3" then
    return "path"
  end
  local style = settings.choice("OSMO_S3_ADDRESSING_STYLE", { "virtual", "path", "auto" })
  if style then
    return style
  end
  local force = (settings.env("AWS_S3_FORCE_PATH_STYLE") or ""):lower()
  return (force == "true" or force == "1") and "path" or nil
end

local function style_of(place, keys, endpoint, own)
  local said = style_said(place, keys)
  if said == "virtual" or said == "path" then
    return said
  elseif not endpoint then -- AWS
    return fits(place.bucket) and "virtual" or "path"
  elseif said == "auto" or not own then
    return "path"
  end
  return fits(place.bucket) and has_names(endpoint) and "virtual" or "path", true
end

---Finds out where the requests of a place go. Raises EINVAL.
---@param place pai.store.Place
---@param keys pai.store.Keys
---@return pai.store.Where
function M.find(place, keys)
  local endpoint, own = endpoint_of(place, keys)
  if endpoint and not endpoint:find("^https?://[^/?#@%s]+[^?#@%s]*$") then
    err.raise("EINVAL", ("the endpoint of %s is no http(s) address"):format(place.profile))
  end
  local style, guess = style_of(place, keys, endpoint, own)
  return {
    region = region_of(place, keys),
    endpoint = endpoint,
    style = style,
    guess = guess and style == "virtual",
  }
end

---The address of a bucket.
---@param where pai.store.Where
---@param bucket string
---@return {scheme: string, host: string, path: string, home: string} address `home`: the endpoint
---without the bucket
function M.address(where, bucket)
  local tail = where.region:find("^cn%-") and "amazonaws.com.cn" or "amazonaws.com"
  local endpoint = where.endpoint or ("https://s3.%s.%s"):format(where.region, tail)
  local scheme, host, path = endpoint:match("^(https?)://([^/]+)(.-)/*$")
  host = host:lower():gsub(scheme == "https" and ":443$" or ":80$", "")
  local home = scheme .. "://" .. host .. path
  if where.style == "virtual" then
    host = bucket .. "." .. host
  else
    path = path .. "/" .. s3_sign.encode(bucket)
  end
  return { scheme = scheme, host = host, path = path, home = home }
end

return M
