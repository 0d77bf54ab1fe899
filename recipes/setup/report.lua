-- What became of each layer, and where to look first when one is red: the lowest layer that can own
-- the trouble. Inputs and keys (config) come before what was written to deploy it (script), and
-- that comes before what people are told (guidance).
local targets = require("setup.targets")

local M = {}

local BAD <const> = { red = true, failed = true }

-- The stages in their order: name, which steps are theirs, which layer is the lowest.
local function stages(inp)
  local list = {
    { name = "targets", of = "Choice", layer = "config" },
    { name = "discover", of = "Choice", layer = "config" },
    { name = "endpoints", of = "Choice", layer = "config" },
  }
  if not targets.valid(inp) then
    return list
  end
  local function add(name, of, layer, component)
    list[#list + 1] = { name = name, of = of, layer = layer, component = component }
  end
  add("preflight-workload", "Preflight", "config")
  for _, component in ipairs(targets.components(inp)) do
    if component == targets.LOGIN then
      add("login", "Preflight", "config", component)
    elseif not targets.is_there(component) then
      add("preflight-" .. component, "Preflight", "config", component)
    end
  end
  local cluster, osmo = targets.CLUSTERS[inp.cluster], targets.OSMO[inp.cluster]
  if targets.is_there(cluster) then
    add("gate-kubernetes", "Kubernetes", "config", cluster)
  else
    add("cluster", "Kubernetes", "script", cluster)
    add("gate-kubernetes", "Kubernetes", "script", cluster)
  end
  add("osmo", "OSMO", "script", osmo)
  add("gate-osmo", "OSMO", "script", osmo)
  for _, backend in ipairs(targets.backends(inp)) do
    add("inference-" .. backend, "Inference", "script", targets.INFERENCE[backend])
    add("gate-inference-" .. backend, "Inference", "script", targets.INFERENCE[backend])
  end
  add("gate-workload", "Workload", "config")
  return list
end

-- A stage's state: the worst of its steps; a stage none of whose steps began is waiting.
local function state_of(stage, states)
  local found = states[stage.name]
  for name, state in pairs(states) do
    if name:sub(1, #stage.name + 1) == stage.name .. "/" then
      if BAD[state] then
        return state, name
      end
      found = found or "begun"
    end
  end
  return found or "waiting", stage.name
end

local function where(stage)
  if not stage.component then
    return "the inputs of this run, and the workload's spec"
  elseif stage.layer == "config" then
    return ("inputs, keys and quota of %s; pai show %s lists them"):format(
      stage.component,
      stage.component
    )
  end
  local action = stage.name:find("^gate%-") and "verify" or "deploy"
  local message = "components/%s/%s.lua, since its config passed the preflight; after that the "
    .. "guidance of pai show %s"
  return message:format(stage.component, action, stage.component)
end

---Says what became of the layers; the first that is red is where the run stopped.
---@param ctx pai.ctx
---@param inp table
---@param states table<string, string> by step
---@return table report
function M.make(ctx, inp, _, states)
  local rows, stopped = {}, nil
  for _, stage in ipairs(stages(inp)) do
    local state, step = state_of(stage, states)
    rows[#rows + 1] = { stage.of, stage.name, state }
    if BAD[state] and not stopped then
      stopped = ("stopped at %s; lowest layer: %s: %s"):format(step, stage.layer, where(stage))
    end
  end
  if stopped then
    ctx.log(stopped)
  end
  return {
    title = "Setup",
    notices = stopped and { stopped } or {},
    sections = {
      { title = "Layers", kind = "table", columns = { "Layer", "Stage", "State" }, rows = rows },
    },
  }
end

return M
