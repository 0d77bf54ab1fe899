-- The login file that OSMO's own command line keeps: read, written, refreshed. Tokens are handles
-- from the file to the header and back to the file.
local err = require("pai.err")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local secret = require("pai.secret")

local M = {}

local TOKENS <const> = { id_token = true, refresh_token = true }

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

---@return string
function M.path()
  return M.dir() .. "/login.yaml"
end

local function text(v)
  return type(v) == "string" and v ~= "" and v or nil
end

local function handle(v)
  return type(v) == "userdata" and v ~= json.null and v or nil
end

---@class pai.osmo.Login
---@field kind "dev"|"pat"|"idp" an identity provider's login is one that upstream's client made
---@field url string
---@field name string?
---@field username string?
---@field id_token userdata? the bearer
---@field refresh_token userdata? for a bearer that has ended: an access token ("PAT"), or the
---  identity provider's
---@field refresh_url string?
---@field client_id string?

local function refused(path, why, hint)
  return err.fail("EPARSE", ("%s: %s"):format(path, why), { hint = hint or "log in again" })
end

-- What the document says, as a login.
local function login_of(doc, path)
  local url = type(doc) == "table" and text(doc.url)
  if not url then
    return refused(path, "it names no url")
  end
  local login = { url = url:gsub("/+$", ""), name = text(doc.name) }
  local dev, token = doc.dev_login, doc.token_login
  if type(dev) == "table" and type(token) == "table" then
    return refused(path, "it holds a dev_login and a token_login")
  elseif type(dev) == "table" then
    login.kind, login.username = "dev", text(dev.username)
    if not login.username then
      return refused(path, "its dev_login names no username")
    end
  elseif type(token) == "table" then
    login.kind = doc.osmo_token == true and "pat" or "idp"
    login.username, login.client_id = text(token.username), text(token.client_id)
    login.refresh_url = text(token.refresh_url)
    login.id_token = handle(token.id_token)
    login.refresh_token = handle(token.refresh_token)
    if login.kind == "pat" and not login.refresh_token then
      return refused(path, "its token_login holds no refresh_token")
    elseif not login.id_token and not login.refresh_token then
      return refused(path, "its token_login holds no token")
    end
  else
    return refused(path, "it holds neither a dev_login nor a token_login")
  end
  return login
end

---Reads login.yaml.
---@return pai.osmo.Login? login nil when there is none
---@return pai.Error? err
function M.load()
  local path = M.path()
  local st = fs.stat(path)
  if not st then
    return nil, nil
  end
  if st.mode & 63 ~= 0 then -- 0077
    return err.fail("EACCES", ("%s can be read by others"):format(path), {
      hint = "chmod 600 " .. path,
    })
  end
  local body, e = secret.from_file(path)
  if not body then
    return nil, e
  end
  -- Loaded here: most runs only ask whether there is a login file.
  local doc, parse_err = require("pai.yaml").decode(body, { schema = "1.1", secret = TOKENS })
  if doc == nil then
    return refused(path, parse_err.message)
  end
  return login_of(doc, path)
end

-- A scalar in a form that every YAML reader takes for the same text.
local function scalar(v)
  if v == nil then
    return "null"
  end
  return type(v) == "string" and json.encode(v) or json.seal(v)
end

-- The file as upstream's client writes it, in pieces of which some are secrets.
local function pieces(login)
  local dev = login.kind == "dev"
  local out = {
    "dev_login:",
    dev and "\n  username: " .. scalar(login.username) or " null",
    "\nname: ",
    scalar(login.name or login.username),
    "\nosmo_token: " .. tostring(login.kind == "pat") .. "\ntoken_login:",
  }
  if dev then
    out[#out + 1] = " null"
  else
    for _, key in ipairs({ "client_id", "id_token", "refresh_token", "refresh_url", "username" }) do
      out[#out + 1] = ("\n  %s: "):format(key)
      out[#out + 1] = scalar(login[key])
    end
  end
  out[#out + 1] = "\nurl: " .. scalar(login.url) .. "\n"
  return out
end

---Writes a file of secrets, whole or not at all and for its owner only.
---@param path string its folder is made
---@param parts (string|userdata)[] texts and secrets
---@return string? path
---@return pai.Error? err
function M.write(path, parts)
  local ok, e = fs.mkdir(fs.dirname(path), { parents = true, mode = 448 })
  if not ok then
    return nil, e
  end
  local body
  body, e = secret.join(parts)
  if not body then
    return nil, e
  end
  local target = fs.realpath(path) or path -- a link stays one
  local draft = ("%s.%s"):format(target, require("pai.crypto").hex(4))
  ok, e = exec.run({ "cat" }, {
    stdin = body,
    stdout = { file = draft, mode = 384 },
    timeout = "10s",
  })
  if ok then
    ok, e = fs.rename(draft, target)
  end
  if not ok then
    fs.remove(draft)
    return nil, e
  end
  return path
end

---Writes login.yaml in the form of OSMO's own client.
---@param login pai.osmo.Login
---@return string? path
---@return pai.Error? err
function M.save(login)
  return M.write(M.path(), pieces(login))
end

---Runs a function while no other pai changes a file.
---@param fn fun(): ...
---@param path string? default the login file
---@return any ...
function M.locked(fn, path)
  local lock <close> = fs.lock((path or M.path()) .. ".lock", { wait = "90s" })
  return fn(lock ~= nil)
end

---Forgets the login.
---@return boolean? whether there was one
---@return pai.Error? err
function M.forget()
  local path = M.path()
  if not fs.exists(path) then
    return false
  end
  return fs.remove(path)
end

return M
