-- What admins do: users and their roles, and the configurations of a service with their history.
local err = require("pai.err")
local http = require("pai.osmo.client_http")
local json = require("pai.json")

---@class pai.osmo.Client
local M = {}

---Everybody who ever submitted.
---@return string[]?
---@return pai.Error? err
function M:users()
  return self.transport:call("GET", "/api/users", { shape = { list = "string" } })
end

local function user_path(id, tail)
  return "/api/auth/user" .. (id and "/" .. http.segment(id) or "") .. (tail or "")
end

-- The service gives a page of at most so many.
local USERS_PAGE <const> = 1000

---The accounts of a service.
---@param opts {prefix: string?, roles: string[]?, count: integer?}? count: at most so many, 100
---@return {users: {id: string, created_at: string?}[], total_results: integer?}?
---@return pai.Error? err
function M:accounts(opts)
  opts = opts or {}
  local wanted, users = opts.count or 100, json.array({})
  local total
  repeat
    local page = math.min(wanted - #users, USERS_PAGE)
    local answer, e = self.transport:call("GET", user_path(), {
      query = {
        count = page,
        id_prefix = opts.prefix,
        roles = opts.roles,
        start_index = #users > 0 and #users + 1 or nil,
      },
      shape = { users = { list = { id = "string" } } },
    })
    if not answer then
      return nil, e
    end
    local got = answer.users or {}
    table.move(got, 1, #got, #users + 1, users)
    total = answer.total_results
  until #users >= wanted or #got < page
  return { users = users, total_results = total or #users }
end

---@param id string
---@return table? user {id, created_at, created_by, roles: {role_name, assigned_by, assigned_at}[]}
---@return pai.Error? err
function M:account(id)
  return self.transport:call("GET", user_path(id), { shape = { id = "string" } })
end

---@param id string
---@param roles string[]?
---@return table? user {id, created_at, created_by}
---@return pai.Error? err
function M:create_account(id, roles)
  return self.transport:call("POST", user_path(), {
    json = { id = id, roles = roles },
    shape = { id = "string" },
  })
end

---Deletes a user with all tokens, roles and the profile.
---@param id string
---@return true?
---@return pai.Error? err
function M:delete_account(id)
  local answer, e = self.transport:call("DELETE", user_path(id))
  return answer ~= nil and true or nil, e
end

---@param id string
---@param role string
---@param taken boolean? away; else given
---@return true?
---@return pai.Error? err
function M:change_role(id, role, taken)
  local answer, e
  if taken then
    answer, e = self.transport:call("DELETE", user_path(id, "/roles/" .. http.segment(role)))
  else
    answer, e =
      self.transport:call("POST", user_path(id, "/roles"), { json = { role_name = role } })
  end
  return answer ~= nil and true or nil, e
end

local function config_path(kind, name)
  return "/api/configs/" .. http.segment(kind:lower()) .. (name and "/" .. http.segment(name) or "")
end

---A configuration as it is now; needs the right config:Read.
---@param kind string such as "pool" or "pod_template"
---@param opts {name: string?, verbose: boolean?}?
---@return any
---@return pai.Error? err
function M:config(kind, opts)
  opts = opts or {}
  return self.transport:call("GET", config_path(kind, opts.name), {
    query = { verbose = opts.verbose and "True" or nil },
    shape = "table",
  })
end

---Revisions of configurations.
---@param query table the parameters of GET /api/configs/history
---@return table[]? configs {config_type, name, revision, username, created_at, description, tags}
---@return pai.Error? err
function M:config_history(query)
  local answer, e = self.transport:call("GET", "/api/configs/history", {
    query = query,
    shape = { configs = { list = "table" } },
  })
  return answer and answer.configs, e
end

---One revision, with its data.
---@param kind string such as "POOL"
---@param revision integer
---@return table?
---@return pai.Error? err
function M:config_revision(kind, revision)
  local found, e = self:config_history({
    config_types = { kind },
    omit_data = "False",
    revision = revision,
  })
  if not found then
    return nil, e
  elseif not found[1] then
    return err.fail("ENOENT", ("there is no revision %d of %s"):format(revision, kind))
  end
  return found[1]
end

---The number of the newest revision.
---@param kind string such as "POOL"
---@return integer?
---@return pai.Error? err
function M:config_newest(kind)
  local found, e = self:config_history({ config_types = { kind }, order = "DESC", limit = 1 })
  if not found then
    return nil, e
  elseif not found[1] then
    return err.fail("ENOENT", "there is no revision of " .. kind)
  end
  return math.tointeger(found[1].revision)
end

---Two revisions; what is secret says only whether it differs.
---@param kind string such as "POOL"
---@param first integer
---@param second integer
---@return {first_data: any, second_data: any}?
---@return pai.Error? err
function M:config_diff(kind, first, second)
  return self.transport:call("GET", "/api/configs/diff", {
    query = { config_type = kind, first_revision = first, second_revision = second },
  })
end

---@class pai.osmo.ConfigChange
---@field description string why
---@field tags string[]?

---Makes a revision of a configuration the newest again, as a new revision.
---@param kind string such as "POOL"
---@param revision integer
---@param change pai.osmo.ConfigChange
---@return any
---@return pai.Error? err
function M:config_rollback(kind, revision, change)
  return self.transport:call("POST", "/api/configs/history/rollback", {
    json = {
      config_type = kind,
      revision = revision,
      description = change.description,
      tags = change.tags,
    },
  })
end

---Writes a configuration, whole or in part.
---@param kind string such as "POOL"
---@param name string? of one of its kind
---@param method "PUT"|"PATCH"|"POST"
---@param body userdata a secret that is JSON: what is written and a ConfigChange
---@return any
---@return pai.Error? err
function M:config_write(kind, name, method, body)
  return self.transport:call(method, config_path(kind, name), { body = body })
end

---Deletes a configuration by its name.
---@param kind string such as "POOL"
---@param name string
---@param change pai.osmo.ConfigChange
---@return any
---@return pai.Error? err
function M:config_delete(kind, name, change)
  return self.transport:call("DELETE", config_path(kind, name), {
    json = { description = change.description, tags = change.tags },
  })
end

local function revision_path(kind, revision, tail)
  local path = "/api/configs/history/%s/revision/%d%s"
  return path:format(http.segment(kind:lower()), revision, tail or "")
end

---Deletes a revision from the history.
---@param kind string such as "POOL"
---@param revision integer
---@return any
---@return pai.Error? err
function M:config_delete_revision(kind, revision)
  return self.transport:call("DELETE", revision_path(kind, revision))
end

---Puts tags on a revision and takes them off.
---@param kind string such as "POOL"
---@param revision integer
---@param opts {set: string[]?, delete: string[]?}
---@return any
---@return pai.Error? err
function M:config_tag(kind, revision, opts)
  return self.transport:call("POST", revision_path(kind, revision, "/tags"), {
    json = { set_tags = opts.set, delete_tags = opts.delete },
  })
end

return M
