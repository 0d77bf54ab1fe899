-- The same as http_peer.c, with pai.http: pai lua http_client.lua URL COUNT WIDTH [FILE]
local async = require("pai.async")
local http = require("pai.http")
local task = require("pai.task")

local url, count, width, file = arg[1], tonumber(arg[2]), tonumber(arg[3]), arg[4]

local function one()
  return assert(http.request({ url = url, output = file, timeout = "10m" }))
end

task.run(function()
  if not file then
    one()
  end
  local cpu, wall = os.clock(), task.now()
  if width == 1 then
    for _ = 1, count do
      one()
    end
  else
    local left = count
    local workers = {}
    for i = 1, width do
      workers[i] = function()
        while left > 0 do
          left = left - 1
          one()
        end
      end
    end
    async.all(workers)
  end
  cpu, wall = os.clock() - cpu, task.now() - wall
  pai.out.stdout(("%.1f %.1f\n"):format(cpu * 1e6 / count, wall * 1e3 / count))
end)
