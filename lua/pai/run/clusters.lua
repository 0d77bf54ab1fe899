-- Which clusters a run is for: the contexts of needs.clusters, each by its server's URL and the uid
-- of kube-system. It is part of the plan's digest and of the journal, so that neither a plan nor a
-- resume goes on with another cluster of the same name.
local err = require("pai.err")

local M = {}

---How long a plan waits for a cluster.
local TIMEOUT <const> = "8s"

---@class pai.run.Cluster
---@field context string
---@field server string? nil when the kubeconfig has no such context yet
---@field uid string? nil when it may not be read, or nobody answered
---@field unasked boolean? only the kubeconfig was read: nothing is going to be changed there
---@field absent string? why it cannot be named yet: the error's code

-- The contexts that a recipe's needs name, with inputs filled in.
local function contexts_of(needs, values)
  local list, seen = {}, {}
  for _, entry in ipairs(needs and needs.clusters or {}) do
    local name = entry:match("^@(.+)$")
    local value = entry
    if name then
      value = values[name]
    end
    for _, context in ipairs(type(value) == "table" and value or { value }) do
      if type(context) == "string" and not seen[context] then
        seen[context] = true
        list[#list + 1] = context
      end
    end
  end
  table.sort(list)
  return list
end

---The cluster of a context as it is now.
---@param context string
---@param kubeconfig string? path
---@param ask boolean? false: the server's URL is enough, nobody is asked
---@return pai.run.Cluster
function M.look(context, kubeconfig, ask)
  local c, e = require("pai.k8s.client").connect({ context = context, kubeconfig = kubeconfig })
  if not c then
    return { context = context, absent = e.code }
  elseif ask == false then
    return { context = context, server = c.server, unasked = true }
  end
  local found
  local ok, problem = pcall(function()
    return require("pai.async").deadline(TIMEOUT, function()
      found, e = c:identity()
    end)
  end)
  if not ok and not err.is(problem, "ETIMEDOUT") then
    error(problem, 0)
  elseif not ok or not found then
    return { context = context, server = c.server, absent = not ok and "ETIMEDOUT" or e.code }
  end
  return { context = context, server = found.server, uid = found.uid }
end

---The clusters that a prepared recipe is for; nil when its needs name none. One that only observes
---asks nobody yet: a preflight comes before its cluster, and must not wait for one that is gone.
---@param needs table? of the recipe
---@param values table<string, any> inputs
---@param safety string of the recipe
---@return pai.run.Cluster[]?
function M.planned(needs, values, safety)
  local looks = {}
  for i, context in ipairs(contexts_of(needs, values)) do
    looks[i] = function()
      return M.look(context, values.kubeconfig, safety ~= "observes")
    end
  end
  if #looks == 0 then
    return nil
  end
  return require("pai.async").all(looks)
end

---Raises unless a cluster is the one that was known before. One that was absent then is any.
---@param known pai.run.Cluster?
---@param now pai.k8s.Identity
---@param when string "the plan", "the run before"
function M.check(known, now, when)
  if not known or known.absent then
    return
  end
  local same = known.server == now.server and (known.unasked or known.uid == now.uid)
  if not same then
    local message = "the context '%s' is another cluster than that of %s: %s (%s), not %s (%s)"
    err.raise(
      "ECLUSTER",
      message:format(
        now.context,
        when,
        now.server,
        now.uid or "no uid",
        known.server,
        known.uid or "no uid"
      ),
      { hint = "nothing was sent to it; go back to that cluster, or start a new run" }
    )
  end
end

return M
