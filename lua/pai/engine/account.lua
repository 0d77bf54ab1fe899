-- What a client asks about the service and its user: versions, login, profile, users.
local json = require("pai.json")
local reply = require("pai.engine.reply")
local text = require("pai.text")
local wire = require("pai.engine.wire")

local M = {}

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

local function chosen_pool(engine, user)
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
      pool = chosen_pool(engine, user),
    },
    roles = json.array({ "osmo-user" }),
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
  return { headers = { ["content-type"] = "application/json" }, body = "null" }
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

---GET /api/tag: nobody allows any.
---@return table
function M.tags()
  return { tags = json.array({}) }
end

---GET /api/plugins/configs
---@return table
function M.plugins()
  return { rsync = { enabled = false } }
end

return M
