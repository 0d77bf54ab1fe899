-- Every host by itself, all of them together, and the addresses: the checks before there is a
-- cluster. The first control plane is asked who else answers for addresses that must be free.
local address = require("cluster-onprem.address")
local host = require("cluster-onprem.host")
local node = require("cluster-onprem.node")

local M = {}

-- More addresses than that are not asked for one by one.
local RANGE_MAX <const> = 64

-- Two hosts of one image share what must differ.
local function distinct(known, field, what, hint)
  local owner, twice, names = {}, {}, {}
  for name in pairs(known) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local value = known[name][field] or ""
    if owner[value] then
      twice[#twice + 1] = ("%s and %s: %s"):format(owner[value], name, value)
    end
    owner[value] = name
  end
  return {
    name = what,
    expected = "all different",
    state = #twice == 0 and "ok" or "red",
    measured = #twice == 0 and "all different" or table.concat(twice, "; "),
    hint = hint,
  }
end

local function quorum(inp)
  local n = #inp.control_planes
  local good = n >= 3 and n % 2 == 1
  return {
    name = "etcd quorum",
    expected = "3 control planes, or a larger odd number",
    state = good and "ok" or "red",
    measured = n,
    hint = "an even number tolerates no more failures than one less",
  }
end

-- The VIP and the addresses of the range, as far as the range is small.
local function to_be_free(inp)
  local list = address.range(inp.vip) and { inp.vip } or {}
  local first, last = address.range(inp.metallb)
  if first and last - first < RANGE_MAX then
    for at = first, last do
      list[#list + 1] = address.text(at)
    end
  end
  return list
end

local function ask_all(ctx, inp, nodes)
  local known, why, work = {}, {}, {}
  local free = to_be_free(inp)
  for i, one in ipairs(nodes) do
    work[i] = function()
      if one.fault then
        why[one.name] = one.fault
      else
        known[one.name], why[one.name] = host.ask(ctx, inp, one, i == 1 and free or {})
      end
    end
  end
  ctx.all(work, { limit = 16 })
  return known, why
end

local function apart(name, what, a, others)
  local first = address.range(a)
  if not first then
    return { name = name, state = "red", measured = a .. " is no " .. what, expected = what }
  end
  local hits = {}
  for _, other in ipairs(others) do
    local touch = address.touch(a, other[2])
    if touch == nil then
      hits[#hits + 1] = ("%s %s is no address"):format(other[1], other[2])
    elseif touch then
      hits[#hits + 1] = ("%s %s"):format(other[1], other[2])
    end
  end
  return {
    name = name,
    expected = "apart from all others",
    state = #hits == 0 and "ok" or "red",
    measured = #hits == 0 and a or ("%s touches %s"):format(a, table.concat(hits, ", ")),
    hint = "choose addresses of the nodes' network that nobody else has",
  }
end

---Whether VIP and range keep apart from what is known of the network.
---@param inp table
---@param known table<string, table> facts by host
---@return table[] checks
function M.addresses(inp, known)
  local taken = { { "pods", inp.pod_cidr }, { "services", inp.service_cidr } }
  for name, facts in pairs(known) do
    for one in (facts.addresses or ""):gmatch("%d+%.%d+%.%d+%.%d+") do
      taken[#taken + 1] = { name, one }
    end
  end
  table.sort(taken, function(a, b)
    return a[1] .. a[2] < b[1] .. b[2]
  end)
  local with_vip = table.move(taken, 1, #taken, 2, { { "the VIP", inp.vip } })
  return {
    apart("VIP", "address", inp.vip, taken),
    apart("MetalLB range", "range or network", inp.metallb, with_vip),
    apart("pods and services", "network", inp.pod_cidr, { { "services", inp.service_cidr } }),
  }
end

-- Who answers (ARP or ping) for what should be nobody's.
local function unused(inp, nodes, known, again)
  local facts = known[nodes[1] and nodes[1].name]
  local check = {
    name = "addresses unused",
    expected = "nobody answers for VIP and MetalLB range",
    hint = "another machine has it: choose another address",
  }
  local asked = to_be_free(inp)
  if not facts then
    check.state, check.measured = "unknown", "the first control plane could not be asked"
    return check
  end
  if not facts.probe then
    check.state, check.measured = "unknown", "the first control plane has neither ping nor bash"
    return check
  end
  local seen, hits = {}, {}
  for _, one in ipairs(facts.answers) do
    hits[#hits + 1] = not seen[one] and one or nil
    seen[one] = true
  end
  table.sort(hits)
  local first, last = address.range(inp.metallb)
  local large = first and last - first >= RANGE_MAX
  check.measured = #hits > 0 and "answers: " .. table.concat(hits, ", ")
    or ("%d asked for%s"):format(#asked, large and ", the range is too large" or "")
  check.state = #hits == 0 and (large and "warn" or "ok")
    or again and #hits == 1 and hits[1] == inp.vip and "warn"
    or "red"
  return check
end

---Asks all hosts.
---@param ctx pai.ctx
---@param inp table
---@param again boolean? the deployment was begun: what it has left on the hosts is not in its way
---@return table[] checks
function M.checks(ctx, inp, again)
  local nodes = node.all(inp)
  local known, why = ask_all(ctx, inp, nodes)
  local checks = { quorum(inp) }
  local role = { gpus = inp.gpus, disk_gib = inp.disk_gib, device = inp.vip_interface }
  role.again = again
  for _, one in ipairs(nodes) do
    local facts = known[one.name]
    if facts then
      local more = host.checks(one, facts, role)
      table.move(more, 1, #more, #checks + 1, checks)
    else
      checks[#checks + 1] = {
        name = one.name,
        expected = "answers over ssh",
        state = "red",
        measured = why[one.name],
        hint = "a key and the host's own key in known_hosts; ssh asks for nothing here",
      }
    end
  end
  checks[#checks + 1] = distinct(known, "host", "hostnames", "hostnamectl set-hostname")
  checks[#checks + 1] =
    distinct(known, "machine", "machine ids", "rm /etc/machine-id; systemd-machine-id-setup")
  for _, check in ipairs(M.addresses(inp, known)) do
    checks[#checks + 1] = check
  end
  checks[#checks + 1] = unused(inp, nodes, known, again)
  return checks
end

return M
