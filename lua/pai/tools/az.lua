-- az: the Azure CLI. Everything is asked for and answered as JSON; what it refuses is an error with
-- the next thing to do. The subscription is always named by the caller where az takes one.
local environment = require("pai.azure.environment")
local err = require("pai.err")

-- What az prints when a call can't be made as things are, and what to do about it.
local FAILURES <const> = {
  {
    "AADSTS70020", -- the code expired
    "ELOGIN",
    "the code expired: log in again, with a new one",
  },
  { "AADSTS%d+", "ELOGIN", "log in to the right tenant: az login --tenant TENANT" },
  {
    "PermissionError",
    "EACCES",
    "az can't write its own folder: pass config_dir=, a private one that git ignores",
  },
  {
    "az login",
    "ELOGIN",
    "run az login; in a shell without a browser, az login --use-device-code",
  },
  { "AuthorizationFailed", "EACCES", "activate the eligible role (PIM), wait a minute, try again" },
  { "ResourceNotFound", "ENOENT", nil },
  { "ResourceGroupNotFound", "ENOENT", nil },
  { "DeploymentNotFound", "ENOENT", nil },
  { "MarketplacePurchase", "EACCES", "accept the model's terms in the Marketplace first" },
  { "QuotaExceeded", "EQUOTA", "raise the quota, or choose another region or size" },
  { "doesn't exist in cloud", "ENOENT", "az account list --all shows what this login has" },
  { "SubscriptionNotFound", "ENOENT", "az account list shows the subscriptions of this login" },
}

---The error of what az printed.
---@param argv string[]
---@param said string standard error
---@return pai.Error
local function failure(argv, said)
  local what = table.concat(argv, " ", 1, math.min(#argv, 4))
  local line = said:match("ERROR:%s*([^\r\n]+)") or said:match("[^\r\n]+") or "no message"
  for _, known in ipairs(FAILURES) do
    if said:find(known[1]) then
      return err.new(known[2], what .. ": " .. line, { hint = known[3] })
    end
  end
  return err.new("EEXIT", what .. ": " .. line)
end

local function wrap(ctx)
  local az = {}

  local function call(how, args, opts)
    local argv = { "az", table.unpack(args) }
    argv[#argv + 1] = "--output=json"
    argv[#argv + 1] = "--only-show-errors"
    local r = how(argv, {
      accept = "any",
      timeout = opts.timeout or "60s",
      env = environment.of(opts.env),
      stdout = opts.secret and "secret" or nil,
    })
    if r.code ~= 0 then
      return nil, failure(argv, r.stderr)
    elseif opts.secret then
      return r.stdout
    end
    return r.stdout:find("%S") and ctx.json.decode(r.stdout) or ctx.json.null
  end

  ---Asks; changes nothing.
  ---@param args string[] { "account", "show" }
  ---@param opts { timeout: string?, env: table? }?
  ---@return any? answer decoded
  ---@return pai.Error? err ELOGIN, EACCES, ENOENT, EQUOTA or EEXIT
  function az.ask(args, opts)
    return call(ctx.query, args, opts or {})
  end

  ---Acts; raises on failure.
  ---@param args string[]
  ---@param opts { timeout: string?, env: table?, secret: boolean? }? secret: the answer is a handle
  ---@return any answer
  function az.act(args, opts)
    local answer, e = call(ctx.exec, args, opts or {})
    if e then
      error(e, 0)
    end
    return answer
  end

  ---Logs in with a code that is entered in a browser anywhere. One process, from the code to the
  ---end: a second one would have another code.
  ---@param opts { tenant: string?, config_dir: string?, on_code: fun(url: string, code: string) }
  function az.login_by_code(opts)
    local argv = { "az", "login", "--use-device-code", "--output=json" }
    if opts.tenant then
      argv[#argv + 1] = "--tenant"
      argv[#argv + 1] = opts.tenant
    end
    local told = false
    local r = ctx.exec(argv, {
      accept = "any",
      timeout = "30m",
      -- No question which subscription is to be the default one: each call names its own.
      env = environment.of({
        AZURE_CONFIG_DIR = opts.config_dir,
        AZURE_CORE_LOGIN_EXPERIENCE_V2 = "off",
      }),
      on_line = function(line)
        local url = line:match("(https://%S+)")
        local code = line:match("code%s+([%w-]+)")
        if url and code and not told then
          told = true
          opts.on_code(url, code)
        end
      end,
    })
    if r.code ~= 0 then
      error(failure(argv, r.stderr), 0)
    end
  end

  ---The credential of an AKS cluster as a kubeconfig, for ctx.kubeconfig.merge. az itself writes no
  ---file and leaves the current context alone.
  ---@param at { subscription: string, group: string, name: string }
  ---@return pai.secret.handle
  function az.kubeconfig(at)
    return az.act({
      "aks",
      "get-credentials",
      "--subscription",
      at.subscription,
      "--resource-group",
      at.group,
      "--name",
      at.name,
      "--file",
      "-",
    }, { secret = true, timeout = "2m" })
  end

  ---The first key of a Cognitive Services account.
  ---@param at { subscription: string, group: string, account: string }
  ---@return pai.secret.handle
  function az.account_key(at)
    local argv = { "az", "cognitiveservices", "account", "keys", "list" }
    for _, word in ipairs({
      "--subscription",
      at.subscription,
      "--resource-group",
      at.group,
      "--name",
      at.account,
      "--query",
      "key1",
      "--output=tsv",
      "--only-show-errors",
    }) do
      argv[#argv + 1] = word
    end
    local r = ctx.query(argv, {
      accept = "any",
      timeout = "60s",
      env = environment.of(),
      stdout = "secret",
    })
    if r.code ~= 0 then
      error(failure(argv, r.stderr), 0)
    end
    return r.stdout
  end

  ---Checks of a login, a subscription and a region that share their questions.
  ---@param opts { subscription: string?, location: string? }
  ---@return pai.azure.Checks
  function az.checks(opts)
    return require("pai.azure.checks").new(ctx, az, opts)
  end

  return az
end

return {
  name = "az",
  install = "learn.microsoft.com/cli/azure/install-azure-cli",
  version = {
    argv = { "version", "--output=json" },
    parse = function(said)
      return said:match('"azure%-cli"%s*:%s*"([^"]+)"')
    end,
  },
  reads = {
    { "version" },
    { "account", "show" },
    { "account", "list" },
    { "account", "list-locations" },
    { "aks", "show" },
    { "aks", "list" },
    { "aks", "get-versions" },
    { "cognitiveservices", "account", "show" },
    { "cognitiveservices", "account", "list" },
    { "cognitiveservices", "account", "deployment", "list" },
    { "cognitiveservices", "account", "deployment", "show" },
    { "cognitiveservices", "account", "keys", "list" },
    { "cognitiveservices", "account", "list-models" },
    { "extension", "show" },
    { "extension", "list" },
    { "group", "show" },
    { "group", "exists" },
    { "ml", "serverless-endpoint", "show" },
    { "ml", "serverless-endpoint", "list" },
    { "ml", "workspace", "show" },
    { "network", "public-ip", "show" },
    { "provider", "show" },
    { "provider", "list" },
    { "resource", "list" },
    { "role", "assignment", "list" },
    { "storage", "account", "show" },
    { "storage", "container", "list" },
    { "vm", "list-skus" },
    { "vm", "list-usage" },
  },
  wrap = wrap,
}
