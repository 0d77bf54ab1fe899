-- ctx.tools: typed wrappers of foreign tools, one file each in lua/pai/tools. A wrapper speaks
-- through ctx alone, so that `needs.bins`, the rules of checks and the journal hold for it too.
local err = require("pai.err")
local text = require("pai.text")

local M = {}

---The tools that have a wrapper.
local WRAPPED <const> = {
  "az",
  "docker",
  "helm",
  "helmfile",
  "kubectl",
  "microk8s",
  "nvidia_smi",
  "snap",
  "ssh",
  "terraform",
}

---Adds `tools` to a ctx; each is loaded when it is first named.
---@param ctx table
---@return table tools
function M.new(ctx)
  return setmetatable({}, {
    __index = function(self, name)
      for _, known in ipairs(WRAPPED) do
        if known == name then
          local file = name:gsub("_", "-")
          local wrapper = require("pai.tools." .. file).wrap(ctx)
          rawset(self, name, wrapper)
          return wrapper
        end
      end
      local hint = text.did_you_mean(tostring(name), WRAPPED)
      err.raise("EINVAL", ("ctx.tools has no '%s'%s"):format(tostring(name), hint))
    end,
    __metatable = false,
  })
end

return M
