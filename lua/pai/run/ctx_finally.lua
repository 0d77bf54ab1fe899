-- ctx.finally: work that leaves something behind which has to be taken away again, whatever comes:
-- an error, a deadline, an interruption. Only the end of the process itself stops the clean-up.
local async = require("pai.async")
local err = require("pai.err")
local task = require("pai.task")

local M = {}

---How long a clean-up may hold up a cancellation.
M.TIMEOUT = "60s"

---@param env pai.run.CtxEnv
---@return fun(work: fun(): any, clean: fun()): any
function M.new(env)
  return function(work, clean)
    if env.mode ~= "act" then
      err.raise("EACCES", ("ctx.finally acts; %s may only observe"):format(env.where))
    end
    local results = table.pack(pcall(work))
    local cleaned, problem = task.shield(pcall, async.deadline, M.TIMEOUT, clean)
    if not results[1] then
      if not cleaned then
        env.run:log(env.step, "the clean-up failed too: " .. err.wrap(problem).message)
      end
      error(results[2], 0)
    elseif not cleaned then
      error(problem, 0)
    end
    return table.unpack(results, 2, results.n)
  end
end

return M
