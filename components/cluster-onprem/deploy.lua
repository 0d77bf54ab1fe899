-- Kubernetes by Kubespray, its context, and the stack on top, one stage after another.
local cluster = require("cluster-onprem.cluster")
local hosts = require("cluster-onprem.hosts")
local inputs = require("cluster-onprem.inputs")
local inventory = require("cluster-onprem.inventory")
local kubespray = require("cluster-onprem.kubespray")
local lock = require("cluster-onprem.lock")
local node = require("cluster-onprem.node")
local stages = require("cluster-onprem.stages")

-- The one that is wanted, as the control planes see it, made from this very inventory.
local function is_made(ctx, inp)
  local digest = kubespray.checkout(ctx, inp) and inventory.digest(ctx, inp)
  if not digest or cluster.remembered(ctx, inp, "done") ~= digest then
    return false
  end
  return cluster.lacks(inp, (cluster.nodes(ctx, inp))) == nil
end

local function changed_files(ctx, inp)
  local _, changed = kubespray.checkout(ctx, inp)
  local said = #changed == 0 and "none" or table.concat(changed, ", ", 1, math.min(5, #changed))
  return {
    name = "changed files",
    expected = "none",
    state = #changed == 0 and "ok" or "red",
    measured = said,
    hint = "git checkout in the checkout, or give another folder; variables go into vars=FILE",
  }
end

-- The inventory as Ansible reads it has the groups and the variables that were meant.
local function read_back(ctx, inp)
  local doc = kubespray.read_inventory(ctx, inp)
  local bad, wanted = {}, inventory.variables(inp)
  local vars = doc._meta.hostvars
  for _, one in ipairs(node.all(inp)) do
    local have = vars[one.name] or {}
    for _, group in pairs(wanted) do
      for name, value in pairs(group) do
        local same = type(value) == "table"
            and ctx.json.encode(have[name]) == ctx.json.encode(value)
          or have[name] == value
        bad[#bad + 1] = not same and ("%s of %s"):format(name, one.name) or nil
      end
    end
  end
  local planes = doc.kube_control_plane and doc.kube_control_plane.hosts or {}
  if table.concat(planes, ",") ~= table.concat(node.names(node.all(inp), false), ",") then
    bad[#bad + 1] = "the group kube_control_plane"
  end
  table.sort(bad)
  return {
    name = "inventory, as Ansible reads it",
    expected = "every group and variable as given",
    state = #bad == 0 and "ok" or "red",
    measured = #bad == 0 and ("%d nodes"):format(#node.all(inp))
      or "other: " .. table.concat(bad, ", "),
  }
end

local function play_cluster(ctx, inp)
  local nodes, why = cluster.nodes(ctx, inp)
  if why then
    error("no control plane could be asked: " .. why, 0)
  end
  cluster.refuse_other(inp, nodes)
  local digest = inventory.digest(ctx, inp) or error("the inventory was changed meanwhile", 0)
  cluster.remember(ctx, inp, "begun", digest)
  local recap = kubespray.play(ctx, inp, "cluster.yml", { timeout = "3h" })
  local lacks = cluster.lacks(inp, (cluster.nodes(ctx, inp)))
  if lacks then
    error("cluster.yml ended well, but " .. lacks, 0)
  end
  cluster.remember(ctx, inp, "done", digest)
  return { recap = recap }
end

-- The API server through the VIP, and what Kubespray says it installed.
local function api_gate(ctx, inp)
  return {
    ctx.check.kube.version(inp.context),
    ctx.check.kube.nodes_ready(inp.context),
    {
      name = "VIP",
      expected = "/readyz answers ok",
      hint = "the lease plndr-cp-lock in kube-system; vip_interface is a real device",
      run = function()
        local status, body = ctx.k8s(inp.context):raw("/readyz")
        local measured = ("HTTP %d %s"):format(status, body:match("[^\n]*"))
        return { state = status == 200 and "ok" or "red", measured = measured }
      end,
    },
  }
end

local steps = {
  {
    name = "preflight",
    title = "Hosts and addresses, unless the cluster is there",
    timeout = "10m",
    safety = "observes",
    done = function(ctx, inp)
      return is_made(ctx, inp) and { made = true } or nil
    end,
    run = function()
      return { made = false }
    end,
    verify = function(ctx, inp, got)
      if got.preflight.made then
        return { { name = "cluster", state = "ok", measured = "is there, from this inventory" } }
      end
      return hosts.checks(ctx, inp, cluster.remembered(ctx, inp, "begun") ~= nil)
    end,
  },
  {
    name = "checkout",
    title = "Kubespray at its commit",
    after = { "preflight" },
    timeout = "40m",
    done = function(ctx, inp)
      local commit = kubespray.checkout(ctx, inp)
      return commit == lock.kubespray.commit and { commit = commit } or nil
    end,
    run = function(ctx, inp)
      kubespray.clone(ctx, inp)
      return { commit = lock.kubespray.commit }
    end,
    verify = function(ctx, inp)
      return { changed_files(ctx, inp) }
    end,
  },
  {
    name = "ansible",
    title = "Ansible in a virtual environment of its own",
    after = { "checkout" },
    timeout = "40m",
    done = function(ctx, inp)
      local version = kubespray.ansible(ctx, inp)
      return version and { version = version }
    end,
    run = function(ctx, inp)
      return { version = kubespray.install(ctx, inp) }
    end,
  },
  {
    name = "inventory",
    title = "The inventory, from the inputs",
    after = { "ansible" },
    timeout = "5m",
    done = function(ctx, inp)
      local digest = inventory.digest(ctx, inp)
      return digest and { digest = digest }
    end,
    run = function(ctx, inp)
      inventory.write(ctx, inp)
      return { digest = inventory.digest(ctx, inp) }
    end,
    verify = function(ctx, inp)
      return { read_back(ctx, inp) }
    end,
  },
  {
    name = "kubernetes",
    title = "Kubespray's cluster.yml",
    after = { "inventory" },
    timeout = "4h",
    done = function(ctx, inp)
      return is_made(ctx, inp) and {} or nil
    end,
    run = play_cluster,
  },
  {
    name = "context",
    title = "The context, by the VIP",
    after = { "kubernetes" },
    timeout = "10m",
    done = function(ctx, inp)
      return cluster.context_works(ctx, inp) and { context = inp.context } or nil
    end,
    run = function(ctx, inp)
      return { context = inp.context, backup = cluster.take_credential(ctx, inp) }
    end,
  },
  {
    name = "api",
    title = "The cluster answers",
    after = { "context" },
    timeout = "5m",
    verify = api_gate,
  },
}

for _, step in ipairs(stages.steps("api")) do
  steps[#steps + 1] = step
end

return {
  summary = "Makes the cluster with Kubespray and puts the stack on it, stage by stage.",
  safety = "changes",
  inputs = inputs.of(
    inputs.ssh,
    inputs.nodes,
    inputs.network,
    inputs.hosts,
    inputs.machine,
    inputs.runai,
    inputs.stack,
    {
      context = {
        type = "string",
        pattern = "%w[%w._-]*",
        doc = "Name of the cluster's context in the kubeconfig.",
      },
      kubeconfig = {
        type = "path",
        default = "~/.kube/config",
        doc = "Where the context is written.",
      },
    }
  ),
  needs = {
    bins = { "helm", "git", "ssh", "@python", "pip", "ansible-playbook", "ansible-inventory" },
    clusters = { "@context" },
    writes = { "@kubeconfig", "@kubespray", "@site" },
    reads = {
      "ansible-inventory --list -i",
      "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes",
      "date +%s.%N",
    },
  },
  locks = function(inp)
    return { "kube:" .. inp.context, inp.site and "kubespray:" .. inp.site or nil }
  end,
  steps = steps,
  returns = { context = { type = "string", from = "context.context", doc = "The context." } },
  examples = {
    "pai deploy cluster-onprem context=racks control_planes=cp1=ops@192.0.2.1,cp2=ops@192.0.2.2,"
      .. "cp3=ops@192.0.2.3 workers=gpu1=ops@192.0.2.4 vip=192.0.2.10 vip_interface=eno1 "
      .. "metallb=192.0.2.20-192.0.2.40 site=racks kubespray=kubespray",
  },
}
