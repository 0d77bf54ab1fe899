-- Workflows and tasks by name, or upstream's answer that there is none.
local reply = require("pai.engine.reply")

local M = {}

---A workflow's row. Raises DATABASE.
---@param engine table
---@param id string
---@return table
function M.workflow(engine, id)
  local w = engine.store:workflow(id)
  if not w then
    reply.fail("DATABASE", ("Workflow %s is not found."):format(id))
  end
  return w
end

---A task's row. Raises DATABASE.
---@param engine table
---@param id string of its workflow
---@param name string
---@return table
function M.task(engine, id, name)
  local t = engine.store:task(id, name)
  if not t then
    reply.fail("DATABASE", ("Task %s of workflow %s is not found."):format(name, id))
  end
  return t
end

return M
