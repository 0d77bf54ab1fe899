---@meta pai.crypto

---Digests, HMAC, base64, random values, comparison in constant time. Algorithms go by the names of
---OpenSSL: "sha256", "sha1", "sha512", "md5".
---@class pai.crypto
local crypto = {}

---The SHA-256 of a text in lower-case hex.
---@param text string
---@return string
function crypto.sha256(text) end

---@param algorithm string
---@param text string
---@param opts? { raw?: boolean } The bytes themselves, not hex.
---@return string
function crypto.digest(algorithm, text, opts) end

---@param algorithm string
---@param key string|pai.secret.handle
---@param text string
---@param opts? { raw?: boolean } The bytes themselves, not hex.
---@return string
function crypto.hmac(algorithm, key, text, opts) end

---The SHA-256 of a regular file in hex; it is read in pieces.
---@param path string
---@return string? digest
---@return pai.error? err
function crypto.file_sha256(path) end

---@param algorithm string
---@param path string
---@return string? digest
---@return pai.error? err
function crypto.file_digest(algorithm, path) end

---What is made of a secret is a secret.
---@param data string|pai.secret.handle
---@param opts? { url?: boolean } The alphabet with `-` and `_`, without padding.
---@return string|pai.secret.handle
function crypto.base64_encode(data, opts) end

---Padding may be absent, blanks and line ends are passed over. What is made of a secret is one.
---@param text string|pai.secret.handle
---@param opts? { url?: boolean } The alphabet with `-` and `_`.
---@return string|pai.secret.handle|nil data
---@return pai.error? err `EPARSE`
function crypto.base64_decode(text, opts) end

---The claims of a JWT as JSON text, also of one that is a secret: they are not what must be kept.
---Its signature is not checked.
---@param token string|pai.secret.handle
---@return string? json
---@return pai.error? err `EPARSE`
function crypto.jwt_claims(token) end

---@param n integer How many bytes, at most 16 MiB.
---@return string
function crypto.random(n) end

---Random bytes as twice as many hex digits. For a value that must not be seen: secret.generate.
---@param n integer How many bytes.
---@return string
function crypto.hex(n) end

---A random UUID, version 4.
---@return string
function crypto.uuid() end

---Whether two values are the same; the time taken tells nothing but their lengths.
---@param a string|pai.secret.handle
---@param b string|pai.secret.handle
---@return boolean
function crypto.equal(a, b) end

return crypto
