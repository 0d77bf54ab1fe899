-- A sandbox that does nothing but keep its namespaces, for others to enter.
local exec = require("pai.exec")
local processes = require("pai.engine.processes")
local task = require("pai.task")

local M = {}

local STANDS <const> = { "--", "/bin/sh", "-c", "echo up; exec sleep infinity" }

---@class pai.engine.Held
---@field pid integer the process in the sandbox
---@field ended boolean
---@field close fun() ends it

---Starts one and waits until it stands.
---@param args string[] of bubblewrap, without the command
---@return pai.engine.Held? held
---@return pai.Error? err of a start that failed; none where it did not come to stand
function M.start(args)
  local up = task.event()
  local argv = table.move(STANDS, 1, #STANDS, #args + 1, table.move(args, 1, #args, 1, {}))
  local proc, e = exec.start(argv, {
    stdin = "null",
    accept = "any",
    on_line = function()
      up:set()
    end,
  })
  if not proc then
    return nil, e
  end
  local held = {}
  -- Lines are given while somebody waits for the end.
  local life = task.spawn(function()
    proc:wait()
    held.ended = true
    up:set()
  end)
  function held.close()
    if not held.ended then
      proc:kill("KILL")
    end
    life:wait()
  end
  local inner = up:wait("20s") and processes.inner_session(proc.pid)
  if not inner then
    held.close()
    return nil
  end
  held.pid = math.tointeger(tonumber(inner))
  return held
end

return M
