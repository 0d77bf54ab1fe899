-- Changes to a kubeconfig file: a cluster's credential comes in under a name of its own, and goes.
-- Every other entry stays. Credentials are handles from the one file to the other; the file as it
-- was is kept beside it.
local err = require("pai.err")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local kubeconfig = require("pai.k8s.kubeconfig")
local secret = require("pai.secret")
local yaml = require("pai.yaml")

local M = {}

local LISTS <const> = { clusters = "cluster", contexts = "context", users = "user" }
local ORDER <const> = { "apiVersion", "kind", "name" }

local function decode(handle, what)
  local doc, e = yaml.decode(handle, { schema = "1.1", secret = kubeconfig.SECRET })
  if doc == nil then
    return err.fail("EPARSE", ("read %s: %s"):format(what, e.message), { line = e.line })
  elseif type(doc) ~= "table" or json.is_array(doc) then
    return err.fail("EPARSE", ("read %s: it is no kubeconfig"):format(what))
  end
  for list in pairs(LISTS) do
    if doc[list] == nil or doc[list] == json.null then
      doc[list] = json.array({})
    elseif type(doc[list]) ~= "table" then
      return err.fail("EPARSE", ("read %s: '%s' is no list"):format(what, list))
    end
  end
  return doc
end

local function read(path)
  if not fs.exists(path) then
    return {
      apiVersion = "v1",
      kind = "Config",
      clusters = json.array({}),
      contexts = json.array({}),
      users = json.array({}),
    }
  end
  local handle, e = secret.from_file(path)
  if not handle then
    return nil, e
  end
  return decode(handle, path)
end

local function entry(doc, list, name)
  for i, one in ipairs(doc[list]) do
    if type(one) == "table" and one.name == name then
      return one[LISTS[list]], i
    end
  end
end

local function put(doc, list, name, body)
  local _, at = entry(doc, list, name)
  table.remove(doc[list], at or #doc[list] + 1)
  table.insert(doc[list], at or #doc[list] + 1, { name = name, [LISTS[list]] = body })
end

local function drop(doc, list, name)
  local _, at = entry(doc, list, name)
  if at then
    table.remove(doc[list], at)
  end
  return at ~= nil
end

-- The document as one secret: YAML with a mark in the place of each handle, cut at the marks. A
-- JSON string is a YAML scalar too.
local function sealed(doc)
  local mark = "HANDLE" .. require("pai.crypto").hex(8)
  local handles = {}
  local function plain(value)
    if type(value) == "userdata" and value ~= json.null then
      handles[#handles + 1] = value
      return ("%s-%d-"):format(mark, #handles)
    elseif type(value) ~= "table" then
      return value
    end
    local copy = json.is_array(value) and json.array({}) or {}
    for k, v in pairs(value) do
      copy[k] = plain(v)
    end
    return copy
  end
  local text, e = yaml.encode(plain(doc), { order = ORDER })
  if not text then
    return nil, e
  end
  local parts, at = {}, 1
  while true do
    local first, last, n = text:find(mark .. "%-(%d+)%-", at)
    parts[#parts + 1] = text:sub(at, first and first - 1)
    if not first then
      break
    end
    parts[#parts + 1] = json.seal(handles[math.tointeger(tonumber(n))])
    at = last + 1
  end
  return secret.join(parts)
end

-- Writes the file whole or not at all, for its owner only.
local function write(path, doc)
  local body, e = sealed(doc)
  if not body then
    return nil, e
  end
  local draft = ("%s.%s"):format(path, require("pai.crypto").hex(4))
  local ok
  ok, e = exec.run({ "cat" }, {
    stdin = body,
    stdout = { file = draft, mode = 384 },
    timeout = "30s",
  })
  if ok then
    ok, e = fs.rename(draft, path)
  end
  if not ok then
    fs.remove(draft)
    return nil, e
  end
  return true
end

-- The lock that client-go takes: a file that must not be there yet.
local function locked(path, fn)
  local lock = path .. ".lock"
  local ok, e = fs.write(lock, "", { exclusive = true, mode = "0600", sync = false })
  if not ok then
    if e.code == "EEXIST" then
      return err.fail("EBUSY", "another program is changing " .. path, {
        hint = ("if none is, remove %s"):format(lock),
        retryable = true,
      })
    end
    return nil, e
  end
  local results = table.pack(pcall(fn))
  fs.remove(lock)
  if not results[1] then
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

-- Changes the file a link leads to, and keeps what was there.
local function change(path, fn)
  path = fs.exists(path) and assert(fs.realpath(path)) or path
  local ok, e = fs.mkdir(fs.dirname(path), { parents = true, mode = "0700" })
  if not ok then
    return nil, e
  end
  return locked(path, function()
    local doc
    doc, e = read(path)
    if not doc then
      return nil, e
    end
    local changed, why = fn(doc)
    if not changed then
      return nil, why
    end
    local backup
    if fs.exists(path) then
      backup = ("%s.before-%s"):format(path, os.date("!%Y%m%dT%H%M%SZ"))
      ok, e = fs.copy(path, backup, { mode = "0600" })
      if not ok then
        return nil, e
      end
    end
    ok, e = write(path, doc)
    if not ok then
      return nil, e
    end
    return { path = path, backup = backup }
  end)
end

-- The one context of a kubeconfig that a cluster's own tool has printed.
local function only_context(doc)
  local name = doc["current-context"]
  if type(name) ~= "string" or name == "" then
    name = #doc.contexts == 1 and doc.contexts[1].name or nil
  end
  local context = name and entry(doc, "contexts", name)
  local cluster = context and entry(doc, "clusters", context.cluster)
  local user = context and entry(doc, "users", context.user)
  if not cluster or not user then
    return err.fail("EPARSE", "the kubeconfig that was given has no context with cluster and user")
  end
  return { context = context, cluster = cluster, user = user }
end

---Adds the context of a printed kubeconfig, or puts it in the place of one of the same name. Its
---cluster and user get names of their own, so that another context's "admin" stays.
---@param path string the file that is changed; made if it is not there
---@param given pai.secret.handle what the cluster's tool printed
---@param name string of the context
---@param opts { server: string? }? the URL to use, where the printed one works only at the cluster
---@return { path: string, backup: string? }?
---@return pai.Error? err EPARSE: one of the two is no kubeconfig; EBUSY
function M.merge(path, given, name, opts)
  local from, e = decode(given, "the cluster's kubeconfig")
  if not from then
    return nil, e
  end
  local one
  one, e = only_context(from)
  if not one then
    return nil, e
  end
  one.cluster.server = opts and opts.server or one.cluster.server
  return change(path, function(doc)
    local cluster, user = name .. "-cluster", name .. "-admin"
    put(doc, "clusters", cluster, one.cluster)
    put(doc, "users", user, one.user)
    one.context.cluster, one.context.user = cluster, user
    put(doc, "contexts", name, one.context)
    local current = doc["current-context"]
    if type(current) ~= "string" or current == "" then
      doc["current-context"] = name
    end
    return true
  end)
end

---Takes a context away, with its cluster and user if no other context has them.
---@param path string
---@param name string
---@return { path: string, backup: string? }|false|nil result false when there is no such context
---@return pai.Error? err
function M.remove(path, name)
  if not fs.exists(path) then
    return false
  end
  local absent = false
  local result, e = change(path, function(doc)
    local gone = entry(doc, "contexts", name)
    if not gone then
      absent = true
      return nil
    end
    drop(doc, "contexts", name)
    for list, key in pairs({ clusters = "cluster", users = "user" }) do
      local used = false
      for _, other in ipairs(doc.contexts) do
        used = used or (type(other.context) == "table" and other.context[key] == gone[key])
      end
      if not used then
        drop(doc, list, gone[key])
      end
    end
    if doc["current-context"] == name then
      doc["current-context"] = ""
    end
    return true
  end)
  if absent then
    return false
  end
  return result, e
end

---The server of a context, and of a printed kubeconfig when there is no name.
---@param from string|pai.secret.handle path of a file, or what was printed
---@param name string? of the context
---@return string? server nil when there is no such context
---@return pai.Error? err
function M.server(from, name)
  local doc, e
  if type(from) == "string" then
    doc, e = read(from)
  else
    doc, e = decode(from, "the cluster's kubeconfig")
  end
  if not doc then
    return nil, e
  end
  if not name then
    local one
    one, e = only_context(doc)
    return one and one.cluster.server, e
  end
  local context = entry(doc, "contexts", name)
  local cluster = context and entry(doc, "clusters", context.cluster)
  return cluster and cluster.server or nil
end

return M
