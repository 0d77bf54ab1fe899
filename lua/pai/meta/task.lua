---@meta pai.task

---Tasks: functions that run side by side in one thread. Every call of pai that waits (a child, a
---request, a sleep) lets the other tasks go on, also from inside coroutines of a task; outside of
---any task it just takes its time. Durations are "250ms", "30s", "10m", "2h", "1d" or integer
---milliseconds.
---@class pai.task
local task = {}

---@class pai.task.Task
local Task = {}

---@class pai.task.Event
local Event = {}

---Starts a task; it runs when the caller next waits. An error that nobody waits for is reported on
---standard error.
---@param fn fun(...): ...
---@param ... any Its arguments.
---@return pai.task.Task
function task.spawn(fn, ...) end

---Runs a function as a task and returns what it returns, or raises what it raises.
---@param fn fun(...): ...
---@param ... any Its arguments.
---@return any ...
function task.run(fn, ...) end

---@return pai.task.Task? task The one that is running; nil outside of any.
function task.current() end

---@param duration string|integer
function task.sleep(duration) end

---@return integer ms On a clock that only goes forward.
function task.now() end

---@return pai.task.Event
function task.event() end

---Runs a function; a cancellation of the task is held back until it returns.
---@param fn fun(...): ...
---@param ... any Its arguments.
---@return any ...
function task.shield(fn, ...) end

---Calls a function in a new task for each SIGINT, SIGTERM, SIGHUP and SIGWINCH, which then do
---nothing else. If the loop does not turn, the third of a kind ends the process.
---@param fn fun(name: string)
---@param names? string[] Only these.
---@return fun() remove
function task.on_signal(fn, names) end

---Waits for the end of a task. Returns what its function returned or raises its error; raises
---`ETIMEDOUT` when it has not ended in time, and then it goes on.
---@param timeout? string|integer
---@return any ...
function Task:wait(timeout) end

---Asks a task to stop: what it waits for is given up and raises `ECANCELED`, and so does every
---further wait. One that goes on all the same is dropped.
function Task:cancel() end

---@return "ready"|"waiting"|"done"|"failed"|"canceled"
function Task:status() end

---@return string? trace The traceback of a failed task's error.
function Task:trace() end

---Wakes everybody who waits. The event stays set.
function Event:set() end

function Event:clear() end

---@return boolean
function Event:is_set() end

---@param timeout? string|integer
---@return boolean set False when the time is over.
function Event:wait(timeout) end

return task
