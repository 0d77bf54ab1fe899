---@meta pai.mask

---Replaces secrets in text by `***`, in each of their encodings: as they are, base64, hex, percent
---and JSON escapes.
---@class pai.mask
local mask = {}

---A masker with values of its own, for one stream of text.
---@class pai.mask.masker
local masker = {}

---@return pai.mask.masker
function mask.new() end

---Adds a value; at any time.
---@param value pai.secret.handle|string
---@return boolean? masked `false`: such values are not masked.
---@return string|pai.error|nil why
function masker:add(value) end

---Takes the next piece of the text and gives what may be shown: all but what may be the beginning
---of a value.
---@param chunk string
---@return string
function masker:feed(chunk) end

---Gives what was held back; the masker is then ready for another text.
---@return string
function masker:finish() end

---How many bytes are held back.
---@return integer
function masker:held() end

---A whole text with all secrets of this process masked.
---@param text string
---@return string
function mask.text(text) end

---Whether the text holds a secret of this process.
---@param text string
---@return boolean
function mask.find(text) end

return mask
