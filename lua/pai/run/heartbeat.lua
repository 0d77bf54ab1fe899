-- A sign of life for every step that runs: at least every two minutes, with state, time and the
-- last useful observation. Steps add their own when something changes.
local duration = require("pai.duration")
local task = require("pai.task")

local M = {}

---Longest silence of a step; PAI_HEARTBEAT sets another.
M.INTERVAL = "110s"

---Starts the heartbeat of a run.
---@param run pai.run.Run
---@return fun() stop
function M.start(run)
  local every = duration.parse(os.getenv("PAI_HEARTBEAT") or M.INTERVAL)
    or duration.parse(M.INTERVAL)
  local ticker = task.spawn(function()
    while true do
      task.sleep(math.max(20, every // 10))
      for unit, live in pairs(run.live) do
        if task.now() - live.beat_at >= every then
          run:heartbeat(unit, live)
        end
      end
    end
  end)
  return function()
    ticker:cancel()
    pcall(ticker.wait, ticker)
  end
end

return M
