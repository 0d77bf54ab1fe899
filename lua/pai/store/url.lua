-- A URL of an object store, taken apart: which store, which container, which key, and the name
-- under which OSMO keeps the keys for it. The forms are those of OSMO's own client.
local err = require("pai.err")
local storage_url = require("pai.osmo.storage_url")

local M = {}

---@class pai.store.Place
---@field scheme "s3"|"gs"|"swift"|"tos"|"azure"|"file"
---@field profile string? the name of its keys in config.yaml; none for file
---@field host string? of swift and tos
---@field account string? of swift and azure
---@field bucket string bucket or container; "" for file
---@field key string the path, without a slash at its beginning; "" for all
---@field folder boolean the URL ends in a slash, or names no key
---@field url string as it was given
---@field base string the URL of the container, without a slash at its end
---@field whole boolean? an account without a container

-- How many parts come before the key, and which of them are named what.
local PARTS <const> = {
  s3 = { "bucket" },
  gs = { "bucket" },
  swift = { "host", "account", "bucket" },
  tos = { "host", "bucket" },
  azure = { "account", "bucket" },
}

-- How many parts the profile has.
local PROFILE <const> = { s3 = 1, gs = 1, swift = 2, tos = 2, azure = 1 }

local function file_place(url)
  local path = url:match("^file://localhost(/.*)$") or url:match("^file://(/.*)$")
  if not path then
    return err.fail("EINVAL", ("'%s' must name an absolute path: file:///path"):format(url))
  end
  for part in path:gmatch("[^/]+") do
    if part == ".." or part == "." then
      return err.fail("EINVAL", ("'%s' holds '%s'"):format(url, part))
    end
  end
  local key = path:gsub("/+", "/"):gsub("^/", "")
  return {
    scheme = "file",
    bucket = "",
    key = key,
    folder = key == "" or key:sub(-1) == "/",
    url = url,
    base = "file://",
  }
end

-- Whether a URL ends before the container.
local function is_account(url)
  return url:find("^azure://[^/]+/*$") ~= nil or url:find("^swift://[^/]+/[^/]+/*$") ~= nil
end

---Takes a URL apart.
---@param url string
---@param opts? {account: boolean?} account: it may name no container
---@return pai.store.Place? place
---@return pai.Error? err EINVAL
function M.parse(url, opts)
  if type(url) ~= "string" or url:find("[%c\127]") then
    return err.fail("EINVAL", "a storage URL is a text without control characters")
  end
  -- What stands behind a question mark of a web address may be a signature.
  if url:find("^https?://") then
    return err.fail("EINVAL", ("'%s' is no storage URL"):format(url:match("^[^?#@]*")), {
      hint = "use s3, gs, swift, tos, azure or file, and keep signed addresses out of arguments",
    })
  end
  if url:find("^file:") then
    return file_place(url)
  end
  local whole = opts and opts.account and is_account(url) or nil
  local scheme, why = storage_url.check(whole and url:gsub("/*$", "/x") or url, { file = true })
  if not scheme then
    return err.fail("EINVAL", why)
  end
  local place = { scheme = scheme, url = url }
  local rest, base = url:match("^%w+://(.*)$"), scheme .. "://"
  for i, name in ipairs(PARTS[scheme]) do
    local part, after = rest:match("^([^/]*)/?(.*)$")
    place[name], rest = part, after
    base = base .. (i > 1 and part ~= "" and "/" or "") .. part
    if i == PROFILE[scheme] then
      place.profile = base
    end
  end
  for part in rest:gmatch("[^/]+") do
    if part == "." or part == ".." then
      return err.fail("EINVAL", ("'%s' holds '%s'"):format(url, part))
    end
  end
  place.base, place.whole = base, whole
  place.key = rest
  place.folder = rest == "" or rest:sub(-1) == "/"
  return place
end

---The prefix of what lies below a place: "" or a text that ends in a slash.
---@param place pai.store.Place
---@return string
function M.prefix(place)
  return place.folder and place.key or place.key .. "/"
end

---The URL of a key in the same container.
---@param place pai.store.Place
---@param key string
---@return string
function M.of(place, key)
  return place.base .. "/" .. key
end

return M
