-- A stand-in for a service, for tests/bench/osmo.lua: a list of 20 runs, and runs that end some
-- seconds after they were first asked for. Prints its port; ends with its standard input.
local json = require("pai.json")
local serve = require("pai.serve")
local sock = require("pai.sock")
local task = require("pai.task")

local LIFE <const> = 4000
local first = {}

local runs = {}
for i = 1, 20 do
  runs[i] = {
    name = "flow-" .. i,
    user = "alice",
    status = "COMPLETED",
    submit_time = "2026-01-02T03:04:05.678901",
    duration = 61.5,
    labels = { team = "red" },
    pool = "p",
  }
end
local LIST <const> = json.encode({ workflows = runs, more_entries = false })

local function answer(req)
  if req.path == "/api/workflow" then
    return { headers = { ["content-type"] = "application/json" }, body = LIST }
  end
  local id = req.path:match("^/api/workflow/(.*)$")
  first[id] = first[id] or task.now()
  local status = task.now() - first[id] > LIFE and "COMPLETED" or "RUNNING"
  return { json = { name = id, status = status, groups = json.array({}) } }
end

task.run(function()
  local srv = assert(serve.listen({ host = "127.0.0.1", port = 0, handler = answer }))
  print(srv:port())
  io.stdout:flush()
  local stdin = sock.stdin()
  repeat
    local text = stdin:read()
  until not text
  srv:close()
end)
