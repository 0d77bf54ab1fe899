-- What the embedded engine makes of a normalised spec: what it cannot do is refused by name, the
-- rest becomes rows of groups and tasks.
local credentials = require("pai.engine.credentials")
local data = require("pai.engine.data")
local folders = require("pai.engine.folders")
local fs = require("pai.fs")
local quantity = require("pai.osmo.quantity")
local status = require("pai.engine.status")
local store = require("pai.engine.store")

local M = {}

local GIB <const> = 1073741824

---@class pai.engine.Need
---@field cpu integer
---@field gpu integer
---@field memory number bytes
---@field storage number bytes

---What a task asks for, with upstream's defaults.
---@param loaded table normalised spec
---@param t table task
---@return pai.engine.Need
local function need_of(loaded, t)
  local r = (loaded.resources or {})[t.resource or "default"] or {}
  return {
    cpu = r.cpu or 1,
    gpu = r.gpu or 0,
    memory = r.memory and quantity.bytes(r.memory) or GIB,
    storage = r.storage and quantity.bytes(r.storage) or GIB,
  }
end

-- What a process on this machine cannot be given.
local UNSUPPORTED <const> = {
  { "volumeMounts", "volumeMounts" },
  { "privileged", "privileged" },
  { "hostNetwork", "hostNetwork" },
}

local function given(v)
  if type(v) == "table" then
    return next(v) ~= nil
  end
  return v ~= nil and v ~= false
end

local function refusal(code, text, ...)
  return { error_code = code, message = text:format(...) }
end

local function unsupported(t, what)
  return refusal("USAGE", "Task %s: %s is not supported by the embedded engine.", t.name, what)
end

local function texts_of(t)
  local out = {}
  for _, list in ipairs({ t.command, t.args or {} }) do
    table.move(list, 1, #list, #out + 1, out)
  end
  for _, v in pairs(t.environment or {}) do
    out[#out + 1] = v
  end
  for _, f in ipairs(t.files or {}) do
    out[#out + 1] = f.contents
  end
  return out
end

-- The names that the tasks of a group have for each other, if any of them uses one.
local function names_hosts(g, hosts)
  if #g.tasks < 2 then
    return nil
  end
  local used, out = false, {}
  for _, t in ipairs(g.tasks) do
    out[t.name] = hosts[t.name]
  end
  for _, t in ipairs(g.tasks) do
    for _, text in ipairs(texts_of(t)) do
      for _, name in pairs(out) do
        used = used or text:find(name, 1, true) ~= nil
      end
    end
  end
  return used and out or nil
end

local function check_mounts(pool, t)
  for _, entry in ipairs(t.volumeMounts or {}) do
    local source = entry:match("^([^:]+)")
    local allowed = false
    for _, path in ipairs(pool.allowed_mounts) do
      allowed = allowed or path == source
    end
    if not allowed then
      return refusal(
        "USAGE",
        "Task %s: the pool %s does not allow the mount %s.",
        t.name,
        pool.name,
        source
      )
    end
  end
end

local function check_container(pool, t)
  if pool.runtime == "process" then
    return refusal(
      "USAGE",
      "Task %s: the image %s is not supported by the embedded engine in the pool %s, which runs "
        .. "pai.local/NAME (a host process) only; a pool with the runtime docker or podman in "
        .. "pools.yaml runs images.",
      t.name,
      t.image,
      pool.name
    )
  elseif t.privileged and not pool.privileged_allowed then
    return refusal("USAGE", "Task %s: privileged is not allowed by the pool %s.", t.name, pool.name)
  elseif t.hostNetwork and not pool.host_network_allowed then
    return refusal("USAGE", "Task %s: the pool %s does not allow hostNetwork.", t.name, pool.name)
  end
  return check_mounts(pool, t)
end

local function check_features(_, t, ctx)
  if t.image:find("^pai%.local/.") then
    for _, entry in ipairs(UNSUPPORTED) do
      if given(t[entry[1]]) then
        return unsupported(t, entry[2] .. " for a host process")
      end
    end
  else
    local refused = check_container(ctx.pool_config, t)
    if refused then
      return refused
    end
  end
  for _, f in ipairs(t.files or {}) do
    if ("/" .. f.path .. "/"):find("/../", 1, true) then
      return refusal("USAGE", "Task %s: '..' in the file path %s.", t.name, f.path)
    end
  end
  for _, kpi in ipairs(t.kpis or {}) do
    if ("/" .. kpi.path .. "/"):find("/../", 1, true) then
      return refusal("USAGE", "Task %s: '..' in the path %s.", t.name, kpi.path)
    end
  end
  for _, c in ipairs(t.checkpoint or {}) do
    if not folders.visible(c.path) then
      return refusal(
        "USAGE",
        "Task %s: checkpoint of the path %s is not supported by the embedded engine; it sees "
          .. "/osmo/data/output and /osmo/run.",
        t.name,
        c.path
      )
    end
  end
end

-- The credentials that a task names must be there, and be of the kind that a task can be given.
local function check_credentials(engine, t, ctx)
  for name, how in pairs(t.credentials or {}) do
    local credential = credentials.find(engine, ctx.user, name)
    if not credential then
      return refusal("CREDENTIAL", "Task %s: the credential %s is not set.", t.name, name)
    elseif credential.type ~= "GENERIC" then
      local text = "Task %s: the credential %s is of the type %s; GENERIC is needed."
      return refusal("CREDENTIAL", text, t.name, name, credential.type)
    end
    local known = {}
    for _, key in ipairs(credential.keys) do
      known[key] = true
    end
    for _, key in pairs(type(how) == "table" and how or {}) do
      if not known[key] then
        return refusal("CREDENTIAL", "Task %s: the credential %s has no key %s.", t.name, name, key)
      end
    end
  end
end

local function check_resources(engine, t, ctx)
  local need = need_of(ctx.loaded, t)
  local function refuse(text, ...)
    return refusal("RESOURCE", "Task %s: %s", t.name, text:format(...))
  end
  local asked = (ctx.loaded.resources or {})[t.resource or "default"] or {}
  for _, node in ipairs(asked.nodesExcluded or {}) do
    if node == engine.hostname then
      return refuse("nodesExcluded names %s, the only node there is", node)
    end
  end
  local gpus = #engine.gpus
  if need.cpu <= 0 then
    return refuse("cpu must be above 0")
  elseif need.memory <= 0 then
    return refuse("memory must be above 0")
  elseif need.storage <= 0 then
    return refuse("storage must be above 0")
  elseif need.gpu > gpus then
    local has = gpus == 0 and "none" or tostring(gpus)
    return refuse("%d gpu asked for, the pool %s has %s", need.gpu, ctx.pool, has)
  end
  local memory, disk = engine.memory * GIB, fs.disk_free(engine.paths.root)
  if need.memory > memory then
    return refuse(
      "%.1f GiB of memory asked for, this machine has %.1f",
      need.memory / GIB,
      memory / GIB
    )
  elseif disk and need.storage >= disk then
    return refuse("%.1f GiB of storage asked for, %.1f are free", need.storage / GIB, disk / GIB)
  end
end

local function check_urls(engine, t, ctx)
  for _, list in ipairs({ t.inputs or {}, t.outputs or {}, t.checkpoint or {} }) do
    for _, entry in ipairs(list) do
      if entry.url then
        local ok, why = data.check(engine, ctx.user, entry.url)
        if not ok then
          return { error_code = "CREDENTIAL", message = ("Task %s: %s"):format(t.name, why) }
        end
      end
    end
  end
end

-- Inputs from earlier runs: the run and task must be known and finished.
local function check_earlier(engine, t)
  for _, input in ipairs(t.inputs or {}) do
    local id, name = (input.task or ""):match("^(.-):(.+)$")
    if id then
      local row = engine.store:task(id, name)
      if not row then
        return {
          error_code = "DATABASE",
          message = ("Task %s of workflow %s is not found."):format(name, id),
        }
      elseif not status.finished(row.status) then
        return {
          error_code = "SUBMISSION",
          message = "Input tasks from previous workflows must be finished: "
            .. ("Workflow ID %s task %s has status %s."):format(id, name, row.status),
        }
      end
    end
  end
end

-- Without a sandbox /osmo does not exist, so only tokens can name a task's folders.
local function check_plain(engine, t, ctx)
  if engine.sandbox.kind ~= "plain" or not t.image:find("^pai%.local/.") then
    return nil
  end
  local request = ctx.request
  local function refuse(what)
    return {
      error_code = "USAGE",
      message = ("Task %s: %s needs a sandbox, which this machine does not give (%s); "):format(
        t.name,
        what,
        engine.sandbox.reason
      ) .. "use the tokens {{input:N}} and {{output}}.",
    }
  end
  if request.file:find("/osmo", 1, true) then
    return refuse("a path under /osmo")
  end
  for _, f in ipairs(t.files or {}) do
    if f.path:sub(1, 1) == "/" then
      return refuse("the absolute file path " .. f.path)
    end
  end
  for _, how in pairs(t.credentials or {}) do
    if type(how) == "string" then
      return refuse("the folder of credentials " .. how)
    end
  end
end

-- A group's own view: all its GPUs at once, and one network for those that name each other.
local function check_group(engine, g, ctx)
  local gpus, kinds = 0, {}
  for _, t in ipairs(g.tasks) do
    gpus = gpus + need_of(ctx.loaded, t).gpu
    kinds[t.image:find("^pai%.local/.") and "process" or "container"] = true
  end
  if gpus > #engine.gpus then
    local text = "Group %s: %d gpu asked for, the pool %s has %d"
    return refusal("RESOURCE", text, g.name, gpus, ctx.pool, #engine.gpus)
  elseif kinds.process and kinds.container and names_hosts(g, ctx.hosts) then
    return refusal(
      "USAGE",
      "Group %s: {{host:...}} between a host process and a container is not supported by the "
        .. "embedded engine.",
      g.name
    )
  end
end

---Checks what only the engine knows.
---@param engine pai.engine.Engine
---@param loaded table normalised spec
---@param ctx table
---@return {error_code: string, message: string}? refusal
---@return string[] warnings
function M.check(engine, loaded, ctx)
  ctx.loaded = loaded
  local checks = {
    check_earlier,
    check_resources,
    check_features,
    check_credentials,
    check_urls,
    check_plain,
  }
  for _, check in ipairs(checks) do
    for _, g in ipairs(loaded.groups) do
      for _, t in ipairs(g.tasks) do
        local refused = check(engine, t, ctx)
        if refused then
          return refused, {}
        end
      end
    end
  end
  for _, g in ipairs(loaded.groups) do
    local refused = check_group(engine, g, ctx)
    if refused then
      return refused, {}
    end
  end
  local warnings = {}
  for _, g in ipairs(loaded.groups) do
    for _, t in ipairs(g.tasks) do
      if t.cacheSize then
        local text = "Task %s: cacheSize has no effect in the embedded engine."
        warnings[#warnings + 1] = text:format(t.name)
      end
    end
  end
  return nil, warnings
end

---Rows of groups and tasks for the store.
---@param loaded table normalised spec
---@param ctx table
---@return table[]
function M.groups(loaded, ctx)
  local out = {}
  for _, g in ipairs(loaded.groups) do
    local sum, tasks = { cpu = 0, gpu = 0, memory = 0 }, {}
    for _, t in ipairs(g.tasks) do
      local need = need_of(loaded, t)
      local asked = (loaded.resources or {})[t.resource or "default"] or {}
      t.limits = { cpu = asked.cpu, memory = asked.memory and math.floor(need.memory) or nil }
      sum.cpu = sum.cpu + need.cpu
      sum.gpu = sum.gpu + need.gpu
      sum.memory = sum.memory + need.memory / GIB
      tasks[#tasks + 1] = {
        name = t.name,
        uuid = store.uuid(),
        lead = t.lead,
        cpu = need.cpu,
        gpu = need.gpu,
        memory = need.memory / GIB,
        storage = need.storage / GIB,
      }
    end
    out[#out + 1] = {
      name = g.name,
      uuid = store.uuid(),
      status = #g.needs == 0 and "SCHEDULING" or "WAITING",
      cpu = sum.cpu,
      gpu = sum.gpu,
      memory = sum.memory,
      needs = g.needs,
      tasks = tasks,
      spec = {
        barrier = g.barrier,
        ignoreNonleadStatus = g.ignoreNonleadStatus,
        hosts = names_hosts(g, ctx.hosts),
        tasks = g.tasks,
      },
    }
  end
  return out
end

return M
