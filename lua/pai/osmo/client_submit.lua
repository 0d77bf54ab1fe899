-- Submitting as upstream's command line does: render, put local files in, render again.
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")
local recover = require("pai.osmo.client_recover")

local M = {}

---@class pai.osmo.SubmitOptions
---@field spec string? text
---@field file string? path; its folder is where localpath files are looked for
---@field pool string?
---@field variables string[]|table<string, any>|nil
---@field string_variables string[]|table<string, any>|nil
---@field labels string[]|table<string, string>|nil
---@field env string[]|table<string, string>|nil
---@field dry_run boolean?
---@field validation_only boolean?
---@field priority "HIGH"|"NORMAL"|"LOW"|nil
---@field request_timeout integer? ms until the answer to a submit counts as lost, 60 s
---@field dir string? where localpath files are looked for, in place of the file's folder
---@field workflow_id string? a run whose spec is submitted once more
---@field app {uuid: string, version: integer}? where the spec comes from

-- {"k=v"} as it is, {k = v} as sorted "k=v".
local function assignments(value)
  if value == nil then
    return {}
  end
  local out = {}
  for i, item in ipairs(value) do
    out[i] = item
  end
  for key, item in pairs(value) do
    if type(key) == "string" then
      out[#out + 1] = key .. "=" .. tostring(item)
    end
  end
  if #value == 0 then
    table.sort(out)
  end
  return out
end

-- What goes into env_vars, and what cannot: the service cuts a value at its second "=".
local function split_env(env)
  local plain, put = {}, {}
  for _, item in ipairs(assignments(env)) do
    local name, v = item:match("^([^=]+)=(.*)$")
    if not name then
      return err.fail("EINVAL", ("the environment variable '%s' is not K=V"):format(item))
    elseif v:find("=", 1, true) then
      put[name] = v
    else
      plain[#plain + 1] = item
    end
  end
  return { plain = plain, put = next(put) and put or nil }
end

local function query_of(opts, labels, extra)
  local query = {
    priority = opts.priority,
    label = #labels > 0 and labels or nil,
    env_vars = opts.env_vars,
    app_uuid = opts.app and opts.app.uuid,
    app_version = opts.app and opts.app.version,
  }
  for name, value in pairs(extra) do
    query[name] = value
  end
  return query
end

-- What fails a validation leaves a FAILED_SUBMISSION run behind: so what can be seen here to fail
-- is not sent. Limits that an admin may have set otherwise are the service's to check.
local function check_first(self, text, opts, variables, labels)
  if self.target == "local" then
    return true
  end
  local checked, e = require("pai.osmo.spec").submit(text, {
    dir = opts.dir or (opts.file and fs.dirname(fs.abspath(opts.file))) or nil,
    path = opts.file,
    variables = variables.set_variables,
    string_variables = variables.set_string_variables,
    labels = labels,
    offline = true,
    file_urls = false,
    max_num_tasks = math.maxinteger,
    max_name_length = math.maxinteger,
  })
  return checked and true, e
end

-- A dry run of what is not YAML once it is rendered leaves a FAILED_SUBMISSION run behind, too; a
-- submit of a template begins with one. What else is wrong is the service's to say.
local function no_yaml(text, variables, labels)
  local _, e = require("pai.osmo.spec").dry_run(text, {
    variables = variables.set_variables,
    string_variables = variables.set_string_variables,
    labels = labels,
  })
  return e and e.stage == "yaml" and e or nil
end

local function text_of(opts)
  if opts.spec then
    return opts.spec
  end
  return fs.read(opts.file, { max = 16 * 1024 * 1024 })
end

-- A dry run against the embedded engine needs no engine: the same code renders here.
local function render_here(opts, text, variables, labels)
  local out, e = require("pai.osmo.spec").dry_run(text, {
    variables = variables.set_variables,
    string_variables = variables.set_string_variables,
    labels = labels,
    env = assignments(opts.env),
  })
  if not out then
    return err.fail("EHTTP", e.message, { http = e.http or 400, error_code = e.error_code })
  end
  return {
    name = out.name,
    overview = json.null,
    logs = json.null,
    spec = out.text,
    dashboard_url = json.null,
    warnings = json.array({}),
  }
end

-- A run's spec once more: nothing but its id is sent.
local function resubmit(self, opts)
  local pool, e = self:default_pool(opts.pool)
  if not pool then
    return nil, e
  end
  local ok
  ok, e = self:allow_roots()
  if not ok then
    return nil, e
  end
  local query = query_of(opts, assignments(opts.labels), { workflow_id = opts.workflow_id })
  local name = opts.workflow_id:gsub("%-%d+$", "")
  return recover.send(self, pool, nil, query, name, opts.request_timeout)
end

---Submits, validates or renders a spec.
---@param self pai.osmo.Client
---@param opts pai.osmo.SubmitOptions
---@return table? answer
---@return pai.Error? err
function M.submit(self, opts)
  if not opts.spec and not opts.file and not opts.workflow_id then
    error("submit: spec, file or workflow_id is needed", 2)
  end
  local env, env_err = split_env(opts.env)
  if not env then
    return nil, env_err
  elseif opts.workflow_id and env.put then
    local name = next(env.put)
    return err.fail("EINVAL", ("the service cuts the value of %s at its second '='"):format(name), {
      hint = "put it into the spec and submit that",
    })
  end
  opts = setmetatable({ env_vars = #env.plain > 0 and env.plain or nil }, { __index = opts })
  if opts.workflow_id then
    return resubmit(self, opts)
  end
  local text, read_err = text_of(opts)
  if not text then
    return nil, read_err
  end
  local labels = assignments(opts.labels)
  local variables = {
    set_variables = json.array(assignments(opts.variables)),
    set_string_variables = json.array(assignments(opts.string_variables)),
  }
  if opts.dry_run and self.target == "local" then
    return render_here(opts, text, variables, labels)
  end
  if opts.validation_only then
    local fine, check_err = check_first(self, text, opts, variables, labels)
    if not fine then
      return nil, check_err
    end
  end
  local pool, pool_err = self:default_pool(opts.pool)
  if not pool then
    return nil, pool_err
  end
  local function body_of(file, template)
    return {
      file = file,
      set_variables = variables.set_variables,
      set_string_variables = variables.set_string_variables,
      uploaded_templated_spec = template,
    }
  end
  local function ask(file, template, mode)
    return recover.post(self, pool, body_of(file, template), query_of(opts, labels, mode))
  end
  if opts.dry_run then
    local yaml_err = no_yaml(text, variables, labels)
    if yaml_err then
      return nil, yaml_err
    end
    return ask(text, nil, { dry_run = "True" })
  end
  local ok, roots_err = self:allow_roots()
  if not ok then
    return nil, roots_err
  end
  local validation = opts.validation_only and "True" or nil
  local dir = opts.dir or (opts.file and fs.dirname(fs.abspath(opts.file))) or nil
  local plan, e = require("pai.osmo.spec").client(text, {
    dir = dir,
    put_env = env.put,
    render = function(raw)
      local yaml_err = self.target ~= "local" and no_yaml(raw, variables, labels)
      if yaml_err then
        return nil, yaml_err
      end
      local answer, render_err = ask(raw, nil, { dry_run = "True", validation_only = validation })
      return answer and answer.spec, render_err
    end,
  })
  if not plan then
    return nil, e
  end
  local mode = { validation_only = validation, dry_run = plan.template and "False" or nil }
  if opts.validation_only then
    return ask(plan.text, plan.template, mode)
  end
  local body = body_of(plan.text, plan.template)
  local query = query_of(opts, labels, mode)
  return recover.send(self, pool, body, query, plan.name, opts.request_timeout)
end

return M
