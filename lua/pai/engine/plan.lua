-- What the embedded engine makes of a normalised spec: what it cannot do is refused by name, the
-- rest becomes rows of groups and tasks.
local data = require("pai.engine.data")
local fs = require("pai.fs")
local quantity = require("pai.osmo.quantity")
local status = require("pai.engine.status")
local store = require("pai.engine.store")
local wire = require("pai.engine.wire")

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

local UNSUPPORTED <const> = {
  { "credentials", "CREDENTIAL", "credentials" },
  { "checkpoint", "USAGE", "checkpoint" },
  { "volumeMounts", "USAGE", "volumeMounts" },
  { "privileged", "USAGE", "privileged" },
  { "hostNetwork", "USAGE", "hostNetwork" },
  { "kpis", "USAGE", "kpis" },
}

local function given(v)
  if type(v) == "table" then
    return next(v) ~= nil
  end
  return v ~= nil and v ~= false
end

local function unsupported(t, what)
  return ("Task %s: %s is not supported by the embedded engine."):format(t.name, what)
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

local function check_features(t)
  for _, entry in ipairs(UNSUPPORTED) do
    if given(t[entry[1]]) then
      return { error_code = entry[2], message = unsupported(t, entry[3]) }
    end
  end
  if not t.image:find("^pai%.local/.") then
    return {
      error_code = "USAGE",
      message = ("Task %s: the image %s is not supported by the embedded engine; "):format(
        t.name,
        t.image
      ) .. "it runs pai.local/NAME (a host process) only.",
    }
  end
  for _, f in ipairs(t.files or {}) do
    if ("/" .. f.path .. "/"):find("/../", 1, true) then
      return {
        error_code = "USAGE",
        message = ("Task %s: '..' in the file path %s."):format(t.name, f.path),
      }
    end
  end
  for _, text in ipairs(texts_of(t)) do
    if text:find("<host:", 1, true) then
      return { error_code = "USAGE", message = unsupported(t, "the token {{host:...}}") }
    end
  end
end

local function check_resources(engine, t, need)
  local function refuse(text, ...)
    return { error_code = "RESOURCE", message = ("Task %s: "):format(t.name) .. text:format(...) }
  end
  if need.cpu <= 0 then
    return refuse("cpu must be above 0")
  elseif need.memory <= 0 then
    return refuse("memory must be above 0")
  elseif need.storage <= 0 then
    return refuse("storage must be above 0")
  elseif need.gpu > 0 then
    return refuse("%d gpu asked for, the pool %s has none", need.gpu, wire.POOL)
  end
  local memory, disk = wire.memory_kib() * 1024, fs.disk_free(engine.paths.root)
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

local function check_urls(engine, t)
  local roots = engine:roots()
  for _, list in ipairs({ t.inputs or {}, t.outputs or {} }) do
    for _, entry in ipairs(list) do
      if entry.url then
        local path, why = data.allowed(entry.url, roots, engine.paths.root)
        if not path then
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
local function check_plain(engine, t, request)
  if engine.sandbox.kind ~= "plain" then
    return nil
  end
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
end

---Checks what only the engine knows.
---@param engine pai.engine.Engine
---@param loaded table normalised spec
---@param ctx table
---@return {error_code: string, message: string}? refusal
---@return string[] warnings
function M.check(engine, loaded, ctx)
  local checks = {
    check_earlier,
    function(e, t)
      return check_resources(e, t, need_of(loaded, t))
    end,
    function(_, t)
      return check_features(t)
    end,
    check_urls,
    function(e, t)
      return check_plain(e, t, ctx.request)
    end,
  }
  for _, check in ipairs(checks) do
    for _, g in ipairs(loaded.groups) do
      for _, t in ipairs(g.tasks) do
        local refusal = check(engine, t)
        if refusal then
          return refusal, {}
        end
      end
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
---@return table[]
function M.groups(loaded)
  local out = {}
  for _, g in ipairs(loaded.groups) do
    local cpu, tasks = 0, {}
    for _, t in ipairs(g.tasks) do
      local need = need_of(loaded, t)
      cpu = cpu + need.cpu
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
      cpu = cpu,
      needs = g.needs,
      tasks = tasks,
      spec = {
        barrier = g.barrier,
        ignoreNonleadStatus = g.ignoreNonleadStatus,
        tasks = g.tasks,
      },
    }
  end
  return out
end

return M
