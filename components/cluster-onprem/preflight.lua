-- Before there is a cluster: every host by itself, all of them together, and the addresses.
local address = require("cluster-onprem.address")
local host = require("cluster-onprem.host")

local function list_of(inp)
  local all = {}
  for _, name in ipairs(inp.control_planes) do
    all[#all + 1] = { name = name, worker = false }
  end
  for _, name in ipairs(inp.workers) do
    all[#all + 1] = { name = name, worker = true }
  end
  return all
end

-- Two hosts of one image share what must differ.
local function distinct(known, field, what, hint)
  local owner, twice = {}, {}
  for name, facts in pairs(known) do
    local value = facts[field] or ""
    if owner[value] then
      twice[#twice + 1] = ("%s and %s: %s"):format(owner[value], name, value)
    end
    owner[value] = name
  end
  table.sort(twice)
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

local function hosts(ctx, inp)
  local all, known, why = list_of(inp), {}, {}
  local work = {}
  for _, one in ipairs(all) do
    work[one.name] = function()
      if one.name:sub(1, 1) == "-" then
        why[one.name] = "that is no name of a host"
        return
      end
      known[one.name], why[one.name] = host.ask(ctx, one.name)
    end
  end
  ctx.all(work, { limit = 16 })
  local checks = { quorum(inp) }
  for _, one in ipairs(all) do
    local facts = known[one.name]
    if facts then
      local role = { worker = one.worker, gpus = inp.gpus, disk_gib = inp.disk_gib }
      local more = host.checks(one.name, facts, role)
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
  return checks, known
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

-- Addresses that hosts have and networks that Kubernetes will use.
local function addresses(inp, known)
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
  }
end

return {
  summary = "Looks at the hosts of a cluster that is to be, over ssh; changes nothing.",
  safety = "observes",
  inputs = {
    control_planes = { type = "list", of = "string", doc = "Hosts, as ssh takes them." },
    workers = { type = "list", of = "string", doc = "GPU hosts, as ssh takes them." },
    vip = { type = "string", doc = "Address of the API server, carried by kube-vip." },
    metallb = { type = "string", doc = "Range FIRST-LAST or network of MetalLB." },
    pod_cidr = { type = "string", default = "10.233.64.0/18", doc = "Kubespray's default." },
    service_cidr = { type = "string", default = "10.233.0.0/18", doc = "Kubespray's default." },
    gpus = { type = "integer", default = 8, min = 0, doc = "GPUs of a worker." },
    disk_gib = { type = "integer", default = 200, min = 1, doc = "Room on a control plane." },
  },
  needs = {
    bins = { "ssh" },
    reads = { "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes", "date +%s.%N" },
  },
  steps = {
    {
      name = "hosts",
      timeout = "5m",
      checks = function(ctx, inp)
        local checks, known = hosts(ctx, inp)
        local more = addresses(inp, known)
        return table.move(more, 1, #more, #checks + 1, checks)
      end,
    },
  },
  examples = {
    "pai preflight cluster-onprem control_planes=cp1,cp2,cp3 workers=gpu1,gpu2 "
      .. "vip=192.0.2.10 metallb=192.0.2.20-192.0.2.40",
  },
}
