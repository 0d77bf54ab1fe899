-- Submits the workflow of a run exactly once and watches it to its end. The label `run` carries
-- the run's id, so a run that was killed finds its workflow again.
local spec = require("vda.spec")

local M = {}

local PROGRESS <const> = 15 -- seconds from one look at the tasks' logs to the next

---What the specification of a run's workflow is made from.
---@param inp table
---@param source vda.Source
---@param run_id string
---@param dir string the run's folder
---@return vda.Spec
function M.describe(inp, source, run_id, dir)
  local path = dir:gsub("[^%w/._~-]", function(byte)
    return ("%%%02X"):format(byte:byte())
  end)
  return {
    flow = inp.flow,
    run_id = run_id,
    dataset = source.dataset,
    video = source.video,
    augmentations = inp.augmentations,
    labels = inp.labels,
    root = "file://" .. path,
  }
end

---The newest workflow of a run.
---@param ctx pai.ctx
---@return table? workflow { name, status }
function M.find(ctx)
  return ctx.osmo:list({ label = { run = ctx.run_id }, limit = 20 })[1]
end

---Submits. After a lost answer the run's own workflow is looked for, twice, before giving up.
---@param ctx pai.ctx
---@param s vda.Spec
---@return string name of the workflow
function M.submit(ctx, s)
  local text = ctx.yaml.encode(spec.build(s), {
    order = { "workflow", "name", "labels", "timeout", "resources", "groups", "tasks" },
  })
  local ok, answer = pcall(function()
    return ctx.osmo:submit({ spec = text })
  end)
  if ok then
    return answer.name
  end
  local code = type(answer) == "table" and answer.code or nil
  if code ~= "ENETWORK" and code ~= "ETIMEDOUT" then
    error(answer, 0)
  end
  for _ = 1, 2 do
    ctx.wait("2s")
    local found = M.find(ctx)
    if found then
      ctx.log("the answer to the submit was lost; the workflow is there: " .. found.name)
      return found.name
    end
  end
  error(answer, 0)
end

local function tasks(q)
  local list = {}
  for _, group in ipairs(q.groups or {}) do
    for _, one in ipairs(group.tasks or {}) do
      list[#list + 1] = one
    end
  end
  return list
end

local function states(q)
  local parts = {}
  for i, one in ipairs(tasks(q)) do
    parts[i] = ("%s %s"):format(one.name, one.status)
  end
  return table.concat(parts, ", ")
end

-- Why a workflow failed: the first task that failed by itself, its message and its last lines.
local function reason(ctx, q)
  for _, one in ipairs(tasks(q)) do
    local failed = one.status:find("^FAILED") and one.status ~= "FAILED_UPSTREAM"
    if failed then
      local message = type(one.failure_message) == "string" and one.failure_message or ""
      local ok, log = pcall(function()
        return ctx.osmo:logs(q.name, { task = one.name, last = 5 })
      end)
      local exit = math.type(one.exit_code) == "integer" and ", exit code " .. one.exit_code or ""
      local head = ("%s is %s%s. %s"):format(one.name, one.status, exit, message)
      return head .. (ok and type(log) == "string" and "\n" .. log or "")
    end
  end
  return ""
end

-- The last line that each running task said.
local function progress(ctx, q)
  local parts = {}
  for _, one in ipairs(tasks(q)) do
    if one.status == "RUNNING" then
      local ok, log = pcall(function()
        return ctx.osmo:logs(q.name, { task = one.name, last = 1 })
      end)
      local line = ok and type(log) == "string" and log:match("%] ([^\n]+)")
      parts[#parts + 1] = line and ("; %s: %s"):format(one.name, line) or nil
    end
  end
  return table.concat(parts)
end

---Waits until the workflow has ended.
---@param ctx pai.ctx
---@param name string
---@return { workflow: string, status: string, tasks: table[] }
function M.watch(ctx, name)
  local found = M.find(ctx)
  if found then
    name = found.name
  end
  if ctx.resumed and found and found.status:find("^FAILED") then
    local again = ctx.osmo:restart(name)
    ctx.log(("workflow %s is %s; restarted as %s"):format(name, found.status, again.name))
    name = again.name
  end
  local said, at = "", os.time()
  local q = ctx.osmo:wait(name, {
    every = "1s",
    on_update = function(now)
      if os.time() - at >= PROGRESS then
        said, at = progress(ctx, now), os.time()
      end
      local observation = states(now) .. said
      ctx.heartbeat({ state = now.status, observation = observation, next = "asks again in 1s" })
    end,
  })
  if q.status ~= "COMPLETED" then
    local engine = q.status == "FAILED_BACKEND_ERROR" and " (the engine ended while it ran)" or ""
    local message = "workflow %s is %s%s: %s\npai resume %s goes on"
    error(message:format(name, q.status, engine, reason(ctx, q), ctx.run_id), 0)
  end
  local list = {}
  for i, one in ipairs(tasks(q)) do
    list[i] = { name = one.name, status = one.status }
  end
  return { workflow = name, status = q.status, tasks = list }
end

return M
