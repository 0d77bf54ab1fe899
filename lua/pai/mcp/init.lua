-- The server that `pai mcp` runs: recipes, runs, resources and prompts.
local M = {}

local INSTRUCTIONS <const> = [[
pai brings up and runs Physical AI infrastructure and workloads. Each recipe is a tool NAME_run, and
NAME_plan shows beforehand what it would do. Plan first; show the user the plan before anything is
changed. What is missing is asked for by itself; never guess it, and never ask for or pass a secret:
the answer names the variable to set. Long runs: pass pai_detach = true, then pai_runs_watch. A run
that failed or was interrupted goes on with pai_runs_resume. pai_recipes lists everything.]]

local READ_ONLY <const> =
  "\nThis server is read-only: what changes something can be planned, not run."

---Makes the server.
---@param opts { recipes: string[]?, read_only: boolean?, allow_dirty: boolean? }
---@return pai.mcp.Server
function M.new(opts)
  local server = require("pai.mcp.server").new({
    instructions = INSTRUCTIONS:gsub("\n", " ") .. (opts.read_only and READ_ONLY or ""),
  })
  require("pai.mcp.skills").declare(server)
  function server.filler()
    local recipes = require("pai.mcp.recipes").add(server, opts)
    local runs = require("pai.mcp.runs").add(server, recipes, opts)
    require("pai.mcp.resources").add(server, recipes, runs)
    require("pai.mcp.prompts").add(server, recipes)
    require("pai.mcp.skills").add(server, recipes)
  end
  return server
end

return M
