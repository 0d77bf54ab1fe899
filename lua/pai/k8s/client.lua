-- A Kubernetes client: get, list, create, apply, patch, delete, and the ways into watch, wait,
-- logs, exec and port-forward. Calls give `nil, err`; what a server refuses has `err.reason`.
-- The values of Secrets are never read by these calls; `secret` opens them as handles.
local auth = require("pai.k8s.auth")
local body = require("pai.k8s.body")
local err = require("pai.err")
local json = require("pai.json")
local resources = require("pai.k8s.resources")
local transport = require("pai.k8s.transport")

local M = {}

---Who owns the fields that pai applies.
M.MANAGER = "pai"

-- Of a Secret the server is asked for the metadata only, also in answers to what changes one.
local METADATA <const> = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

---@class pai.k8s.Client
---@field target pai.k8s.Target
---@field transport pai.k8s.Transport
---@field resources pai.k8s.Resources
---@field context string
---@field server string
---@field namespace string the default one
local Client = {}
Client.__index = Client

---What Client has for other files: methods that take the client first.
local PARTS <const> = {
  list = "list",
  watch = "watch",
  wait = "wait",
  logs = "logs",
  exec = "stream",
  forward = "forward",
  proxy = "proxy",
  secret = "about",
  sealed = "about",
  can = "about",
  version = "about",
  identity = "about",
  raw = "about",
  evict = "evict",
}

for name, file in pairs(PARTS) do
  Client[name] = function(self, ...)
    return require("pai.k8s." .. file)[name](self, ...)
  end
end

---@class pai.k8s.Options
---@field namespace string? default: that of the context
---@field subresource string? "status", "scale", ...
---@field timeout string|integer? of the request
---@field dry_run boolean? the server does all but store it

---The resource of a word, or of an object's apiVersion and kind.
---@param what string|{ apiVersion: string, kind: string }|pai.k8s.Resource
---@return pai.k8s.Resource?
---@return pai.Error? err
function Client:resource(what)
  if type(what) == "table" then
    if what.name and what.version then
      return what
    elseif type(what.apiVersion) ~= "string" or type(what.kind) ~= "string" then
      return err.fail("EINVAL", "an object needs an apiVersion and a kind")
    end
    return self.resources:of_kind(what.apiVersion, what.kind)
  end
  return self.resources:find(what)
end

---The path of a resource's objects, or of one.
---@param r pai.k8s.Resource
---@param name string?
---@param opts { namespace: string?, all: boolean?, subresource: string? }?
---@return string
function Client:path(r, name, opts)
  opts = opts or {}
  local parts = { r.group == "" and "/api/" or "/apis/" .. r.group .. "/", r.version }
  if r.namespaced and not opts.all then
    parts[#parts + 1] = "/namespaces/"
    parts[#parts + 1] = transport.segment(opts.namespace or self.namespace)
  end
  parts[#parts + 1] = "/" .. r.name
  if name then
    parts[#parts + 1] = "/" .. transport.segment(name)
  end
  if opts.subresource then
    parts[#parts + 1] = "/" .. transport.segment(opts.subresource)
  end
  return table.concat(parts)
end

---The Accept header for a resource; Secrets come without their values.
---@param r pai.k8s.Resource
---@param list boolean?
---@return string?
function Client.accept(_, r, list)
  if r.name == "secrets" and r.group == "" then
    return list and METADATA:gsub("Metadata;", "MetadataList;") or METADATA
  end
end

-- kubectl's copy of a Secret stands in its annotations, values and all.
local LAST <const> = "kubectl.kubernetes.io/last-applied-configuration"

---An object as it may be shown: a Secret's metadata can hold a copy of its values.
---@param r pai.k8s.Resource
---@param object table
---@return table object the same one
function Client.clean(_, r, object)
  local marks = r.name == "secrets" and object.metadata and object.metadata.annotations
  if type(marks) == "table" and marks[LAST] then
    marks[LAST] = "***"
  end
  return object
end

---Reads one object.
---@param what string|table resource
---@param name string
---@param opts pai.k8s.Options|{ pick: string[]? }|nil
---@return table?
---@return pai.Error? err reason "NotFound" when there is none
function Client:get(what, name, opts)
  opts = opts or {}
  local r, e = self:resource(what)
  if not r then
    return nil, e
  end
  local object
  object, e = self.transport:call("GET", self:path(r, name, opts), {
    accept = self:accept(r),
    timeout = opts.timeout,
    pick = opts.pick,
  })
  if not object then
    return nil, e
  end
  return self:clean(r, object)
end

-- A changing request with an object as its body. Gives the object and whether it is new.
local function send(self, method, path, r, object, opts, more)
  local text, e = body.encode(object)
  if not text then
    return nil, e
  end
  local query = more and more.query or {}
  query.fieldManager = query.fieldManager or opts.manager or M.MANAGER
  query.dryRun = opts.dry_run and "All" or nil
  local value, why, res = self.transport:call(method, path, {
    query = query,
    body = text,
    content_type = more and more.content_type,
    accept = self:accept(r),
    timeout = opts.timeout,
  })
  if not value then
    return nil, why
  end
  return self:clean(r, value), res.status == 201
end

local function namespace_of(self, object, opts)
  local meta = type(object.metadata) == "table" and object.metadata or {}
  if opts.namespace and meta.namespace and meta.namespace ~= opts.namespace then
    return err.fail(
      "EINVAL",
      ("%s %s is for the namespace %s, not %s"):format(
        tostring(object.kind),
        tostring(meta.name),
        meta.namespace,
        opts.namespace
      )
    )
  end
  return meta.namespace or opts.namespace or self.namespace
end

-- Resource, name and namespace of an object that is to be written.
local function place(self, object, opts)
  if type(object) ~= "table" then
    return err.fail("EINVAL", "an object is a table with apiVersion and kind")
  end
  local r, e = self:resource({ apiVersion = object.apiVersion, kind = object.kind })
  if not r then
    return nil, e
  end
  local namespace
  namespace, e = namespace_of(self, object, opts)
  if not namespace then
    return nil, e
  end
  return r, nil, namespace
end

---Creates an object. It may be repeated only where its name is fixed (then "AlreadyExists").
---@param object table
---@param opts pai.k8s.Options|{ manager: string? }|nil
---@return table?
---@return pai.Error? err
function Client:create(object, opts)
  opts = opts or {}
  local r, e, namespace = place(self, object, opts)
  if not r then
    return nil, e
  end
  local path = self:path(r, nil, { namespace = namespace })
  local made, why = send(self, "POST", path, r, object, opts)
  return made, not made and why or nil
end

---@class pai.k8s.ApplyOptions: pai.k8s.Options
---@field manager string? field manager, default "pai"
---@field force boolean? takes over fields that others own

---Server-side apply: the object's fields become as given, and those that this manager gave before
---and leaves out now go.
---@param object table
---@param opts pai.k8s.ApplyOptions?
---@return table? object as it is now; of a Secret the metadata only
---@return "created"|"configured"|"unchanged"|pai.Error outcome or the error: reason "Conflict" with
---`conflicts`, a list of { field, manager }
function Client:apply(object, opts)
  opts = opts or {}
  local r, e, namespace = place(self, object, opts)
  if not r then
    return nil, e
  end
  local name = type(object.metadata) == "table" and object.metadata.name
  if type(name) ~= "string" or name == "" then
    return err.fail("EINVAL", ("a %s without a name cannot be applied"):format(object.kind))
  end
  local where = { namespace = namespace, subresource = opts.subresource }
  local before
  before, e = self:get(r, name, { namespace = namespace, pick = { "metadata.resourceVersion" } })
  if not before and e.http ~= 404 then
    return nil, e
  end
  local applied, made = send(self, "PATCH", self:path(r, name, where), r, object, opts, {
    content_type = "application/apply-patch+yaml",
    query = { force = opts.force and "true" or nil },
  })
  if not applied then
    return nil, made
  end
  local version = before and before.metadata and before.metadata.resourceVersion
  local same = version ~= nil and version == applied.metadata.resourceVersion
  return applied, made and "created" or same and "unchanged" or "configured"
end

local PATCHES <const> = {
  merge = "application/merge-patch+json",
  strategic = "application/strategic-merge-patch+json",
  json = "application/json-patch+json",
}

---Changes part of an object.
---@param what string|table resource
---@param name string
---@param patch table for the type "json" a list of operations
---@param opts pai.k8s.Options|{ type: "merge"|"strategic"|"json"|nil, manager: string? }|nil
---@return table?
---@return pai.Error? err
function Client:patch(what, name, patch, opts)
  opts = opts or {}
  local content = PATCHES[opts.type or "merge"]
  if not content then
    return err.fail("EINVAL", "a patch is of the type merge, strategic or json")
  end
  local r, e = self:resource(what)
  if not r then
    return nil, e
  end
  local changed, why =
    send(self, "PATCH", self:path(r, name, opts), r, patch, opts, { content_type = content })
  return changed, not changed and why or nil
end

---@class pai.k8s.DeleteOptions: pai.k8s.Options
---@field propagation "Foreground"|"Background"|"Orphan"|nil default "Background"
---@field uid string? only this very object
---@field wait boolean? until it is gone
---@field grace_s integer?
---@field absent boolean? that there is none is fine

---Deletes an object.
---@param what string|table resource
---@param name string
---@param opts pai.k8s.DeleteOptions?
---@return "deleted"|"deleting"|"absent"|nil
---@return pai.Error? err
function Client:delete(what, name, opts)
  opts = opts or {}
  local r, e = self:resource(what)
  if not r then
    return nil, e
  end
  local before
  before, e = self:get(r, name, { namespace = opts.namespace, pick = { "metadata.uid" } })
  if not before then
    if e.http == 404 and opts.absent then
      return "absent"
    end
    return nil, e
  end
  local uid = opts.uid or before.metadata.uid
  local answer
  answer, e = self.transport:call("DELETE", self:path(r, name, opts), {
    body = json.encode({
      apiVersion = "v1",
      kind = "DeleteOptions",
      propagationPolicy = opts.propagation or "Background",
      preconditions = { uid = uid },
      gracePeriodSeconds = opts.grace_s,
      dryRun = opts.dry_run and json.array({ "All" }) or nil,
    }),
    accept = self:accept(r),
  })
  if not answer and not (e.http == 404 and opts.absent) then
    return nil, e
  elseif not opts.wait or opts.dry_run then
    return "deleting"
  end
  local gone
  gone, e = self:wait(r, name, {
    ["for"] = "delete",
    uid = uid,
    namespace = opts.namespace,
    timeout = opts.timeout,
  })
  return gone and "deleted" or nil, e
end

---Makes a client for a context. It sends nothing yet.
---@param opts pai.k8s.TargetOptions
---@return pai.k8s.Client?
---@return pai.Error? err
function M.connect(opts)
  local target, e = auth.target(opts)
  if not target then
    return nil, e
  end
  local t = transport.new(target)
  return setmetatable({
    target = target,
    transport = t,
    resources = resources.new(t),
    context = target.context,
    server = target.server,
    namespace = target.namespace,
  }, Client)
end

return M
