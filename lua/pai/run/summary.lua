-- Runs in a few words, for the list of `pai runs` and of the live page.
local fs = require("pai.fs")
local lease = require("pai.run.lease")
local resume = require("pai.run.resume")
local state = require("pai.state")

local M = {}

---@class pai.run.Summary
---@field run string id
---@field recipe string?
---@field title string?
---@field status string green|red|failed|interrupted|input_required|running|killed|broken
---@field reason string?
---@field t string when it began; empty when that can't be told
---@field last string? time of its last line
---@field ms integer?
---@field sessions integer?
---@field media string[]?

---How a run stands: what it ended with, or whether somebody works on it.
---@param id string
---@param ended table? its run.end line
---@return string status
---@return string? reason
function M.status(id, ended)
  local held, owner = lease.is_held(state.run_dir(id) .. "/lease")
  if held then
    return "running", ("pid %s on %s"):format(owner.pid, owner.host)
  elseif ended then
    return ended.status, ended.reason
  end
  return "killed", "the process ended without a last word"
end

---@param id string
---@return pai.run.Summary
---@return pai.run.State? known
function M.of(id)
  local known, e = resume.state(id)
  if not known then
    return { run = id, status = "broken", reason = e.message, t = "" }
  end
  local status, reason = M.status(id, known.ended)
  return {
    run = id,
    recipe = known.start.recipe,
    title = known.start.title,
    status = status,
    reason = reason,
    t = known.start.t,
    last = known.last,
    ms = known.ended and known.ended.ms,
    sessions = known.sessions,
    media = known.media,
  },
    known
end

---All runs, newest first.
---@param of (fun(id: string): pai.run.Summary)? instead of M.of
---@return pai.run.Summary[]
function M.all(of)
  local list = {}
  for _, id in ipairs(fs.list(state.runs()) or {}) do
    if state.is_id(id) then
      list[#list + 1] = ((of or M.of)(id))
    end
  end
  table.sort(list, function(a, b)
    return a.t > b.t
  end)
  return list
end

return M
