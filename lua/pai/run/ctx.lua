-- ctx: the only way for a recipe to act. It raises on failure, so that an unchecked error fails
-- closed. In checks, done, each and estimate it only observes; what acts is refused by name. Here
-- is what steers a step; the rest is in ctx_*.lua, loaded when a recipe first names it.
local async = require("pai.async")
local duration = require("pai.duration")
local err = require("pai.err")
local fs = require("pai.fs")
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
    require("pai.run.ctx_guard").act_only(env, "ctx.media")
    path = require("pai.run.ctx_fs").path(env, path)
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

-- Members that come together: the module whose `new` makes them.
local TOGETHER <const> = {
  query = "pai.run.ctx_exec",
  exec = "pai.run.ctx_exec",
  which = "pai.run.ctx_exec",
  http = "pai.run.ctx_http",
  read = "pai.run.ctx_data",
  write = "pai.run.ctx_data",
  json = "pai.run.ctx_data",
  yaml = "pai.run.ctx_data",
  hash = "pai.run.ctx_data",
}

-- Fields that are there and may be nil.
local EMPTY <const> = { item = true, defaults = true, run_dir = true }

-- What is made when a recipe first names it.
local LATE <const> = {
  fs = function(_, env)
    return require("pai.run.ctx_fs").new(env)
  end,
  osmo = function(_, env)
    return require("pai.run.ctx_osmo").new(env)
  end,
  k8s = function(_, env)
    return require("pai.run.ctx_k8s").new(env)
  end,
  store = function(_, env)
    local names_host = require("pai.run.needs").names_host
    return require("pai.run.ctx_store").new(env, function(handle, url)
      require("pai.run.ctx_guard").check_secret(env, handle, "hosts", url, function(entry)
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
  finally = function(_, env)
    return require("pai.run.ctx_finally").new(env)
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
  add_flow(ctx, env)
  return setmetatable(ctx, {
    __index = function(_, key)
      local make, module = LATE[key], TOGETHER[key]
      if module then
        for name, member in pairs(require(module).new(env)) do
          rawset(ctx, name, member)
        end
        return rawget(ctx, key)
      end
      if make then
        local value = make(ctx, env)
        rawset(ctx, key, value)
        return value
      elseif not EMPTY[key] then
        -- Without this a slip would be "attempt to call a nil value".
        local names = text.keys(LATE)
        for _, list in ipairs({ TOGETHER, ctx }) do
          table.move(text.keys(list), 1, #text.keys(list), #names + 1, names)
        end
        local word = tostring(key)
        err.raise("EINVAL", ("ctx has no '%s'%s"):format(word, text.did_you_mean(word, names)))
      end
    end,
    __metatable = false,
  })
end

return M
