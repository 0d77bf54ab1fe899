-- What is done for one task of a group: its folder, inputs and files, its process, its outputs.
local checkpoint = require("pai.engine.checkpoint")
local container = require("pai.engine.container")
local credentials = require("pai.engine.credentials")
local crypto = require("pai.crypto")
local data = require("pai.engine.data")
local err = require("pai.err")
local exec = require("pai.exec")
local flow = require("pai.engine.flow")
local fs = require("pai.fs")
local remote = require("pai.engine.remote")
local sandbox = require("pai.engine.sandbox")
local spare = require("pai.engine.spare")
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
local function localise(t, value)
  if t.kind ~= "plain" then
    return value
  end
  return (value:gsub("/osmo/data/", function()
    return t.folder .. "/osmo/data/"
  end))
end

local function write_files(t)
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
      contents = localise(t, contents)
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
  local above = t.kind == "plain" and t.folder .. "/osmo" or "/osmo"
  for i, input in ipairs(inputs) do
    local n = tostring(input.index or i - 1)
    say(("Downloading %s to {{input:%s}}"):format(input.task or input.url, n))
    local at, scratch = fs.join(above, "data/input", n), fs.join(t.folder, "inputs", n)
    if input.url and remote.is(input.url) then
      local wanted = { url = input.url, regex = input.regex, at = at }
      local opts = { user = self.user, note = say }
      binds[#binds + 1] = data.fetch(self.engine, t.kind, wanted, scratch, opts)
    else
      local wanted = { source = source_of(self, input), regex = input.regex, at = at }
      binds[#binds + 1] = data.stage(t.kind, wanted, scratch, say)
    end
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
local function make_folders(self, t, config)
  fs.mkdir(fs.dirname(t.folder), { mode = "0700" })
  if fs.exists(t.folder) then
    fs.remove(t.folder, { recursive = true })
  end
  if spare.take(self.engine, t) then
    return
  end
  if t.kind == "plain" then
    mkdir(t.output)
    mkdir(t.workspace)
    for _, name in ipairs({ "data/input", "run/home", "login" }) do
      mkdir(fs.join(t.folder, "osmo", name))
    end
    fs.symlink(config, fs.join(t.folder, "osmo/login/config"))
    return
  end
  -- One by one: each look at a folder of the path that is there already costs, too.
  for _, path in ipairs({ t.folder, t.output, fs.dirname(t.workspace), t.workspace }) do
    local ok, e = fs.mkdir(path, { mode = "0700" })
    if not ok then
      error(e, 0)
    end
    if t.kind == "container" and path ~= t.folder then
      -- An image may run as any user; the folder above lets nobody else in.
      fs.chmod(path, "0777")
    end
  end
end

-- Gives a task its credentials: values as variables, or all of one as files of a folder.
local function add_credentials(self, t, env, files)
  for name, how in pairs(t.spec.credentials or {}) do
    local credential = credentials.find(self.engine, self.user, name)
    if not credential then
      err.raise("ECREDENTIAL", ("the credential %s is not there any more"):format(name))
    end
    if type(how) == "string" then
      for _, key in ipairs(credential.keys) do
        local path = how:gsub("/+$", "") .. "/" .. key
        files[#files + 1] = { source = credentials.file(credential, key), path = path }
      end
    else
      for variable, key in pairs(how) do
        if t.kind == "container" then
          env[variable] = credentials.value(credential, key)
        else
          env[variable] = credentials.open(credential, key)
        end
      end
    end
  end
end

-- The names of the group's tasks, for their own loopback.
local function add_hosts(self, t, files)
  local path = fs.join(t.folder, "hosts")
  local ok, e = fs.write(path, self.hosts_file, { mode = "0644", sync = false })
  if not ok then
    error(e, 0)
  end
  files[#files + 1] = { source = path, path = "/etc/hosts" }
end

---Makes the task's folder and everything that the task will see in it. Raises.
---@param self pai.engine.Run
---@param t table
---@return pai.engine.Job
function M.prepare(self, t)
  local config = credentials.login_dir(self.engine, self.user)
  make_folders(self, t, config)
  local files = write_files(t)
  local ok, fault = M.transfer(t, function()
    t.binds = stage(self, t)
    if t.kind == "container" then
      local image = t.spec.image
      container.have_image(self.pool, image, credentials.registry(self.engine, self.user, image))
    end
  end)
  if not ok then
    error(fault, 0)
  end
  local command, env = {}, {}
  for _, part in ipairs({ t.spec.command, t.spec.args or {} }) do
    for _, word in ipairs(part) do
      command[#command + 1] = localise(t, word)
    end
  end
  for name, value in pairs(t.spec.environment or {}) do
    env[name] = localise(t, value)
  end
  env.PAI_TASK_UUID = t.row.uuid
  add_credentials(self, t, env, files)
  if self.net then
    add_hosts(self, t, files)
  end
  return {
    folder = t.folder,
    output = t.output,
    config = config,
    command = command,
    environment = env,
    gpu = t.row.gpu,
    gpus = t.gpus,
    net = self.net,
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

---Starts the process or the container of a task. Raises.
---@param self pai.engine.Run
---@param t table
---@param prepared pai.engine.Job
---@return table proc
function M.start(self, t, prepared)
  if t.kind == "container" then
    return start_container(self, t, prepared)
  end
  local plan = sandbox.plan(t.kind, prepared)
  t.session = { env = plan.env, cwd = plan.cwd }
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

---The code of a process or container that has ended; a signal counts as a shell counts it.
---@param t table
---@return integer code
---@return {status: string, exit_code: integer, message: string}? ending when no exit action applies
function M.exit_code(t)
  local proc = t.proc
  if t.kind == "container" then
    proc:wait()
    if proc.lost then
      return 1,
        {
          status = "FAILED_BACKEND_ERROR",
          exit_code = status.EXIT.BACKEND,
          message = "The end of the container is not known: " .. proc.lost,
        }
    elseif proc.oom then
      return proc.code,
        {
          status = "FAILED_EVICTED",
          exit_code = status.EXIT.EVICTED,
          message = "The task used more memory than it had asked for.",
        }
    elseif proc.missing and container.NOT_RUN_CODES[proc.code] then
      return proc.code,
        {
          status = "FAILED",
          exit_code = status.EXIT.COMMAND,
          message = ("cannot run %s: %s"):format(t.spec.command[1], proc.missing),
        }
    end
    return proc.code
  end
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
  checkpoint.keep_kpis(self, t, say)
  if data.empty(t.output) then
    say("No Files in Output Folder")
    moment(self, t, "output_upload_end_time")
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
  moment(self, t, "output_upload_end_time")
end

return M
