-- Prints hyperfine's result as a table: median and least time, and the ratio to the first command.
local fs = require("pai.fs")
local json = require("pai.json")
local bench = dofile("tests/bench/bench.lua")

local results = assert(json.decode(assert(fs.read(arg[1])))).results
local first = results[1].median
for _, r in ipairs(results) do
  local detail = ("least %.2f ms, %.2f x the first"):format(r.min * 1000, r.median / first)
  bench.row(r.command, ("%.2f ms"):format(r.median * 1000), detail)
end
