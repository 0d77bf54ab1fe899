---@meta pai.sandbox

---What a recipe's Lua may reach, and the limits on it.
---@class pai.sandbox
local sandbox = {}

---Compiles a text (never bytecode) with an environment. A chunk whose name begins with "@recipe:"
---is known as a recipe's: see guard.
---@param text string
---@param name string "@recipe:PATH"
---@param env table
---@return function?
---@return pai.error? err `EPARSE` with `line`.
function sandbox.load(text, name, env) end

---A fresh environment: the pure functions of Lua, nothing that reads, writes or runs. `load` takes
---text and keeps this environment; `setmetatable` refuses `__gc`; `getmetatable` gives what the
---recipe itself has set.
---@return table
function sandbox.env() end

---@class pai.sandbox.limits
---@field label? string Who the watchdog names.
---@field memory? integer Bytes that Lua may use in all; default 0, no ceiling.
---@field hook? integer Instructions between two turns of the loop, default 100000.
---@field watchdog? string|integer Default "30s", 0 is none.

---Turns the limits on for the process. Recipe chunks are cut in turns, so that the other tasks go
---on and a cancellation ends a loop. Where Lua cannot be cut, an error is raised after half of the
---watchdog's time; after all of it the process ends with 1 and says who held it.
---@param limits pai.sandbox.limits
function sandbox.guard(limits) end

return sandbox
