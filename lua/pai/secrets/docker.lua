-- The password or token of a registry in Docker's config.json: from the helper that it names for
-- the registry, from its store, or from the file itself, in that order, as Docker does.
-- Source: docs.docker.com, "docker login", credential stores and the helper protocol: the program
-- `docker-credential-NAME get` has the server on standard input and answers with JSON (Secret).
local err = require("pai.err")
local fs = require("pai.fs")

local M = {}

---Where the file is.
---@return string? path
function M.path()
  local dir = os.getenv("DOCKER_CONFIG")
  if dir and dir ~= "" then
    return dir .. "/config.json"
  end
  local home = os.getenv("HOME")
  return home and home ~= "" and home .. "/.docker/config.json" or nil
end

local HUB <const> = "https://index.docker.io/v1/"

-- The keys under which clients have filed a registry.
local function servers(registry)
  if registry == "docker.io" or registry == "index.docker.io" then
    return { HUB, "index.docker.io", "docker.io" }
  end
  local https = "https://" .. registry
  return { registry, https, https .. "/", https .. "/v1/", https .. "/v2/" }
end

-- The first field that is there. An error other than its absence is one.
local function first(path, keys)
  for _, key in ipairs(keys) do
    local value, e = require("pai.secret").field(path, { json = key })
    if value then
      return value, key
    elseif e.code ~= "ENOENT" then
      return nil, e
    end
  end
end

local function ask(helper, server)
  if not helper:find("^[%w][%w._-]*$") then
    return err.fail("EPARSE", "the name of Docker's credential helper is no plain word")
  end
  local program = "docker-credential-" .. helper
  local r, e = require("pai.exec").run({ program, "get" }, {
    inherit_env = true,
    stdin = server,
    stdout = "secret",
    timeout = "60s",
  })
  if not r then
    if e.code == "EEXIT" then
      -- Its reason is on standard output, which may hold a secret: it is not repeated.
      local message = "%s has no credentials for %s (exit code %s)"
      return err.fail("ENOENT", message:format(program, server, tostring(e.exit or e.signal)))
    end
    return err.fail(e.code, ("%s: %s"):format(program, e.message))
  end
  return require("pai.secret").pick(r.stdout, { json = { "Secret" } })
end

---Opens the credential of a registry.
---@param registry string "nvcr.io", or "docker.io" for Docker Hub
---@return userdata? handle
---@return string|pai.Error|nil warning
function M.open(registry)
  local path = M.path()
  if not path or not fs.exists(path) then
    local message = "there is no Docker configuration at " .. (path or "~/.docker/config.json")
    return err.fail("ENOENT", message, { hint = "docker login " .. registry })
  end
  local names = servers(registry)
  local helpers = {}
  for i, name in ipairs(names) do
    helpers[i] = { "credHelpers", name }
  end
  local helper, key = first(path, helpers)
  if helper then
    return ask(helper, key[2])
  elseif key then
    return nil, key
  end
  local store, e = first(path, { { "credsStore" } })
  if store then
    return ask(store, names[1])
  elseif e then
    return nil, e
  end
  local check = require("pai.recipe.dotenv").privacy(path)
  if check then
    return err.fail("EACCES", check.measured, { hint = check.hint })
  end
  for _, name in ipairs(names) do
    for _, field in ipairs({ "identitytoken", "auth" }) do
      local opts = { json = { "auths", name, field }, basic = field == "auth" }
      local handle, why = require("pai.secret").from_document(path, opts)
      if handle or why.code ~= "ENOENT" then
        return handle, why
      end
    end
  end
  local hint = "docker login " .. registry
  return err.fail(
    "ENOENT",
    ("%s has no credentials for %s"):format(path, registry),
    { hint = hint }
  )
end

return M
