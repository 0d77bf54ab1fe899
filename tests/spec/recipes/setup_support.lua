-- A bench for the setup flow: the recipe itself beside small stand-ins of every component, of the
-- same names. What they do is files: infra/NAME.up is deployed, flags/NAME.ACTION makes it red.
local fs = require("pai.fs")
local json = require("pai.json")
local run_support = dofile("tests/spec/run/support.lua")

local M = {}

local COMPONENT <const> = [[
return { api = 1, name = "%s", title = "%s", summary = "S.", inputs = {
  dir = { type = "path", default = "infra/cluster-azure" }, %s } }
]]

local LOOK <const> = [[
return { safety = "observes", steps = { { name = "look", checks = function(ctx, inp)
  local flag = ctx.cwd .. "/flags/%s.%s"
  %s
  local state = ctx.fs.exists(flag) and "red" or "ok"
  return { { name = "it", state = state, measured = ctx.json.encode(inp), hint = "mend it" } }
end } } }
]]

local DEPLOY <const> = [[
return { safety = "changes", needs = { writes = { "@dir" } },
  steps = { { name = "up",
    done = function(ctx, inp)
      return ctx.fs.exists(inp.dir .. "/%s.up") and { inputs = inp } or nil
    end,
    run = function(ctx, inp)
      ctx.fs.mkdir(inp.dir)
      if ctx.fs.exists(ctx.cwd .. "/flags/%s.deploy") then error("it does not come up", 0) end
      ctx.write(inp.dir .. "/%s.begun", "")
      %s
      ctx.write(inp.dir .. "/%s.up", "")
      return { inputs = inp }
    end } } }
]]

-- The inputs that setup gives, as the real components declare them.
local TEXT <const> = '%s = { type = "string", optional = true },'
local LIST <const> = '%s = { type = "list", of = "string", optional = true },'
local ASKS <const> = 'skip_network = { type = "boolean", default = false },'
  .. TEXT:format("registry")
local KUBE <const> = TEXT:format("context") .. 'kubeconfig = { type = "path", optional = true },'

M.COMPONENTS = {
  ["azure-access"] = TEXT:format("subscription") .. TEXT:format("tenant") .. TEXT:format(
    "location"
  ),
  ["openclaw-azure-login"] = TEXT:format("subscription") .. TEXT:format("tenant"),
  ["cluster-microk8s"] = KUBE .. 'gpu = { type = "boolean", default = true },',
  ["cluster-azure"] = KUBE
    .. LIST:format("allowed_cidr")
    .. TEXT:format("ip_service")
    .. TEXT:format("location")
    .. TEXT:format("subscription")
    .. TEXT:format("gpu_priority")
    .. TEXT:format("gpu_vm_size")
    .. 'gpu_max = { type = "integer", optional = true },'
    .. 'spot_tolerated = { type = "boolean", optional = true },',
  ["cluster-onprem"] = KUBE,
  ["osmo-k8s"] = KUBE
    .. ASKS
    .. TEXT:format("url")
    .. 'gpu = { type = "boolean", default = true },',
  ["osmo-azure"] = KUBE
    .. ASKS
    .. TEXT:format("subscription")
    .. TEXT:format("url")
    .. 'gpu = { type = "boolean", default = true },',
  ["osmo-cli"] = "",
  ["inference-nim-operator"] = KUBE
    .. ASKS
    .. LIST:format("nims")
    .. LIST:format("tolerations")
    .. 'gpu_nodes = { type = "integer", optional = true },'
    .. 'gpus_per_node = { type = "integer", optional = true },',
  ["inference-nvcf"] = LIST:format("functions")
    .. 'skip_network = { type = "boolean", default = false },',
  ["inference-azure"] = LIST:format("capabilities") .. LIST:format("models") .. TEXT:format(
    "account"
  ) .. TEXT:format("endpoint") .. TEXT:format("subscription"),
}

---@class tests.Setup: tests.Bench
local Setup = {}

---Makes a bench with the recipe and all stand-ins.
---@param opts { look: string?, deploy: table<string, string>?, real: boolean? }? Lua in the body of
---a preflight or a deploy; real: pai's own components where there are such
---@return tests.Setup
function M.new(opts)
  opts = opts or {}
  local bench = run_support.new()
  for name, method in pairs(Setup) do
    bench[name] = method
  end
  bench:write("recipes/setup.lua", assert(fs.read(pai.root .. "/recipes/setup.lua")))
  for _, file in ipairs(fs.list(pai.root .. "/recipes/setup")) do
    local text = assert(fs.read(pai.root .. "/recipes/setup/" .. file))
    bench:write("recipes/setup/" .. file, text)
  end
  for name, inputs in pairs(M.COMPONENTS) do
    local real = opts.real and fs.exists(pai.root .. "/components/" .. name)
    local function put(action, text)
      if not real then
        bench:write(("components/%s/%s.lua"):format(name, action), text)
      end
    end
    put("component", COMPONENT:format(name, name, inputs))
    put("preflight", LOOK:format(name, "preflight", opts.look or ""))
    put("verify", LOOK:format(name, "verify", ""))
    local during = opts.deploy and opts.deploy[name] or ""
    put("deploy", DEPLOY:format(name, name, name, during, name))
  end
  assert(fs.mkdir(bench.dir .. "/flags"))
  return bench
end

---Makes an action of a component red, or mends it.
function Setup:flag(name, on)
  if on == false then
    assert(fs.remove(self.dir .. "/flags/" .. name))
  else
    self:write("flags/" .. name, "")
  end
end

---Whether a component is deployed.
function Setup:is_up(name)
  return fs.exists(self.dir .. "/infra/cluster-azure/" .. name .. ".up")
end

-- The images of a workload are asked for by those tests only that have a registry of their own.
local function quiet(opts)
  local env = { PHYSICAL_AI_PREFLIGHT_SKIP_NETWORK = "1" }
  for key, value in pairs(opts and opts.env or {}) do
    env[key] = value
  end
  return setmetatable({ env = env }, { __index = opts })
end

---Runs setup; its events, its checks by name (the last of a name), and what it returned.
function Setup:setup(argv, opts)
  local command = { "setup", "kubeconfig=" .. self.dir .. "/none" }
  table.move(argv, 1, #argv, #command + 1, command)
  local events, r = self:run(command, quiet(opts))
  return events, r, M.seen(events)
end

---Plans setup.
function Setup:plan(argv)
  local command = { "plan", "setup", "--json", "kubeconfig=" .. self.dir .. "/none" }
  table.move(argv, 1, #argv, #command + 1, command)
  local r = self:pai(command, quiet())
  return json.decode(r.stdout), r
end

---@param events table[]
---@return table<string, string>
function M.seen(events)
  local list = {}
  for _, event in ipairs(events) do
    for _, check in ipairs(event.checks or {}) do
      list[check.name] = ("%s %s"):format(check.state, check.measured)
      list["expected " .. check.name] = check.expected
      list["hint " .. check.name] = check.hint
    end
    if event.event == "log" and event.text:find("lowest layer", 1, true) then
      list.stopped = event.text
    end
  end
  return list
end

return M
