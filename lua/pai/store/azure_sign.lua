-- Azure's SharedKey for blobs: the headers and the resource in their canonical form, signed in C.
local sign = require("pai.sign")

local M = {}

-- Headers that have a line of their own in the text to sign, in this order.
local LINES <const> = {
  "content-encoding",
  "content-language",
  "content-length",
  "content-md5",
  "content-type",
  "date",
  "if-modified-since",
  "if-match",
  "if-none-match",
  "if-unmodified-since",
  "range",
}

---@class pai.store.AzureRequest
---@field method string
---@field path string as in the URL, encoded
---@field query table<string, string>
---@field headers table<string, string> in lower case
---@field length integer bytes of the body

---The text that is signed.
---@param req pai.store.AzureRequest
---@param account string
---@return string
function M.text(req, account)
  local parts = { req.method }
  for _, name in ipairs(LINES) do
    local value = req.headers[name] or ""
    if name == "content-length" then
      value = req.length > 0 and tostring(req.length) or ""
    end
    parts[#parts + 1] = value
  end
  local own = {}
  for name in pairs(req.headers) do
    if name:find("^x%-ms%-") then
      own[#own + 1] = name
    end
  end
  table.sort(own) -- by name: a colon is not a part of the order
  for _, name in ipairs(own) do
    parts[#parts + 1] = name .. ":" .. req.headers[name]
  end
  parts[#parts + 1] = "/" .. account .. req.path
  local names = {}
  for name in pairs(req.query) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    parts[#parts + 1] = name .. ":" .. req.query[name]
  end
  return table.concat(parts, "\n")
end

---The Authorization header. Raises when the key is no base64.
---@param req pai.store.AzureRequest
---@param account string
---@param key pai.secret.handle
---@return string
function M.authorization(req, account, key)
  local signature, e = sign.shared(key, M.text(req, account))
  if not signature then
    error(e, 0)
  end
  return ("SharedKey %s:%s"):format(account, signature)
end

return M
