-- AWS Signature Version 4 for S3. The canonical request is digested in C together with the session
-- token, which may be a part of it, and signed there with the key.
local crypto = require("pai.crypto")
local sign = require("pai.sign")

local M = {}

M.UNSIGNED = "UNSIGNED-PAYLOAD"
M.EMPTY = crypto.sha256("")

---Percent-encodes all but the unreserved characters.
---@param text string
---@param keep_slash? boolean
---@return string
function M.encode(text, keep_slash)
  return (
    text:gsub(keep_slash and "[^%w%-._~/]" or "[^%w%-._~]", function(c)
      return ("%%%02X"):format(c:byte())
    end)
  )
end

---The query of a URL in canonical order.
---@param query table<string, string>
---@return string
function M.query(query)
  local parts = {}
  for name, value in pairs(query) do
    parts[#parts + 1] = M.encode(name) .. "=" .. M.encode(tostring(value))
  end
  table.sort(parts)
  return table.concat(parts, "&")
end

---@class pai.store.S3Request
---@field method string
---@field host string with its port where it is not the usual one
---@field path string encoded
---@field query string in canonical order
---@field headers table<string, string> in lower case; those that begin with x-amz- are signed
---@field payload string SHA-256 in hex, or UNSIGNED-PAYLOAD

---Adds the headers of a signed request.
---@param req pai.store.S3Request
---@param keys pai.store.Keys
---@param region string
---@param now integer seconds since 1970
---@return table headers
function M.headers(req, keys, region, now)
  local headers = {}
  for name, value in pairs(req.headers) do
    headers[name] = value
  end
  if keys.anonymous then
    return headers
  end
  local stamp = os.date("!%Y%m%dT%H%M%SZ", now)
  local date = stamp:sub(1, 8)
  headers["x-amz-date"] = stamp
  headers["x-amz-content-sha256"] = req.payload
  headers["x-amz-security-token"] = keys.session_token
  local names = { "host" }
  for name in pairs(headers) do
    if name:find("^x%-amz%-") then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  local signed = table.concat(names, ";")
  local parts = { req.method, "\n", req.path, "\n", req.query, "\n" }
  for _, name in ipairs(names) do
    local value = name == "host" and req.host or headers[name]
    if type(value) == "string" then
      value = value:gsub("^%s+", ""):gsub("%s+$", ""):gsub(" +", " ")
    end
    parts[#parts + 1] = name .. ":"
    parts[#parts + 1] = value
    parts[#parts + 1] = "\n"
  end
  parts[#parts + 1] = "\n" .. signed .. "\n" .. req.payload
  local scope = ("%s/%s/s3/aws4_request"):format(date, region)
  local digest = sign.sha256(table.unpack(parts))
  local text = ("AWS4-HMAC-SHA256\n%s\n%s\n%s"):format(stamp, scope, digest)
  local signature = sign.v4(keys.access_key, date, region, "s3", text)
  local form = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s"
  headers.authorization = form:format(keys.access_key_id, scope, signed, signature)
  return headers
end

return M
