-- What is done for one task of a group: its folder, inputs and files, its process, its outputs.
local crypto = require("pai.crypto")
local data = require("pai.engine.data")
local err = require("pai.err")
local exec = require("pai.exec")
local flow = require("pai.engine.flow")
local fs = require("pai.fs")
local sandbox = require("pai.engine.sandbox")
local task = require("pai.task")

local M = {}

---Writes a line of the engine's own about a task.
---@param self pai.engine.Run
---@param t table
---@param text string
function M.say(self, t, text)
  self.engine.logs:task(self.id, t.row.name, t.row.retry_id, text, true)
end

local function teller(self, t)
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

-- Notes a moment of a task; it is stored with the next transition.
local function moment(self, t, column)
  t.times[column] = self.engine.store:now()
end

-- In a plain process the tokens stand for the task's own folder.
local function localise(self, t, value)
  if self.engine.sandbox.kind ~= "plain" then
    return value
  end
  return (value:gsub("/osmo/data/", function()
    return t.folder .. "/osmo/data/"
  end))
end

local function write_files(self, t)
  local out = {}
  for i, f in ipairs(t.spec.files or {}) do
    local contents = f.contents
    if f.base64 then
      local decoded, e = crypto.base64_decode(contents)
      if not decoded then
        err.raise("EFILES", ("file %s: its contents are not base64: %s"):format(f.path, e.message))
      end
      contents = decoded
    else
      contents = localise(self, t, contents)
    end
    local path = f.path
    local into = path:match("^/osmo/data/output/(.+)$")
    local source
    if path:sub(1, 1) ~= "/" then
      source = fs.join(t.workspace, path)
    elseif into then
      source = fs.join(t.output, into)
    else
      source = fs.join(t.folder, "files", tostring(i))
      out[#out + 1] = { source = source, path = path }
    end
    fs.mkdir(fs.dirname(source), { parents = true })
    local ok, e = fs.write(source, contents, { mode = "0444", sync = false })
    if not ok then
      err.raise("EFILES", e.message)
    end
  end
  return out
end

local function source_of(self, input)
  if input.task then
    local id, name = input.task:match("^(.-):(.+)$")
    local path = self.engine:intermediate(id or self.id, name or input.task)
    return fs.exists(path) and path or nil
  end
  local path, why = data.allowed(input.url, self.engine:roots(), self.engine.paths.root)
  if not path then
    err.raise("EROOTS", why)
  end
  return path
end

local function stage(self, t)
  local say = teller(self, t)
  local inputs = t.spec.inputs or {}
  moment(self, t, "input_download_start_time")
  say("Download Start")
  local binds = {}
  local above = self.engine.sandbox.kind == "plain" and t.folder .. "/osmo" or "/osmo"
  for i, input in ipairs(inputs) do
    local n = tostring(input.index or i - 1)
    say(("Downloading %s to {{input:%s}}"):format(input.task or input.url, n))
    binds[#binds + 1] = data.stage(self.engine.sandbox.kind, {
      source = source_of(self, input),
      regex = input.regex,
      at = fs.join(above, "data/input", n),
    }, fs.join(t.folder, "inputs", n), say)
  end
  say("All Inputs Gathered")
  moment(self, t, "input_download_end_time")
  return binds
end

local function mkdir(path)
  local ok, e = fs.mkdir(path, { parents = true, mode = "0700" })
  if not ok then
    error(e, 0)
  end
end

-- On the disk lies what may become large; the rest of /osmo is made in memory by the sandbox.
local function make_folders(self, t)
  fs.remove(t.folder, { recursive = true })
  mkdir(t.output)
  mkdir(t.workspace)
  if self.engine.sandbox.kind == "plain" then
    for _, name in ipairs({ "data/input", "run/home", "login" }) do
      mkdir(fs.join(t.folder, "osmo", name))
    end
    fs.symlink(self.engine.paths.config, fs.join(t.folder, "osmo/login/config"))
  end
end

---Makes the task's folder and everything that the task will see in it. Raises.
---@param self pai.engine.Run
---@param t table
---@return pai.engine.Job
function M.prepare(self, t)
  make_folders(self, t)
  local files = write_files(self, t)
  local ok, fault = M.transfer(t, function()
    t.binds = stage(self, t)
  end)
  if not ok then
    error(fault, 0)
  end
  local command, env = {}, {}
  for _, part in ipairs({ t.spec.command, t.spec.args or {} }) do
    for _, word in ipairs(part) do
      command[#command + 1] = localise(self, t, word)
    end
  end
  for name, value in pairs(t.spec.environment or {}) do
    env[name] = localise(self, t, value)
  end
  env.PAI_TASK_UUID = t.row.uuid
  return {
    folder = t.folder,
    output = t.output,
    config = self.engine.paths.config,
    command = command,
    environment = env,
    gpu = t.row.gpu,
    name = t.row.name,
    inputs = t.binds,
    files = files,
    hide = { self.engine.paths.real_root },
  }
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

---Starts the process of a task. Raises.
---@param self pai.engine.Run
---@param t table
---@param prepared pai.engine.Job
---@return table proc
function M.start(self, t, prepared)
  local plan = sandbox.plan(self.engine.sandbox.kind, prepared)
  local proc, e = exec.start(plan.argv, {
    cwd = plan.cwd,
    env = plan.env,
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

---The code of a process that has ended; a signal counts as a shell counts it.
---@param proc table
---@return integer
function M.exit_code(proc)
  local r, e = proc:wait()
  if r then
    return r.code
  elseif e.code ~= "EEXIT" then
    error(e, 0)
  end
  return 128 + (SIGNALS[e.signal] or SIGNALS.SIGKILL)
end

---Puts the outputs of a task where they belong. Raises.
---@param self pai.engine.Run
---@param t table
function M.upload(self, t)
  local say = teller(self, t)
  say("Upload Start")
  if data.empty(t.output) then
    say("No Files in Output Folder")
    moment(self, t, "output_upload_end_time")
    return
  end
  flow.times(self.engine.store, t.row, t.times)
  local roots, urls = self.engine:roots(), 0
  for i, o in ipairs(t.spec.outputs or {}) do
    if o.url then
      urls = urls + 1
      say("Uploading " .. o.url)
      local target, why = data.allowed(o.url, roots, self.engine.paths.root)
      if not target then
        err.raise("EROOTS", why)
      end
      data.upload(t.output, target, {
        mark = data.mark(t.row, i),
        roots = roots,
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
  moment(self, t, "output_upload_end_time")
end

return M
