-- Recipes as tools, as an agent sees them: schemas, plans, runs, questions, and what is refused.
local bench_support = dofile("tests/spec/run/support.lua")
local support = dofile("tests/spec/mcp/support.lua")
local fs = require("pai.fs")
local json = require("pai.json")

local eventually = bench_support.eventually

local GREET <- nil
