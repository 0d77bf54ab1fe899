-- What a recipe's chunk sees: the pure part of Lua from the host, `require` for modules of its own
-- folder, and clear words for what is not there.
local sandbox = require("pai.sandbox")

local M = {}

local INSTEAD <const> = {
  io = "use ctx.read and ctx.write",
  print = "use ctx.log",
  debug = "it would reach out of the recipe",
  package = "modules are found in the recipe's own folder",
  dofile = "use require for a module of the recipe's own folder",
  loadfile = "use require for a module of the recipe's own folder",
  pai = "everything a recipe may do is in ctx",
  execute = "use ctx.exec, or ctx.query to observe",
  getenv = "declare an input with env = NAME",
  exit = "raise an error, or return a red check",
  remove = "use ctx.fs.remove",
  rename = "use ctx.fs.rename",
  tmpname = "use ctx.fs.tempdir",
  setlocale = "it would change the whole process",
}

local function missing(what, key)
  local instead = INSTEAD[key] and ": " .. INSTEAD[key] or ""
  error(("%s%s does not exist in a recipe%s"):format(what, tostring(key), instead), 3)
end

---Makes a fresh environment for one chunk.
---@param require_fn function
---@return table env
function M.new(require_fn)
  local env = sandbox.env()
  rawset(env, "require", require_fn)
  if type(env.os) == "table" then
    setmetatable(env.os, {
      __index = function(_, key)
        missing("os.", key)
      end,
      __metatable = false,
    })
  end
  return setmetatable(env, {
    __index = function(_, key)
      missing("the global ", key)
    end,
    __newindex = function(_, key)
      error(("assignment to the global %s in a recipe: say local"):format(tostring(key)), 2)
    end,
    __metatable = false,
  })
end

return M
