-- Workflows that a service keeps under a name ("apps").
local err = require("pai.err")
local http = require("pai.osmo.client_http")
local shape = require("pai.osmo.client_shape")

---@class pai.osmo.Client
local M = {}

local function app_path(name, tail)
  return "/api/app/user/" .. http.segment(name) .. (tail or "")
end

---@class pai.osmo.AppListOptions
---@field users string[]?
---@field all_users boolean?
---@field name string?
---@field order "ASC"|"DESC"|nil
---@field limit integer?
---@field offset integer?

---@param opts pai.osmo.AppListOptions?
---@return any
---@return pai.Error? err
function M:apps(opts)
  opts = opts or {}
  local answer, e = self.transport:call("GET", "/api/app", {
    query = {
      users = opts.users,
      all_users = opts.all_users and "True" or nil,
      name = opts.name,
      order = opts.order,
      limit = opts.limit,
      offset = opts.offset,
    },
    shape = "table",
  })
  local why = answer and shape.mismatch(answer.apps or answer, { list = { name = "string" } })
  if why then
    return err.fail("EPROTO", "GET /api/app: that is no answer of OSMO: " .. why)
  end
  return answer, e
end

---@param name string
---@param opts {version: integer?, limit: integer?, order: "ASC"|"DESC"|nil}?
---@return any
---@return pai.Error? err
function M:app(name, opts)
  opts = opts or {}
  return self.transport:call("GET", app_path(name), {
    query = { version = opts.version, limit = opts.limit, order = opts.order },
    shape = { versions = "table?" },
  })
end

---Submits a stored workflow.
---@param name string
---@param opts pai.osmo.SubmitOptions and version; localpath files are looked for in dir
---@return table? answer as of submit
---@return pai.Error? err
function M:submit_app(name, opts)
  local found, e = self:app(name, { version = opts.version, limit = 1 })
  if not found then
    return nil, e
  end
  local version = found.versions and found.versions[1]
  if not found.uuid or not version then
    return err.fail("EPROTO", "the service's answer names no version of the app " .. name)
  end
  local spec
  spec, e = self:app_spec(name, { version = opts.version })
  if not spec then
    return nil, e
  end
  local request = { spec = spec, app = { uuid = found.uuid, version = version.version } }
  for key, v in pairs(opts) do
    request[key] = key ~= "version" and v or nil
  end
  return self:submit(request)
end

---@param name string
---@param opts {version: integer?}?
---@return string? yaml
---@return pai.Error? err
function M:app_spec(name, opts)
  local res, e = self.transport:send("GET", app_path(name, "/spec"), {
    query = { version = opts and opts.version },
  })
  return res and res.body, e
end

---Stores a workflow under a name, or a new version of it.
---@param name string
---@param opts {spec: string, description: string?, update: boolean?}
---@return any
---@return pai.Error? err
function M:save_app(name, opts)
  return self.transport:call(opts.update and "PATCH" or "POST", app_path(name), {
    query = { description = opts.description },
    json = opts.spec,
  })
end

---@param name string
---@param opts {version: integer?, all_versions: boolean?}
---@return any
---@return pai.Error? err
function M:delete_app(name, opts)
  return self.transport:call("DELETE", app_path(name), {
    query = { version = opts.version, all_versions = opts.all_versions and "True" or nil },
  })
end

---@param name string
---@param new_name string
---@return any
---@return pai.Error? err
function M:rename_app(name, new_name)
  return self.transport:call("POST", app_path(name, "/rename"), { json = new_name })
end

return M
