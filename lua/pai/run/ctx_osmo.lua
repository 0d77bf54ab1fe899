-- ctx.osmo: the OSMO client bound to the run's target. Calls raise in place of nil and an error;
-- where only looking is allowed, what would change something is refused before it is sent. A plan
-- starts no engine.
local err = require("pai.err")

local M = {}

local READS <const> = {
  version = true,
  pools = true,
  quota = true,
  resources = true,
  resource = true,
  profile = true,
  default_pool = true,
  tags = true,
  users = true,
  credentials = true,
  config = true,
  apps = true,
  app = true,
  app_spec = true,
  task = true,
  tasks = true,
  query = true,
  list = true,
  logs = true,
  events = true,
  spec = true,
  wait = true,
}

-- What a call to an engine that does not run ends with.
local NO_ENGINE <const> = { ENOENGINE = true, ENETWORK = true, ECONNREFUSED = true, ENOENT = true }

local function connect(env)
  local run = env.run
  local opts = {
    target = run.target == "local" and "local" or run.osmo_url or run.target,
    state = run.state,
    roots = env.osmo_roots,
  }
  if env.mode == "plan" then
    opts.start = false
  end
  local client, e = require("pai.osmo.client").connect(opts)
  if not client then
    error(e, 0)
  end
  return client
end

---Makes the client that a recipe sees; it connects at its first call.
---@param env pai.run.CtxEnv
---@return table
function M.new(env)
  local client
  local function call(name, ...)
    if env.mode ~= "act" and not READS[name] then
      local opts = ...
      if name ~= "submit" or type(opts) ~= "table" or opts.dry_run ~= true then
        local message = "ctx.osmo:%s changes something; %s may only observe"
        err.raise("EACCES", message:format(name, env.where))
      end
    end
    client = client or connect(env)
    local method = client[name]
    if type(method) ~= "function" then
      err.raise("EINVAL", ("ctx.osmo has no call '%s'"):format(tostring(name)))
    end
    local results = table.pack(method(client, ...))
    local e = results[2]
    if results[1] == nil and e ~= nil then
      if env.mode == "plan" and env.run.target == "local" and NO_ENGINE[e.code] then
        err.raise("ENOENGINE", "no engine is running, and a plan starts none")
      end
      error(e, 0)
    end
    return table.unpack(results, 1, results.n)
  end
  return setmetatable({}, {
    __index = function(_, name)
      return function(_, ...)
        return call(name, ...)
      end
    end,
    __metatable = false,
  })
end

return M
