---@meta pai.sign

---What object stores ask of a client that holds a key: signatures, checksums over parts of files,
---and the files that keys are kept in. A key is a handle and never becomes a Lua string.
---@class pai.sign
local sign = {}

---The signature of AWS's SigV4 in hex: HMAC-SHA256 with the key derived from the secret, a date, a
---region and a service.
---@param key pai.secret.handle
---@param date string YYYYMMDD
---@param region string
---@param service string "s3"
---@param text string The text to sign.
---@return string hex
function sign.v4(key, date, region, service, text) end

---The signature of Azure's SharedKey in base64: HMAC-SHA256 with a key that is written in base64.
---@param key pai.secret.handle
---@param text string The text to sign.
---@return string? base64
---@return pai.error? err `EPARSE`: the key is no base64.
function sign.shared(key, text) end

---The SHA-256 of texts and secrets, one after another, in hex.
---@param ... string|pai.secret.handle
---@return string
function sign.sha256(...) end

---Digests over the same bytes, which are read once.
---@class pai.sign.hasher
local hasher = {}

---Adds a part of a file. It blocks while it reads: hand it pieces of some MiB.
---@param path string
---@param offset integer bytes
---@param length integer bytes
---@return true?
---@return pai.error? err `EPROTO`: the file ends before.
function hasher:file(path, offset, length) end

---The digests so far in hex, one for each algorithm; more may be added afterwards.
---@return string ...
function hasher:hex() end

---@param ... string Names of digests as OpenSSL has them: "md5", "sha256".
---@return pai.sign.hasher
function sign.hasher(...) end

---Reads a key file. Entries of the given names become handles, others text; entries without a value
---and YAML's nulls are left out or empty. Lists and aliases are refused.
---@param source string|pai.secret.handle A path, or a handle whose value is read.
---@param form "yaml"|"ini"|"pairs" `pairs`: name=value;name=value
---@param names string[] What is secret.
---@return table? entries Sections are tables in it.
---@return pai.error? err `EPARSE` names the line; an errno name for the file.
function sign.keys(source, form, names) end

---Has the signature inside a shared access signature masked, too, where it stands alone.
---@param sas pai.secret.handle
function sign.mask_sas(sas) end

return sign
