-- What a client asks about the service and its users: versions, login, profile, users, tokens.
local json = require("pai.json")
local reply = require("pai.engine.reply")
local text = require("pai.text")
local wire = require("pai.engine.wire")

local M = {}

M.ROLE = "osmo-user"

-- The version of the contract that is spoken.
local CONTRACT <const> = { major = "6", minor = "4", revision = "0" }

---@param engine pai.engine.Engine
---@return table
function M.version(engine)
  return {
    major = CONTRACT.major,
    minor = CONTRACT.minor,
    revision = CONTRACT.revision,
    hash = "pai-" .. engine.build.version,
  }
end

---@return table
function M.login()
  return {
    device_endpoint = json.null,
    device_client_id = json.null,
    browser_endpoint = json.null,
    browser_client_id = json.null,
    token_endpoint = json.null,
    logout_endpoint = json.null,
  }
end

---The pool of a user's profile.
---@param engine pai.engine.Engine
---@param user string
---@return string
function M.pool(engine, user)
  local name = engine.store:meta("pool:" .. user)
  return name and engine.pools[name] and name or wire.POOL
end

---GET /api/profile/settings
---@param engine pai.engine.Engine
---@param user string
---@return table
function M.profile(engine, user)
  return {
    profile = {
      username = user,
      email_notification = false,
      slack_notification = false,
      pool = M.pool(engine, user),
    },
    roles = json.array({ M.ROLE }),
    pools = json.array(text.keys(engine.pools)),
    token = json.null,
  }
end

---POST /api/profile/settings
---@param engine pai.engine.Engine
---@param user string
---@param body table
---@return table answer
function M.set_profile(engine, user, body)
  for name, v in pairs(body) do
    if name == "pool" and v ~= json.null then
      if type(v) ~= "string" or not engine.pools[v] then
        reply.fail("USER", ("Pool %s not found."):format(tostring(v)))
      end
      engine.store:set_meta("pool:" .. user, v)
    elseif name == "email_notification" or name == "slack_notification" then
      if v == true then
        reply.unsupported("Notification by " .. name:match("^%a+"))
      end
    elseif name ~= "username" and name ~= "pool" then
      reply.invalid({
        {
          type = "extra_forbidden",
          loc = { "body", name },
          msg = "Extra inputs are not permitted",
          input = json.null,
        },
      })
    end
  end
  return reply.null()
end

---GET /api/users: everybody who has ever submitted.
---@param engine pai.engine.Engine
---@return table
function M.users(engine)
  local out = json.array({})
  for _, row in ipairs(engine.store:rows("SELECT DISTINCT user FROM workflows ORDER BY user")) do
    out[#out + 1] = row.user
  end
  return out
end

-- Who is let in is told by the socket, so there is nothing that a token would open.
local function no_token(name)
  reply.fail("USER", ("Access token %s does not exist."):format(name))
end

---GET /api/auth/keys: nothing is signed here.
---@return table
function M.keys()
  return { keys = json.array({}) }
end

---GET /api/auth/access_token
---@return table
function M.tokens()
  return json.array({})
end

---POST /api/auth/access_token/{name}
function M.create_token()
  reply.unsupported("An access token, which would open nothing here,")
end

---DELETE and GET …/roles of /api/auth/access_token/{name}
---@param name string
function M.no_token(_, _, name)
  no_token(name)
end

local SUBMITTERS <const> = [[
  SELECT user AS id, min(submit_time) AS created FROM workflows GROUP BY user
  ORDER BY created DESC, user]]

local function user_of(row)
  return { id = row.id, created_at = reply.time(row.created), created_by = json.null }
end

-- Everybody may do everything that the engine does.
local function roles_of(row)
  local at = reply.time(row.created)
  return json.array({ { role_name = M.ROLE, assigned_by = row.id, assigned_at = at } })
end

---GET /api/auth/user: everybody who has ever submitted, the newest first.
---@param engine pai.engine.Engine
---@param req table
---@return table
function M.user_list(engine, req)
  local q = reply.query(req.query)
  local start, count = q:int("start_index", 1), q:int("count", 100)
  q:check()
  start, count = math.max(start, 1), math.min(math.max(count, 1), 1000)
  local prefix, roles = q:text("id_prefix") or "", q:set("roles")
  local all = {}
  for _, row in ipairs(engine.store:rows(SUBMITTERS)) do
    if row.id:sub(1, #prefix) == prefix and (not next(roles) or roles[M.ROLE]) then
      all[#all + 1] = row
    end
  end
  local users = json.array({})
  for i = start, math.min(start + count - 1, #all) do
    users[#users + 1] = user_of(all[i])
  end
  return {
    total_results = #all,
    start_index = start,
    items_per_page = #users,
    users = users,
  }
end

local function user_row(engine, id)
  for _, row in ipairs(engine.store:rows(SUBMITTERS)) do
    if row.id == id then
      return row
    end
  end
  reply.fail("USER", ("User %s not found"):format(id))
end

---GET /api/auth/user/{id}
---@param engine pai.engine.Engine
---@param id string
---@return table
function M.user(engine, _, id)
  local row = user_row(engine, id)
  local out = user_of(row)
  out.roles = roles_of(row)
  return out
end

---GET /api/auth/user/{id}/roles
---@param engine pai.engine.Engine
---@param id string
---@return table
function M.user_roles(engine, _, id)
  return { user_id = id, roles = roles_of(user_row(engine, id)) }
end

---GET /api/plugins/configs
---@return table
function M.plugins()
  return { rsync = { enabled = false } }
end

return M
