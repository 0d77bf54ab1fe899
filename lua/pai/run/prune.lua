-- Prune: removes the folders of old runs that nobody works on.
local duration = require("pai.duration")
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")
local lease = require("pai.run.lease")
local out = require("pai.out")
local state = require("pai.state")

local M = {}

local function old_enough(id, before_s)
  local st = fs.stat(state.run_dir(id) .. "/" .. require("pai.run.journal").FILE)
    or fs.stat(state.run_dir(id))
  return st and st.mtime_ms // 1000 <= before_s
end

-- Removes a run under its own lease, so that nobody resumes it meanwhile.
local function remove(id)
  local dir = state.run_dir(id)
  local path = dir .. "/lease"
  local held = lease.is_held(path)
  if held then
    return false
  end
  local one, e = lease.take(path, "run " .. id, lease.me(id))
  if not one then
    return nil, e
  end
  local ok, failure = fs.remove(dir, { recursive = true })
  one:release()
  return ok, failure
end

---Removes old runs.
---@param summaries table[] newest first
---@param opts table options of the command
---@return integer exit code
function M.run(summaries, opts)
  local older = duration.parse(opts.older or "30d")
  local keep = math.tointeger(tonumber(opts.keep or 20))
  if not older or not keep or keep < 0 then
    err.raise("EUSAGE", "--older takes a duration such as 7d, --keep a count")
  end
  local before_s = os.time() - older // 1000
  local removed = {}
  for i, run in ipairs(summaries) do
    if i > keep and run.status ~= "running" and old_enough(run.run, before_s) then
      if not opts.dry_run then
        local ok, e = remove(run.run)
        if ok == nil then
          error(e, 0)
        end
        if ok then
          removed[#removed + 1] = run.run
        end
      else
        removed[#removed + 1] = run.run
      end
    end
  end
  if opts.json then
    out.stdout(
      json.encode({ removed = json.array(removed), dry_run = opts.dry_run == true }) .. "\n"
    )
  else
    for _, id in ipairs(removed) do
      out.stdout((opts.dry_run and "would remove " or "removed ") .. id .. "\n")
    end
    out.stdout(("%d of %d runs\n"):format(#removed, #summaries))
  end
  return 0
end

return M
