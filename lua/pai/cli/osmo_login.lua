-- pai osmo login.
local args = require("pai.cli.args")
local common = require("pai.cli.osmo_common")
local err = require("pai.err")
local out = require("pai.out")

local login = {
  name = "login",
  summary = "log in to an OSMO service",
  usage = "URL",
  doc = "Writes login.yaml where OSMO's own command line keeps it. dev: the service has no "
    .. "authorization, the name is taken on trust. token: an OSMO access token, from a file, an "
    .. "environment variable, or asked for.",
  options = {
    { name = "method", arg = "dev|token", doc = "how (default: token)" },
    { name = "username", arg = "NAME", doc = "your name there" },
    { name = "token-file", arg = "FILE", doc = "the access token" },
    { name = "token-env", arg = "NAME", doc = "the environment variable that holds it" },
  },
  examples = {
    { "pai osmo login https://osmo.example.com --token-file token", "an access token" },
    { "pai osmo login http://localhost:8000 --method dev --username alice", "a test service" },
  },
}

local function read_token(opts)
  local secret = require("pai.secret")
  if opts.token_file then
    return common.checked(secret.from_file(opts.token_file))
  elseif opts.token_env then
    return common.checked(secret.from_env(opts.token_env))
  end
  return common.checked(secret.prompt("OSMO access token: "))
end

---@param words string[]
---@param opts table
---@return integer exit code
function login.run(words, opts)
  args.count(words, 1, 1, "URL")
  local url = words[1]
  if not url:find("^https?://[^/]") then
    err.raise("EUSAGE", ("'%s' is no URL of an OSMO service"):format(url))
  end
  local store = require("pai.osmo.client_login")
  local method, path = opts.method or "token", nil
  if method == "dev" then
    path = common.checked(store.save_dev(url, opts.username or (require("pai.fs").user())))
  elseif method == "token" then
    path = common.checked(store.save_token(url, opts.username, read_token(opts)))
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

return { login }
