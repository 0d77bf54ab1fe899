---@meta pai.digest

---What every run needs of pai.crypto, in the executable itself: it loads no library.
---@class pai.digest
local digest = {}

---The SHA-256 of a text in lower-case hex.
---@param text string
---@return string
function digest.sha256(text) end

return digest
