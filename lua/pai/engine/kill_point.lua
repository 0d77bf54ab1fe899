-- For tests of what a killed engine leaves: PAI_TEST_KILL names the place at which this very
-- process ends, "before:NAME" or "after:NAME" of a transition's commit, the n-th time with "#n".
local exec = require("pai.exec")

local wanted, nth = (os.getenv("PAI_TEST_KILL") or ""):match("^([^#]*)#?(%d*)$")
local left = tonumber(nth) or 1

---Ends the process if this is the place. Nothing else may happen until it is over, so that is
---waited for without a turn of the loop.
---@param point string
return function(point)
  if point ~= wanted then
    return
  end
  left = left - 1
  if left > 0 then
    return
  end
  local f = assert(io.open("/proc/self/stat"))
  local pid = ("%d"):format(f:read("n"))
  exec.detach({ "/bin/sh", "-c", 'kill -s KILL "$1"', "sh", pid })
  while true do
    f:seek("set")
  end
end
