-- A run as the commands of `pai osmo` show it, and waiting for its end.
local common = require("pai.cli.osmo_common")
local out = require("pai.out")
local text = require("pai.text")

local M = {}

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
    { "User", common.shown(q.submitted_by) },
    { "Pool", common.shown(q.pool) },
    { "Submitted", common.moment(q.submit_time) .. " UTC" },
    { "Queued", common.seconds(q.queued_time) },
    { "Duration", common.seconds(q.duration) },
  }))
  local rows = { { "TASK", "GROUP", "STATUS", "EXIT", "STARTED", "ENDED" } }
  local reasons = {}
  for _, g in ipairs(q.groups) do
    for _, t in ipairs(g.tasks) do
      rows[#rows + 1] = {
        t.retry_id > 0 and ("%s retry-%d"):format(t.name, t.retry_id) or t.name,
        g.name,
        t.status,
        common.shown(t.exit_code),
        common.moment(t.start_time),
        common.moment(t.end_time),
      }
      if type(t.failure_message) == "string" then
        reasons[#reasons + 1] = ("%s: %s\n"):format(t.name, text.one_line(t.failure_message))
      end
    end
  end
  if #rows > 1 then
    out.stdout("\n", text.columns(rows))
  end
  for _, warning in ipairs(q.warnings or {}) do
    reasons[#reasons + 1] = ("warning: %s\n"):format(text.one_line(warning))
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
  return common.checked(c:wait(id, {
    timeout = common.duration(opts, "timeout"),
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
