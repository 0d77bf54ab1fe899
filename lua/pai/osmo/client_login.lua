-- The login file that OSMO's own command line keeps, and the exchange of an access token for the
-- short-lived one that requests carry.
local err = require("pai.err")
local exec = require("pai.exec")
local fs = require("pai.fs")
local http = require("pai.http")
local json = require("pai.json")
local yaml = require("pai.yaml")

local M = {}

-- Renewed so many seconds before it ends.
local EARLY <const> = 3

---The folder of login.yaml.
---@return string
function M.dir()
  local dir = os.getenv("OSMO_CONFIG_FILE_DIR")
  if dir and dir ~= "" then
    return dir
  end
  local xdg = os.getenv("XDG_CONFIG_HOME")
  if xdg and xdg:sub(1, 1) == "/" then
    return xdg .. "/osmo"
  end
  local home = os.getenv("HOME")
  if not home or home == "" then
    err.raise("ENOENT", "no login file: HOME is not set")
  end
  return home .. "/.config/osmo"
end

local function text(v)
  return type(v) == "string" and v ~= "" and v or nil
end

-- Secrets are put into texts by sed, which reads them from its stdin: so they are in no argument
-- and in no Lua string. Tokens hold nothing that sed or JSON would take for its own.
local function sed(script, input, stdout)
  local r, e = exec.run({ "sed", script }, { stdin = input, stdout = stdout, timeout = "10s" })
  if not r then
    return nil, e
  end
  return r.stdout or true
end

-- A text that came out of a file or an answer, as a handle whose value is masked from now on.
local function conceal(value)
  if type(value) ~= "string" then
    return value
  end
  local handle, e = sed("", value, "secret")
  if not handle then
    error(e, 0)
  end
  return handle
end

---@class pai.osmo.Login
---@field url string
---@field name string?
---@field username string? of a dev login
---@field pat userdata? access token that is exchanged
---@field id_token userdata? bearer of an identity provider's login

---Reads login.yaml.
---@return pai.osmo.Login? login nil when there is none
---@return pai.Error? err
function M.load()
  local path = M.dir() .. "/login.yaml"
  if not fs.exists(path) then
    return nil, nil
  end
  local st = fs.stat(path)
  if st and st.mode & 63 ~= 0 then -- 0077
    return err.fail("EACCES", ("%s can be read by others"):format(path), {
      hint = "chmod 600 " .. path,
    })
  end
  local body, e = fs.read(path, { max = 1048576 })
  if not body then
    return nil, e
  end
  local doc, parse_err = yaml.decode(body, { schema = "1.1" })
  if doc == nil then
    return err.fail("EPARSE", ("%s: %s"):format(path, parse_err.message))
  end
  local url = type(doc) == "table" and text(doc.url)
  if not url then
    return err.fail("EPARSE", path .. ": it names no url")
  end
  local login = { url = url:gsub("/+$", ""), name = text(doc.name) }
  local dev, token = doc.dev_login, doc.token_login
  if type(dev) == "table" then
    login.username = text(dev.username)
  elseif type(token) == "table" then
    if doc.osmo_token == true then
      login.pat = conceal(text(token.refresh_token))
    else
      login.id_token = conceal(text(token.id_token))
    end
  end
  return login
end

local function prepare_dir()
  local dir = M.dir()
  local ok, e = fs.mkdir(dir, { parents = true, mode = 448 })
  if not ok then
    return nil, e
  end
  return dir .. "/login.yaml"
end

---Writes a dev login.
---@param url string
---@param username string
---@return string? path
---@return pai.Error? err
function M.save_dev(url, username)
  local path, e = prepare_dir()
  if not path then
    return nil, e
  end
  local ok
  ok, e = fs.write(
    path,
    yaml.encode({
      url = url:gsub("/+$", ""),
      name = username,
      osmo_token = false,
      dev_login = { username = username },
      token_login = json.null,
    }),
    { mode = 384 }
  )
  if not ok then
    return nil, e
  end
  return path
end

-- A word that no token holds, replaced by the token when the file is written.
local PLACE <const> = "@PAT@"

---Checks an access token with the service and writes a token login, as OSMO's own command line
---does: the token in clear, the file for its owner only.
---@param url string
---@param username string?
---@param pat userdata secret
---@return string? path
---@return pai.Error? err
function M.save_token(url, username, pat)
  url = url:gsub("/+$", "")
  local answer, e = M.exchange(url, pat)
  if not answer then
    return nil, e
  end
  local path
  path, e = prepare_dir()
  if not path then
    return nil, e
  end
  local draft = path .. ".new"
  local script, ok
  ok, e = fs.write(
    draft,
    yaml.encode({
      url = url,
      name = username or json.null,
      osmo_token = true,
      dev_login = json.null,
      token_login = {
        id_token = answer.token,
        refresh_token = PLACE,
        refresh_url = url .. "/api/auth/jwt/access_token",
        username = username or json.null,
        client_id = json.null,
      },
    }),
    { mode = 384 }
  )
  if ok then
    script, e = sed("s/.*/s|" .. PLACE .. "|&|/", pat, "secret")
    ok = script ~= nil
  end
  if ok then
    ok, e = exec.run({ "sed", "-i", "-f", "-", draft }, { stdin = script, timeout = "10s" })
  end
  if ok then
    ok, e = fs.rename(draft, path)
  end
  if not ok then
    fs.remove(draft)
    return nil, e
  end
  return path
end

---Exchanges an access token ("PAT") for a JWT.
---@param base string
---@param pat userdata secret
---@return {token: string, expires_at: integer}? answer
---@return pai.Error? err
function M.exchange(base, pat)
  local body, body_err = sed('s/.*/{"token": "&"}/', pat, "secret")
  if not body then
    return nil, body_err
  end
  local res, e = http.request({
    url = base .. "/api/auth/jwt/access_token",
    method = "POST",
    headers = { ["content-type"] = "application/json" },
    body = body,
    timeout = "60s",
  })
  if not res then
    if e.code == "EHTTP" and e.status == 400 then
      return err.fail(
        "EACCES",
        "the service refused the access token: it is unknown or has expired",
        {
          http = 400,
          hint = "log in again: pai osmo login --method token",
        }
      )
    end
    return nil, e
  end
  local answer = res:json()
  if type(answer) ~= "table" or type(answer.token) ~= "string" then
    return err.fail("EPROTO", "the service's answer to the access token holds no token")
  end
  return { token = answer.token, expires_at = tonumber(answer.expires_at) or os.time() + 300 }
end

---A source of bearers that renews the JWT before it ends.
---@param base string
---@param pat userdata secret
---@return fun(): any, pai.Error?
function M.bearer(base, pat)
  local current
  return function()
    if not current or current.expires_at - EARLY < os.time() then
      local answer, e = M.exchange(base, pat)
      if not answer then
        return nil, e
      end
      current = { token = conceal(answer.token), expires_at = answer.expires_at }
    end
    return current.token
  end
end

return M
