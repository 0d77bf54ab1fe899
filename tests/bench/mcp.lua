-- MCP over stdio: start to the first answer, calls, memory; beside a server of the official
-- TypeScript SDK, in turns. A C program that only echoes shows what client and pipes cost.
local bench = dofile("tests/bench/bench.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")

local PACKAGES <const> = fs.cwd() .. "/vendor/npm-mcp/node_modules"

-- The value at a share of a list, 0.5 for the middle.
local function at(list, share)
  table.sort(list)
  return list[math.max(1, math.ceil(#list * share))]
end

local function all(turns, key)
  local list = {}
  for _, turn in ipairs(turns) do
    if type(turn[key]) == "table" then
      table.move(turn[key], 1, #turn[key], #list + 1, list)
    else
      list[#list + 1] = turn[key]
    end
  end
  return list
end

local function ms(us)
  return ("%.1f ms"):format(us / 1000)
end

-- A row for each server; the last is the peer that the others are compared with.
local function rows(found, names, what, key, share, show)
  local peer = at(all(found[names[#names]], key), share)
  for _, name in ipairs(names) do
    local list = all(found[name], key)
    local value = at(list, share)
    local detail = ("least %s"):format(show(list[1]))
    if name ~= names[#names] then
      detail = ("%s, 1/%.1f of the SDK"):format(detail, peer / value)
    end
    bench.row(("%s: %s"):format(name, what), show(value), detail)
  end
end

require("pai.task").run(function()
  local state = fs.tempdir({ prefix = "pai-bench-" })
  local echo_program = state .. "/echo"
  assert(exec.run({ "gcc", "-O2", "-o", echo_program, "tests/bench/mcp/echo.c" }))
  local servers = {
    ["C, echo only"] = { argv = { echo_program }, echo = true },
    ["pai mcp"] = { argv = { pai.exe, "mcp", "--state", state }, echo = false },
    ["pai, one tool"] = {
      argv = { pai.exe, "lua", "tests/spec/mcp/fixtures/server.lua", "stdio" },
      echo = true,
    },
    ["TypeScript SDK"] = {
      argv = { PACKAGES .. "/node/bin/node", "tests/bench/mcp/server.js" },
      echo = true,
    },
  }
  local r =
    assert(exec.run({ "/usr/bin/python3", "tests/bench/mcp/client.py", json.encode(servers) }, {
      env = { NODE_PATH = PACKAGES },
      timeout = "10m",
    }))
  fs.remove(state, { recursive = true })
  local found = assert(json.decode(r.stdout))
  local full = { "pai mcp", "TypeScript SDK" }
  local echo = { "C, echo only", "pai, one tool", "TypeScript SDK" }
  local function us(value)
    return ("%.0f us"):format(value)
  end
  local function mib(value)
    return ("%.1f MiB"):format(value / 1024)
  end
  rows(found, full, "start to first answer", "start", 0.5, ms)
  rows(found, echo, "tools/call p50", "calls", 0.5, us)
  rows(found, echo, "tools/call p99", "calls", 0.99, us)
  rows(found, echo, "CPU a call", "cpu", 0.5, us)
  for _, name in ipairs(echo) do
    local list = all(found[name], "rate")
    local rate = at(list, 0.5)
    bench.row(name .. ": 10,000 pipelined", ("%.0f calls/s"):format(rate))
  end
  rows(found, full, "resident", "rss", 0.5, mib)
  bench.row("pai mcp: tools/list, the first time", ms(at(all(found["pai mcp"], "list"), 0.5)))
  rows(found, full, "end after its input", "end", 0.5, ms)
end)
