-- Kubeconfig files: which clusters, users and contexts there are. A file is opened as a secret, and
-- tokens, passwords and private keys in it are handles from the start. Several files are merged as
-- client-go does it: the first that names an entry has it. Nothing here writes such a file.
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")
local secret = require("pai.secret")
local text = require("pai.text")

local M = {}

---What becomes a handle, wherever it stands: `value` is that of an environment entry of `exec`.
M.SECRET = {
  token = true,
  password = true,
  ["client-key-data"] = true,
  ["auth-provider"] = true,
  value = true,
}

---@class pai.k8s.Config
---@field files string[] that were read
---@field clusters table<string, table> each with `dir`, the folder of its file
---@field users table<string, table>
---@field contexts table<string, table>
---@field current string? current-context

local function paths_of(explicit)
  if explicit then
    return { explicit }, true
  end
  local env = os.getenv("KUBECONFIG")
  if env and env ~= "" then
    local list = {}
    for path in env:gmatch("[^:]+") do
      list[#list + 1] = path
    end
    return list, false
  end
  local home = os.getenv("HOME")
  return home and { home .. "/.kube/config" } or {}, false
end

local function read(path)
  local handle, e = secret.from_file(path)
  if not handle then
    return nil, e
  end
  local doc
  doc, e = require("pai.yaml").decode(handle, { schema = "1.1", secret = M.SECRET })
  if doc == nil then
    return err.fail("EPARSE", ("read %s: %s"):format(path, e.message), { line = e.line })
  elseif type(doc) ~= "table" or json.is_array(doc) then
    return err.fail("EPARSE", ("read %s: it is no kubeconfig"):format(path))
  end
  return doc
end

-- The named entries of one list: { { name = ..., cluster = {...} }, ... }.
local function take(into, doc, list, field, path)
  if doc[list] == nil or doc[list] == json.null then
    return true
  elseif type(doc[list]) ~= "table" then
    return err.fail("EPARSE", ("read %s: '%s' is no list"):format(path, list))
  end
  for i, entry in ipairs(doc[list]) do
    local body = type(entry) == "table" and entry[field]
    if type(entry) ~= "table" or type(entry.name) ~= "string" then
      return err.fail("EPARSE", ("read %s: entry %d of '%s' has no name"):format(path, i, list))
    end
    if not into[entry.name] then
      local copy = { dir = fs.dirname(fs.abspath(path)), file = path }
      for key, value in pairs(type(body) == "table" and body or {}) do
        if value ~= json.null then
          copy[key] = value
        end
      end
      into[entry.name] = copy
    end
  end
  return true
end

---Reads what there is: the file that was named, else those of KUBECONFIG, else ~/.kube/config.
---Files of a list that do not exist are passed over.
---@param explicit string? path
---@return pai.k8s.Config? config without files when there is none at all
---@return pai.Error? err EPARSE; or the error of a file that was named and cannot be read
function M.load(explicit)
  local config = { files = {}, clusters = {}, users = {}, contexts = {} }
  local paths, named = paths_of(explicit)
  for _, path in ipairs(paths) do
    if named or fs.exists(path) then
      local doc, e = read(path)
      if not doc then
        return nil, e
      end
      config.files[#config.files + 1] = path
      for list, field in pairs({ clusters = "cluster", users = "user", contexts = "context" }) do
        local ok
        ok, e = take(config[list], doc, list, field, path)
        if not ok then
          return nil, e
        end
      end
      local current = doc["current-context"]
      if not config.current and type(current) == "string" and current ~= "" then
        config.current = current
      end
    end
  end
  return config
end

local function missing(kind, name, list)
  local names = text.keys(list)
  local known = #names > 0 and table.concat(names, ", ") or "none"
  return err.fail(
    "EUSAGE",
    ("the kubeconfig has no %s '%s'%s"):format(kind, name, text.did_you_mean(name, names)),
    { hint = ("there are: %s"):format(known) }
  )
end

---A context with its cluster and user.
---@param config pai.k8s.Config
---@param name string
---@return { name: string, cluster: table, user: table, namespace: string }? context
---@return pai.Error? err EUSAGE
function M.context(config, name)
  local context = config.contexts[name]
  if not context then
    return missing("context", name, config.contexts)
  end
  local cluster = config.clusters[context.cluster or ""]
  if not cluster then
    return missing("cluster", tostring(context.cluster), config.clusters)
  end
  local user = {}
  if context.user and context.user ~= "" then
    user = config.users[context.user]
    if not user then
      return missing("user", context.user, config.users)
    end
  end
  return {
    name = name,
    cluster = cluster,
    cluster_name = context.cluster,
    user = user,
    user_name = context.user,
    namespace = context.namespace or "default",
  }
end

return M
