-- Submitting: dry run, validation, a real run, a run of a stored spec, and the restart of what
-- failed. The order of the checks and which failures leave a run behind are upstream's.
local apps = require("pai.engine.apps")
local body_of = require("pai.engine.body")
local fs = require("pai.fs")
local json = require("pai.json")
local mask = require("pai.mask")
local plan = require("pai.engine.plan")
local reply = require("pai.engine.reply")
local spec = require("pai.osmo.spec")
local status = require("pai.engine.status")
local store = require("pai.engine.store")
local wire = require("pai.engine.wire")
local yaml = require("pai.yaml")

local M = {}

-- Stages of pai.osmo.spec whose failures leave a FAILED_SUBMISSION run behind.
local LEAVES_RUN <const> = {
  yaml = true,
  schema = true,
  names = true,
  resources = true,
  image = true,
  data = true,
}

local function insert_failed(engine, ctx, name, message)
  local s = engine.store
  s:transaction("refuse", function()
    local number = s:next_number(name)
    local now = s:now()
    s:insert_workflow({
      id = ("%s-%d"):format(name, number),
      uuid = store.uuid(),
      name = name,
      number = number,
      user = ctx.user,
      pool = ctx.pool,
      priority = ctx.priority,
      status = "FAILED_SUBMISSION",
      submit_time = now,
      end_time = now,
      failure_message = mask.text(message),
      parent_name = ctx.parent and ctx.parent.name,
      parent_number = ctx.parent and ctx.parent.number,
      labels = ctx.known_labels,
      request = ctx.request,
    }, {})
  end)
end

-- Raises what pai.osmo.spec found, in upstream's form.
local function refuse(engine, ctx, e)
  local uuid = store.uuid()
  if LEAVES_RUN[e.stage] then
    insert_failed(engine, ctx, e.name or "failed-" .. uuid, e.message)
  end
  if (e.http or 400) >= 500 then
    reply.fault(e.message)
  end
  reply.fail(e.error_code or "USAGE", e.message, e.stage == "yaml" and uuid or e.name)
end

-- What stands for {{host:TASK}}: a name in the shape of upstream's where the group gets a network
-- of its own, else an address of the loopback that all processes share.
local function host_name(ctx, task)
  local uuid = store.uuid()
  if ctx.plain then
    local a, b, c = (uuid):match("^(%x%x)(%x%x)(%x%x)")
    return ("127.%d.%d.%d"):format(
      1 + tonumber(a, 16) % 250,
      tonumber(b, 16),
      1 + tonumber(c, 16) % 250
    )
  end
  return ("%s.osmo-%s.local.svc.cluster.local"):format(task:lower():gsub("_", "-"):sub(1, 60), uuid)
end

local function options(ctx, workflow_id)
  return {
    variables = ctx.request.set_variables,
    string_variables = ctx.request.set_string_variables,
    labels = ctx.request.labels,
    env = ctx.request.env_vars,
    pool = ctx.pool_shown,
    workflow_id = workflow_id,
    host = ctx.hosts and function(task)
      local name = ctx.hosts[task] or host_name(ctx, task)
      ctx.hosts[task] = name
      return name
    end,
  }
end

local function dry_run(engine, ctx)
  local out, e = spec.dry_run(ctx.request.file, options(ctx))
  if not out then
    refuse(engine, ctx, e)
  end
  return {
    name = out.name or "failed-" .. store.uuid(),
    overview = json.null,
    logs = json.null,
    spec = out.text,
    dashboard_url = json.null,
    warnings = json.array({}),
  }
end

-- Reads the spec, by itself with the id that the run will have if nobody comes between.
local function load(engine, ctx, id)
  local function likely(name)
    return ("%s-%d"):format(name, engine.store:peek_number(name))
  end
  local loaded, e = spec.load(ctx.request.file, options(ctx, id or likely))
  if not loaded then
    refuse(engine, ctx, e)
  end
  if ctx.prune then
    ctx.prune(loaded)
  end
  return loaded
end

-- What the engine itself has to say about a spec that is right in form.
local function judge(engine, ctx, loaded)
  ctx.known_labels = loaded.labels
  local refusal, warnings = plan.check(engine, loaded, ctx)
  if refusal then
    insert_failed(engine, ctx, loaded.name, refusal.message)
    reply.fail(refusal.error_code, refusal.message, loaded.name)
  end
  return warnings
end

local function insert(engine, ctx, loaded, warnings)
  local s = engine.store
  local id
  s:transaction("submit", function()
    local number = s:next_number(loaded.name)
    id = ("%s-%d"):format(loaded.name, number)
    local final = loaded
    if loaded.workflow_id ~= id then
      final = load(engine, ctx, id)
    end
    local ok, e = fs.mkdir(engine:run_dir(id), { parents = true, mode = 448 })
    if not ok then
      error(e, 0)
    end
    s:insert_workflow({
      id = id,
      uuid = store.uuid(),
      name = loaded.name,
      number = number,
      user = ctx.user,
      pool = ctx.pool,
      priority = ctx.priority,
      status = "PENDING",
      submit_time = s:now(),
      exec_timeout = final.timeout_effective.exec_timeout,
      queue_timeout = final.timeout_effective.queue_timeout,
      parent_name = ctx.parent and ctx.parent.name,
      parent_number = ctx.parent and ctx.parent.number,
      warnings = warnings,
      labels = final.labels,
      request = ctx.request,
      app = ctx.app,
    }, plan.groups(final, ctx))
  end)
  engine:kick()
  local base = ("%s/api/workflow/%s"):format(engine.base_url, id)
  return {
    name = id,
    overview = base,
    logs = base .. "/logs",
    spec = json.null,
    dashboard_url = json.null,
    warnings = json.array(warnings),
  }
end

-- Makes the context ready for a pool; refuses one that is not there.
local function enter_pool(engine, ctx)
  local config = engine.pools[ctx.pool]
  if not config then
    reply.fail("USER", ("Pool %s not found."):format(ctx.pool))
  end
  ctx.pool_config = config
  ctx.pool_shown = wire.pool(engine, config)
  ctx.hosts = {}
  ctx.plain = engine.sandbox.kind == "plain"
end

---POST /api/pool/{pool}/workflow
---@param engine pai.engine.Engine
---@param req table
---@param pool string
---@param user string
---@return table
function M.submit(engine, req, pool, user)
  local q = reply.query(req.query)
  local dry = q:bool("dry_run", false)
  local validation_only = q:bool("validation_only", false)
  local app_version = q:int("app_version")
  local priority = q:enum("priority", { "HIGH", "NORMAL", "LOW" }, true)[1] or "NORMAL"
  q:check()
  local body = body_of.parse(req)
  local stored = q:text("workflow_id")
  if body and stored then
    reply.fail("USAGE", "Either file contents or workflow ID can be provided, but not both.")
  elseif not body and not stored then
    reply.fail("USAGE", "Need to provide either file contents or workflow ID.")
  end
  local ctx = { pool = pool, user = user, priority = priority }
  ctx.app = apps.of_submit(engine, q:text("app_uuid"), app_version)
  if stored then
    local w = require("pai.engine.find").workflow(engine, stored)
    ctx.request = engine.store:request(w.seq)
    ctx.parent = { name = w.name, number = w.number }
  else
    ctx.request = {
      file = body.file,
      set_variables = json.array(body.set_variables or {}),
      set_string_variables = json.array(body.set_string_variables or {}),
      template = type(body.uploaded_templated_spec) == "string" and body.uploaded_templated_spec
        or nil,
    }
  end
  ctx.request.labels = json.array(q:list("label"))
  ctx.request.env_vars = json.array(q:list("env_vars"))
  enter_pool(engine, ctx)
  if dry then
    return dry_run(engine, ctx)
  end
  local loaded = load(engine, ctx)
  local warnings = judge(engine, ctx, loaded)
  if validation_only then
    return {
      name = loaded.name,
      overview = json.null,
      logs = "Workflow validation succeeded.",
      spec = json.null,
      dashboard_url = json.null,
      warnings = json.array(warnings),
    }
  end
  return insert(engine, ctx, loaded, warnings)
end

-- Leaves the groups that have to run again, and points inputs at what is kept of the others.
local function pruner(engine, w)
  local completed, group_of = {}, {}
  for _, g in ipairs(engine.store:groups(w.seq)) do
    completed[g.name] = not status.failed(g.status)
    for _, t in ipairs(engine.store:tasks(g.seq)) do
      group_of[t.name] = g.name
    end
  end
  return function(loaded)
    local groups = {}
    for _, g in ipairs(loaded.groups) do
      if not completed[g.name] then
        local needs = {}
        for _, need in ipairs(g.needs) do
          if not completed[need] then
            needs[#needs + 1] = need
          end
        end
        g.needs = needs
        for _, t in ipairs(g.tasks) do
          for _, input in ipairs(t.inputs or {}) do
            local from = input.task and group_of[input.task]
            if from and completed[from] then
              input.task = w.id .. ":" .. input.task
            end
          end
        end
        groups[#groups + 1] = g
      end
    end
    loaded.groups = groups
  end
end

-- A map without the members that say what is so anyway.
local function drop(map, defaults)
  for name, default in pairs(defaults) do
    if map[name] == default then
      map[name] = nil
    end
  end
  return map
end

---GET /api/workflow/{id}/spec: in groups form, tokens unresolved; or the text that was submitted.
---@param engine pai.engine.Engine
---@param w table row of the workflow
---@param template boolean
---@return string
function M.spec(engine, w, template)
  local request = engine.store:request(w.seq)
  if template then
    return request.template or request.file
  end
  local out = spec.dry_run(request.file, options({ request = request }))
  local doc = out and yaml.decode(out.text, { schema = "1.1" })
  local workflow = type(doc) == "table" and doc.workflow
  if type(workflow) ~= "table" or w.status == "FAILED_SUBMISSION" then
    return request.file
  end
  local groups = workflow.groups or json.array({})
  for i, t in ipairs(workflow.tasks or {}) do
    groups[i] = { name = t.name .. "-group", tasks = json.array({ t }) }
  end
  for _, g in ipairs(groups) do
    drop(g, { barrier = true, ignoreNonleadStatus = true })
    for _, t in ipairs(g.tasks) do
      drop(t, { resource = "default", lead = #g.tasks == 1 })
      for _, entry in ipairs(request.env_vars) do
        local name, value = entry:match("^([^=]*)=([^=]*)")
        t.environment = t.environment or {}
        t.environment[name] = value
      end
    end
  end
  workflow.groups, workflow.tasks = groups, nil
  return yaml.encode({ version = 2, workflow = workflow })
end

---POST /api/pool/{pool}/workflow/{id}/restart
---@param engine pai.engine.Engine
---@param pool string
---@param w table row of the workflow
---@param user string
---@return table
function M.restart(engine, pool, w, user)
  if not status.failed(w.status) then
    reply.fail(
      "SUBMISSION",
      ("Restart can only be used on FAILED workflows: Workflow %s has status %s"):format(
        w.id,
        w.status
      )
    )
  end
  local ctx = {
    pool = pool,
    user = user,
    priority = w.priority,
    request = engine.store:request(w.seq),
    parent = { name = w.name, number = w.number },
  }
  if w.app_name then
    ctx.app = { owner = w.app_owner, name = w.app_name, version = w.app_version }
  end
  enter_pool(engine, ctx)
  -- A run that never got as far as having groups is restarted as a whole.
  if w.status ~= "FAILED_SUBMISSION" then
    ctx.prune = pruner(engine, w)
  end
  local loaded = load(engine, ctx)
  return insert(engine, ctx, loaded, judge(engine, ctx, loaded))
end

return M
