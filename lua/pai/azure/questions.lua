-- What several checks want to know of one Azure subscription, each asked once. Every call names the
-- subscription, so that the defaults of the user's az are neither used nor changed.
local err = require("pai.err")
local task = require("pai.task")

local M = {}

-- Calls fn once, whoever asks first; the others wait for the same answer.
local function once(fn)
  local state, ready, ok, value = nil, nil, nil, nil
  return function()
    while state == "running" do
      ready:wait()
    end
    if not state then
      state, ready = "running", task.event()
      ok, value = pcall(fn)
      -- Whoever asked may have been out of time; that is no answer for the others.
      state = (ok or not err.is(value, "ECANCELED")) and "done" or nil
      ready:set()
    end
    if not ok then
      error(value, 0)
    end
    return value
  end
end

---@class pai.azure.Questions
---@field subscription string? as it was given: an id or a name
---@field location string?
local Questions = {}
Questions.__index = Questions

---@param ctx pai.ctx
---@param az table ctx.tools.az
---@param opts { subscription: string?, location: string? }
---@return pai.azure.Questions
function M.new(ctx, az, opts)
  local self = setmetatable({
    ctx = ctx,
    az = az,
    subscription = opts.subscription,
    location = opts.location,
    known = {},
  }, Questions)
  return self
end

---Asks az about this subscription; raises what az refuses.
---@param args string[]
---@return any answer
function Questions:ask(args)
  local key = table.concat(args, "\0")
  if not self.known[key] then
    self.known[key] = once(function()
      if not self.ctx.which("az") then
        err.raise("ENOENT", "az is not on PATH", { hint = "install the Azure CLI" })
      end
      local words = table.move(args, 1, #args, 1, {})
      local takes_one = args[1] ~= "account" or args[2] ~= "list"
      if self.subscription and takes_one then
        words[#words + 1] = "--subscription"
        words[#words + 1] = self.subscription
      end
      local answer, e = self.az.ask(words)
      if e then
        error(e, 0)
      end
      return answer
    end)
  end
  return self.known[key]()
end

---The subscriptions of this login, also those that can't be used.
---@return table[] accounts id, name, state, isDefault, tenantId, user
function Questions:accounts()
  local list = self:ask({ "account", "list", "--all" })
  if type(list) ~= "table" or #list == 0 then
    err.raise("ELOGIN", "not logged in", {
      hint = "run az login; in a shell without a browser, pai deploy openclaw-azure-login",
    })
  end
  return list
end

---The account that is meant: the one that was named, or the active one. No other is ever chosen.
---@return table? account
---@return string? why there is none
function Questions:account()
  for _, account in ipairs(self:accounts()) do
    local named = self.subscription
      and (account.id:lower() == self.subscription:lower() or account.name == self.subscription)
    if named or (not self.subscription and account.isDefault) then
      return account
    end
  end
  return nil, self.subscription or "no active subscription"
end

---Namespaces of resource providers and their state.
---@return table<string, string>
function Questions:providers()
  local states = {}
  for _, provider in ipairs(self:ask({ "provider", "list" })) do
    states[provider.namespace:lower()] = provider.registrationState
  end
  return states
end

---A size of virtual machines in the region.
---@param size string "Standard_D16ds_v5"
---@return { name: string, family: string, vcpus: integer, gpus: integer, blocked: string? }? sku
function Questions:sku(size)
  local list = self:ask({
    "vm",
    "list-skus",
    "--location",
    self.location,
    "--resource-type",
    "virtualMachines",
    "--size",
    size,
    "--all",
  })
  for _, sku in ipairs(list) do
    if sku.name:lower() == size:lower() then
      local can = {}
      for _, capability in ipairs(sku.capabilities or {}) do
        can[capability.name] = math.tointeger(tonumber(capability.value))
      end
      local blocked
      for _, restriction in ipairs(sku.restrictions or {}) do
        if restriction.type == "Location" then
          blocked = restriction.reasonCode or "restricted"
        end
      end
      return {
        name = sku.name,
        family = sku.family,
        vcpus = can.vCPUs or 0,
        gpus = can.GPUs or 0,
        blocked = blocked,
      }
    end
  end
end

---How much of each quota of the region is used.
---@return table<string, { used: integer, limit: integer }> by lower-case name
function Questions:usage()
  local rows = {}
  for _, row in ipairs(self:ask({ "vm", "list-usage", "--location", self.location })) do
    -- az prints both numbers as texts in some versions.
    rows[row.name.value:lower()] = {
      used = math.tointeger(tonumber(row.currentValue)) or 0,
      limit = math.tointeger(tonumber(row.limit)) or 0,
    }
  end
  return rows
end

---The pools of a cluster that is there already; none when there is no such cluster.
---@param group string
---@param name string
---@return table[] pools vmSize, count, scaleSetPriority
---@return table? cluster
function Questions:pools(group, name)
  local ok, cluster =
    pcall(self.ask, self, { "aks", "show", "--resource-group", group, "--name", name })
  if ok then
    return cluster.agentPoolProfiles or {}, cluster
  elseif err.is(cluster, "ENOENT") then
    return {}
  end
  error(cluster, 0)
end

return M
