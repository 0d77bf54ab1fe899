-- ctx.inference: which endpoints a workflow refers to, and whether they are those of the backends
-- that were chosen. It reads files and asks nobody.
local discover = require("pai.inference.discover")
local err = require("pai.err")

local M = {}

local OPTIONS <const> = { spec = true, set = true, set_string = true }

---Makes ctx.inference.
---@param ctx table
---@return pai.ctx.inference
function M.new(ctx)
  ---@class pai.ctx.inference
  local inference = {}

  local function path_of(opts)
    local path = opts.spec
    return path:sub(1, 1) == "/" and path or ctx.fs.join(ctx.cwd, path)
  end

  ---Looks through a workflow spec, rendered with the values given. What can't be rendered raises.
  ---@param opts { spec: string, set: string[]?, set_string: string[]? }
  ---@return pai.inference.Result
  function inference.discover(opts)
    for key in pairs(opts) do
      if not OPTIONS[key] then
        err.raise("EINVAL", ("ctx.inference.discover has no option '%s'"):format(tostring(key)))
      end
    end
    local found, e = discover.file(path_of(opts), {
      variables = opts.set,
      string_variables = opts.set_string,
    })
    if not found then
      error(e, 0)
    end
    return found
  end

  ---What a workflow asks of the stack: whether OSMO would take it, GPUs, images. A spec that it
  ---would refuse is an answer, with `problem`.
  ---@param opts { spec: string, set: string[]?, set_string: string[]? }
  ---@return pai.inference.Workload
  function inference.workload(opts)
    return require("pai.inference.workload").file(path_of(opts), {
      variables = opts.set,
      string_variables = opts.set_string,
    })
  end

  ---What was found beside the backends that were chosen, as checks of a gate.
  ---@param found pai.inference.Result
  ---@param backends string[] "nim", "nvcf", "foundry", "none"
  ---@return table[]
  function inference.checks(found, backends)
    return discover.checks(found, backends)
  end

  return inference
end

return M
