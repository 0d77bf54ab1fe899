-- terraform: plans that are shown before exactly they are applied, and outputs whose sensitive
-- values are handles. Variables go through a 0600 file, secret ones through TF_VAR_ in the
-- environment of that one child; nothing is in an argument.
local environment = require("pai.azure.environment")
local err = require("pai.err")

local ENV <const> = { TF_IN_AUTOMATION = "1", TF_INPUT = "0", CHECKPOINT_DISABLE = "1" }

---@class pai.tools.terraform.Plan
---@field out string the plan's file
---@field vars table?
---@field secrets table<string, userdata>? variables whose values are handles
---@field destroy boolean?
---@field env table?

local function with_env(more)
  local env = {}
  for _, list in ipairs({ ENV, more or {} }) do
    for k, v in pairs(list) do
      env[k] = v
    end
  end
  return environment.of(env)
end

local function wrap(ctx)
  local terraform = {}

  local function chdir(dir)
    return "-chdir=" .. ctx.fs.abspath(dir)
  end

  ---Downloads providers and modules of a folder.
  ---@param dir string
  ---@param opts { env: table?, backend_config: string?, upgrade: boolean? }?
  function terraform.init(dir, opts)
    opts = opts or {}
    local argv = { "terraform", chdir(dir), "init", "-input=false", "-no-color" }
    if opts.upgrade then
      argv[#argv + 1] = "-upgrade"
    end
    if opts.backend_config then
      argv[#argv + 1] = "-backend-config=" .. opts.backend_config
    end
    ctx.exec(argv, { env = with_env(opts.env), timeout = "20m" })
  end

  ---Makes a plan and keeps it in a file.
  ---@param dir string
  ---@param opts pai.tools.terraform.Plan
  ---@return boolean changes whether there is anything to do
  function terraform.plan(dir, opts)
    local argv =
      { "terraform", chdir(dir), "plan", "-input=false", "-no-color", "-detailed-exitcode" }
    argv[#argv + 1] = "-out=" .. ctx.fs.abspath(opts.out)
    if opts.destroy then
      argv[#argv + 1] = "-destroy"
    end
    if opts.vars then
      local file = ctx.fs.tempdir() .. "/pai.tfvars.json"
      ctx.write(file, ctx.json.encode(opts.vars), { mode = "0600" })
      argv[#argv + 1] = "-var-file=" .. file
    end
    local env = with_env(opts.env)
    for name, handle in pairs(opts.secrets or {}) do
      env["TF_VAR_" .. name] = handle
    end
    -- With -detailed-exitcode 0 is nothing to do, 2 is something to do.
    local r = ctx.exec(argv, { env = env, accept = { 0, 2 }, timeout = "30m" })
    return r.code == 2
  end

  ---What a kept plan would do.
  ---@param dir string
  ---@param plan string its file
  ---@return { create: string[], update: string[], replace: string[], delete: string[] } addresses
  function terraform.changes(dir, plan)
    local r = ctx.query({ "terraform", chdir(dir), "show", "-json", ctx.fs.abspath(plan) }, {
      timeout = "5m",
      env = with_env(),
    })
    local out = { create = {}, update = {}, replace = {}, delete = {} }
    for _, change in ipairs(ctx.json.decode(r.stdout).resource_changes or {}) do
      local actions = table.concat(change.change.actions, " ")
      local kind = actions:find(" ", 1, true) and "replace" or out[actions] and actions
      if kind then
        table.insert(out[kind], change.address)
      end
    end
    return out
  end

  ---Applies a kept plan, and nothing else. Raises ESTALE when the state changed after it was made.
  ---@param dir string
  ---@param plan string its file
  ---@param opts { env: table?, timeout: string? }?
  function terraform.apply(dir, plan, opts)
    opts = opts or {}
    local r = ctx.exec(
      { "terraform", chdir(dir), "apply", "-input=false", "-no-color", ctx.fs.abspath(plan) },
      { env = with_env(opts.env), timeout = opts.timeout or "2h", accept = "any" }
    )
    if r.code == 0 then
      return
    elseif r.stderr:find("Saved plan is stale", 1, true) then
      err.raise("ESTALE", "terraform apply: the state changed after the plan was made")
    end
    local first = r.stderr:match("Error: ([^\n]+)") or r.stderr:match("[^\n]+") or "no message"
    err.raise("EEXIT", "terraform apply: " .. first, { exit = r.code })
  end

  ---The resources of a state; none when there is no state.
  ---@param dir string
  ---@return string[] addresses
  function terraform.resources(dir)
    local r = ctx.query({ "terraform", chdir(dir), "state", "list" }, {
      accept = "any",
      env = with_env(),
      timeout = "2m",
    })
    local list = {}
    if r.code ~= 0 then
      if r.stderr:find("No state file was found", 1, true) then
        return list
      end
      err.raise(
        "EEXIT",
        "terraform state list: " .. (r.stderr:match("Error: ([^\n]+)") or r.stderr)
      )
    end
    for line in r.stdout:gmatch("[^\n]+") do
      list[#list + 1] = line
    end
    return list
  end

  ---The names of a state's outputs, and which are sensitive.
  ---@param dir string
  ---@return table<string, boolean> sensitive by name
  function terraform.output_names(dir)
    local r = ctx.query({ "terraform", chdir(dir), "output", "-no-color" }, {
      accept = "any",
      env = with_env(),
    })
    if r.code ~= 0 then
      err.raise("EEXIT", "terraform output: " .. (r.stderr:match("Error: ([^\n]+)") or r.stderr))
    end
    local names = {}
    for line in r.stdout:gmatch("[^\n]+") do
      local name, value = line:match("^([%w_-]+) = (.*)$")
      if name then
        names[name] = value == "<sensitive>"
      end
    end
    return names
  end

  ---The outputs of a state; the sensitive ones as handles. Raises ENOENT for one that is not there.
  ---@param dir string
  ---@param wanted string[]
  ---@return table<string, any>
  function terraform.outputs(dir, wanted)
    local names = terraform.output_names(dir)
    local calls = {}
    for _, name in ipairs(wanted) do
      if names[name] == nil then
        err.raise("ENOENT", ("terraform has no output %s in %s"):format(name, dir), {
          hint = "run cluster-azure.deploy, or point to the folder with the live state",
        })
      end
      calls[name] = function()
        local how = names[name] and "-raw" or "-json"
        local r = ctx.query({ "terraform", chdir(dir), "output", how, "-no-color", name }, {
          env = with_env(),
          stdout = names[name] and "secret" or nil,
        })
        return names[name] and r.stdout or ctx.json.decode(r.stdout)
      end
    end
    return ctx.all(calls)
  end

  return terraform
end

return {
  name = "terraform",
  install = "developer.hashicorp.com/terraform/install",
  version = {
    argv = { "version", "-json" },
    parse = function(said)
      return said:match('"terraform_version"%s*:%s*"([^"]+)"') or said
    end,
  },
  reads = {
    { "version" },
    { "show" },
    { "output" },
    { "state", "list" },
    { "state", "show" },
    { "validate" },
    { "providers" },
    { "fmt", "-check" },
  },
  -- terraform takes its folder before the command.
  skip = { "-chdir=" },
  wrap = wrap,
}
