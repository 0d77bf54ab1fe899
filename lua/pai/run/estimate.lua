-- What a run will take, said before it changes anything.
local async = require("pai.async")
local duration = require("pai.duration")
local err = require("pai.err")
local graph = require("pai.recipe.graph")

local M = {}

local TIMEOUT <const> = "30s"

local function seconds(value)
  local ms = duration.parse(value)
  return ms and ms / 1000
end

-- One phase: { name =, min =, max = } as durations, or min_s and max_s in seconds.
local function phase(entry, i)
  if type(entry) ~= "table" then
    err.raise("ERECIPE", ("estimate: phase %d is not a table"):format(i))
  end
  local min = entry.min_s or seconds(entry.min)
  local max = entry.max_s or seconds(entry.max)
  if type(min) ~= "number" or type(max) ~= "number" or min > max then
    err.raise("ERECIPE", ("estimate: phase %d needs min and max, as durations"):format(i))
  end
  return { name = tostring(entry.name or i), min_s = min, max_s = max }
end

---Asks a recipe for its estimate; one that fails is a warning.
---@param run pai.run.Run
---@return table[]? phases
---@return string? problem
function M.ask(run)
  local fn = run.root.loaded.doc.estimate
  if not fn then
    return nil
  end
  local ctx = run:recipe_ctx("read", "estimate")
  local ok, value = pcall(function()
    local answer = async.deadline(TIMEOUT, fn, ctx, graph.copy(run.root.inp))
    if type(answer) ~= "table" then
      err.raise("ERECIPE", "estimate must return a list of phases")
    end
    local phases = {}
    for i, entry in ipairs(answer.phases or answer) do
      phases[i] = phase(entry, i)
    end
    return phases
  end)
  if ok then
    return value
  end
  return nil, run.loader:locate(err.wrap(value).message)
end

---An estimate for people: "about 2m 05s to 3m 10s".
---@param phases table[]
---@return string
function M.text(phases)
  local min, max = 0, 0
  for _, p in ipairs(phases) do
    min, max = min + p.min_s, max + p.max_s
  end
  local from = duration.format(math.floor(min * 1000))
  return ("%s to %s"):format(from, duration.format(math.floor(max * 1000)))
end

return M
