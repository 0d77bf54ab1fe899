-- ctx.k8s(context): a Kubernetes client bound to a context that needs.clusters names. Calls raise
-- in place of nil and an error; where only looking is allowed, what would change something is
-- refused before it is sent. The first call makes sure that it is the cluster planned for.
local clusters = require("pai.run.clusters")
local err = require("pai.err")
local task = require("pai.task")

local M = {}

local READS <const> = {
  get = true,
  list = true,
  watch = true,
  wait = true,
  logs = true,
  secret = true,
  sealed = true,
  can = true,
  version = true,
  identity = true,
  proxy = true,
  raw = true,
}

local ACTS <const> = {
  create = true,
  apply = true,
  patch = true,
  delete = true,
  evict = true,
  exec = true,
}

-- Connects, and makes sure that it is the cluster planned for.
local function open(env, context)
  local run = env.run
  local c, e = require("pai.k8s.client").connect({
    context = context,
    kubeconfig = env.scope.inp.kubeconfig,
  })
  local now
  if c then
    now, e = c:identity()
  end
  if not now then
    error(e, 0)
  end
  for _, planned in ipairs(run.graph.clusters or {}) do
    if planned.context == context then
      clusters.check(planned, now, "the plan")
    end
  end
  local before = run.replay.clusters and run.replay.clusters[context]
  clusters.check(before, now, "the run before")
  if env.mode ~= "plan" then
    require("pai.run.cluster_lock").ensure(run, c)
  end
  if env.mode ~= "plan" and not before then
    run:emit("cluster", { context = context, server = now.server, uid = now.uid })
  end
  return c
end

---@class pai.run.Connection
---@field client pai.k8s.Client?
---@field problem any why there is none
---@field ready pai.task.Event set when the first caller is through

-- A client a context and run: one credential, one look at which cluster it is. Checks that come at
-- once wait for the first one's, and share what it found; only when that one was stopped by its
-- own deadline does the next one look.
local function client_of(env, context)
  local run = env.run
  run.k8s = run.k8s or {}
  while run.k8s[context] do
    local shared = run.k8s[context]
    shared.ready:wait()
    if shared.client then
      return shared.client
    elseif not err.is(shared.problem, "ECANCELED") then
      error(shared.problem, 0)
    end
  end
  local mine = { ready = task.event() }
  run.k8s[context] = mine
  local ok, found = pcall(open, env, context)
  if ok then
    mine.client = found
  else
    mine.problem, run.k8s[context] = found, nil -- who comes later looks again
  end
  mine.ready:set()
  if not ok then
    error(found, 0)
  end
  return found
end

-- A secret input may go into a cluster that its `hosts` name: the server's host or the context.
local function check_handles(env, c, value, depth)
  if type(value) == "table" and depth < 64 then
    for _, inner in next, value do
      check_handles(env, c, inner, depth + 1)
    end
    return
  end
  local decl = type(value) == "userdata" and env.run.secret_decls[value]
  if not decl then
    return
  end
  for _, entry in ipairs(decl.hosts or {}) do
    local name = entry:match("^@(.+)$")
    entry = name and env.scope.inp[name] or entry
    if entry == c.context or require("pai.run.needs").names_host({ entry }, c.server) then
      return
    end
  end
  local message = "the secret '%s' may not be given to %s: its input's hosts do not name it"
  err.raise("EACCES", message:format(decl.name, c.context))
end

local function is_accepted(e, opts)
  for _, reason in ipairs(type(opts) == "table" and opts.accept or {}) do
    if e.reason == reason then
      return true
    end
  end
  return false
end

-- Options without those that are the ctx's own.
local function plain(opts)
  if type(opts) ~= "table" or not opts.accept then
    return opts
  end
  local copy = {}
  for key, value in pairs(opts) do
    copy[key] = key ~= "accept" and value or nil
  end
  return copy
end

local function call(env, context, name, ...)
  if env.mode ~= "act" and not READS[name] then
    local message = "ctx.k8s:%s changes something; %s may only observe"
    err.raise("EACCES", message:format(name, env.where))
  end
  local c = client_of(env, context)
  local args = table.pack(...)
  local opts = args[args.n]
  -- exec's own `accept` is a list of exit codes
  if name ~= "exec" then
    args[args.n] = plain(opts)
  end
  if ACTS[name] then
    for i = 1, args.n do
      check_handles(env, c, args[i], 0)
    end
  end
  if name == "wait" and type(args[3]) == "table" and not args[3].on_change then
    args[3] = setmetatable({
      on_change = function(seen)
        env.run:beat(env.step, { state = "waiting", observation = args[2] .. ": " .. seen })
      end,
    }, { __index = args[3] })
  end
  local results = table.pack(c[name](c, table.unpack(args, 1, args.n)))
  local e = results[2]
  if results[1] == nil and e ~= nil and not (name ~= "exec" and is_accepted(e, opts)) then
    error(e, 0)
  end
  return table.unpack(results, 1, results.n)
end

-- What is wrong in a namespace, as checks of a gate.
local function checks(env, context, opts)
  local found, e = require("pai.k8s.diagnose").namespace(client_of(env, context), opts)
  if not found then
    error(e, 0)
  end
  return require("pai.k8s.diagnose").checks(found, opts and opts.namespace)
end

-- Runs fn with a local port that leads to a pod, for as long as it takes.
local function forwarded(env, context, opts, fn)
  if env.mode == "plan" then
    err.raise("EUNTIL", "unknown: a plan opens no port-forward")
  end
  local c = client_of(env, context)
  local ready, port, failure = task.event(), nil, nil
  local settings = setmetatable({
    on_ready = function(p)
      port = p
      ready:set()
    end,
    on_event = function(event)
      env.run:log(
        env.step,
        ("port-forward: %s"):format(event.error and event.error.message or event.pod)
      )
    end,
  }, { __index = opts })
  local t = task.spawn(function()
    local _
    _, failure = c:forward(settings)
    ready:set()
  end)
  local _ <close> = setmetatable({}, {
    __close = function()
      task.shield(function()
        t:cancel()
        pcall(t.wait, t)
      end)
    end,
  })
  ready:wait()
  if not port then
    error(failure, 0)
  end
  return fn(port)
end

-- Runs fn while the run is told what may stop it.
local function guarded(env, context, opts, fn)
  local c = client_of(env, context)
  return require("pai.run.k8s_guard").run(c, opts, fn, function(said)
    env.run:beat(env.step, { state = "stopped", observation = said })
  end)
end

---Makes ctx.k8s.
---@param env pai.run.CtxEnv
---@return fun(context: string?): table
function M.new(env)
  return function(context)
    context = env.needs:check_cluster(context)
    return setmetatable({ context = context }, {
      __index = function(_, name)
        if name == "checks" then
          return function(_, opts)
            return checks(env, context, opts)
          end
        elseif name == "guarded" then
          return function(_, opts, fn)
            return guarded(env, context, opts, fn)
          end
        elseif name == "forwarded" then
          return function(_, opts, fn)
            return forwarded(env, context, opts, fn)
          end
        elseif not READS[name] and not ACTS[name] then
          err.raise("EINVAL", ("ctx.k8s has no call '%s'"):format(tostring(name)))
        end
        return function(_, ...)
          return call(env, context, name, ...)
        end
      end,
      __metatable = false,
    })
  end
end

return M
