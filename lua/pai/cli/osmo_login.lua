-- pai osmo login, logout.
local args = require("pai.cli.args")
local common = require("pai.cli.osmo_common")
local err = require("pai.err")
local out = require("pai.out")

local ELSEWHERE_HINT <const> = "log in once with OSMO's own command line; pai uses and renews that"

local login = {
  name = "login",
  summary = "log in to an OSMO service",
  usage = "[URL]",
  doc = "Without a URL, that of the last login is meant. Writes login.yaml where OSMO's own "
    .. "command line keeps it. dev: the service has no authorization, the name is taken on trust. "
    .. "token: an OSMO access token, from a file, an environment variable, standard input (-), or "
    .. "asked for. A login that OSMO's own command line made in another way is used, and renewed, "
    .. "as it is.",
  options = {
    { name = "method", arg = "dev|token", doc = "how (default: token)" },
    { name = "username", arg = "NAME", doc = "your name there" },
    { name = "token-file", arg = "FILE|-", doc = "the access token" },
    { name = "token-env", arg = "NAME", doc = "the environment variable that holds it" },
  },
  examples = {
    { "pai osmo login https://osmo.example.com --token-file token", "an access token" },
    { "pai osmo login http://localhost:8000 --method dev --username alice", "a test service" },
  },
  refused = {
    password = ELSEWHERE_HINT,
    ["password-file"] = ELSEWHERE_HINT,
    ["device-endpoint"] = ELSEWHERE_HINT,
    ["browser-endpoint"] = ELSEWHERE_HINT,
    ["callback-port"] = ELSEWHERE_HINT,
    token = "a token on the command line can be seen by others: --token-file or --token-env",
  },
}

-- Of upstream's methods, those that want a browser or a password.
local ELSEWHERE <const> = { pkce = true, code = true, password = true }

local function read_token(opts)
  if opts.token_file then
    return common.secret_file(opts.token_file)
  end
  local secret = require("pai.secret")
  if opts.token_env then
    return common.checked(secret.from_env(opts.token_env))
  end
  return common.checked(secret.prompt("OSMO access token: "))
end

-- The dev method proves nothing; so at least somebody must answer there before a login is replaced.
local function save_dev(url, name)
  name = name or (require("pai.fs").user())
  local answer, e = require("pai.http").request({
    url = url:gsub("/+$", "") .. "/api/version",
    headers = { ["x-osmo-user"] = name },
    accept = "any",
    timeout = "10s",
  })
  -- A certificate that is not trusted here is somebody, too.
  if not answer and not e.tls then
    err.raise(e.code, e.message, {
      hint = "the login is as it was; is that the service's URL, and is it up?",
    })
  end
  return require("pai.osmo.client_login").save({
    kind = "dev",
    url = url:gsub("/+$", ""),
    username = name,
  })
end

local function last_url()
  local known, e = require("pai.osmo.client_login").load()
  if e then
    error(e, 0)
  elseif not known then
    err.raise("EUSAGE", "missing URL: there was no login before")
  end
  return known.url
end

---@param words string[]
---@param opts table
---@return integer exit code
function login.run(words, opts)
  args.count(words, 0, 1, "URL")
  local url = words[1] or last_url()
  if not url:find("^https?://[^/]") then
    err.raise("EUSAGE", ("'%s' is no URL of an OSMO service"):format(url))
  end
  local method, path = opts.method or "token", nil
  if ELSEWHERE[method] then
    err.raise("EUSAGE", ("pai does not log in by %s"):format(method), {
      hint = ("once: osmo login %s --method %s; pai uses and renews that login"):format(
        url,
        method
      ),
    })
  elseif method == "dev" then
    path = common.checked(save_dev(url, opts.username))
  elseif method == "token" then
    local tokens = require("pai.osmo.client_token")
    path = common.checked(tokens.log_in(url, opts.username, read_token(opts)))
  else
    err.raise("EUSAGE", ("--method is dev or token, not '%s'"):format(method))
  end
  if opts.json then
    common.print_json({ url = url, method = method, file = path })
  else
    out.stdout(("logged in to %s (%s)\n"):format(url, path))
  end
  return 0
end

local logout = {
  name = "logout",
  summary = "forget the login",
  usage = "",
  examples = { { "pai osmo logout", "removes login.yaml" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function logout.run(words, opts)
  args.count(words, 0, 0, "")
  local was, e = require("pai.osmo.client_login").forget()
  was = common.checked(was, e)
  if opts.json then
    common.print_json({ logged_out = was })
  else
    out.stdout(was and "logged out\n" or "there was no login\n")
  end
  return 0
end

return { login, logout }
