-- What the commands of `pai osmo` share: where to, how to print, how to wait.
local err = require("pai.err")
local json = require("pai.json")
local out = require("pai.out")
local text = require("pai.text")

local M = {}

local TARGET <const> = {
  name = "target",
  arg = "local|osmo|URL",
  doc = "where to: the embedded engine (local), the OSMO you are logged in to, or this one",
}
M.POOL = { name = "pool", short = "p", arg = "NAME", doc = "the pool (default: yours)" }
M.SET =
  { name = "set", arg = "K=V", many = true, doc = "a template's variable; numbers become numbers" }
M.SET_STRING =
  { name = "set-string", arg = "K=V", many = true, doc = "a template's variable that stays text" }
M.SET_ENV = {
  name = "set-env",
  arg = "K=V",
  many = true,
  doc = "an environment variable of every task",
}
M.PRIORITY = { name = "priority", arg = "P", doc = "HIGH, NORMAL or LOW" }
M.LABEL = { name = "label", arg = "K=V", many = true, doc = "a label for the run" }
M.ROOT = {
  name = "root",
  arg = "DIR",
  many = true,
  doc = "a folder that file:// urls may name (embedded engine)",
}
M.TASK = { name = "task", arg = "NAME", doc = "of this task only" }
M.RETRY = { name = "retry", arg = "N", doc = "of this attempt of the task" }
M.RETRY_ID = { name = "retry-id", arg = "N", doc = "the same" }

---The options of a command: where to, and its own.
---@return pai.cli.Option[]
function M.options(...)
  return { TARGET, ... }
end

---The value, or raises the error.
---@param value any
---@param e pai.Error?
---@return any
function M.checked(value, e)
  if value == nil then
    error(e, 0)
  end
  return value
end

---Connects to where the options say.
---@param opts table
---@param more table? further settings of pai.osmo.client.connect
---@return pai.osmo.Client
function M.connect(opts, more)
  local target, url = nil, opts.target
  if url == nil or url == "local" or url == "osmo" then
    target, url = require("pai.run.target").resolve(url)
  end
  local settings = {
    target = target == "local" and "local" or url,
    roots = opts.root,
    on_warning = function(message)
      out.stderr("warning: " .. message .. "\n")
    end,
  }
  for name, value in pairs(more or {}) do
    settings[name] = value
  end
  return M.checked(require("pai.osmo.client").connect(settings))
end

---@param list string[]?
---@return string[]?
function M.upper(list)
  local out_list = list and {}
  for i, word in ipairs(list or {}) do
    out_list[i] = word:upper()
  end
  return out_list
end

---A day of the user's own time zone among the options, as the service wants it: the day's first
---moment in UTC, without a zone.
---@param opts table
---@param name string of the option
---@return string?
function M.day(opts, name)
  local given = opts[name:gsub("-", "_")]
  if given == nil then
    return nil
  end
  local y, m, d = given:match("^(%d%d%d%d)%-(%d%d)%-(%d%d)$")
  local moment = y and os.time({ year = y, month = m, day = d, hour = 0 })
  if not moment or os.date("%Y-%m-%d", moment) ~= given then
    err.raise("EUSAGE", ("--%s is a day such as 2026-01-31, not '%s'"):format(name, given))
  end
  return os.date("!%Y-%m-%dT%H:%M:%S", moment)
end

---@param answer table of a submit
function M.print_warnings(answer)
  for _, warning in ipairs(answer.warnings or {}) do
    out.stderr("warning: " .. warning .. "\n")
  end
end

---Prints the answer to a submit.
---@param answer table
---@param opts table
function M.print_submitted(answer, opts)
  M.print_warnings(answer)
  if opts.json then
    M.print_json(answer)
  elseif opts.dry_run then
    out.stdout(answer.spec)
  else
    out.stdout(answer.name .. "\n")
  end
end

---A secret out of a file, or out of standard input.
---@param path string "-" for standard input
---@return userdata handle
function M.secret_file(path)
  return (M.checked(require("pai.secret").from_file(path == "-" and "/dev/stdin" or path)))
end

---@param value any
function M.print_json(value)
  out.stdout(json.encode(require("pai.text").masked(value)) .. "\n")
end

---A whole number among the options. Raises EUSAGE.
---@param opts table
---@param name string
---@return integer?
function M.integer(opts, name)
  local given = opts[name:gsub("-", "_")]
  if given == nil then
    return nil
  end
  local n = math.tointeger(tonumber(given))
  if not n or n < 0 then
    err.raise("EUSAGE", ("--%s must be a whole number, not '%s'"):format(name, given))
  end
  return n
end

---Whether a member of an answer is there.
---@param v any
---@return boolean
function M.known(v)
  return v ~= nil and v ~= json.null
end

---@param v any
---@return string
function M.shown(v)
  return M.known(v) and tostring(v) or "-"
end

---@param v number?
---@return string
function M.seconds(v)
  return M.known(v) and require("pai.duration").format(v * 1000) or "-"
end

---"2026-01-02T03:04:05.678000" without what nobody reads.
---@param v string?
---@return string
function M.moment(v)
  return M.known(v) and v:sub(1, 19):gsub("T", " ") or "-"
end

---0 when a run has completed, else 1.
---@param q table answer of query
---@return integer
function M.exit_code(q)
  return q.status == "COMPLETED" and 0 or 1
end

---Prints a run and its tasks for people.
---@param q table answer of query
function M.print_query(q)
  out.stdout(text.columns({
    { "Workflow", q.name },
    { "Status", q.status },
    { "User", q.submitted_by },
    { "Pool", M.shown(q.pool) },
    { "Submitted", M.moment(q.submit_time) .. " UTC" },
    { "Queued", M.seconds(q.queued_time) },
    { "Duration", M.seconds(q.duration) },
  }))
  local rows = { { "TASK", "GROUP", "STATUS", "EXIT", "STARTED", "ENDED" } }
  local reasons = {}
  for _, g in ipairs(q.groups) do
    for _, t in ipairs(g.tasks) do
      rows[#rows + 1] = {
        t.retry_id > 0 and ("%s retry-%d"):format(t.name, t.retry_id) or t.name,
        g.name,
        t.status,
        M.shown(t.exit_code),
        M.moment(t.start_time),
        M.moment(t.end_time),
      }
      if M.known(t.failure_message) then
        reasons[#reasons + 1] = ("%s: %s\n"):format(t.name, text.one_line(t.failure_message))
      end
    end
  end
  if #rows > 1 then
    out.stdout("\n", text.columns(rows))
  end
  if #reasons > 0 then
    out.stdout("\n", table.concat(reasons))
  end
end

---Waits and says what changes; the final answer is printed by the caller.
---@param c pai.osmo.Client
---@param id string
---@param opts table
---@return table answer of query
function M.wait(c, id, opts)
  local before = {}
  return M.checked(c:wait(id, {
    timeout = opts.timeout,
    on_update = function(q)
      if opts.json then
        return
      end
      for _, g in ipairs(q.groups) do
        for _, t in ipairs(g.tasks) do
          if before[t.name] and before[t.name] ~= t.status then
            out.stderr(("%s %s\n"):format(t.name, t.status))
          end
          before[t.name] = t.status
        end
      end
    end,
  }))
end

return M
