-- The REST surface: which handler answers which method and path.
local account = require("pai.engine.account")
local apps = require("pai.engine.apps")
local credentials = require("pai.engine.credentials")
local err = require("pai.err")
local find = require("pai.engine.find")
local fs = require("pai.fs")
local json = require("pai.json")
local listing = require("pai.engine.listing")
local mask = require("pai.mask")
local reply = require("pai.engine.reply")
local session = require("pai.engine.session")
local status = require("pai.engine.status")
local submit = require("pai.engine.submit")
local tags = require("pai.engine.tags")
local tasks = require("pai.engine.tasks")
local text = require("pai.text")
local wire = require("pai.engine.wire")

local M = {}

local function user_of(engine, req)
  local name = req.headers["x-osmo-user"]
  return name and name ~= "" and name or engine.user
end

local function check_pool(engine, names)
  for _, name in ipairs(names) do
    if not engine.pools[name] then
      reply.fail("USER", ("Pool %s not found."):format(name))
    end
  end
  return names
end

local function profile(engine, req)
  return account.profile(engine, user_of(engine, req))
end

local function apps_with_user(fn)
  return function(engine, req, name)
    return fn(engine, req, name, user_of(engine, req))
  end
end

local function pools(engine, req)
  local q = reply.query(req.query)
  q:bool("all_pools", true)
  q:check()
  return { pools = wire.pools(engine, check_pool(engine, q:list("pools"))) }
end

local function pool_quota(engine, req)
  local q = reply.query(req.query)
  q:bool("all_pools", true)
  q:check()
  return wire.quota(engine, check_pool(engine, q:list("pools")))
end

local function config(engine, _, kind, name)
  if kind ~= "pool" then
    reply.unsupported("Configuration of the type " .. kind)
  end
  local all = wire.pools(engine, check_pool(engine, { name }))
  return name and all[name] or { pools = all }
end

local function resources(engine, req)
  local q = reply.query(req.query)
  q:bool("all_pools", false)
  local concise = q:bool("concise", false)
  q:check()
  local names = check_pool(engine, q:list("pools"))
  local r = wire.resource(engine)
  if not concise then
    return { resources = json.array({ r }) }
  end
  local list = json.array({})
  for _, name in ipairs(#names > 0 and names or text.keys(engine.pools)) do
    list[#list + 1] = {
      pool = name,
      platform = wire.PLATFORM,
      status = "ONLINE",
      usage_fields = json.array({ r.usage_fields }),
      allocatable_fields = json.array({ r.allocatable_fields }),
      backend = wire.POOL,
    }
  end
  return { pools = list }
end

local function resource(engine, _, node)
  if node ~= engine.hostname then
    reply.fault(("Resource %s does not exist!"):format(node))
  end
  return { resources = json.array({ wire.resource(engine) }) }
end

local function query(engine, req, id)
  local q = reply.query(req.query)
  local skip = q:bool("skip_groups", false)
  local verbose = q:bool("verbose", false)
  q:check()
  return wire.workflow(engine, find.workflow(engine, id), skip, verbose)
end

local function query_task(engine, _, id, name)
  local t = find.task(engine, id, name)
  return wire.task(engine, engine.store:workflow(id), t)
end

local function cancel(engine, req, id)
  local q = reply.query(req.query)
  local force = q:bool("force", false)
  q:check()
  local w = find.workflow(engine, id)
  if status.finished(w.status) then
    if not force then
      reply.fail("USER", ("Workflow %s is already finished."):format(w.id))
    end
    return { name = w.id }
  end
  engine:cancel(w, user_of(engine, req), q:text("message"), force)
  return { name = w.id }
end

local function spec(engine, req, id)
  local q = reply.query(req.query)
  local template = q:bool("use_template", false)
  q:check()
  local w = find.workflow(engine, id)
  return {
    headers = { ["content-type"] = "text/plain; charset=utf-8" },
    body = mask.text(submit.spec(engine, w, template)),
  }
end

local function submit_workflow(engine, req, pool)
  return submit.submit(engine, req, pool, user_of(engine, req))
end

local function body_table(req)
  local value = json.decode(req.body ~= "" and req.body or "{}")
  if type(value) ~= "table" then
    reply.fail("USAGE", "The body must be a JSON object.")
  end
  return value
end

local function set_profile(engine, req)
  return account.set_profile(engine, user_of(engine, req), body_table(req))
end

local function list_tasks(engine, req)
  return tasks.list(engine, req, user_of(engine, req))
end

local function list_apps(engine, req)
  return apps.list(engine, req, user_of(engine, req))
end

local function app_info(engine, req, name)
  return apps.info(engine, name, req)
end

local function list_credentials(engine, req)
  return credentials.answer(engine, user_of(engine, req))
end

local function set_credential(engine, req, name)
  credentials.set(engine, user_of(engine, req), name, body_table(req))
  return reply.null()
end

local function delete_credential(engine, req, name)
  return credentials.delete(engine, user_of(engine, req), name)
end

local function restart(engine, req, pool, id)
  return submit.restart(engine, pool, find.workflow(engine, id), user_of(engine, req))
end

local function list(engine, req)
  return listing.workflows(engine, req, user_of(engine, req))
end

local function pai_status(engine)
  local active = engine:active()
  return {
    pid = engine.pid,
    build = engine.build,
    state = engine.paths.state,
    active = active,
    running = engine.busy.cpu,
    cores = engine.cores,
    memory_gib = engine.memory,
    gpus = #engine.gpus,
    pools = json.array(text.keys(engine.pools)),
    sandbox = engine.sandbox,
    started = reply.time(engine.started),
    port = engine.port or json.null,
    leaving = engine.stopping ~= nil or nil,
    idle_exit_s = engine.idle_ms / 1000,
  }
end

local function pai_stop(engine, req)
  local q = reply.query(req.query)
  local if_idle = q:bool("if_idle", false)
  q:check()
  local active = engine:active()
  if if_idle and active > 0 then
    reply.fail("USER", ("%d workflows are not finished"):format(active))
  end
  engine:leave("The engine was stopped while this task was under way; the task ended with it.")
  return { stopping = true, active = active }
end

local function get_roots(engine)
  return { roots = json.array(engine:roots()) }
end

local function add_roots(engine, req)
  local roots = body_table(req).roots
  if type(roots) ~= "table" then
    reply.fail("USAGE", "roots must be a list of absolute paths")
  end
  for _, root in ipairs(roots) do
    if type(root) ~= "string" or not root:find("^/[^/]") or fs.abspath(root) ~= root then
      reply.fail(
        "USAGE",
        ("%s is no root: an absolute path below / is needed"):format(tostring(root))
      )
    end
  end
  engine.store:add_roots(roots)
  return get_roots(engine)
end

-- Takes the roots away that are named, all or none. A task that begins later and wants one fails.
local function remove_roots(engine, req)
  local q = reply.query(req.query)
  local named, known = q:list("root"), {}
  q:check()
  for _, root in ipairs(engine:roots()) do
    known[root] = true
  end
  for _, root in ipairs(named) do
    if not known[root] then
      reply.fail("USAGE", ("%s is none of the roots"):format(root))
    end
  end
  for _, root in ipairs(named) do
    engine.store:remove_root(root)
  end
  return get_roots(engine)
end

-- Only a caller on the unix socket, or one that the kernel says is the same user, gets here.
local ROUTES <const> = {
  {
    "GET",
    "/health",
    function()
      return { status = "OK" }
    end,
  },
  { "GET", "/api/version", account.version },
  { "GET", "/api/router/version", account.version },
  { "GET", "/client/version", account.version },
  { "GET", "/api/auth/login", account.login },
  { "GET", "/api/auth/keys", account.keys },
  { "GET", "/api/profile/settings", profile },
  { "POST", "/api/profile/settings", set_profile },
  { "GET", "/api/users", account.users },
  { "GET", "/api/tag", tags.allowed },
  { "POST", "/api/workflow/{}/tag", tags.change },
  { "GET", "/api/auth/access_token", account.tokens },
  { "POST", "/api/auth/access_token/{}", account.create_token },
  { "DELETE", "/api/auth/access_token/{}", account.no_token },
  { "GET", "/api/auth/access_token/{}/roles", account.no_token },
  { "GET", "/api/auth/user", account.user_list },
  { "GET", "/api/auth/user/{}", account.user },
  { "GET", "/api/auth/user/{}/roles", account.user_roles },
  { "GET", "/api/plugins/configs", account.plugins },
  { "GET", "/api/task", list_tasks },
  { "GET", "/api/app", list_apps },
  { "GET", "/api/app/user/{}", app_info },
  { "POST", "/api/app/user/{}", apps_with_user(apps.create) },
  { "PATCH", "/api/app/user/{}", apps_with_user(apps.update) },
  { "DELETE", "/api/app/user/{}", apps_with_user(apps.delete) },
  { "GET", "/api/app/user/{}/spec", apps.spec },
  { "POST", "/api/app/user/{}/rename", apps_with_user(apps.rename) },
  { "GET", "/api/pool", pools },
  { "GET", "/api/pool_quota", pool_quota },
  { "GET", "/api/configs/{}", config },
  { "GET", "/api/configs/{}/{}", config },
  { "GET", "/api/resources", resources },
  { "GET", "/api/resources/{}", resource },
  { "POST", "/api/pool/{}/workflow", submit_workflow },
  { "POST", "/api/pool/{}/workflow/{}/restart", restart },
  { "GET", "/api/credentials", list_credentials },
  { "POST", "/api/credentials/{}", set_credential },
  { "DELETE", "/api/credentials/{}", delete_credential },
  { "GET", "/api/workflow", list },
  { "GET", "/api/workflow/{}", query },
  { "GET", "/api/workflow/{}/logs", listing.logs },
  { "GET", "/api/workflow/{}/error_logs", listing.error_logs },
  { "GET", "/api/workflow/{}/events", listing.events },
  { "GET", "/api/workflow/{}/spec", spec },
  { "GET", "/api/workflow/{}/task/{}", query_task },
  { "POST", "/api/workflow/{}/cancel", cancel },
  { "GET", "/api/pai/status", pai_status },
  { "POST", "/api/pai/stop", pai_stop },
  { "GET", "/api/pai/roots", get_roots },
  { "POST", "/api/pai/roots", add_roots },
  { "DELETE", "/api/pai/roots", remove_roots },
}

local compiled = {}
for i, route in ipairs(table.move(session.ROUTES, 1, #session.ROUTES, #ROUTES + 1, ROUTES)) do
  local pattern = route[2]:gsub("[%-_.]", "%%%0"):gsub("{}", "([^/]+)")
  compiled[i] = { method = route[1], pattern = "^" .. pattern .. "$", handler = route[3] }
end

local function dispatch(engine, req)
  if engine.stopping and req.method == "POST" and req.path ~= "/api/pai/stop" then
    reply.fail("USER", "The engine is stopping.", nil, 503)
  end
  local known
  for _, route in ipairs(compiled) do
    local captures = table.pack(req.path:match(route.pattern))
    if captures[1] then
      known = true
      if route.method == req.method then
        local plain = not route.pattern:find("(", 1, true)
        local answer = route.handler(engine, req, table.unpack(captures, plain and 2 or 1))
        if answer.body or answer.stream or answer.websocket then
          answer.status = answer.status or not answer.websocket and 200 or nil
          return answer
        end
        return { status = 200, json = answer }
      end
    end
  end
  if known then
    reply.unsupported(("The method %s on %s"):format(req.method, req.path))
  end
  reply.unsupported(("The route %s %s"):format(req.method, req.path))
end

---Answers one request; never raises but for a cancelled task.
---@param engine pai.engine.Engine
---@param req table request of pai.serve
---@return table response
function M.handle(engine, req)
  engine.last_activity = require("pai.task").now()
  local ok, answer = pcall(dispatch, engine, req)
  if ok then
    return answer
  end
  local raised = reply.raised(answer)
  if raised then
    return raised
  end
  local e = err.wrap(answer)
  if e.code == "ECANCELED" then
    error(answer, 0)
  end
  engine:complain(("%s %s: %s"):format(req.method, req.path, e.trace or e.message))
  return { status = 500, json = { message = "Internal server error: " .. e.message } }
end

return M
