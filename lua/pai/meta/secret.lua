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
---@return table<string, pai.secret.handle>? handles
---@return string[]|pai.error warnings What is not masked; or the error (`EPARSE` with a line).
function secret.from_dotenv(path) end

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
