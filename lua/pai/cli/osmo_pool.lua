-- pai osmo pools, pool, resource: where runs go, and what is free there.
local command = require("pai.cli.osmo_command")
local common = require("pai.cli.osmo_common")
local err = require("pai.err")
local text = require("pai.text")

local function mode_option(doc)
  return {
    name = "mode",
    short = "m",
    arg = "used|free",
    doc = doc,
    sets = { used = { free = false }, free = { free = true } },
  }
end

local pools = command.new({
  name = "pools",
  summary = "list the pools",
  usage = "",
  examples = { { "pai osmo pools --json", "" } },
  ask = function(c)
    return c:pools()
  end,
  json = function(found)
    return { pools = found }
  end,
  rows = function(found)
    local rows = { { "POOL", "STATUS", "PLATFORMS", "DESCRIPTION" } }
    for _, name in ipairs(text.keys(found)) do
      local p = found[name]
      rows[#rows + 1] = {
        name,
        p.status,
        table.concat(text.keys(common.known(p.platforms) and p.platforms or {}), ","),
        common.shown(p.description),
      }
    end
    return rows
  end,
})

local function count(v)
  return v and (v == -1 and "no limit" or ("%.14g"):format(v)) or "-"
end

local QUOTA_HEAD <const> = {
  [true] = { "POOL", "STATUS", "QUOTA FREE", "TOTAL FREE" },
  [false] = { "POOL", "STATUS", "QUOTA USED", "QUOTA LIMIT", "TOTAL USAGE", "TOTAL CAPACITY" },
}
local QUOTA <const> = {
  [true] = { "quota_free", "total_free" },
  [false] = { "quota_used", "quota_limit", "total_usage", "total_capacity" },
}

local pool_list = command.new({
  name = "list",
  summary = "GPUs of the pools: quota, and what is free",
  usage = "",
  doc = "A NORMAL or HIGH job can get the lesser of QUOTA FREE and TOTAL FREE, a LOW one what is "
    .. "free in all. Pools that share nodes show the same totals.",
  options = { common.POOLS, mode_option("which figures (default: used)") },
  examples = { { "pai osmo pool list --mode free", "what can be had now" } },
  ask = function(c, _, _, opts)
    return c:quota({ pools = opts.pool })
  end,
  json = function(quota)
    return quota.raw
  end,
  rows = function(quota, opts)
    local free = opts.free == true
    local rows = { QUOTA_HEAD[free] }
    for _, p in ipairs(quota.pools) do
      local row = { p.name, common.shown(p.status) }
      for _, name in ipairs(QUOTA[free]) do
        row[#row + 1] = count(p[name])
      end
      rows[#rows + 1] = row
    end
    return rows
  end,
})

-- A figure of a node; a node without GPUs may have none.
local function figure(fields, name)
  local v = (fields or {})[name]
  return common.known(v) and tostring(v) or "0"
end

local WHAT <const> = { "cpu", "memory", "storage", "gpu" }

-- A quantity of a node as a number: sizes in GiB.
local function amount(v, name)
  local given = common.known(v) and tostring(v) or "0"
  if name == "memory" or name == "storage" then
    return (require("pai.osmo.quantity").bytes(given) or 0) / 1024 ^ 3
  end
  local number, milli = given:match("^([%d.]+)(m?)$")
  return (tonumber(number) or 0) / (milli == "m" and 1000 or 1)
end

-- What is left of a node, to a tenth.
local function free_of(r, name)
  local all, used = r.allocatable_fields or {}, r.usage_fields or {}
  local rest = amount(all[name], name) - amount(used[name], name)
  return ("%.14g"):format(math.max(rest, 0) * 10 // 1 / 10)
end

local resource_list = command.new({
  name = "list",
  summary = "list the nodes and what they have",
  usage = "",
  options = {
    {
      name = "pool",
      short = "p",
      arg = "NAME",
      several = true,
      doc = "of these pools (default: yours)",
    },
    { name = "platform", arg = "NAME", several = true, doc = "of these platforms of the pools" },
    { name = "all", short = "a", doc = "of all pools" },
    mode_option("used: what they have; free: what is left (default: used)"),
  },
  examples = { { "pai osmo resource list --all --mode free", "" } },
  read = function(_, opts)
    if opts.platform and not opts.pool then
      err.raise("EUSAGE", "--platform goes together with --pool")
    end
  end,
  ask = function(c, _, _, opts)
    return c:resources({ pools = opts.pool, platforms = opts.platform, all = opts.all })
  end,
  rows = function(answer, opts)
    local rows = { { "NODE", "TYPE", "BACKEND", "CPU", "MEMORY GiB", "STORAGE GiB", "GPU" } }
    for _, r in ipairs(answer.resources or {}) do
      local row = { r.hostname, common.shown(r.resource_type), common.shown(r.backend) }
      for _, name in ipairs(WHAT) do
        row[#row + 1] = opts.free and free_of(r, name) or figure(r.exposed_fields, name)
      end
      rows[#rows + 1] = row
    end
    return rows
  end,
  none = "no nodes found",
})

-- Of fields by pool and platform, those that are meant.
local NARROWED <const> = {
  "config_fields",
  "platform_allocatable_fields",
  "platform_available_fields",
  "platform_workflow_allocatable_fields",
}

local function narrowed(r, pool, platform)
  local known = r.pool_platform_labels or {}
  local has = known[pool] ~= nil
  for _, name in ipairs(has and platform and known[pool] or {}) do
    has = name == platform
    if has then
      break
    end
  end
  if not has then
    local of = platform and ("pool %s, platform %s"):format(pool, platform) or "pool " .. pool
    err.raise("ENOENT", ("the node %s is not in the %s"):format(r.hostname, of))
  end
  for _, name in ipairs(NARROWED) do
    local one = type(r[name]) == "table" and r[name][pool]
    if type(one) == "table" then
      r[name] = { [pool] = platform and { [platform] = one[platform] } or one }
    end
  end
  r.pool_platform_labels = { [pool] = platform and { platform } or known[pool] }
  return r
end

local resource_info = command.new({
  name = "info",
  summary = "show one node",
  usage = "NODE",
  words = { 1, 1 },
  options = {
    { name = "pool", short = "p", arg = "NAME", doc = "what it is in this pool" },
    { name = "platform", short = "pl", arg = "NAME", doc = "and on this platform of the pool" },
  },
  examples = { { "pai osmo resource info node-1 --pool gpu", "" } },
  read = function(_, opts)
    if opts.platform and not opts.pool then
      err.raise("EUSAGE", "--platform goes together with --pool")
    end
  end,
  ask = function(c, _, words, opts)
    local r, e = c:resource(words[1])
    return r and opts.pool and narrowed(r, opts.pool, opts.platform) or r, e
  end,
  text = function(r)
    return require("pai.yaml").encode(r)
  end,
})

return {
  pools,
  command.group("pool", "pools and their GPUs", { pool_list }),
  command.group("resource", "nodes and what they have", { resource_list, resource_info }),
}
