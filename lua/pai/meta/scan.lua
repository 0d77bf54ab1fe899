---@meta pai.scan

---Looks for credentials in files and texts. What is found never becomes a Lua string: of a finding
---there is its place, its length, up to four characters, and a fingerprint.
---@class pai.scan
local scan = {}

---@class pai.scan.Finding
---@field rule string The rule's id.
---@field low boolean It fits, but has expired or fails its checksum.
---@field line integer From 1.
---@field column integer From 1, in characters.
---@field end_line integer
---@field end_column integer Behind the last character.
---@field offset integer Bytes before it.
---@field end_offset integer
---@field length integer Bytes of the value, decoded.
---@field fingerprint string 16 hex digits of a SHA-256 over salt, rule and value.
---@field shown string The first characters, where the rule lets them be shown.

---@class pai.scan.Result
---@field findings pai.scan.Finding[] In the order of the input, 100,000 at most.
---@field count integer All of them.
---@field allowed integer How many more were allowed, by a comment or by fingerprint.
---@field bytes integer
---@field limited integer Places where an expression was given up because it cost too much.
---@field binary boolean The first bytes hold a NUL; it was not looked at, unless asked for.
---@field incomplete boolean There were more findings than the list holds.
---@field redacted string? The text with findings replaced.

---@class pai.scan.options
---@field binary? boolean Also what looks like no text.
---@field comments? boolean `pai-scan:allow` on a line allows what stands there. Default true.
---@field allow? string[] Fingerprints that are no findings.

---@class pai.scan.file_options: pai.scan.options
---@field output? string A redacted copy, whole or not at all, with the mode; "-" is standard output.

---@class pai.scan.text_options: pai.scan.options
---@field redact? boolean The result has `redacted`.

---@class pai.scan.Scanner
local Scanner = {}

---Scans a file of any size, "-" being standard input. UTF-16 is refused (`EPARSE`).
---@param path string
---@param opts? pai.scan.file_options
---@return pai.scan.Result?
---@return pai.error? err
function Scanner:file(path, opts) end

---@param text string
---@param opts? pai.scan.text_options
---@return pai.scan.Result?
---@return pai.error? err
function Scanner:text(text, opts) end

---Makes a scanner of rules; see pai.scan.rules. Raises for a rule that is wrong.
---@param rules pai.scan.Rule[]
---@param opts? { salt?: string } Goes into fingerprints.
---@return pai.scan.Scanner?
---@return pai.error? err
function scan.compile(rules, opts) end

return scan
