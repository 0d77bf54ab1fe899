-- The engine's SQLite store: clock, and the rows that the rest asks for. Each change of
-- state is one transaction, so that a killed engine finds whole states when it comes back.
local crypto = require("pai.crypto")
local db = require("pai.db")
local json = require("pai.json")
local kill_point = require("pai.engine.kill_point")
local schema = require("pai.engine.schema")
local task = require("pai.task")

local M = {}

-- The wall clock is asked this often, in milliseconds; between, the steady one is counted on.
local CLOCK <const> = 1000

---@class pai.engine.Store
---@field db table the open database
local Store = {}
Store.__index = Store

---Milliseconds since 1970, UTC.
---@return integer
function Store:now()
  local ticks = task.now()
  if not self.asked or ticks - self.asked >= CLOCK then
    self.asked = ticks
    self.offset = self.db:row(
      "SELECT CAST((julianday('now') - 2440587.5) * 86400000.0 + 0.5 AS INTEGER) AS ms"
    ).ms - ticks
  end
  return ticks + self.offset
end

---Thirty-two hex digits.
---@return string
function M.uuid()
  return crypto.hex(16)
end

---Runs fn in one transaction; what it raises is raised again after the rollback.
---@param name string of the transition
---@param fn function
---@return any
function Store:transaction(name, fn)
  local result
  self.db:transaction(function()
    result = fn()
    kill_point("before:" .. name)
  end)
  kill_point("after:" .. name)
  return result
end

local function checked(value, e)
  if value == nil and e ~= nil then
    error(e, 0)
  end
  return value
end

---@return table {changes, last_id}
function Store:run(sql, ...)
  return checked(self.db:run(sql, ...))
end

---@return table[]
function Store:rows(sql, ...)
  return checked(self.db:rows(sql, ...))
end

---@return table?
function Store:row(sql, ...)
  local row, e = self.db:row(sql, ...)
  return checked(row, e)
end

---@param key string
---@return string?
function Store:meta(key)
  local row = self:row("SELECT value FROM meta WHERE key = ?", key)
  return row and row.value
end

---@param key string
---@param value string
function Store:set_meta(key, value)
  self:run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", key, value)
end

---The number that next_number would give now.
---@param name string
---@return integer
function Store:peek_number(name)
  local row = self:row("SELECT last FROM numbers WHERE name = ?", name)
  return row and row.last + 1 or 1
end

---The next number for a workflow name: one more than the highest ever used.
---@param name string
---@return integer
function Store:next_number(name)
  self:run(
    [[INSERT INTO numbers (name, last) VALUES (?, 1)
      ON CONFLICT (name) DO UPDATE SET last = last + 1]],
    name
  )
  return self:row("SELECT last FROM numbers WHERE name = ?", name).last
end

local WORKFLOW_COLUMNS <const> = [[seq, id, uuid, name, number, user, pool, priority, status,
  submit_time, start_time, end_time, exec_timeout, queue_timeout, cancel_by, cancel_message,
  cancel_force, failure_message, parent_name, parent_number, warnings, labels, app_owner, app_name,
  app_version]]
M.WORKFLOW_COLUMNS = WORKFLOW_COLUMNS

---@param id string workflow id or uuid
---@return table?
function Store:workflow(id)
  return self:row("SELECT " .. WORKFLOW_COLUMNS .. " FROM workflows WHERE id = ?1 OR uuid = ?1", id)
end

---@param seq integer
---@return table?
function Store:workflow_by_seq(seq)
  return self:row("SELECT " .. WORKFLOW_COLUMNS .. " FROM workflows WHERE seq = ?", seq)
end

---@param workflow integer seq
---@return table[] in the order of the spec
function Store:groups(workflow)
  return self:rows("SELECT * FROM groups WHERE workflow = ? ORDER BY seq", workflow)
end

---What each group of a workflow waits for, as far as any waits for another.
---@param workflow integer seq
---@return {seq: integer, name: string, status: string, workflow: integer, needs: string[]}[]
function Store:waiting_groups(workflow)
  local rows = self:rows(
    "SELECT seq, name, status, workflow, needs FROM groups WHERE workflow = ? AND needs != '[]'",
    workflow
  )
  for _, g in ipairs(rows) do
    g.needs = json.decode(g.needs)
  end
  return rows
end

---@param group integer seq
---@return table[] the latest retry of each, in the order of the spec
function Store:tasks(group)
  return self:rows(
    "SELECT * FROM tasks WHERE grp = ? AND status != 'RESCHEDULED' ORDER BY seq",
    group
  )
end

---@param group integer seq
---@return table[] with the retries that were followed by another
function Store:all_tasks(group)
  return self:rows("SELECT * FROM tasks WHERE grp = ? ORDER BY seq", group)
end

---The tasks of a workflow in the order of the spec.
---@param workflow integer seq
---@param all boolean? with the retries that were followed by another
---@return table<integer, table[]> by the seq of their group
function Store:tasks_by_group(workflow, all)
  local out = {}
  for _, t in ipairs(self:rows("SELECT * FROM tasks WHERE workflow = ? ORDER BY seq", workflow)) do
    local list = out[t.grp] or {}
    out[t.grp] = list
    if all or t.status ~= "RESCHEDULED" then
      list[#list + 1] = t
    end
  end
  return out
end

---@param id string
---@param name string
---@return table? row of the latest retry
function Store:task(id, name)
  return self:row(
    [[SELECT t.* FROM tasks t JOIN workflows w ON w.seq = t.workflow
      WHERE (w.id = ?1 OR w.uuid = ?1) AND t.name = ?2 ORDER BY t.retry_id DESC LIMIT 1]],
    id,
    name
  )
end

---The request that a workflow was made with: file, variables, labels, environment, template.
---@param workflow integer seq
---@return table
function Store:request(workflow)
  return json.decode(self:row("SELECT request FROM specs WHERE workflow = ?", workflow).request)
end

---Roots under which file:// urls may lie.
---@return string[] sorted
function Store:roots()
  local out = {}
  for _, row in ipairs(self:rows("SELECT path FROM roots ORDER BY path")) do
    out[#out + 1] = row.path
  end
  return out
end

---@param paths string[] absolute
function Store:add_roots(paths)
  local now = self:now()
  self:transaction("roots", function()
    for _, path in ipairs(paths) do
      self:run("INSERT OR IGNORE INTO roots (path, added) VALUES (?, ?)", path, now)
    end
  end)
end

---@param path string
---@return boolean removed false: it was none
function Store:remove_root(path)
  return self:transaction("roots", function()
    return self:run("DELETE FROM roots WHERE path = ?", path).changes > 0
  end)
end

---Inserts a workflow with its groups and tasks; the caller holds the transaction.
---@param w table columns of workflows, and the request that it was made with
---@param groups table[] columns of groups, each with tasks
---@return integer seq
function Store:insert_workflow(w, groups)
  local seq = self:run(
    [[INSERT INTO workflows (id, uuid, name, number, user, pool, priority, status, submit_time,
        end_time, exec_timeout, queue_timeout, failure_message, parent_name, parent_number,
        warnings, labels, app_owner, app_name, app_version)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]],
    w.id,
    w.uuid,
    w.name,
    w.number,
    w.user,
    w.pool,
    w.priority,
    w.status,
    w.submit_time,
    w.end_time,
    w.exec_timeout,
    w.queue_timeout,
    w.failure_message,
    w.parent_name,
    w.parent_number,
    json.encode(json.array(w.warnings or {})),
    json.encode(w.labels or {}),
    w.app and w.app.owner,
    w.app and w.app.name,
    w.app and w.app.version
  ).last_id
  for key, value in pairs(w.labels or {}) do
    self:run("INSERT INTO labels (workflow, key, value) VALUES (?, ?, ?)", seq, key, value)
  end
  self:run("INSERT INTO specs (workflow, request) VALUES (?, ?)", seq, json.encode(w.request))
  for _, g in ipairs(groups) do
    self:insert_group(seq, g, w.submit_time)
  end
  return seq
end

function Store:insert_group(workflow, g, now)
  local queued = g.status == "SCHEDULING" and now or nil
  local group = self:run(
    [[INSERT INTO groups (workflow, name, uuid, status, cpu, gpu, memory, spec, needs,
        processing_start_time, scheduling_start_time) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]],
    workflow,
    g.name,
    g.uuid,
    g.status,
    g.cpu,
    g.gpu,
    g.memory,
    json.encode(g.spec),
    json.encode(json.array(g.needs)),
    queued,
    queued
  ).last_id
  for _, t in ipairs(g.tasks) do
    self:run(
      [[INSERT INTO tasks (workflow, grp, name, uuid, lead, status, cpu, gpu, memory, storage,
          processing_start_time, scheduling_start_time)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]],
      workflow,
      group,
      t.name,
      t.uuid,
      t.lead and 1 or 0,
      g.status,
      t.cpu,
      t.gpu,
      t.memory,
      t.storage,
      queued,
      queued
    )
  end
end

function Store:close()
  self.db:close()
end

---Opens the store, making it when there is none.
---@param path string
---@return pai.engine.Store? store
---@return pai.Error? err
function M.open(path)
  local handle, e = db.open(path)
  if not handle then
    return nil, e
  end
  -- WAL with NORMAL: a killed process loses nothing, a power cut at most the last moments.
  local ok, fault = pcall(function()
    checked(handle:exec("PRAGMA synchronous = NORMAL"))
    -- One process has the store, held apart by the lock of the engine: to lock each statement anew
    -- would only cost, and where nobody shares the store nobody can make the loop wait.
    checked(handle:exec("PRAGMA locking_mode = EXCLUSIVE"))
    schema.prepare(handle, path)
  end)
  if not ok then
    handle:close()
    return nil, require("pai.err").wrap(fault)
  end
  return setmetatable({ db = handle }, Store)
end

return M
