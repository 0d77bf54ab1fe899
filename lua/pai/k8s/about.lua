-- What a client tells beside objects: the values of a Secret, what the user may do, which version
-- and which cluster it is. Functions take the client first and are called as its methods.
local err = require("pai.err")
local json = require("pai.json")
local resources = require("pai.k8s.resources")

local M = {}

-- An object's data, every value a handle.
local function data_of(self, resource, name, opts)
  local path = self:path(resources.known(resource), name, opts)
  local res, e = self.transport:send("GET", path, { secret = true })
  if not res then
    return nil, e
  end
  local doc = require("pai.yaml").decode(res.secret, {
    schema = "core",
    secret = { data = true, annotations = true },
  })
  if type(doc) ~= "table" then
    return err.fail("EPROTO", ("GET %s: the answer is no object"):format(path))
  end
  return type(doc.data) == "table" and doc.data or {}
end

---Opens the values of a ConfigMap as handles: some charts keep a key in one.
---@param self pai.k8s.Client
---@param name string
---@param opts { namespace: string? }?
---@return table<string, pai.secret.handle>?
---@return pai.Error? err
function M.sealed(self, name, opts)
  return data_of(self, "configmaps", name, opts)
end

---Opens the values of a Secret as handles. With `keys` only these: what becomes a handle is masked
---from then on, also a region's name.
---@param self pai.k8s.Client
---@param name string
---@param opts { namespace: string?, keys: string[]? }?
---@return table<string, pai.secret.handle>?
---@return pai.Error? err
function M.secret(self, name, opts)
  local data, e = data_of(self, "secrets", name, opts)
  if not data then
    return nil, e
  end
  local values, wanted = {}, nil
  for _, key in ipairs(opts and opts.keys or {}) do
    wanted = wanted or {}
    wanted[key] = true
  end
  for key, value in pairs(data) do
    local take = not wanted or wanted[key]
    if take and type(value) == "userdata" and value ~= json.null then
      values[key], e = require("pai.crypto").base64_decode(value)
      if not values[key] then
        return nil, e
      end
    end
  end
  return values
end

---Whether the user may do something (SelfSubjectAccessReview).
---@param self pai.k8s.Client
---@param verb string "get", "create", ...
---@param what string|table resource
---@param opts { namespace: string?, name: string?, subresource: string? }?
---@return boolean? allowed
---@return pai.Error|string|nil why the error; or why not, as far as the server says
function M.can(self, verb, what, opts)
  opts = opts or {}
  local r, e = self:resource(what)
  if not r then
    return nil, e
  end
  local answer
  answer, e =
    self.transport:call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
      body = json.encode({
        apiVersion = "authorization.k8s.io/v1",
        kind = "SelfSubjectAccessReview",
        spec = {
          resourceAttributes = {
            verb = verb,
            group = r.group,
            resource = r.name,
            subresource = opts.subresource,
            name = opts.name,
            namespace = r.namespaced and (opts.namespace or self.namespace) or nil,
          },
        },
      }),
    })
  if not answer then
    return nil, e
  end
  return answer.status.allowed == true, answer.status.reason
end

---The server's version.
---@param self pai.k8s.Client
---@return { gitVersion: string, major: string, minor: string }?
---@return pai.Error? err
function M.version(self)
  return self.transport:call("GET", "/version")
end

---What the API server says at a path that holds no object, such as "/readyz?verbose". Its failures
---are answers (500 with the checks that failed), a refusal (401, 403) is not.
---@param self pai.k8s.Client
---@param path string
---@param opts { timeout: string?, once: boolean? }? once: a failure is not asked about again
---@return integer? status of HTTP
---@return string|pai.Error body or the error
function M.raw(self, path, opts)
  local res, e = self.transport:send("GET", path, {
    accept = "*/*",
    timeout = opts and opts.timeout,
    once = opts and opts.once,
  })
  if res then
    return res.status, res.body
  elseif e.http and e.http ~= 401 and e.http ~= 403 then
    return e.http, e.body or e.message
  end
  return nil, e
end

---@class pai.k8s.Identity
---@field context string
---@field server string
---@field uid string? of the namespace kube-system; nil where it may not be read

---Which cluster this is: its URL and what was made with it and never changes.
---@param self pai.k8s.Client
---@return pai.k8s.Identity?
---@return pai.Error? err
function M.identity(self)
  if self.known then
    return self.known
  end
  local ns, e = self:get("namespaces", "kube-system", { pick = { "metadata.uid" } })
  if not ns and e.reason ~= "Forbidden" then
    return nil, e
  end
  self.known = { context = self.context, server = self.server, uid = ns and ns.metadata.uid or nil }
  return self.known
end

return M
