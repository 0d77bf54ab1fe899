-- The drill of a control plane: cordon, evict, look, uncordon. The node carries the id of the run
-- that cordoned it, so that only that run's cordon is taken away, and nobody else's drill meets it.
local evict = require("cluster-onprem.drill_evict")
local node_state = require("cluster-onprem.state")
local watch = require("cluster-onprem.drill_watch")

local M = {}

local CONTROL_PLANE <const> = "node-role.kubernetes.io/control-plane"
local MARK <const> = "pai/drill"
-- Longer would outlast what ctx.finally leaves a clean-up.
local UNDO_TIMEOUT <const> = "50s"

local check, some = watch.check, watch.some

local function mark_of(node)
  return (node.metadata.annotations or {})[MARK]
end

local function is_plane(node)
  return (node.metadata.labels or {})[CONTROL_PLANE] ~= nil
end

-- Takes the cordon of a run away, or those of all runs.
local function uncordon(ctx, k, run)
  for _, node in ipairs(k:list("nodes")) do
    local mark = mark_of(node)
    if mark and (not run or mark == run) then
      k:patch("nodes", node.metadata.name, {
        spec = { unschedulable = ctx.json.null },
        metadata = { annotations = { [MARK] = ctx.json.null } },
      })
      ctx.log(("%s takes pods again"):format(node.metadata.name))
    end
  end
end

-- The API may just be away: it is asked again for as long as a clean-up may take.
local function uncordon_surely(ctx, k, run)
  local last
  local ok, e = pcall(ctx.wait, function()
    local good, why = pcall(uncordon, ctx, k, run)
    last = why
    if not good and not (type(why) == "table" and why.retryable) then
      error(why, 0)
    end
    return good
  end, { every = "2s", timeout = UNDO_TIMEOUT, what = "the node to be uncordoned" })
  if not ok then
    error(type(e) == "table" and e.code == "ETIMEDOUT" and last or e, 0)
  end
end

---Takes away what this run has left.
---@param ctx pai.ctx
---@param inp table
function M.undo(ctx, inp)
  uncordon_surely(ctx, ctx.k8s(inp.context), ctx.run_id)
end

-- The control plane that is meant: by name, or the one that carries the VIP, or the first.
local function choose(k, inp, nodes)
  local planes = {}
  for _, node in ipairs(nodes) do
    planes[#planes + 1] = is_plane(node) and node.metadata.name or nil
    if node.metadata.name == inp.node then
      return node
    end
  end
  table.sort(planes)
  local lease = not inp.node
    and k:get("leases", "plndr-cp-lock", { namespace = "kube-system", accept = { "NotFound" } })
  local holder = lease and lease.spec and lease.spec.holderIdentity
  local by_name = {}
  for _, node in ipairs(nodes) do
    by_name[node.metadata.name] = node
  end
  return not inp.node and (by_name[holder] or by_name[planes[1]]) or nil
end

-- What other drills have left.
local function foreign_marks(ctx, nodes)
  local list = {}
  for _, node in ipairs(nodes) do
    local mark = mark_of(node)
    if mark and mark ~= ctx.run_id then
      list[#list + 1] = ("%s by %s"):format(node.metadata.name, mark)
    end
  end
  return list
end

local function others_ready(nodes, chosen)
  local n, down = 0, {}
  for _, node in ipairs(nodes) do
    if is_plane(node) and node ~= chosen then
      local good = node_state.ready(node) and not (node.spec and node.spec.unschedulable)
      n = n + (good and 1 or 0)
      down[#down + 1] = not good and node.metadata.name or nil
    end
  end
  return n, down
end

local function look_at(ctx, inp, k, nodes, chosen)
  local name = chosen.metadata.name
  local n, down = others_ready(nodes, chosen)
  local marks = foreign_marks(ctx, nodes)
  local cordoned = chosen.spec and chosen.spec.unschedulable and not mark_of(chosen)
  local bare, scratch = evict.lossy(evict.list(k, name))
  local ill = watch.volumes_that_are(k, { degraded = true, faulted = true })
  local status = k:raw("/readyz")
  local left = "pai runs cancel RUN, or pai resume RUN; take_over=true where that is not possible"
  return {
    check("node", "a control plane", is_plane(chosen), name),
    check(
      "other control planes",
      "2 or more Ready",
      n >= 2 and #down == 0,
      #down > 0 and "not Ready or cordoned: " .. some(down, "") or n,
      "etcd keeps its quorum with one of three down, and no more"
    ),
    check("drills", "none left", #marks == 0, some(marks, "none"), left),
    check("cordon", "none", not cordoned, cordoned and "somebody's" or "none", "kubectl uncordon"),
    check(
      "pods without a controller",
      "none on " .. name,
      #bare == 0,
      some(bare, "none"),
      "they would not come back: choose another control plane with node="
    ),
    check(
      "pods with an emptyDir",
      "none on " .. name,
      #scratch == 0 or inp.emptydir,
      some(scratch, "none"),
      "emptydir=true evicts them, too, and loses what is in it"
    ),
    check("Longhorn volumes", "healthy", #ill == 0, some(ill, "none degraded"), "wait for them"),
    check("API server", "HTTP 200", status == 200, ("HTTP %d"):format(status)),
  }
end

---Whether the drill may begin, and what it has to come back to.
---@param ctx pai.ctx
---@param inp table
---@return { node: string?, workloads: string[]?, checks: table[] }
function M.look(ctx, inp)
  local k = ctx.k8s(inp.context)
  local nodes = k:list("nodes")
  local chosen = choose(k, inp, nodes)
  if not chosen then
    local said = inp.node and "there is no node " .. inp.node or "there is no control plane"
    return { checks = { check("node", "a control plane", false, said) } }
  end
  local names = {}
  for name in pairs((watch.workloads(k))) do
    names[#names + 1] = name
  end
  table.sort(names)
  return {
    node = chosen.metadata.name,
    workloads = names,
    checks = look_at(ctx, inp, k, nodes, chosen),
  }
end

local function cordon(ctx, k, name)
  k:patch("nodes", name, {
    spec = { unschedulable = true },
    metadata = { annotations = { [MARK] = ctx.run_id } },
  })
  ctx.log(name .. " takes no more pods")
end

-- While the node is empty: what has a replica there degrades, and nothing faults.
local function degraded(ctx, k, inp, names)
  local function faulted()
    return watch.volumes_that_are(k, { faulted = true })
  end
  if #names == 0 then
    local bad = faulted()
    local said = "no attached volume has a replica there"
    local state = #bad > 0 and "red" or "skipped"
    return check("volumes meanwhile", "degraded", false, some(bad, said), nil, state)
  end
  local bad, now
  watch.wait(ctx, {
    what = "volumes to degrade",
    timeout = inp.degrade_timeout,
    look = function()
      bad, now = faulted(), watch.volumes_that_are(k, { degraded = true }, names)
      return #bad > 0 or #now == #names, ("%d of %d degraded"):format(#now, #names)
    end,
  })
  local measured = #bad > 0 and some(bad, "") or ("%d of %d degraded"):format(#now, #names)
  local hint = #bad > 0 and "its replicas were all on this node"
    or "their replicas stayed: the drill says nothing of them; see Longhorn's node-drain-policy"
  local whole = #bad == 0 and #now == #names
  return check(
    "volumes meanwhile",
    "degraded",
    whole,
    measured,
    hint,
    #bad == 0 and "warn" or "red"
  )
end

local function rebuilt(ctx, k, inp)
  local ok, seen = watch.wait(ctx, {
    what = "volumes to be rebuilt",
    timeout = inp.rebuild_timeout,
    look = function()
      local ill = watch.volumes_that_are(k, { degraded = true, faulted = true })
      return #ill == 0, some(ill, "all healthy")
    end,
  })
  local hint = "pai k8s get volumes.longhorn.io; is the node's disk schedulable, and has it room?"
  return check("volumes afterwards", "rebuilt", ok, seen, hint)
end

---Takes away what drills of other runs have left, and waits until volumes are whole again.
---@param ctx pai.ctx
---@param inp table
---@return { checks: table[] }
function M.take_over(ctx, inp)
  local k = ctx.k8s(inp.context)
  uncordon_surely(ctx, k)
  return { checks = { rebuilt(ctx, k, inp) } }
end

---Drains the node that was found, and gives it back.
---@param ctx pai.ctx
---@param inp table
---@param found table
---@return { checks: table[] }
function M.run(ctx, inp, found)
  local k, over = ctx.k8s(inp.context), false
  local seen = ctx.finally(function()
    return ctx.all({
      drain = function()
        local names = watch.attached_on(k, found.node)
        cordon(ctx, k, found.node)
        local pods = evict.all(ctx, k, inp, found.node)
        local list = { pods }
        list[2] = pods.state == "ok" and degraded(ctx, k, inp, names) or nil
        uncordon_surely(ctx, k, ctx.run_id)
        over = true
        return list
      end,
      api = function()
        return watch.api(ctx, k, function()
          return over
        end)
      end,
    })
  end, function()
    M.undo(ctx, inp)
  end)
  local checks = seen.drain
  table.insert(checks, 1, watch.api_check(inp, seen.api))
  checks[#checks + 1] = rebuilt(ctx, k, inp)
  checks[#checks + 1] = watch.workloads_back(ctx, k, inp, found.workloads)
  return { checks = checks }
end

return M
