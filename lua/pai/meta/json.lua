---@meta pai.json

---JSON to and from Lua tables. Integers of 64 bits stay exact, floats keep every bit, a list is
---told from an object also when it is empty, text is valid UTF-8.
---@class pai.json
---@field null lightuserdata The value of `null`; the same as `pai.yaml.null`.
local json = {}

---@class pai.json.decode_options
---@field null? boolean `false`: members that are null are left out (not items). Default true.
---@field max_depth? integer How deep it may be nested, 1 to 4096. Default 512.
---@field pick? string[] Take these paths only, such as `items[].metadata.name` or `a["odd.key"]`.
---@field exact? boolean An integer over 64 bits is an error; else it becomes a float.
---@field secret? string[] Strings at these paths become handles and never Lua strings.

---Reads one JSON text. What `pick` passes over is only looked through for its end.
---@param text string|pai.secret A handle only with option `secret`; so the text is no Lua string.
---@param opts? pai.json.decode_options
---@return any value `nil` also when nothing was picked.
---@return pai.error? err `EPARSE` or `ELIMIT`, with `line` and `column`.
---@return string[]? warnings With option `secret`: which of them are not masked, and why.
function json.decode(text, opts) end

---@class pai.json.encode_options
---@field pretty? boolean Two spaces a level and a newline at the end.
---@field sort? boolean Keys in the order of their bytes. Default true.
---@field replace? boolean Invalid UTF-8 becomes U+FFFD; else it raises.

---Writes a value. Raises for what JSON cannot hold: functions, NaN, lists with holes, mixed keys.
---@param value any
---@param opts? pai.json.encode_options
---@return string
function json.encode(value, opts) end

---Writes a value in which secrets may stand where texts do; the result is a secret, for a request's
---body or a file. At most 1 MiB; a text counts six times, since each byte may have to be escaped.
---@param value any
---@return pai.secret.handle
function json.seal(value) end

---Marks a table as a list: it is written as `[]` when it is empty. Decoded lists are marked.
---@param list? any[] A new one if absent.
---@return any[] list The same table.
function json.array(list) end

---Whether the table is marked as a list.
---@param value any
---@return boolean
function json.is_array(value) end

return json
