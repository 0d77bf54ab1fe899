-- Submitting as upstream's command line does: render, put local files in, render again; and what
-- to do when the answer got lost, since submitting twice is submitting two runs.
local client_status = require("pai.osmo.client_status")
local err = require("pai.err")
local fs = require("pai.fs")
local http = require("pai.osmo.client_http")
local json = require("pai.json")
local task = require("pai.task")

local M = {}

-- The label by which a run whose answer was lost is found again.
local LABEL <const> = "pai-submit"

local TIMEOUT <const> = 60000

-- Between the two looks for a run whose answer was lost.
local SECOND_LOOK <const> = 2000

-- How often a submit whose answer was lost is sent in all.
local ATTEMPTS <const> = 3

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

-- Every status, so that a look for a lost run also sees what lists leave out: FAILED_SUBMISSION.
local ANY_STATUS <const> = client_status.WORKFLOW

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

-- Whether the run may have been made all the same: also a gateway may have lost the answer.
local function maybe_made(e)
  return http.lost(e) or e.http == 502 or e.http == 503 or e.http == 504
end

local function send_post(self, pool, body, query, timeout)
  return self.transport:call("POST", ("/api/pool/%s/workflow"):format(http.segment(pool)), {
    query = query,
    json = body,
    timeout = timeout,
  })
end

local function post(self, pool, body, query, timeout)
  local answer, e = send_post(self, pool, body, query, timeout or TIMEOUT)
  if not answer and e.http == 500 and not e.error_code then
    e.hint = "this may be the workflow's own fault: pai osmo validate FILE"
  end
  return answer, e
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

local function text_of(opts)
  if opts.spec then
    return opts.spec
  end
  return fs.read(opts.file, { max = 16 * 1024 * 1024 })
end

-- The runs that carry the label. A service that knows no labels ignores the question and answers
-- with any runs: then nil, and no error.
local function by_label(self, value)
  local found, e = self:list({
    label = { LABEL .. "=" .. value },
    statuses = ANY_STATUS,
    all_users = true,
    all_pools = true,
    limit = 10,
  })
  if not found then
    return nil, e.http ~= 400 and e or nil
  end
  for _, w in ipairs(found) do
    if type(w.labels) ~= "table" or w.labels[LABEL] ~= value then
      return nil
    end
  end
  return found
end

-- The runs of this name that the user has submitted since.
local function by_name(self, name, since)
  local found, e = self:list({
    name = name,
    statuses = ANY_STATUS,
    all_pools = true,
    submitted_after = os.date("!%Y-%m-%dT%H:%M:%S", since),
    limit = 10,
  })
  if not found then
    return nil, e
  end
  local out = {}
  for _, w in ipairs(found) do
    if w.name:gsub("%-%d+$", "") == name then
      out[#out + 1] = w
    end
  end
  return out
end

local function look(self, value, name, since)
  local found, e = by_label(self, value)
  if found or e or not name then
    return found, e or err.new("ENOTSUP", "the service cannot be asked for runs by label")
  end
  return by_name(self, name, since)
end

-- Decides what a lost answer meant: the run that was made, nil for none, or an error.
local function recover(self, value, name, since, started, timeout)
  -- The request may still be under way on the other side until its deadline has passed.
  local rest = self.target == "local" and 0 or timeout - (task.now() - started)
  if rest > 0 then
    task.sleep(rest)
  end
  for attempt = 1, 2 do
    local found, e = look(self, value, name, since)
    if not found then
      return nil, e
    end
    if #found > 1 then
      return err.fail(
        "ECONFLICT",
        ("the answer to a submit was lost, and two runs may be it: %s and %s"):format(
          found[1].name,
          found[2].name
        )
      )
    elseif #found == 1 then
      return found[1]
    end
    if attempt == 1 then
      task.sleep(self.target == "local" and 50 or SECOND_LOOK)
    end
  end
  return false
end

local function adopt(w)
  if w.status == "FAILED_SUBMISSION" then
    return err.fail(
      "ESUBMISSION",
      ("the service refused the workflow, kept it as %s, and its reason got lost"):format(w.name),
      { hint = "pai osmo validate FILE", workflow_id = w.name }
    )
  end
  return {
    name = w.name,
    overview = w.overview,
    logs = w.logs,
    spec = json.null,
    dashboard_url = w.dashboard_url or json.null,
    warnings = json.array({}),
    adopted = true,
  }
end

-- Sends the real submit; a lost answer is looked for before anything is sent again.
local function send(self, pool, body, query, value, name, timeout)
  timeout = timeout or TIMEOUT
  for attempt = 1, ATTEMPTS do
    local since, started = os.time() - 2, task.now()
    local answer, e = post(self, pool, body, query, timeout)
    if answer or not maybe_made(e) then
      return answer, e
    end
    local awake, why = self:awake()
    if not awake then
      return nil, why
    end
    local w, look_err = recover(self, value, name, since, started, timeout)
    if w then
      return adopt(w)
    elseif w == nil then
      return nil, look_err
    elseif attempt == ATTEMPTS then
      return nil, e
    end
  end
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
  local value = require("pai.crypto").hex(8)
  local labels = assignments(opts.labels)
  labels[#labels + 1] = LABEL .. "=" .. value
  local query = query_of(opts, labels, { workflow_id = opts.workflow_id })
  return send(
    self,
    pool,
    nil,
    query,
    value,
    (opts.workflow_id:gsub("%-%d+$", "")),
    opts.request_timeout
  )
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
    return post(self, pool, body_of(file, template), query_of(opts, labels, mode))
  end
  if opts.dry_run then
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
  local value = require("pai.crypto").hex(8)
  labels[#labels + 1] = LABEL .. "=" .. value
  local body = body_of(plan.text, plan.template)
  return send(
    self,
    pool,
    body,
    query_of(opts, labels, mode),
    value,
    plan.name,
    opts.request_timeout
  )
end

return M
