-- ctx: the only way for a recipe to act. It raises on failure, so that an unchecked error fails
-- closed. In checks, done, each and estimate it only observes; what acts is refused by name.
local async = require("pai.async")
local ctx_fs = require("pai.run.ctx_fs")
local duration = require("pai.duration")
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")
local mask = require("pai.mask")
local task = require("pai.task")
local text = require("pai.text")

local M = {}

---@class pai.run.CtxEnv
---@field run table the run (or plan) that this belongs to
---@field scope pai.recipe.Scope
---@field step string full name
---@field item any of `each`
---@field mode "act"|"read"|"plan"
---@field where string for messages: "checks of preflight"
---@field cwd string
---@field run_dir string
---@field needs pai.run.Needs
---@field osmo_roots string[]

local function checked(value, e)
  if value == nil and e then
    error(e, 0)
  end
  return value
end

local function act_only(env, what, instead)
  if env.mode ~= "act" then
    local message = "%s acts; %s may only observe%s"
    err.raise("EACCES", message:format(what, env.where, instead and ": " .. instead or ""))
  end
end

-- A secret may go only where its input says: `hosts` for requests, `bins` for processes.
local function check_secret(env, handle, kind, name, matches)
  if type(handle) ~= "userdata" then
    return
  end
  local decl = env.run.secret_decls[handle]
  for _, entry in ipairs(decl and decl[kind] or {}) do
    if entry:sub(1, 1) == "@" then
      local value = env.scope.inp[entry:sub(2)]
      entry = entry == "@osmo" and env.run.osmo_url or type(value) == "string" and value or ""
    end
    if matches(entry) then
      return
    end
  end
  if decl then
    local message = "the secret '%s' may not be given to %s: its input's %s do not name it"
    err.raise("EACCES", message:format(decl.name, name, kind))
  end
end

local REFUSED_OPTIONS <const> = {
  inherit_env = "name what the program needs in env",
}

-- Checks a command and its options; the copy has what pai adds.
local function exec_options(env, argv, opts)
  if type(argv) ~= "table" or type(argv[1]) ~= "string" then
    err.raise("EINVAL", "a command is a list of arguments, such as { 'ffmpeg', '-version' }")
  end
  local copy = {}
  for k, v in pairs(opts or {}) do
    if REFUSED_OPTIONS[k] then
      err.raise("EACCES", ("%s is not for recipes: %s"):format(k, REFUSED_OPTIONS[k]))
    end
    copy[k] = v
  end
  for _, stream in ipairs({ "stdin", "stdout", "stderr" }) do
    local where = copy[stream]
    if where == "inherit" then
      err.raise("EACCES", stream .. " = 'inherit' is not for recipes: the terminal is pai's")
    elseif type(where) == "table" and where.file then
      local target = {}
      for k, v in pairs(where) do
        target[k] = v
      end
      target.file = ctx_fs.path(env, where.file)
      if stream ~= "stdin" then
        ctx_fs.check_change(env, stream .. " to a file", target.file)
      end
      copy[stream] = target
    end
  end
  for name, value in pairs(copy.env or {}) do
    if type(value) == "string" and mask.find(value) then
      local message = "the environment variable %s is text that holds a secret: give its handle"
      err.raise("EACCES", message:format(name))
    end
    check_secret(env, value, "bins", argv[1], function(entry)
      return entry == argv[1]
    end)
  end
  check_secret(env, copy.stdin, "bins", argv[1], function(entry)
    return entry == argv[1]
  end)
  copy.cwd = copy.cwd and ctx_fs.path(env, copy.cwd) or env.cwd
  return copy
end

-- The last line of a program's output is what a person sees of a step that works.
local function observed(env, opts)
  local on_line = opts.on_line
  opts.on_line = function(line, stream)
    env.run:line(env.step, line, stream)
    if on_line then
      on_line(line, stream)
    end
  end
  return opts
end

local function add_processes(ctx, env)
  function ctx.query(argv, opts)
    opts = exec_options(env, argv, opts)
    env.needs:check_read(argv)
    if not opts.timeout then
      opts.timeout = "60s"
    end
    return checked(require("pai.exec").run(argv, opts))
  end
  function ctx.exec(argv, opts)
    act_only(env, "ctx.exec", "use ctx.query")
    opts = exec_options(env, argv, opts)
    env.needs:check_bin(argv[1])
    if opts.stdout == nil or opts.stdout == "capture" then
      opts = opts.raw and opts or observed(env, opts)
    end
    return checked(env.run.children:run(env.step, argv, opts))
  end
  function ctx.which(program)
    for dir in (os.getenv("PATH") or ""):gmatch("[^:]+") do
      local path = dir .. "/" .. program
      local st = fs.stat(path)
      if st and st.type == "file" and st.mode & 73 ~= 0 then -- 0111
        return path
      end
    end
  end
end

local function add_http(ctx, env)
  function ctx.http(opts)
    if type(opts) ~= "table" or type(opts.url) ~= "string" then
      err.raise("EINVAL", "ctx.http takes a table with a url")
    end
    local method = (opts.method or "GET"):upper()
    if method ~= "GET" and method ~= "HEAD" then
      act_only(env, "ctx.http with " .. method, "use GET or HEAD")
    end
    if opts.follow and opts.follow ~= 0 then
      err.raise(
        "EACCES",
        "ctx.http follows no redirect: it may lead to a host outside of needs.hosts"
      )
    end
    env.needs:check_host(opts.url, opts.unix_socket)
    local names_host = require("pai.run.needs").names_host
    local function may(entry)
      return names_host({ entry }, opts.url)
    end
    local basic = type(opts.basic) == "table" and opts.basic or {}
    for _, value in ipairs({ opts.bearer or false, opts.body or false, table.unpack(basic) }) do
      check_secret(env, value, "hosts", opts.url, may)
    end
    for _, value in pairs(opts.headers or {}) do
      check_secret(env, value, "hosts", opts.url, may)
    end
    local copy = {}
    for k, v in pairs(opts) do
      copy[k] = v
    end
    if copy.output then
      copy.output = ctx_fs.path(env, copy.output)
      ctx_fs.check_change(env, "ctx.http with output", copy.output)
    end
    return checked(require("pai.http").request(copy))
  end
end

-- JSON with secrets in it. The result may go where each of them may.
local function seal(env, value)
  local sealed = checked(json.seal(value))
  local decl
  local function look(inner, depth)
    if type(inner) == "table" and depth < 64 then
      for _, member in pairs(inner) do
        look(member, depth + 1)
      end
    elseif type(inner) == "userdata" and env.run.secret_decls[inner] then
      local known = env.run.secret_decls[inner]
      if decl and decl ~= known then
        err.raise("EINVAL", "ctx.json.seal takes values of one secret input")
      end
      decl = known
    end
  end
  look(value, 0)
  env.run.secret_decls[sealed] = decl
  return sealed
end

local function add_files(ctx, env)
  ctx.fs = ctx_fs.new(env)
  function ctx.read(path)
    path = ctx_fs.path(env, path)
    if fs.basename(path) == ".env" then
      err.raise("EACCES", path .. " holds secrets and is not read as text: declare an input")
    end
    return checked(fs.read(path))
  end
  function ctx.write(path, body, opts)
    path = ctx_fs.path(env, path)
    ctx_fs.check_change(env, "ctx.write", path)
    if type(body) ~= "string" then
      err.raise("EINVAL", "ctx.write takes text, not " .. type(body))
    elseif mask.text(body) ~= body then
      err.raise("EACCES", ("%s is not written: the text holds a secret"):format(path))
    end
    checked(fs.write(path, body, { mode = opts and opts.mode }))
    return path
  end
  ctx.json = {
    null = json.null,
    array = json.array,
    encode = function(value, opts)
      return checked(json.encode(value, opts))
    end,
    decode = function(body, opts)
      return checked(json.decode(body, opts))
    end,
    seal = function(value)
      return seal(env, value)
    end,
  }
  ctx.yaml = {
    encode = function(value, opts)
      return checked(require("pai.yaml").encode(value, opts))
    end,
    decode = function(body, opts)
      return checked(require("pai.yaml").decode(body, opts))
    end,
  }
  function ctx.hash(body)
    return require("pai.digest").sha256(body)
  end
end

-- Polls until fn gives something; says what it waits for.
local function poll(env, fn, opts)
  opts = opts or {}
  local every = duration.parse(opts.every or "2s")
  local limit = duration.parse(opts.timeout or "10m")
  if not every or not limit then
    err.raise("EINVAL", "ctx.wait: every and timeout are durations")
  end
  local what = opts.what or "a condition"
  local began = task.now()
  while true do
    local value = fn()
    if value ~= nil and value ~= false then
      return value
    end
    local waited = task.now() - began
    if waited + every > limit then
      local message = ("waiting for %s: not there after %s"):format(what, duration.format(waited))
      err.raise("ETIMEDOUT", message, { retryable = true })
    end
    env.run:waiting(env.step, what, waited)
    task.sleep(every)
  end
end

local function add_flow(ctx, env)
  function ctx.log(message)
    env.run:log(env.step, tostring(message))
  end
  function ctx.heartbeat(beat)
    if type(beat) ~= "table" then
      err.raise("EINVAL", "ctx.heartbeat takes { state =, observation =, next = }")
    end
    env.run:beat(env.step, beat)
  end
  function ctx.media(path)
    act_only(env, "ctx.media")
    path = ctx_fs.path(env, path)
    if not fs.exists(path) then
      err.raise("ENOENT", "ctx.media: no file at " .. path)
    end
    env.run:media(env.step, path)
    return path
  end
  function ctx.all(fns, opts)
    return async.all(fns, opts)
  end
  function ctx.wait(what, opts)
    if type(what) == "function" then
      return poll(env, what, opts)
    end
    task.sleep(what)
  end
  function ctx.secret(name)
    local decls = env.scope.loaded.doc.inputs or {}
    local decl = decls[name]
    if not decl or decl.type ~= "secret" then
      local hint = text.did_you_mean(tostring(name), text.keys(decls))
      err.raise("EACCES", ("no secret input '%s' is declared%s"):format(tostring(name), hint))
    end
    return env.scope.inp[name]
  end
end

-- A module's functions in a table of the recipe's own.
local function copy_of(module)
  local copy = {}
  for name, fn in pairs(require(module)) do
    copy[name] = fn
  end
  return copy
end

-- What is made when a recipe first names it.
local LATE <const> = {
  osmo = function(_, env)
    return require("pai.run.ctx_osmo").new(env)
  end,
  k8s = function(_, env)
    return require("pai.run.ctx_k8s").new(env)
  end,
  store = function(_, env)
    local names_host = require("pai.run.needs").names_host
    return require("pai.run.ctx_store").new(env, function(handle, url)
      check_secret(env, handle, "hosts", url, function(entry)
        return names_host({ entry }, url)
      end)
    end)
  end,
  osmo_deploy = function(ctx, env)
    return require("pai.osmo_deploy").new(ctx, env)
  end,
  kubeconfig = function(_, env)
    return require("pai.run.ctx_kubeconfig").new(env)
  end,
  tools = function(ctx)
    return require("pai.run.ctx_tools").new(ctx)
  end,
  check = function(ctx, env)
    return require("pai.run.ctx_check").new(ctx, env)
  end,
  inference = function(ctx)
    return require("pai.inference").new(ctx)
  end,
  -- Arithmetic of networks and versions; neither looks at anything.
  cidr = function()
    return copy_of("pai.cidr")
  end,
  semver = function()
    return copy_of("pai.semver")
  end,
}

---Makes a ctx.
---@param env pai.run.CtxEnv
---@return table ctx described in lua/pai/meta/ctx.lua
function M.new(env)
  local run = env.run
  local ctx = {
    run_id = run.id,
    recipe = env.scope.loaded.name,
    dir = env.scope.loaded.dir,
    cwd = env.cwd,
    run_dir = env.run_dir,
    step = env.step,
    item = env.item,
    planning = env.mode == "plan",
    target = run.target,
    resumed = run.resumed == true,
    defaults = env.scope.defaults,
  }
  add_processes(ctx, env)
  add_http(ctx, env)
  add_files(ctx, env)
  add_flow(ctx, env)
  return setmetatable(ctx, {
    __index = function(_, key)
      local make = LATE[key]
      if make then
        local value = make(ctx, env)
        rawset(ctx, key, value)
        return value
      end
    end,
    __metatable = false,
  })
end

return M
