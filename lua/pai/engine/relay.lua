-- A program of its own, run in the network of a task: carries a connection to one of its ports over
-- standard input and output. `pai lua relay.lua PORT ADDRESS...`; the first address that answers.
local out = require("pai.out")
local sock = require("pai.sock")
local task = require("pai.task")

local arg = arg or { ... }

task.run(function()
  local port = math.tointeger(tonumber(arg[1]))
  local stream, e
  for i = 2, #arg do
    stream, e = sock.connect({ host = arg[i], port = port })
    if stream then
      break
    end
  end
  if not stream then
    out.stderr(("port %d of the task: %s\n"):format(port, e.message))
    os.exit(1)
  end
  local up = task.spawn(function()
    local stdin = sock.stdin()
    local data = stdin:read()
    while data and stream:write(data) do
      data = stdin:read()
    end
    stream:shut()
  end)
  local data = stream:read()
  while data do
    out.stdout(data)
    out.flush(1)
    data = stream:read()
  end
  up:cancel()
end)
