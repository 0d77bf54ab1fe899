-- What must hold of the inputs themselves, before anything is asked or applied: lengths of names,
-- networks, Spot, versions. Azure says most of it too, after half an hour.
local stack = require("cluster-azure.stack")

local M = {}

local LOCK <const> = stack.LOCK

local function red(measured, hint)
  return { state = "red", measured = measured, hint = hint }
end

local function ok(measured)
  return { state = "ok", measured = measured }
end

local function names(inp)
  return {
    name = "names",
    expected = "lower-case letters and digits, at most 14 with the environment",
    hint = "storage accounts and the key vault have at most 24 characters: a shorter prefix",
    run = function()
      local whole = inp.resource_prefix .. inp.environment
      if not inp.resource_prefix:find("^%l[%l%d]*$") then
        return red(inp.resource_prefix)
      elseif #whole > 14 then
        return red(("%s and %s: %d"):format(inp.resource_prefix, inp.environment, #whole))
      end
      return ok(stack.names(inp).cluster)
    end,
  }
end

---Reads networks that may be let in; nil and what is wrong.
---@param ctx pai.ctx
---@param list string[]?
---@return pai.Cidr[]? networks
---@return table? answer of a check
function M.allowed(ctx, list)
  local cidr = ctx.cidr
  if not list or #list == 0 then
    return nil, red("none", "pass allowed_cidr= with your own address: 203.0.113.4/32")
  end
  local networks, why = cidr.parse_all(list)
  if not networks then
    return nil, red(why)
  end
  for _, network in ipairs(networks) do
    if network.bits == 0 then
      return nil, red(network.text .. " is everybody")
    elseif cidr.is_private(network) then
      return nil, red(network.text .. " is not on the Internet; storage accounts refuse it")
    elseif network.bits == 31 then
      return nil, red(network.text .. ": storage accounts refuse /31; give two /32")
    elseif not network.exact then
      return nil, red("a network begins with its first address: " .. network.text)
    end
  end
  return networks
end

local function allowed_cidr(ctx, inp)
  return {
    name = "allowed_cidr",
    expected = "networks on the Internet, not everybody",
    hint = "your own address with /32 is enough to begin with",
    run = function()
      local networks, wrong = M.allowed(ctx, inp.allowed_cidr)
      if networks then
        return ok(table.concat(inp.allowed_cidr, ", "))
      end
      return wrong
    end,
  }
end

---The caller's public address; raises when nobody says it.
---@param ctx pai.ctx
---@param inp table
---@return string
function M.caller(ctx, inp)
  if inp.caller_ip then
    return inp.caller_ip
  end
  local answer = ctx.http({ url = inp.ip_service, timeout = "10s" })
  return (answer.body:match("^%s*(.-)%s*$"))
end

local function caller(ctx, inp, checks)
  local hint = "add your address to allowed_cidr; a colleague's network stays in any case"
  return {
    name = "your address",
    expected = "inside of allowed_cidr",
    hint = hint,
    timeout = "80s",
    run = function()
      local found, address = pcall(M.caller, ctx, inp)
      if not found then
        local why = type(address) == "table" and address.message or tostring(address)
        return {
          state = "unknown",
          measured = "not known: " .. why,
          hint = "pass caller_ip=ADDRESS, or another ip_service=URL",
        }
      end
      local one, why = ctx.cidr.parse(address)
      if not one then
        return { state = "unknown", measured = why, hint = "pass caller_ip=ADDRESS" }
      end
      local list = table.move(inp.allowed_cidr or {}, 1, #(inp.allowed_cidr or {}), 1, {})
      -- What the cluster lets in already stays; without an answer only the given ones count.
      local asked, live = pcall(stack.live_ranges, inp, checks.questions)
      for _, range in ipairs(asked and live or {}) do
        list[#list + 1] = range
      end
      local networks = ctx.cidr.parse_all(stack.without(ctx, list, inp.drop_cidr))
      local holder = networks and ctx.cidr.holder(networks, one)
      if holder then
        return ok(("%s, in %s"):format(address, holder.text))
      end
      return red(address)
    end,
  }
end

local function network(ctx, inp)
  return {
    name = "vnet_address_space",
    expected = "private, /17 or larger, apart from " .. LOCK.service_cidr,
    hint = "10.0.0.0/16 is as good as any; it must not overlap networks that you peer with",
    run = function()
      local one, why = ctx.cidr.parse(inp.vnet_address_space)
      if not one then
        return red(why)
      elseif one.bits > 17 or one.bits < 8 then
        return red(("%s has no room for five /20, or is too large"):format(one.text))
      elseif not one.exact then
        return red("begins at " .. one.text)
      elseif ctx.cidr.overlaps(one, ctx.cidr.parse(LOCK.service_cidr)) then
        return red(one.text .. " overlaps the cluster's services, " .. LOCK.service_cidr)
      end
      return ok(one.text)
    end,
  }
end

local function pool(inp)
  return {
    name = "GPU pool",
    expected = "gpu_min <= gpu_max; Spot only where its taint is tolerated",
    hint = "Spot: give every GPU workload the toleration, then pass spot_tolerated=true",
    run = function()
      local measured = ("%s, %d to %d"):format(inp.gpu_priority, inp.gpu_min, inp.gpu_max)
      if inp.gpu_min > inp.gpu_max then
        return red(measured, "gpu_min is more than gpu_max")
      elseif inp.gpu_priority == "Spot" and not inp.spot_tolerated then
        return red(measured .. ": GPU pods would stay Pending")
      end
      return ok(measured)
    end,
  }
end

local function operator(ctx, inp)
  return {
    name = "GPU Operator",
    expected = ">= " .. LOCK.gpu_least_on_1_33 .. " on Kubernetes 1.33 and newer",
    hint = "gpu_operator_version=v" .. LOCK.gpu_least_on_1_33,
    run = function()
      local version = ctx.semver.parse(inp.gpu_operator_version)
      local kubernetes = ctx.semver.parse(inp.kubernetes_version)
      if not version or not kubernetes then
        return red(("%s on %s"):format(inp.gpu_operator_version, inp.kubernetes_version))
      end
      local old = ctx.semver.within(kubernetes, "1.33")
        and not ctx.semver.within(version, LOCK.gpu_least_on_1_33)
      local measured = ("%s on %s"):format(inp.gpu_operator_version, inp.kubernetes_version)
      return old and red(measured) or ok(measured)
    end,
  }
end

local function redis(inp)
  return {
    name = "Redis capacity",
    expected = "a size that the region has",
    hint = "redis_sku=ComputeOptimized_X3, or another region",
    run = function()
      local scarce = inp.location == "eastus2" and inp.redis_sku:find("^Balanced_B")
      local measured = ("%s in %s"):format(inp.redis_sku, inp.location)
      return { state = scarce and "warn" or "ok", measured = measured }
    end,
  }
end

local function tags(inp)
  return {
    name = "tags",
    expected = "NAME=VALUE",
    run = function()
      local map, why = stack.tags(inp.tags)
      return map and ok(("%d"):format(#inp.tags)) or red(why)
    end,
  }
end

---The checks of the inputs.
---@param ctx pai.ctx
---@param inp table
---@param checks pai.azure.Checks
---@return table[] list
function M.checks(ctx, inp, checks)
  return {
    names(inp),
    allowed_cidr(ctx, inp),
    caller(ctx, inp, checks),
    network(ctx, inp),
    pool(inp),
    operator(ctx, inp),
    redis(inp),
    tags(inp),
  }
end

return M
