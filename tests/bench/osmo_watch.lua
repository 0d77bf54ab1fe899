-- One process that waits for many runs of a service: osmo_watch.lua URL COUNT.
local async = require("pai.async")
local client = require("pai.osmo.client")
local fs = require("pai.fs")
local json = require("pai.json")
local task = require("pai.task")

task.run(function()
  local c = assert(client.connect({ target = arg[1], user = "alice" }))
  local asked, began, jobs = 0, task.now(), {}
  local call = c.transport.call
  function c.transport.call(...)
    asked = asked + 1
    return call(...)
  end
  for i = 1, math.tointeger(tonumber(arg[2])) do
    jobs[i] = function()
      assert(c:wait("pai-" .. i, { every = "1s", first = 1000 }).status == "COMPLETED")
    end
  end
  async.all(jobs)
  local peak = fs.read("/proc/self/status"):match("VmHWM:%s+(%d+)")
  print(json.encode({
    cpu = os.clock(),
    seconds = (task.now() - began) / 1000,
    asked = asked,
    rss = tonumber(peak),
  }))
end)
