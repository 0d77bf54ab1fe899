---@meta pai.secret

---Secret values. They are kept in locked memory and never become a Lua string: a handle is given to
---the primitives that may open it. Each value is registered with the masker of the process.
---@class pai.secret
local secret = {}

---`tostring` and `%s` give `***`; joining it with text raises.
---@class pai.secret.handle
local handle = {}

---Where the value came from: "env NAME", "file PATH", "dotenv NAME", "prompt", "generated".
---@return string
function handle:name() end

---Bytes of the value.
---@return integer
function handle:len() end

---Whether both values are the same, compared in constant time.
---@param other pai.secret.handle
---@return boolean
function handle:equals(other) end

---Whether the value is masked in output; `false` when it is under 6 bytes or a common word.
---@return boolean
function handle:masked() end

---Another handle of the same value.
---@return pai.secret.handle
function handle:copy() end

---Why the value is hardly the real one: "a placeholder", "of several lines", ...
---@return string?
function handle:doubt() end

---@param name string
---@return pai.secret.handle? handle
---@return string|pai.error|nil warning That it is not masked; or, without a handle, the error.
function secret.from_env(name) end

---The text of a file less its last line end.
---@param path string
---@return pai.secret.handle? handle
---@return string|pai.error|nil warning
function secret.from_file(path) end

---The entries of a KEY=VALUE file. Nothing in it is executed, and no environment is set; entries
---without a value are left out.
---@param path string
---@param plain? table<string, any> The names of what is no secret: given as text, not masked.
---@return table<string, pai.secret.handle>? handles
---@return string[]|pai.error warnings What is not masked; or the error (`EPARSE` with a line).
---@return table<string, string>? texts
function secret.from_dotenv(path, plain) end

---Sets one entry of a KEY=VALUE file, or takes it out; all other lines and comments stay. The file
---is written whole or not at all, with mode 0600.
---@param path string
---@param name string
---@param value? pai.secret.handle nil takes it out.
---@return integer? before How many entries of that name there were.
---@return pai.error? err
function secret.save_dotenv(path, name, value) end

---Which text of a document; `json` or `yaml` is the path of keys to it.
---@class pai.secret.document
---@field json? string[]
---@field yaml? string[] Block mappings, values on one line: as programs write it.
---@field basic? boolean It is base64 of "user:password", of which the password is wanted.

---One text of a file that holds secrets, such as Docker's config.json.
---@param path string
---@param opts pai.secret.document
---@return pai.secret.handle? handle
---@return string|pai.error|nil warning `ENOENT`: it is not there or null; `EPARSE` names the line.
function secret.from_document(path, opts) end

---The same for a field that is no secret.
---@param path string
---@param opts pai.secret.document
---@return string? text
---@return pai.error? err
function secret.field(path, opts) end

---One text out of a secret that is a document, such as the answer of a credential helper.
---@param document pai.secret.handle
---@param opts pai.secret.document
---@return pai.secret.handle? handle
---@return string|pai.error|nil warning
function secret.pick(document, opts) end

---Standard input to its end, less its last line end. `EPIPE`: there was nothing.
---@return pai.secret.handle? handle
---@return string|pai.error|nil warning
function secret.from_stdin() end

---The environment's variables by name. Their values are not read.
---@return table<string, integer> bytes
function secret.env_names() end

---Asks on the terminal without showing what is typed.
---@param text? string
---@return pai.secret.handle? handle
---@return string|pai.error|nil warning `ENXIO`: there is no terminal; `EPIPE`: no answer.
function secret.prompt(text) end

---Hex digits of so many random bytes.
---@param bytes integer 8 to 4096.
---@return pai.secret.handle handle
function secret.generate(bytes) end

---Makes one secret of texts and secrets in a row, such as a document with a value in it. At most
---1 MiB.
---@param parts (string|pai.secret.handle)[]
---@return pai.secret.handle? handle
---@return pai.error? err `ELIMIT`
function secret.join(parts) end

return secret
