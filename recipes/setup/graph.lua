-- The steps: all preflights side by side, the cluster and its gate, then OSMO and inference side by
-- side, and their gates. Only the components of the choice are named, so only they are loaded.
local discover = require("setup.discover")
local pass = require("setup.pass")
local targets = require("setup.targets")
local workload = require("setup.workload")

local M = {}

local function use(name, component, action, after, title)
  return {
    name = name,
    title = title,
    use = component .. "." .. action,
    after = after,
    with = function(inp, got)
      return pass.inputs(component, inp, got.discover)
    end,
  }
end

local function targets_step(inp)
  return {
    name = "targets",
    title = "The choice makes sense",
    checks = function(ctx)
      local checks = targets.checks(inp)
      for _, one in ipairs(targets.files(ctx, inp)) do
        checks[#checks + 1] = one
      end
      return checks
    end,
  }
end

-- It only reads, so that its `done` gives the result: a plan knows it too, and looks further.
local function discover_step()
  return {
    name = "discover",
    title = "What the workload refers to",
    after = { "targets" },
    safety = "observes",
    timeout = "2m",
    done = discover.run,
    run = discover.run,
  }
end

local function endpoints_step()
  return {
    name = "endpoints",
    title = "What the workload refers to is what was chosen",
    after = { "discover" },
    checks = function(ctx, inp, got)
      return discover.checks(ctx, inp, got.discover)
    end,
  }
end

local function workload_step()
  return {
    name = "preflight-workload",
    title = "Preflight of the workload",
    after = { "endpoints" },
    timeout = "3m",
    checks = function(ctx, inp, got)
      return workload.checks(ctx, inp, got.discover)
    end,
  }
end

-- The preflights; what has to be there for them comes before.
local function preflights(inp, add)
  local names, before = { "preflight-workload" }, { "endpoints" }
  add(workload_step())
  if inp.cluster == "azure" and inp.chat_only then
    add(use("login", targets.LOGIN, "deploy", { "endpoints" }, "Login by a device code"))
    before = { "login" }
  end
  for _, component in ipairs(targets.components(inp)) do
    if component ~= targets.LOGIN and not targets.is_there(component) then
      local name = "preflight-" .. component
      names[#names + 1] = name
      add(use(name, component, "preflight", before, "Preflight of " .. component))
    end
  end
  return names
end

---@param inp table
---@return table[] steps
function M.steps(inp)
  local steps = { targets_step(inp) }
  if not targets.valid(inp) then
    return steps
  end
  local function add(step)
    steps[#steps + 1] = step
  end
  add(discover_step())
  add(endpoints_step())
  local green = preflights(inp, add)
  local cluster, osmo = targets.CLUSTERS[inp.cluster], targets.OSMO[inp.cluster]
  if not targets.is_there(cluster) then
    add(use("cluster", cluster, "deploy", green, "The cluster"))
    green = { "cluster" }
  end
  add(use("gate-kubernetes", cluster, "verify", green, "Kubernetes gate"))
  add(use("osmo", osmo, "deploy", { "gate-kubernetes" }, "OSMO"))
  add(use("gate-osmo", osmo, "verify", { "osmo" }, "OSMO gate"))
  local last = { "gate-osmo" }
  for _, backend in ipairs(targets.backends(inp)) do
    local component = targets.INFERENCE[backend]
    local name, gate = "inference-" .. backend, "gate-inference-" .. backend
    add(use(name, component, "deploy", { "gate-kubernetes" }, "Inference"))
    add(use(gate, component, "verify", { name }, "Inference gate"))
    last[#last + 1] = gate
  end
  add({
    name = "gate-workload",
    title = "Workload gate",
    after = last,
    checks = function(ctx, its, got)
      return discover.still(ctx, its, got.discover)
    end,
  })
  return steps
end

return M
