-- Apps: specs that are kept under a name, in versions.
local json = require("pai.json")
local listing = require("pai.engine.listing")
local reply = require("pai.engine.reply")
local store = require("pai.engine.store")

local M = {}

local NAME <const> = "^%a[%w_-]*$"

local function find(engine, name)
  local app = engine.store:row("SELECT * FROM apps WHERE name = ?", name)
  if not app then
    reply.fail("DATABASE", ("App %s is not found."):format(name))
  end
  return app
end

local function own(engine, name, user)
  local app = find(engine, name)
  if app.owner ~= user then
    reply.fail("USER", ("App %s belongs to %s."):format(name, app.owner))
  end
  return app
end

local function check_name(engine, name)
  if not name or not name:find(NAME) or name:find("[_-]$") or #name > 64 then
    reply.fail("USER", ("%s is no name of an app."):format(tostring(name)))
  elseif engine.store:row("SELECT 1 AS one FROM apps WHERE name = ?", name) then
    reply.fail("USER", ("App %s exists already."):format(name))
  end
end

-- The body: a JSON string, such as the YAML of a spec.
local function text_of(req)
  local text = json.decode(req.body ~= "" and req.body or "null")
  if type(text) ~= "string" or text == "" then
    reply.invalid({
      {
        type = "string_type",
        loc = { "body" },
        msg = "Input should be a valid string",
        input = json.null,
      },
    })
  end
  return text
end

local function edited(app, version, user, now)
  return {
    uuid = app.uuid,
    name = app.name,
    version = version,
    created_by = user,
    created_date = reply.time(now),
    status = "READY",
  }
end

local function add_version(s, app, version, user, now, text)
  s:run(
    "INSERT INTO app_versions (app, version, created_by, created, spec) VALUES (?, ?, ?, ?, ?)",
    app.uuid,
    version,
    user,
    now,
    text
  )
end

---GET /api/app
---@param engine pai.engine.Engine
---@param req table
---@param user string
---@return table
function M.list(engine, req, user)
  local q = reply.query(req.query)
  local offset, limit = q:int("offset", 0), q:int("limit", 20)
  local order = q:enum("order", { "ASC", "DESC" }, true)[1] or "ASC"
  local users = q:list("users")
  if #users == 0 and not q:bool("all_users", false) then
    users = { user }
  end
  q:check()
  local where, values = { "1" }, {}
  listing.one_of(where, values, "owner", users)
  local name = q:text("name")
  if name and name ~= "" then
    where[#where + 1] = "name LIKE ? ESCAPE '\\'"
    values[#values + 1] = "%" .. listing.like(name) .. "%"
  end
  limit = math.max(0, math.min(limit, 1000))
  values[#values + 1] = limit + 1
  values[#values + 1] = math.max(offset, 0)
  local form = "SELECT * FROM apps WHERE %s ORDER BY created %s, name %s LIMIT ? OFFSET ?"
  local sql = form:format(table.concat(where, " AND "), order, order)
  local rows, out = engine.store:rows(sql, table.unpack(values)), json.array({})
  for i = 1, math.min(#rows, limit) do
    local app = rows[i]
    out[i] = {
      uuid = app.uuid,
      name = app.name,
      owner = app.owner,
      description = app.description,
      created_date = reply.time(app.created),
      latest_version = app.last,
    }
  end
  return { apps = out, more_entries = #rows > limit }
end

---GET /api/app/user/{name}
---@param engine pai.engine.Engine
---@param name string
---@param req table
---@return table
function M.info(engine, name, req)
  local q = reply.query(req.query)
  local version, limit = q:int("version"), q:int("limit", 20)
  local order = q:enum("order", { "ASC", "DESC" }, true)[1] or "ASC"
  q:check()
  local app = find(engine, name)
  local versions = json.array({})
  -- The newest so many, whichever way they are shown.
  local rows = engine.store:rows(
    "SELECT * FROM (SELECT version, created_by, created FROM app_versions"
      .. " WHERE app = ? AND (? IS NULL OR version = ?) ORDER BY version DESC LIMIT ?)"
      .. " ORDER BY version "
      .. order,
    app.uuid,
    version,
    version,
    math.max(limit, 0)
  )
  for i, v in ipairs(rows) do
    versions[i] = {
      version = v.version,
      created_by = v.created_by,
      created_date = reply.time(v.created),
      status = "READY",
    }
  end
  return {
    uuid = app.uuid,
    name = app.name,
    owner = app.owner,
    description = app.description,
    created_date = reply.time(app.created),
    versions = versions,
  }
end

---POST /api/app/user/{name}
---@param engine pai.engine.Engine
---@param req table
---@param name string
---@param user string
---@return table
function M.create(engine, req, name, user)
  local q = reply.query(req.query)
  local text = text_of(req)
  check_name(engine, name)
  local s = engine.store
  local app = { uuid = store.uuid(), name = name }
  local now = s:now()
  s:transaction("app", function()
    s:run(
      "INSERT INTO apps (uuid, owner, name, description, created, last) VALUES (?, ?, ?, ?, ?, 1)",
      app.uuid,
      user,
      name,
      q:text("description") or "",
      now
    )
    add_version(s, app, 1, user, now, text)
  end)
  return edited(app, 1, user, now)
end

---PATCH /api/app/user/{name}: a new version.
---@param engine pai.engine.Engine
---@param req table
---@param name string
---@param user string
---@return table
function M.update(engine, req, name, user)
  local text = text_of(req)
  local app = own(engine, name, user)
  local s = engine.store
  local now, version = s:now(), app.last + 1
  s:transaction("app", function()
    s:run("UPDATE apps SET last = ? WHERE uuid = ?", version, app.uuid)
    add_version(s, app, version, user, now, text)
  end)
  return edited(app, version, user, now)
end

-- The version that is asked for, else the newest that is there.
local function version_row(engine, app, version)
  local row
  if version then
    row = engine.store:row(
      "SELECT * FROM app_versions WHERE app = ? AND version = ?",
      app.uuid,
      version
    )
  else
    row = engine.store:row(
      "SELECT * FROM app_versions WHERE app = ? ORDER BY version DESC LIMIT 1",
      app.uuid
    )
  end
  if not row then
    local text = "App %s has no version %s."
    reply.fail("DATABASE", text:format(app.name, tostring(version or "at all")))
  end
  return row
end

---GET /api/app/user/{name}/spec
---@param engine pai.engine.Engine
---@param req table
---@param name string
---@return table
function M.spec(engine, req, name)
  local q = reply.query(req.query)
  local version = q:int("version")
  q:check()
  return {
    headers = { ["content-type"] = "text/plain; charset=utf-8" },
    body = version_row(engine, find(engine, name), version).spec,
  }
end

---DELETE /api/app/user/{name}: one version, or the app with all of them.
---@param engine pai.engine.Engine
---@param req table
---@param name string
---@param user string
---@return table
function M.delete(engine, req, name, user)
  local q = reply.query(req.query)
  local version, all = q:int("version"), q:bool("all_versions", false)
  q:check()
  local app = own(engine, name, user)
  if not version and not all then
    reply.fail("USAGE", "Either version or all_versions must be given.")
  end
  local s, gone = engine.store, json.array({})
  s:transaction("app", function()
    if all then
      for _, row in
        ipairs(s:rows("SELECT version FROM app_versions WHERE app = ? ORDER BY version", app.uuid))
      do
        gone[#gone + 1] = row.version
      end
      s:run("DELETE FROM apps WHERE uuid = ?", app.uuid)
    else
      gone[1] = version_row(engine, app, version).version
      s:run("DELETE FROM app_versions WHERE app = ? AND version = ?", app.uuid, version)
    end
  end)
  return { versions = gone }
end

---POST /api/app/user/{name}/rename: the body is the new name as a JSON string, as is the answer.
---@param engine pai.engine.Engine
---@param req table
---@param name string
---@param user string
---@return table
function M.rename(engine, req, name, user)
  local new = text_of(req)
  local app = own(engine, name, user)
  check_name(engine, new)
  engine.store:transaction("app", function()
    engine.store:run("UPDATE apps SET name = ? WHERE uuid = ?", new, app.uuid)
  end)
  return { headers = { ["content-type"] = "application/json" }, body = json.encode(new) }
end

---The app of a submit.
---@param engine pai.engine.Engine
---@param uuid string?
---@param version integer?
---@return {owner: string, name: string, version: integer}?
function M.of_submit(engine, uuid, version)
  if not uuid then
    return nil
  end
  local app = engine.store:row("SELECT * FROM apps WHERE uuid = ?", uuid)
  if not app then
    reply.fail("DATABASE", ("App %s is not found."):format(uuid))
  end
  return { owner = app.owner, name = app.name, version = version_row(engine, app, version).version }
end

return M
