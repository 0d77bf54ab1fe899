-- Credentials from a program that the kubeconfig names (client.authentication.k8s.io/v1 and
-- v1beta1). What it prints is opened as a secret; its token and key are handles. Kept in memory
-- until they expire.
local err = require("pai.err")
local json = require("pai.json")
local task = require("pai.task")
local times = require("pai.k8s.times")

local M = {}

local VERSIONS <const> = {
  ["client.authentication.k8s.io/v1"] = true,
  ["client.authentication.k8s.io/v1beta1"] = true,
}

local SECRET <const> = { token = true, clientKeyData = true }
local TIMEOUT <const> = "60s"
---A credential that is about to end is not used for a request any more.
local EARLY_S <const> = 10

-- What the program is told about the cluster, if it wants to know.
local function cluster_info(cluster)
  local info = {
    server = cluster.server,
    ["tls-server-name"] = cluster["tls-server-name"],
    ["insecure-skip-tls-verify"] = cluster["insecure-skip-tls-verify"],
    ["certificate-authority-data"] = cluster.ca_data,
    ["proxy-url"] = cluster["proxy-url"],
  }
  for _, extension in ipairs(cluster.extensions or {}) do
    if extension.name == "client.authentication.k8s.io/exec" then
      info.config = extension.extension
    end
  end
  return info
end

local function environment(spec, cluster)
  local env = {}
  for _, entry in ipairs(type(spec.env) == "table" and spec.env or {}) do
    if type(entry) == "table" and type(entry.name) == "string" then
      env[entry.name] = entry.value ~= json.null and entry.value or ""
    end
  end
  env.KUBERNETES_EXEC_INFO = json.encode({
    apiVersion = spec.apiVersion,
    kind = "ExecCredential",
    spec = {
      interactive = false,
      cluster = spec.provideClusterInfo == true and cluster_info(cluster) or nil,
    },
  })
  return env
end

local function command_of(spec, dir)
  local command = spec.command
  if command:find("/", 1, true) and command:sub(1, 1) ~= "/" then
    command = dir .. "/" .. command
  end
  local argv = { command }
  for _, arg in ipairs(type(spec.args) == "table" and spec.args or {}) do
    argv[#argv + 1] = tostring(arg)
  end
  return argv
end

local function check(spec)
  if type(spec.command) ~= "string" or spec.command == "" then
    return err.fail("EPARSE", "the kubeconfig's exec names no command")
  elseif not VERSIONS[spec.apiVersion] then
    return err.fail(
      "EINVAL",
      ("the kubeconfig's exec has the apiVersion '%s'"):format(tostring(spec.apiVersion)),
      { hint = "client.authentication.k8s.io/v1 and v1beta1 are understood" }
    )
  elseif spec.interactiveMode == "Always" then
    return err.fail("EINVAL", ("%s wants to ask on a terminal"):format(spec.command), {
      hint = "log in with it first, or take a credential that needs no question",
    })
  end
  return true
end

-- The program's answer as { token, cert, key, expires }.
local function credential(handle, spec)
  local doc, e = require("pai.yaml").decode(handle, { schema = "core", secret = SECRET })
  if type(doc) ~= "table" then
    -- The parser's message could quote what it read.
    local where = e and e.line and (" (line %d)"):format(e.line) or ""
    return err.fail("EPROTO", ("%s printed no ExecCredential%s"):format(spec.command, where))
  elseif doc.kind ~= "ExecCredential" or doc.apiVersion ~= spec.apiVersion then
    return err.fail(
      "EPROTO",
      ("%s printed no ExecCredential of %s"):format(spec.command, spec.apiVersion)
    )
  end
  local status = type(doc.status) == "table" and doc.status or {}
  local cert, key = status.clientCertificateData, status.clientKeyData
  local has_cert, has_key = type(cert) == "string", type(key) == "userdata"
  if has_cert ~= has_key or (type(status.token) ~= "userdata" and not has_cert) then
    return err.fail("EPROTO", ("%s gave no token and no certificate"):format(spec.command))
  end
  return {
    token = type(status.token) == "userdata" and status.token or nil,
    cert = has_cert and cert or nil,
    key = has_key and key or nil,
    expires = times.parse(status.expirationTimestamp),
  }
end

local function run(spec, cluster, dir)
  local ok, e = check(spec)
  if not ok then
    return nil, e
  end
  local res
  res, e = require("pai.exec").run(command_of(spec, dir), {
    env = environment(spec, cluster),
    inherit_env = true,
    stdout = "secret",
    timeout = TIMEOUT,
  })
  if not res then
    local first = type(e.stderr) == "string" and e.stderr:match("%S[^\n]*")
    local why = first and (": " .. first:sub(1, 300)) or ""
    return err.fail(
      "EAUTH",
      ("the credential program %s failed: %s%s"):format(spec.command, e.message, why),
      { hint = type(spec.installHint) == "string" and spec.installHint or nil }
    )
  end
  return credential(res.stdout, spec)
end

---Makes the source of a user's credential. Several requests at once share one run of the program.
---@param spec table `exec` of the kubeconfig's user
---@param cluster table of the kubeconfig
---@param dir string folder of the kubeconfig
---@return { get: fun(): table?, pai.Error?; forget: fun() }
function M.source(spec, cluster, dir)
  local known, running
  local source = {}
  function source.get()
    if known and (not known.expires or known.expires - EARLY_S > os.time()) then
      return known
    end
    if not running then
      local mine = { done = task.event() }
      running = mine
      local _ <close> = setmetatable({}, {
        __close = function()
          running = nil
          mine.done:set()
        end,
      })
      known, mine.err = run(spec, cluster, dir)
      mine.result = known
      return known, mine.err
    end
    local theirs = running
    theirs.done:wait()
    if theirs.result then
      return theirs.result
    end
    return nil, theirs.err or err.new("ECANCELED", "the credential program was stopped")
  end
  function source.forget()
    known = nil
  end
  return source
end

return M
