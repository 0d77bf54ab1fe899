---@meta pai.yaml

---YAML to and from Lua tables. `null` and lists are those of pai.json; every key is a string; an
---alias gives the same table again.
---@class pai.yaml
---@field null lightuserdata The value of `null`; the same as `pai.json.null`.
local yaml = {}

---Schema "core" (YAML 1.2) is for files of our own; "1.1" reads as PyYAML does, which OSMO and
---Kubernetes expect: yes, off, 017, 1_000 and 1:30 are no strings there. A key that is there twice
---is an error in "core"; in "1.1" the last one counts, unless strict. Keys that are no strings are
---written as JSON would (`true`, `null`) or as Python (`True`, `None`). Dates in "1.1" stay text, or
---become `{ timestamp = text }`, which nobody takes for a string.
---@class pai.yaml.decode_options
---@field schema? "core"|"1.1" Default "core".
---@field all? boolean Every document of the text, as a list. Else a second one is an error.
---@field positions? boolean A second result says on which line each value stands.
---@field strict? boolean
---@field keys? "json"|"python" Default "json".
---@field timestamps? "text"|"table" Default "text".
---@field secret? table<string, true> Keys: values at and below them become secrets, except nulls and
---empty ones.
---@field max_depth? integer How deep it may be nested, at most 900. Default 128.
---@field max_aliases? integer Default 1000. Written out they may come to a million values.
---@field max_size? integer Bytes of the text. Default 64 MiB.

---Reads a text. An empty one is `null`. Merge keys (`<<`) are applied; an integer over 64 bits
---becomes a float; of the tags only those of the schema are known. With positions the second result
---leads from paths such as `spec.tasks.1.name` to lines. Errors are `EPARSE` or `ELIMIT`, with `line`
---and `column`.
---@param text string|pai.secret.handle
---@param opts? pai.yaml.decode_options
---@return any value
---@return table<string, integer>|pai.error|nil lines Or the error.
function yaml.decode(text, opts) end

---@class pai.yaml.encode_options
---@field order? string[] Keys that come first in every map; the others follow sorted.
---@field all? boolean The value is a list of documents.

---Writes block style: texts of several lines as literal blocks, and whatever a reader of either
---schema could take for something else in quotes. Raises for what YAML cannot hold.
---@param value any
---@param opts? pai.yaml.encode_options
---@return string
function yaml.encode(value, opts) end

return yaml
