-- What is done for one task of a group: its log, its process or container, its outputs.
local base = require("pai.engine.base")
local checkpoint = require("pai.engine.checkpoint")
local container = require("pai.engine.container")
local data = require("pai.engine.data")
local err = require("pai.err")
local exec = require("pai.exec")
local flow = require("pai.engine.flow")
local fs = require("pai.fs")
local sandbox = require("pai.engine.sandbox")
local status = require("pai.engine.status")
local task = require("pai.task")

local M = {}

---Writes a line of the engine's own about a task.
---@param self pai.engine.Run
---@param t table
---@param text string
function M.say(self, t, text)
  self.engine.logs:task(self.id, t.row.name, t.row.retry_id, text, true)
end

---@param self pai.engine.Run
---@param t table
---@return fun(text: string) writes such a line
function M.teller(self, t)
  return function(text)
    M.say(self, t, text)
  end
end

---Runs a transfer in a task of its own, so that a stop can cut it short.
---@param t table
---@param fn function
---@return boolean ok
---@return pai.Error? err
function M.transfer(t, fn)
  t.transfer = task.spawn(function()
    local ok, fault = pcall(fn)
    return ok, fault
  end)
  local ok, done, fault = pcall(t.transfer.wait, t.transfer)
  t.transfer = nil
  if not ok then
    return false, err.wrap(done)
  end
  return done, fault and err.wrap(fault)
end

---Notes a moment of a task; it is stored with the next transition.
---@param self pai.engine.Run
---@param t table
---@param column string
function M.moment(self, t, column)
  t.times[column] = self.engine.store:now()
end

-- Of the output, which goes to the log line by line, next to nothing is kept in memory.
local KEPT_OUTPUT <const> = 4096

-- How long a task's lines may hold the loop, in milliseconds; a task that prints without end must
-- leave time for everybody else.
local SLICE <const> = 5

local function line_taker(self, t)
  local since = task.now()
  return function(line)
    self.engine.logs:task(self.id, t.row.name, t.row.retry_id, line)
    if task.now() - since >= SLICE then
      task.sleep(1)
      since = task.now()
    end
  end
end

-- What a container needs beside what every task has.
local function start_container(self, t, job)
  local pool, spec = self.pool, t.spec
  local limits = spec.limits or {}
  local _, uid = fs.user()
  job.image = spec.image
  job.empty = fs.join(t.folder, "empty")
  fs.mkdir(job.empty, { parents = true, mode = "0755" })
  job.owner = self.engine.paths.real_root
  job.uuid = t.row.uuid
  job.network = spec.hostNetwork and "host" or self.network or pool.network
  job.aliases = self.network and { self.hosts[t.row.name] } or {}
  job.mounts = table.move(pool.default_mounts, 1, #pool.default_mounts, 1, {})
  table.move(spec.volumeMounts or {}, 1, #(spec.volumeMounts or {}), #job.mounts + 1, job.mounts)
  job.privileged = spec.privileged == true
  -- A daemon of root's would leave files that another user's engine cannot read.
  job.user = uid ~= 0 and pool.runtime == "docker" and ("%d"):format(uid) or nil
  job.memory, job.cpu = limits.memory, limits.cpu
  return container.start(pool, job, line_taker(self, t))
end

-- Raises.
local function start_process(self, t, prepared)
  local plan = sandbox.plan(t.kind, prepared)
  t.session = { env = plan.env, cwd = plan.cwd, based = plan.mounts_of ~= nil }
  local proc, e = exec.start(plan.argv, {
    cwd = plan.cwd,
    env = plan.env,
    mounts_of = plan.mounts_of,
    stdin = "null",
    accept = "any",
    max_output = KEPT_OUTPUT,
    on_line = line_taker(self, t),
  })
  if not proc then
    err.raise("ECOMMAND", e.message)
  end
  return proc
end

---Starts the process or the container of a task. Raises.
---@param self pai.engine.Run
---@param t table
---@param prepared pai.engine.Job
---@return table proc
function M.start(self, t, prepared)
  if t.kind == "container" then
    return start_container(self, t, prepared)
  elseif t.kind == "bubblewrap" then
    t.base = base.take(self.engine, prepared)
    prepared.base = t.base
  end
  local ok, proc = pcall(start_process, self, t, prepared)
  if not ok then
    base.give(self.engine, t)
    error(proc, 0)
  end
  return proc
end

-- Numbers of the signals that end a plain process; bubblewrap reports them as 128 + n by itself.
local SIGNALS <const> = {
  SIGHUP = 1,
  SIGINT = 2,
  SIGQUIT = 3,
  SIGILL = 4,
  SIGABRT = 6,
  SIGBUS = 7,
  SIGFPE = 8,
  SIGKILL = 9,
  SIGSEGV = 11,
  SIGPIPE = 13,
  SIGTERM = 15,
}

---@class pai.engine.End
---@field exit_code integer
---@field status string? what it is where no exit action applies; nil for what the code says
---@field message string?
---@field whole boolean? the command ran to its end, so that its outputs count

-- How a container has ended.
local function end_of_container(t)
  local proc = t.proc
  proc:wait()
  if proc.lost then
    return {
      status = "FAILED_BACKEND_ERROR",
      exit_code = status.EXIT.BACKEND,
      message = "The end of the container is not known: " .. proc.lost,
    }
  elseif proc.oom then
    return {
      status = "FAILED_EVICTED",
      exit_code = status.EXIT.EVICTED,
      message = "The task used more memory than it had asked for.",
    }
  elseif proc.missing and container.NOT_RUN_CODES[proc.code] then
    return {
      status = "FAILED",
      exit_code = status.EXIT.COMMAND,
      message = ("cannot run %s: %s"):format(t.spec.command[1], proc.missing),
    }
  end
  return { exit_code = proc.code, whole = true }
end

---Waits for the end of a process or container; a signal counts as a shell counts it.
---@param self pai.engine.Run
---@param t table
---@return pai.engine.End
function M.wait(self, t)
  if t.kind == "container" then
    return end_of_container(t)
  end
  local r, e = t.proc:wait()
  base.give(self.engine, t)
  if not r and e.code ~= "EEXIT" then
    error(e, 0)
  end
  local code = r and r.code or 128 + (SIGNALS[e.signal] or SIGNALS.SIGKILL)
  return { exit_code = code, whole = true }
end

---Puts the outputs of a task where they belong. Raises.
---@param self pai.engine.Run
---@param t table
function M.upload(self, t)
  local say = M.teller(self, t)
  say("Upload Start")
  checkpoint.keep_kpis(self, t, say)
  if data.empty(t.output) then
    say("No Files in Output Folder")
    M.moment(self, t, "output_upload_end_time")
    return
  end
  flow.times(self.engine.store, t.row, t.times)
  local urls = 0
  for i, o in ipairs(t.spec.outputs or {}) do
    if o.url then
      urls = urls + 1
      say("Uploading " .. o.url)
      data.put(self.engine, o.url, t.output, {
        user = self.user,
        mark = data.mark(t.row, i),
        regex = o.regex,
        note = say,
      })
      say("Uploaded " .. o.url)
    end
  end
  if urls == 0 or self.has_downstream then
    local target = self.engine:intermediate(self.id, t.row.name)
    fs.mkdir(fs.dirname(target), { parents = true })
    fs.remove(target, { recursive = true })
    local ok, e = fs.rename(t.output, target)
    if not ok then
      error(e, 0)
    end
  end
  say("All Outputs Uploaded")
  M.moment(self, t, "output_upload_end_time")
end

return M
