-- The transitions of groups, tasks and workflows, each inside one transaction. What a commit
-- changes for others (runs that ended, groups that may start) is collected in a change set.
local status = require("pai.engine.status")
local uuid = require("pai.engine.store").uuid

local M = {}

---@class pai.engine.Changes
---@field ended table<string, string> workflow id to final status
---@field ready boolean whether groups may have become ready

---@return pai.engine.Changes
function M.changes()
  return { ended = {}, ready = false }
end

-- A workflow's status follows from its groups; its times from the first start and the last end.
local function refresh_workflow(store, seq, now, changes)
  local w = store:row("SELECT id, status FROM workflows WHERE seq = ?", seq)
  if status.finished(w.status) then
    return
  end
  local list = {}
  for _, g in ipairs(store:rows("SELECT DISTINCT status FROM groups WHERE workflow = ?", seq)) do
    list[#list + 1] = g.status
  end
  local new = status.workflow(list)
  if status.finished(new) then
    store:run("UPDATE workflows SET status = ?, end_time = ? WHERE seq = ?", new, now, seq)
    changes.ended[w.id] = new
  elseif new ~= w.status then
    store:run(
      [[UPDATE workflows SET status = ?1, start_time =
          CASE WHEN ?1 = 'RUNNING' THEN coalesce(start_time, ?2) ELSE start_time END
        WHERE seq = ?3]],
      new,
      now,
      seq
    )
  end
end

local function finish_tasks(store, group, new, exit_code, message, now)
  store:run(
    [[UPDATE tasks SET status = ?, exit_code = ?, failure_message = ?, end_time = ?
      WHERE grp = ? AND end_time IS NULL]],
    new,
    exit_code,
    message,
    now,
    group
  )
end

local function contains(list, name)
  for _, entry in ipairs(list) do
    if entry == name then
      return true
    end
  end
  return false
end

local function queue(store, rows, column, seq, now)
  store:run(
    ([[UPDATE %s SET status = 'SCHEDULING', processing_start_time = ?1, scheduling_start_time = ?1
      WHERE %s = ?2]]):format(rows, column),
    now,
    seq
  )
end

-- Whether all that a group waits for is done.
local function is_ready(store, g)
  local done = {}
  for _, row in
    ipairs(
      store:rows("SELECT name FROM groups WHERE workflow = ? AND status = 'COMPLETED'", g.workflow)
    )
  do
    done[row.name] = true
  end
  for _, need in ipairs(g.needs) do
    if not done[need] then
      return false
    end
  end
  return true
end

-- Ends a group and carries the news downstream.
local function close_group(store, group, new, message, now, changes)
  store:run(
    [[UPDATE groups SET status = ?, end_time = ?, failure_message = ?
      WHERE seq = ? AND end_time IS NULL]],
    new,
    now,
    status.failed(new) and message or nil,
    group.seq
  )
  for _, g in ipairs(store:waiting_groups(group.workflow)) do
    if not status.finished(g.status) and contains(g.needs, group.name) then
      if status.failed(new) then
        local why = "Upstream task failed."
        finish_tasks(store, g.seq, "FAILED_UPSTREAM", status.EXIT.UPSTREAM, why, now)
        close_group(store, g, "FAILED_UPSTREAM", why, now, changes)
      else
        if g.status == "WAITING" and is_ready(store, g) then
          queue(store, "groups", "seq", g.seq, now)
          queue(store, "tasks", "grp", g.seq, now)
          changes.ready = true
        end
      end
    end
  end
  refresh_workflow(store, group.workflow, now, changes)
end

---Takes a queued group for starting.
---@param store pai.engine.Store
---@param group integer seq
---@return boolean claimed false when it is not queued any more
function M.claim(store, group)
  return store:transaction("claim", function()
    local now = store:now()
    local r = store:run(
      [[UPDATE groups SET status = 'INITIALIZING', initializing_start_time = ?
        WHERE seq = ? AND status = 'SCHEDULING']],
      now,
      group
    )
    if r.changes == 0 then
      return false
    end
    store:run(
      [[UPDATE tasks SET status = 'INITIALIZING', initializing_start_time = ?
        WHERE grp = ? AND end_time IS NULL]],
      now,
      group
    )
    return true
  end)
end

---Stores moments of a task that are no transition.
---@param store pai.engine.Store
---@param task table row
---@param times table<string, integer> by column
function M.times(store, task, times)
  local set, values = {}, {}
  for column, at in pairs(times) do
    set[#set + 1] = column .. " = ?"
    values[#values + 1] = at
  end
  if #set > 0 then
    values[#values + 1] = task.seq
    local sql = "UPDATE tasks SET %s WHERE seq = ?"
    store:run(sql:format(table.concat(set, ", ")), table.unpack(values))
  end
end

---Marks a task as running.
---@param store pai.engine.Store
---@param task table row
---@param pid integer
---@param pid_start integer
---@param times table<string, integer>
---@param container string? id of the container that the task runs in
---@return pai.engine.Changes
function M.running(store, task, pid, pid_start, times, container)
  local changes = M.changes()
  store:transaction("running", function()
    local now = store:now()
    M.times(store, task, times)
    store:run(
      [[UPDATE tasks SET status = 'RUNNING', start_time = ?, pid = ?, pid_start = ?, container = ?
        WHERE seq = ?]],
      now,
      pid,
      pid_start,
      container,
      task.seq
    )
    store:run(
      "UPDATE groups SET status = 'RUNNING', start_time = ? WHERE seq = ? AND start_time IS NULL",
      now,
      task.grp
    )
    refresh_workflow(store, task.workflow, now, changes)
  end)
  return changes
end

-- Ends one try of a task and makes the row of the next. Its number.
local function try_again(store, task, ending)
  local now = store:now()
  M.times(store, task, ending.times or {})
  store:run(
    [[UPDATE tasks SET status = 'RESCHEDULED', exit_code = ?, failure_message = ?, end_time = ?
      WHERE seq = ?]],
    ending.exit_code,
    ending.message,
    now,
    task.seq
  )
  return store:run(
    [[INSERT INTO tasks (workflow, grp, name, uuid, retry_id, lead, status, cpu, gpu, memory,
        storage, processing_start_time, scheduling_start_time, initializing_start_time)
      SELECT workflow, grp, name, ?1, retry_id + 1, lead, 'INITIALIZING', cpu, gpu, memory,
        storage, ?2, ?2, ?2 FROM tasks WHERE seq = ?3]],
    uuid(),
    now,
    task.seq
  ).last_id
end

---Ends one try of a task and makes the next, which begins at once: the group keeps what it holds.
---@param store pai.engine.Store
---@param task table row
---@param ending {exit_code: integer, message: string, times: table<string, integer>?}
---@return table row of the next try
function M.reschedule(store, task, ending)
  return store:transaction("reschedule", function()
    return store:row("SELECT * FROM tasks WHERE seq = ?", try_again(store, task, ending))
  end)
end

---Puts a group back into the queue, with another try for each task that had not ended.
---@param store pai.engine.Store
---@param group table row
---@param tasks table[] rows
---@param ending {exit_code: integer, message: string}
---@return pai.engine.Changes
function M.requeue(store, group, tasks, ending)
  local changes = M.changes()
  store:transaction("requeue", function()
    for _, t in ipairs(tasks) do
      try_again(store, t, ending)
    end
    local now = store:now()
    queue(store, "groups", "seq", group.seq, now)
    store:run(
      [[UPDATE groups SET initializing_start_time = NULL, start_time = NULL, preempted = NULL
        WHERE seq = ?]],
      group.seq
    )
    store:run(
      [[UPDATE tasks SET status = 'SCHEDULING', initializing_start_time = NULL
        WHERE grp = ? AND end_time IS NULL]],
      group.seq
    )
    refresh_workflow(store, group.workflow, now, changes)
    changes.ready = true
  end)
  return changes
end

---Records that groups have to make room; what becomes of them follows when they have ended.
---@param store pai.engine.Store
---@param groups integer[] seq
function M.preempt(store, groups)
  store:transaction("preempt", function()
    local now = store:now()
    for _, seq in ipairs(groups) do
      store:run("UPDATE groups SET preempted = ? WHERE seq = ?", now, seq)
    end
  end)
end

---@class pai.engine.Ending
---@field status string
---@field exit_code integer?
---@field message string?
---@field group_status string? given to the group in place of the roll-up
---@field times table<string, integer>?

---Ends a task; with the last one its group ends too.
---@param store pai.engine.Store
---@param task table row
---@param ignore_nonlead boolean
---@param ending pai.engine.Ending
---@return pai.engine.Changes
function M.finish(store, task, ignore_nonlead, ending)
  local changes = M.changes()
  store:transaction("finish", function()
    local now = store:now()
    M.times(store, task, ending.times or {})
    store:run(
      [[UPDATE tasks SET status = ?, exit_code = ?, failure_message = ?, end_time = ?
        WHERE seq = ? AND end_time IS NULL]],
      ending.status,
      ending.exit_code,
      ending.message,
      now,
      task.seq
    )
    local tasks, list = store:tasks(task.grp), {}
    local message = ending.message
    for _, t in ipairs(tasks) do
      list[#list + 1] = { status = t.status, lead = t.lead == 1 }
      if t.lead == 1 and t.failure_message then
        message = t.failure_message
      end
    end
    local new = status.group(list, ignore_nonlead)
    if not status.finished(new) then
      -- A task that ended while the others have not begun makes the group a running one.
      store:run(
        [[UPDATE groups SET status = 'RUNNING', start_time = coalesce(start_time, ?)
          WHERE seq = ? AND end_time IS NULL]],
        now,
        task.grp
      )
      refresh_workflow(store, task.workflow, now, changes)
      return
    end
    local group = store:row("SELECT * FROM groups WHERE seq = ?", task.grp)
    close_group(store, group, ending.group_status or new, message, now, changes)
  end)
  return changes
end

---Ends a group and all its unfinished tasks with one status.
---@param store pai.engine.Store
---@param group table row
---@param new string
---@param exit_code integer?
---@param message string
---@return pai.engine.Changes
function M.stop(store, group, new, exit_code, message)
  local changes = M.changes()
  store:transaction("stop", function()
    local now = store:now()
    finish_tasks(store, group.seq, new, exit_code, message, now)
    close_group(store, group, new, message, now, changes)
  end)
  return changes
end

---Records that a workflow is to be cancelled.
---@param store pai.engine.Store
---@param seq integer
---@param user string
---@param message string?
---@param force boolean
function M.request_cancel(store, seq, user, message, force)
  store:transaction("cancel", function()
    store:run(
      "UPDATE workflows SET cancel_by = ?, cancel_message = ?, cancel_force = ? WHERE seq = ?",
      user,
      message,
      force and 1 or 0,
      seq
    )
  end)
end

---What a cancelled task is told.
---@param user string
---@param message string?
---@return string
function M.cancel_message(user, message)
  return ("Task was canceled by user: %s.%s"):format(user, message and " " .. message or "")
end

return M
