-- What the measurements share: a clock, the best of some rounds, and how a figure is printed.
local M = {}

---Prints one figure.
---@param name string
---@param figure string
---@param detail? string
function M.row(name, figure, detail)
  pai.out.stdout(("  %-44s %14s   %s\n"):format(name, figure, detail or ""))
end

---CPU seconds of the fastest of some rounds. The heap is clean before each.
---@param rounds integer
---@param fn fun()
---@return number seconds
function M.best(rounds, fn)
  local best = math.huge
  for _ = 1, rounds do
    collectgarbage()
    local before = os.clock()
    fn()
    best = math.min(best, os.clock() - before)
  end
  return best
end

---The middle value.
---@param values number[]
---@return number
function M.median(values)
  table.sort(values)
  return values[(#values + 1) // 2]
end

---The peer's module, or nil with a line that says that it is not installed.
---@param name string
---@param package string Debian's name
---@return table?
function M.peer(name, package)
  local found, module = pcall(require, name)
  if found then
    return module
  end
  M.row(name, "-", "not installed (" .. package .. ")")
end

return M
