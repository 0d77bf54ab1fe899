-- From a context to what a request needs: server, TLS, credential. Tokens and keys stay handles;
-- they are given to the host for the server's origin only.
local crypto = require("pai.crypto")
local err = require("pai.err")
local fs = require("pai.fs")
local kubeconfig = require("pai.k8s.kubeconfig")
local secret = require("pai.secret")
local task = require("pai.task")

local M = {}

---How long a token file's content is used before it is read again; a kubelet renews it in place.
local TOKEN_FILE_MS <const> = 60000
local SERVICE_ACCOUNT <const> = "/var/run/secrets/kubernetes.io/serviceaccount"
local IN_CLUSTER <const> = "in-cluster"

---@class pai.k8s.Target
---@field context string
---@field server string URL without a trailing slash
---@field namespace string
---@field user string? name in the kubeconfig
---@field insecure boolean the server's certificate is not checked, since the kubeconfig says so
---@field request table fields for pai.http.request: tls, connect_to, proxy, headers
---@field base string URL that requests begin with
---@field credential { get: (fun(): table?, pai.Error?), forget: fun()? } gives token, cert, key or
---basic

local function relative(path, dir)
  return path:sub(1, 1) == "/" and path or dir .. "/" .. path
end

-- PEM text out of NAME-data (base64) or the file that NAME names; nil when there is neither.
local function pem(entry, name, open, what)
  local data, path = entry[name .. "-data"], entry[name]
  if data ~= nil and data ~= "" then
    local value, e = crypto.base64_decode(data)
    if not value then
      return err.fail("EPARSE", ("%s-data of %s: %s"):format(name, what, e.message))
    end
    return value
  elseif type(path) == "string" and path ~= "" then
    local value, e = open(relative(path, entry.dir))
    if not value then
      return err.fail(e.code, ("%s of %s: %s"):format(name, what, e.message))
    end
    return value
  end
end

local function file_token(path)
  local known, read_at
  return {
    get = function()
      if not known or task.now() - read_at > TOKEN_FILE_MS then
        local handle, e = secret.from_file(path)
        if not handle then
          return err.fail("EAUTH", "the token file cannot be read: " .. e.message)
        end
        known, read_at = { token = handle }, task.now()
      end
      return known
    end,
    forget = function()
      known = nil
    end,
  }
end

local function constant(fields)
  return {
    get = function()
      return fields
    end,
  }
end

-- The credential of a kubeconfig's user. As in client-go a token beats a token file's name only
-- when there is no file, and a certificate goes along with either.
local function credential(user, cluster, what)
  if user["auth-provider"] then
    return err.fail("EINVAL", ("%s has an auth-provider, which Kubernetes removed"):format(what), {
      hint = "have the cloud's tool write the user anew: it will use exec",
    })
  end
  local key, e = pem(user, "client-key", secret.from_file, what)
  local cert
  if not e then
    cert, e = pem(user, "client-certificate", fs.read, what)
  end
  if e then
    return nil, e
  elseif (cert == nil) ~= (key == nil) then
    return err.fail("EPARSE", what .. " has a client certificate without its key, or the reverse")
  end
  local tls = cert and { cert = cert, key = key } or nil
  if type(user.tokenFile) == "string" and user.tokenFile ~= "" then
    return file_token(relative(user.tokenFile, user.dir)), nil, tls
  elseif type(user.token) == "userdata" then
    return constant({ token = user.token }), nil, tls
  elseif user.username and user.username ~= "" then
    if type(user.password) ~= "userdata" then
      return err.fail("EPARSE", what .. " has a username and no password")
    end
    return constant({ basic = { tostring(user.username), user.password } }), nil, tls
  elseif type(user.exec) == "table" and not tls then
    return require("pai.k8s.exec_plugin").source(user.exec, cluster, user.dir)
  end
  return constant({}), nil, tls
end

local function origin_of(server)
  local scheme, host, port, path = server:match("^(https?)://(%[[%x:.]+%]):?(%d*)(/?[^?#]*)$")
  if not scheme then
    scheme, host, port, path = server:match("^(https?)://([^:/?#%[%]@]+):?(%d*)(/?[^?#]*)$")
  end
  if not scheme then
    return nil
  end
  return scheme, host, port ~= "" and port or (scheme == "https" and "443" or "80"), path
end

local function is_loopback(host)
  return host == "localhost" or host:sub(1, 4) == "127." or host == "[::1]"
end

-- Server, TLS and proxy of a cluster's entry.
local function address(cluster, what)
  local server = type(cluster.server) == "string" and cluster.server:gsub("/+$", "") or ""
  local scheme, host, port, path = origin_of(server)
  if not scheme then
    return err.fail("EPARSE", ("%s has the server '%s', which is no URL"):format(what, server))
  end
  local insecure = cluster["insecure-skip-tls-verify"] == true
  local ca, e = pem(cluster, "certificate-authority", fs.read, what)
  if e then
    return nil, e
  elseif ca and insecure then
    return err.fail("EPARSE", what .. " has a CA and insecure-skip-tls-verify: one says no")
  end
  cluster.ca_data = ca and crypto.base64_encode(ca) or nil
  local request = { tls = { ca = ca, insecure = insecure or nil }, headers = {} }
  local base = server
  local name = cluster["tls-server-name"]
  if type(name) == "string" and name ~= "" then
    if not name:find("^[%w.-]+$") then
      return err.fail("EPARSE", ("%s has the tls-server-name '%s'"):format(what, name))
    end
    base = ("%s://%s:%s%s"):format(scheme, name, port, path)
    request.connect_to = host .. ":" .. port
    request.headers.host = host .. ":" .. port
  end
  local proxy = cluster["proxy-url"]
  if type(proxy) == "string" and proxy ~= "" then
    request.proxy = proxy
  elseif is_loopback(host) then
    request.proxy = ""
  end
  return { server = server, base = base, request = request, insecure = insecure }
end

local function in_cluster(opts)
  local dir = opts.service_account or SERVICE_ACCOUNT
  local host, port = os.getenv("KUBERNETES_SERVICE_HOST"), os.getenv("KUBERNETES_SERVICE_PORT")
  host, port = opts.service_host or host, opts.service_port or port
  if not host or host == "" or not port or not fs.exists(dir .. "/token") then
    return err.fail("EUSAGE", "no kubeconfig was found, and this is no pod of a cluster", {
      hint = "name a file in KUBECONFIG, or pass --kubeconfig FILE (a recipe: kubeconfig=FILE)",
    })
  end
  host = host:find(":", 1, true) and "[" .. host .. "]" or host
  local cluster =
    { server = ("https://%s:%s"):format(host, port), ["certificate-authority"] = dir .. "/ca.crt" }
  cluster.dir = dir
  local target, e = address(cluster, "the service account")
  if not target then
    return nil, e
  end
  target.context = IN_CLUSTER
  target.namespace = (fs.read(dir .. "/namespace") or "default"):match("^%s*(%S*)")
  target.credential = file_token(dir .. "/token")
  return target
end

---@class pai.k8s.TargetOptions
---@field context string? the default is current-context, which the caller is to show
---@field kubeconfig string? path
---@field service_account string? folder of a service account, in place of a pod's
---@field service_host string?
---@field service_port string?

---Resolves a context. Without any kubeconfig, and for the context "in-cluster" that none of them
---has, it is the service account of the pod that this runs in.
---@param opts pai.k8s.TargetOptions
---@return pai.k8s.Target?
---@return pai.Error? err EUSAGE, EPARSE, EINVAL
function M.target(opts)
  local config, e = kubeconfig.load(opts.kubeconfig)
  if not config then
    return nil, e
  end
  local name = opts.context or config.current
  if #config.files == 0 or (name == IN_CLUSTER and not config.contexts[name]) then
    return in_cluster(opts)
  elseif not name then
    return err.fail("EUSAGE", "the kubeconfig has no current-context", {
      hint = "name one: " .. table.concat(require("pai.text").keys(config.contexts), ", "),
    })
  end
  local context
  context, e = kubeconfig.context(config, name)
  if not context then
    return nil, e
  end
  local what = ("the cluster '%s' of %s"):format(context.cluster_name, context.cluster.file)
  local target
  target, e = address(context.cluster, what)
  if not target then
    return nil, e
  end
  local tls
  what = ("the user '%s'"):format(tostring(context.user_name))
  target.credential, e, tls = credential(context.user, context.cluster, what)
  if not target.credential then
    return nil, e
  end
  for field, value in pairs(tls or {}) do
    target.request.tls[field] = value
  end
  for header, field in pairs({ ["impersonate-user"] = "as", ["impersonate-uid"] = "as-uid" }) do
    target.request.headers[header] = context.user[field]
  end
  target.request.headers["impersonate-group"] = context.user["as-groups"]
  target.context, target.namespace, target.user = name, context.namespace, context.user_name
  return target
end

return M
