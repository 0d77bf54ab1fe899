-- A stand-in for an OSMO service that takes what the contract allows and nothing else: a route, a
-- parameter, a member or a header that is not in it fails the test. It answers as the test says.
--
-- The routes, parameters and bodies are those of the public repository NVIDIA/OSMO at version
-- 6.4.0: src/service/core/workflow/workflow_service.py (workflows, tasks, pools, resources,
-- credentials, tags), src/service/core/{auth,profile,config,app} and src/service/router/router.py;
-- the forms in which its command line sends them are those of src/lib/utils/client.py and
-- src/cli/*.py.
local json = require("pai.json")
local serve = require("pai.serve")

local M = {}

-- "name" may come once, "name*" may be repeated. {x} stands for one segment of the path. `by` is
-- the spec that sends the route with everything that it takes (see M.unsent).
local ROUTES <const> = {
  ["GET /api/version"] = { by = "read" },
  ["GET /api/router/version"] = {}, -- asked of the router
  ["GET /api/users"] = { by = "account" },
  ["GET /api/tag"] = { by = "read" },
  ["GET /api/profile/settings"] = { by = "read" },
  ["POST /api/profile/settings"] = {
    body = "email_notification slack_notification pool",
    by = "change",
  },
  ["GET /api/pool"] = { query = "all_pools", by = "read" },
  ["GET /api/pool_quota"] = { query = "all_pools pools*", by = "read" },
  ["GET /api/resources"] = { query = "pools* platforms* all_pools", by = "read" },
  ["GET /api/resources/{n}"] = { by = "read" },
  ["POST /api/pool/{p}/workflow"] = {
    query = "dry_run validation_only priority env_vars* label* workflow_id app_uuid app_version",
    body = "file set_variables set_string_variables uploaded_templated_spec",
    empty = true,
    by = "submit",
  },
  ["POST /api/pool/{p}/workflow/{id}/restart"] = { empty = true, by = "change" },
  ["GET /api/workflow"] = {
    query = "users* all_users name statuses* offset limit order pools* all_pools submitted_before "
      .. "submitted_after tags* app priority* label* no_label*",
    by = "read",
  },
  ["GET /api/workflow/{id}"] = { query = "skip_groups verbose", by = "read" },
  ["GET /api/workflow/{id}/task/{t}"] = { by = "read" },
  ["GET /api/workflow/{id}/logs"] = {
    query = "last_n_lines task_name retry_id query",
    by = "read",
  },
  ["GET /api/workflow/{id}/error_logs"] = {
    query = "last_n_lines task_name retry_id query",
    by = "read",
  },
  ["GET /api/workflow/{id}/events"] = { query = "task_name retry_id", by = "read" },
  ["GET /api/workflow/{id}/spec"] = { query = "use_template", by = "read" },
  ["POST /api/workflow/{id}/cancel"] = { query = "message force", empty = true, by = "change" },
  ["POST /api/workflow/{id}/tag"] = { query = "add* remove*", empty = true, by = "change" },
  ["POST /api/workflow/{id}/exec/task/{t}"] = {
    query = "entry_command",
    empty = true,
    by = "session",
  },
  ["POST /api/workflow/{id}/exec/group/{g}"] = {
    query = "entry_command",
    empty = true,
    by = "session",
  },
  ["POST /api/workflow/{id}/portforward/{t}"] = {
    query = "task_ports* use_udp",
    empty = true,
    by = "session",
  },
  ["GET /api/task"] = {
    query = "workflow_id statuses* users* all_users pools* all_pools nodes* started_after "
      .. "started_before offset limit order summary aggregate_by_workflow priority*",
    by = "read",
  },
  ["GET /api/credentials"] = { by = "credential" },
  ["POST /api/credentials/{n}"] = {
    body = "registry_credential data_credential generic_credential",
    by = "credential",
  },
  ["DELETE /api/credentials/{n}"] = { by = "credential" },
  ["GET /api/auth/login"] = { open = true, by = "login" },
  ["POST /api/auth/jwt/access_token"] = { body = "token", open = true, by = "login" },
  ["POST /api/auth/access_token/{n}"] = {
    query = "expires_at description roles*",
    empty = true,
    by = "account",
  },
  ["GET /api/auth/access_token"] = { by = "account" },
  ["DELETE /api/auth/access_token/{n}"] = { by = "account" },
  ["GET /api/auth/access_token/{n}/roles"] = { by = "account" },
  ["POST /api/auth/user/{u}/access_token/{n}"] = {
    query = "expires_at description roles*",
    empty = true,
    by = "account",
  },
  ["GET /api/auth/user/{u}/access_token"] = { by = "account" },
  ["DELETE /api/auth/user/{u}/access_token/{n}"] = { by = "account" },
  ["GET /api/auth/user"] = { query = "start_index count id_prefix roles*", by = "account" },
  ["POST /api/auth/user"] = { body = "id roles", by = "account" },
  ["GET /api/auth/user/{u}"] = { by = "account" },
  ["DELETE /api/auth/user/{u}"] = { by = "account" },
  ["POST /api/auth/user/{u}/roles"] = { body = "role_name", by = "account" },
  ["DELETE /api/auth/user/{u}/roles/{r}"] = { by = "account" },
  ["GET /api/configs/{t}"] = { query = "verbose", by = "config" },
  ["PATCH /api/configs/{t}"] = { body = "configs_dict description tags", by = "config" },
  ["PUT /api/configs/{t}"] = { body = "configs configs_dict description tags", by = "config" },
  ["PUT /api/configs/{t}/{n}"] = { body = "configs description tags", by = "config" },
  ["PATCH /api/configs/{t}/{n}"] = { body = "configs_dict description tags", by = "config" },
  ["POST /api/configs/{t}/{n}"] = { body = "configs description tags", by = "config" },
  ["DELETE /api/configs/{t}/{n}"] = { body = "description tags", by = "config" },
  ["GET /api/configs/history"] = {
    query = "offset limit order config_types* name revision tags* created_before created_after "
      .. "at_timestamp omit_data",
    by = "config",
  },
  ["POST /api/configs/history/rollback"] = {
    body = "config_type revision description tags",
    by = "config",
  },
  ["DELETE /api/configs/history/{t}/revision/{r}"] = { by = "config" },
  ["POST /api/configs/history/{t}/revision/{r}/tags"] = {
    body = "set_tags delete_tags",
    by = "config",
  },
  ["GET /api/configs/diff"] = {
    query = "config_type first_revision second_revision",
    by = "config",
  },
  ["GET /api/app"] = { query = "users* all_users name offset limit order", by = "app" },
  ["GET /api/app/user/{n}"] = { query = "version limit order", by = "app" },
  ["POST /api/app/user/{n}"] = { query = "description", text = true, by = "app" },
  ["PATCH /api/app/user/{n}"] = { text = true, by = "app" },
  ["DELETE /api/app/user/{n}"] = { query = "version all_versions", by = "app" },
  ["GET /api/app/user/{n}/spec"] = { query = "version", by = "app" },
  ["POST /api/app/user/{n}/rename"] = { text = true, by = "app" },
}

local HEADERS <const> = {
  accept = true,
  ["accept-encoding"] = true,
  authorization = true,
  connection = true,
  ["content-length"] = true,
  ["content-type"] = true,
  host = true,
  ["user-agent"] = true,
  ["x-osmo-user"] = true,
  -- what a proxy in front adds
  ["x-forwarded-for"] = true,
  ["x-real-ip"] = true,
}

local function words(list)
  local once, many = {}, {}
  for word in (list or ""):gmatch("%S+") do
    local name = word:match("^(.*)%*$")
    once[name or word], many[name or word] = true, name ~= nil
  end
  return once, many
end

local compiled = {}
for route, rules in pairs(ROUTES) do
  local method, path = route:match("^(%S+) (.*)$")
  local pattern = "^" .. path:gsub("%-", "%%-"):gsub("{%w+}", "([^/]+)") .. "$"
  local names, many = words(rules.query)
  compiled[#compiled + 1] = {
    route = route,
    method = method,
    pattern = pattern,
    rules = rules,
    query = names,
    many = many,
    members = rules.body and words(rules.body),
    wild = select(2, path:gsub("{", "")),
  }
end
table.sort(compiled, function(a, b)
  return a.wild < b.wild or (a.wild == b.wild and a.route < b.route)
end)

---The route that a request is for.
---@return table? route
local function find(req)
  for _, c in ipairs(compiled) do
    if req.method == c.method and req.path:match(c.pattern) then
      return c
    end
  end
end

local function check_body(c, req)
  local body = req.body or ""
  if body == "" then
    return not (c.members or c.rules.text) or c.rules.empty, "an empty body"
  elseif c.rules.text then
    return type(json.decode(body)) == "string", "a body that is no JSON string"
  elseif not c.members then
    return false, "a body"
  end
  local value = json.decode(body)
  if type(value) ~= "table" then
    return false, "a body that is no JSON object"
  end
  for name in pairs(value) do
    if not c.members[name] then
      return false, "the member " .. name
    end
  end
  return true
end

-- What the contract does not allow of a request.
local function complaint(c, req, server)
  if not c then
    return "no such route"
  end
  for name, values in pairs(req.query or {}) do
    if not c.query[name] then
      return "the parameter " .. name
    elseif #values > 1 and not c.many[name] then
      return "several of the parameter " .. name
    end
  end
  for name in pairs(req.headers) do
    if not HEADERS[name] then
      return "the header " .. name
    end
  end
  local carries = req.method ~= "GET" and req.method ~= "DELETE"
  if carries and req.headers["content-type"] ~= "application/json" then
    return "the content type " .. tostring(req.headers["content-type"])
  end
  if not req.headers["user-agent"] then
    return "no user agent"
  end
  local who = req.headers.authorization or req.headers["x-osmo-user"]
  if not who and not c.rules.open and server.guarded then
    return "nobody's request"
  end
  local ok, what = check_body(c, req)
  return not ok and what or nil
end

-- What was sent so far in this process: parameters, and members with a dot, by route.
local sent = {}

local function note(route, req)
  sent[route] = sent[route] or {}
  for name, values in pairs(req.query or {}) do
    sent[route][name] = true
    sent[route][name .. "*"] = #values > 1 or sent[route][name .. "*"]
  end
  local body = req.body ~= "" and json.decode(req.body or "")
  for name in pairs(type(body) == "table" and body or {}) do
    sent[route]["." .. name] = true
  end
end

---What of the contract no request of this process has used: routes, parameters (a list must have
---been one of several), members of bodies.
---@param by string the spec that is to send them
---@return string[]
function M.unsent(by)
  local out = {}
  for route, rules in pairs(ROUTES) do
    local had = sent[route]
    if rules.by == by and not had then
      out[#out + 1] = route
    elseif rules.by == by then
      for name in (rules.query or ""):gmatch("%S+") do
        out[#out + 1] = not had[name] and route .. "?" .. name or nil
      end
      for name in (rules.body or ""):gmatch("%S+") do
        out[#out + 1] = not had["." .. name] and route .. " ." .. name or nil
      end
    end
  end
  table.sort(out)
  return out
end

---@class pai.test.Contract
---@field url string
---@field calls table[] requests so far, each with `route`
---@field problems string[]
---@field answers table<string, function|table> by route
---@field guarded boolean whether somebody must be named
local Server = {}
Server.__index = Server

---Starts the stand-in.
---@param opts table? of serve.listen
---@return pai.test.Contract
function M.start(opts)
  local self = setmetatable({ calls = {}, problems = {}, answers = {}, guarded = true }, Server)
  local settings = { host = "127.0.0.1", port = 0 }
  for name, v in pairs(opts or {}) do
    settings[name] = v
  end
  function settings.handler(req)
    return self:handle(req)
  end
  self.srv = assert(serve.listen(settings))
  self.url = "http://127.0.0.1:" .. self.srv:port()
  return self
end

function Server:handle(req)
  local c = find(req)
  local wrong = complaint(c, req, self)
  if wrong then
    table.insert(self.problems, ("%s %s: %s"):format(req.method, req.path, wrong))
    return { status = 422, json = { detail = { { loc = { "contract" }, msg = wrong } } } }
  end
  req.route = c.route
  note(c.route, req)
  req.args = { req.path:match(c.pattern) }
  table.insert(self.calls, req)
  local answer = self.answers[c.route]
  if answer == nil then
    table.insert(self.problems, c.route .. ": nobody said what to answer")
    return { status = 500, json = { message = "Internal server error: no answer" } }
  end
  return type(answer) == "function" and answer(req) or answer
end

---The last request, as "METHOD /path?sorted=query".
---@param n integer? of which the n-th from the end (1)
---@return string
function Server:last(n)
  local req = self.calls[#self.calls - (n or 1) + 1]
  local parts = {}
  for name, values in pairs(req.query or {}) do
    for i, v in ipairs(values) do
      parts[#parts + 1] = { name, i, name .. "=" .. v }
    end
  end
  table.sort(parts, function(a, b)
    return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2])
  end)
  for i, part in ipairs(parts) do
    parts[i] = part[3]
  end
  local query = #parts > 0 and "?" .. table.concat(parts, "&") or ""
  return req.method .. " " .. req.path .. query
end

---The JSON body of the last request.
---@return any
function Server:body()
  return json.decode(self.calls[#self.calls].body)
end

---Ends it; raises for what was not as the contract says.
function Server:finish()
  self.srv:close()
  if #self.problems > 0 then
    error("against the contract: " .. table.concat(self.problems, "; "), 2)
  end
end

return M
