-- The processes of a run: started through here, journalled with pid and start time, signalled when
-- the run is interrupted, and what is left of them after a killed pai is ended on resume.
local duration = require("pai.duration")
local err = require("pai.err")
local exec = require("pai.exec")
local fs = require("pai.fs")
local task = require("pai.task")

local M = {}

local GRACE <const> = "5s"

---@class pai.run.Children
---@field live table<userdata, string> process → step
local Children = {}
Children.__index = Children

---@param on_start fun(step: string, proc: table, argv0: string)
---@return pai.run.Children
function M.new(on_start)
  return setmetatable({ live = {}, on_start = on_start }, Children)
end

---Starts nothing more: the run was interrupted.
function Children:close()
  self.closed = true
end

---Runs a command of a step.
---@param step string
---@param argv string[]
---@param opts table as exec.run
---@return table? result
---@return pai.Error? err
function Children:run(step, argv, opts)
  if self.closed then
    return err.fail("ECANCELED", "not started: the run was interrupted")
  end
  local proc, e = exec.start(argv, opts)
  if not proc then
    return nil, e
  end
  -- A step that is cancelled while it waits ends its program with it.
  local _ <close> = proc
  self.live[proc] = step
  local _ <close> = setmetatable({}, {
    __close = function()
      self.live[proc] = nil
    end,
  })
  self.on_start(step, proc, argv[1])
  return proc:wait()
end

---Sends a signal to every process that runs now.
---@param signame string "INT", "TERM", "KILL"
---@return table<string, boolean> steps that have one
function Children:signal(signame)
  local steps = {}
  for proc, step in pairs(self.live) do
    steps[step] = true
    proc:kill(signame)
  end
  return steps
end

local function is_same(child, boot)
  local p = child.boot == boot and fs.process(child.pid)
  return p and p.start_time == child.start_time and p.state ~= "Z"
end

-- kill is a builtin of the shell and not everywhere a program; the pid is a number from our own
-- journal whose start time was compared.
local function kill_group(pid, signame)
  local script = 'kill -s "$1" -- "-$2" 2>/dev/null || kill -s "$1" "$2"'
  exec.run(
    { "/bin/sh", "-c", script, "sh", signame, ("%d"):format(pid) },
    { timeout = "5s", accept = { 0, 1, 2 } }
  )
end

---Ends processes that an earlier pai of this run started and that still live.
---@param list { pid: integer, start_time: integer, boot: string, step: string, argv0: string }[]
---@param on_end fun(child: table)
function M.end_leftovers(list, on_end)
  local boot = fs.boot_id()
  for _, child in ipairs(list) do
    if is_same(child, boot) then
      kill_group(child.pid, "TERM")
      local deadline = task.now() + duration.parse(GRACE)
      while is_same(child, boot) and task.now() < deadline do
        task.sleep("50ms")
      end
      if is_same(child, boot) then
        kill_group(child.pid, "KILL")
        task.sleep("100ms")
      end
      on_end(child)
    end
  end
end

return M
