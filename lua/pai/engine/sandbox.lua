-- How a task becomes a process: bubblewrap where it works (host root read-only, own namespaces,
-- the task's folder at /osmo, all of it dead when the engine is), else a plain process in the
-- task's folder. Says nothing about when a task runs.
local err = require("pai.err")
local exec = require("pai.exec")
local fs = require("pai.fs")
local gpu = require("pai.engine.gpu")
local namespace = require("pai.engine.namespace")
local root = require("pai.engine.root")

local M = {}

local USER <const> = fs.user()

local PATH <const> = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

-- A directory with more entries than this is not rebuilt entry by entry to put a file into it: the
-- cost grows with the square of the mounts.
local MAX_ENTRIES <const> = 600

-- bubblewrap takes 9000 arguments.
local MAX_ARGS <const> = 8900

-- Capabilities go last: as root they would let a task remount its read-only view.
M.ISOLATE = {
  "bwrap",
  "--unshare-user",
  "--unshare-pid",
  "--unshare-ipc",
  "--unshare-uts",
  "--unshare-net",
  "--unshare-cgroup-try",
  "--die-with-parent",
  "--new-session",
  "--cap-drop",
  "ALL",
}

local extend = root.extend
local OWN <const> = root.OWN

---A sandbox that does nothing.
---@param base integer? a process in the base that it begins in
---@return {argv: string[], mounts_of: integer?}
function M.trial(base)
  local args = table.move(M.ISOLATE, 1, #M.ISOLATE, 1, {})
  if base then
    root.identity(args)
  end
  root.bind(args, base ~= nil)
  extend(args, "--remount-ro", "/", "--", "/bin/sh", "-c", ":")
  return { argv = args, mounts_of = base }
end

---Finds out how tasks can run here.
---@return {kind: "bubblewrap"|"plain", reason: string?}
function M.detect()
  if os.getenv("PAI_ENGINE_SANDBOX") == "plain" then
    return { kind = "plain", reason = "PAI_ENGINE_SANDBOX=plain" }
  end
  local r, e = exec.run(M.trial().argv, { timeout = "20s", stdin = "null" })
  if r then
    return { kind = "bubblewrap" }
  end
  local reason = e.code == "ENOENT" and "bubblewrap (bwrap) is not installed"
    or "bubblewrap does not work here: " .. ((e.stderr or ""):match("^[^\n]+") or e.message)
  return { kind = "plain", reason = reason }
end

-- The deepest ancestor of path that exists, resolved, and what of the path lies beyond it.
local function existing_ancestor(path)
  local dir, tail = path, ""
  repeat
    dir, tail = fs.dirname(dir), "/" .. fs.basename(dir) .. tail
    local real = fs.realpath(dir)
    if real then
      return real, tail
    end
  until dir == "/"
  return "/", path
end

-- Makes a read-only directory of the host writable for bubblewrap's mount points: a tmpfs with
-- every entry bound back into it.
local function rebuild(args, dir)
  local names = fs.list(dir)
  if not names or #names > MAX_ENTRIES then
    err.raise("EFILES", ("cannot put a file into %s: it has too many entries"):format(dir))
  end
  extend(args, "--tmpfs", dir)
  for _, name in ipairs(names) do
    local path = fs.join(dir, name)
    local target = fs.readlink(path)
    if target then
      extend(args, "--symlink", target, path)
    else
      extend(args, "--ro-bind-try", path, path)
    end
  end
end

local function top(path)
  return path:match("^/([^/]+)")
end

-- Binds the files of a task. Those that lie in read-only directories of the host need the
-- directory rebuilt first, outer ones before inner ones.
local function bind_files(args, files)
  local rebuilt, binds = {}, {}
  for _, f in ipairs(files) do
    local path = f.path
    local first = top(path)
    if first == "proc" or first == "dev" or first == "sys" then
      err.raise("EFILES", ("cannot put a file at %s"):format(path))
    end
    local host = fs.stat(path)
    if not OWN[first] and fs.exists("/" .. first) then
      if host and host.type == "directory" then
        err.raise("EFILES", ("cannot put a file at %s: there is a directory"):format(path))
      elseif host then
        path = fs.realpath(path) or path
      else
        local dir, tail = existing_ancestor(path)
        path = (dir == "/" and "" or dir) .. tail
        if dir ~= "/" and not OWN[top(dir)] then
          rebuilt[dir] = true
        end
      end
    end
    extend(binds, "--ro-bind", f.source, path)
  end
  local dirs = {}
  for dir in pairs(rebuilt) do
    dirs[#dirs + 1] = dir
  end
  table.sort(dirs, function(a, b)
    return #a < #b or (#a == #b and a < b)
  end)
  for _, dir in ipairs(dirs) do
    rebuild(args, dir)
  end
  return binds, dirs
end

-- Names of the engine's own environment, sorted.
local function environment_names()
  local out = {}
  local f = io.open("/proc/self/environ", "rb")
  if not f then
    return out
  end
  for entry in f:read("a"):gmatch("[^\0]+") do
    out[#out + 1] = entry:match("^([^=]+)=")
  end
  f:close()
  table.sort(out)
  return out
end

-- Names of the engine's own environment that pai.exec hands on by itself and that a task must
-- not see.
local own_names

local function leaked_names(env)
  own_names = own_names or environment_names()
  local out = {}
  for _, name in ipairs(own_names) do
    if env[name] == nil then
      out[#out + 1] = name
    end
  end
  return out
end

M.leaked_names = leaked_names

---@class pai.engine.Job
---@field folder string the task's folder on the host
---@field output string what becomes /osmo/data/output
---@field config string folder that becomes /osmo/login/config
---@field command string[] command and args
---@field environment table<string, string>
---@field gpu integer
---@field name string
---@field inputs {source: string?, at: string}[] read-only binds under /osmo/data/input
---@field files {source: string, path: string}[]
---@field hide string[] folders of the host that no task may look into
---@field gpus integer[]? indices of the GPUs that it may use
---@field net integer? a process of the network that its group shares
---@field base pai.engine.Base? mounts that stand ready for it

local function environment(job, osmo)
  local env = {
    PATH = PATH,
    HOME = osmo .. "/run/home",
    USER = USER,
    LANG = "C.UTF-8",
    OSMO_CONFIG_FILE_DIR = osmo .. "/login/config",
  }
  if job.gpu == 0 then
    env.NVIDIA_VISIBLE_DEVICES = ""
  else
    env.NVIDIA_VISIBLE_DEVICES = table.concat(job.gpus, ",")
    env.CUDA_VISIBLE_DEVICES = env.NVIDIA_VISIBLE_DEVICES
  end
  for name, value in pairs(job.environment) do
    env[name] = value
  end
  return env
end

local function is_executable(path)
  local st = fs.stat(path)
  return st ~= nil and st.type == "file" and st.mode & 73 ~= 0 -- 0111
end

-- A command that cannot be found is told apart from one that ends with 1 or 127 by itself.
local function check_command(job, env)
  local program = job.command[1]
  for _, f in ipairs(job.files) do
    if f.path == program then
      err.raise(
        "ECOMMAND",
        ("cannot run %s: files of a task cannot be executed, name their interpreter"):format(
          program
        )
      )
    end
  end
  if program:find("/", 1, true) then
    local first = top(program)
    if first and not OWN[first] and not is_executable(program) then
      err.raise("ECOMMAND", ("cannot run %s: no such program on this host"):format(program))
    end
    return
  end
  for dir in env.PATH:gmatch("[^:]+") do
    if OWN[top(dir) or ""] or is_executable(fs.join(dir, program)) then
      return
    end
  end
  err.raise("ECOMMAND", ("cannot run %s: not found in PATH (%s)"):format(program, env.PATH))
end

---Whether the sandbox of a task may begin in a base: all that it binds is in there.
---@param job pai.engine.Job
---@return boolean
function M.fits_base(job)
  local engine_root = job.hide[1] .. "/"
  for _, input in ipairs(job.inputs) do
    local source = input.source and (fs.realpath(input.source) or input.source)
    if source and OWN[top(source)] and source:sub(1, #engine_root) ~= engine_root then
      return false
    end
  end
  return job.gpu == 0 and not job.net and #job.files == 0
end

---The command line, environment and working directory for a task. Raises ECOMMAND or EFILES.
---@param kind "bubblewrap"|"plain"
---@param job pai.engine.Job
---@return {argv: string[], env: table<string, string>, cwd: string, mounts_of: integer?}
function M.plan(kind, job)
  if kind == "plain" then
    local env = environment(job, job.folder .. "/osmo")
    check_command(job, env)
    local argv = { "env" }
    for _, name in ipairs(leaked_names(env)) do
      extend(argv, "-u", name)
    end
    table.move(job.command, 1, #job.command, #argv + 1, argv)
    return { argv = argv, env = env, cwd = job.folder .. "/osmo/run/workspace" }
  end
  local env = environment(job, "/osmo")
  check_command(job, env)
  local args = {}
  for _, word in ipairs(M.ISOLATE) do
    if not job.net or word ~= "--unshare-net" then
      args[#args + 1] = word
    end
  end
  for _, name in ipairs(leaked_names(env)) do
    extend(args, "--unsetenv", name)
  end
  if job.base then
    root.identity(args)
  end
  root.bind(args, job.base ~= nil)
  if job.gpu > 0 then
    for _, path in ipairs(gpu.devices(job.gpus)) do
      extend(args, "--dev-bind-try", path, path)
    end
  end
  local binds, dirs = bind_files(args, job.files)
  for _, path in ipairs(job.hide) do
    if not OWN[top(path)] then
      extend(args, "--tmpfs", path)
    end
  end
  -- /osmo itself lies in memory; what may become large lies in the task's folder.
  extend(args, "--tmpfs", "/osmo", "--dir", "/osmo/data/input")
  extend(
    args,
    "--bind",
    job.output,
    "/osmo/data/output",
    "--bind",
    job.folder .. "/run",
    "/osmo/run"
  )
  extend(args, "--dir", "/osmo/run/home")
  extend(args, "--ro-bind", job.config, "/osmo/login/config")
  for _, input in ipairs(job.inputs) do
    if input.source then
      extend(args, "--ro-bind", input.source, input.at)
    else
      extend(args, "--dir", input.at)
    end
  end
  table.move(binds, 1, #binds, #args + 1, args)
  extend(args, "--remount-ro", "/osmo")
  for _, dir in ipairs(dirs) do
    extend(args, "--remount-ro", dir)
  end
  if not job.base then
    extend(args, "--remount-ro", "/")
  end
  extend(args, "--chdir", "/osmo/run/workspace")
  extend(args, "--hostname", job.name:gsub("_", "-"):sub(1, 63), "--")
  table.move(job.command, 1, #job.command, #args + 1, args)
  if #args > MAX_ARGS then
    err.raise("EFILES", "too many arguments, inputs and files for one task")
  end
  if job.net then
    local join = namespace.words(job.net, { "net" })
    args = table.move(args, 1, #args, #join + 1, join)
  end
  local mounts_of = job.base and job.base.held.pid
  return { argv = args, env = env, cwd = job.folder, mounts_of = mounts_of }
end

return M
