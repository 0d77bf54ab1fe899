-- The one client for OSMO's REST contract: the embedded engine and a remote service answer to the
-- same calls. Every call returns a value, or nil and an error { code, http, error_code, message }.
local connection = require("pai.osmo.client_connect")
local duration = require("pai.duration")
local err = require("pai.err")
local fs = require("pai.fs")
local http = require("pai.osmo.client_http")
local json = require("pai.json")
local logs = require("pai.osmo.client_logs")
local status = require("pai.osmo.client_status")
local shape = require("pai.osmo.client_shape")
local submit = require("pai.osmo.client_submit")

local M = {}

---@class pai.osmo.Client
---@field target "local"|string
---@field transport pai.osmo.Transport
---@field roots string[]
---@field pool string?
local Client = {}

-- The calls that are less common are loaded when the first of them is made.
local MORE <const> = {
  client_list = "list",
  client_info = "quota resources resource tasks set_profile tags tag",
  client_account = "credentials set_credential delete_credential tokens create_token "
    .. "delete_token token_roles",
  client_admin = "users accounts account create_account delete_account change_role config "
    .. "config_history config_revision config_newest config_diff config_rollback config_write "
    .. "config_delete config_delete_revision config_tag",
  client_app = "apps app app_spec save_app delete_app rename_app submit_app",
  client_wait = "wait",
  client_session = "exec exec_group resize_session port_forward",
}
local part_of = {}
for part, names in pairs(MORE) do
  for name in names:gmatch("%S+") do
    part_of[name] = part
  end
end

function Client.__index(_, name)
  local own = Client[name]
  if own == nil and part_of[name] then
    own = require("pai.osmo." .. part_of[name])[name]
    Client[name] = own
  end
  return own
end

M.terminal = status.terminal

local VERSION <const> = { major = "string", minor = "string", revision = "string" }
local POOLS <const> = { pools = { map = { status = "string", platforms = "table?" } } }
local PROFILE <const> = {
  profile = "table",
  roles = "table?",
  pools = "table?",
}

local function workflow_path(id, tail)
  return "/api/workflow/" .. http.segment(id) .. (tail or "")
end

---@return table? version {major, minor, revision, hash}
---@return pai.Error? err
function Client:version()
  return self.transport:call("GET", "/api/version", { shape = VERSION })
end

---@return table<string, table>? pools by name
---@return pai.Error? err
function Client:pools()
  local answer, e = self.transport:call("GET", "/api/pool", {
    query = { all_pools = "True" },
    shape = POOLS,
  })
  return answer and answer.pools, e
end

---@return table? settings
---@return pai.Error? err
function Client:profile()
  return self.transport:call("GET", "/api/profile/settings", { shape = PROFILE })
end

---The pool that is meant.
---@param named string? wins if given
---@return string?
---@return pai.Error? err
function Client:default_pool(named)
  if named or self.pool then
    return named or self.pool
  end
  if self.target == "local" then
    self.pool = "local"
    return self.pool
  end
  local settings, e = self:profile()
  if not settings then
    return nil, e
  end
  local name = settings.profile and settings.profile.pool
  if type(name) ~= "string" then
    local allowed = settings.pools or {}
    name = #allowed == 1 and allowed[1] or nil
  end
  if not name then
    return err.fail("EINVAL", "no pool is selected", { hint = "pass --pool NAME" })
  end
  self.pool = name
  return name
end

---Submits, validates or renders a spec, or submits a run's once more; see pai.osmo.client_submit.
---@param opts pai.osmo.SubmitOptions
---@return table? answer {name, overview, logs, spec, dashboard_url, warnings}
---@return pai.Error? err
function Client:submit(opts)
  return submit.submit(self, opts)
end

---@param id string
---@param opts {verbose: boolean?, skip_groups: boolean?}?
---@return table?
---@return pai.Error? err
function Client:query(id, opts)
  opts = opts or {}
  return self.transport:call("GET", workflow_path(id), {
    query = {
      verbose = opts.verbose and "True" or nil,
      skip_groups = opts.skip_groups and "True" or nil,
    },
    shape = opts.skip_groups and shape.RUN or shape.RUN_WITH_TASKS,
  })
end

---@param id string
---@param name string
---@return table?
---@return pai.Error? err
function Client:task(id, name)
  return self.transport:call("GET", workflow_path(id, "/task/" .. http.segment(name)))
end

local function stream(self, id, tail, opts)
  opts = opts or {}
  local lines = {}
  local take = opts.on_line or function(line)
    lines[#lines + 1] = line
  end
  -- Our own engine is no address that somebody could open.
  local on_line = self.target ~= "local" and take or function(line)
    take(logs.typed(line))
  end
  local query = {
    task_name = opts.task,
    retry_id = opts.retry,
    last_n_lines = opts.last,
    query = opts.query,
  }
  -- Our own engine can end a live stream by itself.
  if not opts.follow and self.target == "local" then
    query.pai_follow = "false"
  end
  local ok, e = logs.read(self.transport, workflow_path(id, tail), {
    query = query,
    follow = opts.follow,
    on_line = on_line,
    silence = opts.silence and duration.parse(opts.silence),
    finished = function()
      local q, why = self:query(id, { skip_groups = true })
      if not q then
        return nil, why
      end
      return M.terminal(q.status)
    end,
  })
  if not ok then
    return nil, e
  end
  return opts.on_line and true or table.concat(lines, "\n") .. (#lines > 0 and "\n" or "")
end

---@class pai.osmo.LogOptions
---@field task string?
---@field retry integer?
---@field last integer? only the last so many lines of what is there
---@field query string? regular expression that a line must hold
---@field follow boolean? until the run has ended
---@field on_line fun(line: string)?
---@field error boolean? the error log in place of the log
---@field silence string|integer|nil after which a silent stream is asked again

---Reads the log of a run: as text, or line by line; follow goes on until the run has ended.
---@param id string
---@param opts pai.osmo.LogOptions?
---@return string|true|nil
---@return pai.Error? err
function Client:logs(id, opts)
  return stream(self, id, opts and opts.error and "/error_logs" or "/logs", opts)
end

---Reads the events of a run.
---@param id string
---@param opts pai.osmo.LogOptions?
---@return string|true|nil
---@return pai.Error? err
function Client:events(id, opts)
  return stream(self, id, "/events", opts)
end

---Cancels a run. The answer comes before the run has ended.
---@param id string
---@param opts {message: string?, force: boolean?}?
---@return table? answer {name}
---@return pai.Error? err
function Client:cancel(id, opts)
  opts = opts or {}
  return self.transport:call("POST", workflow_path(id, "/cancel"), {
    query = { message = opts.message, force = opts.force and "True" or nil },
    shape = { name = "string" },
  })
end

---Restarts a failed run: what had not failed is not repeated.
---@param id string
---@param opts {pool: string?}?
---@return table? answer as of submit
---@return pai.Error? err
function Client:restart(id, opts)
  local named = opts and opts.pool
  if not named then
    local q, query_err = self:query(id, { skip_groups = true })
    if not q then
      return nil, query_err
    end
    named = type(q.pool) == "string" and q.pool or nil
  end
  local pool, pool_err = self:default_pool(named)
  if not pool then
    return nil, pool_err
  end
  local ok, e = self:allow_roots()
  if not ok then
    return nil, e
  end
  local path = "/api/pool/%s/workflow/%s/restart"
  return self.transport:call("POST", path:format(http.segment(pool), http.segment(id)), {
    shape = shape.SUBMITTED,
  })
end

---The spec of a run as the service keeps it, or the template that was submitted.
---@param id string
---@param opts {template: boolean?}?
---@return string?
---@return pai.Error? err
function Client:spec(id, opts)
  local query = opts and opts.template and { use_template = "True" } or nil
  local res, e = self.transport:send("GET", workflow_path(id, "/spec"), { query = query })
  return res and res.body, e
end

---Tells the embedded engine which folders file:// urls may name; nothing for a remote service.
---@return boolean?
---@return pai.Error? err
function Client:allow_roots()
  if self.target ~= "local" or #self.roots == 0 then
    return true
  end
  local ok, e = self:awake()
  if not ok then
    return nil, e
  end
  local answer
  answer, e =
    self.transport:call("POST", "/api/pai/roots", { json = { roots = json.array(self.roots) } })
  return answer and true, e
end

---Makes sure that the embedded engine runs, if this client may start it.
---@return boolean?
---@return pai.Error? err
function Client:awake()
  if not self.transport.revive then
    return true
  end
  return self.transport.revive()
end

---@class pai.osmo.ConnectOptions
---@field target string? "local" (default), "osmo" (OSMO_URL, else the login file's), or a URL
---@field state string? state folder of the embedded engine
---@field start boolean? false: never start the engine
---@field user string? x-osmo-user
---@field token any? access token, a secret
---@field ca_file string? certificates to trust in place of the system's
---@field roots string[]? folders that file:// urls may name
---@field on_warning fun(text: string)?

---Connects to the embedded engine or to a service; never to one in place of the other.
---@param opts pai.osmo.ConnectOptions?
---@return pai.osmo.Client?
---@return pai.Error? err
function M.connect(opts)
  opts = opts or {}
  local target = opts.target or "local"
  local transport, e
  if target == "local" then
    transport, e = connection.embedded(opts)
  else
    transport, e = connection.service(setmetatable({ target = target }, { __index = opts }))
  end
  if not transport then
    return nil, e
  end
  local roots = {}
  for i, root in ipairs(opts.roots or {}) do
    roots[i] = fs.abspath(root)
  end
  return setmetatable({ target = target, transport = transport, roots = roots }, Client)
end

return M
