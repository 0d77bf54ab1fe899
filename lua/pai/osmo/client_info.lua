-- What a service says of itself and of its user: pools, quota, resources, tasks, profile, tags.
local err = require("pai.err")
local http = require("pai.osmo.client_http")

---@class pai.osmo.Client
local M = {}

-- As upstream's client writes it.
local function flag(v)
  return v and "True" or nil
end

local USAGE <const> = {
  "quota_used",
  "quota_free",
  "quota_limit",
  "total_usage",
  "total_capacity",
  "total_free",
}

-- The service gives GPU counts as text.
local function numbers(usage)
  local out = {}
  for _, name in ipairs(USAGE) do
    out[name] = usage and tonumber(usage[name])
  end
  return out
end

local POOL <const> = { name = "string", resource_usage = "table?" }
local QUOTA <const> = { node_sets = { list = { pools = { list = POOL } } } }

---GPU counts of pools, as numbers. What a NORMAL job can get is the lesser of quota_free and
---total_free; a LOW job is bounded by total_free only. Pools with the same `shared` share nodes, so
---their totals are the same GPUs.
---@param opts {pools: string[]?}?
---@return {pools: table[], sum: table, raw: table}? quota raw: the answer as it came
---@return pai.Error? err
function M:quota(opts)
  local named = opts and opts.pools
  local answer, e = self.transport:call("GET", "/api/pool_quota", {
    query = { pools = named, all_pools = flag(not named) },
    shape = QUOTA,
  })
  if not answer then
    return nil, e
  end
  local pools = {}
  for i, set in ipairs(answer.node_sets or {}) do
    for _, pool in ipairs(set.pools or {}) do
      local usage = numbers(pool.resource_usage)
      usage.name, usage.status, usage.shared = pool.name, pool.status, i
      pools[#pools + 1] = usage
    end
  end
  return { pools = pools, sum = numbers(answer.resource_sum), raw = answer }
end

local NODES <const> = { resources = { list = { hostname = "string", exposed_fields = "table?" } } }

---Nodes and what they have.
---@param opts {pools: string[]?, platforms: string[]?, all: boolean?, concise: boolean?}?
---@return table? answer {resources} or, concise, {pools}
---@return pai.Error? err
function M:resources(opts)
  opts = opts or {}
  if opts.platforms and not opts.pools then
    return err.fail("EINVAL", "platforms count only together with pools", {
      hint = "name the pool, too",
    })
  end
  return self.transport:call("GET", "/api/resources", {
    query = {
      pools = opts.pools,
      platforms = opts.platforms,
      all_pools = flag(opts.all),
      concise = flag(opts.concise),
    },
    shape = opts.concise and { pools = { list = "table" } } or NODES,
  })
end

---One node. An unknown one is a 500 of the service.
---@param node string
---@return table?
---@return pai.Error? err
function M:resource(node)
  local answer, e = self.transport:call("GET", "/api/resources/" .. http.segment(node), {
    shape = NODES,
  })
  if not answer then
    if e.http == 500 then
      e.hint = "the service answers so for a node that it does not know"
    end
    return nil, e
  end
  local found = answer.resources and answer.resources[1]
  if not found then
    return err.fail("ENOENT", ("there is no node '%s'"):format(node))
  end
  return found
end

local TASKS <const> = {
  "workflow_id",
  "statuses",
  "users",
  "pools",
  "nodes",
  "started_after",
  "started_before",
  "offset",
  "limit",
  "priority",
}

---Tasks of all runs.
---@param opts table? the parameters of GET /api/task; summary and by_workflow sum up
---@return table? answer {tasks} or {summaries}
---@return pai.Error? err
function M:tasks(opts)
  opts = opts or {}
  local query = { order = opts.order or "DESC" }
  for _, name in ipairs(TASKS) do
    query[name] = opts[name]
  end
  query.all_users = flag(opts.all_users)
  query.all_pools = flag(opts.all_pools or not opts.pools)
  query.summary = flag(opts.summary)
  query.aggregate_by_workflow = flag(opts.by_workflow)
  return self.transport:call("GET", "/api/task", {
    query = query,
    shape = { tasks = "table?", summaries = "table?" },
  })
end

---Changes the profile: pool, email_notification, slack_notification.
---@param changes table
---@return true?
---@return pai.Error? err
function M:set_profile(changes)
  local answer, e = self.transport:call("POST", "/api/profile/settings", { json = changes })
  return answer ~= nil and true or nil, e
end

---The tags that an admin allows.
---@return string[]?
---@return pai.Error? err
function M:tags()
  local answer, e = self.transport:call("GET", "/api/tag", {
    shape = { tags = { list = "string" } },
  })
  return answer and answer.tags, e
end

---Puts tags on a run and takes them off.
---@param id string
---@param opts {add: string[]?, remove: string[]?}
---@return true?
---@return pai.Error? err
function M:tag(id, opts)
  local path = "/api/workflow/" .. http.segment(id) .. "/tag"
  local answer, e = self.transport:call("POST", path, {
    query = { add = opts.add, remove = opts.remove },
  })
  return answer ~= nil and true or nil, e
end

return M
