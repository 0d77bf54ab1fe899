-- The report of a run: what the recipe has to say of it, drawn by pai.report. It never changes the
-- verdict; a report that can't be made is a warning.
local async = require("pai.async")
local err = require("pai.err")
local graph = require("pai.recipe.graph")

local M = {}

local TIMEOUT <const> = "60s"

---Asks the recipe for its report, with the results that there are.
---@param run pai.run.Run
---@return table? report
function M.ask(run)
  local fn = run.root.loaded.doc.report
  local got = {}
  for name, node in pairs(run.root.nodes) do
    local outcome = run.settled[node.name]
    got[name] = outcome and graph.copy(outcome.result)
  end
  local states = {}
  for name, outcome in pairs(run.settled) do
    states[name] = outcome.state
  end
  local ctx = run:recipe_ctx("read", "report")
  local inp = graph.copy(run.root.inp)
  local ok, value = pcall(async.deadline, TIMEOUT, fn, ctx, inp, got, states)
  if not ok then
    run:log(nil, "report: " .. run.loader:locate(err.wrap(value).message), "warn")
    return nil
  elseif value ~= nil and type(value) ~= "table" then
    run:log(nil, "report: the recipe returned " .. type(value) .. ", not a table", "warn")
    return nil
  end
  return value
end

---Draws the report; after run.end, so that it knows the verdict.
---@param run pai.run.Run
---@param report table
function M.render(run, report)
  if report.path then
    local ok, e = pcall(run.root.needs.check_write, run.root.needs, report.path)
    if not ok then
      run:log(nil, "report: " .. err.wrap(e).message, "warn")
      return
    end
  end
  local ok, path, e = pcall(function()
    return require("pai.report").render(run.dir, report)
  end)
  if not ok or not path then
    run:log(nil, "report: " .. err.wrap(ok and e or path).message, "warn")
    return
  end
  run:emit("report", { path = path })
end

return M
