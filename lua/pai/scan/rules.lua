-- The rules of pai scan, in the order in which they own what they find.
--
-- A rule is data:
--   id           of a-z, 0-9 and -; part of fingerprints, so it stays
--   severity     high, medium or low
--   description  what it finds
--   source       where the fact about the format is published
--   keywords     the expression is tried where one of these stands; at least 4 bytes
--   exact        the keywords' case counts
--   label        ":" or "=" follows the keyword's word, else the expression is not tried
--   before       the expression begins so many bytes before the keyword
--   runs         tried also where 63 to 256 letters, digits, ":" or "-" begin
--   near         one of these stands within 64 bytes before the keyword
--   pattern      PCRE2, anchored; group 1 is the secret; every repeat is bounded
--   entropy      bits a character, at least; entropy_short: for less than 20 characters
--   allow        what is no secret: "nothing", "placeholders" (default), "samples", "names"
--   check        what the value must be besides: "jwt", "ngc", "basic", "pem", "crc32", "nested",
--                "mixed"
--   shown        how many characters a report may show, at most 4; 0 for passwords
local M = {}

---@class pai.scan.Rule
---@field id string
---@field severity "high"|"medium"|"low"
---@field description string
---@field source string
---@field keywords string[]
---@field pattern string
---@field exact boolean?
---@field label boolean?
---@field before integer? bytes
---@field runs boolean?
---@field near string[]?
---@field entropy number? bits a character
---@field entropy_short number? bits a character
---@field allow "nothing"|"placeholders"|"samples"|"names"|nil
---@field check "jwt"|"ngc"|"basic"|"pem"|"crc32"|"nested"|"mixed"|nil
---@field shown integer?

---All rules; those with a form of their own come before those that a label tells.
---@return pai.scan.Rule[]
function M.all()
  local list = {}
  for _, family in ipairs({ "key", "vendor", "cloud", "context" }) do
    local rules = require("pai.scan.rules_" .. family)
    table.move(rules, 1, #rules, #list + 1, list)
  end
  return list
end

return M
