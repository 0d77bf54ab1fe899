-- What a task finds when it starts: its folder, inputs, files, credentials and environment.
local container = require("pai.engine.container")
local credentials = require("pai.engine.credentials")
local crypto = require("pai.crypto")
local data = require("pai.engine.data")
local err = require("pai.err")
local fs = require("pai.fs")
local job = require("pai.engine.job")
local remote = require("pai.engine.remote")
local spare = require("pai.engine.spare")

local M = {}

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

-- That an output cannot be written is said before the command has worked for it.
local function check_outputs(self, t)
  for _, o in ipairs(t.spec.outputs or {}) do
    if o.url and remote.is(o.url) then
      remote.check_write(self.engine, o.url, self.user)
    end
  end
end

local function stage(self, t)
  local say = job.teller(self, t)
  local inputs = t.spec.inputs or {}
  check_outputs(self, t)
  job.moment(self, t, "input_download_start_time")
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
  job.moment(self, t, "input_download_end_time")
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
function M.run(self, t)
  local config = credentials.login_dir(self.engine, self.user)
  make_folders(self, t, config)
  local files = write_files(t)
  local ok, fault = job.transfer(t, function()
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

return M
