-- Several things at once: functions side by side, a list worked off by a few, a deadline.
-- Each function runs in a task of its own; the caller goes on when all of them have ended.
local duration = require("pai.duration")
local err = require("pai.err")
local task = require("pai.task")

local M = {}

---@class pai.async.options
---@field limit? integer how many run side by side at most

-- Cancels every task that is left and waits until it has ended, also when the caller is cancelled.
local function stop(tasks)
  task.shield(function()
    for _, t in pairs(tasks) do
      t:cancel()
    end
    for _, t in pairs(tasks) do
      pcall(t.wait, t)
    end
  end)
end

local function limit_of(opts)
  for key in pairs(opts or {}) do
    if key ~= "limit" then
      error("unknown option '" .. tostring(key) .. "' (known: limit)", 3)
    end
  end
  local limit = opts and opts.limit
  if limit ~= nil and (math.type(limit) ~= "integer" or limit < 1) then
    error("option 'limit' must be an integer of at least 1", 3)
  end
  return limit or math.maxinteger
end

-- Runs call(1) … call(n) in tasks, at most limit at a time, started in that order.
local function run_all(n, limit, call)
  local tasks, count, started = {}, 0, 0
  local failed, failure = false, nil
  local changed = task.event()
  local _ <close> = setmetatable({}, {
    __close = function()
      stop(tasks)
    end,
  })
  local function work(i)
    local ok, problem = pcall(call, i)
    if not ok and not failed then
      failed, failure = true, problem
    end
    tasks[i] = nil
    count = count - 1
    changed:set()
  end
  while not failed and (started < n or count > 0) do
    while started < n and count < limit do
      started, count = started + 1, count + 1
      tasks[started] = task.spawn(work, started)
    end
    changed:wait()
    changed:clear()
  end
  if failed then
    stop(tasks)
    error(failure, 0)
  end
end

---Runs every function in a task of its own and gives the first result of each under its key.
---The first failure cancels the others, waits until they have ended, and is raised.
---@param fns table<any, fun(): any> a list or a map; a list is started in its order
---@param opts? pai.async.options
---@return table results
function M.all(fns, opts)
  local limit = limit_of(opts)
  local keys, seen, results = {}, {}, {}
  for i in ipairs(fns) do
    keys[i], seen[i] = i, true
  end
  for key in pairs(fns) do
    if not seen[key] then
      keys[#keys + 1] = key
    end
  end
  run_all(#keys, limit, function(i)
    results[keys[i]] = fns[keys[i]]()
  end)
  return results
end

---Calls fn with every item of a list, each call in a task of its own. Failures as with all.
---@param list any[]
---@param fn fun(item: any, i: integer)
---@param opts? pai.async.options
function M.each(list, fn, opts)
  run_all(#list, limit_of(opts), function(i)
    fn(list[i], i)
  end)
end

---Runs fn; if it has not ended after the duration, cancels it, waits until it has stopped, and
---raises an error with code "ETIMEDOUT".
---@param time string|integer "30s", "10m", or milliseconds
---@param fn fun(...): ...
---@param ... any arguments of fn
---@return any ... what fn returns
function M.deadline(time, fn, ...)
  local t = task.spawn(fn, ...)
  local tasks = { t }
  local _ <close> = setmetatable({}, {
    __close = function()
      stop(tasks)
    end,
  })
  local got = table.pack(pcall(t.wait, t, time))
  if got[1] then
    tasks[1] = nil
    return table.unpack(got, 2, got.n)
  end
  local state = t:status()
  if state == "failed" or state == "canceled" or not err.is(got[2], "ETIMEDOUT") then
    error(got[2], 0)
  end
  stop(tasks)
  local text = type(time) == "number" and duration.format(time) or time
  err.raise("ETIMEDOUT", "not done within " .. text, { retryable = true })
end

return M
