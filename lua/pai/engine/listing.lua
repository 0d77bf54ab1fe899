-- Reading many: the list of runs with its filters, and the logs, error logs and events of one.
local account = require("pai.engine.account")
local json = require("pai.json")
local find = require("pai.engine.find")
local logs = require("pai.engine.logs")
local regex = require("pai.osmo.regex")
local reply = require("pai.engine.reply")
local selector = require("pai.osmo.labels")
local status = require("pai.engine.status")
local wire = require("pai.engine.wire")

local M = {}

-- Lines of a failed task that count as its error log.
local ERROR_LINES <const> = 100

local WITH_LABEL <const> =
  "EXISTS (SELECT 1 FROM labels l WHERE l.workflow = workflows.seq AND l.key = ?%s)"

local WITH_TAG <const> =
  "EXISTS (SELECT 1 FROM tags t WHERE t.workflow = workflows.seq AND t.tag IN (%s))"

---A text as LIKE takes it literally.
---@param text string
---@return string
function M.like(text)
  return (text:gsub("[\\%%_]", "\\%0"))
end

---Adds "column IN (?, ...)"; nothing for an empty list.
---@param where string[]
---@param values any[]
---@param column string
---@param list string[]
function M.one_of(where, values, column, list)
  if #list == 0 then
    return
  end
  where[#where + 1] = ("%s IN (%s)"):format(column, ("?, "):rep(#list - 1) .. "?")
  table.move(list, 1, #list, #values + 1, values)
end

-- Adds one label selector: any of its patterns; "*" alone asks for the key only.
local function by_label(where, values, text)
  local parsed, why = selector.selector(text)
  if not parsed then
    reply.fail("USAGE", tostring(why))
  end
  local any = {}
  values[#values + 1] = parsed.key
  for _, pattern in ipairs(parsed.patterns) do
    any[#any + 1] = "l.value LIKE ? ESCAPE '\\'"
    values[#values + 1] = (M.like(pattern):gsub("%*", "%%"))
  end
  where[#where + 1] = WITH_LABEL:format(" AND (" .. table.concat(any, " OR ") .. ")")
end

---Whose runs, and in which pools: the caller's own and those in the pool of the caller's profile,
---unless the query says more.
---@param engine pai.engine.Engine
---@param where string[]
---@param values any[]
---@param q table query
---@param user string
---@param prefix string "" or "w."
function M.owned(engine, where, values, q, user, prefix)
  local users = q:list("users")
  if #users == 0 and not q:bool("all_users", false) then
    users = { user }
  end
  M.one_of(where, values, prefix .. "user", users)
  if not q:bool("all_pools", false) then
    local pools = q:list("pools")
    M.one_of(
      where,
      values,
      prefix .. "pool",
      #pools > 0 and pools or { account.pool(engine, user) }
    )
  end
end

local function filters(engine, q, user)
  local where, values = {}, {}
  M.owned(engine, where, values, q, user, "")
  local name = q:text("name")
  if name and name ~= "" then
    where[#where + 1] = "instr(id, ?) > 0"
    values[#values + 1] = name
  end
  local statuses = q:enum("statuses", status.WORKFLOW)
  if #statuses > 0 then
    M.one_of(where, values, "status", statuses)
  else
    where[#where + 1] = "status != 'FAILED_SUBMISSION'"
  end
  local after, before = q:time("submitted_after"), q:time("submitted_before")
  if after then
    where[#where + 1] = "submit_time >= ?"
    values[#values + 1] = after
  end
  if before then
    where[#where + 1] = "submit_time < ?"
    values[#values + 1] = before
  end
  M.one_of(where, values, "priority", q:enum("priority", { "HIGH", "NORMAL", "LOW" }))
  for _, text in ipairs(q:list("label")) do
    by_label(where, values, text)
  end
  for _, key in ipairs(q:list("no_label")) do
    where[#where + 1] = "NOT " .. WITH_LABEL:format("")
    values[#values + 1] = key
  end
  local tags = q:list("tags")
  if #tags > 0 then
    where[#where + 1] = WITH_TAG:format(("?, "):rep(#tags - 1) .. "?")
    table.move(tags, 1, #tags, #values + 1, values)
  end
  local app = q:text("app")
  if app then
    local base, version = app:match("^(.*):(%d+)$")
    where[#where + 1] = "app_name = ?"
    values[#values + 1] = base or app
    if base then
      where[#where + 1] = "app_version = ?"
      values[#values + 1] = math.tointeger(tonumber(version))
    end
  end
  return where, values
end

-- A page in one piece: what is kept as text of runs that have ended, and marks for the others.
-- Bytes of 1 are in no JSON text.
local PAGE <const> = [[
  SELECT count(*) AS n, group_concat(seq) AS seqs, group_concat(body) AS body FROM (
    SELECT seq, coalesce(CASE WHEN entry_base = ? THEN entry END, char(1) || seq || char(1)) AS body
    FROM workflows%s ORDER BY submit_time %s, seq %s LIMIT ? OFFSET ?)]]
local MARK <const> = "\1(%d+)\1"

-- The rows of a list, and what is left of them behind a row.
local Rows = {}
Rows.__index = Rows

function Rows:page(engine, limit, offset, from)
  local where, values = table.move(self.where, 1, #self.where, 1, {}), { engine.base_url }
  table.move(self.values, 1, #self.values, 2, values)
  if from then
    where[#where + 1] = ("(submit_time, seq) %s (?, ?)"):format(self.beyond)
    table.move({ from.time, from.seq }, 1, 2, #values + 1, values)
  end
  table.move({ limit, offset }, 1, 2, #values + 1, values)
  local condition = #where > 0 and " WHERE " .. table.concat(where, " AND ") or ""
  local sql = PAGE:format(condition, self.order, self.order)
  return engine.store:row(sql, table.unpack(values))
end

-- Where the page before ended, if it was of the same list and nothing has changed since: the rows
-- before an offset are then not counted again, which would cost more than those of the page.
local function continued(engine, rows, offset, changes)
  local page = engine.last_page
  local same = page and page.key == rows.key and page.offset == offset
  return same and page.changes == changes and page.last or nil
end

-- The last row of a page.
local function last_of(engine, page)
  local seq = math.tointeger(tonumber(page.seqs:match("%d+$")))
  local row = engine.store:row("SELECT submit_time FROM workflows WHERE seq = ?", seq)
  return { time = row.submit_time, seq = seq }
end

---GET /api/workflow
---@param engine pai.engine.Engine
---@param req table
---@param user string
---@return table
function M.workflows(engine, req, user)
  local q = reply.query(req.query)
  local offset, limit = q:int("offset", 0), q:int("limit", 20)
  local order = q:enum("order", { "ASC", "DESC" }, true)[1] or "ASC"
  local where, values = filters(engine, q, user)
  q:check()
  if offset < 0 then
    reply.fail("USAGE", "Parameter start must be a non-negative integer.")
  elseif limit > 1000 then
    reply.fail("USER", "Limit must be less than 1000.")
  end
  limit = math.max(limit, 0)
  local rows = setmetatable({
    where = where,
    values = values,
    order = order,
    beyond = order == "ASC" and ">" or "<",
    key = table.concat({ order, table.concat(where, "\0"), table.concat(values, "\0") }, "\0"),
  }, Rows)
  local changes = engine.store:row("SELECT total_changes() AS n").n
  local from = continued(engine, rows, offset, changes)
  local page = rows:page(engine, limit, from and 0 or offset, from)
  local more = limit == 0 and rows:page(engine, 1, offset).n > 0
  if limit > 0 and page.n == limit then
    local last = last_of(engine, page)
    more = rows:page(engine, 1, 0, last).n > 0
    local next_offset = offset + limit
    engine.last_page = { key = rows.key, offset = next_offset, changes = changes, last = last }
  end
  local body, now = page.body or "", engine.store:now()
  if body:find("\1", 1, true) then
    body = body:gsub(MARK, function(seq)
      local w = engine.store:workflow_by_seq(math.tointeger(tonumber(seq)))
      return json.encode(wire.entry(engine, w, now))
    end)
  end
  return {
    headers = { ["content-type"] = "application/json" },
    body = ('{"workflows":[%s],"more_entries":%s}'):format(body, more),
  }
end

local function both(a, b)
  if not a or not b then
    return a or b
  end
  return function(line)
    return a(line) and b(line)
  end
end

-- A regular expression that is searched in each line.
local function searching(text)
  if not text or text == "" then
    return nil
  end
  local compiled = regex.compile(text)
  if not compiled then
    reply.fail("USER", ("Invalid regex: %s"):format(text))
  end
  return function(line)
    return compiled:search((line:gsub("\n$", "")))
  end
end

local function stream(engine, req, w, kind, opts)
  opts.gone = req.gone
  opts.finished = opts.finished
    or function()
      local row = engine.store:row("SELECT status FROM workflows WHERE seq = ?", w.seq)
      return engine.stopping ~= nil
        or (status.finished(row.status) and not engine.logs:is_open(w.id, kind))
    end
  return {
    headers = {
      ["content-type"] = "text/plain; charset=us-ascii",
      ["x-content-type-options"] = "nosniff",
    },
    stream = function(writer)
      engine.logs:stream(w.id, kind, writer, opts)
    end,
  }
end

-- Our own client can ask for what is there now, in place of following a live run.
local function one_pass(q)
  if q:bool("pai_follow", true) then
    return nil
  end
  return function()
    return true
  end
end

local function last_lines(q)
  local last = q:int("last_n_lines")
  q:check()
  if last and last < 0 then
    reply.fail("USER", "Users should specify positive value for flag -n.")
  end
  return last ~= 0 and last or nil
end

-- What the log of a run says that was refused: it never ran, but whoever looks for the reason looks
-- there.
local function refused(w, filter, last)
  local lines = {}
  for line in ((w.failure_message or "") .. "\n"):gmatch("([^\n]+)\n") do
    line = ("%s [osmo] %s\n"):format(os.date("!%Y/%m/%d %H:%M:%S", w.end_time // 1000), line)
    if not filter or filter(line) then
      lines[#lines + 1] = line
    end
  end
  local first = last and math.max(1, #lines - last + 1) or 1
  return {
    headers = { ["content-type"] = "text/plain; charset=utf-8" },
    body = table.concat(lines, "", first),
  }
end

---GET /api/workflow/{id}/logs
---@param engine pai.engine.Engine
---@param req table
---@param id string
---@return table
function M.logs(engine, req, id)
  local q = reply.query(req.query)
  local retry = q:int("retry_id")
  local last = last_lines(q)
  local w = find.workflow(engine, id)
  local filter = searching(q:text("query"))
  local name = q:text("task_name")
  if name and name ~= "" then
    local t = find.task(engine, id, name)
    filter = both(logs.of_task(name, retry or t.retry_id), filter)
  end
  if w.status == "FAILED_SUBMISSION" then
    return refused(w, filter, last)
  end
  return stream(engine, req, w, "log", { filter = filter, last = last, finished = one_pass(q) })
end

---GET /api/workflow/{id}/error_logs: what the task's log ended with, once it has failed.
---@param engine pai.engine.Engine
---@param req table
---@param id string
---@return table
function M.error_logs(engine, req, id)
  local q = reply.query(req.query)
  local retry = q:int("retry_id")
  local last = last_lines(q)
  local w = find.workflow(engine, id)
  local name = q:text("task_name")
  if not name or name == "" then
    local urls = {}
    for _, g in ipairs(wire.workflow(engine, w, false).groups) do
      for _, t in ipairs(g.tasks) do
        urls[("%s retry-%d"):format(t.name, t.retry_id)] = t.error_logs
      end
    end
    return {
      headers = { ["content-type"] = "text/plain; charset=utf-8" },
      body = "Specify task for error logs.\n\n" .. json.encode(urls, { pretty = true }),
    }
  end
  local t = find.task(engine, id, name)
  if not wire.has_error_logs(t.status) then
    return { headers = { ["content-type"] = "text/plain; charset=us-ascii" }, body = "" }
  end
  local filter = both(logs.of_task(name, retry or t.retry_id), searching(q:text("query")))
  return stream(engine, req, w, "log", {
    filter = filter,
    last = last or ERROR_LINES,
    finished = function()
      return true
    end,
  })
end

---GET /api/workflow/{id}/events
---@param engine pai.engine.Engine
---@param req table
---@param id string
---@return table
function M.events(engine, req, id)
  local q = reply.query(req.query)
  local retry = q:int("retry_id")
  q:check()
  local w = find.workflow(engine, id)
  local name, filter = q:text("task_name"), nil
  if name and name ~= "" then
    local t = find.task(engine, id, name)
    filter = logs.of_task(name, retry or t.retry_id)
  end
  return stream(engine, req, w, "events", { filter = filter, finished = one_pass(q) })
end

return M
